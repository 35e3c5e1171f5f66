"""The zoo: every entry that comes along acts or draws, nothing is written into one, and own entries are made of runs."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from core import checkpoint, zoo
from core.errors import UsageError
from core.plugin import Agent, Draws
from experiments import load
from experiments.launcher.evaluation import measure
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.folder import RunFolder
from experiments.launcher.restore import acting, restored
from experiments.verbs.zoo import card_of, retraining, score_of, size_of
from tests.conftest import ROOT, only_run

OURS = sorted(card.parent.name for card in zoo.OURS.glob(f"*/{zoo.CARD}"))
CATCH = "--agent.env.id pongan/Catch-v0 --agent.games 2 --agent.batch-episodes 2 --agent.hidden 5 --eval.episodes 3"
DIGITS = "--model.data.source digits --model.data.size 16 --model.width 2 --model.batch 4 --model.eval-samples 20 --model.ema 0.9"


def contents(folder: Path) -> dict[str, tuple[int, int]]:
    """Return (size, time of the last change) of every file and folder below a folder."""
    return {str(p.relative_to(folder)): (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*")}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run of an agent and one of a generator."""
    from experiments.__main__ import main

    found = {}
    for name, small, until in (("policy-gradient", CATCH, 60), ("dcgan", DIGITS, 2)):
        root = tmp_path_factory.mktemp(name)
        argv = ["run", name, *small.split(), "--run.until", str(until), "--run.folder", str(root)]
        assert main(argv) == 0
        found[name] = only_run(root)
    return found


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A zoo of one's own, and another current folder, in which nothing is yet."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv(zoo.VARIABLE, str(tmp_path / "zoo"))
    return tmp_path / "zoo"


