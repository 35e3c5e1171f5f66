"""One way to make pictures alike: crop, resize with antialiasing, grey or colour."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageOps

from core.unreadable import UNREADABLE

__all__ = [
    "BROKEN",
    "OWN_SIZE",
    "Size",
    "beside",
    "check_pixels",
    "half_of",
    "prepare",
    "prepare_all",
    "reason",
    "sides",
    "upright",
]

BROKEN = (*UNREADABLE, Image.DecompressionBombError)
"""What Pillow and its decoders raise for files that are no pictures, or only half of one, and `check_pixels`."""
LEAST_SHOWN = 64  # pixels of a picture beside another
OWN_SIZE = 64
"""Pixels a side, where pictures have many sizes and nobody says which."""
SIXTEEN_BITS = ("PNG", "PPM")  # formats whose pictures of Pillow's mode I have 16 bits


def reason(error: BaseException) -> str:
    """Return why a picture cannot be read, in a few words."""
    if isinstance(error, Image.UnidentifiedImageError):
        return "no picture format"
    if isinstance(error, Image.DecompressionBombError):
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        return f"more than {most:,} pixels, which are read at most: shrink it or cut it into parts"
    if isinstance(error, MemoryError):
        return "it takes more memory than there is"
    text = getattr(error, "strerror", None) or str(error).split("\n")[0]
    return text if text and not isinstance(error, KeyError) else f"{type(error).__name__} {text}".strip()


def check_pixels(picture: Image.Image) -> None:
    """Raise ValueError for pixels whose white nobody knows: floating-point numbers, and integers of more than 16 bits."""
    if picture.mode == "F":
        raise ValueError("its pixels are floating-point numbers of no known range; 8 or 16 bits are needed")
    if picture.mode == "I" and picture.format not in SIXTEEN_BITS:
        raise ValueError("its pixels are 32-bit integers of no known range; 8 or 16 bits are needed")


def upright(picture: Image.Image) -> Image.Image:
    """Return a picture turned as its EXIF orientation says; 16-bit grey becomes 8-bit, which Pillow would clip at 255.

    Its transparent value becomes an alpha channel. Raises ValueError for pixels of no known range, see `check_pixels`.
    """
    check_pixels(picture)  # before the next line, which forgets the format
    picture = ImageOps.exif_transpose(picture)
    if not picture.mode.startswith("I"):
        return picture
    values = np.asarray(picture, np.float64)
    grey = Image.fromarray(np.round(values / 257).clip(0, 255).astype(np.uint8))
    if "transparency" not in picture.info:
        return grey
    opaque = Image.fromarray(np.where(values == picture.info["transparency"], 0, 255).astype(np.uint8))
    return Image.merge("LA", (grey, opaque))


def half_of(picture: Image.Image, half: int) -> Image.Image:
    """Return the left (0) or right (1) half of a picture, upright; the middle column of an odd number is in neither."""
    picture = upright(picture)
    wide = picture.width // 2
    left = 0 if half == 0 else picture.width - wide
    return picture.crop((left, 0, left + wide, picture.height))


Size = int | tuple[int, int]
"""The side of square pictures, or (height, width)."""


def prepare(picture: Image.Image, size: Size, channels: int, crop: bool) -> np.ndarray:
    """Return a picture as [height, width, channels] uint8.

    `crop` cuts the middle out first, as large as the new sides' ratio allows; otherwise the picture is squeezed. Pillow's
    bicubic filter widens with the scale, so that shrinking does not alias. Transparent pixels are shown on white, EXIF
    orientation is applied.
    """
    picture = upright(picture)
    if picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        ground = Image.new("RGBA", picture.size, "white")
        picture = Image.alpha_composite(ground, picture)
    picture = picture.convert("L" if channels == 1 else "RGB")
    height, width = sides(size)
    if crop and picture.width * height != picture.height * width:
        scale = min(picture.width / width, picture.height / height)
        across, down = max(1, round(scale * width)), max(1, round(scale * height))
        left, top = (picture.width - across) // 2, (picture.height - down) // 2
        picture = picture.crop((left, top, left + across, top + down))
    if picture.size != (width, height):
        picture = picture.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture, np.uint8).reshape(height, width, channels)


def sides(size: Size) -> tuple[int, int]:
    """Return (height, width)."""
    return (size, size) if isinstance(size, int) else size


def prepare_all(images: np.ndarray, size: Size, channels: int, crop: bool = True) -> np.ndarray:
    """Return images [N, H, W, C] uint8 with another size (0: as they are, square or not) and channels (0: as they are)."""
    size, channels = size or (images.shape[1], images.shape[2]), channels or images.shape[3]
    if images.shape[1:] == (*sides(size), channels):
        return images
    pictures = (Image.fromarray(image[..., 0] if image.shape[2] == 1 else image) for image in images)
    return np.stack([prepare(picture, size, channels, crop) for picture in pictures])


def beside(*columns: np.ndarray, gap: int = 2) -> np.ndarray:
    """Return pictures side by side, each [N, H, W, 1 or 3] uint8 -> [N, H, sum of W + gap, C]: a white gap ends each row.

    Grey ones become colour beside colour. All have one height; rows of fewer than 64 pixels are shown enlarged.
    """
    channels = max(images.shape[3] for images in columns)
    parts = [np.repeat(x, channels, axis=3) if x.shape[3] < channels else x for x in columns]
    end = np.full((*parts[0].shape[:2], gap, channels), 255, np.uint8)
    times = max(1, LEAST_SHOWN // parts[0].shape[1])
    return np.concatenate([*parts, end], axis=2).repeat(times, axis=1).repeat(times, axis=2)
