"""Batches are a function of (seed, position), every example comes once an epoch, and threads keep the order."""

from __future__ import annotations

import random
import threading
import time

import numpy as np
import pytest

from core.iterate import Order, ReadAhead


@pytest.mark.parametrize(("size", "batch"), [(10, 3), (10, 10), (4, 9), (1, 1), (7, 2)])
def test_every_example_once_an_epoch(size: int, batch: int) -> None:
    order = Order(size, batch, seed=5)
    flat = np.concatenate([order.indices(p) for p in range(3 * size)])  # batch * 3 whole epochs
    assert flat.shape == (3 * size * batch,)
    for epoch in flat.reshape(-1, size):
        assert sorted(epoch) == list(range(size))


def test_a_batch_depends_on_seed_and_position_alone() -> None:
    order = Order(100, 7, seed=1)
    forwards = [order.indices(p) for p in range(60)]
    for p in (59, 0, 30, 14, 15):
        np.testing.assert_array_equal(Order(100, 7, seed=1).indices(p), forwards[p])
        np.testing.assert_array_equal(order.indices(p), forwards[p])
    assert not np.array_equal(Order(100, 7, seed=2).indices(0), forwards[0])
    assert not np.array_equal(order.permutation(0), order.permutation(1))
    assert order.epoch(50) == 3.5


def test_bad_sizes() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Order(0, 3, 0)


def test_reading_ahead_keeps_the_order_whatever_the_threads_do() -> None:
    shuffled = random.Random(0)
    delays = [shuffled.uniform(0, 0.01) for _ in range(40)]
    threads = set()

    def make(position: int) -> int:
        time.sleep(delays[position % 40])
        threads.add(threading.current_thread().name)
        return position

    ahead = ReadAhead(make, workers=3, depth=6)
    assert [ahead.get(p) for p in range(20)] == list(range(20))
    assert [ahead.get(p) for p in (5, 6, 7)] == [5, 6, 7], "going back starts afresh there"
    ahead.close()
    ahead.close()
    assert len(threads) > 1


def test_what_a_thread_raises_is_raised_in_turn() -> None:
    def make(position: int) -> int:
        if position == 2:
            raise KeyError("two")
        return position

    ahead = ReadAhead(make)
    assert [ahead.get(0), ahead.get(1)] == [0, 1]
    with pytest.raises(KeyError, match="two"):
        ahead.get(2)
    assert ahead.get(3) == 3
    ahead.close()
