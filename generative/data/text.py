"""`open_text`: from a `TextConfig` to a text to learn from and one to measure by, which have no paragraph in common."""

from __future__ import annotations

import ast
import platform
import re
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from core.errors import UsageError, require
from generative.data.found import files_below, listed
from generative.data.pictures import reason
from generative.data.record import Record, checksum, place_of, split_order
from generative.data.registry import Texts, find
from generative.data.settings import TextConfig
from generative.data.sources import opened

__all__ = ["Text", "help_topics", "open_text", "paragraphs", "read_texts", "standard_library", "version"]

Say = Callable[[str], None]
LEAST, PIECES = 1_000, 20
"""Characters that a text must have, and topics into which texts that are fewer are cut."""
BETWEEN = "\n\n"  # paragraphs


class Text:
    """A text in two parts; one that is gone or was changed since the run began is an error when its parts are asked for."""

    def __init__(self, name: str, protocol: str, parts: tuple[str, str] | None, why: str = ""):
        self.name, self.protocol = name, protocol
        self._parts, self._why = parts, why

    @property
    def there(self) -> bool:
        return self._parts is not None

    @property
    def train(self) -> str:
        return self._part(0)

    @property
    def held_out(self) -> str:
        return self._part(1)

    def _part(self, number: int) -> str:
        if self._parts is None:
            raise UsageError(self._why)
        return self._parts[number]


def open_text(config: TextConfig, say: Say = lambda line: None, folder: Path | None = None) -> Text:
    """Return the text that `config` names; `say` gets one line about files that are left out.

    Topics are held out by a hash of their names until they hold the share of the characters that the configuration says; of
    them go the paragraphs that the other topics have too, spaces aside. Fewer than 20 topics are cut into about 20 pieces, at
    paragraphs. A checksum is recorded in `folder`, a plugin's own: a text that is not there or differs when the run goes on is an
    error only when it is read, so that a model can write without it.

    Raises UsageError for a path that is not there, a file that is no text, and for a text that is too short.
    """
    record, part = Record(folder), "text"
    kept = record.part(part)
    source = find(config.source, "text")
    try:
        found = opened(source, config, record, part, say)
        if not isinstance(found, Texts):
            raise UsageError(
                f"data source {config.source!r} ({source.where}) returned {type(found).__name__}; Texts are needed"
            )
        train, held_out, removed = _split(config, found.topics)
    except UsageError as error:
        if kept is None:
            raise
        return Text(config.source, kept["protocol"], None, str(error))
    digest = checksum(*(np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8) for text in (train, held_out)))
    if kept is not None and kept["checksum"] != digest:
        why = (
            f"{config.source!r} is not the text with which the run began ({kept['protocol']}): its checksum differs; bring back "
            "the old one, or start a new run"
        )
        return Text(config.source, kept["protocol"], None, why)
    protocol = (
        f"{found.what or config.source}: {len(train):,} characters to learn from, {len(held_out):,} of other topics held out, "
        f"without {removed:,} paragraphs that both have"
    )
    place = {"root": str(place_of(kept, config.source))} if source.moves else {}
    record.keep(part, place | {"source": config.source, "protocol": protocol, "checksum": digest})
    return Text(config.source, protocol, (train, held_out))


def paragraphs(text: str) -> list[str]:
    """Return what stands between empty lines, with the spaces before its first line.

    >>> paragraphs("a\\nb\\n\\n  \\n  c\\n")
    ['a\\nb', '  c']
    """
    return [part for part in re.split(r"\n(?:[^\S\n]*\n)+", text.strip("\n")) if part.strip()]


