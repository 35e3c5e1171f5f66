"""Plugins built for a run, and with the weights of a run."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from core.errors import UsageError
from core.plugin import Agent, Context, Player, Plugin, Spec, build, imported
from experiments.launcher.experiment import StoredRun
from experiments.launcher.settings import KEPT, RunConfig
from experiments.launcher.strangers import reported

__all__ = ["acting", "chosen_checkpoint", "load_weights", "make_plugin", "restored"]

Weights = Literal["best", "newest"]


def make_plugin(spec: Spec, config: Any, settings: RunConfig, files: Path, say: Any, strategy: Any = None) -> Plugin:
    """Build the plugin for a run."""
    # With save_every 0 only a signal saves in between, and the run may go on from there to its end.
    rewind = KEPT * settings.save_every or settings.until
    context = Context(
        seed=settings.seed,
        folder=files,
        precision=settings.precision,
        deterministic=settings.deterministic,
        rewind=rewind,
        strategy=strategy,
        say=say,
    )
    return build(spec, config, context)


def acting(run: StoredRun, weights: Weights = "best") -> tuple[Player, str]:
    """Return (an agent that plays by the run's weights, which weights).

    That is the plugin's `player`, without TensorFlow, where it has one and no flag changes the agent; else the whole plugin.
    Raises UsageError and ForeignError as `restored` does.
    """
    from core import checkpoint
    from core.runtime import calm_blas

    spec = run.spec
    if spec.kind == "agent" and spec.player and not any(name.startswith("agent.") for name in run.given):
        chosen = chosen_checkpoint(run, weights)
        with reported(spec, run.traces, "restoring"):
            weights_of = {name.removeprefix("plugin."): w for name, w in checkpoint.read_weights(chosen).items()}
            player = imported(spec, "player")(run.config, weights_of)
        if player is not None:
            calm_blas()
            return player, f"checkpoint {chosen.name}"
    plugin, which = restored(run, weights, "agent")
    assert isinstance(plugin, Agent)
    return plugin, which


def restored(run: StoredRun, weights: Weights = "best", kind: str | None = None) -> tuple[Plugin, str]:
    """Return (plugin with the run's weights, which weights); with `kind`, of such a plugin only.

    Raises UsageError where the run has none, ForeignError for what the plugin or its environment raises.
    """
    from core.runtime import configured

    spec, settings = run.spec, run.settings
    if kind is not None and spec.kind != kind:
        verb = "sample" if spec.kind == "generative" else "play"
        raise UsageError(f"{run.word} holds {spec.name!r}, which is {spec.kind}; use `{verb}`")
    chosen = chosen_checkpoint(run, weights)
    files = run.path.absolute() / "files"
    scratch = _copied(files) if run.read_only else files
    runtime = configured(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
        training=False,
    )
    with runtime, reported(spec, run.traces, "restoring"):
        plugin = make_plugin(spec, run.config, settings, scratch, print)
        load_weights(plugin, chosen, plugin.learns_with if run.read_only else ())
    if run.read_only:
        # at the latest when the process ends
        weakref.finalize(plugin, shutil.rmtree, scratch.parent, ignore_errors=True)
    return plugin, f"checkpoint {chosen.name}"


def load_weights(plugin: Plugin, chosen: Path, may_lack: Sequence[str] = ()) -> None:
    """Give a plugin the weights of a checkpoint, which may lack some by their names in its `state()`.

    Raises CheckpointError where they do not fit.
    """
    from core import checkpoint

    missing = [f"plugin.{name}" for name in may_lack]
    checkpoint.load(chosen, {"plugin": plugin.state()}, weights_only=True, may_lack=missing)
    plugin.restored()


def chosen_checkpoint(run: StoredRun, weights: Weights = "best") -> Path:
    """Return the run's checkpoint, absolute: an environment may change the working directory."""
    from core import checkpoint

    chosen = checkpoint.chosen(run.path, weights)
    if chosen is None:
        raise UsageError(f"{run.word} has no checkpoint yet")
    return chosen.absolute()


def _copied(files: Path) -> Path:
    """Return a scratch folder with what an entry of a zoo has for its plugin, which may write into it."""
    scratch = Path(tempfile.mkdtemp(prefix="pongan-")) / "files"
    if files.is_dir():
        shutil.copytree(files, scratch)
    else:
        scratch.mkdir()
    return scratch
