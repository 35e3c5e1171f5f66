"""StarGAN: "Unified Generative Adversarial Networks for Multi-Domain Image-to-Image Translation" (Choi et al., 2018).

One update, in the notation of the paper, x of domain c, c' a domain at random:

    n_critic times:  x, c ~ data;  c' = c in another order
        theta_D <- Adam(grad D_src(G(x, c')) - D_src(x) + lambda_gp (|grad D_src(x_hat)| - 1)^2             eq. 8
                             - lambda_cls log D_cls(c | x))                                                 eqs. 2, 5
    theta_G <- Adam(grad -D_src(G(x, c')) - lambda_cls log D_cls(c' | G(x, c'))                             eqs. 3, 6
                         + lambda_rec |x - G(G(x, c'), c)|_1)                                               eq. 4
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.errors import UsageError, require
from core.losses.adversarial import critic_gradient_penalty, wasserstein_critic, wasserstein_generator
from core.losses.conditional import class_nll
from core.losses.translation import l1
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Exports, Generator, Translates
from core.seeds import child
from generative.data.labels import Labelled, classes_of
from generative.data.pictures import beside
from generative.data.pixels import as_bytes, as_input
from generative.data.record import Record
from generative.data.sources import Pictures, Stream, open_data
from generative.stargan.config import StarGANConfig
from generative.stargan.measures import Measures
from generative.stargan.networks import make_critic, make_generator

__all__ = ["StarGAN", "shuffled"]

AT_ONCE = 100  # pictures in one forward pass
SHOWN = 16  # rows of a sheet
TAGS = ("critic/wasserstein", "loss/penalty", "loss/domain_real", "loss/generator", "loss/domain_fake", "loss/cycle")


@final
class StarGAN(Generator, Translates, Exports):
    """The model. Pictures are bytes outside, floats in [-1, 1] for the networks; domains are numbers 0 ... K - 1 in order."""

    def __init__(self, config: StarGANConfig, context: Context):
        self.config = config
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            raise UsageError(f"data.source is {config.data.source!r}; stargan needs a fixed set of labelled pictures")
        self.classes = classes_of(data, context.folder)
        require(
            len(self.classes) >= 2,
            f"data.source is {config.data.source!r}, whose pictures have {len(self.classes)} labels; stargan needs at least 2, "
            "e.g. styled-digits or classes:PATH",
        )
        require(
            config.held_out < len(data),
            f"held_out is {config.held_out}; it must be less than the {len(data):,} pictures of {data.name}",
        )
        self.names = _names(data, self.classes, context.folder)
        height, width, channels = data.shape
        self.shape, (self.train, self.held_out) = (height, width, channels), data.split(config.held_out)
        K, seed = len(self.classes), context.seed
        self.G = make_generator(self.shape, K, config, child(seed, "generator"))
        self.D = make_critic(self.shape, K, config, child(seed, "critic"))
        self.G_optimizer = make_optimizer(config.optimizer, self.G.trainable_variables)
        self.D_optimizer = make_optimizer(
            config.optimizer, self.D.trainable_variables, calls_per_clock=config.critic_steps
        )
        self.stream = Stream(Labelled(self.train, self.classes), config.batch, child(seed, "batches"))
        self.noise_seed = child(seed, "noise")
        self.clock = 0
        self._traced = tf.function(self._update)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update of the generator, after critic_steps of the critic; returns losses, those of the critic as means."""
        x, c = zip(*(self.stream.next() for _ in range(self.config.critic_steps)), strict=True)
        key = tf.constant([self.noise_seed, self.clock], tf.int64)
        told = self._traced(tf.constant(np.stack(x)), tf.constant(np.stack(c)), key)
        self.clock += 1
        return dict(zip(TAGS, tf.unstack(told), strict=True))

    def _update(self, x: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """n_critic steps of D, then one of G, for bytes x [n_critic, B, H, W, C] and domains c [n_critic, B]."""
        n = self.config.critic_steps
        critic = tf.zeros(3)
        for k in tf.range(n):
            own = tf.random.experimental.stateless_fold_in(key, k)
            critic += self._update_critic(as_input(x[k]), c[k], own) / n
        own = tf.random.experimental.stateless_fold_in(key, n - 1)
        return tf.concat(
            [critic, self._update_generator(as_input(x[n - 1]), c[n - 1], shuffled(c[n - 1], own))], axis=0
        )

    def _update_critic(self, x: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of D; returns the Wasserstein estimate before it, the penalty and -E[log D_cls(c | x)]."""
        config, D = self.config, self.D
        x_fake = self.generated(x, shuffled(c, key))
        alpha = tf.random.stateless_uniform((config.batch,), tf.random.experimental.stateless_fold_in(key, 1))
        with tf.GradientTape() as tape:
            (real, by_domain), (fake, _) = D(x, training=True), D(x_fake, training=True)
            distance = wasserstein_critic(_flat(real), _flat(fake))
            penalty = critic_gradient_penalty(lambda x: D(x, training=True)[0], x, x_fake, alpha)
            domain = class_nll(by_domain, c)
            loss = distance + config.gp * penalty + config.cls_weight * domain
        self.D_optimizer.apply(tape.gradient(loss, D.trainable_variables), D.trainable_variables)
        return tf.stack([-distance, penalty, domain])

    def _update_generator(self, x: tf.Tensor, c: tf.Tensor, asked: tf.Tensor) -> tf.Tensor:
        """One step of G; returns its loss, -E[log D_cls(c' | G(x, c'))] and the distance of the way back."""
        config, variables = self.config, self.G.trainable_variables
        with tf.GradientTape() as tape:
            x_fake = self.generated(x, asked)
            fake, by_domain = self.D(x_fake, training=True)
            domain, cycle = class_nll(by_domain, asked), l1(self.generated(x_fake, c), x)
            loss = wasserstein_generator(_flat(fake)) + config.cls_weight * domain + config.rec_weight * cycle
        self.G_optimizer.apply(tape.gradient(loss, variables), variables)
        return tf.stack([loss, domain, cycle])

    def generated(self, x: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """Return G(x, c) [B, H, W, C] of pictures x and domains c [B]: a map of ones or zeros for each domain."""
        maps = tf.one_hot(c, len(self.classes))[:, None, None, :] * tf.ones_like(x[..., :1])
        return self.G(tf.concat([x, maps], axis=3), training=True)

    # --- translations ---------------------------------------------------------------------------------------------------

    @property
    def domains(self) -> Sequence[str]:
        return self.names

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self.shape

    def translate(self, images: np.ndarray, target: str, seed: int = 0) -> np.ndarray:
        """Return pictures [N, H, W, C] uint8 as those of the domain `target`, [N, H, W, C] uint8; chance has no part."""
        c = tf.constant(self.names.index(target))
        parts = [self._translated(tf.constant(images[i : i + AT_ONCE]), c) for i in range(0, len(images), AT_ONCE)]
        return np.concatenate(parts)

    @tf.function(reduce_retracing=True)
    def _translated(self, images: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        return as_bytes(self.generated(as_input(images), tf.fill([tf.shape(images)[0]], c)))

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What the verb `sample` can draw: (n, seed) -> [n, H, W', C] uint8."""
        return {"translations": self.sheet}

    def sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out pictures, each beside itself in every domain, in order, as `beside` shows them."""
        images = self.held_out.rows_at(np.arange(min(n, len(self.held_out))))
        return beside(images, *(self.translate(images, name) for name in self.names))

    @cached_property
    def measures(self) -> Measures:
        """The measures; their domain classifier learns when they are first asked for."""
        return Measures(self.train, self.held_out, self.classes, self.names, self.config.eval_pictures)

    def evaluate(self) -> Mapping[str, Any]:
        """Return what `Measures` says, and held-out pictures in all domains."""
        return self.measures(self.translate) | {"samples/translations": self.sheet(SHOWN)}

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        labels = tf.constant(self.classes)
        specs = [tf.TensorSpec((None, *self.shape), tf.uint8, "image"), tf.TensorSpec((None,), tf.int64, "label")]

        @tf.function(input_signature=specs)
        def translate(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures as bytes [N, H, W, C] as those of other domains, bytes [N, H, W, C]; labels [N] as the data have them."""
            return {"translated": as_bytes(self.generated(as_input(image), tf.searchsorted(labels, label)))}

        return {"translate": translate}

    learns_with = ("D",)

    def state(self) -> dict[str, Any]:
        return {
            name: getattr(self, name)
            for name in ("G", "D", "G_optimizer", "D_optimizer", "stream", "noise_seed", "clock")
        }

    def close(self) -> None:
        self.stream.close()


def _flat(outputs: tf.Tensor) -> tf.Tensor:
    """Return the outputs of all patches, [B, h, w] -> [B h w]."""
    return tf.reshape(outputs, [-1])


def shuffled(c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """Return domains [B] in another order: the domains asked for are as frequent as those there are."""
    return tf.gather(c, tf.argsort(tf.random.stateless_uniform(tf.shape(c), key)))


def _names(data: Pictures, classes: np.ndarray, folder: Path) -> list[str]:
    """Return what the labels are called, by their numbers where they have no names; the run's record knows them again."""
    record = Record(folder)
    kept = record.part("domains")
    if kept is not None:
        return list(kept["names"])
    names = [data.words[label] if data.words else str(label) for label in classes.tolist()]
    record.keep("domains", {"names": names})
    return names
