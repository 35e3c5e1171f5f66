"""Go on with a run from a clock of its past, with other settings."""

from __future__ import annotations

from dataclasses import dataclass, replace

import tyro

from core.errors import require
from experiments.launcher.experiment import StoredRun
from experiments.launcher.flags import known_flags
from experiments.launcher.yaml_file import flattened
from experiments.sweeps.plan import Axis, points

__all__ = ["Flags", "main"]

SEEDS = 1_000  # a fork of seed 3 draws from 3,001 on


@dataclass(frozen=True)
class Flags:
    """Train a new run that is the old one up to a clock, and differs after it only by what the flags change.

    pongan fork runs/NAME/ENV/DATE-TIME-s1 --at 50000 --agent.optimizer.lr 1e-4

    pongan fork runs/NAME/ENV/DATE-TIME-s1 --at 50000 --grid agent.optimizer.lr=3e-4,1e-4 --reseed --times 3

    pongan fork zoo:cartpole --agent.optimizer.lr 1e-4

    An entry of a zoo has no more than weights: its fork is a new run that begins with them, at clock 0.
    """

    at: int = -1
    """Clock at which to branch off; -1 for the newest checkpoint. Replayed from the nearest checkpoint that is kept before it."""
    reseed: bool = False
    """Draw other random numbers from there on; else the same, so that runs differ by the settings alone."""
    times: int = 1
    """With --reseed: forks with as many seeds."""
    grid: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A setting and its values, KEY=A,B, or a range to draw from, KEY=LOW..HIGH or KEY=LOW..HIGH:log; may be given repeatedly."""
    random: int = 0
    """Points to draw from the grid; 0 for all of them."""

    def __post_init__(self) -> None:
        require(self.at >= -1, f"--at is {self.at}; a clock is 0 or more, and -1 stands for the newest checkpoint")
        require(self.times >= 1, f"--times is {self.times}; it must be at least 1")
        require(self.random >= 0, f"--random is {self.random}; it must be 0 (all points) or more")
        require(
            self.times == 1 or self.reseed,
            f"--times is {self.times}, which without --reseed would train the same run {self.times} times",
        )


def main(run: StoredRun, flags: Flags) -> int:
    from experiments.differences import curves
    from experiments.launcher.events import read_scalars
    from experiments.launcher.forking import Interrupted, check, reached
    from experiments.launcher.training import go_on, start

    values = dict(flattened(run.experiment.values()))
    axes = [Axis.parse(text, known_flags(run.spec)) for text in flags.grid]
    arms = [
        StoredRun.of([run.word], settings={name: values[name] for name in run.given} | point)
        for point in points(axes, flags.random)
    ]
    seed = run.began.settings.seed
    seeds = [SEEDS * seed + k for k in range(1, flags.times + 1)] if flags.reseed else [seed]
    if run.read_only:
        require(
            flags.at <= 0,
            f"--at is {flags.at}; {run.word} has no more than weights, with which a fork begins at clock 0",
        )
        for arm in arms:
            for one in seeds if flags.reseed else [arm.settings.seed]:
                settings = replace(arm.settings, seed=one)
                ending = start(replace(arm.experiment, settings=settings), weights=run)
                if ending.signal is not None:
                    return ending.code
        return 0
    (at,) = {check(arm, flags.at) for arm in arms}
    if not run.settings.deterministic:
        print("the run was not --run.deterministic: up to the fork, its copy equals it but for rounding")
    try:
        with reached(run, at, arms) as state:
            differing, _ = curves(read_scalars(run.path), read_scalars(state.place))
            if differing and run.settings.deterministic:
                clock, tags = differing
                print(
                    f"warning: the replay is not the run from clock {clock:,} on ({', '.join(tags)}): its code, versions or "
                    "processor were others; `pongan reproduce` says more"
                )
            forks = [state.fork(arm, one) for arm in arms for one in seeds]
    except Interrupted as stopped:
        print(stopped)
        return stopped.code
    for folder in forks:
        ending = go_on(StoredRun.of([str(run.path.parent / folder.name)]), forked=True)
        if ending.signal is not None:
            return ending.code
    return 0
