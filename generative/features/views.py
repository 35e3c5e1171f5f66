"""Views of pictures: shifted, turned, in another light, as little as leaves them what they are."""

from __future__ import annotations

import math

import tensorflow as tf

from generative.features.config import ViewConfig

__all__ = ["affine", "views"]


def views(x: tf.Tensor, key: tf.Tensor, config: ViewConfig, mirror: bool = False) -> tf.Tensor:
    """Return a random view of every picture, [B, H, W, C] float32 in [0, 1] -> the same.

    The key (seed, position) alone determines them. `mirror`: every other one is mirrored. What comes in from beyond the border is
    the border's nearest pixel.
    """
    B, (height, width, channels) = tf.shape(x)[0], x.shape[1:]
    drawn = tf.random.stateless_uniform((B, 11 + channels), key, -1.0, 1.0)
    angle, zoom, shear, side, down, across, contrast, brightness, top, left, size, *colours = tf.unstack(drawn, axis=1)

    flip = tf.where(side < 0, -1.0, 1.0) if mirror else tf.ones(B)
    shift = config.shift * tf.stack([height * down, width * across], axis=1)
    angle, scale = config.rotate * math.pi / 180 * angle, 1.0 + config.zoom * zoom
    x = tf.raw_ops.ImageProjectiveTransformV3(
        images=x,
        transforms=affine(angle, scale, config.shear * shear, flip, shift, height, width),
        output_shape=(height, width),
        fill_value=0.0,
        interpolation="BILINEAR",
        fill_mode="NEAREST",
    )

    def each(values: tf.Tensor) -> tf.Tensor:
        """Return values [B] as one for each picture, [B, 1, 1, 1]."""
        return tf.reshape(values, (B, 1, 1, 1))

    mean = tf.reduce_mean(x, axis=(1, 2, 3), keepdims=True)
    x = (x - mean) * each(1.0 + config.light * contrast) + mean + each(config.light * brightness)
    if channels > 1:
        x *= 1.0 + config.colour * tf.stack(colours, axis=1)[:, None, None]
    if config.erase:
        half = 0.5 * config.erase * tf.abs(size)[:, None]  # [B, 1], as the places in shares of the sides
        rows = tf.abs(_places(height) - 0.5 - 0.5 * top[:, None]) < half  # [B, H]
        columns = tf.abs(_places(width) - 0.5 - 0.5 * left[:, None]) < half  # [B, W]
        x = tf.where((rows[:, :, None] & columns[:, None, :])[..., None], 0.5, x)
    return tf.clip_by_value(x, 0.0, 1.0)


def affine(
    angle: tf.Tensor, scale: tf.Tensor, shear: tf.Tensor, flip: tf.Tensor, shift: tf.Tensor, height: int, width: int
) -> tf.Tensor:
    """Return the maps [B, 8] from places in a view to places in its picture, as TensorFlow's projective transform has them.

    Around the picture's middle: (x, y) -> R(angle) (flip x + shear y, y) / scale + shift. All arguments are [B], shift [B, 2] in
    pixels (down, across).
    """
    cosine, sine = tf.cos(angle) / scale, tf.sin(angle) / scale
    xx, xy = cosine * flip, cosine * shear - sine
    yx, yy = sine * flip, sine * shear + cosine
    middle_x, middle_y = (width - 1) / 2, (height - 1) / 2
    x = middle_x - xx * middle_x - xy * middle_y + shift[:, 1]
    y = middle_y - yx * middle_x - yy * middle_y + shift[:, 0]
    zero = tf.zeros_like(angle)
    return tf.stack([xx, xy, x, yx, yy, y, zero, zero], axis=1)


def _places(side: int) -> tf.Tensor:
    """Return the middles of the pixels of a side, as shares of it."""
    return (tf.range(side, dtype=tf.float32) + 0.5) / side
