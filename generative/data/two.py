"""Two sources of pictures of one size, of which no picture belongs to another."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import require
from generative.data.record import Record
from generative.data.registry import Opening, find
from generative.data.settings import TwoConfig
from generative.data.sources import Pictures, open_data, opened

__all__ = ["Domain", "Two", "open_two", "two_sources"]

Say = Callable[[str], None]


class Domain(NamedTuple):
    """One of the two, called by its source."""

    name: str
    train: Pictures
    held_out: Pictures


class Two(NamedTuple):
    """Pictures [H, W, C] uint8 of one shape."""

    a: Domain
    b: Domain

    @property
    def shape(self) -> tuple[int, int, int]:
        """Of one picture."""
        height, width, channels = self.a.train.shape
        return height, width, channels

    @property
    def protocol(self) -> str:
        """What is learned from and measured on, for results."""
        return "; ".join(f"{d.name}: {d.train.protocol}, and {len(d.held_out):,} held out" for d in self)

    @property
    def classes(self) -> np.ndarray | None:
        """The labels [K] that both have, None where one has none or others: then classes of one mean nothing in the other."""
        labels = [np.unique(d.train.labels) for d in self if d.train.labels is not None]
        return labels[0] if len(labels) == 2 and np.array_equal(labels[0], labels[1]) else None


def open_two(config: TwoConfig, say: Say = lambda line: None, folder: Path | None = None) -> Two:
    """Return the two sources that `config` names; a plugin gives `folder`, its context's, in which both are recorded.

    Raises UsageError for a source that cannot be opened or has no pictures of its own, and where nothing could be held out.
    """
    source = find(config.source, "two")
    found = opened(source, config, Record(folder), "two", say)
    require(
        isinstance(found, Two),
        f"data source {config.source!r} ({source.where}) returned {type(found).__name__}; Two is needed",
    )
    return found


def two_sources(config: TwoConfig, opening: Opening) -> Two:
    """Return what `two:A,B` names; where only one of them is grey, both are in colour."""
    folder = opening.record.path.parent if opening.record.path else None

    def pictures(source: str, part: str, channels: int = 0) -> Pictures:
        data = open_data(config.one(source, channels), opening.say, folder, part)
        require(
            isinstance(data, Pictures),
            f"data.source is {config.source!r}; {source} has no pictures of its own, name a folder or a source that has",
        )
        assert isinstance(data, Pictures)
        return data

    parts = [(source, f"{opening.part} {part}") for source, part in zip(config.sources, "ab", strict=True)]
    found = [pictures(*part) for part in parts]
    if len({data.shape[2] for data in found}) > 1:
        found = [pictures(*part, 3) for part in parts]
    names = _names(config.sources)
    return Two(*(_split(data, name, config.held_out) for data, name in zip(found, names, strict=True)))


def _split(data: Pictures, name: str, share: float) -> Domain:
    count = round(share * len(data))
    require(
        1 <= count < len(data),
        f"data.held_out is {share:g}, which is {count} of {len(data)} pictures of {name}; at least one is needed, and one left",
    )
    return Domain(name, *data.split(count))


def _names(sources: tuple[str, str]) -> tuple[str, str]:
    """Return short names of two sources: a folder's, a game's or the source's; a and b where they are the same."""
    a, b = (source.rpartition(":")[2].rstrip("/").rpartition("/")[2] for source in sources)
    return (a, b) if a != b and a and b else ("a", "b")
