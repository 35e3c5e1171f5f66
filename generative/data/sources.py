"""`open_data`: from a `DataConfig` to data, and `Stream`, which hands out batches that a position alone determines."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from core.errors import UsageError, foreign, require
from core.iterate import Order, ReadAhead
from generative.data import files
from generative.data.pictures import prepare_all
from generative.data.record import Absent, Record, checksum, place_of
from generative.data.registry import Images, Opening, Source, find
from generative.data.settings import CaptionConfig, DataConfig, PairConfig, TextConfig, TwoConfig

__all__ = ["Data", "Mixture", "Pictures", "StackedDigits", "Stream", "open_data", "opened"]

Say = Callable[[str], None]
Config = CaptionConfig | DataConfig | PairConfig | TextConfig | TwoConfig
AT_ONCE = 2**20
"""Bytes of a batch that is copied in less time than a thread needs to hand it over (64 pictures of 64x64: 0.15 against 0.46 ms of
CPU time)."""


class Batches(Protocol):
    """Whatever batches are drawn from."""

    def draw(self, seed: int, position: int, batch: int) -> Any:
        """Return batch number `position` of the stream `seed`."""
        ...


class Data(ABC):
    """What a model learns from. `draw` is a pure function, so that batches can be made ahead and again after a resume."""

    name: str
    shape: tuple[int, ...]
    """Of one example: (H, W, C) uint8 or (2,) float32."""
    protocol: str
    """One line for results: what, how many, how prepared."""
    digits: int = 0
    """Handwritten digits in a picture, for the digit classifier to read: 1, 3 for one in each colour, 0 for none."""

    @abstractmethod
    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        """Return batch number `position` of the stream `seed`, [batch, *shape]."""

    @abstractmethod
    def reference(self, count: int) -> np.ndarray:
        """Return `count` examples, always the same, or all if there are fewer, for measures."""

    def at_once(self, seed: int, position: int, batch: int) -> np.ndarray | None:
        """Return what `draw` would, where that takes so little time that it need not be done ahead; else None."""
        return None


class Pictures(Data):
    """N pictures, held as one array or read one by one with `load`. Batches follow core.iterate.Order."""

    def __init__(
        self,
        name: str,
        protocol: str,
        images: np.ndarray | files.Folder | Absent,  # [N, H, W, C] uint8
        labels: np.ndarray | None = None,  # [N] int
        mirror: bool = False,
        rows: np.ndarray | None = None,  # which of the images, all by default
        digits: int = 0,
        words: tuple[str, ...] = (),
    ):
        self.rows = np.arange(len(images)) if rows is None else rows  # [N]
        self.name, self.images, self.mirror, self._what, self._all_labels = name, images, mirror, protocol, labels
        self.labels = None if labels is None else labels[self.rows]
        self.digits = digits
        self.words = words
        """What labels 0, 1, ... are called, where they have names."""
        self.shape = tuple(int(n) for n in images.shape[1:])
        height, width, channels = self.shape
        colour = "grey" if channels == 1 else "colour"
        mirrored = ", half of them mirrored" if mirror else ""
        self.protocol = f"{len(self):,} {colour} images {height}x{width} of {protocol}{mirrored}"
        self._order: Order | None = None
        self._among: np.ndarray | None = None  # the rows, sorted

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, held_out: int) -> tuple[Pictures, Pictures]:
        """Return (the rest, `held_out` pictures), always the same, the latter not mirrored.

        Of a folder the names decide, by a hash: a picture that is added moves at most one other from one part to the other, and
        none that was learned from is ever held out. Of an array the positions decide.
        """
        if isinstance(self.images, files.Folder):
            rows = self.rows[self.images.known.order]
        else:
            rows = np.random.default_rng(0).permutation(self.rows)
        part = partial(
            Pictures, self.name, self._what, self.images, self._all_labels, digits=self.digits, words=self.words
        )
        return part(self.mirror, rows[held_out:]), part(False, rows[:held_out])

    def at(self, positions: np.ndarray) -> Pictures:
        """Return the pictures at these positions of 0 ... N - 1 alone."""
        rows = self.rows[positions]
        part = partial(Pictures, self.name, self._what, self.images, self._all_labels, self.mirror, rows)
        return part(digits=self.digits, words=self.words)

    def first(self, count: int) -> Pictures:
        """Return the first `count` pictures alone; after `split` these are as good as drawn at random."""
        return self.at(np.arange(min(count, len(self.rows))))

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        return self._mirrored(self._read(self._rows_of(seed, position, batch)), seed, position)

    def at_once(self, seed: int, position: int, batch: int) -> np.ndarray | None:
        if batch * math.prod(self.shape) > AT_ONCE:
            return None
        rows = self._rows_of(seed, position, batch)
        x = self.images.at_once(rows) if isinstance(self.images, files.Folder) else self._read(rows)
        return None if x is None else self._mirrored(x, seed, position)

    def _mirrored(self, x: np.ndarray, seed: int, position: int) -> np.ndarray:
        """Return pictures [B, H, W, C], half of them mirrored in place if they should be."""
        if self.mirror:
            flip = np.random.default_rng([seed, position, 1]).random(len(x)) < 0.5
            x[flip] = x[flip, :, ::-1]
        return x

    def positions(self, seed: int, position: int, batch: int) -> np.ndarray:
        """Return which of the examples 0 ... N - 1 `draw` puts into this batch, [batch]."""
        order = self._order
        if order is None or (order.batch, order.seed) != (batch, seed):
            self._order = order = Order(len(self), batch, seed)
        return order.indices(position)

    def _rows_of(self, seed: int, position: int, batch: int) -> np.ndarray:
        return self.rows[self.positions(seed, position, batch)]

    def spread(self, count: int) -> np.ndarray:
        """Return min(count, N) positions at equal distances: data sorted by class or by time are not cut to their beginning."""
        count = min(count, len(self))
        return np.arange(count) * len(self) // count

    def reference(self, count: int) -> np.ndarray:
        return self.rows_at(self.spread(count))

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the examples at these positions [B] of 0 ... N - 1, [B, H, W, C]."""
        return self._read(self.rows[positions])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Return images; one that is broken is replaced by another of this split, so that none is in both parts."""
        if isinstance(self.images, files.Folder):
            if self._among is None:
                self._among = np.sort(self.rows)
            return self.images.read(rows, self._among)[0]
        return self.images[rows]


class Mixture(Data):
    """A mixture of Gaussians in the plane, fresh points in every batch."""

    def __init__(self, name: str, centres: np.ndarray, sigma: float):
        self.name, self.sigma = name, sigma
        self.shape: tuple[int, ...] = (2,)
        self.centres = centres.astype(np.float32)  # [M, 2]
        self.scale = float(np.abs(centres).max())
        self.protocol = f"{name}: {len(centres)} Gaussians of standard deviation {sigma:g}, fresh points in every batch"

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        rng = np.random.default_rng([seed, position])
        noise = self.sigma * rng.standard_normal((batch, 2), np.float32)
        return self.centres[rng.integers(len(self.centres), size=batch)] + noise

    def reference(self, count: int) -> np.ndarray:
        return self.draw(0, 2**32, count)  # a position no training reaches


class StackedDigits(Data):
    """Three random digits as the colour channels of one picture: 1,000 modes (Metz et al., 2017)."""

    digits = 3

    def __init__(self, one_digit: Pictures):
        self.name, self.one_digit = "stacked-digits", one_digit
        self.shape = (*one_digit.shape[:2], 3)
        self.protocol = f"three random digits as red, green and blue (1,000 modes), {one_digit.protocol}"

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        chosen = np.random.default_rng([seed, position]).integers(len(self.one_digit), size=(batch, 3))
        assert isinstance(self.one_digit.images, np.ndarray)
        return np.moveaxis(self.one_digit.images[chosen][..., 0], 1, -1)  # [B, 3, H, W] -> [B, H, W, 3]

    def reference(self, count: int) -> np.ndarray:
        return self.draw(0, 2**32, count)


class Stream:
    """Batches in order, made ahead in threads where they take time. Seed and position are all that a checkpoint needs."""

    def __init__(self, data: Batches, batch: int, seed: int, workers: int = 2):
        self.data, self.batch, self.workers = data, batch, workers
        self.load_state({"seed": seed, "position": 0})

    def take(self, count: int = 1) -> np.ndarray:
        """Return the next `count` batches, [count, B, ...]."""
        return self.next()[None] if count == 1 else np.stack([self.next() for _ in range(count)])

    def next(self) -> Any:
        """Return the next batch as `draw` made it."""
        batch = self.data.at_once(self.seed, self.position, self.batch) if isinstance(self.data, Data) else None
        if batch is None:
            batch = self._ahead.get(self.position)
        self.position += 1
        return batch

    def state(self) -> dict[str, int]:
        return {"seed": self.seed, "position": self.position}

    def load_state(self, tree: dict[str, int]) -> None:
        """Go on after `position` batches of the stream `seed`."""
        self.close()
        self.seed, self.position = tree["seed"], tree["position"]
        draw = partial(self.data.draw, self.seed)
        self._ahead = ReadAhead(lambda position: draw(position, self.batch), workers=self.workers)

    def close(self) -> None:
        if hasattr(self, "_ahead"):
            self._ahead.close()


def open_data(
    config: DataConfig, say: Say = lambda line: None, folder: Path | None = None, part: str = "pictures"
) -> Data:
    """Return the data that `config` names; `say` gets one line about files that cannot be read.

    A plugin gives `folder`, its context's: the data are recorded there, under the name `part`, and known again: a picture that
    was added since is not used, and data that are gone or were changed are an error only when a batch of them is asked for, so
    that a model can be drawn from without them. A plugin with several data names each.

    Raises UsageError for a path that is not there, a folder without a readable picture, a file of another format, and for a
    source that raises or returns something else.
    """
    record = Record(folder)
    kept = record.part(part)
    source = find(config.source)
    try:
        data = opened(source, config, record, part, say)
        data = _checked(data, config.source) if isinstance(data, Images) else data
    except UsageError as error:
        if kept is None or "checksum" not in kept:
            raise
        return _absent(config, kept, str(error))
    if isinstance(data, Images) and source.kind == "pictures":
        return _pictures(config, source, data, record, part)
    if not isinstance(data, Data) or isinstance(data, Mixture) != (source.kind == "points"):
        wanted = {"pictures": "Images or Data, no Mixture,", "points": "a Mixture"}[source.kind]
        raise UsageError(
            f"data source {config.source!r} ({source.where}) returned {type(data).__name__}; for {source.kind} {wanted} is needed"
        )
    return data


def opened(source: Source, config: Config, record: Record, part: str, say: Say) -> Any:
    """Return what the source's function returns. What it raises becomes one sentence: UsageError."""
    argument = config.source.partition(":")[2]
    path = place_of(record.part(part), config.source) if source.moves else Path()
    try:
        return source.opens(config, Opening(argument, path, record, part, say))
    except UsageError:
        raise
    except (Exception, SystemExit) as error:
        raise foreign(f"data source {config.source!r}", error, "when it was opened") from error


