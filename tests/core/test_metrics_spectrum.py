"""Spectra against waves and noise whose power is known by hand."""

from __future__ import annotations

import numpy as np
import pytest

from core.metrics.spectrum import high_energy, pattern, power_spectrum


def test_power_of_a_wave_and_of_noise() -> None:
    y = np.arange(96)[:, None, None]
    wave = np.broadcast_to(6 * np.cos(2 * np.pi * 5 * y / 32), (96, 64, 1))
    power = power_spectrum(wave + 40, 32)[..., 0]
    assert power[5, 0] == pytest.approx(36 * 16**4 / 4) and power[27, 0] == pytest.approx(36 * 16**4 / 4)
    assert power[6, 0] == pytest.approx(power[5, 0] / 4), "the window's line has the amplitudes 1/2, 1, 1/2"
    assert power[5, 1] == pytest.approx(power[5, 0] / 4) and power[8, 0] == pytest.approx(0, abs=1e-6)
    noise = np.random.default_rng(0).normal(0, 3, (512, 512, 1))
    assert power_spectrum(noise, 16)[3:14, 3:14].mean() == pytest.approx(9 * 6**2, rel=0.02)
    with pytest.raises(ValueError, match="at least 32"):
        power_spectrum(noise[:31], 32)


@pytest.mark.parametrize(
    ("scale", "k", "m"), [(2, 1, 0), (2, 1, 1), (3, 1, 2), (4, 1, 0), (4, 2, 1), (4, 0, 2), (8, 3, 5)]
)
def test_pattern_of_one_channel(scale: int, k: int, m: int) -> None:
    """A wave of amplitude a in noise of variance v: 1 + c a^2 (side / 2)^4 / (v (3 side / 8)^2), c 1/4, at Nyquist 1."""
    side, v = 8 * scale, 4.0
    y, x = np.indices((512, 512))
    truth = np.random.default_rng(1).normal(0, np.sqrt(v), (512, 512, 3))
    real = (2 * k) % scale == 0 and (2 * m) % scale == 0  # the wave alternates, its two lines fall on one
    a = np.sqrt(5 * v * (3 * side / 8) ** 2 / (side / 2) ** 4 / (1 if real else 0.25))  # six times the noise
    made = np.zeros((512, 512, 3))
    made[..., 1] = a * np.cos(2 * np.pi * (k * y + m * x) / scale)
    red, green, blue = pattern(truth, made, scale)
    assert green == pytest.approx(6, rel=0.4 if scale == 8 else 0.25)
    assert red < 1.8 and blue < 1.8, "noise alone, the largest of scale^2 / 2 ratios"


def test_pattern_of_other_periods_and_small_pictures() -> None:
    y, _ = np.indices((512, 512))
    truth = np.random.default_rng(1).normal(0, 1, (512, 512, 1))
    assert pattern(truth, 2 * np.cos(2 * np.pi * y / 5)[..., None], 4)[0] < 1.5
    assert pattern(truth, np.zeros_like(truth), 4)[0] < 1.5
    assert pattern(truth[:79], truth[:79], 4) is None and high_energy(truth[:31, :, 0], 4) is None
    assert pattern(truth, truth, 4)[0] == 0


def test_energy_at_high_frequencies() -> None:
    """Of white noise the share of frequencies above 1/8 on either axis: all but (9 / 32)^2."""
    noise = np.random.default_rng(0).normal(0, 5, (512, 512))
    assert high_energy(noise, 4) == pytest.approx(25 * (1 - (9 / 32) ** 2), rel=0.02)
    y, x = np.indices((512, 512))
    assert high_energy(np.cos(2 * np.pi * y / 16), 4) < 1e-9 < high_energy(np.cos(2 * np.pi * (y + x) / 4), 4)
