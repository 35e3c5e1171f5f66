"""From an environment's observations to a network's input: blocks of bytes for pictures, float32 rows for the rest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from core.errors import UsageError
from core.layers.torsos import blocks

__all__ = ["Observations"]


@dataclass(frozen=True)
class Observations:
    """How one kind of observation reaches the network."""

    kind: str
    """pixels: uint8 pictures [C, H, W]; tabular: the state's number; vector: any array of numbers."""
    seen: tuple[int, ...]
    """Shape of one observation, as the environment gives it."""
    shape: tuple[int, ...]
    """Shape of one network input: [H/4, W/4, 16 C] uint8 (see `core.layers.torsos.blocks`), [C, H, W] uint8, or [D] float32."""

    @classmethod
    def of(cls, space: Space, who: str, *, in_blocks: bool = True) -> Observations:
        """Read the kind off an observation space; UsageError (naming the agent `who`) when none fits.

        Without `in_blocks` pictures reach the network as they are.
        """
        if isinstance(space, Discrete):
            return cls("tabular", (), (int(space.n),))
        if isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3:
            C, H, W = space.shape
            if not in_blocks:
                return cls("pixels", (C, H, W), (C, H, W))
            if min(H, W) < 36 or H % 4 or W % 4:
                raise UsageError(
                    f"{who} got pictures of shape {list(space.shape)}; it needs [C, H, W] with sides divisible by 4, at least 36"
                )
            return cls("pixels", (C, H, W), (H // 4, W // 4, 16 * C))
        if isinstance(space, Box):
            return cls("vector", tuple(space.shape), (int(np.prod(space.shape)),))
        raise UsageError(f"{who} needs Box or Discrete observations; these are {space}")

    def encode(self, obs: np.ndarray) -> np.ndarray:
        """Return [N, *shape] for observations [N, ...]."""
        if self.kind == "pixels":
            return blocks(obs) if self.shape != self.seen else obs
        if self.kind == "tabular":
            return np.eye(self.shape[0], dtype=np.float32)[obs]
        return np.asarray(obs, np.float32).reshape(len(obs), self.shape[0])

    def traced(self, obs: Any) -> Any:
        """Return what `encode` returns, for a tensor inside a `tf.function`."""
        import tensorflow as tf

        if self.kind == "tabular":
            return tf.one_hot(obs, self.shape[0])
        if self.kind == "vector":
            return tf.reshape(tf.cast(obs, tf.float32), [-1, *self.shape])
        if self.shape == self.seen:
            return obs
        C, H, W = self.seen
        cut = tf.reshape(obs, [-1, C, H // 4, 4, W // 4, 4])
        return tf.reshape(tf.transpose(cut, [0, 2, 4, 1, 3, 5]), [-1, *self.shape])
