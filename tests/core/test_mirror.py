from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf

from core.layers.noisy import NoisyDense
from core.layers.torsos import Standardize, dense, mlp, nature_cnn
from core.mirror import Chain, Mirror

X = np.random.default_rng(0).normal(size=(7, 5)).astype(np.float32)


@pytest.mark.parametrize("activation", ["relu", "tanh", "elu"])
def test_a_chain_equals_the_model_before_and_after_an_update(activation: str) -> None:
    torso, head = mlp(5, [64, 64], activation, seed=3), dense(3, "head", seed=3)
    standardize = Standardize()
    model = keras.Sequential([keras.Input((5,)), standardize, torso, head])
    standardize.mean.assign([1, 2, 3, 4, 5.0])
    standardize.std.assign([1, 2, 3, 4, 0.01])
    mirror = Mirror([standardize, torso, head])
    (chain,) = mirror.chains
    before = X.copy()
    np.testing.assert_allclose(chain(X), model(X), atol=1e-5)
    np.testing.assert_array_equal(X, before)
    for variable in model.trainable_variables:
        variable.assign_add(np.full(variable.shape, 0.01))
    assert not np.allclose(chain(X), model(X), atol=1e-5)
    mirror.copy()
    np.testing.assert_allclose(chain(X), model(X), atol=1e-5)
    assert chain(X).dtype == np.float32
    for variable in model.variables:
        variable.assign_add(np.full(variable.shape, 0.5))
    mirror.take(mirror.theta().numpy())
    np.testing.assert_allclose(chain(X), model(X), rtol=1e-4)


def test_several_chains_and_other_variables_share_one_vector() -> None:
    actor, critic = [mlp(5, [8], "tanh", 0, "actor"), dense(2, "policy", 0)], [dense(1, "value", 0)]
    critic[0].build((None, 5))
    log_std = keras.Variable(np.zeros(2, np.float32))
    actor[1].build((None, 8))
    mirror = Mirror(actor, critic, others=[log_std])
    assert mirror.theta().shape == (5 * 8 + 8 + 8 * 2 + 2 + 5 + 1 + 2,)
    log_std.assign([0.5, -0.5])
    critic[0].bias.assign([3.0])
    mirror.take(mirror.theta().numpy())
    np.testing.assert_array_equal(mirror.others[0], [0.5, -0.5])
    np.testing.assert_allclose(mirror.chains[0](X), actor[1](actor[0](X)), atol=1e-6)
    np.testing.assert_allclose(mirror.chains[1](X), critic[0](X), atol=1e-6)
    log_std.assign([1.5, 2.5])
    mirror.copy()
    np.testing.assert_array_equal(mirror.others[0], [1.5, 2.5])


def test_a_vector_made_elsewhere_may_have_another_order_and_more() -> None:
    first, second = dense(4, "first", 1, "relu"), dense(2, "second", 1)
    first.build((None, 5))
    second.build((None, 4))
    unrelated = keras.Variable(np.ones((2, 2), np.float32))
    order = [second.bias, unrelated, first.kernel, second.kernel, first.bias]
    mirror = Mirror([first, second], order=order)
    for v in order:
        v.assign(np.random.default_rng(1).normal(size=v.shape))
    mirror.take(np.concatenate([v.numpy().ravel() for v in order]))
    np.testing.assert_allclose(mirror.chains[0](X), second(first(X)), atol=1e-6)


def test_nothing_to_mirror_is_an_empty_vector() -> None:
    mirror = Mirror()
    assert mirror.theta().shape == (0,) and not mirror.chains
    mirror.take(mirror.theta().numpy())
    mirror.copy()


def test_layers_without_bias_take_sparse_rows() -> None:
    layer = keras.layers.Dense(3, use_bias=False, activation="relu")
    layer.build((None, 5))
    out = Chain(layer)(scipy.sparse.csr_matrix(X))
    assert isinstance(out, np.ndarray)
    np.testing.assert_allclose(out, layer(X), atol=1e-6)


def test_what_cannot_be_mirrored_is_refused() -> None:
    with pytest.raises(ValueError, match="BlockConv"):
        Chain(nature_cnn((4, 84, 84), seed=0))
    for activation in ("gelu", tf.math.square):
        layer = keras.layers.Dense(3, activation=activation)
        layer.build((None, 5))
        with pytest.raises(ValueError, match="cannot be mirrored; relu, tanh, elu, linear can"):
            Chain(layer)


def test_a_class_of_ones_own_is_not_taken_for_what_it_inherits() -> None:
    class Doubled(keras.layers.Dense):
        def call(self, x, *args, **kwargs):
            return 2 * super().call(x, *args, **kwargs)

    class Negated(keras.Model):
        def call(self, x, *args, **kwargs):
            return -super().call(x, *args, **kwargs)

    x = keras.Input((5,))
    plain = keras.Model(x, keras.layers.Dense(3)(x))
    assert Mirror([plain]).chains
    for other in (keras.Sequential([x, Doubled(3)]), Negated(x, plain(x))):
        assert not Mirror([other]).chains


def test_layer_normalisation_stands_between_a_layer_and_its_activation() -> None:
    torso, head = mlp(5, [16, 8], "relu", seed=3, norm=True), dense(3, "head", seed=3)
    model = keras.Sequential([keras.Input((5,)), torso, head])
    rng = np.random.default_rng(1)
    for variable in model.trainable_variables:
        variable.assign_add(rng.normal(scale=0.2, size=variable.shape))
    (chain,) = Mirror([torso, head]).chains
    before = X.copy()
    np.testing.assert_allclose(chain(X), model(X), atol=1e-5)
    np.testing.assert_array_equal(X, before)
    W1, b1, scale1, offset1, W2, b2, scale2, offset2, W3, b3 = (np.array(v) for v in model.trainable_variables)
    h = X
    for W, b, scale, offset in ((W1, b1, scale1, offset1), (W2, b2, scale2, offset2)):
        z = h @ W + b
        z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + 1e-6)
        h = np.maximum(z * scale + offset, 0)
    np.testing.assert_allclose(chain(X), h @ W3 + b3, atol=1e-4)


def test_noisy_layers_take_their_noise_one_behind_the_other_and_are_their_means_without() -> None:
    first, second, third = NoisyDense(6, "first", 1, "relu"), dense(4, "second", 1, "relu"), NoisyDense(2, "third", 1)
    x, noises = keras.Input((5,)), [keras.Input((11,)), keras.Input((6,))]
    model = keras.Model([x, *noises], third(second(first(x, noises[0])), noises[1]))
    (chain,) = Mirror([first, second, third]).chains
    assert chain.noise_width == 17
    noise = np.random.default_rng(2).standard_normal((7, 17), np.float32)
    np.testing.assert_allclose(chain(X, noise), model([X, noise[:, :11], noise[:, 11:]]), atol=1e-5)
    np.testing.assert_allclose(chain(X, noise[:1]), model([X, noise[:1, :11], noise[:1, 11:]]), atol=1e-5)
    np.testing.assert_allclose(chain(X), model([X, np.zeros((1, 11), "f"), np.zeros((1, 6), "f")]), atol=1e-5)
    assert not np.allclose(chain(X, noise), chain(X), atol=0.01)


def test_other_normalisations_and_a_leading_activation_are_refused() -> None:
    for layer in (keras.layers.LayerNormalization(rms_scaling=True), keras.layers.LayerNormalization(center=False)):
        layer.build((None, 5))
        with pytest.raises(ValueError, match="only dense layers can be mirrored"):
            Chain(layer)
    with pytest.raises(ValueError, match="Activation"):
        Chain(keras.layers.Activation("relu"))
