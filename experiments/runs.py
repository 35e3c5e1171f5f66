"""Runs on disk as a comparison takes them: found, read, and grouped by configuration."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UsageError, nearest
from experiments.launcher.catalogue import catalogue
from experiments.launcher.folder import RunFolder
from experiments.launcher.yaml_file import flattened
from experiments.statistics import area, bootstrap_interval, interquartile_mean

__all__ = [
    "FEW",
    "NOT_COMPARED",
    "Fork",
    "Group",
    "Run",
    "configuration",
    "find_runs",
    "furthest",
    "grouped",
    "headline",
    "read_run",
    "short",
]

FEW = 3  # differing settings that fit into a label
NO_RUNS = ("replaced", "ray")  # folders of a sweep: what pbt put aside, and Ray's own
NOT_COMPARED = (
    "run.seed",
    "run.folder",
    "run.tag",
    "run.until",
    "run.time_limit",
    "run.solved_at",
    "run.log_every",
    "run.eval_every",
    "run.save_every",
    "run.threads",
    "run.device",
    "run.strategy",
    "eval.film",
)
"""Settings of the launcher that make no other configuration."""


@dataclass(frozen=True)
class Fork:
    """Where a run branched off from another one."""

    run: str
    """The last three parts of that run's folder."""
    clock: int
    seed: int
    """Of that run; the fork has another one where random numbers differ from there on."""


@dataclass
class Run:
    """What the table needs of one run, finished or not."""

    path: Path
    experiment: str
    preset: str | None
    settings: dict[str, Any]  # flat, without seed and cadence
    seed: int
    status: str
    steps: list[int]  # clock of each point of the metric
    values: list[float]
    seconds: float  # of training
    timed: int  # clock that was reached after these seconds
    cores: int = 1  # that it might use
    started: str = ""  # as in meta.json: later times sort later
    forked: Fork | None = None

    @property
    def clock(self) -> int:
        return self.steps[-1]


@dataclass
class Group:
    """Runs of one experiment and one configuration, which differ by their seed."""

    letter: str
    experiment: str
    differing: dict[str, Any]  # the settings in which groups of this comparison differ
    goal: str | None  # max or min; None where nothing says which way is better
    runs: list[Run]

    @property
    def name(self) -> str:
        """Letter and preset (or experiment), and the differing settings where they are few."""
        presets = {run.preset for run in self.runs}
        preset = presets.pop() if len(presets) == 1 else None
        few = self.differing.items() if len(self.differing) <= FEW else ()
        return " ".join([self.letter, preset or self.experiment, *(f"{short(key)}={value}" for key, value in few)])

    def last(self) -> list[float]:
        return [run.values[-1] for run in self.runs]

    def best(self) -> list[float]:
        """Return the best value of each run; none for a metric that is not the headline, whose better way is not known."""
        if self.goal is None:
            return []
        return [max(run.values) if self.goal == "max" else min(run.values) for run in self.runs]

    def areas(self) -> list[float]:
        return [area(run.steps, run.values) for run in self.runs]

    def row(self) -> dict[str, Any]:
        """Return the line of the table, as numbers."""
        last, interval = self.last(), bootstrap_interval(self.last())
        minutes = [run.seconds / 60 for run in self.runs]
        hours = float(np.mean([run.seconds * run.cores / 3600 for run in self.runs]))
        speed = [run.timed / run.seconds for run in self.runs if run.seconds > 0]
        return {
            "group": self.letter,
            "experiment": self.experiment,
            **self.differing,
            "seeds": len(self.runs),
            "last mean": float(np.mean(last)),
            "last low": interval[0] if interval else None,
            "last high": interval[1] if interval else None,
            "last iqm": interquartile_mean(last),
            "best mean": float(np.mean(self.best())) if self.goal else None,
            "area mean": float(np.mean(self.areas())),
            "clock": min(run.clock for run in self.runs),
            "minutes": float(np.mean(minutes)),
            "core-hours": hours,
            "per core-hour": float(np.mean(last)) / hours if hours else None,
            "steps/s": float(np.median(speed)) if speed else None,
            "status": ", ".join(sorted({run.status for run in self.runs})),
        }


def find_runs(places: Sequence[str]) -> list[Path]:
    """Return the run folders at or below the given places, without those that sweeps put aside; UsageError when one has none."""
    found: dict[Path, None] = {}
    for place in places:
        root = Path(place)
        if not root.is_dir():
            raise UsageError(f"there is no folder {place!r}; give run folders or a folder of runs")
        here = sorted(
            path.parent for path in root.rglob("config.yaml") if not {*path.relative_to(root).parts[:-1]} & {*NO_RUNS}
        )
        if not here:
            raise UsageError(f"{place!r} has no run below it; runs look like runs/NAME/ENV/DATE-TIME-sSEED")
        found |= dict.fromkeys(here)
    return list(found)


