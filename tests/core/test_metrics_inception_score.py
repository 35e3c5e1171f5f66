"""The inception score, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.inception_score import inception_score


def test_by_hand() -> None:
    p = np.array([[0.75, 0.25], [0.25, 0.75]])  # p(y) = 1/2, 1/2
    assert inception_score(p) == pytest.approx(1.5**0.75 * 0.5**0.25)
    q = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])  # p(y) = 2/3, 1/3; KL: log 3/2 twice, log 3
    assert inception_score(q) == pytest.approx((1.5 * 1.5 * 3) ** (1 / 3))


def test_its_bounds() -> None:
    assert inception_score(np.eye(10)) == pytest.approx(10)
    assert inception_score(np.full((7, 10), 0.1)) == pytest.approx(1)
    assert inception_score(np.eye(10)[[3] * 5]) == pytest.approx(1)


@pytest.mark.parametrize("p", [np.ones((3, 2)), np.array([[1.5, -0.5]]), np.zeros((0, 2)), np.array([0.5, 0.5])])
def test_what_are_no_probabilities(p: np.ndarray) -> None:
    with pytest.raises(ValueError, match="sum to 1"):
        inception_score(p)
