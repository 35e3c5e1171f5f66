"""Whether recorded results still hold: runs of them again, the cheapest first, and speeds over the history of the repository."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UsageError, nearest
from experiments.benchmarks import learning
from experiments.benchmarks.plan import Measurement, plan
from experiments.benchmarks.report import RESULTS

__all__ = ["Claim", "Fall", "Verdict", "chosen", "claims", "falls", "tried"]

DEVIATIONS, SHARE = (
    3.0,
    0.05,
)  # of the recorded seeds, and of their mean: what a score may be off by where nothing is said
SLOWER = 3.0  # spreads by which a speed must fall to be named


@dataclass(frozen=True)
class Claim:
    """The recorded score of one seed."""

    name: str
    """Of the result."""
    preset: str
    flags: tuple[str, ...]
    seed: int
    recorded: float
    tolerance: float
    """How far the score of another training with this seed may lie from it."""
    minutes: float
    """That the recorded training took."""


@dataclass(frozen=True)
class Verdict:
    """What came of training again."""

    claim: Claim
    again: float
    minutes: float

    @property
    def holds(self) -> bool:
        return math.isfinite(self.again) and abs(self.again - self.claim.recorded) <= self.claim.tolerance


@dataclass(frozen=True)
class Fall:
    """Two results of one benchmark, recorded one after the other, between which its speed fell."""

    name: str
    commits: tuple[str, str]
    commands: tuple[str, str]
    dates: tuple[str, str]
    speeds: tuple[float, float]
    """Steps per second, medians over seeds."""


def claims(only: Sequence[str] = ()) -> list[Claim]:
    """Return the recorded scores of the presets' results, the cheapest trainings first.

    Raises UsageError for a name that is not there.
    """
    planned = plan()
    entries = {entry.name or preset: (preset, entry) for preset, found in planned.items() for entry in found}
    for name in only:
        if name not in entries:
            raise UsageError(f"there is no result {name!r}; {nearest(name, entries)}")
    found = []
    for name, (preset, entry) in entries.items():
        file = RESULTS / f"{name}.json"
        if (only and name not in only) or not file.exists():
            continue
        rows = json.loads(file.read_text())["measured"]["rows"]
        tolerance = _tolerance(entry, [row["final"] for row in rows])
        found += [
            Claim(name, preset, _flags(entry), row["seed"], row["final"], tolerance, row["minutes"]) for row in rows
        ]
    return sorted(found, key=lambda claim: claim.minutes)


def chosen(found: Sequence[Claim], minutes: float) -> list[Claim]:
    """Return what fits into the time: first one seed of as many results as possible, then further seeds, the cheapest first."""
    firsts: dict[str, Claim] = {}
    for claim in found:
        firsts.setdefault(claim.name, claim)
    kept, left = [], minutes
    for claim in [*firsts.values(), *(claim for claim in found if claim is not firsts[claim.name])]:
        if claim.minutes <= left:
            kept.append(claim)
            left -= claim.minutes
    return kept


def tried(found: Sequence[Claim], minutes: float, folder: str) -> Iterator[Verdict]:
    """Train the claims again below `folder` and yield what came of each; begins none after `minutes`."""
    begun = time.monotonic()
    for claim in found:
        if time.monotonic() - begun > 60 * minutes:
            return
        before = time.monotonic()
        run = learning.trained(claim.preset, claim.seed, folder, list(claim.flags))
        results = json.loads((run / "results.json").read_text())
        yield Verdict(claim, results["headline"]["final"], (time.monotonic() - before) / 60)


def falls(root: Path) -> list[Fall]:
    """Return where recorded speeds fell by more than their spread, from the results in the history of the git repository `root`.

    The spread is the standard deviation over the seeds of the earlier of two results. Raises UsageError without a repository.
    """
    found = []
    for file in sorted(RESULTS.glob("*.json")):
        history = list(_versions(root, file))
        for (earlier, one), (later, other) in itertools.pairwise(history):
            before, after = _speeds(one), _speeds(other)
            if len(before) < 2 or not after or _command(one) != _command(other):
                continue
            drop = float(np.median(before) - np.median(after))
            if drop > SLOWER * max(float(np.std(before, ddof=1)), SHARE * float(np.median(before))):
                commands, dates = (_command(one), _command(other)), (_date(one), _date(other))
                speeds = float(np.median(before)), float(np.median(after))
                found.append(Fall(file.stem, (earlier, later), commands, dates, speeds))
    return found


def _tolerance(entry: Measurement, scores: Sequence[float]) -> float:
    if entry.tolerance:
        return entry.tolerance
    spread = DEVIATIONS * float(np.std(scores, ddof=1)) if len(scores) > 1 else 0.0
    return max(spread, SHARE * abs(float(np.mean(scores))))


def _flags(entry: Measurement) -> tuple[str, ...]:
    words = entry.arguments()
    return tuple(words[words.index("--flags") + 1 :]) if "--flags" in words else ()


def _versions(root: Path, file: Path) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (commit, what a result file held then), the oldest first, as far as it had today's form."""
    name = file.relative_to(root).as_posix()

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(root), *words], capture_output=True, text=True, timeout=60)
        if done.returncode:
            raise UsageError(f"{root} has no history to look speeds up in: {done.stderr.strip().splitlines()[0]}")
        return done.stdout

    for commit in reversed(git("log", "--format=%h", "--", name).split()):
        if not git("ls-tree", commit, "--", name):  # it was deleted then
            continue
        try:
            held = json.loads(git("show", f"{commit}:{name}"))
        except ValueError:
            continue
        if isinstance(held, Mapping):
            yield commit, held


def _speeds(result: Mapping[str, Any]) -> list[float]:
    measured = result.get("measured")
    rows = measured.get("rows", []) if isinstance(measured, Mapping) else []
    return [row["steps_per_second"] for row in rows if isinstance(row, Mapping) and "steps_per_second" in row]


def _made(result: Mapping[str, Any]) -> Mapping[str, Any]:
    made = result.get("made")
    return made[-1] if isinstance(made, list) and made else {}


def _command(result: Mapping[str, Any]) -> str:
    return str(_made(result).get("command", ""))


def _date(result: Mapping[str, Any]) -> str:
    return str(_made(result).get("date", ""))
