"""Wasserstein GANs (Arjovsky et al., 2017) with four ways to keep the critic f Lipschitz.

One update (Algorithm 1 of the paper):

    n_critic times:  x ~ data, z ~ N(0, 1), both fresh
        w <- optimiser(w, grad [f(G(z)) - f(x) + penalty])
             clip:    afterwards w <- clip(w, -c, c)
             gp:      penalty lambda (|grad f(x_hat)| - 1)^2 between real and fake          Gulrajani et al., 2017
             sn:      every kernel of f is divided by its largest singular value             Miyato et al., 2018
             sn-reg:  penalty lambda / 2 sum sigma^2, its gradient lambda sigma u v'          Yoshida and Miyato, 2017
    z ~ N(0, 1), fresh
    theta <- optimiser(theta, grad [-f(G(z))])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.distributed import on_replicas, share, share_of_mean
from core.layers.spectral import power_iterate, sigma_penalty, sigmas
from core.losses.adversarial import critic_gradient_penalty, wasserstein_critic, wasserstein_generator
from core.plugin import Context, Draws, Exports, Generator
from generative.adversarial.game import Game
from generative.adversarial.networks import Spectral
from generative.data.pixels import as_input
from generative.wgan.config import WGANConfig

__all__ = ["WGAN"]


TAGS = ("critic/wasserstein", "loss/penalty", "loss/generator", "critic/sigma_max")


@final
class WGAN(Generator, Draws, Exports):
    """The model; on ring and grid perceptrons take the place of the convolutional networks."""

    def __init__(self, config: WGANConfig, context: Context):
        self.config = config
        spectral: Spectral = "divide" if config.constraint == "sn" else "watch"
        # gp needs a critic of single examples, batch norm would undo the bound that sn sets; the other two need it (README)
        batch_norm = config.constraint in ("clip", "sn-reg")
        steps = config.critic_steps
        self.game = game = Game(config, context, batch_norm=batch_norm, spectral=spectral, d_steps=steps)
        self.G, self.G_optimizer = game.G, game.G_optimizer
        self.f, self.f_optimizer = game.D, game.D_optimizer
        self.clock = 0
        singular = [f"critic/sigma_{i}" for i in range(len(sigmas(self.f)))]
        self.learns_with = game.learns_with
        self._turn = game.turn(self._update, [*TAGS, *singular], batches=steps)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates of the generator, each after critic_steps of the critic; returns means."""
        values = self._turn(self.clock)
        self.clock += self.config.turn
        return values

    def _update(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """n_critic steps of f, then one of G, for x_real [n_critic, B, ...] and key (seed, clock) of the noise."""
        n = self.config.critic_steps
        critic = tf.zeros(2)
        for k in tf.range(n, dtype=tf.int64):
            critic = on_replicas(self._update_critic, as_input(x_real[k]), tf.add(key * [1, n + 1], [0, k]))
        loss = on_replicas(self._update_generator, tf.add(key * [1, n + 1], [0, n]))
        largest = sigmas(self.f)
        return tf.concat([critic, [loss, tf.reduce_max(largest)], largest], axis=0)

    def _update_generator(self, key: tf.Tensor) -> tf.Tensor:
        """One step of G; returns its loss."""
        z = self.game.noise(key)
        with tf.GradientTape() as tape:
            loss = wasserstein_generator(self.f(self.G(z, training=True), training=True))
            part = share_of_mean(loss)
        self.G_optimizer.apply(tape.gradient(part, self.G.trainable_variables), self.G.trainable_variables)
        return loss

    def _update_critic(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of f; returns the Wasserstein estimate before it and the penalty."""
        config, f = self.config, self.f
        power_iterate(f)
        x_real, x_fake = share(x_real), self.G(self.game.noise(key), training=True)  # [B, ...]
        with tf.GradientTape() as tape:
            if config.constraint in ("clip", "sn-reg"):  # critical: batch norm sees each side with its own statistics
                real, fake = f(x_real, training=True), f(x_fake, training=True)
            else:
                real, fake = tf.split(f(tf.concat([x_real, x_fake], axis=0), training=True), 2)
            loss = wasserstein_critic(real, fake)
            penalty = tf.constant(0.0)
            if config.constraint == "gp":
                own = tf.random.experimental.stateless_fold_in(key, 1)  # a key that no noise has
                alpha = share(tf.random.stateless_uniform((config.batch,), own))  # [B] one per example
                penalty = config.gp * critic_gradient_penalty(lambda x: f(x, training=True), x_real, x_fake, alpha)
            if config.constraint == "sn-reg":
                penalty = config.sn_reg * sigma_penalty(f)
            total = share_of_mean(loss + penalty)
        self.f_optimizer.apply(tape.gradient(total, f.trainable_variables), f.trainable_variables)
        if config.constraint == "clip":
            for w in f.trainable_variables:
                w.assign(tf.clip_by_value(w, -config.clip, config.clip))
        return tf.stack([-loss, penalty])

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
