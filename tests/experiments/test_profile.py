"""The profile finds time where it was spent: known sleeps in known rooms, and the rooms of a real agent and a real model."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import pytest

from experiments.profile import Sampler
from tests.conftest import only_run

SLEPT: dict[str, float] = defaultdict(float)  # by room: a sleep lasts longer than it was told to


def nap(room: str, seconds: float, sleep: Any = time.sleep) -> None:
    begun = time.perf_counter()
    sleep(seconds)
    SLEPT[room] += time.perf_counter() - begun


def sleeper(module: str, room: str, seconds: float) -> Any:
    """A function that sleeps, as if it were defined in `module`."""
    space: dict[str, Any] = {"__name__": module, "time": time}
    exec(compile("def sleep(seconds):\n    time.sleep(seconds)", module, "exec"), space)
    return lambda: nap(room, seconds, space["sleep"])


class Plugin:
    play = sleeper("envs.fake", "environment", 0.25)
    draw = sleeper("core.replay", "data", 0.1)
    apply = sleeper("keras.src.optimizers.fake", "update", 0.1)

    def step(self) -> None:
        nap("acting", 0.06)
        Plugin.play()
        self.learn()

    def learn(self) -> None:
        nap("update", 0.06)  # no rule claims it, but the way to the optimiser leads through here
        Plugin.draw()
        Plugin.apply()


class FakeLoop:
    def __init__(self) -> None:
        self.plugin = Plugin()

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self.plugin.step()
            self.save()

    def save(self) -> None:
        nap("saving", 0.06)

    def _evaluate(self) -> None:
        raise AssertionError("not called here")


def test_time_is_found_where_it_was_spent() -> None:
    loop = FakeLoop()
    sampler = Sampler(loop)
    sampler.start()
    sampler.measuring.set()
    loop.train(4)
    sampler.finish()
    rooms = sampler.table()
    total = sum(rooms.values())
    assert set(rooms) <= set(SLEPT) | {"logging"}
    for room, seconds in SLEPT.items():
        assert rooms[room] / total == pytest.approx(seconds / sum(SLEPT.values()), abs=0.12), (rooms, SLEPT)
    assert sampler.hot()[0][0].startswith("nap")


def test_python_code_is_seen_as_well_as_calls_that_release_the_interpreter() -> None:
    class Busy(Plugin):
        def step(self) -> None:
            begun = time.perf_counter()
            while time.perf_counter() - begun < 0.002:
                pass
            pause()

    pause = sleeper("envs.fake", "environment", 0.002)
    loop = FakeLoop()
    loop.plugin, loop.save = Busy(), lambda: None
    sampler = Sampler(loop)
    sampler.start()
    sampler.measuring.set()
    loop.train(400)
    sampler.finish()
    rooms = sampler.table()
    assert 0.25 < rooms["acting"] / sum(rooms.values()) < 0.6, rooms


def shares(text: str) -> dict[str, float]:
    return {name: float(share) for name, share in re.findall(r"│ (\w+)\s+│\s+([\d.]+)%", text)}


def test_an_agent(cli, tmp_path: Path) -> None:
    flags = ("--agent.env.id", "CartPole-v1", "--agent.eval-episodes", 2, "--run.folder", tmp_path)
    code, out, err = cli("profile", "actor-critic", "--seconds", 4, "--warm-up", 0.5, "--trace", 0, *flags)
    assert code == 0, err
    found = shares(out)
    assert found["environment"] > 0.3 and found["acting"] > 2 and found["update"] > 10 and sum(found.values()) > 98, out
    assert "ActorCritic._play" in out and "environment steps per second" in out
    run = only_run(tmp_path)
    assert run.name.endswith("-profile") and (run / "results.json").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "usage: python -m experiments profile NAME"),
        (["dqn", "--seconds", "long"], "--seconds is 'long'; it must be a number"),
        (["dqn", "--warm-up", "-1"], "it must be 0 or more"),
        (["dnq"], "did you mean 'dqn'?"),
    ],
)
def test_bad_words_get_a_sentence(cli, words: list[str], sentence: str) -> None:
    code, _, err = cli("profile", *words)
    assert code == 2 and sentence in " ".join(err.split())


def test_a_run_that_ends_too_soon_says_so(external: Path, cli, tmp_path: Path) -> None:
    code, out, _ = cli("profile", "pixel-gaussian", "--warm-up", 60, "--run.folder", tmp_path)
    assert code == 0 and "nothing was measured" in out


@pytest.mark.parametrize("trace", [0, 10**6])
def test_a_run_that_ends_while_it_is_sampled_or_traced_is_reported(
    external: Path, cli, tmp_path: Path, trace: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    begun: list[str] = []
    monkeypatch.setattr(tf.profiler.experimental, "start", lambda folder: begun.append(folder))
    monkeypatch.setattr(tf.profiler.experimental, "stop", lambda: begun.append("over"))
    watched: list[Sampler] = []
    real = Sampler.start
    monkeypatch.setattr(Sampler, "start", lambda self: (watched.append(self), real(self)))
    flags = ("--model.pause", 0.01, "--run.until", 60, "--run.folder", tmp_path)
    code, out, err = cli("profile", "misbehaving", "--seconds", 60, "--warm-up", 0, "--trace", trace, *flags)
    assert code == 0, err
    assert not watched[0].is_alive()
    if trace:
        assert begun[1:] == ["over"] and "nothing was measured" in out and "trace of 60 steps" in out
    else:
        assert re.search(r"misbehaving: 59 calls of step\(\) in [0-9.]+ s", out) and sum(shares(out).values()) > 98, out
        assert "ended before --seconds 60 had passed" in out


def test_ctrl_c_while_profiling_is_reported(external: Path, cli, tmp_path: Path) -> None:
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
    flags = ("--model.pause", 0.01, "--run.until", 10**6, "--run.folder", tmp_path)
    code, out, _ = cli("profile", "misbehaving", "--seconds", 60, "--warm-up", 0, "--trace", 0, *flags)
    assert code == 130 and "calls of step()" in out