# --- what comes along -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", OURS)
def test_every_entry_acts_or_draws_and_stays_as_it_is(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, run = zoo.OURS / name, StoredRun.of([f"zoo:{name}"])
    before = contents(folder)
    if run.spec.kind == "agent":
        from envs import make

        agent, which = acting(run)
        env = make(agent.environment, 1, seed=0)
        actions, _ = agent.act(env.reset(), agent.memory(1), np.random.default_rng(0), greedy=False)
        assert np.isfinite(env.step(actions).reward).all()
        env.close()
        agent.close()
    else:
        model, which = restored(run)
        assert isinstance(model, Draws)
        picture = np.asarray(model.sample(1, seed=1))[0]
        assert picture.dtype == np.uint8 and picture.std() > 5
        model.close()
    assert contents(folder) == before and not list(tmp_path.iterdir())
    assert [p.name for p in folder.glob("checkpoints/*")] == [which.split()[-1]]


def test_cards_are_whole_and_name_nothing_of_the_machine_that_trained() -> None:
    assert {"pong", "cartpole"} <= {*OURS}
    assert sum(size_of(zoo.OURS / name) for name in OURS) < 25e6
    for name in OURS:
        folder = zoo.OURS / name
        card, results, meta = card_of(folder), RunFolder.results(folder), RunFolder.meta(folder)
        assert card["licence"] != "not stated" and results["evaluation"]["eval/protocol"] and meta["versions"], name
        assert re.fullmatch(r"[\w ]+ [\d.+ -]+", score_of(folder)), name
        texts = [p.read_text() for p in folder.rglob("*") if p.suffix in (".yaml", ".json", ".txt")]
        assert not re.search(r"/tmp|/work|/home|/root", " ".join(texts)), name
        words = shlex.split(card["command"])
        again = Experiment.of(words[3:])
        stored = StoredRun.of([str(folder)]).experiment
        assert words[:3] == ["python", "-m", "experiments.run"] and again.config == stored.config, name
        assert again.settings.seed == results["seed"] == stored.settings.seed, name
        assert shlex.split(card["try"])[0] == "pongan" and f"zoo:{name}" in card["try"], name
        assert (folder / "film.gif").is_file() or (folder / "samples.png").is_file(), name


def test_the_page_shows_every_entry_with_its_score() -> None:
    rows = re.findall(
        r"^\| `zoo:([a-z-]+)` \| (.*) \| (.*) \| ([\d.]+) \| `(.*)` \|$", (ROOT / "docs" / "zoo.md").read_text(), re.M
    )
    folders = {name: zoo.OURS / name for name in OURS}
    assert sorted(rows) == [
        (name, card_of(folder)["what"], score_of(folder), f"{size_of(folder) / 1e6:.2f}", card_of(folder)["try"])
        for name, folder in folders.items()
    ]


def test_the_wheel_takes_every_file_of_an_entry() -> None:
    import tomllib

    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["experiments"]
    package = ROOT / "experiments"
    packed = {path for pattern in patterns for path in package.glob(pattern) if path.is_file()}
    assert {path for name in OURS for path in (zoo.OURS / name).rglob("*") if path.is_file()} <= packed


@pytest.mark.slow
@pytest.mark.parametrize("name", OURS)
def test_the_score_on_the_card_is_what_is_measured(name: str) -> None:
    """Within three standard errors of a mean of returns, or a twentieth of another number: rounding changes games."""
    run, results = StoredRun.of([f"zoo:{name}"]), RunFolder.results(zoo.OURS / name)
    plugin, _ = restored(run)
    with plugin:
        found = measure(plugin, run.experiment.evaluation, run.settings.seed, last=True)
    tag, stated = results["headline"]["tag"], results["evaluation"]
    slack = 0.05 * abs(stated[tag])
    if "eval/return_std" in stated:
        slack = 3 * stated["eval/return_std"] / len(stated["eval/returns"]) ** 0.5 + 1e-6
    assert abs(found[tag] - stated[tag]) <= slack


SHORT = """
import sys
import numpy as np
import agents.rl.evaluate
from experiments.__main__ import main

def play_a_little(agent, episodes, seed, **others):
    from envs import make
    env, rng = make(agent.environment, 2, seed=0), np.random.default_rng(0)
    obs = env.reset()
    for _ in range(30):
        obs = env.step(agent.act(obs, (), rng, greedy=False)[0]).obs
    return {"eval/protocol": "thirty steps"}

agents.rl.evaluate.evaluate = play_a_little
assert main(["play", "zoo:pong", "--render", "none"]) == 0
print([m for m in ("tensorflow", "keras") if m in sys.modules])
"""
WHOLE = """
import sys
from experiments.__main__ import main
assert main(["play", "zoo:pong"]) == 0
print([m for m in ("tensorflow", "keras") if m in sys.modules])
"""


@pytest.mark.parametrize("code", [SHORT, pytest.param(WHOLE, marks=pytest.mark.slow)])
def test_pong_is_played_without_tensorflow(code: str, tmp_path: Path) -> None:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr
    assert "thirty steps" in done.stdout or int(re.findall(r"^episode 1: return (-?\d+)$", done.stdout, re.M)[0]) >= 15


def test_the_list_and_the_cards_need_no_tensorflow(tmp_path: Path) -> None:
    code = (
        "import sys; from experiments.__main__ import main\n"
        "assert main(['zoo']) == 0 and main(['zoo', 'pong']) == 0\n"
        "print([m for m in ('tensorflow', 'keras', 'gymnasium') if m in sys.modules])"
    )
    env = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "160"}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.splitlines()[-1] == "[]", done.stderr
    for name in OURS:
        assert re.search(rf"^{name} .*zoo:{name}", done.stdout, re.MULTILINE), name
    assert re.search(r"^trained by +python -m experiments.run pong-pg-fast", done.stdout, re.MULTILINE)


# --- own entries ------------------------------------------------------------------------------------------------------------


