"""What can be said of a few runs with different seeds: means with their uncertainty, and the interquartile mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import scipy.stats

__all__ = ["area", "bootstrap_interval", "interquartile_mean"]

RESAMPLES = 10_000


def interquartile_mean(scores: Sequence[float]) -> float:
    """Return the mean of the middle half of the scores: a quarter of them, rounded down, is left out at either end.

    Agarwal et al. (2021), "Deep RL at the Edge of the Statistical Precipice"; as rliable defines it, whole scores are left out.

    >>> interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100])
    3.5
    """
    return float(scipy.stats.trim_mean(scores, 0.25))


def bootstrap_interval(
    scores: Sequence[float], statistic: Callable[..., float] | None = None, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of a statistic (the mean) over seeds, or None for fewer than two scores.

    Resamples scores with replacement 10,000 times (Efron, 1979), from a fixed seed, so that the same runs give the same table.
    """
    if len(scores) < 2:
        return None
    values = np.asarray(scores, float)
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    if statistic is None:
        resampled = values[picks].mean(axis=1)
    else:
        resampled = np.array([statistic(row) for row in values[picks]])
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def area(steps: Sequence[float], values: Sequence[float]) -> float:
    """Return the mean height of a curve over its clock, by the trapezoid rule; its one value for a single point.

    >>> area([0, 10, 20], [0.0, 1.0, 1.0])
    0.75
    """
    if len(steps) == 1:
        return float(values[0])
    return float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))
