"""The one exception a user sees as a sentence, and the nearest valid choice that belongs in it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = ["UsageError", "nearest", "require"]


class UsageError(Exception):
    """Something the user can mend. Its text is one sentence: the value, the rule, the nearest valid choice.

    The launcher prints the sentence and exits with code 2; a traceback would only hide it.
    """


def nearest(value: str, choices: Iterable[str]) -> str:
    """Return a clause naming what `value` was probably meant to be, or all of a short list of `choices`.

    >>> nearest("cartpole", ["CartPole-v1", "Pong"])
    "did you mean 'CartPole-v1'?"
    >>> nearest("zzz", ["a", "b"])
    'choose from a, b'
    """
    choices = sorted(set(choices))
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(value.lower(), by_lower, n=1, cutoff=0.5)
    if close:
        return f"did you mean {by_lower[close[0]]!r}?"
    prefixed = [choice for choice in choices if choice.lower().startswith(value.lower()[:3])] if value else []
    listed = (prefixed or choices)[:12]
    return f"choose from {', '.join(listed)}" if listed else "there is none to choose from"


def require(condition: bool, sentence: str) -> None:
    """Raise `UsageError(sentence)` unless `condition` holds."""
    if not condition:
        raise UsageError(sentence)
