"""A run knows its data again, changed, moved or gone; its split follows names; older runs keep their own split."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

import experiments.verbs.resume
from core import checkpoint
from core.errors import UsageError
from core.plugin import Context, build
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import field_of
from experiments.launcher.training import Ending
from experiments.launcher.verbs import call
from generative.data.captions import open_captions
from generative.data.record import FILE, Record, checksum, split_order
from generative.data.settings import CaptionConfig, DataConfig
from generative.data.sources import Pictures, open_data
from generative.srgan.data import open_photos
from tests.conftest import only_run

VAE = (
    *(
        "--model.likelihood",
        "gaussian",
        "--model.binarise",
        "no",
        "--model.hidden",
        8,
        "--model.latent",
        2,
        "--model.batch",
        4,
    ),
    *("--model.nll-samples", 2, "--model.turn", 1, "--model.held-out", 4, "--run.until", 2, "--run.eval-every", 2),
)


def fill(folder: Path, count: int, side: int = 16) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        Image.fromarray(rng.integers(0, 256, (side, side, 3), np.uint8)).save(folder / f"p{i:02d}.png")
    return folder


def opened(source: str, folder: Path | None = None, say=lambda line: None, **more) -> Pictures:  # type: ignore[no-untyped-def]
    data = open_data(DataConfig(source, cache="no", **more), say, folder)
    assert isinstance(data, Pictures)
    return data


def parts(data: Pictures, held_out: int = 4) -> tuple[set[str], set[str]]:
    assert not isinstance(data.images, np.ndarray)
    rest, held = data.split(held_out)
    return tuple({data.images.paths[i].name for i in part.rows} for part in (rest, held))  # type: ignore[union-attr, return-value]


# --- the split ----------------------------------------------------------------------------------------------------------


def test_a_new_picture_never_turns_a_learned_one_into_a_held_out_one() -> None:
    before = [f"picture {i}.png" for i in range(50)]
    learned = {before[i] for i in split_order(before)[10:]}
    for new in ("0.png", "a.png", "picture 25b.png", "z.png"):
        names = sorted([*before, new])
        held = {names[i] for i in split_order(names)[:10]}
        assert not held & learned and len(held & set(before)) >= 9
    for gone in before[::7]:
        names = [name for name in before if name != gone]
        assert len({names[i] for i in split_order(names)[:10]} & learned) <= 1


def test_names_are_the_same_whichever_way_accents_are_written() -> None:
    assert split_order(["caf\u00e9", "b", "c"]).tolist() == split_order(["cafe\u0301", "b", "c"]).tolist()


def test_a_run_from_before_there_were_records_keeps_its_split(tmp_path: Path) -> None:
    source = f"folder:{fill(tmp_path / 'own', 12)}"
    run = tmp_path / "run"
    checkpoint.save(run, "000000000000", {"clock": 0})
    data = opened(source, run / "files")
    rows = np.random.default_rng(0).permutation(12)
    assert parts(data)[1] == {f"p{i:02d}.png" for i in rows[:4]} != parts(opened(source))[1]
    again = opened(source, run / "files")
    assert parts(again) == parts(data) and Record(run / "files").older


# --- folders ------------------------------------------------------------------------------------------------------------


def test_what_changed_in_a_folder_is_said_once_and_the_old_split_kept(tmp_path: Path) -> None:
    own = fill(tmp_path / "own", 12)
    first = opened(f"folder:{own}", tmp_path / "files", size=16)
    fill(tmp_path / "more", 1)
    shutil.copy(tmp_path / "more" / "p00.png", own / "a new one.jpg")
    (own / "notes.txt").touch()
    (own / "p03.png").unlink()
    Image.new("RGB", (16, 16)).save(own / "p04.png")
    said: list[str] = []
    again = opened(f"folder:{own}", tmp_path / "files", said.append, size=16)
    assert not said and parts(again) == parts(first), "nothing is looked at before a picture is asked for"
    images = again.reference(12)
    again.reference(12)
    assert len(said) == 1 and "1 picture was added (a new one.jpg), not used" in said[0]
    assert "1 picture was missing (p03.png)" in said[0] and "1 picture was changed in size (p04.png)" in said[0]
    np.testing.assert_array_equal(images[3], images[4])
    shutil.rmtree(own)
    fill(tmp_path / "own", 0)
    Image.new("L", (16, 16)).save(own / "other.png")
    with pytest.raises(UsageError, match=r"none of the 12 pictures that the run began with, e.g. p00.png"):
        opened(f"folder:{own}", tmp_path / "files").reference(1)


def test_a_folder_that_moved_is_known_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path / "work" / "own", 6)
    monkeypatch.chdir(tmp_path / "work")
    data = opened("folder:own", tmp_path / "files")
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "own", 2)  # another folder of the same relative path
    said: list[str] = []
    again = opened("folder:own", tmp_path / "files", said.append)
    np.testing.assert_array_equal(again.reference(6), data.reference(6))
    (tmp_path / "work").rename(tmp_path / "moved")
    moved = opened(f"folder:{tmp_path / 'moved' / 'own'}", tmp_path / "files", said.append)
    np.testing.assert_array_equal(moved.reference(6), data.reference(6))
    kept = Record(tmp_path / "files").part("pictures")
    assert not said and kept and kept["root"] == str(tmp_path / "moved" / "own")


# --- arrays -------------------------------------------------------------------------------------------------------------


def test_an_array_that_changed_is_an_error_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 12), np.uint8)
    np.savez(path, images=images)
    first = opened(f"npz:{path}", tmp_path / "files")
    images[5, 0, 0] ^= 1
    np.savez(path, images=images)
    changed = opened(f"npz:{path}", tmp_path / "files")
    assert changed.shape == first.shape == (9, 12, 1) and len(changed) == 6 and changed.protocol == first.protocol
    with pytest.raises(UsageError, match="6 pictures that are not the 6 with which the run began"):
        changed.draw(0, 0, 2)
    path.unlink()
    with pytest.raises(UsageError, match="not there"):
        opened(f"npz:{path}", tmp_path / "files").reference(1)
    with pytest.raises(UsageError, match="not there"):
        opened(f"npz:{path}", tmp_path / "fresh")


def test_checksums_know_shape_and_type() -> None:
    x = np.arange(12, dtype=np.uint8)
    assert len({checksum(a) for a in (x, x.reshape(3, 4), x.reshape(4, 3), x.view(np.int8), x[::-1])}) == 5
    assert checksum(x[::2]) == checksum(x[::2].copy())


@pytest.mark.parametrize("text", ["", "{", "[]", '{"format": 1}', '{"format": 9, "older": false, "parts": {}}'])
def test_a_damaged_record_is_one_sentence(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UsageError, match=FILE.replace(".", r"\.")):
        Record(tmp_path)


def test_two_data_of_one_plugin_have_records_of_their_own(tmp_path: Path) -> None:
    sources = {name: f"folder:{fill(tmp_path / name, count)}" for name, count in (("a", 3), ("b", 5))}
    for _ in range(2):
        found = [
            open_data(DataConfig(source), folder=tmp_path / "files", part=name) for name, source in sources.items()
        ]
        assert [len(data) for data in found if isinstance(data, Pictures)] == [3, 5]
    assert set(json.loads((tmp_path / "files" / FILE).read_text())["parts"]) == {"a", "b"}


# --- photographs and captions -------------------------------------------------------------------------------------------


def test_photographs_keep_their_parts(tmp_path: Path) -> None:
    own = fill(tmp_path / "own", 8, side=40)
    said: list[str] = []

    def both() -> list[list[str]]:
        return [
            [p.name for p in part]
            for part in open_photos(f"folder:{own}", "", 3, said.append, folder=tmp_path / "f")[1:]
        ]

    before = both()
    assert len(before[0]) == 5 and len(before[1]) == 3
    shutil.copy(own / "p00.png", own / "new.png")
    assert both() == before
    _, train, tests = open_photos(f"folder:{own}", "", 3, said.append, folder=tmp_path / "f")
    tests[0].read(), train[0].read()
    assert len(said) == 2 and all("1 picture was added (new.png)" in line for line in said)
    shutil.rmtree(own)
    _, train, tests = open_photos(f"folder:{own}", "", 3, said.append, folder=tmp_path / "f")
    assert [p.name for p in tests] == before[1] and train[0].size == (40, 40)
    with pytest.raises(UsageError, match="not there"):
        tests[0].read()


def test_div2k_and_a_test_folder_are_recorded_where_they_lie(tmp_path: Path) -> None:
    for name, count in (("d/DIV2K_train_HR", 3), ("d/DIV2K_valid_HR", 2), ("d/DIV2K_train_LR", 3), ("set5", 2)):
        fill(tmp_path / name, count, side=40)
    said: list[str] = []
    for test, files in (("", "one"), (str(tmp_path / "set5"), "two")):
        for _ in range(2):
            _, train, tests = open_photos(f"folder:{tmp_path / 'd'}", test, 5, said.append, folder=tmp_path / files)
            assert [p.name for p in train] == ["p00.png", "p01.png", "p02.png"]
            assert [p.name for p in tests] == ["p00.png", "p01.png"]
            train[0].read(), tests[0].read()
    (tmp_path / "d").rename(tmp_path / "e")
    _, train, tests = open_photos(f"folder:{tmp_path / 'e'}", "", 5, said.append, folder=tmp_path / "one")
    assert train[2].read().shape == tests[1].read().shape == (40, 40, 3) and not said


def test_captions_that_changed_are_refused_and_new_pictures_left_out(tmp_path: Path) -> None:
    own = fill(tmp_path / "own", 12)
    for i in range(12):
        (own / f"p{i:02d}.txt").write_text(f"picture {i}\nnumber {i}")
    config = CaptionConfig(f"folder:{own}", held_out=0.25, cache="no")
    said: list[str] = []
    first = open_captions(config, said.append, tmp_path / "files")
    shutil.copy(own / "p00.png", own / "a.png")
    (own / "a.txt").write_text("a new one")
    again = open_captions(config, said.append, tmp_path / "files")
    assert [list(part.rows) for part in again[:2]] == [list(part.rows) for part in first[:2]] and len(again.test) == 3
    again.train.read(again.train.rows[:1])
    assert len(said) == 1 and "1 picture was added (a.png)" in said[0]
    (own / "p05.txt").write_text("picture 5")
    with pytest.raises(
        UsageError, match=r"captions in .* have changed since the run began, those of 1 pictures: p05\.png"
    ):
        open_captions(config, said.append, tmp_path / "files")
    (own / "p07.png").unlink()
    with pytest.raises(UsageError, match=r"1 of 12 pictures are missing \(p07\.png\)"):
        open_captions(config, said.append, tmp_path / "files")


@pytest.mark.parametrize("name", ["dcgan", "wgan", "ragan", "vae"])
@pytest.mark.parametrize("kind", ["folder", "npz"])
def test_every_model_draws_without_its_data_and_learns_nothing_else(tmp_path: Path, name: str, kind: str) -> None:
    own = fill(tmp_path / "own", 8)
    if kind == "npz":
        own = own.with_suffix(".npz")
        np.savez(own, images=np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8))
    spec = catalogue().plugins[name]
    data = DataConfig(f"{kind}:{own}", size=16)
    more = {"width": 4, "batch": 2, "turn": 1} if name != "vae" else {"hidden": 8, "batch": 2, "turn": 1, "held_out": 2}
    config = dataclasses.replace(spec.config(), data=data, **more)
    context = Context(seed=1, folder=tmp_path / "files", say=lambda line: None)
    first = build(spec, config, context)
    own.rename(tmp_path / "away")
    again = build(spec, config, context)
    np.testing.assert_array_equal(again.sample(2, seed=3), first.sample(2, seed=3))
    assert again.exportable()
    with pytest.raises(UsageError, match="which is not there"):
        again.step()
    first.close(), again.close()


@pytest.mark.parametrize(
    ("name", "before", "words", "sentence"),
    [
        ("srgan", {"source": "folder:a", "test": "b"}, "--model.source folder:c --model.test=d", ""),
        ("srgan", {"source": "folder:a"}, "--model.source photos", "'photos' would make it another run"),
        ("srgan", {"source": "photos"}, "--model.source folder:a", "was 'photos' when this run began"),
        ("srgan", {}, "--model.test a", "--model.test was '' when this run began"),
        ("gan-cls", {"data": {"source": "folder:a"}}, "--model.data.source flowers:a", "would make it another run"),
        ("gan-cls", {"data": {"source": "folder:a"}}, "--model.data.source folder:b", ""),
        ("gan-cls", {"data": {"source": "folder:a"}}, "--model.data.cache /a:b/c", ""),
        ("vae", {"data": {"source": "folder:a", "cache": False}}, "--model.data.cache yes", ""),
        ("vae", {}, "--model.data.source folder:a", "resume takes only --run"),
        ("vae", {"data": {"source": "atari:Pong"}}, "--model.data.source atari:Breakout", "resume takes only --run"),
    ],
)
def test_what_may_move(
    name: str, before: dict, words: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that is there resumes with its files in another place, and with nothing else changed but the launcher's settings."""
    resumed = []
    monkeypatch.setattr(experiments.verbs.resume, "go_on", lambda run: resumed.append(run) or Ending(run.path))
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump({"experiment": name, "model": before, "run": {"seed": 3}}))
    if sentence:
        with pytest.raises(UsageError, match=sentence):
            call("resume", [str(run), *words.split(), "--run.until", "5"])
        return
    assert call("resume", [str(run), *words.split(), "--run.until", "5"]) == 0
    (run_now,) = resumed
    assert run_now.settings.until == 5 and run_now.settings.seed == 3
    given = dict(zip(*[iter(words.replace("=", " ").split())] * 2, strict=True))
    for flag, value in given.items():
        assert field_of(run_now.config, flag.removeprefix("--model.")) == value


