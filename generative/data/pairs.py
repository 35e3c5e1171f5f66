"""Pairs of pictures of one place each, from a folder of the user's or made of photographs on the spot."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from PIL import Image

from core.errors import UsageError, require
from core.iterate import Order
from core.seeds import child
from generative.data.cache import cache_place
from generative.data.files import Folder
from generative.data.found import Header, listed, pictures_below
from generative.data.photographs import HELD_OUT, IN_COLOUR, photograph
from generative.data.record import Known, Record, place_of
from generative.data.registry import Opening, find
from generative.data.settings import PairConfig
from generative.data.sources import Data, opened

__all__ = ["PairSplit", "Pairs", "made_pairs", "open_pairs", "own_pairs"]

Say = Callable[[str], None]
STEP = 4  # a square to measure on begins every 1/4 of a square


class Whole(Protocol):
    """Pairs of any size, one by one: [H, W, Ca + Cb] uint8."""

    def __len__(self) -> int: ...

    def __getitem__(self, i: int) -> np.ndarray: ...


class Pairs(Data):
    """N pairs, from which squares of both pictures are cut at one place: [size, size, Ca + Cb], the channels of a, then of b.

    `domains` names a and b, `channels` are (Ca, Cb). In a batch, places and mirroring are drawn at random; `reference` has the
    squares at `places` [P, 3], (pair, top, left), by default the middle one of each pair.
    """

    def __init__(
        self,
        name: str,
        what: str,
        whole: Whole,
        size: int,
        domains: tuple[str, str],
        channels: tuple[int, int],
        mirror: bool = False,
        places: np.ndarray | None = None,
    ):
        self.name, self.whole, self.size, self.domains, self.channels = name, whole, size, domains, channels
        self.mirror, self.places = mirror, places
        self.shape = (size, size, sum(channels))
        mirrored = ", half of them mirrored" if mirror else ""
        count = f"{len(whole):,} pairs" if places is None else f"{len(places):,} squares of {len(whole):,} pairs"
        self.protocol = f"{count} {size}x{size} of {what}{mirrored}"
        self._order: Order | None = None

    def __len__(self) -> int:
        return len(self.whole)

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        order, order_seed = self._order, child(seed, "order")
        if order is None or (order.batch, order.seed) != (batch, order_seed):
            self._order = order = Order(len(self), batch, order_seed)
        rng = np.random.default_rng(child(seed, "squares", position))
        x = np.empty((batch, *self.shape), np.uint8)
        for row, i in enumerate(order.indices(position).tolist()):
            pair = self.whole[i]
            top, left = (int(rng.integers(n - self.size + 1)) for n in pair.shape[:2])
            square = self._square(pair, top, left)
            x[row] = square[:, ::-1] if rng.integers(2) and self.mirror else square
        return x

    def reference(self, count: int) -> np.ndarray:
        """Return min(count, N) squares at equal distances, [N, size, size, Ca + Cb]."""
        places = self.places
        if places is None:
            count = min(count, len(self))
            found = (self.whole[i * len(self) // count] for i in range(count))
            return np.stack([self._square(x, *((n - self.size) // 2 for n in x.shape[:2])) for x in found])
        count = min(count, len(places))
        some = places[np.arange(count) * len(places) // count].tolist()
        return np.stack([self._square(self.whole[i], top, left) for i, top, left in some])

    def _square(self, pair: np.ndarray, top: int, left: int) -> np.ndarray:
        return pair[top : top + self.size, left : left + self.size]

    def split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the pictures of a and of b, [..., Ca] and [..., Cb], of pairs [..., Ca + Cb]."""
        return x[..., : self.channels[0]], x[..., self.channels[0] :]


class PairSplit(NamedTuple):
    """Pairs to learn from, and others to measure on."""

    train: Pairs
    held_out: Pairs


def open_pairs(config: PairConfig, say: Say = lambda line: None, folder: Path | None = None) -> PairSplit:
    """Return the pairs that `config` names; a plugin gives `folder`, its context's, in which the user's own are recorded.

    Raises UsageError for a folder that is not there or has no pairs, and for a source that returns something else.
    """
    source = find(config.source, "pairs")
    found = opened(source, config, Record(folder), "pairs", say)
    require(
        isinstance(found, PairSplit),
        f"data source {config.source!r} ({source.where}) returned {type(found).__name__}; for pairs PairSplit is needed",
    )
    return found


# --- made on the spot -----------------------------------------------------------------------------------------------------


