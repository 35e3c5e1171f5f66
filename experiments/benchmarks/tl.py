"""`core.tl` beside TensorLayer's algorithms written naively: loops over rewards, rows, channels and images.

    python -m experiments.benchmarks.tl [--rounds 15]

Both sides run in turns in one process, first one and then the other first; a number is the median of the rounds.
Their results are compared before anything is measured. The tables go to `results/tl.md` and `results/tl.json`.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from scipy import ndimage

from core import tl
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

Call = Callable[[], Any]


# --- the algorithms, naively ------------------------------------------------------------------------------------------


def naive_minibatches(inputs: np.ndarray, targets: np.ndarray, batch_size: int, shuffle: bool) -> Iterator[Any]:
    indices = np.arange(len(inputs))
    if shuffle:
        np.random.default_rng(0).shuffle(indices)
    for start in range(0, len(inputs) - batch_size + 1, batch_size):
        excerpt = indices[start : start + batch_size] if shuffle else slice(start, start + batch_size)
        yield inputs[excerpt], targets[excerpt]


def naive_discount(rewards: np.ndarray, gamma: float, mode: int) -> np.ndarray:
    discounted = np.zeros_like(rewards, dtype=np.float32)
    running = 0.0
    for t in reversed(range(rewards.size)):
        if mode == 0 and rewards[t] != 0:
            running = 0.0
        running = running * gamma + rewards[t]
        discounted[t] = running
    return discounted


def naive_pad(sequences: list[Any], maxlen: int | None = None) -> np.ndarray:
    length = max(len(s) for s in sequences) if maxlen is None else maxlen
    padded = (np.ones((len(sequences), length)) * 0.0).astype("int32")
    for i, sequence in enumerate(sequences):
        if len(sequence) == 0:
            continue
        kept = np.asarray(sequence[-length:], dtype="int32")
        padded[i, : len(kept)] = kept
    return padded


def naive_affine(images: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    results = []
    for image in images:
        planes = np.moveaxis(image, 2, 0)
        warped = [ndimage.affine_transform(p, matrix[:2, :2], matrix[:2, 2], order=1, mode="nearest") for p in planes]
        results.append(np.moveaxis(np.stack(warped, axis=0), 0, 2))
    return np.asarray(results)


def about_the_middle(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    middle = np.array([[1, 0, (height - 1) / 2], [0, 1, (width - 1) / 2], [0, 0, 1]])
    return middle @ matrix @ np.linalg.inv(middle)


def naive_rotation(images: np.ndarray, degrees: float) -> np.ndarray:
    c, s = np.cos(np.pi / 180 * degrees), np.sin(np.pi / 180 * degrees)
    matrix = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return naive_affine(images, about_the_middle(matrix, *images[0].shape[:2]))


def naive_shift(images: np.ndarray, fraction: float) -> np.ndarray:
    height, width = images[0].shape[:2]
    return naive_affine(images, np.array([[1, 0, fraction * height], [0, 1, fraction * width], [0, 0, 1]]))


def naive_shear(images: np.ndarray, angle: float) -> np.ndarray:
    matrix = np.array([[1, -np.sin(angle), 0], [0, np.cos(angle), 0], [0, 0, 1]])
    return naive_affine(images, about_the_middle(matrix, *images[0].shape[:2]))


def naive_shear2(images: np.ndarray, shear: tuple[float, float]) -> np.ndarray:
    matrix = np.array([[1, shear[0], 0], [shear[1], 1, 0], [0, 0, 1]])
    return naive_affine(images, about_the_middle(matrix, *images[0].shape[:2]))


def naive_zoom(images: np.ndarray, factors: tuple[float, float]) -> np.ndarray:
    return naive_affine(images, about_the_middle(np.diag([*factors, 1.0]), *images[0].shape[:2]))


def naive_crop(images: np.ndarray, width: int, height: int) -> np.ndarray:
    top, left = (images[0].shape[0] - height) // 2, (images[0].shape[1] - width) // 2
    return np.asarray([image[top : top + height, left : left + width] for image in images])


def naive_flip(images: np.ndarray, axis: int) -> np.ndarray:
    return np.asarray([image.swapaxes(axis, 0)[::-1].swapaxes(0, axis) for image in images])


def naive_brightness(images: np.ndarray, gamma: float) -> np.ndarray:
    from skimage import exposure

    return np.asarray([exposure.adjust_gamma(image, gamma) for image in images])


def naive_channel_shift(images: np.ndarray, number: float) -> np.ndarray:
    results = []
    for image in images:
        low, high = np.min(image), np.max(image)
        planes = [np.clip(plane + number, low, high) for plane in np.moveaxis(image, 2, 0)]
        results.append(np.moveaxis(np.stack(planes, axis=0), 0, 2))
    return np.asarray(results)


def naive_swirl(images: np.ndarray, strength: float, radius: float) -> np.ndarray:
    from skimage import transform

    results = []
    for image in images:
        highest = np.max(image)
        image = image / highest if highest > 1 else image
        swirled = transform.swirl(image, strength=strength, radius=radius, order=1, mode="constant")
        results.append(swirled * highest if highest > 1 else swirled)
    return np.asarray(results)


def naive_elastic(images: np.ndarray, alpha: float, sigma: float, rng: np.random.Generator) -> np.ndarray:
    noise = rng.random(images[0].shape[:2])
    results = []
    for image in images:
        dx = ndimage.gaussian_filter(noise * 2 - 1, sigma, mode="constant") * alpha
        dy = ndimage.gaussian_filter(noise * 2 - 1, sigma, mode="constant") * alpha
        rows, cols = np.meshgrid(np.arange(noise.shape[0]), np.arange(noise.shape[1]), indexing="ij")
        at = np.reshape(rows + dx, (-1, 1)), np.reshape(cols + dy, (-1, 1))
        results.append(ndimage.map_coordinates(image[:, :, 0], at, order=1).reshape(image.shape))
    return np.asarray(results)


# --- measuring --------------------------------------------------------------------------------------------------------


def contests() -> dict[str, tuple[Call, Call]]:
    """What is measured: name -> (ours, naive)."""
    rng = np.random.default_rng(0)
    x, y = rng.random([60_000, 784], dtype=np.float32), np.arange(60_000)
    rewards = rng.choice([0.0] * 99 + [1.0], 1_000_000)
    captions = [rng.integers(0, 9_999, n).tolist() for n in rng.integers(1, 30, 20_000)]
    arrays = [np.asarray(caption) for caption in captions]
    colour, grey = rng.random([5, 240, 240, 3]), rng.random([5, 240, 240, 1])

    def batches(walk: Iterator[Any]) -> float:
        return sum(float(a[0, 0]) + float(b[0]) for a, b in walk)

    def shuffled() -> np.random.Generator:
        return np.random.default_rng(0)

    p = tl.prepro
    return {
        "minibatches, 60,000 x 784, B = 128": (
            lambda: batches(tl.iterate.minibatches(x, y, 128)),
            lambda: batches(naive_minibatches(x, y, 128, False)),
        ),
        "minibatches, the same shuffled": (
            lambda: batches(tl.iterate.minibatches(x, y, 128, shuffle=True, rng=shuffled())),
            lambda: batches(naive_minibatches(x, y, 128, True)),
        ),
        "discount_episode_rewards, 1e6, mode 0": (
            lambda: tl.rein.discount_episode_rewards(rewards, 0.99, 0),
            lambda: naive_discount(rewards, 0.99, 0),
        ),
        "discount_episode_rewards, 1e6, mode 1": (
            lambda: tl.rein.discount_episode_rewards(rewards, 0.99, 1),
            lambda: naive_discount(rewards, 0.99, 1),
        ),
        "pad_sequences, 20,000 lists": (lambda: p.pad_sequences(captions), lambda: naive_pad(captions)),
        "pad_sequences, 20,000 lists, maxlen 10": (
            lambda: p.pad_sequences(captions, 10),
            lambda: naive_pad(captions, 10),
        ),
        "pad_sequences, 20,000 arrays": (lambda: p.pad_sequences(arrays), lambda: naive_pad(arrays)),
        "rotation_multi, 5 x 240 x 240 x 3": (lambda: p.rotation_multi(colour, 20), lambda: naive_rotation(colour, 20)),
        "shift_multi, the same": (lambda: p.shift_multi(colour, 0.1, 0.1), lambda: naive_shift(colour, 0.1)),
        "shear_multi, the same": (lambda: p.shear_multi(colour, 0.1), lambda: naive_shear(colour, 0.1)),
        "shear_multi2, the same": (
            lambda: p.shear_multi2(colour, (0.1, 0.2)),
            lambda: naive_shear2(colour, (0.1, 0.2)),
        ),
        "zoom_multi, the same": (
            lambda: p.zoom_multi(colour, (0.9, 1.1), is_random=False),
            lambda: naive_zoom(colour, (0.9, 1.1)),
        ),
        "crop_multi, the same": (lambda: p.crop_multi(colour, 200, 180), lambda: naive_crop(colour, 200, 180)),
        "flip_axis_multi, the same": (lambda: p.flip_axis_multi(colour, 1), lambda: naive_flip(colour, 1)),
        "brightness_multi, the same": (lambda: p.brightness_multi(colour, 0.8), lambda: naive_brightness(colour, 0.8)),
        "channel_shift_multi, the same": (
            lambda: p.channel_shift_multi(colour, 0.1),
            lambda: naive_channel_shift(colour, 0.1),
        ),
        "swirl_multi, the same": (
            lambda: p.swirl_multi(colour, strength=4, radius=100),
            lambda: naive_swirl(colour, 4, 100),
        ),
        "elastic_transform_multi, 5 x 240 x 240 x 1": (
            lambda: p.elastic_transform_multi(grey, 720, 16, rng=shuffled()),
            lambda: naive_elastic(grey, 720, 16, shuffled()),
        ),
    }


def measure(ours: Call, naive: Call, rounds: int) -> tuple[float, float]:
    """Median milliseconds of both, taken in turns."""
    np.testing.assert_allclose(ours(), naive(), rtol=1e-5, atol=1e-9)  # also warms both up
    times: dict[Call, list[float]] = {ours: [], naive: []}
    for i in range(rounds):
        for call in (ours, naive) if i % 2 == 0 else (naive, ours):
            start = time.perf_counter()
            call()
            times[call].append(1000 * (time.perf_counter() - start))
    return statistics.median(times[ours]), statistics.median(times[naive])


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table, a row a contest."""
    rows = [[r["what"], f"{r['ms']:.2f}", f"{r['naive_ms']:.2f}", f"{r['ratio']:.2f}"] for r in measured["rows"]]
    rounds = measured["rounds"]
    note = (
        f"`core.tl` beside TensorLayer's algorithms written naively: median of {rounds} round{'s' * (rounds > 1)}, both sides in "
        "turns. A ratio within 5 % of 1 is noise: there both sides wait for the same library call or copy."
    )
    return [Table(["what", "core.tl (ms)", "naive (ms)", "naive / core.tl"], rows), note]


def main() -> None:
    """Measure every contest and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15, help="measurements of each side")
    rounds = parser.parse_args().rounds
    report = Report(__spec__.name, "tl", layout, packages=("numpy", "scipy", "scikit-image"))
    rows = []
    for name, (ours, naive) in contests().items():
        ms, naive_ms = measure(ours, naive, rounds)
        rows.append({"what": name, "ms": ms, "naive_ms": naive_ms, "ratio": naive_ms / ms})
        print(f"{name:45} {ms:9.2f} ms, naive {naive_ms:9.2f} ms: {naive_ms / ms:6.2f} x")
    report.keep({"rounds": rounds, "rows": rows})
    report.write()


if __name__ == "__main__":
    main()
