from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from agents.rl.policies import Categorical, Gaussian, SquashedGaussian, policy_for
from core.errors import UsageError
from core.losses.reinforcement import policy_gradient
from envs import EnvConfig, make

BOUNDS = np.array([-2.0, 0.0], np.float32), np.array([2.0, 3.0], np.float32)


# --- categorical ------------------------------------------------------------------------------------------------------


def test_actions_are_drawn_from_the_softmax_with_their_log_probability() -> None:
    p = np.array([0.2, 0.5, 0.3])
    logits = np.tile(np.log(p) + 7, (50_000, 1))
    draws, log_pi = Categorical(3).sample_with_log_prob(logits, np.random.default_rng(1))
    np.testing.assert_allclose(np.bincount(draws, minlength=3) / 50_000, p, atol=0.01)
    np.testing.assert_allclose(log_pi, np.log(p)[draws], rtol=1e-9)
    np.testing.assert_array_equal(Categorical(3).sample(logits, np.random.default_rng(1)), draws)


def test_the_draw_is_the_inverse_of_the_distribution_function() -> None:
    class Uniform:
        def random(self, shape: Any) -> np.ndarray:
            return np.array([[0.0], [0.2499], [0.25], [0.9999]])

    logits = np.log(np.tile([[1.0, 3.0]], (4, 1)))  # 1/4 and 3/4
    assert Categorical(2).sample(logits, Uniform()).tolist() == [0, 0, 1, 1]  # type: ignore[arg-type]


def test_impossible_actions_are_never_drawn() -> None:
    logits = np.tile([-np.inf, 0.0, -np.inf, 0.0, -np.inf], (10_000, 1))
    assert set(Categorical(5).sample(logits, np.random.default_rng(0))) == {1, 3}


def test_log_prob_value_and_gradient_by_hand() -> None:
    """d/dz log softmax(z)_a = onehot(a) - pi."""
    logits = tf.Variable([[0.0, np.log(3.0)], [0.0, 0.0]])  # pi = (1/4, 3/4), (1/2, 1/2)
    with tf.GradientTape() as tape:
        log_pi = Categorical(2).log_prob(logits, tf.constant([0, 1]))
    np.testing.assert_allclose(log_pi, [-np.log(4), -np.log(2)], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(log_pi, logits), [[1 - 0.25, -0.75], [-0.5, 1 - 0.5]], rtol=1e-6)


def test_a_step_makes_a_good_action_likelier() -> None:
    logits = tf.Variable([[0.0, 0.0, 0.0]])
    with tf.GradientTape() as tape:
        loss = policy_gradient(Categorical(3).log_prob(logits, tf.constant([1])), tf.constant([1.0]))
    logits.assign_sub(tape.gradient(loss, logits))
    assert tf.nn.softmax(logits)[0, 1] > 1 / 3


def test_categorical_entropy_by_hand() -> None:
    np.testing.assert_allclose(Categorical(4).entropy(tf.zeros((1, 4))), [np.log(4)], rtol=1e-6)
    p = np.array([0.25, 0.75])
    logits = tf.Variable(np.log(p)[None].astype(np.float32))
    with tf.GradientTape() as tape:
        entropy = Categorical(2).entropy(logits)
    H = -(p * np.log(p)).sum()
    np.testing.assert_allclose(entropy, [H], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(entropy, logits)[0], -p * (np.log(p) + H), rtol=1e-5)


@pytest.mark.parametrize("shape", [(2,), (2, 3, 1)])
def test_logits_of_another_rank_are_refused(shape: tuple) -> None:
    with pytest.raises(ValueError):
        Categorical(3).log_prob(tf.zeros(shape), tf.zeros(2, tf.int32))


# --- normals ----------------------------------------------------------------------------------------------------------