def _split(config: TextConfig, topics: Sequence[tuple[str, str]]) -> tuple[str, str, int]:
    """Return the text to learn from, the one to measure by, and how many paragraphs of the latter were left out."""
    total = sum(len(text) for _, text in topics)
    require(
        total >= LEAST,
        f"data.source is {config.source!r}, a text of {total:,} characters; at least {LEAST:,} are needed",
    )
    pieces, between = [(name, paragraphs(_plain(text))) for name, text in topics], BETWEEN
    if len(pieces) < PIECES:
        pieces = [piece for name, parts in pieces for piece in _cut(name, parts, total // PIECES)]
    if len(pieces) < PIECES // 2:  # without empty lines a line is a paragraph
        pieces = [piece for name, text in topics for piece in _cut(name, _plain(text).splitlines(), total // PIECES)]
        between = "\n"
    require(
        len(pieces) >= PIECES // 2,
        f"data.source is {config.source!r}, a text of {len(pieces)} paragraphs or lines that could be held out; at least "
        f"{PIECES // 2} are needed, break its lines",
    )
    order, wanted, held_out = split_order([name for name, _ in pieces]).tolist(), config.held_out * total, set[int]()
    while wanted > 0 and len(held_out) < len(pieces) - 1:
        number = order[len(held_out)]
        held_out.add(number)
        wanted -= sum(map(len, pieces[number][1]))
    known = {_words(part) for i, (_, parts) in enumerate(pieces) if i not in held_out for part in parts}
    train = between.join(part for i, (_, parts) in enumerate(pieces) if i not in held_out for part in parts)
    kept = [part for i in sorted(held_out) for part in pieces[i][1]]
    fresh = [part for part in kept if _words(part) not in known]
    require(
        bool(fresh),
        f"data.source is {config.source!r}, whose held-out paragraphs all stand in the rest too; raise data.held_out",
    )
    return train, between.join(fresh), len(kept) - len(fresh)


def _cut(name: str, parts: Sequence[str], size: int) -> Iterator[tuple[str, list[str]]]:
    """Yield paragraphs in pieces of at least `size` characters, but for the last, each with a name of its own."""
    piece: list[str] = []
    number = length = 0
    for part in parts:
        if not part.strip():
            continue
        piece.append(part)
        length += len(part)
        if length >= size:
            yield f"{name} {number}", piece
            piece, number, length = [], number + 1, 0
    if piece:
        yield f"{name} {number}", piece


def _words(paragraph: str) -> str:
    return " ".join(paragraph.split())


def _plain(text: str) -> str:
    """Return a text with one kind of line break, spaces for tabs, and none at the ends of lines."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").expandtabs().split("\n")
    return "\n".join(line.rstrip() for line in lines)


# --- the user's own files -------------------------------------------------------------------------------------------------


def read_texts(path: Path, say: Say) -> list[tuple[str, str]]:
    """Return (name, text) of a file, or of each text file below a folder; other files there are left out, which is said.

    Raises UsageError for a path that is not there, a file that is no UTF-8 text, and a folder without one.
    """
    if path.is_file():
        return [("text", _read(path))]  # not its name, which would change what is held out of a file that has moved
    require(
        path.exists(),
        f"data.source names {str(path)!r}, which is not there; it must be a text file or a folder of them",
    )
    found: list[tuple[str, str]] = []
    left_out: list[str] = []
    for file in files_below(path).files:
        try:
            found.append((file.relative_to(path).as_posix(), _read(file)))
        except UsageError:
            left_out.append(file.relative_to(path).as_posix())
    require(bool(found), f"data.source names the folder {str(path)!r}, which holds no text file (UTF-8, not empty)")
    if left_out:
        say(f"{len(left_out)} files in {path} are empty or no UTF-8 text and are left out: {listed(left_out)}")
    return found


def _read(path: Path) -> str:
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the text {str(path)!r} cannot be read: {reason(error)}") from error
    require(bool(raw.strip()), f"data.source names {str(path)!r}, which is empty")
    require(b"\0" not in raw, f"data.source names {str(path)!r}, which is no text: its byte {raw.find(0):,} is 0")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(
            f"data.source names {str(path)!r}, which is no UTF-8 text (byte {error.start:,}); convert it, e.g. with iconv"
        ) from error


# --- what comes with the interpreter --------------------------------------------------------------------------------------


LIBRARY = Path(sysconfig.get_paths()["stdlib"])
LEFT_OUT = frozenset(("test", "tests", "idlelib", "lib2to3", "turtledemo", "ensurepip", "this"))


def version() -> str:
    """Return Python's, on which the text depends."""
    return platform.python_version()


def help_topics() -> list[tuple[str, str]]:
    """Return (name, text) of each topic of help(): chapters of the language reference."""
    from pydoc_data.topics import topics

    return sorted(topics.items())


@lru_cache(maxsize=1)
def standard_library() -> list[tuple[str, str]]:
    """Return (name, docstrings) of each module of the standard library that is written in Python; a package is one topic.

    The files are parsed, not imported. Tests and demonstrations are left out; a docstring that a module repeats stands once.
    """
    topics: dict[str, list[str]] = {}
    for name in sorted(sys.stdlib_module_names - LEFT_OUT):
        for file in _files(name):
            topics.setdefault(name, []).extend(_docstrings(ast.parse(file.read_bytes(), str(file))))
    return [(f"module {name}", BETWEEN.join(dict.fromkeys(texts))) for name, texts in topics.items() if texts]


def _files(name: str) -> list[Path]:
    module, package = LIBRARY / f"{name}.py", LIBRARY / name
    if module.is_file():
        return [module]
    files = sorted(package.rglob("*.py")) if package.is_dir() else []
    return [file for file in files if LEFT_OUT.isdisjoint(file.relative_to(LIBRARY).parts)]


def _docstrings(node: ast.AST) -> Iterator[str]:
    """Yield the docstrings of a module, its classes and functions in their order."""
    if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
        text = ast.get_docstring(node)
        if text:
            yield text
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield from _docstrings(child)
