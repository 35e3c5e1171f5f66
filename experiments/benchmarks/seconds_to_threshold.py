"""Seconds from the command until a task is solved, beside Stable-Baselines3, SBX and CleanRL's PPO.

    python -m experiments.benchmarks.seconds_to_threshold [--only ROW ...] [--rounds 3] [--minutes-each N]

Every contender is a process of its own, timed from its start, so that imports, tracing and compiling count, to the moment when
the mean return of its last 100 training episodes reaches the threshold. Contenders of a row take turns; round k has seed k. Who
has not got there at the row's limit is stopped and told as "> limit", with its mean then. This suite runs as its users run it,
by `python -m experiments.run PRESET --run.solved-at ...`, without evaluations on the way, which the others do not have either.
A stopped benchmark goes on where it was. Peers come from the extra `peers`, LunarLander from `box2d`.
"""

from __future__ import annotations

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import nearest, require
from experiments.benchmarks.peers import need
from experiments.benchmarks.report import Part, Report, Table
from experiments.benchmarks.zoo import TASKS, Task

__all__ = ["ROWS", "Row", "layout", "main", "measure"]

OURS = "pongan"
TITLES = {
    "sb3-ppo": "Stable-Baselines3, PPO",
    "sbx-ppo": "SBX, PPO",
    "sbx-sac": "SBX, SAC",
    "cleanrl-ppo": "CleanRL's PPO (our program)",
}


@dataclass(frozen=True)
class Row:
    """What this suite trains on a task, and how it is measured."""

    preset: str
    minutes: float
    """Limit of one measurement."""
    rounds: int | None = None
    """Measurements of each contender, if not as many as the command says."""


ROWS = {
    "cartpole": Row("actor-critic-cartpole", 1),
    "acrobot": Row("actor-critic-acrobot", 1),
    "lunarlander": Row("actor-critic-lunarlander", 2.5),
    "pendulum": Row("actor-critic-pendulum", 1),
    "pong": Row("pong-pg-fast", 30, rounds=1),
}

# --- one contender, from the outside -------------------------------------------------------------------------------------

BEGUN = re.compile(r"begun$|[\w-]+ on \S+: \S+$")
AT = re.compile(r"at (?P<steps>\d+) (?P<mean>\S+)$")
SOLVED = re.compile(
    r"solved (?P<steps>\d+) (?P<mean>\S+)$"
    r"|solved: mean return (?P<our_mean>\S+) over the last 100 episodes, after (?P<our_steps>[\d,]+) "
)


def measure(command: Sequence[str], seconds: float) -> dict[str, Any]:
    """Run a contender until it says that the task is solved, it ends, or the seconds are over.

    Returns {"solved", "seconds" from its start to then, "begun" seconds until training began, "steps" and "mean" of the last 100
    episodes then}; the last three are None where the contender has said nothing of the kind. Raises RuntimeError with the end of
    its messages if it fails.
    """
    result: dict[str, Any] = {"solved": False, "seconds": seconds, "begun": None, "steps": None, "mean": None}
    with tempfile.TemporaryFile("w+") as messages:
        start = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=messages, text=True)
        alarm = threading.Timer(seconds, process.terminate)
        alarm.start()
        try:
            assert process.stdout is not None
            for line in process.stdout:
                now = time.perf_counter() - start
                if now > seconds:
                    continue  # what it says while it ends
                if found := SOLVED.match(line):
                    steps, mean = found["steps"] or found["our_steps"], found["mean"] or found["our_mean"]
                    reached = {"steps": int(steps.replace(",", "")), "mean": float(mean)}
                    return result | {"solved": True, "seconds": now, **reached}
                if found := AT.match(line):
                    result |= {"steps": int(found["steps"]), "mean": float(found["mean"])}
                elif BEGUN.match(line):
                    result["begun"] = now
            took = time.perf_counter() - start
            if process.wait() and took < seconds:
                messages.seek(0)
                raise RuntimeError(f"{' '.join(command)} failed:\n{messages.read()[-3000:]}")
            return result | {"seconds": min(seconds, took)}
        finally:
            alarm.cancel()
            process.kill()
            process.wait()


def pongan(row: Row, task: Task, seed: int, seconds: float) -> dict[str, Any]:
    """Measure this suite's own command; where it stood when it was stopped is in the events of its run."""
    from experiments.launcher.events import read_scalars

    with tempfile.TemporaryDirectory(prefix="pongan-") as folder:
        fixed = "--run.eval-every 0 --eval.episodes 1 --eval.film never"
        words = [row.preset, *fixed.split(), "--run.solved-at", f"{task.goal:g}", "--run.seed", str(seed)]
        result = measure([sys.executable, "-m", "experiments.run", *words, "--run.folder", folder], seconds)
        if not result["solved"]:
            runs = Path(folder).glob("*/*/*")
            points = [point for run in runs for point in read_scalars(run).get("rollout/return_last100", [])]
            if points:
                result["steps"], result["mean"] = points[-1]
        return result


