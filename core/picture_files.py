"""Pictures in the format that their file's name says, and what a format cannot hold, known before the work that goes into one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from PIL import Image

from core.disk import check_output, write_whole
from core.errors import UsageError
from core.unreadable import UNREADABLE

__all__ = ["ANIMATED", "check_picture", "format_of", "save_frames", "save_picture", "write_picture"]

ANIMATED = ("GIF", "PNG", "WEBP", "TIFF", "AVIF")
"""Formats whose further frames or pages are pictures of their own: those of a PSD are layers, those of an MPO previews."""

LIMITS = {
    **{
        "AVIF": 65_536,
        "GIF": 65_535,
        "ICO": 256,
        "JPEG": 65_500,
        "MPO": 65_500,
        "PCX": 65_535,
        "SGI": 65_535,
        "TGA": 65_535,
    },
    "WEBP": 16_383,
}
"""Most pixels a side; Pillow finds out when all is done, or, for ICO, makes the picture smaller."""
SIDE = 16  # pixels of the picture that is tried


class Holds(NamedTuple):
    """What a format makes of a picture: whether it writes its mode and size at all, and keeps alpha and colour profile."""

    written: bool
    alpha: bool
    profile: bool


def format_of(path: Path) -> str:
    """Return Pillow's name of the format that a file's ending says. Raises UsageError for one that cannot be written."""
    kind = Image.registered_extensions().get(path.suffix.lower(), "")
    if kind not in Image.SAVE:
        raise UsageError(
            f"--out is {str(path)!r}; its ending must name a picture format that can be written, e.g. .png"
        )
    return kind


def check_picture(path: Path, size: tuple[int, int], mode: str, *, profile: bool = False, kind: str = "") -> list[str]:
    """Return what the format of `path` loses of a picture of (width, height) and mode L, LA, RGB or RGBA: lines for the user.

    The format is that of the ending unless `kind` names another.

    Raises UsageError where the file cannot be made, and where its format cannot hold the size or the alpha channel.
    """
    check_output(path)
    kind, ending = kind or format_of(path), path.suffix.lower()
    most = LIMITS.get(kind)
    if most is not None and max(size) > most:
        raise UsageError(
            f"{str(path)!r} would be {size[0]}x{size[1]}; {ending} holds at most {most:,} pixels a side, write .png or .tif"
        )
    holds = _tried(kind, mode)
    if mode.endswith("A") and not holds.alpha:
        raise UsageError(f"the picture has an alpha channel, which {ending} cannot hold; write .png or .webp")
    if not holds.written:
        raise UsageError(f"--out is {str(path)!r}; {ending} cannot hold such pictures ({mode}), write .png")
    return [f"{path}: the colour profile is lost, {ending} cannot hold it"] if profile and not holds.profile else []


def save_picture(picture: Image.Image, path: Path, kind: str = "") -> None:
    """Write a picture, whole or not at all; its colour profile, if it has one, goes along. `kind` as above. Raises OSError."""
    kind = kind or format_of(path)
    write_whole(path, lambda file: write_picture(picture, file, kind))


def save_frames(frames: Sequence[Image.Image], path: Path) -> None:
    """Write pictures as the frames or pages of one file, whole or not at all, in a format of ANIMATED. Raises OSError.

    The `info` of the first says how often the film is played (`loop`), that of each for how many milliseconds it is shown
    (`duration`); of a film all frames get one mode.
    """
    kind = format_of(path)
    options: dict[str, Any] = {}
    if kind != "TIFF":
        mode = "RGBA" if any(frame.mode.endswith("A") for frame in frames) else "RGB"
        durations = [frame.info.get("duration", 0) for frame in frames]
        loop = frames[0].info.get("loop")
        frames = [frame.convert(mode) for frame in frames]
        options = {"duration": durations} | ({} if loop is None else {"loop": loop})
        if kind == "GIF" and mode == "RGBA":
            options["disposal"] = 2  # what is transparent shows no earlier frame
        if kind in ("WEBP", "AVIF"):
            options["duration"] = [round(duration) for duration in durations]
    profile = frames[0].info.get("icc_profile")
    if profile:
        options["icc_profile"] = profile
    write_whole(path, lambda file: frames[0].save(file, kind, save_all=True, append_images=frames[1:], **options))


def write_picture(picture: Image.Image, file: Any, kind: str) -> None:
    """Write a picture to a path or an open file, as `save_picture` does, without its guarantee. Raises OSError."""
    options = _options(kind, picture.size)
    if "icc_profile" in picture.info:
        options["icc_profile"] = picture.info["icc_profile"]
    picture.save(file, kind, **options)


def _options(kind: str, size: tuple[int, int]) -> dict[str, Any]:
    if kind in ("JPEG", "MPO"):
        return {"quality": 95, "subsampling": 0}
    return {"sizes": [size]} if kind == "ICO" else {}


@lru_cache(maxsize=256)
def _tried(kind: str, mode: str) -> Holds:
    """Write and read a small picture: what it is told by is more than any list of formats knows."""
    picture = Image.new(mode, (SIDE, SIDE))
    if mode.endswith("A"):
        gradient = Image.linear_gradient("L").resize((SIDE, SIDE))
        gradient.putpixel((0, 0), 0)  # GIF keeps only pixels that are not there at all
        picture.putalpha(gradient)
    file = io.BytesIO()
    try:
        picture.save(file, kind, icc_profile=b"\0" * 128, **_options(kind, picture.size))
    except UNREADABLE:
        return Holds(False, mode.endswith("A") and _tried(kind, mode[:-1]).written is False, False)
    try:
        with Image.open(file) as again:
            alpha = "A" in again.mode or "transparency" in again.info
            return Holds(again.size == picture.size, alpha, "icc_profile" in again.info)
    except UNREADABLE:  # PDF: written and never read
        return Holds(True, False, False)
