"""Blackjack computed from its rules: the published policy is the best one, and worth what playing it gives."""

from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from experiments.benchmarks.tabular_blackjack import best_policy, compared, dealer, decisions, published, stick, worth


def test_the_dealer_goes_bust_as_often_as_published() -> None:
    """Of an endless deck, standing on every 17 (Griffin, The Theory of Blackjack), in percent, from the ace to the ten."""
    bust = [100 * dealer(*((11, True) if card == 1 else (card, False)))[0] for card in range(1, 11)]
    np.testing.assert_allclose(bust, [11.53, 35.36, 37.39, 39.45, 41.64, 42.32, 26.23, 24.47, 22.84, 21.21], atol=0.006)
    assert sum(dealer(10, False).values()) == pytest.approx(1)
    assert stick(12, 6) == pytest.approx(2 * 0.4232 - 1, abs=1e-4)  # below 17 nothing but a bust wins


def test_the_published_policy_is_the_best_there_is() -> None:
    best, known = best_policy(), published()
    assert [state for state in decisions() if best[state] != known[state]] == [] and len(list(decisions())) == 200
    assert known[12, 4, 0] == 0 and known[12, 3, 0] == 1 and known[18, 8, 1] == 0 and known[18, 9, 1] == 1
    assert compared(known)["agree"] == 200
    other = known.copy()
    other[20, 5, 0] = 1
    assert compared(other)["agree"] == 199 and compared(other)["apart"][0]["loses"] > 1
    assert worth(other) < worth(known)


def test_a_policy_is_worth_what_playing_it_gives() -> None:
    env, policy = gymnasium.make("Blackjack-v1"), published()
    won = []
    for episode in range(6_000):
        obs, _ = env.reset(seed=episode)
        done = False
        while not done:
            obs, reward, done, _, _ = env.step(int(policy[obs]))
        won.append(float(reward))
    assert abs(np.mean(won) - worth(policy)) < 4 * np.std(won) / np.sqrt(len(won))
    assert worth(np.ones((22, 11, 2), int)) == pytest.approx(-1)  # whoever always hits goes bust
