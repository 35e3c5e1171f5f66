"""Captions as vectors of the whole or of each word, and how places of a feature map come by them."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from core.seeds import child

__all__ = ["Tile", "WordAttention", "text_encoder", "word_encoder"]


def text_encoder(words: int, width: int, units: int, seed: int) -> keras.Model:
    """Return the encoder: word ids [B, T] int32 -> [B, units] float32, an LSTM's state after the last word of each.

    0 is padding, which neither moves the state nor changes the result whatever T is. `width` numbers stand for each of
    `words` words.
    """
    ids = keras.Input((None,), dtype="int32")
    start = keras.initializers.RandomUniform(-0.1, 0.1, seed=child(seed, "words"))
    h = keras.layers.Embedding(words, width, embeddings_initializer=start, mask_zero=True, dtype="float32")(ids)
    lstm = keras.layers.LSTM(
        units,
        kernel_initializer=keras.initializers.GlorotUniform(seed=child(seed, "input")),
        recurrent_initializer=keras.initializers.Orthogonal(seed=child(seed, "recurrent")),
        # of a dropout that is off; without it a checkpoint holds a number that nothing determines
        seed=child(seed, "dropout"),
        dtype="float32",
    )
    return keras.Model(ids, lstm(h), name="text_encoder")


def word_encoder(words: int, width: int, units: int, seed: int) -> keras.Model:
    """Return the encoder: word ids [B, T] int32 -> (a vector of each word [B, T, units], of the caption [B, units]), float32.

    A word's vector is the states of two LSTMs of units / 2 after it, one that reads forwards and one backwards; the caption's is
    their last ones (Xu et al., 2018, section 3.2). 0 is padding: it changes neither caption nor words, and has zeros itself.
    """
    ids = keras.Input((None,), dtype="int32")
    start = keras.initializers.RandomUniform(-0.1, 0.1, seed=child(seed, "words"))
    h = keras.layers.Embedding(words, width, embeddings_initializer=start, mask_zero=True, dtype="float32")(ids)

    def lstm(name: str) -> keras.layers.LSTM:
        return keras.layers.LSTM(
            units // 2,
            kernel_initializer=keras.initializers.GlorotUniform(seed=child(seed, "input", name)),
            recurrent_initializer=keras.initializers.Orthogonal(seed=child(seed, "recurrent", name)),
            seed=child(seed, "dropout", name),  # as above
            return_sequences=True,
            return_state=True,
            zero_output_for_mask=True,
            go_backwards=name == "backward",
            dtype="float32",
        )

    both = keras.layers.Bidirectional(lstm("forward"), backward_layer=lstm("backward"), dtype="float32")
    states, forward, _, backward, _ = both(h)
    caption = keras.layers.Concatenate(dtype="float32")([forward, backward])
    return keras.Model(ids, [states, caption], name="word_encoder")


@keras.saving.register_keras_serializable("pongan")
class WordAttention(keras.layers.Layer):
    """Each place of a feature map asks the words of a caption: what it gets is softmax(q k' / sqrt(D)) v, float32.

    (queries [B, H, W, D], keys [B, T, D], values [B, T, E], ids [B, T] int32) -> [B, H, W, E]; words of id 0 are padding and have
    no weight (Xu et al., 2018, eq. 3 and 4, with the scale of Vaswani et al., 2017, eq. 1).
    """

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]) -> tf.Tensor:
        *parts, ids = inputs
        q, k, v = (tf.cast(part, tf.float32) for part in parts)
        B, H, W, D = tf.shape(q)[0], q.shape[1], q.shape[2], q.shape[3]
        scores = tf.matmul(tf.reshape(q, [B, H * W, D]), k, transpose_b=True) / D**0.5  # [B, HW, T]
        weights = tf.nn.softmax(tf.where(ids[:, None] > 0, scores, -1e9))
        return tf.reshape(tf.matmul(weights, v), [B, H, W, v.shape[2]])

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        return (*input_shape[0][:3], input_shape[2][2])


@keras.saving.register_keras_serializable("pongan")
class Tile(keras.layers.Layer):
    """Append a vector [B, D] to every place of a feature map [B, H, W, C]: -> [B, H, W, C + D] (Reed et al., 2016, figure 2)."""

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        maps, vector = inputs
        B, H, W = tf.shape(maps)[0], maps.shape[1], maps.shape[2]
        tiled = tf.broadcast_to(vector[:, None, None, :], [B, H, W, vector.shape[1]])
        return tf.concat([maps, tf.cast(tiled, maps.dtype)], axis=3)

    def compute_output_shape(self, input_shape: Any) -> tuple[Any, ...]:
        maps, vector = input_shape
        return (*maps[:3], maps[3] + vector[1])
