"""Bicubic resampling against Pillow's and against what it must keep."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage.data import astronaut

from core.layers.resampling import bicubic_matrix, downscale, support


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_downscaling_beside_pillow(scale: int) -> None:
    picture = astronaut()[:240, :360]
    small = Image.fromarray(picture).resize((360 // scale, 240 // scale), Image.Resampling.BICUBIC)
    ours = np.asarray(downscale(tf.constant(picture[None], tf.float32), scale, eight_bit=True))[0]
    error = np.abs(ours - np.asarray(small))
    assert error.max() <= 1 and (error > 0).mean() < 0.01  # weights of 22 bits in Pillow
    once = np.asarray(downscale(tf.constant(picture[None], tf.float32), scale))[0]
    assert np.abs(once - np.asarray(small)).max() > 1, "what lies beyond black and white is lost after each pass"


def test_against_pillow_in_floating_point() -> None:
    picture = astronaut()[:128, :96, 0].astype(np.float32)
    small = np.asarray(Image.fromarray(picture).resize((24, 32), Image.Resampling.BICUBIC))
    ours = np.asarray(downscale(tf.constant(picture[None, ..., None]), 4))[0, ..., 0]
    np.testing.assert_allclose(ours, small, atol=1e-3)
    wide = np.asarray(Image.fromarray(picture).resize((200, 300), Image.Resampling.BICUBIC))
    np.testing.assert_allclose(bicubic_matrix(128, 300) @ picture @ bicubic_matrix(96, 200).T, wide, atol=1e-3)


def test_the_finest_stripes_turn_grey() -> None:
    stripes = np.tile(np.array([0, 255], np.float32), (1, 64, 32))[..., None]
    small = np.asarray(downscale(tf.constant(stripes), 4))
    assert np.abs(small[:, 2:-2, 2:-2] - 127.5).max() < 1e-3  # without antialiasing: 0 or 255


def test_a_crop_with_margin_is_the_crop_of_the_whole() -> None:
    picture = tf.constant(astronaut()[None, :160, :160], tf.float32)
    margin = support(4)
    whole = downscale(picture, 4)[:, 10:20, 8:18]
    crop = downscale(picture[:, 40 - margin : 80 + margin, 32 - margin : 72 + margin], 4, margin)
    np.testing.assert_allclose(crop, whole, atol=1e-3)
    without = downscale(picture[:, 40:80, 32:72], 4)
    assert np.abs(without - whole).max() > 1, "the margin matters"


def test_rows_sum_to_one_and_sizes_are_checked() -> None:
    np.testing.assert_allclose(bicubic_matrix(37, 11).sum(axis=1), 1, atol=1e-6)
    with pytest.raises(ValueError, match="multiples"):
        downscale(tf.zeros((1, 18, 16, 3)), 4)
