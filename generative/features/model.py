"""Feature extractors: what maps a picture to a vector, so that the vectors of like pictures lie near each other.

One update, x ~ data with identities y (labels, or the picture's own number), v and v' random views:

    labels       W, U <- Adam(grad E[-log softmax(U f(v(x)))_y])
    siamese      W <- Adam(grad E[sum_j contrastive loss of (f(v(x_i)), f(v'(x_j')))]), together where y_i = y_j
    triplet      W <- Adam(grad E[max(0, |f(v(x_i)) - f(v'(x_i'))|^2 - |f(v(x_i)) - f(v'(x_n'))|^2 + m)]), n semi-hard
    autoencoder  W, U <- Adam(grad E[(g(f(v(x))) - v(x))^2])

x' is x itself, or another picture of its label.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean, whole_batch
from core.errors import UsageError, require
from core.iterate import Order
from core.losses.metric import contrastive, semi_hard, triplet
from core.metrics.retrieval import nearest
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Embeds, Exports, Generator
from core.seeds import child
from generative.data.labels import classes_of
from generative.data.sources import Pictures, Stream, open_data
from generative.features.config import FeaturesConfig, Method
from generative.features.measures import dimensions, plane, scatter, thumbnails
from generative.features.networks import make_body, make_classifier, make_decoder
from generative.features.views import views

__all__ = ["Features"]

MEASURE_SEED = 2  # of the views in evaluations, so that numbers compare over time
MEASURED, SEARCHED = 1_000, 20_000  # pictures that look for their nearest neighbour, and among how many, at most
AT_ONCE = 250  # pictures in one forward pass
NEIGHBOURS, GAP = 5, 4  # pictures in a row of neighbours, and pixels before them
DRAWN = {"embedding": 5_000, "neighbours": 16, "reconstructions": 36}

TAGS: dict[Method, tuple[str, ...]] = {
    "labels": ("loss/total", "loss/error"),
    "siamese": ("loss/total", "loss/together", "loss/apart"),
    "triplet": ("loss/total", "loss/violations"),
    "autoencoder": ("loss/total",),
}


@final
class Features(Generator, Embeds, Exports):
    """The model. Pictures are bytes outside, floats in [0, 1] for the body f."""

    def __init__(self, config: FeaturesConfig, context: Context):
        self.config = config
        check_batch(config.batch, context.strategy)
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            raise UsageError(
                f"data.source is {config.data.source!r}; features needs a fixed set of pictures, e.g. mnist5k"
            )
        count = round(config.held_out * len(data))
        require(
            2 <= count <= len(data) - 2,
            f"held_out is {config.held_out:g}, which is {count} of the {len(data)} pictures of {data.name}; at least 2 must be "
            "held out, and as many left",
        )
        self.classes = classes_of(data, context.folder)
        self.method = self._method(data)
        self.train, self.test = data.split(count)
        self.together = config.together == "labels" and self.method in ("siamese", "triplet")
        self.stream = Stream(
            _Batches(self.train, self.classes, self.method == "labels", self.together),
            config.batch,
            child(context.seed, "batches"),
        )
        seed = child(context.seed, "network")
        self.body = make_body(data.shape, config, seed, unit=self.method == "triplet")
        self.classifier: Any = make_classifier(config, len(self.classes), seed) if self.method == "labels" else None
        self.decoder: Any = make_decoder(data.shape, config, seed) if self.method == "autoencoder" else None
        models = [model for model in (self.body, self.classifier, self.decoder) if model is not None]
        self.variables = [variable for model in models for variable in model.trainable_variables]
        self.optimizer = make_optimizer(config.optimizer, self.variables)
        self.view_seed = child(context.seed, "views")
        self.clock = 0
        self._update_traced = tf.function(partial(on_replicas, self._update))

    def _method(self, data: Pictures) -> Method:
        """Return what the configuration asks for. Raises UsageError for a method that needs labels where there are none."""
        config, labelled = self.config, len(self.classes) >= 2
        method: Method = config.method if config.method != "auto" else ("labels" if labelled else "triplet")
        for name, needs in (("method", method), ("together", config.together)):
            require(
                labelled or needs != "labels",
                f"{name} is 'labels'; {data.name} has {'one label' if len(self.classes) else 'no labels'}, leave it out",
            )
        require(
            method in ("siamese", "triplet") or config.together == "views",
            f"together is {config.together!r}; method auto is {method} for {data.name}, choose siamese or triplet",
        )
        return method

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update; returns its loss and the terms of it."""
        x, x_other, y = self.stream.next()  # [B, H, W, C] bytes twice, [B]
        values = self._update_traced(x, x_other, y, _key(self.view_seed, self.clock))
        self.clock += 1
        return dict(zip(TAGS[self.method], tf.unstack(values), strict=True))

    def _update(self, x: tf.Tensor, x_other: tf.Tensor, y: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """One step on a batch x [B, H, W, C] with identities y [B]; x_other are what siamese and triplet bring to x."""
        v = share(self._seen(x, key))
        with tf.GradientTape() as tape:
            if self.method == "labels":
                values = self._of_labels(v, share(y))
            elif self.method == "autoencoder":
                values = [tf.reduce_mean(tf.square(self.decoder(self.body(v)) - v))]
            else:
                v_other = share(self._seen(x_other, tf.stack([key[0] + 1, key[1]])))
                of_pairs = self._of_pairs if self.method == "siamese" else self._of_triplets
                values = of_pairs(self.body(v), whole_batch(self.body(v_other)), y)
            part = share_of_mean(values[0])
        self.optimizer.apply(tape.gradient(part, self.variables), self.variables)
        return tf.stack(values)

    def _of_labels(self, v: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        """Return the cross entropy of the classifier on top of the features, and the share of the batch that it has wrong."""
        logits = self.classifier(self.body(v))  # [B, classes]
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        return [loss, tf.reduce_mean(tf.cast(tf.argmax(logits, axis=1) != y, tf.float32))]

    def _of_pairs(self, f: tf.Tensor, others: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        """Return the contrastive loss, the sum over an anchor's pairs with the whole batch, mean over anchors; and its two parts.

        f [b, F] are this replica's anchors, others [B, F] the other pictures of the whole batch.
        """
        b, B = tf.shape(f)[0], tf.shape(others)[0]
        same = share(y)[:, None] == y  # [b, B], true on the batch's diagonal
        left, right = tf.repeat(f, B, axis=0), tf.tile(others, (b, 1))  # [b B, F]
        loss = contrastive(left, right, tf.reshape(same, [-1]), self.config.margin_of(self.method))
        loss, same = tf.reshape(loss, (b, B)), tf.cast(same, tf.float32)
        together = tf.reduce_mean(tf.reduce_sum(same * loss, axis=1))
        apart = tf.reduce_mean(tf.reduce_sum((1.0 - same) * loss, axis=1))
        return [together + apart, together, apart]

    def _of_triplets(self, f: tf.Tensor, others: tf.Tensor, y: tf.Tensor) -> list[tf.Tensor]:
        """Return the triplet loss with semi-hard negatives from the whole batch, and the share of triplets that have a loss.

        f [b, F] are this replica's anchors, others [B, F] the other pictures of the whole batch, of which row i is anchor i's
        positive. An anchor without a negative in the batch counts 0.
        """
        positive, different = share(others), share(y)[:, None] != y  # [b, F], [b, B]
        negative = tf.gather(others, semi_hard(f, positive, others, different))  # [b, F]
        loss = triplet(f, positive, negative, self.config.margin_of(self.method))
        loss *= tf.cast(tf.reduce_any(different, axis=1), tf.float32)
        return [tf.reduce_mean(loss), tf.reduce_mean(tf.cast(loss > 0, tf.float32))]

    def _seen(self, x: Any, key: tf.Tensor) -> tf.Tensor:
        """Return random views of bytes [B, H, W, C] as floats in [0, 1]."""
        return views(tf.cast(x, tf.float32) / 255, key, self.config.views, self.config.data.mirror)

    @tf.function(reduce_retracing=True)
    def _features(self, x: tf.Tensor) -> tf.Tensor:
        return self.body(x, training=False)

    def embed(self, images: Any) -> np.ndarray:
        """Return the features [N, F] float32 of bytes, or of floats in [0, 1], [N, H, W, C]."""
        scale = 255 if images.dtype == np.uint8 else 1
        parts = (np.asarray(images[i : i + AT_ONCE], np.float32) / scale for i in range(0, len(images), AT_ONCE))
        return np.concatenate([self._features(part) for part in parts])

    # --- measures and pictures ------------------------------------------------------------------------------------------

    def evaluate(self) -> Mapping[str, Any]:
        """Return how often a held-out picture's nearest neighbour is of its label, or its own view, and pictures.

        eval/same_label: the nearest among the pictures learned from; eval/same_picture: a view of a held-out picture finds it
        among all held-out ones; eval/nearest, the headline: the former where there are labels, else the latter. eval/accuracy: of
        the classifier; eval/dimensions: how many the features fill, see `dimensions`.
        """
        (images, y), (known, y_known) = _examples(self.test, MEASURED), _examples(self.train, SEARCHED)
        f, f_known = self.embed(images), self.embed(known)
        f_seen = self.embed(np.asarray(self._seen(images, _key(MEASURE_SEED, -1))))
        measured: dict[str, Any] = {
            "eval/same_picture": float(np.mean(nearest(f_seen, f)[:, 0] == np.arange(len(f)))),
            "eval/dimensions": dimensions(f_known),
        }
        if y is not None and y_known is not None:
            measured["eval/same_label"] = float(np.mean(y_known[nearest(f, f_known)[:, 0]] == y))
        if self.classifier is not None and y is not None:
            found = self.classes[np.argmax(self.classifier(f, training=False), axis=1)]
            measured["eval/accuracy"] = float(np.mean(found == y))
        what = "same_label" if y is not None else "same_picture"
        return measured | {
            "eval/nearest": measured[f"eval/{what}"],
            "eval/protocol": f"method {self.method}, {self.config.features} features; nearest is {what}; same_label: the nearest "
            f"in Euclidean distance of {len(f_known):,} pictures learned from; same_picture: a random view among {len(f):,} "
            f"pictures; {self.test.protocol}, held out of {len(self.train) + len(self.test):,}",
            **{f"samples/{name}": draw(DRAWN[name], 0) for name, draw in self.pictures.items()},
        }

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8; nothing of it is drawn by chance."""
        drawn = {"embedding": self.embedding, "neighbours": self.neighbours}
        return drawn | ({"reconstructions": self.reconstructions} if self.decoder is not None else {})

    def embedding(self, n: int, seed: int = 0) -> np.ndarray:
        """Return a picture [1, H, W, C] of the features of about n pictures, held-out ones first; of F > 2 in two principal axes.

        Labelled ones are points in the colour of their label, others are shown themselves.
        """
        (images, y), (known, y_known) = _examples(self.test, n), _examples(self.train, max(n - len(self.test), 1))
        f, f_known = self.embed(images), self.embed(known)
        origin, axes = plane(f_known)
        points = (np.concatenate([f, f_known]) - origin) @ axes  # [n, 2]
        if y is None or y_known is None:
            return thumbnails(points, np.concatenate([images, known]))[None]
        return scatter(points, np.concatenate([y, y_known]), len(f))[None]

    def neighbours(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n held-out pictures, each before the five learned from that are nearest to it, [n, H, 6 W + gap, C] uint8."""
        (images, _), (known, _) = _examples(self.test, n), _examples(self.train, SEARCHED)
        found = known[nearest(self.embed(images), self.embed(known), min(NEIGHBOURS, len(known)))]  # [n, 5, H, W, C]
        gap = np.full((*images.shape[:2], GAP, images.shape[3]), 255, np.uint8)
        return np.concatenate([images, gap, *np.moveaxis(found, 1, 0)], axis=2)

    def reconstructions(self, n: int, seed: int = 0) -> np.ndarray:
        """Return the first n held-out pictures, each above what the autoencoder makes of it, [n, 2 H, W, C] uint8."""
        images, _ = _examples(self.test, n)
        made = np.asarray(self.decoder(self.embed(images), training=False))
        return np.concatenate([images, np.round(np.clip(made, 0, 1) * 255).astype(np.uint8)], axis=1)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def extractor(self) -> keras.Model:
        return self.body

    def exportable(self) -> Mapping[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, *self.train.shape), tf.uint8, "image")])
        def embed(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """The features [N, F] of pictures as bytes [N, H, W, C]."""
            return {"features": self.body(tf.cast(image, tf.float32) / 255, training=False)}

        return {"embed": embed}

    def state(self) -> dict[str, Any]:
        return {
            "body": self.body,
            "classifier": self.classifier,
            "decoder": self.decoder,
            "optimizer": self.optimizer,
            "clock": self.clock,
            "view_seed": self.view_seed,
            "stream": self.stream,
        }

    def close(self) -> None:
        self.stream.close()


class _Batches:
    """Batches of pictures with what tells them apart, for a `Stream`."""

    def __init__(self, data: Pictures, classes: np.ndarray, by_label: bool, together: bool):
        self.data, self.classes, self.by_label, self.together = data, classes, by_label or together, together
        self.members: list[np.ndarray] = []
        if self.together and data.labels is not None:
            self.members = [np.flatnonzero(data.labels == label) for label in classes]

    def draw(self, seed: int, position: int, batch: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return pictures [B, H, W, C] bytes, what belongs to each, and identities [B]: numbers of labels or of pictures."""
        rows = Order(len(self.data), batch, seed).indices(position)
        x, y = self.data.rows_at(rows), rows
        if self.by_label and self.data.labels is not None:
            y = np.searchsorted(self.classes, self.data.labels[rows])
        if not self.together:
            return x, x, y
        rng = np.random.default_rng([seed, position, 2])
        others = np.array([rng.choice(self.members[label]) for label in y])
        return x, self.data.rows_at(others), y


def _examples(data: Pictures, count: int) -> tuple[np.ndarray, np.ndarray | None]:
    """Return at most `count` pictures [N, H, W, C], always the same, and their labels [N], None where there are none."""
    return data.reference(count), None if data.labels is None else data.labels[data.spread(count)]


def _key(seed: int, position: int) -> tf.Tensor:
    return tf.constant([seed, position], tf.int64)