def made_pairs(
    config: PairConfig, domains: tuple[str, str], what: str, make: Callable[[np.ndarray], np.ndarray]
) -> PairSplit:
    """Return squares of the bundled photographs [H, W, 3], each after what `make` makes of it, [H, W, Ca].

    Those to learn from are cut from photographs at whole and at half size, those to measure on from others at half size.
    """

    def pairs_of(names: Sequence[str], shrunk: Sequence[int]) -> list[np.ndarray]:
        photos = [_smaller(photograph(name), times) for name in names for times in shrunk]
        return [_joined(make(photo), photo, config.reverse) for photo in photos]

    train, held_out = pairs_of(IN_COLOUR, (1, 2)), pairs_of(HELD_OUT, (2,))
    largest = min(min(pair.shape[:2]) for pair in (*train, *held_out))
    require(
        config.size <= largest,
        f"data.size is {config.size}; half of a photograph of {config.source} has {largest} pixels, choose that or less",
    )
    step = max(1, config.size // STEP)
    places = [
        (i, top, left)
        for i, pair in enumerate(held_out)
        for top in range(0, pair.shape[0] - config.size + 1, step)
        for left in range(0, pair.shape[1] - config.size + 1, step)
    ]
    channels = train[0].shape[2] - 3, 3
    if config.reverse:
        domains, channels = domains[::-1], channels[::-1]
    about = config.size, domains, channels
    return PairSplit(
        Pairs(config.source, f"{what}, of {', '.join(IN_COLOUR)}", train, *about, config.mirror),
        Pairs(config.source, f"{what}, of {', '.join(HELD_OUT)}", held_out, *about, places=np.array(places)),
    )


def _smaller(photo: np.ndarray, times: int) -> np.ndarray:
    size = photo.shape[1] // times, photo.shape[0] // times
    return photo if times == 1 else np.asarray(Image.fromarray(photo).resize(size, Image.Resampling.BICUBIC))


def _joined(a: np.ndarray, b: np.ndarray, reverse: bool) -> np.ndarray:
    return np.concatenate([b, a] if reverse else [a, b], axis=2)


# --- the user's own -------------------------------------------------------------------------------------------------------


class _Files:
    """Pairs of files, or of halves of files, [H, W, 6]; where one is broken the next pair stands in."""

    def __init__(self, parts: tuple[Folder, Folder], rows: Sequence[int], reverse: bool):
        self.parts, self.rows, self.reverse = parts, rows, reverse

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, i: int) -> np.ndarray:
        for k in range(len(self)):
            row = self.rows[(i + k) % len(self)]
            found = [picture for part in self.parts if (picture := part.own(row)) is not None]
            if len(found) == 2:
                return _joined(found[0], found[1], self.reverse)
        raise UsageError(f"none of the {len(self)} pairs in {str(self.parts[0].known.root)!r} can be read")


def own_pairs(config: PairConfig, opening: Opening) -> PairSplit:
    """Return the pairs below a folder: a/NAME with b/NAME, their endings aside, or pictures of both halves.

    Which are held out follows a hash of their names. Raises UsageError for a folder that is not there or has no pairs, and for
    files without a partner.
    """
    known = _known(config, opening)
    order = known[0].order.tolist()
    count = round(config.held_out * len(order))
    require(
        1 <= count < len(order),
        f"data.held_out is {config.held_out:g}, which is {count} of {len(order)} pairs; at least one is needed, and one left",
    )
    cache = cache_place(config.cache)

    def part(rows: Sequence[int], side: int, mirror: bool) -> Pairs:
        halves = (0, 1) if len(known) == 1 else (None, None)
        a, b = (
            Folder(files, side, 3, config.crop, opening.say, cache, half)
            for files, half in zip((known[0], known[-1]), halves, strict=True)
        )
        what = f"the folder {opening.path.name!r}"
        domains = ("b", "a") if config.reverse else ("a", "b")
        return Pairs(config.source, what, _Files((a, b), rows, config.reverse), config.size, domains, (3, 3), mirror)

    larger = round(config.size * config.jitter)
    return PairSplit(part(order[count:], larger, config.mirror), part(order[:count], config.size, False))


def _known(config: PairConfig, opening: Opening) -> list[Known]:
    """Return the files of a and of b in one order, or those of both halves."""
    record, source, say = opening.record, config.source, opening.say
    sides = [f"{opening.part} {side}" for side in "ab"]
    kept = [Known.again(record, part, source, "data.source", say) for part in (*sides, opening.part)]
    if found := [known for known in kept if known is not None]:
        return found
    root, cache = place_of(None, source), cache_place(config.cache)
    if not ((root / "a").is_dir() and (root / "b").is_dir()):
        good, bad = pictures_below(root, say, "data.source", cache)
        odd = [f"{path.name} {h.width}x{h.height}" for path, h in good.items() if h.width != 2 * h.height]
        require(
            len(odd) < len(good),
            f"data.source names {str(root)!r}, which has no folders a and b with files of equal names, and no picture twice as "
            f"wide as high ({odd[0] if odd else ''}); pairs are one or the other",
        )
        if odd:
            say(f"{len(odd)} pictures in {root} are not twice as wide as high, both halves are squeezed: {listed(odd)}")
        return [Known.first(record, opening.part, source, "data.source", say, good, list(bad))]
    files = [pictures_below(root / side, say, "data.source", cache) for side in "ab"]
    names = [_by_name([*good, *bad], root / side) for (good, bad), side in zip(files, "ab", strict=True)]
    for side, other, mine, its in (("a", "b", *names), ("b", "a", *reversed(names))):
        alone = sorted(set(mine) - set(its))
        require(
            not alone,
            f"data.source names {str(root)!r}, where {len(alone)} files of {side} have none of the same name in {other}, e.g. "
            f"{side}/{alone[0] if alone else ''}",
        )
    readable = [name for name in sorted(names[0]) if all(names[i][name] in files[i][0] for i in (0, 1))]
    require(bool(readable), f"of no pair in {str(root)!r} both pictures can be read")
    known = []
    for i, side in enumerate("ab"):
        whole: dict[Path, Header] = {names[i][name]: files[i][0][names[i][name]] for name in readable}
        others = [path for path in (*files[i][0], *files[i][1]) if path not in whole]
        known.append(Known.first(record, sides[i], source, "data.source", say, whole, others, below=side))
    return known


def _by_name(paths: Sequence[Path], root: Path) -> dict[str, Path]:
    """Return paths by their names below `root` without the ending."""
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in paths}
