"""Pictures with their labels: which there are, and batches of both."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from generative.data.record import Record
from generative.data.sources import Pictures

__all__ = ["Labelled", "classes_of"]


class Labelled:
    """Batches of pictures with the numbers of their labels, for a `Stream`; their order is that of the pictures alone."""

    def __init__(self, data: Pictures, classes: np.ndarray):
        self.data, self.classes = data, classes

    def draw(self, seed: int, position: int, batch: int) -> tuple[np.ndarray, np.ndarray]:
        """Return pictures [B, H, W, C] bytes and numbers [B] int64: number k is the label classes[k].

        Raises UsageError where the data are gone.
        """
        x = self.data.draw(seed, position, batch)
        assert self.data.labels is not None  # else there is no class, and no batch of labels is asked for
        return x, np.searchsorted(self.classes, self.data.labels[self.data.positions(seed, position, batch)])


def classes_of(data: Pictures, folder: Path) -> np.ndarray:
    """Return the labels there are [K] in order, none where there are none; the run's record knows those of data that are gone."""
    record = Record(folder)
    if data.labels is not None:
        classes = np.unique(data.labels)
        record.keep("labels", {"classes": classes.tolist()})
        return classes
    kept = record.part("labels")
    return np.array(kept["classes"] if kept else [], np.int64)
