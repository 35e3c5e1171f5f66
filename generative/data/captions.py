"""Pictures with captions: captioned shapes painted on the spot, the user's folder, Oxford-102 flowers; split for measuring."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from core.errors import UsageError
from core.iterate import Order
from generative.data import shapes
from generative.data.archives import ARCHIVE, members
from generative.data.cache import cache_place
from generative.data.files import Folder
from generative.data.found import files_below, listed
from generative.data.pictures import BROKEN, reason
from generative.data.record import Known, Record, folder_pictures, split_order
from generative.data.registry import Opening, find
from generative.data.settings import CaptionConfig
from generative.data.sources import opened
from generative.data.words import MOST_WORDS, Words, words_of

__all__ = [
    "SIZE",
    "Batch",
    "Captioned",
    "Examples",
    "Splits",
    "captioned_folder",
    "open_captions",
    "oxford_flowers",
    "painted_shapes",
]

Say = Callable[[str], None]
SIZE = 64
"""Pixels a side of every picture."""
TRIES = 1_000
TEST_PICTURES = 500
FLOWER = re.compile(r"(?:^|/)(class_\d+)/(image_\d+)\.txt$")


class Captioned:
    """Pictures `rows` of `images`, each with at least one caption; pictures are named by their position in `images`.

    `is_true(i, j, k)` says whether caption k of picture j is true of picture i; a wrong caption is one that is not.
    `nearly_true(i, rng)` makes up a caption that is false of picture i in a single point, where the data can do that.
    """

    def __init__(
        self,
        name: str,
        what: str,
        images: Folder | Painted | np.ndarray,  # [N, H, W, C] uint8
        captions: Sequence[Sequence[str]],  # [N][K_i]
        is_true: Callable[[int, int, int], bool],
        rows: np.ndarray,
        mirror: bool = False,
        nearly_true: Callable[[int, np.random.Generator], str] | None = None,
    ):
        self.name, self.images, self.captions, self.is_true = name, images, captions, is_true
        self.nearly_true = nearly_true
        self.rows, self.mirror = rows, mirror
        self.protocol = f"{len(rows):,} captioned pictures {SIZE}x{SIZE} of {what}"

    def __len__(self) -> int:
        return len(self.rows)

    def read(self, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures [B, H, W, C] and the rows whose captions they have: another's, where a good one stands in for a bad.

        `rows` and stand-ins are of this split, so that no held-out picture is learned from.
        """
        return self.images.read(rows, self.rows) if isinstance(self.images, Folder) else (self.images[rows], rows)

    def whole(self, i: int) -> bool:
        """Return whether picture i can be read."""
        return not isinstance(self.images, Folder) or self.images.own(i) is not None

    def wrong_for(self, i: int, rng: np.random.Generator) -> str:
        """Return a caption that is false of picture i: one of another picture, or half of the time one that is nearly true."""
        if self.nearly_true and rng.random() < 0.5:
            return self.nearly_true(i, rng)
        for _ in range(TRIES):
            j = int(self.rows[rng.integers(len(self.rows))])
            k = int(rng.integers(len(self.captions[j])))
            if not self.is_true(i, j, k):
                return self.captions[j][k]
        raise UsageError(
            f"{self.name}: nearly every caption fits picture {i} too ({self.captions[i][0]!r}); captions must differ in meaning"
        )

    def different(self, n: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """Return up to n (whole picture, caption) of different meaning: no caption is true of another's picture."""
        chosen: list[tuple[int, int]] = []
        for i in rng.permutation(self.rows):
            i, k = int(i), int(rng.integers(len(self.captions[i])))
            if not any(self.is_true(a, i, k) or self.is_true(i, a, b) for a, b in chosen) and self.whole(i):
                chosen.append((i, k))
            if len(chosen) == n:
                break
        return chosen


class Splits(NamedTuple):
    """`train` is learned from; `test` are other pictures; `unseen` are combinations that no training picture shows."""

    train: Captioned
    test: Captioned
    unseen: Captioned | None = None
    sentences: tuple[str, ...] = ()
    """Captions that sample grids show; of `test` without them."""
    shapes: bool = False
    """Whether these are captioned shapes, which a classifier reads (generative/data/shape_reader.py)."""


# --- batches ----------------------------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """B pictures, a right and a wrong caption for each, and which captions of the batch are false of which picture."""

    x: np.ndarray
    """[B, H, W, C] uint8."""
    text: np.ndarray
    """[B, T] int32, caption b is true of picture b."""
    wrong: np.ndarray
    """[B, T] int32, caption b is false of picture b."""
    false: np.ndarray
    """[B, B] bool: whether text[j] is false of x[i]."""


class Examples:
    """Training batches, each a function of (seed, position); pictures follow core.iterate.Order."""

    def __init__(self, data: Captioned, words: Words):
        self.data = data
        self.ids = {int(i): [words.encode(text) for text in data.captions[i]] for i in data.rows}
        self.length = max(len(ids) for texts in self.ids.values() for ids in texts)
        texts = (text for i in data.rows for text in data.captions[i])
        self.unknown = next((word for text in texts for word in words_of(text) if word not in words.known), "")
        """A word of the captions that `words` lack, if there is one."""
        self._words = words
        self._order: Order | None = None

    def draw(self, seed: int, position: int, batch: int) -> Batch:
        """Return batch number `position`."""
        order, data = self._order, self.data
        if order is None or (order.batch, order.seed) != (batch, seed):
            self._order = order = Order(len(data), batch, seed)
        rng = np.random.default_rng([seed, position, 1])
        x, rows = data.read(data.rows[order.indices(position)])
        if data.mirror:
            flip = rng.random(batch) < 0.5
            x = np.where(flip[:, None, None, None], x[:, :, ::-1], x)
        right = [(int(i), int(rng.integers(len(data.captions[i])))) for i in rows]
        text = [self.ids[i][k] for i, k in right]
        wrong = [self._words.encode(data.wrong_for(int(i), rng)) for i in rows]
        length = max(self.length, *map(len, wrong))  # one length, so that the update is traced once
        false = [[not data.is_true(int(i), j, k) for j, k in right] for i in rows]
        return Batch(x, self._words.pad(text, length), self._words.pad(wrong, length), np.array(false))


# --- sources ----------------------------------------------------------------------------------------------------------


def open_captions(config: CaptionConfig, say: Say = lambda line: None, folder: Path | None = None) -> Splits:
    """Return the data that `config` names; `say` gets a line about files that are left out.

    Pictures, captions and split of the user's own data are recorded in `folder`, a plugin's own. When the run goes on, pictures
    that were added since are not used.

    Raises UsageError for a path that is not there, pictures without captions, captions of another layout, and for pictures or
    captions that are missing or differ from what was recorded; for a source that raises or returns something else.
    """
    source = find(config.source, "captions")
    data = opened(source, config, Record(folder), "captioned", say)
    if not isinstance(data, Splits):
        raise UsageError(
            f"data source {config.source!r} ({source.where}) returned {type(data).__name__}; Splits are needed"
        )
    return data


def painted_shapes(config: CaptionConfig) -> Splits:
    """Return captioned shapes, painted when they are asked for."""
    return Splits(
        _shapes("captioned shapes", shapes.SEEN, config.pictures, config.captions, 0),
        _shapes("captioned shapes, not trained on", shapes.SEEN, TEST_PICTURES, config.captions, 1),
        _shapes("captioned shapes of unseen combinations", shapes.UNSEEN, TEST_PICTURES, config.captions, 2),
        shapes.SENTENCES,
        shapes=True,
    )


class Painted:
    """The pictures of scenes as an array-like [N, H, W, C] uint8, each painted when it is first asked for."""

    def __init__(self, scenes: Sequence[Sequence[shapes.Thing]], split: int):
        self._scenes, self._split = scenes, split
        self._memory = np.empty((len(scenes), SIZE, SIZE, 3), np.uint8)
        self._painted = np.zeros(len(scenes), bool)

    def __getitem__(self, indices: np.ndarray) -> np.ndarray:
        for i in indices:
            if not self._painted[i]:
                self._memory[i] = shapes.paint(self._scenes[i], np.random.default_rng([self._split, int(i), 1]))
                self._painted[i] = True
        return self._memory[indices]


def _shapes(what: str, pairs: Sequence[tuple[int, int]], count: int, captions: int, split: int) -> Captioned:
    scenes, texts, claims = [], [], []
    for n in range(count):
        rng = np.random.default_rng([split, n])
        scenes.append(shapes.draw_scene(rng, pairs))
        worded = [shapes.caption(scenes[-1], rng) for _ in range(captions)]
        texts.append([text for text, _ in worded])
        claims.append([claim for _, claim in worded])

    def is_true(i: int, j: int, k: int) -> bool:
        return shapes.is_true(claims[j][k], scenes[i])

    def nearly_true(i: int, rng: np.random.Generator) -> str:
        return shapes.wrong_caption(scenes[i], pairs, rng)

    return Captioned(what, what, Painted(scenes, split), texts, is_true, np.arange(count), nearly_true=nearly_true)


def captioned_folder(config: CaptionConfig, opening: Opening) -> Splits:
    """Read a folder of pictures with their captions beside them, or in the layout of CUB."""
    record, say = opening.record, opening.say
    known = folder_pictures(record, opening.part, config.source, say, cache=cache_place(config.cache))
    _check_pictures(known, record)
    folders: dict[Path, list[Path]] = {}
    captions = [_lines(_beside(known, name, folders)) for name in known.names]
    where = "NAME.txt beside it, one caption a line, or, for images/CLASS/NAME.jpg, in TEXT/CLASS/NAME.txt"
    rows = _with_captions(known, captions, say, where)
    names = [known.names[i] for i in rows]
    held_out = _some(names, config.held_out, by_position=known.by_position)
    groups = list(range(len(known.names)))
    what = f"the folder {known.root.name!r}"
    return _own_data(what, known, record, captions, groups, rows, held_out, config, say)


def _beside(known: Known, name: str, folders: dict[Path, list[Path]]) -> Path:
    """Return the captions of a picture: beside it, or, in the layout of CUB, in a folder beside that of all pictures.

    `folders` remembers the folders in a folder.
    """
    beside = known.path(name).with_suffix(".txt")
    if beside.is_file():
        return beside
    images, top, rest = known.root, known.root.parent, name
    if known.root.name.lower() != "images":
        images, top, rest = known.root / name.partition("/")[0], known.root, name.partition("/")[2]
    if images.name.lower() == "images" and "/" in rest:
        if top not in folders:
            folders[top] = sorted(p for p in top.iterdir() if p.is_dir() and not p.name.startswith("."))
        for other in folders[top]:
            if other != images and (other / rest).with_suffix(".txt").is_file():
                return (other / rest).with_suffix(".txt")
    return beside


def oxford_flowers(config: CaptionConfig, opening: Opening) -> Splits:
    """Read Oxford-102: pictures image_00001.jpg ..., captions class_00001/image_00001.txt ... in folders or in one archive."""
    record, path, say = opening.record, opening.path, opening.say
    found: dict[str, tuple[str, list[str]]] = {}  # picture -> (class, captions)
    for name, text in _caption_files(path, say):
        match = FLOWER.search(name)
        if match:
            found[match[2]] = (match[1], _split(text))
    if not found:
        raise UsageError(
            f"{str(path)!r} holds no captions class_00001/image_00001.txt, neither in folders nor in a .tar.gz or .zip archive"
        )
    known = folder_pictures(record, opening.part, config.source, say, cache=cache_place(config.cache))
    _check_pictures(known, record)
    stems = [Path(name).stem for name in known.names]
    captions = [found.get(stem, ("", []))[1] for stem in stems]
    groups = [found.get(stem, ("", []))[0] for stem in stems]
    rows = _with_captions(known, captions, say, "class_.../NAME.txt")
    classes = sorted({groups[i] for i in rows})
    kept = {classes[n] for n in np.flatnonzero(_some(classes, config.held_out, by_position=known.by_position))}
    held_out = np.array([groups[i] in kept for i in rows])
    return _own_data("Oxford-102 flowers", known, record, captions, groups, rows, held_out, config, say)


def _check_pictures(known: Known, record: Record) -> None:
    """Raise UsageError for pictures that are missing or were changed since the run began: a caption has no stand-in."""
    if record.part("captions") is None:
        return
    changes = known.changes()
    for names, verb in ((changes.missing, "missing"), (changes.changed, "of another size than before, so changed")):
        if names:
            raise UsageError(
                f"{str(known.root)!r} is not what it was when the run began: {len(names):,} of {len(known.names):,} pictures are "
                f"{verb} ({listed(names)}); bring back the old data, or start a new run"
            )


def _check_captions(known: Known, record: Record, captions: Sequence[Sequence[str]]) -> None:
    """Keep checksums of the captions; raise UsageError where those of a run that goes on differ from the kept ones."""
    digests = {
        name: hashlib.blake2b("\n".join(texts).encode(), digest_size=8).hexdigest()
        for name, texts in zip(known.names, captions, strict=True)
    }
    kept = record.part("captions")
    if kept is None:
        record.keep("captions", digests)
        return
    changed = [name for name, digest in digests.items() if kept.get(name) != digest]
    if changed:
        raise UsageError(
            f"the captions in {str(known.root)!r} have changed since the run began, those of {len(changed):,} pictures: "
            f"{listed(changed)}; bring back the old ones, or start a new run"
        )


def _own_data(
    what: str,
    known: Known,
    record: Record,
    captions: Sequence[Sequence[str]],
    groups: Sequence[object],  # [N] pictures of one group share their captions' meaning
    rows: np.ndarray,
    held_out: np.ndarray,  # [len(rows)] bool
    config: CaptionConfig,
    say: Say,
) -> Splits:
    _check_captions(known, record, captions)
    folder = Folder(known, SIZE, 3, config.crop, say, cache_place(config.cache))
    long = [known.names[i] for i in rows if any(len(words_of(text)) > MOST_WORDS for text in captions[i])]
    if long:
        say(f"{len(long)} pictures have captions of more than {MOST_WORDS} words, which are cut there: {listed(long)}")
    own = [frozenset(" ".join(words_of(text)) for text in texts) for texts in captions]

    def is_true(i: int, j: int, k: int) -> bool:
        return groups[i] == groups[j] or " ".join(words_of(captions[j][k])) in own[i]

    train = Captioned(what, what, folder, captions, is_true, rows[~held_out], config.mirror)
    return Splits(train, Captioned(what, f"{what}, held out", folder, captions, is_true, rows[held_out]))


def _some(names: Sequence[str], share: float, *, by_position: bool) -> np.ndarray:
    """Return a mask [N] with about `share` of it True, at least two and all but two, always the same for the same names."""
    n = len(names)
    if n < 4:
        raise UsageError(
            f"{n} picture{'s' * (n > 1)} (flowers: classes) with captions are too few: two are learned from, so that there are "
            "wrong captions, and two are kept to measure"
        )
    mask = np.zeros(n, bool)
    mask[split_order(names, by_position=by_position)[: min(max(round(share * n), 2), n - 2)]] = True
    return mask


def _with_captions(known: Known, captions: Sequence[Sequence[str]], say: Say, where: str) -> np.ndarray:
    rows = np.array([i for i, texts in enumerate(captions) if texts], int)
    bare = [name for name, texts in zip(known.names, captions, strict=True) if not texts]
    if not len(rows):
        raise UsageError(f"none of the {len(bare)} pictures has captions; they are looked for in {where}")
    if bare:
        say(f"{len(bare)} of {len(captions)} pictures have no captions and are left out: {listed(bare)}")
    return rows


def _split(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if words_of(line)]


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        return []
    try:
        return _split(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UsageError(f"the captions {str(path)!r} are no UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise UsageError(f"the captions {str(path)!r} cannot be read: {reason(error)}") from error


def _caption_files(path: Path, say: Say) -> Iterator[tuple[str, str]]:
    """Yield (name, text) of every .txt file below a folder, then of those in its archives, which are read in memory."""
    for file in files_below(path).files:
        if file.suffix == ".txt" and FLOWER.search(file.as_posix()):
            yield file.as_posix(), "\n".join(_lines(file))
    for file in sorted(path.iterdir()):
        if not file.name.lower().endswith(ARCHIVE) or not file.is_file():
            continue
        try:
            texts = members(file, FLOWER)
        except BROKEN as error:
            raise UsageError(f"the archive {str(file)!r} cannot be read: {reason(error)}") from error
        unclear = []
        for name, raw in texts.items():
            text = raw.decode("utf-8-sig", errors="replace")
            if "\ufffd" in text:
                unclear.append(name)
            yield name, text
        if unclear:
            say(
                f"{len(unclear)} captions in {file.name} hold bytes that are no UTF-8 text, read as \ufffd: {listed(unclear)}"
            )
