"""Environment steps per second of `policy-gradient` on Pong beside the algorithm as originally written.

    python -m experiments.benchmarks.policy_gradient [--seconds 30] [--rounds 5]

The original, written here from the description in "Deep Reinforcement Learning: Pong from Pixels" (Karpathy, 2016):
one game, numpy forward pass for every frame, numpy backward pass for every episode, one RMSProp step after ten episodes,
two actions. All contenders play ALE/Pong-v5 with frame skip 4 and no sticky actions, from random weights, each in a
process of its own with its own choice of threads. A measurement begins and ends after all updates of a batch, so that both
halves of the work are in it.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from experiments.benchmarks.interleaved import built, interleave, parser, per_second, protocol
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

CONTENDERS = {
    "original": "as originally written (numpy, one game)",
    "policy-gradient": "`policy-gradient` (classic: ten games, whole episodes)",
    "pong-pg-fast": "`pong-pg-fast` (sixteen games that never idle, three epochs over every batch)",
    "pong-pg-fast frames": "`pong-pg-fast` on four pictures",
    "pong-pg-fast cnn": "`pong-pg-fast` through convolutions",
    "emulator": "the emulator alone (sixteen games, random actions): what any agent is bounded by",
}
FLAGS = {"frames": "--agent.env.observation pong80frames", "cnn": "--agent.network cnn"}
TARGETS = {"policy-gradient": 2.0}


def original(seconds: float) -> float:
    """Return environment steps per second of the original algorithm."""
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    env = gymnasium.make("ALE/Pong-v5", frameskip=4, repeat_action_probability=0.0)
    hidden, gamma, decay, lr = 200, 0.99, 0.99, 1e-4
    rng = np.random.default_rng(0)
    model = {"W1": rng.normal(size=(hidden, 6400)) / np.sqrt(6400), "W2": rng.normal(size=hidden) / np.sqrt(hidden)}
    gradient = {k: np.zeros_like(v) for k, v in model.items()}
    squares = {k: np.zeros_like(v) for k, v in model.items()}

    def frame(screen: np.ndarray) -> np.ndarray:
        field = screen[35:195:2, ::2, 0].copy()
        field[(field == 144) | (field == 109)] = 0
        field[field != 0] = 1
        return field.astype(float).ravel()

    def episode() -> int:
        xs, hs, dlogps, rewards = [], [], [], []
        screen, _ = env.reset()
        previous, ended = None, False
        while not ended:
            current = frame(screen)
            x = current - previous if previous is not None else np.zeros(6400)
            previous = current
            h = np.maximum(model["W1"] @ x, 0)
            p_up = 1 / (1 + np.exp(-(model["W2"] @ h)))
            up = rng.random() < p_up
            xs.append(x)
            hs.append(h)
            dlogps.append(up - p_up)
            screen, reward, terminated, truncated, _ = env.step(2 if up else 3)
            rewards.append(float(reward))
            ended = terminated or truncated
        G, following = np.zeros(len(rewards)), 0.0
        for t in reversed(range(len(rewards))):
            following = rewards[t] if rewards[t] != 0 else gamma * following  # afresh at every point
            G[t] = following
        G = (G - G.mean()) / G.std()
        X, H = np.vstack(xs), np.vstack(hs)
        dlogp = np.array(dlogps) * G
        gradient["W2"] += H.T @ dlogp
        dH = np.outer(dlogp, model["W2"])
        dH[H <= 0] = 0
        gradient["W1"] += dH.T @ X
        return len(rewards)

    def batch() -> int:
        steps = sum(episode() for _ in range(10))
        for k in model:
            squares[k] = decay * squares[k] + (1 - decay) * gradient[k] ** 2
            model[k] += lr * gradient[k] / (np.sqrt(squares[k]) + 1e-5)
            gradient[k][:] = 0
        return steps

    return per_second(batch, seconds)


def preset(name: str, seconds: float, option: str = "") -> float:
    """Return environment steps per second of our plugin or one of its presets, with one of `FLAGS`."""
    with built([name, *FLAGS.get(option, "").split()]) as agent:

        def batch() -> int:
            begun: int = agent.clock
            while "optim/gradient_norm" not in agent.step() or agent.batch is not None:
                continue
            return int(agent.clock) - begun

        return per_second(batch, seconds)


def emulator(seconds: float) -> float:
    """Return environment steps per second of the environments of `pong-pg-fast` with random actions."""
    from envs import EnvConfig, make

    config = EnvConfig("ALE/Pong-v5", observation="pong80x2", actions=(0, 2, 3), noop_max=0)
    halves = [make(config, 8, seed, may_idle=False) for seed in range(2)]
    rng = np.random.default_rng(0)
    for half in halves:
        half.reset()
        half.send(rng.integers(3, size=8))

    def batch() -> int:
        for _ in range(256):
            for half in halves:
                half.recv()
                half.send(rng.integers(3, size=8))
        return 256 * 16

    measured = per_second(batch, seconds)
    for half in halves:
        half.close()
    return measured


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of medians; ratios are to the original, round by round."""
    rows = []
    first = measured["original"]["rates"]
    for name, title in CONTENDERS.items():
        if name not in measured:
            continue
        rates = measured[name]["rates"]
        ratio = statistics.median(a / b for a, b in zip(rates, first, strict=True))
        target = f">= {TARGETS[name]:g}" if name in TARGETS else ""
        rows.append([title, f"{statistics.median(rates):,.0f}", f"{ratio:.2f}", target])
    columns = ["what", "steps/s, median", "ratio, median of rounds", "target"]
    return [Table(columns, rows), f"{protocol(measured)}; random initial weights."]


def main() -> None:
    """Measure all contenders in turn, `rounds` times, and write the table of medians."""
    arguments = parser(__doc__, seconds=30, rounds=5).parse_args()
    if arguments.worker:
        name, *option = arguments.worker
        own = {"original": original, "emulator": emulator}
        print(own[name](arguments.seconds) if name in own else preset(name, arguments.seconds, *option))
        return
    packages = ("tensorflow", "numpy", "gymnasium", "ale-py")
    report = Report(__spec__.name, "policy_gradient_speed", layout, packages=packages)
    workers = {name: name.split() for name in CONTENDERS}
    report.keep(interleave(__spec__.name, workers, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    main()
