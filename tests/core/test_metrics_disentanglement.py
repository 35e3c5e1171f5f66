"""Perceptual path length and linear separability against numbers worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core.metrics.disentanglement import conditional_entropy, lerp, path_lengths, separability, slerp


def test_a_great_circle_is_walked_at_one_speed() -> None:
    a, b = np.array([[2.0, 0.0], [0.0, 5.0]]), np.array([[0.0, 3.0], [0.0, 1.0]])
    # a quarter circle, a third of the way along it: 30 degrees; where both have one direction, that direction
    np.testing.assert_allclose(slerp(a, b, np.array([1 / 3, 0.7])), [[math.sqrt(3) / 2, 0.5], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(slerp(a, b, np.array([1.0, 0.0])), [[0, 1], [0, 1]], atol=1e-12)
    np.testing.assert_allclose(lerp(a, b, np.array([0.25, 0.5])), [[1.5, 0.75], [0, 3]])


def test_the_length_of_a_path_is_its_squared_speed() -> None:
    """|b - a|^2 along a line whose features are the latents; omega^2 along a great circle."""
    rng, epsilon = np.random.default_rng(0), 1e-4
    a, b, t = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.uniform(size=5)
    line = path_lengths(lerp(a, b, t), lerp(a, b, t + epsilon), epsilon)
    np.testing.assert_allclose(line, ((b - a) ** 2).sum(axis=1), rtol=1e-6)
    cosine = (a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    circle = path_lengths(slerp(a, b, t), slerp(a, b, t + epsilon), epsilon)
    np.testing.assert_allclose(circle, np.arccos(cosine) ** 2, rtol=1e-6)
    assert path_lengths(np.array([[1.0, 2.0]]), np.array([[1.0, 2.5]]), 0.5) == [1.0]


def test_what_is_left_to_know() -> None:
    """Of x = 0 y is always 0; of x = 1 it is 1 in three of four: 4/8 * (-(3/4) ln(3/4) - (1/4) ln(1/4))."""
    x, y = np.array([0, 0, 0, 0, 1, 1, 1, 1]), np.array([0, 0, 0, 0, 1, 1, 1, 0])
    expected = 0.5 * (0.75 * math.log(4 / 3) + 0.25 * math.log(4))
    assert conditional_entropy(x, y) == pytest.approx(expected)
    assert conditional_entropy(x, x) == 0
    assert conditional_entropy(np.zeros(4, int), np.array([0, 1, 0, 1])) == pytest.approx(math.log(2))


def test_attributes_that_a_hyperplane_parts_cost_nothing_and_others_their_entropy() -> None:
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(4000, 2))
    straight = latents @ [1.0, 2.0]
    nowhere = rng.choice([-1.0, 1.0], size=4000)  # knows nothing of the latents
    assert separability(latents, straight[:, None]) == pytest.approx(1, abs=0.02)
    assert separability(latents, nowhere[:, None]) == pytest.approx(2, abs=0.02)  # exp(ln 2)
    both = np.stack([nowhere, -nowhere, straight], axis=1)
    assert separability(latents, both) == pytest.approx(4, abs=0.1)  # entropies add up
    assert separability(latents, np.ones((4000, 3))) == 1  # what all have is known


def test_only_the_surer_half_counts() -> None:
    """Where the classifier is sure the attribute is straight; the other half contradicts it and does not count."""
    latents = np.random.default_rng(0).normal(size=(2000, 2))
    log_odds = np.where(np.arange(2000) % 2, 5.0, -0.1) * latents[:, 0]
    sure = log_odds.copy()
    sure[::2] = -1e-3 * latents[::2, 0]
    assert separability(latents, sure[:, None]) < 1.05
    sure[::2] *= 1e6  # now it is surer of the half that contradicts: these are straight too, the other way
    sure[1::2] *= 1e-9
    assert separability(latents, sure[:, None]) < 1.05
    mixed = np.where(np.arange(2000) % 2, 1.0, -1.0) * latents[:, 0]  # both halves count alike
    assert separability(latents, mixed[:, None]) > 1.8


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \[N, D\] both"):
        path_lengths(np.zeros((2, 3)), np.zeros((3, 3)), 1e-4)
    with pytest.raises(ValueError, match="5 latents with 4 log-odds"):
        separability(np.zeros((5, 2)), np.zeros((4, 1)))
