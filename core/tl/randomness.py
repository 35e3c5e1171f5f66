"""Where random numbers come from: a numpy Generator, or the global state that TensorLayer draws from."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

__all__ = ["Repeated", "Rng", "drawn", "integer_below", "python_integer", "random_source", "uniform"]

Rng = np.random.Generator | None
"""A Generator; None is the global state, in TensorLayer's order."""
T = TypeVar("T")


class Repeated:
    """What was drawn for a first image, drawn again for the next one after each :meth:`rewind`.

    It takes the place of ``rng`` in functions that draw through :func:`drawn` or :func:`uniform`. Results are kept,
    not states: the global state is shared with other threads, so that setting it back would change what they draw.
    """

    def __init__(self, rng: Rng) -> None:
        self._rng = rng
        self._results: list[Any] = []
        self._next = 0

    def rewind(self) -> None:
        """Begin again with the first draw."""
        self._next = 0

    def draw(self, draw: Callable[[Rng], T]) -> T:
        """The next result: of ``draw(rng)``, or what it was the first time."""
        if self._next == len(self._results):
            self._results.append(draw(self._rng))
        self._next += 1
        return self._results[self._next - 1]


def drawn(rng: Rng | Repeated, draw: Callable[[Rng], T]) -> T:
    """``draw(rng)``, where ``rng`` may repeat what was drawn before.

    >>> rng = Repeated(np.random.default_rng(0))
    >>> first = drawn(rng, lambda rng: rng.random())
    >>> rng.rewind()
    >>> first == drawn(rng, lambda rng: rng.random())
    True
    """
    return rng.draw(draw) if isinstance(rng, Repeated) else draw(rng)


def random_source(rng: Rng) -> Any:
    """Where ``uniform``, ``choice``, ``shuffle``, ... are drawn from: ``rng``, or numpy's global state without one.

    >>> random_source(None) is np.random
    True
    """
    return np.random if rng is None else rng


def uniform(rng: Rng | Repeated, low: float, high: float, size: int | None = None) -> Any:
    """One number of [low, high), or ``size`` of them: from ``rng``, or from numpy's global state without one.

    >>> uniform(None, 3.0, 3.0)
    3.0
    """
    return drawn(rng, lambda rng: random_source(rng).uniform(low, high, size))


def integer_below(rng: Rng, low: int, high: int) -> int:
    """One integer of [low, high): from ``rng``, or from numpy's global state without one.

    >>> integer_below(None, 3, 4)
    3
    """
    return int(np.random.randint(low, high) if rng is None else rng.integers(low, high))


def python_integer(rng: Rng, low: int, high: int) -> int:
    """One integer of [low, high]: from ``rng``, or the standard library's global state without one.

    >>> python_integer(None, 3, 3)
    3
    """
    return random.randint(low, high) if rng is None else int(rng.integers(low, high + 1))
