"""Dynamic programming (Sutton and Barto, chapter 4): values by sweeps over all states of a known transition model."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, final

import numpy as np

from agents.tabular.dynamics import Dynamics
from agents.tabular.table import Table

__all__ = ["Planner", "PolicyIteration", "ValueIteration"]


class Planner(ABC):
    """Values V [S], and what is known of the environment."""

    def __init__(self, dynamics: Dynamics, gamma: float):
        self.dynamics, self.gamma = dynamics, gamma
        self.V = Table("V", np.zeros(len(dynamics.R)))

    @abstractmethod
    def sweep(self) -> float:
        """Update the values of all states once and return Delta, the largest change of one."""

    @abstractmethod
    def chosen(self) -> np.ndarray:
        """Return the action of every state [S]."""

    def values(self) -> np.ndarray:
        """Return the value of every state [S]."""
        return self.V.values

    def policy(self, *, greedy: bool) -> np.ndarray:
        """Return pi(a|s) [S, A], greedy or not the same: a planner has nothing to explore."""
        return np.eye(self.dynamics.R.shape[1])[self.chosen()]

    def visited(self) -> np.ndarray:
        """Return which states [S] have been updated: all."""
        return np.ones(len(self.V.values), bool)

    def scalars(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"V": self.V}

    def load_state(self, tree: dict[str, Any]) -> None:  # noqa: B027 - V is restored in place; others have more
        """Take back what `state` told."""


@final
class ValueIteration(Planner):
    """The box of section 4.4, with a second array for the new values as section 4.1 allows."""

    def sweep(self) -> float:
        V, gamma = self.V.values, self.gamma
        new = self.dynamics.backup(V, gamma).max(
            axis=1
        )  # V(s) <- max_a sum p(s', r | s, a) [r + gamma V(s')], eq. 4.10
        change = np.abs(new - V).max()
        self.V.assign(new)
        return float(change)

    def chosen(self) -> np.ndarray:
        return self.dynamics.backup(self.V.values, self.gamma).argmax(axis=1)


@final
class PolicyIteration(Planner):
    """The box of section 4.3: sweeps of iterative evaluation, and an improvement whenever they have settled."""

    def __init__(self, dynamics: Dynamics, gamma: float, theta: float):
        super().__init__(dynamics, gamma)
        self.theta = theta
        self.pi = Table("pi", np.zeros(len(dynamics.R), np.int64))
        self.improvements = 0
        self.changed = 0

    def sweep(self) -> float:
        V, gamma, s = self.V.values, self.gamma, np.arange(len(self.V.values))
        new = self.dynamics.backup(V, gamma)[
            s, self.pi.values
        ]  # V(s) <- sum p(s', r | s, pi(s)) [r + gamma V(s')], eq. 4.5
        change = np.abs(new - V).max()
        self.V.assign(new)
        if change < self.theta:
            self.improve()
        return float(change)

    def improve(self) -> None:
        """pi(s) <- argmax_a sum p(s', r | s, a) [r + gamma V(s')], eq. 4.9; of actions equally good the old one stays."""
        Q, pi, s = self.dynamics.backup(self.V.values, self.gamma), self.pi.values, np.arange(len(self.V.values))
        better = Q.max(axis=1) > Q[s, pi] + 2 * self.theta / (1 - self.gamma)  # beyond what evaluation leaves open
        self.pi.assign(np.where(better, Q.argmax(axis=1), pi))
        self.improvements += 1
        self.changed = int(better.sum())

    def chosen(self) -> np.ndarray:
        return self.pi.values

    def scalars(self) -> dict[str, Any]:
        return {"policy/improvements": self.improvements, "policy/changed_states": self.changed}

    def state(self) -> dict[str, Any]:
        return {"V": self.V, "pi": self.pi, "improvements": self.improvements, "changed": self.changed}

    def load_state(self, tree: dict[str, Any]) -> None:
        self.improvements, self.changed = tree["improvements"], tree["changed"]
