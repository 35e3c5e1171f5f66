"""One run from beginning to end: records, training, what is said to the user."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from core.errors import UsageError
from core.plugin import Spec
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.flags import as_dict
from experiments.launcher.folder import RunFolder
from experiments.launcher.restore import chosen_checkpoint, load_weights, make_plugin
from experiments.launcher.settings import RunConfig
from experiments.launcher.strangers import Interrupts, close, keep_traceback, reason
from experiments.launcher.yaml_file import flattened

__all__ = ["Ending", "go_on", "records", "start"]


@dataclass(frozen=True)
class Ending:
    """How a training ended in which nothing failed."""

    path: Path
    """The run's folder."""
    signal: int | None = None
    """That stopped it; None where it came to its end."""
    saved: bool = True
    """Not after a second Ctrl-C: then the last checkpoint is an earlier one."""

    @property
    def code(self) -> int:
        """Exit code of a process that ends with the training."""
        return 0 if self.signal is None else 128 + self.signal


def start(
    experiment: Experiment,
    observe: Callable[[Any], None] | None = None,
    *,
    quiet: bool = False,
    weights: StoredRun | None = None,
) -> Ending:
    """Start a run and train it to its end, or until a signal.

    `observe` is called with the `Loop` before it begins to train; `quiet` prints warnings only; `weights` are another run's, with
    which it begins, at clock 0. Raises UsageError for whatever ends the run before its time.
    """
    spec, settings = experiment.spec, experiment.settings
    subject = experiment.subject
    _check_fit(spec, settings)
    with _runtime(settings) as chosen, _workplace(settings) as place:
        folder = RunFolder.create(place.root or settings.folder, experiment.label, subject, settings.seed, settings.tag)
        with _disk_errors(spec):
            folder.write_config(experiment.values())
            folder.keep_code(spec)
        return _train(experiment, folder, chosen, place, observe, quiet, weights=weights)


def go_on(
    run: StoredRun, observe: Callable[[Any], None] | None = None, *, quiet: bool = False, forked: bool = False
) -> Ending:
    """Go on with a run from its newest whole checkpoint, with the settings that `run` has now; otherwise like `start`.

    `forked`: it has just been made from another run, and begins.
    """
    spec, settings, path = run.spec, run.settings, run.path
    _check_fit(spec, settings)
    with _runtime(settings) as chosen, _workplace(settings) as place:
        if place.root is not None:  # another worker writes the run: this one reads a copy
            path = Path(shutil.copytree(path, Path(place.root) / path.name, ignore=shutil.ignore_patterns(".lock")))
        folder = RunFolder.open(path)
        return _train(run.experiment, folder, chosen, place, observe, quiet, began=run.began, forked=forked)


# --- one run from beginning to end ------------------------------------------------------------------------------------


