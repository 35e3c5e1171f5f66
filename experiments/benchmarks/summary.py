"""Put the results of `experiments.benchmarks.learning` into one table of the README, between its two marks.

python -m experiments.benchmarks.summary
"""

from __future__ import annotations

import json
import statistics
from pathlib import Path
from typing import Any

__all__ = ["main", "summary"]

HERE = Path(__file__).parent
README = HERE.parent.parent / "README.md"
MARKS = "<!-- learning results -->", "<!-- end of learning results -->"
TARGETS = {  # mean over seeds of the final weights' evaluation
    "pong-35-minutes": ">= 18 within 35 minutes",
    "policy-gradient-cartpole": ">= 475",
    "dqn-cartpole": ">= 475 at 50k steps",
    "dqn-acrobot": ">= -90 at 100k",
    "dqn-lunarlander": ">= 200 at 500k",
    "actor-critic-cartpole": "500 at 500k",
    "actor-critic-acrobot": ">= -85 at 500k",
    "actor-critic-lunarlander": ">= 200 at 1M",
    "actor-critic-cartpole-online": "",
    "a3c-bipedalwalker": "",
}


def summary() -> str:
    """Return the table of all results there are, as Markdown."""
    lines = [
        "| results | environment | steps | mean +- std | target | seeds x episodes | minutes a seed |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, target in TARGETS.items():
        file = HERE / "results" / f"{name}.json"
        if not file.exists():
            continue
        rows: list[dict[str, Any]] = json.loads(file.read_text())
        finals = [row["final"] for row in rows]
        spread = f" +- {statistics.stdev(finals):.1f}" if len(rows) > 1 else ""
        minutes = [row["minutes"] for row in rows]
        lines.append(
            f"| [`{name}`](experiments/benchmarks/results/{name}.md) | {rows[0]['config']['agent']['env']['id']} "
            f"| {max(row['clock'] for row in rows):,} | {statistics.mean(finals):.1f}{spread} | {target} "
            f"| {len(rows)} x {rows[0]['episodes']} | {statistics.median(minutes):.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Rewrite the table in the README."""
    text = README.read_text()
    before, rest = text.split(MARKS[0])
    _, after = rest.split(MARKS[1])
    README.write_text(f"{before}{MARKS[0]}\n{summary()}\n{MARKS[1]}{after}")
    print(summary())


if __name__ == "__main__":
    main()
