"""pix2pix (Isola, Zhu, Zhou and Efros, 2017): image-to-image translation with conditional adversarial networks.

One update, in the notation of the paper, for pairs (x, y) and noise z, which is dropout in G:

    theta_D <- Adam(theta_D, grad -[log D(x, y) + log(1 - D(x, G(x, z)))] / 2)        D: one number a patch, the mean over all
    theta_G <- Adam(theta_G, grad -log D(x, G(x, z)) + 100 |y - G(x, z)|_1)           D already updated, the same z
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.layers.leaky_relu import LeakyReLU
from core.layers.translation import KeyedDropout
from core.layers.upsampling import CroppedConv2DTranspose
from core.losses.adversarial import nonsaturating_generator, standard_discriminator
from core.losses.translation import l1
from core.metrics.image_quality import psnr
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Exports, Generator, Translates
from core.seeds import child
from generative.adversarial.evaluation import Evaluation
from generative.adversarial.translation import Drawn, Norm, Shown, make_norm, make_patch_discriminator
from generative.data.pairs import open_pairs
from generative.data.pictures import beside
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Stream
from generative.pix2pix.config import Pix2PixConfig

__all__ = ["Pix2Pix", "make_unet"]

DEEPEST = 8  # times `width` filters at most
DROPPED = 3  # innermost levels of the way up that have dropout
AT_ONCE = 64  # pictures in one forward pass
SHOWN = 32  # held-out squares in a sheet


@final
class Pix2Pix(Generator, Translates, Exports):
    """The model. Pictures are bytes outside, floats in [-1, 1] for the networks."""

    def __init__(self, config: Pix2PixConfig, context: Context):
        self.config = config
        self.train, self.held_out = open_pairs(config.data, context.say, context.folder)
        side, (a, b), seed = config.data.size, self.train.channels, context.seed
        self.G = make_unet(side, a, b, config.width, config.norm, config.dropout, child(seed, "generator"))
        self.G_optimizer = make_optimizer(config.optimizer, self.G.trainable_variables)
        if config.gan_weight:
            self.D = make_patch_discriminator(
                (side, side, a + b), config.width, config.d_layers, config.norm, child(seed, "discriminator")
            )
            self.D_optimizer = make_optimizer(config.optimizer, self.D.trainable_variables)
        self.noise_seed = child(seed, "noise")
        self.stream = Stream(self.train, config.batch, child(seed, "batches"))
        self.clock = 0
        self.learns_with = ("D",) if config.gan_weight else ()
        self._traced = tf.function(self._update)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update; returns its losses."""
        _ = self.evaluation  # so that what cannot be measured is refused now, not at the first evaluation
        pair = tf.constant(self.stream.next())  # [B, H, W, Ca + Cb]
        values = self._traced(pair, tf.constant([self.noise_seed, self.clock], tf.int64))
        self.clock += 1
        return values

    def _update(self, pair: tf.Tensor, key: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of D, then one of G, for pairs [B, H, W, Ca + Cb] and key (seed, clock) of the noise.

        G does not move in between, so one forward pass of it serves both.
        """
        x, y = self.train.split(as_input(pair))
        told: dict[str, tf.Tensor] = {}
        with tf.GradientTape() as tape:
            fake = self.G([x, key], training=True)  # [B, H, W, Cb]
            distance = l1(y, fake)
            loss = self.config.l1_weight * distance
            if self.config.gan_weight:
                with tape.stop_recording():
                    told = self._update_D(x, y, fake)
                fooled = self._judge(x, fake)
                adversarial = nonsaturating_generator(fooled)
                loss += self.config.gan_weight * adversarial
                told["loss/adversarial"] = adversarial
        self.G_optimizer.apply(tape.gradient(loss, self.G.trainable_variables), self.G.trainable_variables)
        return {**told, "loss/l1": distance, "loss/generator": loss}

    def _update_D(self, x: tf.Tensor, y: tf.Tensor, fake: tf.Tensor) -> dict[str, tf.Tensor]:
        with tf.GradientTape() as tape:  # critical: real and fake apart, each with its own batch statistics
            real, taken = self._judge(x, y), self._judge(x, fake)
            loss = 0.5 * standard_discriminator(real, taken)
        self.D_optimizer.apply(tape.gradient(loss, self.D.trainable_variables), self.D.trainable_variables)
        return {
            "loss/discriminator": loss,
            "critic/real": tf.reduce_mean(real),
            "critic/fake": tf.reduce_mean(taken),
        }

    def _judge(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        """Return D's raw outputs of all patches of pairs, [B h w]."""
        return tf.reshape(self.D(tf.concat([x, y], axis=3), training=True), [-1])

    # --- translations ---------------------------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, ...]:
        """The pictures b of the pairs, or a where they are reversed."""
        return (self.train.domains[1],)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        side = self.config.data.size
        return side, side, self.train.channels[0]

    def translate(self, images: np.ndarray, target: str, seed: int = 0) -> np.ndarray:
        """Return G(x, z) [N, H, W, Cb] uint8 of pictures [N, H, W, Ca] uint8; the seed determines z, the same for all."""
        key = tf.constant([seed, -1], tf.int64)  # a position that no training reaches
        parts = [self._generate(tf.constant(images[i : i + AT_ONCE]), key) for i in range(0, len(images), AT_ONCE)]
        return as_pictures(np.concatenate([np.asarray(part) for part in parts]))

    @tf.function(reduce_retracing=True)
    def _generate(self, images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        return self.G([as_input(images), key], training=False)

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What the verb `sample` can draw, by name: (n, seed) -> pictures."""
        return {"translations": self.sheet}

    def sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n held-out squares: input, translation, truth side by side, see `beside`."""
        x, y = self.held_out.split(self.held_out.reference(n))
        return beside(x, self.translate(x, self.domains[0], seed), y)

    # --- measures -------------------------------------------------------------------------------------------------------

    @cached_property
    def measured(self) -> tuple[np.ndarray, np.ndarray]:
        """The held-out squares that are measured, [N, H, W, Ca] and [N, H, W, Cb]."""
        return self.held_out.split(self.held_out.reference(self.config.eval_pictures))

    @cached_property
    def evaluation(self) -> Evaluation:
        """The measures, with their extractor: opened when training begins, so that translating and exporting do without."""
        _, y = self.measured
        return Evaluation(Shown(y, f"held-out {self.held_out.protocol}"), len(y), self.config.extractor)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation` of the translations of held-out squares against the true ones, and eval/psnr.

        PSNR is that of the mean squared error over all squares and colours, in dB, of bytes.
        """
        x, y = self.measured
        fake = self.translate(x, self.domains[0])
        measured = self.evaluation.of_pictures(Drawn(fake))
        del measured["samples/fixed"]
        protocol = f"translations of the same squares; {measured['eval/protocol']}; PSNR over all of them"
        more = {
            "eval/psnr": psnr(fake, y),
            "samples/translations": self.sheet(min(SHOWN, len(y))),
            "eval/protocol": protocol,
        }
        return measured | more

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, *self.picture_shape), tf.uint8, "image")])
        def translate(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """What pictures as bytes [N, H, W, C] become, as bytes [N, H, W, C'], with the noise of seed 0."""
            return {"translated": as_bytes(self.G([as_input(image), tf.constant([0, -1], tf.int64)], training=False))}

        return {"translate": translate}

    def state(self) -> dict[str, Any]:
        names = ["G", "G_optimizer", "noise_seed", "clock", "stream"]
        names += ["D", "D_optimizer"] if self.config.gan_weight else []
        return {name: getattr(self, name) for name in names}

    def close(self) -> None:
        self.stream.close()


def make_unet(side: int, channels: int, outputs: int, width: int, norm: Norm, dropout: float, seed: int) -> keras.Model:
    """Return G: (pictures [B, side, side, channels], key [2] int64 of the noise) -> [B, side, side, outputs] in [-1, 1], float32.

    4x4 convolutions of stride 2 down to one pixel, LeakyReLU; the same way up, ReLU, each level beside the one of its size on the
    way down. No norm in the first, the innermost and the last layer (Isola et al., 2017, section 6.1.1 and its errata).
    """

    def start(level: str) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(0.0, 0.02, seed=child(seed, "kernel", level))

    x = h = keras.Input((side, side, channels))
    key = keras.Input(batch_shape=(2,), dtype="int64")
    way: list[Any] = []
    while h.shape[1] > 1:
        level, normed = len(way), bool(way) and h.shape[1] > 2
        conv = keras.layers.Conv2D(
            width * min(2**level, DEEPEST),
            4,
            strides=2,
            padding="same",
            use_bias=not normed,
            kernel_initializer=start(f"down {level}"),
        )
        h = conv(h)
        h = LeakyReLU(0.2)(make_norm(norm)(h) if normed else h)
        way.append(h)  # the ReLU on the way up takes away what this one left of the negative
    for level in reversed(range(len(way))):
        size = way[level - 1].shape[1:3] if level else (side, side)
        filters = width * min(2 ** (level - 1), DEEPEST) if level else outputs
        up = CroppedConv2DTranspose(filters, 4, size, use_bias=not level, kernel_initializer=start(f"up {level}"))
        h = up(keras.layers.ReLU()(h))
        if level:
            h = make_norm(norm)(h)
            number = len(way) - 1 - level
            h = KeyedDropout(dropout, number)([h, key]) if dropout and number < DROPPED else h
            h = keras.layers.Concatenate()([h, way[level - 1]])
    return keras.Model([x, key], keras.layers.Activation("tanh", dtype="float32")(h), name="generator")
