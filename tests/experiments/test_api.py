"""Training and runs from Python: what comes back, callbacks and signals, and the bits of several trainings in one process."""

from __future__ import annotations

import builtins
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from agents.dqn.agent import DQN
from core.errors import UsageError
from experiments import Run, compare, list_runs, load, train
from experiments.launcher.catalogue import catalogue
from experiments.launcher.folder import RunFolder
from tests.conftest import ROOT
from tests.processes import Fork

EVERY = {"run.log_every": 20, "run.eval_every": 40, "run.save_every": 40, "eval.episodes": 2}


@pytest.fixture
def agent(external: Path, tmp_path: Path) -> Callable[..., Run]:
    """Train the external package's thin agent below `tmp_path`/runs; returns the run."""

    def trained(until: int = 80, settings: Mapping[str, Any] = EVERY, **more: Any) -> Run:
        return train("tabular-q", EVERY | settings, seed=5, until=until, folder=tmp_path / "runs", quiet=True, **more)

    return trained


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    tiny = {"agent": dict(catalogue().plugins["dqn"].tiny)}
    return train("dqn", tiny | EVERY, seed=5, until=80, folder=tmp_path_factory.mktemp("runs"), quiet=True)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Run:
    small = {"data.source": "digits", "hidden": 8, "latent": 2, "turn": 1, "nll_samples": 2}
    return train("vae", {"model": small}, until=2, folder=tmp_path_factory.mktemp("runs"), quiet=True)


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, experiments\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'tyro', 'experiments.api'} & set(sys.modules)\n"
        "from experiments import train, load, list_runs, compare\n"
        "print(heavy, 'tensorflow' in sys.modules, 'train' in dir(experiments))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["set()", "False", "True"], done.stdout
    with pytest.raises(ImportError, match="cannot import name 'trian'"):
        exec("from experiments import trian")


# --- a run --------------------------------------------------------------------------------------------------------------


def test_what_a_run_holds(run: Run) -> None:
    assert run.status == "finished" and run.path.is_dir() and "finished" in repr(run)
    assert run.config["agent"]["hidden"] == [8] and run.config["run"]["seed"] == 5
    assert run.results["clock"]["value"] == 80 and run.results["headline"]["tag"] == "eval/return_mean"
    clocks, values = run.scalars("eval/return_mean")
    assert clocks.tolist() == [40, 80] and clocks.dtype == np.int64 and values.dtype == np.float64
    assert values[-1] == run.results["headline"]["final"]
    with pytest.raises(UsageError, match="no point of 'eval/return_meen'; did you mean 'eval/return_mean'"):
        run.scalars("eval/return_meen")


def test_curves_as_a_frame(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = run.frame()
    assert frame.index.name == "clock" and frame.index.tolist() == [20, 40, 60, 80]
    column = frame["eval/return_mean"].dropna()
    clocks, values = run.scalars("eval/return_mean")
    assert column.index.tolist() == clocks.tolist() and column.tolist() == values.tolist()

    found = builtins.__import__

    def without(name: str, *args: Any) -> Any:
        if name == "pandas":
            raise ImportError(name)
        return found(name, *args)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match="needs pandas, which is not installed"):
        run.frame()


def test_runs_are_found_loaded_and_compared(run: Run) -> None:
    assert [found.path for found in list_runs(run.path.parent)] == [run.path]
    assert load(run.path).path == run.path
    compared = compare([run])
    (row,) = compared.rows
    assert compared.metric == "eval/return_mean" and row["last mean"] == run.results["headline"]["final"]
    assert compare([run.path.parent], metric="rollout/return").metric == "rollout/return"
    assert "A dqn" in str(compared) and compared.png().startswith(b"\x89PNG")
    with pytest.raises(UsageError, match="there is no run to compare"):
        compare([])
    with pytest.raises(UsageError, match="no run folder"):
        load(run.path.parent)
    with pytest.raises(UsageError, match="there is no folder"):
        list_runs(run.path / "nowhere")


