"""The one writer of results: numbers go to `results/NAME.json`, what the benchmark's `layout` makes of them to `results/NAME.md`.

    python -m experiments.benchmarks.report [NAME ...]

lays results out again, these or all, from the numbers that are there; nothing is measured.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import shlex
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from core.disk import write_atomically
from core.errors import UsageError, nearest

__all__ = ["RESULTS", "Layout", "Page", "Part", "Report", "Table", "figure_of", "laid_out", "read", "spread"]

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Table:
    """A table of a page; every row has a cell for each column. Raises ValueError otherwise."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"{len(row)} cells for {len(self.columns)} columns: {row}")

    def __str__(self) -> str:
        lines = [self.columns, ["---"] * len(self.columns), *self.rows]
        return "\n".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |" for line in lines)


@dataclass(frozen=True)
class Page:
    """A part that becomes a page beside the main one, `results/NAME.md`, with the same provenance."""

    name: str
    parts: Sequence[Table | str]


Part = Table | str | Page
"""A table, a paragraph, or a page of its own."""
Layout = Callable[[dict[str, Any]], Sequence[Part]]
"""What a benchmark makes of its numbers: a function of nothing else, so that a page can be laid out again."""


class Report:
    """Numbers of one benchmark and how they were made: date, machine, load, versions and command line.

    `benchmark` is the module that `python -m` runs; `layout` is its function of this name. `words` are the command's, if not the
    process's. With `resume` the numbers that are there stay, each command that added some is told, and `keep` can be called after
    every measurement, so that a stopped benchmark goes on where it was.
    """

    def __init__(
        self,
        benchmark: str,
        name: str,
        layout: Layout,
        *,
        words: Sequence[str] | None = None,
        packages: Sequence[str] = ("tensorflow", "keras", "numpy"),
        resume: bool = False,
    ):
        self.benchmark, self.name, self.layout = benchmark, name, layout
        kept = read(name) if resume and (RESULTS / f"{name}.json").exists() else {"measured": {}, "made": []}
        self.measured: dict[str, Any] = kept["measured"]
        self._made: list[dict[str, Any]] = kept["made"]
        command = f"python -m {benchmark} {shlex.join(sys.argv[1:] if words is None else words)}".strip()
        self._now = {"command": command, **_circumstances(packages)}

    def path(self, suffix: str) -> Path:
        """Return the result file with this suffix, e.g. for a picture; its folder is there."""
        RESULTS.mkdir(parents=True, exist_ok=True)
        return RESULTS / f"{self.name}{suffix}"

    def lacks(self, key: str, of: Any) -> bool:
        """Return whether no row `key` was kept, or one of something else, e.g. of another configuration."""
        return self.measured.get(key, {}).get("of") != of

    def keep(self, numbers: Mapping[str, Any]) -> None:
        """Add what was measured, and have the disk keep all of it."""
        self.measured |= numbers
        self._made = [made for made in self._made if made["command"] != self._now["command"]] + [self._now]
        _save(self.name, self._record(), {})

    def write(self) -> None:
        """Write the pages, put their paragraphs beside the numbers, and print the main page."""
        pages = _pages(self.name, self.layout, self._record())
        _save(self.name, self._record() | {"notes": _notes(self.layout, self.measured)}, pages)
        print(pages[self.name])

    def _record(self) -> dict[str, Any]:
        return {"benchmark": self.benchmark, "made": self._made, "notes": [], "measured": self.measured}


def read(name: str) -> dict[str, Any]:
    """Return a result: {"benchmark": module, "made": [how], "notes": [paragraphs], "measured": numbers}.

    Raises UsageError for a file that is missing or was not written by a `Report`.
    """
    file = RESULTS / f"{name}.json"
    try:
        record = json.loads(file.read_text())
    except OSError as error:
        raise UsageError(f"the result {str(file)!r} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{file} is damaged: {error}") from error
    if not isinstance(record, dict) or not {"benchmark", "made", "measured"} <= set(record):
        raise UsageError(f"{file} was not written by experiments.benchmarks.report; measure it again")
    return record


def laid_out(name: str) -> dict[str, str]:
    """Return {name: text} of the pages that a result's benchmark makes of its numbers."""
    record = read(name)
    return _pages(name, importlib.import_module(record["benchmark"]).layout, record)


def figure_of(returns: Sequence[float]) -> str:
    """Return the format of an agent's returns: three decimals where all lie within +-2, as where reaching a goal gives 1.

    >>> figure_of([0.957, 0.96]), figure_of([0.5, 21.0])
    ('.3f', '.1f')
    """
    return ".3f" if all(abs(value) < 2 for value in returns) else ".1f"


def spread(values: Sequence[float], figure: str) -> str:
    """Return "mean +- standard deviation" over seeds, of one value the value alone; `figure` formats both.

    >>> spread([1.0, 2.0, 3.0], ".1f"), spread([2.0], ".2f")
    ('2.0 +- 1.0', '2.00')
    """
    deviation = f" +- {statistics.stdev(values):{figure}}" if len(values) > 1 else ""
    return f"{statistics.mean(values):{figure}}{deviation}"


def _save(name: str, record: Mapping[str, Any], pages: Mapping[str, str]) -> None:
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_atomically(RESULTS / f"{name}.json", json.dumps(record, indent=1) + "\n")
    for page, text in pages.items():
        write_atomically(RESULTS / f"{page}.md", text)


def _notes(layout: Layout, measured: dict[str, Any]) -> list[str]:
    return [part for part in layout(measured) if isinstance(part, str)]


def _pages(name: str, layout: Layout, record: Mapping[str, Any]) -> dict[str, str]:
    parts = layout(record["measured"])
    pages = {name: [part for part in parts if not isinstance(part, Page)]}
    pages |= {part.name: list(part.parts) for part in parts if isinstance(part, Page)}
    provenance = "\n".join(_told(made) for made in record["made"])
    return {page: "\n\n".join([*map(str, content), provenance]) + "\n" for page, content in pages.items()}


def _circumstances(packages: Sequence[str]) -> dict[str, Any]:
    """Return when and where: called before the first measurement, so that the load is that of others."""
    versions = {"Python": platform.python_version()}
    for package in packages:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
    }


def _told(made: Mapping[str, Any]) -> str:
    """Return a line about how numbers were made; results from before a fact was recorded lack it."""
    facts = [made["machine"], f"{made['cores']} cores"] if "machine" in made else []
    facts += [f"load {made['load']:g} before it began"] if "load" in made else []
    facts += [f"{package} {number}" for package, number in made.get("versions", {}).items()]
    facts += [made["date"]] if "date" in made else []
    return f"{', '.join(facts)}{': ' if facts else ''}`{made['command']}`."


def main(argv: Sequence[str] | None = None) -> None:
    """Lay results out again."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="results; all if none is named")
    arguments = parser.parse_args(argv)
    there = sorted(file.stem for file in RESULTS.glob("*.json"))
    for name in arguments.names or there:
        if name not in there:
            raise UsageError(f"there is no result {name!r}; {nearest(name, there)}")
        record = read(name)
        layout = importlib.import_module(record["benchmark"]).layout
        _save(name, record | {"notes": _notes(layout, record["measured"])}, _pages(name, layout, record))


if __name__ == "__main__":
    from experiments.benchmarks import report  # the module whose classes the benchmarks use, not this second copy of it
    from experiments.launcher.console import exit_with

    exit_with(report.main)
