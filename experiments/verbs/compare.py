"""Runs side by side, with intervals over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import tyro
from tyro.conf import Positional

from core.errors import require
from experiments.comparison import report
from experiments.launcher.flags import Bare
from experiments.runs import Group

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
    """File for the curves; with --tasks, for performance profiles."""
    tasks: str = ""
    """Compare algorithms across tasks: the setting that names the task, e.g. env.id. Scores are normalised."""
    references: str = ""
    """With --tasks: a YAML file of TASK: [score that becomes 0, score that becomes 1], above those that come along."""

    def __post_init__(self) -> None:
        require(
            not self.references or bool(self.tasks),
            "--references is for --tasks; name the setting that tells tasks apart",
        )


def main(flags: Flags) -> None:
    def across(groups: Sequence[Group]) -> tuple[Any, bytes]:
        from experiments import tasks

        found = tasks.algorithms(groups, flags.tasks.replace("-", "_"), tasks.references(flags.references))
        return tasks.as_table(found), tasks.draw(found)

    report(
        flags.runs,
        metric=flags.metric,
        plot_file=flags.plot,
        csv_file=flags.csv,
        html_file=flags.html,
        across=across if flags.tasks else None,
    )
