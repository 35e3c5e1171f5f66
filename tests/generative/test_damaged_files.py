"""Every reader of files, given damaged ones: a sentence or line that names the file, or data; never another exception."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import random
import re
import struct
import tarfile
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from core.unreadable import UNREADABLE
from generative.data.archives import members
from generative.data.captions import open_captions
from generative.data.record import FILE, Record
from generative.data.settings import CaptionConfig, DataConfig
from generative.data.sources import open_data
from generative.srgan.data import pictures_in

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (24, 32, 3), np.uint8)
TEXTS = {
    f"text/class_{i // 3:05d}/image_{i:05d}.txt": f"flower {i}\nof kind {i // 3}\n".encode() * 20 for i in range(12)
}
FORMATS = (
    "png",
    "jpg",
    "webp",
    "gif",
    "tif",
    "avif",
    "bmp",
    "ppm",
    "tga",
    "ico",
    "jp2",
    "dds",
    "qoi",
    "sgi",
    "pcx",
    "psd",
    "icns",
)
WANTED = re.compile(r"\.txt$")


def damaged(raw: bytes, n: int, seed: int) -> Iterator[bytes]:
    """Yield n copies with a bit flipped, bytes overwritten or exchanged, a part cut out, doubled or cut off."""
    draw = random.Random(seed)
    for _ in range(n):
        copy, at = bytearray(raw), draw.randrange(len(raw))
        width = draw.choice((1, 2, 4, 8, 64, 512))
        kind = draw.randrange(7)
        if kind == 0:
            copy[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            copy[at : at + width] = draw.randbytes(len(copy[at : at + width]))
        elif kind == 2:
            copy[at : at + width] = draw.choice((b"\0", b"\xff", b"\x7f")) * len(copy[at : at + width])
        elif kind == 3:
            del copy[at : at + width]
        elif kind == 4:
            copy[at:at] = copy[at : at + width]
        elif kind == 5:
            del copy[at:]
        else:  # the beginning, where sizes and kinds stand
            near = draw.randrange(min(64, len(raw)))
            copy[near : near + 4] = draw.choice((b"\0\0\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\1"))
        yield bytes(copy)


def picture(ending: str) -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(PIXELS)
    if ending == "psd":  # Pillow reads it and does not write it
        return b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHHIII", 3, 24, 32, 8, 3, 0, 0, 0) + b"\0\0" + PIXELS.tobytes()
    image.save(buffer, Image.registered_extensions()[f".{ending}"])
    return buffer.getvalue()


def archive(name: str) -> bytes:
    buffer = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
            for path, raw in TEXTS.items():
                packed.writestr(path, raw)
        return buffer.getvalue()
    with tarfile.open(fileobj=buffer, mode="w") as unpacked:
        for path, raw in TEXTS.items():
            member = tarfile.TarInfo(path)
            member.size = len(raw)
            unpacked.addfile(member, io.BytesIO(raw))
    pack = {".gz": gzip.compress, ".tgz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress}.get(
        Path(name).suffix, bytes
    )
    return pack(buffer.getvalue())


def npz(compressed: bool) -> bytes:
    buffer = io.BytesIO()
    save = np.savez_compressed if compressed else np.savez
    save(buffer, images=np.repeat(PIXELS[None], 4, axis=0), labels=np.array(["a", "b", "a", "b"]))
    return buffer.getvalue()


def sentence_or_data(open_it: Callable[[], object], name: str) -> str:
    """Return what came; any other exception than a UsageError of one line that names the file goes through."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            open_it()
        except UsageError as error:
            assert name in str(error) and "\n" not in str(error), str(error)
            return "sentence"
    return "data"


def many(count: int) -> list[object]:
    return [
        pytest.param(60, id="few"),
        pytest.param(count, id="many", marks=[pytest.mark.slow, pytest.mark.timeout(3600)]),
    ]


@pytest.mark.parametrize("count", many(2000))
@pytest.mark.parametrize("ending", FORMATS)
def test_pictures(tmp_path: Path, ending: str, count: int) -> None:
    Image.fromarray(PIXELS).save(tmp_path / "a-good.png")
    file = tmp_path / f"bad.{ending}"
    raw = picture(ending)
    file.write_bytes(raw)
    said: list[str] = []
    config = DataConfig(f"folder:{tmp_path}", size=16, cache="no")
    assert len(open_data(config, said.append).reference(2)) == 2 and not said  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for content in damaged(raw, count, seed=1):
            file.write_bytes(content)
            said.clear()
            data = open_data(config, said.append)
            images = data.reference(2)
            assert len(images) == 2 or any(file.name in line for line in said), said
            for photo in pictures_in(tmp_path):
                try:
                    photo.read()
                except (*UNREADABLE, Image.DecompressionBombError):
                    assert photo.name == file.name


