"""An environment as something to search in: whatever happened is its seed and its actions, so it can be played on from there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from gymnasium.spaces import Discrete

from envs.vector import Bank

__all__ = ["Replayed"]


class Replayed:
    """A bank's game, played again up to now and ready to go on: a `core.uct.Simulation` of one player.

    What the environment draws from here on comes from `chance`, not from the episode's own seed: the search must not know
    beforehand what will be drawn. Making the next one takes the bank away from this one.
    """

    player = 1

    def __init__(self, bank: Bank, seed: int, actions: Sequence[int], chance: int, horizon: int):
        assert isinstance(bank.action_space, Discrete)
        self._bank, self._left, self.over = bank, horizon, False
        self.seen = b""
        self._actions = range(int(bank.action_space.n))
        bank.start(0, seed)
        for action in actions:
            self._play(action)
        bank.reseed(chance)

    def actions(self) -> Sequence[int]:
        return self._actions

    def play(self, action: int) -> float:
        reward, ended = self._play(action)
        self._left -= 1
        self.over = ended or self._left == 0
        return reward

    def _play(self, action: int) -> tuple[float, bool]:
        self._bank.send(np.array([action]))
        observation, reward, terminated, truncated = self._bank.recv()
        self.seen = np.asarray(observation).tobytes()
        return float(reward[0]), bool(terminated[0] or truncated[0])
