"""Environment steps per second of `actor-critic` beside Stable-Baselines3, while both learn.

    python -m experiments.benchmarks.actor_critic [TASK...] [--seconds 20] [--rounds 5]

Same network, same hyper-parameters, same environment (no sticky actions, frame skip 4, up to 30 no-ops), each contender in a
process of its own, interleaved. The peer runs as its users run it, with `make_atari_env` or `make_vec_env` and DummyVecEnv or
SubprocVecEnv; in further rows it gets ale-py's native vector environment through an adapter. Peers come from the extra
`peers`. A measurement begins after the first updates.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

from core.errors import UsageError, nearest
from experiments.benchmarks.interleaved import built, interleave, parser, per_second, protocol, steps
from experiments.benchmarks.peers import need, pong
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

PONG = "--agent.env.id ALE/Pong-v5 --agent.env.actions 0 1 2 3 4 5"
OURS = {  # task -> flags
    "cartpole": "--agent.envs 8",
    "pong": f"{PONG} --agent.envs 16 --agent.entropy 0.01",
}
TARGETS = {
    ("pong", "float32"): 2.0,
    ("pong", "bfloat16"): 3.0,
    ("cartpole", "float32"): 2.0,
}


def contenders(task: str) -> dict[str, str]:
    """Return name -> title of what runs in a task."""
    peers = {"dummy": "Stable-Baselines3, DummyVecEnv", "subproc": "Stable-Baselines3, SubprocVecEnv"}
    ours = {"float32": "pongan"}
    if task == "pong":
        peers["native"] = "Stable-Baselines3 over AtariVectorEnv (our adapter)"
        ours["bfloat16"] = "pongan, bfloat16 (cross-precision)"
    return peers | ours


def pongan(task: str, precision: str, seconds: float) -> float:
    """Return steps per second of our agent."""
    with built(["actor-critic", *OURS[task].split(), "--run.precision", precision]) as agent:
        while agent.clock < 4_000:
            agent.step()
        return per_second(steps(agent), seconds)


def stable_baselines3(task: str, how: str, seconds: float) -> float:
    """Return steps per second of the peer."""
    import torch
    from stable_baselines3 import A2C
    from stable_baselines3.common.callbacks import BaseCallback
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

    if task == "cartpole":
        torch.set_num_threads(1)  # faster there than two
    envs = {"pong": 16, "cartpole": 8}[task]
    if task == "pong":
        env = pong(envs, how)
    else:
        env = make_vec_env("CartPole-v1", envs, seed=0, vec_env_cls=SubprocVecEnv if how == "subproc" else DummyVecEnv)
    policy = "CnnPolicy" if task == "pong" else "MlpPolicy"
    model: Any = A2C(policy, env, n_steps=5, ent_coef=0.01 if task == "pong" else 0.0, vf_coef=0.25)

    class Stop(BaseCallback):
        deadline = float("inf")

        def _on_step(self) -> bool:
            return time.perf_counter() < self.deadline

    callback = Stop()
    model.learn(4_000, callback=callback)
    begun, steps = time.perf_counter(), model.num_timesteps
    callback.deadline = begun + seconds
    model.learn(10**9, callback=callback, reset_num_timesteps=False)
    rate = (model.num_timesteps - steps) / (time.perf_counter() - begun)
    env.close()
    return rate


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table; ratios are to the better of the peer's two usual ways, round by round."""
    rows = []
    for task in OURS:
        if f"{task} dummy" not in measured:
            continue
        pairs = zip(measured[f"{task} dummy"]["rates"], measured[f"{task} subproc"]["rates"], strict=True)
        best = [max(pair) for pair in pairs]
        for name, title in contenders(task).items():
            rates = measured[f"{task} {name}"]["rates"]
            ratio = statistics.median(a / b for a, b in zip(rates, best, strict=True))
            target = f">= {TARGETS[task, name]:g}" if (task, name) in TARGETS else ""
            rows.append([task, title, f"{statistics.median(rates):,.0f}", f"{ratio:.2f}", target])
    columns = ["task", "contender", "steps/s, median", "ratio, median of rounds", "target"]
    return [Table(columns, rows), f"{protocol(measured)}."]


def main() -> None:
    """Measure all contenders of the tasks in turn, `rounds` times, and write the table of medians."""
    words = parser(__doc__, seconds=20, rounds=5)
    words.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(OURS)}; all if none is named")
    arguments = words.parse_args()
    if arguments.worker:
        task, name = arguments.worker
        print((pongan if name in ("float32", "bfloat16") else stable_baselines3)(task, name, arguments.seconds))
        return
    for task in arguments.tasks:
        if task not in OURS:
            raise UsageError(f"there is no task {task!r}; {nearest(task, OURS)}")
    need("torch", "stable_baselines3")
    packages = ("tensorflow", "numpy", "gymnasium", "ale-py", "torch", "stable-baselines3")
    report = Report(__spec__.name, "actor_critic_speed", layout, packages=packages, resume=True)
    for task in arguments.tasks or OURS:
        workers = {f"{task} {name}": (task, name) for name in contenders(task)}
        report.keep(interleave(__spec__.name, workers, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
