from __future__ import annotations

from math import log, sqrt

import numpy as np
import pytest

from core import uct


class Bandit:
    """One action, which earns what it says, and then the second player may take part of it back."""

    seen = None

    def __init__(self, gains: list[float], losses: list[float]):
        self.gains, self.losses, self.player, self.over = gains, losses, 1, False

    def actions(self) -> range:
        return range(len(self.gains if self.player == 1 else self.losses))

    def play(self, action: int) -> float:
        if self.player == 1:
            self.player = -1
            self.over = not self.losses
            return self.gains[action]
        self.over = True
        return -self.losses[action]


def test_every_action_is_tried_once_and_then_by_upper_confidence() -> None:
    rng, c = np.random.default_rng(0), 0.3
    n, total = np.zeros(3), np.zeros(3)
    gains = [0.0, 1.0, 0.8]
    for simulation in range(60):  # UCB1 by hand; the returns seen span 1
        if simulation < 3:
            continue
        if simulation == 3:
            n, total = np.ones(3), np.array(gains)
        a = int(np.argmax(total / n + c * np.sqrt(log(n.sum()) / n)))
        n[a] += 1
        total[a] += gains[a]
    root = uct.search(lambda: Bandit(gains, []), 60, rng, exploration=c)
    assert [root.children[a].visits for a in range(3)] == n.tolist()
    assert [root.children[a].mean for a in range(3)] == pytest.approx(gains)
    assert root.visits == 60 and uct.best_action(root) == 1


def test_the_second_player_takes_what_costs_the_first_most() -> None:
    root = uct.search(lambda: Bandit([1.0, 2.0], [0.0, 0.5, 3.0]), 600, np.random.default_rng(0))
    for a in (0, 1):
        replies = root.children[a].after[None].children
        assert max(replies, key=lambda b: replies[b].visits) == 2
    assert uct.best_action(root) == 1
    assert root.children[1].mean == pytest.approx(2 - 3, abs=0.5)


def test_returns_are_discounted() -> None:
    root = uct.search(lambda: Bandit([1.0], [0.5]), 10, np.random.default_rng(0), gamma=0.9)
    assert root.children[0].mean == pytest.approx(1 - 0.9 * 0.5)
    assert root.children[0].after[None].children[0].mean == pytest.approx(-0.5)


def test_a_roll_out_is_played_to_its_end() -> None:
    assert uct.roll_out(Bandit([2.0], [4.0]), np.random.default_rng(0), 0.5) == 2 - 0.5 * 4
    assert sqrt(2) == uct.search.__kwdefaults__["exploration"]


class Coin:
    """Guess after it was thrown: seeing it, one wins always; a plan made before wins every other time."""

    player = 1

    def __init__(self, rng: np.random.Generator):
        self.rng, self.seen, self.over = rng, None, False

    def actions(self) -> range:
        return range(1 if self.seen is None else 2)

    def play(self, action: int) -> float:
        if self.seen is None:
            self.seen = int(self.rng.integers(2))
            return 0.0
        self.over = True
        return float(action == self.seen)


def test_what_is_seen_is_answered() -> None:
    rng = np.random.default_rng(0)
    root = uct.search(lambda: Coin(rng), 400, rng)
    thrown = root.children[0]
    assert {seen: uct.best_action(node) for seen, node in thrown.after.items()} == {0: 0, 1: 1}
    assert thrown.mean > 0.8 and thrown.visits == 400
