"""How a broken rule is reported."""

from __future__ import annotations

import numpy as np

__all__ = ["EmptyInput", "InvalidInput", "require", "require_pixels"]


class InvalidInput(ValueError, AssertionError):
    """An argument breaks a rule. Also an AssertionError: that is what code written against TensorLayer catches."""


class EmptyInput(InvalidInput, IndexError):
    """Nothing is given where TensorLayer looks at the first of something. Also an IndexError: that is what it raises."""


def require(rule_holds: bool, message: str) -> None:
    """Raise :class:`InvalidInput` with ``message`` unless ``rule_holds``.

    >>> require(True, "never seen")
    """
    if not rule_holds:
        raise InvalidInput(message)


def require_pixels(x: np.ndarray) -> None:
    """Raise :class:`InvalidInput` unless an image has pixels.

    >>> require_pixels(np.zeros([1, 1, 3]))
    """
    require(x.size > 0, f"an image must have pixels, and this one is {x.shape}")
