"""What a run learns from, kept in its own folder: names and sizes of pictures, checksums of arrays, and how they were split.

So a resumed run knows its data again, wherever they lie by now; and a model can be sampled and exported without them.
"""

from __future__ import annotations

import errno
import hashlib
import json
import threading
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from core import checkpoint
from core.disk import write_atomically
from core.errors import UsageError
from core.unreadable import UNREADABLE
from generative.data.found import Header, files_below, listed, names_below, pictures_below, user_path

__all__ = ["Absent", "Changes", "Known", "Record", "checksum", "folder_pictures", "place_of", "split_order"]

Say = Callable[[str], None]
FILE = "data.json"
FORMAT = 1


class Record:
    """The file `data.json` in a run's scratch folder; without a folder, of which nothing is kept.

    Raises UsageError for a file that is damaged or of a later version.
    """

    def __init__(self, folder: Path | None):
        self.path = folder / FILE if folder else None
        self._parts: dict[str, Any] = {}
        self.older = False
        """Whether the run began before there were records: its pictures were split by their positions."""
        if folder is not None and not self._read():
            self.older = bool(checkpoint.numbered(folder.parent))

    def _read(self) -> bool:
        """Read the file, if there is one."""
        if self.path is None or not self.path.is_file():
            return False
        try:
            document = json.loads(self.path.read_text(encoding="utf-8"))
            version, self.older, self._parts = document["format"], bool(document["older"]), dict(document["parts"])
        except UNREADABLE as error:
            raise UsageError(f"{str(self.path)!r}, the record of the run's data, is damaged: {error}") from error
        if version != FORMAT:
            raise UsageError(f"{str(self.path)!r} has format {version!r}; this version reads {FORMAT}")
        return True

    def part(self, name: str) -> dict[str, Any] | None:
        """Return what is kept under a name, None where nothing is."""
        return self._parts.get(name)

    def keep(self, name: str, values: dict[str, Any]) -> None:
        """Keep values that JSON can hold under a name."""
        if self.path is None or self._parts.get(name) == values:
            return
        self._read()  # another part may have been kept since
        self._parts[name] = values
        document = {"format": FORMAT, "older": self.older, "parts": self._parts}
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            write_atomically(self.path, json.dumps(document, ensure_ascii=False) + "\n")
        except OSError as error:
            if error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):  # someone else's run can still be sampled
                raise


def place_of(kept: dict[str, Any] | None, source: str) -> Path:
    """Return where the data of `source`, KIND:PATH, lie, absolute: files are opened late, and user code may change directory.

    That is where they lay when the run began, unless the source is another one by now or they are no longer there.
    """
    given = user_path(source.partition(":")[2] or source).absolute()
    if kept is not None and kept["source"] == source:
        before = Path(kept["root"])
        return before if before.exists() or not given.exists() else given
    return given


def split_order(names: Sequence[str], *, by_position: bool = False) -> np.ndarray:
    """Return the positions [N] of the names in the order in which they are held out.

    It follows a hash of each name, so that a name that comes or goes changes the place of no other one. `by_position` is the
    order of runs that began before there were records.
    """
    if by_position:
        return np.random.default_rng(0).permutation(len(names))
    plain = [unicodedata.normalize("NFC", name).encode() for name in names]  # macOS takes accents apart
    digests = [(hashlib.blake2b(name, digest_size=8).digest(), name) for name in plain]
    return np.array(sorted(range(len(names)), key=lambda i: digests[i]), int)


def checksum(*arrays: np.ndarray) -> str:
    """Return a checksum of the arrays' shapes, types and values."""
    digest = hashlib.blake2b(digest_size=16)
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


class Absent:
    """Pictures [N, H, W, C] of which the run's record knows the shape alone; asking for one raises UsageError with `why`."""

    def __init__(self, shape: Sequence[int], why: str):
        self.shape, self._why = tuple(shape), why

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: Any) -> np.ndarray:
        raise UsageError(self._why)


# --- folders ------------------------------------------------------------------------------------------------------------


class Changes(NamedTuple):
    """How a folder differs from what it was when the run began, by names relative to it."""

    added: list[str]
    missing: list[str]
    changed: list[str]
    """Files of another size."""


