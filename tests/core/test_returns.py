import numpy as np
import pytest

from core.returns import discounted_returns


def column(*values: float) -> np.ndarray:
    return np.array(values, float)[:, None]


def test_the_published_example() -> None:
    """[0, 0, 0, 1] at 0.9 gives 0.729, 0.81, 0.9, 1, in every rally anew."""
    r = column(0, 0, 0, 1, 0, 0, 0, 1)
    np.testing.assert_allclose(discounted_returns(r, r != 0, 0.9)[:, 0], [0.729, 0.81, 0.9, 1] * 2, rtol=1e-6)


def test_without_a_cut_the_sum_runs_on() -> None:
    r = column(0, 1, 0, 1)
    G = discounted_returns(r, np.array([[False], [False], [False], [True]]), 0.5)[:, 0]
    np.testing.assert_allclose(G, [0.625, 1.25, 0.5, 1.0])


def test_columns_are_independent_and_an_open_end_counts_as_zero() -> None:
    r = np.array([[1.0, 2.0], [1.0, 2.0], [1.0, 2.0]])
    cut = np.array([[False, True], [False, False], [False, False]])
    np.testing.assert_allclose(discounted_returns(r, cut, 1.0), [[3, 2], [2, 4], [1, 2]])


def test_the_wrong_variant_differs() -> None:
    """Cutting before the reward instead of after it would credit it to the next rally."""
    r = column(0, 1, 0, 0)
    right = discounted_returns(r, r != 0, 0.5)
    wrong = discounted_returns(r, np.roll(r != 0, -1, axis=0), 0.5)
    assert right[0, 0] == 0.5 and wrong[0, 0] == 0.0


@pytest.mark.parametrize(
    ("r", "cut", "gamma"),
    [
        (np.zeros(3), np.zeros(3, bool), 0.9),
        (np.zeros((3, 1)), np.zeros((2, 1), bool), 0.9),
        (np.zeros((3, 1)), np.zeros((3, 1), bool), 1.5),
    ],
)
def test_wrong_shapes_and_discounts_are_refused(r: np.ndarray, cut: np.ndarray, gamma: float) -> None:
    with pytest.raises(ValueError, match=r"must have one shape|lies between 0 and 1"):
        discounted_returns(r, cut, gamma)
