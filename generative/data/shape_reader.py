"""Reads captioned shapes off pictures: a small classifier looks at each of the nine cells. Its weights lie beside this file."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np

from generative.data.pixels import scaled
from generative.data.shapes import COLOURS, PLACES, SHAPES, SIDE, SIZES, Thing

__all__ = ["WEIGHTS", "Reader", "cells", "network"]

WEIGHTS = Path(__file__).parent / "shape_reader.npz"
CELL = 24  # pixels a side: a cell and a margin, into which a neighbour may reach
STARTS = (0, 20, SIDE - CELL)
OUTPUTS = (len(COLOURS) + 1, len(SHAPES), len(SIZES))  # colour 0 is an empty cell
BATCH = 200


def network() -> keras.Model:
    """Return the classifier with random weights: cells [B, 24, 24, 3] in [-1, 1] -> logits [B, 9 + 4 + 2]."""

    def conv(filters: int) -> keras.layers.Layer:
        return keras.layers.Conv2D(filters, 3, padding="same", activation="relu", dtype="float32")

    def pool() -> keras.layers.Layer:
        return keras.layers.MaxPooling2D(2, dtype="float32")

    x = keras.Input((CELL, CELL, 3))
    h = pool()(conv(32)(pool()(conv(32)(pool()(conv(16)(x))))))
    h = keras.layers.Dense(64, activation="relu", dtype="float32")(keras.layers.Flatten(dtype="float32")(h))
    return keras.Model(x, keras.layers.Dense(sum(OUTPUTS), dtype="float32")(h), name="shape_reader")


def cells(images: np.ndarray) -> np.ndarray:
    """Cut pictures [N, 64, 64, 3] uint8 into [N, 9, 24, 24, 3] float32 in [-1, 1]."""
    cut = [images[:, top : top + CELL, left : left + CELL] for top in STARTS for left in STARTS]
    return scaled(np.stack(cut, axis=1).astype(np.float32))


class Reader:
    """Pictures [N, 64, 64, 3] uint8 -> the things on each. `protocol` names the weights by their checksum."""

    def __init__(self, path: Path = WEIGHTS):
        self.model = network()
        with np.load(path, allow_pickle=False) as file:
            self.model.set_weights([file[f"w{i}"] for i in range(len(file.files))])
        digest = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        self.protocol = f"read by the classifier of shapes, sha256 {digest}"

    def __call__(self, images: np.ndarray) -> list[tuple[Thing, ...]]:
        """Return the scene on every picture, by cells from the top left."""
        return [
            tuple(t for t, empty in zip(row, empties, strict=True) if not empty)
            for row, empties in zip(*self._read(images)[:2], strict=True)
        ]

    def single(self, images: np.ndarray) -> list[Thing]:
        """Return the one thing that each picture shows most surely, whatever else there is."""
        things, _, filled = self._read(images)
        return [row[int(np.argmax(sure))] for row, sure in zip(things, filled, strict=True)]

    def _read(self, images: np.ndarray) -> tuple[list[list[Thing]], np.ndarray, np.ndarray]:
        """Return (thing in each cell if there is one [N][9], whether it is empty [N, 9], how surely it is filled [N, 9])."""
        parts = [
            np.asarray(self.model(cells(images[i : i + BATCH]).reshape(-1, CELL, CELL, 3), training=False))
            for i in range(0, len(images), BATCH)
        ]
        logits = np.concatenate(parts).reshape(len(images), len(PLACES), -1)  # [N, 9, 15]
        colour, shape, size = np.split(logits, np.cumsum(OUTPUTS)[:-1], axis=2)
        filled = colour[..., 1:].max(axis=2) - colour[..., 0]  # [N, 9]
        c, s, z = (values.argmax(axis=2) for values in (colour[..., 1:], shape, size))  # [N, 9] each
        things = [
            [Thing(int(c[n, at]), int(s[n, at]), int(z[n, at]), at) for at in range(len(PLACES))]
            for n in range(len(images))
        ]
        return things, filled <= 0, filled
