"""Losses, segmentation scores and regularisers on TensorFlow tensors, under TensorLayer's names.

TensorFlow is imported when one is called. ``name`` is the name of an op and never required.
"""

from __future__ import annotations

import logging
import numbers
from collections.abc import Callable, Sequence
from typing import Any

from core.tl.errors import require

__all__ = [
    "absolute_difference_error",
    "binary_cross_entropy",
    "cosine_similarity",
    "cross_entropy",
    "cross_entropy_seq",
    "cross_entropy_seq_with_mask",
    "dice_coe",
    "dice_hard_coe",
    "huber_loss",
    "iou_coe",
    "li_regularizer",
    "lo_regularizer",
    "maxnorm_i_regularizer",
    "maxnorm_o_regularizer",
    "maxnorm_regularizer",
    "mean_squared_error",
    "normalized_mean_square_error",
    "sequence_loss_by_example",
    "sigmoid_cross_entropy",
]

logger = logging.getLogger(__name__)

Axis = int | Sequence[int]
Regularizer = Callable[..., Any]


# --- cross entropies --------------------------------------------------------------------------------------------------


def cross_entropy(output: Any, target: Any, name: str | None = None) -> Any:
    """Mean softmax cross entropy with integer classes. (The original asks for a name in TensorFlow 1.)

    Args:
        output: logits [B, C].
        target: integer classes [B].
        name: of the op.

    Returns:
        Scalar tensor.

    >>> round(float(cross_entropy([[0.0, 0.0]], [1])), 4)
    0.6931
    """
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=target, logits=output), name=name)


def sigmoid_cross_entropy(output: Any, target: Any, name: str | None = None) -> Any:
    """Mean sigmoid cross entropy.

    Args:
        output: logits, any shape.
        target: probabilities or 0 and 1, of the same shape and type.
        name: of the op.

    Returns:
        Scalar tensor.

    >>> round(float(sigmoid_cross_entropy([[0.0]], [[1.0]])), 4)
    0.6931
    """
    import tensorflow as tf

    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=target, logits=output), name=name)


def binary_cross_entropy(output: Any, target: Any, epsilon: float = 1e-8, name: str = "bce_loss") -> Any:
    """Cross entropy of probabilities, summed over axis 1, then the mean over the rest.

    Args:
        output: probabilities [B, D, ...].
        target: probabilities or 0 and 1, of the same shape.
        epsilon: added inside the logarithms.
        name: of the op.

    Returns:
        Scalar tensor.

    >>> round(float(binary_cross_entropy([[0.5, 0.5]], [[1.0, 0.0]])), 4)
    1.3863
    """
    import tensorflow as tf

    output, target = _tensors(output, target)
    log_likelihood = target * tf.math.log(output + epsilon) + (1.0 - target) * tf.math.log(1.0 - output + epsilon)
    return tf.reduce_mean(tf.reduce_sum(-log_likelihood, axis=1), name=name)


def cross_entropy_seq(logits: Any, target_seqs: Any, batch_size: int | None = None) -> Any:
    """Softmax cross entropy of sequences, summed over all steps, divided by the batch size.

    Args:
        logits: [B*T, V].
        target_seqs: integer tokens [B, T].
        batch_size: B; None for the plain sum.

    Returns:
        Scalar tensor.

    >>> round(float(cross_entropy_seq([[0.0, 0.0]] * 4, [[0, 1], [1, 0]], batch_size=2)), 4)
    1.3863
    """
    import tensorflow as tf

    targets = tf.reshape(target_seqs, [-1])
    total = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits))
    return total if batch_size is None else total / batch_size


