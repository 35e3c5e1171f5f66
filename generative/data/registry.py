"""What can be learned from: data sources under `@source`, found by folder scan and by entry point. Imports nothing heavy.

A source is one function in one file, which opens the data:

    @source("stripes", kind="pictures", summary="stripes of every direction")
    def stripes(config: DataConfig, opening: Opening) -> Images:
        import numpy as np
        ...

`--help` and `list` import the file to name the source, so what takes time to import is imported inside the function.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import pkgutil
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeVar, get_args

from core.errors import UsageError, nearest, require, told

if TYPE_CHECKING:
    import numpy as np

    from generative.data.record import Record

__all__ = [
    "BUILT_IN",
    "ENTRY_POINTS",
    "SOURCES",
    "Images",
    "Opening",
    "Source",
    "Texts",
    "all_sources",
    "find",
    "load_outside",
    "source",
]

ENTRY_POINTS = "pongan.sources"
BUILT_IN = "generative.data.built_in"
Kind = Literal["pictures", "points", "captions", "text", "pairs", "two"]
PICTURES: tuple[Kind, ...] = ("pictures", "points")
WHAT = {
    "captions": ("which has captions", "which has no captions"),
    "text": ("which is text", "which is no text"),
    "pairs": ("which has pairs of pictures", "which has no pairs of pictures"),
    "two": ("which is two sources", "which is not two sources"),
}
"""What a source of a kind is, and what another one is not, for the sentence to those who named the wrong one."""


class Images(NamedTuple):
    """Pictures as a source returns them: size, colours and mirroring are the flags', and the run keeps their checksum."""

    images: np.ndarray
    """[N, H, W, C] uint8, C 1 or 3."""
    labels: np.ndarray | None = None
    """[N] int64."""
    what: str = ""
    """What they are, for protocols; the source's name without it."""
    digits: int = 0
    """Digits in a picture that the digit classifier reads, see `Data`."""
    words: tuple[str, ...] = ()
    """What labels 0, 1, ... are called, where they have names."""


class Texts(NamedTuple):
    """Text as a source returns it: how much of it is held out is the flags', and the run keeps its checksum."""

    topics: Sequence[tuple[str, str]]
    """Name and text of each topic; a topic is held out as a whole."""
    what: str = ""
    """What they are, for protocols; the source's name without it."""


@dataclass(frozen=True)
class Opening:
    """What a source is told when it is opened, beside the flags."""

    argument: str
    """What follows the colon, e.g. Pong in atari:Pong."""
    path: Path
    """Where the data of NAME:PATH lie, absolute; on resume, where they lie now."""
    record: Record
    """What the run keeps of its data, so that it knows them again; arrays are recorded without a source's doing."""
    part: str
    """The name under which it keeps these data: a plugin may have several."""
    say: Callable[[str], None]
    """Prints one line for the user."""


@dataclass(frozen=True)
class Source:
    """A registered data source: all that flags and `list` know of it without opening it."""

    name: str
    argument: str
    """What follows the name and a colon, in capitals; PATH is a place of the user's; empty where nothing follows."""
    kind: Kind
    summary: str
    """One line for `list`."""
    mirrors: bool
    """Whether data.mirror makes sense."""
    example: str
    """What may stand for `argument`, for the sentence that asks for it."""
    opens: Callable[..., Any]
    """(configuration, Opening) -> Images or Data; for captions Splits, for text Texts."""

    @property
    def usage(self) -> str:
        """How it is asked for, e.g. `ring` or `folder:PATH`."""
        return f"{self.name}:{self.argument}" if self.argument else self.name

    @property
    def moves(self) -> bool:
        """Whether it is a place, which may be another one when a run goes on."""
        return self.argument == "PATH"

    @property
    def where(self) -> str:
        """The function's place, for sentences to those who wrote it."""
        return f"{self.opens.__module__}.{self.opens.__qualname__}"


SOURCES: dict[tuple[str, bool], Source] = {}
"""By name and whether it has captions: `folder:PATH` is one source of pictures and another of captioned ones."""
_Opens = TypeVar("_Opens", bound=Callable[..., Any])


