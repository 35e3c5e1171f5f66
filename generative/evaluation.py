"""How every adversarial model is measured and drawn: distances over features for pictures, mode counts for mixtures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from core.metrics.distances import Gaussian, frechet_distance, kernel_distance, precision_recall
from core.metrics.features import Extractor
from core.metrics.modes import count_modes
from generative.data.sources import Data, Mixture, StackedDigits

__all__ = ["Evaluation", "as_input", "as_pictures", "draw_points"]

Outputs = Callable[[int, int], np.ndarray]
"""(n, seed) -> what the generator makes, [n, H, W, C] in [-1, 1] or [n, 2]."""
Critic = Callable[[np.ndarray], np.ndarray]
"""Points [n, 2] -> outputs [n]."""
GRID_SEED, MEASURE_SEED = 1, 2  # fixed noise, so that pictures and numbers compare over time
IN_GRID = 64
PRECISION_EXAMPLES = 2500  # of each side: precision and recall need all pairs


def as_input(x: tf.Tensor) -> tf.Tensor:
    """Return data as a network takes it: bytes as float32 in [-1, 1], points as they are."""
    return tf.cast(x, tf.float32) / 127.5 - 1.0 if x.dtype == tf.uint8 else x


def as_pictures(x: np.ndarray) -> np.ndarray:
    """Return network outputs in [-1, 1] as uint8."""
    return np.clip(np.round((x + 1) * 127.5), 0, 255).astype(np.uint8)


class Evaluation:
    """Measures a generator against its data.

    Pictures: eval/frechet, eval/kernel_distance, eval/precision, eval/recall over `count` samples and as many examples (all,
    if there are fewer), and for stacked-digits eval/modes and eval/reverse_kl over the 1,000 modes. Mixtures: eval/modes,
    eval/high_quality, eval/reverse_kl, eval/mode_deviation. Both: eval/distance, the headline: the Fréchet distance, and for
    mixtures reverse KL plus the share of samples that are not of high quality.
    """

    def __init__(self, data: Data, count: int, extractor: str = "digits"):
        self.data, self.count = data, count
        self.extractor: Extractor | None = None
        if isinstance(data, Mixture):
            return
        self.extractor = Extractor(extractor)
        real = data.reference(count)
        self.real = self.extractor(real)  # [N, D]
        self.gaussian = Gaussian.of(self.real)
        self.protocol = (
            f"{count:,} samples against {len(real):,} examples ({data.protocol}); {self.extractor.protocol}; Fréchet "
            f"distance with covariances over n - 1, kernel distance (x'y/D + 1)^3 in blocks of 1,000, precision and recall "
            f"with k = 3 over {min(PRECISION_EXAMPLES, len(real), count):,} of each"
        )

    def __call__(self, outputs: Outputs, critic: Critic) -> dict[str, Any]:
        if isinstance(self.data, Mixture):
            return self._of_points(outputs, critic, self.data)
        assert self.extractor is not None
        samples = as_pictures(outputs(self.count, MEASURE_SEED))
        fake = self.extractor(samples)
        frechet = frechet_distance(self.gaussian, Gaussian.of(fake))
        some = min(PRECISION_EXAMPLES, len(self.real), len(fake))
        chosen = np.random.default_rng(0).permutation(len(self.real))[:some]  # the data may be sorted
        precision, recall = precision_recall(self.real[chosen], fake[:some])
        measured = {
            "eval/distance": frechet,
            "eval/frechet": frechet,
            "eval/kernel_distance": kernel_distance(np.random.default_rng(0).permutation(self.real), fake),
            "eval/precision": precision,
            "eval/recall": recall,
            "samples/fixed": as_pictures(outputs(IN_GRID, GRID_SEED)),
            "eval/protocol": self.protocol,
        }
        if isinstance(self.data, StackedDigits):
            digits = [self.extractor.classify(samples[..., c : c + 1]) for c in range(3)]
            shares = np.bincount(digits[0] * 100 + digits[1] * 10 + digits[2], minlength=1000) / len(samples)
            found = shares[shares > 0]
            measured |= {"eval/modes": len(found), "eval/reverse_kl": float((found * np.log(found * 1000)).sum())}
        return measured

    def _of_points(self, outputs: Outputs, critic: Critic, data: Mixture) -> dict[str, Any]:
        points = outputs(self.count, MEASURE_SEED)
        found = count_modes(points, data.centres, data.sigma)
        return {
            "eval/distance": found.reverse_kl + 1 - found.high_quality,
            "eval/modes": found.modes,
            "eval/high_quality": found.high_quality,
            "eval/reverse_kl": found.reverse_kl,
            "eval/mode_deviation": found.deviation,
            "eval/mode_deviation_least": found.deviation_least,
            "eval/mode_deviation_most": found.deviation_most,
            "samples/points": draw_points(points, data, critic)[None],
            "eval/protocol": f"{data.protocol}; {found.protocol}",
        }


def draw_points(points: np.ndarray, data: Mixture, critic: Critic) -> np.ndarray:
    """Return a picture [H, W, 3] of samples over the modes, with level lines of the critic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    reach = 1.4 * float(np.abs(data.centres).max())
    side = np.linspace(-reach, reach, 80, dtype=np.float32)
    mesh = np.stack(np.meshgrid(side, side), axis=-1)  # [80, 80, 2]
    levels = critic(mesh.reshape(-1, 2)).reshape(80, 80)
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