@pytest.mark.parametrize("count", many(2000))
@pytest.mark.parametrize("compressed", [False, True])
def test_npz(tmp_path: Path, compressed: bool, count: int) -> None:
    path, raw = tmp_path / "a.npz", npz(compressed)
    found = set()
    for content in (raw, *damaged(raw, count, seed=2)):
        path.write_bytes(content)
        found.add(sentence_or_data(lambda: open_data(DataConfig(f"npz:{path}")).reference(4), "a.npz"))
    assert found == {"sentence", "data"}


@pytest.mark.parametrize("count", many(2000))
@pytest.mark.parametrize("zipped", [False, True])
def test_idx(tmp_path: Path, zipped: bool, count: int) -> None:
    pack = gzip.compress if zipped else bytes
    raw = pack(struct.pack(">iiii", 2051, 5, 8, 8) + bytes(range(64)) * 5)
    labels = pack(struct.pack(">ii", 2049, 5) + bytes(5))
    for name, other, content in (("images-idx3", "labels-idx1", labels), ("labels-idx1", "images-idx3", raw)):
        found = set()
        path = tmp_path / f"train-{name}-ubyte"
        (tmp_path / f"train-{other}-ubyte").write_bytes(content)
        for bad in damaged(raw if name.startswith("images") else labels, count, seed=3):
            path.write_bytes(bad)
            found.add(
                sentence_or_data(lambda: open_data(DataConfig(f"mnist:{tmp_path}", size=8)).reference(4), path.name)
            )
        assert found == {"sentence", "data"}


@pytest.mark.parametrize("count", many(2000))
def test_cifar10(tmp_path: Path, count: int) -> None:
    path, raw, found = tmp_path / "data_batch_1.bin", bytes(3073 * 3), set()
    for content in damaged(raw, count, seed=4):
        path.write_bytes(content)
        found.add(sentence_or_data(lambda: open_data(DataConfig(f"cifar10:{path}")).reference(4), path.name))
    assert found == {"sentence", "data"}


@pytest.mark.parametrize("count", many(2000))
@pytest.mark.parametrize("name", ["c.tar", "c.tar.gz", "c.tgz", "c.tar.bz2", "c.tar.xz", "c.zip"])
def test_archives(tmp_path: Path, name: str, count: int) -> None:
    """A flipped bit is found, but in a plain .tar, which has checksums of its headers alone."""
    path, raw = tmp_path / name, archive(name)
    path.write_bytes(raw)
    assert members(path, WANTED) == TEXTS
    refused = 0
    for content in damaged(raw, count, seed=5):
        path.write_bytes(content)
        try:
            found = members(path, WANTED)
        except UNREADABLE:
            refused += 1
            continue
        if name == "c.tar":
            assert len(found) == len(TEXTS) or content[:512] != raw[:512] or len(content) != len(raw)
        else:
            assert found == TEXTS
    assert refused > count / 4


def test_archives_that_python_cannot_unpack_are_named(tmp_path: Path) -> None:
    for i in range(12):
        Image.fromarray(PIXELS).save(tmp_path / f"image_{i:05d}.png")
    packed = bytearray(archive("c.zip"))
    for mark, offset, field, value in ((b"PK\1\2", 10, "<H", 9), (b"PK\1\2", 8, "<H", 1), (b"PK\1\2", 24, "<I", 2**31)):
        raw, at = bytearray(packed), 0
        while (at := raw.find(mark, at)) >= 0:
            struct.pack_into(field, raw, at + offset, value)
            at += 4
        (tmp_path / "c.zip").write_bytes(raw)  # Deflate64, encrypted, a text of two gigabytes
        with pytest.raises(UsageError, match=r"the archive .*c\.zip' cannot be read"):
            open_captions(CaptionConfig(f"flowers:{tmp_path}"))
    (tmp_path / "c.zip").write_bytes(packed)
    assert sum(map(len, open_captions(CaptionConfig(f"flowers:{tmp_path}"))[:2])) == 12


@pytest.mark.parametrize("count", many(2000))
def test_captions_and_records(tmp_path: Path, count: int) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for i in range(5):
        Image.fromarray(PIXELS).save(own / f"{i}.png")
        (own / f"{i}.txt").write_text(f"größe {i}\nnumber {i}\n", encoding="utf-8")
    files = tmp_path / "files"
    open_captions(CaptionConfig(f"folder:{own}"), folder=files)
    raw, found = (own / "3.txt").read_bytes(), set()
    for content in damaged(raw, count, seed=6):
        (own / "3.txt").write_bytes(content)
        found.add(sentence_or_data(lambda: open_captions(CaptionConfig(f"folder:{own}"), folder=files), "3."))
    assert "sentence" in found
    raw, found = (files / FILE).read_bytes(), set()
    for content in damaged(raw, count, seed=7):
        (files / FILE).write_bytes(content)
        found.add(sentence_or_data(lambda: Record(files), FILE))
    assert "sentence" in found
