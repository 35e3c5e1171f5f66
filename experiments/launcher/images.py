"""Arrays of bytes as pictures: grids, PNG and GIF."""

from __future__ import annotations

import io
import math

import numpy as np
from PIL import Image

__all__ = ["as_image", "gif", "grid", "png"]


def grid(images: np.ndarray, columns: int = 0) -> np.ndarray:
    """Return images [N, H, W, C] as one picture [rows*H, columns*W, C], row by row; as square as possible by default."""
    if images.ndim != 4:
        raise ValueError(f"images have shape {list(images.shape)}; [N, H, W, C] is needed")
    count, height, width, channels = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    padded = np.zeros((rows * columns, height, width, channels), images.dtype)
    padded[:count] = images
    return (
        padded.reshape(rows, columns, height, width, channels)
        .swapaxes(1, 2)
        .reshape(rows * height, columns * width, channels)
    )


def gif(frames: np.ndarray, frames_per_second: float = 30) -> bytes:
    """Return frames [T, H, W, C] uint8 as an animated GIF that repeats for ever."""
    pictures = [as_image(frame) for frame in frames]
    output = io.BytesIO()
    duration = round(1000 / frames_per_second / 10) * 10  # the format counts hundredths of a second
    pictures[0].save(output, "GIF", save_all=True, append_images=pictures[1:], duration=max(duration, 20), loop=0)
    return output.getvalue()


def png(picture: np.ndarray) -> bytes:
    output = io.BytesIO()
    as_image(picture).save(output, "PNG")
    return output.getvalue()


def as_image(array: np.ndarray) -> Image.Image:
    """Return an array [H, W, C] uint8 as Pillow's image; only the axis of channels goes, a picture can be one pixel high."""
    return Image.fromarray(array[..., 0] if array.shape[-1] == 1 else array)
