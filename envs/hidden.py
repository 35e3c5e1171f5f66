"""Environments of which a part is hidden, so that one observation no longer tells the state: CartPole without its velocities."""

from __future__ import annotations

from collections.abc import Sequence

import gymnasium
import numpy as np
from gymnasium.spaces import Box

from core.errors import UsageError

__all__ = ["Hidden"]


class Hidden(gymnasium.ObservationWrapper):
    """Leaves the components `hide` out of vector observations [D].

    Raises UsageError (naming the environment `name`) for observations that are no vector, for components that it has not, and
    where nothing would be left.
    """

    def __init__(self, env: gymnasium.Env, hide: Sequence[int], name: str):
        super().__init__(env)
        space = env.observation_space
        if not isinstance(space, Box) or len(space.shape) != 1:
            raise UsageError(f"hide {list(hide)} is for vectors of numbers; observations of {name} are {space}")
        (D,) = space.shape
        if wrong := [i for i in hide if not 0 <= i < D]:
            raise UsageError(f"hide names component {wrong[0]}, but observations of {name} have 0 to {D - 1}")
        self._seen = [i for i in range(D) if i not in hide]
        if not self._seen:
            raise UsageError(f"hide {list(hide)} leaves nothing of the observations of {name}; leave one component out")
        self.observation_space = Box(space.low[self._seen], space.high[self._seen], dtype=space.dtype)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return np.asarray(observation)[self._seen]
