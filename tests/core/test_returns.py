import numpy as np
import pytest

from core.returns import discounted_returns, generalized_advantage, lambda_returns, n_step_returns


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


# Five rows of one environment, gamma 0.5: row 1 is truncated (next_value is V of its last observation), row 3 terminated.
R = column(1, 2, 3, 4, 5)
V = column(10, 20, 30, 40, 50)
NEXT = column(20, 8, 40, 99, 6)
TERMINATED = np.array([[False], [False], [False], [True], [False]])
DONE = np.array([[False], [True], [False], [True], [False]])


def test_n_step_returns_by_hand_with_truncation_in_mid_rollout() -> None:
    """5 + 3 | 4 | 3 + 2 | 2 + 4 | 1 + 3."""
    returns = n_step_returns(R, NEXT, TERMINATED, DONE, 0.5)[:, 0]
    np.testing.assert_allclose(returns, [4, 6, 5, 4, 8])


def test_bootstrapping_through_a_termination_or_cutting_a_truncation_gives_other_numbers() -> None:
    through = n_step_returns(R, NEXT, np.zeros_like(DONE), DONE, 0.5)[:, 0]
    cut = n_step_returns(R, NEXT, DONE, DONE, 0.5)[:, 0]
    assert through[3] == 4 + 0.5 * 99 and cut[1] == 2


def test_generalized_advantage_by_hand_with_truncation_in_mid_rollout() -> None:
    """delta = 1, -14, -7, -36, -42 with gamma 0.5; gamma lam = 0.25 within an episode."""
    advantage = generalized_advantage(R, V, NEXT, TERMINATED, DONE, 0.5, 0.5)[:, 0]
    np.testing.assert_allclose(advantage, [1 - 0.25 * 14, -14, -7 - 0.25 * 36, -36, -42])


def test_lam_0_is_the_td_error_and_lam_1_the_n_step_return() -> None:
    rng = np.random.default_rng(0)
    r, v = rng.normal(size=(7, 3)), rng.normal(size=(7, 3))
    done = rng.random((7, 3)) < 0.3
    terminated = done & (rng.random((7, 3)) < 0.5)
    following = np.where(done, rng.normal(size=(7, 3)), np.concatenate([v[1:], rng.normal(size=(1, 3))]))
    td = generalized_advantage(r, v, following, terminated, done, 0.9, 0.0)
    np.testing.assert_allclose(td, r + 0.9 * ~terminated * following - v, rtol=1e-5)
    full = generalized_advantage(r, v, following, terminated, done, 0.9, 1.0)
    np.testing.assert_allclose(full + v, n_step_returns(r, following, terminated, done, 0.9), rtol=1e-4, atol=1e-5)


def test_a_value_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="next_value"):
        n_step_returns(R, NEXT[:, 0], TERMINATED, DONE, 0.5)
    with pytest.raises(ValueError, match="lam is 2"):
        generalized_advantage(R, V, NEXT, TERMINATED, DONE, 0.5, 2)


def test_lambda_returns_by_hand_with_truncation_in_mid_rollout() -> None:
    """lambda 0.25: 5 + 3 | 4 | 3 + (0.75 * 40 + 0.25 * 4) / 2 | 2 + 4 | 1 + (0.75 * 20 + 0.25 * 6) / 2."""
    returns = lambda_returns(R, NEXT, TERMINATED, DONE, 0.5, 0.25)[:, 0]
    np.testing.assert_allclose(returns, [9.25, 6, 18.5, 4, 8])


def test_lambda_returns_lie_between_one_step_and_n_steps_and_are_advantages_on_values() -> None:
    rng = np.random.default_rng(0)
    r, v = rng.normal(size=(2, 12, 3))
    terminated, truncated = rng.random((2, 12, 3)) < 0.2
    done = terminated | truncated
    following = np.where(done, rng.normal(size=v.shape), np.concatenate([v[1:], rng.normal(size=(1, 3))]))
    rest = (following, terminated, done, 0.9)
    np.testing.assert_allclose(lambda_returns(r, *rest, 0.0), r + 0.9 * np.where(terminated, 0, following), rtol=1e-5)
    np.testing.assert_array_equal(lambda_returns(r, *rest, 1.0), n_step_returns(r, *rest))
    A = generalized_advantage(r, v, following, terminated, done, 0.9, 0.7)
    np.testing.assert_allclose(lambda_returns(r, *rest, 0.7), A + v, atol=1e-5)
