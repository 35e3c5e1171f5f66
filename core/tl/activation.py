"""Activation functions on TensorFlow tensors, under TensorLayer's names. TensorFlow is imported when one is called.

``tl.act`` is the short name of this module.
"""

from __future__ import annotations

from typing import Any

__all__ = [
    "hard_tanh",
    "htanh",
    "identity",
    "leaky_relu",
    "leaky_relu6",
    "leaky_twice_relu6",
    "linear",
    "lrelu",
    "lrelu6",
    "ltrelu6",
    "mish",
    "pixel_wise_softmax",
    "ramp",
    "sign",
    "swish",
]


def identity(x: Any, name: str | None = None) -> Any:
    """x itself.

    Args:
        x: anything.
        name: not used.

    Returns:
        x.

    >>> identity(3)
    3
    """
    return x


def ramp(x: Any, v_min: float = 0, v_max: float = 1, name: str | None = None) -> Any:
    """Clip to [v_min, v_max].

    Args:
        x: tensor of any shape.
        v_min, v_max: the limits.
        name: of the op.

    Returns:
        Tensor of the same shape and type.

    >>> ramp([-1.0, 0.5, 2.0]).numpy().tolist()
    [0.0, 0.5, 1.0]
    """
    import tensorflow as tf

    return tf.clip_by_value(x, v_min, v_max, name=name)


def leaky_relu(x: Any, alpha: float = 0.2, name: str = "leaky_relu") -> Any:
    """max(x, alpha x).

    The default slope is that of 1.10 and later; 1.5.3's was 0.1. A slope of 0 is allowed: the documented range is
    [0, 1], though 1.11 and 2.x refuse 0.

    Args:
        x: tensor of any shape.
        alpha: slope below 0, in [0, 1].
        name: of the op.

    Returns:
        Tensor of the same shape and type.

    Raises:
        ValueError: a slope outside [0, 1].

    >>> leaky_relu([-1.0, 2.0], alpha=0.5).numpy().tolist()
    [-0.5, 2.0]
    """
    import tensorflow as tf

    _check_slope(alpha=alpha)
    x = tf.convert_to_tensor(x)
    return tf.maximum(x, alpha * x, name=name)


def leaky_relu6(x: Any, alpha: float = 0.2, name: str = "leaky_relu6") -> Any:
    """min(max(x, alpha x), 6).

    Args:
        x: tensor of any shape.
        alpha: slope below 0, in [0, 1].
        name: of the op.

    Returns:
        Tensor of the same shape and type.

    Raises:
        ValueError: a slope outside [0, 1].

    >>> leaky_relu6([-1.0, 2.0, 8.0], alpha=0.5).numpy().tolist()
    [-0.5, 2.0, 6.0]
    """
    import tensorflow as tf

    return tf.minimum(leaky_relu(x, alpha), 6, name=name)


def leaky_twice_relu6(x: Any, alpha_low: float = 0.2, alpha_high: float = 0.2, name: str = "leaky_relu6") -> Any:
    """Leaky below 0 and above 6: alpha_low x, then x, then 6 + alpha_high (x - 6).

    Args:
        x: tensor of any shape.
        alpha_low: slope below 0, in [0, 1].
        alpha_high: slope above 6, in [0, 1].
        name: of the op.

    Returns:
        Tensor of the same shape and type.

    Raises:
        ValueError: a slope outside [0, 1].

    >>> leaky_twice_relu6([-1.0, 2.0, 8.0], 0.5, 0.5).numpy().tolist()
    [-0.5, 2.0, 7.0]
    """
    import tensorflow as tf

    _check_slope(alpha_low=alpha_low, alpha_high=alpha_high)
    x = tf.convert_to_tensor(x)
    upper = tf.minimum(x, 6 * (1 - alpha_high) + alpha_high * x)
    return tf.maximum(upper, tf.minimum(alpha_low * x, 0), name=name)


def swish(x: Any, name: str = "swish") -> Any:
    """x * sigmoid(x) (Ramachandran et al. 2017).

    Args:
        x: tensor of any shape.
        name: of the op.

    Returns:
        Tensor of the same shape and type.

    >>> swish([0.0]).numpy().tolist()
    [0.0]
    """
    import tensorflow as tf

    return tf.multiply(tf.nn.sigmoid(x), x, name=name)


def mish(x: Any) -> Any:
    """x * tanh(softplus(x)) (Misra 2019).

    Args:
        x: tensor of any shape.

    Returns:
        Tensor of the same shape and type.

    >>> mish([0.0]).numpy().tolist()
    [0.0]
    """
    import tensorflow as tf

    return x * tf.math.tanh(tf.math.softplus(x))


def sign(x: Any) -> Any:
    """Sign with a straight-through gradient, clipped to [-1, 1] (Courbariaux et al. 2016).

    Args:
        x: tensor of any shape.

    Returns:
        Tensor of the same shape and type.

    >>> sign([-3.0, 0.0, 2.0]).numpy().tolist()
    [-1.0, 0.0, 1.0]
    """
    import tensorflow as tf

    @tf.custom_gradient
    def straight_through(x: Any) -> tuple[Any, Any]:
        return tf.sign(x), lambda upstream: tf.clip_by_value(upstream, -1, 1)

    return straight_through(x)


def hard_tanh(x: Any, name: str = "htanh") -> Any:
    """Clip to [-1, 1].

    Args:
        x: tensor of any shape.
        name: of the op.

    Returns:
        Tensor of the same shape and type.

    >>> hard_tanh([-2.0, 0.5]).numpy().tolist()
    [-1.0, 0.5]
    """
    return ramp(x, -1, 1, name)


def pixel_wise_softmax(x: Any = None, name: str = "pixel_wise_softmax", *, output: Any = None) -> Any:
    """Softmax over the last axis. (1.5.3's is the same for two channels, and no softmax for more.)

    Args:
        x: tensor [..., channel].
        name: of the op.
        output: what 1.5.3 calls x.

    Returns:
        Tensor of the same shape and type.

    >>> pixel_wise_softmax([[0.0, 0.0]]).numpy().tolist()
    [[0.5, 0.5]]
    """
    import tensorflow as tf

    return tf.nn.softmax(output if x is None else x, name=name)


def _check_slope(**slopes: Any) -> None:
    for name, slope in slopes.items():
        if isinstance(slope, (int, float)) and not 0 <= slope <= 1:
            raise ValueError(f"{name} must be in [0, 1], not {slope}")


linear = identity
lrelu = leaky_relu
lrelu6 = leaky_relu6
ltrelu6 = leaky_twice_relu6
htanh = hard_tanh
