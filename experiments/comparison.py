"""Runs side by side: a table with intervals over seeds, differences, curves."""

from __future__ import annotations

import base64
import csv
import io
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.disk import check_output, write_output
from core.errors import UsageError, require
from experiments.runs import FEW, Group, Run, find_runs, furthest, grouped, headline, read_run, short
from experiments.statistics import bootstrap_interval, holm, welch

__all__ = ["Comparison", "Paired", "compare", "paired", "remarks", "report"]

WIDE = 40  # characters of a name that fit into the line of a group
OVERSHOOT = 1.01  # runs whose clocks differ by less have come equally far: an update ends where it ends


@dataclass(frozen=True)
class Paired:
    """Two groups that branch off from one run at one clock: differences between runs with the same random numbers."""

    names: tuple[str, str]
    """Letters of the groups."""
    clock: int
    """Where they branch off."""
    differences: list[float]
    """Of the last values, the second group's less the first's, by seed."""


@dataclass(frozen=True)
class Comparison:
    """Runs side by side; a notebook shows the curves, `print` the table."""

    metric: str
    """The tag that is compared."""
    groups: list[Group]
    notes: list[str]
    """What the table alone would hide."""

    @property
    def pairs(self) -> list[Paired]:
        """Differences between groups of forks."""
        return paired(self.groups)

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The lines of the table, as numbers."""
        return [group.row() for group in self.groups]

    def tables(self) -> list[Any]:
        """Return the comparison, where groups differ in much what that is, and differences of forks, as rich tables."""
        pairs = self.pairs
        tables = [as_table(self.groups, self.metric), *legend(self.groups), *differences(self.groups)]
        tested = _tested(self.groups)
        return [*tables, *([tested] if tested else []), *([_as_pairs(pairs)] if pairs else [])]

    def png(self) -> bytes:
        """Return the curves as a PNG: mean over seeds as far as all have come, with its 95 % bootstrap interval."""
        return draw(self.groups, self.metric)

    def __str__(self) -> str:
        from rich.console import Console

        page = Console(file=io.StringIO(), width=120, highlight=False, record=True, force_jupyter=False)
        page.print(*self.tables(), *self.notes, sep="\n")
        return page.export_text()

    def _repr_png_(self) -> bytes:
        return self.png()


def compare(paths: Sequence[Path], metric: str = "") -> Comparison:
    """Read runs and group them by configuration; `metric` is by default the headline that all of them share.

    Raises UsageError where there is nothing to compare.
    """
    require(bool(paths), "there is no run to compare; name at least one")
    tag = metric or headline(paths)
    runs = [run for path in paths if (run := read_run(path, tag)) is not None]
    if not runs:
        raise UsageError(f"none of these runs has a point of {tag!r}; wait for it or choose another with --metric")
    groups = grouped(furthest(runs), tag)
    return Comparison(tag, groups, remarks(groups, len(runs)))


def report(
    places: Sequence[str],
    *,
    metric: str = "",
    plot_file: str = "compare.png",
    csv_file: str = "",
    html_file: str = "",
    across: Callable[[Sequence[Group]], tuple[Any, bytes]] | None = None,
) -> None:
    """Print a table of the runs at or below `places`, write its curves as a PNG, and where named CSV and an HTML page.

    `metric` is by default the headline that all of them share. `across` makes of the groups another table and picture in place of
    the curves. Raises UsageError where there is nothing to compare or a file cannot be written.
    """
    from rich.console import Console

    for file in filter(None, (plot_file, csv_file, html_file)):
        check_output(Path(file))
    compared = compare(find_runs(places), metric)
    tables, notes = compared.tables(), compared.notes
    if across is None:
        picture = compared.png()
    else:
        further, picture = across(compared.groups)
        tables = [*tables, further]

    Console(highlight=False).print(*tables, sep="\n")
    for line in notes:
        print(line)
    write_output(Path(plot_file), lambda file: file.write(picture))
    print(f"{'curves  ' if across is None else 'profiles'} {plot_file}")
    if csv_file:
        rows = compared.rows
        text = io.StringIO()
        writer = csv.DictWriter(text, list(dict.fromkeys(key for row in rows for key in row)))
        writer.writeheader()
        writer.writerows(rows)
        write_output(Path(csv_file), lambda file: file.write(text.getvalue().encode()))
        print(f"numbers  {csv_file}")
    if html_file:
        page = Console(record=True, file=io.StringIO(), width=160, highlight=False)
        page.print(*tables, *notes, sep="\n")
        image = f'<img alt="curves" src="data:image/png;base64,{base64.b64encode(picture).decode()}">'
        html = page.export_html().replace("</body>", f"{image}</body>")
        write_output(Path(html_file), lambda file: file.write(html.encode()))
        print(f"page     {html_file}")


def as_table(groups: Sequence[Group], tag: str) -> Any:
    """Return the comparison as a rich table."""
    from rich.table import Table
    from rich.text import Text

    runs = [run for group in groups for run in group.runs]
    alone = "; a single seed has no interval" if any(len(group.runs) == 1 for group in groups) else ""
    table = Table(
        title=f"{tag} of {len(runs)} runs", caption=f"last: mean over seeds and its 95 % bootstrap interval{alone}"
    )
    for column in ("runs", "n", "last", "IQM", "best", "area", "clock", "minutes", "steps/s", "score/core-h", "status"):
        table.add_column(column, overflow="fold", justify="left" if column in ("runs", "status") else "right")
    for group in groups:
        row = group.row()
        interval = "" if row["last low"] is None else f" [{row['last low']:.4g}, {row['last high']:.4g}]"
        speed = "" if row["steps/s"] is None else f"{row['steps/s']:,.0f}"
        per_hour = row["per core-hour"]
        cost = "" if per_hour is None else f"{per_hour:,.0f}" if abs(per_hour) >= 1_000 else f"{per_hour:.3g}"
        table.add_row(
            Text(group.name if not legend(groups) else group.letter),
            str(row["seeds"]),
            Text(f"{row['last mean']:.4g}{interval}"),
            *("" if row[key] is None else f"{row[key]:.4g}" for key in ("last iqm", "best mean", "area mean")),
            *(f"{row['clock']:,}", f"{row['minutes']:.1f}", speed, cost, row["status"]),
        )
    return table


def legend(groups: Sequence[Group]) -> list[Any]:
    """Return the groups' names as a table of their own, [] where they are short enough to stand in the line of each."""
    from rich.table import Table
    from rich.text import Text

    if max(len(group.name) for group in groups) <= WIDE:
        return []
    table = Table(box=None, show_header=False, padding=(0, 1, 0, 2))
    for group in groups:
        table.add_row(group.letter, Text(group.name.partition(" ")[2]))
    return [table]


