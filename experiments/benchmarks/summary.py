"""Put the results that are committed into the READMEs.

    python -m experiments.benchmarks.summary

The top README gets one table of what `experiments.benchmarks.learning` measured, between its two marks. Every README gets the
files of `results/` that it names: `<!-- result: NAME -->` ... `<!-- end of result -->` is filled with `results/NAME.md`.
"""

from __future__ import annotations

import json
import re
import statistics
from pathlib import Path
from typing import Any

from experiments.launcher.catalogue import catalogue

__all__ = ["main", "summary"]

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
MARKS = "<!-- learning results -->", "<!-- end of learning results -->"
TARGETS = {  # mean over seeds of the final weights' evaluation
    "pong-35-minutes": ">= 18 within 35 minutes",
    "policy-gradient-cartpole": ">= 475",
    "dqn-cartpole": ">= 475 at 50k steps",
    "dqn-acrobot": ">= -90 at 100k",
    "dqn-lunarlander": ">= 200 at 500k",
    "dqn-pong": ">= 18 within 1.5M",
    "actor-critic-cartpole": "500 at 500k",
    "actor-critic-acrobot": ">= -85 at 500k",
    "actor-critic-lunarlander": ">= 200 at 1M",
    "actor-critic-cartpole-online": "",
    "a3c-bipedalwalker": "",
}


def summary() -> str:
    """Return the table of all results there are, as Markdown."""
    lines = [
        "| results | learned from | clock | mean +- std | target | seeds x episodes | minutes a seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    others = sorted(name for name in catalogue().presets if name not in TARGETS)
    for name, target in {**TARGETS, **dict.fromkeys(others, "")}.items():
        file = HERE / "results" / f"{name}.json"
        if not file.exists():
            continue
        rows: list[dict[str, Any]] = json.loads(file.read_text())
        finals = [row["final"] for row in rows]
        figure = ".1f" if rows[0]["episodes"] else ".4g"  # returns, and measures of any size
        spread = f" +- {statistics.stdev(finals):{figure}}" if len(rows) > 1 else ""
        count = f"{len(rows)} x {rows[0]['episodes']}" if rows[0]["episodes"] else f"{len(rows)}"
        minutes = [row["minutes"] for row in rows]
        lines.append(
            f"| [`{name}`](experiments/benchmarks/results/{name}.md) | {_subject(rows[0]['config'])} "
            f"| {max(row['clock'] for row in rows):,} | {statistics.mean(finals):{figure}}{spread} | {target} "
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
    """Return a README with the results that it names; ones that have not been measured stay empty."""

    def fill(mark: re.Match[str]) -> str:
        file = HERE / "results" / f"{mark[1]}.md"
        body = f"{file.read_text().strip()}\n" if file.exists() else ""
        return f"<!-- result: {mark[1]} -->\n{body}<!-- end of result -->"

    return re.sub(r"<!-- result: (\S+) -->\n.*?<!-- end of result -->", fill, text, flags=re.DOTALL)


def main() -> None:
    """Rewrite the tables in all READMEs."""
    top = ROOT / "README.md"
    before, rest = top.read_text().split(MARKS[0])
    _, after = rest.split(MARKS[1])
    top.write_text(f"{before}{MARKS[0]}\n{summary()}\n{MARKS[1]}{after}")
    for readme in (top, *ROOT.glob("agents/*/README.md"), *ROOT.glob("generative/*/README.md")):
        readme.write_text(filled(readme.read_text()))
    print(summary())


if __name__ == "__main__":
    main()
