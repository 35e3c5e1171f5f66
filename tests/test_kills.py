"""Every plugin, killed two dozen times at random moments and resumed, ends with the bits of the run that nobody disturbed.

TensorFlow is imported once: runs are forks of a process that has imported it and computed nothing.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import yaml

from core import checkpoint
from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars
from tests.conftest import only_run
from tests.test_contract import BUILT_IN

STEPS, SAVES = 400, 200
KILLS = -(-200 // len(BUILT_IN))


def forked(call: Callable[[], int], log: Path) -> int:
    """Start `call` in a fork, with what it prints in `log`; returns the process."""
    import keras  # noqa: F401 - imported, and nothing computed: a fork has no thread but this one
    import tensorflow  # noqa: F401

    sys.stdout.flush(), sys.stderr.flush()
    process = os.fork()
    if process:
        return process
    code = 1
    try:
        for stream in (1, 2):
            os.dup2(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND), stream)
        sys.stdout, sys.stderr = (os.fdopen(stream, "w", buffering=1) for stream in (1, 2))
        signal.signal(signal.SIGALRM, signal.SIG_DFL)  # pytest-timeout's, which watches the parent
        code = call()
    except BaseException:  # noqa: BLE001 - a fork must never return into pytest
        traceback.print_exc()
    finally:
        os._exit(code)


def ended(process: int) -> bool:
    """Return whether a fork has ended, by itself and well."""
    found, status = os.waitpid(process, os.WNOHANG)
    assert not found or os.waitstatus_to_exitcode(status) == 0
    return bool(found)


def launched(*words: object, log: Path) -> int:
    from experiments.__main__ import main

    return forked(lambda: main([str(word) for word in words]), log)


def last_clock(name: str, folder: Path) -> int:
    """Return the clock after STEPS steps of a plugin's tiny run."""
    from core.plugin import Context, build
    from experiments.testing import tiny

    def write() -> int:
        spec = catalogue().plugins[name]
        plugin = build(spec, tiny(spec), Context(seed=7, folder=folder))
        for _ in range(STEPS):
            plugin.step()
        (folder / "clock").write_text(str(plugin.clock))
        return 0

    process = forked(write, folder / "log")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, (folder / "log").read_text()
    return int((folder / "clock").read_text())


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    spec, until, log = catalogue().plugins[name], last_clock(name, tmp_path), tmp_path / "log"
    every = {"save_every": max(until // SAVES, 1), "eval_every": until // 4, "log_every": max(until // 50, 1)}
    settings = {spec.prefix: dict(spec.tiny), "run": {"until": until, "seed": 7, "deterministic": True, **every}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    words = ("run", name, "--config", tmp_path / "tiny.yaml")
    process = launched(*words, "--run.folder", tmp_path / "a", log=log)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, log.read_text()
    undisturbed = only_run(tmp_path / "a")

    rng = random.Random(name)
    process = launched(*words, "--run.folder", tmp_path / "b", log=log)
    while not list((tmp_path / "b").glob("*/*/*/checkpoints/000000000000")):
        assert not ended(process), log.read_text()
        time.sleep(0.01)
    killed, clocks = only_run(tmp_path / "b"), []
    for _ in range(KILLS):
        start = checkpoint.numbered(killed)[0].name
        while checkpoint.numbered(killed)[0].name <= start:
            assert not ended(process), f"over after {len(clocks)} kills: {log.read_text()[-1000:]}"
            time.sleep(0.002)  # every stretch makes some way
        time.sleep(rng.uniform(0, 0.1))
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        clocks.append(checkpoint.numbered(killed)[0].name)
        process = launched("resume", killed, log=log)
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0, log.read_text()[-2000:]
    assert len(clocks) == KILLS and len(set(clocks)) > KILLS // 2

    final_a, final_b = checkpoint.numbered(undisturbed)[0], checkpoint.numbered(killed)[0]
    assert final_a.name == final_b.name
    with np.load(final_a / "arrays.npz") as a, np.load(final_b / "arrays.npz") as b:
        assert sorted(a.files) == sorted(b.files) and len(a.files) > 1
        for key in a.files:
            np.testing.assert_array_equal(a[key], b[key])
    curves_a, curves_b = read_scalars(undisturbed), read_scalars(killed)
    assert {tag: curve for tag, curve in curves_a.items() if not tag.startswith("time/")} == {
        tag: curve for tag, curve in curves_b.items() if not tag.startswith("time/")
    }
