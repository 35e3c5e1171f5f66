"""The inception score: how sure a classifier is of each picture, and how evenly it sees all classes."""

from __future__ import annotations

import numpy as np

__all__ = ["inception_score"]


def inception_score(probabilities: np.ndarray) -> float:
    """Return exp(mean over x of KL(p(y | x) || p(y))) (Salimans et al., 2016, section 4) of probabilities [N, C].

    p(y) is the mean over all N pictures, which are one set here, not ten splits. The score lies between 1 and C.
    Raises ValueError for rows that are no probabilities.
    """
    p = probabilities.astype(np.float64)
    if p.ndim != 2 or not len(p) or p.min() < 0 or not np.allclose(p.sum(axis=1), 1, atol=1e-3):
        raise ValueError(f"probabilities have shape {list(p.shape)}; [N, C] with rows that sum to 1 are needed")
    marginal = p.mean(axis=0)  # [C]
    ratio = np.divide(p, marginal, out=np.ones_like(p), where=p > 0)  # 0 log 0 is 0
    return float(np.exp((p * np.log(ratio)).sum(axis=1).mean()))
