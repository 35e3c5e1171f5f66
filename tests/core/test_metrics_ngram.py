"""Interpolated n-grams: by hand, beside a slow program of its own, and against what a text's symbols need at least."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np
import pytest

from core.metrics.ngram import ngram_bits


def probabilities(train: str, test: str, order: int, alphabet: str = "abc") -> np.ndarray:
    numbers = [np.array([alphabet.index(c) for c in text]) for text in (train, test)]
    return 2.0 ** -ngram_bits(*numbers, len(alphabet), order)


def test_by_hand() -> None:
    """Of "aabab" p(a) = (3 + 2/3) / 7, p(b) = (2 + 2/3) / 7, p(c) = (2/3) / 7; after a come a, b, b, after b an a."""
    np.testing.assert_allclose(probabilities("aabab", "abc", 0), [11 / 21, 8 / 21, 2 / 21])
    after_a = (2 + 2 * 8 / 21) / (3 + 2)
    after_b = (0 + 1 * 2 / 21) / (1 + 1)
    np.testing.assert_allclose(probabilities("aabab", "abc", 1), [11 / 21, after_a, after_b])
    # "ab" came before a once, so p(c | ab) = (0 + 1 * p(c | b)) / (1 + 1); "bc" never came, "c" neither
    np.testing.assert_allclose(probabilities("aabab", "abca", 2), [11 / 21, after_a, after_b / 2, 11 / 21])


def slow(train: np.ndarray, test: np.ndarray, symbols: int, order: int) -> list[float]:
    """The same from its formula, one symbol at a time."""
    counts: dict[tuple[int, ...], Counter[int]] = defaultdict(Counter)
    for i in range(len(train)):
        for k in range(min(order, i) + 1):
            counts[tuple(train[i - k : i])][train[i]] += 1

    def p(w: int, h: tuple[int, ...]) -> float:
        shorter = p(w, h[1:]) if h else 1 / symbols
        n, t = counts[h].total(), len(counts[h])
        return (counts[h][w] + t * shorter) / (n + t) if n else shorter

    return [-np.log2(p(test[i], tuple(test[max(i - order, 0) : i]))) for i in range(len(test))]


@pytest.mark.parametrize("order", [0, 1, 3, 5])
def test_a_slow_program_gives_the_same(order: int) -> None:
    rng = np.random.default_rng(order)
    text = np.cumsum(rng.integers(0, 2, 700)) % 5  # each symbol is the one before or the next
    np.testing.assert_allclose(ngram_bits(text[:500], text[500:], 5, order), slow(text[:500], text[500:], 5, order))


def test_a_longer_history_finds_what_a_shorter_one_cannot() -> None:
    """After two steps back a symbol is certain: 0 bits but for what smoothing costs; after one it needs a bit."""
    text = np.tile([0, 0, 1, 1], 500)
    bits = [ngram_bits(text[:1600], text[1600:], 2, order).mean() for order in (0, 1, 2)]
    assert bits[0] == pytest.approx(1, abs=0.01) and bits[1] == pytest.approx(1, abs=0.02) and bits[2] < 0.03


def test_probabilities_of_all_symbols_add_up_to_one() -> None:
    rng = np.random.default_rng(0)
    train, before = rng.integers(0, 3, 60), [0, 1, 2, 2]
    total = sum(2.0 ** -ngram_bits(train, np.array([*before, w]), 4, 3)[-1] for w in range(4))
    assert total == pytest.approx(1)
