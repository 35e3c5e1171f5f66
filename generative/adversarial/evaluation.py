"""How every adversarial model is measured and drawn: distances over features for pictures, mode counts for mixtures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from core.errors import require
from core.metrics.distances import Gaussian, frechet_distance, kernel_distance, nearest_distances, precision_recall
from core.metrics.features import Extractor
from core.metrics.modes import count_modes
from generative.data.pixels import as_bytes, as_pictures
from generative.data.sources import Data, Mixture, Pictures

__all__ = ["Evaluation", "Sampler"]

GRID_SEED, MEASURE_SEED = 1, 2  # fixed noise, so that pictures and numbers compare over time
IN_GRID = 64
PRECISION_EXAMPLES = 2500  # of each side: precision and recall need all pairs
SEARCHING = 1000  # samples, and examples, that look for their nearest neighbour
SEARCHED = 20_000  # examples at most: more take longer than the other measures together
BLOCK = 500  # examples in memory as floats
LEAST = 4  # pictures of either side: precision and recall compare each with its third nearest
AT_ONCE = 250  # samples in one forward pass


class Draws(Protocol):
    """Whatever draws pictures."""

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8."""
        ...


class Sampler:
    """Draws from a generator z [B, latent] -> [B, ...] as it stands, and asks the discriminator about points."""

    def __init__(self, data: Data, generator: keras.Model, discriminator: keras.Model, latent: int):
        self.data, self.generator, self.discriminator, self.latent = data, generator, discriminator, latent

    def noise(self, n: int, seed: int) -> tf.Tensor:
        """Return z [n, latent]; position -1 is one that no training reaches."""
        return tf.random.stateless_normal((n, self.latent), [seed, -1])

    @tf.function
    def generate(self, z: tf.Tensor) -> tf.Tensor:
        """Return G(z), [B, H, W, C] in [-1, 1] or [B, 2]."""
        return self.generator(z, training=False)

    def outputs(self, n: int, seed: int) -> np.ndarray:
        """Return n outputs of the generator."""
        z = self.noise(n, seed)
        return np.concatenate([self.generate(z[i : i + AT_ONCE]) for i in range(0, n, AT_ONCE)])

    def judge(self, points: np.ndarray) -> np.ndarray:
        """Return the discriminator's raw outputs [n] for points [n, 2]."""
        return np.asarray(self.discriminator(points, training=False))

    def exportable(self) -> dict[str, Any]:
        """Return the function that `export` saves: noise -> pictures as bytes, or points."""
        points = isinstance(self.data, Mixture)

        @tf.function(input_signature=[tf.TensorSpec((None, self.latent), tf.float32, "noise")])
        def generate(noise: tf.Tensor) -> dict[str, tf.Tensor]:
            """What the generator makes of noise z ~ N(0, 1) [N, L]: pictures as bytes [N, H, W, C], or points [N, 2]."""
            x = self.generator(noise, training=False)
            if points:
                return {"point": x}
            return {"image": as_bytes(x)}

        return {"generate": generate}

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8; for a mixture one picture [1, H, W, 3] of n points."""
        if isinstance(self.data, Mixture):
            return _draw_points(self.outputs(n, seed), self.data, self.judge)[None]
        return as_pictures(self.outputs(n, seed))


class Evaluation:
    """Measures a generator against its data.

    Pictures: eval/frechet, eval/kernel_distance, eval/precision, eval/recall over `count` samples and as many examples (all,
    if there are fewer); eval/novelty, the median distance in pixels of a sample to its nearest example over that of an example
    to its nearest other one: 1 for fresh pictures of the same kind, 0 for copies (left out where examples are equal, drawn anew
    or more than 20,000); for data of one digit eval/rarest_class and eval/commonest_class, shares of the samples by what the
    digit classifier reads; for data of three digits eval/modes and eval/reverse_kl over the 1,000 modes. Mixtures: eval/modes,
    eval/high_quality, eval/reverse_kl, eval/mode_deviation. Both: eval/distance, the headline: the Fréchet distance, and for
    mixtures reverse KL plus the share of samples that are not of high quality.

    Raises UsageError for an extractor that does not exist or does not fit the data.
    """

    def __init__(self, data: Data, count: int, extractor: str = "digits"):
        self.data, self.count = data, count
        self.extractor = None if isinstance(data, Mixture) else Extractor(extractor)
        if isinstance(data, Pictures):
            require(
                len(data) >= LEAST,
                f"{data.name} has {len(data)} pictures; to measure on them {LEAST} or more are needed",
            )
        require(
            data.digits != 3 or extractor == "digits",
            f"extractor is {extractor!r}; the modes of {data.name} are counted with 'digits'",
        )

    def __call__(self, sampler: Sampler) -> dict[str, Any]:
        """Return the measures and a picture."""
        return self._of_points(sampler, self.data) if isinstance(self.data, Mixture) else self.of_pictures(sampler)

    @cached_property
    def _real(self) -> tuple[np.ndarray, Gaussian]:
        """The features [N, D] of the examples; computed at the first evaluation, so that a run starts at once."""
        assert self.extractor is not None
        features = self.extractor(self.data.reference(self.count))
        return features, Gaussian.of(features)

    @cached_property
    def _novelty(self) -> _Novelty | None:
        if isinstance(self.data, Pictures) and len(self.data) <= SEARCHED:
            return _Novelty(self.data)
        return None

    def of_pictures(self, sampler: Draws) -> dict[str, Any]:
        """Return the measures of whatever draws pictures of this data, and a picture."""
        assert self.extractor is not None
        real, gaussian = self._real
        samples = sampler.sample(self.count, MEASURE_SEED)
        fake, logits = self.extractor.outputs(samples)
        frechet = frechet_distance(gaussian, Gaussian.of(fake))
        shuffled = np.random.default_rng(0).permutation(real)  # the data may be sorted
        some = min(PRECISION_EXAMPLES, len(real), len(fake))
        precision, recall = precision_recall(shuffled[:some], fake[:some])
        measured = {
            "eval/distance": frechet,
            "eval/frechet": frechet,
            "eval/kernel_distance": kernel_distance(shuffled, fake),
            "eval/precision": precision,
            "eval/recall": recall,
            "samples/fixed": sampler.sample(IN_GRID, GRID_SEED),
            "eval/protocol": f"{self.count:,} samples against {len(real):,} examples ({self.data.protocol}); "
            f"{self.extractor.protocol}; Fréchet distance with covariances over n - 1, kernel distance (x'y/D + 1)^3 in "
            f"blocks of at most 1,000, precision and recall with k = 3 over {some:,} of each",
        }
        if self._novelty is not None and self._novelty.apart > 0:
            measured["eval/novelty"] = self._novelty(samples[:SEARCHING])
            searched = (
                f"; novelty of {len(samples[:SEARCHING]):,} samples among all {len(self._novelty.data):,} examples"
            )
            measured["eval/protocol"] = f"{measured['eval/protocol']}{searched}"
        if self.extractor.reads_digits and self.data.digits == 1:
            shares = np.bincount(logits.argmax(axis=1), minlength=10) / len(samples)
            measured |= {"eval/rarest_class": float(shares.min()), "eval/commonest_class": float(shares.max())}
        if self.data.digits == 3:
            digits = [self.extractor.classify(samples[..., c : c + 1]) for c in range(3)]
            shares = np.bincount(digits[0] * 100 + digits[1] * 10 + digits[2], minlength=1000) / len(samples)
            found = shares[shares > 0]
            measured |= {"eval/modes": len(found), "eval/reverse_kl": float((found * np.log(found * 1000)).sum())}
            modes = (
                "; modes of these samples: the three digits that the same classifier reads in their red, green and blue, "
                "reverse KL from the modes' shares to uniform over 1,000"
            )
            measured["eval/protocol"] = f"{measured['eval/protocol']}{modes}"
        return measured

    def _of_points(self, sampler: Sampler, data: Mixture) -> dict[str, Any]:
        points = sampler.outputs(self.count, MEASURE_SEED)
        found = count_modes(points, data.centres, data.sigma)
        return {
            "eval/distance": found.reverse_kl + 1 - found.high_quality,
            "eval/modes": found.modes,
            "eval/high_quality": found.high_quality,
            "eval/reverse_kl": found.reverse_kl,
            "eval/mode_deviation": found.deviation,
            "eval/mode_deviation_least": found.deviation_least,
            "eval/mode_deviation_most": found.deviation_most,
            "samples/points": _draw_points(points, data, sampler.judge)[None],
            "eval/protocol": f"{data.protocol}; {found.protocol}",
        }


class _Novelty:
    """How far samples are from the nearest picture learned from, relative to how far those are from each other.

    `apart` is the median distance of an example to its nearest other one, 0 where pictures are too alike to tell.
    """

    def __init__(self, data: Pictures):
        self.data = data
        some = np.random.default_rng(0).permutation(len(data))[:SEARCHING]  # the data may be sorted
        x = data.rows_at(some).reshape(len(some), -1)  # [S, H W C]
        apart = float(np.median(nearest_distances(x, self._blocks(), itself=some)))
        least = 0.1 * x.shape[1] ** 0.5  # a tenth of a grey level in every number: float32 tells no less
        self.apart = apart if apart > least else 0.0

    def __call__(self, samples: np.ndarray) -> float:
        """Return the ratio for samples [S, H, W, C] uint8: 1 for fresh pictures of the same kind, 0 for copies."""
        nearest = nearest_distances(samples.reshape(len(samples), -1), self._blocks(self.data.mirror))
        return float(np.median(nearest)) / self.apart

    def _blocks(self, mirrored: bool = False) -> Iterator[np.ndarray]:
        """Yield all examples in blocks [M, H W C], if `mirrored` each block a second time left to right."""
        for start in range(0, len(self.data), BLOCK):
            x = self.data.rows_at(np.arange(start, min(start + BLOCK, len(self.data))))
            yield x.reshape(len(x), -1)
            if mirrored:
                yield x[:, :, ::-1].reshape(len(x), -1)


def _draw_points(points: np.ndarray, data: Mixture, judge: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """Return a picture [H, W, 3] of samples over the modes, with level lines of the discriminator."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    reach = 1.4 * float(np.abs(data.centres).max())
    side = np.linspace(-reach, reach, 80, dtype=np.float32)
    mesh = np.stack(np.meshgrid(side, side), axis=-1)  # [80, 80, 2]
    levels = judge(mesh.reshape(-1, 2)).reshape(80, 80)
    figure = Figure(figsize=(4, 4), dpi=100)
    canvas = FigureCanvasAgg(figure)
    axis = figure.add_axes((0, 0, 1, 1))
    axis.contourf(side, side, levels, 20, cmap="Blues", alpha=0.7)
    axis.contour(side, side, levels, 20, colors="steelblue", linewidths=0.4)
    axis.scatter(data.centres[:, 0], data.centres[:, 1], s=60, facecolors="none", edgecolors="black", linewidths=0.7)
    axis.scatter(points[:, 0], points[:, 1], s=1.5, color="crimson", alpha=0.5, linewidths=0)
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), xticks=[], yticks=[])
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()
