"""All measures of samples against examples over their features, and what of them is extrapolated to infinitely many samples."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import softmax

from core.metrics.distances import (
    Gaussian,
    density_coverage,
    frechet_distance,
    kernel_distance,
    precision_recall,
)
from core.metrics.inception_score import inception_score
from core.metrics.sample_size import POINTS, extrapolated

__all__ = [
    "K_DENSITY",
    "K_PRECISION",
    "LEAST",
    "NEIGHBOURS",
    "PROTOCOL",
    "STEPS",
    "distances_between",
    "inception_scores",
]

K_PRECISION, K_DENSITY = 3, 5  # neighbours, as the papers take them
LEAST = K_DENSITY + 1
"""Samples, and examples, that are needed."""
NEIGHBOURS = 10_000
"""Of each side at most, for the measures that need all pairs."""
STEPS = POINTS + 3
"""Calls of `tick` by `distances_between`, where it extrapolates."""
PROTOCOL = (
    f"Fréchet distance with covariances over n - 1, its infinity by a line in 1/n through {POINTS} sizes of A against all of B, "
    f"kernel distance (x'y/D + 1)^3 in blocks of at most 1,000, precision and recall with k = {K_PRECISION}, density "
    f"and coverage with k = {K_DENSITY}"
)
Tick = Callable[[], object]


def distances_between(
    fake: np.ndarray, real: np.ndarray, *, seed: int = 0, tick: Tick = lambda: None
) -> dict[str, float | None]:
    """Return the measures of features fake [N, D] against real [M, D] by name; N, M >= LEAST.

    frechet; frechet_infinity, what it would be of infinitely many samples against these examples (None where there are fewer than
    2 (D + 1) samples, since the covariance of fewer than D + 1 is singular and its bias no line); kernel_distance; precision,
    recall, density and coverage of the first NEIGHBOURS of each. The rows must be in random order: the kernel distance takes
    them in blocks. `tick` is called as the work goes on.
    """

    def frechet(rows: np.ndarray | slice) -> float:
        tick()
        return frechet_distance(gaussian, Gaussian.of(fake[rows]))

    gaussian = Gaussian.of(real)
    measured: dict[str, float | None] = {"frechet": frechet(slice(None))}
    measured["frechet_infinity"] = extrapolated(frechet, len(fake), fake.shape[1] + 1, seed)
    measured["kernel_distance"] = kernel_distance(real, fake)
    tick()
    x, y = real[:NEIGHBOURS], fake[:NEIGHBOURS]
    measured["precision"], measured["recall"] = precision_recall(x, y, k=K_PRECISION)
    measured["density"], measured["coverage"] = density_coverage(x, y, k=K_DENSITY)
    tick()
    return measured


def inception_scores(logits: np.ndarray, *, seed: int = 0) -> dict[str, float | None]:
    """Return inception_score of a classifier's logits [N, C], and inception_score_infinity, None where N < 2 C."""
    p = softmax(logits.astype(np.float64), axis=1)
    infinite = extrapolated(lambda rows: inception_score(p[rows]), len(p), p.shape[1], seed)
    return {"inception_score": inception_score(p), "inception_score_infinity": infinite}
