"""What `--run.deterministic` costs: steps or updates per second of each plugin with it and without.

    python -m experiments.benchmarks.deterministic [--only NAME ...] [--seconds 6] [--rounds 3]

Finished rows are kept in the JSON file and measured anew only where `--only` names them.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from core.errors import UsageError, nearest
from experiments.benchmarks.interleaved import built, interleave, parser, per_second, protocol, steps
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

PRESETS = (
    "a3c-cartpole",
    "actor-critic-cartpole",
    "ddpg-pendulum",
    "dqn-cartpole",
    "pong-pg-fast",
    "pqn-cartpole",
    "sac-pendulum",
    "td3-pendulum",
    "acgan",
    "autoencoder",
    "bigan",
    "char-rnn",
    "cppn",
    "dcgan",
    "features",
    "gan-cls",
    "ganomaly",
    "ragan",
    "srgan-cpu",
    "vae",
    "vq-vae",
    "wgan",
)
WARM = 4.0  # seconds: functions traced, replays begun


def rate(preset: str, flags: list[str], seconds: float) -> float:
    """Return how far the clock goes in a second of training."""
    with built([preset, *flags]) as plugin:
        begun = time.perf_counter()
        while time.perf_counter() - begun < WARM:
            plugin.step()
        return per_second(steps(plugin), seconds)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table, a row a preset: medians, and the median of the ratios round by round."""
    rows = []
    for preset in PRESETS:
        if preset in measured:
            free, held = (measured[name]["rates"] for name in (preset, f"{preset}, deterministic"))
            cost = 1 - statistics.median(b / a for a, b in zip(free, held, strict=True))
            rows.append([f"`{preset}`", *(f"{statistics.median(some):,.0f}" for some in (free, held)), f"{cost:.0%}"])
    note = f"The clock's units per second; cost: the median over rounds. {protocol(measured)}."
    return [Table(["preset", "free", "deterministic", "cost"], rows), note]


def main() -> None:
    made = parser(__doc__, seconds=6, rounds=3)
    made.add_argument("--only", nargs="*", default=list(PRESETS), metavar="NAME", help="presets to measure")
    arguments = made.parse_args()
    if arguments.worker:
        preset, *flags = arguments.worker
        print(rate(preset, ["--run.deterministic"] * (flags == ["deterministic"]), arguments.seconds))
        return
    for name in arguments.only:
        if name not in PRESETS:
            raise UsageError(f"--only is {name!r}; {nearest(name, PRESETS)}")
    report = Report(
        __spec__.name, "deterministic", layout, packages=("tensorflow", "keras", "numpy", "gymnasium"), resume=True
    )
    for preset in arguments.only:
        pairs = {preset: [preset], f"{preset}, deterministic": [preset, "deterministic"]}
        report.keep(interleave(__spec__.name, pairs, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    main()