def test_an_entry_of_an_agent_plays_as_its_run(cli, own: Path, trained: dict[str, Path]) -> None:
    run = trained["policy-gradient"]
    code, out, err = cli("zoo", "add", run, "--name", "catch", "--licence", "MIT", "--episodes", 5)
    assert code == 0 and "zoo:catch: return" in out, err
    entry, card = own / "catch", card_of(own / "catch")
    assert card["licence"] == "MIT" and card["try"] == "pongan play zoo:catch"
    results = RunFolder.results(entry)
    assert len(results["evaluation"]["eval/returns"]) == 5
    assert sorted(p.name for p in entry.iterdir()) == sorted(
        ["card.yaml", "checkpoints", "config.yaml", "files", "film.gif", "meta.json", "results.json"]
    )
    before = contents(entry)
    flags = ["--episodes", "4", "--seed", "3"]
    code, played, err = cli("play", "zoo:catch", *flags)
    assert code == 0, err
    assert Path("catch-play.gif").read_bytes()[:4] == b"GIF8" and contents(entry) == before
    assert re.findall("episode.*", played) == re.findall("episode.*", cli("play", run, *flags, "--render", "none")[1])
    assert (
        load("zoo:catch").play(episodes=4, seed=3)["eval/returns"] == load(run).play(episodes=4, seed=3)["eval/returns"]
    )
    assert len(load("zoo:catch").play()["eval/returns"]) == 1 and len(load(run).play()["eval/returns"]) == 3
    code, out, _ = cli("zoo", "catch")
    assert code == 0 and "policy-gradient --agent.env.id pongan/Catch-v0" in out and "5 whole episodes" in out
    assert re.search(r"^catch ", cli("zoo")[1], re.MULTILINE)


def test_an_entry_of_a_generator_goes_without_what_only_learning_needs(
    cli, own: Path, trained: dict[str, Path]
) -> None:
    run = trained["dcgan"]
    code, _, err = cli("zoo", "add", run, "--name", "numbers")
    assert code == 0, err
    entry = own / "numbers"
    kept, whole = (checkpoint.read_weights(checkpoint.best(f)) for f in (entry, run))  # type: ignore[arg-type]
    assert {*kept} == {"plugin.game.average"} and {"plugin.game.G", "plugin.game.D"} < {*whole}
    for mine, its in zip(kept["plugin.game.average"], whole["plugin.game.average"], strict=True):
        np.testing.assert_array_equal(mine, its)
    before = contents(entry)
    assert cli("sample", "zoo:numbers", "--n", 4)[0] == 0 and Path("numbers-samples.png").is_file()
    assert cli("sample", run, "--n", 4, "--out", "its.png")[0] == 0
    assert Path("numbers-samples.png").read_bytes() == Path("its.png").read_bytes()
    np.testing.assert_array_equal(load("zoo:numbers").sample(3, 1), load(run).sample(3, 1))
    assert contents(entry) == before
    code, out, err = cli("score", "zoo:numbers", "digits", "--n", 20, "--size", 16)
    assert code == 0 and "dcgan on digits" in out, err


def test_a_fork_of_an_entry_begins_with_its_weights(cli, own: Path, trained: dict[str, Path]) -> None:
    assert cli("zoo", "add", trained["policy-gradient"], "--name", "catch")[0] == 0
    before = contents(own)
    words = ("--run.until", 20, "--run.save-every", 20, "--run.folder", "runs")
    code, out, err = cli("fork", "zoo:catch", *words)
    assert code == 0 and contents(own) == before, err
    fork = only_run(Path("runs"))
    theirs = checkpoint.read_weights(checkpoint.best(own / "catch"))  # type: ignore[arg-type]
    oldest, newest = (checkpoint.read_weights(checkpoint.numbered(fork)[place]) for place in (-1, 0))
    assert checkpoint.clock_of(checkpoint.numbered(fork)[-1]) == 0 and {*theirs} <= {*oldest}
    for name, arrays in theirs.items():
        for mine, its in zip(oldest[name], arrays, strict=True):
            np.testing.assert_array_equal(mine, its)
    assert any((mine != its).any() for name in theirs for mine, its in zip(newest[name], theirs[name], strict=True))
    forked = RunFolder.meta(fork)["forked"]
    assert (forked["run"], forked["clock"], forked["seed"]) == ("zoo:catch", 0, 1)
    code, out, err = cli("reproduce", fork)
    assert code == 0 and "reproduced: equal to the last bit" in out, err
    code, _, err = cli("fork", "zoo:catch", *words, "--agent.hidden", 6)
    assert code == 2 and "zoo:catch does not have all weights that this run needs: " in err


