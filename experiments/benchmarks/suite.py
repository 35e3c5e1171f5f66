"""Train every preset over seeds and rewrite the tables of `docs/results.md` and of all READMEs.

    python -m experiments.benchmarks.suite --list
    python -m experiments.benchmarks.suite [--only PRESET ...] [--skip PRESET ...] [--seeds N] [--hours H] [--folder runs]

Each preset goes through `experiments.benchmarks.learning`, with what its YAML file says under `benchmark:`
(`experiments.benchmarks.plan`); an empty list there keeps it out unless it is named. Finished runs are not repeated, so the
command can be stopped and given again. A preset that fails is reported, and the next one begins. At the end, or with `--only` and
nothing after it, `experiments.benchmarks.summary` fills these tables.
"""

from __future__ import annotations

import argparse
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace

from core.errors import UsageError, nearest, require
from experiments.benchmarks import learning, report, summary
from experiments.benchmarks.plan import Measurement, plan
from experiments.launcher.experiment import Experiment

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is not trained yet; returns 1 when a preset failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="show what would be trained, and stop")
    parser.add_argument(
        "--only", nargs="*", default=None, metavar="PRESET", help="these presets; none: only fill the tables"
    )
    parser.add_argument("--skip", nargs="*", default=[], metavar="PRESET", help="all presets but these")
    parser.add_argument("--seeds", type=int, default=0, help="seeds 1 to N of every preset")
    parser.add_argument("--hours", type=float, default=float("inf"), help="begin no further preset after this time")
    parser.add_argument("--folder", default="runs", help="root of the run folders")
    arguments = parser.parse_args(argv)
    planned = plan()
    for name in [*(arguments.only or []), *arguments.skip]:
        if name not in planned:
            raise UsageError(f"there is no preset {name!r}; {nearest(name, planned)}")
    require(
        arguments.seeds >= 0,
        f"--seeds is {arguments.seeds}; it must be 1 or more, or left out for each preset's own number",
    )
    usual = [preset for preset, entries in planned.items() if entries]
    chosen = [p for p in (usual if arguments.only is None else arguments.only) if p not in arguments.skip]
    work = {preset: _entries(planned[preset], arguments.seeds) for preset in chosen}
    if arguments.list:
        for preset, entries in work.items():
            print(_line(preset, entries))
        return 0
    begun = time.monotonic()
    failed: list[str] = []
    for number, (preset, entries) in enumerate(work.items()):
        if time.monotonic() - begun > 3600 * arguments.hours:
            print(f"time is up; not begun: {', '.join(chosen[number:])}")
            break
        for entry in entries:
            call = entry.arguments()
            print(f"--- {preset} {shlex.join(call)}", flush=True)
            place = ["--folder", arguments.folder]  # before --flags, which takes the rest
            try:
                learning.main([preset, *place, *call])
            except (subprocess.CalledProcessError, UsageError) as error:
                failed.append(preset)
                print(f"failed: {preset}: {error}", file=sys.stderr)
    summary.main()
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _entries(entries: Sequence[Measurement], seeds: int) -> list[Measurement]:
    """Return what is measured of a preset, also of one that the suite leaves out; `seeds` beats the preset's own number."""
    return [replace(entry, seeds=seeds or entry.seeds) for entry in entries or (Measurement(),)]


def _line(preset: str, entries: Sequence[Measurement]) -> str:
    experiment = Experiment.of([preset])
    spec, settings = experiment.spec, experiment.settings
    runs = sum(entry.seeds for entry in entries)
    took = "not measured here"
    if (report.RESULTS / f"{preset}.json").exists():
        minutes = statistics.median(row["minutes"] for row in report.read(preset)["measured"]["rows"])
        took = f"{minutes:.1f} minutes each when last measured"
    return f"{preset:32s} {runs} runs of {settings.until:,} {spec.clock}, {took}"


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