class Known:
    """The pictures that a run learns from, as they were when it began: names in order, sizes, where they lie.

    `names` are paths relative to `root`, `headers` their (width, height). `check` compares with the folder.
    """

    def __init__(self, root: Path, files: dict[str, list[int]], what: str, say: Say, *, by_position: bool):
        self.root, self.names, self.what, self.by_position = root, list(files), what, by_position
        self.sizes = {name: (int(entry[1]), int(entry[2])) for name, entry in files.items()}
        self._bytes = {name: int(entry[0]) for name, entry in files.items()}
        self._left_out: set[str] = set()
        self._say = say
        self._lock = threading.Lock()
        self._record: tuple[Record, str, dict[str, Any]] | None = None
        self.missing: set[str] = set()
        """Names that `check` did not find."""

    def path(self, name: str) -> Path:
        return self.root / name

    @property
    def order(self) -> np.ndarray:
        """Positions [N] in the order in which pictures are held out."""
        return split_order(self.names, by_position=self.by_position)

    def check(self) -> None:
        """Say once what has changed since the run began; what was added is not used, what is missing is in `missing`.

        Raises UsageError where the folder is not there or holds none of the pictures.
        """
        with self._lock:
            if self._record is None:
                return
            changes = self.changes()
            if len(changes.missing) == len(self.names):
                raise UsageError(
                    f"{str(self.root)!r} holds none of the {len(self.names):,} pictures that the run began with, e.g. "
                    f"{self.names[0]}; they are missing"
                )
            told = [
                f"{_count(names)} {verb} ({listed(names)}){effect}"
                for names, verb, effect in (
                    (changes.added, "added", ", not used"),
                    (changes.missing, "missing", ", others of the same part stand in for them"),
                    (changes.changed, "changed in size", ", used as they are now"),
                )
                if names
            ]
            if told:
                self._say(f"{self.root} has changed since the run began: {'; '.join(told)}")
            self.missing = set(changes.missing)
            self._done()

    def changes(self) -> Changes:
        """Compare the folder with what it was. Raises UsageError where it is not there."""
        files = files_below(self.root, self.what).files
        found = dict(zip(names_below(files, self.root), files, strict=True))
        endings = Image.registered_extensions()
        known = {*self.names, *self._left_out}
        return Changes(
            [name for name, path in found.items() if name not in known and path.suffix.lower() in endings],
            [name for name in self.names if name not in found],
            [name for name in self.names if name in found and found[name].stat().st_size != self._bytes[name]],
        )

    def _done(self) -> None:
        """Keep where the pictures lie now, so that the next resume looks there."""
        assert self._record is not None
        record, part, kept = self._record
        self._record = None
        record.keep(part, kept)

    @classmethod
    def again(cls, record: Record, part: str, source: str, what: str, say: Say) -> Known | None:
        """Return what the record knows under `part`, to be checked when pictures are read; None where it knows nothing."""
        kept = record.part(part)
        if kept is None:
            return None
        root = place_of(kept, source)
        known = cls(root / kept["below"], kept["files"], what, say, by_position=kept["split"] == "position")
        known._left_out = set(kept["left_out"])
        known._record = record, part, kept | {"source": source, "root": str(root)}
        return known

    @classmethod
    def first(
        cls,
        record: Record,
        part: str,
        source: str,
        what: str,
        say: Say,
        good: dict[Path, Header],
        others: Sequence[Path],
        *,
        below: str = "",
    ) -> Known:
        """Keep the pictures `good`, found in the folder `below` that of `source`, and return them; `others` lie there too."""
        place = place_of(None, source)
        root = place / below
        names = names_below(good, root)
        files = {name: [h.size, h.width, h.height] for name, h in zip(names, good.values(), strict=True)}
        split = "position" if record.older else "name"
        left_out = names_below(others, root)
        where = {"source": source, "root": str(place), "below": below}
        record.keep(part, where | {"split": split, "files": files, "left_out": left_out})
        return cls(root, files, what, say, by_position=record.older)


def folder_pictures(
    record: Record, part: str, source: str, say: Say, what: str = "data.source", cache: Path | None = None
) -> Known:
    """Return the pictures of `source`, folder:PATH: those that the record knows, or those that are found, which it then keeps.

    `cache` is the folder in which headers are kept. Raises UsageError for a folder that is not there or holds no picture, where
    nothing is known of it yet.
    """
    known = Known.again(record, part, source, what, say)
    if known is not None:
        return known
    good, bad = pictures_below(place_of(None, source), say, what, cache)
    return Known.first(record, part, source, what, say, good, list(bad))


def _count(names: Sequence[str]) -> str:
    return f"{len(names):,} picture was" if len(names) == 1 else f"{len(names):,} pictures were"
