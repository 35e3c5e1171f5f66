"""Put the committed results into the pages that show them.

    python -m experiments.benchmarks.summary

`docs/results.md` gets one table of what `experiments.benchmarks.learning` measured, between its two marks. This page and every
plugin's README get the files of `results/` that they name: `<!-- result: NAME -->` ... `<!-- end of result -->` is filled with
`results/NAME.md`.
"""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any

from core.disk import write_atomically
from experiments.benchmarks import report
from experiments.benchmarks.plan import Measurement, plan
from experiments.launcher.catalogue import catalogue

__all__ = ["main", "summary"]

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "results.md"
MARKS = "<!-- learning results -->", "<!-- end of learning results -->"


def summary() -> str:
    """Return the table of all results there are, as Markdown."""
    lines = [
        "| results | learned from | clock | mean +- std | target | seeds x episodes | minutes a seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for preset, entries in plan().items():
        spec, _ = catalogue().find(preset)
        for entry in entries or (Measurement(),):  # an empty list: measured when it was named
            name = entry.name or preset
            if not (report.RESULTS / f"{name}.json").exists():
                continue
            rows: list[dict[str, Any]] = report.read(name)["measured"]["rows"]
            finals = [row["final"] for row in rows]
            figure = report.figure_of(finals) if rows[0]["episodes"] else ".4g"  # measures are of any size
            spread = report.spread(finals, figure)
            count = f"{len(rows)} x {rows[0]['episodes']}" if rows[0]["episodes"] else f"{len(rows)}"
            minutes = [row["minutes"] for row in rows]
            target = entry.judged(spec, statistics.mean(finals), max(minutes))
            lines.append(
                f"| [`{name}`](../experiments/benchmarks/results/{name}.md) | {_subject(rows[0]['config'])} "
                f"| {max(row['clock'] for row in rows):,} | {spread} | {target} "
                f"| {count} | {statistics.median(minutes):.1f} |"
            )
    return "\n".join(lines)


def _subject(config: dict[str, Any]) -> str:
    """Return what was learned from, out of a run's configuration."""
    spec = catalogue().plugins[config["experiment"]]
    value: Any = config[spec.prefix]
    for name in spec.subject.split("."):
        value = value[name]
    return str(value)


def filled(text: str) -> str:
    """Return a page with the results that it names, or with a word where there are none yet."""

    def fill(mark: re.Match[str]) -> str:
        file = report.RESULTS / f"{mark[1]}.md"
        body = f"{file.read_text().strip()}\n" if file.exists() else "Not measured yet.\n"
        return f"<!-- result: {mark[1]} -->\n{body}<!-- end of result -->"

    return re.sub(r"<!-- result: (\S+) -->\n.*?<!-- end of result -->", fill, text, flags=re.DOTALL)


def main() -> None:
    """Rewrite the tables of all pages."""
    table = summary()
    before, rest = PAGE.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    write_atomically(PAGE, f"{before}{MARKS[0]}\n{table}\n{MARKS[1]}{after}")
    for page in (PAGE, *ROOT.glob("agents/*/README.md"), *ROOT.glob("generative/*/README.md")):
        write_atomically(page, filled(page.read_text()))
    print(table)


if __name__ == "__main__":
    main()
