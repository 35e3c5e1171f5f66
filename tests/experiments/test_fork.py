"""Runs that can be questioned: forked at a clock of their past, trained again, compared number by number."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml

from core import checkpoint
from experiments.comparison import compare
from experiments.differences import compared, curves, same
from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars, read_texts
from experiments.launcher.folder import RunFolder
from tests.conftest import only_run
from tests.processes import Fork
from tests.test_contract import BUILT_IN

EVERY = ("--run.log-every", 50, "--run.eval-every", 200, "--run.save-every", 100, "--run.until", 600)
GAME = ("--agent.env.id", "pongan/Catch-v0", "--agent.games", 2, "--agent.batch-episodes", 2, "--eval.episodes", 2)
TINY = ("run", "policy-gradient", *GAME, *EVERY, "--run.deterministic")


def call(*words: object, code: int = 0) -> str:
    """Give words to the launcher in a process of its own; return what it printed."""
    process = Fork(*words)
    out, err = process.communicate(timeout=200)
    assert process.returncode == code, out + err
    return out + err


def forks(run: Path) -> list[Path]:
    return sorted(path for path in run.parent.iterdir() if "fork" in path.name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("trained")
    call(*TINY, "--run.folder", root)
    return only_run(root)


@pytest.fixture
def run(trained: Path, tmp_path: Path) -> Path:
    """A copy of the run, whose forks lie beside it."""
    return (
        Path(shutil.copytree(trained.parent.parent, tmp_path / "policy-gradient")) / trained.parent.name / trained.name
    )


@pytest.mark.parametrize("at", [pytest.param(250, marks=pytest.mark.slow), 500])  # from the start; from a checkpoint
def test_a_fork_that_changes_nothing_is_the_run_to_the_last_bit(run: Path, at: int) -> None:
    out = call("fork", run, "--at", at)
    (fork,) = forks(run)
    assert ("trained from the start" in out) == (at == 250) and f"forked {fork} at {at}" in out
    found = compared(run, fork)
    assert found.same and found.equal_until == 600 and 600 in found.checked and not found.records
    about = RunFolder.meta(fork)["forked"]
    assert about == {"run": "/".join(run.parts[-3:]), "clock": at, "seed": 1, "changed": []}
    assert RunFolder.results(fork)["resumed"] == 0 and RunFolder.status(fork) == "finished"
    assert len(list(fork.glob("events*"))) == 1 and not list(run.parent.glob(".*"))


def test_arms_differ_by_their_setting_from_the_clock_on(run: Path) -> None:
    call("fork", run, "--at", 450, "--grid", "agent.optimizer.lr=1e-3,2e-3", "--run.until", 700)
    slow, fast = forks(run)
    rates = [RunFolder.read_config(fork)["agent"]["optimizer"]["lr"] for fork in (slow, fast)]
    assert rates == [1e-3, 2e-3]
    for fork in (slow, fast):
        found = compared(run, fork)
        assert found.curve is not None and found.equal_until == 450 and found.curve[0] == 500
        assert found.records["agent.optimizer.lr"] == (1e-4, RunFolder.read_config(fork)["agent"]["optimizer"]["lr"])
        assert max(step for step, _ in read_scalars(fork)["eval/return_mean"]) == 700
        config = dict(read_texts(fork)["config"])[0]
        assert f"lr: {RunFolder.read_config(fork)['agent']['optimizer']['lr']}" in config
    with np.load(checkpoint.numbered(fast)[0] / "arrays.npz") as arrays:
        assert any(
            np.array_equal(arrays[key], np.float32(2e-3)) for key in arrays.files
        )  # Keras keeps it in the optimiser


@pytest.mark.slow
def test_other_random_numbers_from_the_clock_on(run: Path) -> None:
    call("fork", run, "--at", 300, "--reseed", "--times", 2)
    first, second = forks(run)
    assert [RunFolder.read_config(fork)["run"]["seed"] for fork in (first, second)] == [1001, 1002]
    for one, other in ((run, first), (first, second)):
        found = compared(one, other)
        assert found.equal_until == 300 and found.curve is not None and found.curve[0] == 350
    compared_runs = compare([run, first, second])
    assert [group.row()["seeds"] for group in compared_runs.groups] == [1, 2]  # no further seeds of the run itself


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--at", 601), "can be forked at any clock from 0 to 600"),
        (("--at", -2), "--at is -2; a clock is 0 or more"),
        (("--at", 300, "--run.seed", 5), "a fork keeps run.seed of the run that it begins as; --reseed draws other"),
        (("--at", 300, "--run.precision", "bfloat16"), "a fork keeps run.precision"),
        (("--at", 300, "--times", 3), "would train the same run 3 times"),
        (("--at", 600), "run.until is 600, and the fork begins at 600; give a later --run.until"),
        (("--at", 300, "--grid", "agent.optimizer.l=1,2"), "did you mean 'agent.optimizer.lr'"),
    ],
)
def test_what_has_no_meaning_is_one_sentence(cli, trained: Path, flags: tuple[object, ...], sentence: str) -> None:
    code, _, err = cli("fork", trained, *flags)
    assert code == 2 and sentence in " ".join(err.split()) and not forks(trained)


@pytest.mark.slow
def test_a_replay_that_is_another_run_is_said(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["agent"]["gamma"] = 0.5
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    out = " ".join(call("fork", run, "--at", 300).split())
    assert "warning: the replay is not the run from clock 50 on (loss/policy" in out
    (fork,) = forks(run)
    out = " ".join(call("fork", fork, "--at", 200, code=2).split())
    assert f"was forked from {'/'.join(run.parts[-3:])} and keeps no checkpoint from before 200" in out


def test_another_network_is_refused_and_leaves_nothing(run: Path) -> None:
    out = " ".join(call("fork", run, "--at", 300, "--agent.hidden", 7, code=2).split())
    assert "gradient.0 is [30, 200] float32, and would be [30, 7] float32" in out and "Traceback" not in out
    assert [path.name for path in run.parent.iterdir()] == [run.name]


@pytest.mark.slow
def test_a_run_is_reproduced_to_the_last_bit(run: Path) -> None:
    assert "reproduced: equal to the last bit" in call("reproduce", run, "--until", 500)


@pytest.mark.slow
def test_a_run_that_was_another_one_is_not_reproduced(run: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["agent"]["gamma"] = 0.5
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    out = call("reproduce", run, code=1)
    assert "not reproduced" in out and "loss/policy" in out and "different at 50:" in out


@pytest.mark.slow
def test_the_first_cause_is_named(run: Path) -> None:
    call("fork", run, "--at", 500, "--agent.gamma", 0.5, "--run.until", 520)
    (fork,) = forks(run)
    out = " ".join(call("diff", run, fork, "--step", 20, code=1).split())
    assert "agent.gamma" in out and "from the checkpoint at clock 500, step" in out
    assert "in batch first" in out and "batch plugin/under_way/batch/R [10]" in out
    assert "equal to the last bit" in call("diff", run, run)


def test_places_that_differ_by_hand() -> None:
    a = {"w": np.array([1.0, 2.0], np.float32), "n": 3, "big": 2**80, "only a": 1, "nan": float("nan"), "s": "x"}
    b = {"w": np.array([1.0, 2.5], np.float32), "n": 5, "big": 2**80 + 1, "nan": float("nan"), "s": "y"}
    found = {leaf.place: (leaf.largest, leaf.values) for leaf in same(a, b)}
    assert found == {
        "only a": (np.inf, ("1", "-")),
        "s": (np.inf, ("x", "y")),
        "n": (2.0, ("3", "5")),
        "big": (1.0, (str(2**80), str(2**80 + 1))),
        "w": (0.5, ("2", "2.5")),
    }
    assert same(a, a) == []
    assert [leaf.shape for leaf in same({"w": np.zeros(2)}, {"w": np.zeros(3)})] == ["[2] | [3]"]


def test_the_first_clock_at_which_curves_differ_by_hand() -> None:
    a = {"loss/x": [(1, 0.5), (2, 0.25), (3, 0.125)], "time/elapsed": [(1, 9.0)], "eval/y": [(2, 1.0)]}
    b = {"loss/x": [(1, 0.5), (2, 0.25), (3, 0.5)], "time/elapsed": [(1, 8.0)]}
    assert curves(a, b) == ((2, {"eval/y": (1.0, None)}), 1)
    assert curves({"loss/x": a["loss/x"]}, b) == ((3, {"loss/x": (0.125, 0.5)}), 2)
    assert curves({"loss/x": a["loss/x"][:2]}, b) == (None, 2)  # as far as both have come
    assert curves({}, b) == (None, None)


def test_paired_differences_by_hand(tmp_path: Path) -> None:
    """Two arms of three pairs: +1, +2, +6, though the arms' own spreads are wider than that."""
    from tests.experiments.test_compare import write_run

    origin = write_run(tmp_path, 1, [(0, 0.0), (50, 1.0), (100, 2.0)])
    for arm, (lr, scores) in {"slow": (0.1, (10, 100, 1000)), "fast": (0.2, (11, 102, 1006))}.items():
        for seed, score in enumerate(scores, 1001):
            path = write_run(tmp_path, seed, [(50, 1.0), (100, float(score))], lr=lr, name=arm)
            about = {"run": "/".join(origin.parts[-3:]), "clock": 50, "seed": 1, "changed": []}
            (path / "meta.json").write_text(json.dumps({"status": "finished", "forked": about}))
    found = compare([*origin.parent.iterdir()])
    assert sorted(group.row()["seeds"] for group in found.groups) == [1, 3, 3]
    text = str(found)
    differences = next(pair for pair in found.pairs if pair.differences)
    assert sorted(map(abs, differences.differences)) == [1.0, 2.0, 6.0] and differences.clock == 50
    assert "branch at" in text and len(found.pairs) == 1


