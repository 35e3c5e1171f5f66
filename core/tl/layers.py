"""Lengths and masks of padded sequences, as TensorFlow tensors. TensorFlow is imported when one is called."""

from __future__ import annotations

from typing import Any

__all__ = ["retrieve_seq_length_op", "retrieve_seq_length_op2", "retrieve_seq_length_op3", "target_mask_op"]


def retrieve_seq_length_op(data: Any) -> Any:
    """Steps of each sequence that are not all zero.

    Args:
        data: float tensor [B, T, D], padded with zeros.

    Returns:
        int32 [B].

    Raises:
        ValueError: another number of axes.

    >>> retrieve_seq_length_op([[[1.0], [2.0], [0.0]]]).numpy().tolist()
    [2]
    """
    import tensorflow as tf

    data = _with_axes(data, 3)
    used = tf.sign(tf.reduce_max(tf.abs(data), axis=2))
    return tf.cast(tf.reduce_sum(used, axis=1), tf.int32)


def retrieve_seq_length_op2(data: Any) -> Any:
    """Elements of each sequence above zero.

    Args:
        data: tensor [B, T], padded with zeros.

    Returns:
        int32 [B].

    Raises:
        ValueError: another number of axes.

    >>> retrieve_seq_length_op2([[1, 2, 0, 0]]).numpy().tolist()
    [2]
    """
    import tensorflow as tf

    data = _with_axes(data, 2)
    return tf.reduce_sum(tf.cast(data > tf.zeros_like(data), tf.int32), axis=1)


def retrieve_seq_length_op3(data: Any, pad_val: Any = 0) -> Any:
    """Steps of each sequence that are not padding.

    Args:
        data: tensor [B, T] or [B, T, D], also of strings.
        pad_val: the padding; "" for strings.

    Returns:
        int32 [B].

    Raises:
        ValueError: another number of axes.

    >>> retrieve_seq_length_op3([[1, 2, 9, 9]], pad_val=9).numpy().tolist()
    [2]
    """
    import tensorflow as tf

    return tf.reduce_sum(target_mask_op(data, pad_val), axis=1)


def target_mask_op(data: Any, pad_val: Any = 0) -> Any:
    """1 where a step is not padding, else 0.

    Args:
        data: tensor [B, T] or [B, T, D], also of strings.
        pad_val: the padding; "" for strings.

    Returns:
        int32 [B, T].

    Raises:
        ValueError: another number of axes.

    >>> target_mask_op([[1, 0, 3, 0]]).numpy().tolist()
    [[1, 0, 1, 0]]
    """
    import tensorflow as tf

    data = _with_axes(data, 2, 3)
    differs = tf.not_equal(data, pad_val)
    return tf.cast(tf.reduce_any(differs, axis=2) if len(data.shape) == 3 else differs, tf.int32)


def _with_axes(data: Any, *allowed: int) -> Any:
    import tensorflow as tf

    data = tf.convert_to_tensor(data)
    if len(data.shape) not in allowed:
        raise ValueError(f"data must have {' or '.join(map(str, allowed))} axes, not {len(data.shape)}")
    return data
