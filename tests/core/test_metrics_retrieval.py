"""Nearest neighbours against an exhaustive search; `recall_at_1` is tested with the losses it measures."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics import retrieval
from core.metrics.retrieval import nearest


def test_nearest_by_hand() -> None:
    among = np.array([[0.0, 0.0], [5.0, 0.0], [1.0, 1.0]])
    assert nearest(np.array([[0.1, 0.0], [4.0, 0.0]]), among, 3).tolist() == [[0, 2, 1], [1, 2, 0]]
    assert nearest(np.empty((0, 2)), among).shape == (0, 1)


def test_nearest_is_an_exhaustive_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retrieval, "ROWS", 7)  # several blocks, the last one short
    rng = np.random.default_rng(0)
    x, among = (rng.normal(1000.0, 1.0, (n, 5)).astype(np.float32) for n in (30, 50))  # far from 0: squares cancel
    distances = np.linalg.norm(x[:, None].astype(np.float64) - among, axis=2)
    np.testing.assert_array_equal(nearest(x, among, 4), distances.argsort(axis=1)[:, :4])


@pytest.mark.parametrize(
    ("x", "among", "k"), [((2, 3), (4, 2), 1), ((2, 3), (4, 3), 5), ((2, 3), (4, 3), 0), ((3,), (4, 3), 1)]
)
def test_what_has_no_neighbours(x: tuple, among: tuple, k: int) -> None:
    with pytest.raises(ValueError, match="nearest of"):
        nearest(np.zeros(x), np.zeros(among), k)
