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

__all__ = ["CNN", "Observations", "highest", "is_own"]

BYTE = 255
CNN = "cnn"
"""What `network` calls the convolutions of the DQN paper, the one network that is built in beside dense layers."""


def is_own(network: str) -> bool:
    """Return whether `network` names a function of the user's own."""
    return network not in ("", CNN)


def highest(space: Space) -> int:
    """Return the highest value of a Box of bytes, 1 to 255: what a network sees as 1."""
    return max(int(space.high.max(initial=1)), 1)


@dataclass(frozen=True)
class Observations:
    """How one kind of observation reaches the network."""

    kind: str
    """pixels: pictures [C, H, W] of bytes; tabular: the state's number; vector: any array of numbers."""
    seen: tuple[int, ...]
    """Shape of one observation, as the environment gives it; of pictures with their channels."""
    shape: tuple[int, ...]
    """Shape of one network input: [H/4, W/4, 16 C] bytes (see `core.layers.torsos.blocks`), [C, H, W] uint8, or [D] float32."""
    high: int = 0
    """The highest value of bytes; 0 where observations are no bytes."""
    signed: bool = False
    """Whether bytes are int8 rather than uint8, like difference frames."""

    @classmethod
    def of(cls, space: Space, who: str, network: str = "", *, in_blocks: bool = True) -> Observations:
        """Read the kind off an observation space; UsageError (naming the agent `who`) when none fits.

        `network` is that of `agents.rl.networks.torso`: one of the user's own gets pictures as they are, as do all without
        `in_blocks`; cnn takes int8 for pictures as well, [H, W] or [C, H, W], which are numbers to the others.
        """
        in_blocks = in_blocks and not is_own(network)
        sides = len(space.shape or ())
        pictures = space.dtype == np.uint8 and sides == 3
        if network == CNN:
            pictures = space.dtype in (np.uint8, np.int8) and sides in (2, 3)
            if not pictures:
                seen = "states" if isinstance(space, Discrete) else f"{space.dtype} of shape {list(space.shape or ())}"
                raise UsageError(f"network 'cnn' is for pictures of bytes, [C, H, W] or [H, W]; {who} sees {seen} here")
        if isinstance(space, Discrete):
            return cls("tabular", (), (int(space.n),))
        if isinstance(space, Box) and pictures:
            C, H, W = (1, *space.shape)[-3:]
            if not in_blocks:
                return cls("pixels", (C, H, W), (C, H, W), highest(space))
            if min(H, W) < 36 or H % 4 or W % 4:
                raise UsageError(
                    f"{who} got pictures of shape {list(space.shape)}; it needs [C, H, W] with sides divisible by 4, at least 36"
                )
            return cls("pixels", (C, H, W), (H // 4, W // 4, 16 * C), highest(space), space.dtype == np.int8)
        if isinstance(space, Box):
            high = highest(space) if space.dtype == np.uint8 else 0
            return cls("vector", tuple(space.shape), (int(np.prod(space.shape)),), high)
        raise UsageError(f"{who} needs Box or Discrete observations; these are {space}")

    @property
    def dtype(self) -> type[np.generic]:
        """Of one network input."""
        if self.kind != "pixels":
            return np.float32
        return np.int8 if self.signed else np.uint8

    @property
    def unit(self) -> int:
        """What the networks of pictures divide by."""
        return self.high if self.signed else BYTE

    def encode(self, obs: np.ndarray) -> np.ndarray:
        """Return [N, *shape] for observations [N, ...]."""
        if self.kind == "pixels":
            if self.high != self.unit:
                obs = self._stretched[obs]
            return blocks(obs.reshape(len(obs), *self.seen)) if self.shape != self.seen else obs
        if self.kind == "tabular":
            return np.eye(self.shape[0], dtype=np.float32)[obs]
        rows = np.asarray(obs, np.float32).reshape(len(obs), self.shape[0])
        return rows / np.float32(self.high) if self.high else rows

    @cached_property
    def _stretched(self) -> np.ndarray:
        """The table [256] uint8 that brings the highest value to 255, by which the networks of such pictures divide."""
        return np.minimum(np.rint(np.arange(256) * BYTE / self.high), BYTE).astype(np.uint8)

    def traced(self, obs: Any) -> Any:
        """Return what `encode` returns, for a tensor inside a `tf.function`."""
        import tensorflow as tf

        if self.kind == "tabular":
            return tf.one_hot(obs, self.shape[0])
        if self.kind == "vector":
            rows = tf.reshape(tf.cast(obs, tf.float32), [-1, *self.shape])
            return rows / self.high if self.high else rows
        if self.high != self.unit:
            obs = tf.gather(tf.constant(self._stretched), tf.cast(obs, tf.int32))
        if self.shape == self.seen:
            return obs
        C, H, W = self.seen
        cut = tf.reshape(obs, [-1, C, H // 4, 4, W // 4, 4])
        return tf.reshape(tf.transpose(cut, [0, 2, 4, 1, 3, 5]), [-1, *self.shape])
