"""The networks of SRGAN: sizes, reach, the parameter counts of the papers, and batch norm folded away."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import tensorflow as tf

from core.layers.srgan import SCALES, discriminator, fold_batch_norm, radius, rrdb, srresnet
from core.layers.upsampling import BicubicUpsampling, SubpixelConv2D


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("over_bicubic", [False, True])
@pytest.mark.parametrize("make", [partial(srresnet, 1, 4, ends=5), partial(rrdb, 1, 4, growth=2)])
def test_any_size_becomes_larger(make, scale: int, over_bicubic: bool) -> None:
    G = make(scale=scale, over_bicubic=over_bicubic)
    for size in ((7, 12), (5, 5)):
        y = G(random(2, *size, 3), training=False)
        assert tuple(y.shape) == (2, scale * size[0], scale * size[1], 3) and y.dtype == tf.float32
    assert G.input_shape == (None, None, None, 3)


@pytest.mark.parametrize("make", [partial(srresnet, 1, 4, ends=3), partial(rrdb, 1, 4, growth=2)])
def test_over_bicubic_is_what_the_convolutions_add(make) -> None:
    x = random(1, 6, 8, 3)
    bicubic = np.asarray(BicubicUpsampling(4)(x))
    plain, over = make(seed=1), make(seed=1, over_bicubic=True)
    made = np.asarray(plain(x, training=False))
    made = np.arctanh(made) if plain.name == "srresnet" else made
    np.testing.assert_allclose(over(x, training=False), bicubic + made, atol=1e-4)
    last = [layer for layer in over.layers if layer.weights][-1]
    for v in last.weights:
        v.assign(tf.zeros_like(v))
    np.testing.assert_array_equal(over(x, training=False), bicubic)


@pytest.mark.slow
def test_parameters_as_in_the_papers() -> None:
    conv = lambda i, o, k: i * o * k * k + o  # noqa: E731
    blocks = 16 * (2 * 64 * 64 * 9 + 2 * 4 * 64 + 64)  # convolutions without bias, batch norm, PReLU
    ends = conv(3, 64, 9) + 64 + 64 * 64 * 9 + 4 * 64 + 2 * (conv(64, 256, 3) + 64) + conv(64, 3, 9)
    assert srresnet().count_params() == blocks + ends
    dense = sum(conv(64 + 32 * i, 32, 3) for i in range(4)) + conv(192, 64, 3)
    rest = conv(3, 64, 3) + 2 * conv(64, 64, 3) + 2 * conv(64, 256, 3) + conv(64, 3, 3)
    assert rrdb().count_params() == 23 * 3 * dense + rest


def test_discriminator_of_the_compact_design() -> None:
    D = discriminator(384, 64)
    kernels = [tuple(layer.kernel.shape) for layer in D.layers if hasattr(layer, "kernel")]
    assert [k[-1] for k in kernels[:6]] == [64, 128, 256, 512, 1024, 2048] and {k[0] for k in kernels[:6]} == {4}
    assert [k[0] for k in kernels[6:11]] == [1, 1, 1, 3, 3] and kernels[-1] == (6 * 6 * 512, 1)
    assert discriminator(96, 2)(random(3, 96, 96, 3), training=True).shape == (3,)


@pytest.mark.parametrize(
    ("make", "scale"),
    [
        (lambda: srresnet(2, 4), 4),
        (lambda: rrdb(1, 4, growth=2), 4),
        *((partial(srresnet, 2, 4, ends=5, scale=scale), scale) for scale in (2, 3, 8)),
    ],
)
def test_nothing_beyond_the_radius_matters(make, scale: int) -> None:
    """The gradient of an output pixel with respect to the input, on an input wide enough for all of it."""
    G = make()
    for v in G.trainable_variables:  # far from zero, so that no path is lost to rounding
        v.assign(np.random.default_rng(1).uniform(0.05, 0.3, v.shape))
    reach = radius(G)
    side = 2 * reach + 5
    x = tf.constant(0.01 * np.abs(random(1, side, side, 3)))
    middle = side // 2
    seen = 0
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        before = keras_logits(G)(x)
        pixels = [before[0, scale * middle + i, scale * middle + i, 0] for i in (0, scale - 1)]
    for pixel in pixels:
        rows, columns = np.nonzero(np.abs(tape.gradient(pixel, x)[0].numpy()).sum(axis=-1))
        seen = max(seen, np.abs(rows - middle).max(), np.abs(columns - middle).max())
    assert reach - 1 <= seen <= reach


def keras_logits(G):
    """G without its tanh, whose gradient vanishes where it is saturated."""
    import keras

    return keras.Model(G.inputs, G.layers[-1].input)


def test_it_begins_without_a_checkerboard() -> None:
    """Inside, where padding is far, every pixel of a block starts equal after one sub-pixel convolution."""
    for scale, factor in ((4, 2), (3, 3)):
        G = srresnet(1, 4, scale=scale, ends=3, batch_norm=False)
        layer = next(one for one in G.layers if isinstance(one, SubpixelConv2D))
        y = np.asarray(layer(random(1, 6, 7, 4)))
        for i in range(factor):
            np.testing.assert_array_equal(y[:, ::factor, ::factor], y[:, i::factor, factor - 1 :: factor])
        assert y[:, ::factor, ::factor].std() > 0


def test_folded_batch_norm_computes_the_same() -> None:
    G, rng = srresnet(2, 4, 1), np.random.default_rng(0)
    for v in G.variables:
        if any(name in v.path for name in ("moving", "gamma", "beta")):
            v.assign(rng.uniform(0.5, 1.5, v.shape))
    x = random(1, 9, 11, 3)
    folded = fold_batch_norm(G, srresnet(2, 4, 2, batch_norm=False))
    np.testing.assert_allclose(folded(x, training=False), G(x, training=False), atol=1e-4)
    assert not any("normalization" in layer.name for layer in folded.layers)
