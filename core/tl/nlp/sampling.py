"""Skip-gram batches, and drawing from probabilities."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from core.tl.errors import EmptyInput, require
from core.tl.randomness import Rng, python_integer, random_source

__all__ = ["generate_skip_gram_batch", "sample", "sample_top"]


def generate_skip_gram_batch(
    data: Sequence[int], batch_size: int, num_skips: int, skip_window: int, data_index: int = 0, *, rng: Rng = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """A batch of word2vec's skip-gram model: words, and for each a random neighbour to predict.

    Args:
        data: word ids; the batch wraps around at their end.
        batch_size: B, a multiple of ``num_skips``.
        num_skips: neighbours taken of each word.
        skip_window: how far a neighbour may be, to either side.
        data_index: where to begin.
        rng: source of randomness; the standard library's `random` without one.

    Returns:
        int32 words [B], int32 neighbours [B, 1], and the ``data_index`` to go on with.

    Raises:
        ValueError, AssertionError: a size breaks these rules.
        IndexError: no words.

    >>> words, neighbours, index = generate_skip_gram_batch([1, 2, 3, 4, 5], 4, num_skips=2, skip_window=1)
    >>> words.tolist(), sorted(neighbours[:2, 0].tolist()), index
    ([2, 2, 3, 3], [1, 3], 0)
    """
    require(num_skips >= 1, f"num_skips must be at least 1, not {num_skips}")
    require(batch_size % num_skips == 0, f"batch_size must be a multiple of num_skips, not {batch_size} of {num_skips}")
    require(
        num_skips <= 2 * skip_window, f"a window of {skip_window} has no {num_skips} neighbours: num_skips is too large"
    )
    if len(data) == 0:
        raise EmptyInput("generate_skip_gram_batch needs at least one word")
    batch = np.empty(batch_size, dtype=np.int32)
    labels = np.empty((batch_size, 1), dtype=np.int32)
    span = 2 * skip_window + 1
    window = [data[(data_index + i) % len(data)] for i in range(span)]
    data_index = (data_index + span) % len(data)
    for start in range(0, batch_size, num_skips):
        used = {skip_window}
        for row in range(start, start + num_skips):
            neighbour = skip_window
            while neighbour in used:
                neighbour = python_integer(rng, 0, span - 1)
            used.add(neighbour)
            batch[row] = window[skip_window]
            labels[row, 0] = window[neighbour]
        window = [*window[1:], data[data_index]]
        data_index = (data_index + 1) % len(data)
    return batch, labels, data_index


def sample(
    a: Sequence[float] | np.ndarray | None = None, temperature: float | None = 1.0, *, rng: Rng = None
) -> np.integer:
    """Draw an index from probabilities.

    Args:
        a: [V] probabilities. If rounding (or a sum other than one) stops numpy from drawing from them, they are
            divided by their sum.
        temperature: above 1 flattens the distribution, below 1 sharpens it; None takes the most probable index.
        rng: source of randomness; numpy's global state without one.

    Returns:
        The index, a numpy integer.

    >>> int(sample([0.0, 1.0, 0.0])), int(sample([0.1, 0.2, 0.7], temperature=None))
    (1, 2)
    """
    require(a is not None and len(a) > 0, "a must be a non-empty list of probabilities")
    if temperature is None:
        return np.argmax(a)  # type: ignore[arg-type]
    p = np.asarray(a)
    if temperature != 1:
        with np.errstate(divide="ignore"):
            p = np.exp(np.log(p) / temperature)
        p = p / np.sum(p)
    source = random_source(rng)
    try:
        return np.argmax(source.multinomial(1, p, 1))
    except ValueError:
        p = p.astype(np.float64)
        warnings.warn(f"the probabilities sum to {p.sum()}, not 1: dividing by the sum", stacklevel=2)
        return np.argmax(source.multinomial(1, p / p.sum(), 1))


def sample_top(a: Sequence[float] | np.ndarray | None = None, top_k: int = 10, *, rng: Rng = None) -> np.integer:
    """Draw an index from the ``top_k`` most probable ones.

    Args:
        a: [V] probabilities.
        top_k: candidates, at most V.
        rng: source of randomness; numpy's global state without one.

    Returns:
        The index, a numpy integer.

    Raises:
        ValueError: more candidates than probabilities.

    >>> int(sample_top([0.1, 0.2, 0.7], top_k=1))
    2
    """
    p = np.asarray([] if a is None else a)
    require(1 <= top_k <= len(p), f"top_k must be between 1 and the number of probabilities, {len(p)}, not {top_k}")
    candidates = np.argpartition(p, -top_k)[-top_k:]
    weights = p[candidates]
    return random_source(rng).choice(candidates, p=weights / np.sum(weights))
