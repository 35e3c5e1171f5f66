"""How translations are measured: do they look like the domain that was asked for, and do they still show the same?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from core.metrics.features import Extractor
from core.metrics.probes import Probe, confusion, draw_confusion
from generative.data.sources import Pictures

__all__ = ["Measures", "brightest"]

MORE = 6  # times as many pictures as are measured are those that the domain classifier learns


class Measures:
    """Measures of held-out pictures, each translated into all domains but its own.

    eval/taken: share that a `Probe`, which learned the domains from other pictures, takes for the domain asked for, _least that
    of the domain where it is smallest; eval/taken_real: share of the held-out pictures themselves. Where the pictures are
    digits, eval/same_digit: share in which the digit classifier reads what it read before. eval/right: share of which both hold.
    """

    def __init__(self, train: Pictures, held_out: Pictures, classes: np.ndarray, domains: Sequence[str], count: int):
        self.train, self.held_out, self.classes, self.domains, self.count = train, held_out, classes, domains, count

    def __call__(self, translate: Callable[[np.ndarray, str], np.ndarray]) -> dict[str, Any]:
        """Return the measures and a protocol."""
        own = self.held_out.spread(self.count)
        x, labels = self.held_out.rows_at(own), self._labels(self.held_out)[own]
        digits = self._read(x)
        taken, same, asked, read = [], [], [], []
        for k, domain in enumerate(self.domains):
            others = labels != self.classes[k]
            if not others.any():
                continue
            after = translate(x[others], domain)
            found = self.probe(after)
            asked.append(np.full(len(found), self.classes[k]))
            read.append(found)
            taken.append(found == self.classes[k])
            same.append(self._read(after) == digits[others] if digits is not None else np.ones(len(found), bool))
        table = confusion(np.concatenate(asked), np.concatenate(read), self.classes)
        both = np.concatenate([a & b for a, b in zip(taken, same, strict=True)])
        measured: dict[str, Any] = {
            "eval/right": float(both.mean()),
            "eval/taken": float(np.concatenate(taken).mean()),
            "eval/taken_least": float(min(part.mean() for part in taken)),
            "eval/taken_real": float(np.mean(self.probe(x) == labels)),
            "samples/confusion": draw_confusion([("domain asked for, %", table)], np.array(self.domains))[None]
            if len(self.domains) == len(self.classes)
            else None,
        }
        if digits is not None:
            measured["eval/same_digit"] = float(np.concatenate(same).mean())
        reader = (
            f"; digits are read by the {self._extractor.protocol} in the brightest colour of each pixel"
            if self._digits
            else ""
        )
        measured["eval/protocol"] = (
            f"{len(both):,} translations of {len(x):,} held-out pictures ({self.held_out.protocol}) into all domains but their "
            f"own; domains are told apart by a {self.probe.protocol}{reader}"
        )
        return {tag: value for tag, value in measured.items() if value is not None}

    @cached_property
    def probe(self) -> Probe:
        """Tells the domains apart."""
        some = self.train.spread(MORE * self.count)
        return Probe(self.train.rows_at(some), self._labels(self.train)[some])

    @property
    def _digits(self) -> bool:
        return self.train.digits == 1

    @cached_property
    def _extractor(self) -> Extractor:
        return Extractor("digits")

    def _read(self, images: np.ndarray) -> np.ndarray | None:
        return self._extractor.classify(brightest(images)) if self._digits else None

    @staticmethod
    def _labels(data: Pictures) -> np.ndarray:
        assert data.labels is not None  # the model has looked
        return data.labels


def brightest(images: np.ndarray) -> np.ndarray:
    """Return the brightest colour of each pixel, [N, H, W, C] -> [N, H, W, 1] uint8: a red digit is as bright as a white one."""
    return images.max(axis=3, keepdims=True)