def source(
    usage: str, *, kind: Kind, summary: str, mirrors: bool = True, example: str = ""
) -> Callable[[_Opens], _Opens]:
    """Register a function (configuration, Opening) -> data as the source `usage`: NAME, NAME:PATH or e.g. NAME:GAME.

    PATH is a file or folder of the user's, `opening.path`, which may move while a run stays the same. `kind` is pictures, points
    in the plane (their function returns `Mixture`, see generative/data/sources.py), captions (`Splits`, see
    generative/data/captions.py), text (`Texts`), pairs (`PairSplit`, see generative/data/pairs.py), or two (`Two`, see
    generative/data/two.py). `mirrors` says whether data.mirror makes sense (for points it never does),
    `example` what may follow the colon. A function that returns `Data` of its own, not `Images`, heeds the flags itself.

    Raises UsageError when the name is taken or malformed.
    """

    def decorate(opens: _Opens) -> _Opens:
        name, colon, argument = usage.partition(":")
        found = Source(name, argument, kind, summary, mirrors and kind != "points", example or f"data/{name}", opens)
        if not re.fullmatch(r"[a-z][a-z0-9-]*", name) or not re.fullmatch(
            "[A-Z]+(,[A-Z]+)?" if colon else "", argument
        ):
            raise UsageError(
                f"data source {usage!r} ({found.where}) must read 'name' or 'name:ARGUMENT': letters, digits and hyphens in "
                "lower case, and after a colon one word in capitals"
            )
        if kind not in get_args(Kind):
            raise UsageError(
                f"data source {usage!r} ({found.where}) has kind {kind!r}; {nearest(str(kind), get_args(Kind))}"
            )
        taken = SOURCES.get((name, kind == "captions"))
        if taken is not None and taken.where != found.where:
            raise UsageError(f"data source {name!r} ({found.where}) is already taken by {taken.where}")
        SOURCES[name, kind == "captions"] = found
        return opens

    return decorate


def find(text: str, *kinds: Kind) -> Source:
    """Return the source that `text`, the value of a flag, asks for: one of these kinds, of pictures or points by default.

    Other packages' sources are loaded when no built-in one has the name. Raises UsageError with the nearest name, for a broken
    source with the reason, and where the colon or what follows it is missing or too much.
    """
    name, colon, argument = text.partition(":")
    kinds = kinds or PICTURES

    def known() -> list[Source]:
        return [found for found in SOURCES.values() if found.kind in kinds]

    broken = _load_built_in()
    if all(found.name != name for found in known()):
        broken = broken | load_outside()
    by_name = {found.name: found for found in known()}
    if name not in by_name:
        for origin, reason in broken.items():
            require(origin.partition(" ")[0] != name, f"data.source is {text!r}, which is there but broken: {reason}")
        usages = [f"{found.name}:" if colon else found.usage for found in known() if found.argument or not colon]
        others = {found.kind for found in SOURCES.values() if found.name == name}
        raise UsageError(f"data.source is {text!r}{_other(kinds, others)}; {nearest(name + colon, usages)}")
    found = by_name[name]
    if not found.argument:
        require(not colon, f"data.source is {text!r}; nothing follows {name}")
    elif not colon:
        raise UsageError(f"data.source is {text!r}; did you mean {found.usage!r}?")
    else:
        two = "two sources, with a comma between them"
        wanted = "a path" if found.moves else two if "," in found.argument else f"a {found.argument.lower()}"
        require(bool(argument), f"data.source is {text!r}; after the colon comes {wanted}, e.g. {name}:{found.example}")
    return found


def _other(wanted: Collection[str], found: Collection[str]) -> str:
    """Return a clause on a source that is there, but of another kind."""
    if not found:
        return ""
    said = [WHAT[kind][0] for kind in found if kind in WHAT and kind != "captions"]
    said += [WHAT[kind][1] for kind in wanted if kind in WHAT] or [WHAT[kind][0] for kind in found if kind in WHAT]
    return f", {said[0]}"


def all_sources() -> tuple[list[Source], dict[str, str]]:
    """Return every source by name, and what could not be loaded with the reason."""
    broken = _load_built_in() | load_outside()
    return [SOURCES[key] for key in sorted(SOURCES)], broken


@lru_cache(maxsize=1)
def _load_built_in() -> dict[str, str]:
    """Import the files of the folder once; return those that are broken with the reason."""
    package = importlib.import_module(BUILT_IN)
    names = sorted(module.name for module in pkgutil.iter_modules(package.__path__))
    reasons = {name: _load(f"{BUILT_IN}.{name}") for name in names}
    return {name: reason for name, reason in reasons.items() if reason}


@lru_cache(maxsize=1)
def load_outside() -> dict[str, str]:
    """Import other packages' sources once; return those that are broken with the reason."""
    _load_built_in()  # first, so that no stranger takes a name of ours
    broken = {}
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        reason = _load(entry.value.partition(":")[0])
        if reason:
            broken[f"{entry.name} (package {entry.dist.name})" if entry.dist else entry.name] = reason
    return broken


def _load(module: str) -> str:
    """Import a module that registers sources; return why it cannot be used, '' where it can."""
    before = dict(SOURCES)
    try:
        importlib.import_module(module)
        if before == SOURCES and all(found.opens.__module__ != module for found in SOURCES.values()):
            raise UsageError(f"{module} registers no data source")
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything; `list` shows it
        SOURCES.clear()
        SOURCES.update(before)
        return str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {told(error)}"
    return ""