def cross_entropy_seq_with_mask(
    logits: Any, target_seqs: Any, input_mask: Any, return_details: bool = False, name: str | None = None
) -> Any:
    """Mean softmax cross entropy of the steps that a mask leaves.

    Args:
        logits: [B*T, V].
        target_seqs: integer tokens [B, T].
        input_mask: weights [B, T], normally 0 and 1.
        return_details: also return what the loss is made of.
        name: of the op.

    Returns:
        Scalar tensor; with ``return_details`` the tuple loss, weighted losses [B*T], weights [B*T], targets [B*T].

    >>> round(float(cross_entropy_seq_with_mask([[0.0, 0.0], [9.0, 0.0]], [[0, 1]], [[1, 0]])), 4)
    0.6931
    """
    import tensorflow as tf

    targets = tf.reshape(target_seqs, [-1])
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)
    weights = tf.cast(tf.reshape(input_mask, [-1]), losses.dtype)
    losses = losses * weights
    loss = tf.divide(tf.reduce_sum(losses), tf.reduce_sum(weights), name=name)
    return (loss, losses, weights, targets) if return_details else loss


def sequence_loss_by_example(
    logits: Sequence[Any],
    targets: Sequence[Any],
    weights: Sequence[Any],
    average_across_timesteps: bool = True,
    softmax_loss_function: Callable[..., Any] | None = None,
    name: str | None = None,
) -> Any:
    """Weighted cross entropy of each sequence of a batch.

    Args:
        logits: T tensors [B, V].
        targets: T integer tensors [B].
        weights: T tensors [B].
        average_across_timesteps: divide by each sequence's sum of weights.
        softmax_loss_function: called with ``labels=`` and ``logits=`` instead of softmax cross entropy.
        name: of the op.

    Returns:
        Tensor [B].

    Raises:
        ValueError: the lists differ in length.

    >>> sequence_loss_by_example([[[0.0, 0.0]]], [[1]], [[1.0]]).numpy().round(4).tolist()
    [0.693...]
    """
    import tensorflow as tf

    require(
        len(logits) == len(targets) == len(weights),
        f"logits, targets and weights must have one length, not {len(logits)}, {len(targets)}, {len(weights)}",
    )
    loss = softmax_loss_function or tf.nn.sparse_softmax_cross_entropy_with_logits
    steps = [
        loss(labels=tf.reshape(target, [-1]), logits=logit) * weight
        for logit, target, weight in zip(logits, targets, weights, strict=True)
    ]
    total = tf.add_n(steps, name=name)
    return total / (tf.add_n(list(weights)) + 1e-12) if average_across_timesteps else total


# --- differences ------------------------------------------------------------------------------------------------------


def mean_squared_error(
    output: Any, target: Any, is_mean: bool = False, axis: Axis = -1, name: str = "mean_squared_error"
) -> Any:
    """Squared error, summed (or averaged) over some axes, then averaged over the rest.

    The default axis is that of 2.x. 1.11 sums over all axes but the first: ``axis=[1, 2, 3]`` for images.

    Args:
        output: tensor [B, ...].
        target: tensor of the same shape.
        is_mean: average instead of summing.
        axis: axes to sum over.
        name: of the op.

    Returns:
        Scalar tensor.

    >>> float(mean_squared_error([[1.0, 2.0]], [[0.0, 0.0]]))
    5.0
    >>> float(mean_squared_error([[1.0, 2.0]], [[0.0, 0.0]], is_mean=True))
    2.5
    """
    import tensorflow as tf

    output, target = _tensors(output, target)
    return _reduced(tf.math.squared_difference(output, target), is_mean, axis, name)


def absolute_difference_error(
    output: Any, target: Any, is_mean: bool = False, axis: Axis = -1, name: str = "absolute_difference_error_loss"
) -> Any:
    """Absolute error, summed (or averaged) over some axes, then averaged over the rest.

    Args:
        output: tensor [B, ...].
        target: tensor of the same shape.
        is_mean: average instead of summing.
        axis: axes to sum over; see :func:`mean_squared_error`.
        name: of the op.

    Returns:
        Scalar tensor.

    >>> float(absolute_difference_error([[1.0, -2.0]], [[0.0, 0.0]]))
    3.0
    """
    import tensorflow as tf

    output, target = _tensors(output, target)
    return _reduced(tf.abs(output - target), is_mean, axis, name)