def _train(
    experiment: Experiment,
    folder: RunFolder,
    chosen: dict[str, Any],
    place: _Workplace,
    observe: Callable[[Any], None] | None,
    quiet: bool,
    *,
    began: Experiment | None = None,
    forked: bool = False,
    weights: StoredRun | None = None,
) -> Ending:
    """Train a new run, which may begin with `weights`, or go on with one, which `began` so.

    Its settings are written anew once it has been restored; those of the plugin, which can only say that files have moved, when
    they were found there.
    """
    from core.checkpoint import CheckpointError
    from experiments.launcher.console import Display, closing_table, show_curve
    from experiments.launcher.events import read_scalars
    from experiments.launcher.loop import Loop

    spec, label, settings = experiment.spec, experiment.label, experiment.settings
    with _disk_errors(spec):
        folder.write_meta(status="running", experiment=spec.name, preset=label, seed=settings.seed, runtime=chosen)
    display = Display(label, spec.clock, settings.until, settings.time_limit, quiet)
    python = _python()  # before an environment changes the working directory
    given = None if weights is None else chosen_checkpoint(weights)
    again = f"{python} -m experiments resume {shlex.quote(str(folder.given))}"
    plugin: Any = None
    loop: Any = None
    scope = contextlib.ExitStack()
    interrupts = scope.enter_context(Interrupts())
    try:
        scope.enter_context(place.strategy.scope() if place.strategy else contextlib.nullcontext())
        plugin = make_plugin(spec, experiment.config, settings, folder.files, display.say, place.strategy)
        loop = Loop(plugin, experiment, folder, display, place.together)
        if began is not None:
            name = loop.restore(folder.read_meta().get("forked", {}).get("checkpoint"))
            if not forked:
                resumed = [*folder.read_meta().get("resumed", []), {"checkpoint": name, "argv": sys.argv}]
                folder.write_meta(resumed=resumed)
            folder.write_config(replace(experiment, config=began.config).values())
            loop.on_work = lambda: folder.write_config(experiment.values())
            display.say(f"{'forked' if forked else 'resumed'} {folder.given} at {plugin.clock:,} {spec.clock}")
        else:
            if weights is not None and given is not None:
                try:
                    load_weights(plugin, given)
                except CheckpointError as error:
                    raise UsageError(
                        f"{weights.word} does not have all weights that this run needs: {error}"
                    ) from error
                folder.write_meta(
                    forked={"run": weights.word, "clock": 0, "seed": weights.settings.seed, "weights": given.name}
                )
            loop.begin(*records(experiment, folder, chosen))
            display.say(f"{spec.name} on {experiment.subject}: {folder.given}")
        if place.strategy is not None:
            display.say(f"{place.strategy.num_replicas_in_sync} replicas share every batch")
        if observe is not None:
            observe(loop)
        stopped = loop.train()
        if stopped is None:
            loop.events.finished(True)
    except BaseException as failure:  # the run's folder must say why it ended, whatever a plugin raised
        display.close()
        if isinstance(failure, KeyboardInterrupt) and (interrupts.by_user or (loop is not None and loop.interrupted)):
            folder.write_meta(status="interrupted: stopped without saving")
            display.say(f"stopped without saving; resume from the last checkpoint: {again}")
            return Ending(folder.path, signal.SIGINT, saved=False)
        why = reason(failure, spec)
        hint = keep_traceback(failure, folder.path / "traceback.txt")
        if loop is not None and loop.trained:
            hint += f"; training is done and saved, and this evaluates it again: {again}"
        with contextlib.suppress(OSError):  # on a full disk the sentence below is all that can still be said
            folder.write_meta(status=f"failed: {why}")
            if loop is not None and hasattr(loop, "events"):
                loop.events.finished(False)
        raise UsageError(why + hint) from failure
    finally:
        display.close()
        if plugin is not None:
            close(plugin, spec, display.say)
        scope.close()
        if loop is not None and hasattr(loop, "events"):
            with contextlib.suppress(OSError):  # likewise: what could not be written was reported above
                loop.events.close()
        folder.close()
    if stopped is not None:
        name = signal.Signals(stopped).name
        folder.write_meta(status=f"interrupted: {name}")
        display.say(f"saved at {plugin.clock:,} {spec.clock}; go on with: {again}")
        return Ending(folder.path, stopped)
    results = _results(experiment, folder, loop)
    with _disk_errors(spec):
        folder.write_results(results)
        folder.write_meta(status="finished")
    values = {
        k: v
        for k, v in loop.last["values"].items()
        if isinstance(v, (int, float)) or (isinstance(v, str) and "\n" not in v)
    }
    closing_table(
        display.console,
        f"{label} on {results['subject']}, seed {settings.seed}",
        {
            spec.clock: f"{plugin.clock:,}",
            "minutes": results["wall_clock_seconds"] / 60,
            "steps per second": results["steps_per_second"],
        }
        | values,
    )
    if display.console.is_terminal:
        show_curve(display.console, read_scalars(folder.path), spec.headline, spec.clock)
    display.say(f"results      {folder.given / 'results.json'}")
    if folder.film.exists():
        display.say(f"film         {folder.given / folder.film.name}")
    display.say(f"TensorBoard  {python} -m tensorboard.main --logdir {shlex.quote(settings.folder)}")
    further = " --run.solved-at None" * (settings.solved_at is not None)
    display.say(f"go on        {again} --run.until {2 * settings.until}{further}")
    return Ending(folder.path)


