"""The variational autoencoder of "Auto-Encoding Variational Bayes" (Kingma and Welling, 2014).

One update, in the notation of the paper:

    x ~ data, epsilon ~ N(0, 1)
    mu, log sigma^2 = encoder(x)
    z = mu + sigma epsilon
    (theta, phi) <- Adam(grad mean over the batch of [-log p(x | z) + beta KL(N(mu, sigma^2) || N(0, 1))])
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.errors import require
from core.layers.upsampling import CroppedConv2DTranspose
from core.losses.variational import bernoulli_nll, gaussian_kl, gaussian_nll, importance_weighted_nll
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, Exports, Generator
from core.seeds import child
from generative.data.sources import Pictures, Stream, open_data
from generative.vae.config import VAEConfig

__all__ = ["VAE"]

TAGS = ("loss/total", "loss/reconstruction", "loss/kl")
GRID_SEED, MEASURE_SEED = 1, 2  # fixed noise, so that pictures and numbers compare over time
IN_GRID, RECONSTRUCTED = 64, 36
SCATTERED = 2000  # examples in the scatter plot
MEASURED = 50  # examples in one call of the likelihood estimate: each stands nll_samples times in memory


@final
class VAE(Generator, Draws, Exports):
    """The model. Pixels are floats in [0, 1]."""

    def __init__(self, config: VAEConfig, context: Context):
        self.config, self.context = config, context
        check_batch(config.batch, context.strategy)
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            require(False, f"data.source is {config.data.source!r}; vae needs a fixed set of pictures, e.g. mnist5k")
        assert isinstance(data, Pictures)
        require(
            config.held_out < len(data),
            f"held_out is {config.held_out}; it must be less than the {len(data)} examples of {data.name}",
        )
        self.train, self.test = data.split(config.held_out)
        self.shape = data.shape
        self.noise_seed = child(context.seed, "noise")
        self.encoder, self.decoder = self._build(child(context.seed, "network"))
        self.variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        self.optimizer = make_optimizer(config.optimizer, self.variables)
        self.stream = Stream(self.train, config.batch, child(context.seed, "batches"))
        self.clock = 0
        self._turn = tf.function(self._run_turn, jit_compile=config.jit and context.strategy is None)

    def _build(self, seed: int) -> tuple[keras.Model, keras.Model]:
        """Return the encoder, x [B, H, W, C] -> (mu, log sigma^2) [B, L], and the decoder, z [B, L] -> outputs [B, H, W, C]."""
        config, (height, width, channels) = self.config, self.shape
        layers = keras.layers
        numbers = itertools.count()

        def start() -> keras.initializers.Initializer:
            return keras.initializers.GlorotUniform(seed=child(seed, "layer", next(numbers)))

        def dense(units: int, activation: str | None = "relu", **kwargs: Any) -> keras.layers.Layer:
            return layers.Dense(units, activation, kernel_initializer=start(), **kwargs)

        x, z = keras.Input(self.shape), keras.Input((config.latent,))
        half, quarter = (-(-height // 2), -(-width // 2)), (-(-height // 4), -(-width // 4))
        few, many = config.hidden // 8, config.hidden // 4
        h = x
        if config.network == "conv":
            for filters in (few, many):
                h = layers.Conv2D(filters, 4, 2, "same", activation="relu", kernel_initializer=start())(h)
        h = dense(config.hidden)(layers.Flatten()(h))
        mean, log_variance = (dense(config.latent, None, dtype="float32")(h) for _ in range(2))

        y = dense(config.hidden)(z)
        if config.network == "conv":
            y = layers.Reshape((*quarter, many))(dense(quarter[0] * quarter[1] * many)(y))
            y = CroppedConv2DTranspose(few, 4, half, activation="relu", kernel_initializer=start())(y)
            y = CroppedConv2DTranspose(channels, 4, (height, width), kernel_initializer=start(), dtype="float32")(y)
        else:
            y = layers.Reshape(self.shape)(dense(height * width * channels, None, dtype="float32")(y))
        return keras.Model(x, [mean, log_variance], name="encoder"), keras.Model(z, y, name="decoder")

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns the means of the terms of the bound, in nats per example."""
        batches = tf.constant(self.stream.take(self.config.turn))  # [T, B, H, W, C]
        values = self._turn(batches, _keys(self.noise_seed, self.clock))
        self.clock += self.config.turn
        return dict(zip(TAGS, values, strict=True))

    def _run_turn(self, batches: tf.Tensor, keys: tf.Tensor) -> list[tf.Tensor]:
        total = tf.zeros(len(TAGS))
        for i in tf.range(self.config.turn, dtype=tf.int64):
            of_noise, of_pixels = tf.unstack(tf.add(keys, [0, i]))
            total += on_replicas(self._update, self._pixels(batches[i], of_pixels), of_noise)
        return tf.unstack(total / self.config.turn)

    def _update(self, x: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step on the negative bound of x [B, H, W, C]; key (seed, clock) is that of the noise."""
        x, epsilon = share(x), share(tf.random.stateless_normal((self.config.batch, self.config.latent), key))
        with tf.GradientTape() as tape:
            mean, log_variance = self.encoder(x, training=True)  # [B, L] each
            z = mean + tf.exp(0.5 * log_variance) * epsilon
            reconstruction = tf.reduce_mean(self._nll(z, x))  # sum over pixels, mean over the batch
            kl = tf.reduce_mean(tf.reduce_sum(gaussian_kl(mean, log_variance), axis=-1))  # sum over latents
            loss = reconstruction + self.config.beta * kl
            part = share_of_mean(loss)
        self.optimizer.apply(tape.gradient(part, self.variables), self.variables)
        return tf.stack([loss, reconstruction, kl])

    def _nll(self, z: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return -log p(x | z) [B]."""
        if self.config.likelihood == "bernoulli":
            return bernoulli_nll(self.decoder(z), x)
        return gaussian_nll(self.decoder(z), x, self.config.sigma)

    def _pixels(self, images: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Return bytes as floats in [0, 1], binarised as the configuration says."""
        if self.config.binarise == "half":
            return tf.cast(images > 127, tf.float32)
        x = tf.cast(images, tf.float32) / 255
        if self.config.binarise == "sampled":
            return tf.cast(tf.random.stateless_uniform(tf.shape(x), key) < x, tf.float32)
        return x

    # --- samples and measures -------------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _decode(self, z: tf.Tensor) -> tf.Tensor:
        y = self.decoder(z, training=False)
        return tf.sigmoid(y) if self.config.likelihood == "bernoulli" else tf.clip_by_value(y, 0, 1)

    def _pictures(self, z: tf.Tensor) -> np.ndarray:
        return np.round(np.asarray(self._decode(z)) * 255).astype(np.uint8)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the means of p(x | z) for n draws of z from the prior, [n, H, W, C] uint8."""
        return self._pictures(tf.random.stateless_normal((n, self.config.latent), [seed, -1]))

    @tf.function(reduce_retracing=True)
    def _measure(self, images: tf.Tensor, keys: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return reconstruction [B], KL [B, L], the importance-weighted -log p(x) [B] and the means [B, L] of q."""
        K, B, L = self.config.nll_samples, tf.shape(images)[0], self.config.latent
        of_noise, of_pixels = tf.unstack(keys)
        x = self._pixels(images, of_pixels)
        mean, log_variance = self.encoder(x, training=False)
        z = mean + tf.exp(0.5 * log_variance) * tf.random.stateless_normal((K, B, L), of_noise)  # [K, B, L]
        repeated = tf.repeat(x[None], K, axis=0)  # [K, B, H, W, C]
        nll = self._nll(tf.reshape(z, [K * B, L]), tf.reshape(repeated, [K * B, *self.shape]))
        nll = tf.reshape(nll, [K, B])
        weighted = importance_weighted_nll(nll, z, mean, log_variance)
        return tf.reduce_mean(nll, axis=0), gaussian_kl(mean, log_variance), weighted, mean

    def evaluate(self) -> Mapping[str, Any]:
        config, images = self.config, self.test.reference(len(self.test))
        parts = [
            self._measure(images[i : i + MEASURED], _keys(MEASURE_SEED, i)) for i in range(0, len(images), MEASURED)
        ]
        reconstruction, kl, nll, _ = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(4))
        per_latent = kl.mean(axis=0)  # [L]
        measured = {
            "eval/nll": float(nll.mean()),
            "eval/elbo": -float(reconstruction.mean() + per_latent.sum()),
            "eval/reconstruction": float(reconstruction.mean()),
            "eval/kl": float(per_latent.sum()),
            "eval/active_latents": int((per_latent > 0.01).sum()),
            "eval/kl_per_latent": per_latent,
            "samples/fixed": self.sample(IN_GRID, GRID_SEED),
            "samples/reconstructions": self.reconstructions(RECONSTRUCTED),
            "samples/latents": self.latents(SCATTERED),
            "eval/protocol": f"{self.test.protocol}, held out of {len(self.train) + len(self.test):,}; "
            f"pixels binarised: {config.binarise}, "
            f"{config.likelihood}"
            + (f", sigma {config.sigma:g}" if config.likelihood == "gaussian" else "")
            + f"; nll: importance-weighted bound with {config.nll_samples} draws from q; elbo with as many; nats per example",
        }
        if config.latent == 2:
            measured["samples/manifold"] = self.manifold(config.manifold**2)
        return measured

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        drawn = {"reconstructions": self.reconstructions, "latents": self.latents}
        return drawn | ({"manifold": self.manifold} if self.config.latent == 2 else {})

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out examples, each above its reconstruction from the mean of q, [n, 2 H, W, C] uint8."""
        images = self.test.reference(len(self.test))[:n]
        return np.concatenate([images, self._pictures(self._encode(images, seed)[0])], axis=1)

    def manifold(self, n: int, seed: int = 0) -> np.ndarray:
        """Return pictures at the quantiles of a two-dimensional prior, a square of at most n, [side^2, H, W, C] uint8."""
        n = max(1, int(np.sqrt(n)))
        side = tf.math.ndtri((tf.range(n, dtype=tf.float32) + 0.5) / n)
        z = tf.stack(tf.meshgrid(side, -side), axis=-1)  # first latent to the right, second upwards
        return self._pictures(tf.reshape(z, [n * n, 2]))

    def latents(self, n: int, seed: int = 0) -> np.ndarray:
        """Return a picture [1, H, W, 3] of the means of q for n examples, by label; of L > 2 the two most used latents."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        mean, log_variance = self._encode(self.train.reference(n), seed)
        labels = None if self.train.labels is None else self.train.labels[self.train.spread(n)]
        used = np.sort(np.argsort(-np.mean(gaussian_kl(mean, log_variance), axis=0))[:2])
        first, second = used[0], used[-1]
        figure = Figure(figsize=(4.4, 4), dpi=100, layout="tight")
        canvas, axis = FigureCanvasAgg(figure), figure.add_subplot()
        cmap = None if labels is None else "tab10"
        points = axis.scatter(mean[:, first], mean[:, second], s=5, c=labels, cmap=cmap)
        if labels is not None:
            figure.colorbar(points)
        axis.set(xlabel=f"latent {first}", ylabel=f"latent {second}")
        canvas.draw()
        return np.asarray(canvas.buffer_rgba())[None, ..., :3].copy()

    def _encode(self, images: np.ndarray, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (mu, log sigma^2) [N, L] of bytes [N, H, W, C]; the seed matters where pixels are drawn."""
        return self.encoder(self._pixels(tf.constant(images), tf.constant([seed, -2], tf.int64)), training=False)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, self.config.latent), tf.float32, "latent")])
        def decode(latent: tf.Tensor) -> dict[str, tf.Tensor]:
            """The mean of p(x | z) as bytes [N, H, W, C], for z [N, L]; samples come from z ~ N(0, 1)."""
            return {"image": tf.cast(tf.round(self._decode(latent) * 255), tf.uint8)}

        @tf.function(input_signature=[tf.TensorSpec((None, *self.shape), tf.uint8, "image")])
        def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """Mean and log variance [N, L] of q(z | x), for pictures as bytes [N, H, W, C]; binary models cut at one half."""
            x = tf.cast(image, tf.float32) / 255
            x = x if self.config.binarise == "no" else tf.cast(x > 0.5, tf.float32)
            mean, log_variance = self.encoder(x, training=False)
            return {"mean": mean, "log_variance": log_variance}

        return {"decode": decode, "encode": encode}

    def state(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "decoder": self.decoder,
            "optimizer": self.optimizer,
            "clock": self.clock,
            "noise_seed": self.noise_seed,
            "stream": self.stream,
        }

    def close(self) -> None:
        self.stream.close()


def _keys(seed: int, position: int) -> tf.Tensor:
    """Return the keys [2, 2] of two stateless draws at a position: of the noise, and of the pixels that are binarised."""
    return tf.constant([[seed, position], [child(seed, "pixels"), position]], tf.int64)
