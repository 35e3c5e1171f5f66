"""Preprocessing of images and sequences under TensorLayer's names.

Threads are handled here; everything else lives in a module per subject and is gathered here: ``_affine`` and ``_warp``
(moving pixels), ``_pixels`` (values of pixels), ``_boxes`` (bounding boxes), ``_keypoints`` (people), ``_sequences``
(token sequences).

Every random function takes ``rng``, a numpy Generator. Without it, numbers come from numpy's global state (or the
standard library's, where TensorLayer used that) in TensorLayer's order.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from core.tl import _affine, _boxes, _keypoints, _pixels, _sequences, _warp
from core.tl._affine import *  # noqa: F403
from core.tl._boxes import *  # noqa: F403
from core.tl._common import in_threads, require
from core.tl._keypoints import *  # noqa: F403
from core.tl._pixels import *  # noqa: F403
from core.tl._sequences import *  # noqa: F403
from core.tl._warp import *  # noqa: F403

__all__ = ["threading_data"]
__all__ += _affine.__all__ + _warp.__all__ + _pixels.__all__ + _boxes.__all__ + _keypoints.__all__ + _sequences.__all__


def threading_data(
    data: Any = None,
    fn: Callable[..., Any] | None = None,
    thread_count: int | None = None,
    *,
    rng: np.random.Generator | None = None,
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
    try:
        return np.asarray(results)
    except ValueError:  # numpy's word for "the shapes differ"
        return results
