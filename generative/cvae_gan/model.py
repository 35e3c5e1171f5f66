"""CVAE-GAN (Bao et al., 2017).

One update, in the notation of the paper's Algorithm 1, (x_r, c) ~ data, f_D and f_C the features of D and C:

    mu, log sigma^2 = E(x_r, c),  z = mu + sigma epsilon,  x_f = G(z, c),  x_p = G(z_p, c),  z_p ~ N(0, 1)
    L_KL = KL(N(mu, sigma^2) || N(0, 1))
    L_G  = (|x_r - x_f|^2 + |f_D(x_r) - f_D(x_f)|^2 + |f_C(x_r) - f_C(x_f)|^2) / 2
    L_GD = |mean f_D(x_r) - mean f_D(x_p)|^2 / 2
    L_GC = sum_k |centre_k f_C(x_r) - centre_k f_C(x_p)|^2 / 2           centres of the classes: moving averages
    L_D  = -[log D(x_r) + log(1 - D(x_f)) + log(1 - D(x_p))],  L_C = -log P(c | x_r)
    theta_C follows L_C, theta_D L_D, theta_G lambda_2 L_G + lambda_3 L_GD + lambda_4 L_GC, theta_E lambda_1 L_KL + lambda_2 L_G
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.errors import UsageError, nearest, require
from core.layers.ema import follow
from core.losses.adversarial import nonsaturating_generator, standard_discriminator
from core.losses.conditional import class_nll
from core.losses.feature_matching import class_centres, mean_matching, pairwise
from core.losses.variational import gaussian_kl
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, DrawsText, Exports, Generator
from core.seeds import child
from generative.adversarial.evaluation import Evaluation
from generative.adversarial.networks import make_features, make_generator
from generative.cvae_gan.config import CVAEGANConfig
from generative.data.labels import Labelled, classes_of
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Pictures, Stream, open_data

__all__ = ["CVAEGAN"]

TAGS = ("loss/kl", "loss/pair", "loss/d_means", "loss/c_means", "loss/discriminator", "loss/classifier")
GRID_SEED = 1  # fixed noise, so that pictures compare over time
SHOWN = 36  # pictures and their reconstructions
COLUMNS = 16  # pictures of a class in its row, at most
AT_ONCE = 250  # pictures in one forward pass


@final
class CVAEGAN(Generator, Draws, DrawsText, Exports):
    """The model. A class is a number 0 ... K - 1 inside, outside the label that the data have."""

    def __init__(self, config: CVAEGANConfig, context: Context):
        self.config = config
        data = open_data(config.data, context.say, context.folder)
        self.classes = classes_of(data, context.folder) if isinstance(data, Pictures) else np.array([], np.int64)  # [K]
        if not isinstance(data, Pictures) or len(self.classes) < 2:
            has = "one label" if len(self.classes) else "no labels"
            raise UsageError(f"{data.name} has {has}; cvae-gan learns pictures of two classes or more, e.g. mnist5k")
        require(
            config.held_out < len(data),
            f"held_out is {config.held_out}; it must be less than the {len(data)} examples of {data.name}",
        )
        self.data = data
        self.train, self.test = data.split(config.held_out)
        K, seed = len(self.classes), context.seed
        told = replace(config, latent=config.latent + K)  # G's input is z and the class, one number for each
        self.E, self.G = _encoder(data, config, K, seed), make_generator(data, told, seed)
        self.E_average = _encoder(data, config, K, seed) if config.ema else self.E
        self.G_average = make_generator(data, told, seed) if config.ema else self.G
        self.D = _judge(data, config, 1, child(seed, "discriminator"))
        self.C = _judge(data, config, K, child(seed, "classifier"))
        models = (self.E, self.G, self.D, self.C)
        self.optimizers = [make_optimizer(config.optimizer, model.trainable_variables) for model in models]
        F = self.C.outputs[1].shape[-1]
        self.centres = tf.Variable(tf.zeros((2, K, F)), trainable=False)  # of real pictures, and of drawn ones
        self.noise_seed = child(seed, "noise")
        self.stream = Stream(Labelled(self.train, self.classes), config.batch, child(seed, "batches"))
        self.clock = 0
        self._turn = tf.function(self._run_turn, jit_compile=config.jit)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns their mean losses."""
        _ = self.evaluation  # so that what cannot be measured is refused now, not at the first evaluation
        x, c = zip(*(self.stream.next() for _ in range(self.config.turn)), strict=True)
        key = tf.constant([self.noise_seed, self.clock], tf.int64)
        values = self._turn(tf.constant(np.stack(x)), tf.constant(np.stack(c)), key)
        self.clock += self.config.turn
        return dict(zip(TAGS, values, strict=True))

    def _run_turn(self, x: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        total = tf.zeros(len(TAGS))
        for i in tf.range(self.config.turn, dtype=tf.int64):
            total += self._update(as_input(x[i]), c[i], tf.add(key, [0, i]))
            if self.config.ema:
                follow(self.G_average, self.G, self.config.ema, key[1] + i)
                follow(self.E_average, self.E, self.config.ema, key[1] + i)
        return tf.unstack(total / self.config.turn)

    def _update(self, x_r: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of each network, all from one forward pass, for x_r [B, H, W, C] of classes c [B] and key of the noise."""
        config = self.config
        epsilon, z_p = tf.unstack(tf.random.stateless_normal((2, config.batch, config.latent), key))
        with tf.GradientTape(persistent=True) as tape:
            mean, log_variance = self.E([x_r, self._one_hot(c)], training=True)  # [B, L] each
            z = mean + tf.exp(0.5 * log_variance) * epsilon
            x_f, x_p = self._drawn_by(self.G, z, c), self._drawn_by(self.G, z_p, c)
            # critical: each side with its own batch statistics
            (real, f_D), (again, f_D_again), (drawn, f_D_drawn) = (self.D(x, training=True) for x in (x_r, x_f, x_p))
            (logits, f_C), (_, f_C_again), (_, f_C_drawn) = (self.C(x, training=True) for x in (x_r, x_f, x_p))
            of_real, of_drawn = tf.unstack(self.centres)
            of_real = class_centres(of_real, f_C, c, config.centre_decay)
            of_drawn = class_centres(of_drawn, f_C_drawn, c, config.centre_decay)
            # -log(1 - D) is -log D at minus the logit
            L_D = standard_discriminator(real[:, 0], again[:, 0]) + nonsaturating_generator(-drawn[:, 0])
            L_C = class_nll(logits, c)
            L_KL = tf.reduce_mean(tf.reduce_sum(gaussian_kl(mean, log_variance), axis=1))
            L_G = pairwise(x_r, x_f) + pairwise(f_D, f_D_again) + pairwise(f_C, f_C_again)
            L_GD = mean_matching(f_D, f_D_drawn)
            L_GC = len(self.classes) * pairwise(of_real, of_drawn)
            losses = (
                config.kl_weight * L_KL + config.pair_weight * L_G,
                config.pair_weight * L_G + config.d_weight * L_GD + config.c_weight * L_GC,
                L_D,
                L_C,
            )
        for model, loss, optimizer in zip((self.E, self.G, self.D, self.C), losses, self.optimizers, strict=True):
            optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        self.centres.assign(tf.stack([of_real, of_drawn]))
        return tf.stack([L_KL, L_G, L_GD, L_GC, L_D, L_C])

    def _one_hot(self, c: tf.Tensor) -> tf.Tensor:
        return tf.one_hot(c, len(self.classes))

    def _drawn_by(self, G: keras.Model, z: tf.Tensor, c: tf.Tensor, training: bool = True) -> tf.Tensor:
        """Return G(z, c) [B, H, W, C]."""
        return G(tf.concat([z, self._one_hot(c)], axis=1), training=training)

    # --- samples --------------------------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _generate(self, z: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        return self._drawn_by(self.G_average, z, c, training=False)

    @tf.function(reduce_retracing=True)
    def _encode(self, x: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        return self.E_average([x, self._one_hot(c)], training=False)[0]

    def _drawn(self, z: Any, c: np.ndarray) -> np.ndarray:
        parts = (slice(i, i + AT_ONCE) for i in range(0, len(c), AT_ONCE))
        return as_pictures(np.concatenate([self._generate(z[part], tf.constant(c[part], tf.int64)) for part in parts]))

    def _noise(self, n: int, seed: int) -> tf.Tensor:
        return tf.random.stateless_normal((n, self.config.latent), [seed, -1])  # a position that no training reaches

    def draw(self, c: np.ndarray, seed: int = 0) -> np.ndarray:
        """Return a picture of each class c [n] of 0 ... K - 1, [n, H, W, C] uint8."""
        return self._drawn(self._noise(len(c), seed), c)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8, of the classes in turn."""
        return self.draw(np.arange(n) % len(self.classes), seed)

    def sample_text(self, text: str, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8 of the class whose label is `text`. UsageError for one that there is not."""
        known = {name: c for c, name in enumerate(self.captions)}
        require(text.strip() in known, f"there is no class {text!r}; {nearest(text, known)}")
        return self.draw(np.full(n, known[text.strip()]), seed)

    @property
    def captions(self) -> Sequence[str]:
        """The labels of the classes, which `sample` draws in turn."""
        return [str(label) for label in self.classes.tolist()]

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        return {"classes": self.rows, "reconstructions": self.reconstructions}

    def rows(self, n: int, seed: int = 0) -> np.ndarray:
        """Return one picture [1, K H, columns W, C]: a row each class, a column each z, of about n pictures in all."""
        K, (height, width, channels) = len(self.classes), self.data.shape
        columns = min(max(1, round(n / K)), COLUMNS)
        z = tf.tile(self._noise(columns, seed), (K, 1))
        images = self._drawn(z, np.repeat(np.arange(K), columns)).reshape(K, columns, height, width, channels)
        return images.swapaxes(1, 2).reshape(1, K * height, columns * width, channels)

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out pictures, each above its reconstruction from the mean of q, [n, 2 H, W, C] uint8."""
        images, c = self._held_out(n)
        return np.concatenate([images, self.reconstruct(images, c)], axis=1)

    def reconstruct(self, images: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Return G(mu, c) [N, H, W, C] uint8 for pictures [N, H, W, C] uint8 of classes c [N]."""
        return self._drawn(self._encode(as_input(tf.constant(images)), tf.constant(c)), c)

    def _held_out(self, n: int) -> tuple[np.ndarray, np.ndarray]:
        assert self.test.labels is not None
        return self.test.reference(n), np.searchsorted(self.classes, self.test.labels[self.test.spread(n)])

    # --- the contract ---------------------------------------------------------------------------------------------------

    @cached_property
    def evaluation(self) -> Evaluation:
        """The measures, with their extractor: opened when training begins, so that drawing and exporting do without."""
        return Evaluation(self.data, self.config.eval_samples, self.config.extractor)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation` over samples with classes as frequent as in the data, and of held-out pictures.

        eval/reconstruction: mean |x - G(mu, c)| in [0, 2]. Of data of one digit eval/agreement: the share of the samples in
        which the digit classifier reads the digit that was asked for.
        """
        like_data = _LikeTheData(self)
        images, c = self._held_out(len(self.test))
        again = self.reconstruct(images, c)
        measured = {
            **self.evaluation.of_pictures(like_data),
            "eval/reconstruction": float(np.abs(images.astype(np.float32) - again).mean() / 127.5),
            "samples/classes": self.rows(len(self.classes) * 10, GRID_SEED),
            "samples/reconstructions": self.reconstructions(SHOWN),
        }
        extractor = self.evaluation.extractor
        if extractor is not None and extractor.reads_digits and self.data.digits == 1:
            asked = np.arange(2_000) % len(self.classes)
            read = extractor.classify(self.draw(asked, 3))
            measured["eval/agreement"] = float((read == self.classes[asked]).mean())
        more = (
            f"; reconstructions of {len(images):,} held-out pictures; agreement of 2,000 samples, as many of each class"
        )
        return measured | {"eval/protocol": f"{measured['eval/protocol']}{more}"}

    def exportable(self) -> Mapping[str, Any]:
        labels = tf.constant(self.classes)
        label = tf.TensorSpec((None,), tf.int64, "label")

        @tf.function(input_signature=[tf.TensorSpec((None, self.config.latent), tf.float32, "noise"), label])
        def generate(noise: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures as bytes [N, H, W, C] of noise z ~ N(0, 1) [N, L] and labels [N] as the data have them."""
            return {"image": as_bytes(self._generate(noise, tf.searchsorted(labels, label, out_type=tf.int64)))}

        @tf.function(input_signature=[tf.TensorSpec((None, *self.data.shape), tf.uint8, "image"), label])
        def encode(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            """The mean [N, L] of q(z | x, c), for pictures as bytes [N, H, W, C] and labels [N] as the data have them."""
            return {"mean": self._encode(as_input(image), tf.searchsorted(labels, label, out_type=tf.int64))}

        return {"generate": generate, "encode": encode}

    def state(self) -> dict[str, Any]:
        names = ["E", "G", "D", "C", "optimizers", "centres", "noise_seed", "stream", "clock"]
        names += ["E_average", "G_average"] if self.config.ema else []
        return {name: getattr(self, name) for name in names}

    def close(self) -> None:
        self.stream.close()


class _LikeTheData:
    """Draws pictures whose classes are as frequent as in the data."""

    def __init__(self, model: CVAEGAN):
        self.model = model

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8."""
        labels = self.model.data.labels
        assert labels is not None
        drawn = np.random.default_rng(child(seed, "classes")).choice(labels, n)
        return self.model.draw(np.searchsorted(self.model.classes, drawn), seed)


def _encoder(data: Pictures, config: CVAEGANConfig, classes: int, seed: int) -> keras.Model:
    """Return E: pictures [B, H, W, C] and classes as ones and zeros [B, K] -> (mu, log sigma^2) [B, L], float32."""
    seed = child(seed, "encoder")
    features = make_features(data, config, seed, batch_norm=True)
    c = keras.Input((classes,))
    h = keras.layers.Concatenate()([features.output, c])
    heads = [_dense(config.latent, child(seed, name))(h) for name in ("mean", "log variance")]
    return keras.Model([features.input, c], heads, name="encoder")


def _judge(data: Pictures, config: CVAEGANConfig, units: int, seed: int) -> keras.Model:
    """Return D or C: pictures [B, H, W, C] -> (raw outputs [B, units], features f [B, F]), float32."""
    features = make_features(data, config, seed, batch_norm=True)
    f = keras.layers.Activation("linear", dtype="float32")(features.output)
    return keras.Model(features.input, [_dense(units, child(seed, "head"))(f), f], name="judge")


def _dense(units: int, seed: int) -> keras.layers.Layer:
    return keras.layers.Dense(
        units, kernel_initializer=keras.initializers.RandomNormal(0.0, 0.02, seed=seed), dtype="float32"
    )
