from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from agents.rl.policies import (
    Categorical,
    Gaussian,
    MultiCategorical,
    SquashedGaussian,
    allowed,
    choices_for,
    policy_for,
)
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


# --- several choices, and masks -----------------------------------------------------------------------------------------

PAIR = MultiCategorical((2, 3))
LOGITS = np.log(
    np.array([[1, 3, 1, 2, 5], [1, 1, 1, 1, 1]], np.float32)
)  # softmax by hand: 1/4 3/4, 1/8 2/8 5/8; 1/2, 1/3


def entropy(*p: float) -> float:
    return float(scipy.stats.entropy(p))


def test_log_prob_and_entropy_of_several_choices_by_hand() -> None:
    a = np.array([[1, 2], [0, 1]], np.int32)
    logits = tf.constant(LOGITS)
    np.testing.assert_allclose(PAIR.log_prob(logits, a), np.log([3 / 4 * 5 / 8, 1 / 6]), rtol=1e-6)
    by_hand = [entropy(1 / 4, 3 / 4) + entropy(1 / 8, 2 / 8, 5 / 8), np.log(2) + np.log(3)]
    np.testing.assert_allclose(PAIR.entropy(logits), by_hand, rtol=1e-6)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        log_pi = PAIR.log_prob(logits, a)
    one_hot = [[0, 1, 0, 0, 1], [1, 0, 0, 1, 0]]
    p = [[1 / 4, 3 / 4, 1 / 8, 2 / 8, 5 / 8], [1 / 2, 1 / 2, 1 / 3, 1 / 3, 1 / 3]]
    np.testing.assert_allclose(tape.gradient(log_pi, logits), np.subtract(one_hot, p), atol=1e-6)


def test_draws_of_several_choices_have_their_probabilities() -> None:
    rng = np.random.default_rng(0)
    a, log_pi = PAIR.sample_with_log_prob(np.repeat(LOGITS[:1], 40_000, axis=0), rng)
    assert a.shape == (40_000, 2) and log_pi.shape == (40_000,)
    joint = np.histogram2d(a[:, 0], a[:, 1], bins=(2, 3))[0] / len(a)
    np.testing.assert_allclose(joint, np.outer([1 / 4, 3 / 4], [1 / 8, 2 / 8, 5 / 8]), atol=0.01)
    np.testing.assert_allclose(
        log_pi[:50], PAIR.log_prob(tf.constant(LOGITS[:1].repeat(50, 0)), a[:50].astype(np.int32)), atol=1e-5
    )
    assert PAIR.greedy(LOGITS[:1]).tolist() == [[1, 2]] and PAIR.sample(LOGITS, rng).shape == (2, 2)
    assert (PAIR.num_actions, PAIR.shape) == (5, (2,))


def test_bits_are_bernoullis() -> None:
    """A choice of two with logits (0, z) is a Bernoulli with probability sigmoid(z)."""
    z = np.array([[0.3, -1.2, 2.0]], np.float32)
    logits = np.stack([np.zeros_like(z), z], axis=-1).reshape(1, 6)
    bits, p = np.array([[1, 0, 1]], np.int32), 1 / (1 + np.exp(-z[0]))
    policy = MultiCategorical((2, 2, 2))
    np.testing.assert_allclose(
        policy.log_prob(tf.constant(logits), bits), [scipy.stats.bernoulli.logpmf(bits[0], p).sum()], rtol=1e-5
    )
    np.testing.assert_allclose(policy.entropy(tf.constant(logits)), [scipy.stats.bernoulli.entropy(p).sum()], rtol=1e-5)


