"""numpy's files: read without running code, written whole or not at all.

TensorLayer keeps lists of arrays of different shapes as pickled object arrays, and unpickling can run code. Such files
are read by a loader that admits plain containers and numpy arrays only; anything else is refused with one sentence.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle  # noqa: TID251 - read-only: an Unpickler that admits numpy arrays, for the files TensorLayer wrote
import threading
import zipfile
from collections.abc import Iterator, Mapping
from typing import IO, Any

import numpy as np

from core.tl.errors import require

__all__ = ["read_npy", "read_npz", "replacing", "write_npz"]

logger = logging.getLogger(__name__)


def _reconstruct(subtype: type, shape: tuple[int, ...], typecode: Any) -> np.ndarray:
    """What numpy pickles an array as: an empty array, whose state follows."""
    if subtype is not np.ndarray:
        raise pickle.UnpicklingError(f"array type {subtype!r}")
    return np.ndarray(shape, np.dtype(typecode))


def _scalar(dtype: np.dtype[Any], data: bytes) -> Any:
    if dtype.hasobject:
        raise pickle.UnpicklingError("object scalar")
    return np.frombuffer(data, dtype)[0]


def _encode(text: str, encoding: str) -> bytes:
    """How Python 2 bytes are written in a Python 3 pickle."""
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"encoding {encoding}")
    return text.encode("latin-1")


_ADMITTED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): _reconstruct for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
}


class _ArrayUnpickler(pickle.Unpickler):  # noqa: S301 - finds no class but those of arrays
    """Admits only what plain numpy arrays need; containers, numbers and text need nothing."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ADMITTED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"{module}.{name}") from None


def read_npy(f: IO[bytes], label: str) -> np.ndarray:
    """Read one array in numpy's format; objects in it may be plain data and arrays.

    Args:
        f: a file that can seek.
        label: what the error calls it.

    Returns:
        The array.

    Raises:
        ValueError: the file holds more than plain data and arrays.

    >>> f = io.BytesIO()
    >>> np.save(f, np.arange(3))
    >>> _ = f.seek(0)
    >>> read_npy(f, "an array").tolist()
    [0, 1, 2]
    """
    version = np.lib.format.read_magic(f)
    read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read_header(f)
    if not dtype.hasobject:
        f.seek(0)
        return np.lib.format.read_array(f, allow_pickle=False)
    try:
        array = _ArrayUnpickler(f, encoding="latin-1").load()
    except pickle.UnpicklingError as refused:
        raise ValueError(
            f"{label} holds {refused}, which could run code: only plain data and arrays are read"
        ) from None
    require(isinstance(array, np.ndarray), f"{label} holds a {type(array).__name__} where an array should be")
    return array.reshape(shape)


def read_npz(file: str) -> dict[str, np.ndarray]:
    """Read all arrays of an archive; see :func:`write_npz` for an example.

    Args:
        file: the archive.

    Returns:
        Name -> array, in the order of the archive.

    Raises:
        ValueError: an array holds more than plain data and arrays.
    """
    arrays = {}
    with zipfile.ZipFile(file) as archive:
        for member in archive.namelist():
            with archive.open(member) as f:
                arrays[member.removesuffix(".npy")] = read_npy(io.BytesIO(f.read()), file)
    return arrays


def write_npz(name: str, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays without pickle.

    Args:
        name: the file; ".npz" is appended if it is missing.
        arrays: name -> array.

    Raises:
        ValueError: an array holds objects.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_npz(os.path.join(folder, "a.npz"), {"x": np.arange(3)})
    ...     read_npz(os.path.join(folder, "a.npz"))
    {'x': array([0, 1, 2])}
    """
    objects = [key for key, array in arrays.items() if array.dtype.hasobject]
    require(not objects, f"parameters must be arrays of numbers or text, and {objects} hold objects")
    with replacing(name, ".npz") as f, zipfile.ZipFile(f, "w") as archive:  # np.savez cannot take a key "file"
        for key, array in arrays.items():
            with archive.open(f"{key}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)
    logger.info("%d arrays written to %s", len(arrays), name)


@contextlib.contextmanager
def replacing(name: str, suffix: str) -> Iterator[IO[bytes]]:
    """A file to write that takes the place of ``name`` once it is complete.

    Args:
        name: the file.
        suffix: appended to ``name`` if it is missing.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(os.path.join(folder, "a"), ".txt") as f:
    ...         _ = f.write(b"whole")
    ...     os.listdir(folder)
    ['a.txt']
    """
    target = os.fspath(name)
    target += "" if target.endswith(suffix) else suffix
    temporary = f"{target}.{os.getpid()}-{threading.get_ident()}.tmp"
    try:
        with open(temporary, "wb") as f:
            yield f
            f.flush()
            os.fsync(f.fileno())
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(temporary)
        raise
