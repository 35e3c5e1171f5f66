"""BiGAN (Donahue, Krähenbühl and Darrell, 2017): adversarially learned inference (Dumoulin et al., 2017), E deterministic.

One update, in the notation of the first paper, x ~ data, z ~ N(0, 1):

    theta_D <- Adam(theta_D, grad -[log D(x, E(x)) + log(1 - D(G(z), z))])
    theta_G, theta_E <- Adam(grad -[log D(G(z), z) + log(1 - D(x, E(x)))])          D already updated, the same x and z

The score of an anomaly is that of Zenati et al. (2018): with x' = G(E(x)) and D's features f,
A(x) = (1 - w) |x - x'|_1 + w |f(x, E(x)) - f(x', E(x))|_1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.errors import UsageError
from core.layers.ema import follow
from core.layers.leaky_relu import LeakyReLU
from core.losses.adversarial import nonsaturating_generator, standard_discriminator
from core.metrics.anomalies import anomaly_sheet
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, Exports, FindsAnomalies, Generator
from core.seeds import child
from generative.adversarial.evaluation import Evaluation, Sampler
from generative.adversarial.networks import make_features, make_generator
from generative.bigan.config import BiGANConfig
from generative.data.left_out import leave_out
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Pictures, Stream, open_data

__all__ = ["BiGAN"]

TAGS = ("loss/discriminator", "loss/generator", "critic/real", "critic/fake")
SHOWN = 36  # pictures and their reconstructions
IN_SHEET = 16  # pictures with their maps
AT_ONCE = 250  # pictures in one forward pass


@final
class BiGAN(Generator, Draws, FindsAnomalies, Exports):
    """The model. Pictures are bytes outside, floats in [-1, 1] for the networks."""

    def __init__(self, config: BiGANConfig, context: Context):
        self.config = config
        check_batch(config.batch, context.strategy)
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            raise UsageError(
                f"data.source is {config.data.source!r}; bigan needs a fixed set of pictures, e.g. mnist5k"
            )
        self.parts = leave_out(data, config.anomaly, config.held_out)
        self.shape = data.shape
        seed = context.seed
        self.G, self.E = make_generator(data, config, seed), _encoder(data, config, seed)
        self.G_average = make_generator(data, config, seed) if config.ema else self.G
        self.E_average = _encoder(data, config, seed) if config.ema else self.E
        self.D = _discriminator(data, config, seed)
        self.variables = [*self.G.trainable_variables, *self.E.trainable_variables]
        optimizer = config.optimizer
        self.optimizer = make_optimizer(optimizer, self.variables)
        optimizer = replace(optimizer, lr=optimizer.lr * config.d_lr_ratio)
        self.D_optimizer = make_optimizer(optimizer, self.D.trainable_variables)
        self.noise_seed = child(seed, "noise")
        self.stream = Stream(self.parts.train, config.batch, child(seed, "batches"))
        self.sampler = Sampler(data, self.G_average, self.D, config.latent)
        self.clock = 0
        self._turn = tf.function(self._run_turn, jit_compile=config.jit and context.strategy is None)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns their mean losses."""
        _ = self.evaluation  # so that what cannot be measured is refused now, not at the first evaluation
        x = tf.constant(self.stream.take(self.config.turn))  # [T, B, H, W, C]
        values = self._turn(x, tf.constant([self.noise_seed, self.clock], tf.int64))
        self.clock += self.config.turn
        return dict(zip(TAGS, values, strict=True))

    def _run_turn(self, x: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        total = tf.zeros(len(TAGS))
        for i in tf.range(self.config.turn, dtype=tf.int64):
            total += on_replicas(self._update, as_input(x[i]), tf.add(key, [0, i]))
            if self.config.ema:
                follow(self.G_average, self.G, self.config.ema, key[1] + i)
                follow(self.E_average, self.E, self.config.ema, key[1] + i)
        return tf.unstack(total / self.config.turn)

    def _update(self, x: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of D, then one of G and E, for x [B, H, W, C] and key (seed, clock) of the noise.

        Neither moves in between, so one forward pass of each serves both.
        """
        x, z = share(x), share(tf.random.stateless_normal((self.config.batch, self.config.latent), key))
        with tf.GradientTape() as tape:
            x_fake, z_real = self.G(z, training=True), self.E(x, training=True)  # [B, H, W, C], [B, L]
            with tape.stop_recording():
                with tf.GradientTape() as D_tape:  # critical: each side with its own batch statistics
                    (real, _), (fake, _) = self.D([x, z_real], training=True), self.D([x_fake, z], training=True)  # [B]
                    D_loss = standard_discriminator(real, fake)
                    D_part = share_of_mean(D_loss)
                gradient = D_tape.gradient(D_part, self.D.trainable_variables)
                self.D_optimizer.apply(gradient, self.D.trainable_variables)
            (taken, _), (fooled, _) = self.D([x, z_real], training=True), self.D([x_fake, z], training=True)
            # log(1 - D) is log D at minus the logit
            loss = nonsaturating_generator(fooled) + nonsaturating_generator(-taken)
            part = share_of_mean(loss)
        self.optimizer.apply(tape.gradient(part, self.variables), self.variables)
        return tf.stack([D_loss, loss, tf.reduce_mean(real), tf.reduce_mean(fake)])

    @tf.function(reduce_retracing=True)
    def _again(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return scores [B] and reconstructions [B, H, W, C] of pictures [B, H, W, C]; norms are means over the entries."""
        z = self.E_average(x, training=False)
        x_again = self.G_average(z, training=False)
        (_, f), (_, f_again) = self.D([x, z], training=False), self.D([x_again, z], training=False)  # [B, F]
        w = self.config.feature_weight
        difference = tf.reduce_mean(tf.abs(x - x_again), axis=[1, 2, 3])
        return (1 - w) * difference + w * tf.reduce_mean(tf.abs(f - f_again), axis=1), x_again

    # --- samples and measures -------------------------------------------------------------------------------------------

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8."""
        return self.sampler.sample(n, seed)

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.shape
        return height, width, channels

    def anomalies(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores [N] and reconstructions G(E(x)) [N, H, W, C] uint8 of pictures [N, H, W, C] uint8."""
        parts = [self._again(as_input(tf.constant(images[i : i + AT_ONCE]))) for i in range(0, len(images), AT_ONCE)]
        scores, again = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in (0, 1))
        return scores, as_pictures(again)

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What else the verb `sample` can draw, by name: (n, seed) -> pictures; nothing of it is drawn by chance."""
        return {"reconstructions": self.reconstructions, "anomalies": self.sheet}

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out pictures, each above its reconstruction G(E(x)), [n, 2 H, W, C] uint8."""
        images = self.parts.normal.reference(n)
        return np.concatenate([images, self.anomalies(images)[1]], axis=1)

    def sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n held-out pictures, half of them of the class that is left out, each above its reconstruction and its map."""
        images = self.parts.shown(n)
        return anomaly_sheet(images, self.anomalies(images)[1])

    @cached_property
    def evaluation(self) -> Evaluation:
        """The measures, with their extractor: opened when training begins, so that drawing and exporting do without."""
        return Evaluation(self.parts.train, self.config.eval_samples, self.config.extractor)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation`, and those of held-out pictures.

        eval/reconstruction: mean |x - G(E(x))| in [0, 2] of normal ones; of data of one digit eval/same_digit, the share in
        whose reconstruction the digit classifier reads the label of the picture, and eval/same_digit_real, in the picture itself.
        Where a class is left out eval/auc, the share of pairs of an anomalous and a normal picture in which the former has the
        higher score (area under the ROC curve).
        """
        images, anomalous = self.parts.measured()
        scores, again = self.anomalies(images)
        difference = np.abs(images.astype(np.float32) - again)[~anomalous].mean() / 127.5
        measured = {
            **self.evaluation.of_pictures(self.sampler),
            "eval/reconstruction": float(difference),
            "samples/reconstructions": self.reconstructions(SHOWN),
            "samples/anomalies": self.sheet(IN_SHEET),
        }
        extractor, labels = self.evaluation.extractor, self.parts.normal.labels
        if extractor is not None and extractor.reads_digits and self.parts.normal.digits == 1 and labels is not None:
            for name, pictures in (("same_digit", again), ("same_digit_real", images)):
                measured[f"eval/{name}"] = float(np.mean(extractor.classify(pictures[: len(labels)]) == labels))
        if anomalous.any():
            from sklearn.metrics import roc_auc_score

            measured["eval/auc"] = float(roc_auc_score(anomalous, scores))
        return measured | {"eval/protocol": f"{measured['eval/protocol']}; {self.parts.protocol}"}

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, *self.shape), tf.uint8, "image")])
        def score(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """The score [N] of pictures as bytes [N, H, W, C], higher for anomalies, their codes [N, L] and reconstructions."""
            x = as_input(image)
            scores, again = self._again(x)
            return {"score": scores, "code": self.E_average(x, training=False), "reconstruction": as_bytes(again)}

        return {**self.sampler.exportable(), "score": score}

    def state(self) -> dict[str, Any]:
        names = ["G", "E", "D", "optimizer", "D_optimizer", "noise_seed", "clock", "stream"]
        names += ["G_average", "E_average"] if self.config.ema else []
        return {name: getattr(self, name) for name in names}

    def close(self) -> None:
        self.stream.close()


def _encoder(data: Pictures, config: BiGANConfig, seed: int) -> keras.Model:
    """Return E, pictures [B, H, W, C] -> codes [B, L] float32: the discriminator's network with a linear layer of its own."""
    seed = child(seed, "encoder")
    features = make_features(data, config, seed, batch_norm=True)
    return keras.Model(features.input, _dense(config.latent, seed, "code")(features.output), name="encoder")


def _discriminator(data: Pictures, config: BiGANConfig, seed: int) -> keras.Model:
    """Return D, (pictures [B, H, W, C], codes [B, L]) -> (raw output [B], features f [B, hidden]), float32."""
    features = make_features(data, config, seed, batch_norm=True)
    z = keras.Input((config.latent,))
    h = keras.layers.Concatenate()([features.output, _dense(config.hidden, seed, "of the code")(z)])
    for i in range(config.layers):
        h = LeakyReLU(0.2)(_dense(config.hidden, seed, f"hidden {i}")(h))
    f = keras.layers.Activation("linear", dtype="float32")(h)
    output = keras.layers.Reshape((), dtype="float32")(_dense(1, seed, "output")(h))
    return keras.Model([features.input, z], [output, f], name="discriminator")


def _dense(units: int, seed: int, name: str) -> keras.layers.Layer:
    start = keras.initializers.HeNormal(seed=child(seed, "dense", name))
    kwargs = {"dtype": "float32"} if name in ("code", "output") else {}
    return keras.layers.Dense(units, kernel_initializer=start, **kwargs)
