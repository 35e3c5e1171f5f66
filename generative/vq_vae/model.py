"""The vector-quantised variational autoencoder of "Neural Discrete Representation Learning" (van den Oord et al., 2017).

One update of the codes, in the notation of the paper, x ~ data:

    z_e = encoder(x);  k = argmin_j |z_e - e_j|;  z_q = e_k                                               eqs. 1, 2
    (theta, phi) <- Adam(grad [-log p(x | z_q) + beta |z_e - sg(e_k)|^2]),  dz_q/dz_e = 1                 eq. 3
    N_i <- gamma N_i + (1 - gamma) n_i,  m_i <- gamma m_i + (1 - gamma) sum_j z_e,ij,  e_i = m_i / N_i    eqs. 6 to 8

with n_i the places of the batch that have code i. After `code_updates` of these the prior learns, of k = codes(x):

    psi <- Adam(grad -sum_t log p(k_t | k_1 ... k_(t-1)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.errors import UsageError, require
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, Exports, Generator
from core.seeds import child
from generative.adversarial.evaluation import Evaluation
from generative.data.sources import Pictures, Stream, open_data
from generative.vq_vae.config import VQVAEConfig
from generative.vq_vae.networks import Prior, make_decoder, make_encoder, sides

__all__ = ["VQVAE"]

AT_ONCE = 500  # pictures in one forward pass
RECONSTRUCTED, CODED = 36, 24
LEAST = 0.01  # places a batch, on average: a code that has fewer begins again at one of the batch's z_e
OF_CODES: tuple[str, ...] = ("loss/total", "loss/reconstruction", "loss/commitment")
OF_PRIOR: tuple[str, ...] = ("loss/prior",)


@final
class VQVAE(Generator, Draws, Exports):
    """The model. Pixels are floats in [0, 1]; codes are numbers 0 ... K - 1 in a grid [h, w]."""

    def __init__(self, config: VQVAEConfig, context: Context):
        self.config = config
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            raise UsageError(
                f"data.source is {config.data.source!r}; vq-vae needs a fixed set of pictures, e.g. mnist5k"
            )
        require(
            config.held_out < len(data),
            f"held_out is {config.held_out}; it must be less than the {len(data)} pictures of {data.name}",
        )
        self.data, (self.train, self.test) = data, data.split(config.held_out)
        self.shape, self.grid = data.shape, sides(data.shape, config.levels)[-1]
        seed = child(context.seed, "network")
        self.encoder, self.decoder = (make(data.shape, config, seed) for make in (make_encoder, make_decoder))
        self.prior = Prior(self.grid, config, seed)
        K, D = config.codes, config.code_size
        self.e, self.N, self.m = (tf.Variable(tf.zeros(shape), trainable=False) for shape in ((K, D), (K,), (K, D)))
        self.weights = [*self.encoder.trainable_variables, *self.decoder.trainable_variables]
        self.optimizer = make_optimizer(config.optimizer, self.weights)
        self.prior_optimizer = make_optimizer(config.prior_optimizer, self.prior.trainable_variables)
        self.stream = Stream(self.train, config.batch, child(context.seed, "batches"))
        self.noise_seed = child(context.seed, "noise")
        self.clock = 0
        self._update_codes = tf.function(self._step_of_codes)
        self._update_prior = tf.function(self._step_of_prior)
        self._evaluation: Evaluation | None = None

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update, of the codes or, once these are learned, of the prior; returns the terms of its loss."""
        first = self.clock < self.config.code_updates
        tags, update = (OF_CODES, self._update_codes) if first else (OF_PRIOR, self._update_prior)
        values = update(self.stream.next(), _key(self.noise_seed, self.clock))
        self.clock += 1
        return dict(zip(tags, values, strict=True))

    def _step_of_codes(self, images: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        """One step of encoder, decoder and codebook on pictures [B, H, W, C] as bytes; key (seed, clock)."""
        x = tf.cast(images, tf.float32) / 255.0
        with tf.GradientTape() as tape:
            z_e = self.encoder(x, training=True)  # [B, h, w, D]
            with tape.stop_recording():
                self._restart_unused(z_e, key)
                k = self._nearest(z_e)  # [B, h, w]
            e_k = tf.gather(self.e, k)
            z_q = z_e + tf.stop_gradient(e_k - z_e)  # e_k, with the gradient of z_e
            x_z = tf.sigmoid(self.decoder(z_q, training=True))
            reconstruction = tf.reduce_mean(tf.square((x - x_z) / self.config.sigma)) / 2.0
            commitment = self.config.commitment * tf.reduce_mean(tf.square(z_e - tf.stop_gradient(e_k)))
            loss = reconstruction + commitment
        self.optimizer.apply(tape.gradient(loss, self.weights), self.weights)
        self._follow(z_e, k)
        return [loss, reconstruction, commitment]

    def _nearest(self, z_e: tf.Tensor) -> tf.Tensor:
        """Return the number of the nearest code, [...] int32 of z_e [..., D]."""
        z = tf.reshape(z_e, [-1, self.config.code_size])
        distances = tf.reduce_sum(tf.square(self.e), axis=1) - 2.0 * tf.matmul(z, self.e, transpose_b=True)
        return tf.reshape(tf.argmin(distances, axis=1, output_type=tf.int32), tf.shape(z_e)[:-1])

    def _follow(self, z_e: tf.Tensor, k: tf.Tensor) -> None:
        """Let each code be the average of the z_e [B, h, w, D] that chose it, k [B, h, w]."""
        gamma = self.config.decay
        chosen = tf.one_hot(tf.reshape(k, [-1]), self.config.codes)  # [B h w, K]
        z = tf.reshape(z_e, [-1, self.config.code_size])
        self.N.assign(gamma * self.N + (1.0 - gamma) * tf.reduce_sum(chosen, axis=0))
        self.m.assign(gamma * self.m + (1.0 - gamma) * tf.matmul(chosen, z, transpose_a=True))
        self.e.assign(self.m / tf.maximum(self.N, 1e-6)[:, None])

    def _restart_unused(self, z_e: tf.Tensor, key: tf.Tensor) -> None:
        """Put each code that is hardly chosen, in the beginning all, at one of the batch's z_e [B, h, w, D], drawn at random."""
        z = tf.reshape(z_e, [-1, self.config.code_size])
        rows = tf.random.stateless_uniform((self.config.codes,), key, 0, tf.shape(z)[0], tf.int32)
        unused = self.N < LEAST
        fresh = tf.where(unused[:, None], tf.gather(z, rows), self.e)
        self.e.assign(fresh)
        self.m.assign(tf.where(unused[:, None], fresh, self.m))
        self.N.assign(tf.where(unused, 1.0, self.N))

    def _step_of_prior(self, images: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        """One step of the prior on the codes of pictures [B, H, W, C] as bytes; its loss is in nats a picture."""
        k = self._codes(images)  # [B, T]
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(self._prior_nll(k, key))
        variables = self.prior.trainable_variables
        self.prior_optimizer.apply(tape.gradient(loss, variables), variables)
        return [loss]

    def _prior_nll(self, k: tf.Tensor, key: tf.Tensor | None = None) -> tf.Tensor:
        """Return -log p(k) [B] of codes [B, T]; with a key some units are dropped."""
        logits = self.prior(k, key)
        return tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(k, logits), axis=1)

    # --- codes and pictures ---------------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _codes(self, images: tf.Tensor) -> tf.Tensor:
        """Return the codes [B, T] int32 of pictures as bytes [B, H, W, C]."""
        k = self._nearest(self.encoder(tf.cast(images, tf.float32) / 255.0, training=False))
        return tf.reshape(k, [-1, self.grid[0] * self.grid[1]])

    @tf.function(reduce_retracing=True)
    def _pictures(self, k: tf.Tensor) -> tf.Tensor:
        """Return pictures [B, H, W, C] as bytes of codes [B, T]."""
        z_q = tf.reshape(tf.gather(self.e, k), [-1, *self.grid, self.config.code_size])
        return tf.cast(tf.round(255.0 * tf.sigmoid(self.decoder(z_q, training=False))), tf.uint8)

    @tf.function(reduce_retracing=True)
    def _draw(self, uniform: tf.Tensor) -> tf.Tensor:
        return self._pictures(self.prior.draw(uniform))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8 of codes drawn from the prior."""
        uniform = tf.random.stateless_uniform((n, self.grid[0] * self.grid[1]), [seed, -1])
        return np.concatenate([self._draw(tf.transpose(uniform[i : i + AT_ONCE])) for i in range(0, n, AT_ONCE)])

    def codes_of(self, images: np.ndarray) -> np.ndarray:
        """Return the codes [N, T] of pictures [N, H, W, C] uint8."""
        return np.concatenate([self._codes(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)])

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation` of samples, and of held-out pictures the reconstruction and the prior's bits.

        eval/reconstruction: mean squared error of a pixel in [0, 1]; eval/prior_bits: -log2 p of a picture's codes;
        eval/codes_used and eval/perplexity: how many codes are chosen, and exp of the entropy of their shares.
        """
        if self._evaluation is None:
            self._evaluation = Evaluation(self.data, self.config.eval_samples, self.config.extractor)
        images = self.test.reference(len(self.test))
        k = self.codes_of(images)
        bits = [self._prior_nll(tf.constant(k[i : i + AT_ONCE])) / np.log(2) for i in range(0, len(k), AT_ONCE)]
        made = np.concatenate([self._pictures(k[i : i + AT_ONCE]) for i in range(0, len(k), AT_ONCE)])
        shares = np.bincount(k.ravel(), minlength=self.config.codes) / k.size
        measured = self._evaluation.of_pictures(self)
        return measured | {
            "eval/reconstruction": float(np.mean(np.square((made.astype(float) - images) / 255))),
            "eval/prior_bits": float(np.concatenate(bits).mean()),
            "eval/codes_used": int((shares > 0).sum()),
            "eval/perplexity": float(np.exp(-np.sum(shares[shares > 0] * np.log(shares[shares > 0])))),
            "samples/reconstructions": self.reconstructions(RECONSTRUCTED),
            "samples/codes": self.coded(CODED),
            "eval/protocol": f"{measured['eval/protocol']}; reconstruction, prior and codes of {self.test.protocol}, held out of "
            f"{len(self.data):,}",
        }

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        return {"reconstructions": self.reconstructions, "codes": self.coded}

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out pictures, each above its reconstruction, [n, 2 H, W, C] uint8."""
        images = self.test.reference(len(self.test))[:n]
        return np.concatenate([images, self._pictures(self._codes(images))], axis=1)

    def coded(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out pictures, each beside its codes in colours and its reconstruction, [n, H, 3 W, 3] uint8.

        Codes that are near each other have like colours: the codebook's three principal axes are red, green and blue.
        """
        images = self.test.reference(len(self.test))[:n]
        k, (height, width, _) = np.asarray(self._codes(images)), self.shape
        e = np.asarray(self.e) - np.mean(self.e, axis=0)
        ranks = (e @ np.linalg.svd(e, full_matrices=False)[2][:3].T).argsort(axis=0).argsort(axis=0)  # [K, 3 or fewer]
        colours = np.zeros((len(e), 3), np.uint8)
        colours[:, : ranks.shape[1]] = 255 * ranks // (len(e) - 1)
        rows, columns = np.arange(height) * self.grid[0] // height, np.arange(width) * self.grid[1] // width
        drawn = colours[k].reshape(-1, *self.grid, 3)[:, rows][:, :, columns]
        return np.concatenate(
            [np.broadcast_to(images, drawn.shape), drawn, np.broadcast_to(self._pictures(k), drawn.shape)], axis=2
        )

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        T = self.grid[0] * self.grid[1]

        @tf.function(input_signature=[tf.TensorSpec((None, T), tf.float32, "noise")])
        def generate(noise: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures as bytes [N, H, W, C] and their codes [N, T], drawn from the prior by numbers from [0, 1) [N, T]."""
            k = self.prior.draw(tf.transpose(noise))
            return {"image": self._pictures(k), "codes": k}

        @tf.function(input_signature=[tf.TensorSpec((None, *self.shape), tf.uint8, "image")])
        def encode(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """The codes [N, T] of pictures as bytes [N, H, W, C], row by row."""
            return {"codes": self._codes(image)}

        @tf.function(input_signature=[tf.TensorSpec((None, T), tf.int32, "codes")])
        def decode(codes: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures as bytes [N, H, W, C] of codes [N, T]."""
            return {"image": self._pictures(codes)}

        return {"generate": generate, "encode": encode, "decode": decode}

    def state(self) -> dict[str, Any]:
        names = (
            "encoder",
            "decoder",
            "e",
            "N",
            "m",
            "prior",
            "optimizer",
            "prior_optimizer",
            "stream",
            "noise_seed",
            "clock",
        )
        return {name: getattr(self, name) for name in names}

    def close(self) -> None:
        self.stream.close()


def _key(seed: int, position: int) -> tf.Tensor:
    return tf.constant([seed, position], tf.int64)
