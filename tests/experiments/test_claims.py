"""Recorded results that are trained again, and speeds in the history of a repository."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from core.errors import UsageError
from experiments.benchmarks import claims as claims_module
from experiments.benchmarks import learning
from experiments.benchmarks.claims import Claim, chosen, claims, falls


def result(finals: list[float], minutes: list[float], speeds: list[float] | None = None, command: str = "x") -> str:
    speeds = speeds or [100.0] * len(finals)
    rows = [
        {"seed": seed, "final": final, "minutes": time, "steps_per_second": speed}
        for seed, (final, time, speed) in enumerate(zip(finals, minutes, speeds, strict=True), 1)
    ]
    return json.dumps({"made": [{"command": command, "date": "2026-01-01"}], "measured": {"rows": rows}})


@pytest.fixture
def results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "repository" / "results"
    folder.mkdir(parents=True)
    monkeypatch.setattr(claims_module, "RESULTS", folder)
    return folder


def test_the_cheapest_come_first_and_every_result_before_further_seeds(results: Path) -> None:
    (results / "dqn-cartpole.json").write_text(result([480, 500, 490], [3.0, 1.0, 2.0]))
    (results / "actor-critic-cartpole.json").write_text(result([500, 500], [2.5, 9.0]))
    found = claims()
    assert [(claim.name, claim.seed) for claim in found][:2] == [("dqn-cartpole", 2), ("dqn-cartpole", 3)]
    assert {claim.tolerance for claim in found if claim.name == "dqn-cartpole"} == {30.0}  # three times 10
    assert {claim.tolerance for claim in found if claim.name == "actor-critic-cartpole"} == {25.0}  # 5 % of 500
    picked = [(claim.name, claim.seed) for claim in chosen(found, minutes=6.0)]
    assert picked == [("dqn-cartpole", 2), ("actor-critic-cartpole", 1), ("dqn-cartpole", 3)]
    assert [claim.name for claim in claims(["dqn-cartpole"])] == ["dqn-cartpole"] * 3
    with pytest.raises(UsageError, match="did you mean 'dqn-cartpole'"):
        claims(["dqn-cartpol"])


def test_what_holds_and_what_does_not(cli, results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "dqn-cartpole.json").write_text(result([480, 500], [1.0, 1.0]))
    scores = {1: 470.0, 2: 300.0}

    def trained(preset: str, seed: int, folder: str, flags: list[str]) -> Path:
        assert preset == "dqn-cartpole"
        path = tmp_path / str(seed)
        path.mkdir()
        (path / "results.json").write_text(json.dumps({"headline": {"final": scores[seed]}}))
        return path

    monkeypatch.setattr(learning, "trained", trained)
    code, out, _ = cli("claims")
    lines = [line for line in out.splitlines() if "dqn-cartpole" in line]
    assert code == 1 and "470" in lines[0] and "holds" in lines[0] and "300" in lines[1] and "does not hold" in lines[1]
    code, out, _ = cli("claims", "--list")
    assert code == 0 and "dqn-cartpole, seed 1: 480 +- 42.4, 1.0 min" in out
    code, _, err = cli("claims", "--minutes", 0.5)
    assert code == 2 and "no recorded training fits into 0.5 minutes; the cheapest takes 1.0" in " ".join(err.split())


def test_a_speed_that_fell_names_the_two_results(results: Path) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=results, check=True, capture_output=True
        )
        return done.stdout.decode().strip()

    git("init")
    commits = []
    for speeds in ([100, 101, 102], [99, 100, 101], [50, 51, 52], [49, 50, 51]):
        (results / "dqn-cartpole.json").write_text(result([1, 1, 1], [1, 1, 1], speeds, command="python -m x"))
        git("add", "-A")
        git("commit", "-m", "results")
        commits.append(git("rev-parse", "--short", "HEAD"))
    (found,) = falls(results.parent if (results.parent / ".git").exists() else results)
    assert found.commits == (commits[1], commits[2]) and found.speeds == (100, 51)
    assert found.commands == ("python -m x", "python -m x") and found.name == "dqn-cartpole"


def test_without_a_repository_there_is_no_history(results: Path) -> None:
    (results / "dqn-cartpole.json").write_text(result([1], [1]))
    with pytest.raises(UsageError, match="has no history"):
        falls(results.parent)


def test_a_score_that_is_no_number_does_not_hold() -> None:
    claim = Claim("x", "x", (), 1, 1.0, 0.5, 1.0)
    assert [claims_module.Verdict(claim, again, 1.0).holds for again in (1.5, 1.6, float("nan"))] == [
        True,
        False,
        False,
    ]
