import numpy as np
import pytest
import tensorflow as tf

from core.losses.reinforcement import (
    categorical_kl,
    categorical_projection,
    clipped_surrogate,
    huber,
    munchausen_target,
    policy_gradient,
    q_learning_error,
    quantile_huber,
    squared_error,
)


def test_policy_gradient_value_and_gradient_by_hand() -> None:
    log_pi, advantage = tf.Variable([-1.5, -0.5]), tf.constant([2.0, -1.0])
    with tf.GradientTape() as tape:
        loss = policy_gradient(log_pi, advantage)
    np.testing.assert_allclose(loss, [3.0, -0.5])
    np.testing.assert_allclose(tape.gradient(loss, log_pi), [-2.0, 1.0])


def test_the_advantage_is_a_constant() -> None:
    log_pi, advantage = tf.Variable([-1.0]), tf.Variable([1.0])
    for loss_of in (policy_gradient, lambda p, A: clipped_surrogate(p, tf.constant([-1.1]), A, 0.2)):
        with tf.GradientTape() as tape:
            loss = loss_of(log_pi, advantage)
        of_policy, of_advantage = tape.gradient(loss, [log_pi, advantage])
        assert of_policy is not None and of_advantage is None


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "slope"),
    [
        (1.0, 2.0, -2.0, -2.0),  # at the old policy it is the plain policy gradient
        (1.5, 2.0, -2.4, 0.0),  # far enough in the good direction: clipped, no gradient
        (1.5, -2.0, 3.0, 3.0),  # too far in the bad direction: not clipped, pulled back
        (0.5, -2.0, 1.6, 0.0),
        (0.5, 2.0, -1.0, -1.0),
    ],
)
def test_clipped_surrogate_by_hand(ratio: float, advantage: float, loss: float, slope: float) -> None:
    """d/d log pi of -ratio A is -ratio A."""
    log_pi = tf.Variable([np.log(ratio).astype(np.float32) - 1])
    with tf.GradientTape() as tape:
        value = clipped_surrogate(log_pi, tf.constant([-1.0]), tf.constant([advantage]), 0.2)
    np.testing.assert_allclose(value, [loss], rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(value, log_pi), [slope], rtol=1e-5)


def test_squared_error_moves_the_prediction_only() -> None:
    v, target = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 2.0])
    with tf.GradientTape() as tape:
        loss = squared_error(v, target)
    np.testing.assert_allclose(loss, [2.0, 0.0])
    gradient = tape.gradient(loss, [v, target])
    np.testing.assert_allclose(gradient[0], [-2.0, 0.0])
    assert gradient[1] is None


def test_huber_is_the_clipped_error() -> None:
    error = tf.Variable([-3.0, -0.5, 0.0, 0.5, 3.0])
    with tf.GradientTape() as tape:
        loss = huber(error)
    np.testing.assert_allclose(loss, [2.5, 0.125, 0, 0.125, 2.5])
    np.testing.assert_allclose(tape.gradient(loss, error), [-1, -0.5, 0, 0.5, 1])


def test_q_learning_error_by_hand() -> None:
    q_tm1 = tf.Variable([[1.0, 2.0], [3.0, 4.0]])
    fixed, selector = tf.Variable([[5.0, 6.0], [8.0, 7.0]]), tf.constant([[1.0, 0.0], [0.0, 1.0]])
    rest = (tf.constant([1, 0]), tf.constant([1.0, -1.0]), tf.constant([0.5, 0.0]))  # the second ended
    with tf.GradientTape() as tape:
        error = q_learning_error(q_tm1, *rest, fixed)
    np.testing.assert_allclose(error, [1 + 0.5 * 6 - 2, -1 - 3])
    of_q, of_fixed = tape.gradient(error, [q_tm1, fixed])
    np.testing.assert_allclose(tf.convert_to_tensor(of_q), [[0, -1], [-1, 0]])
    assert of_fixed is None
    np.testing.assert_allclose(q_learning_error(q_tm1, *rest, fixed, selector), [1 + 0.5 * 5 - 2, -1 - 3])


