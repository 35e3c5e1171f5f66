"""A run killed at random moments and resumed ends as the run that nobody disturbed: weights and curves bit for bit."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from core import checkpoint
from experiments.launcher.events import read_scalars
from tests.conftest import only_run


def experiment(preset: str, flags: str, until: int, save: int, evaluate: int, log: int = 1_000) -> list[str]:
    every = f"--run.until {until} --run.save-every {save} --run.eval-every {evaluate} --run.log-every {log}"
    return [preset, *flags.split(), *every.split()]


SMALL = (  # the ring of the replay goes round
    "--agent.env.id Pendulum-v1 --agent.hidden 16 16 --agent.batch 16 --agent.capacity 1500 --agent.learning-starts 300"
    " --agent.burst 4 --eval.episodes 2"
)
SHORT = "--eval.episodes 4 --agent.hidden 32"
ATARI = "--agent.env.id ALE/Pong-v5 --agent.env.actions 0 2 3 --eval.episodes 1 --agent.env.time-limit 300"
SLOW = {
    "policy-gradient": experiment("policy-gradient-cartpole", SHORT, 120_000, 3_000, 20_000),
    "actor-critic": experiment(  # in the middle of rollouts and of epochs, with running statistics
        "actor-critic-lunarlander",
        f"{SHORT} --agent.n-steps 160 --agent.turn 16 --agent.normalize-observations True",
        24_000,
        1_000,
        9_000,
        500,
    ),
    "pqn": experiment(  # in the middle of rollouts and of epochs
        "pqn", f"{SHORT} --agent.turn 16 --agent.env.id Acrobot-v1 --agent.minibatches 64", 60_000, 3_000, 25_000
    ),
    "alphazero": experiment(  # in the middle of games; the ring of positions goes round
        "alphazero-tictactoe",
        "--agent.games 8 --agent.learning-starts 200 --agent.batch 32 --agent.capacity 1000 --eval.episodes 2",
        *(6_000, 300, 2_500, 200),
    ),
    "masked": experiment(  # Taxi's info has an action_mask
        "actor-critic",
        f"--agent.env.id Taxi-v4 --agent.env.time-limit 60 {SHORT} --agent.n-steps 40 --agent.turn 16 --agent.clip 0.2"
        " --agent.epochs 2 --agent.minibatches 4",
        *(24_000, 1_000, 9_000, 500),
    ),
    "masked-dqn": experiment(
        "dqn", f"--agent.env.id Taxi-v4 --agent.env.time-limit 60 {SHORT}", 9_000, 500, 4_000, 250
    ),
    "a3c": experiment("a3c-cartpole", f"{SHORT} --agent.workers 3 --agent.turn 10", 30_000, 1_000, 10_000, 500),
    "actor-critic-lstm": experiment(  # in the middle of rollouts, of episodes and of epochs
        "actor-critic-cartpole-positions",
        f"{SHORT} --agent.n-steps 40 --agent.turn 16 --agent.memory-size 8",
        *(10_000, 450, 4_000, 200),
    ),
    "a3c-gru": experiment(
        "a3c-cartpole",
        f"{SHORT} --agent.workers 1 --agent.turn 10 --agent.memory gru --agent.memory-size 8 --agent.env.hide 1 3",
        *(10_000, 450, 4_000, 200),
    ),
    "sac": experiment("sac", f"{SMALL} --agent.prioritised --agent.n-step 3", 9_000, 500, 4_000, 250),
    "td3": experiment("td3", f"{SMALL} --agent.envs 2 --agent.replay-on-disk yes", 9_000, 500, 4_000, 250),
    "ddpg": experiment("ddpg", SMALL, 9_000, 500, 4_000, 250),
    "pong-pg-fast": experiment("pong-pg-fast", "--eval.episodes 2", 40_000, 4_000, 15_000),
    "pong-pg-classic": experiment("policy-gradient", "--eval.episodes 2", 45_000, 4_000, 0),
    "actor-critic-atari": experiment("actor-critic", f"{ATARI} --agent.envs 4", 16_000, 800, 4_000, 200),
    "ppo-atari": experiment(
        "actor-critic",
        f"{ATARI} --agent.envs 4 --agent.n-steps 64 --agent.turn 16 --agent.epochs 2 --agent.minibatches 2 --agent.clip 0.1",
        *(16_000, 700, 4_000, 200),
    ),
}


def check_killed_equals_undisturbed(
    launch, tmp_path: Path, experiment: list[str], kills: int, seed: int, curve: str = "rollout/return"
) -> None:
    def finish(process) -> None:
        out, err = process.communicate(timeout=1200)
        assert process.returncode == 0, out + err

    common = ("--run.deterministic", "--run.seed", 7)
    finish(launch("run", *experiment, *common, "--run.folder", tmp_path / "a"))
    undisturbed = only_run(tmp_path / "a")

    rng = random.Random(seed)
    process = launch("run", *experiment, *common, "--run.folder", tmp_path / "b")
    while not list((tmp_path / "b").glob("*/*/*/checkpoints/000000000000")):
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)
    killed = only_run(tmp_path / "b")
    clocks_at_kill = []
    for _ in range(kills):
        start = checkpoint.numbered(killed)[0].name
        while checkpoint.numbered(killed)[0].name <= start and process.poll() is None:
            time.sleep(0.01)  # every stretch makes some way
        time.sleep(rng.uniform(0, 0.5))
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.communicate()
        clocks_at_kill.append(checkpoint.numbered(killed)[0].name)
        process = launch("resume", killed)
    finish(process)
    assert len(clocks_at_kill) >= min(kills, 2), f"killed only at {clocks_at_kill}"

    final_a, final_b = checkpoint.numbered(undisturbed)[0], checkpoint.numbered(killed)[0]
    assert final_a.name == final_b.name
    with np.load(final_a / "arrays.npz") as a, np.load(final_b / "arrays.npz") as b:
        assert sorted(a.files) == sorted(b.files)
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])
    curves_a, curves_b = read_scalars(undisturbed), read_scalars(killed)
    assert curves_a.keys() == curves_b.keys()
    for tag in curves_a:
        if not tag.startswith("time/"):
            assert curves_a[tag] == curves_b[tag], tag
    assert len(curves_a[curve]) > 10


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_killed_at_random_moments(launch, tmp_path: Path, name: str) -> None:
    curve = "value/root" if name == "alphazero" else "rollout/return"
    check_killed_equals_undisturbed(launch, tmp_path, SLOW[name], kills=4, seed=2, curve=curve)
