"""Probes: what a support vector machine reads, and tables of it."""

from __future__ import annotations

import numpy as np
from sklearn.svm import SVC

from core.metrics.probes import Probe, confusion, draw_confusion


def squares(n: int, side: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Noise that is brighter in the left half for label 1."""
    labels = rng.integers(2, size=n)
    images = rng.integers(0, 100, size=(n, side, side, 1))
    images[labels == 1, :, : side // 2] += 100
    return images.astype(np.uint8), labels


def test_a_probe_reads_what_it_has_seen_of_small_and_large_pictures() -> None:
    rng = np.random.default_rng(0)
    for side in (8, 70):
        images, labels = squares(60, side, rng)
        more, truth = squares(40, side, rng)
        assert (Probe(images, labels)(more) == truth).all()


def test_a_probe_is_the_machine_over_pixels() -> None:
    images, labels = squares(40, 8, np.random.default_rng(1))
    noise = np.random.default_rng(2).integers(0, 200, size=(50, 8, 8, 1)).astype(np.uint8)
    machine = SVC(C=10.0, gamma="scale").fit(images.reshape(40, -1) / 255.0, labels)
    np.testing.assert_array_equal(Probe(images, labels)(noise), machine.predict(noise.reshape(50, -1) / 255.0))


def test_variations_make_a_probe_read_shapes_and_not_places() -> None:
    """Bars down and across, learned in the middle and read a little aside and slanted."""
    train, labels = np.zeros((20, 32, 32, 1), np.uint8), np.arange(20) % 2
    train[labels == 0, 4:28, 14:18] = train[labels == 1, 14:18, 4:28] = 200
    probe = Probe(train, labels, side=16, varied=8)
    aside = np.zeros((10, 32, 32, 1), np.uint8)
    for i in range(5):
        aside[i, 3:27, 13 + i : 17 + i] = aside[5 + i, 13 + i : 17 + i, 3:27] = 200
    assert probe(aside).tolist() == [0] * 5 + [1] * 5 and "20 pictures and 8 variations of each" in probe.protocol


def test_a_table_counts_what_was_read_for_what() -> None:
    labels, read = np.array([1, 1, 1, 7, 9]), np.array([1, 9, 9, 7, 1])
    counts = confusion(labels, read, np.array([1, 7, 9]))
    assert counts.tolist() == [[1, 0, 2], [0, 1, 0], [1, 0, 0]]
    picture = draw_confusion([("a", counts), ("b", counts)], np.array([1, 7, 9]))
    assert picture.dtype == np.uint8 and picture.shape == (460, 880, 3)
