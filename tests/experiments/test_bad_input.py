"""Whatever is wrong gets one sentence (the value, the rule, the nearest valid choice), exit code 2, and harms nothing."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from core import checkpoint
from tests.conftest import only_run

QUICK = (
    "--agent.env.id",
    "pongan/Catch-v0",
    "--agent.games",
    2,
    "--agent.batch-episodes",
    2,
    "--eval.episodes",
    1,
)

BEFORE_A_RUN = {
    "unknown name": (["run", "policy-gradint"], "no experiment 'policy-gradint'; did you mean 'policy-gradient'"),
    "marks of a printer": (["run", r"vae\[/x]"], r"no experiment 'vae\\[/x]'"),
    "unknown preset": (["run", "pong-pg-fst"], "did you mean 'pong-pg-fast'"),
    "unknown verb": (["rnu"], "no verb 'rnu'; did you mean 'run'"),
    "unknown flag": (["run", "policy-gradient", "--agent.learning-rate", "1"], "no flag '--agent.learning-rate'"),
    "misspelt flag": (["run", "policy-gradient", "--agent.gama", "1"], "did you mean '--agent.gamma'"),
    "misspelt flag of two words": (["run", "dqn", "--run.time-limt", "1"], "did you mean '--run.time-limit'"),
    "flag of a group, named alone": (["run", "sac", "--agent.lr", "1"], "did you mean '--agent.optimizer.lr'"),
    "flag of another kind": (
        ["run", "policy-gradient", "--model.optimizer.lr", "1"],
        "did you mean '--agent.optimizer.lr'",
    ),
    "word for a number": (
        ["run", "policy-gradient", "--agent.optimizer.lr", "fast"],
        "--agent.optimizer.lr is 'fast'; it must be a number",
    ),
    "fraction for a count": (
        ["run", "policy-gradient", "--agent.games", "2.5"],
        "--agent.games is '2.5'; it must be a whole number",
    ),
    "missing value": (["run", "policy-gradient", "--agent.optimizer.lr"], "--agent.optimizer.lr"),
    "no such choice": (
        ["run", "policy-gradient", "--agent.optimizer.name", "lion"],
        "--agent.optimizer.name is 'lion'; choose from adagrad, adam, adamw, radam, rmsprop, sgd",
    ),
    "boolean that is none": (
        ["run", "policy-gradient", "--agent.bias=maybe"],
        "--agent.bias is 'maybe'; it must be true or false",
    ),
    "stray word": (["run", "policy-gradient", "now"], "now"),
    "negative size": (["run", "policy-gradient", "--agent.hidden", "-4"], "hidden is -4; it must be at least 1"),
    "negative step size": (
        ["run", "policy-gradient", "--agent.optimizer.lr", "-1"],
        "lr is -1.0; a step size is above 0",
    ),
    "negative seed": (["run", "policy-gradient", "--run.seed", "-1"], "run.seed is -1; it must be 0 or more"),
    "no goal": (
        ["run", "policy-gradient", "--run.solved-at", "nan"],
        "run.solved_at is nan; it must be a return, e.g. 18",
    ),
    "no steps": (["run", "policy-gradient", "--run.until", "0"], "run.until is 0; it must be at least 1"),
    "tag with a slash": (["run", "policy-gradient", "--run.tag", "a/b"], "run.tag is 'a/b'"),
    "probability above 1": (["run", "policy-gradient", "--agent.env.sticky-actions", "2"], "sticky_actions is 2.0"),
    "batch that does not divide": (["run", "policy-gradient", "--agent.games", "3"], "multiple of games (3)"),
    "missing config file": (
        ["run", "policy-gradient", "--config", "nowhere.yaml"],
        "'nowhere.yaml' cannot be read: No such file",
    ),
    "config without a value": (["run", "policy-gradient", "--config"], "--config needs a value after it"),
    "describe without a name": (["describe"], "Missing from pongan describe: NAME"),
    "describe an unknown": (["describe", "dqm"], "no experiment 'dqm'"),
    "resume a flag": (
        ["resume", "--run.until", "9"],
        "usage: pongan resume RUN [flags]; '--run.until' stands where RUN",
    ),
    "resume a missing folder": (["resume", "runs/nope"], "no run folder 'runs/nope'"),
    "resume another folder": (["resume", "."], "is no run folder: it has no config.yaml"),
    "play a missing folder": (["play", "runs/nope"], "no run folder 'runs/nope'"),
}

AT_THE_START = {
    "unknown environment": (
        ["--agent.env.id", "CartPoll-v1"],
        "no environment 'CartPoll-v1'; did you mean 'CartPole-v1'",
    ),
    "environment module": (
        ["--agent.env.id", "nowhere.envs:My-v0"],
        "names the module 'nowhere.envs', which cannot be found",
    ),
    "unfit observation": (["--agent.env.observation", "pong80"], "for Atari games"),
    "out-of-range action": (["--agent.env.actions", "0", "7"], "do not fit"),
    "continuous actions": (["--agent.env.id", "pongan/Walk-v0"], "needs discrete actions"),
    "absent device": (["--run.device", "gpu:7"], "device 'gpu:7' is not there"),
    "unknown device": (["--run.device", "tpu"], "device 'tpu' is unknown; choose auto, cpu or gpu:0"),
}

CONFIG_FILES = {
    "unknown key": ("agent: {lrate: 1}", "'agent.lrate' is no setting"),
    "unknown section": ("agnt: {gamma: 1}", "'agnt.gamma' is no setting; did you mean 'agent.gamma'"),
    "wrong type": ("agent: {games: many}", "'agent.games' is 'many'; it must be a whole number"),
    "a list for a number": ("agent: {gamma: [1, 2]}", "'agent.gamma' is [1, 2]; it must be one value"),
    "broken YAML": ("agent: {lr: 1", "is not valid YAML, line"),
    "no mapping": ("- 1", "must hold settings"),
    "no value": ("run: {tag: }", "'run.tag' has no value"),
    "quoted boolean": ("run: {deterministic: 'true'}", "'run.deterministic' is 'true'; it must be true or false"),
    "a setting twice": ("run: {seed: 1}\nrun: {seed: 2}", "is not valid YAML, line 2: 'run' is given twice"),
    "no such day": ("run: {tag: 2026-02-30}", "is not valid YAML: day is out of range"),
    "a loop": ("run: &a {tag: *a}", "is not valid YAML"),
    "another experiment": ("experiment: dqn", "configures the experiment 'dqn', not 'policy-gradient'"),
    "python object": ("agent: !!python/object/apply:os.system ['true']", "is not valid YAML"),
    "not text": (b"\xff\xfe\x00", "cannot be read"),
}


def assert_sentence(result: tuple[int, str, str], says: str) -> None:
    code, out, err = result
    assert code == 2, out + err
    assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err, err
    assert says in err, err


@pytest.mark.parametrize("case", BEFORE_A_RUN)
def test_before_a_run(case: str, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    argv, says = BEFORE_A_RUN[case]
    assert_sentence(cli(*argv), says)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("case", AT_THE_START)
def test_at_the_start(case: str, cli, tmp_path: Path) -> None:
    flags, says = AT_THE_START[case]
    assert_sentence(cli("run", "policy-gradient", "--run.folder", tmp_path, *QUICK, *flags), says)
    for meta in tmp_path.glob("*/*/*/meta.json"):  # what was begun says how it ended
        assert json.loads(meta.read_text())["status"].startswith("failed: ")


@pytest.mark.parametrize("case", CONFIG_FILES)
def test_configuration_files(case: str, cli, tmp_path: Path) -> None:
    text, says = CONFIG_FILES[case]
    file = tmp_path / "my.yaml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    assert_sentence(cli("run", "policy-gradient", "--config", file, "--run.folder", tmp_path / "runs"), says)
    assert not (tmp_path / "runs").exists()


def test_a_root_that_is_a_file(cli, tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    assert_sentence(
        cli("run", "policy-gradient", *QUICK, "--run.folder", tmp_path / "runs"), "choose another --run.folder"
    )


def test_a_read_only_root(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, *args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system", str(self))

    monkeypatch.setattr(Path, "mkdir", refuse)
    assert_sentence(
        cli("run", "policy-gradient", *QUICK, "--run.folder", tmp_path / "runs"),
        "Read-only file system; choose another",
    )


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("raise", "plugin 'misbehaving' raised RuntimeError: the plugin's own words (traceback in "),
        ("nan", "loss/x became nan"),
        ("headline", "promises eval/score but its evaluation returned eval/other"),
        ("state", "which a checkpoint cannot hold"),
    ],
)
def test_a_plugin_that_fails_keeps_the_last_good_checkpoint(
    external: Path, cli, tmp_path: Path, how: str, says: str
) -> None:
    assert_sentence(
        cli("run", "misbehaving", "--model.how", how, "--run.until", 40, "--run.folder", tmp_path / "r"), says
    )
    run = only_run(tmp_path / "r")
    assert json.loads((run / "meta.json").read_text())["status"].startswith("failed: ")
    good = checkpoint.numbered(run)
    assert (
        good[0].name
        == {"raise": "000000000020", "nan": "000000000020", "headline": "000000000040", "state": "000000000000"}[how]
    )
    assert not (run / "results.json").exists()
    if how in ("raise", "nan"):
        code, _, err = cli("resume", run, "--run.until", 22)
        assert code == 0, err


def test_a_full_disk(external: Path, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saves = []
    real = np.savez

    def savez(file: object, **arrays: np.ndarray) -> None:
        saves.append(1)
        if len(saves) > 2:
            raise OSError(28, "No space left on device", "arrays.npz")
        real(file, **arrays)

    monkeypatch.setattr(np, "savez", savez)
    assert_sentence(
        cli("run", "misbehaving", "--run.folder", tmp_path / "r"),
        "the disk refused to write 'arrays.npz': No space left",
    )
    run = only_run(tmp_path / "r")
    monkeypatch.setattr(np, "savez", real)
    assert [p.name for p in checkpoint.numbered(run)] == ["000000000010", "000000000000"]
    assert cli("resume", run, "--run.until", 30)[0] == 0


@pytest.fixture
def finished(external: Path, cli, tmp_path: Path) -> Path:
    assert cli("run", "misbehaving", "--run.until", 30, "--run.folder", tmp_path / "r")[0] == 0
    return only_run(tmp_path / "r")


def test_a_damaged_newest_checkpoint_is_reported_and_the_one_before_used(finished: Path, cli) -> None:
    newest = checkpoint.numbered(finished)[0]
    (newest / "arrays.npz").write_bytes(b"rubbish")
    code, out, err = cli("resume", finished, "--run.until", 35)
    assert code == 0, err
    assert f"checkpoint {newest} is damaged: arrays.npz does not match its checksum; trying the one before it" in out
    assert "at 30 updates" in out and (newest.parent / f"damaged-{newest.name}").exists()


def test_intact_checkpoints_that_do_not_fit_stay_as_they_are(
    finished: Path, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pongan_extra.misbehaving import Misbehaving

    before = [path.name for path in checkpoint.numbered(finished)]
    rng = np.random.default_rng(0)
    monkeypatch.setattr(
        Misbehaving, "state", lambda self: {"clock": self.clock, "rng": rng}
    )  # as if the code had changed
    assert_sentence(cli("resume", finished, "--run.until", 35), "has nothing for /plugin/rng, which this run needs")
    assert (
        sorted(path.name for path in (finished / "checkpoints").glob("*0*") if path.name[:4] != "best") == before[::-1]
    )


def test_checkpoints_whose_event_file_is_missing_stay_as_they_are(finished: Path, cli) -> None:
    (events,) = finished.glob("events.*")
    events.rename(finished.parent / "kept")
    before = sorted(path.name for path in (finished / "checkpoints").iterdir())
    assert_sentence(cli("resume", finished, "--run.until", 35), f"bytes of {events}, which is missing or shorter")
    assert sorted(path.name for path in (finished / "checkpoints").iterdir()) == before
    (finished.parent / "kept").rename(events)
    assert cli("resume", finished, "--run.until", 35)[0] == 0


def test_a_disk_that_is_full_at_the_end(finished: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from experiments.launcher import folder

    real = folder.write_atomically

    def write(path: Path, text: str) -> None:
        if path.name == "results.json":
            raise OSError(28, "No space left on device", str(path))
        real(path, text)

    monkeypatch.setattr(folder, "write_atomically", write)
    assert_sentence(cli("resume", finished, "--run.until", 35), "results.json': No space left")
    monkeypatch.setattr(folder, "write_atomically", real)
    assert cli("resume", finished)[0] == 0
    (finished / "meta.json").write_text("")
    assert_sentence(cli("resume", finished), "meta.json is damaged")


def test_a_reader_that_leaves_does_not_end_the_training(external: Path, launch_afresh, tmp_path: Path) -> None:
    flags = ("--run.eval-every", 5, "--run.until", 200, "--run.folder", tmp_path / "r")
    process = launch_afresh("run", "misbehaving", *flags, path=external)
    process.stdout.readline()
    process.stdout.close()
    assert process.wait(120) == 0, process.stderr.read()
    assert json.loads((only_run(tmp_path / "r") / "meta.json").read_text())["status"] == "finished"


def test_a_value_that_begins_like_a_flag_comes_back_from_the_run(external: Path, cli, tmp_path: Path) -> None:
    assert cli("run", "misbehaving", "--run.tag=-a", "--run.until", 20, "--run.folder", tmp_path / "r")[0] == 0
    code, _, err = cli("resume", only_run(tmp_path / "r"), "--run.until", 25)
    assert code == 0, err


def test_nothing_but_damage(finished: Path, cli) -> None:
    for path in checkpoint.numbered(finished):
        (path / "tree.json").unlink()
    assert_sentence(cli("resume", finished, "--run.until", 35), "every checkpoint of")


def test_no_checkpoint_at_all(finished: Path, cli) -> None:
    shutil.rmtree(finished / "checkpoints")
    assert_sentence(cli("resume", finished), "has no checkpoint to resume from")
    assert_sentence(cli("sample", finished), "has no checkpoint yet")


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["resume", "--model.at", 3], "resume takes only --run.* flags; '--model.at' would make it another run"),
        (["resume", "--run.seed", 3], "run.seed was 1 when this run began and cannot become 3"),
        (["resume", "--run.untl", 3], "did you mean '--run.until'"),
        (["play"], "holds 'misbehaving', which is generative; use `sample`"),
        (["sample", "--weights", "bst"], "did you mean 'best'"),
        (["sample", "--out", "/nowhere/x.png"], "'/nowhere/x.png' cannot be written"),
        (["sample", "--out", "/"], "'/' cannot be written: it must be a file"),
        (["sample", "--out", "/proc/x.png"], "'/proc/x.png' cannot be written: "),
        (
            ["sample", "--seed", 2**63],
            "--seed is 9223372036854775808; it must be a whole number of at least 0 and at most",
        ),
        (["sample", "--n", "²"], "--n is '²'; it must be a whole number"),
        (["sample", "--n", 0], "--n is 0; it must be a whole number of at least 1"),
        (["sample", "--interpolate"], "the flag '--interpolate' is now called '--picture interpolate'"),
    ],
)
def test_what_a_run_folder_cannot_do(finished: Path, cli, argv: list, says: str) -> None:
    assert_sentence(cli(argv[0], finished, *argv[1:]), says)


def test_two_processes_in_one_folder(finished: Path, cli) -> None:
    from experiments.launcher.folder import RunFolder

    holder = RunFolder.open(finished)
    assert_sentence(cli("resume", finished, "--run.until", 50), "another process is training in")
    holder.close()
    assert cli("resume", finished, "--run.until", 50)[0] == 0


def test_a_folder_of_the_users_that_shadows_ours(launch_afresh, tmp_path: Path) -> None:
    (tmp_path / "core").mkdir()
    (tmp_path / "core" / "__init__.py").write_text("")
    process = launch_afresh("list", cwd=tmp_path)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "finds the package 'core' in" in err and str(tmp_path) in err and "rename that folder" in err
    assert "Traceback" not in err
