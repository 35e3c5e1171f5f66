"""Trained runs that come along, by name: `zoo:pong` stands wherever a run is only read. Standard library only.

An entry is a folder that has what a run's folder has and no more than is needed, and a card (card.yaml): what it is, the command
that trained it, the licence of what it learned from. Nothing is written into it. Ours lie in experiments/zoo; further zoos are
folders of entries that PONGAN_ZOO names, and packages under the entry-point group `pongan.zoos`.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from pathlib import Path

from core.errors import UsageError, nearest

__all__ = ["CARD", "ENTRY_POINTS", "PREFIX", "VARIABLE", "entries", "is_entry", "located", "own_zoos"]

PREFIX = "zoo:"
CARD = "card.yaml"
VARIABLE = "PONGAN_ZOO"
"""The environment variable with folders of entries, separated as in PATH."""
ENTRY_POINTS = "pongan.zoos"
"""Each names a package whose folder has entries; it is not imported."""
OURS = Path(__file__).parent.parent / "experiments" / "zoo"


def own_zoos() -> list[Path]:
    """Return the folders that PONGAN_ZOO names."""
    return [Path(text).expanduser().absolute() for text in os.environ.get(VARIABLE, "").split(os.pathsep) if text]


def entries() -> dict[str, Path]:
    """Return the folder of every entry by its name; nobody replaces one of ours, nor one of an earlier zoo."""
    found: dict[str, Path] = {}
    for zoo in [OURS, *own_zoos(), *_zoos_of_packages()]:
        for card in sorted(zoo.glob(f"[!.]*/{CARD}")):
            found.setdefault(card.parent.name, card.parent)
    return found


def is_entry(path: Path) -> bool:
    """Return whether a folder is an entry of a zoo, which is read and never written to."""
    return (path / CARD).is_file()


def located(run: str) -> Path:
    """Return the folder that the word for a run names: of `zoo:NAME` the entry's, else the path that it is.

    Raises UsageError for an entry that is not there.
    """
    if not run.startswith(PREFIX):
        return Path(run)
    known = entries()
    name = run.removeprefix(PREFIX)
    if name not in known:
        close = nearest(run, [PREFIX + other for other in known])
        raise UsageError(f"there is no {run!r} in the zoo; {close}")
    return known[name]


def _zoos_of_packages() -> list[Path]:
    """Return the folders of the packages under the entry points; one that is not there counts for nothing."""
    found: list[Path] = []
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        try:
            spec = importlib.util.find_spec(entry.value)
        except (ImportError, ValueError):
            continue
        found += [Path(folder) for folder in (spec and spec.submodule_search_locations) or ()]
    return found