def normalized_mean_square_error(
    output: Any, target: Any, axis: Axis = -1, name: str = "normalized_mean_squared_error_loss"
) -> Any:
    """Norm of the error divided by the norm of the target, averaged.

    Args:
        output: tensor [B, ...].
        target: tensor of the same shape.
        axis: axes the norms are taken over; see :func:`mean_squared_error`.
        name: of the op.

    Returns:
        Scalar tensor.

    >>> float(normalized_mean_square_error([[3.0, 4.0]], [[0.0, 2.0]])).__round__(4)
    1.8028
    """
    import tensorflow as tf

    output, target = _tensors(output, target)
    error = tf.sqrt(tf.reduce_sum(tf.math.squared_difference(output, target), axis=axis))
    norm = tf.sqrt(tf.reduce_sum(tf.square(target), axis=axis))
    return tf.reduce_mean(error / norm, name=name)


def huber_loss(
    output: Any,
    target: Any,
    is_mean: bool = True,
    delta: float = 1.0,
    dynamichuber: bool = False,
    reverse: bool = False,
    axis: Axis = -1,
    epsilon: float = 0.00001,
    name: str | None = None,
) -> Any:
    """Huber loss, quadratic up to ``delta`` and linear beyond; or the reverse Huber loss (Owen 2006).

    Args:
        output: tensor [B, ...].
        target: tensor of the same shape.
        is_mean: average over everything; else sum over ``axis``, then average.
        delta: where the two forms meet.
        dynamichuber: in the reverse loss, meet at 20 % of the batch's largest error (Laina et al. 2016).
        reverse: linear up to ``delta`` and quadratic beyond.
        axis: axes to sum over.
        epsilon: added to the divisor of the reverse loss.
        name: of the op.

    Returns:
        Scalar tensor.

    >>> float(huber_loss([[0.5, 3.0]], [[0.0, 0.0]]))
    1.3125
    """
    import tensorflow as tf

    output, target = _tensors(output, target)
    error = tf.abs(output - target)
    if reverse:
        c = 0.2 * tf.reduce_max(error) if dynamichuber else delta
        losses = tf.where(error <= c, error, (tf.square(error) + c**2) * (0.5 / (c + epsilon)))
    else:
        losses = tf.where(error <= delta, 0.5 * tf.square(error), delta * (error - 0.5 * delta))
    return tf.reduce_mean(losses if is_mean else tf.reduce_sum(losses, axis=axis), name=name)


def cosine_similarity(v1: Any, v2: Any) -> Any:
    """Cosine of the angle between rows.

    Args:
        v1, v2: tensors [B, D].

    Returns:
        Tensor [B] with values in [-1, 1].

    >>> cosine_similarity([[1.0, 0.0]], [[1.0, 0.0]]).numpy().tolist()
    [1.0]
    """
    import tensorflow as tf

    v1, v2 = _tensors(v1, v2)
    norms = tf.sqrt(tf.reduce_sum(v1 * v1, axis=1)) * tf.sqrt(tf.reduce_sum(v2 * v2, axis=1))
    return tf.reduce_sum(v1 * v2, axis=1) / norms


# --- segmentation -----------------------------------------------------------------------------------------------------


def dice_coe(
    output: Any,
    target: Any,
    loss_type: str = "jaccard",
    axis: Axis = (1, 2, 3),
    smooth: float = 1e-5,
    *,
    epsilon: float | None = None,
) -> Any:
    """Soft dice coefficient of each image, averaged: 1 where both agree, or are empty.

    Args:
        output: probabilities [B, row, col, channel] (or [B, ...] with ``axis``).
        target: 0 and 1, of the same shape.
        loss_type: "jaccard" squares the values of the denominator, "sorensen" does not.
        axis: axes of one image.
        smooth: added above and below the fraction bar.
        epsilon: giving it chooses the form of 1.5.3: one ratio of the whole batch, at most 1 - epsilon.

    Returns:
        Scalar tensor.

    Raises:
        ValueError: another loss_type.

    >>> import numpy as np
    >>> float(dice_coe(np.ones([1, 2, 2, 1], "float32"), np.ones([1, 2, 2, 1], "float32")))
    1.0
    """
    import tensorflow as tf

    output, target = _tensors(output, target)
    if loss_type not in ("jaccard", "sorensen"):
        raise ValueError(f"loss_type must be 'jaccard' or 'sorensen', not {loss_type!r}")
    if epsilon is not None:
        return _global_dice(output, target, epsilon)
    a, b = (tf.square(output), tf.square(target)) if loss_type == "jaccard" else (output, target)
    return _smooth_ratio(2.0 * output * target, a + b, axis, smooth)


