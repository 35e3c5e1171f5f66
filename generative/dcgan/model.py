"""DCGAN (Radford, Metz and Chintala, 2016) with the non-saturating loss (Goodfellow et al., 2014).

One update, in the notation of the papers:

    z ~ N(0, 1), x ~ data
    theta_D <- Adam(theta_D, grad -[log D(x) + log(1 - D(G(z)))])
    theta_G <- Adam(theta_G, grad -log D(G(z)))                      D already updated, the same z
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.distributed import on_replicas, share, share_of_mean
from core.errors import require
from core.losses.adversarial import nonsaturating_generator, standard_discriminator
from core.plugin import Context, Draws, Exports, Generator
from generative.adversarial.game import Game
from generative.data.pixels import as_input, as_pictures
from generative.dcgan.config import DCGANConfig

__all__ = ["DCGAN"]

TAGS = ("loss/discriminator", "loss/generator", "critic/real", "critic/fake")


@final
class DCGAN(Generator, Draws, Exports):
    """The model; on ring and grid perceptrons take the place of the convolutional networks."""

    def __init__(self, config: DCGANConfig, context: Context):
        self.config = config
        require(
            context.strategy is None or not config.minibatch_std,
            "minibatch_std compares the examples of a whole batch, which run.strategy splits; leave one out",
        )
        self.game = game = Game(config, context, batch_norm=True, minibatch_std=config.minibatch_std)
        self.G, self.G_optimizer = game.G, game.G_optimizer
        self.D, self.D_optimizer = game.D, game.D_optimizer
        self.clock = 0
        self.learns_with = game.learns_with
        self._turn = game.turn(self._update, TAGS)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns their mean losses."""
        values = self._turn(self.clock)
        self.clock += self.config.turn
        return values

    def _update(self, x: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        return on_replicas(self._step_both, as_input(x[0]), key)

    def _step_both(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of D, then one of G, for x_real [B, ...] and key (seed, clock) of the noise.

        G does not move in between, so one forward pass of it serves both.
        """
        x_real, z = share(x_real), self.game.noise(key)
        with tf.GradientTape() as G_tape:
            x_fake = self.G(z, training=True)  # [B, ...]
            with G_tape.stop_recording():
                with tf.GradientTape() as D_tape:  # critical: real and fake apart, each with its own batch statistics
                    real, fake = self.D(x_real, training=True), self.D(x_fake, training=True)  # [B]
                    D_loss = standard_discriminator(real, fake, self.config.real_label)
                    D_part = share_of_mean(D_loss)
                gradient = D_tape.gradient(D_part, self.D.trainable_variables)
                self.D_optimizer.apply(gradient, self.D.trainable_variables)
            G_loss = nonsaturating_generator(self.D(x_fake, training=True))
            G_part = share_of_mean(G_loss)
        self.G_optimizer.apply(G_tape.gradient(G_part, self.G.trainable_variables), self.G.trainable_variables)
        return tf.stack([D_loss, G_loss, tf.reduce_mean(real), tf.reduce_mean(fake)])

    # --- samples --------------------------------------------------------------------------------------------------------

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        return {} if self.config.data.points else {"interpolate": self.interpolate, "arithmetic": self.arithmetic}

    def interpolate(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures, each row of sqrt(n) a walk along the great circle from one z to another."""
        columns = max(2, int(np.ceil(np.sqrt(n))))
        rows = -(-n // columns)
        a, b = np.asarray(self.game.sampler.noise(2 * rows, seed)).reshape(2, rows, 1, -1)  # [R, 1, L] each
        length = np.linalg.norm(a, axis=-1, keepdims=True) * np.linalg.norm(b, axis=-1, keepdims=True)
        angle = np.arccos(np.clip((a * b).sum(-1, keepdims=True) / length, -1, 1))
        angle = np.clip(
            angle, 1e-3, np.pi - 1e-3
        )  # with few latents z can be parallel, where the circle is not defined
        way = np.linspace(0, 1, columns, dtype=np.float32)[None, :, None]
        z = (np.sin((1 - way) * angle) * a + np.sin(way * angle) * b) / np.sin(angle)  # [R, columns, L]
        return as_pictures(np.asarray(self.game.sampler.generate(z.reshape(rows * columns, -1)[:n])))

    def arithmetic(self, n: int, seed: int = 0) -> np.ndarray:
        """Return one picture [1, H, W, C] whose rows show G at z1, z2, z3 and z1 - z2 + z3, for n such rows at most 16."""
        z = np.asarray(self.game.sampler.noise(3 * min(n, 16), seed)).reshape(-1, 3, self.config.latent)
        z = np.concatenate([z, z[:, :1] - z[:, 1:2] + z[:, 2:]], axis=1)  # [R, 4, L]
        rows, (height, width, channels) = len(z), self.game.data.shape
        images = as_pictures(np.asarray(self.game.sampler.generate(z.reshape(4 * rows, -1)))).reshape(
            rows, 4, height, width, channels
        )
        return images.swapaxes(1, 2).reshape(1, rows * height, 4 * width, channels)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8; for a mixture one picture [1, H, W, 3] of n points."""
        return self.game.sample(n, seed)

    def exportable(self) -> Mapping[str, Any]:
        return self.game.exportable()

    def evaluate(self) -> Mapping[str, Any]:
        return self.game.evaluate()

    def state(self) -> dict[str, Any]:
        return {"game": self.game, "clock": self.clock}

    def close(self) -> None:
        self.game.close()
