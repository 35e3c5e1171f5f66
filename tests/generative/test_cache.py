"""Pictures of a folder are decoded once: the cache gives the same bits, is verified, and may fail without harm."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from core.plugin import Context, build
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
from generative.data import cache, files
from generative.data.captions import open_captions
from generative.data.settings import CaptionConfig, DataConfig
from generative.data.sources import Pictures, Stream, open_data
from tests.processes import ROOT

SIDE = 16
BROKEN = 5  # the header is good, the pixels are not


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A folder of 12 pictures, one of which is broken."""
    folder = tmp_path / "own"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for i in range(12):
        Image.fromarray(rng.integers(0, 256, (20, 30, 3), np.uint8)).save(folder / f"{i:02d}.bmp")
    file = folder / f"{BROKEN:02d}.bmp"
    file.write_bytes(file.read_bytes()[:200])
    return folder


def opened(own: Path, place: object, said: list[str] | None = None, **more: Any) -> Pictures:
    say = (lambda line: None) if said is None else said.append
    data = open_data(DataConfig(f"folder:{own}", size=SIDE, cache=str(place), **more), say)
    assert isinstance(data, Pictures)
    return data


def batches(data: Pictures, count: int = 8) -> np.ndarray:
    stream = Stream(data, 5, seed=1)
    try:
        return stream.take(count)
    finally:
        stream.close()


