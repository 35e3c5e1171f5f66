"""StyleGAN (Karras, Laine and Aila, 2019), with the non-saturating loss and R1 (Mescheder et al., 2018).

One update, f the mapping, g the synthesis network of G, x ~ data, z, z' ~ N(0, 1):

    w = f(z), w' = f(z');  layer l of g has style w, in a share `mixing` of the pictures w' from a layer on that is drawn
    x_fake = g(styles, noise)
    theta_D <- Adam(theta_D, grad -[log D(x) + log(1 - D(x_fake))] + gamma / 2 |grad_x D(x)|^2)
    theta_G <- Adam(theta_G, grad -log D(x_fake))                     D already updated, the same styles and noise
    w_mean <- decay w_mean + (1 - decay) mean of w
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.layers.ema import follow
from core.losses.adversarial import nonsaturating_generator, standard_discriminator, zero_centred_penalty
from core.metrics.disentanglement import lerp, path_lengths, separability, slerp
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, Exports, Generator
from core.seeds import child
from generative.adversarial.evaluation import Evaluation
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Stream, open_data
from generative.stylegan.config import StyleGANConfig
from generative.stylegan.networks import layer_sides, make_discriminator, make_mapping, make_synthesis

__all__ = ["StyleGAN"]

TAGS = ("loss/discriminator", "loss/generator", "loss/penalty", "critic/real", "critic/fake")
GRID_SEED, PATH_SEED = 1, 4  # fixed noise, so that pictures and numbers compare over time
AT_ONCE = 250  # pictures in one forward pass
TRUNCATED = 32  # pixels of the larger side of the last layer that truncation reaches
PSI = (1.0, 0.7, 0.5, 0.0, -0.5, -1.0)  # of the sheet, as in the paper's figure 8
EPSILON = 1e-4


@final
class StyleGAN(Generator, Draws, Exports):
    """The model."""

    def __init__(self, config: StyleGANConfig, context: Context):
        self.config = config
        self.data = data = open_data(config.data, context.say, context.folder)
        seed = context.seed
        self.f, self.g = make_mapping(config, seed), make_synthesis(data, config, seed)
        self.f_average = make_mapping(config, seed) if config.ema else self.f
        self.g_average = make_synthesis(data, config, seed) if config.ema else self.g
        self.D = make_discriminator(data, config, seed)
        sides = layer_sides(data.shape)
        self.layers, self.pixels = len(sides), sum(h * w for h, w in sides)
        self.truncated = tf.constant([max(side) <= TRUNCATED for side in sides])  # [layers]
        self.variables = [*self.f.trainable_variables, *self.g.trainable_variables]
        optimizer = config.optimizer
        self.G_optimizer = make_optimizer(optimizer, self.variables)
        optimizer = replace(optimizer, lr=optimizer.lr * config.d_lr_ratio)
        self.D_optimizer = make_optimizer(optimizer, self.D.trainable_variables)
        self.noise_seed = child(seed, "noise")
        self.stream = Stream(data, config.batch, child(seed, "batches"))
        self.clock = 0
        self.learns_with = ("f", "g", "D") if config.ema else ("D",)
        self._turn = tf.function(self._run_turn, jit_compile=config.jit)

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
            total += self._update(as_input(x[i]), tf.add(key, [0, i]))
            if self.config.ema:
                follow(self.f_average, self.f, self.config.ema, key[1] + i)
                follow(self.g_average, self.g, self.config.ema, key[1] + i)
        return tf.unstack(total / self.config.turn)

    def _update(self, x_real: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step of D, then one of G, for x_real [B, H, W, C] and key (seed, clock) of all that is drawn.

        G does not move in between, so one forward pass of it serves both.
        """
        config, B = self.config, self.config.batch
        fold = tf.random.experimental.stateless_fold_in
        z = tf.random.stateless_normal((2 * B, config.latent), key)
        noise = tf.random.stateless_normal((B, self.pixels), fold(key, 1))
        with tf.GradientTape() as G_tape:
            w = self.f(z, training=True)  # [2 B, L]
            x_fake = self.g([self._mixed(w, fold(key, 2)), noise], training=True)
            with G_tape.stop_recording():
                with tf.GradientTape() as D_tape:
                    real, fake = self.D(x_real, training=True), self.D(x_fake, training=True)  # [B]
                    D_loss = standard_discriminator(real, fake)
                    penalty = self._penalty(x_real, key[1])
                    total = D_loss + penalty
                gradient = D_tape.gradient(total, self.D.trainable_variables)
                self.D_optimizer.apply(gradient, self.D.trainable_variables)
            G_loss = nonsaturating_generator(self.D(x_fake, training=True))
        self.G_optimizer.apply(G_tape.gradient(G_loss, self.variables), self.variables)
        self.f.get_layer("mean").follow(w, config.w_decay)
        return tf.stack([D_loss, G_loss, penalty, tf.reduce_mean(real), tf.reduce_mean(fake)])

    def _mixed(self, w: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Return styles [B, layers, L] of w [2 B, L]: one half of them, in a share of the pictures the other from a layer on."""
        first, second = tf.split(w, 2)
        chance, place = tf.unstack(tf.random.stateless_uniform((2, self.config.batch), key))  # [B] each
        begin = 1 + tf.cast(place * (self.layers - 1), tf.int32)  # 1 ... layers - 1
        begin = tf.where(chance < self.config.mixing, begin, self.layers)
        return tf.where((tf.range(self.layers) < begin[:, None])[..., None], first[:, None], second[:, None])

    def _penalty(self, x_real: tf.Tensor, clock: tf.Tensor) -> tf.Tensor:
        """Return R1 [], gamma / 2 E|grad D|^2, r1_every times as much in every r1_every-th update and 0 in the others."""
        config = self.config

        def penalty() -> tf.Tensor:
            return config.r1 * config.r1_every * zero_centred_penalty(lambda x: self.D(x, training=True), x_real)

        if config.r1 == 0 or config.r1_every == 1:
            return penalty() if config.r1 else tf.constant(0.0)
        return tf.cond(clock % config.r1_every == 0, penalty, lambda: tf.constant(0.0))

    # --- samples --------------------------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _map(self, z: tf.Tensor) -> tf.Tensor:
        return self.f_average(z, training=False)

    @tf.function(reduce_retracing=True)
    def _synthesize(self, styles: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        return self.g_average([styles, noise], training=False)

    def _styles(self, w: tf.Tensor, psi: tf.Tensor) -> tf.Tensor:
        """Return w [B, L] for every layer [B, layers, L], pulled towards the mean by psi [B] where truncation reaches."""
        mean = self.f_average.get_layer("mean").mean.value
        psi = tf.where(self.truncated, psi[:, None], 1.0)[..., None]  # [B, layers, 1]
        return mean + psi * (w - mean)[:, None]

    def drawn(self, styles: Any, seed: int, same_noise: bool = False) -> np.ndarray:
        """Return pictures [n, H, W, C], floats about [-1, 1], of styles [n, layers, L]; with `same_noise` in all."""
        parts = []
        for i in range(0, len(styles), AT_ONCE):
            some = tf.convert_to_tensor(styles[i : i + AT_ONCE])
            noise = self._noise(1 if same_noise else len(some), self.pixels, seed, -2 if same_noise else -2 - i)
            parts.append(self._synthesize(some, tf.repeat(noise, len(some), axis=0) if same_noise else noise))
        return np.concatenate(parts)

    @staticmethod
    def _noise(n: int, numbers: int, seed: int, position: int = -1) -> tf.Tensor:
        return tf.random.stateless_normal((n, numbers), [seed, position])  # positions below 0 are those of no training

    def w(self, n: int, seed: int) -> tf.Tensor:
        """Return n draws of w [n, L]."""
        return self._map(self._noise(n, self.config.latent, seed))

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, H, W, C] uint8, truncated as the configuration says."""
        styles = self._styles(self.w(n, seed), tf.fill([n], self.config.truncation))
        return as_pictures(self.drawn(styles, seed))

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [1, H, W, C] uint8."""
        return {"mixing": self.mixing_sheet, "truncation": self.truncation_sheet}

    def mixing_sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return a sheet [1, H, W, C] uint8 of about n pictures: a column for each source A, a row for each source B.

        The first row is the sources A, the first column the sources B. Each other picture has the styles of A, but those of B
        in a third of the layers: coarse ones in the first third of the rows, middle ones in the next, fine ones in the last.
        """
        rows = max(1, round((n**0.5 - 1) / 3)) * 3
        columns = max(1, round(n / (rows + 1)) - 1)
        w = self.w(columns + rows, seed)
        A, B = w[:columns], w[columns:]
        third = tf.constant(np.arange(rows) * 3 // rows)  # [rows]
        of_layer = tf.constant(np.arange(self.layers) * 3 // self.layers)
        mixed = tf.where((of_layer == third[:, None])[:, None, :, None], B[:, None, None], A[None, :, None])
        alone = tf.repeat(w[:, None], self.layers, axis=1)
        pictures = as_pictures(
            self.drawn(tf.concat([alone, tf.reshape(mixed, [-1, self.layers, self.config.latent])], axis=0), seed, True)
        )
        blank = np.full((1, *self.data.shape), 255, np.uint8)
        cells = [blank, pictures[:columns]]
        for row in range(rows):
            first = columns + rows + row * columns
            cells += [pictures[columns + row : columns + row + 1], pictures[first : first + columns]]
        return self._sheet(np.concatenate(cells), rows + 1)

    def truncation_sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return a sheet [1, H, W, C] uint8 of about n pictures: a row for each w, a column for each psi of `PSI`."""
        rows = max(1, round(n / len(PSI)))
        psi = tf.tile(tf.constant(PSI), [rows])
        styles = self._styles(tf.repeat(self.w(rows, seed), len(PSI), axis=0), psi)
        return self._sheet(as_pictures(self.drawn(styles, seed, True)), rows)

    def _sheet(self, pictures: np.ndarray, rows: int) -> np.ndarray:
        """Return pictures [rows columns, H, W, C] as one [1, rows H, columns W, C]."""
        height, width, channels = self.data.shape
        grid = pictures.reshape(rows, -1, height, width, channels).swapaxes(1, 2)
        return grid.reshape(1, rows * height, -1, channels)

    # --- measures -------------------------------------------------------------------------------------------------------

    @cached_property
    def evaluation(self) -> Evaluation:
        """The measures, with their extractor: opened when training begins, so that drawing and exporting do without."""
        return Evaluation(self.data, self.config.eval_samples, self.config.extractor)

    def evaluate(self) -> Mapping[str, Any]:
        """Return the measures of `Evaluation`, path lengths, separability, and the two sheets.

        eval/path_length_z, eval/path_length_w: perceptual path length between random z along great circles, between random w
        along lines, without truncation and with one noise for all. Of digits eval/separability_z and eval/separability_w:
        the linear separability by the ten attributes "is it a k" of the digit classifier.
        """
        measured = self.evaluation.of_pictures(self)
        extractor, count = self.evaluation.extractor, self.config.path_samples
        assert extractor is not None
        z = np.asarray(self._noise(2 * count, self.config.latent, PATH_SEED), np.float64)
        a, b = np.split(z, 2)
        t = np.random.default_rng(child(PATH_SEED, "t")).uniform(size=count)
        measured |= {
            "eval/path_length_z": self._path_length(lambda t: self._map(slerp(a, b, t).astype(np.float32)), t),
            "eval/path_length_w": self._path_length(self._between_w(z.astype(np.float32)), t),
            "samples/mixing": self.mixing_sheet(70, GRID_SEED),
            "samples/truncation": self.truncation_sheet(48, GRID_SEED),
        }
        lengths = (
            f"; path lengths over {count:,} paths, epsilon {EPSILON:g}, squared distance of these features over epsilon^2, not "
            "truncated"
        )
        measured["eval/protocol"] = f"{measured['eval/protocol']}{lengths}"
        if extractor.reads_digits and self.data.digits == 1:
            z = np.asarray(self._noise(self.config.eval_samples, self.config.latent, PATH_SEED, -2))
            w = np.asarray(self._map(z))
            _, logits = extractor.outputs(as_pictures(self.drawn(self._untouched(w), PATH_SEED)))
            log_odds = _log_odds(logits.astype(np.float64))
            measured |= {
                "eval/separability_z": separability(z, log_odds),
                "eval/separability_w": separability(w, log_odds),
            }
            separable = (
                f"; separability of {len(z):,} samples by ten attributes, is it a k, that the same classifier reads"
            )
            measured["eval/protocol"] = f"{measured['eval/protocol']}{separable}"
        return measured

    def _between_w(self, z: np.ndarray) -> Callable[[np.ndarray], Any]:
        a, b = np.split(np.asarray(self._map(z), np.float64), 2)
        return lambda t: lerp(a, b, t).astype(np.float32)

    def _path_length(self, w_at: Callable[[np.ndarray], Any], t: np.ndarray) -> float:
        """Return the mean path length of paths t [N] -> w [N, L] at t."""
        extractor = self.evaluation.extractor
        assert extractor is not None

        def features(at: np.ndarray) -> np.ndarray:
            pictures = self.drawn(self._untouched(w_at(at)), PATH_SEED, same_noise=True)
            return extractor((pictures + 1) * 127.5)

        return float(path_lengths(features(t), features(t + EPSILON), EPSILON).mean())

    def _untouched(self, w: Any) -> tf.Tensor:
        """Return w [B, L] as the styles [B, layers, L] of all layers."""
        return tf.repeat(tf.convert_to_tensor(w)[:, None], self.layers, axis=1)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        specs = [
            tf.TensorSpec((None, self.config.latent), tf.float32, "latent"),
            tf.TensorSpec((None, self.pixels), tf.float32, "noise"),
            tf.TensorSpec((None,), tf.float32, "truncation"),
        ]

        @tf.function(input_signature=specs)
        def generate(latent: tf.Tensor, noise: tf.Tensor, truncation: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures as bytes [N, H, W, C] of z ~ N(0, 1) [N, L], noise ~ N(0, 1) [N, P] of all layers, psi [N], 1 for none."""
            styles = self._styles(self.f_average(latent, training=False), truncation)
            return {"image": as_bytes(self.g_average([styles, noise], training=False))}

        return {"generate": generate}

    def state(self) -> dict[str, Any]:
        names = ["f", "g", "D", "G_optimizer", "D_optimizer", "noise_seed", "stream", "clock"]
        names += ["f_average", "g_average"] if self.config.ema else []
        return {name: getattr(self, name) for name in names}

    def close(self) -> None:
        self.stream.close()


def _log_odds(logits: np.ndarray) -> np.ndarray:
    """Return log p_k / (1 - p_k) [N, K] of the classes' probabilities p = softmax(logits [N, K])."""
    others = np.stack([np.delete(logits, k, axis=1) for k in range(logits.shape[1])], axis=1)  # [N, K, K - 1]
    most = others.max(axis=-1)
    return logits - most - np.log(np.exp(others - most[..., None]).sum(axis=-1))
