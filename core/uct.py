"""Monte Carlo tree search with upper confidence bounds: UCT (Kocsis and Szepesvari, 2006; Browne et al., 2012, algorithm 2).

A simulation has four steps: selection down the tree by UCB1, expansion by one action, simulation with random actions to the end,
backup along the path. Where the environment draws what follows an action, each thing that may be seen then has a node of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from math import inf, log, sqrt
from typing import Protocol

import numpy as np

__all__ = ["Node", "Simulation", "Tried", "best_action", "roll_out", "search"]


class Simulation(Protocol):
    """A state that can be played on, by one player or by two in turn."""

    player: int
    """Whose turn it is: 1, or -1 for the second player, whose gain is the first one's loss."""
    over: bool

    @property
    def seen(self) -> Hashable:
        """What tells this state from others that the last action may have led to; None where it leads to one alone."""
        ...

    def actions(self) -> Sequence[int]:
        """Return the actions that are allowed here; at least one unless `over`."""
        ...

    def play(self, action: int) -> float:
        """Take an action and return the reward of player 1."""
        ...


class Node:
    """A state: how often it was met, and the actions that were tried in it."""

    __slots__ = ("children", "visits")

    def __init__(self) -> None:
        self.visits = 0
        self.children: dict[int, Tried] = {}


class Tried:
    """An action: how often it was taken, the returns of player 1 from there on, summed, and the states by what was seen then."""

    __slots__ = ("after", "total", "visits")

    def __init__(self) -> None:
        self.visits, self.total = 0, 0.0
        self.after: dict[Hashable, Node] = {}

    @property
    def mean(self) -> float:
        return self.total / self.visits


def search(
    begin: Callable[[], Simulation],
    simulations: int,
    rng: np.random.Generator,
    *,
    exploration: float = sqrt(2),
    gamma: float = 1.0,
) -> Node:
    """Return the root of the tree after `simulations` simulations; `begin` gives a new state to play on for each.

    `exploration` is the constant c of UCB1 for returns between 0 and 1: returns count by their place between the smallest and
    the largest one seen. `gamma` discounts each step.
    """
    root = Node()
    low, high = inf, -inf
    for _ in range(simulations):
        state, node, path = begin(), root, []
        new = False
        while not (state.over or new):
            actions = state.actions()
            untried = [a for a in actions if a not in node.children]
            new = bool(untried)
            if new:  # expansion
                a = untried[int(rng.random() * len(untried))]
                node.children[a] = Tried()
            else:  # selection
                scale, sign = (high - low or 1.0), state.player
                reach = exploration * sqrt(log(node.visits))
                a = max(
                    actions,
                    key=lambda a: sign * node.children[a].mean / scale + reach / sqrt(node.children[a].visits),
                )
            tried = node.children[a]
            path.append((node, tried, state.play(a)))
            node = tried.after.setdefault(state.seen, Node())
        G = roll_out(state, rng, gamma)
        for node, tried, r in reversed(path):  # backup
            G = r + gamma * G
            node.visits += 1
            tried.visits += 1
            tried.total += G
            low, high = min(low, G), max(high, G)
    return root


def roll_out(state: Simulation, rng: np.random.Generator, gamma: float = 1.0) -> float:
    """Play random actions to the end and return the return of player 1."""
    G, weight = 0.0, 1.0
    while not state.over:
        actions = state.actions()
        G += weight * state.play(actions[int(rng.random() * len(actions))])
        weight *= gamma
    return G


def best_action(root: Node) -> int:
    """Return the action that was tried most often."""
    return max(root.children, key=lambda a: root.children[a].visits)
