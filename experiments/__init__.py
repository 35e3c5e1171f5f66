"""The launcher: `python -m experiments.run <name>` and the verbs of `python -m experiments`; the same from Python.

    from experiments import compare, list_runs, load, train

The names load on first use, so that the command line is not slower for them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from experiments.api import Run, compare, list_runs, load, train

__all__ = ["Run", "compare", "list_runs", "load", "train"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import experiments.api

    return getattr(experiments.api, name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
