"""Train every preset over seeds, but for the papers' sizes, and rewrite the result tables of all READMEs.

    python -m experiments.benchmarks.suite --list
    python -m experiments.benchmarks.suite [--only PRESET ...] [--skip PRESET ...] [--seeds N] [--hours H] [--folder runs]

Each preset goes through `experiments.benchmarks.learning`, with the arguments that its committed results were made with; finished
runs are not repeated, so the command can be stopped and given again. One that fails is reported, and the next one begins. At the
end, or with `--only` and nothing after it, `experiments.benchmarks.summary` fills the READMEs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

from core.errors import UsageError, nearest, require
from experiments.benchmarks import learning, summary
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment

__all__ = ["main"]

SEEDS = 3
ARGUMENTS: dict[
    str, list[list[str]]
] = {  # of `learning`, where they are not `--seeds 3`; several are several result files
    "pong-pg-fast": [
        ["--seeds", "2"],
        [
            *("--seeds", "3", "--name", "pong-35-minutes", "--threshold", "18"),
            *("--flags", "--agent.env.noop-max", "30", "--agent.eval-episodes", "20"),
        ],
    ],
    "policy-gradient-cartpole": [["--seeds", "5", "--threshold", "475"]],
    "dqn-cartpole": [["--seeds", "5", "--threshold", "475"]],
    "dqn-acrobot": [["--seeds", "3", "--threshold", "-90"]],
    "dqn-pong": [["--seeds", "1", "--flags", "--run.precision", "bfloat16"]],
    "actor-critic-cartpole": [["--seeds", "5", "--threshold", "475"]],
    "actor-critic-acrobot": [["--seeds", "3", "--threshold", "-100"]],
    "actor-critic-lunarlander": [["--seeds", "3", "--threshold", "200"]],
    "a3c-bipedalwalker": [["--seeds", "1", "--within", "10", "60"]],
}


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is not trained yet; returns 1 when a preset failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--list", action="store_true", help="show what would be trained, and stop")
    parser.add_argument(
        "--only", nargs="*", default=None, metavar="PRESET", help="these presets; none: only fill the READMEs"
    )
    parser.add_argument("--skip", nargs="*", default=[], metavar="PRESET", help="all presets but these")
    parser.add_argument("--seeds", type=int, default=0, help="seeds 1 to N of every preset")
    parser.add_argument("--hours", type=float, default=float("inf"), help="begin no further preset after this time")
    parser.add_argument("--folder", default="runs", help="root of the run folders")
    arguments = parser.parse_args(argv)
    presets = sorted(catalogue().presets)
    for name in [*(arguments.only or []), *arguments.skip]:
        if name not in presets:
            raise UsageError(f"there is no preset {name!r}; {nearest(name, presets)}")
    require(
        arguments.seeds >= 0,
        f"--seeds is {arguments.seeds}; it must be 1 or more, or left out for each preset's own number",
    )
    usual = [p for p in presets if not p.endswith("-paper")]  # the papers' sizes take weeks on a CPU: only when named
    chosen = [p for p in (usual if arguments.only is None else arguments.only) if p not in arguments.skip]
    if arguments.list:
        for preset in chosen:
            print(_line(preset, arguments.seeds))
        return 0
    begun = time.monotonic()
    failed: list[str] = []
    for number, preset in enumerate(chosen):
        if time.monotonic() - begun > 3600 * arguments.hours:
            print(f"time is up; not begun: {', '.join(chosen[number:])}")
            break
        for call in _calls(preset, arguments.seeds):
            print(f"--- {preset} {' '.join(call)}", flush=True)
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


def _calls(preset: str, seeds: int) -> list[list[str]]:
    """Return the arguments of `learning` for a preset, once for each of its result files."""
    calls = ARGUMENTS.get(preset, [["--seeds", str(SEEDS)]])
    if not seeds:
        return calls
    return [[str(seeds) if i and call[i - 1] == "--seeds" else word for i, word in enumerate(call)] for call in calls]


def _line(preset: str, seeds: int) -> str:
    experiment = Experiment.of([preset])
    spec, settings = experiment.spec, experiment.settings
    runs = sum(int(call[call.index("--seeds") + 1]) for call in _calls(preset, seeds))
    file = learning.RESULTS / f"{preset}.json"
    took = "not measured here"
    if file.exists():
        minutes = statistics.median(row["minutes"] for row in json.loads(file.read_text()) if "minutes" in row)
        took = f"{minutes:.1f} minutes each when last measured"
    return f"{preset:32s} {runs} runs of {settings.until:,} {spec.clock}, {took}"


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
