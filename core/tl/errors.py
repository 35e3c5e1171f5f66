"""How a broken rule is reported."""

from __future__ import annotations

__all__ = ["InvalidInput", "require"]


class InvalidInput(ValueError, AssertionError):
    """An argument breaks a rule. Also an AssertionError: that is what code written against TensorLayer catches."""


def require(rule_holds: bool, message: str) -> None:
    """Raise :class:`InvalidInput` with ``message`` unless ``rule_holds``.

    >>> require(True, "never seen")
    """
    if not rule_holds:
        raise InvalidInput(message)