def differences(groups: Sequence[Group]) -> list[Any]:
    """Return, for each experiment whose groups differ in more than fits into a label, a table of settings by group."""
    from rich.table import Table

    tables = []
    for experiment in dict.fromkeys(group.experiment for group in groups):
        members = [group for group in groups if group.experiment == experiment]
        if len(members[0].differing) <= FEW:
            continue
        table = Table(title=f"what differs in {experiment}", box=None)
        for column in ("setting", *(group.letter for group in members)):
            table.add_column(column, overflow="fold")
        for key in dict.fromkeys(key for group in members for key in group.differing):
            table.add_row(short(key), *(str(group.differing.get(key, "")) for group in members))
        tables.append(table)
    return tables


def paired(groups: Sequence[Group]) -> list[Paired]:
    """Return the differences between groups of forks from the same clock of the same run; the run itself is a fork of its own."""

    def places(run: Run) -> set[tuple[str, int, int]]:
        """(run, clock, seed from there on) of each branching point that it goes through, as far as the groups know."""
        if run.forked is not None:
            return {(run.forked.run, run.forked.clock, run.seed)}
        own = "/".join(run.path.absolute().parts[-3:])
        forks = [other.forked for group in groups for other in group.runs if other.forked is not None]
        return {(own, fork.clock, run.seed) for fork in forks if fork.run == own}

    found = []
    for first, second in itertools.combinations(groups, 2):
        ours = {place: run.values[-1] for run in first.runs for place in places(run)}
        theirs = {place: run.values[-1] for run in second.runs for place in places(run)}
        for clock in sorted({clock for _, clock, _ in ours.keys() & theirs.keys()}):
            both = sorted(place for place in ours.keys() & theirs.keys() if place[1] == clock)
            found.append(Paired((first.letter, second.letter), clock, [theirs[place] - ours[place] for place in both]))
    return found