@dataclass(frozen=True)
class _Workplace:
    """Where a run trains: the strategy, a folder of its own for a worker that does not write the run, and a vote on stopping."""

    strategy: Any = None
    root: str | None = None
    together: Callable[[int], int] = lambda reason: reason


def _check_fit(spec: Spec, settings: RunConfig) -> None:
    """Refuse settings of the launcher that mean nothing to this plugin."""
    if settings.solved_at is not None and spec.kind != "agent":
        raise UsageError(
            f"run.solved_at is {settings.solved_at:g}, but {spec.name!r} plays no episodes; it is for agents"
        )
    if settings.strategy == "none" or spec.distributed:
        return
    others = sorted(name for name, other in catalogue().plugins.items() if other.distributed)
    why = "an agent, and agents train on one device" if spec.kind == "agent" else "not made for several devices"
    raise UsageError(
        f"run.strategy is {settings.strategy!r}, but {spec.name!r} is {why}; {', '.join(others)} can be distributed"
    )


@contextlib.contextmanager
def _workplace(settings: RunConfig) -> Iterator[_Workplace]:
    if settings.strategy == "none":
        yield _Workplace()
        return
    from core.distributed import make_strategy, multiworker_role, together

    if settings.strategy == "mirrored":
        yield _Workplace(make_strategy("mirrored"))
        return
    number, _ = multiworker_role()
    strategy = make_strategy("multiworker")
    with tempfile.TemporaryDirectory(prefix=f"pongan-worker{number}-") as scratch:
        yield _Workplace(strategy, scratch if number else None, together(strategy))


def _runtime(settings: RunConfig) -> contextlib.AbstractContextManager[dict[str, Any]]:
    from core.runtime import configured

    return configured(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
    )


def _results(experiment: Experiment, folder: RunFolder, loop: Any) -> dict[str, Any]:
    spec, meta = experiment.spec, folder.read_meta()
    seconds = loop.elapsed
    return {
        "experiment": spec.name,
        "preset": experiment.label,
        "subject": experiment.subject,
        "seed": experiment.settings.seed,
        "clock": {"value": loop.plugin.clock, "unit": spec.clock},
        "wall_clock_seconds": seconds,
        "steps_per_second": loop.plugin.clock / seconds if seconds else 0.0,
        "headline": {
            "tag": spec.headline,
            "goal": spec.goal,
            "final": loop.last["values"][spec.headline],
            "best": loop.best,
        },
        "evaluation": loop.last["values"],
        "resumed": len(meta.get("resumed", [])),
        "runtime": meta["runtime"],
        "versions": meta["versions"],
        "git": meta["git"],
    }


@contextlib.contextmanager
def _disk_errors(spec: Spec) -> Iterator[None]:
    """Make one sentence of what the disk refuses before and after training."""
    try:
        yield
    except OSError as failure:
        raise UsageError(reason(failure, spec)) from failure


def records(
    experiment: Experiment, folder: RunFolder, chosen: Mapping[str, Any]
) -> tuple[dict[str, str], dict[str, Any]]:
    """Return what TensorBoard says of a run from its beginning: texts by tag, and hyperparameters."""
    config = (folder.path / "config.yaml").read_text()
    meta, settings = folder.read_meta(), {experiment.spec.prefix: as_dict(experiment.config)}
    facts = {
        "command": shlex.join(meta["argv"]),
        **chosen,
        **meta["versions"],
        "commit": meta["git"]["commit"] or "unknown",
    }
    table = "| what | value |\n| --- | --- |\n" + "\n".join(f"| {k} | {v} |" for k, v in facts.items())
    named = {"experiment": experiment.label, "run.seed": experiment.settings.seed}
    return {"config": "    " + config.replace("\n", "\n    "), "versions": table}, named | dict(flattened(settings))


def _python() -> str:
    """Return the interpreter as a word for a command to paste."""
    here = Path(sys.executable).is_relative_to(Path.cwd())
    return shlex.quote(str(Path(sys.executable).relative_to(Path.cwd()))) if here else "python"
