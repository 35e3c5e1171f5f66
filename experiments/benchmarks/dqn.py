"""`dqn` measured: speed beside Stable-Baselines3, the replay of a million frames, the exact worth of a FrozenLake policy.

    python -m experiments.benchmarks.dqn speed [--seconds 12] [--rounds 2] [--only cartpole]
    python -m experiments.benchmarks.dqn replay
    python -m experiments.benchmarks.dqn frozenlake [--seeds 5] [--folder runs]

speed: the same network and hyper-parameters on both sides, each measurement in a process of its own, interleaved.
Stable-Baselines3 (the extra `peers`) plays as its users run it, in DummyVecEnv and SubprocVecEnv, and on Pong once more through
an adapter over `AtariVectorEnv`, the emulator interface that `dqn` uses.
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

import numpy as np

from experiments.benchmarks.interleaved import interleave, machine
from experiments.benchmarks.peers import pong

__all__ = ["frozenlake", "main", "replay", "speed", "success_probability"]

RESULTS = Path(__file__).parent / "results"
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

# --- speed ------------------------------------------------------------------------------------------------------------


def ours(game: str, envs: int, kind: str, seconds: float) -> float:
    """Return environment steps per second of `dqn`, updates included."""
    from agents.dqn.agent import DQN
    from agents.dqn.config import DQNConfig
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
        optimizer="adam",
        lr=1e-4,
        loss="mean",
        clip_norm=10.0,
        epsilon_steps=2_000,
        epsilon_end=0.05,
    )
    with tempfile.TemporaryDirectory() as folder:
        agent = DQN(config, Context(seed=0, folder=Path(folder)))
        while agent.updates < 50:
            agent.step()
        begun, clock = time.perf_counter(), agent.clock
        while time.perf_counter() - begun < seconds:
            agent.step()
        rate = (agent.clock - clock) / (time.perf_counter() - begun)
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


def speed(seconds: float, rounds: int, only: str) -> None:
    """Measure all contenders in turn and write the table of medians."""
    names = [name for name in CONTENDERS if name.startswith(only)]
    workers = {name: ("speed", "--worker", name, "--seconds", seconds) for name in names}
    file = RESULTS / "dqn_speed.json"
    kept = json.loads(file.read_text())["steps_per_second"] if file.exists() else {}
    rates = {name: kept[name] for name in CONTENDERS if name in kept} | interleave(__spec__.name, workers, rounds)
    _write_speed(rates, seconds, rounds)


def _write_speed(rates: dict[str, list[float]], seconds: float, rounds: int) -> None:
    lines = [
        "| game | what | steps/s, median | over the best Dummy/Subproc | over the adapter | target |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, values in rates.items():
        game = name.split()[0]
        rivals = [n for n in rates if n.startswith(f"{game} peer") and n.endswith("burst") == name.endswith("burst")]
        usual = [rates[n] for n in rivals if not n.endswith("native")]
        native = [rates[n] for n in rivals if n.endswith("native")]
        ratios = [  # round by round
            f"{statistics.median(v / max(p) for v, *p in zip(values, *peers, strict=True)):.2f}" if peers else ""
            for peers in (usual, native)
        ]
        target = next((f">= {TARGETS[key]:g}" for key in sorted(TARGETS, reverse=True) if name.startswith(key)), "")
        median = statistics.median(values)
        lines.append(f"| {game} | {CONTENDERS[name]} | {median:,.0f} | {ratios[0]} | {ratios[1]} | {target} |")
    note = (
        f"{rounds} interleaved rounds of {seconds:g} s each after 50 updates; batch 32, an update every {UPDATE_EVERY} "
        "environment steps, Adam 1e-4, Huber, gradients clipped at 10; CartPole 64x64 units (PyTorch on one thread, faster "
        "there than two), Pong the Nature network on 84x84x4, random initial weights; "
        f"{machine()}; `python -m experiments.benchmarks.dqn speed --seconds {seconds:g} --rounds {rounds}`"
    )
    _write("dqn_speed", lines, note, {"steps_per_second": rates, "protocol": note})


def _worker(name: str, seconds: float) -> float:
    game, who, envs, *kind = name.split()
    measure: Callable[..., float] = ours if who == "ours" else peer
    return measure(game, int(envs), kind[0] if kind else "", seconds)


# --- replay -----------------------------------------------------------------------------------------------------------


def replay(frames: int = 1_000_000, envs: int = 8, batches: int = 300) -> None:
    """Fill a replay file with a million frames and draw minibatches of 32 stacks, beside an update of the Nature network."""
    from agents.dqn.agent import DQN
    from agents.dqn.config import DQNConfig
    from core.plugin import Context
    from core.replay import Replay
    from core.runtime import configure
    from envs import EnvConfig

    configure()
    lines = ["| what | measured | target |", "| --- | --- | --- |"]
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory(dir=".") as folder:
        memory = Replay(
            frames,
            (84, 84),
            np.uint8,
            num_envs=envs,
            stack=4,
            rng=np.random.default_rng(1),
            path=Path(folder) / "replay.bin",
            slack=150_000,
        )
        pool = rng.integers(0, 256, (64, envs, 4, 84, 84), dtype=np.uint8)
        no = np.zeros(envs, bool)
        action, reward = np.zeros(envs, int), np.zeros(envs)
        begun, steps = time.perf_counter(), 0
        while len(memory) < frames:
            ends = rng.random(envs) < 1 / 1_000
            memory.add(pool[steps % 64], action, reward, ends, no, pool[(steps + 1) % 64])
            steps += 1
        stored = (time.perf_counter() - begun) / (steps * envs)
        begun = time.perf_counter()
        memory.state()
        checkpointed = time.perf_counter() - begun
        times = []
        for _ in range(batches):
            begun = time.perf_counter()
            memory.sample(32)
            times.append(time.perf_counter() - begun)
        used = (Path(folder) / "replay.bin").stat().st_blocks * 512
        agent = DQN(DQNConfig(env=EnvConfig("ALE/Pong-v5"), capacity=1_000), Context(seed=0, folder=Path(folder)))
        drawn = memory.sample(32)
        update = []
        for number in range(25):
            begun = time.perf_counter()
            agent._update(drawn, 1e-4, 1)
            if number >= 5:
                update.append(time.perf_counter() - begun)
        agent.close()
        memory.close()
    draw, learn = statistics.median(times), statistics.median(update)
    lines += [
        f"| live frames, {frames:,} | {memory.bytes_live / 1e9:.2f} GB | <= 7.5 GB |",
        f"| slack of 150,000 steps | {memory.bytes_slack / 1e9:.2f} GB |  |",
        f"| file on disk | {used / 1e9:.2f} GB |  |",
        f"| drawing 32 transitions (64 stacks of 4), median | {draw * 1e3:.2f} ms | below the next line |",
        f"| one update of the Nature network on them, median | {learn * 1e3:.2f} ms |  |",
        f"| storing one frame, random bytes, {envs} environments | {stored * 1e6:.1f} us |  |",
        f"| bringing the last frames to disk for a checkpoint | {checkpointed:.2f} s |  |",
    ]
    note = f"{batches} minibatches after filling; {machine()}; `python -m experiments.benchmarks.dqn replay`"
    measured = {"sample_seconds": draw, "update_seconds": learn, "store_seconds": stored, "bytes": memory.bytes_live}
    _write("dqn_replay", lines, note, measured | {"protocol": note})


# --- FrozenLake -------------------------------------------------------------------------------------------------------


def success_probability(policy: np.ndarray, limit: int = 100) -> float:
    """Return the exact probability that `policy` [16] reaches the goal of slippery FrozenLake within `limit` steps."""
    P, start = _frozenlake()
    reached, here = 0.0, start  # probability of the goal; of every state in which the episode goes on [16]
    for _ in range(limit):
        following = np.zeros(len(here))
        for s in np.flatnonzero(here):
            for p, s_t, r_t, terminated in P[s][policy[s]]:
                reached += here[s] * p * r_t
                following[s_t] += 0 if terminated else here[s] * p
        here = following
    return reached


def best_policy(gamma: float = 0.99) -> np.ndarray:
    """Return the optimal policy [16] for the discounted reward, by value iteration."""
    P, start = _frozenlake()
    V = np.zeros(len(start))
    for _ in range(10_000):
        Q = np.array(
            [[sum(p * (r + gamma * V[s_t] * (not end)) for p, s_t, r, end in P[s][a]) for a in P[s]] for s in P]
        )
        V = Q.max(axis=1)
    return Q.argmax(axis=1)


def _frozenlake() -> tuple[Any, np.ndarray]:
    import gymnasium

    env = gymnasium.make("FrozenLake-v1", is_slippery=True).unwrapped
    return env.P, np.asarray(env.initial_state_distrib, float)


def frozenlake(seeds: int, folder: str) -> None:
    """Train `dqn-frozenlake` and compute what the greedy policy of the final weights is worth."""
    from core import checkpoint
    from core.runtime import configure
    from experiments.benchmarks.learning import trained
    from experiments.launcher.experiment import StoredRun
    from experiments.launcher.restore import make_plugin

    runs = [trained("dqn-frozenlake", seed, folder, []) for seed in range(1, seeds + 1)]
    configure()
    lines = ["| seed | exact success probability | 100 episodes | steps |", "| --- | --- | --- | --- |"]
    rows = []
    for run in runs:
        stored = StoredRun.of([str(run)])
        agent = make_plugin(stored.spec, stored.config, stored.settings, run / "files", lambda line: None)
        checkpoint.load(checkpoint.numbered(run)[0], {"plugin": agent.state()}, weights_only=True)
        policy = np.asarray(agent.model(np.eye(16, dtype=np.float32))).argmax(axis=1)
        results = json.loads((run / "results.json").read_text())
        exact = success_probability(policy)
        rows.append({"seed": stored.settings.seed, "exact": exact, "policy": policy.tolist()})
        played, clock = results["headline"]["final"], results["clock"]["value"]
        lines.append(f"| {stored.settings.seed} | {exact:.4f} | {played:.2f} | {clock:,} |")
        agent.close()
    exacts = [row["exact"] for row in rows]
    spread = statistics.stdev(exacts) if len(exacts) > 1 else 0.0
    note = (
        f"Mean {statistics.mean(exacts):.4f} +- {spread:.4f} over {seeds} seeds, target 0.735; the policy that value iteration "
        f"finds (gamma 0.99) has {success_probability(best_policy()):.4f}. FrozenLake-v1, slippery, 100 steps; computed "
        f"from env.P, not played. {time.strftime('%Y-%m-%d')}; `python -m experiments.benchmarks.dqn frozenlake --seeds {seeds}`"
    )
    _write("dqn_frozenlake", lines, note, {"rows": rows, "protocol": note})


# --- the command ------------------------------------------------------------------------------------------------------


def _write(name: str, lines: list[str], note: str, measured: dict[str, Any]) -> None:
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.md").write_text("\n".join([*lines, "", note]) + "\n")
    (RESULTS / f"{name}.json").write_text(json.dumps(measured, indent=2) + "\n")
    print("\n".join([*lines, "", note]))


def main() -> None:
    """Run one of the three measurements."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("what", choices=["speed", "replay", "frozenlake"])
    parser.add_argument("--seconds", type=float, default=12.0, help="speed: length of one measurement")
    parser.add_argument("--rounds", type=int, default=2, help="speed: measurements of each contender, interleaved")
    parser.add_argument("--only", default="", help="speed: contenders whose name begins so")
    parser.add_argument("--seeds", type=int, default=5, help="frozenlake: seeds 1 to N")
    parser.add_argument("--folder", default="runs", help="frozenlake: root of the run folders")
    parser.add_argument("--worker", choices=list(CONTENDERS), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(_worker(arguments.worker, arguments.seconds))
    elif arguments.what == "speed":
        speed(arguments.seconds, arguments.rounds, arguments.only)
    elif arguments.what == "replay":
        replay()
    else:
        frozenlake(arguments.seeds, arguments.folder)


if __name__ == "__main__":
    main()
