"""Train recorded results again, the cheapest first, and say which still hold."""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

from core.errors import UsageError, require

__all__ = ["Flags", "main"]

ROOT = Path(__file__).parent.parent.parent


@dataclass(frozen=True)
class Flags:
    """Train recorded results of this repository again, as many of the cheapest as fit into the time, and say which still hold.
    The exit code is 1 where one does not.

    pongan claims --minutes 10

    pongan claims --only dqn-acrobot actor-critic-cartpole
    """

    only: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """A result, by the name of its file; may be given repeatedly. By default all are candidates."""
    minutes: float = 30.0
    """Time for the trainings, by what they took when they were recorded; none begins after it."""
    list: bool = False
    """Show what would be trained, and stop."""
    speeds: bool = False
    """Instead look up recorded speeds in the history of the repository and name those that fell by more than their spread."""
    folder: str = ""
    """Root of the run folders; by default one that is gone afterwards."""

    def __post_init__(self) -> None:
        require(self.minutes > 0, f"--minutes is {self.minutes:g}; it must be above 0")


def main(flags: Flags) -> int:
    from rich.console import Console
    from rich.table import Table

    from experiments.benchmarks.claims import chosen, claims, falls, tried

    console = Console(highlight=False)
    if flags.speeds:
        found = falls(ROOT)
        for fall in found:
            console.print(f"{fall.name}: {fall.speeds[0]:,.0f} steps/s became {fall.speeds[1]:,.0f}", markup=False)
            for commit, date, command in zip(fall.commits, fall.dates, fall.commands, strict=True):
                console.print(f"    {commit}, {date}: {command}", markup=False)
        if not found:
            print("no recorded speed fell by more than its spread")
        return 1 if found else 0
    candidates = claims(flags.only)
    work = chosen(candidates, flags.minutes)
    if not work:
        least = f"; the cheapest takes {candidates[0].minutes:.1f}" if candidates else ""
        raise UsageError(f"no recorded training fits into {flags.minutes:g} minutes{least}")
    if flags.list:
        for claim in work:
            print(
                f"{claim.name}, seed {claim.seed}: {claim.recorded:.4g} +- {claim.tolerance:.3g}, {claim.minutes:.1f} min"
            )
        return 0
    table = Table(title="recorded results, trained again")
    for column in ("result", "seed", "recorded", "again", "may differ by", "minutes", ""):
        table.add_column(column, justify="left" if column in ("result", "") else "right", overflow="fold")
    failed = 0
    with contextlib.ExitStack() as stack:
        folder = flags.folder or stack.enter_context(tempfile.TemporaryDirectory())
        for verdict in tried(work, flags.minutes, folder):
            claim, failed = verdict.claim, failed + (not verdict.holds)
            figures = (
                f"{claim.recorded:.5g}",
                f"{verdict.again:.5g}",
                f"{claim.tolerance:.3g}",
                f"{verdict.minutes:.1f}",
            )
            table.add_row(claim.name, str(claim.seed), *figures, "holds" if verdict.holds else "does not hold")
    console.print(table)
    return 1 if failed else 0