def test_rows_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError):
        policy_gradient(tf.zeros((2, 1)), tf.zeros(2))


# --- distributions ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("r", "discount", "m"),
    [
        (0.0, 1.0, [0.2, 0.3, 0.5]),  # onto the atoms themselves
        (1.0, 1.0, [0, 0.2, 0.8]),  # 1, 2 and 3, which is clipped to 2
        (0.25, 0.5, [0.225, 0.65, 0.125]),  # 0.25, 0.75 and 1.25, each between two atoms
        (1.5, 0.0, [0, 0.5, 0.5]),  # an end: all of it at 1.5
        (1.0, 0.0, [0, 1, 0]),
        (-5.0, 0.0, [1, 0, 0]),
        (-1.0, 1.0, [0.5, 0.5, 0]),  # -1, which is clipped to 0, 0 and 1
        (7.0, 1.0, [0, 0, 1]),
    ],
)
def test_categorical_projection_by_hand(r: float, discount: float, m: list[float]) -> None:
    p, atoms = tf.constant([[0.2, 0.3, 0.5]]), tf.constant([0.0, 1.0, 2.0])
    projected = categorical_projection(p, tf.constant([r]), tf.constant([discount]), atoms)
    np.testing.assert_allclose(projected, [m], atol=1e-6)


def test_categorical_projection_is_algorithm_1() -> None:
    """The loop of the paper with floor and ceiling; a value on an atom, where both are one, keeps its probability."""
    rng, N, B = np.random.default_rng(0), 51, 40
    atoms = np.linspace(-10, 10, N)
    p = rng.dirichlet(np.ones(N), B)
    r, discount = rng.normal(scale=4, size=B), np.where(np.arange(B) % 4 == 0, 0, 0.97)
    r[:8] = np.round(r[:8])
    m = np.zeros((B, N))
    for i in range(B):
        for j in range(N):
            b = (np.clip(r[i] + discount[i] * atoms[j], -10, 10) + 10) / (20 / (N - 1))
            low, high = int(np.floor(b)), int(np.ceil(b))
            m[i, low] += p[i, j] * (high - b if high > low else 1)
            m[i, high] += p[i, j] * (b - low)
    ours = categorical_projection(*(tf.constant(x, tf.float32) for x in (p, r, discount, atoms)))
    np.testing.assert_allclose(ours, m, atol=2e-5)
    np.testing.assert_allclose(np.sum(ours, axis=1), 1, atol=1e-5)


def test_categorical_kl_by_hand() -> None:
    """0.5 log(0.5 / 0.25) + 0.5 log(0.5 / 0.75) = 0.5 log(4 / 3); the gradient is p - m; a probability of 0 costs nothing."""
    logits = tf.Variable(np.log([[0.25, 0.75], [0.5, 0.5]]).astype(np.float32))
    m = tf.Variable([[0.5, 0.5], [0.0, 1.0]])
    with tf.GradientTape() as tape:
        loss = categorical_kl(m, logits)
    np.testing.assert_allclose(loss, [0.5 * np.log(4 / 3), np.log(2)], rtol=1e-5)
    of_logits, of_m = tape.gradient(loss, [logits, m])
    np.testing.assert_allclose(of_logits, [[-0.25, 0.25], [0.5, -0.5]], atol=1e-6)
    assert of_m is None


