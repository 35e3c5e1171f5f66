"""Attention over words: values by hand, padding without weight; the encoder of words: both directions, padding without effect."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.layers.text import WordAttention, word_encoder


def test_a_place_gets_the_words_in_shares_of_their_scores() -> None:
    """Scores q k' / sqrt(4) of ln 3 and 0 are shares of 3/4 and 1/4; the third word is padding, however well it would fit."""
    q = tf.constant([[[[2.0, 0, 0, 0], [0, 0, 0, 0]]]])  # [1, 1, 2, 4]
    k = tf.constant([[[np.log(3.0), 0, 0, 0], [0, 1, 0, 0], [9, 9, 9, 9]]], tf.float32)  # [1, 3, 4]
    v = tf.constant([[[4.0, 0], [0, 8], [100, 100]]])  # [1, 3, 2]
    np.testing.assert_allclose(WordAttention()([q, k, v, tf.constant([[5, 7, 0]])]), [[[[3, 2], [2, 4]]]], rtol=1e-6)
    alone = WordAttention()([q, k, v, tf.constant([[5, 0, 0]])])
    np.testing.assert_allclose(alone, [[[[4, 0], [4, 0]]]], rtol=1e-6)


def test_attention_keeps_float32_sums_and_the_shape_of_the_maps() -> None:
    inputs = [
        keras.Input((4, 4, 6)),
        keras.Input((None, 6)),
        keras.Input((None, 5)),
        keras.Input((None,), dtype="int32"),
    ]
    assert WordAttention()(inputs).shape == (None, 4, 4, 5)
    q, k, v = tf.ones((1, 1, 1, 4), tf.bfloat16), tf.ones((1, 3, 4), tf.bfloat16), tf.constant([[[0.0], [1], [1]]])
    got = WordAttention(dtype="float32")([q, k, v, tf.constant([[1, 1, 1]])])
    assert got.dtype == tf.float32 and float(got[0, 0, 0, 0]) == pytest.approx(2 / 3, abs=1e-6)


def test_words_know_what_stands_before_and_behind_them_and_nothing_of_padding() -> None:
    encoder = word_encoder(words=9, width=5, units=6, seed=1)
    words, caption = encoder(tf.constant([[2, 3, 4]]))
    assert words.shape == (1, 3, 6) and caption.shape == (1, 6)
    # forwards the caption is the state after the last word, backwards that after the first
    np.testing.assert_allclose(caption[0], np.concatenate([words[0, 2, :3], words[0, 0, 3:]]), atol=1e-6)
    padded, same = encoder(tf.constant([[2, 3, 4, 0, 0], [2, 3, 5, 6, 7]]))
    np.testing.assert_allclose(padded[0, :3], words[0], atol=1e-6)
    np.testing.assert_array_equal(padded[0, 3:], np.zeros((2, 6)))
    np.testing.assert_allclose(same[0], caption[0], atol=1e-6)
    np.testing.assert_allclose(padded[1, :2, :3], words[0, :2, :3], atol=1e-6)  # forwards the same beginning
    assert np.abs(padded[1, :2, 3:] - words[0, :2, 3:]).max() > 1e-4  # backwards another end
