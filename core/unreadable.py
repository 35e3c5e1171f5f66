"""What reading a damaged file raises."""

from __future__ import annotations

import lzma
import struct
import tarfile
import tokenize
import zipfile
import zlib

__all__ = ["UNREADABLE"]

UNREADABLE = (
    *(OSError, EOFError, MemoryError, struct.error, zlib.error, lzma.LZMAError, tarfile.TarError, zipfile.BadZipFile),
    tokenize.TokenError,
    *(ValueError, SyntaxError, LookupError, ArithmeticError, TypeError, AttributeError, AssertionError, RuntimeError),
)
"""What the libraries that read pictures, arrays, archives and models raise for a damaged file.

The last line is no mistake: AVIF raises RuntimeError, Deflate64 and DDS NotImplementedError, a zip that is no model KeyError,
a wrong size in a header OverflowError or MemoryError, a wrong type TypeError. TokenError is numpy's, of the header of an
array. Only for a `try` around such a call.
"""
