"""The suite trains every preset with its own arguments, survives a failing one, and fills the tables."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from experiments.benchmarks import learning, report, suite, summary
from experiments.benchmarks.plan import Measurement, plan
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
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
    left_out = {
        "dcgan-paper",
        "dqn-atari",
        "dqn-rainbow",
        "gan-cls-flowers",
        "gan-cls-words",
        "pix2pix-paper",
        "ragan-paper",
        "seqgan-paper",
        "srgan-esrgan",
        "srgan-phone",
        "stargan-paper",
        "stylegan-paper",
        "wgan-paper",
    }
    left_out |= {"ddpg-paper", "sac-bipedalwalker"}
    left_out |= {f"{agent}-{body}" for agent in ("sac", "td3") for body in ("halfcheetah", "hopper", "walker2d")}
    assert {call[0] for call in called[:-1]} == set(catalogue().presets) - left_out and called[-1] == ["summary"]
    assert ["dqn-cartpole", "--folder", "there", "--seeds", "5", "--threshold", "475"] in called
    assert ["dcgan-ring", "--folder", "there", "--seeds", "3"] in called
    assert sum(call[0] == "pong-pg-fast" for call in called) == 2
    assert "failed: dqn-acrobot" in capsys.readouterr().err


def test_the_papers_sizes_are_trained_when_named(called: list[list[str]]) -> None:
    assert suite.main(["--only", "dcgan-paper", "--folder", "there"]) == 0
    assert [call[0] for call in called] == ["dcgan-paper", "summary"]


def test_committed_results_are_repeated_as_they_were_made() -> None:
    """The command under each table of `learning` is one of the suite's and writes that very file."""
    found, planned = 0, plan()
    for file in report.RESULTS.glob("*.json"):
        record = report.read(file.stem)
        if record["benchmark"] == learning.MODULE:
            (made,) = record["made"]
            _, _, module, preset, *words = shlex.split(made["command"])
            assert module == learning.MODULE and words in [entry.arguments() for entry in planned[preset]], file
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


