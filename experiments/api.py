"""Training, runs and their comparison from Python and notebooks: the verbs as functions.

    from experiments import compare, list_runs, load, train

    run = train("dqn-cartpole", {"agent.optimizer.lr": 3e-4}, seed=2, until=20_000)
    clocks, values = run.scalars("eval/return_mean")

Everything raises UsageError with one sentence for what the user can mend.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import numpy as np

from core.errors import UsageError, foreign, nearest
from core.plugin import Plugin
from core.zoo import located
from experiments import comparison
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.folder import RunFolder
from experiments.launcher.restore import restored
from experiments.launcher.training import Ending, go_on, start
from experiments.launcher.yaml_file import flattened
from experiments.runs import find_runs
from experiments.verbs import play, resume, sample, write

__all__ = ["Run", "compare", "list_runs", "load", "train"]

Callback = Callable[[int, dict[str, Any]], object]
Weights = Literal["best", "newest"]


def train(
    name: str,
    settings: Mapping[str, Any] | None = None,
    *,
    seed: int | None = None,
    until: int | None = None,
    folder: str | os.PathLike[str] | None = None,
    on_log: Callback | None = None,
    on_evaluate: Callback | None = None,
    quiet: bool = False,
) -> Run:
    """Train a plugin or preset and return its run, finished or stopped.

    `settings` are flags by name, dotted or nested: `{"agent.gamma": 0.9}`; `seed`, `until` and `folder` stand for those of
    `run.`. `on_log` is called with (clock, scalars) after each point of the curves, `on_evaluate` after each evaluation. One
    that returns False stops training after this step: the run is evaluated, saved and finished. What one raises ends the run,
    which is marked as failed and can be resumed, and reaches the caller as it is. `quiet` prints warnings only.

    Ctrl-C saves and returns the run, which `resume` continues; a second one does not wait and raises KeyboardInterrupt. SIGTERM
    saves and ends the process. In a thread other than the main one, no signal is heard.

    Raises UsageError for a name or setting that is not there and for whatever ends the run before its time.
    """
    shortcuts = {"run.seed": seed, "run.until": until, "run.folder": folder}
    given = dict(flattened(settings or {})) | {key: value for key, value in shortcuts.items() if value is not None}
    experiment = Experiment.of([name], settings=given)
    if experiment.settings.strategy == "multiworker":
        raise UsageError(
            "run.strategy is 'multiworker', whose workers are processes of their own; start each with python -m experiments.run"
        )
    return _trained(lambda observe: start(experiment, observe, quiet=quiet), on_log, on_evaluate)


def load(path: str | os.PathLike[str]) -> Run:
    """Return the run in a folder, or of the zoo by its name, `zoo:NAME`; UsageError where there is none."""
    return Run(path)


def list_runs(folder: str | os.PathLike[str] = "runs") -> list[Run]:
    """Return all runs at or below a folder, by their paths; UsageError where there is none."""
    return [Run(path) for path in find_runs([os.fspath(folder)])]


def compare(runs: Sequence[Run | str | os.PathLike[str]], metric: str = "") -> comparison.Comparison:
    """Return runs side by side, grouped by configuration: `.rows`, `.groups`, and `.png()`, which a notebook shows.

    `metric` is a tag, by default the headline that all of them share. A path may be a folder of runs.
    """
    places = [str(run.path) if isinstance(run, Run) else os.fspath(run) for run in runs]
    return comparison.compare(find_runs(places), metric)


class Run:
    """One run on disk, or an entry of the zoo. Everything is read anew on each use, also while it is training elsewhere."""

    def __init__(self, path: str | os.PathLike[str]):
        found = located(os.fspath(path))
        RunFolder.check(found)
        self.path = found.absolute()
        """Its folder."""

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r}, {self.status})"

    @property
    def status(self) -> str:
        """running, finished, interrupted, failed or killed."""
        return RunFolder.status(self.path)

    @property
    def config(self) -> dict[str, Any]:
        """Its settings, nested as in config.yaml."""
        return RunFolder.read_config(self.path)

    @property
    def results(self) -> dict[str, Any]:
        """What results.json says; {} before the run is finished."""
        return RunFolder.results(self.path)

    def scalars(self, tag: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the curve of a tag: (clocks [N] int64, values [N] float64); UsageError names the nearest tag."""
        curves = self._curves()
        if tag not in curves:
            raise UsageError(f"{self.path} has no point of {tag!r}; {nearest(tag, curves)}")
        return np.array([*curves[tag]], np.int64), np.array([*curves[tag].values()], np.float64)

    def frame(self) -> Any:
        """Return all curves as a pandas DataFrame: a column per tag, the clock as the index, NaN where a tag has no point."""
        try:
            import pandas
        except ImportError as error:
            raise UsageError("a frame needs pandas, which is not installed; scalars(tag) gives arrays") from error
        frame = pandas.DataFrame({tag: pandas.Series(points) for tag, points in sorted(self._curves().items())})
        return frame.sort_index().rename_axis("clock")

    def plugin(self, weights: Weights = "best") -> Plugin:
        """Return the agent or model with the run's weights, for use in `with`, or to be closed by its `close()`.

        Raises UsageError where the run has no checkpoint, ForeignError for what the plugin raises.
        """
        return restored(self._stored({}), weights)[0]

    def play(
        self,
        *,
        episodes: int | None = None,
        seed: int | None = None,
        greedy: bool | None = None,
        film: bool = False,
        weights: Weights = "best",
    ) -> dict[str, Any]:
        """Let the agent play and return what is measured, by tag, as an evaluation does, which also says what None stands for.

        With `film` there are the frames of the first episode, [T, H, W, 3] uint8, under video/episode, where it can be drawn.
        """
        asked = {"eval.episodes": episodes, "eval.seed": seed, "eval.greedy": greedy}
        run = self._stored({name: value for name, value in asked.items() if value is not None})
        return play.play(run, play.Flags(render="gif" if film else "none", weights=weights))[0]

    def sample(
        self,
        n: int = 64,
        seed: int = 0,
        *,
        picture: str = "samples",
        text: str | None = None,
        weights: Weights = "best",
    ) -> np.ndarray:
        """Let the generative model draw and return pictures [n, H, W, C].

        `picture` names what else the model can draw; `text` is a caption for models that read.
        """
        asked = sample.Flags(n=n, seed=seed, picture=picture, text=text, weights=weights)
        return np.asarray(sample.draw(self._stored({}), asked)[0])

    def write(
        self,
        prompt: str = "",
        n: int = 1,
        length: int = 500,
        seed: int = 0,
        *,
        temperature: float | None = None,
        top_k: int | None = None,
        weights: Weights = "best",
    ) -> list[str]:
        """Let a model that writes go on from `prompt`, and return n texts of `length` characters, without the prompt.

        None stands for the run's own temperature and top-k.
        """
        asked = write.Flags(prompt, n, length, temperature, top_k, seed, weights)
        return list(write.write(self._stored({}), asked)[0])

    def resume(
        self,
        settings: Mapping[str, Any] | None = None,
        *,
        until: int | None = None,
        on_log: Callback | None = None,
        on_evaluate: Callback | None = None,
        quiet: bool = False,
    ) -> Run:
        """Go on from the newest whole checkpoint, to another `until` if given; otherwise like `train`. Returns this run.

        Raises UsageError for settings that would make it another run.
        """
        given = dict(flattened(settings or {})) | ({} if until is None else {"run.until": until})
        run = resume.changed(self._stored(given))
        return _trained(lambda observe: go_on(run, observe, quiet=quiet), on_log, on_evaluate)

    def _curves(self) -> dict[str, dict[int, float]]:
        from experiments.launcher.events import read_scalars

        curves = read_scalars(self.path)  # a clock that was logged twice counts once
        return {tag: dict(sorted(dict(points).items())) for tag, points in curves.items()}

    def _stored(self, settings: Mapping[str, Any]) -> StoredRun:
        return StoredRun.of([str(self.path)], settings=settings)


