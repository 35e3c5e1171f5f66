"""The suite trains every preset with its own arguments, survives a failing one, and fills the READMEs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from core.errors import UsageError
from experiments.benchmarks import learning, suite, summary
from experiments.launcher.catalogue import catalogue
from tests.conftest import ROOT


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    calls: list[list[str]] = []

    def record(argv: list[str]) -> None:
        calls.append(argv)
        if argv[0] == "dqn-acrobot":
            raise subprocess.CalledProcessError(2, "run")

    monkeypatch.setattr(learning, "main", record)
    monkeypatch.setattr(summary, "main", lambda: calls.append(["summary"]))
    return calls


def test_all_presets_are_trained_and_one_failure_stops_nothing(called: list[list[str]], capsys) -> None:
    assert suite.main(["--folder", "there"]) == 1
    usual = {name for name in catalogue().presets if not name.endswith("-paper")}
    assert {call[0] for call in called[:-1]} == usual and called[-1] == ["summary"]
    assert ["dqn-cartpole", "--folder", "there", "--seeds", "5", "--threshold", "475"] in called
    assert ["dcgan-ring", "--folder", "there", "--seeds", "3"] in called
    assert sum(call[0] == "pong-pg-fast" for call in called) == 2
    assert "failed: dqn-acrobot" in capsys.readouterr().err


def test_the_papers_sizes_are_trained_when_named(called: list[list[str]]) -> None:
    assert suite.main(["--only", "dcgan-paper", "--folder", "there"]) == 0
    assert [call[0] for call in called] == ["dcgan-paper", "summary"]


def test_committed_results_are_repeated_as_they_were_made() -> None:
    """The command under each table of `learning` is one of the suite's and writes that very file."""
    found = 0
    for file in learning.RESULTS.glob("*.md"):
        for command in re.findall(r"`python -m experiments\.benchmarks\.learning (.*?)`", file.read_text()):
            preset, *words = shlex.split(command)
            assert words in suite.ARGUMENTS.get(preset, [["--seeds", "3"]]), file
            assert (words[words.index("--name") + 1] if "--name" in words else preset) == file.stem
            found += 1
    assert found >= 11


def test_choosing_presets_and_seeds(called: list[list[str]], capsys) -> None:
    assert suite.main(["--only", "dqn-cartpole", "dcgan-ring", "--skip", "dcgan-ring", "--seeds", "2"]) == 0
    assert called == [["dqn-cartpole", "--folder", "runs", "--seeds", "2", "--threshold", "475"], ["summary"]]
    called.clear()
    assert suite.main(["--only"]) == 0 and called == [["summary"]]
    called.clear()
    assert suite.main(["--hours", "0"]) == 0 and called == [["summary"]]
    assert suite.main(["--list", "--only", "dqn-acrobot"]) == 0
    assert "3 runs of 100,000 environment steps, 0." in capsys.readouterr().out
    with pytest.raises(UsageError, match="did you mean 'dqn-acrobot'"):
        suite.main(["--only", "dqn-acrobt"])


def test_learning_measures_a_generative_model(external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A headline that is minimised, no episodes, no protocol line of its own."""
    monkeypatch.setattr(learning, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("PYTHONPATH", f"{external}{os.pathsep}{ROOT}")
    words = ["pixel-gaussian", "--seeds", "1", "--folder", str(tmp_path / "runs"), "--threshold", "1000"]
    learning.main(words)
    (row,) = json.loads((tmp_path / "results" / "pixel-gaussian.json").read_text())
    assert row["final"] == pytest.approx(row["best"], rel=0.5) and row["above"].startswith("30 steps")
    text = (tmp_path / "results" / "pixel-gaussian.md").read_text()
    assert "eval/mean_error below 1000 after" in text and "The plugin states no protocol" in text
    assert (tmp_path / "results" / "pixel-gaussian.png").stat().st_size > 5_000


def test_the_table_has_agents_and_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    model = {"experiment": "dcgan", "model": {"data": {"source": "ring"}}}
    agent = {"experiment": "dqn", "agent": {"env": {"id": "Acrobot-v1"}}}
    rows = {"dcgan-ring": (model, 0, [0.01, 0.03]), "dqn-acrobot": (agent, 100, [-80.0, -82.0])}
    for name, (config, episodes, finals) in rows.items():
        entries = [{"final": f, "episodes": episodes, "clock": 5000, "minutes": 2.0, "config": config} for f in finals]
        (tmp_path / "results" / f"{name}.json").write_text(json.dumps(entries))
    monkeypatch.setattr(summary, "HERE", tmp_path)
    lines = summary.summary().splitlines()
    assert lines[2].endswith("| Acrobot-v1 | 5,000 | -81.0 +- 1.4 | >= -90 at 100k | 2 x 100 | 2.0 |")
    assert lines[3].endswith("| ring | 5,000 | 0.02 +- 0.01414 |  | 2 | 2.0 |")
