"""What data a model learns from, as flags. Nothing heavy is imported here: `--help` must answer at once."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.plugin import Placed
from generative.data.registry import find

__all__ = ["CaptionConfig", "DataConfig", "PairConfig", "TextConfig", "TwoConfig"]


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
        found = find(self.source, "captions")
        require(self.pictures >= 2, f"data.pictures is {self.pictures}; it must be at least 2")
        require(self.captions >= 1, f"data.captions is {self.captions}; it must be at least 1")
        _check_held_out(self.held_out)
        _check_cache(self.cache)
        require(
            not self.mirror or found.mirrors,
            f"data.mirror would make captions of {self.source} false that say left or right; leave it off",
        )

    @property
    def places(self) -> tuple[str, ...]:
        return ("source", "cache") if find(self.source, "captions").moves else ()


@dataclass(frozen=True)
class TextConfig(Placed):
    """A source of text."""

    source: str = "python-docs"
    """One of the sources of text that `list` shows, e.g. python-docs, or text:PATH, a file or a folder of text files."""
    held_out: float = 0.1
    """Share of the text that is kept for measuring: whole topics, whose paragraphs stand nowhere else."""

    def __post_init__(self) -> None:
        find(self.source, "text")
        require(0 < self.held_out <= 0.5, f"data.held_out is {self.held_out:g}; it must be above 0 and at most 0.5")

    @property
    def places(self) -> tuple[str, ...]:
        return ("source",) if find(self.source, "text").moves else ()


@dataclass(frozen=True)
class PairConfig(Placed):
    """A source of pairs of pictures, squares of one place each."""

    source: str = "edges"
    """One of the sources of pairs that `list` shows: edges, pencil, grey, or pairs:PATH, a folder with a/NAME.png and b/NAME.png,
    or with pictures twice as wide as high whose left half is a and whose right half is b."""
    size: int = 64
    """Side of the squares in pixels."""
    reverse: bool = False
    """Translate b into a."""
    held_out: float = 0.1
    """Share of the user's own pairs that are kept for measuring; of edges and grey these are other photographs."""
    jitter: float = 286 / 256
    """How many times larger than the square that is cut out of them at random the user's own pairs are made."""
    mirror: bool = True
    """Mirror every other pair, drawn at random, left to right."""
    crop: bool = True
    """Cut the middle out of a picture whose sides have another ratio, instead of squeezing it."""
    cache: str = "yes"
    """Where the user's pictures are kept once decoded: yes in the user's cache folder, no nowhere, or a path."""

    def __post_init__(self) -> None:
        find(self.source, "pairs")
        require(self.size >= 8, f"data.size is {self.size}; it must be at least 8 pixels")
        _check_held_out(self.held_out)
        require(1 <= self.jitter <= 2, f"data.jitter is {self.jitter:g}; it must lie between 1 and 2")
        _check_cache(self.cache)

    @property
    def places(self) -> tuple[str, ...]:
        return ("source", "cache") if find(self.source, "pairs").moves else ()


@dataclass(frozen=True)
class TwoConfig(Placed):
    """Two sources of pictures that have nothing to do with each other."""

    source: str = "two:mnist5k-middle,digits"
    """two:A,B, each a source of pictures that `list` shows, or the path, with a slash in it, of a folder or an .npz file."""
    size: int = 28
    """Side of the square pictures in pixels."""
    channels: int = 0
    """1 for grey, 3 for colour, 0 for grey where both sources are grey."""
    crop: bool = True
    """Cut the middle square out of a picture that is not square, instead of squeezing it."""
    mirror: bool = False
    """Mirror every other picture, drawn at random, left to right."""
    frames: int = 2_000
    """Frames that an atari: source plays."""
    held_out: float = 0.1
    """Share of the pictures of each source that are kept for measuring."""
    cache: str = "yes"
    """Where pictures of folders are kept once decoded: yes in the user's cache folder, no nowhere, or a path."""

    def __post_init__(self) -> None:
        find(self.source, "two")
        require(self.size >= 8, f"data.size is {self.size}; it must be at least 8 pixels")
        _check_held_out(self.held_out)
        for source in self.sources:
            self.one(source)

    @property
    def sources(self) -> tuple[str, str]:
        """The two as values of DataConfig.source."""
        words = self.source.partition(":")[2].split(",")
        require(
            len(words) == 2 and all(words),
            f"data.source is {self.source!r}; it must name two sources with a comma between them, e.g. two:mnist5k,digits",
        )
        a, b = (_source_of(word) for word in words)
        return a, b

    def one(self, source: str, channels: int = 0) -> DataConfig:
        """Return the settings of one of the two sources."""
        return DataConfig(
            source,
            size=self.size,
            channels=channels or self.channels,
            crop=self.crop,
            mirror=self.mirror,
            frames=self.frames,
            cache=self.cache,
        )

    @property
    def places(self) -> tuple[str, ...]:
        return ("source", "cache") if any(find(source).moves for source in self.sources) else ()


def _source_of(word: str) -> str:
    """Return a path with a slash in it as the source that reads it, any other word as it is."""
    if "/" not in word or ":" in word.partition("/")[0]:
        return word
    return f"{'npz' if word.endswith('.npz') else 'folder'}:{word}"


def _check_held_out(share: float) -> None:
    require(0 < share < 1, f"data.held_out is {share:g}; it must lie between 0 and 1")


def _check_cache(setting: str) -> None:
    require(
        setting in ("yes", "no") or "/" in setting or setting.startswith("~"),
        f"data.cache is {setting!r}; it must be yes, no, or a path with a slash, e.g. './{setting or 'cache'}'",
    )
