"""Measures of drawn pictures that need the pictures learned from: copies, and the balance of digits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from generative.adversarial.evaluation import Evaluation
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data


class Fixed:
    """Pictures that are there already."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def sample(self, n: int, seed: int) -> np.ndarray:
        return self.images[:n]


def novelty(data: Any, images: np.ndarray, count: int = 60) -> Any:
    return Evaluation(data, count).of_pictures(Fixed(images)).get("eval/novelty")


def test_novelty_tells_copies_from_fresh_pictures() -> None:
    digits = open_data(DataConfig("digits", size=16))
    assert isinstance(digits, Pictures)
    learned, fresh = digits.split(400)
    assert 0.85 < novelty(learned, fresh.reference(400), 400) < 1.15
    copies = learned.rows_at(np.arange(len(learned) - 1, len(learned) - 61, -1))  # also of what no measure refers to
    assert novelty(learned, copies) == pytest.approx(0, abs=0.01)


def test_novelty_sees_copies_of_mirrored_examples() -> None:
    images = np.random.default_rng(0).integers(256, size=(60, 16, 16, 1), dtype=np.uint8)
    for mirror, expected in ((True, 0.0), (False, 1.0)):
        data = Pictures("mine", "test pictures", images, mirror=mirror)
        assert novelty(data, images[:, :, ::-1]) == pytest.approx(expected, abs=0.1)


def test_novelty_is_left_out_where_it_says_nothing() -> None:
    same = Pictures("mine", "test pictures", np.full((60, 16, 16, 1), 7, np.uint8))
    assert novelty(same, np.zeros((60, 16, 16, 1), np.uint8)) is None
    stacked = open_data(DataConfig("stacked-digits"))
    assert novelty(stacked, stacked.reference(60)) is None


def test_digits_are_counted_by_class() -> None:
    digits = open_data(DataConfig("mnist5k"))
    assert isinstance(digits, Pictures)
    zeros = digits.rows_at(np.flatnonzero(digits.labels == 0)[:60])
    measured = Evaluation(digits, 60).of_pictures(Fixed(zeros))
    assert measured["eval/rarest_class"] == 0 and measured["eval/commonest_class"] > 0.95
    measured = Evaluation(digits, 200).of_pictures(Fixed(digits.reference(200)))
    assert measured["eval/rarest_class"] > 0.07 and measured["eval/commonest_class"] < 0.13
