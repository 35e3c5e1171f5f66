"""Every plugin, killed two dozen times at random moments and resumed, ends with the bits of the run that nobody disturbed."""

from __future__ import annotations

import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from core import checkpoint
from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars
from tests.conftest import only_run
from tests.processes import Fork
from tests.test_contract import BUILT_IN

STEPS, SAVES = 400, 200
KILLS = -(-200 // len(BUILT_IN))


def last_clock(name: str, folder: Path) -> int:
    """Return the clock after STEPS steps of a plugin's tiny run."""
    code = f"""
from pathlib import Path
from core.plugin import Context, build
from experiments.launcher.catalogue import catalogue
from experiments.testing import tiny
spec = catalogue().plugins[{name!r}]
plugin = build(spec, tiny(spec), Context(seed=7, folder=Path({str(folder)!r})))
for _ in range({STEPS}):
    plugin.step()
plugin.close()
print("clock", plugin.clock)
"""
    process = Fork(code=code)
    out, err = process.communicate()
    assert process.returncode == 0, err
    return int(out.split("clock")[-1])


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_killed_again_and_again(name: str, tmp_path: Path) -> None:
    spec, until = catalogue().plugins[name], last_clock(name, tmp_path)
    every = {"save_every": max(until // SAVES, 1), "eval_every": until // 4, "log_every": max(until // 50, 1)}
    settings = {spec.prefix: dict(spec.tiny), "run": {"until": until, "seed": 7, "deterministic": True, **every}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    words = ("run", name, "--config", tmp_path / "tiny.yaml")
    process = Fork(*words, "--run.folder", tmp_path / "a")
    assert process.wait() == 0, process.output()
    undisturbed = only_run(tmp_path / "a")

    rng = random.Random(name)
    process = Fork(*words, "--run.folder", tmp_path / "b")
    while not list((tmp_path / "b").glob("*/*/*/checkpoints/000000000000")):
        assert process.poll() is None, process.output()
        time.sleep(0.01)
    killed, clocks = only_run(tmp_path / "b"), []
    for _ in range(KILLS):
        start = checkpoint.numbered(killed)[0].name
        while checkpoint.numbered(killed)[0].name <= start:
            assert process.poll() is None, f"over after {len(clocks)} kills: {process.output()}"
            time.sleep(0.002)  # every stretch makes some way
        time.sleep(rng.uniform(0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        clocks.append(checkpoint.numbered(killed)[0].name)
        process = Fork("resume", killed)
    assert process.wait() == 0, process.output()
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
