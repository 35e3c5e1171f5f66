"""Seconds to the threshold: when a task counts as solved, how a contender is timed, the table, and going on after a stop."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from experiments.benchmarks import report, seconds_to_threshold, zoo
from experiments.benchmarks.seconds_to_threshold import ROWS, layout, measure
from experiments.benchmarks.zoo import TASKS, Watch
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment


def test_a_task_is_solved_by_the_mean_of_the_last_hundred_episodes(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    now = 0.0
    monkeypatch.setattr(zoo.time, "monotonic", lambda: now)
    watch = Watch(475)
    assert not watch.ended([500.0] * 99, 49_500)  # a mean of 500, of too few
    assert not watch.ended([-2026.0], 49_600)  # 100: (99 * 500 - 2026) / 100 = 474.74
    now = 1.5
    assert not watch.ended([500.0, 525.0], 50_600)  # two of the first go: 474.74 + 25 / 100 = 474.99
    assert not watch.ended([500.0], 51_100)
    assert watch.ended([501.0], 51_600)  # and one for 500: exactly 475
    assert capsys.readouterr().out.splitlines() == ["begun", "at 50600 474.99", "solved 51600 475.0"]


@pytest.mark.parametrize("key", list(TASKS))
def test_a_row_solves_what_its_preset_plays(key: str) -> None:
    chosen = Experiment.of([ROWS[key].preset])
    assert ROWS[key].preset in catalogue().presets and chosen.subject == TASKS[key].env
    assert TASKS.keys() == ROWS.keys()


PEER = """
import sys, time
print("chatter")
print("begun", flush=True)
time.sleep(0.3)
print("at 1000 -250.5", flush=True)
{end}
"""


def contender(end: str) -> list[str]:
    return [sys.executable, "-c", PEER.format(end=end)]


def test_a_contender_is_timed_from_its_start_to_the_line_that_says_solved() -> None:
    measured = measure(contender("print('solved 1500 -199.5', flush=True); time.sleep(60)"), 30)
    assert measured.pop("seconds") - measured.pop("begun") == pytest.approx(0.3, abs=0.25)
    assert measured == {"solved": True, "steps": 1500, "mean": -199.5}


def test_what_the_suite_itself_prints_is_understood() -> None:
    lines = [
        "actor-critic on CartPole-v1: runs/actor-critic-cartpole/CartPole-v1/20260101-000000-s1",
        "solved: mean return 475.6 over the last 100 episodes, after 79,104 environment steps and 0.6 minutes",
    ]
    measured = measure([sys.executable, "-c", f"print({lines[0]!r}); print({lines[1]!r})"], 30)
    assert measured["begun"] is not None and measured["begun"] <= measured["seconds"] < 30
    assert (measured["solved"], measured["steps"], measured["mean"]) == (True, 79_104, 475.6)


def test_who_is_late_is_stopped_and_who_gives_up_is_not_solved() -> None:
    late = measure(contender("time.sleep(60)"), 4.0)
    assert (late["solved"], late["seconds"], late["steps"], late["mean"]) == (False, 4.0, 1000, -250.5)
    silent = measure([sys.executable, "-c", "import time; time.sleep(60)"], 0.5)
    assert silent == {"solved": False, "seconds": 0.5, "begun": None, "steps": None, "mean": None}
    handler = (
        "import signal; signal.signal(signal.SIGTERM, lambda *_: (print('solved 9 9', flush=True), sys.exit(143)))"
    )
    assert not measure(contender(f"{handler}; time.sleep(60)"), 4.0)["solved"]
    done = measure(contender(""), 30)
    assert not done["solved"] and 0.3 < done["seconds"] < 30 and done["mean"] == -250.5
    with pytest.raises(RuntimeError, match="it broke"):
        measure(contender("sys.exit('it broke')"), 30)


@pytest.mark.slow
def test_the_suites_own_command_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    easy, hard = (zoo.Task("CartPole-v1", goal, {}) for goal in (20, 501))
    solved = seconds_to_threshold.pongan(ROWS["cartpole"], easy, 1, 200)
    assert solved["solved"] and solved["mean"] >= 20 and solved["steps"] >= 2_000
    assert 0 < solved["begun"] < solved["seconds"] < 200
    short = ["--run.until", "6000"]
    monkeypatch.setattr(seconds_to_threshold, "measure", lambda command, limit: measure([*command, *short], limit))
    never = seconds_to_threshold.pongan(ROWS["cartpole"], hard, 1, 200)
    assert not never["solved"] and 0 < never["mean"] < 501 and never["steps"] >= 6_000  # out of the events of the run


def one(
    seed: int, seconds: float, *, solved: bool = True, steps: int | None = 10_000, mean: float | None = 480.0
) -> dict:
    begun = None if steps is None else 2.0
    return {"seed": seed, "solved": solved, "seconds": seconds, "begun": begun, "steps": steps, "mean": mean}


def test_the_table_tells_limits_and_takes_the_round_in_the_middle() -> None:
    of = {"seconds": 60.0}
    measured = {
        "cartpole pongan": {"of": of, "rounds": [one(1, 12.0, steps=60_000), one(2, 8.0), one(3, 10.0, steps=80_000)]},
        "cartpole sb3-ppo": {"of": of, "rounds": [one(1, 30.0), one(2, 60.0, solved=False, mean=412.25), one(3, 25.0)]},
        "cartpole sbx-ppo": {
            "of": of,
            "rounds": [one(1, 20.0), one(2, 60.0, solved=False), one(3, 60.0, solved=False, steps=None, mean=None)],
        },
        "pendulum pongan": {"of": {"seconds": 90.0}, "rounds": [one(1, 90.0, solved=False, mean=-300.0)]},
        "pendulum sbx-sac": {"of": {"seconds": 90.0}, "rounds": [one(1, 45.0, mean=-190.0)]},
    }
    table, protocol, limits = layout(measured)
    assert isinstance(table, report.Table) and list(table.rows) == [
        # steps/s: 60,000 / 10, 10,000 / 6, 80,000 / 8 -> the one in the middle
        [
            "CartPole-v1, 475",
            "pongan, `actor-critic-cartpole`",
            "10.0",
            "12.0, 8.0, 10.0",
            "1.00",
            "60,000",
            "6,000",
            "2.0",
        ],
        # 10,000 / 28, 10,000 / 58, 10,000 / 23
        [
            "CartPole-v1, 475",
            "Stable-Baselines3, PPO",
            "30.0",
            "30.0, > 60.0 (412.2), 25.0",
            "3.00",
            "10,000",
            "357",
            "2.0",
        ],
        # 10,000 / 18 and 10,000 / 58: their mean
        [
            "CartPole-v1, 475",
            "SBX, PPO",
            "> 60.0",
            "20.0, > 60.0 (480), > 60.0 (no episode)",
            "> 6.00",
            "10,000",
            "364",
            "2.0",
        ],
        ["Pendulum-v1, -200", "pongan, `actor-critic-pendulum`", "> 90.0", "> 90.0 (-300)", "", "", "114", "2.0"],
        ["Pendulum-v1, -200", "SBX, SAC", "45.0", "45.0", "", "10,000", "233", "2.0"],
    ]
    assert "`> 60 (400)` was stopped after 60 seconds" in str(protocol)
    assert str(limits).startswith("Limits in seconds: CartPole-v1 60, Pendulum-v1 90.")


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, float]]:
    """Contender, seed and limit of each measurement; one called "stop" among them ends the benchmark there."""
    made: list[tuple[str, int, float]] = []

    def take(name: str, seed: int, seconds: float) -> dict[str, Any]:
        made.append((name, seed, seconds))
        if len(made) == 4:
            raise KeyboardInterrupt
        return one(seed, 10.0)

    monkeypatch.setattr(report, "RESULTS", tmp_path)
    monkeypatch.setattr(seconds_to_threshold, "need", lambda *modules: None)
    monkeypatch.setattr(seconds_to_threshold, "pongan", lambda row, task, seed, limit: take("pongan", seed, limit))
    monkeypatch.setattr(
        seconds_to_threshold, "measure", lambda command, limit: take(command[-2], int(command[-1]), limit)
    )
    return made


def test_a_stopped_benchmark_goes_on_where_it_was(calls: list[tuple[str, int, float]], tmp_path: Path) -> None:
    words = ["--only", "lunarlander", "--rounds", "2"]
    with pytest.raises(KeyboardInterrupt):
        seconds_to_threshold.main(words)
    limit = 60 * ROWS["lunarlander"].minutes
    assert calls == [("pongan", 1, limit), ("sb3-ppo", 1, limit), ("sbx-ppo", 1, limit), ("pongan", 2, limit)]
    seconds_to_threshold.main(words)
    assert [call[:2] for call in calls[4:]] == [("pongan", 2), ("sb3-ppo", 2), ("sbx-ppo", 2)]
    kept = json.loads((tmp_path / "seconds_to_threshold.json").read_text())["measured"]
    assert [
        [r["seed"] for r in kept[f"lunarlander {name}"]["rounds"]] for name in ("pongan", "sb3-ppo", "sbx-ppo")
    ] == [[1, 2]] * 3
    before = len(calls)
    seconds_to_threshold.main(words)
    assert len(calls) == before  # nothing is left to measure
    seconds_to_threshold.main(["--only", "pong", "--minutes-each", "6", "--rounds", "3"])
    assert calls[before:] == [("pongan", 1, 360.0), ("sb3-ppo", 1, 360.0), ("sbx-ppo", 1, 360.0)]  # Pong has one round
    seconds_to_threshold.main(["--only", "pong", "--minutes-each", "7"])
    assert len(calls) == before + 6  # another limit is another measurement


def test_bad_words_are_one_sentence(calls: list[Any]) -> None:
    with pytest.raises(UsageError, match="there is no row 'cartpol'; did you mean 'cartpole'"):
        seconds_to_threshold.main(["--only", "cartpol"])
    with pytest.raises(UsageError, match="--rounds is 0; it must be at least 1"):
        seconds_to_threshold.main(["--rounds", "0"])
    with pytest.raises(UsageError, match=r"--minutes-each is -1\.0; it must be above 0"):
        seconds_to_threshold.main(["--minutes-each", "-1"])
    assert not calls


@pytest.mark.slow  # needs the extra peers
def test_ppo_in_torch_tells_the_episodes_and_stops() -> None:
    pytest.importorskip("torch")
    from experiments.benchmarks.ppo_in_torch import train

    heard: list[tuple[list[float], int]] = []

    def ended(returns: list[float], steps: int) -> bool:
        heard.append((returns, steps))
        return steps >= 1_000

    train("CartPole-v1", 1, ended)
    lengths = [length for returns, _ in heard for length in returns]
    steps = [n for _, n in heard]
    assert steps == sorted(steps) and all(n % 4 == 0 for n in steps) and steps[-2] < 1_000 <= steps[-1] < 1_400
    assert (
        min(lengths) >= 8 and 0 < steps[-1] - sum(lengths) < 4 * 200
    )  # a step is a reward of 1; four episodes are under way


@pytest.mark.slow
def test_ppo_in_torch_learns() -> None:
    pytest.importorskip("torch")
    from experiments.benchmarks.ppo_in_torch import train

    watch = Watch(195)
    solved: list[bool] = []

    def ended(returns: list[float], steps: int) -> bool:
        solved.append(watch.ended(returns, steps))
        return solved[-1] or steps > 150_000

    train("CartPole-v1", 1, ended)
    assert solved[-1]
