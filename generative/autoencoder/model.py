"""Autoencoders: Bengio et al. (2007), Vincent et al. (2008, 2010), and Ng's lecture notes CS294A for sparse ones.

One update of the layer that learns, in the notation of Vincent et al. (2010), s the sigmoid:

    x ~ data, or what the layers below make of it; x~ = x with each entry kept with probability `keep`, else 0
    y = s(W x~ + b)                                                               eq. 1
    z = s(W' y + b')                                                              eq. 2
    (W, b, W', b') <- Adam(grad E[L(x, z)] + penalties),  L(x, z) = |x - z|^2 / 2, or the cross entropy of x and z  eqs. 3, 4
    penalties: l2/2 sum W^2, and for sparse beta sum_j KL(rho || mean y_j), or l1 sum_j mean |y_j|

Stacked: layer after layer learns so (greedy pre-training), then encoders and a classifier U on top of them learn labels c:

    (W, b, U) <- Adam(grad E[-log softmax(U y)_c])
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.errors import UsageError, require
from core.losses.sparsity import kl_sparsity, l1_sparsity
from core.losses.variational import bernoulli_nll
from core.metrics.image_quality import psnr
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Embeds, Exports, Generator
from core.seeds import child
from generative.autoencoder.config import AutoencoderConfig
from generative.autoencoder.measures import best_median, enlarged, side_by_side, way, weights_as_pictures
from generative.autoencoder.networks import make_classifier, make_layers
from generative.data.labels import Labelled, classes_of
from generative.data.sources import Pictures, Stream, open_data

__all__ = ["Autoencoder"]

MEASURE_SEED = 2  # of the pixels that are missing in evaluations, so that numbers compare over time
AT_ONCE = 250  # pictures in one forward pass
STEPS = 10  # of a way between two pictures
DRAWN = {"filters": 100, "reconstructions": 24, "interpolation": 8}
OF_LAYER: tuple[str, ...] = ("loss/total", "loss/reconstruction", "loss/penalty")
OF_LABELS: tuple[str, ...] = ("loss/total", "loss/error")


@final
class Autoencoder(Generator, Embeds, Exports):
    """The model. Pictures are bytes outside, floats in [0, 1] for the layers."""

    def __init__(self, config: AutoencoderConfig, context: Context):
        self.config = config
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            raise UsageError(
                f"data.source is {config.data.source!r}; autoencoder needs a fixed set of pictures, e.g. mnist5k"
            )
        require(
            config.held_out < len(data),
            f"held_out is {config.held_out}; it must be less than the {len(data)} pictures of {data.name}",
        )
        self.train, self.test = data.split(config.held_out)
        self.stream = Stream(self.train, config.batch, child(context.seed, "batches"))
        seed = child(context.seed, "network")
        layers = make_layers(data.shape, config, seed)
        self.encoders = {str(i): encoder for i, (encoder, _) in enumerate(layers)}  # from the picture up
        self.decoders = {str(i): decoder for i, (_, decoder) in enumerate(layers)}
        self.optimizers = [make_optimizer(config.optimizer, _weights(*layer)) for layer in layers]
        self.optimizer = self.optimizers[0]  # of the beginning: what lr-find tests
        self.labelled: Stream | None = None
        self.classifier: Any = None
        self.classes = np.array([], np.int64)
        if config.kind == "stacked":
            self._add_classifier(data, context, seed)
        self.noise_seed = child(context.seed, "noise")
        self.clock = 0
        self._traced = [tf.function(partial(self._update, i)) for i in range(len(layers))]
        self._traced.append(tf.function(self._fine_tune))

    def _add_classifier(self, data: Pictures, context: Context, seed: int) -> None:
        self.classes = classes_of(data, context.folder)
        require(
            len(self.classes) >= 2,
            f"kind is 'stacked', which learns labels; {data.name} has {'one label' if len(self.classes) else 'none'}",
        )
        require(
            self.config.labels <= len(self.train),
            f"labels is {self.config.labels}; there are {len(self.train)} pictures of {data.name} to learn from",
        )
        known = Labelled(self.train.first(self.config.labels), self.classes)
        self.labelled = Stream(known, self.config.batch, child(context.seed, "labelled"))
        self.classifier = make_classifier(self.config, len(self.classes), seed)
        self.optimizers.append(
            make_optimizer(self.config.optimizer, _weights(*self.encoders.values(), self.classifier))
        )

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update of the layer whose turn it is, or of the whole stack on labels; returns the terms of its loss."""
        layer = self.config.learning(self.clock)
        if layer == len(self.encoders):
            assert self.labelled is not None
            tags, values = OF_LABELS, self._traced[layer](*self.labelled.next())
        else:
            tags, values = OF_LAYER, self._traced[layer](self.stream.next(), _key(self.noise_seed, self.clock))
        self.clock += 1
        return dict(zip(tags, values, strict=True))

    def _update(self, i: int, images: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        """One step of layer i on pictures [B, H, W, C] as bytes; key (seed, clock) is that of what is missing."""
        encoder, decoder = self.encoders[str(i)], self.decoders[str(i)]
        x = self._below(i, _as_floats(images))  # what the layer shall reconstruct, [B, ...] in [0, 1]
        with tf.GradientTape() as tape:
            y = encoder(self._corrupted(x, key))  # [B, H]
            reconstruction = tf.reduce_mean(self._distance(decoder(y), x))
            penalty = self._penalty(y, [v for v in _weights(encoder, decoder) if len(v.shape) > 1])
            loss = reconstruction + penalty
        weights = _weights(encoder, decoder)
        self.optimizers[i].apply(tape.gradient(loss, weights), weights)
        return [loss, reconstruction, penalty]

    def _below(self, i: int, x: Any) -> Any:
        """Return what layer i is given: x [B, H, W, C] through the encoders below it."""
        for below in range(i):
            x = self.encoders[str(below)](x)
        return x

    def _corrupted(self, x: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Return x with each entry set to 0 but for a share `keep` (masking noise: Vincent et al., 2010, section 3.3)."""
        keep = self.config.own("keep")
        return x if keep == 1 else x * tf.cast(tf.random.stateless_uniform(tf.shape(x), key) < keep, tf.float32)

    def _distance(self, logits: tf.Tensor, x: tf.Tensor) -> tf.Tensor:
        """Return L(x, z) [B] of z = sigmoid(logits), summed over entries."""
        if self.config.own("loss") == "cross-entropy":
            return bernoulli_nll(logits, x)
        return 0.5 * tf.reduce_sum(tf.square(tf.sigmoid(logits) - x), axis=list(range(1, len(x.shape))))

    def _penalty(self, y: tf.Tensor, kernels: list[Any]) -> tf.Tensor:
        """Return the weight decay and the price of activations y [B, H] (CS294A: J_sparse without its first term)."""
        config = self.config
        penalty = 0.5 * config.own("l2") * tf.add_n([tf.reduce_sum(tf.square(kernel)) for kernel in kernels])
        if config.sparsity == "kl":
            penalty += config.beta * tf.reduce_sum(kl_sparsity(y, config.rho))
        if config.sparsity == "l1":
            penalty += config.l1 * tf.reduce_sum(l1_sparsity(y))
        return penalty

    def _fine_tune(self, images: tf.Tensor, c: tf.Tensor) -> list[tf.Tensor]:
        """One step of the stack and its classifier on pictures [B, H, W, C] as bytes and numbers of labels c [B]."""
        weights = _weights(*self.encoders.values(), self.classifier)
        with tf.GradientTape() as tape:
            logits = self.classifier(self._below(len(self.encoders), _as_floats(images)))  # [B, classes]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(c, logits))
        self.optimizers[-1].apply(tape.gradient(loss, weights), weights)
        return [loss, tf.reduce_mean(tf.cast(tf.argmax(logits, axis=1) != c, tf.float32))]

    # --- what it makes of pictures ----------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _code(self, images: tf.Tensor) -> tf.Tensor:
        return self._below(len(self.encoders), _as_floats(images))

    @tf.function(reduce_retracing=True)
    def _decode(self, y: tf.Tensor) -> tf.Tensor:
        """Return pictures [B, H, W, C] as bytes for codes [B, H]."""
        for i in reversed(range(len(self.decoders))):
            y = tf.sigmoid(self.decoders[str(i)](y))
        return tf.cast(tf.round(255.0 * y), tf.uint8)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Return the codes [N, H] float32 of bytes [N, H, W, C]."""
        return np.concatenate([self._code(images[i : i + AT_ONCE]) for i in range(0, len(images), AT_ONCE)])

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Return pictures [N, H, W, C] uint8 for codes [N, H]."""
        return np.concatenate([self._decode(codes[i : i + AT_ONCE]) for i in range(0, len(codes), AT_ONCE)])

    def reconstruct(self, images: np.ndarray) -> np.ndarray:
        """Return what is left of pictures [N, H, W, C] uint8 after their code."""
        return self.decode(self.embed(images))

    def _missing(self, images: np.ndarray, seed: int) -> np.ndarray:
        """Return pictures [N, H, W, C] uint8 with pixels missing as in training."""
        seen = self._corrupted(tf.constant(images, tf.float32), _key(seed, -1))
        return np.asarray(seen).astype(np.uint8)

    # --- measures and pictures ------------------------------------------------------------------------------------------

    def evaluate(self) -> Mapping[str, Any]:
        """Return measures on pictures that are held out.

        eval/error, the headline: the mean squared error of a pixel in [0, 1], given the picture as in training; of stacked the
        share of pictures whose label it does not read. Sparse: eval/mean_activation, of all units over all pictures, and
        eval/zeros, the share of activations below 0.01. Where pixels are missing: eval/psnr_noisy, eval/psnr_denoised and
        eval/psnr_median, in dB. Stacked: eval/accuracy.
        """
        config, images = self.config, self.test.reference(len(self.test))
        y = self.embed(images)
        measured: dict[str, Any] = {}
        if config.kind == "sparse":
            measured |= {"eval/mean_activation": float(y.mean()), "eval/zeros": float(np.mean(y < 0.01))}
        what = f"kind {config.kind}, code of {y.shape[1]}"
        if self.classifier is not None:
            assert self.test.labels is not None
            read = self.classes[np.argmax(self.classifier(y), axis=1)]
            accuracy = float(np.mean(read == self.test.labels[self.test.spread(len(self.test))]))
            measured |= {"eval/accuracy": accuracy, "eval/error": 1.0 - accuracy}
            start = (
                f"after {config.pretrain_updates} updates a layer on pictures" if config.pretrain else "from scratch"
            )
            what += f"; error: share of pictures whose label is not read, by {config.labels} labels, {start}"
        else:
            seen = self._missing(images, MEASURE_SEED)
            made = self.reconstruct(seen)
            measured["eval/error"] = float(np.mean(np.square((made.astype(float) - images) / 255)))
            what += "; error: mean squared error of a pixel in [0, 1]"
            if config.own("keep") < 1:
                median, side = best_median(seen, images)
                for name, of in (("noisy", seen), ("median", median), ("denoised", made)):
                    measured[f"eval/psnr_{name}"] = psnr(of, images)
                what += (
                    f", each kept with probability {config.own('keep'):g}; PSNR of all pictures' mean squared error, "
                )
                what += f"median filter {side}x{side}, the better of 3x3 and 5x5"
        return measured | {
            "eval/protocol": f"{what}; {self.test.protocol}, held out of {len(self.train) + len(self.test):,}",
            **{f"samples/{name}": draw(DRAWN[name], 0) for name, draw in self.pictures.items()},
        }

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        if self.classifier is not None:  # labels change the encoders, to which the decoders then no longer belong
            return {"filters": self.filters}
        return {"filters": self.filters, "reconstructions": self.reconstructions, "interpolation": self.interpolation}

    def filters(self, n: int, seed: int = 0) -> np.ndarray:
        """Return what the first n units of the first layer look for, [n, H, W, C] uint8; of convolutional its first kernels."""
        kernel = next(v for v in self.encoders["0"].trainable_variables if len(v.shape) > 1)
        return enlarged(weights_as_pictures(np.asarray(kernel), self.train.shape)[:n])

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n held-out pictures beside what is made of them, [n, H, W, C] uint8.

        Picture, reconstruction; where pixels are missing: what is seen, median filter, denoised, picture.
        """
        images = self.test.reference(len(self.test))[:n]
        if self.config.own("keep") == 1:
            row = [images, self.reconstruct(images)]
        else:
            seen = self._missing(images, seed)
            row = [seen, best_median(seen, images)[0], self.reconstruct(seen), images]
        return enlarged(side_by_side([np.concatenate(row, axis=2)]))

    def interpolation(self, n: int, seed: int = 0) -> np.ndarray:
        """Return one picture [1, H, W, C] uint8 of n rows, at most 16: a held-out picture, ten on the straight way from its code
        to another's, the other."""
        n = min(n, 16)
        images = self.test.reference(len(self.test))
        a, b = np.random.default_rng([seed, 1]).integers(len(images), size=(2, n))
        codes = way(self.embed(images[a]), self.embed(images[b]), STEPS)  # [n, 10, H]
        made = self.decode(codes.reshape(n * STEPS, -1)).reshape(n, STEPS, *self.train.shape)
        rows = enlarged(side_by_side([images[a], np.concatenate(list(made.swapaxes(0, 1)), axis=2), images[b]]))
        return rows.reshape(1, -1, *rows.shape[2:])

    # --- the contract ---------------------------------------------------------------------------------------------------

    def extractor(self) -> keras.Model:
        x = keras.Input(self.train.shape)
        return keras.Model(x, self._below(len(self.encoders), x), name="body")

    def exportable(self) -> Mapping[str, Any]:
        pictures = [tf.TensorSpec((None, *self.train.shape), tf.uint8, "image")]

        @tf.function(input_signature=pictures)
        def embed(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """The code [N, H] of pictures as bytes [N, H, W, C]."""
            return {"features": self._code(image)}

        @tf.function(input_signature=pictures)
        def reconstruct(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """What is left of pictures as bytes [N, H, W, C] after their code; of noisy ones they are denoised."""
            return {"reconstruction": self._decode(self._code(image))}

        @tf.function(input_signature=pictures)
        def classify(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """The label [N] of pictures as bytes [N, H, W, C], and the probability [N, K] of every label in order."""
            logits = self.classifier(self._code(image))
            labels = tf.gather(tf.constant(self.classes), tf.argmax(logits, axis=1))
            return {"label": labels, "probability": tf.nn.softmax(logits)}

        return {
            "embed": embed,
            **({"classify": classify} if self.classifier is not None else {"reconstruct": reconstruct}),
        }

    def state(self) -> dict[str, Any]:
        return {
            "encoders": self.encoders,
            "decoders": self.decoders,
            "classifier": self.classifier,
            "optimizers": self.optimizers,
            "noise_seed": self.noise_seed,
            "clock": self.clock,
            "stream": self.stream,
            "labelled": self.labelled,
        }

    def close(self) -> None:
        self.stream.close()
        if self.labelled is not None:
            self.labelled.close()


def _weights(*models: keras.Model) -> list[Any]:
    return [variable for model in models for variable in model.trainable_variables]


def _as_floats(images: tf.Tensor) -> tf.Tensor:
    return tf.cast(images, tf.float32) / 255.0


def _key(seed: int, position: int) -> tf.Tensor:
    return tf.constant([seed, position], tf.int64)
