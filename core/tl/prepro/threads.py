"""One function for many items, on several threads."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.prepro.multi import stack
from core.tl.randomness import Rng

__all__ = ["in_threads", "threading_data"]


def threading_data(
    data: Any = None,
    fn: Callable[..., Any] | None = None,
    thread_count: int | None = None,
    *,
    rng: Rng = None,
    **kwargs: Any,
) -> Any:
    """Apply a function to every item of a batch, or to ``thread_count`` parts of it, with several threads.

    An exception in a thread reaches the caller. (In the original it leaves None in the result, silently.)

    Args:
        data: n items: array, list of arrays, of tuples (image, mask), of file names, ...
        fn: called as ``fn(item, **kwargs)``, or with ``thread_count`` as ``fn(part of data, **kwargs)``.
        thread_count: cut the data into so many parts; without it every item is a call of its own, on as many threads as
            the machine has processors. Either way the order of the results is that of the data.
        rng: passed to ``fn``: to each call a child of it, so that the results do not depend on the threads' timing.
            Without it functions that draw from numpy's global state do so in an order that changes from run to run.
        kwargs: passed to ``fn``.

    Returns:
        [n, ...] array, or the list of results if they differ in shape; with ``thread_count`` the parts' results one
        behind the other.

    >>> threading_data(np.arange(6).reshape(3, 2), np.sum).tolist()
    [1, 5, 9]
    >>> threading_data([1, 2, 3, 4], lambda part: np.asarray(part) * 2, thread_count=2).tolist()
    [2, 4, 6, 8]
    """
    if data is None or fn is None:
        raise TypeError("threading_data needs data and a function")
    if thread_count is None:
        items = list(data)
    else:
        require(thread_count >= 1, f"thread_count must be at least 1, not {thread_count}")
        limits = np.round(np.linspace(0, len(data), thread_count + 1)).astype(int)
        items = [data[start:end] for start, end in itertools.pairwise(limits)]
    streams = [{}] * len(items) if rng is None else [{"rng": child} for child in rng.spawn(len(items))]

    def call(job: tuple[Any, dict[str, Any]]) -> Any:
        item, stream = job
        return fn(item, **stream, **kwargs)

    results = in_threads(call, list(zip(items, streams, strict=True)), thread_count or os.cpu_count() or 1)
    if thread_count is not None:
        return np.concatenate(results)
    return stack(results)


def in_threads(fn: Callable[[Any], Any], items: Sequence[Any], threads: int) -> list[Any]:
    """``[fn(item) for item in items]`` on at most ``threads`` threads.

    Args:
        fn: the function.
        items: its arguments.
        threads: at least 1.

    Returns:
        List of results, in the order of the items.

    >>> in_threads(abs, [-1, 2], threads=2)
    [1, 2]
    """
    with ThreadPoolExecutor(max_workers=max(1, min(threads, len(items)))) as pool:
        return list(pool.map(fn, items))