def test_an_agent_acts_and_plays(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    game = gymnasium.make("pongan/Catch-v0").observation_space
    closed: list[Any] = []
    monkeypatch.setattr(DQN, "close", lambda self: closed.append(self))
    for weights in ("best", "newest"):
        with run.plugin(weights) as agent:
            assert isinstance(agent, DQN)
            observations = np.stack([game.sample() for _ in range(3)])
            actions, _ = agent.act(observations, agent.memory(3), np.random.default_rng(1), greedy=True)
            assert np.shape(actions) == (3,) and not closed
        assert closed.pop() is agent
    measured = run.play(episodes=3, seed=9, greedy=True)
    assert len(measured["eval/returns"]) == 3 and "3 whole episodes, greedy" in measured["eval/protocol"]
    assert "video/episode" not in measured
    assert measured == run.play(episodes=3, seed=9, greedy=True)
    assert run.play(episodes=1, film=True)["video/episode"].dtype == np.uint8
    with pytest.raises(UsageError, match=r"eval.episodes is 0; it must be at least 1"):
        run.play(episodes=0)
    with pytest.raises(UsageError, match="use `play`"):
        run.sample()


def test_a_model_draws(model: Run) -> None:
    pictures = model.sample(5, seed=1)
    assert pictures.shape[0] == 5 and pictures.ndim == 4
    assert (pictures == model.sample(5, seed=1)).all() and (pictures != model.sample(5, seed=2)).any()
    with pytest.raises(UsageError, match="n is 0; it must be a whole number of at least 1"):
        model.sample(0)
    with pytest.raises(UsageError, match="use `sample`"):
        model.play()


def test_a_run_goes_on(agent: Callable[..., Run]) -> None:
    run = agent()
    clocks: list[int] = []
    with pytest.raises(UsageError, match=r"resume takes only .*; 'agent.lr' would make it another run"):
        run.resume({"agent.lr": 1.0})
    with pytest.raises(UsageError, match=r"run.seed was 5 when this run began and cannot become 6"):
        run.resume({"run.seed": 6})
    again = run.resume(until=120, on_log=lambda clock, values: clocks.append(clock), quiet=True)
    assert again.path == run.path and run.results["clock"]["value"] == 120 and clocks == [100, 120]


def test_settings_are_those_of_the_command_line(tmp_path: Path) -> None:
    for settings, sentence in (
        ({"agent.gama": 1}, "settings: 'agent.gama' is no setting; did you mean 'agent.gamma'?"),
        ({"agent": {"gamma": "fast"}}, "settings: 'agent.gamma' is 'fast'; it must be a number"),
        ({"run": {"time_limit": -1}}, "run.time_limit is -1; it must be 0"),
        ({"agent.double": "yes"}, "'agent.double' is 'yes'; it must be true or false"),
        ({"run.deterministic": "true"}, "it must be true or false, without quotes"),
    ):
        with pytest.raises(UsageError) as error:
            train("dqn", settings, folder=tmp_path)
        assert sentence in str(error.value)
    with pytest.raises(UsageError, match="there is no experiment 'dqm'; did you mean 'dqn'"):
        train("dqm", folder=tmp_path)
    with pytest.raises(UsageError, match=r"run.seed is -1; it must be 0 or more"):
        train("dqn", seed=-1, folder=tmp_path)
    with pytest.raises(UsageError, match="workers are processes of their own"):
        train("dcgan", {"run.strategy": "multiworker"}, folder=tmp_path)
    assert not list(tmp_path.iterdir())


# --- callbacks and signals ----------------------------------------------------------------------------------------------


def test_callbacks_hear_what_is_written(agent: Callable[..., Run]) -> None:
    logged: dict[int, dict[str, Any]] = {}
    evaluated: dict[int, dict[str, Any]] = {}
    run = agent(on_log=logged.__setitem__, on_evaluate=evaluated.__setitem__)
    clocks, values = run.scalars("rollout/reward")
    assert list(logged) == clocks.tolist() == [20, 40, 60, 80] and list(evaluated) == [40, 80]
    assert [point["rollout/reward"] for point in logged.values()] == pytest.approx(values)
    assert evaluated[80] == run.results["evaluation"]


@pytest.mark.parametrize("name", ["on_log", "on_evaluate"])
def test_a_callback_stops_the_training(name: str, agent: Callable[..., Run]) -> None:
    run = agent(10_000, **{name: lambda clock, values: np.bool_(clock < 40)})
    assert run.status == "finished" and run.results["clock"]["value"] == 40
    assert run.results["evaluation"]["eval/returns"]


def test_what_a_callback_raises_reaches_the_caller(agent: Callable[..., Run], tmp_path: Path) -> None:
    class Pruned(Exception):
        pass

    def prune(clock: int, values: dict[str, Any]) -> None:
        raise Pruned("not worth it")

    with pytest.raises(Pruned):
        agent(on_evaluate=prune)
    (run,) = list_runs(tmp_path / "runs")
    why = RunFolder.meta(run.path)["status"]
    assert why == "failed: on_evaluate raised Pruned at 40 environment steps: not worth it"
    assert "in prune" in (run.path / "traceback.txt").read_text()
    assert run.resume(quiet=True).status == "finished"


def test_ctrl_c_saves_and_returns_the_run(agent: Callable[..., Run]) -> None:
    def press(clock: int, values: dict[str, Any]) -> None:
        if clock == 60:
            os.kill(os.getpid(), signal.SIGINT)

    run = agent(on_log=press)
    assert run.status == "interrupted" and run.results == {}
    assert run.resume(quiet=True).results["clock"]["value"] == 80
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_twice_does_not_wait(agent: Callable[..., Run], tmp_path: Path) -> None:
    def press(clock: int, values: dict[str, Any]) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        agent(on_log=press)
    (run,) = list_runs(tmp_path / "runs")
    assert RunFolder.meta(run.path)["status"] == "interrupted: stopped without saving"


def test_sigterm_saves_and_ends_the_process(agent: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as leaving:
        agent(on_log=lambda clock, values: os.kill(os.getpid(), signal.SIGTERM))
    assert leaving.value.code == 143
    (run,) = list_runs(tmp_path / "runs")
    assert run.status == "interrupted" and (run.path / "checkpoints" / f"{20:012d}").is_dir()


def test_a_thread_trains_too(agent: Callable[..., Run]) -> None:
    made: list[Run] = []
    thread = threading.Thread(target=lambda: made.append(agent()))
    thread.start()
    thread.join()
    assert made[0].status == "finished"
    here = agent()
    assert (made[0].scalars("value/mean")[1] == here.scalars("value/mean")[1]).all()


def test_quiet_prints_warnings_only(
    agent: Callable[..., Run], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    agent()
    assert capfd.readouterr() == ("", "")
    fails = {"model.how": "evaluate", "model.at": 20, "run.eval_every": 10}
    train("misbehaving", fails, until=30, folder=tmp_path / "runs", quiet=True)
    out, err = capfd.readouterr()
    assert not out and err.startswith("warning: the evaluation at ") and "nothing to evaluate on" in err


# --- several in one process ---------------------------------------------------------------------------------------------

SCRIPT = """
import hashlib, json
import keras
import numpy as np
from core import checkpoint
from experiments import train
from experiments.launcher.catalogue import catalogue

def tiny(name, precision):
    spec = catalogue().plugins[name]
    run = {"precision": precision, "deterministic": deterministic, "threads": 1, "eval_every": 3, "save_every": 0}
    return train(name, {spec.prefix: dict(spec.tiny), "run": run}, seed=4, until=24, folder=folder, quiet=True)

def arrays(run):
    with np.load(checkpoint.numbered(run.path)[0] / "arrays.npz") as held:
        return [hashlib.sha256(held[name].tobytes()).hexdigest() for name in held.files]

def measured(run, use):
    use(run)
    keras.Sequential([keras.layers.Dense(3)])  # counts
    return [*arrays(run), keras.mixed_precision.dtype_policy().name]

agent = lambda: measured(tiny("dqn", "float32"), lambda run: run.play(episodes=2))
model = lambda: measured(tiny("dcgan", "bfloat16"), lambda run: run.sample(3))
sums = [agent(), model(), agent()]
print(json.dumps(sums))
"""


@pytest.mark.slow
@pytest.mark.parametrize("deterministic", [True, False])
def test_a_later_training_has_the_bits_of_the_first_in_a_process(deterministic: bool, tmp_path: Path) -> None:
    """Which is a process of its own, as far as it can know."""
    process = Fork(code=f"folder, deterministic = {str(tmp_path)!r}, {deterministic}{SCRIPT}")
    out, err = process.communicate(timeout=250)
    assert process.returncode == 0, err
    first, between, last = json.loads(out.splitlines()[-1])
    assert len(first) > 10 and first == last
    assert first[-1] == between[-1] == "float32"  # Keras's policy is the caller's again


def test_what_is_fixed_once_per_process_gets_a_sentence(run: Run, agent: Callable[..., Run], tmp_path: Path) -> None:
    cores = len(os.sched_getaffinity(0))
    with pytest.raises(
        UsageError, match=rf"threads is {cores + 1}, but TensorFlow in this process has {cores}; .*restart"
    ):
        agent(settings={"run.threads": cores + 1})
    with pytest.raises(
        UsageError, match=r"deterministic is true, but it was false for an earlier run in this process; .*"
    ):
        agent(settings={"run.deterministic": True})
    assert not (tmp_path / "runs").exists()
