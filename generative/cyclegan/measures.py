"""How translations without true pictures are measured: do they look like the target's, and do they still show the same?"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from core.metrics.probes import Probe, confusion, draw_confusion
from generative.adversarial.evaluation import Evaluation
from generative.adversarial.translation import Drawn, Shown
from generative.data.two import Domain, Two

__all__ = ["Measures"]

READ = 16  # pixels a side in which labels are read, at most
VARIED = 2  # variations of each picture that their reader learns from as well
Translate = Callable[[np.ndarray, str], np.ndarray]


class _Way(NamedTuple):
    """One of the two directions: from `source` into `target`, of which `tag` is the letter."""

    tag: str
    source: Domain
    target: Domain


class Measures:
    """Measures translations of held-out pictures, both ways; `t` is the letter of the target, a or b.

    eval/frechet_t: Fréchet distance to the pictures of the target that were learned from; eval/distance, the headline, is their
    mean. eval/taken_t: the share that a domain classifier takes for the target's; eval/taken_t_before that of the pictures
    before they were translated. Where both sets have the same labels, eval/same_class_t: the share in which a classifier of the
    target's pictures reads the label of the picture that was translated, eval/same_class_t_real in the target's own held-out
    pictures, and samples/confusion the tables. All classifiers are `Probe`s of the pictures that were learned from.
    """

    def __init__(self, data: Two, count: int, extractor: str):
        self.data, self.count, self._extractor = data, count, extractor
        self.ways = (_Way("a", data.b, data.a), _Way("b", data.a, data.b))

    def __call__(self, translate: Translate) -> dict[str, Any]:
        """Return the measures and a protocol."""
        measured: dict[str, Any] = {}
        for way, evaluation in zip(self.ways, self._evaluations, strict=True):
            before = way.source.held_out.reference(self.count)
            after = translate(before, way.target.name)
            measured[f"eval/frechet_{way.tag}"] = evaluation.of_pictures(Drawn(after))["eval/frechet"]
            for name, images in ((f"taken_{way.tag}", after), (f"taken_{way.tag}_before", before)):
                measured[f"eval/{name}"] = float(np.mean(self._domain_probe(images) == way.tag))
            labels = _labels_of(way.source, self.count)
            if self.data.classes is not None and labels is not None:
                own, own_labels = way.target.held_out.reference(self.count), _labels_of(way.target, self.count)
                probe = self._class_probes[way.tag]
                measured[f"eval/same_class_{way.tag}"] = float(np.mean(probe(after) == labels))
                measured[f"eval/same_class_{way.tag}_real"] = float(np.mean(probe(own) == own_labels))
        if self.data.classes is not None:
            measured["samples/confusion"] = self.confusions(translate)
        extractor = self._evaluations[0].extractor
        assert extractor is not None
        measured["eval/distance"] = 0.5 * (measured["eval/frechet_a"] + measured["eval/frechet_b"])
        measured["eval/protocol"] = (
            f"translations of held-out pictures ({self.data.protocol}); Fréchet distances to at most {self.count:,} of the "
            f"target's that were learned from, {extractor.protocol}; domains are told apart by a {self._domain_probe.protocol}"
        )
        if self.data.classes is not None:
            measured["eval/protocol"] += (
                f"; labels are read by a {self._class_probes['b'].protocol}, at {READ} pixels or fewer a side"
            )
        return measured

    def open(self) -> None:
        """Open the extractor; UsageError where it does not exist or does not fit."""
        _ = self._evaluations

    def confusions(self, translate: Translate) -> np.ndarray:
        """Return a picture [1, H, W, 3] uint8: what is read in translations of held-out pictures of each label, both ways."""
        assert self.data.classes is not None
        tables = []
        for way in reversed(self.ways):
            after = translate(way.source.held_out.reference(self.count), way.target.name)
            labels = _labels_of(way.source, self.count)
            assert labels is not None
            counts = confusion(labels, self._class_probes[way.tag](after), self.data.classes)
            tables.append((f"{way.source.name} as {way.target.name}, %", counts))
        return draw_confusion(tables, self.data.classes)[None]

    @cached_property
    def _evaluations(self) -> list[Evaluation]:
        return [
            Evaluation(
                Shown(way.target.train.reference(self.count), way.target.train.protocol), self.count, self._extractor
            )
            for way in self.ways
        ]

    @cached_property
    def _domain_probe(self) -> Probe:
        """Tells A from B, of which it has seen equally many."""
        count = min(self.count, *(len(domain.train) for domain in self.data))
        images = [domain.train.reference(count) for domain in self.data]
        return Probe(np.concatenate(images), np.repeat(["a", "b"], [len(part) for part in images]))

    @cached_property
    def _class_probes(self) -> dict[str, Probe]:
        """A reader of the labels of each set."""
        probes = {}
        for way in self.ways:
            labels = way.target.train.labels
            assert labels is not None
            some = way.target.train.spread(self.count)
            probes[way.tag] = Probe(way.target.train.rows_at(some), labels[some], side=READ, varied=VARIED)
        return probes


def _labels_of(domain: Domain, count: int) -> np.ndarray | None:
    """Return the labels of the held-out pictures `reference` gives, None where there are none."""
    labels = domain.held_out.labels
    return None if labels is None else labels[domain.held_out.spread(count)]
