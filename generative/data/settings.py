"""What data a model learns from, as flags. Nothing heavy is imported here: `--help` must answer at once."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.plugin import Placed
from generative.data.registry import find

__all__ = ["CaptionConfig", "DataConfig", "TextConfig"]


@dataclass(frozen=True)
class DataConfig(Placed):
    """A data source and how its pictures are prepared."""

    source: str = "mnist5k"
    """One of the data sources that `list` shows, e.g. mnist5k, ring, atari:GAME or folder:PATH."""
    size: int = 0
    """Side of the square pictures in pixels, reached with antialiasing; 0 for the source's own height and width (64 where it has
    none)."""
    height: int = 0
    """Height of pictures that are not square, whose width is `size`; 0 for square ones."""
    channels: int = 0
    """1 for grey, 3 for colour, 0 for the source's own."""
    crop: bool = True
    """Cut the middle out of a picture whose sides have another ratio, instead of squeezing it."""
    mirror: bool = False
    """Mirror every other picture, drawn at random, left to right."""
    frames: int = 10_000
    """Frames that an atari: source plays."""
    cache: str = "yes"
    """Where pictures of a folder: source are kept once decoded: yes in the user's cache folder, no nowhere, or a path."""

    def __post_init__(self) -> None:
        found = find(self.source)
        for name in ("size", "height"):
            pixels = getattr(self, name)
            require(pixels == 0 or pixels >= 8, f"data.{name} is {pixels}; it must be 0 or at least 8 pixels")
        require(self.size > 0 or not self.height, f"data.height is {self.height}; it needs data.size, the width")
        require(
            self.channels in (0, 1, 3), f"data.channels is {self.channels}; it must be 0 (the source's own), 1 or 3"
        )
        require(not self.mirror or found.mirrors, f"data.mirror has no meaning for {self.source}; leave it out")
        require(self.frames >= 1, f"data.frames is {self.frames}; it must be at least 1")
        _check_cache(self.cache)

    @property
    def sides(self) -> int | tuple[int, int]:
        """The side of square pictures, 0 for the source's own, or (height, width)."""
        return (self.height, self.size) if self.height else self.size

    @property
    def points(self) -> bool:
        """True for mixtures in the plane, False for pictures."""
        return find(self.source).kind == "points"

    @property
    def places(self) -> tuple[str, ...]:
        return ("source", "cache") if find(self.source).moves else ()


@dataclass(frozen=True)
class CaptionConfig(Placed):
    """A source of pictures with captions; pictures are 64x64, in colour."""

    source: str = "captioned-shapes"
    """One of the captioned sources that `list` shows: captioned-shapes, or e.g. folder:PATH (pictures, each with its captions in
    NAME.txt, one a line) or flowers:PATH (Oxford-102)."""
    pictures: int = 8_000
    """Pictures that captioned-shapes trains on."""
    captions: int = 5
    """Captions that captioned-shapes gives every picture."""
    held_out: float = 0.1
    """Share of the pictures (flowers: of the classes) of the user's own data that are kept for measuring."""
    crop: bool = True
    """Cut the middle square out of a picture that is not square, instead of squeezing it."""
    mirror: bool = False
    """Mirror every other picture, drawn at random; only where no caption says left or right."""
    cache: str = "yes"
    """Where pictures of folder: and flowers: are kept once decoded: yes in the user's cache folder, no nowhere, or a path."""

    def __post_init__(self) -> None:
        found = find(self.source, captions=True)
        require(self.pictures >= 2, f"data.pictures is {self.pictures}; it must be at least 2")
        require(self.captions >= 1, f"data.captions is {self.captions}; it must be at least 1")
        require(0 < self.held_out < 1, f"data.held_out is {self.held_out:g}; it must lie between 0 and 1")
        _check_cache(self.cache)
        require(
            not self.mirror or found.mirrors,
            f"data.mirror would make captions of {self.source} false that say left or right; leave it off",
        )

    @property
    def places(self) -> tuple[str, ...]:
        return ("source", "cache") if find(self.source, captions=True).moves else ()


@dataclass(frozen=True)
class TextConfig(Placed):
    """A source of text."""

    source: str = "python-docs"
    """One of the sources of text that `list` shows, e.g. python-docs, or text:PATH, a file or a folder of text files."""
    held_out: float = 0.1
    """Share of the text that is kept for measuring: whole topics, whose paragraphs stand nowhere else."""

    def __post_init__(self) -> None:
        find(self.source, texts=True)
        require(0 < self.held_out <= 0.5, f"data.held_out is {self.held_out:g}; it must be above 0 and at most 0.5")

    @property
    def places(self) -> tuple[str, ...]:
        return ("source",) if find(self.source, texts=True).moves else ()


def _check_cache(setting: str) -> None:
    require(
        setting in ("yes", "no") or "/" in setting or setting.startswith("~"),
        f"data.cache is {setting!r}; it must be yes, no, or a path with a slash, e.g. './{setting or 'cache'}'",
    )