def headline(paths: Sequence[Path]) -> str:
    """Return the tag by which all the runs are ranked; UsageError when they have different ones."""
    plugins = catalogue().plugins
    tags = {}
    for path in paths:
        name = RunFolder.read_config(path)["experiment"]
        tags[plugins[name].headline if name in plugins else f"unknown, since {name!r} is not installed"] = name
    if len(tags) != 1 or next(iter(tags)).startswith("unknown"):
        listed = ", ".join(f"{tag} ({name})" for tag, name in tags.items())
        raise UsageError(f"these runs share no headline metric: {listed}; choose one with --metric")
    return next(iter(tags))


def read_run(path: Path, tag: str) -> Run | None:
    """Read one run; None, said on stderr, when it has no point of `tag` yet."""
    from experiments.launcher.events import read_scalars

    config = RunFolder.read_config(path)
    scalars = read_scalars(path)
    if tag not in scalars:
        print(f"left out: {path} has no point of {tag!r}; {nearest(tag, scalars)}", file=sys.stderr)
        return None
    points = dict(scalars[tag])  # a step that was logged twice counts once
    settings: dict[str, Any] = {}
    for part, values in config.items():
        if isinstance(values, dict):
            settings |= {key: value for key, value in flattened({part: values}) if key not in NOT_COMPARED}
    meta = RunFolder.meta(path)
    forked = _forked(meta)
    if forked is not None:  # no further seed of the runs from the beginning
        settings["forked"] = f"{forked.run.rpartition('/')[2]}@{forked.clock}"
    timed, seconds = scalars.get("time/elapsed", [(0, 0.0)])[-1]
    if not seconds:  # the run was over before its first line
        results = RunFolder.results(path)
        timed, seconds = results["clock"]["value"] if results else 0, results.get("wall_clock_seconds", 0.0)
    return Run(
        path=path,
        experiment=config["experiment"],
        preset=config.get("preset"),
        settings=settings,
        seed=config.get("run", {}).get("seed", 0),
        status=RunFolder.status(path),
        steps=sorted(points),
        values=[points[step] for step in sorted(points)],
        seconds=seconds,
        timed=timed,
        cores=int(meta.get("runtime", {}).get("threads", 1)),
        started=str(meta.get("started", "")),
        forked=forked,
    )


def _forked(meta: dict[str, Any]) -> Fork | None:
    about = meta.get("forked", {})
    return Fork(about["run"], about["clock"], about["seed"]) if "run" in about else None  # sweeps with --pbt fork too


def furthest(runs: Sequence[Run]) -> list[Run]:
    """Return one run of each configuration and seed, since repeats are no further seeds: the one with the highest clock.

    Of those that have come equally far the one that began last.
    """
    kept: dict[tuple[str, int], Run] = {}
    for run in runs:
        key = (configuration(run), run.seed)
        if key not in kept or _progress(run) > _progress(kept[key]):
            kept[key] = run
    chosen = {id(run) for run in kept.values()}
    return [run for run in runs if id(run) in chosen]


def _progress(run: Run) -> tuple[int, str, str]:
    return run.clock, run.started, run.path.name


def grouped(runs: Sequence[Run], tag: str) -> list[Group]:
    """Return the runs, read with their curves of `tag`, in groups of one experiment and configuration, in order of appearance."""
    plugins = catalogue().plugins
    by_configuration: dict[str, list[Run]] = {}
    for run in runs:
        by_configuration.setdefault(configuration(run), []).append(run)
    groups: list[Group] = []
    for members in by_configuration.values():
        experiment = members[0].experiment
        peers = [other[0].settings for other in by_configuration.values() if other[0].experiment == experiment]
        differing = {
            key: value for key, value in members[0].settings.items() if any(peer.get(key) != value for peer in peers)
        }
        goal = plugins[experiment].goal if experiment in plugins and plugins[experiment].headline == tag else None
        groups.append(Group(_letter(len(groups)), experiment, differing, goal, members))
    return groups


def configuration(run: Run, without: str = "") -> str:
    """Return what tells the configurations of runs apart; `without` one of the settings."""
    settings = {key: value for key, value in run.settings.items() if key != without}
    return json.dumps([run.experiment, settings], sort_keys=True, default=str)


def short(key: str) -> str:
    """Return a setting's name without the prefix that all of a plugin's settings share."""
    return key.removeprefix("agent.").removeprefix("model.")


def _letter(number: int) -> str:
    """Return A to Z, then A2, B2 and so on."""
    return chr(ord("A") + number % 26) + (str(number // 26 + 1) if number >= 26 else "")
