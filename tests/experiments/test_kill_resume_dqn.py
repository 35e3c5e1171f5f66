"""`dqn` killed and resumed, with its replay in memory and in a file, uniform and prioritised."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments.test_kill_resume import check_killed_equals_undisturbed

CARTPOLE = (
    *("dqn", "--agent.env.id", "CartPole-v1", "--agent.capacity", 2_000, "--agent.learning-starts", 500),
    *("--agent.hidden", 16, "--agent.epsilon-steps", 2_000, "--agent.target-every", 200, "--eval.episodes", 2),
    *("--run.until", 9_000, "--run.save-every", 500, "--run.eval-every", 4_000, "--run.log-every", 250),
)
PRIORITISED = ("--agent.prioritised", "--agent.n-step", 3, "--agent.beta-steps", 8_000)
PONG = (
    *("dqn", "--agent.capacity", 3_000, "--agent.learning-starts", 500, "--agent.envs", 2, "--agent.target-every", 100),
    *("--agent.epsilon-steps", 2_000, "--eval.episodes", 1, "--agent.env.time-limit", 200),
    *("--run.until", 6_000, "--run.save-every", 500, "--run.eval-every", 3_000, "--run.log-every", 250),
)


@pytest.mark.slow
def test_cartpole_with_a_prioritised_replay_in_a_file(launch, tmp_path: Path) -> None:
    """The ring of 2,000 slots, and the file of three save intervals more, go round before the end."""
    flags = (*CARTPOLE, *PRIORITISED, "--agent.replay-on-disk", "yes")
    check_killed_equals_undisturbed(launch, tmp_path, flags, kills=2, seed=3)
    assert list(tmp_path.glob("b/*/*/*/*/replay.bin"))


@pytest.mark.slow
def test_cartpole_with_a_replay_in_memory(launch, tmp_path: Path) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, CARTPOLE, kills=3, seed=4)
    assert not list(tmp_path.glob("b/**/replay.bin"))


@pytest.mark.slow
def test_rainbow_goes_on_with_the_same_noise(launch, tmp_path: Path) -> None:
    rainbow = (*PRIORITISED, "--agent.double", "--agent.dueling", "--agent.noisy", "--agent.distribution", "c51")
    check_killed_equals_undisturbed(launch, tmp_path, (*CARTPOLE, *rainbow, "--agent.v-max", 100), kills=3, seed=6)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [(), PRIORITISED], ids=["uniform", "prioritised"])
def test_pong_with_a_replay_in_a_file(launch, tmp_path: Path, flags: tuple) -> None:
    experiment = (*PONG, *flags, "--agent.replay-on-disk", "yes")
    check_killed_equals_undisturbed(launch, tmp_path, experiment, kills=3, seed=5)
