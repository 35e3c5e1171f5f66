"""Runs side by side, with intervals over seeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import Positional

from experiments.comparison import report
from experiments.launcher.flags import Bare

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print a table of runs, grouped by configuration, with intervals over seeds, and write their curves as a PNG."""

    runs: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="[RUN ...]")] = ("runs",)
    """Run folders, or folders of runs."""
    metric: str = ""
    """Tag to compare; by default the headline that the runs share."""
    csv: Annotated[str, Bare("compare.csv")] = ""
    """File for the numbers; alone it means compare.csv."""
    html: Annotated[str, Bare("compare.html")] = ""
    """File for a page with table and curves; alone it means compare.html."""
    plot: str = "compare.png"
    """File for the curves."""


def main(flags: Flags) -> None:
    report(flags.runs, metric=flags.metric, plot_file=flags.plot, csv_file=flags.csv, html_file=flags.html)
