"""The one exception a user sees as a sentence, and the nearest valid choice that belongs in it."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

__all__ = ["ForeignError", "UsageError", "foreign", "nearest", "require", "told", "warn"]


class UsageError(Exception):
    """Something the user can mend. Its text is one sentence: the value, the rule, the nearest valid choice.

    The launcher prints the sentence and exits with code 2; a traceback would only hide it.
    """


class ForeignError(UsageError):
    """What code that is not ours raised, e.g. an environment's, as one sentence. Its cause is the exception itself, so that the
    traceback can be kept."""


def told(error: BaseException) -> str:
    """Return the first line of an exception's text that says something, or what stands for an empty text.

    >>> told(RuntimeError("\\n   not set up\\n"))
    'not set up'
    >>> told(ValueError())
    'it says nothing more'
    >>> told(SystemExit(3))
    'it asked to end the process with exit code 3'
    """
    if isinstance(error, SystemExit):
        code = error.code
        if code is None or isinstance(code, int):
            return f"it asked to end the process with exit code {int(code or 0)}"
    try:
        lines = [line.strip() for line in str(error).splitlines()]
    except Exception:  # noqa: BLE001 - a stranger's __str__ may raise anything
        lines = []
    return next(filter(None, lines), "it says nothing more")


def foreign(who: str, error: BaseException, where: str = "") -> ForeignError:
    """Return the sentence on an exception that code of `who` raised, to be raised from it.

    >>> str(foreign("environment 'X-v0'", OSError("no answer"), "in step 3"))
    "environment 'X-v0' raised OSError in step 3: no answer"
    """
    return ForeignError(f"{who} raised {type(error).__name__}{' ' * bool(where)}{where}: {told(error)}")


_WARNED: set[str] = set()


def warn(sentence: str) -> None:
    """Print a warning to stderr, each sentence once in a process."""
    if sentence not in _WARNED:
        _WARNED.add(sentence)
        sys.stderr.write(f"warning: {sentence}\n")


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
