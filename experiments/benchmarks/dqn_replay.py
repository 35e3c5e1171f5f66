"""The replay of `dqn` at a million frames: memory, disk and the time of a minibatch beside that of an update.

python -m experiments.benchmarks.dqn_replay
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

SLACK = 150_000  # steps


def replay(frames: int = 1_000_000, envs: int = 8, batches: int = 300) -> dict[str, float]:
    """Fill a replay file with a million frames and draw minibatches of 32 stacks, beside an update of the Nature network.

    Returns seconds, bytes and counts.
    """
    from agents.dqn.agent import DQN
    from agents.dqn.config import DQNConfig
    from core.plugin import Context
    from core.replay import Replay
    from core.runtime import configure
    from envs import EnvConfig

    configure()
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
            slack=SLACK,
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
        on_disk = (Path(folder) / "replay.bin").stat().st_blocks * 512
        agent = DQN(DQNConfig(env=EnvConfig("ALE/Pong-v5"), capacity=1_000), Context(seed=0, folder=Path(folder)))
        drawn = memory.sample(32)
        update = []
        for number in range(25):
            begun = time.perf_counter()
            agent._update(drawn, 1)
            if number >= 5:
                update.append(time.perf_counter() - begun)
        agent.close()
        memory.close()
    return {
        "frames": frames,
        "slack": SLACK,
        "envs": envs,
        "batches": batches,
        "bytes_live": memory.bytes_live,
        "bytes_slack": memory.bytes_slack,
        "bytes_on_disk": on_disk,
        "sample_seconds": statistics.median(times),
        "update_seconds": statistics.median(update),
        "store_seconds": stored,
        "checkpoint_seconds": checkpointed,
    }


def layout(m: dict[str, Any]) -> list[Part]:
    """Return the table of what `replay` measured."""
    rows = [
        [f"live frames, {m['frames']:,}", f"{m['bytes_live'] / 1e9:.2f} GB", "<= 7.5 GB"],
        [f"slack of {m['slack']:,} steps", f"{m['bytes_slack'] / 1e9:.2f} GB", ""],
        ["file on disk", f"{m['bytes_on_disk'] / 1e9:.2f} GB", ""],
        [
            "drawing 32 transitions (64 stacks of 4), median",
            f"{m['sample_seconds'] * 1e3:.2f} ms",
            "below the next line",
        ],
        ["one update of the Nature network on them, median", f"{m['update_seconds'] * 1e3:.2f} ms", ""],
        [f"storing one frame, random bytes, {m['envs']} environments", f"{m['store_seconds'] * 1e6:.1f} us", ""],
        ["bringing the last frames to disk for a checkpoint", f"{m['checkpoint_seconds']:.2f} s", ""],
    ]
    return [Table(["what", "measured", "target"], rows), f"{m['batches']} minibatches after filling."]


def main() -> None:
    """Measure and write the table."""
    argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0]).parse_args()
    report = Report(__spec__.name, "dqn_replay", layout)
    report.keep(replay())
    report.write()


if __name__ == "__main__":
    main()
