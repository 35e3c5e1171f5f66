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
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.layers.ema import follow
from core.layers.spectral import power_iterate, sigma_penalty, sigmas
from core.losses.adversarial import critic_gradient_penalty, wasserstein_critic, wasserstein_generator
from core.optimizers import Adam, RMSprop, falling
from core.plugin import Context
from core.seeds import child
from generative.data.pixels import as_input
from generative.data.sources import Stream, open_data
from generative.evaluation import Evaluation, Sampler
from generative.networks import Spectral, make_discriminator, make_generator
from generative.wgan.config import WGANConfig

__all__ = ["WGAN"]


class WGAN:
    """The model; on ring and grid perceptrons take the place of the convolutional networks."""

    def __init__(self, config: WGANConfig, context: Context):
        self.config, self.context = config, context
        check_batch(config.batch, context.strategy)
        self.data = open_data(config.data, context.say, context.folder)
        self.noise_seed = child(context.seed, "noise")
        self.G = make_generator(self.data, config, context.seed)
        # the generator that is sampled
        self.average = make_generator(self.data, config, context.seed) if config.ema else self.G
        spectral: Spectral = "divide" if config.constraint == "sn" else "watch"
        # gp needs a critic of single examples, batch norm would undo the bound that sn sets; the other two need it (README)
        batch_norm = config.constraint in ("clip", "sn-reg")
        self.f = make_discriminator(self.data, config, context.seed, batch_norm=batch_norm, spectral=spectral)
        self.G_optimizer, self.f_optimizer = self._make_optimizer(1), self._make_optimizer(config.critic_steps)
        self.G_optimizer.build(self.G.trainable_variables)
        self.f_optimizer.build(self.f.trainable_variables)
        self.stream = Stream(self.data, config.batch, child(context.seed, "batches"))
        self.clock = 0
        self._turn = tf.function(self._run_turn, jit_compile=config.jit and context.strategy is None)
        self.sampler = Sampler(self.data, self.average, self.f, config.latent)
        self.evaluation = Evaluation(self.data, config.eval_samples, config.extractor)

    def _make_optimizer(self, steps_per_update: int) -> keras.optimizers.Optimizer:
        lr = falling(self.config.chosen_lr, self.config.anneal * steps_per_update, self.config.lr_end)
        if self.config.chosen_optimizer == "rmsprop":  # Keras adds epsilon inside the square root
            return RMSprop(lr, rho=0.9, epsilon=1e-8)
        return Adam(lr, self.config.beta1, beta_2=0.9, epsilon=1e-8)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates of the generator, each after critic_steps of the critic; returns means."""
        config = self.config
        batches = self.stream.take(config.turn * config.critic_steps)  # [T n_critic, B, ...]
        batches = tf.constant(batches.reshape(config.turn, config.critic_steps, *batches.shape[1:]))
        values, largest = self._turn(batches, tf.constant([self.noise_seed, self.clock], tf.int64))
        self.clock += config.turn
        tags = ("critic/wasserstein", "loss/penalty", "loss/generator")
        singular = {f"critic/sigma_{i}": sigma for i, sigma in enumerate(largest)}
        return dict(zip(tags, values, strict=True)) | {"critic/sigma_max": tf.reduce_max(largest)} | singular

    def _run_turn(self, batches: tf.Tensor, key: tf.Tensor) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        total = tf.zeros(3)
        for i in tf.range(self.config.turn, dtype=tf.int64):
            total += self._update(batches[i], tf.add(key, [0, i]))
        return tf.unstack(total / self.config.turn), tf.unstack(sigmas(self.f))

    def _update(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """n_critic steps of f, then one of G, for x_real [n_critic, B, ...] and key (seed, clock) of the noise."""
        n = self.config.critic_steps
        critic = tf.zeros(2)
        for k in tf.range(n, dtype=tf.int64):
            critic = on_replicas(self._update_critic, as_input(x_real[k]), tf.add(key * [1, n + 1], [0, k]))
        loss = on_replicas(self._update_generator, tf.add(key * [1, n + 1], [0, n]))
        if self.config.ema:
            follow(self.average, self.G, self.config.ema, key[1])
        return tf.concat([critic, [loss]], axis=0)

    def _update_generator(self, key: tf.Tensor) -> tf.Tensor:
        """One step of G; returns its loss."""
        z = self._noise(key)
        with tf.GradientTape() as tape:
            loss = wasserstein_generator(self.f(self.G(z, training=True), training=True))
            part = share_of_mean(loss)
        self.G_optimizer.apply(tape.gradient(part, self.G.trainable_variables), self.G.trainable_variables)
        return loss

    def _update_critic(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of f; returns the Wasserstein estimate before it and the penalty."""
        config, f = self.config, self.f
        power_iterate(f)
        x_real, x_fake = share(x_real), self.G(self._noise(key), training=True)  # [B, ...]
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

    def _noise(self, key: tf.Tensor) -> tf.Tensor:
        return share(tf.random.stateless_normal((self.config.batch, self.config.latent), key))

    # --- samples --------------------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8; for a mixture one picture [1, H, W, 3] of n points."""
        return self.sampler.sample(n, seed)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        return self.sampler.exportable()

    def evaluate(self) -> Mapping[str, Any]:
        return self.evaluation(self.sampler)

    def state(self) -> dict[str, Any]:
        return {
            "G": self.G,
            "f": self.f,
            "average": self.average if self.config.ema else None,
            "G_optimizer": self.G_optimizer,
            "f_optimizer": self.f_optimizer,
            "clock": self.clock,
            "noise_seed": self.noise_seed,
            "stream": self.stream.state(),
        }

    def load_state(self, tree: dict[str, Any]) -> None:
        self.clock, self.noise_seed = tree["clock"], tree["noise_seed"]
        self.stream.load_state(tree["stream"])

    def close(self) -> None:
        self.stream.close()