def test_gaussian_against_scipy_and_its_gradient() -> None:
    """d log pi / d mean = (a - mean) / std^2, d log pi / d log std = ((a - mean) / std)^2 - 1."""
    policy = Gaussian(*BOUNDS)
    mean, log_std = tf.Variable([[0.5, -1.0]]), tf.Variable([0.3, -0.7])
    action = tf.constant([[1.5, -1.2]])
    std = np.exp([0.3, -0.7])
    with tf.GradientTape() as tape:
        log_pi = policy.log_prob((mean, log_std), action)
    np.testing.assert_allclose(log_pi, [scipy.stats.norm([0.5, -1.0], std).logpdf([1.5, -1.2]).sum()], rtol=1e-6)
    of_mean, of_log_std = tape.gradient(log_pi, [mean, log_std])
    z = np.array([1.0, -0.2]) / std
    np.testing.assert_allclose(of_mean[0], z / std, rtol=1e-5)
    np.testing.assert_allclose(of_log_std, z**2 - 1, rtol=1e-5)
    H = scipy.stats.norm(0, std).entropy().sum()
    np.testing.assert_allclose(policy.entropy((mean, log_std)), H, rtol=1e-6)
    np.testing.assert_allclose(policy.entropy((mean, log_std[None])), [H], rtol=1e-6)  # a std for each state
    np.testing.assert_allclose(policy.log_prob((mean, log_std[None]), action), log_pi)