def test_a_fork_of_an_entry_that_only_draws_is_refused(cli, own: Path, trained: dict[str, Path]) -> None:
    assert cli("zoo", "add", trained["dcgan"], "--name", "numbers")[0] == 0
    code, _, err = cli("fork", "zoo:numbers", "--run.folder", "runs")
    assert code == 2 and "zoo:numbers does not have all weights that this run needs: " in " ".join(err.split())


def test_a_plugin_may_write_into_its_scratch_folder_and_what_it_raises_lies_here(
    cli, own: Path, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    from generative.dcgan.model import DCGAN

    assert cli("zoo", "add", trained["dcgan"], "--name", "numbers")[0] == 0
    before, scratch = contents(own / "numbers"), []

    def fail(self: Any, n: int, seed: int = 0) -> None:
        scratch.append(self.folder)
        (self.folder / "of-its-own").write_text("")
        raise ZeroDivisionError("of its own")

    begin = DCGAN.__init__

    def remember(self: Any, config: Any, context: Any) -> None:
        begin(self, config, context)
        self.folder = context.folder

    monkeypatch.setattr(DCGAN, "__init__", remember)
    monkeypatch.setattr(DCGAN, "sample", fail)
    code, _, err = cli("sample", "zoo:numbers")
    assert code == 2 and "raised ZeroDivisionError" in err
    assert [p.name for p in Path().iterdir()] == ["traceback-sample.txt"] and contents(own / "numbers") == before
    assert not scratch[0].is_relative_to(own)


def test_zoos_of_packages_are_found_and_ours_are_not_replaced(
    cli, own: Path, trained: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "menagerie"
    assert cli("zoo", "add", trained["policy-gradient"], "--folder", package, "--name", "lion")[0] == 0
    (package / "__init__.py").write_text("raise RuntimeError('it is not imported')\n")
    info = tmp_path / "site" / "menagerie-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: menagerie\nVersion: 0.1\n")
    (info / "entry_points.txt").write_text("[pongan.zoos]\nm = menagerie\nlost = menagerie_of_nobody\n")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    assert zoo.located("zoo:lion") == package / "lion"
    (package / "lion").rename(package / "pong")
    assert zoo.located("zoo:pong") == zoo.OURS / "pong" and "lion" not in zoo.entries()


def test_the_command_on_a_card_trains_with_the_same_settings() -> None:
    words = ["actor-critic", "--agent.hidden", "32", "16", "--agent.optimizer.lr", "0.02", "--agent.env.no-masks"]
    asked = Experiment.of([*words, "--run.seed", "4", "--run.tag", "mine"])
    command = shlex.split(retraining(asked))
    again = Experiment.of(command[3:])
    assert again.config == asked.config and again.settings.seed == 4 and "mine" not in command
    assert len(command) == 3 + 1 + 3 + 2 + 1 + 2


# --- what is refused --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("play zoo:pnog", "there is no 'zoo:pnog' in the zoo; did you mean 'zoo:pong'?"),
        ("score zoo:pnog digits", "there is no 'zoo:pnog' in the zoo; did you mean 'zoo:pong'?"),
        ("upscale zoo:pnog a.png -o b.png", "there is no 'zoo:pnog' in the zoo; did you mean 'zoo:pong'?"),
        ("upscale zoo:pong a.png -o b.png", "holds a run of 'policy-gradient'; upscale needs one of 'srgan'"),
        ("sample zoo:pong", "zoo:pong holds 'policy-gradient', which is agent; use `play`"),
        ("zoo pnog", "there is no entry 'pnog' in the zoo; did you mean 'pong'?"),
        ("zoo pong cartpole", "one entry at a time; 'pong cartpole' names 2"),
        ("zoo pong --name other", "--name is for an entry to make: pongan zoo add RUN"),
        ("zoo add", "usage: pongan zoo add RUN"),
        ("zoo add zoo:pong", "zoo:pong is in the zoo already; name a run of yours"),
        ("zoo add nowhere", "there is no run folder 'nowhere'"),
        ("resume zoo:pong", "zoo:pong is of the zoo, which is read only"),
        ("reproduce zoo:pong", "zoo:pong is of the zoo, which is read only"),
        (
            "fork zoo:pong --at 9 --agent.gamma 0.9",
            "--at is 9; zoo:pong has no more than weights, with which a fork begins at",
        ),
        ("diff zoo:pong zoo:pnog", "there is no 'zoo:pnog' in the zoo; did you mean 'zoo:pong'?"),
        ("resume zoo:pong --run.until 9", "train it anew: python -m experiments.run pong-pg-fast"),
    ],
)
def test_what_makes_no_sense_gets_a_sentence(cli, own: Path, words: str, sentence: str) -> None:
    code, _, err = cli(*words.split())
    assert code == 2 and sentence in " ".join(err.split()) and not own.exists()


