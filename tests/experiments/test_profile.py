"""The profile finds time where it was spent: known sleeps in known rooms, and the rooms of a real agent and a real model."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import experiments.verbs.profile
from core.errors import UsageError
from envs.vector import VectorEnv
from experiments.launcher.experiment import Experiment
from experiments.launcher.verbs import call
from experiments.verbs.profile import Sampler
from tests.conftest import only_run


@contextlib.contextmanager
def alarm_kept() -> Iterator[None]:
    """Check that the alarm's handler, its timer (pytest's own, perhaps) and the blocked signals are afterwards what they were."""
    begun, delay = time.monotonic(), signal.getitimer(signal.ITIMER_REAL)[0]
    handler, blocked = signal.getsignal(signal.SIGALRM), signal.pthread_sigmask(signal.SIG_BLOCK, ())
    yield
    assert signal.getsignal(signal.SIGALRM) is handler and signal.pthread_sigmask(signal.SIG_BLOCK, ()) == blocked
    left = delay and delay - (time.monotonic() - begun)
    assert signal.getitimer(signal.ITIMER_REAL)[0] == pytest.approx(left, abs=1)


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


def sampled(loop: Any, steps: int) -> tuple[dict[str, float], Sampler]:
    sampler = Sampler(loop)
    with alarm_kept():
        sampler.start()
        try:
            loop.train(steps)
        finally:
            sampler.finish()
    return sampler.table(), sampler


def test_time_is_found_where_it_was_spent() -> None:
    loop = FakeLoop()
    rooms, sampler = sampled(loop, 4)
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
    rooms, _ = sampled(loop, 400)
    assert 0.25 < rooms["acting"] / sum(rooms.values()) < 0.6, rooms


SPENDERS = {  # a few milliseconds each: in Python, in a call that keeps the interpreter, and in one that gives it away
    "busy": "def spend(x):\n    for i in range(60_000): x += i",
    "native": "def spend(x):\n    max(range(150_000))",
    "waiting": "def spend(x):\n    time.sleep(0.003)",
    "nothing": "def spend(x):\n    pass",
}


def spender(module: str, kind: str) -> Any:
    space: dict[str, Any] = {"__name__": module, "time": time}
    exec(compile(SPENDERS[kind], module, "exec"), space)
    return space["spend"]


@pytest.mark.parametrize(
    "kinds", [("busy", "native", "waiting"), ("native", "waiting", "busy"), ("waiting", "busy", "native")]
)
def test_every_kind_of_code_gets_the_time_it_took(kinds: tuple[str, ...]) -> None:
    rooms = ("environment", "data", "update")
    spenders = [
        spender(m, k) for m, k in zip(("envs.fake", "core.replay", "keras.src.optimizers.fake"), kinds, strict=True)
    ]
    took: dict[str, float] = defaultdict(float)

    class Mixed(Plugin):
        def step(self) -> None:
            for room, spend in zip(rooms, spenders, strict=True):
                begun = time.perf_counter()
                spend(0)
                took[room] += time.perf_counter() - begun

    loop = FakeLoop()
    loop.plugin, loop.save = Mixed(), lambda: None
    found, _ = sampled(loop, 200)
    for room in rooms:
        share = took[room] / sum(took.values())
        assert found[room] / sum(found.values()) == pytest.approx(share, abs=0.05), (found, took)
    assert sum(found.values()) == pytest.approx(sum(took.values()), rel=0.05)


def test_a_long_operator_counts_where_it_stands_not_in_the_function_called_next() -> None:
    numbers = list(range(100_000))

    class Searching(Plugin):
        def step(self) -> None:
            -1 in numbers  # noqa: B015 - a native operation that answers no alarm; the next call does
            quick(0)

    quick = spender("envs.fake", "nothing")
    loop = FakeLoop()
    loop.plugin, loop.save = Searching(), lambda: None
    rooms, _ = sampled(loop, 300)
    assert rooms["acting"] / sum(rooms.values()) > 0.95, rooms


def test_a_look_that_fails_reaches_neither_the_training_nor_the_sum(monkeypatch: pytest.MonkeyPatch) -> None:
    real, failing = experiments.verbs.profile._module, [True] * 5

    def module(frame: Any) -> str:
        if failing:
            failing.pop()
            raise RuntimeError("no module")
        return real(frame)

    monkeypatch.setattr(experiments.verbs.profile, "_module", module)
    loop = FakeLoop()
    begun = time.perf_counter()
    rooms, sampler = sampled(loop, 1)
    assert str(sampler.failure) == "no module" and not failing
    assert sum(rooms.values()) == pytest.approx(time.perf_counter() - begun, abs=0.1)


def test_handler_and_timer_from_before_come_back() -> None:
    rung: list[float] = []
    handler = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(time.monotonic()))
    begun, timer = time.monotonic(), signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        with pytest.raises(ZeroDivisionError):
            loop = FakeLoop()
            loop.save = lambda: 1 / 0
            sampled(loop, 1)  # half a second
        assert not rung and 0 < signal.getitimer(signal.ITIMER_REAL)[0] < 1.1
        while not rung and time.monotonic() < begun + 20:
            time.sleep(0.01)
        assert rung and rung[0] - begun >= 1.4
    finally:
        signal.signal(signal.SIGALRM, handler)
        signal.setitimer(signal.ITIMER_REAL, *timer)


def test_profile_refuses_another_thread() -> None:
    said: list[str] = []

    def elsewhere() -> None:
        with pytest.raises(UsageError) as error:
            call("profile", ["dqn"])
        said.append(str(error.value))

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert "works only in the main thread" in said[0]


def test_threads_of_the_run_are_spared_the_alarm(monkeypatch: pytest.MonkeyPatch) -> None:
    blocked: list[set[Any]] = []

    def start(experiment: Experiment, observe: Any) -> int:
        thread = threading.Thread(target=lambda: blocked.append(signal.pthread_sigmask(signal.SIG_BLOCK, ())))
        thread.start()
        thread.join()
        raise UsageError("enough")

    monkeypatch.setattr(experiments.verbs.profile, "start", start)
    with alarm_kept(), pytest.raises(UsageError, match="enough"):
        call("profile", ["dqn"])
    assert signal.SIGALRM in blocked[0]


def shares(text: str) -> dict[str, float]:
    return {name: float(share) for name, share in re.findall(r"│ (\w+)\s+│\s+([\d.]+)%", text)}


@pytest.mark.slow
def test_an_agent(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spans: list[tuple[float, float]] = []
    sampling: list[float] = []
    step, start, finish = VectorEnv.step, Sampler.start, Sampler.finish

    def timed(self: Any, *args: Any) -> Any:
        begun = time.perf_counter()
        result = step(self, *args)
        spans.append((begun, time.perf_counter()))
        return result

    monkeypatch.setattr(VectorEnv, "step", timed)
    monkeypatch.setattr(Sampler, "start", lambda self: (sampling.append(time.perf_counter()), start(self)))
    monkeypatch.setattr(Sampler, "finish", lambda self: (finish(self), sampling.append(time.perf_counter())))
    flags = ("--eval.episodes", 2, "--run.folder", tmp_path)
    with alarm_kept():
        code, out, err = cli("profile", "actor-critic-cartpole", "--seconds", 4, "--warm-up", 0.5, "--trace", 0, *flags)
    assert code == 0, err
    found = shares(out)
    assert found["environment"] > 10 and found["acting"] > 2 and found["update"] > 10 and sum(found.values()) > 98, out
    begun, over = sampling[:2]
    played = sum(end - start for start, end in spans if begun <= start and end <= over) / (over - begun)
    assert found["environment"] == pytest.approx(100 * played, abs=5), (out, played)  # both in percent
    assert "ActorCritic._play" in out and "environment steps per second" in out
    run = only_run(tmp_path)
    assert run.name.endswith("-profile") and (run / "results.json").is_file()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--seconds", "5"], "usage: pongan profile NAME"),
        (["dqn", "--seconds", "long"], "--seconds is 'long'; it must be a number"),
        (["dqn", "--warm-up=-1"], "it must be 0 or more"),
        (["dqn", "--trace", "inf"], "--trace is 'inf'; it must be a whole number"),
        (["dnq"], "did you mean 'dqn'?"),
        (["dqn", "--second", "5"], "no flag '--second'; did you mean '--seconds'?"),
    ],
)
def test_bad_words_get_a_sentence(cli, words: list[str], sentence: str) -> None:
    code, _, err = cli("profile", *words)
    assert code == 2 and sentence in " ".join(err.split())


def test_help_names_every_flag(cli) -> None:
    for words in (["--help"], ["dqn", "--help"]):
        code, out, _ = cli("profile", *words)
        assert code == 0 and all(flag in out for flag in ("--seconds", "--warm-up", "--trace"))


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
    real = Sampler.__init__
    monkeypatch.setattr(Sampler, "__init__", lambda self, loop: (watched.append(self), real(self, loop))[1])
    flags = ("--model.pause", 0.01, "--run.until", 60, "--run.folder", tmp_path)
    with alarm_kept():
        code, out, err = cli("profile", "misbehaving", "--seconds", 60, "--warm-up", 0, "--trace", trace, *flags)
    assert code == 0, err
    assert len(watched) == 1 and not watched[0].sampling
    if trace:
        assert begun[1:] == ["over"] and "nothing was measured" in out and "trace of 60 steps" in out
    else:
        assert re.search(r"misbehaving: 59 calls of step\(\) in [0-9.]+ s", out) and sum(shares(out).values()) > 98, out
        assert "ended before --seconds 60 had passed" in out


def test_ctrl_c_while_profiling_is_reported(external: Path, cli, tmp_path: Path) -> None:
    threading.Timer(2, os.kill, (os.getpid(), signal.SIGINT)).start()
    flags = ("--model.pause", 0.01, "--run.until", 10**6, "--run.folder", tmp_path)
    with alarm_kept():
        code, out, _ = cli("profile", "misbehaving", "--seconds", 60, "--warm-up", 0, "--trace", 0, *flags)
    assert code == 130 and "calls of step()" in out
