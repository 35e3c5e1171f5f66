"""From what environments draw to a film: pictures of any common type and shape as [T, H, W, 3] uint8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from core.errors import UsageError

__all__ = ["MOST_SIDE", "film"]

MOST_SIDE = 65_535  # pixels that a GIF can have
CHANNELS = (1, 3, 4)  # grey, colour, colour with transparency, which a film leaves out


def film(pictures: Sequence[Any]) -> np.ndarray:
    """Return pictures, each as an environment drew it, as frames [T, H, W, 3] uint8.

    Pictures are [H, W], [H, W, 1], [H, W, 3], [H, W, 4] or the channels first: bytes, other whole numbers from 0 to 255 (uint16:
    to 65,535), booleans, or fractions, which reach from 0 to 1 unless one in the film is larger. Raises UsageError with a
    clause that says why these are no film.
    """
    if not len(pictures):
        raise UsageError("nothing was drawn")
    arrays = [_array(picture) for picture in pictures]
    first = arrays[0]
    if any(array.shape != first.shape for array in arrays):
        other = next(array for array in arrays if array.shape != first.shape)
        raise UsageError(f"its pictures change their shape, {list(first.shape)} to {list(other.shape)}")
    frames = np.stack(arrays)  # [T, H, W, C]
    if max(frames.shape[1:3]) > MOST_SIDE:
        raise UsageError(
            f"its pictures are {frames.shape[2]}x{frames.shape[1]}; a film has at most {MOST_SIDE:,} pixels a side"
        )
    frames = _bytes(frames)[..., :3]
    return np.ascontiguousarray(np.broadcast_to(frames, (*frames.shape[:3], 3)))


def _array(picture: Any) -> np.ndarray:
    """Return one picture as [H, W, C] of its own type."""
    if picture is None:
        raise UsageError("render() returned None")
    try:
        array = np.asarray(picture)
    except ValueError as error:
        raise UsageError(f"render() returned a {type(picture).__name__} that is no picture") from error
    shape = list(array.shape)
    if array.dtype.kind not in "biuf":
        raise UsageError(f"render() returned {type(picture).__name__}, which is no picture")
    if array.ndim == 2:
        array = array[..., None]
    elif array.ndim == 3 and array.shape[2] not in CHANNELS and array.shape[0] in CHANNELS:
        array = array.transpose(1, 2, 0)
    if array.ndim != 3 or array.shape[2] not in CHANNELS or not array.size:
        raise UsageError(f"its pictures have shape {shape}; a picture is [H, W], [H, W, 3] or [H, W, 4]")
    return array


def _bytes(frames: np.ndarray) -> np.ndarray:
    """Return frames of any numbers as bytes."""
    kind = frames.dtype
    if kind == np.uint8:
        return frames
    if kind.kind == "b":
        return frames.astype(np.uint8) * np.uint8(255)
    if not np.isfinite(frames).all():
        raise UsageError("its pictures hold nan or inf")
    least, most = frames.min(), frames.max()
    if least < 0:
        raise UsageError(f"its pictures hold {least:g}; they must not go below 0")
    if kind == np.uint16 and most > 255:
        return (frames >> 8).astype(np.uint8)
    if most > 255:
        raise UsageError(f"its pictures hold {most:g}; they must not go above 255")
    if kind.kind == "f":
        frames = np.rint(frames * (255 if most <= 1 else 1))
    return frames.astype(np.uint8)
