"""From an environment's observations to a network's input: blocks of pixels for pictures, float32 rows for the rest.

Bytes mean their space's highest value, not 255: what the space calls its highest is 1 to the network, in pictures and in rows.
Pictures of float numbers are divided by the largest of their bounds.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from core.errors import UsageError
from core.layers.torsos import blocks
from envs.spaces import Mixed, highest, is_picture, largest

__all__ = ["CNN", "LEAST", "Observations", "is_own"]

BYTE = 255
LEAST = 36
"""Pixels a side that the network of the DQN paper needs."""
CNN = "cnn"
"""What `network` calls the convolutions that are built in beside dense layers."""


def is_own(network: str) -> bool:
    """Return whether `network` names a function of the user's own."""
    return network not in ("", CNN)


@dataclass(frozen=True)
class Observations:
    """How one kind of observation reaches the network."""

    kind: str
    """pixels: pictures [C, H, W]; tabular: the state's number; vector: any array of numbers; mixed: a row that begins with a
    picture."""
    seen: tuple[int, ...]
    """Shape of one observation, as `VectorEnv` gives it; of pictures with their channels."""
    shape: tuple[int, ...]
    """Shape of one network input: [H/4, W/4, 16 C] (see `core.layers.torsos.blocks`), [C, H, W], or [D] float32."""
    high: float = 0
    """The highest value of bytes, the largest bound of float pixels; 0 where numbers are passed on as they are."""
    picture: tuple[int, ...] = ()
    """[C, H, W] of the picture with which a mixed row begins."""
    pixel: type[np.generic] = np.uint8
    """Of pictures, to the network: uint8, int8 like difference frames, or float32."""

    @classmethod
    def of(cls, space: Space, who: str, network: str = "", *, in_blocks: bool = True) -> Observations:
        """Read the kind off an observation space; UsageError (naming the agent `who`) when none fits.

        `network` is that of `agents.rl.networks.torso`: one of the user's own gets pictures as they are, as do all without
        `in_blocks`; cnn takes what other networks take for rows: int8, [H, W], and sides below 8 pixels.
        """
        if isinstance(space, Mixed):
            return cls("mixed", space.shape, space.shape, picture=space.picture)
        pictures = is_picture(space)
        if network == CNN:
            pictures = isinstance(space, Box) and len(space.shape) in (2, 3) and _has_pixels(space)
            if not pictures:
                seen = "states" if isinstance(space, Discrete) else f"{space.dtype} of shape {list(space.shape or ())}"
                raise UsageError(
                    f"network 'cnn' is for pictures, [C, H, W] or [H, W], of bytes or of float numbers with bounds; {who} sees "
                    f"{seen} here"
                )
        if isinstance(space, Discrete):
            return cls("tabular", (), (int(space.n),))
        if not isinstance(space, Box):
            raise UsageError(f"{who} needs Box or Discrete observations; these are {space}")
        if not pictures:
            most = highest(space) if space.dtype == np.uint8 else 0
            return cls("vector", tuple(space.shape), (int(np.prod(space.shape)),), most)
        C, H, W = (1, *space.shape)[-3:]
        pixel: type[np.generic] = np.int8 if space.dtype == np.int8 else np.uint8
        high: float = highest(space)
        if space.dtype.kind == "f":
            high, pixel = largest(space), np.float32
        cut = in_blocks and not is_own(network) and min(H, W) >= LEAST
        shape = (-(-H // 4), -(-W // 4), 16 * C) if cut else (C, H, W)
        return cls("pixels", (C, H, W), shape, high, pixel=pixel)

    @property
    def pictured(self) -> bool:
        """Whether convolutions look at them, alone or beside dense layers."""
        return self.kind in ("pixels", "mixed")

    @property
    def in_blocks(self) -> bool:
        """Whether pictures are cut into blocks of 4x4 pixels, as the network of the DQN paper gets them."""
        return self.kind == "pixels" and self.shape != self.seen

    @property
    def filled(self) -> tuple[int, ...]:
        """Shape of pictures after zeros below and on the right have made their sides multiples of 4, where they are cut."""
        return (self.seen[0], 4 * self.shape[0], 4 * self.shape[1]) if self.in_blocks else self.seen

    @property
    def dtype(self) -> type[np.generic]:
        """Of one network input."""
        return self.pixel if self.kind == "pixels" else np.float32

    @property
    def unit(self) -> int:
        """What the networks of pictures divide by."""
        if self.pixel is np.float32:
            return 1
        return int(self.high) if self.pixel is np.int8 else BYTE

    def encode(self, obs: np.ndarray) -> np.ndarray:
        """Return [N, *shape] for observations [N, ...]."""
        if self.kind == "pixels":
            if self.pixel is np.float32:
                obs = np.asarray(obs, np.float32) / np.float32(self.high)
            elif self.high != self.unit:
                obs = self._stretched[obs]
            if not self.in_blocks:
                return obs if obs.shape[1:] == self.seen else obs.reshape(len(obs), *self.seen)
            if self.filled != self.seen:
                obs = np.pad(obs.reshape(len(obs), *self.seen), self._fill)
            return blocks(obs.reshape(len(obs), *self.filled))
        if self.kind == "tabular":
            return np.eye(self.shape[0], dtype=np.float32)[obs]
        rows = np.asarray(obs, np.float32).reshape(len(obs), self.shape[0])
        return rows / np.float32(self.high) if self.high else rows

    @property
    def _fill(self) -> list[tuple[int, int]]:
        return [(0, 0), *((0, new - old) for new, old in zip(self.filled, self.seen, strict=True))]

    @cached_property
    def _stretched(self) -> np.ndarray:
        """The table [256] uint8 that brings the highest value to 255, by which the networks of such pictures divide."""
        return np.minimum(np.rint(np.arange(256) * BYTE / self.high), BYTE).astype(np.uint8)

    def traced(self, obs: Any) -> Any:
        """Return what `encode` returns, for a tensor inside a `tf.function`."""
        import tensorflow as tf

        if self.kind == "tabular":
            return tf.one_hot(obs, self.shape[0])
        if self.kind in ("vector", "mixed"):
            rows = tf.reshape(tf.cast(obs, tf.float32), [-1, *self.shape])
            return rows / self.high if self.high else rows
        if self.pixel is np.float32:
            obs = tf.cast(obs, tf.float32) / self.high
        elif self.high != self.unit:
            obs = tf.gather(tf.constant(self._stretched), tf.cast(obs, tf.int32))
        obs = tf.reshape(obs, [-1, *self.seen])
        if not self.in_blocks:
            return obs
        C, H, W = self.filled
        cut = tf.reshape(tf.pad(obs, self._fill), [-1, C, H // 4, 4, W // 4, 4])
        return tf.reshape(tf.transpose(cut, [0, 2, 4, 1, 3, 5]), [-1, *self.shape])


def _has_pixels(space: Box) -> bool:
    """Whether a Box holds numbers that network cnn takes for pixels."""
    if space.dtype.kind == "f":
        return bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())
    return space.dtype in (np.uint8, np.int8)