@pytest.mark.slow
def test_learning_measures_a_generative_model(external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A headline that is minimised, no episodes, no protocol line of its own."""
    monkeypatch.setattr(report, "RESULTS", tmp_path / "results")
    monkeypatch.setenv("PYTHONPATH", f"{external}{os.pathsep}{ROOT}")
    words = ["pixel-gaussian", "--seeds", "1", "--folder", str(tmp_path / "runs"), "--threshold", "1000"]
    learning.main(words)
    record = report.read("pixel-gaussian")
    (made,), (row,) = record["made"], record["measured"]["rows"]
    assert made["command"] == "python -m experiments.benchmarks.learning pixel-gaussian --seeds 1 --threshold 1000"
    assert row["final"] == pytest.approx(row["best"], rel=0.5) and row["above"].startswith("30 steps")
    text = (tmp_path / "results" / "pixel-gaussian.md").read_text()
    assert "eval/mean_error below 1000 after" in text and "The plugin states no protocol" in text
    assert (tmp_path / "results" / "pixel-gaussian.png").stat().st_size > 5_000


def _result(name: str, rows: list[dict[str, Any]]) -> None:
    record = {"benchmark": learning.MODULE, "made": [], "notes": [], "measured": {"rows": rows}}
    (report.RESULTS / f"{name}.json").write_text(json.dumps(record))


def test_the_table_has_agents_and_models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    model = {"experiment": "dcgan", "model": {"data": {"source": "ring"}}}
    agent = {"experiment": "dqn", "agent": {"env": {"id": "Acrobot-v1"}}}
    rows = {"dcgan-ring": (model, 0, [0.01, 0.03]), "dqn-acrobot": (agent, 100, [-80.0, -82.0])}
    for name, (config, episodes, finals) in rows.items():
        entries = [{"final": f, "episodes": episodes, "clock": 5000, "minutes": 2.0, "config": config} for f in finals]
        _result(name, entries)
    lines = summary.summary().splitlines()
    assert lines[2].endswith("| Acrobot-v1 | 5,000 | -81.0 +- 1.4 | >= -90, met | 2 x 100 | 2.0 |")
    assert lines[3].endswith("| ring | 5,000 | 0.02 +- 0.01414 |  | 2 | 2.0 |")


def test_the_pages_show_the_committed_results() -> None:
    pages = [summary.PAGE, *ROOT.glob("agents/*/README.md"), *ROOT.glob("generative/*/README.md")]
    stale = [page for page in pages if summary.filled(page.read_text()) != page.read_text()]
    assert not stale and summary.summary() in summary.PAGE.read_text(), "give python -m experiments.benchmarks.summary"
    assert "Not measured yet." in summary.filled("<!-- result: nothing -->\n<!-- end of result -->")


@pytest.mark.slow
def test_a_preset_of_another_package_is_planned_and_tabulated(
    external: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    assert suite.main(["--list"]) == 0
    assert (
        "tabular-q-quick                  2 runs of 200 environment steps, not measured here" in capsys.readouterr().out
    )
    assert "tabular-q-quick" not in summary.summary()
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    config = {"experiment": "tabular-q", "agent": {"env": {"id": "FrozenLake-v1"}}}
    rows = [{"final": f, "episodes": 4, "clock": 200, "minutes": 0.5, "config": config} for f in (0.25, 0.5)]
    _result("tabular-q-quick", rows)
    (line,) = summary.summary().splitlines()[2:]
    assert line.endswith("| FrozenLake-v1 | 200 | 0.375 +- 0.177 | >= 0.5, missed | 2 x 4 | 0.5 |")


@pytest.mark.parametrize(
    ("block", "sentence"),
    [
        ("{seeds: 3}", "it must be a list of settings such as '- {seeds: 3, target: 475}', not {'seeds': 3}"),
        ("[{seed: 3}]", "'seed' is no setting; did you mean 'seeds'?"),
        ("[{seeds: many}]", "'seeds' is 'many'; it must be a whole number"),
        ("[{seeds: 0}]", "seeds is 0; it must be 1 or more"),
        ("[{target: [1, 2]}]", "'target' is [1, 2]; it must be one value"),
        ("[{minutes: -1}]", "minutes is -1; it must be 0 (no limit) or more"),
        ("[{name: ../there}]", "name is '../there'; use letters, digits, '.', '_' and '-'"),
        ("[{flags: --agent.lr '0.5}]", 'flags is "--agent.lr \'0.5": No closing quotation'),
        ("[{}, {}]", "the name 'tabular-q-quick' is that of a result of tabular-q-quick; choose another"),
        ("[{name: dqn-pong}]", "the name 'dqn-pong' is that of a result of dqn-pong; choose another"),
    ],
)
def test_a_wrong_block_is_one_sentence(external: Path, block: str, sentence: str) -> None:
    preset = catalogue().presets["tabular-q-quick"]
    preset.path.write_text(f"experiment: tabular-q\nrun: {{until: 200}}\nbenchmark: {block}\n")
    with pytest.raises(UsageError, match=r"^preset tabular-q-quick") as raised:
        plan()
    assert sentence in str(raised.value) and "\n" not in str(raised.value)


def test_the_flags_of_every_block_are_those_of_its_preset() -> None:
    given = [
        (preset, shlex.split(entry.flags)) for preset, entries in plan().items() for entry in entries if entry.flags
    ]
    for preset, flags in given:
        changed, plain = Experiment.of([preset, *flags]), Experiment.of([preset])
        assert (changed.config, changed.settings) != (plain.config, plain.settings)
    assert len(given) >= 2


@pytest.mark.parametrize(
    ("goal", "mean", "minutes", "judged"),
    [
        ("max", 18.0, 30.0, ">= 18 within 35 minutes, met"),
        ("max", 17.9, 30.0, ">= 18 within 35 minutes, missed"),
        ("max", 20.0, 36.0, ">= 18 within 35 minutes, missed"),
        ("min", 17.9, 30.0, "<= 18 within 35 minutes, met"),
        ("min", 18.1, 30.0, "<= 18 within 35 minutes, missed"),
    ],
)
def test_a_target_is_judged(goal: str, mean: float, minutes: float, judged: str) -> None:
    spec = replace(catalogue().plugins["dqn"], goal=goal)
    assert Measurement(target=18, minutes=35).judged(spec, mean, minutes) == judged
    assert Measurement().judged(spec, mean, minutes) == ""