def test_uncommitted_changes_are_kept_as_a_patch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import subprocess

    from experiments.launcher import folder

    repository = tmp_path / "repository"
    repository.mkdir()

    def git(*words: str, at: Path = repository) -> None:
        subprocess.run(
            ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", *words], cwd=at, check=True, capture_output=True
        )

    git("init")
    (repository / "old.py").write_text("one\n")
    (repository / ".gitignore").write_text("*.log\n")
    git("add", "-A")
    git("commit", "-m", "first")
    git("clone", "-q", str(repository), str(tmp_path / "clone"))
    (repository / "old.py").write_text("two\n")
    (repository / "new.py").write_bytes(b"three\n")
    (repository / "picture.bin").write_bytes(bytes(range(256)))
    (repository / "noise.log").write_text("not kept")
    monkeypatch.setattr(folder, "ROOT", repository)
    place = RunFolder.create(str(tmp_path / "runs"), "x", "y", 1, "")
    place.keep_code(catalogue().plugins["dqn"])
    place.close()
    git("apply", str(place.path / "code" / "uncommitted.patch"), at=tmp_path / "clone")
    for name in ("old.py", "new.py", "picture.bin"):
        assert (tmp_path / "clone" / name).read_bytes() == (repository / name).read_bytes()
    assert not (tmp_path / "clone" / "noise.log").exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_every_plugin_can_be_forked(name: str, tmp_path: Path) -> None:
    """In the middle of its tiny run, from the start and from a checkpoint; the fork is the run to the last bit."""
    from tests.test_kills import last_clock

    spec, until = catalogue().plugins[name], last_clock(name, tmp_path) // 8
    every = {"save_every": max(until // 8, 1), "eval_every": until // 2, "log_every": max(until // 10, 1)}
    settings = {spec.prefix: dict(spec.tiny), "run": {"until": until, "seed": 7, "deterministic": True, **every}}
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(settings))
    call("run", name, "--config", tmp_path / "tiny.yaml", "--run.folder", tmp_path / "runs")
    run = only_run(tmp_path / "runs")
    for at in (until // 3, checkpoint.clock_of(checkpoint.numbered(run)[-1])):
        call("fork", run, "--at", at)
        fork = max(forks(run), key=lambda path: path.stat().st_mtime)
        assert compared(run, fork).same
