"""Seeds in rounds, until settings are told apart or the seeds are used up: `sweep NAME --until-sure 10%`.

What is decided follows from the finished trials alone, so a sweep that goes on decides as one that was never interrupted.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from experiments.launcher.events import read_scalars
from experiments.launcher.experiment import Experiment
from experiments.statistics import effect_in, told_apart, welch_interval
from experiments.sweeps.plan import Plan, read_record

__all__ = ["Verdict", "judge", "next_round", "verdicts"]

ALPHA = 0.05  # of a false difference among all pairs, and 1 - ALPHA the level of the intervals


@dataclass(frozen=True)
class Verdict:
    """What is known of a setting alone, or of a pair."""

    settings: tuple[int, ...]
    """One number, or two: places among the plan's settings."""
    what: Literal["open", "different", "alike", "narrow"]
    """`alike`: the interval of the difference lies within what does not matter; `narrow`: that of a mean is no wider."""
    rounds: int
    """On which it rests."""
    middle: float
    """The mean, or the difference of means: the first setting's above the second's."""
    interval: tuple[float, float] | None
    """95 % interval of `middle` by Welch's or Student's t-test; None for fewer than two scores. Who looks after every round sees
    it miss more often than that; `different` keeps its word however often one looks."""


def judge(scores: Sequence[Sequence[Sequence[float]]], effect: str, looks: int) -> list[Verdict]:
    """Return a verdict for each pair of settings, or for the only one.

    `scores` [setting][round][run] of the rounds that are over; `effect` is the difference that matters, see
    `experiments.statistics.effect_in`; `looks` rounds are planned. A pair is looked at after each round that both have, and what
    ends it first holds. All pairs together are told apart by mistake with probability 5 % at most (Bonferroni).
    """
    if len(scores) == 1:
        return [_of_one(scores[0], effect)]
    pairs = list(itertools.combinations(range(len(scores)), 2))
    return [_of_pair((i, j), scores[i], scores[j], effect, looks, ALPHA / len(pairs)) for i, j in pairs]


def _of_one(rounds: Sequence[Sequence[float]], effect: str) -> Verdict:
    matters, mean, interval = effect_in(effect, "--until-sure"), float("nan"), None
    for look in range(1, len(rounds) + 1):
        seen = np.concatenate(rounds[:look])
        mean = float(seen.mean())
        interval = welch_interval(seen.tolist(), [0.0, 0.0], 1 - ALPHA)  # against what does not vary: Student's
        if interval is not None and (interval[1] - interval[0]) / 2 <= matters(mean):
            return Verdict((0,), "narrow", look, mean, interval)
    return Verdict((0,), "open", len(rounds), mean, interval)


def _of_pair(
    pair: tuple[int, int],
    ours: Sequence[Sequence[float]],
    theirs: Sequence[Sequence[float]],
    effect: str,
    looks: int,
    alpha: float,
) -> Verdict:
    matters, middle, interval = effect_in(effect, "--until-sure"), float("nan"), None
    common = min(len(ours), len(theirs))
    apart = told_apart(ours[:common], theirs[:common], looks, alpha)
    for look in range(1, common + 1):
        left, right = (np.concatenate(rounds[:look]).tolist() for rounds in (ours, theirs))
        middle, interval = float(np.mean(left) - np.mean(right)), welch_interval(left, right, 1 - ALPHA)
        if look == apart:
            return Verdict(pair, "different", look, middle, interval)
        within = matters(float(np.mean(left + right)))
        if interval is not None and -within <= interval[0] and interval[1] <= within:
            return Verdict(pair, "alike", look, middle, interval)
    return Verdict(pair, "open", common, middle, interval)


# --- a sweep's trials ------------------------------------------------------------------------------------------------------


def verdicts(plan: Plan, folder: Path, waiting: Set[str]) -> list[Verdict]:
    """Return what the trials of a sweep say, of those rounds of which none is `waiting` to be trained."""
    headline = Experiment.of(plan.words(next(iter(plan.trials)), folder)).spec.headline
    scores = []
    for rounds in _rounds(plan):
        over = []
        for trials in itertools.takewhile(lambda trials: not waiting & {*trials}, rounds):
            records = [read_record(folder, trial) for trial in trials]
            runs = [folder / record["run"] for record in records if record.get("state") == "finished"]
            over.append([read_scalars(run)[headline][-1][1] for run in runs])
        scores.append([*itertools.takewhile(bool, over)])  # until all trials of a round have failed
    return judge(scores, plan.effect, max(len(rounds) for rounds in _rounds(plan)))


def next_round(plan: Plan, known: Sequence[Verdict], waiting: Set[str]) -> list[str]:
    """Return the trials to train next: of settings on which something is open, the first round's of which some are `waiting`.

    [] when all is decided or the seeds are used up.
    """
    open_ = {place for verdict in known if verdict.what == "open" for place in verdict.settings}
    settings = [rounds for place, rounds in enumerate(_rounds(plan)) if place in open_]
    by_round = (
        [trial for group in groups for trial in group if trial in waiting] for groups in zip(*settings, strict=True)
    )
    return next(filter(None, by_round), [])


def _rounds(plan: Plan) -> list[list[list[str]]]:
    """Return the names of trials [setting][round][seed]."""
    settings: dict[str, list[list[str]]] = {}
    for trial, entry in plan.trials.items():
        rounds = settings.setdefault(str(entry["values"]), [])
        place = (entry["seed"] - 1) // plan.round
        rounds.extend([] for _ in range(place + 1 - len(rounds)))
        rounds[place].append(trial)
    return list(settings.values())
