"""Environment steps per second of `dqn` beside Stable-Baselines3, updates included.

    python -m experiments.benchmarks.dqn_speed [--seconds 12] [--rounds 2] [--only cartpole]

The same network and hyper-parameters on both sides, each measurement in a process of its own, interleaved. Stable-Baselines3 (the
extra `peers`) plays as its users run it, in DummyVecEnv and SubprocVecEnv, and on Pong once more through an adapter over
`AtariVectorEnv`, the emulator interface that `dqn` uses. A measurement begins after 50 updates.
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
from experiments.benchmarks.peers import need, pong
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

CARTPOLE: dict[str, Any] = {"capacity": 100_000, "learning_starts": 1_000, "batch": 32, "target_every": 1_000}
PONG: dict[str, Any] = {"capacity": 10_000, "learning_starts": 400, "batch": 32, "target_every": 1_000}
UPDATE_EVERY = 4  # environment steps, everywhere
BURST = 16  # updates made in one go in the rows that say so; the peer's tuned CartPole settings make 128
PEER = "Stable-Baselines3"
CONTENDERS: dict[str, str] = {
    "cartpole ours 1": "`dqn`, 1 environment",
    "cartpole peer 1 dummy": f"{PEER}, 1 environment, DummyVecEnv",
    "cartpole ours 8": "`dqn`, 8 environments",
    "cartpole peer 8 dummy": f"{PEER}, 8 environments, DummyVecEnv",
    "cartpole peer 8 subproc": f"{PEER}, 8 environments, SubprocVecEnv",
    "cartpole ours 8 burst": f"`dqn`, 8 environments, {BURST} updates at a time",
    "cartpole peer 8 burst": f"{PEER}, 8 environments, DummyVecEnv, {BURST} updates at a time",
    "pong ours 8": "`dqn`, 8 games, float32",
    "pong ours 8 bfloat16": "`dqn`, 8 games, bfloat16 (another precision than the peer's)",
    "pong peer 1 dummy": f"{PEER}, 1 game, DummyVecEnv",
    "pong peer 8 subproc": f"{PEER}, 8 games, SubprocVecEnv",
    "pong peer 8 native": f"{PEER}, 8 games, adapter over AtariVectorEnv",
}
TARGETS = {"cartpole ours": 2.0, "pong ours 8": 1.3, "pong ours 8 bfloat16": 2.0}


def ours(game: str, envs: int, kind: str, seconds: float) -> float:
    """Return environment steps per second of `dqn`, updates included."""
    from agents.dqn.agent import DQN
    from agents.dqn.config import DQNConfig
    from core.optim.config import OptimizerConfig
    from core.plugin import Context
    from core.runtime import configure
    from envs import EnvConfig

    configure(precision="bfloat16" if kind == "bfloat16" else "float32")
    config = DQNConfig(
        **PONG if game == "pong" else CARTPOLE,
        env=EnvConfig("ALE/Pong-v5") if game == "pong" else EnvConfig("CartPole-v1"),
        envs=envs,
        update_every=UPDATE_EVERY,
        burst=BURST if kind == "burst" else 1,
        optimizer=OptimizerConfig(lr=1e-4, epsilon=1e-8, max_grad_norm=10.0),
        loss="mean",
        epsilon_steps=2_000,
        epsilon_end=0.05,
    )
    with tempfile.TemporaryDirectory() as folder:
        agent = DQN(config, Context(seed=0, folder=Path(folder)))
        while agent.updates < 50:
            agent.step()
        rate = per_second(steps(agent), seconds)
        agent.close()
    return rate


def peer(game: str, envs: int, kind: str, seconds: float) -> float:
    """Return environment steps per second of Stable-Baselines3's DQN, updates included."""
    import torch
    from stable_baselines3 import DQN
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    burst = BURST if kind == "burst" else 1
    if game != "pong":
        torch.set_num_threads(1)
    chosen = PONG if game == "pong" else CARTPOLE
    if game == "pong":
        env = pong(envs, kind)
    else:
        env = make_vec_env("CartPole-v1", envs, seed=0, vec_env_cls=SubprocVecEnv if kind == "subproc" else DummyVecEnv)
    # `train_freq` counts a step of all environments as one: with 8 there are 2 updates due after each.
    model = DQN(
        "CnnPolicy" if game == "pong" else "MlpPolicy",
        env,
        learning_rate=1e-4,
        buffer_size=chosen["capacity"],
        learning_starts=chosen["learning_starts"],
        batch_size=chosen["batch"],
        gamma=0.99,
        train_freq=max(UPDATE_EVERY * burst // envs, 1),
        gradient_steps=max(envs // UPDATE_EVERY, burst),
        target_update_interval=UPDATE_EVERY * chosen["target_every"],
        exploration_fraction=2_000 / 1e7,
        exploration_final_eps=0.05,
        max_grad_norm=10,
        policy_kwargs=None if game == "pong" else {"net_arch": [64, 64]},
        seed=0,
    )

    class Clock(BaseCallback):
        begun = 0.0
        first = 0

        def _on_step(self) -> bool:
            if not self.begun:
                if self.model._n_updates >= 50:
                    self.begun, self.first = time.perf_counter(), self.num_timesteps
                return True
            return time.perf_counter() - self.begun < seconds

    clock = Clock()
    model.learn(10_000_000, callback=clock)
    rate = (clock.num_timesteps - clock.first) / (time.perf_counter() - clock.begun)
    env.close()
    return rate


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of medians; ratios are to the best peer of the same game and burst, round by round."""
    rows = []
    for name, title in CONTENDERS.items():
        if name not in measured:
            continue
        game, rates = name.split()[0], measured[name]["rates"]
        rivals = [n for n in measured if n.startswith(f"{game} peer") and n.endswith("burst") == name.endswith("burst")]
        ratios = []
        for peers in ([n for n in rivals if not n.endswith("native")], [n for n in rivals if n.endswith("native")]):
            rounds = zip(rates, *(measured[n]["rates"] for n in peers), strict=True)
            ratios.append(f"{statistics.median(own / max(its) for own, *its in rounds):.2f}" if peers else "")
        target = next((f">= {TARGETS[key]:g}" for key in sorted(TARGETS, reverse=True) if name.startswith(key)), "")
        rows.append([game, title, f"{statistics.median(rates):,.0f}", *ratios, target])
    note = (
        f"{protocol(measured)}, after 50 updates; batch 32, an update every {UPDATE_EVERY} environment steps, "
        "Adam 1e-4, Huber, gradients clipped at 10; CartPole 64x64 units (PyTorch on one thread, faster there than two), Pong "
        "the Nature network on 84x84x4, random initial weights."
    )
    columns = ["game", "what", "steps/s, median", "over the best Dummy/Subproc", "over the adapter", "target"]
    return [Table(columns, rows), note]


def main() -> None:
    """Measure all contenders in turn and write the table of medians."""
    words = parser(__doc__, seconds=12, rounds=2)
    words.add_argument("--only", default="", help="contenders whose name begins so")
    arguments = words.parse_args()
    if arguments.worker:
        game, who, envs, *kind = arguments.worker
        measure: Callable[..., float] = ours if who == "ours" else peer
        print(measure(game, int(envs), kind[0] if kind else "", arguments.seconds))
        return
    names = [name for name in CONTENDERS if name.startswith(arguments.only)]
    if not names:
        raise UsageError(f"no contender begins with {arguments.only!r}; {nearest(arguments.only, CONTENDERS)}")
    need("torch", "stable_baselines3")
    packages = ("tensorflow", "numpy", "gymnasium", "ale-py", "torch", "stable-baselines3")
    report = Report(__spec__.name, "dqn_speed", layout, packages=packages, resume=True)
    workers = {name: name.split() for name in names}
    report.keep(interleave(__spec__.name, workers, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