def test_quantile_huber_with_two_quantiles_by_hand() -> None:
    """theta 0 and 2 at tau 0.25 and 0.75, targets 1 and -3. Errors of the first: 1, whose loss 0.5 weighs 0.25, and -3, whose 2.5
    weighs 0.75: mean 1. Of the second: -1 and -5, losses 0.5 and 4.5 that weigh 0.25: mean 0.625."""
    theta, target = tf.Variable([[0.0, 2.0]]), tf.Variable([[1.0, -3.0]])
    with tf.GradientTape() as tape:
        loss = quantile_huber(theta, target)
    np.testing.assert_allclose(loss, [1.625])
    of_theta, of_target = tape.gradient(loss, [theta, target])
    np.testing.assert_allclose(of_theta, [[-(0.25 * 1 - 0.75 * 1) / 2, (0.25 + 0.25) / 2]])
    assert of_target is None
    wide = quantile_huber(
        theta, target, kappa=2.0
    )  # errors within 2 are squared: 0.5, 2 * (3 - 1) | 0.5, 2 * (5 - 1), over 2
    np.testing.assert_allclose(wide, [(0.25 * 0.5 + 0.75 * 4 + 0.25 * 0.5 + 0.25 * 8) / 2 / 2])


def test_quantile_huber_is_least_at_the_quantiles_of_a_sample() -> None:
    """At 4.75, of 0 to 19, what weighs 0.75 below, 4 + 0.75, balances what weighs 0.25 above, 14 + 0.25."""
    theta, target = tf.Variable([[4.75, 14.25]]), tf.range(20, dtype=tf.float32)[None]
    with tf.GradientTape() as tape:
        loss = quantile_huber(theta, target)
    np.testing.assert_allclose(tape.gradient(loss, theta), [[0, 0]], atol=1e-6)
    for other in ([[4.0, 14.25]], [[5.5, 14.25]], [[4.75, 13.5]], [[4.75, 15.0]]):
        assert float(quantile_huber(tf.constant(other), target)[0]) > float(loss[0]) + 0.01


LOG3 = float(np.log(3))


def munchausen(
    r: list[float], a: list[int], discount: list[float], z: list, alpha=0.9, tau=1.0, clip=-1.0
) -> np.ndarray:
    q_tm1 = tf.constant([[0.0, LOG3]] * len(r))  # pi is (1/4, 3/4) at temperature 1
    rest = (tf.constant(a), tf.constant(r), tf.constant(discount))
    return np.array(munchausen_target(q_tm1, *rest, tf.constant([z] * len(r), tf.float32), alpha, tau, clip))


def test_munchausen_target_by_hand() -> None:
    """The bonus is 0.9 log 3/4, or 0.9 times log 1/4 = -1.39, clipped to -1; the value ahead is log(1 + 3) = log 4."""
    y = munchausen([2.0, 2.0, 2.0], [1, 0, 0], [0.5, 0.5, 0.0], [[0.0], [LOG3]])[:, 0]
    ahead = 0.5 * np.log(4)
    np.testing.assert_allclose(y, [2 + 0.9 * np.log(0.75) + ahead, 2 - 0.9 + ahead, 2 - 0.9], rtol=1e-6)
    unclipped = munchausen([2.0], [0], [0.0], [[0.0], [LOG3]], clip=-10.0)
    np.testing.assert_allclose(unclipped, [[2 + 0.9 * np.log(0.25)]], rtol=1e-6)


def test_munchausen_target_of_quantiles_by_hand() -> None:
    """Quantiles 0 +- 1 and log 3 +- 2: around the same mean, 1/4 + 3/4 * 2 = 1.75 apart from it."""
    y = munchausen([2.0], [0], [0.5], [[-1.0, 1.0], [LOG3 - 2, LOG3 + 2]])
    middle = 2 - 0.9 + 0.5 * np.log(4)
    np.testing.assert_allclose(y, [[middle - 0.5 * 1.75, middle + 0.5 * 1.75]], rtol=1e-6)


def test_munchausen_target_at_a_low_temperature_is_the_maximum_less_the_gap() -> None:
    """tau log pi tends to q - max q, and the value ahead to max q (Vieillard et al., 2020, section 3)."""
    y = munchausen([0.0, 0.0], [0, 1], [1.0, 1.0], [[0.5], [-4.0]], tau=0.01, clip=-10.0)[:, 0]
    np.testing.assert_allclose(y, [0.9 * (0 - LOG3) + 0.5, 0.5], atol=1e-5)
