"""What plugins and environments that are not ours do to a run: training survives, and one sentence says what happened."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from core import checkpoint
from core.errors import UsageError
from envs.fakes import Catch
from experiments.launcher.events import read_scalars
from tests.conftest import ROOT, only_run
from tests.experiments.test_bad_input import assert_sentence
from tests.processes import Fork

TINY = (
    "--agent.games",
    2,
    "--agent.batch-episodes",
    2,
    "--agent.hidden",
    4,
    "--eval.episodes",
    2,
    "--run.until",
    40,
)


def status(run: Path) -> str:
    return json.loads((run / "meta.json").read_text())["status"]


class Strange(Catch):
    """Catch, but for what the test sets."""

    raises: dict[str, BaseException] = {}  # noqa: RUF012 - by method
    draws: Any = None

    def __init__(self, render_mode: str | None = None):
        super().__init__(render_mode)
        self.told("made")

    def told(self, method: str) -> None:
        if method in Strange.raises:
            raise Strange.raises[method]

    def reset(self, **kwargs: Any) -> Any:
        self.told("reset")
        return super().reset(**kwargs)

    def step(self, action: Any) -> Any:
        self.told("step")
        return super().step(action)

    def render(self) -> Any:
        self.told("render")
        return super().render() if Strange.draws is None else Strange.draws

    def close(self) -> None:
        self.told("close")


@pytest.fixture
def strange() -> Iterator[tuple]:
    Strange.raises, Strange.draws = {}, None
    gymnasium.register("own/Strange-v0", Strange)
    gymnasium.registry["own/Strange-v0"].entry_point.metadata = Catch.metadata
    yield ("--agent.env.id", "own/Strange-v0", *TINY)
    gymnasium.registry.pop("own/Strange-v0")
    Strange.raises, Strange.draws = {}, None


# --- training survives its evaluation -----------------------------------------------------------------------------------


def test_an_evaluation_that_raises_on_the_way_costs_a_warning(external: Path, cli, tmp_path: Path) -> None:
    often = ("--run.eval-every", 10, "--run.until", 30, "--run.folder", tmp_path)
    code, out, err = cli("run", "misbehaving", "--model.how", "evaluate", "--model.at", 20, *often)
    assert code == 0, err
    run = only_run(tmp_path)
    assert out.count("warning: the evaluation at ") == 2 and "raised RuntimeError: nothing to evaluate on" in out
    assert status(run) == "finished" and "in evaluate" in (run / "traceback-evaluation.txt").read_text()
    assert checkpoint.best(run).name == f"best-{30:012d}"
    assert json.loads((run / "results.json").read_text())["headline"]["best"] == {"clock": 30, "value": 1.0}


def test_the_last_evaluation_that_raises_leaves_a_run_that_can_be_evaluated_again(
    external: Path, cli, tmp_path: Path
) -> None:
    result = cli(
        "run", "misbehaving", "--model.how", "evaluate", "--model.at", 30, "--run.until", 27, "--run.folder", tmp_path
    )
    run = only_run(tmp_path)
    assert_sentence(result, f" -m experiments resume {run}")  # by whatever interpreter this is
    assert "training is done and saved, and this evaluates it again: " in result[2]
    assert checkpoint.numbered(run)[0].name == f"{27:012d}" and status(run).startswith("failed: ")
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("how: evaluate", "how: not"))
    code, _, err = cli("resume", run)
    assert code == 0, err
    assert json.loads((run / "results.json").read_text())["clock"]["value"] == 27 and status(run) == "finished"


def test_an_evaluation_that_ends_the_process_loses_no_step(external: Path, cli, launch, tmp_path: Path) -> None:
    """Killed in its evaluation after 15 updates, without a checkpoint due since 0; the resumed run makes it up."""
    flags = ("--run.eval-every", 15, "--run.save-every", 0, "--run.until", 20, "--run.folder", tmp_path / "r")
    process = launch("run", "misbehaving", "--model.how", "vanish", "--model.at", 15, *flags, path=external)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 7, err
    run = only_run(tmp_path / "r")
    assert [path.name for path in checkpoint.numbered(run)] == [f"{15:012d}", f"{0:012d}"]
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("how: vanish", "how: not"))
    code, _, err = cli("resume", run)
    assert code == 0, err
    assert [step for step, _ in read_scalars(run)["eval/score"]] == [15, 20]


def test_a_save_that_falls_due_with_an_evaluation_comes_before_it(external: Path, cli, tmp_path: Path) -> None:
    """Once, not before and after; only the end of a run is saved again, with its evaluation."""
    every = ("--run.eval-every", 5, "--run.save-every", 5, "--run.until", 10, "--run.folder", tmp_path)
    assert cli("run", "misbehaving", *every)[0] == 0
    found = checkpoint.numbered(only_run(tmp_path))
    assert [path.name for path in found] == [f"{10:012d}.001", f"{10:012d}", f"{5:012d}"]
    loops = [json.loads((path / "tree.json").read_text())["tree"]["loop"] for path in found]
    assert [loop["owes"] for loop in loops] == [False, True, True]
    assert [loop["last"] and loop["last"]["clock"] for loop in loops] == [10, 5, None]


def test_a_film_that_cannot_be_encoded_is_left_out_with_a_word(external: Path, cli, tmp_path: Path) -> None:
    code, out, err = cli("run", "misbehaving", "--model.how", "film", "--run.until", 5, "--run.folder", tmp_path)
    assert code == 0, err
    assert "warning: video/x of shape [3, 8, 8, 5] is left out" in out and status(only_run(tmp_path)) == "finished"


@pytest.mark.parametrize("draws", [np.zeros((30, 40, 5), np.uint8), np.zeros((2, 30, 40, 3), np.uint8), {"rgb": 1}])
def test_an_environment_that_draws_no_pictures(draws: Any, strange: tuple, cli, tmp_path: Path) -> None:
    Strange.draws = draws
    code, _, err = cli("run", "policy-gradient", *strange, "--run.folder", tmp_path)
    assert code == 0, err
    run = only_run(tmp_path)
    protocol = json.loads((run / "results.json").read_text())["evaluation"]["eval/protocol"]
    assert "; no film, since " in protocol
    code, out, err = cli("play", run)
    assert code == 0 and "no film: " in out and not (run / "play.gif").exists(), err


# --- whatever strangers raise -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "says"),
    [
        ("exit", "plugin 'misbehaving' raised SystemExit: it asked to end the process with exit code 0 (traceback in "),
        ("interrupt", "plugin 'misbehaving' raised KeyboardInterrupt: it says nothing more (traceback in "),
        ("construct", "plugin 'misbehaving' raised ConnectionError: nobody answers (traceback in "),
    ],
)
def test_a_plugin_that_wants_to_leave(external: Path, cli, tmp_path: Path, how: str, says: str) -> None:
    assert_sentence(cli("run", "misbehaving", "--model.how", how, "--run.folder", tmp_path), says)
    run = only_run(tmp_path)
    assert status(run).startswith("failed: plugin 'misbehaving' raised ")
    assert "misbehaving.py" in (run / "traceback.txt").read_text()


def test_a_plugin_that_cannot_be_closed(external: Path, cli, tmp_path: Path) -> None:
    code, out, err = cli("run", "misbehaving", "--model.how", "close", "--run.until", 5, "--run.folder", tmp_path)
    assert code == 0, err
    assert "warning: plugin 'misbehaving' could not be closed: ConnectionResetError: gone" in out
    assert status(only_run(tmp_path)) == "finished"
    code, out, _ = cli("sample", only_run(tmp_path), "--n", 1)
    assert code == 0 and "could not be closed" in out


def test_sample_of_a_plugin_that_leaves(external: Path, cli, tmp_path: Path) -> None:
    assert cli("run", "misbehaving", "--model.how", "sample", "--run.until", 5, "--run.folder", tmp_path)[0] == 0
    run = only_run(tmp_path)
    assert_sentence(cli("sample", run), "plugin 'misbehaving' raised SystemExit: no more pictures (traceback in ")
    assert "sys.exit" in (run / "traceback-sample.txt").read_text()


@pytest.mark.parametrize(
    ("method", "raised", "says"),
    [
        ("made", OSError("no port"), "environment 'own/Strange-v0' raised OSError when it was made: no port"),
        ("reset", SystemExit(3), "raised SystemExit in reset(): it asked to end the process with exit code 3"),
        ("step", SystemExit("closed"), "raised SystemExit in step 1 of an episode: closed"),
        ("step", KeyboardInterrupt(), "raised KeyboardInterrupt"),
        ("step", UsageError("env.map is 'x'; choose from a, b"), "env.map is 'x'; choose from a, b"),
    ],
)
def test_an_environment_that_raises(
    method: str, raised: BaseException, says: str, strange: tuple, cli, tmp_path: Path
) -> None:
    Strange.raises = {method: raised}
    assert_sentence(cli("run", "policy-gradient", *strange, "--run.folder", tmp_path), says)
    run = only_run(tmp_path)
    assert status(run).startswith("failed: ")
    assert "test_strangers.py" in (run / "traceback.txt").read_text()


@pytest.mark.parametrize("method", ["made", "step", "render"])
def test_play_and_export_of_an_environment_that_raises(method: str, strange: tuple, cli, tmp_path: Path) -> None:
    assert cli("run", "policy-gradient", *strange, "--run.folder", tmp_path / "r")[0] == 0
    run = only_run(tmp_path / "r")
    Strange.raises = {method: ConnectionError("\n\n  does not answer")}
    if method == "render":
        code, out, _ = cli("play", run)
        assert code == 0 and "no film: drawing raised ConnectionError: does not answer" in out
        return
    assert_sentence(cli("play", run), "'own/Strange-v0' raised ConnectionError")
    exported = cli("export", run, "-o", tmp_path / "x")
    assert exported[0] == (2 if method == "made" else 0) and "Traceback" not in exported[2]


def test_closing_that_fails_costs_a_warning(strange: tuple, cli, tmp_path: Path) -> None:
    Strange.raises = {"close": SystemExit()}
    code, _, err = cli("run", "policy-gradient", *strange, "--run.folder", tmp_path)
    assert code == 0 and status(only_run(tmp_path)) == "finished"
    assert err.count("warning: environment 'own/Strange-v0' raised SystemExit in close()") <= 1


@pytest.mark.parametrize("raised", [SystemExit(), RuntimeError("broken")])
def test_threads_of_a3c(raised: BaseException, strange: tuple, cli, tmp_path: Path) -> None:
    Strange.raises = {"step": raised}
    flags = (
        "--agent.backend",
        "threads",
        "--agent.workers",
        2,
        "--agent.env.id",
        "own/Strange-v0",
        "--run.folder",
        tmp_path,
    )
    assert_sentence(cli("run", "a3c", *flags), f"environment 'own/Strange-v0' raised {type(raised).__name__} in step")


def test_a_folder_that_changes_on_the_way(external: Path, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("run", "misbehaving", "--model.how", "chdir", "--run.until", 12, "--run.folder", "my runs")
    assert code == 0, err
    run = only_run(tmp_path / "my runs")
    assert status(run) == "finished" and (run / "results.json").is_file()
    lines = {
        line.split()[0]: shlex.split(line) for line in out.splitlines() if line.startswith(("go on", "TensorBoard"))
    }
    again, board = lines["go"], lines["TensorBoard"]
    monkeypatch.chdir(tmp_path)
    assert board[board.index("--logdir") + 1] == "my runs"
    given = again[again.index("resume") + 1]
    assert given == str(run.relative_to(tmp_path))
    assert cli("resume", given, *again[again.index("resume") + 2 :])[0] == 0
    for verb, target in (("sample", "picture.png"),):
        monkeypatch.chdir(tmp_path)
        code, out, err = cli(verb, given, "--out", target)
        assert code == 0 and out.endswith(f"{target}\n") and (tmp_path / target).is_file(), err


def test_the_command_finds_modules_of_the_current_folder(launch_afresh, tmp_path: Path) -> None:
    """As `pongan` it begins with the folder of the script on its path, with `python -m` in the current one."""
    (tmp_path / "only_here.py").write_text("raise RuntimeError('found')\n")
    start = "from experiments.__main__ import main; sys.exit(main())"
    code = "import sys; sys.path[0] = '/usr/bin'; sys.argv[1:] = {argv!r}\n" + start
    argv = ["run", "policy-gradient", "--agent.env.id", "only_here:X-v0", "--run.folder", "r"]
    for process in (Fork(code=code.format(argv=argv), cwd=tmp_path), launch_afresh(*argv, cwd=tmp_path, path=ROOT)):
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2 and "raised RuntimeError when it was imported: found" in err


def test_a_module_that_leaves_when_it_is_imported_is_listed_as_broken(
    external: Path, cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    from experiments.launcher.catalogue import catalogue

    (external / "pongan_extra" / "broken.py").write_text("import sys\nsys.exit('no licence')\n")
    catalogue.cache_clear()
    code, out, err = cli("list")
    assert code == 0 and "SystemExit: no licence" in out, err
