"""Batches whose order is a function of (seed, epoch), and reading ahead without losing that order.

A checkpoint needs one number, the position: how many batches have been handed out.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

__all__ = ["Order", "ReadAhead"]

T = TypeVar("T")


class Order:
    """The examples of every batch: epoch after epoch, each a permutation of `size` examples drawn from (seed, epoch).

    The permutations stand end to end and are cut into batches, so a batch may lie across two epochs, none is short, and every
    example is seen once an epoch whatever the batch size.
    """

    def __init__(self, size: int, batch: int, seed: int):
        if size < 1 or batch < 1:
            raise ValueError(f"size is {size} and batch is {batch}; both must be at least 1")
        self.size, self.batch, self.seed = size, batch, seed
        self._cached: tuple[int, np.ndarray] | None = None  # (epoch, permutation); replaced as a whole, safe in threads

    def permutation(self, epoch: int) -> np.ndarray:
        """Return the order of one epoch, [size] int."""
        cached = self._cached
        if cached is None or cached[0] != epoch:
            cached = (epoch, np.random.default_rng([self.seed, epoch]).permutation(self.size))
            self._cached = cached
        return cached[1]

    def indices(self, position: int) -> np.ndarray:
        """Return the examples of batch number `position` (from 0), [batch] int."""
        begin = position * self.batch
        parts = []
        while begin < (position + 1) * self.batch:
            epoch, place = divmod(begin, self.size)
            part = self.permutation(epoch)[place : place + (position + 1) * self.batch - begin]
            parts.append(part)
            begin += len(part)
        return np.concatenate(parts)

    def epoch(self, position: int) -> float:
        """Return how many epochs lie before batch `position`."""
        return position * self.batch / self.size


class ReadAhead(Generic[T]):
    """Calls `make(position)` in threads, ahead of time, and hands the results out in order.

    `make` must be a pure function of the position. Asking for another position than the next one starts afresh there.
    """

    def __init__(self, make: Callable[[int], T], *, workers: int = 2, depth: int = 4):
        self._make, self._depth = make, depth
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="read-ahead")
        self._waiting: deque[tuple[int, Future[T]]] = deque()

    def get(self, position: int) -> T:
        """Return make(position), waiting for it if need be; what `make` raised is raised here."""
        if not self._waiting or self._waiting[0][0] != position:
            self._forget()
            self._waiting.append((position, self._pool.submit(self._make, position)))
        while len(self._waiting) <= self._depth:
            following = self._waiting[-1][0] + 1
            self._waiting.append((following, self._pool.submit(self._make, following)))
        return self._waiting.popleft()[1].result()

    def _forget(self) -> None:
        for _, future in self._waiting:
            future.cancel()
        self._waiting.clear()

    def close(self) -> None:
        """Drop what is ahead and join the threads."""
        self._forget()
        self._pool.shutdown(cancel_futures=True)
