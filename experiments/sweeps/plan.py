"""What a sweep is: many settings and seeds of one experiment. Every trial is an ordinary run, trained by a process of its own.

    sweeps/<name>/<date-time>/
        sweep.yaml       the plan: what every trial is
        trials/t001.json state of a trial (running | finished | stopped | failed), its run, why it failed
        runs/            ordinary run folders: compare, resume, play and TensorBoard work on them
        logs/t001.log    what the trial's process printed
        ray/             Ray Tune's own files; nothing here reads them
        compare.png/csv  the summary

Ray Tune decides which trial runs when and which ends early. What a sweep needs to go on is in the plan, the trials and the runs
themselves, so a killed sweep begins with a fresh Ray.
"""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core.disk import write_atomically
from core.errors import UsageError, nearest, require
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
from experiments.launcher.flags import known_flags
from experiments.launcher.yaml_file import read_yaml
from experiments.runs import NOT_COMPARED

__all__ = [
    "SEARCHES",
    "Axis",
    "Plan",
    "counted",
    "locked",
    "make_plan",
    "new_folder",
    "points",
    "read_plan",
    "read_record",
    "write_record",
]

SEARCHES = ("tpe", "nsga2")
OURS = ("run.seed", "run.folder", "run.tag")  # settings that tell the runs of a sweep apart
RANGE = re.compile(r"(?P<low>[^:,]+?)\.\.(?P<high>[^:,]+?)(?P<log>:log)?")
TRIES = 100  # draws for each point of --random
DRAW_SEED = 0  # of --random: the same command makes the same plan


@dataclass(frozen=True)
class Axis:
    """One setting and the values it takes: a list, or a range to draw from."""

    key: str
    values: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False
    whole: bool = False

    @classmethod
    def parse(cls, text: str, known: Mapping[str, Any]) -> Axis:
        """Read `KEY=A,B` or `KEY=LOW..HIGH[:log]`; UsageError names what is wrong and the nearest key."""
        key, equals, rest = text.partition("=")
        key = key.strip().removeprefix("--").replace("-", "_")
        if not equals or not rest:
            raise UsageError(
                f"--grid is {text!r}; it must read KEY=VALUE,VALUE or KEY=LOW..HIGH, e.g. agent.optimizer.lr=1e-3,3e-4"
            )
        if key in OURS:
            raise UsageError(f"--grid cannot set {key}: a sweep gives every run its own; --seeds N sets the seeds")
        if key in NOT_COMPARED:
            raise UsageError(
                f"--grid cannot set {key}: runs that differ in it alone count as repeats of one configuration"
            )
        if key not in known:
            raise UsageError(f"--grid: {key!r} is no setting; {nearest(key, [k for k in known if k not in OURS])}")
        span = RANGE.fullmatch(rest)
        if span is None:
            values = tuple(value.strip() for value in rest.split(","))
            if "" in values or len(set(values)) < len(values):
                raise UsageError(f"--grid {text!r} has an empty value or one twice")
            return cls(key, values)
        try:
            low, high = float(span["low"]), float(span["high"])
        except ValueError as error:
            raise UsageError(f"--grid {text!r}: the ends of a range must be numbers") from error
        require(known[key] in (int, float), f"--grid {text!r}: a range is for numbers; name the values of {key}")
        require(low < high, f"--grid {text!r}: {low:g} must lie below {high:g}")
        log = span["log"] is not None
        require(not log or low > 0, f"--grid {text!r}: a logarithmic range begins above 0")
        return cls(key, low=low, high=high, log=log, whole=known[key] is int)

    def end(self, which: int) -> float:
        """Return an end of a range, the lower for 0, else the upper."""
        number = self.low if which == 0 else self.high
        return round(number) if self.whole else number

    def draw(self, rng: np.random.Generator) -> str:
        """Return a value: any of the list, or a number of the range, uniform or uniform in its logarithm."""
        if self.values:
            return str(rng.choice(self.values))
        if self.log:
            number = float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        else:
            number = float(rng.uniform(self.low, self.high))
        return str(round(number)) if self.whole else f"{number:.6g}"


