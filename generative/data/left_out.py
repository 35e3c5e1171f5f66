"""One class left out of training as the anomaly, and pictures of all classes held out to find it among."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from core.errors import nearest, require
from generative.data.record import Absent
from generative.data.sources import Pictures

__all__ = ["NONE", "LeftOut", "leave_out"]

NONE = "none"


class LeftOut(NamedTuple):
    """Three disjoint parts of one set of pictures."""

    train: Pictures
    """Normal pictures to learn from."""
    normal: Pictures
    """Normal pictures that are held out, not mirrored."""
    anomalous: Pictures | None
    """All pictures of the class that is left out, None where none is."""

    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """Return the pictures that are not learned from [N, H, W, C] and which of them are anomalous [N] bool."""
        images = self.normal.reference(len(self.normal))
        if self.anomalous is None:
            return images, np.zeros(len(images), bool)
        found = self.anomalous.reference(len(self.anomalous))
        return np.concatenate([images, found]), np.arange(len(images) + len(found)) >= len(images)

    def shown(self, n: int) -> np.ndarray:
        """Return n pictures [n, H, W, C] that are not learned from, half of them of the class left out; always the same."""
        if self.anomalous is None or n < 2:
            return self.normal.reference(n)
        return np.concatenate([self.normal.reference(-(-n // 2)), self.anomalous.reference(n // 2)])

    @property
    def protocol(self) -> str:
        """What was learned from and what is measured on, for results."""
        what = f"{len(self.train):,} pictures learned from; {self.normal.protocol}, held out"
        return what if self.anomalous is None else f"{what}, against {len(self.anomalous):,} of the class left out"


def leave_out(data: Pictures, anomaly: str, held_out: float) -> LeftOut:
    """Return the parts of `data`: `anomaly` is the label of the class that is left out, or none; `held_out` is a share.

    Which pictures are held out is the same for every seed. Raises UsageError for a label that there is not, and for so few normal
    pictures that none is left to learn from or to measure.
    """
    if isinstance(data.images, Absent):  # the data are gone: whoever asks for a picture is told so
        return LeftOut(data, data, None)
    anomalous = None
    if anomaly != NONE:
        require(
            data.labels is not None,
            f"anomaly is {anomaly!r}, a label; {data.name} has none, choose {NONE!r} to learn from all its pictures",
        )
        assert data.labels is not None
        labels = [str(label) for label in np.unique(data.labels)]
        require(anomaly in labels, f"anomaly is {anomaly!r}; {nearest(anomaly, [*labels, NONE])}")
        require(len(labels) > 1, f"anomaly is {anomaly!r}, the one label of {data.name}; nothing is left to learn from")
        is_anomaly = data.labels == int(anomaly)
        anomalous, data = data.at(np.flatnonzero(is_anomaly)), data.at(np.flatnonzero(~is_anomaly))
    count = round(held_out * len(data))
    require(
        1 <= count < len(data),
        f"held_out is {held_out:g}, which is {count} of {len(data)} normal pictures; at least one must be held out, and one left",
    )
    train, normal = data.split(count)
    return LeftOut(train, normal, anomalous)