class _Callbacks:
    """Lets a run's loop call the user's functions, and keeps what one of them raised."""

    def __init__(self, on_log: Callback | None, on_evaluate: Callback | None):
        self._functions = {"on_log": on_log, "on_evaluate": on_evaluate}
        self.raised: BaseException | None = None

    def observe(self, loop: Any) -> None:
        for name, function in self._functions.items():
            if function is not None:
                setattr(loop, name, self._hearing(loop, name, function))

    def _hearing(self, loop: Any, name: str, function: Callback) -> Callback:
        def hear(clock: int, values: dict[str, Any]) -> None:
            try:
                answer = function(clock, values)
            except BaseException as failure:
                if isinstance(failure, KeyboardInterrupt) and loop.interrupted:  # the user's, not the function's
                    raise
                self.raised = failure
                raise foreign(name, failure, f"at {clock:,} {loop.spec.clock}") from failure
            if isinstance(answer, (bool, np.bool_)) and not answer:
                loop.stop_soon()

        return hear


def _trained(
    begin: Callable[[Callable[[Any], None]], Ending], on_log: Callback | None, on_evaluate: Callback | None
) -> Run:
    """Train by `begin` with the user's functions and return the run."""
    callbacks = _Callbacks(on_log, on_evaluate)
    try:
        ending = begin(callbacks.observe)
    except UsageError:
        if callbacks.raised is None:
            raise
    if callbacks.raised is not None:  # as the function raised it: the caller may wait for it
        raise callbacks.raised
    if not ending.saved:
        raise KeyboardInterrupt
    if ending.signal == signal.SIGTERM:
        sys.exit(ending.code)
    return Run(ending.path)
