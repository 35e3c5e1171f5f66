import gymnasium
import numpy as np
import pytest

from experiments.benchmarks.dqn_frozenlake import best_policy, success_probability


@pytest.mark.slow
def test_the_exact_worth_of_a_frozenlake_policy_is_what_playing_it_gives() -> None:
    policy = best_policy()
    env = gymnasium.make("FrozenLake-v1", is_slippery=True)
    won = 0.0
    for episode in range(1_500):
        s, _ = env.reset(seed=episode)
        done = False
        while not done:
            s, r, terminated, truncated, _ = env.step(int(policy[s]))
            won, done = won + float(r), terminated or truncated
    assert abs(success_probability(policy) - won / 1_500) < 4 * np.sqrt(0.25 / 1_500)
    assert round(success_probability(policy), 3) == 0.740  # within 100 steps; 0.824 without a limit
    assert round(success_probability(policy, limit=10_000), 3) == 0.824


def test_six_slips_by_hand() -> None:
    """Always right: a step goes right, up or down, each with 1/3. Three paths of six steps miss all holes."""
    right = np.full(16, 2)
    assert success_probability(right, limit=5) == 0.0
    np.testing.assert_allclose(success_probability(right, limit=6), 3 / 3**6)
