"""Anomaly scores and maps against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.anomalies import anomaly_maps, anomaly_sheet, scaled_scores


def test_scores_lie_between_the_least_and_the_most_of_the_set() -> None:
    np.testing.assert_allclose(scaled_scores(np.array([3.0, 1.0, 2.0], np.float32)), [1, 0, 0.5])
    np.testing.assert_array_equal(scaled_scores(np.array([2.0, 2.0])), [0, 0])


def test_a_map_is_black_where_nothing_differs_and_brighter_the_more_does() -> None:
    x = np.zeros((1, 1, 3, 3), np.uint8)
    y = x.copy()
    y[0, 0, 1] = (30, 60, 90)  # 60 on average
    y[0, 0, 2] = 255
    maps = anomaly_maps(x, y)
    assert maps.shape == (1, 1, 3, 3)
    brightness = maps[0, 0].astype(int).sum(axis=-1)
    assert brightness[0] < 10 < brightness[1] < 400 < brightness[2]
    same = y.copy()
    same[0, 0, 1] = 60
    np.testing.assert_array_equal(anomaly_maps(x, same), maps)
    np.testing.assert_array_equal(anomaly_maps(y, x), maps)
    with pytest.raises(ValueError, match="reconstructions"):
        anomaly_maps(x, y[:, :, :2])


def test_a_sheet_shows_picture_reconstruction_and_map_below_each_other() -> None:
    x, y = np.full((2, 4, 5, 1), 200, np.uint8), np.full((2, 4, 5, 1), 100, np.uint8)
    sheet = anomaly_sheet(x, y)
    assert sheet.shape == (2, 12, 5, 3)
    assert (sheet[:, :4] == 200).all() and (sheet[:, 4:8] == 100).all()
    np.testing.assert_array_equal(sheet[:, 8:], anomaly_maps(x, y))