def test_gaussian_draws_have_their_moments_and_their_log_density() -> None:
    parameters = np.tile(np.array([[0.5, -1.0]], np.float32), (50_000, 1)), np.array([0.3, -0.7], np.float32)
    policy = Gaussian(*BOUNDS)
    a, log_pi = policy.sample_with_log_prob(parameters, np.random.default_rng(0))
    assert a.dtype == np.float32
    np.testing.assert_allclose(a.mean(axis=0), [0.5, -1.0], atol=0.03)
    np.testing.assert_allclose(a.std(axis=0), np.exp([0.3, -0.7]), rtol=0.02)
    np.testing.assert_allclose(log_pi, policy.log_prob(parameters, a), rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(policy.sample(parameters, np.random.default_rng(0)), a)
    bounded = policy.to_env(a)
    assert (bounded >= BOUNDS[0]).all() and (bounded <= BOUNDS[1]).all() and (bounded != a).any()
    np.testing.assert_array_equal(policy.greedy(parameters), parameters[0])


# --- squashed normals -------------------------------------------------------------------------------------------------


def test_the_squashed_log_density_by_hand() -> None:
    """For u = 0.5 with mean 0 and std 1: log N(0.5) - log(1 - tanh(0.5)^2) = -1.04394 + 0.24023."""
    parameters = tf.zeros((1, 1)), tf.zeros((1, 1))
    a, log_pi = SquashedGaussian(*BOUNDS).reparameterize(parameters, tf.constant([[0.5]]))
    np.testing.assert_allclose(a, [[0.4621172]], rtol=1e-6)
    np.testing.assert_allclose(log_pi, [-1.0439385 + 0.2402295], rtol=1e-5)


def test_the_squashed_density_integrates_to_one() -> None:
    """Over the grid of actions that a grid of u leads to, by the trapezoid rule."""
    noise = np.linspace(-8, 8, 20_001, dtype=np.float32)[:, None]
    parameters = tf.fill((len(noise), 1), 0.4), tf.constant([-0.5])
    a, log_pi = SquashedGaussian(*BOUNDS).reparameterize(parameters, tf.constant(noise))
    assert np.trapezoid(np.exp(log_pi), a[:, 0]) == pytest.approx(1, abs=1e-3)


def test_the_squashed_log_density_stays_finite_where_tanh_is_one_in_float32() -> None:
    """Far out, log(1 - tanh(u)^2) = 2 log 2 - 2 |u|."""
    mean = tf.Variable([[20.0], [-20.0]])
    with tf.GradientTape() as tape:
        a, log_pi = SquashedGaussian(*BOUNDS).reparameterize((mean, tf.zeros(1)), tf.zeros((2, 1)))
    np.testing.assert_array_equal(a, [[1], [-1]])
    np.testing.assert_allclose(log_pi, [-0.5 * np.log(2 * np.pi) - 2 * np.log(2) + 40] * 2, rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(log_pi, mean), [[2], [-2]], rtol=1e-5)  # d/du of 2 |u|


def test_gradients_of_squashed_draws_by_hand() -> None:
    """d a / d mean = 1 - a^2; d log pi / d mean = 2 a, since the noise is held; both times std noise for log std, and -1."""
    mean, log_std, noise = tf.Variable([[0.3, -0.2]]), tf.Variable([[-0.5, 0.2]]), tf.constant([[1.2, -0.7]])
    with tf.GradientTape(persistent=True) as tape:
        a, log_pi = SquashedGaussian(*BOUNDS).reparameterize((mean, log_std), noise)
    reach = np.exp(log_std) * noise  # d u / d log std
    slope = 1 - np.square(a)
    np.testing.assert_allclose(tape.gradient(a, mean), slope, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(a, log_std), slope * reach, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(log_pi, mean), 2 * a, rtol=1e-5)
    np.testing.assert_allclose(tape.gradient(log_pi, log_std), 2 * a * reach - 1, rtol=1e-5)


def test_numpy_draws_squashed_actions_as_tensorflow_does() -> None:
    rng = np.random.default_rng(0)
    mean, log_std = rng.normal(size=(2, 5, 2)).astype(np.float32)
    policy = SquashedGaussian(*BOUNDS)
    a = policy.sample((mean, log_std), np.random.default_rng(3))
    noise = np.random.default_rng(3).standard_normal(mean.shape, np.float32)
    np.testing.assert_allclose(a, policy.reparameterize((mean, log_std), noise)[0], rtol=1e-5)
    np.testing.assert_allclose(policy.greedy((mean, log_std)), np.tanh(mean), rtol=1e-6)


def test_squashed_actions_are_stretched_to_the_bounds() -> None:
    policy = SquashedGaussian(*BOUNDS)
    np.testing.assert_allclose(policy.to_env(np.array([[-1.0, -1], [0, 0], [1, 1]])), [[-2, 0], [0, 1.5], [2, 3]])


# --- what fits ----------------------------------------------------------------------------------------------------------


def test_the_action_space_says_which_policy_fits() -> None:
    assert policy_for(Discrete(4), "x", "Some-v0") == Categorical(4)
    gaussian = policy_for(Box(*BOUNDS), "x", "Some-v0")
    assert isinstance(gaussian, Gaussian) and gaussian.num_actions == 2 and gaussian.shape == (2,)
    for of, space, sentence in (
        (policy_for, MultiDiscrete([2, 2]), "x needs discrete actions or a vector of them; those of Some-v0 are Multi"),
        (policy_for, Box(0, 1, (2, 2)), "x needs discrete actions or a vector of them"),
        (Categorical.of, Box(*BOUNDS), "x needs discrete actions; those of Some-v0 are Box"),
        (SquashedGaussian.of, Discrete(2), "x needs a vector of actions with finite bounds; those of Some-v0 are Disc"),
        (SquashedGaussian.of, Box(-np.inf, 1, (2,)), "finite bounds"),
    ):
        with pytest.raises(UsageError, match=sentence):
            of(space, "x", "Some-v0")


def test_exported_functions_take_observations_and_give_actions() -> None:
    env = make(EnvConfig("pongan/Walk-v0"), 1, 0)
    x = np.array([[0.1], [3.0]], np.float32)
    low, high = np.array([-1.0], np.float32), np.array([1.0], np.float32)
    for policy, action in ((Gaussian(low, high), x), (SquashedGaussian(low, high), np.tanh(x))):
        out = policy.export(env, lambda observation: (observation, tf.zeros(1)))(x)
        np.testing.assert_allclose(out["action"], np.clip(action, -1, 1), rtol=1e-6)
        np.testing.assert_allclose(out["std"], np.ones((2, 1)))
    env.close()
    env = make(EnvConfig("CartPole-v1", actions=(1, 0)), 1, 0)
    act = Categorical(2).export(env, lambda observation: observation[:, :2])
    out = act(np.array([[0, np.log(3), 0, 0]], np.float32))
    assert out["action"].numpy().tolist() == [0]  # the second action, which the environment calls 0
    np.testing.assert_allclose(out["probability"], [[0.25, 0.75]], rtol=1e-6)
    env.close()
