"""Captions as vectors, and vectors laid over feature maps."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

from core.seeds import child

__all__ = ["Tile", "text_encoder"]


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
