"""Numbers that change with the clock: step sizes, shares of random actions, exponents."""

from __future__ import annotations

__all__ = ["linear"]


def linear(clock: int, steps: int, start: float, end: float) -> float:
    """Return the number that goes from `start` at clock 0 to `end` at clock `steps` in a straight line, and stays there.

    >>> [linear(clock, 1_000, 1.0, 0.5) for clock in (0, 500, 1_000, 2_000)]
    [1.0, 0.75, 0.5, 0.5]
    """
    return start + min(1.0, clock / max(steps, 1)) * (end - start)
