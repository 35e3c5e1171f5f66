"""From an environment's observations to a network's input: blocks of bytes for pictures, float32 rows for the rest.

Bytes mean their space's highest value, not 255: what the space calls its highest is 1 to the network, in pictures and in rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from core.errors import UsageError
from core.layers.torsos import blocks

__all__ = ["Observations", "highest"]

BYTE = 255


def highest(space: Space) -> int:
    """Return the highest value of a Box of bytes, 1 to 255: what a network sees as 1."""
    return max(int(space.high.max(initial=1)), 1)


@dataclass(frozen=True)
class Observations:
    """How one kind of observation reaches the network."""

    kind: str
    """pixels: uint8 pictures [C, H, W]; tabular: the state's number; vector: any array of numbers."""
    seen: tuple[int, ...]
    """Shape of one observation, as the environment gives it."""
    shape: tuple[int, ...]
    """Shape of one network input: [H/4, W/4, 16 C] uint8 (see `core.layers.torsos.blocks`), [C, H, W] uint8, or [D] float32."""
    high: int = 0
    """The highest value of bytes; 0 where observations are no bytes."""

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
                return cls("pixels", (C, H, W), (C, H, W), highest(space))
            if min(H, W) < 36 or H % 4 or W % 4:
                raise UsageError(
                    f"{who} got pictures of shape {list(space.shape)}; it needs [C, H, W] with sides divisible by 4, at least 36"
                )
            return cls("pixels", (C, H, W), (H // 4, W // 4, 16 * C), highest(space))
        if isinstance(space, Box):
            high = highest(space) if space.dtype == np.uint8 else 0
            return cls("vector", tuple(space.shape), (int(np.prod(space.shape)),), high)
        raise UsageError(f"{who} needs Box or Discrete observations; these are {space}")

    def encode(self, obs: np.ndarray) -> np.ndarray:
        """Return [N, *shape] for observations [N, ...]."""
        if self.kind == "pixels":
            if self.high != BYTE:
                obs = self._stretched[obs]
            return blocks(obs) if self.shape != self.seen else obs
        if self.kind == "tabular":
            return np.eye(self.shape[0], dtype=np.float32)[obs]
        rows = np.asarray(obs, np.float32).reshape(len(obs), self.shape[0])
        return rows / np.float32(self.high) if self.high else rows

    @cached_property
    def _stretched(self) -> np.ndarray:
        """The table [256] uint8 that brings the highest value to 255, by which the networks of pictures divide."""
        return np.minimum(np.rint(np.arange(256) * BYTE / self.high), BYTE).astype(np.uint8)

    def traced(self, obs: Any) -> Any:
        """Return what `encode` returns, for a tensor inside a `tf.function`."""
        import tensorflow as tf

        if self.kind == "tabular":
            return tf.one_hot(obs, self.shape[0])
        if self.kind == "vector":
            rows = tf.reshape(tf.cast(obs, tf.float32), [-1, *self.shape])
            return rows / self.high if self.high else rows
        if self.high != BYTE:
            obs = tf.gather(tf.constant(self._stretched), tf.cast(obs, tf.int32))
        if self.shape == self.seen:
            return obs
        C, H, W = self.seen
        cut = tf.reshape(obs, [-1, C, H // 4, 4, W // 4, 4])
        return tf.reshape(tf.transpose(cut, [0, 2, 4, 1, 3, 5]), [-1, *self.shape])
