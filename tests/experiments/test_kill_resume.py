"""A run killed at random moments and resumed ends as the run that nobody disturbed: weights and curves bit for bit."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from core import checkpoint
from experiments.tensorboard import read_scalars
from tests.conftest import only_run

CARTPOLE = (
    "policy-gradient-cartpole",
    "--agent.eval-episodes",
    4,
    "--agent.hidden",
    32,
    "--run.until",
    120_000,
    "--run.save-every",
    3_000,
    "--run.eval-every",
    20_000,
    "--run.log-every",
    1_000,
)
PONG = (
    "pong-pg-fast",
    "--agent.eval-episodes",
    2,
    "--run.until",
    40_000,
    "--run.save-every",
    4_000,
    "--run.eval-every",
    15_000,
    "--run.log-every",
    1_000,
)
CLASSIC_PONG = (
    "policy-gradient",
    "--agent.eval-episodes",
    2,
    "--run.until",
    45_000,
    "--run.save-every",
    4_000,
    "--run.eval-every",
    0,
    "--run.log-every",
    1_000,
)


def check_killed_equals_undisturbed(launch, tmp_path: Path, experiment: tuple, kills: int, seed: int) -> None:
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
    assert len(curves_a["rollout/return"]) > 10


def test_cartpole_killed_at_random_moments(launch, tmp_path: Path) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, CARTPOLE, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", [PONG, CLASSIC_PONG], ids=["fast", "classic"])
def test_pong_killed_at_random_moments(launch, tmp_path: Path, experiment: tuple) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, experiment, kills=4, seed=2)
