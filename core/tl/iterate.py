"""Mini-batches of a data set and of token streams. Nothing here copies the data set."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.randomness import Rng, random_source

__all__ = ["minibatches", "ptb_iterator", "seq_minibatches", "seq_minibatches2"]

Pairs = Iterator[tuple[Any, Any]]


def minibatches(
    inputs: Any = None,
    targets: Any = None,
    batch_size: int | None = None,
    allow_dynamic_batch_size: bool = False,
    shuffle: bool = False,
    *,
    rng: Rng = None,
) -> Pairs:
    """Walk once through examples and their labels.

    The fourth positional argument is the one of TensorLayer 1.10 and later; 1.5.3 has ``shuffle`` there. As keywords
    both work as in every generation.

    Args:
        inputs: array [N, ...] or list of N examples.
        targets: array [N, ...] or list of N labels.
        batch_size: examples per batch, B.
        allow_dynamic_batch_size: also yield the last, smaller batch. Without it up to B-1 examples are left out.
        shuffle: visit the examples in random order.
        rng: source of the order; numpy's global state without one.

    Returns:
        Iterator over pairs (inputs [B, ...], targets [B, ...]): views of the arrays without ``shuffle``, copies of one
        batch with it. If either is a list, both parts of a shuffled batch are lists.

    Raises:
        TypeError: batch_size is missing.
        ValueError, AssertionError: the lengths differ, or batch_size is below 1.

    >>> x, y = np.asarray([[1, 1], [2, 2], [3, 3]]), np.asarray([0, 1, 2])
    >>> [b.tolist() for _, b in minibatches(x, y, batch_size=2)]
    [[0, 1]]
    >>> [b.tolist() for _, b in minibatches(x, y, batch_size=2, allow_dynamic_batch_size=True)]
    [[0, 1], [2]]
    """
    n = _common_length(inputs, targets)
    if batch_size is None:
        raise TypeError("minibatches needs a batch_size, an integer of at least 1")
    require(batch_size >= 1, f"batch_size must be at least 1, not {batch_size}")

    def batches(size: int) -> Pairs:
        order = None
        if shuffle:
            order = np.arange(n)
            random_source(rng).shuffle(order)
        for start in range(0, n if allow_dynamic_batch_size else n - size + 1, size):
            if order is None:
                yield inputs[start : start + size], targets[start : start + size]
                continue
            chosen = order[start : start + size]
            if isinstance(inputs, list) or isinstance(targets, list):
                yield [inputs[i] for i in chosen], [targets[i] for i in chosen]
            else:
                yield inputs[chosen], targets[chosen]

    return batches(batch_size)


def seq_minibatches(
    inputs: np.ndarray | Sequence[Any],
    targets: np.ndarray | Sequence[Any],
    batch_size: int,
    seq_length: int,
    stride: int = 1,
) -> Pairs:
    """Batches of overlapping windows, one below the other. What does not fill a batch is left out.

    Args:
        inputs: [N, ...].
        targets: [N, ...].
        batch_size: windows per batch, B.
        seq_length: examples per window, S.
        stride: distance between the starts of neighbouring windows.

    Returns:
        Iterator over pairs (inputs [B*S, ...], targets [B*S, ...]) of the arrays' own types.

    Raises:
        ValueError, AssertionError: the lengths differ, or a size is below 1.

    >>> x = np.arange(6)
    >>> [a.tolist() for a, _ in seq_minibatches(x, x, batch_size=2, seq_length=2, stride=1)]
    [[0, 1, 1, 2], [2, 3, 3, 4]]
    """
    n = _common_length(inputs, targets)
    for name, size in (("batch_size", batch_size), ("seq_length", seq_length), ("stride", stride)):
        require(size >= 1, f"{name} must be at least 1, not {size}")
    x, y = np.asarray(inputs), np.asarray(targets)
    advance = batch_size * stride
    window = (stride * np.arange(batch_size)[:, None] + np.arange(seq_length)).reshape(-1)  # [B*S]

    def batches() -> Pairs:
        for start in range(0, n - (advance + seq_length - stride) + 1, advance):
            yield x[start + window], y[start + window]

    return batches()


def seq_minibatches2(
    inputs: np.ndarray | Sequence[Any], targets: np.ndarray | Sequence[Any], batch_size: int, num_steps: int
) -> Pairs:
    """Cut two streams into ``batch_size`` parallel ones and walk along them, ``num_steps`` at a time.

    Args:
        inputs: [N, ...].
        targets: [N].
        batch_size: parallel streams, B.
        num_steps: steps per batch, S.

    Returns:
        Iterator over pairs (inputs [B, S, ...] of their own type, targets [B, S], always float64, as in TensorLayer).

    Raises:
        ValueError: data, but fewer than S + 1 steps per stream, or the lengths differ.

    >>> for x, y in seq_minibatches2(range(8), range(8, 16), batch_size=2, num_steps=3):
    ...     print(x.tolist(), y.tolist())
    [[0, 1, 2], [4, 5, 6]] [[8.0, 9.0, 10.0], [12.0, 13.0, 14.0]]
    """
    _common_length(inputs, targets)
    x = _parallel_streams(np.asarray(inputs), batch_size)
    y = _parallel_streams(np.asarray(targets, dtype=np.float64), batch_size)
    steps = _whole_batches(len(inputs), x.shape[1], num_steps)
    return ((x[:, i : i + num_steps], y[:, i : i + num_steps]) for i in steps)


def ptb_iterator(raw_data: np.ndarray | Sequence[int], batch_size: int, num_steps: int) -> Pairs:
    """Batches of a token stream together with the same stream one step later.

    Args:
        raw_data: [N] token ids; floats are truncated.
        batch_size: parallel streams, B.
        num_steps: steps per batch, S.

    Returns:
        Iterator over pairs of int32 arrays [B, S]: tokens, and the tokens that follow them.

    Raises:
        ValueError: data, but fewer than S + 1 steps per stream.

    >>> for x, y in ptb_iterator(range(8), batch_size=2, num_steps=3):
    ...     print(x.tolist(), y.tolist())
    [[0, 1, 2], [4, 5, 6]] [[1, 2, 3], [5, 6, 7]]
    """
    data = _parallel_streams(np.array(raw_data, dtype=np.int32), batch_size)
    steps = _whole_batches(len(raw_data), data.shape[1], num_steps)
    return ((data[:, i : i + num_steps], data[:, i + 1 : i + num_steps + 1]) for i in steps)


def _common_length(inputs: Any, targets: Any) -> int:
    require(len(inputs) == len(targets), f"{len(inputs)} inputs but {len(targets)} targets: give one for each")
    return len(inputs)


def _parallel_streams(stream: np.ndarray, batch_size: int) -> np.ndarray:
    """[N, ...] -> [batch_size, N // batch_size, ...], without the rest that does not fill a column."""
    require(batch_size >= 1, f"batch_size must be at least 1, not {batch_size}")
    length = len(stream) // batch_size
    return stream[: batch_size * length].reshape((batch_size, length, *stream.shape[1:]))


def _whole_batches(n: int, length: int, num_steps: int) -> range:
    """Where batches start in the streams of ``length`` that ``n`` steps make; the last step is only ever a target.

    An empty data set has no batches, and none is no error.
    """
    require(num_steps >= 1, f"num_steps must be at least 1, not {num_steps}")
    count = (length - 1) // num_steps
    if count < 1 and n > 0:
        raise ValueError(f"{length} steps per stream hold no batch of {num_steps} + 1: lower batch_size or num_steps")
    return range(0, count * num_steps, num_steps)