def dice_hard_coe(
    output: Any,
    target: Any,
    threshold: float = 0.5,
    axis: Axis = (1, 2, 3),
    smooth: float = 1e-5,
    *,
    epsilon: float | None = None,
) -> Any:
    """Dice coefficient of thresholded images, averaged. No gradient.

    Args:
        output: probabilities [B, row, col, channel] (or [B, ...] with ``axis``).
        target: of the same shape.
        threshold: what is above counts as 1, in both.
        axis: axes of one image.
        smooth: added above and below the fraction bar.
        epsilon: giving it chooses the form of 1.5.3: one ratio of the whole batch, at most 1 - epsilon.

    Returns:
        Scalar tensor.

    >>> import numpy as np
    >>> float(dice_hard_coe(np.ones([1, 2, 2, 1], "float32"), np.ones([1, 2, 2, 1], "float32")))
    1.0
    """
    output, target = _above(threshold, output, target)
    if epsilon is not None:
        return _global_dice(output, target, epsilon)
    return _smooth_ratio(2.0 * output * target, output + target, axis, smooth)


def iou_coe(
    output: Any,
    target: Any,
    threshold: float = 0.5,
    axis: Axis = (1, 2, 3),
    smooth: float = 1e-5,
    *,
    epsilon: float | None = None,
) -> Any:
    """Intersection over union of thresholded images, averaged. No gradient.

    Args:
        output: probabilities [B, row, col, channel] (or [B, ...] with ``axis``).
        target: of the same shape.
        threshold: what is above counts as 1, in both.
        axis: axes of one image.
        smooth: added above and below the fraction bar.
        epsilon: giving it chooses the form of 1.5.3: one ratio of the whole batch, epsilon added to the union.

    Returns:
        Scalar tensor.

    >>> import numpy as np
    >>> float(iou_coe(np.ones([1, 2, 2, 1], "float32"), np.ones([1, 2, 2, 1], "float32")))
    1.0
    """
    import tensorflow as tf

    output, target = _above(threshold, output, target)
    both, either = output * target, tf.maximum(output, target)
    if epsilon is not None:
        return tf.reduce_sum(both) / (tf.reduce_sum(either) + epsilon)
    return _smooth_ratio(both, either, axis, smooth)


def _above(threshold: float, *values: Any) -> list[Any]:
    import tensorflow as tf

    return [tf.cast(value > threshold, tf.float32) for value in _tensors(*values)]


def _smooth_ratio(upper: Any, lower: Any, axis: Axis, smooth: float) -> Any:
    import tensorflow as tf

    return tf.reduce_mean((tf.reduce_sum(upper, axis=axis) + smooth) / (tf.reduce_sum(lower, axis=axis) + smooth))


def _global_dice(output: Any, target: Any, epsilon: float) -> Any:
    import tensorflow as tf

    both = 2 * tf.reduce_sum(output * target)
    dice = both / (tf.reduce_sum(output * output) + tf.reduce_sum(target * target))
    return dice if epsilon == 0 else tf.clip_by_value(dice, 0, 1.0 - epsilon)


# --- regularisers -----------------------------------------------------------------------------------------------------


def li_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """Group regulariser that removes inputs: the sum of the norms of a weight matrix's rows.

    Args:
        scale: factor in [0, 1); 0 switches the regulariser off.
        scope: taken for the sake of 1.x, not used.

    Returns:
        Function of a weight matrix [in, out]: scalar tensor, or None with scale 0.

    Raises:
        ValueError: scale is an integer or outside its range.

    >>> float(li_regularizer(0.5)([[3.0, 4.0], [0.0, 1.0]]))
    3.0
    """
    return _group_regularizer(scale, axis=1)


