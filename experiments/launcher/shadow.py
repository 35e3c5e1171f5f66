"""Notices a user's own folder called `core`, `agents`, ... that Python would import instead of ours."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

__all__ = ["check"]

OURS = ("core", "envs", "agents", "generative")


def check() -> None:
    """Exit with code 2 and one sentence when one of our packages is not the one beside the package `experiments`."""
    home = Path(__file__).resolve().parent.parent.parent
    for name in OURS:
        found = importlib.util.find_spec(name)
        places = [Path(p).resolve() for p in found.submodule_search_locations or []] if found else []
        if home / name not in places[:1]:
            where = places[0] if places else found.origin if found else "nowhere"
            print(
                f"error: Python finds the package {name!r} in {where} instead of {home / name}; "
                "rename that folder, or start from another directory",
                file=sys.stderr,
            )
            sys.exit(2)
