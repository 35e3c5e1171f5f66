import numpy as np
import pytest
import tensorflow as tf

from core.layers.torsos import BlockConv, a3c_cnn, blocks, mlp, nature_cnn, small_cnn


def test_block_conv_is_the_8x8_stride_4_convolution_of_pixels_over_255() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 84, 84), dtype=np.uint8)
    ours = BlockConv(32, 8, 4)
    ours.build((None, 21, 21, 64))
    ours.bias.assign(np.linspace(-0.1, 0.1, 32))
    with tf.GradientTape() as tape:
        out = ours(blocks(pixels))
        loss = tf.reduce_sum(out**2)
    x = tf.cast(tf.transpose(pixels, (0, 2, 3, 1)), tf.float32) / 255
    with tf.GradientTape() as plain_tape:
        plain = tf.nn.relu(tf.nn.conv2d(x, ours.kernel.value, 4, "VALID") + ours.bias.value)
        plain_loss = tf.reduce_sum(plain**2)
    assert out.shape == (2, 20, 20, 32)
    np.testing.assert_allclose(out, plain, atol=1e-5)
    for a, b in zip(
        tape.gradient(loss, [ours.kernel.value, ours.bias.value]),
        plain_tape.gradient(plain_loss, [ours.kernel.value, ours.bias.value]),
        strict=True,
    ):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-3)


def test_the_nature_network_has_the_published_sizes() -> None:
    model = nature_cnn((4, 84, 84), seed=0)
    assert [tuple(w.shape) for w in model.trainable_variables if "kernel" in w.path] == [
        *((8, 8, 4, 32), (4, 4, 32, 64), (3, 3, 64, 64)),
        (3136, 512),
    ]
    assert model(blocks(np.zeros((3, 4, 84, 84), np.uint8))).shape == (3, 512)


def test_the_small_network_takes_42_pixels() -> None:
    assert a3c_cnn((4, 42, 42), seed=0)(np.full((2, 4, 42, 42), 255, np.uint8)).shape == (2, 256)


@pytest.mark.parametrize(("shape", "flat"), [((3, 8, 8), 2 * 2), ((1, 35, 12), 9 * 3), ((4, 7, 7), 2 * 2)])
def test_the_network_of_small_pictures(shape: tuple, flat: int) -> None:
    model = small_cnn(shape, seed=0)
    kernels = [tuple(w.shape) for w in model.trainable_variables if "kernel" in w.path]
    assert kernels == [(3, 3, shape[0], 32), (3, 3, 32, 64), (3, 3, 64, 64), (64 * flat, 256)]
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    same = small_cnn(shape, seed=0, unit=1, dtype="float32")
    np.testing.assert_allclose(model(pixels), same(pixels.astype(np.float32) / 255), rtol=1e-4, atol=1e-5)
    x = np.pad(pixels[0] / 255, [(0, 0), (1, 1), (1, 1)])  # the first filter at pixel (2, 3), by hand
    kernel = model.layers[2].kernel.numpy()[..., 0]
    at = np.einsum("cyx,yxc->", x[:, 2:5, 3:6], kernel)
    first = model.layers[2](model.layers[1](model.layers[0](pixels)))
    assert abs(float(first[0, 2, 3, 0]) - max(at, 0)) < 1e-5


def test_weights_are_orthogonal_and_follow_from_seed_and_name() -> None:
    first, second = mlp(6, [16], "relu", seed=1), mlp(6, [16], "relu", seed=1)
    kernel = np.asarray(first.layers[0].kernel)
    np.testing.assert_allclose(kernel @ kernel.T, 2 * np.eye(6), atol=1e-5)  # gain sqrt(2)
    np.testing.assert_array_equal(kernel, second.layers[0].kernel)
    assert not np.allclose(kernel, mlp(6, [16], "relu", seed=2).layers[0].kernel)
    assert not np.allclose(kernel, mlp(6, [16], "relu", seed=1, name="other").layers[0].kernel)


def test_odd_sides_are_refused() -> None:
    with pytest.raises(ValueError, match="divisible by 4"):
        nature_cnn((4, 85, 84), seed=0)
