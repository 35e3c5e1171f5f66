"""Shared by all tests: TensorFlow quiet and on one policy, the launcher called in this process or in one of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import ROOT, Fork

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")  # compiling is most of a small network's test
os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
os.environ.setdefault("COLUMNS", "120")
signal.signal(signal.SIGINT, signal.default_int_handler)  # which the shell ignores for jobs in the background


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_tests(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the user's cache folder out of the tests, also of processes that they start."""
    os.environ["PONGAN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the launcher in this process; returns (exit code, stdout, stderr)."""
    from experiments.__main__ import main

    def call(*argv: object) -> tuple[int, str, str]:
        try:
            code = main([str(a) for a in argv])
        except SystemExit as exit_:
            code = int(exit_.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def launch() -> Callable[..., Fork]:
    """Start the launcher in a process that has TensorFlow already; from `cwd`, with `path` first on its path."""
    return Fork


@pytest.fixture
def launch_afresh() -> Callable[..., subprocess.Popen[str]]:
    """Start the launcher in a new interpreter, as a user does; from `cwd`, with `path` first on PYTHONPATH."""

    def start(*argv: object, cwd: Path = ROOT, path: Path | None = None) -> subprocess.Popen[str]:
        env = os.environ | ({"PYTHONPATH": str(path)} if path else {})
        command = [sys.executable, "-m", "experiments", *map(str, argv)]
        return subprocess.Popen(command, cwd=cwd, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    return start


def only_run(root: Path) -> Path:
    """The one run folder below `root`."""
    (config,) = root.glob("*/*/*/config.yaml")
    return config.parent
