"""Fréchet distance against closed forms and scipy's matrix root, kernel distance against its definition, neighbours by hand."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.linalg

from core.metrics import distances
from core.metrics.distances import (
    Gaussian,
    density_coverage,
    frechet_distance,
    kernel_distance,
    nearest_distances,
    precision_recall,
)


def features(seed: int, n: int = 400, d: int = 6) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, d)) @ rng.normal(size=(d, d)) + rng.normal(size=d)


def test_frechet_of_commuting_gaussians_is_closed_form() -> None:
    p = Gaussian(np.array([1.0, 2.0]), np.diag([4.0, 9.0]))
    q = Gaussian(np.array([0.0, 0.0]), np.diag([1.0, 16.0]))
    assert frechet_distance(p, q) == pytest.approx(1 + 4 + (2 - 1) ** 2 + (3 - 4) ** 2)
    assert frechet_distance(p, p) == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_frechet_is_what_scipys_matrix_root_gives(seed: int) -> None:
    p, q = Gaussian.of(features(seed)), Gaussian.of(features(seed + 10))
    root = scipy.linalg.sqrtm(p.covariance @ q.covariance).real
    expected = ((p.mean - q.mean) ** 2).sum() + np.trace(p.covariance + q.covariance - 2 * root)
    assert frechet_distance(p, q) == pytest.approx(expected, rel=1e-8)
    assert frechet_distance(p, q) == pytest.approx(frechet_distance(q, p), rel=1e-8)


def test_frechet_of_singular_covariances_is_real_and_exact() -> None:
    x = features(0)
    x[:, 3] = x[:, 2]  # rank 5
    p = Gaussian.of(x)
    assert frechet_distance(p, p) == pytest.approx(0, abs=1e-5)
    assert frechet_distance(p, Gaussian(p.mean + 1, p.covariance)) == pytest.approx(6, rel=1e-5)


def test_kernel_distance_is_its_definition() -> None:
    x, y = features(1, 7, 3), features(2, 5, 3)

    def k(a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / 3 + 1) ** 3

    within_x = np.mean([k(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([k(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([k(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kernel_distance_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    values = [kernel_distance(rng.normal(size=(40, 4)), rng.normal(size=(40, 4))) for _ in range(300)]
    assert abs(np.mean(values)) < 4 * np.std(values) / np.sqrt(300)
    assert min(values) < 0 < max(values)


def test_kernel_distance_averages_blocks() -> None:
    x, y = features(1, 20, 3), features(2, 20, 3)
    halves = [kernel_distance(x[:10], y[:10]), kernel_distance(x[10:], y[10:])]
    assert kernel_distance(x, y, block=10) == pytest.approx(np.mean(halves))


@pytest.mark.parametrize(("n", "m", "count"), [(19, 19, 2), (21, 30, 3), (30, 5, 2), (10, 10, 1), (11, 40, 4)])
def test_no_block_of_the_kernel_distance_is_larger_than_it_says(n: int, m: int, count: int) -> None:
    x, y = features(1, n, 3), features(2, m, 3)
    blocks = list(zip(np.array_split(x, count), np.array_split(y, count), strict=True))
    assert max(max(len(a), len(b)) for a, b in blocks) <= 10 or count == min(n, m) // 2
    expected = np.mean([kernel_distance(a, b, block=10**6) for a, b in blocks])
    assert kernel_distance(x, y, block=10) == pytest.approx(expected)


def test_precision_and_recall_by_hand() -> None:
    real = np.array([[0.0], [1.0], [2.0], [3.0], [10.0], [11.0], [12.0], [13.0]])
    fake = np.array([[0.5], [1.5], [2.5], [2.6], [100.0]])  # one cluster of two covered, one sample nowhere
    precision, recall = precision_recall(real, fake, k=3)
    assert precision == pytest.approx(4 / 5)
    # balls of the fakes reach: 0.5 -> 2.6 (2.1), 1.5 -> 0.5 or 2.6 (1.1), ..., 100 -> 1.5 (98.5): it alone covers all but 0 and 1
    assert recall == 1.0
    assert precision_recall(real, fake[:4], k=3)[1] == pytest.approx(4 / 8)


def test_copies_are_precise_and_have_no_recall() -> None:
    rng = np.random.default_rng(0)
    real = rng.normal(size=(300, 2))
    fake = real[:1] + 1e-3 * rng.normal(size=(300, 2))
    precision, recall = precision_recall(real, fake)
    assert precision == 1.0 and recall < 0.02
    assert precision_recall(real, rng.normal(size=(300, 2)))[1] > 0.9


def test_shapes_are_checked() -> None:
    with pytest.raises(ValueError, match="needed"):
        Gaussian.of(np.zeros((1, 3)))
    with pytest.raises(ValueError, match="needed"):
        kernel_distance(np.zeros((5, 3)), np.zeros((5, 4)))
    with pytest.raises(ValueError, match="N, M >= 4"):
        precision_recall(np.zeros((3, 3)), np.zeros((5, 3)))


def test_nearest_distances_by_hand() -> None:
    examples = np.array([[0.0, 0.0], [3.0, 4.0], [3.0, 5.0]])
    np.testing.assert_allclose(nearest_distances(np.array([[0.0, 1.0], [3.0, 4.5]]), [examples]), [1.0, 0.5])
    np.testing.assert_allclose(nearest_distances(examples, [examples]), 0)
    np.testing.assert_allclose(nearest_distances(examples[[2, 0]], [examples], itself=np.array([2, 0])), [1.0, 5.0])


def test_nearest_distances_in_blocks() -> None:
    x = np.random.default_rng(0).normal(size=(23, 4))
    whole = nearest_distances(x, [x], itself=np.arange(23))
    np.testing.assert_allclose(nearest_distances(x, np.array_split(x, 5), itself=np.arange(23)), whole)
    true = np.linalg.norm(x[:, None] - x, axis=2) + np.diag(np.full(23, np.inf))
    np.testing.assert_allclose(whole, true.min(axis=1), rtol=1e-4)


def test_density_and_coverage_by_hand() -> None:
    real = np.array([[0.0], [1.0], [3.0], [7.0]])  # radii to the nearest: 1, 1, 2, 4
    # 0.5 lies in the balls of 0 and 1, 4 in those of 3 and 7, 20 in none
    assert density_coverage(real, np.array([[0.5], [4.0], [20.0]]), k=1) == pytest.approx((4 / 3, 1.0))
    assert density_coverage(real, np.array([[0.5], [20.0]]), k=1) == pytest.approx((2 / 2, 2 / 4))
    # radii to the second nearest: 3, 2, 3, 6; five fakes at 2 lie in the balls of 0, 1, 3 and 7
    assert density_coverage(real, np.full((5, 1), 2.0), k=2) == pytest.approx((4 * 5 / (2 * 5), 1.0))


def test_of_one_distribution_density_is_1_and_coverage_nearly() -> None:
    """Naeem et al., 2020, section 3.3: E[density] = 1, and of many pictures E[coverage] = 1 - 2^-k."""
    rng = np.random.default_rng(0)
    values = [density_coverage(rng.normal(size=(200, 3)), rng.normal(size=(200, 3)), k=5) for _ in range(40)]
    density, coverage = np.mean(values, axis=0)
    assert density == pytest.approx(1, abs=0.03) and coverage == pytest.approx(1 - 1 / 2**5, abs=0.01)


def test_an_outlier_among_the_real_examples_spoils_precision_and_not_density() -> None:
    """The reason for the measure: one ball that holds everything counts once in k, not for all."""
    rng = np.random.default_rng(0)
    real = np.concatenate([rng.normal(size=(100, 2)), [[1e3, 0.0]]])
    fake = rng.normal(size=(100, 2)) + np.array([300.0, 0.0])
    assert precision_recall(real, fake, k=5)[0] == 1.0
    assert density_coverage(real, fake, k=5) == pytest.approx((1 / 5, 1 / 101))


def test_blocks_change_no_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    real, fake = features(1, 41, 3), features(2, 30, 3)
    whole = precision_recall(real, fake), density_coverage(real, fake)
    monkeypatch.setattr(distances, "PAIRS", 100)  # 3 or 2 rows at once, the last block shorter
    assert (precision_recall(real, fake), density_coverage(real, fake)) == whole


def test_too_few_for_k_neighbours() -> None:
    with pytest.raises(ValueError, match="N, M >= 6"):
        density_coverage(np.zeros((5, 3)), np.zeros((9, 3)))
