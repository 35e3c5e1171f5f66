"""How far apart two sets of feature vectors are: Fréchet and kernel distance, precision, recall, density and coverage."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

__all__ = [
    "Gaussian",
    "density_coverage",
    "frechet_distance",
    "kernel_distance",
    "nearest_distances",
    "precision_recall",
]

PAIRS = 2**24  # distances in memory at once


@dataclass(frozen=True)
class Gaussian:
    """Mean [D] and covariance [D, D] of features [N, D], in float64, the covariance divided by N - 1."""

    mean: np.ndarray
    covariance: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Gaussian:
        _check(features, features, least=2)
        x = features.astype(np.float64)
        return cls(x.mean(axis=0), np.atleast_2d(np.cov(x, rowvar=False)))

    @cached_property
    def root(self) -> np.ndarray:
        """The symmetric root [D, D] of the covariance."""
        values, vectors = np.linalg.eigh(self.covariance)
        return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


def frechet_distance(p: Gaussian, q: Gaussian) -> float:
    """Return |mu_p - mu_q|^2 + tr(S_p + S_q - 2 (S_p S_q)^(1/2)) (Heusel et al., 2017, eq. 6).

    The trace of the root is the sum of the roots of the eigenvalues of S_p^(1/2) S_q S_p^(1/2), which is symmetric: no
    matrix root that turns complex on singular covariances, nothing added to the diagonal. p keeps its root for the next call.
    """
    product = np.linalg.eigvalsh(p.root @ q.covariance @ p.root)
    trace = np.trace(p.covariance) + np.trace(q.covariance) - 2 * np.sqrt(np.maximum(product, 0)).sum()
    return float(np.sum((p.mean - q.mean) ** 2) + trace)


def kernel_distance(x: np.ndarray, y: np.ndarray, *, block: int = 1000) -> float:
    """Return the unbiased squared MMD between features x [N, D] and y [M, D] (Binkowski et al., 2018, section 4).

    The kernel is (x'y / D + 1)^3; the value is the mean over as many disjoint blocks of both sets, in their order and of
    one size up to a row, as are needed for at most `block` rows of the larger set in each. It can be slightly negative when
    the two sets come from one distribution.
    """
    _check(x, y, least=2)
    x, y = x.astype(np.float64), y.astype(np.float64)
    count = min(-(-max(len(x), len(y)) // block), min(len(x), len(y)) // 2)  # a block needs two rows of each
    pairs = zip(np.array_split(x, count), np.array_split(y, count), strict=True)
    return float(np.mean([_squared_mmd(a, b) for a, b in pairs]))


def _squared_mmd(x: np.ndarray, y: np.ndarray) -> float:
    def k(a: np.ndarray, b: np.ndarray) -> np.ndarray:
        return (a @ b.T / a.shape[1] + 1) ** 3

    def mean_off_diagonal(kernel: np.ndarray) -> float:
        n = len(kernel)
        return (kernel.sum() - np.trace(kernel)) / (n * (n - 1))

    return mean_off_diagonal(k(x, x)) + mean_off_diagonal(k(y, y)) - 2 * k(x, y).mean()


def precision_recall(real: np.ndarray, fake: np.ndarray, *, k: int = 3) -> tuple[float, float]:
    """Return improved precision and recall (Kynkäänniemi et al., 2019, eq. 1) of features real [N, D], fake [M, D].

    Precision: the share of fakes inside some ball around a real example that reaches to its k-th nearest real neighbour;
    recall: the same with the sides exchanged.
    """
    _check(real, fake, least=k + 1)
    real_radius, fake_radius = _radii(real, k), _radii(fake, k)  # [N], [M] squared
    precise, recalled = np.zeros(len(fake), bool), np.zeros(len(real), bool)
    for rows, between in _in_blocks(real, fake):  # [B, M]
        precise |= (between <= real_radius[rows, None]).any(axis=0)
        recalled[rows] = (between <= fake_radius).any(axis=1)
    return float(precise.mean()), float(recalled.mean())


def density_coverage(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> tuple[float, float]:
    """Return density and coverage (Naeem et al., 2020, eqs. 3 and 4) of features real [N, D], fake [M, D].

    Of the balls around the real examples that reach to their k-th nearest real neighbours: density is the number of balls that
    a fake lies in, on average, divided by k, which is above 1 where fakes crowd; coverage the share of balls with a fake in them.
    """
    _check(real, fake, least=k + 1)
    radius = _radii(real, k)  # [N] squared
    covering, covered = 0, np.zeros(len(real), bool)
    for rows, between in _in_blocks(real, fake):
        inside = between <= radius[rows, None]  # [B, M]
        covering += int(inside.sum())
        covered[rows] = inside.any(axis=1)
    return covering / (k * len(fake)), float(covered.mean())


def nearest_distances(x: np.ndarray, blocks: Iterable[np.ndarray], *, itself: np.ndarray | None = None) -> np.ndarray:
    """Return the Euclidean distance [N] of every row of x [N, D] to the nearest example, in float32.

    The examples come in blocks [M_i, D], as many as fit in memory at a time. `itself` [N] says which of them, counted through
    all blocks, each row is: that one does not count, as if it had been held out. Raises ValueError for rows of another length.
    """
    x = x.astype(np.float32)
    own = np.einsum("nd,nd->n", x, x)  # [N]
    nearest, first = np.full(len(x), np.inf, np.float32), 0
    for block in blocks:
        _check(x, block, least=1)
        y = block.astype(np.float32)
        squares = own[:, None] + np.einsum("md,md->m", y, y) - 2 * x @ y.T  # [N, M_i]
        if itself is not None:
            here = np.flatnonzero((itself >= first) & (itself < first + len(y)))
            squares[here, itself[here] - first] = np.inf
        nearest = np.minimum(nearest, squares.min(axis=1))
        first += len(y)
    return np.sqrt(np.maximum(nearest, 0))


def _radii(x: np.ndarray, k: int) -> np.ndarray:
    """Return the squared distance from each row to its k-th nearest other row, [N]."""
    radii = np.empty(len(x))
    for rows, distances in _in_blocks(x, x):
        here = np.arange(rows.start, rows.stop)
        distances[here - rows.start, here] = np.inf
        radii[rows] = np.partition(distances, k - 1, axis=1)[:, k - 1]
    return radii


def _in_blocks(x: np.ndarray, y: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Yield (rows of x, their squared distances [B, M] to all of y), so that memory does not grow with N M."""
    size = max(1, PAIRS // len(y))
    for start in range(0, len(x), size):
        rows = slice(start, min(start + size, len(x)))
        yield rows, _squared_distances(x[rows], y)


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = x.astype(np.float64), y.astype(np.float64)
    return np.maximum((x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T, 0)


def _check(x: np.ndarray, y: np.ndarray, least: int) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < least:
        raise ValueError(
            f"features have shapes {list(x.shape)} and {list(y.shape)}; [N, D] and [M, D] with N, M >= {least} are needed"
        )
