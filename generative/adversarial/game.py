"""What a GAN has besides its update rule: data, two networks, their optimisers, the averaged generator, measures and state."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any

import numpy as np
import tensorflow as tf

from core.distributed import check_batch, share
from core.layers.ema import follow
from core.optim.optimizer import make_optimizer
from core.plugin import Context
from core.seeds import child
from generative.adversarial.evaluation import Evaluation, Sampler
from generative.adversarial.networks import Spectral, make_discriminator, make_generator
from generative.adversarial.settings import AdversarialConfig
from generative.data.sources import Mixture, Stream, open_data

__all__ = ["Game", "Update"]

Update = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
"""One update of both networks: (x [batches, B, ...] as the data have it, key (seed, clock) of the noise) -> scalars [tags]."""


class Game:
    """Two networks that play against each other over `config.data`; on ring and grid they are perceptrons.

    `G` and `D`, generator and discriminator, have `G_optimizer` and `D_optimizer`; `average` is the generator that is sampled. A
    plugin holds a game, plays turns of its own update and passes on the members of the contract.

    `d_steps`: updates of D for each of G. `batch_norm`, `spectral` and `minibatch_std` are D's, see `make_discriminator`.

    Raises UsageError for data that cannot be read or learned by these networks, and for a batch that the replicas of the
    context's strategy cannot share; its first turn for data that cannot be measured.
    """

    def __init__(
        self,
        config: AdversarialConfig,
        context: Context,
        *,
        batch_norm: bool,
        spectral: Spectral = "none",
        minibatch_std: bool = False,
        d_steps: int = 1,
    ):
        self.config = config
        check_batch(config.batch, context.strategy)
        self.compiled = config.jit and context.strategy is None
        self.data = open_data(config.data, context.say, context.folder)
        self.noise_seed = child(context.seed, "noise")
        self.G = make_generator(self.data, config, context.seed)
        self.average = make_generator(self.data, config, context.seed) if config.ema else self.G
        self.D = make_discriminator(
            self.data, config, context.seed, batch_norm=batch_norm, spectral=spectral, minibatch_std=minibatch_std
        )
        optimizer = config.optimizer
        self.G_optimizer = make_optimizer(optimizer, self.G.trainable_variables)
        optimizer = replace(optimizer, lr=optimizer.lr * config.d_lr_ratio)
        self.D_optimizer = make_optimizer(optimizer, self.D.trainable_variables, d_steps)
        self.stream = Stream(self.data, config.batch, child(context.seed, "batches"))
        self.sampler = Sampler(self.data, self.average, self.D, config.latent)

    @cached_property
    def evaluation(self) -> Evaluation:
        """The measures, with their extractor: opened when training begins, so that drawing and exporting do without."""
        return Evaluation(self.data, self.config.eval_samples, self.config.extractor)

    def turn(self, update: Update, tags: Sequence[str], batches: int = 1) -> Callable[[int], dict[str, tf.Tensor]]:
        """Return a function clock -> means by tag that runs `config.turn` updates, each on `batches` batches of its own.

        The averaged generator follows every update. All updates of a turn are one call of TensorFlow.
        """

        def run(x: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
            total = tf.zeros(len(tags))
            for i in tf.range(self.config.turn, dtype=tf.int64):
                total += update(x[i], tf.add(key, [0, i]))
                if self.config.ema:
                    follow(self.average, self.G, self.config.ema, key[1] + i)
            return tf.unstack(total / self.config.turn)

        traced = tf.function(run, jit_compile=self.compiled)

        def play(clock: int) -> dict[str, tf.Tensor]:
            _ = self.evaluation  # so that what cannot be measured is refused now, not at the first evaluation
            x = self.stream.take(self.config.turn * batches)  # [T batches, B, ...]
            x = tf.constant(x.reshape(self.config.turn, batches, *x.shape[1:]))
            return dict(zip(tags, traced(x, tf.constant([self.noise_seed, clock], tf.int64)), strict=True))

        return play

    def noise(self, key: tf.Tensor) -> tf.Tensor:
        """Return this replica's rows of z [B, latent] ~ N(0, 1); the key is (seed, position)."""
        return share(tf.random.stateless_normal((self.config.batch, self.config.latent), key))

    @property
    def learns_with(self) -> tuple[str, ...]:
        """The models that no picture needs: all but the generator that is sampled, and D where points show what it says."""
        if isinstance(self.data, Mixture):
            return ()
        return ("game.D", "game.G") if self.config.ema else ("game.D",)

    # --- the contract, for the plugin to pass on ----------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8; for a mixture one picture [1, H, W, 3] of n points."""
        return self.sampler.sample(n, seed)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation` and a picture."""
        return self.evaluation(self.sampler)

    def exportable(self) -> Mapping[str, Any]:
        """Return the function noise -> pictures or points."""
        return self.sampler.exportable()

    def state(self) -> dict[str, Any]:
        """Return everything needed to carry on."""
        return {
            "G": self.G,
            "D": self.D,
            "average": self.average if self.config.ema else None,
            "G_optimizer": self.G_optimizer,
            "D_optimizer": self.D_optimizer,
            "noise_seed": self.noise_seed,
            "stream": self.stream,
        }

    def load_state(self, tree: Mapping[str, Any]) -> None:
        """Take back what `state` had beside what is restored in place."""
        self.noise_seed = tree["noise_seed"]

    def close(self) -> None:
        """End the threads that read ahead."""
        self.stream.close()