# --- the table -----------------------------------------------------------------------------------------------------------


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table: the middle round of each contender, and all of them; ratios are of the middle ones, to this suite's."""
    lines, limits = [], []
    for key, task in TASKS.items():
        ours = None
        for name in (OURS, *task.peers):
            kept = measured.get(f"{key} {name}")
            if kept is None:
                continue
            middle, rounds = _middle(kept["rounds"]), kept["rounds"]
            ours = middle["seconds"] if name == OURS and middle["solved"] else ours
            solved = [one["steps"] for one in rounds if one["solved"]]
            rates = [one["steps"] / (one["seconds"] - one["begun"]) for one in rounds if one["steps"] and one["begun"]]
            begun = [one["begun"] for one in rounds if one["begun"]]
            lines.append(
                [
                    f"{task.env}, {task.goal:g}",
                    f"pongan, `{ROWS[key].preset}`" if name == OURS else TITLES[name],
                    _seconds(middle, ".1f"),
                    ", ".join(_told(one) for one in rounds),
                    _seconds(middle, ".2f", unit=ours) if ours else "",
                    f"{statistics.median(solved):,.0f}" if solved else "",
                    f"{statistics.median(rates):,.0f}" if rates else "",
                    f"{statistics.median(begun):.1f}" if begun else "",
                ]
            )
            limits.append((task.env, kept["of"]["seconds"]))
    columns = ["task, threshold", "contender", "seconds, middle round", "all rounds", "ratio"]
    columns += ["steps", "steps/s", "start-up, s"]
    told = ", ".join(f"{env} {seconds:g}" for env, seconds in dict.fromkeys(limits))
    return [
        Table(columns, lines),
        "Seconds from the start of the process, imports and compilation included, until the mean return of the last 100 "
        "training episodes has reached the threshold; rounds interleaved, round k with seed k. `> 60 (400)` was stopped after "
        "60 seconds, or came to the end of its steps, at a mean of 400. Steps are the median of the rounds that got there; "
        "steps/s count from the beginning of training, where the start-up ends, and compilation is part of them. Ratios are "
        "to the seconds of this suite.",
        f"Limits in seconds: {told}. Stable-Baselines3 and SBX have the RL Zoo's settings. CleanRL publishes "
        "settings for CartPole and Acrobot, but for neither LunarLander nor Pendulum; on Atari its settings are the RL Zoo's. "
        "Peers on Pong have six actions and up to 30 no-ops.",
    ]


def _middle(rounds: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return the round in the middle, of an even number the later one; one that got there comes before any that did not."""
    return sorted(rounds, key=lambda one: (not one["solved"], one["seconds"]))[len(rounds) // 2]


def _seconds(one: Mapping[str, Any], figure: str, unit: float = 1.0) -> str:
    return f"{'' if one['solved'] else '> '}{one['seconds'] / unit:{figure}}"


def _told(one: Mapping[str, Any]) -> str:
    if one["solved"]:
        return _seconds(one, ".1f")
    return f"{_seconds(one, '.1f')} ({'no episode' if one['mean'] is None else format(one['mean'], '.4g')})"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure the contenders of each row in turns, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="+", default=list(ROWS), metavar="ROW", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender, in turns; Pong has one")
    parser.add_argument("--minutes-each", type=float, help="limit of one measurement, if not the row's own")
    arguments = parser.parse_args(argv)
    for key in arguments.only:
        require(key in ROWS, f"there is no row {key!r}; {nearest(key, ROWS)}")
    require(arguments.rounds >= 1, f"--rounds is {arguments.rounds}; it must be at least 1")
    limit = arguments.minutes_each
    require(limit is None or limit > 0, f"--minutes-each is {limit}; it must be above 0")
    need("torch", "stable_baselines3", "sbx")
    packages = ("tensorflow", "numpy", "gymnasium", "ale-py", "torch", "stable-baselines3", "sbx-rl", "jax")
    report = Report(MODULE, "seconds_to_threshold", layout, words=argv, packages=packages, resume=True)
    for key in arguments.only:
        row, task = ROWS[key], TASKS[key]
        seconds = 60 * (limit or row.minutes)
        for seed in range(1, (row.rounds or arguments.rounds) + 1):
            for name in (OURS, *task.peers):
                kept = f"{key} {name}"
                settings = row.preset if name == OURS else dict(task.peers[name])
                of = {"goal": task.goal, "seconds": seconds, "settings": settings}
                rounds = [] if report.lacks(kept, of) else report.measured[kept]["rounds"]
                if len(rounds) >= seed:
                    continue
                if name == OURS:
                    result = pongan(row, task, seed, seconds)
                else:
                    words = [key, name, str(seed)]
                    result = measure([sys.executable, "-m", "experiments.benchmarks.zoo", *words], seconds)
                report.keep({kept: {"of": of, "rounds": [*rounds, {"seed": seed, **result}]}})
                print(f"{kept}, seed {seed}: {_told(result)} s, {result['steps']} steps", flush=True)
    report.write()


MODULE = "experiments.benchmarks.seconds_to_threshold"

if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
