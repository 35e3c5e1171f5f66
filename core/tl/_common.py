"""What every module of the package needs: where random numbers come from, how a broken rule is reported, threads."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

__all__ = ["InvalidInput", "in_threads", "integer_below", "python_integer", "random_source", "require"]


class InvalidInput(ValueError, AssertionError):
    """An argument breaks a rule. Also an AssertionError: that is what code written against TensorLayer catches."""


def require(rule_holds: bool, message: str) -> None:
    """Raise :class:`InvalidInput` with ``message`` unless ``rule_holds``.

    >>> require(True, "never seen")
    """
    if not rule_holds:
        raise InvalidInput(message)


def random_source(rng: np.random.Generator | None) -> Any:
    """Where ``uniform``, ``choice``, ``shuffle``, ... are drawn from: ``rng``, or numpy's global state without one.

    >>> random_source(None) is np.random
    True
    """
    return np.random if rng is None else rng


def integer_below(rng: np.random.Generator | None, low: int, high: int) -> int:
    """One integer of [low, high): from ``rng``, or from numpy's global state without one.

    >>> integer_below(None, 3, 4)
    3
    """
    return int(np.random.randint(low, high) if rng is None else rng.integers(low, high))


def python_integer(rng: np.random.Generator | None, low: int, high: int) -> int:
    """One integer of [low, high]: from ``rng``, or the standard library's global state without one.

    >>> python_integer(None, 3, 3)
    3
    """
    return random.randint(low, high) if rng is None else int(rng.integers(low, high + 1))


def in_threads(fn: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """``[fn(item) for item in items]`` on at most ``threads`` threads.

    Args:
        fn: the function.
        items: its arguments.
        threads: at least 1.

    Returns:
        List of results, in the order of the items.

    >>> in_threads(abs, [-1, 2], threads=2)
    [1, 2]
    """
    with ThreadPoolExecutor(max_workers=max(1, min(threads, len(items)))) as pool:
        return list(pool.map(fn, items))
