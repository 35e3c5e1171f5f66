"""Environment steps per second of `a3c` with its workers in threads, in processes and in Ray actors.

python -m experiments.benchmarks.a3c [--seconds 15] [--rounds 2]
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from experiments.benchmarks.interleaved import built, interleave, parser, per_second, protocol, steps
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

PRESETS = ("a3c-cartpole", "a3c-bipedalwalker", "a3c-pong42")
BACKENDS = ("threads", "processes", "ray")


def rate(preset: str, backend: str, seconds: float) -> float:
    """Return environment steps per second, all workers together, while they learn."""
    with built([preset, "--agent.backend", backend]) as agent:
        begun = time.perf_counter()
        while time.perf_counter() - begun < 4:  # workers started, functions traced
            agent.step()
        return per_second(steps(agent), seconds)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of medians, a row a preset."""
    rows = []
    for preset in PRESETS:
        medians = [statistics.median(measured[f"{preset} {backend}"]["rates"]) for backend in BACKENDS]
        rows.append([f"`{preset}`", *(f"{median:,.0f}" for median in medians)])
    note = (
        f"Environment steps per second of all workers together, one worker per core; medians of {protocol(measured)}."
    )
    return [Table(["preset", *BACKENDS], rows), note]


def main() -> None:
    """Measure every preset with every backend in turn, and write the table."""
    arguments = parser(__doc__, seconds=15, rounds=2).parse_args()
    if arguments.worker:
        preset, backend = arguments.worker
        print(rate(preset, backend, arguments.seconds))
        return
    report = Report(
        __spec__.name, "a3c_backends", layout, packages=("tensorflow", "numpy", "gymnasium", "ale-py", "ray")
    )
    pairs = {f"{preset} {backend}": (preset, backend) for preset in PRESETS for backend in BACKENDS}
    report.keep(interleave(__spec__.name, pairs, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    main()
