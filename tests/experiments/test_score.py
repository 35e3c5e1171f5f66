"""The verb `score`: every kind of set, classes, JSON, and what cannot be compared."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from core.metrics.distances import Gaussian, density_coverage, frechet_distance, precision_recall
from core.metrics.feature_sets import distances_between, inception_scores
from core.metrics.features import Extractor
from experiments.verbs.score import Flags, score
from generative.data.settings import DataConfig
from generative.data.sources import open_data
from tests.conftest import ROOT, only_run

SIDE = 8


def images(seed: int, n: int, side: int = SIDE) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, side, side, 3), np.uint8)


def fill(folder: Path, pictures: np.ndarray) -> Path:
    folder.mkdir(parents=True)
    for i, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{i:03d}.png")
    return folder


@pytest.fixture
def pooled(tmp_path: Path) -> str:
    """An extractor whose features are known: means [N, 4 * 3] of the four quarters, as numbers in [0, 1]."""
    path = tmp_path / "pooled.keras"
    keras.Sequential([keras.Input((SIDE, SIDE, 3)), keras.layers.AveragePooling2D(SIDE // 2)]).save(path)
    return str(path)


def quarters(pictures: np.ndarray) -> np.ndarray:
    n, half = len(pictures), SIDE // 2
    return pictures.reshape(n, 2, half, 2, half, 3).mean(axis=(2, 4)).reshape(n, 12) / 255


def measured(a: object, b: object, **more: Any) -> dict[str, Any]:
    return score(Flags(str(a), str(b), **more))


# --- the numbers ----------------------------------------------------------------------------------------------------------


def test_a_folder_against_an_npz_file(tmp_path: Path, pooled: str) -> None:
    x, y = images(0, 40), images(1, 50)
    a = fill(tmp_path / "a", x)
    np.savez(tmp_path / "b.npz", images=y)
    found = measured(a, tmp_path / "b.npz", extractor=pooled)
    fake, real = quarters(x), quarters(y)
    assert found["pictures"] == {"a": 40, "b": 50} and not found["classes"]
    assert found["frechet"] == pytest.approx(frechet_distance(Gaussian.of(real), Gaussian.of(fake)), rel=1e-3)
    assert (found["precision"], found["recall"]) == pytest.approx(precision_recall(real, fake))
    assert (found["density"], found["coverage"]) == pytest.approx(density_coverage(real, fake))
    assert found["frechet_infinity"] < found["frechet"], "the bias is above 0"
    assert "inception_score" not in found, "this model is no classifier"
    assert "40 pictures A (the folder 'a') against 50 pictures B (the file 'b.npz') of 8x8" in found["protocol"]
    assert "pooled.keras, sha256" in found["protocol"] and "bilinear antialiased" in found["protocol"]
    assert found == measured(a, tmp_path / "b.npz", extractor=pooled), "always the same"
    swapped = measured(tmp_path / "b.npz", a, extractor=pooled)
    assert (swapped["precision"], swapped["recall"]) == (found["recall"], found["precision"])


def test_measures_of_feature_sets() -> None:
    rng = np.random.default_rng(0)
    fake, real = rng.normal(size=(300, 4)), rng.normal(size=(400, 4))
    ticks: list[int] = []
    found = distances_between(fake, real, tick=lambda: ticks.append(1))
    assert abs(found["frechet_infinity"] or 9) < (found["frechet"] or 0) and len(ticks) == 18
    few = distances_between(fake[:9], real)
    assert few["frechet_infinity"] is None and few["coverage"] is not None, "9 < 2 (4 + 1)"
    logits = np.log(np.array([[0.75, 0.25], [0.25, 0.75]] * 50))
    scores = inception_scores(logits)
    assert scores["inception_score"] == pytest.approx(1.5**0.75 * 0.5**0.25)
    assert inception_scores(logits[:3]) == {
        "inception_score": pytest.approx(1.0, abs=0.2),
        "inception_score_infinity": None,
    }


def test_a_source_is_of_digits_and_has_classes(tmp_path: Path) -> None:
    """Half of MNIST's digits, with one class spoiled, against the source: that class is the farthest."""
    data = open_data(DataConfig("mnist5k"))
    x, labels = data.images[::10].copy(), data.labels[::10]
    x[labels == 3] = 255 - x[labels == 3]
    np.savez(tmp_path / "a.npz", images=x, labels=labels)
    found = measured(tmp_path / "a.npz", "mnist5k", n=500)
    assert "digit classifier" in found["protocol"] and found["pictures"] == {"a": 500, "b": 500}
    assert list(found["classes"]) == [str(i) for i in range(10)]
    assert found["classes"]["3"]["pictures"] == {"a": 50, "b": 50}
    distances = {name: values["frechet"] for name, values in found["classes"].items()}
    assert max(distances, key=distances.__getitem__) == "3" and distances["3"] > 5 * np.median([*distances.values()])
    assert 1 < found["inception_score"] < found["inception_score_b"] < 10
    features = Extractor()(x[labels == 3])
    real = Extractor()(data.rows_at(data.spread(500))[data.labels[data.spread(500)] == 3])
    assert distances["3"] == pytest.approx(frechet_distance(Gaussian.of(real), Gaussian.of(features)), rel=1e-3)