def lo_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """Group regulariser that removes outputs: the sum of the norms of a weight matrix's columns.

    Args:
        scale: factor in [0, 1); 0 switches the regulariser off.
        scope: taken for the sake of 1.x, not used.

    Returns:
        Function of a weight matrix [in, out]: scalar tensor, or None with scale 0.

    Raises:
        ValueError: scale is an integer or outside its range.

    >>> float(lo_regularizer(0.5)([[3.0, 0.0], [4.0, 1.0]]))
    3.0
    """
    return _group_regularizer(scale, axis=0)


def maxnorm_regularizer(scale: float = 1.0, scope: str | None = None) -> Regularizer:
    """The largest absolute weight.

    Args:
        scale: factor, not negative; 0 switches the regulariser off.
        scope: taken for the sake of 1.x, not used.

    Returns:
        Function of a weight tensor: scalar tensor, or None with scale 0.

    Raises:
        ValueError: scale is an integer or negative.

    >>> float(maxnorm_regularizer(0.5)([[3.0, -4.0], [0.0, 1.0]]))
    2.0
    """
    return _maxnorm(scale, axis=None)


def maxnorm_o_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """The sum over columns of the largest absolute weight.

    Args:
        scale: factor, not negative; 0 switches the regulariser off.
        scope: taken for the sake of 1.x, not used.

    Returns:
        Function of a weight matrix [in, out]: scalar tensor, or None with scale 0.

    Raises:
        ValueError: scale is an integer or negative.

    >>> float(maxnorm_o_regularizer(0.5)([[3.0, -4.0], [0.0, 1.0]]))
    3.5
    """
    return _maxnorm(scale, axis=0)


def maxnorm_i_regularizer(scale: float, scope: str | None = None) -> Regularizer:
    """The sum over rows of the largest absolute weight.

    Args:
        scale: factor, not negative; 0 switches the regulariser off.
        scope: taken for the sake of 1.x, not used.

    Returns:
        Function of a weight matrix [in, out]: scalar tensor, or None with scale 0.

    Raises:
        ValueError: scale is an integer or negative.

    >>> float(maxnorm_i_regularizer(0.5)([[3.0, -4.0], [0.0, 1.0]]))
    2.5
    """
    return _maxnorm(scale, axis=1)


def _group_regularizer(scale: float, axis: int) -> Regularizer:
    def regularize(weights: Any, name: str | None = None) -> Any:
        import tensorflow as tf

        norms = tf.sqrt(tf.reduce_sum(tf.square(weights), axis=axis))
        return tf.multiply(scale, tf.reduce_sum(norms), name=name)

    return _switched(scale, regularize, below_one=True)


def _maxnorm(scale: float, axis: int | None) -> Regularizer:
    def regularize(weights: Any, name: str | None = None) -> Any:
        import tensorflow as tf

        return tf.multiply(scale, tf.reduce_sum(tf.reduce_max(tf.abs(weights), axis=axis)), name=name)

    return _switched(scale, regularize, below_one=False)


def _switched(scale: float, regularize: Regularizer, below_one: bool) -> Regularizer:
    if isinstance(scale, numbers.Integral):
        raise ValueError(f"scale must be a float, not the integer {scale}")
    if scale < 0.0 or (below_one and scale >= 1.0):
        raise ValueError(f"scale must be {'in [0, 1)' if below_one else 'at least 0'}, not {scale}")
    if scale == 0.0:
        logger.info("scale 0 switches the regulariser off")
        return lambda weights, name=None: None
    return regularize


# --- shared -----------------------------------------------------------------------------------------------------------


def _tensors(*values: Any) -> list[Any]:
    import tensorflow as tf

    tensors = [tf.convert_to_tensor(value) for value in values]
    shapes = [tuple(t.shape) for t in tensors]
    require(len(set(map(len, shapes))) == 1, f"tensors must have the same axes, not {' and '.join(map(str, shapes))}")
    return tensors


def _reduced(losses: Any, is_mean: bool, axis: Axis, name: str) -> Any:
    import tensorflow as tf

    inner = tf.reduce_mean(losses, axis=axis) if is_mean else tf.reduce_sum(losses, axis=axis)
    return tf.reduce_mean(inner, name=name)
