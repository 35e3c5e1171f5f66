"""Plugins built for a run, and with the weights of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from core.errors import UsageError
from core.plugin import Context, Plugin, Spec, build
from experiments.launcher.experiment import StoredRun
from experiments.launcher.settings import KEPT, RunConfig
from experiments.launcher.strangers import reported

__all__ = ["make_plugin", "restored"]


def make_plugin(spec: Spec, config: Any, settings: RunConfig, files: Path, say: Any, strategy: Any = None) -> Plugin:
    """Build the plugin for a run."""
    # With save_every 0 only a signal saves in between, and the run may go on from there to its end.
    rewind = KEPT * settings.save_every or settings.until
    context = Context(
        seed=settings.seed, folder=files, precision=settings.precision, rewind=rewind, strategy=strategy, say=say
    )
    return build(spec, config, context)


def restored(
    run: StoredRun, weights: Literal["best", "newest"] = "best", kind: str | None = None
) -> tuple[Plugin, str]:
    """Return (plugin with the run's weights, which weights); with `kind`, of such a plugin only.

    Raises UsageError where the run has none, ForeignError for what the plugin or its environment raises.
    """
    from core import checkpoint
    from core.runtime import configured

    spec, settings = run.spec, run.settings
    if kind is not None and spec.kind != kind:
        verb = "sample" if spec.kind == "generative" else "play"
        raise UsageError(f"{run.path} holds {spec.name!r}, which is {spec.kind}; use `{verb}`")
    whole = checkpoint.numbered(run.path)
    chosen = (checkpoint.best(run.path) if weights == "best" else None) or (whole[0] if whole else None)
    if chosen is None:
        raise UsageError(f"{run.path} has no checkpoint yet")
    path, chosen = run.path.absolute(), chosen.absolute()
    runtime = configured(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
        training=False,
    )
    with runtime, reported(spec, path, "restoring"):
        plugin = make_plugin(spec, run.config, settings, path / "files", print)
        checkpoint.load(chosen, {"plugin": plugin.state()}, weights_only=True)
        plugin.restored()
    return plugin, f"checkpoint {chosen.name}"