@dataclass(frozen=True)
class Plan:
    """What a sweep does; sweep.yaml holds these fields."""

    name: str
    flags: list[str]
    """Of every run, as given."""
    scheduler: str = "none"
    """none, asha or pbt; tpe or nsga2, with which a trial's values are chosen when it begins."""
    axes: list[str] = field(default_factory=list)
    """As given to --grid."""
    trials: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Name -> {seed, values: {key: text}}."""
    seed: int = 1
    """Of the random numbers of a search."""
    effect: str = ""
    """The difference that matters, where seeds come in rounds until settings are told apart."""
    round: int = 0
    """Seeds of a setting in each."""

    def words(self, trial: str, folder: Path, values: Mapping[str, Any] | None = None) -> list[str]:
        """Return the words after `run` for a trial of the sweep in `folder`, with other `values` than the plan's if given."""
        entry = self.trials[trial]
        chosen = entry["values"] if values is None else values
        own = [word for key, value in chosen.items() for word in ("--" + key, *str(value).split())]
        place = ["--run.seed", str(entry["seed"]), "--run.folder", str(folder / "runs"), "--run.tag", trial]
        return [self.name, *self.flags, *own, *place]

    def parsed_axes(self) -> list[Axis]:
        return [Axis.parse(text, known_flags(catalogue().find(self.name)[0])) for text in self.axes]

    def label(self, trial: str, values: Mapping[str, Any] | None = None) -> str:
        """Return what a trial is, for people, with other `values` than the plan's if given."""
        entry = self.trials[trial]
        chosen = entry["values"] if values is None else values
        return " ".join([trial, *(f"{k}={v}" for k, v in chosen.items()), f"seed {entry['seed']}"])


def make_plan(name: str, rest: Sequence[str], grid: Sequence[str], seeds: int, draws: int, scheduler: str) -> Plan:
    """Return the plan of a sweep after checking every trial's configuration; UsageError before anything has started.

    A search, `scheduler` tpe or nsga2, has `draws` trials of seed 1, and without a grid the ranges that the plugin names.
    """
    spec, _ = catalogue().find(name)
    known, searched = known_flags(spec), scheduler in SEARCHES
    if searched and not grid:
        grid = [f"{spec.prefix}.{key}={span}" for key, span in spec.search.items()]
        require(bool(grid), f"plugin {spec.name!r} names no ranges to search; name some with --grid KEY=LOW..HIGH")
    axes = [Axis.parse(text, known) for text in grid]
    chosen = [{}] * draws if searched else points(axes, draws)
    for word in rest:
        key = word.partition("=")[0].removeprefix("--").replace("-", "_")
        if key in OURS:
            raise UsageError(f"a sweep sets --{key} itself; --seeds N sets the seeds and --folder the place")
        if word.startswith("--") and any(axis.key == key for axis in axes):
            raise UsageError(f"--{key} is set for every run and by --grid; leave one out")
    require(scheduler != "pbt" or bool(axes), "--pbt changes settings while training; name them with --grid")
    Experiment.of([name, *rest])
    for axis in axes:  # one by one, so that a sentence names the culprit
        for value in axis.values or (str(axis.end(0)),):
            try:
                Experiment.of([name, *rest, "--" + axis.key, *value.split()])
            except UsageError as error:
                raise UsageError(f"--grid {axis.key}={value}: {error}") from error
    entries = [{"seed": seed, "values": point} for point in chosen for seed in range(1, seeds + 1)]
    plan = Plan(name, list(rest), scheduler, list(grid), {f"t{i:03d}": entry for i, entry in enumerate(entries, 1)})
    for trial in list(plan.trials)[::seeds]:  # the seed does not matter here
        try:
            settings = Experiment.of(plan.words(trial, Path("sweep"))).settings
        except UsageError as error:
            raise UsageError(f"trial {plan.label(trial)}: {error}") from error
        if scheduler in ("asha", "pbt") and not 0 < settings.eval_every < settings.until:
            raise UsageError(
                f"--{scheduler} compares evaluations along the way, but run.eval_every is {settings.eval_every} of "
                f"{settings.until}; try --run.eval-every {max(settings.until // 10, 1)}"
            )
    return plan