def test_masked_actions_are_never_drawn_and_count_for_nothing() -> None:
    """What is left is the softmax over the allowed actions; no gradient reaches the others (Huang and Ontanon, 2022)."""
    policy, rng = Categorical(3), np.random.default_rng(0)
    logits = np.log(np.array([[1, 2, 5]], np.float32))
    mask = np.array([[True, False, True]])
    a, log_pi = policy.sample_with_log_prob(allowed(np.repeat(logits, 20_000, 0), mask), rng)
    assert set(a.tolist()) == {0, 2} and abs((a == 2).mean() - 5 / 6) < 0.01
    np.testing.assert_allclose(log_pi, np.log(np.where(a == 2, 5 / 6, 1 / 6)), rtol=1e-5)
    assert policy.greedy(allowed(logits, ~mask)).tolist() == [1] and allowed(logits, None) is logits

    x = tf.constant(logits)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        masked = allowed(x, mask)
        log_pi, H = policy.log_prob(masked, np.array([0], np.int32)), policy.entropy(masked)
    np.testing.assert_allclose(log_pi, [np.log(1 / 6)], rtol=1e-6)
    np.testing.assert_allclose(H, [entropy(1 / 6, 5 / 6)], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(log_pi, x), [[5 / 6, 0, -5 / 6]], atol=1e-6)
    slope = [-p * (np.log(p) + entropy(1 / 6, 5 / 6)) for p in (1 / 6, 5 / 6)]  # dH/dz_i = -p_i (log p_i + H)
    np.testing.assert_allclose(tape.gradient(H, x), [[slope[0], 0, slope[1]]], atol=1e-6)


@pytest.mark.parametrize("jit", [False, True])
def test_masks_of_several_choices(jit: bool) -> None:
    mask = np.array([[1, 0, 1, 1, 0], [1, 1, 0, 0, 1]], bool)
    a = np.array([[0, 1], [1, 2]], np.int32)

    @tf.function(jit_compile=jit)
    def figures(logits: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(logits)
            masked = allowed(logits, mask)
            log_pi, H = PAIR.log_prob(masked, a), PAIR.entropy(masked)
            total = tf.reduce_sum(log_pi) + tf.reduce_sum(H)
        return log_pi, H, tape.gradient(total, logits)

    log_pi, H, gradient = figures(tf.constant(LOGITS))
    np.testing.assert_allclose(log_pi, np.log([2 / 3, 1 / 2]), rtol=1e-6)
    np.testing.assert_allclose(H, [entropy(1 / 3, 2 / 3), np.log(2)], rtol=1e-6)
    assert np.isfinite(gradient).all() and (gradient.numpy()[~mask] == 0).all() and (gradient.numpy() != 0).any()
    drawn = PAIR.sample(allowed(np.repeat(LOGITS, 2_000, 0), mask.repeat(2_000, 0)), np.random.default_rng(1))
    assert np.unique(drawn[:2_000], axis=0).tolist() == [[0, 0], [0, 1]]
    assert np.unique(drawn[2_000:], axis=0).tolist() == [[0, 2], [1, 2]]


# --- what fits ----------------------------------------------------------------------------------------------------------


def test_the_action_space_says_which_policy_fits() -> None:
    assert policy_for(Discrete(4), "x", "Some-v0") == Categorical(4)
    gaussian = policy_for(Box(*BOUNDS), "x", "Some-v0")
    assert isinstance(gaussian, Gaussian) and gaussian.num_actions == 2 and gaussian.shape == (2,)
    assert policy_for(MultiDiscrete([2, 3]), "x", "Some-v0") == MultiCategorical((2, 3))
    for of, space, sentence in (
        (
            policy_for,
            Box(0, 1, (2, 2)),
            "x needs discrete actions .Discrete, MultiDiscrete, MultiBinary.; those of Some-v0 are Box",
        ),
        (choices_for, Box(*BOUNDS), "which sac and actor-critic take"),
        (
            Categorical.of,
            Box(*BOUNDS),
            "x needs discrete actions; those of Some-v0 are Box.*which sac and actor-critic take",
        ),
        (Categorical.of, MultiDiscrete([2, 2]), r"are MultiDiscrete\(\[2 2\]\), which actor-critic and a3c take"),
        (
            SquashedGaussian.of,
            Discrete(2),
            "x needs a vector of actions with finite bounds; .*which dqn and actor-critic take",
        ),
        (SquashedGaussian.of, Box(-np.inf, 1, (2,)), "finite bounds; .*which actor-critic and a3c take"),
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
