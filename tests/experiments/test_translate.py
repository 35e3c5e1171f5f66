"""The verb `translate`: a file for each picture under its name, the sheet, domains by name, and what cannot be translated."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.plugin import Translates
from experiments.verbs import translate as verb
from tests.conftest import only_run

SIDE = 16
TINY = "--model.data.source digits --model.data.size 16 --model.hidden 4 --model.batch 2 --model.turn 1 --run.until 1"


class Dyer(Translates):
    """Makes a grey picture red, or dark: a tenth as bright, one level more for odd seeds."""

    domains = ("red", "dark")
    picture_shape = (SIDE, SIDE, 1)

    def translate(self, images: np.ndarray, target: str, seed: int = 0) -> np.ndarray:
        assert images.shape[1:] == self.picture_shape and images.dtype == np.uint8
        if target == "dark":
            return images // 10 + np.uint8(seed % 2)
        return np.concatenate([images, 0 * images, 0 * images], axis=3)


class Darkener(Dyer):
    domains = ("dark",)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from experiments.__main__ import main

    root = tmp_path_factory.mktemp("runs")
    words = f"{TINY} --model.held-out 2 --model.nll-samples 2"
    assert main(["run", "vae", *words.split(), "--run.folder", str(root)]) == 0
    return only_run(root)


@pytest.fixture
def dyer(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, Dyer())


def stand_in(monkeypatch: pytest.MonkeyPatch, plugin: Translates) -> None:
    @contextlib.contextmanager
    def opened(run, weights: str) -> Iterator[tuple[Translates, str]]:
        yield plugin, f"{weights} weights"

    monkeypatch.setattr(verb, "opened", opened)


def fill(folder: Path, values: dict[str, int]) -> Path:
    for name, value in values.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (40, 40), value).save(folder / name)
    return folder


def read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def test_each_picture_keeps_its_name(run: Path, dyer: None, cli, tmp_path: Path) -> None:
    fill(tmp_path / "p", {"cats/one.png": 10, "cats/one.bmp": 20, "two.v2.png": 30})
    whole = (tmp_path / "p" / "two.v2.png").read_bytes()
    (tmp_path / "p" / "half.png").write_bytes(whole[:-30])
    out, sheet = tmp_path / "out", tmp_path / "sheet.png"
    code, text, err = cli("translate", run, tmp_path / "p", "-o", out, "--to", "red", "--sheet", sheet, "--n", 2)
    assert code == 0, err
    assert "3 pictures as red by vae on digits, best weights" in text
    written = {path.relative_to(out).as_posix(): read(path) for path in out.rglob("*.png")}
    assert {name: image[3, 3].tolist() for name, image in written.items()} == {
        "cats/one.png": [20, 0, 0],  # the .bmp is the first by name
        "cats/one.png.png": [10, 0, 0],
        "two.v2.png": [30, 0, 0],
    }
    shown = read(sheet)[
        ::4, ::4
    ]  # before and after side by side, a white gap of 2 pixels after each pair, four times as large
    assert shown.shape == (SIDE, 2 * (2 * SIDE + 2), 3)
    assert shown[0, 0].tolist() == [20] * 3 and shown[0, SIDE].tolist() == [20, 0, 0]
    assert shown[0, 2 * SIDE].tolist() == [255] * 3


def test_an_array_becomes_numbers_and_the_seed_arrives(
    run: Path, monkeypatch: pytest.MonkeyPatch, cli, tmp_path: Path
) -> None:
    stand_in(monkeypatch, Darkener())
    np.savez(tmp_path / "a.npz", images=np.full((3, 20, 20, 3), 200, np.uint8))
    found = []
    for seed in range(8):
        code, _, err = cli("translate", run, tmp_path / "a.npz", "-o", tmp_path / f"{seed}", "--seed", seed)
        assert code == 0, err
        assert sorted(path.name for path in (tmp_path / f"{seed}").iterdir()) == [f"00000{i}.png" for i in range(3)]
        found.append(int(read(tmp_path / f"{seed}" / "000000.png")[0, 0]))
    assert set(found) == {20, 21}


def test_what_cannot_be_translated_gets_a_sentence(run: Path, dyer: None, cli, tmp_path: Path) -> None:
    pictures = fill(tmp_path / "p", {"a.png": 1})
    new = tmp_path / "new"
    for words, sentence in (
        ((run, pictures, "-o", new), "vae translates into red, dark; choose one with --to"),
        ((run, pictures, "-o", new, "--to", "rde"), "--to is 'rde'; did you mean 'red'?"),
        ((run, pictures, "-o", pictures, "--to", "red"), "which is not empty; name a new or an empty one"),
        ((run, pictures, "-o", pictures / "a.png", "--to", "red"), "which is a file; name a new or an empty folder"),
        ((run, pictures, "-o", new / "x", "--to", "red"), "which cannot be made: there is no folder"),
        ((run, pictures, "-o", new, "--to", "red", "--sheet", tmp_path / "s.xyz"), "must name a picture format"),
        ((run, pictures, "-o", new, "--to", "red", "--n", 0), "--n is 0; it must be at least 1 and at most 1,000"),
        ((run, pictures, "-o", new, "--to", "red", "--seed", -1), "--seed is -1"),
        ((run, "mnist5", "-o", new, "--to", "red"), "'mnist5' is no folder, .npz file or data source"),
        ((run, "edges", "-o", new, "--to", "red"), "'edges' is no folder, .npz file or data source"),
    ):
        code, _, err = cli("translate", *words)
        assert code == 2 and sentence in " ".join(err.split()), err
    assert not new.exists() and [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_model_that_does_not_translate_gets_a_sentence(run: Path, cli, tmp_path: Path) -> None:
    code, _, err = cli("translate", run, "digits", "-o", tmp_path / "out")
    assert code == 2 and "vae translates no pictures; `pongan list` shows models that do" in " ".join(err.split())


def test_a_failure_half_way_leaves_no_folder(run: Path, monkeypatch: pytest.MonkeyPatch, cli, tmp_path: Path) -> None:
    class Failing(Darkener):
        calls = 0

        def translate(self, images: np.ndarray, target: str, seed: int = 0) -> np.ndarray:
            self.calls += 1
            if self.calls == 2:
                raise RuntimeError("no more")
            return images

    stand_in(monkeypatch, Failing())
    code, _, err = cli("translate", run, "digits", "-o", tmp_path / "out")
    assert code != 0 and "plugin 'vae' raised RuntimeError" in err and not list(tmp_path.iterdir())