def test_folders_in_a_folder_are_classes(tmp_path: Path, pooled: str) -> None:
    for name, count in (("cats", 8), ("dogs", 9), ("few", 2)):
        fill(tmp_path / "a" / name, images(len(name), count))
    words = np.array(["birds"] * 7 + ["cats"] * 7 + ["dogs"] * 7)
    np.savez(tmp_path / "b.npz", images=images(9, 21), labels=words)
    said: list[str] = []
    found = score(Flags(str(tmp_path / "a"), str(tmp_path / "b.npz"), extractor=pooled), said.append)
    assert {name: values["pictures"] for name, values in found["classes"].items()} == {
        "cats": {"a": 8, "b": 7},
        "dogs": {"a": 9, "b": 7},
    }
    assert any("birds (0 in A, 7 in B), few (2 in A, 0 in B)" in line for line in said)
    assert not measured(tmp_path / "a", tmp_path / "a" / "cats", extractor=pooled)["classes"]


def test_sizes_are_brought_together_on_demand(tmp_path: Path, pooled: str) -> None:
    a, b = fill(tmp_path / "a", images(0, 8)), fill(tmp_path / "b", images(1, 8, 16))
    with pytest.raises(UsageError, match=r"A has pictures of 8x8 and B of 16x16.*--size 8"):
        measured(a, b, extractor=pooled)
    found = measured(a, b, extractor=pooled, size=8)
    assert "brought to 8x8 with Pillow's bicubic filter" in found["protocol"]
    small = np.stack(
        [np.asarray(Image.fromarray(x).resize((8, 8), Image.Resampling.BICUBIC)) for x in images(1, 8, 16)]
    )
    expected = frechet_distance(Gaussian.of(quarters(small)), Gaussian.of(quarters(images(0, 8))))
    assert found["frechet"] == pytest.approx(expected, rel=1e-3)
    Image.new("RGB", (8, 9)).save(a / "other.png")
    with pytest.raises(UsageError, match=r"have 2 sizes \(.*007.png 8x8.*other.png 9x8.*--size 8"):
        measured(a, b, extractor=pooled)


def test_broken_pictures_are_left_out_and_said(tmp_path: Path, pooled: str) -> None:
    a = fill(tmp_path / "a", images(0, 9, SIDE))
    whole = (a / "004.png").read_bytes()
    (a / "004.png").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    found = score(Flags(str(a), str(a), extractor=pooled), said.append)
    assert (
        found["pictures"] == {"a": 8, "b": 8}
        and sum("004.png cannot be read and is left out" in line for line in said) == 2
    )


def test_n_pictures_are_spread_evenly(tmp_path: Path, pooled: str) -> None:
    x = images(0, 30)
    np.savez(tmp_path / "a.npz", images=x)
    fill(tmp_path / "a", x)
    for a in (tmp_path / "a.npz", tmp_path / "a"):
        found = measured(a, tmp_path / "a.npz", extractor=pooled, n=10)
        assert found["pictures"] == {"a": 10, "b": 10} and found["frechet"] == pytest.approx(0, abs=1e-6)


# --- a run ----------------------------------------------------------------------------------------------------------------