def _checked(data: Images, source: str) -> Images:
    """Return the arrays, labels as int64. Raises UsageError for those that are no pictures or do not belong together."""
    images = np.asarray(data.images)
    require(
        images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] in (1, 3) and images.size > 0,
        f"data source {source!r} returned pictures {images.dtype} {list(images.shape)}; uint8 [N, H, W, 1 or 3] is needed",
    )
    if data.labels is None:
        return data._replace(images=images)
    labels = np.asarray(data.labels)
    require(
        labels.dtype.kind in "iu" and labels.shape == images.shape[:1],
        f"data source {source!r} returned labels {labels.dtype} {list(labels.shape)}; whole numbers [{len(images)}] are needed",
    )
    return data._replace(images=images, labels=labels.astype(np.int64))


def _pictures(config: DataConfig, source: Source, data: Images, record: Record, part: str) -> Pictures:
    """Return pictures that are one array, known again by its checksum."""
    kept = record.part(part)
    what = data.what or config.source
    digest = checksum(data.images)
    if kept is not None and kept["checksum"] != digest:
        why = (
            f"{config.source!r} holds {len(data.images):,} pictures that are not the {kept['shape'][0]:,} with which the run "
            "began: their checksum differs; bring back the old data, or start a new run"
        )
        return _absent(config, kept, why)
    images = prepare_all(data.images, config.sides, config.channels, config.crop)
    place = {"root": str(place_of(kept, config.source))} if source.moves else {}
    values = {"source": config.source, "what": what, "checksum": digest, "shape": [int(n) for n in images.shape]}
    record.keep(part, place | values)
    return Pictures(config.source, what, images, data.labels, config.mirror, digits=data.digits, words=data.words)


def _absent(config: DataConfig, kept: dict[str, Any], why: str) -> Pictures:
    """Return pictures of which the run's record knows the shape alone."""
    return Pictures(config.source, kept["what"], Absent(kept["shape"], why), None, config.mirror)
