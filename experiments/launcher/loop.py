"""The training loop: step, log, save, evaluate, in that order, until the clock says stop. It never asks which plugin it runs."""

from __future__ import annotations

import faulthandler
import math
import signal
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np

from core import checkpoint
from core.checkpoint import AppendOnly, DamagedCheckpoint
from core.disk import write_whole
from core.errors import UsageError, told
from core.plugin import Plugin
from envs.film import film
from experiments.launcher.console import Display
from experiments.launcher.evaluation import measure
from experiments.launcher.events import GLOSSARY, EventFile, unknown_tags
from experiments.launcher.experiment import Experiment
from experiments.launcher.folder import RunFolder
from experiments.launcher.images import grid
from experiments.launcher.settings import KEPT
from experiments.launcher.strangers import keep_traceback, reason

__all__ = ["Loop", "Meter", "NonFinite"]

GO_ON, TIME_IS_UP, SIGNAL = range(3)  # reasons to stop, in rising strength
PENDING = 1_000  # scalars that may wait as tensors
RECENT = 100  # episodes whose mean return says whether an agent has solved its task


class NonFinite(UsageError):
    """A logged scalar became nan or infinite."""


class Meter:
    """Means of scalars between two points of a curve. Tensors wait here, so that only the logger waits for them."""

    def __init__(self) -> None:
        self._sums: dict[str, list[float]] = {}  # tag -> [sum, count], float64, added one by one in order
        self._pending: list[tuple[str, Any]] = []

    def add(self, scalars: Mapping[str, Any]) -> None:
        self._pending.extend(scalars.items())
        if len(self._pending) > PENDING:
            self.settle()

    def settle(self) -> None:
        """Turn waiting tensors into numbers; NonFinite names the first that is none."""
        self._add_up()
        for tag, (total, _) in self._sums.items():
            if not math.isfinite(total):
                raise NonFinite(f"{tag} became {total}: training cannot go on from there (try a smaller step size)")

    def _add_up(self) -> None:
        for tag, value in self._pending:
            total = self._sums.setdefault(tag, [0.0, 0])
            for number in np.asarray(value, np.float64).ravel().tolist():
                total[0] += number
                total[1] += 1
        self._pending.clear()

    def so_far(self) -> dict[str, float]:
        """Return the means since the last point of the curve; raises for no number, as workers ask at moments of their own."""
        self._add_up()
        return self._means()

    def means(self) -> dict[str, float]:
        """Return the means and begin again."""
        self.settle()
        means = self._means()
        self._sums.clear()
        return means

    def _means(self) -> dict[str, float]:
        return {tag: total / count for tag, (total, count) in self._sums.items() if count}

    def state(self) -> dict[str, Any]:
        self.settle()
        return {tag: list(total) for tag, total in self._sums.items()}

    def load_state(self, tree: dict[str, Any]) -> None:
        self._sums, self._pending = {tag: list(total) for tag, total in tree.items()}, []


