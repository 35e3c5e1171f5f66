"""Environment steps per second of `actor-critic` beside Stable-Baselines3, while both learn.

    python -m experiments.benchmarks.actor_critic [TASK...] [--seconds 20] [--rounds 5]

Same network, same hyper-parameters, same environment (no sticky actions, frame skip 4, up to 30 no-ops), each contender in a
process of its own, interleaved. The peer runs as its users run it, with `make_atari_env` or `make_vec_env` and DummyVecEnv or
SubprocVecEnv; in further rows it gets ale-py's native vector environment through an adapter. Peers come from the extra
`peers`. A measurement begins after the first updates.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.benchmarks.interleaved import interleave, machine
from experiments.benchmarks.peers import pong

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "actor_critic_speed"
PONG = "--agent.env.id ALE/Pong-v5 --agent.env.actions 0 1 2 3 4 5"
OURS = {  # task -> flags
    "pong": f"{PONG} --agent.envs 16 --agent.entropy 0.01",
    "cartpole": "--agent.envs 8",
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
    from core.runtime import configure
    from experiments.launcher.catalogue import catalogue
    from experiments.launcher.flags import parse
    from experiments.launcher.restore import make_plugin
    from experiments.launcher.settings import RunConfig

    spec, _ = catalogue().find("actor-critic")
    config = parse(spec, [], OURS[task].split(), prog=spec.name, usage="").agent
    configure(device="cpu", precision=precision)  # type: ignore[arg-type]
    settings = RunConfig(precision=precision)  # type: ignore[arg-type]
    agent = make_plugin(spec, config, settings, Path(tempfile.mkdtemp()), lambda line: None)
    warm = 4_000
    while agent.clock < warm:
        agent.step()
    begun, clock = time.perf_counter(), agent.clock
    while time.perf_counter() - begun < seconds:
        agent.step()
    rate = (agent.clock - clock) / (time.perf_counter() - begun)
    agent.close()
    return rate


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


def main() -> None:
    """Measure all contenders of the tasks in turn, `rounds` times, and write the table of medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("tasks", nargs="*", default=list(OURS), help=f"of {', '.join(OURS)}")
    parser.add_argument("--seconds", type=float, default=20.0, help="time of one measurement")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each contender, interleaved")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    unknown = [task for task in arguments.tasks if task not in OURS]
    if unknown:
        parser.error(f"there is no task {unknown[0]!r}; choose from {', '.join(OURS)}")
    if arguments.worker:
        (task,), name = arguments.tasks, arguments.worker
        run: Callable[..., float] = pongan if name in ("float32", "bfloat16") else stable_baselines3
        print(run(task, name, arguments.seconds))
        return
    file = RESULTS.with_suffix(".json")
    kept = json.loads(file.read_text()) if file.exists() else {}
    for task in arguments.tasks:
        workers = {name: (task, "--worker", name, "--seconds", arguments.seconds) for name in contenders(task)}
        rates = interleave(__spec__.name, workers, arguments.rounds)
        note = (
            f"{arguments.rounds} interleaved rounds of {arguments.seconds:g} s, {machine()}; "
            f"`python -m experiments.benchmarks.actor_critic {task} --seconds {arguments.seconds:g} --rounds {arguments.rounds}`"
        )
        kept[task] = {"steps_per_second": rates, "protocol": note}
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(kept, indent=2) + "\n")
    RESULTS.with_suffix(".md").write_text(table(kept))
    print(table(kept))


def table(measured: dict[str, Any]) -> str:
    """Return the results as Markdown; ratios are to the better of the peer's two usual ways, round by round."""
    lines = [
        "| task | contender | steps/s, median | ratio, median of rounds | target |",
        "| --- | --- | --- | --- | --- |",
    ]
    for task, entry in measured.items():
        rates = entry["steps_per_second"]
        best = [max(pair) for pair in zip(rates["dummy"], rates["subproc"], strict=True)]
        for name, title in contenders(task).items():
            ratio = statistics.median(a / b for a, b in zip(rates[name], best, strict=True))
            target = f">= {TARGETS[task, name]:g}" if (task, name) in TARGETS else ""
            lines.append(f"| {task} | {title} | {statistics.median(rates[name]):,.0f} | {ratio:.2f} | {target} |")
    notes = sorted({f"{task}: {entry['protocol']}" for task, entry in measured.items()})
    return "\n".join([*lines, "", *[f"{note}." for note in notes]]) + "\n"


if __name__ == "__main__":
    main()
