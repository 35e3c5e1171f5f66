"""The verb `sample`: a grid in the format of its file's name, single pictures in a folder, and what a plugin raises."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from generative.vae.model import VAE
from tests.conftest import only_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from experiments.__main__ import main

    root = tmp_path_factory.mktemp("runs")
    small = "--model.data.source digits --model.hidden 8 --model.latent 2 --model.turn 1 --model.nll-samples 2 --run.until 2"
    assert main(["run", "vae", *small.split(), "--run.folder", str(root)]) == 0
    return only_run(root)


@pytest.mark.parametrize(
    ("name", "kind"),
    [("a.png", "PNG"), ("a.jpg", "JPEG"), ("a.JPE", "JPEG"), ("a.webp", "WEBP"), ("a.tif", "TIFF"), ("a", "PNG")],
)
def test_the_ending_says_the_format(cli, run: Path, tmp_path: Path, name: str, kind: str) -> None:
    code, _, err = cli("sample", run, "--n", 3, "--out", tmp_path / name)
    assert code == 0, err
    with Image.open(tmp_path / name) as picture:
        assert picture.format == kind and picture.mode in ("L", "RGB")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.xyz", "must name a picture format"),
        ("a.mp4", "must name a picture format"),
        ("no/a.png", "folder that exists"),
        ("no/b/", "no folder"),
    ],
)
def test_files_that_cannot_be_made_are_refused_before_the_model_is_built(
    cli, run: Path, tmp_path: Path, name: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VAE, "__init__", lambda *a: pytest.fail("built"))
    code, _, err = cli("sample", run, "--out", f"{tmp_path}/{name}")
    assert code == 2 and words in " ".join(err.split()) and not list(tmp_path.iterdir())


def test_a_folder_gets_each_picture(cli, run: Path, tmp_path: Path) -> None:
    code, out, err = cli("sample", run, "--n", 12, "--out", f"{tmp_path}/new/")
    assert code == 0 and "12 samples" in out, err
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == [f"samples-{i:02d}.png" for i in range(12)]
    assert cli("sample", run, "--n", 4, "--picture", "manifold", "--out", tmp_path / "new")[0] == 0
    with Image.open(tmp_path / "new" / "manifold-3.png") as picture:
        assert picture.size == (8, 8)


def test_what_a_plugin_raises_is_one_sentence(cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: VAE, n: int, seed: int = 0) -> None:
        raise ZeroDivisionError("of its own\nmore")

    closed: list[bool] = []
    monkeypatch.setattr(VAE, "sample", fail)
    monkeypatch.setattr(VAE, "close", lambda self: closed.append(True))
    code, _, err = cli("sample", run, "--out", tmp_path / "a.png")
    assert code == 2 and "plugin 'vae' raised ZeroDivisionError: of its own (traceback in" in " ".join(err.split())
    assert closed and not list(tmp_path.iterdir())
    assert "more" in (run / "traceback-sample.txt").read_text()