# --- from the command line ----------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_sample_export_and_resume_without_and_beside_the_data(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "own", 12)
    source = ("--model.data.source", "folder:own", "--model.data.size", 16)
    code, _, err = cli("run", "vae", *source, *VAE, "--run.folder", tmp_path / "runs")
    assert code == 0, err
    run = only_run(tmp_path / "runs")
    (tmp_path / "own").rename(tmp_path / "elsewhere")
    code, out, err = cli("sample", run, "--n", 4)
    assert code == 0 and "4 samples" in out, err
    code, _, err = cli("sample", run, "--picture", "reconstructions")
    assert code == 2 and "own', which is not there" in err, "these show held-out pictures"
    code, out, err = cli("export", run, "-o", tmp_path / "exported")
    assert code == 0 and "decode" in out, err
    code, _, err = cli("resume", run, "--run.until", 4)
    assert code == 2 and "own', which is not there" in err
    code, _, err = cli("resume", run, "--run.until", 4, "--model.data.source", "npz:elsewhere")
    assert code == 2 and "would make it another run" in err
    code, _, err = cli("resume", run, "--run.until", 4, "--model.latent", 3)
    assert code == 2 and "takes only --run.*, --model.data.source, --model.data.cache flags" in " ".join(err.split())
    code, out, _ = cli("resume", run, "--help")
    assert code == 0 and "--model.data.source" in out and "where files lie that have moved" in " ".join(out.split())
    before = (run / "config.yaml").read_text()
    fill(tmp_path / "wrong", 3)
    for file in (tmp_path / "wrong").iterdir():
        file.rename(file.with_stem(f"another {file.stem}"))
    code, _, err = cli("resume", run, "--run.until", 4, "--model.data.source", "folder:wrong")
    assert code == 2 and "none of the 12 pictures that the run began with" in err
    after = yaml.safe_load((run / "config.yaml").read_text())
    assert after["run"]["until"] == 4 and after["model"] == yaml.safe_load(before)["model"], "a wrong place is not kept"
    source = ("--model.data.source", "folder:elsewhere")
    code, out, err = cli("resume", run, "--run.until", 4, *source, "--model.data.cache", "no")
    assert code == 0, err
    data = yaml.safe_load((run / "config.yaml").read_text())["model"]["data"]
    assert data["source"] == "folder:elsewhere" and data["cache"] == "no"
    os.chdir("/")
    code, out, err = cli("resume", run, "--run.until", 6)  # where they moved is remembered
    assert code == 0, err
