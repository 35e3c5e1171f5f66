"""A run that begins as another one: the state of that one at a clock, which other settings take over."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from core import checkpoint
from core.errors import UsageError, require
from experiments.launcher.console import Display
from experiments.launcher.events import EventFile
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.folder import RunFolder
from experiments.launcher.loop import Loop
from experiments.launcher.restore import make_plugin
from experiments.launcher.settings import FIXED_AT_START
from experiments.launcher.strangers import close, reported
from experiments.launcher.training import records

__all__ = ["Interrupted", "Reached", "check", "reached"]

TAG = "run.tag"  # of the settings that are fixed at the start, the one that a fork may have of its own


class Interrupted(UsageError):
    """A signal has stopped a replay; nothing is left of it."""

    def __init__(self, number: int):
        super().__init__("stopped before the fork was reached; nothing is left of it")
        self.code = 128 + number


def check(run: StoredRun, at: int) -> int:
    """Return the clock to fork at, the newest that is kept for -1; UsageError where `run`, with its flags, cannot be forked."""
    run.check_whole()
    for name in run.given:
        if name in {f"run.{field}" for field in FIXED_AT_START} - {TAG}:
            other = "; --reseed draws other random numbers from there on" if name == "run.seed" else ""
            raise UsageError(f"a fork keeps {name} of the run that it begins as{other}")
    require(run.settings.strategy == "none", "run.strategy must be 'none': a fork is made on one device")
    whole = checkpoint.numbered(run.path)
    require(bool(whole), f"{run.path} has no checkpoint yet")
    newest = checkpoint.clock_of(whole[0])
    if not -1 <= at <= newest:
        raise UsageError(
            f"--at is {at}; {run.path} can be forked at any clock from 0 to {newest}, its newest checkpoint"
        )
    at, until = newest if at == -1 else at, run.settings.until
    forked = RunFolder.meta(run.path).get("forked", {})
    if forked and checkpoint.clock_of(whole[-1]) > at:
        raise UsageError(
            f"{run.path} was forked from {forked.get('run', 'another run')} and keeps no checkpoint from before {at}; fork that "
            f"one, or this one at {checkpoint.clock_of(whole[-1])} or later"
        )
    require(at < until, f"run.until is {until}, and the fork begins at {at}; give a later --run.until")
    return at


@dataclass(frozen=True)
class Reached:
    """A run's state at a clock, saved in a folder of its own."""

    run: StoredRun
    clock: int
    place: Path
    runtime: Mapping[str, Any]
    """What `core.runtime` has chosen for it."""

    def fork(self, arm: StoredRun, seed: int) -> Path:
        """Make the run that goes on from here with the settings of `arm`, and return its folder; `go_on` trains it.

        With another `seed` than the run's, random numbers come from the streams of that seed, environments' from their next
        episodes on. Raises UsageError where the settings make of the state another one; nothing is left then.
        """
        origin, settings = self.run.path.absolute(), arm.settings
        tag = settings.tag if TAG in arm.given else f"fork{self.clock}"
        limit = settings.time_limit if "run.time_limit" in arm.given else 0.0
        changed = replace(arm.experiment, settings=replace(settings, seed=seed, tag=tag, time_limit=limit))
        with reported(arm.spec, origin, "fork"), _scratch(origin.parent) as place:
            shutil.copytree(self.place, place, dirs_exist_ok=True, ignore=shutil.ignore_patterns(".lock"))
            _take_over(changed, place, self, arm)
            stem = f"{time.strftime('%Y%m%d-%H%M%S')}-s{seed}" + (f"-{tag}" if tag else "")
            target, attempt = origin.with_name(stem), 0
            while target.exists():
                attempt += 1
                target = origin.with_name(f"{stem}-{attempt}")
            return place.rename(target)


@contextlib.contextmanager
def reached(run: StoredRun, at: int, arms: Sequence[StoredRun]) -> Iterator[Reached]:
    """The state of `run` when its clock reaches `at`, for `arms` that go on from there: the run with other settings.

    It comes from the nearest checkpoint before that is kept, replayed from there; from the start where none is.

    Raises UsageError where an arm's state has another shape, ForeignError for what the plugin raises, and Interrupted when a
    signal stops the replay.
    """
    from core.runtime import configured

    spec, settings, origin = run.spec, run.settings, run.path.absolute()
    began = replace(run.began, settings=replace(run.began.settings, time_limit=0.0, solved_at=None))
    runtime = configured(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
    )
    with runtime as chosen, _scratch(origin.parent) as place:
        with reported(spec, origin, "fork"):
            clock = _reach(began, origin, at, place, arms)
        yield Reached(run, clock, place, chosen)


