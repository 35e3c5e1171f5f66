"""The variational autoencoder of "Auto-Encoding Variational Bayes" (Kingma and Welling, 2014).

One update, in the notation of the paper:

    x ~ data, epsilon ~ N(0, 1)
    mu, log sigma^2 = encoder(x)
    z = mu + sigma epsilon
    (theta, phi) <- Adam(grad mean over the batch of [-log p(x | z) + beta KL(N(mu, sigma^2) || N(0, 1))])

With K > 1 draws z_k of an example it is the importance-weighted autoencoder (Burda, Grosse and Salakhutdinov, 2016, eq. 8):

    (theta, phi) <- Adam(grad mean over the batch of -log (1/K) sum_k [p(x | z_k) p(z_k) / q(z_k | x)])

Conditional, encoder and decoder are told the label c: q(z | x, c) and p(x | z, c) (Sohn, Lee and Yan, 2015, eq. 4, with the prior
p(z) for p(z | c)).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.errors import UsageError, require
from core.losses.variational import bernoulli_nll, gaussian_kl, gaussian_nll, importance_weighted_nll
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, Exports, Generator
from core.seeds import child
from generative.data.labels import Labelled, classes_of
from generative.data.sources import Pictures, Stream, open_data
from generative.vae.config import VAEConfig
from generative.vae.networks import make_networks
from generative.vae.scatter import scatter

__all__ = ["VAE"]

TAGS = ("loss/total", "loss/reconstruction", "loss/kl")
GRID_SEED, MEASURE_SEED = 1, 2  # fixed noise, so that pictures and numbers compare over time
IN_GRID, RECONSTRUCTED, IN_ROW = 64, 36, 12
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
            raise UsageError(f"data.source is {config.data.source!r}; vae needs a fixed set of pictures, e.g. mnist5k")
        require(
            config.held_out < len(data),
            f"held_out is {config.held_out}; it must be less than the {len(data)} examples of {data.name}",
        )
        self.classes = classes_of(data, context.folder) if config.conditional else np.array([], np.int64)
        require(
            not config.conditional or len(self.classes) >= 2,
            f"conditional is set; {data.name} has {'one label' if len(self.classes) else 'no labels'}, leave it out",
        )
        self.train, self.test = data.split(config.held_out)
        self.shape = data.shape
        self.noise_seed = child(context.seed, "noise")
        self.encoder, self.decoder = make_networks(
            data.shape, config, len(self.classes), child(context.seed, "network")
        )
        self.variables = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        self.optimizer = make_optimizer(config.optimizer, self.variables)
        batches = Labelled(self.train, self.classes) if config.conditional else self.train
        self.stream = Stream(batches, config.batch, child(context.seed, "batches"))
        self.clock = 0
        self._turn = tf.function(self._run_turn, jit_compile=config.jit and context.strategy is None)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns the means of the terms of the bound, in nats per example."""
        values = self._turn(*self._batches(), _keys(self.noise_seed, self.clock))
        self.clock += self.config.turn
        return dict(zip(TAGS, values, strict=True))

    def _batches(self) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the next pictures [T, B, H, W, C] as bytes and the numbers of their labels [T, B], zeros if unconditional."""
        config = self.config
        if not config.conditional:
            return tf.constant(self.stream.take(config.turn)), tf.zeros((config.turn, config.batch), tf.int64)
        images, labels = zip(*(self.stream.next() for _ in range(config.turn)), strict=True)
        return tf.constant(np.stack(images)), tf.constant(np.stack(labels))

    def _run_turn(self, batches: tf.Tensor, labels: tf.Tensor, keys: tf.Tensor) -> list[tf.Tensor]:
        total = tf.zeros(len(TAGS))
        for i in tf.range(self.config.turn, dtype=tf.int64):
            of_noise, of_pixels = tf.unstack(tf.add(keys, [0, i]))
            total += on_replicas(self._update, self._pixels(batches[i], of_pixels), labels[i], of_noise)
        return tf.unstack(total / self.config.turn)

    def _update(self, x: tf.Tensor, c: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step on the negative bound of x [B, H, W, C] with labels c [B]; key (seed, clock) is that of the noise."""
        K, shape = self.config.importance_samples, (self.config.batch, self.config.latent)
        x, c = share(x), share(c)
        epsilon = share(tf.random.stateless_normal(shape if K == 1 else (shape[0], K, shape[1]), key))
        with tf.GradientTape() as tape:
            mean, log_variance = self.encoder(self._given(x, c), training=True)  # [B, L] each
            if K == 1:
                nll = self._nll(mean + tf.exp(0.5 * log_variance) * epsilon, x, c)  # [B], sum over pixels
            else:
                z, nll = self._draws(x, c, mean, log_variance, tf.transpose(epsilon, (1, 0, 2)))  # [K, B, L], [K, B]
            reconstruction = tf.reduce_mean(nll)  # mean over the batch
            kl = tf.reduce_mean(tf.reduce_sum(gaussian_kl(mean, log_variance), axis=-1))  # sum over latents
            if K == 1:
                loss = reconstruction + self.config.beta * kl
            else:
                loss = tf.reduce_mean(importance_weighted_nll(nll, z, mean, log_variance))
            part = share_of_mean(loss)
        self.optimizer.apply(tape.gradient(part, self.variables), self.variables)
        return tf.stack([loss, reconstruction, kl])

    def _draws(
        self, x: tf.Tensor, c: tf.Tensor, mean: tf.Tensor, log_variance: tf.Tensor, epsilon: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return K draws z [K, B, L] from q = N(mean, exp(log_variance)) of each x, and -log p(x | z) [K, B]."""
        K, B = tf.unstack(tf.shape(epsilon)[:2])
        z = mean + tf.exp(0.5 * log_variance) * epsilon  # [K, B, L]
        repeated = tf.repeat(x[None], K, axis=0)  # [K, B, H, W, C]
        nll = self._nll(
            tf.reshape(z, [K * B, self.config.latent]), tf.reshape(repeated, [K * B, *self.shape]), tf.tile(c, [K])
        )
        return z, tf.reshape(nll, [K, B])

    def _nll(self, z: tf.Tensor, x: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        """Return -log p(x | z) [B]."""
        y = self.decoder(self._given(z, c))
        if self.config.likelihood == "bernoulli":
            return bernoulli_nll(y, x)
        return gaussian_nll(y, x, self.config.sigma)

    def _given(self, x: tf.Tensor, c: tf.Tensor) -> Any:
        """Return what a network is given: x [B, ...], of a conditional model with the labels c [B] as ones and zeros."""
        return [x, tf.one_hot(c, len(self.classes))] if self.config.conditional else x

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
    def _decode(self, z: tf.Tensor, c: tf.Tensor) -> tf.Tensor:
        y = self.decoder(self._given(z, c), training=False)
        return tf.sigmoid(y) if self.config.likelihood == "bernoulli" else tf.clip_by_value(y, 0, 1)

    def _pictures(self, z: tf.Tensor, c: tf.Tensor) -> np.ndarray:
        return np.round(np.asarray(self._decode(z, c)) * 255).astype(np.uint8)

    def _prior(self, n: int, seed: int) -> tf.Tensor:
        return tf.random.stateless_normal((n, self.config.latent), [seed, -1])

    def _turns(self, n: int) -> tf.Tensor:
        """Return numbers of labels [n], one after another; zeros if unconditional."""
        return tf.range(n, dtype=tf.int64) % max(len(self.classes), 1)

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the means of p(x | z) for n draws of z from the prior, [n, H, W, C] uint8; conditional, labels take turns."""
        return self._pictures(self._prior(n, seed), self._turns(n))

    @tf.function(reduce_retracing=True)
    def _measure(
        self, images: tf.Tensor, c: tf.Tensor, keys: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return reconstruction [B], KL [B, L], the importance-weighted -log p(x) [B] and the means [B, L] of q."""
        of_noise, of_pixels = tf.unstack(keys)
        x = self._pixels(images, of_pixels)
        mean, log_variance = self.encoder(self._given(x, c), training=False)
        shape = (self.config.nll_samples, tf.shape(images)[0], self.config.latent)
        z, nll = self._draws(x, c, mean, log_variance, tf.random.stateless_normal(shape, of_noise))
        weighted = importance_weighted_nll(nll, z, mean, log_variance)
        return tf.reduce_mean(nll, axis=0), gaussian_kl(mean, log_variance), weighted, mean

    def evaluate(self) -> Mapping[str, Any]:
        config, (images, c) = self.config, self._examples(self.test, len(self.test))
        parts = [
            self._measure(images[i : i + MEASURED], c[i : i + MEASURED], _keys(MEASURE_SEED, i))
            for i in range(0, len(images), MEASURED)
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
        if config.conditional:
            measured["samples/classes"] = self.by_class(IN_ROW, GRID_SEED)
            measured["eval/protocol"] += "; of x given its label"
        if config.latent == 2 and not config.conditional:
            measured["samples/manifold"] = self.manifold(config.manifold**2)
        return measured

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        drawn = {"reconstructions": self.reconstructions, "latents": self.latents}
        if self.config.conditional:
            return drawn | {"classes": self.by_class}
        return drawn | ({"manifold": self.manifold} if self.config.latent == 2 else {})

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out examples, each above its reconstruction from the mean of q, [n, 2 H, W, C] uint8."""
        images, c = self._examples(self.test, len(self.test))
        images, c = images[:n], c[:n]
        return np.concatenate([images, self._pictures(self._encode(images, c, seed)[0], c)], axis=1)

    def by_class(self, n: int, seed: int = 0) -> np.ndarray:
        """Return one picture [1, H, W, C] uint8 with a row for each label and n columns, at most 64, each of one z."""
        n, K = min(n, 64), len(self.classes)
        z, c = tf.tile(self._prior(n, seed), (K, 1)), tf.repeat(tf.range(K, dtype=tf.int64), n)
        images = self._pictures(z, c).reshape(K, n, *self.shape)
        return images.swapaxes(1, 2).reshape(1, K * self.shape[0], n * self.shape[1], self.shape[2])

    def manifold(self, n: int, seed: int = 0) -> np.ndarray:
        """Return pictures at the quantiles of a two-dimensional prior, a square of at most n, [side^2, H, W, C] uint8."""
        n = max(1, int(np.sqrt(n)))
        side = tf.math.ndtri((tf.range(n, dtype=tf.float32) + 0.5) / n)
        z = tf.stack(tf.meshgrid(side, -side), axis=-1)  # first latent to the right, second upwards
        return self._pictures(tf.reshape(z, [n * n, 2]), self._turns(n * n))

    def latents(self, n: int, seed: int = 0) -> np.ndarray:
        """Return a picture [1, H, W, 3] of the means of q for n examples, by label; of L > 2 the two most used latents."""
        mean, log_variance = self._encode(*self._examples(self.train, n), seed)
        labels = None if self.train.labels is None else self.train.labels[self.train.spread(n)]
        used = np.sort(np.argsort(-np.mean(gaussian_kl(mean, log_variance), axis=0))[:2])
        return scatter(np.asarray(mean), used[0], used[-1], labels)[None]

    def _encode(self, images: np.ndarray, c: np.ndarray, seed: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Return (mu, log sigma^2) [N, L] of bytes [N, H, W, C]; the seed matters where pixels are drawn."""
        x = self._pixels(tf.constant(images), tf.constant([seed, -2], tf.int64))
        return self.encoder(self._given(x, c), training=False)

    def _examples(self, data: Pictures, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return at most `count` pictures [N, H, W, C], always the same, and numbers of labels [N], zeros if unconditional."""
        images = data.reference(count)
        if not self.config.conditional:
            return images, np.zeros(len(images), np.int64)
        assert data.labels is not None
        return images, np.searchsorted(self.classes, data.labels[data.spread(count)])

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        latents = tf.TensorSpec((None, self.config.latent), tf.float32, "latent")
        pictures = tf.TensorSpec((None, *self.shape), tf.uint8, "image")
        labels = tf.TensorSpec((None,), tf.int64, "label")
        none = tf.constant([], tf.int64)  # labels, which an unconditional model does not look at

        @tf.function(input_signature=[latents])
        def decode(latent: tf.Tensor) -> dict[str, tf.Tensor]:
            """The mean of p(x | z) as bytes [N, H, W, C], for z [N, L]; samples come from z ~ N(0, 1)."""
            return self._decoded(latent, none)

        @tf.function(input_signature=[pictures])
        def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """Mean and log variance [N, L] of q(z | x), for pictures as bytes [N, H, W, C]; binary models cut at one half."""
            return self._encoded(image, none)

        @tf.function(input_signature=[latents, labels])
        def decode_label(latent: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            """The mean of p(x | z, c) as bytes [N, H, W, C], for z [N, L] and labels [N]; samples come from z ~ N(0, 1)."""
            return self._decoded(latent, self._numbers(label))

        @tf.function(input_signature=[pictures, labels])
        def encode_label(image: tf.Tensor, label: tf.Tensor) -> dict[str, tf.Tensor]:
            """Mean and log variance [N, L] of q(z | x, c), for bytes [N, H, W, C] and labels [N]; binary ones cut at one half."""
            return self._encoded(image, self._numbers(label))

        if self.config.conditional:
            return {"decode": decode_label, "encode": encode_label}
        return {"decode": decode, "encode": encode}

    def _decoded(self, latent: tf.Tensor, c: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"image": tf.cast(tf.round(self._decode(latent, c) * 255), tf.uint8)}

    def _encoded(self, image: tf.Tensor, c: tf.Tensor) -> dict[str, tf.Tensor]:
        x = tf.cast(image, tf.float32) / 255
        x = x if self.config.binarise == "no" else tf.cast(x > 0.5, tf.float32)
        mean, log_variance = self.encoder(self._given(x, c), training=False)
        return {"mean": mean, "log_variance": log_variance}

    def _numbers(self, labels: tf.Tensor) -> tf.Tensor:
        """Return which of the classes labels [N] are."""
        return tf.searchsorted(tf.constant(self.classes), labels, out_type=tf.int64)

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
