"""What a measure would be of infinitely many samples (Chong and Forsyth, 2020)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.seeds import child

__all__ = ["POINTS", "at_infinity", "extrapolated", "sizes_from"]

POINTS = 15
"""Sample sizes at which a measure is taken."""
SHARE = 10  # the smallest size is this part of all samples


def sizes_from(count: int, least: int) -> list[int]:
    """Return up to POINTS sizes at equal distances from a tenth of `count`, or `least` where that is more, to `count`.

    Empty where `count` is less than twice the smallest: so short a line says nothing about its end.
    """
    first = max(count // SHARE, least)
    return sorted({int(n) for n in np.linspace(first, count, POINTS)}) if count >= 2 * first else []


def at_infinity(sizes: Sequence[int], values: Sequence[float]) -> float:
    """Return a of the line value = a + b / size that fits best in squares: what is left of the measure without its bias.

    Fréchet distance and inception score of N samples are off by b / N up to terms of higher order (Chong and Forsyth, 2020,
    section 3). Raises ValueError for fewer than two different sizes.
    """
    if len(sizes) != len(values) or len(set(sizes)) < 2:
        raise ValueError(
            f"{len(set(sizes))} sizes and {len(values)} values; as many of both, and at least 2, are needed"
        )
    line = np.stack([np.ones(len(sizes)), 1 / np.asarray(sizes, np.float64)], axis=1)  # [S, 2]
    return float(np.linalg.lstsq(line, np.asarray(values, np.float64), rcond=None)[0][0])


def extrapolated(measure: Callable[[np.ndarray], float], count: int, least: int, seed: int = 0) -> float | None:
    """Return `measure` without the bias of its sample size, None where `sizes_from(count, least)` has no sizes.

    `measure` is called with rows [n] of 0 ... count - 1, drawn without replacement, anew for each of the sizes.
    """
    sizes = sizes_from(count, least)
    if not sizes:
        return None
    return at_infinity(sizes, [measure(_drawn(count, n, seed)) for n in sizes])


def _drawn(count: int, n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(child(seed, "rows", n)).permutation(count)[:n]