def points(axes: Sequence[Axis], draws: int = 0) -> list[dict[str, str]]:
    """Return the points of a grid, {key: value}: all of them, or `draws` different ones by chance; {} alone without an axis.

    Raises UsageError for a range without draws and for draws that the grid does not have.
    """
    twice = [key for key, count in counted(axis.key for axis in axes) if count > 1]
    require(not twice, f"--grid names {', '.join(twice)} twice; list all its values in one")
    ranges = [axis.key for axis in axes if not axis.values]
    require(
        not ranges or draws > 0,
        f"--grid gives a range for {', '.join(ranges)}; say how many points to draw with --random N",
    )
    require(not draws or bool(axes), "--random draws points of the grid; name what to vary with --grid")
    if not draws:
        rows = itertools.product(*(axis.values for axis in axes))
        return [dict(zip([axis.key for axis in axes], row, strict=True)) for row in rows]
    rng = np.random.default_rng(DRAW_SEED)
    found: list[dict[str, str]] = []
    for _ in range(TRIES * draws):  # a point that is drawn again would be a run that is repeated
        point = {axis.key: axis.draw(rng) for axis in axes}
        if len(found) < draws and point not in found:
            found.append(point)
    require(len(found) == draws, f"--random {draws} is more than the {len(found)} points that --grid has")
    return found


def read_plan(file: Path) -> Plan:
    """Return the plan in a sweep.yaml; UsageError where it is none."""
    values = read_yaml(file)
    fields = [field.name for field in dataclasses.fields(Plan)]
    wrong = [name for name in values if name not in fields]
    if wrong or not {"name", "flags", "trials"} <= values.keys():
        raise UsageError(
            f"{file} is no plan of a sweep: "
            + (f"it has {wrong[0]!r}; {nearest(wrong[0], fields)}" if wrong else "it needs name, flags and trials")
        )
    return Plan(**values)


# --- the state of a trial -----------------------------------------------------------------------------------------------


def read_record(folder: Path, trial: str) -> dict[str, Any]:
    """Return what is known of a trial: state, run (relative to the sweep's folder), why it failed; {} before it began."""
    file = folder / "trials" / f"{trial}.json"
    return json.loads(file.read_text()) if file.is_file() else {}


def write_record(folder: Path, trial: str, **changes: Any) -> None:
    """Change the record of a trial."""
    (folder / "trials").mkdir(exist_ok=True)
    record = read_record(folder, trial) | changes
    write_atomically(folder / "trials" / f"{trial}.json", json.dumps(record, indent=2) + "\n")


# --- small helpers ------------------------------------------------------------------------------------------------------


def counted(items: Iterable[str]) -> list[tuple[str, int]]:
    """Return (item, how often it is there), in order of appearance."""
    counts: dict[str, int] = {}
    for item in items:
        counts[item] = counts.get(item, 0) + 1
    return list(counts.items())


def new_folder(parent: Path) -> Path:
    """Make a folder for a sweep, named after the time; UsageError when the disk refuses."""
    stem, attempt = time.strftime("%Y%m%d-%H%M%S"), 0
    while True:
        folder = parent / (f"{stem}-{attempt}" if attempt else stem)
        try:
            folder.mkdir(parents=True)
            return folder.resolve()
        except FileExistsError:
            attempt += 1
        except OSError as error:
            raise UsageError(
                f"no folder can be made in {str(parent)!r}: {error.strerror}; choose another --folder"
            ) from error


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the sweep's folder, so that two processes never train its trials."""
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"another process is working on {folder}; stop it first (Ctrl-C saves)") from error
        yield
