"""The verb `sample`: a grid in the format of its file's name, single pictures in a folder, and what a plugin raises."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from experiments.launcher.catalogue import catalogue
from experiments.launcher.drawing import AT_ONCE
from generative.data import shapes
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


# --- single pictures, as programs that score want them --------------------------------------------------------------------


def pictures(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: np.asarray(Image.open(path)) for path in sorted(folder.iterdir())}


def test_a_set_of_single_pictures(cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture depends on the seed and its number, not on how many there are; never are more than a batch in memory."""
    asked: list[int] = []
    original = VAE.sample
    monkeypatch.setattr(VAE, "sample", lambda self, n, seed=0: (asked.append(n), original(self, n, seed))[1])
    (tmp_path / "all").mkdir()  # an empty one is fine
    code, out, err = cli("sample", run, "--n", 230, "--folder", tmp_path / "all")
    assert code == 0 and "230 samples of checkpoint" in out and "000000.png" in out, err
    assert asked == [AT_ONCE] * 3
    whole = pictures(tmp_path / "all")
    assert list(whole) == [f"{i:06d}.png" for i in range(230)]
    assert all(picture.shape == (8, 8) and picture.dtype == np.uint8 for picture in whole.values())
    assert len({picture.tobytes() for picture in whole.values()}) > 200, "no batch is a copy of another"
    assert cli("sample", run, "--n", 20, "--first", 190, "--folder", tmp_path / "part")[0] == 0
    part = pictures(tmp_path / "part")
    assert list(part) == [f"{i:06d}.png" for i in range(190, 210)]
    assert all((part[name] == whole[name]).all() for name in part)
    assert cli("sample", run, "--n", 3, "--seed", 1, "--folder", tmp_path / "other")[0] == 0
    assert any((picture != whole[name]).any() for name, picture in pictures(tmp_path / "other").items())


def test_a_set_of_jpegs(cli, run: Path, tmp_path: Path) -> None:
    assert cli("sample", run, "--n", 2, "--format", "jpg", "--folder", tmp_path / "set")[0] == 0
    for name in ("000000.jpg", "000001.jpg"):
        with Image.open(tmp_path / "set" / name) as picture:
            assert picture.format == "JPEG" and picture.size == (8, 8)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (
            ["--folder", "full"],
            "is not empty; name a new or an empty one, and draw what a set still lacks with --first",
        ),
        (["--folder", "full/notes.txt"], "which is a file"),
        (["--folder", "no/such"], "there is no folder"),
        (["--folder", "new", "--out", "a.png"], "--out and --folder name two places"),
        (["--folder", "new", "--picture", "manifold"], "--folder has samples"),
        (["--folder", "new", "--text", "a", "--captions", "b"], "--text and --captions both say"),
        (["--folder", "new", "--first", "-1"], "--first is -1"),
        (["--folder", "new", "--captions", "none.txt"], "'none.txt', which cannot be read: No such file"),
        (["--folder", "new", "--captions", "full/notes.txt"], "which is empty"),
        (["--folder", "new", "--format", "gif"], "--format is 'gif'; choose from jpg, png"),
        (["--first", "5"], "--first is for pictures in a --folder"),
        (["--captions", "a.txt"], "--captions is for pictures in a --folder"),
        (["--format", "jpg"], "--format is jpg, of pictures in a --folder"),
    ],
)
def test_a_set_that_cannot_be_made_is_refused_before_the_model_is_built(
    cli, run: Path, tmp_path: Path, flags: list[str], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(VAE, "__init__", lambda *a: pytest.fail("built"))
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").touch()
    monkeypatch.chdir(tmp_path)
    code, _, err = cli("sample", run, *flags)
    assert code == 2 and words in " ".join(err.split())
    assert [path.name for path in tmp_path.iterdir()] == ["full"]


def test_an_interrupted_set_is_not_there(cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original, calls = VAE.sample, []

    def stopped(self: VAE, n: int, seed: int = 0) -> np.ndarray:
        calls.append(n)
        if len(calls) == 2:
            assert len([*next(tmp_path.glob(".set.*")).iterdir()]) == AT_ONCE, "the first batch is written by now"
            raise KeyboardInterrupt
        return original(self, n, seed)

    monkeypatch.setattr(VAE, "sample", stopped)
    code, _, err = cli("sample", run, "--n", 150, "--folder", tmp_path / "set")
    assert code == 2 and "KeyboardInterrupt" in err and len(calls) == 2
    assert not list(tmp_path.iterdir())


def test_a_full_disk_is_one_sentence(cli, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("core.picture_files.write_picture", full)
    code, _, err = cli("sample", run, "--folder", tmp_path / "set")
    assert code == 2 and "cannot be written: No space left on device" in " ".join(err.split())
    assert not list(tmp_path.iterdir())


def test_points_are_no_single_pictures(cli, tmp_path: Path) -> None:
    small = "--model.data.source ring --model.hidden 8 --model.turn 1 --model.eval-samples 4 --run.until 1"
    assert cli("run", "dcgan", *small.split(), "--run.folder", tmp_path / "runs")[0] == 0
    code, _, err = cli("sample", only_run(tmp_path / "runs"), "--folder", tmp_path / "set")
    assert code == 2 and "dcgan on ring draws one picture of all samples" in " ".join(err.split())
    assert not (tmp_path / "set").exists()
    code, _, err = cli("sample", only_run(tmp_path / "runs"), "--folder", tmp_path / "set", "--text", "a")
    assert code == 2 and "dcgan reads no text" in err


@pytest.mark.slow
def test_captioned_pictures_have_their_captions_beside_them(cli, tmp_path: Path) -> None:
    tiny = catalogue().plugins["gan-cls"].tiny
    small = [f"--model.{name.replace('_', '-')}={value}" for name, value in tiny.items()]
    code, _, err = cli("run", "gan-cls", *small, "--run.until", 1, "--run.folder", tmp_path / "runs")
    assert code == 0, err
    run = only_run(tmp_path / "runs")
    file, flags = tmp_path / "captions.txt", ["--n", 5, "--format", "jpg"]
    file.write_text("a red circle\n\na blue square\n")
    assert cli("sample", run, *flags, "--folder", tmp_path / "a", "--captions", file)[0] == 0
    texts = [(tmp_path / "a" / f"{i:06d}.txt").read_text().strip() for i in range(5)]
    assert texts == ["a red circle", "a blue square"] * 2 + ["a red circle"]
    assert len(list((tmp_path / "a").glob("*.jpg"))) == 5
    assert cli("sample", run, *flags, "--folder", tmp_path / "b", "--text", "a red circle")[0] == 0
    assert {path.read_text() for path in (tmp_path / "b").glob("*.txt")} == {"a red circle\n"}
    one, two = (np.asarray(Image.open(tmp_path / name / "000000.jpg")) for name in "ab")
    np.testing.assert_array_equal(one, two)  # of one caption, seed and number
    assert cli("sample", run, *flags, "--folder", tmp_path / "c")[0] == 0
    drawn = [(tmp_path / "c" / f"{i:06d}.txt").read_text().strip() for i in range(5)]
    assert drawn == list(shapes.SENTENCES)[:5]
    code, _, err = cli("sample", run, "--folder", tmp_path / "d", "--text", "a zebra")
    assert code == 2 and "zebra" in err and not (tmp_path / "d").exists()
