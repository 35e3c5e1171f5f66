"""What code that is not ours raises, a plugin's or an environment's: one sentence, and its traceback in the run's folder."""

from __future__ import annotations

import contextlib
import errno
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

from core.errors import ForeignError, UsageError, foreign, told
from core.plugin import Spec

__all__ = ["Interrupts", "close", "keep_traceback", "reason", "reported"]

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class Interrupts:
    """Tells the user's Ctrl-C from a KeyboardInterrupt that somebody's code raises: `by_user` is true after a key was pressed.

    Use as a context; outside the main thread, and where SIGINT has another handler, every interrupt counts as the user's.
    """

    def __init__(self) -> None:
        self.by_user = True
        self._watching = False

    def __enter__(self) -> Interrupts:
        ours = threading.current_thread() is threading.main_thread()
        if ours and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            self.by_user, self._watching = False, True
            signal.signal(signal.SIGINT, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        if self._watching:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.by_user = True
        raise KeyboardInterrupt


def reason(failure: BaseException, spec: Spec) -> str:
    """Return the sentence on why a run ended."""
    if isinstance(failure, UsageError):
        return str(failure)
    if isinstance(failure, OSError) and failure.errno in FULL:
        where = f" {failure.filename!r}" if failure.filename else ""
        return f"the disk refused to write{where}: {failure.strerror}; earlier checkpoints are whole, so free space and resume"
    return str(foreign(f"plugin {spec.name!r}", failure))


def keep_traceback(failure: BaseException, file: Path) -> str:
    """Write the traceback and return the words that say where it is, '' for a mistake of the user's, who need not read it."""
    try:
        file.write_text("".join(traceback.format_exception(failure)))
    except OSError:
        return ""
    needless = isinstance(failure, UsageError) and not isinstance(failure, ForeignError)
    return "" if needless else f" (traceback in {file})"


@contextlib.contextmanager
def reported(spec: Spec, folder: Path, verb: str) -> Iterator[None]:
    """Make one sentence of whatever is raised inside, its traceback in `folder`/traceback-VERB.txt: ForeignError.

    A mistake of the user's passes as it is, and so do Ctrl-C and a reader that has left.
    """
    with Interrupts() as interrupts:
        try:
            yield
        except BrokenPipeError:
            raise
        except BaseException as failure:
            if isinstance(failure, KeyboardInterrupt) and interrupts.by_user:
                raise
            if isinstance(failure, UsageError) and not isinstance(failure, ForeignError):
                raise
            hint = keep_traceback(failure, folder / f"traceback-{verb}.txt")
            raise ForeignError(reason(failure, spec) + hint) from failure


def close(plugin: Any, spec: Spec, say: Callable[[str], None]) -> None:
    """Close a plugin that has done its work: what its close() raises costs a warning."""
    try:
        plugin.close()
    except BaseException as failure:  # noqa: BLE001 - whatever it is, Ctrl-C too: what was asked for is done
        words = str(failure) if isinstance(failure, UsageError) else f"{type(failure).__name__}: {told(failure)}"
        say(f"warning: plugin {spec.name!r} could not be closed: {words}")
