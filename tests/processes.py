"""Processes of their own without TensorFlow's start-up: forks of one server that has imported it and computed nothing.

Where the start is what is tested, `subprocess` is right.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import tempfile
import weakref
from collections.abc import Mapping
from multiprocessing import forkserver
from pathlib import Path

ROOT = Path(__file__).parent.parent
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.preload"])


class Fork:
    """A running fork, with what tests use of `subprocess.Popen`; `code` is executed, or `argv` given to the launcher.

    `cwd` is its folder, `path` goes first on its `sys.path`, and `env` is added to the environment of now.
    """

    def __init__(
        self,
        *argv: object,
        code: str = "",
        cwd: Path = ROOT,
        path: Path | None = None,
        env: Mapping[str, str] | None = None,
    ):
        with contextlib.chdir(ROOT):  # where the server finds our packages, wherever this test has gone
            forkserver.ensure_running()
        self._logs = tempfile.TemporaryDirectory()
        self._out, self._err = (Path(self._logs.name) / name for name in ("out", "err"))
        arguments = [code, [str(a) for a in argv], str(cwd), str(path or ""), {**os.environ, **(env or {})}]
        self.process = SERVER.Process(target=_run, args=(*arguments, str(self._out), str(self._err)))
        self.process.start()
        weakref.finalize(
            self, self.process.kill
        )  # a test that fails leaves nothing running, which pytest would wait for

    @property
    def returncode(self) -> int | None:
        """The exit code, None while it runs."""
        return self.process.exitcode

    def poll(self) -> int | None:
        return self.process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, minus the signal's number where one ended it.

        Raises:
            TimeoutError: it has not ended within `timeout` seconds; it is killed.
        """
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.process.kill()
            raise TimeoutError(f"not over after {timeout} s: {self.output()}")
        return self.process.exitcode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Wait as `wait` does; return what it wrote to stdout and stderr."""
        self.wait(timeout)
        return self.output()

    def output(self) -> tuple[str, str]:
        """Return what it has written to stdout and stderr so far."""
        return tuple(log.read_text() if log.exists() else "" for log in (self._out, self._err))  # type: ignore[return-value]

    def send_signal(self, number: int) -> None:
        os.kill(self.process.pid, number)  # type: ignore[arg-type]


def _run(code: str, argv: list[str], cwd: str, path: str, env: dict[str, str], out: str, err: str) -> None:
    for stream, log in ((1, out), (2, err)):
        os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT, 0o644), stream)
    sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # ignored where a3c has started the server
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:0] = [path] * bool(path)
    if code:
        sys.argv = ["-c"]
        exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})
    else:
        from experiments.__main__ import main

        sys.argv = ["pongan", *argv]
        sys.exit(main(argv))