@contextlib.contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder beside the run, which is gone afterwards unless it has got another name."""
    place = Path(tempfile.mkdtemp(dir=parent, prefix=".fork-"))
    try:
        place.chmod(0o755)
        (place / "files").mkdir()
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def _reach(began: Experiment, origin: Path, at: int, place: Path, arms: Sequence[StoredRun]) -> int:
    """Bring a copy of the run to the clock `at`, save it in `place` and return its clock."""
    kept = [path for path in checkpoint.numbered(origin) if checkpoint.clock_of(path) <= at]
    spec, display = began.spec, Display(began.label, began.spec.clock, max(at, 1), 0)
    folder = RunFolder(place)
    plugin = make_plugin(spec, began.config, began.settings, folder.files, display.say)
    try:
        shapes = _shapes(plugin.state())
        for arm in arms:
            _check_shapes(shapes, arm)
        loop = Loop(plugin, began, folder, display)
        if kept:
            _copy(origin, kept[0], place)
            name = loop.restore()
            display.say(f"from checkpoint {name} of {origin.name}")
        else:
            loop.begin({}, {})
            display.say(f"{origin.name} has no checkpoint from before {at:,} any more: trained from the start")
        stopped = loop.train(pause=at)
        loop.events.close()
        if stopped is not None:
            raise Interrupted(stopped)
        for path in checkpoint.numbered(place)[1:]:
            shutil.rmtree(path)
        return plugin.clock
    finally:
        display.close()
        close(plugin, spec, display.say)
        folder.close()


def _check_shapes(before: Mapping[str, str], arm: StoredRun) -> None:
    """Raise UsageError where a plugin with the settings of `arm` begins with a state of other shapes."""
    with tempfile.TemporaryDirectory() as scratch:
        plugin = make_plugin(arm.spec, arm.config, arm.settings, Path(scratch), _nobody)
        try:
            after = _shapes(plugin.state())
        finally:
            close(plugin, arm.spec, _nobody)
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) != after.get(name):
            raise UsageError(
                f"{_flags(arm)} cannot change in the middle of a run: {name} is {before.get(name, 'not there')}, and would be "
                f"{after.get(name, 'gone')}"
            )


def _nobody(line: str) -> None:
    """Hear nothing."""


def _copy(origin: Path, chosen: Path, place: Path) -> None:
    """Copy a checkpoint and what belongs to it: the plugin's files, the curves, the best weights until then."""
    shutil.copytree(origin / "files", place / "files", dirs_exist_ok=True)
    for file in origin.glob("events.out.tfevents.*"):
        shutil.copy2(file, place)
    best = [path for path in (origin / "checkpoints").glob("best-*") if path.name[5:17] <= chosen.name[:12]]
    for path in (chosen, *best):
        shutil.copytree(path, place / "checkpoints" / path.name)


def _take_over(changed: Experiment, place: Path, reached: Reached, arm: StoredRun) -> None:
    """Save the state in `place` anew, as that of the run with the changed settings."""
    spec, display = changed.spec, Display(changed.label, changed.spec.clock, 1, 0, quiet=True)
    folder, seed = RunFolder(place), reached.run.began.settings.seed
    plugin = make_plugin(spec, changed.config, changed.settings, folder.files, display.say)
    try:
        loop = Loop(plugin, changed, folder, display)
        (saved,) = checkpoint.numbered(place)
        try:
            rated = any(re.search(r"(^|[._])lr($|_)", name) for name in arm.given)  # then its step sizes are its own
            loop.restore(saved.name if rated else None, reseeded=changed.settings.seed != seed)
        except UsageError as error:
            raise UsageError(f"{_flags(arm)} cannot change in the middle of a run: {error}") from error
        folder.write_config(changed.values())
        folder.keep_code(spec)
        folder.write_meta(
            status="interrupted: forked",
            experiment=spec.name,
            preset=changed.label,
            seed=changed.settings.seed,
            runtime=reached.runtime,
            forked={
                "run": "/".join(reached.run.path.absolute().parts[-3:]),
                "clock": plugin.clock,
                "seed": seed,
                "changed": [name for name in arm.given if name != TAG],
            },
        )
        old = loop.events.path
        loop.events.close()
        loop.events = EventFile.continuing(old, place / f"{old.name}.fork")
        texts, hyperparameters = records(changed, folder, reached.runtime)
        loop.events.hyperparameters(hyperparameters, spec.headline)
        for tag, text in texts.items():
            loop.events.text(tag, text)
        old.unlink()
        shutil.rmtree(saved)
        loop.save()
        loop.events.close()
    finally:
        display.close()
        close(plugin, spec, display.say)
        folder.close()


def _flags(arm: StoredRun) -> str:
    return ", ".join(arm.given.values()) or "a setting"


def _shapes(node: Any, where: str = "") -> dict[str, str]:
    """Return {place: shape and type} of the arrays and variables in a state that is at its beginning."""
    if callable(getattr(node, "state", None)) and callable(getattr(node, "load_state", None)):
        node = node.state()
    if isinstance(node, (list, tuple)):
        node = {str(i): value for i, value in enumerate(node)}
    if isinstance(node, dict):
        return {
            place: shape
            for key, value in node.items()
            for place, shape in _shapes(value, f"{where}.{key}" if where else key).items()
        }
    if isinstance(node, np.ndarray):
        return {where: f"{list(node.shape)} {node.dtype}"}
    variables = getattr(node, "variables", [node] if hasattr(node, "assign") else [])
    return {f"{where}.{i}": f"{list(v.shape)} {getattr(v, 'dtype', '')}".rstrip() for i, v in enumerate(variables)}