def pixels_in(place: Path) -> list[Path]:
    return sorted(place.glob("folder-*/*.pixels"))


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names of the files that are opened as pictures."""
    names: list[str] = []
    plain = Image.open

    def counted(path: Any, *words: Any, **more: Any) -> Any:
        names.append(Path(path).name)
        return plain(path, *words, **more)

    monkeypatch.setattr(Image, "open", counted)
    yield names


@pytest.mark.parametrize("mirror", [False, True])
def test_the_same_bits_with_and_without(own: Path, tmp_path: Path, mirror: bool) -> None:
    plain, first, second = (opened(own, place, mirror=mirror) for place in ("no", tmp_path / "c", tmp_path / "c"))
    expected = batches(plain)
    for data in (first, second):
        np.testing.assert_array_equal(batches(data), expected)
        for part, plain_part in zip(data.split(4), plain.split(4), strict=True):
            np.testing.assert_array_equal(batches(part), batches(plain_part))
            np.testing.assert_array_equal(part.reference(3), plain_part.reference(3))


def test_each_file_is_decoded_once(own: Path, tmp_path: Path, decoded: list[str]) -> None:
    said: list[str] = []
    first = opened(own, tmp_path / "c", said)
    assert sorted(decoded) == [f"{i:02d}.bmp" for i in range(12)], "headers"
    assert not said, "the cache begins with the first picture"
    decoded.clear()
    expected = first.reference(12)
    assert sorted(decoded) == [f"{i:02d}.bmp" for i in range(12)]
    # 12 pictures of 16 * 16 * 3 bytes, and a page of checksums: 9,216 + 4,096
    assert "all 12 will take 14 KB" in said[0] and str(tmp_path / "c") in said[0]
    assert len(said) == 2 and f"{BROKEN:02d}.bmp is broken" in said[1]
    for _ in range(2):
        decoded.clear(), said.clear()
        again = opened(own, tmp_path / "c", said)
        np.testing.assert_array_equal(again.reference(12), expected)
        assert decoded == [f"{BROKEN:02d}.bmp"] and len(said) == 1 and f"{BROKEN:02d}.bmp is broken" in said[0]
    assert [path.name for path in own.parent.iterdir() if path != own] == ["c"] and len(list(own.iterdir())) == 12


def test_it_is_mapped_and_cannot_be_written_to(own: Path, tmp_path: Path) -> None:
    data = opened(own, tmp_path / "c")
    data.reference(12)
    kept = data.images._kept  # type: ignore[union-attr]
    assert isinstance(kept, cache.OnDisk) and not kept.pixels.flags.owndata and not kept.pixels.flags.writeable
    assert kept.ready.tolist() == [i == BROKEN + 1 for i in range(12)], (
        "compared with its checksum: the stand-in, read twice"
    )
    data.reference(12)
    assert kept.ready.tolist() == [i != BROKEN for i in range(12)]
    batch = data.draw(0, 0, 5)
    batch[:] = 0  # a copy
    assert data.reference(12).any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize("place", ["cache", "memory"])
@pytest.mark.parametrize("mirror", [False, True])
def test_what_only_needs_to_be_copied_is_not_made_ahead(own: Path, tmp_path: Path, mirror: bool, place: str) -> None:
    (own / f"{BROKEN:02d}.bmp").unlink()
    data = opened(own, tmp_path / "c" if place == "cache" else "no", mirror=mirror)
    assert data.at_once(1, 0, 5) is None, "nothing is decoded yet"
    expected = [data.draw(1, position, 5) for position in range(9)]
    for position in range(9):
        np.testing.assert_array_equal(data.at_once(1, position, 5), expected[position])
    # 1,366 pictures of 16 * 16 * 3 bytes are just more than 2**20
    assert data.at_once(1, 0, 1365) is not None and data.at_once(1, 0, 1366) is None
    stream = Stream(data, 5, seed=1)
    np.testing.assert_array_equal(stream.take(9), expected)
    stream.close()


@pytest.mark.parametrize("how", ["pixels", "size", "touched"])
def test_a_changed_file_invalidates(own: Path, tmp_path: Path, decoded: list[str], how: str) -> None:
    before = opened(own, tmp_path / "c").reference(12)
    file = own / "03.bmp"
    about = file.stat()
    if how == "pixels":  # of the same size, and with the old time put back
        Image.new("RGB", (30, 20), (9, 8, 7)).save(file)
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns))
        assert file.stat().st_size == about.st_size and file.stat().st_mtime_ns == about.st_mtime_ns
    elif how == "size":
        Image.new("RGB", (20, 20), (9, 8, 7)).save(file)
    else:
        os.utime(file, ns=(about.st_atime_ns, about.st_mtime_ns + 1))
    decoded.clear()
    after = opened(own, tmp_path / "c").reference(12)
    assert decoded.count("03.bmp") == 2, "header and pixels"
    if how == "touched":
        np.testing.assert_array_equal(after, before)
    else:
        assert (after[3] == [9, 8, 7]).all()
        np.testing.assert_array_equal(np.delete(after, 3, axis=0), np.delete(before, 3, axis=0))
    assert len(pixels_in(tmp_path / "c")) == 1, "the one from before the change is deleted"


def test_settings_have_caches_of_their_own(own: Path, tmp_path: Path) -> None:
    for _ in range(2):
        for more in ({}, {"crop": False}, {"channels": 1}, {"height": 24}):
            same = DataConfig(f"folder:{own}", size=SIDE, cache="no", **more)  # type: ignore[arg-type]
            np.testing.assert_array_equal(
                opened(own, tmp_path / "c", **more).reference(12), open_data(same).reference(12)
            )
    assert len(pixels_in(tmp_path / "c")) == 4


def test_a_file_that_changes_while_it_is_read_is_not_kept(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = files.prepare

    def late(picture: Any, *words: Any) -> np.ndarray:
        prepared = plain(picture, *words)
        if Path(picture.filename).name == "03.bmp":
            os.utime(picture.filename)
        return prepared

    data = opened(own, tmp_path / "c")
    monkeypatch.setattr(files, "prepare", late)
    data.reference(12), data.reference(12)
    assert data.images._kept.ready.tolist() == [i not in (3, BROKEN) for i in range(12)]  # type: ignore[union-attr]


# --- damage -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("damage", ["a bit", "half a picture", "no pixels", "cut off", "headers", "other bytes"])
def test_nothing_damaged_is_used(own: Path, tmp_path: Path, damage: str) -> None:
    expected = opened(own, tmp_path / "c").reference(12)
    (file,) = pixels_in(tmp_path / "c")
    raw = bytearray(file.read_bytes())
    place = cache.PAGE + 7 * SIDE * SIDE * 3
    if damage == "a bit":
        raw[place + 100] ^= 4
    elif damage == "half a picture":  # its end never came to the disk, its checksum did
        raw[place + SIDE * SIDE : place + SIDE * SIDE * 3] = bytes(2 * SIDE * SIDE)
    elif damage == "no pixels":
        raw[cache.PAGE :] = bytes(len(raw) - cache.PAGE)
    elif damage == "cut off":
        raw = raw[:-1]
    elif damage == "other bytes":
        raw = bytearray(np.random.default_rng(0).bytes(len(raw)))
        raw[8 * BROKEN : 8 * BROKEN + 8] = bytes(8)  # which nothing would ever overwrite
    else:
        headers = file.parent / "headers.json"
        headers.write_bytes(headers.read_bytes().replace(b"30", b"31"))
    file.write_bytes(raw)
    said: list[str] = []
    np.testing.assert_array_equal(opened(own, tmp_path / "c", said).reference(12), expected)
    told = [line for line in said if "is damaged: pictures that do not fit their checksums are decoded again" in line]
    assert len(told) == (damage in ("a bit", "half a picture", "no pixels", "other bytes")), said
    said.clear()
    np.testing.assert_array_equal(opened(own, tmp_path / "c", said).reference(12), expected)
    assert len(said) == 1 and "is broken" in said[0], "what was damaged has been mended"


def test_a_picture_at_another_place_is_not_taken_for_its_neighbour(own: Path, tmp_path: Path) -> None:
    expected = opened(own, tmp_path / "c").reference(12)
    (file,) = pixels_in(tmp_path / "c")
    raw = bytearray(file.read_bytes())
    for begin, length in ((0, 8), (cache.PAGE, SIDE * SIDE * 3)):  # checksums and pixels of 0 and 1 exchanged
        one, two = slice(begin, begin + length), slice(begin + length, begin + 2 * length)
        raw[one], raw[two] = raw[two], raw[one]
    file.write_bytes(raw)
    np.testing.assert_array_equal(opened(own, tmp_path / "c").reference(12), expected)


# --- disks --------------------------------------------------------------------------------------------------------------


def refusal(said: list[str]) -> str:
    (line,) = [line for line in said if "cannot be kept" in line]
    assert line.endswith("training goes on without")
    return line


@pytest.mark.parametrize("after", [0, 1, 5, 12])
def test_a_full_disk(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int) -> None:
    expected = opened(own, "no").reference(12)
    plain, calls = os.pwrite, iter(range(10**6))

    def full(file: int, content: bytes, place: int) -> int:
        if next(calls) >= after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return plain(file, content[: len(content) // 2 + 1], place)  # and short writes before

    monkeypatch.setattr(os, "pwrite", full)
    said: list[str] = []
    data = opened(own, tmp_path / "c", said)
    for _ in range(3):
        np.testing.assert_array_equal(data.reference(12), expected)
    assert "No space left on device" in refusal(said)
    monkeypatch.undo()
    np.testing.assert_array_equal(opened(own, tmp_path / "c").reference(12), expected)


def test_a_disk_that_is_too_small_is_left_alone(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 13_311))  # type: ignore[attr-defined]
    said: list[str] = []
    opened(own, tmp_path / "c", said).reference(12)
    assert "they would take 14 KB, and 14 KB are free" in refusal(said) and not pixels_in(tmp_path / "c")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 13_312))  # type: ignore[attr-defined]
    opened(own, tmp_path / "c").reference(12)
    assert len(pixels_in(tmp_path / "c")) == 1


def test_a_folder_that_cannot_be_made(own: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said: list[str] = []
    data = opened(own, tmp_path / "file" / "c", said)
    np.testing.assert_array_equal(data.reference(12), opened(own, "no").reference(12))
    assert "Not a directory" in refusal(said) and len(said) == 2


def test_a_whole_cache_that_can_only_be_read_serves(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, decoded: list[str]
) -> None:
    expected = opened(own, tmp_path / "c").reference(12)
    plain = os.open

    def read_only(path: Any, flags: int, *mode: Any) -> int:
        if flags & os.O_RDWR and str(path).endswith(".pixels"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return plain(path, flags, *mode)

    monkeypatch.setattr(os, "open", read_only)
    said: list[str] = []
    decoded.clear()
    np.testing.assert_array_equal(opened(own, tmp_path / "c", said).reference(12), expected)
    assert len(said) == 1 and "is broken" in said[0] and decoded == [f"{BROKEN:02d}.bmp"]
    said.clear()
    np.testing.assert_array_equal(
        opened(own, tmp_path / "c", said, channels=3, crop=False).reference(12).shape, expected.shape
    )
    assert "Permission denied" in refusal(said), "one that has to be made is another matter"


def test_several_processes_at_once(own: Path, tmp_path: Path) -> None:
    """Each reads everything in an order of its own while the others fill the same file."""
    expected = opened(own, "no")
    program = (
        "import sys, hashlib; from generative.data.settings import DataConfig\n"
        "from generative.data.sources import open_data\n"
        "data = open_data(DataConfig(sys.argv[1], size=16, cache=sys.argv[2]))\n"
        "input()\n"
        "x = b''.join(data.draw(int(sys.argv[3]), n, 5).tobytes() for n in range(40))\n"
        "print(hashlib.sha256(x).hexdigest())\n"
    )
    words = [sys.executable, "-c", program, f"folder:{own}", str(tmp_path / "c")]
    processes = [
        subprocess.Popen([*words, str(seed)], cwd=ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for seed in range(3)
    ]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n"), process.stdin.flush()
    for seed, process in enumerate(processes):
        out, _ = process.communicate(timeout=240)
        x = b"".join(expected.draw(seed, n, 5).tobytes() for n in range(40))
        assert process.returncode == 0 and out.strip() == hashlib.sha256(x).hexdigest()
    assert len(pixels_in(tmp_path / "c")) == 1
    np.testing.assert_array_equal(opened(own, tmp_path / "c").reference(12), expected.reference(12))


# --- settings -----------------------------------------------------------------------------------------------------------


def test_where_it_lies(own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PONGAN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    opened(own, "no").reference(12)
    assert not (tmp_path / "xdg").exists()
    opened(own, "yes").reference(12)
    assert len(pixels_in(tmp_path / "xdg" / "pongan")) == 1
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    opened(own, "yes").reference(12)
    assert len(pixels_in(tmp_path / "home" / ".cache" / "pongan")) == 1
    opened(own, "~/mine").reference(12)
    assert len(pixels_in(tmp_path / "home" / "mine")) == 1
    for word in ("off", "No", ""):
        with pytest.raises(UsageError, match=f"data.cache is {word!r}; it must be yes, no, or a path with a slash"):
            DataConfig(cache=word)
        with pytest.raises(UsageError, match="it must be yes, no, or a path"):
            CaptionConfig(cache=word)


@pytest.mark.parametrize(("text", "value"), [("no", "no"), ("'no'", "no"), ("yes", "yes"), ("/a/b", "/a/b")])
def test_a_file_may_say_no_without_quotes(tmp_path: Path, text: str, value: str) -> None:
    """YAML takes the word for false."""
    (tmp_path / "a.yaml").write_text(f"model: {{data: {{cache: {text}}}}}")
    assert Experiment.of(["dcgan", "--config", str(tmp_path / "a.yaml")]).config.data.cache == value


# --- learning -----------------------------------------------------------------------------------------------------------


def test_captioned_pictures(own: Path, tmp_path: Path, decoded: list[str]) -> None:
    for i in range(12):
        (own / f"{i:02d}.txt").write_text(f"picture {i}\n")
    rows = np.array([0, 1, 2, 3])
    plain, first, second = (
        open_captions(CaptionConfig(f"folder:{own}", cache=str(place))).train.images
        for place in ("no", tmp_path / "c", tmp_path / "c")
    )
    np.testing.assert_array_equal(first[rows], plain[rows])
    decoded.clear()
    np.testing.assert_array_equal(second[rows], plain[rows])
    assert not decoded


@pytest.mark.parametrize("name", [pytest.param("dcgan", marks=pytest.mark.slow), "vae"])
def test_training_has_the_same_bits_with_and_without(own: Path, tmp_path: Path, name: str) -> None:
    spec = catalogue().plugins[name]
    more = {"width": 4, "batch": 5, "turn": 1} if name != "vae" else {"hidden": 8, "batch": 5, "turn": 1, "held_out": 2}
    found = []
    for number, place in enumerate(("no", tmp_path / "c", tmp_path / "c")):
        data = DataConfig(f"folder:{own}", size=SIDE, cache=str(place))
        (tmp_path / str(number)).mkdir()
        config = type(spec.config())(data=data, **more)
        model = build(spec, config, Context(seed=1, folder=tmp_path / str(number), say=lambda line: None))
        scalars = [{tag: float(value) for tag, value in model.step().items()} for _ in range(6)]
        found.append((scalars, model.sample(4, seed=3)))
        model.close()
    for scalars, samples in found[1:]:
        assert scalars == found[0][0]
        np.testing.assert_array_equal(samples, found[0][1])
