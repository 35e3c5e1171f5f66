"""What episodes came to: the score and length of each, and the scalars that every agent reports of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

__all__ = ["Episodes"]

RECENT = 100


class Episodes:
    """Scores and lengths of the episodes in progress in N environments, and the returns of the last 100 that ended.

    Scores are sums of rewards as the environment gives them, never clipped.
    """

    def __init__(self, num_envs: int):
        self.score = np.zeros(num_envs)
        self.length = np.zeros(num_envs, int)
        self.recent: list[float] = []
        self.count = 0
        """Episodes that have ended."""
        self._returns: list[float] = []  # of episodes that ended since the last call of `scalars`
        self._lengths: list[int] = []

    def add(
        self, reward: np.ndarray, done: np.ndarray, live: np.ndarray | bool = True, of: slice = slice(None)
    ) -> list[float]:
        """Count one step of the environments `of`; return the returns of the episodes that ended with it.

        reward [N], done [N] bool; `live` [N] bool says which environments took the step at all.
        """
        score, length = self.score[of], self.length[of]
        score += reward
        length += live
        if not done.any():
            return []
        returns = score[done].tolist()
        self.ended(returns, length[done].tolist())
        score[done], length[done] = 0.0, 0
        return returns

    def ended(self, returns: Sequence[float], lengths: Sequence[int]) -> None:
        """Count episodes that were played elsewhere, for instance by workers."""
        self._returns += returns
        self._lengths += lengths
        self.recent = [*self.recent, *returns][-RECENT:]
        self.count += len(returns)

    def scalars(self) -> dict[str, Any]:
        """Return rollout/return, rollout/length (an entry for each episode) and rollout/return_last100, once for each episode.

        Empty where none has ended since the last call. Call it at the end of `step`, so that no checkpoint falls in between.
        """
        if not self._returns:
            return {}
        returns, lengths, self._returns, self._lengths = self._returns, self._lengths, [], []
        return {
            "rollout/return": np.array(returns),
            "rollout/length": np.array(lengths),
            "rollout/return_last100": np.mean(self.recent),
        }

    def state(self) -> dict[str, Any]:
        return {"score": self.score, "length": self.length, "recent": self.recent, "count": self.count}

    def load_state(self, tree: dict[str, Any]) -> None:
        self.score, self.length = tree["score"], tree["length"]
        self.recent, self.count = tree["recent"], tree["count"]