def test_from_python_too() -> None:
    with pytest.raises(UsageError, match="did you mean 'zoo:pong'"):
        load("zoo:pongg")
    with pytest.raises(UsageError, match="read only"):
        load("zoo:pong").resume()
    assert load("zoo:pong").status == "finished" and load("zoo:pong").results["experiment"] == "policy-gradient"


def test_entries_that_cannot_be_made(cli, own: Path, trained: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    run = trained["policy-gradient"]
    for flags, sentence in (
        (["--name", "My Pong"], "--name is 'My Pong'; use small letters, digits and single hyphens"),
        (["--name", "pong"], f"the name 'pong' is taken by {zoo.OURS / 'pong'}"),
        (["--episodes", "-1"], "--episodes is -1; it must be 0 or more"),
    ):
        code, _, err = cli("zoo", "add", run, *flags)
        assert code == 2 and sentence in " ".join(err.split()), flags
    Path("a-file").write_text("")
    code, _, err = cli("zoo", "add", run, "--folder", "a-file")
    assert code == 2 and "a-file/policy-gradient' cannot be written: Not a directory" in " ".join(err.split())
    monkeypatch.delenv(zoo.VARIABLE)
    code, _, err = cli("zoo", "add", run)
    assert code == 2 and "name a --folder, or set PONGAN_ZOO" in err and not own.exists()


def test_a_broken_card_is_listed_as_such(cli, own: Path, trained: dict[str, Path]) -> None:
    for name in ("early", "late"):
        assert cli("zoo", "add", trained["policy-gradient"], "--name", name)[0] == 0
    card = yaml.safe_load((own / "early" / "card.yaml").read_text())
    del card["licence"]
    (own / "early" / "card.yaml").write_text(yaml.safe_dump(card))
    (own / "late" / "results.json").write_text(json.dumps({"headline": {"tag": "eval/return_mean"}}))
    code, out, _ = cli("zoo")
    assert code == 0 and "broken: early" in out and "does not say licence" in out
    assert (
        "broken: late" in out
        and "has no seed, clock, evaluation" in " ".join(out.split())
        and re.search("^pong ", out, re.MULTILINE)
    )


def test_damaged_weights_are_refused(cli, own: Path, trained: dict[str, Path]) -> None:
    assert cli("zoo", "add", trained["policy-gradient"], "--name", "catch")[0] == 0
    (arrays,) = own.glob("catch/checkpoints/*/arrays.npz")
    arrays.write_bytes(arrays.read_bytes()[:-1] + b"x")
    code, _, err = cli("play", "zoo:catch")
    assert code == 2 and "arrays.npz does not match its checksum" in " ".join(err.split())


def test_flags_of_the_agent_ask_for_the_whole_plugin(own: Path, cli, trained: dict[str, Path]) -> None:
    assert cli("zoo", "add", trained["policy-gradient"], "--name", "catch")[0] == 0
    alone, _ = acting(StoredRun.of(["zoo:catch", "--run.device", "cpu"]))
    assert not isinstance(alone, Agent)
    whole, _ = acting(StoredRun.of(["zoo:catch", "--agent.turn", "3"]))
    assert isinstance(whole, Agent)
    whole.close()
