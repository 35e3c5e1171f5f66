"""The transition model p(s', r | s, a) of an environment that tells it, and what can be computed from it exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gymnasium
import numpy as np
import scipy.sparse

from core.errors import UsageError
from envs import VectorEnv

__all__ = ["Dynamics"]

MOST_SWEEPS = 100_000
ROUNDING = 1e-12  # a change between two sweeps that is none


@dataclass(frozen=True)
class Dynamics:
    """S states and A actions. Nothing follows a terminal transition, so the book's V(terminal) = 0 needs no state."""

    R: np.ndarray
    """r(s, a), the expected reward [S, A] (eq. 3.5)."""
    P: scipy.sparse.csr_matrix
    """p(s' | s, a) of the transitions after which the episode goes on [S * A, S]; rows sum to less than 1 where it may end."""
    start: np.ndarray | None
    """Probability [S] of being the first state, or None where the environment does not tell."""

    @classmethod
    def of(cls, made: gymnasium.Env, env: VectorEnv, who: str) -> Dynamics | None:
        """Read Gymnasium's `P[s][a] = [(probability, s', reward, terminated), ...]` off an instance, None where there is none.

        States and actions are those of `env`, counted from 0. Raises UsageError for a P that does not fit them.
        """
        told = getattr(made.unwrapped, "P", None)
        if told is None or len(env.state_shape) != 1:
            return None
        S, A, first = env.state_shape[0], len(env.actions), env.first_state
        R, rows, columns, p = np.zeros((S, A)), [], [], []
        try:
            for s in range(S):
                for a in range(A):
                    outcomes = told[s + first][env.actions[a]]
                    total = sum(probability for probability, *_ in outcomes)
                    if abs(total - 1) > 1e-6:
                        raise ValueError(
                            f"the probabilities of state {s + first} and action {env.actions[a]} sum to {total:g}"
                        )
                    for probability, following, reward, terminated in outcomes:
                        R[s, a] += probability * reward
                        if not terminated:
                            rows.append(s * A + a)
                            columns.append(int(following) - first)
                            p.append(probability)
            P = scipy.sparse.csr_matrix((p, (rows, columns)), (S * A, S))
        except (LookupError, TypeError, ValueError) as error:
            raise UsageError(
                f"the transition model P of {who} cannot be read ({type(error).__name__}: {error}); P[state][action] must be a "
                "list of (probability, next state, reward, terminated)"
            ) from error
        start = getattr(made.unwrapped, "initial_state_distrib", None)
        start = None if start is None else np.asarray(start, float).ravel()
        return cls(R, P, start if start is not None and start.shape == (S,) else None)

    def backup(self, V: np.ndarray, gamma: float) -> np.ndarray:
        """Return sum_{s', r} p(s', r | s, a) [r + gamma V(s')], for V [S] -> [S, A] (the sum in eq. 4.9)."""
        return self.R + gamma * (self.P @ V).reshape(self.R.shape)

    def optimal(self, gamma: float) -> np.ndarray | None:
        """Return v* [S], up to rounding; None where sweeps do not settle, which only an undiscounted sum can do."""
        V = np.zeros(len(self.R))
        for _ in range(MOST_SWEEPS):
            V, old = self.backup(V, gamma).max(axis=1), V
            if np.abs(V - old).max() <= ROUNDING * max(1.0, np.abs(V).max()):
                return V
        return None

    def evaluate(self, policy: np.ndarray, gamma: float) -> np.ndarray | None:
        """Return v_pi [S] for pi(a|s) [S, A]: Bellman's equation 3.14, solved as a linear system.

        None where the undiscounted sum has no value since the policy may never end.
        """
        R, P = self.under(policy)
        try:
            return np.linalg.solve(np.eye(len(R)) - gamma * P.toarray(), R)
        except np.linalg.LinAlgError:
            return None

    def expected_return(self, policy: np.ndarray, steps: int) -> float | None:
        """Return the expected sum of rewards, undiscounted, of pi(a|s) [S, A] from the start for at most `steps` steps.

        It is the probability of success where a success is rewarded by 1 and nothing else is. None without a start.
        """
        if self.start is None:
            return None
        R, P = self.under(policy)
        total, here = 0.0, self.start  # of every state: probability that the episode is there
        for _ in range(steps):
            total += here @ R
            here = P.T @ here
        return float(total)

    def reachable(self, policy: np.ndarray) -> np.ndarray:
        """Return in which states [S] pi(a|s) [S, A] may have to act: not in terminal ones, nor where no start leads to."""
        if self.start is None:
            return np.ones(len(self.R), bool)
        P = self.under(policy)[1]
        seen = frontier = self.start > 0
        while frontier.any():
            frontier = (P.T @ frontier.astype(float) > 0) & ~seen
            seen = seen | frontier
        return seen

    def under(self, policy: np.ndarray) -> tuple[np.ndarray, Any]:
        """Return the expected reward [S] and the transitions [S, S] (sparse) of pi(a|s) [S, A]."""
        S, A = self.R.shape
        choice = scipy.sparse.csr_matrix((policy.ravel(), (np.repeat(np.arange(S), A), np.arange(S * A))), (S, S * A))
        return (policy * self.R).sum(axis=1), choice @ self.P
