"""A package of somebody else's is found, trained, resumed and shown with no edit to this repository."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars
from experiments.testing import check_contract
from tests.conftest import only_run
from tests.events import read


@pytest.mark.parametrize("name", ["tabular-q", "pixel-gaussian", "least-squares-gan"])
def test_its_plugins_keep_the_contract(external: Path, name: str, tmp_path: Path) -> None:
    check_contract(catalogue().plugins[name], tmp_path)


def test_list_shows_it_and_names_what_is_broken(external: Path, cli) -> None:
    code, out, _ = cli("list")
    assert code == 0
    for line in ("tabular-q", "tabular-q-quick", "pixel-gaussian", "policy-gradient", "pong-pg-fast"):
        assert line in out
    assert "broken: broken (package pongan-extra): RuntimeError: this plugin cannot even be imported" in out
    assert (
        "broken: duplicate (package pongan-extra): plugin name 'policy-gradient'" in out
        and "already taken by agents." in out
    )


def test_an_agent_trains_resumes_and_plays(external: Path, cli, tmp_path: Path) -> None:
    code, out, err = cli("run", "tabular_q_quick", "--run.folder", tmp_path / "runs", "--agent.lr", 0.5)
    assert code == 0, err
    run = only_run(tmp_path / "runs")
    assert run.parts[-3:-1] == ("tabular-q-quick", "FrozenLake-v1")
    assert "benchmark" not in (run / "config.yaml").read_text()  # which the preset's file has
    results = json.loads((run / "results.json").read_text())
    assert results["clock"] == {"value": 200, "unit": "environment steps"}
    assert "10 whole episodes, sampled actions" in results["evaluation"]["eval/protocol"]
    assert results["evaluation"]["eval/states_seen"] >= 0
    code, _, err = cli("resume", run, "--run.until", 400)
    assert code == 0, err
    assert [step for step, _ in read_scalars(run)["rollout/reward"]] == [100, 200, 300, 400]
    code, out, _ = cli("play", run)
    assert code == 0 and out.count("episode ") == 10 and f"film: {run / 'play.gif'}" in out
    code, again, _ = cli("play", run, "--seed", 7, "--render", "none", "--episodes", 3)
    assert code == 0 and again.count("episode ") == 3 and "film" not in again
    assert cli("play", run, "--render", "none", "--seed", 7, "--episodes", 3)[1] == again
    code, _, err = cli("play", run, "--render", "human")
    assert code == 2 and "no window can be opened" in err


def test_a_generative_model_trains_and_draws(external: Path, cli, tmp_path: Path) -> None:
    code, _, err = cli("run", "pixel-gaussian", "--model.batch", 16, "--run.folder", tmp_path / "runs")
    assert code == 0, err
    run = only_run(tmp_path / "runs")
    images = read(run).Tensors("samples/fixed")
    assert [event.step for event in images] == [30, 60]
    assert images[0].tensor_proto.string_val[0] == b"32"  # a 4x4 grid of 8x8
    code, _, _ = cli("sample", run, "--n", 9, "--out", tmp_path / "grid.png")
    assert code == 0
    picture = np.asarray(Image.open(tmp_path / "grid.png"))
    assert picture.shape == (24, 24) and picture.std() > 20


def test_its_verbs_are_found_by_plugin_and_by_entry_point(external: Path, cli, tmp_path: Path) -> None:
    assert cli("run", "tabular-q-quick", "--run.folder", tmp_path / "r")[0] == 0
    run = only_run(tmp_path / "r")
    code, out, err = cli("greedy-table", run, "--states", 4)
    assert code == 0 and re.fullmatch(r"greedy-table( [0-3]){4}\n", out), err
    code, _, err = cli("greedy-table", run, "--state", 4)
    assert code == 2 and "no flag '--state'; did you mean '--states'" in err
    code, out, _ = cli("last-words", "--loud", "good", "bye")
    assert code == 0 and out == "GOOD BYE\n"
    code, out, _ = cli("--help")
    assert code == 0 and "The greedy action of every state of a run of tabular-q. (tabular-q)" in out
    assert "last-words  Say something. (package pongan-extra)" in out and "silent      a verb of package" in out
    code, _, err = cli("silent")
    assert code == 2 and "the verb 'silent' of package pongan-extra is there but broken: ModuleNotFoundError" in err


RING = "--model.data.source ring --model.latent 2 --model.batch 256 --model.layers 3 --model.ema 0.995 --model.eval-samples 2500"
RING += " --model.r1 3e-3 --model.optimizer.lr 1e-3 --model.optimizer.beta1 0 --model.optimizer.beta2 0.99"
RING += " --model.turn 50 --model.jit --run.until 5000 --run.eval-every 0 --run.save-every 0"


def test_a_gan_takes_two_short_files(external: Path) -> None:
    files = [external / "pongan_extra" / name for name in ("lsgan_config.py", "lsgan.py")]
    assert sum(len(file.read_text().splitlines()) for file in files) <= 100


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_such_a_gan_finds_all_eight_modes(external: Path, cli, tmp_path: Path, seed: int) -> None:
    flags = ("--run.seed", seed, "--run.folder", tmp_path / "runs")
    code, _, err = cli("run", "least-squares-gan", *RING.split(), *flags)
    assert code == 0, err
    measured = json.loads((only_run(tmp_path / "runs") / "results.json").read_text())["evaluation"]
    assert measured["eval/modes"] == 8 and measured["eval/high_quality"] > 0.7 and measured["eval/reverse_kl"] < 0.3


def test_unknown_tags_warn(external: Path, cli, tmp_path: Path) -> None:
    code, out, _ = cli("run", "misbehaving", "--model.how", "tag", "--run.until", 5, "--run.folder", tmp_path)
    assert code == 0 and out.count("the tag 'weird' is not in the glossary") == 1
