"""How straight and how separable a generator's latent space is: perceptual path length and linear separability.

Both are of Karras, Laine and Aila (2019, https://arxiv.org/abs/1812.04948), section 4. The paper compares pictures by LPIPS; here
the distance of two pictures is the squared Euclidean distance of whatever features are given, which is quadratic too.
"""

from __future__ import annotations

import numpy as np

__all__ = ["conditional_entropy", "lerp", "path_lengths", "separability", "slerp"]


def lerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return a + t (b - a) [N, L] for a, b [N, L] and t [N]."""
    return a + t[:, None] * (b - a)


def slerp(a: np.ndarray, b: np.ndarray, t: np.ndarray) -> np.ndarray:
    """Return the unit vectors [N, L] at t [N] of the way along the great circle between the directions of a and b [N, L].

    sin((1 - t) omega) / sin(omega) a + sin(t omega) / sin(omega) b, omega the angle between them (Shoemake, 1985). Directions
    that are the same, or opposite, have no such circle: of these the first is returned.
    """
    a, b = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (a, b))
    omega = np.arccos(np.clip((a * b).sum(axis=1), -1.0, 1.0))[:, None]  # [N, 1]
    sine, t = np.sin(omega), t[:, None]
    apart = sine > 1e-6
    sine = np.where(apart, sine, 1.0)
    return np.where(apart, np.sin((1 - t) * omega) / sine * a + np.sin(t * omega) / sine * b, a)


def path_lengths(start: np.ndarray, end: np.ndarray, epsilon: float) -> np.ndarray:
    """Return |f(t + epsilon) - f(t)|^2 / epsilon^2 [N] for features start = f(t) and end = f(t + epsilon) [N, D] (eqs. 2 and 3).

    Their mean over paths between two random latents, t uniform in [0, 1], is the perceptual path length, "full".
    """
    if start.shape != end.shape or start.ndim != 2 or epsilon <= 0:
        raise ValueError(
            f"features {list(start.shape)} and {list(end.shape)} must be [N, D] both, epsilon {epsilon} above 0"
        )
    return ((end.astype(np.float64) - start.astype(np.float64)) ** 2).sum(axis=1) / epsilon**2


def conditional_entropy(x: np.ndarray, y: np.ndarray) -> float:
    """Return H(Y | X) in nats of the pairs of labels x, y [N] of 0, 1, ...: what is left to know of y by one who knows x."""
    counts = np.zeros((int(x.max()) + 1, int(y.max()) + 1))
    np.add.at(counts, (x, y), 1)
    joint = counts[counts > 0] / len(x)
    of_x = (counts.sum(axis=1, keepdims=True) * (counts > 0))[counts > 0] / len(x)
    return float(-(joint * np.log(joint / of_x)).sum())


def separability(latents: np.ndarray, log_odds: np.ndarray) -> float:
    """Return exp(sum_i H(Y_i | X_i)), 1 where a hyperplane parts the latents [N, L] by every attribute (section 4.2).

    log_odds [N, A] are those that a classifier gives each attribute in the latents' pictures. For every attribute the half of
    the pictures counts about which it is surest; Y is what it says of them, X what a linear support vector machine, fitted to
    Y, says of their latents. An attribute that all of that half have, or none, is known: its entropy is 0.
    """
    from sklearn.svm import LinearSVC

    if len(latents) != len(log_odds) or len(latents) < 4:
        raise ValueError(
            f"{len(latents)} latents with {len(log_odds)} log-odds; as many of both, 4 or more, are needed"
        )
    x = (latents - latents.mean(axis=0)) / (latents.std(axis=0) + 1e-12)  # one scale, so that one C suits all spaces
    entropy = 0.0
    for attribute in log_odds.T:
        sure = np.argsort(-np.abs(attribute), kind="stable")[: len(x) // 2]
        y = (attribute[sure] > 0).astype(int)
        if 0 < y.sum() < len(y):
            machine = LinearSVC(dual=False, tol=1e-3).fit(x[sure], y)
            entropy += conditional_entropy(machine.predict(x[sure]), y)
    return float(np.exp(entropy))
