"""Mode counts: perfect samples score as theory says; lost, collapsed, lopsided and blurred modes each show in their number."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.metrics.modes import count_modes

SIDE = np.arange(-4, 5, 2)
CENTRES = np.stack(np.meshgrid(SIDE, SIDE), axis=-1).reshape(-1, 2).astype(float)
SIGMA = 0.05


def draw(n: int = 50_000, modes: int = 25, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(0)
    return CENTRES[rng.integers(modes, size=n)] + scale * SIGMA * rng.normal(size=(n, 2))


def test_true_samples() -> None:
    found = count_modes(draw(), CENTRES, SIGMA)
    assert found.modes == 25
    assert found.high_quality == pytest.approx(1 - math.exp(-4.5), abs=0.002)  # P(chi^2_2 < 9) = 98.9 %
    assert found.reverse_kl == pytest.approx(0, abs=0.002)
    assert found.deviation == pytest.approx(1, abs=0.02)
    assert 0.9 < found.deviation_least <= found.deviation <= found.deviation_most < 1.1
    assert "50,000 samples" in found.protocol


def test_lost_modes() -> None:
    found = count_modes(draw(modes=5), CENTRES, SIGMA)
    assert found.modes == 5 and found.reverse_kl == pytest.approx(math.log(5), abs=0.01)


def test_points_do_not_score_as_modes_with_width() -> None:
    found = count_modes(draw(scale=0.01), CENTRES, SIGMA)
    assert found.high_quality == 1.0 and found.modes == 25
    assert found.deviation == pytest.approx(0.01, rel=0.05) and found.deviation_most < 0.02


def test_blurred_modes_show_in_quality_and_deviation() -> None:
    found = count_modes(draw(scale=2.0), CENTRES, SIGMA)
    assert found.high_quality == pytest.approx(1 - math.exp(-9 / 8), abs=0.01)
    assert found.deviation > 1.6


def test_reverse_kl_by_hand() -> None:
    x = np.repeat(CENTRES[:2], [3, 1], axis=0)
    found = count_modes(x, CENTRES[:2], SIGMA)
    assert found.reverse_kl == pytest.approx(0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5))


def test_nothing_found() -> None:
    found = count_modes(np.full((10, 2), 50.0), CENTRES, SIGMA)
    assert (found.modes, found.high_quality, found.deviation) == (0, 0.0, 0.0)
    assert found.reverse_kl == pytest.approx(math.log(25))
    with pytest.raises(ValueError, match="needed"):
        count_modes(np.zeros((3, 3)), CENTRES, SIGMA)
