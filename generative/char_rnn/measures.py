"""What can be counted in written paragraphs: brackets that are closed."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["balanced", "bracketed"]

CLOSED_BY = {"(": ")", "[": "]", "{": "}"}


def balanced(paragraph: str) -> bool:
    """Return whether every bracket is closed by its own kind, the last opened first, and none is closed that was not opened.

    >>> balanced("f(x[0], {1: 2})"), balanced("f(x[0)]"), balanced("a) b")
    (True, False, False)
    """
    open_ones: list[str] = []
    for c in paragraph:
        if c in CLOSED_BY:
            open_ones.append(CLOSED_BY[c])
        elif c in CLOSED_BY.values() and (not open_ones or open_ones.pop() != c):
            return False
    return not open_ones


def bracketed(paragraphs: Iterable[str]) -> tuple[int, int]:
    """Return how many paragraphs open a bracket, and how many of those are balanced."""
    opening = [paragraph for paragraph in paragraphs if any(c in CLOSED_BY for c in paragraph)]
    return len(opening), sum(map(balanced, opening))
