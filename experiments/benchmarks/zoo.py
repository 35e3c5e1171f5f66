"""The peers of `seconds_to_threshold`: each trains a task in a process of its own, with the settings that its authors publish.

    python -m experiments.benchmarks.zoo TASK PEER SEED

Stable-Baselines3 and SBX have the RL Zoo's (`hyperparams/*.yml`, SBX's PPO on Pendulum without the state-dependent exploration
that it does not implement), and CleanRL's PPO its own. Little is imported here: a peer's imports are part of what is measured.
"""

from __future__ import annotations

import importlib
import statistics
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.benchmarks.ppo_in_torch import Settings, train

__all__ = ["RECENT", "TASKS", "Task", "Watch", "falling", "main"]

RECENT = 100  # training episodes whose mean return is looked at
DECAYING = ("learning_rate", "clip_range")  # settings that may fall to 0: "lin_0.1"

CARTPOLE = {
    "n_envs": 8,
    "n_timesteps": 100_000,
    "n_steps": 32,
    "batch_size": 256,
    "gae_lambda": 0.8,
    "gamma": 0.98,
    "n_epochs": 20,
    "learning_rate": "lin_0.001",
    "clip_range": "lin_0.2",
}
ACROBOT = {
    "n_envs": 16,
    "normalize": True,
    "n_timesteps": 1_000_000,
    "n_steps": 256,
    "gae_lambda": 0.94,
    "gamma": 0.99,
    "n_epochs": 4,
}
LUNARLANDER = {
    "n_envs": 16,
    "n_timesteps": 1_000_000,
    "n_steps": 1024,
    "batch_size": 64,
    "gae_lambda": 0.98,
    "gamma": 0.999,
    "n_epochs": 4,
    "ent_coef": 0.01,
}
PENDULUM = {
    "n_envs": 4,
    "n_timesteps": 100_000,
    "n_steps": 1024,
    "gae_lambda": 0.95,
    "gamma": 0.9,
    "n_epochs": 10,
    "learning_rate": 1e-3,
    "clip_range": 0.2,
}
SDE = {"use_sde": True, "sde_sample_freq": 4}
PENDULUM_SAC = {"n_envs": 1, "n_timesteps": 20_000, "learning_rate": 1e-3}
ATARI = {
    "n_envs": 8,
    "n_timesteps": 10_000_000,
    "policy": "CnnPolicy",
    "n_steps": 128,
    "n_epochs": 4,
    "batch_size": 256,
    "learning_rate": "lin_2.5e-4",
    "clip_range": "lin_0.1",
    "vf_coef": 0.5,
    "ent_coef": 0.01,
}
CLEANRL = Settings().told()


@dataclass(frozen=True)
class Task:
    """A task that counts as solved at a mean return, and its peers with their settings, those of the zoo in its notation."""

    env: str
    goal: float
    peers: Mapping[str, Mapping[str, Any]]


TASKS = {
    "cartpole": Task("CartPole-v1", 475, {"sb3-ppo": CARTPOLE, "sbx-ppo": CARTPOLE, "cleanrl-ppo": CLEANRL}),
    "acrobot": Task("Acrobot-v1", -100, {"sb3-ppo": ACROBOT, "sbx-ppo": ACROBOT, "cleanrl-ppo": CLEANRL}),
    "lunarlander": Task("LunarLander-v3", 200, {"sb3-ppo": LUNARLANDER, "sbx-ppo": LUNARLANDER}),
    "pendulum": Task(
        "Pendulum-v1", -200, {"sb3-ppo": {**PENDULUM, **SDE}, "sbx-ppo": PENDULUM, "sbx-sac": PENDULUM_SAC}
    ),
    "pong": Task("ALE/Pong-v5", 18, {"sb3-ppo": ATARI, "sbx-ppo": ATARI}),
}


class Watch:
    """Sees a contender's training episodes end and prints `begun`, `at STEPS MEAN` once a second, and `solved STEPS MEAN`."""

    def __init__(self, goal: float):
        self.goal = goal
        self.recent: deque[float] = deque(maxlen=RECENT)
        self._told = time.monotonic()
        print("begun", flush=True)

    def ended(self, returns: Sequence[float], steps: int) -> bool:
        """Count episodes that have ended after `steps` environment steps in all; true once the task is solved."""
        self.recent.extend(returns)
        mean = statistics.fmean(self.recent)
        if len(self.recent) == RECENT and mean >= self.goal:
            print(f"solved {steps} {mean}", flush=True)
            return True
        if time.monotonic() - self._told >= 1:
            self._told = time.monotonic()
            print(f"at {steps} {mean}", flush=True)
        return False


def main(key: str, name: str, seed: int) -> None:
    """Train a peer until the task is solved, or for as many steps as its settings say."""
    task = TASKS[key]
    library, _, algorithm = name.partition("-")
    sys.modules["tensorflow"] = None  # type: ignore[assignment]  # as if it were not installed: peers would import it, for nothing
    import torch

    if key != "pong":
        torch.set_num_threads(1)  # faster there than two
    if library == "cleanrl":
        train(task.env, seed, Watch(task.goal).ended, Settings(**task.peers[name]))
    else:
        _baselines(library, algorithm, task, dict(task.peers[name]), seed)


def _baselines(library: str, algorithm: str, task: Task, settings: dict[str, Any], seed: int) -> None:
    """Train Stable-Baselines3's or SBX's algorithm with settings of the zoo."""
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import VecNormalize

    from experiments.benchmarks.peers import pong

    package = importlib.import_module({"sb3": "stable_baselines3", "sbx": "sbx"}[library])
    envs, steps, policy = settings.pop("n_envs"), settings.pop("n_timesteps"), settings.pop("policy", "MlpPolicy")
    normalize = settings.pop("normalize", False)
    env: Any = pong(envs, "dummy") if policy == "CnnPolicy" else make_vec_env(task.env, envs, seed=seed)
    if normalize:
        env = VecNormalize(env, gamma=settings["gamma"])
    settings |= {key: falling(value) for key, value in settings.items() if key in DECAYING and isinstance(value, str)}
    model: Any = getattr(package, algorithm.upper())(policy, env, seed=seed, device="cpu", **settings)
    watch = Watch(task.goal)

    class Ended(BaseCallback):
        def _on_step(self) -> bool:
            returns = [info["episode"]["r"] for info in self.locals["infos"] if "episode" in info]
            return not (returns and watch.ended(returns, self.num_timesteps))

    model.learn(steps, callback=Ended())
    env.close()


def falling(value: str) -> Callable[[float], float]:
    """Return the zoo's "lin_0.1": from 0.1 to 0, given the share of training that is left.

    >>> falling("lin_0.1")(0.25)
    0.025
    """
    start = float(value.removeprefix("lin_"))
    return lambda left: left * start


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
