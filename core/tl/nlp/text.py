"""Text and its bytes."""

from __future__ import annotations

__all__ = ["as_bytes", "as_text"]


def as_bytes(bytes_or_text: str | bytes, encoding: str = "utf-8") -> bytes:
    """Text to bytes; bytes stay.

    Args:
        bytes_or_text: either.
        encoding: of the text.

    Returns:
        bytes.

    Raises:
        TypeError: neither.

    >>> as_bytes("a")
    b'a'
    """
    if isinstance(bytes_or_text, str):
        return bytes_or_text.encode(encoding)
    if isinstance(bytes_or_text, (bytes, bytearray)):
        return bytes(bytes_or_text)
    raise TypeError(f"expected text or bytes, not {bytes_or_text!r}")


def as_text(bytes_or_text: str | bytes, encoding: str = "utf-8") -> str:
    """Bytes to text; text stays.

    Args:
        bytes_or_text: either.
        encoding: of the bytes.

    Returns:
        str.

    Raises:
        TypeError: neither.

    >>> as_text(b"a")
    'a'
    """
    return bytes_or_text if isinstance(bytes_or_text, str) else as_bytes(bytes_or_text).decode(encoding)
