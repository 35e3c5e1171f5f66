"""How many seeds a difference needs, from the spread seen so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import tyro
from tyro.conf import Positional

from core.errors import UsageError, require
from experiments.statistics import effect_in, power, seeds_needed

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print how many seeds a side Welch's t-test needs to see a difference of means, from the spread of runs that are there
    (Colas et al., 2019), and what the runs that are there can see.

    pongan plan runs/dqn-cartpole --effect 10%

    pongan plan runs/dqn-cartpole runs/pqn-cartpole --effect 20
    """

    runs: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="[RUN ...]")] = ("runs",)
    """Run folders, or folders of runs; at least three runs of one configuration."""
    effect: str = "10%"
    """The difference that matters: in units of the metric, or with % a share of the mean."""
    metric: str = ""
    """Tag to compare; by default the headline that the runs share."""
    chance: float = 0.8
    """Probability of seeing the difference, the test's power."""
    alpha: float = 0.05
    """Probability of seeing one where there is none."""

    def __post_init__(self) -> None:
        for name in ("chance", "alpha"):
            require(0 < getattr(self, name) < 1, f"--{name} is {getattr(self, name)}; it must lie between 0 and 1")
        effect_in(self.effect, "--effect")


def main(flags: Flags) -> None:
    from pathlib import Path

    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from experiments.comparison import compare
    from experiments.runs import find_runs

    compared = compare([Path(path) for path in find_runs(flags.runs)], flags.metric)
    rows, few = [], []
    for group in compared.groups:
        scores = group.last()
        if len(scores) < 3:
            few.append(f"{group.name} ({len(scores)})")
            continue
        mean, deviation = float(np.mean(scores)), float(np.std(scores, ddof=1))
        effect = effect_in(flags.effect, "--effect")(mean)
        needed = seeds_needed(effect, (deviation, deviation), flags.chance, flags.alpha)
        seen = power(effect, (deviation, deviation), len(scores), flags.alpha)
        minutes = float(np.mean([run.seconds for run in group.runs])) / 60
        rows.append((group.name, len(scores), mean, deviation, effect, seen, needed, minutes))
    if not rows:
        raise UsageError(f"a spread needs at least three runs of one configuration; there are {', '.join(few)}")
    table = Table(
        title=f"seeds a side to see a difference in {compared.metric}",
        caption=f"Welch's t-test, two-sided, alpha {flags.alpha:g}, chance {flags.chance:g}; both sides vary alike",
    )
    for column in ("runs", "n", "mean", "deviation", "difference", "chance with n", "seeds needed", "hours for both"):
        table.add_column(column, overflow="fold", justify="left" if column == "runs" else "right")
    for name, n, mean, deviation, effect, seen, needed, minutes in rows:
        hours = "" if needed is None else f"{2 * needed * minutes / 60:.2g}"
        more = "above 10,000" if needed is None else str(needed)
        table.add_row(
            Text(name), str(n), f"{mean:.4g}", f"{deviation:.3g}", f"{effect:.3g}", f"{seen:.0%}", more, hours
        )
    Console(highlight=False).print(table)
    if few:
        print(f"left out, with fewer than three runs: {', '.join(few)}")
    print("a deviation of so few runs is itself uncertain: of five, it may be off by half")
