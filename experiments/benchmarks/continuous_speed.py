"""Environment steps per second of `sac`, `td3` and `ddpg` beside SBX and Stable-Baselines3, an update a step.

    python -m experiments.benchmarks.continuous_speed [--seconds 12] [--rounds 3] [--only sac]

The same sizes on both sides, the peers' defaults: two hidden layers of 256, batches of 256, Adam, one environment, an update
after every step, Pendulum-v1. Each measurement is a process of its own, interleaved, and begins after 300 updates. The peers are
Stable-Baselines3 and SBX, its JAX version (the extra `peers`); the ratio is to SBX, the faster one.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from core.errors import UsageError, nearest
from experiments.benchmarks.interleaved import interleave, parser, per_second, protocol, steps
from experiments.benchmarks.peers import need
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

STARTS = 100  # environment steps before the first update
WARM = 300  # updates before the measurement
AGENTS = ("sac", "td3", "ddpg")
KINDS = {
    "float32": "`{}`, float32",
    "bfloat16": "`{}`, bfloat16 (another precision than the peers')",
    "burst": "`{}`, float32, 8 updates at a time",
    "sbx": "SBX",
    "sb3": "Stable-Baselines3",
}
TARGETS = {"float32": 1.3, "bfloat16": 2.0}


def ours(name: str, kind: str, seconds: float) -> float:
    """Return environment steps per second of an agent, updates included."""
    from core.plugin import Context, build
    from core.runtime import configure
    from experiments.launcher.catalogue import catalogue

    configure(device="cpu", precision="bfloat16" if kind == "bfloat16" else "float32")
    spec = catalogue().plugins[name]
    config = spec.config(learning_starts=STARTS, burst=8 if kind == "burst" else 1)
    with tempfile.TemporaryDirectory() as folder:
        agent = build(spec, config, Context(seed=0, folder=Path(folder)))
        while agent.clock < STARTS + WARM:
            agent.step()
        rate = per_second(steps(agent), seconds)
        agent.close()
    return rate


def peer(name: str, kind: str, seconds: float) -> float:
    """Return environment steps per second of a peer's agent, updates included."""
    if kind == "sbx":
        import sbx as package
    else:
        import stable_baselines3 as package
    from stable_baselines3.common.callbacks import BaseCallback

    class Clock(BaseCallback):
        begun, first = 0.0, 0

        def _on_step(self) -> bool:
            if not self.begun:
                if self.num_timesteps >= STARTS + WARM:
                    self.begun, self.first = time.perf_counter(), self.num_timesteps
                return True
            return time.perf_counter() - self.begun < seconds

    sizes: dict[str, Any] = {"batch_size": 256, "learning_starts": STARTS, "train_freq": 1, "gradient_steps": 1}
    policy: dict[str, Any] = {"net_arch": [256, 256]}
    model = getattr(package, name.upper())("MlpPolicy", "Pendulum-v1", **sizes, policy_kwargs=policy, seed=0)
    clock = Clock()
    model.learn(10_000_000, callback=clock)
    return (clock.num_timesteps - clock.first) / (time.perf_counter() - clock.begun)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of medians; ratios are to SBX, round by round."""
    rows = []
    for key, row in measured.items():
        name, kind = key.split()
        rival = measured.get(f"{name} sbx", {"rates": []})["rates"]
        ratios = [own / its for own, its in zip(row["rates"], rival, strict=False)]
        cells = [name, KINDS[kind].format(name), f"{statistics.median(row['rates']):,.0f}"]
        cells.append(f"{statistics.median(ratios):.2f}" if ratios else "")
        rows.append([*cells, f">= {TARGETS[kind]:g}" if kind in TARGETS else ""])
    note = (
        f"{protocol(measured)}, after {WARM} updates; two hidden layers of 256, batches of 256, an update every environment "
        "step, Pendulum-v1."
    )
    return [Table(["agent", "what", "steps/s, median", "over SBX", "target"], rows), note]


def main() -> None:
    """Measure all contenders in turn and write the table of medians."""
    words = parser(__doc__, seconds=12, rounds=3)
    words.add_argument("--only", default="", help="contenders whose name begins so")
    arguments = words.parse_args()
    if arguments.worker:
        name, kind = arguments.worker
        measure: Callable[..., float] = peer if kind in ("sbx", "sb3") else ours
        print(measure(name, kind, arguments.seconds))
        return
    names = [f"{name} {kind}" for name in AGENTS for kind in KINDS]
    chosen = [name for name in names if name.startswith(arguments.only)]
    if not chosen:
        raise UsageError(f"no contender begins with {arguments.only!r}; {nearest(arguments.only, names)}")
    need("torch", "stable_baselines3", "sbx")
    packages = ("tensorflow", "numpy", "gymnasium", "torch", "stable-baselines3", "sbx-rl", "jax")
    report = Report(__spec__.name, "continuous_speed", layout, packages=packages, resume=True)
    workers = {name: name.split() for name in chosen}
    report.keep(interleave(__spec__.name, workers, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
