"""What data a model learns from, as flags. Nothing heavy is imported here: `--help` must answer at once."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import nearest, require

__all__ = ["NAMED", "PREFIXED", "CaptionConfig", "DataConfig"]

NAMED = ("mnist5k", "digits", "lfw-faces", "photos", "stacked-digits", "ring", "grid")
PREFIXED = ("atari:", "folder:", "npz:", "mnist:", "cifar10:")
POINTS = ("ring", "grid")
CAPTIONED = ("captioned-shapes", "folder:", "flowers:")


@dataclass(frozen=True)
class DataConfig:
    """A data source and how its pictures are prepared."""

    source: str = "mnist5k"
    """mnist5k, digits, lfw-faces, photos, stacked-digits, ring, grid, atari:GAME, folder:PATH, npz:PATH, mnist:PATH or
    cifar10:PATH."""
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

    def __post_init__(self) -> None:
        head, colon, rest = self.source.partition(":")
        if colon:
            require(head + ":" in PREFIXED, f"data.source is {self.source!r}; {nearest(head + ':', PREFIXED)}")
            kind = "a game, e.g. atari:Pong" if head == "atari" else f"a path, e.g. {head}:data/{head}"
            require(bool(rest), f"data.source is {self.source!r}; after the colon comes {kind}")
        else:
            choices = [*NAMED, *(p + ("GAME" if p == "atari:" else "PATH") for p in PREFIXED)]
            require(self.source in NAMED, f"data.source is {self.source!r}; {nearest(self.source, choices)}")
        for name in ("size", "height"):
            pixels = getattr(self, name)
            require(pixels == 0 or pixels >= 8, f"data.{name} is {pixels}; it must be 0 or at least 8 pixels")
        require(self.size > 0 or not self.height, f"data.height is {self.height}; it needs data.size, the width")
        require(
            self.channels in (0, 1, 3), f"data.channels is {self.channels}; it must be 0 (the source's own), 1 or 3"
        )
        require(
            not self.mirror or not (self.points or self.source == "stacked-digits"),
            f"data.mirror has no meaning for {self.source}; leave it out",
        )
        require(self.frames >= 1, f"data.frames is {self.frames}; it must be at least 1")

    @property
    def sides(self) -> int | tuple[int, int]:
        """The side of square pictures, 0 for the source's own, or (height, width)."""
        return (self.height, self.size) if self.height else self.size

    @property
    def points(self) -> bool:
        """True for mixtures in the plane, False for pictures."""
        return self.source in POINTS


@dataclass(frozen=True)
class CaptionConfig:
    """A source of pictures with captions; pictures are 64x64, in colour."""

    source: str = "captioned-shapes"
    """captioned-shapes, folder:PATH (pictures, each with its captions in NAME.txt, one a line), or flowers:PATH (Oxford-102)."""
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

    def __post_init__(self) -> None:
        head, colon, rest = self.source.partition(":")
        require(head + colon in CAPTIONED, f"data.source is {self.source!r}; {nearest(head + colon, CAPTIONED)}")
        require(
            not colon or bool(rest), f"data.source is {self.source!r}; after the colon comes a path, e.g. {head}:data"
        )
        require(self.pictures >= 2, f"data.pictures is {self.pictures}; it must be at least 2")
        require(self.captions >= 1, f"data.captions is {self.captions}; it must be at least 1")
        require(0 < self.held_out < 1, f"data.held_out is {self.held_out:g}; it must lie between 0 and 1")
        require(
            not (self.mirror and self.source == "captioned-shapes"),
            "data.mirror would make captions of captioned-shapes false that say left or right; leave it off",
        )
