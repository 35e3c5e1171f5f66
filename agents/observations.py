"""From an environment's observations to a network's input: bytes for pictures, float32 rows for the rest."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from core.errors import UsageError

__all__ = ["Observations"]


@dataclass(frozen=True)
class Observations:
    """How one kind of observation reaches the network."""

    kind: str
    """pixels: uint8 pictures [C, H, W] as they are; tabular: the state's number as a one-hot row; vector: flattened numbers."""
    shape: tuple[int, ...]
    """Of one network input: [C, H, W] or [D]."""

    @classmethod
    def of(cls, space: Space, who: str) -> Observations:
        """Read the kind off an observation space; UsageError (naming the agent `who`) when none fits."""
        if isinstance(space, Discrete):
            return cls("tabular", (int(space.n),))
        if isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3:
            if min(space.shape[1:]) < 36:
                raise UsageError(
                    f"{who} got pictures of shape {list(space.shape)}; it needs [C, H, W] of at least 36 x 36 pixels"
                )
            return cls("pixels", tuple(space.shape))
        if isinstance(space, Box):
            return cls("vector", (int(np.prod(space.shape)),))
        raise UsageError(f"{who} needs Box or Discrete observations; these are {space}")

    def encode(self, obs: np.ndarray) -> np.ndarray:
        """Return [N, *shape] for observations [N, ...]."""
        if self.kind == "pixels":
            return obs
        if self.kind == "tabular":
            return np.eye(self.shape[0], dtype=np.float32)[obs]
        return np.asarray(obs, np.float32).reshape(len(obs), self.shape[0])