def _tested(groups: Sequence[Group]) -> Any:
    """Return the differences between all groups with more than one seed, with Welch's test; None where it has nothing to say."""
    from rich.table import Table

    pairs, p_values = [], []
    for first, second in itertools.combinations(groups, 2):
        p = welch(first.last(), second.last())
        if p is not None:
            pairs.append((first, second))
            p_values.append(p)
    if not pairs:
        return None
    corrected, count = holm(p_values), len(pairs)
    table = Table(
        title="differences of the last values",
        caption=f"p: Welch's t-test{f', corrected for {count} comparisons (Holm)' if count > 1 else ''}",
    )
    for column in ("from", "to", "difference", "p"):
        table.add_column(column, justify="left" if column in ("from", "to") else "right")
    for (first, second), p in zip(pairs, corrected, strict=True):
        difference = float(np.mean(second.last()) - np.mean(first.last()))
        table.add_row(first.letter, second.letter, f"{difference:+.4g}", f"{p:.2g}")
    return table


def _as_pairs(pairs: Sequence[Paired]) -> Any:
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title="differences of forks, pair by pair",
        caption="of the last values of runs with the same random numbers: mean, 95 % bootstrap interval",
    )
    for column in ("from", "to", "branch at", "pairs", "difference"):
        table.add_column(column, overflow="fold", justify="left" if column in ("from", "to") else "right")
    for pair in pairs:
        interval = bootstrap_interval(pair.differences)
        shown = "" if interval is None else f" [{interval[0]:+.4g}, {interval[1]:+.4g}]"
        mean = Text(f"{np.mean(pair.differences):+.4g}{shown}")
        table.add_row(*map(Text, pair.names), f"{pair.clock:,}", str(len(pair.differences)), mean)
    return table


def remarks(groups: Sequence[Group], found: int) -> list[str]:
    """Return a line for each thing that the table alone would hide, of `found` runs that were read."""
    lines = []
    count = sum(len(group.runs) for group in groups)
    if count < found:
        lines.append(
            f"left out: {found - count} of {found} runs, of which another with the same settings and seed has come further, "
            "or as far and later"
        )
    for group in groups:
        clocks = sorted(run.clock for run in group.runs)
        if clocks[-1] <= clocks[0] * OVERSHOOT:
            continue
        lines.append(
            f"{group.letter}: its runs have come to different clocks, {clocks[0]:,} to {clocks[-1]:,}; last, best and area are "
            "those of each run's own end"
        )
    return lines


def draw(groups: Sequence[Group], tag: str) -> bytes:
    """Return the curves as a PNG: mean over seeds as far as all have come, with its 95 % bootstrap interval."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")  # not by pyplot: a notebook keeps its backend
    axis = figure.subplots()
    for group in groups:
        steps = np.unique(np.concatenate([run.steps for run in group.runs]))
        first, last = max(run.steps[0] for run in group.runs), min(run.steps[-1] for run in group.runs)
        steps = steps[(steps >= first) & (steps <= last)]
        if not len(steps):  # they do not overlap
            steps = np.array([last])
        curves = np.array([np.interp(steps, run.steps, run.values) for run in group.runs])  # [seeds, points]
        (line,) = axis.plot(steps, curves.mean(0), label=f"{group.name} ({len(curves)})", marker=".", linewidth=1.5)
        if len(curves) > 1:
            bounds = np.array([bootstrap_interval(column) for column in curves.T])  # [points, 2]
            axis.fill_between(steps, bounds[:, 0], bounds[:, 1], color=line.get_color(), alpha=0.2, linewidth=0)
    branches = {(run.forked.run, run.forked.clock) for group in groups for run in group.runs if run.forked is not None}
    if len(branches) == 1:
        ((_, clock),) = branches
        axis.axvline(clock, color="grey", linestyle=":", linewidth=1)
        end = max(run.clock for group in groups for run in group.runs)
        axis.set_xlim(left=clock - 0.1 * (end - clock))
        axis.annotate(
            "fork", (clock, 1), xycoords=("data", "axes fraction"), xytext=(3, -10), textcoords="offset points"
        )
    axis.set(xlabel="clock", ylabel=tag, title=f"{tag}: mean over seeds, 95 % bootstrap interval")
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize="small")
    output = io.BytesIO()
    figure.savefig(output, format="png")
    return output.getvalue()
