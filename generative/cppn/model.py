"""A compositional pattern-producing network (Stanley, 2007): the place of a pixel in, its colour out.

One update, on P pixels of a picture:

    x [P, 2], c [P, 3] = places and colours of the next pixels, each once an epoch
    theta <- Adam(grad mean (f(x) - c)^2)

f has sine activations (Sitzmann et al., 2020), Fourier features (Tancik et al., 2020), or is plain. Random networks are not
trained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf
from PIL import Image

from core.errors import require
from core.iterate import Order
from core.metrics.image_quality import TAPS, psnr, ssim
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, Exports, Generator
from core.seeds import child
from generative.cppn.config import CPPNConfig
from generative.cppn.networks import make_network, patterns, places, walk
from generative.cppn.picture import open_picture

__all__ = ["CPPN"]

AT_ONCE = 2**16  # pixels that are drawn in one call
IN_SHEET, SHEET_SEED, LARGER = 36, 1, 4
MOST = 100.0  # dB, of a picture that is drawn without an error


@final
class CPPN(Generator, Draws, Exports):
    """The model. Colours are floats in [0, 1] inside, bytes outside."""

    def __init__(self, config: CPPNConfig, context: Context):
        self.config = config
        self.picture = open_picture(config.picture, config.size, context.folder)
        height, width = self.picture.shape
        self.places = tf.constant(places(height, width))  # [H W, 2]
        require(
            config.batch <= height * width,
            f"batch is {config.batch:,}; the picture has only {height * width:,} pixels, choose at most so many",
        )
        self.network = make_network(config, child(context.seed, "network"))
        self.variables = self.network.trainable_variables
        self.optimizer = make_optimizer(config.optimizer, self.variables)
        self.order_seed = child(context.seed, "pixels")
        self.clock = 0
        self._order: Order | None = None

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns their mean squared error, of colours in [0, 1]."""
        if self._order is None or self._order.seed != self.order_seed:
            self._order = Order(len(self.places), self.config.batch, self.order_seed)
            self.colours = tf.constant(self.picture.pixels.reshape(-1, 3) / 255, tf.float32)  # [H W, 3]
        rows = np.stack([self._order.indices(self.clock + i) for i in range(self.config.turn)])  # [turn, P]
        loss = self._turn(tf.constant(rows), self.colours)
        self.clock += self.config.turn
        return {"loss/total": loss}

    @tf.function
    def _turn(self, rows: tf.Tensor, colours: tf.Tensor) -> tf.Tensor:
        total = tf.zeros(())
        for i in tf.range(self.config.turn):
            total += self._update(tf.gather(self.places, rows[i]), tf.gather(colours, rows[i]))
        return total / self.config.turn

    def _update(self, x: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """One step on places x [P, 2] and their colours c [P, 3]."""
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self.network(x) - c))
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        return loss

    # --- pictures -------------------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the patterns of n random networks, each with a latent of its own, [n, side, side, 3] uint8."""
        side = self.config.side

        def pattern(i: int) -> np.ndarray:
            z = np.random.default_rng(child(seed, "latent", i)).standard_normal(self.config.latent)
            return patterns(self.config, side, side, child(seed, "network", i), [z])

        return np.concatenate([pattern(i) for i in range(n)])

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What else the verb `sample` can draw, by name: (n, seed) -> pictures uint8; fitted and enlarged heed neither."""
        return {"walk": self.walk, "fitted": self.fitted, "enlarged": self.enlarged}

    def walk(self, n: int, seed: int = 0) -> np.ndarray:
        """Return what a random network draws of n latents on a circle, [n, side, side, 3] uint8: the frames of a film."""
        side = self.config.side
        return patterns(
            self.config, side, side, child(seed, "network", 0), walk(self.config.latent, n, child(seed, "walk"))
        )

    def fitted(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Return the picture beside what the network has of it, [1, H, 2 W, 3] uint8."""
        height, width = self.picture.shape
        return np.concatenate([self.picture.pixels, self.drawn(height, width)], axis=1)[None]

    def enlarged(self, n: int = 1, seed: int = 0) -> np.ndarray:
        """Return the picture 4 times as large by Pillow's bicubic filter, and drawn so large, [2, 4 H, 4 W, 3] uint8."""
        height, width = (LARGER * side for side in self.picture.shape)
        by_filter = Image.fromarray(self.picture.pixels).resize((width, height), Image.Resampling.BICUBIC)
        return np.stack([np.asarray(by_filter), self.drawn(height, width)])

    def drawn(self, height: int, width: int) -> np.ndarray:
        """Return what the network draws at any size, [height, width, 3] uint8."""
        plane = places(height, width)
        parts = [self._colour(plane[i : i + AT_ONCE]).numpy() for i in range(0, len(plane), AT_ONCE)]
        return np.round(np.concatenate(parts) * 255).astype(np.uint8).reshape(height, width, 3)

    @tf.function(reduce_retracing=True)
    def _colour(self, x: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(self.network(x), 0.0, 1.0)

    def evaluate(self) -> Mapping[str, Any]:
        """Measure the fit, and draw it, random patterns and a film."""
        height, width = self.picture.shape
        drawn = self.drawn(height, width)
        numbers = {"eval/psnr": min(psnr(self.picture.pixels, drawn), MOST)}
        if min(height, width) >= TAPS:
            numbers["eval/ssim"] = ssim(self.picture.pixels, drawn)
        return numbers | {
            "samples/patterns": self.sample(IN_SHEET, SHEET_SEED),
            "samples/fitted": self.fitted(),
            "video/walk": self.walk(self.config.frames, SHEET_SEED),
            "eval/protocol": f"PSNR in dB and SSIM of all colours, rounded to 8 bits, range 255, on the pixels that were fitted: "
            f"{self.picture.what}; network {self.config.network}, {self.network.count_params():,} weights",
        }

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, "place")])
        def paint(place: tf.Tensor) -> dict[str, tf.Tensor]:
            """The colour [N, 3], 0 to 1, at x (to the right) and y (down) [N, 2]; the longer side goes from -1 to 1."""
            return {"colour": self._colour(place)}

        return {"paint": paint}

    def state(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("network", "optimizer", "clock", "order_seed")}