def test_a_run_is_what_sample_writes(cli, tmp_path: Path) -> None:
    small = "--model.data.source digits --model.hidden 8 --model.turn 1 --model.nll-samples 2 --run.until 2"
    assert cli("run", "vae", *small.split(), "--run.folder", tmp_path / "runs")[0] == 0
    run = only_run(tmp_path / "runs")
    code, out, err = cli("score", run, "digits", "--n", 120, "--json")
    assert code == 0, err
    found = json.loads(out)
    assert "120 pictures A (vae on digits, checkpoint" in found["protocol"] and "digit classifier" in found["protocol"]
    assert not found["classes"], "what a run draws has no labels"
    assert cli("sample", run, "--n", 120, "--folder", tmp_path / "set")[0] == 0
    again = measured(tmp_path / "set", "digits", n=120)
    assert again["frechet"] == pytest.approx(found["frechet"], rel=1e-4)
    assert again["inception_score"] == pytest.approx(found["inception_score"], rel=1e-4)
    code, out, _ = cli("score", tmp_path / "set", run, "--n", 30)
    assert code == 0 and "Fréchet distance" in out and "coverage" in out and "protocol: 30 pictures A" in out


@pytest.mark.slow
def test_captioned_pictures_are_a_set(pooled: str) -> None:
    found = measured("captioned-shapes", "captioned-shapes", n=8, size=8, extractor=pooled)
    assert found["frechet"] == pytest.approx(0, abs=1e-6) and "captioned shapes" in found["protocol"]


# --- what cannot be compared ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("a", "words"),
    [
        ("empty", "holds no picture"),
        (
            "few",
            "A, the folder 'few', has 5 pictures; 6 or more are needed, since coverage compares each with its 5th nearest",
        ),
        ("mnist6k", "'mnist6k' is no folder, .npz file, run or data source; did you mean 'mnist5k'?"),
        ("no/such/folder", "there is no folder, file or run 'no/such/folder'"),
        ("folder:nowhere", "there is no folder 'nowhere'"),
        ("folder", "did you mean 'folder:PATH'?"),
        ("notes.txt", "is no npz file"),
        ("ring", "ring has points, no pictures"),
        ("broken", "none of the 6 pictures in"),
    ],
)
def test_what_is_no_set(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, a: str, words: str) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "whole", images(0, 6))
    fill(tmp_path / "few", images(0, 5))
    fill(tmp_path / "broken", images(0, 6))
    for file in (tmp_path / "broken").iterdir():
        file.write_text("x")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("notes")
    code, out, err = cli("score", a, "whole", "--extractor", "digits", "--json")
    assert code == 2 and words in " ".join(err.split()) and not out


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "neither A nor B is known to be of digits; name the features that are compared with --extractor"),
        (["--extractor", "none.keras"], "extractor is 'none.keras'"),
        (["--extractor", "inception:none.h5"], "extractor is 'inception:none.h5'"),
        (["--n", "-1"], "--n is -1"),
        (["--n", "5"], "has 5 pictures; 6 or more are needed"),
        (["--size", "4"], "--size is 4; it must be 0 or at least 8 pixels"),
        (["--extracter", "digits"], "did you mean '--extractor'"),
    ],
)
def test_flags_that_cannot_work(cli, tmp_path: Path, flags: list[str], words: str) -> None:
    fill(tmp_path / "a", images(0, 6))
    code, _, err = cli("score", tmp_path / "a", tmp_path / "a", *flags)
    assert code == 2 and words in " ".join(err.split())


def test_what_is_refused_is_one_sentence_and_nothing_of_tensorflow(launch_afresh, tmp_path: Path) -> None:
    process = launch_afresh("score", "nowhere", "digits", cwd=tmp_path, path=ROOT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 2 and err.startswith("error: 'nowhere' is no folder") and err.count("\n") == 1


def test_an_agents_run_is_no_set_of_pictures(cli, tmp_path: Path) -> None:
    small = ["--agent.env.id", "CartPole-v1", "--run.until", 8, "--run.folder", tmp_path / "runs", "--eval.episodes", 1]
    assert cli("run", "policy-gradient", *small)[0] == 0
    code, _, err = cli("score", only_run(tmp_path / "runs"), "digits")
    assert code == 2 and "which is agent; use `play`" in err


def test_the_name_of_a_source_is_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "digits", images(0, 6))
    said: list[str] = []
    found = score(Flags("digits", "digits", n=12), said.append)
    assert "scikit-learn's digits" in found["protocol"] and any(
        "the folder or file is ./digits" in line for line in said
    )
    assert "the folder 'digits'" in measured("./digits", "./digits", extractor="digits")["protocol"]