class Loop:
    """One run of one plugin. `train` returns the signal that stopped it, or None when it came to its end."""

    def __init__(
        self,
        plugin: Plugin,
        experiment: Experiment,
        folder: RunFolder,
        display: Display,
        together: Callable[[int], int] = lambda reason: reason,
    ):
        self.plugin, self.folder, self.display = plugin, folder, display
        self.spec, self.run, self.evaluation = experiment.spec, experiment.settings, experiment.evaluation
        self._together = together  # workers that train together stop together: the strongest reason of all of them
        self.on_log: Callable[[int, dict[str, Any]], None] = _nobody
        """Called with (clock, scalars) after each point of the curves; what it raises ends the training."""
        self.on_evaluate: Callable[[int, dict[str, Any]], None] = _nobody
        """Likewise after each evaluation, with what results.json keeps of it."""
        self.on_work: Callable[[], None] | None = None
        """Called once, after the first step or evaluation: what the plugin learns from is there, and is what it was."""
        self.events: EventFile
        self.meter = Meter()
        self.elapsed = 0.0  # seconds of training, over all calls
        self.best: dict[str, Any] | None = None
        self._best_name = ""  # of the checkpoint with these weights
        self.last: dict[str, Any] | None = None  # newest evaluation
        self.interrupted = False  # by a second signal
        self.trained = False  # to the end, and saved: what is left is the last evaluation
        self._owes = False  # an evaluation of the saved weights: it fell due, and the save came first
        self._drawn: int | None = None  # clock of the newest point of the curves
        self._changed = False  # since the last save
        self._warned: set[str] = set()
        self._signal: int | None = None
        self._enough = False
        self._point: dict[str, float] = {}  # the newest of the curves
        self._episodes = 0  # of training, that have ended
        self._logged_at = (time.monotonic(), 0)

    # --- beginning ------------------------------------------------------------------------------------------------------

    def begin(self, texts: Mapping[str, str], hyperparameters: Mapping[str, Any]) -> None:
        """Start a new run: its records in TensorBoard, then checkpoint 0."""
        self.events = EventFile(self.folder.event_file())
        self.events.layout()
        self.events.hyperparameters(hyperparameters, self.spec.headline)
        for tag, text in texts.items():
            self.events.text(tag, text)
        self.save()

    def restore(self, forked: str | None = None, *, reseeded: bool = False) -> str:
        """Restore the newest whole checkpoint; damaged ones are reported, and set aside when one before them could be used.

        One that is intact but does not fit (the program has changed) stays as it is, and so do those before it: CheckpointError.

        `forked` names a checkpoint of another run with other settings: its optimisers come without their step sizes, which
        Keras keeps among their variables. `reseeded`: random numbers go on with the streams of this run's seed.
        """
        found = checkpoint.numbered(self.folder.path)
        if not found:
            raise UsageError(f"{self.folder.path} has no checkpoint to resume from; start the experiment again")
        damaged: dict[Path, str] = {}
        for path in found:
            state = self.plugin.state()
            own = [(rate, np.asarray(rate)) for rate in _step_sizes(state)] if path.name == forked else []
            try:
                tree = checkpoint.load(path, {"plugin": state}, generators=not reseeded)
            except DamagedCheckpoint as error:
                self.display.say(f"warning: {error}; trying the one before it")
                damaged[path] = str(error)
                continue
            for other in damaged:
                other.rename(other.with_name(f"damaged-{other.name}"))
            for rate, value in own:
                rate.assign(value)
            checkpoint.put_back(self.plugin, tree["plugin"])
            self.plugin.restored()
            saved = tree["loop"]
            self.meter.load_state(saved["meter"])
            self.elapsed, self.best, self.last = saved["elapsed"], saved["best"], saved["last"]
            self._best_name = saved.get("best_name") or (_best(self.best["clock"]) if self.best else "")
            if not (
                self.folder.path / "checkpoints" / self._best_name
            ).is_dir():  # of another run that this one was forked from
                self.best, self._best_name = None, ""
            self._owes, self._episodes = saved.get("owes", False), saved.get("episodes", 0)
            self.events = EventFile(self.folder.path / tree["events"].path)
            return path.name
        raise UsageError(
            f"every checkpoint of {self.folder.path} is damaged, or what belongs to it is missing, and all stay as they are; the "
            f"newest: {damaged[found[0]]}"
        )

    # --- the loop -------------------------------------------------------------------------------------------------------

    def train(self, pause: int | None = None) -> int | None:
        """Train until the clock reaches `run.until` or the time is up, then evaluate and save; a signal saves at once.

        `pause` is a clock at which to save and return before that.

        Every evaluation comes after a save: training survives whatever an evaluation does to the process. One that raises costs
        a warning; only the last is needed for the results. Raises UsageError when that one fails: a resume tries it again.

        Signals belong to the main thread; in another one nothing but the clock, the time and `stop_soon` ends training.
        """
        plugin, run = self.plugin, self.run
        if not faulthandler.is_enabled():
            faulthandler.enable(2)  # gives signals a stack of their own: oneDNN's stack pointer can point into the heap
        heard = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
        previous = {number: signal.signal(number, self._on_signal) for number in heard}
        begun = time.monotonic()
        before_call = self.elapsed
        self._logged_at = (begun, plugin.clock)

        def save(owes: bool = False) -> None:
            self.elapsed = before_call + time.monotonic() - begun
            self._owes = owes
            self.save()

        def late() -> bool:
            return self._enough or bool(run.time_limit and time.monotonic() - begun >= run.time_limit)

        try:
            if self._owes:
                self._owes = False
                self._evaluate(last=plugin.clock >= run.until)
            stop = GO_ON
            while plugin.clock < run.until and stop < TIME_IS_UP and (pause is None or plugin.clock < pause):
                before = plugin.clock
                scalars = plugin.step()
                self._worked()
                self._changed = True
                self._check_tags(scalars)
                self.meter.add(scalars)
                self.elapsed = before_call + time.monotonic() - begun
                self._stop_if_solved(scalars)
                if self._due(run.log_every, before):
                    self._log()
                self.display.update(plugin.clock, self._figures)
                saves = self._due(run.save_every, before)
                if self._due(run.eval_every, before):
                    save(owes=True)
                    self._owes = saves = False
                    self._evaluate(last=plugin.clock >= run.until or late())
                stop = self._together(SIGNAL if self._signal is not None else TIME_IS_UP if late() else GO_ON)
                if saves or (stop == SIGNAL and self._changed):
                    save()
                if stop == SIGNAL:
                    return self._signal or signal.SIGTERM
            if pause is not None and plugin.clock >= pause:
                if self._changed:
                    save()
                return None
            if self._drawn != plugin.clock and self.meter.so_far():
                self._log()  # the last point, of what is left of an interval
            if self.last is None or self.last["clock"] != plugin.clock:
                if self._changed:
                    save()
                self.trained = True
                self._evaluate(last=True, needed=True)
            self._worked()
            if self._changed:
                save()
            return None
        finally:
            for number, handler in previous.items():
                signal.signal(number, handler)

    def stop_soon(self) -> None:
        """End training after this step as if the time were up: evaluate, save, return."""
        self._enough = True

    def save(self) -> None:
        """Write a whole checkpoint and drop the oldest; OSError leaves the earlier ones as they are."""
        loop = {
            "meter": self.meter.state(),
            "elapsed": self.elapsed,
            "best": self.best,
            "best_name": self._best_name,
            "last": self.last,
            "owes": self._owes,
            "episodes": self._episodes,
        }
        events = AppendOnly(self.events.path.name, self.events.length())
        tree = {"plugin": self.plugin.state(), "loop": loop, "events": events}
        checkpoint.save(self.folder.path, f"{self.plugin.clock:012d}", tree)
        checkpoint.prune(self.folder.path, KEPT, self._best_name)
        self._changed = False

    def _worked(self) -> None:
        if self.on_work is not None:
            self.on_work()
            self.on_work = None

    def _stop_if_solved(self, scalars: Mapping[str, Any]) -> None:
        self._episodes += np.size(scalars.get("rollout/return", ()))
        mean = scalars.get("rollout/return_last100")
        goal = self.run.solved_at
        if goal is not None and mean is not None and self._episodes >= RECENT and float(mean) >= goal:
            self.display.say(
                f"solved: mean return {float(mean):.4g} over the last {RECENT} episodes, after {self.plugin.clock:,} "
                f"{self.spec.clock} and {self.elapsed / 60:.1f} minutes"
            )
            self.stop_soon()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self._signal is not None:  # the second one does not wait
            self.interrupted = True
            raise KeyboardInterrupt
        self._signal = number
        self.display.say(f"{signal.Signals(number).name}: saving after this step (once more to stop at once)")

    def _due(self, every: int, before: int) -> bool:
        return every > 0 and self.plugin.clock // every > before // every

    def _figures(self) -> dict[str, float]:
        """Return the means since the last point of the curve, just after it those of the point."""
        return self.meter.so_far() or self._point

    def _log(self) -> None:
        clock, now = self.plugin.clock, time.monotonic()
        self._point = means = self.meter.means()
        seconds, steps = now - self._logged_at[0], clock - self._logged_at[1]
        self._logged_at, self._drawn = (now, clock), clock
        point = means | {"time/steps_per_second": steps / max(seconds, 1e-9), "time/elapsed": self.elapsed}
        self.events.scalars(point, clock)
        self.on_log(clock, point)

    def _evaluate(self, *, last: bool, needed: bool = False) -> None:
        """Evaluate and keep the best weights; `last`: no evaluation follows, as far as can be told.

        What raises costs a warning, unless the evaluation is `needed` for the results.
        """
        clock = self.plugin.clock
        try:
            measured = measure(self.plugin, self.evaluation, self.run.seed, last=last)
            scalars, kept = self._numbers(measured)
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt) and self.interrupted:
                raise
            # Workers that train together evaluate together: if one went on alone, the others would wait for it for ever.
            if needed or self.run.strategy == "multiworker":
                raise
            words = reason(failure, self.spec) + keep_traceback(failure, self.folder.path / "traceback-evaluation.txt")
            self.display.say(
                f"warning: the evaluation at {clock:,} {self.spec.clock} failed, training goes on: {words}"
            )
            return
        self._changed = True
        self._check_tags(measured)
        for tag, value in measured.items():
            if tag.startswith(("samples/", "video/")):
                self._draw(tag, value, clock)
            elif isinstance(value, str):
                self.events.text(tag, value, clock)
        self.events.scalars(scalars, clock)
        self.last = {"clock": clock, "values": kept}
        score = scalars[self.spec.headline]
        self.display.headline = f"{self.spec.headline} {score:.4g}"
        self.display.say(f"{clock:,} {self.spec.clock}: {self.spec.headline} {score:.4g}")
        if self.best is None or (score > self.best["value"] if self.spec.goal == "max" else score < self.best["value"]):
            self.best = {"clock": clock, "value": score}
            # The one before stays until the next whole checkpoint knows this one: a run killed until then resumes with it.
            # A killed run may have left one of the same clock; then the name that `save` returns is another.
            tree = {"plugin": self.plugin.state()}
            self._best_name = checkpoint.save(self.folder.path, _best(clock), tree, weights_only=True).name
        self.on_evaluate(clock, dict(kept))

    def _numbers(self, measured: Mapping[str, Any]) -> tuple[dict[str, float], dict[str, Any]]:
        """Return an evaluation's scalars, and what of it is kept for the results; UsageError where one is no number."""
        scalars: dict[str, float] = {}
        kept: dict[str, Any] = {}
        for tag, value in measured.items():
            if tag.startswith(("samples/", "video/")):
                continue
            if isinstance(value, str):
                kept[tag] = value
            elif np.ndim(value) == 0:
                number = float(value)
                if not math.isfinite(number):
                    raise NonFinite(f"{tag} became {number} in evaluation")
                scalars[tag] = kept[tag] = number
            else:
                kept[tag] = np.asarray(value).tolist()
        headline = self.spec.headline
        if headline not in scalars:
            raise UsageError(
                f"plugin {self.spec.name!r} promises {headline} but its evaluation returned {', '.join(measured) or 'nothing'}"
            )
        return scalars, kept

    def _draw(self, tag: str, value: Any, clock: int) -> None:
        """Write pictures [H, W, C] or [N, H, W, C], or a film [T, H, W, C]; what Pillow cannot encode costs a warning."""
        try:
            if tag.startswith("video/"):
                encoded = self.events.film(tag, film(value), clock)
                write_whole(self.folder.film, lambda file: file.write(encoded))
            else:
                pictures = np.asarray(value)
                self.events.image(tag, pictures if pictures.ndim == 3 else grid(pictures), clock)
        except Exception as error:
            if (
                isinstance(error, OSError) and error.errno is not None
            ):  # the disk's; what Pillow raises is of many kinds
                raise
            array = isinstance(value, np.ndarray)
            shape = f"shape {list(value.shape)}" if array else f"type {type(value).__name__}"
            self.display.say(f"warning: {tag} of {shape} is left out, it cannot be encoded: {told(error)}")

    def _check_tags(self, tags: Mapping[str, Any]) -> None:
        for tag in unknown_tags(t for t in tags if t not in self._warned):
            self._warned.add(tag)
            self.display.say(f"warning: the tag {tag!r} is not in the glossary; tags begin with {', '.join(GLOSSARY)}")


def _nobody(clock: int, values: dict[str, Any]) -> None:
    """Hear nothing."""


def _best(clock: int) -> str:
    return f"best-{clock:012d}"


def _step_sizes(node: Any) -> list[Any]:
    """Return the step sizes of all optimisers in a state tree, as variables; a schedule sets its own anew."""
    if isinstance(node, dict):
        return [rate for value in node.values() for rate in _step_sizes(value)]
    if isinstance(node, (list, tuple)):
        return [rate for value in node for rate in _step_sizes(value)]
    rate = getattr(node, "learning_rate", None)
    return [rate] if hasattr(rate, "assign") else []
