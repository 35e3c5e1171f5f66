"""Token sequences of different lengths: padding, end ids, masks."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from core.tl.errors import require

__all__ = [
    "pad_sequences",
    "process_sequences",
    "remove_pad_sequences",
    "sequences_add_end_id",
    "sequences_add_end_id_after_pad",
    "sequences_add_start_id",
    "sequences_get_mask",
]

Sequences = Sequence[Any] | np.ndarray
"""n sequences: lists or arrays, or one array of n rows."""


def pad_sequences(
    sequences: Sequences,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "post",
    truncating: str = "pre",
    value: float = 0.0,
) -> np.ndarray:
    """Bring sequences to one length.

    Returns an array, as the documentation of every generation says and 1.5.3 did; from 1.6.3 on TensorLayer returned a
    nested list (``.tolist()`` gives that).

    Args:
        sequences: n sequences; a sequence of vectors is padded with vectors of ``value``.
        maxlen: length of the result, L; that of the longest sequence without one.
        dtype: type of the result.
        padding: where ``value`` goes, "pre" or "post".
        truncating: where a longer sequence is cut, "pre" or "post".
        value: filled in, converted to ``dtype``.

    Returns:
        [n, L, ...].

    Raises:
        ValueError: another word for padding or truncating, vectors of different shapes, or neither sequences nor maxlen.

    >>> pad_sequences([[1, 1, 1, 1, 1], [2, 2, 2], [3, 3]]).tolist()
    [[1, 1, 1, 1, 1], [2, 2, 2, 0, 0], [3, 3, 0, 0, 0]]
    >>> pad_sequences([[1, 2, 3], [4]], maxlen=2, padding="pre").tolist()
    [[2, 3], [0, 4]]
    """
    for name, word in (("padding", padding), ("truncating", truncating)):
        if word not in ("pre", "post"):
            raise ValueError(f"{name} must be 'pre' or 'post', not {word!r}")
    if len(sequences) == 0 and maxlen is None:
        raise ValueError("pad_sequences needs at least one sequence, or maxlen")
    longest = max(map(len, sequences), default=0)
    width = longest if maxlen is None else maxlen
    require(width >= 0, f"maxlen must be at least 0, not {width}")
    if width < longest:
        kept = slice(-width, None) if truncating == "pre" and width > 0 else slice(width)
        sequences = [sequence[kept] for sequence in sequences]
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))[:, None]
    elements = _joined([s for s in sequences if len(s) > 0], int(lengths.sum()), np.dtype(dtype))
    padded = np.full((len(sequences), width, *elements.shape[1:]), value).astype(dtype)
    column = np.arange(width)
    padded[column >= width - lengths if padding == "pre" else column < lengths] = elements
    return padded


def _joined(sequences: Sequence[Any], count: int, dtype: np.dtype[Any]) -> np.ndarray:
    """The ``count`` elements of all sequences one behind the other, as fast as their type allows."""
    if not sequences:
        return np.empty(0, dtype)
    if all(isinstance(s, np.ndarray) for s in sequences):
        parts = list(sequences)
    elif np.ndim(sequences[0][0]) == 0 and dtype.kind in "biufc":
        return np.fromiter(itertools.chain.from_iterable(sequences), dtype, count)
    else:
        parts = [np.asarray(s, dtype) for s in sequences]
    shapes = sorted({part.shape[1:] for part in parts})
    require(len(shapes) == 1, f"every element of every sequence must have one shape, not {shapes}")
    return np.concatenate(parts).astype(dtype, copy=False)


def remove_pad_sequences(sequences: Sequences, pad_id: int = 0) -> Any:
    """Cut the padding off the end of each sequence.

    A sequence of nothing but padding becomes empty. (The original never looks at the first element, so it leaves such a
    sequence, and [7, 0], as they are; and it empties a sequence without padding.)

    Args:
        sequences: n sequences.
        pad_id: the padding.

    Returns:
        n lists; the argument stays as it is. Of an empty array or tuple a copy.

    >>> remove_pad_sequences([[2, 3, 4, 0, 0], [4, 5, 0, 2, 0], [7, 0], [0]])
    [[2, 3, 4], [4, 5, 0, 2], [7], []]
    """
    if _is_empty(sequences):
        return copy.copy(sequences)
    shortened = []
    for sequence in map(_as_list, sequences):
        end = len(sequence)
        while end > 0 and sequence[end - 1] == pad_id:
            end -= 1
        shortened.append(sequence[:end])
    return shortened


def process_sequences(
    sequences: Any, end_id: int = 0, pad_val: int = 0, is_shorten: bool = True, remain_end_id: bool = False
) -> Any:
    """Overwrite everything from the first end id on, and cut the batch to what is left. **In place**, as the original.

    The batch is cut to the longest of the sequences that have an end id. One without an end id does not count: it is
    cut too, and a batch without any end id is cut to nothing.

    Args:
        sequences: list of n lists, or array [n, L].
        end_id: the end id.
        pad_val: what to overwrite with.
        is_shorten: cut the batch.
        remain_end_id: keep the end id itself.

    Returns:
        The argument itself; of an array, a view that is cut.

    >>> process_sequences([[4, 3, 5, 3, 2, 2], [5, 3, 9, 4, 9, 2]], end_id=2)
    [[4, 3, 5, 3, 0], [5, 3, 9, 4, 9]]
    """
    longest = 0
    for sequence in sequences:
        end = next((i for i, token in enumerate(sequence) if token == end_id), None)
        if end is None:
            continue
        longest = max(longest, end)
        for i in range(end + 1 if remain_end_id else end, len(sequence)):
            sequence[i] = pad_val
    longest += bool(remain_end_id)
    if not is_shorten or len(sequences) == 0:
        return sequences
    if isinstance(sequences, np.ndarray):
        return sequences[:, :longest]
    for i, sequence in enumerate(sequences):
        sequences[i] = sequence[:longest]
    return sequences


def sequences_add_start_id(sequences: Sequences, start_id: int = 0, remove_last: bool = False) -> list[list[Any]]:
    """Put a start id before each sequence.

    Args:
        sequences: n sequences.
        start_id: the start id.
        remove_last: drop the last element, so that the length stays (the input of a decoder).

    Returns:
        n lists.

    >>> sequences_add_start_id([[4, 3, 5]], start_id=2), sequences_add_start_id([[4, 3, 5]], 2, remove_last=True)
    ([[2, 4, 3, 5]], [[2, 4, 3]])
    """
    return [[start_id, *(s[:-1] if remove_last else s)] for s in map(_as_list, sequences)]


def sequences_add_end_id(sequences: Sequences, end_id: int = 888) -> list[list[Any]]:
    """Put an end id behind each sequence.

    Args:
        sequences: n sequences.
        end_id: the end id.

    Returns:
        n lists.

    >>> sequences_add_end_id([[1, 2, 3], [4, 5]], end_id=9)
    [[1, 2, 3, 9], [4, 5, 9]]
    """
    return [[*s, end_id] for s in map(_as_list, sequences)]


def sequences_add_end_id_after_pad(sequences: Sequences, end_id: int = 888, pad_id: int = 0) -> Any:
    """Replace the first padding of each sequence by an end id; a sequence without padding gets none.

    Args:
        sequences: n padded sequences.
        end_id: the end id.
        pad_id: the padding.

    Returns:
        n lists; the argument stays as it is. Of an empty array or tuple a copy.

    >>> sequences_add_end_id_after_pad([[1, 2, 0, 0], [1, 2, 3, 4]], end_id=99)
    [[1, 2, 99, 0], [1, 2, 3, 4]]
    """
    if _is_empty(sequences):
        return copy.copy(sequences)
    ended = []
    for sequence in map(_as_list, sequences):
        if pad_id in sequence:
            sequence[sequence.index(pad_id)] = end_id
        ended.append(sequence)
    return ended


def sequences_get_mask(sequences: Sequences, pad_val: int = 0) -> np.ndarray:
    """Mask of padded sequences: 0 for the padding at their end, 1 before (padding inside a sequence counts as data).

    Args:
        sequences: [n, L].
        pad_val: the padding.

    Returns:
        [n, L] of the type of ``sequences`` (int64 for lists of integers); of no sequences the empty array that numpy
        makes of them.

    Raises:
        ValueError: the sequences differ in length.

    >>> sequences_get_mask([[4, 0, 5, 3, 0, 0], [5, 3, 9, 4, 9, 0]]).tolist()
    [[1, 1, 1, 1, 0, 0], [1, 1, 1, 1, 1, 0]]
    """
    if len({len(s) for s in sequences}) > 1:
        raise ValueError(f"sequences must have one length, not {sorted({len(s) for s in sequences})}: pad them first")
    tokens = np.asarray(sequences)
    if len(tokens) == 0:
        return np.ones_like(tokens)
    require(tokens.ndim == 2, f"sequences must be [n, L], not {tokens.shape}")
    data_follows = np.logical_or.accumulate((tokens != pad_val)[:, ::-1], axis=1)[:, ::-1]
    return data_follows.astype(tokens.dtype)


def _is_empty(sequences: Any) -> bool:
    return sequences.size == 0 if isinstance(sequences, np.ndarray) else len(sequences) == 0


def _as_list(sequence: Any) -> list[Any]:
    """A new list of the sequence's elements; an array's as Python numbers."""
    return sequence.tolist() if isinstance(sequence, np.ndarray) else list(sequence)
