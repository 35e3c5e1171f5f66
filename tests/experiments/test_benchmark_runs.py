"""Benchmarks say in one sentence which run or name they cannot measure, before they write anything."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.errors import UsageError
from experiments.benchmarks import srgan
from generative.srgan import generator
from tests.processes import Fork


@pytest.mark.parametrize("name", ["gan_cls", "srgan"])
def test_a_folder_that_is_no_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name, str(tmp_path / "nothing")])
    with pytest.raises(UsageError, match="nothing"):
        importlib.import_module(f"experiments.benchmarks.{name}").main()


@pytest.mark.parametrize(
    ("name", "sentence"), [("srgan", "'nothing' is no run folder"), ("learning", "there is no experiment 'nothing'")]
)
def test_the_command_exits_with_2_and_one_sentence(name: str, sentence: str) -> None:
    as_main = f"import runpy; runpy.run_module('experiments.benchmarks.{name}', run_name='__main__', alter_sys=True)"
    process = Fork(code=f"import sys; sys.argv[1:] = ['nothing']; {as_main}")
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert f"error: {sentence}" in err and "Traceback" not in err


def test_seeds_are_compared_at_the_same_update(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator, "load_generator", lambda run: (None, SimpleNamespace(), f"00000000{run.name}"))
    monkeypatch.setattr(sys, "argv", ["srgan", "17000", "16500"])
    with pytest.raises(UsageError, match="16500 stands at 16,500 updates, 17000 at 17,000"):
        srgan.main()
