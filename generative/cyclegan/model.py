"""CycleGAN (Zhu, Park, Isola and Efros, 2017): unpaired image-to-image translation with cycle-consistent adversarial networks.

G: A -> B and F: B -> A translate, D_B and D_A judge. One update, in the notation of the paper, x of A, y of B:

    theta_G, theta_F <- Adam(grad (D_B(G(x)) - 1)^2 + (D_A(F(y)) - 1)^2
                             + 10 (|F(G(x)) - x|_1 + |G(F(y)) - y|_1) + 5 (|G(y) - y|_1 + |F(x) - x|_1))
    theta_D <- Adam(grad [(D_B(y) - 1)^2 + D_B(G(x'))^2 + (D_A(x) - 1)^2 + D_A(F(y'))^2] / 2)

D's outputs are means over patches; G(x') and F(y') come from a pool of the 50 last translations and the newest ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.layers.translation import InstanceNorm, ReflectConv2D
from core.layers.upsampling import CroppedConv2DTranspose
from core.losses.adversarial import least_squares_discriminator, least_squares_generator
from core.losses.translation import cycle_consistency
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Exports, Generator, Translates
from core.seeds import child
from generative.adversarial.translation import make_patch_discriminator
from generative.cyclegan.config import CycleGANConfig
from generative.cyclegan.measures import Measures
from generative.cyclegan.pool import Pool
from generative.data.pictures import beside
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Stream
from generative.data.two import open_two

__all__ = ["CycleGAN", "make_resnet"]

AT_ONCE = 100  # pictures in one forward pass
SHOWN = 32  # held-out pictures in a sheet


@final
class CycleGAN(Generator, Translates, Exports):
    """The model. Pictures are bytes outside, floats in [-1, 1] for the networks."""

    def __init__(self, config: CycleGANConfig, context: Context):
        self.config = config
        self.data = open_two(config.data, context.say, context.folder)
        self.shape, seed = self.data.shape, context.seed
        self.G, self.F = (make_resnet(self.shape, config, child(seed, "generator", i)) for i in "GF")
        self.D_A, self.D_B = (
            make_patch_discriminator(
                self.shape, config.width, config.d_layers, "instance", child(seed, "discriminator", i)
            )
            for i in "AB"
        )
        self.variables = [*self.G.trainable_variables, *self.F.trainable_variables]
        self.D_variables = [*self.D_A.trainable_variables, *self.D_B.trainable_variables]
        self.optimizer = make_optimizer(config.optimizer, self.variables)
        self.D_optimizer = make_optimizer(config.optimizer, self.D_variables)
        self.pool_A, self.pool_B = (Pool(config.pool, self.shape) for _ in "AB")
        self.pool_seed = child(seed, "pool")
        self.stream_A, self.stream_B = (
            Stream(domain.train, config.batch, child(seed, "batches", i))
            for domain, i in zip(self.data, "AB", strict=True)
        )
        self.measures = Measures(self.data, config.eval_pictures, config.extractor)
        self.clock = 0
        self._traced, self._traced_D = tf.function(self._update), tf.function(self._update_D)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update of all four networks; returns its losses."""
        self.measures.open()  # so that what cannot be measured is refused now, not at the first evaluation
        x, y = tf.constant(self.stream_A.next()), tf.constant(self.stream_B.next())  # [B, H, W, C]
        told, fake_A, fake_B = self._traced(x, y)
        rng = np.random.default_rng(child(self.pool_seed, "update", self.clock))
        shown_A, shown_B = self.pool_A.exchange(fake_A.numpy(), rng), self.pool_B.exchange(fake_B.numpy(), rng)
        told |= self._traced_D(x, y, tf.constant(shown_A), tf.constant(shown_B))
        self.clock += 1
        return told

    def _update(self, x: tf.Tensor, y: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        """One step of G and F for bytes x, y [B, H, W, C]; returns losses, F(y) and G(x)."""
        x, y = as_input(x), as_input(y)
        with tf.GradientTape() as tape:
            fake_B, same_B = tf.split(self.G(tf.concat([x, y], axis=0), training=True), 2)  # G(x), G(y)
            fake_A, same_A = tf.split(self.F(tf.concat([y, x], axis=0), training=True), 2)  # F(y), F(x)
            x_again, y_again = self.F(fake_B, training=True), self.G(fake_A, training=True)
            adversarial = 2.0 * (
                least_squares_generator(_flat(self.D_B(fake_B, training=True)))
                + least_squares_generator(_flat(self.D_A(fake_A, training=True)))
            )
            cycle, identity = cycle_consistency(x, x_again, y, y_again), cycle_consistency(x, same_A, y, same_B)
            loss = adversarial + self.config.cycle_weight * cycle + self.config.identity_weight * identity
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        told = {"loss/adversarial": adversarial, "loss/cycle": cycle, "loss/identity": identity, "loss/generator": loss}
        return told, fake_A, fake_B

    def _update_D(self, x: tf.Tensor, y: tf.Tensor, fake_A: tf.Tensor, fake_B: tf.Tensor) -> dict[str, tf.Tensor]:
        """One step of D_A and D_B for bytes x, y and translations of the pools."""
        x, y = as_input(x), as_input(y)
        with tf.GradientTape() as tape:
            real_A, real_B = _flat(self.D_A(x, training=True)), _flat(self.D_B(y, training=True))
            taken_A, taken_B = _flat(self.D_A(fake_A, training=True)), _flat(self.D_B(fake_B, training=True))
            loss = least_squares_discriminator(real_A, taken_A) + least_squares_discriminator(real_B, taken_B)
        self.D_optimizer.apply(tape.gradient(loss, self.D_variables), self.D_variables)
        real, fake = tf.reduce_mean([real_A, real_B]), tf.reduce_mean([taken_A, taken_B])
        return {"loss/discriminator": loss, "critic/real": real, "critic/fake": fake}

    # --- translations ---------------------------------------------------------------------------------------------------

    @property
    def domains(self) -> tuple[str, str]:
        return self.data.a.name, self.data.b.name

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        return self.shape

    def translate(self, images: np.ndarray, target: str, seed: int = 0) -> np.ndarray:
        """Return G(x) for B, F(y) for A, [N, H, W, C] uint8 of pictures [N, H, W, C] uint8; chance has no part."""
        generate = self._to_B if target == self.data.b.name else self._to_A
        parts = [generate(tf.constant(images[i : i + AT_ONCE])) for i in range(0, len(images), AT_ONCE)]
        return as_pictures(np.concatenate([np.asarray(part) for part in parts]))

    @tf.function(reduce_retracing=True)
    def _to_B(self, x: tf.Tensor) -> tf.Tensor:
        return self.G(as_input(x), training=False)

    @tf.function(reduce_retracing=True)
    def _to_A(self, y: tf.Tensor) -> tf.Tensor:
        return self.F(as_input(y), training=False)

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What the verb `sample` can draw, by name; nothing of it is drawn by chance."""
        drawn: dict[str, Callable[[int, int], np.ndarray]] = {"translations": self.sheet}
        if self.data.classes is not None:
            drawn["confusion"] = lambda n, seed: self.measures.confusions(self.translate)
        return drawn

    def sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return held-out pictures, n of each set: x, G(x), F(G(x)) side by side, then y, F(y), G(F(y)), see `beside`."""
        rows = []
        for source, target in ((self.data.a, self.data.b), (self.data.b, self.data.a)):
            images = source.held_out.reference(n)
            there = self.translate(images, target.name)
            rows.append(beside(images, there, self.translate(there, source.name)))
        return np.concatenate(rows)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Measures`, and held-out pictures with their translations."""
        return {**self.measures(self.translate), "samples/translations": self.sheet(SHOWN)}

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        signature = [tf.TensorSpec((None, *self.shape), tf.uint8, "image")]

        @tf.function(input_signature=signature)
        def a_to_b(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """G(x): pictures of the first source, bytes [N, H, W, C], as those of the second, bytes [N, H, W, C]."""
            return {"translated": as_bytes(self.G(as_input(image), training=False))}

        @tf.function(input_signature=signature)
        def b_to_a(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """F(y): pictures of the second source, bytes [N, H, W, C], as those of the first, bytes [N, H, W, C]."""
            return {"translated": as_bytes(self.F(as_input(image), training=False))}

        return {"a_to_b": a_to_b, "b_to_a": b_to_a}

    learns_with = ("D_A", "D_B")

    def state(self) -> dict[str, Any]:
        names = ("G", "F", "D_A", "D_B", "optimizer", "D_optimizer", "pool_A", "pool_B", "pool_seed", "clock")
        return {name: getattr(self, name) for name in (*names, "stream_A", "stream_B")}

    def close(self) -> None:
        self.stream_A.close()
        self.stream_B.close()


def _flat(outputs: tf.Tensor) -> tf.Tensor:
    """Return the outputs of all patches, [B, h, w] -> [B h w]."""
    return tf.reshape(outputs, [-1])


def make_resnet(shape: tuple[int, int, int], config: CycleGANConfig, seed: int) -> keras.Model:
    """Return a generator, pictures [B, H, W, C] -> [B, H, W, C] in [-1, 1], float32 (Zhu et al., 2017, section 7.2).

    c7s1-k, d2k, ..., residual blocks of two 3x3 convolutions, ..., u1k, c7s1-C: instance norm, ReLU, mirrored borders.
    """
    count = 0

    def start() -> keras.initializers.Initializer:
        nonlocal count
        count += 1
        return keras.initializers.RandomNormal(0.0, 0.02, seed=child(seed, "kernel", count))

    def normed(h: Any) -> Any:
        return keras.layers.ReLU()(InstanceNorm()(h))

    def conv(filters: int, kernel: int, **kwargs: Any) -> keras.layers.Layer:
        return ReflectConv2D(filters, kernel, kernel_initializer=start(), **kwargs)

    x = h = keras.Input(shape)
    h = normed(conv(config.width, 7, use_bias=False)(h))
    sizes = []
    for level in range(1, config.down + 1):
        sizes.append(h.shape[1:3])
        filters = config.width * 2**level
        down = keras.layers.Conv2D(filters, 3, strides=2, padding="same", use_bias=False, kernel_initializer=start())
        h = normed(down(h))
    for _ in range(config.blocks):
        residual = normed(conv(h.shape[3], 3, use_bias=False)(h))
        h = keras.layers.Add()([h, InstanceNorm()(conv(h.shape[3], 3, use_bias=False)(residual))])
    for size in reversed(sizes):
        h = normed(CroppedConv2DTranspose(h.shape[3] // 2, 3, size, use_bias=False, kernel_initializer=start())(h))
    h = conv(shape[2], 7)(h)
    return keras.Model(x, keras.layers.Activation("tanh", dtype="float32")(h), name="generator")
