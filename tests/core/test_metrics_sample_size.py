"""The line through 1 / N: a law that is known, and the bias of the Fréchet distance between equal Gaussians."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.distances import Gaussian, frechet_distance
from core.metrics.sample_size import POINTS, at_infinity, extrapolated, sizes_from


def test_a_known_line() -> None:
    assert at_infinity([1, 2], [5.0, 4.0]) == pytest.approx(3)  # 3 + 2 / n
    assert at_infinity([100, 200, 400], [3 + 50 / n for n in (100, 200, 400)]) == pytest.approx(3)
    assert extrapolated(lambda rows: 7 - 90 / len(rows), 1000, 2) == pytest.approx(7)


def test_the_best_line_in_squares() -> None:
    # 1/n is 1, 1/2, 1/4 with mean 7/12; the slope is (-15/36) / (42/144) = -10/7
    assert at_infinity([1, 2, 4], [0.0, 1.0, 1.0]) == pytest.approx(2 / 3 + 10 / 7 * 7 / 12)


def test_sizes() -> None:
    sizes = sizes_from(1500, 2)
    assert sizes[0] == 150 and sizes[-1] == 1500 and len(sizes) == POINTS
    assert sizes_from(1500, 700)[0] == 700
    assert sizes_from(1500, 751) == [] and extrapolated(lambda rows: 1.0, 1500, 751) is None
    assert sizes_from(10, 2) == [2, 3, 4, 5, 6, 7, 8, 9, 10]


def test_rows_are_drawn_without_replacement_and_always_the_same() -> None:
    seen: list[np.ndarray] = []
    for seed in (0, 0, 1):
        extrapolated(lambda rows: float(seen.append(rows) or 0), 300, 2, seed)
    assert all(len(set(rows)) == len(rows) and rows.max() < 300 for rows in seen)
    first, again, other = (seen[i * POINTS : (i + 1) * POINTS] for i in range(3))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert any((a != b).any() for a, b in zip(first, other, strict=True))


def test_the_bias_of_the_frechet_distance_goes() -> None:
    """Samples of N(0, 1) against N(0, 1) itself: the distance should be 0, and 400 samples in 10 dimensions say 0.1."""
    truth = Gaussian(np.zeros(10), np.eye(10))
    left, biased = [], []
    for seed in range(10):
        x = np.random.default_rng(seed).normal(size=(400, 10))
        biased.append(frechet_distance(Gaussian.of(x), truth))
        value = extrapolated(lambda rows, x=x: frechet_distance(Gaussian.of(x[rows]), truth), 400, 11)
        assert value is not None
        left.append(value)
    assert np.mean(biased) > 0.08 and abs(np.mean(left)) < 0.25 * np.mean(biased)


def test_one_size_is_no_line() -> None:
    with pytest.raises(ValueError, match="at least 2"):
        at_infinity([5, 5], [1.0, 1.0])
