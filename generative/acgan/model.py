"""AC-GAN (Odena, Olah and Shlens, 2017), and the projection discriminator (Miyato and Koyama, 2018).

One update, in the notation of the papers, (x, c) ~ data, z ~ N(0, 1), x_fake = G(z, c):

    classifier   L_S = E log P(S = real | x) + E log P(S = fake | x_fake),  L_C = E log P(C = c | x) + E log P(C = c | x_fake)
                 theta_D <- Adam(theta_D, grad -(L_S + L_C))
                 theta_G <- Adam(theta_G, grad -(L_C - L_S))                  D already updated, the same z and c
    projection   f(x, c) = v_c' phi(x) + psi(phi(x))
                 theta_D <- Adam(theta_D, grad E max(0, 1 - f(x, c)) + E max(0, 1 + f(x_fake, c)))
                 theta_G <- Adam(theta_G, grad -E f(x_fake, c))

In both D has two linear heads on its features phi(x): one output, and one number for each class.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.errors import UsageError, nearest, require
from core.layers.ema import follow
from core.layers.spectral import SpectralNormalization, power_iterate
from core.losses.adversarial import (
    hinge_discriminator,
    hinge_generator,
    nonsaturating_generator,
    saturating_generator,
    standard_discriminator,
)
from core.losses.conditional import class_nll
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, DrawsText, Exports, Generator
from core.seeds import child
from generative.acgan.config import ACGANConfig
from generative.adversarial.evaluation import Evaluation
from generative.adversarial.networks import make_features, make_generator
from generative.data.labels import Labelled, classes_of
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Pictures, Stream, open_data

__all__ = ["ACGAN"]

TAGS = ("loss/discriminator", "loss/generator", "critic/real", "critic/fake")
CLASS_TAGS = ("loss/class_real", "loss/class_fake")
GRID_SEED, ASKED_SEED = 1, 3  # fixed noise, so that pictures and numbers compare over time
ASKED = 2_000  # pictures whose class is read
COLUMNS = 16  # pictures of a class in its row, at most
AT_ONCE = 250  # pictures in one forward pass


@final
class ACGAN(Generator, Draws, DrawsText, Exports):
    """The model. A class is a number 0 ... K - 1 inside, outside the label that the data have."""

    def __init__(self, config: ACGANConfig, context: Context):
        self.config = config
        check_batch(config.batch, context.strategy)
        data = open_data(config.data, context.say, context.folder)
        self.classes = classes_of(data, context.folder) if isinstance(data, Pictures) else np.array([], np.int64)  # [K]
        if not isinstance(data, Pictures) or len(self.classes) < 2:
            has = "one label" if len(self.classes) else "no labels"
            raise UsageError(f"{data.name} has {has}; acgan learns pictures of two classes or more, e.g. mnist5k")
        self.data = data
        self.projection = config.condition == "projection"
        K, seed = len(self.classes), context.seed
        told = replace(config, latent=config.latent + K)  # G's input is z and the class, one number for each
        self.G = make_generator(data, told, seed)
        self.average = make_generator(data, told, seed) if config.ema else self.G
        self.D = _discriminator(data, config, K, seed)
        optimizer = config.optimizer
        self.G_optimizer = make_optimizer(optimizer, self.G.trainable_variables)
        optimizer = replace(optimizer, lr=optimizer.lr * config.d_lr_ratio)
        self.D_optimizer = make_optimizer(optimizer, self.D.trainable_variables)
        self.noise_seed = child(seed, "noise")
        self.stream = Stream(Labelled(data, self.classes), config.batch, child(seed, "batches"))
        self.clock = 0
        self.tags = TAGS if self.projection else TAGS + CLASS_TAGS
        self._turn = tf.function(self._run_turn, jit_compile=config.jit and context.strategy is None)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns their mean losses."""
        _ = self.evaluation  # so that what cannot be measured is refused now, not at the first evaluation
        x, c = zip(*(self.stream.next() for _ in range(self.config.turn)), strict=True)
        key = tf.constant([self.noise_seed, self.clock], tf.int64)
        values = self._turn(tf.constant(np.stack(x)), tf.constant(np.stack(c)), key)
        self.clock += self.config.turn
        return dict(zip(self.tags, values, strict=True))

    def _run_turn(self, x: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        total = tf.zeros(len(self.tags))
        for i in tf.range(self.config.turn, dtype=tf.int64):
            total += on_replicas(self._update, as_input(x[i]), c[i], tf.add(key, [0, i]))
            if self.config.ema:
                follow(self.average, self.G, self.config.ema, key[1] + i)
        return tf.unstack(total / self.config.turn)

    def _update(self, x_real: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of D, then one of G, for x_real [B, H, W, C] of classes c [B] and key (seed, clock) of the noise.

        The generated pictures have the classes of the real ones, drawn like them from the data. G does not move in between, so
        one forward pass of it serves both.
        """
        config = self.config
        x_real, c = share(x_real), share(c)
        z = share(tf.random.stateless_normal((config.batch, config.latent), key))
        with tf.GradientTape() as G_tape:
            x_fake = self.G(self._told(z, c), training=True)
            with G_tape.stop_recording():
                power_iterate(self.D)
                with tf.GradientTape() as D_tape:  # critical: real and fake apart, each with its own batch statistics
                    (real, class_real), (fake, class_fake) = self._judged(x_real, c), self._judged(x_fake, c)
                    source = (hinge_discriminator if self.projection else standard_discriminator)(real, fake)
                    D_loss = source + config.class_weight * (class_real + class_fake)
                    D_part = share_of_mean(D_loss)
                gradient = D_tape.gradient(D_part, self.D.trainable_variables)
                self.D_optimizer.apply(gradient, self.D.trainable_variables)
            fooled, class_asked = self._judged(x_fake, c)
            G_loss = self._source_loss_of_generator(fooled) + config.class_weight * class_asked
            G_part = share_of_mean(G_loss)
        self.G_optimizer.apply(G_tape.gradient(G_part, self.G.trainable_variables), self.G.trainable_variables)
        scalars = [D_loss, G_loss, tf.reduce_mean(real), tf.reduce_mean(fake), class_real, class_fake]
        return tf.stack(scalars[: len(self.tags)])

    def _judged(self, x: tf.Tensor, c: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return D's output [B] for pictures of classes c [B], and -E[log P(C = c | x)] [], 0 with projection."""
        output, by_class = self.D(x, training=True)  # [B], [B, K]
        if self.projection:
            return output + tf.reduce_sum(by_class * tf.one_hot(c, len(self.classes)), axis=1), tf.constant(0.0)
        return output, class_nll(by_class, c)

    def _source_loss_of_generator(self, fake: tf.Tensor) -> tf.Tensor:
        if self.projection:
            return hinge_generator(fake)
        return saturating_generator(fake) if self.config.saturating else nonsaturating_generator(fake)

    def _told(self, z: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """Return what G takes [B, latent + K]: z [B, latent] and 1 at the class c [B], 0 elsewhere."""
        return tf.concat([z, tf.one_hot(c, len(self.classes))], axis=1)

    # --- samples --------------------------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _generate(self, z: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        return self.average(self._told(z, c), training=False)

    def _drawn(self, z: Any, c: np.ndarray) -> np.ndarray:
        parts = (slice(i, i + AT_ONCE) for i in range(0, len(c), AT_ONCE))
        return as_pictures(np.concatenate([self._generate(z[part], tf.constant(c[part], tf.int64)) for part in parts]))

    def draw(self, c: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return a picture of each class c [n] of 0 ... K - 1, [n, H, W, C] uint8."""
        return self._drawn(self._noise(len(c), seed), c)

    def _noise(self, n: int, seed: int) -> tf.Tensor:
        return tf.random.stateless_normal((n, self.config.latent), [seed, -1])  # a position that no training reaches

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8, of the classes in turn."""
        return self.draw(np.arange(n) % len(self.classes), seed)

    def sample_text(self, text: str, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8 of the class whose label is `text`. UsageError for one that there is not."""
        return self.sample_texts([text] * n, seed)

    def sample_texts(self, texts: Sequence[str], seed: int = 0) -> np.ndarray:
        """Return a picture [H, W, C] uint8 of each class. UsageError as above."""
        known = {name: c for c, name in enumerate(self.captions)}
        for text in dict.fromkeys(texts):
            require(text.strip() in known, f"there is no class {text!r}; {nearest(text, known)}")
        return self.draw(np.array([known[text.strip()] for text in texts]), seed)

    @property
    def captions(self) -> Sequence[str]:
        """The labels of the classes, which `sample` draws in turn."""
        return [str(label) for label in self.classes.tolist()]

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Another picture that the verb `sample` can draw: (n, seed) -> [1, H, W, C] uint8."""
        return {"classes": self.rows}

    def rows(self, n: int, seed: int = 0) -> np.ndarray:
        """Return one picture [1, K H, columns W, C]: a row each class, a column each z, of about n pictures in all."""
        K, (height, width, channels) = len(self.classes), self.data.shape
        columns = min(max(1, round(n / K)), COLUMNS)
        z = tf.tile(self._noise(columns, seed), (K, 1))
        images = self._drawn(z, np.repeat(np.arange(K), columns)).reshape(K, columns, height, width, channels)
        return images.swapaxes(1, 2).reshape(1, K * height, columns * width, channels)

    # --- the contract ---------------------------------------------------------------------------------------------------

    @cached_property
    def evaluation(self) -> Evaluation:
        """The measures, with their extractor: opened when training begins, so that drawing and exporting do without."""
        return Evaluation(self.data, self.config.eval_samples, self.config.extractor)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation` over samples with classes as frequent as in the data, and the classes in rows.

        Of data of one digit eval/agreement is the share of pictures, as many of each digit, in which the digit classifier reads
        the one that was asked for; eval/agreement_least that of the digit where it is smallest.
        """
        measured = self.evaluation.of_pictures(_LikeTheData(self))
        measured["samples/classes"] = self.rows(len(self.classes) * 10, GRID_SEED)
        extractor = self.evaluation.extractor
        if extractor is None or not extractor.reads_digits or self.data.digits != 1:
            return measured
        c = np.arange(ASKED) % len(self.classes)
        right = extractor.classify(self.draw(c, ASKED_SEED)) == self.classes[c]  # [ASKED]
        by_class = [right[c == k].mean() for k in range(len(self.classes))]
        return measured | {
            "eval/agreement": float(right.mean()),
            "eval/agreement_least": float(min(by_class)),
            "eval/protocol": f"{measured['eval/protocol']}; agreement of {ASKED:,} samples, as many of each class, with what the "
            "same classifier reads",
        }

    def exportable(self) -> Mapping[str, Any]:
        labels = tf.constant(self.classes)
        specs = [
            tf.TensorSpec((None, self.config.latent), tf.float32, "noise"),
            tf.TensorSpec((None,), tf.int64, "label"),
        ]

        @tf.function(input_signature=specs)
        def generate(noise: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures as bytes [N, H, W, C] of noise z ~ N(0, 1) [N, L] and labels [N] as the data have them."""
            return {"image": as_bytes(self.average(self._told(noise, tf.searchsorted(labels, label)), training=False))}

        return {"generate": generate}

    def state(self) -> dict[str, Any]:
        names = ("G", "D", "G_optimizer", "D_optimizer", "noise_seed", "stream", "clock")
        return {name: getattr(self, name) for name in (*names, *(["average"] if self.config.ema else []))}

    def close(self) -> None:
        self.stream.close()


class _LikeTheData:
    """Draws pictures whose classes are as frequent as in the data."""

    def __init__(self, model: ACGAN):
        self.model = model

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8."""
        labels = self.model.data.labels
        assert labels is not None
        drawn = np.random.default_rng(child(seed, "classes")).choice(labels, n)
        return self.model.draw(np.searchsorted(self.model.classes, drawn), seed)


def _discriminator(data: Pictures, config: ACGANConfig, classes: int, seed: int) -> keras.Model:
    """Return D, pictures [B, H, W, C] -> (output [B], one number for each class [B, K]), raw and float32.

    With condition projection the rows of the second head's kernel are the vectors v_c, and every kernel is under spectral norm.
    """
    spectral = config.condition == "projection"
    features = make_features(data, config, seed, batch_norm=not spectral, spectral="divide" if spectral else "none")

    def head(name: str, units: int, use_bias: bool) -> Any:
        start = keras.initializers.RandomNormal(0.0, 0.02, seed=child(seed, "head", name))
        layer = keras.layers.Dense(units, use_bias=use_bias, kernel_initializer=start, dtype="float32")
        return SpectralNormalization(layer, seed=child(seed, "power iteration", name)) if spectral else layer

    output = keras.layers.Reshape((), dtype="float32")(head("source", 1, True)(features.output))
    by_class = head("classes", classes, not spectral)(features.output)
    return keras.Model(features.input, [output, by_class], name="discriminator")
