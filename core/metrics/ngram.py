"""Bits per symbol of a sequence under an n-gram model: what counting alone achieves."""

from __future__ import annotations

import numpy as np

__all__ = ["ngram_bits"]


def ngram_bits(train: np.ndarray, test: np.ndarray, symbols: int, order: int) -> np.ndarray:
    """Return -log2 p(symbol | up to `order` symbols before it) [M] for each of `test` [M], whole numbers below `symbols`.

    Interpolated by Witten and Bell (1991, method C), fitted to `train` [N]: with n(h w) how often w follows the history h, n(h)
    the sum over w, t(h) how many different w follow it, and h' the history without its first symbol,

        p(w | h) = (n(h w) + t(h) p(w | h')) / (n(h) + t(h)),

    which begins with p = 1 / `symbols` below the empty history. A history that `train` does not have is left to the next shorter
    one, and so are the histories that would begin before `test`.
    """
    N, M = len(train), len(test)
    both = np.concatenate([train, test]).astype(np.int64)
    p = np.full(M, 1.0 / symbols)
    history = np.zeros(N + M, np.int64)  # number of the 0, 1, ... symbols before each
    for _ in range(order + 1):
        grams, gram = np.unique(history * symbols + both, return_inverse=True)
        n_gram = np.bincount(gram[:N], minlength=len(grams))
        of = grams // symbols  # history of each gram
        n = np.bincount(of, n_gram, minlength=int(history.max()) + 1)
        t = np.bincount(of, n_gram > 0, minlength=len(n))
        h = history[N:]
        seen = n[h] > 0
        p[seen] = ((n_gram[gram[N:]] + t[h] * p) / np.maximum(n[h] + t[h], 1))[seen]
        # a longer history is the gram one symbol earlier; at the beginnings it is one that nobody has
        history = np.concatenate([[len(grams)], gram[: N - 1], [len(grams) + 1], gram[N:-1]])
    return -np.log2(p)
