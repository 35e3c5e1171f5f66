"""`python -m experiments <verb>`, also installed as the command `pongan`."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 a sentence about what to mend, 130/143 stopped by a signal."""
    from experiments.launcher.shadow import check

    if argv is None:
        _find_modules_here()
    check()
    from core.errors import UsageError
    from experiments.launcher.console import error

    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except UsageError as failure:
        error(str(failure))
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _find_modules_here() -> None:
    """Let the command `pongan` find modules in the current folder, first on the path, as `python -m experiments` does."""
    if sys.flags.safe_path:  # the user wants no such thing
        return
    try:
        here = os.getcwd()
    except FileNotFoundError:  # deleted
        return
    sys.path[:] = [here, *(path for path in sys.path if path not in ("", here))]


def _dispatch(argv: list[str]) -> int:
    from experiments.launcher.verbs import call

    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    return call(argv[0], argv[1:])


def _help() -> str:
    from experiments.launcher.verbs import listed

    lines = [f"  {verb:11s} {text}" for verb, text in listed()]
    return "\n".join(
        [
            "usage: pongan <verb> ...                 or python -m experiments <verb> ...",
            "",
            *lines,
            "",
            "  python -m experiments.run policy-gradient --run.time-limit 120",
            "  pongan play runs/policy-gradient/ALE-Pong-v5/<date-time>-s1",
            "",
            "`pongan <verb> --help` says more.",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
