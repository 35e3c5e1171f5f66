"""`tabular` killed and resumed: the table, Dyna-Q's model with its counts, and n-step SARSA in the middle of its n steps."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments.test_kill_resume import check_killed_equals_undisturbed

LAKE = (
    *("tabular", "--agent.turn", 50, "--eval.episodes", 5, "--agent.lr-steps", 20_000, "--agent.epsilon-steps", 20_000),
    *("--run.until", 30_000, "--run.save-every", 1_000, "--run.eval-every", 15_000, "--run.log-every", 500),
)


@pytest.mark.slow
def test_dyna_q(launch, tmp_path: Path) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, (*LAKE, "--agent.method", "dyna-q"), kills=2, seed=1)
    assert len(list(tmp_path.glob("*/*/*/*/files/policy.png"))) == 2


@pytest.mark.slow
@pytest.mark.parametrize("method", ["n-step-sarsa", "double-q-learning", "mc-every-visit"])
def test_the_others_that_wait_for_something(method: str, launch, tmp_path: Path) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, (*LAKE, "--agent.method", method), kills=3, seed=2)
