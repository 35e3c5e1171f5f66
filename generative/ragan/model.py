"""Relativistic GANs (Jolicoeur-Martineau, 2019), the GAN they are compared with, and the penalties they go with.

One update (Algorithms 1 and 2 of the paper), with L(r, f) the loss of C(x_r), C(x_f):

    d_steps times:  x_r ~ data, z ~ N(0, 1), both fresh
        theta_C <- Adam(theta_C, grad [L(C(x_r), C(G(z))) + penalties])
    x_r ~ data, z ~ N(0, 1), fresh again
    theta_G <- Adam(theta_G, grad L(C(G(z)), C(x_r)))                  the sides exchanged; SGAN: -log sigmoid C(G(z))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.distributed import on_replicas, share, share_of_mean
from core.layers.spectral import power_iterate, sigmas
from core.losses import relativistic
from core.losses.adversarial import (
    critic_gradient_penalty,
    nonsaturating_generator,
    standard_discriminator,
    zero_centred_penalty,
)
from core.plugin import Context, Draws, Exports, Generator
from generative.adversarial.game import Game
from generative.adversarial.networks import Spectral
from generative.data.pixels import as_input
from generative.ragan.config import RaGANConfig

__all__ = ["RaGAN"]

TAGS = ("loss/discriminator", "loss/penalty", "loss/generator", "critic/real", "critic/fake", "critic/sigma_max")


@final
class RaGAN(Generator, Draws, Exports):
    """The model; on ring and grid perceptrons take the place of the convolutional networks."""

    def __init__(self, config: RaGANConfig, context: Context):
        self.config = config
        spectral: Spectral = "divide" if config.norm == "spectral" else "watch"
        batch_norm = config.norm == "batch"
        self.game = game = Game(config, context, batch_norm=batch_norm, spectral=spectral, d_steps=config.d_steps)
        self.G, self.G_optimizer = game.G, game.G_optimizer
        self.C, self.C_optimizer = game.D, game.D_optimizer
        self.clock = 0
        self.learns_with = game.learns_with
        self._turn = game.turn(self._update, TAGS, batches=config.d_steps + 1)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates of the generator, each after d_steps of the discriminator; returns means."""
        values = self._turn(self.clock)
        self.clock += self.config.turn
        return values

    def _update(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """d_steps of C, then one of G, for x_real [d_steps + 1, B, ...] and key (seed, clock) of the noise."""
        config, n = self.config, self.config.d_steps
        done = tf.minimum(tf.cast(key[1], tf.float32) / max(config.penalty_anneal, 1), 1.0)
        gamma = tf.pow(config.penalty_end, done)  # [] factor of the penalties' weights
        values = tf.zeros(4)
        for k in tf.range(n, dtype=tf.int64):
            values = on_replicas(
                self._update_discriminator, as_input(x_real[k]), tf.add(key * [1, n + 1], [0, k]), gamma
            )
        loss = on_replicas(self._update_generator, as_input(x_real[n]), tf.add(key * [1, n + 1], [0, n]))
        return tf.stack([values[0], values[1], loss, values[2], values[3], tf.reduce_max(sigmas(self.C))])

    def _update_generator(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of G; returns its loss."""
        z = self.game.noise(key)
        with tf.GradientTape() as tape:
            fake = self.C(self.G(z, training=True), training=True)  # [B]
            if self.config.loss == "sgan":
                loss = nonsaturating_generator(fake)
            else:
                loss = getattr(relativistic, self.config.loss)(fake, self.C(share(x_real), training=True))
            part = share_of_mean(loss)
        self.G_optimizer.apply(tape.gradient(part, self.G.trainable_variables), self.G.trainable_variables)
        return loss

    def _update_discriminator(self, x_real: tf.Tensor, key: tf.Tensor, gamma: tf.Tensor) -> tf.Tensor:
        """One step of C; returns its loss, the penalties, and the means of C(x_r) and C(x_f)."""
        config = self.config

        def C(x: tf.Tensor) -> tf.Tensor:  # [B, ...] -> [B]
            return self.C(x, training=True)

        power_iterate(self.C)
        x_real, x_fake = share(x_real), self.G(self.game.noise(key), training=True)  # [B, ...]
        with tf.GradientTape() as tape:
            if config.norm == "batch":  # critical: each side with its own batch statistics
                real, fake = C(x_real), C(x_fake)
            else:
                real, fake = tf.split(C(tf.concat([x_real, x_fake], axis=0)), 2)
            loss_of = standard_discriminator if config.loss == "sgan" else getattr(relativistic, config.loss)
            loss, penalty = loss_of(real, fake), tf.constant(0.0)
            if config.gp:
                own = tf.random.experimental.stateless_fold_in(key, 1)  # a key that no noise has
                alpha = share(tf.random.stateless_uniform((config.batch,), own))  # [B] one per example
                penalty += gamma * config.gp * critic_gradient_penalty(C, x_real, x_fake, alpha)
            if config.r1:
                penalty += gamma * config.r1 * zero_centred_penalty(C, x_real)
            if config.r2:
                penalty += gamma * config.r2 * zero_centred_penalty(C, x_fake)
            total = share_of_mean(loss + penalty)
        self.C_optimizer.apply(tape.gradient(total, self.C.trainable_variables), self.C.trainable_variables)
        return tf.stack([loss, penalty, tf.reduce_mean(real), tf.reduce_mean(fake)])

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
