"""Discrete choices in numpy, without TensorFlow: from logits to actions."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["IMPOSSIBLE", "allowed", "cumulative", "drawn", "inverse"]

IMPOSSIBLE = -1e9
"""Logit of an action that is not allowed: its probability is 0 in float32, and so are all its gradients."""


def allowed(logits: np.ndarray, mask: Any) -> np.ndarray:
    """Return logits [N, M] by which actions are impossible that `mask` [N, M] bool does not allow; without one as they are."""
    return logits if mask is None else np.where(mask, logits, np.float32(IMPOSSIBLE))


def drawn(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw actions [N] of softmax(logits [N, A])."""
    return inverse(cumulative(logits)[1], rng)


def cumulative(logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return exp(logits) and its cumulative sum, both [N, A] and up to a factor that is one for each row."""
    p = np.exp(logits - logits.max(axis=1, keepdims=True))
    return p, np.cumsum(p, axis=1)


def inverse(ceiling: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw actions [N] by the inverse of the distribution function, given up to a factor [N, A]."""
    return (rng.random((len(ceiling), 1)) * ceiling[:, -1:] >= ceiling).sum(axis=1)
