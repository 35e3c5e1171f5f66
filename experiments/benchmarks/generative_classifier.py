"""Train the small digit classifier whose features core/metrics/features.py compares, and write its weights.

    python -m experiments.benchmarks.generative_classifier

Trained on mnist5k's examples 0 to 399 of every digit, shifted by up to two pixels; the last 100 of each are for the accuracy
that it prints. About a minute on two cores.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from core.iterate import Order
from core.metrics.features import CLASSIFIER, digit_classifier
from core.runtime import configure
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data

__all__ = ["main"]

EPOCHS, BATCH, SEED = 25, 100, 1


def main() -> None:
    """Train, print the accuracy on held-out digits, write the weights."""
    configure(deterministic=True)
    keras.utils.set_random_seed(SEED)
    data = open_data(DataConfig("mnist5k"))
    assert isinstance(data, Pictures) and data.labels is not None
    x, y = data.reference(len(data)).astype(np.float32) / 255, data.labels
    held_out = np.concatenate([np.flatnonzero(y == digit)[-100:] for digit in range(10)])
    train = np.setdiff1d(np.arange(len(y)), held_out)

    model = digit_classifier()
    steps = EPOCHS * len(train) // BATCH
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps))
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            loss = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, model(images, training=True))
            loss = tf.reduce_mean(loss)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    order = Order(len(train), BATCH, SEED)
    for position in range(steps):
        chosen = train[order.indices(position)]
        rng = np.random.default_rng([SEED, position])
        images = np.stack([np.roll(x[i], rng.integers(-2, 3, size=2), axis=(0, 1)) for i in chosen])
        loss = update(tf.constant(images), tf.constant(y[chosen]))
        if (position + 1) % (5 * len(train) // BATCH) == 0:
            print(f"{position + 1:,} updates: loss {float(loss):.4f}", flush=True)
    accuracy = np.mean(np.asarray(model(x[held_out], training=False)).argmax(axis=1) == y[held_out])
    np.savez_compressed(CLASSIFIER, **{f"w{i}": w for i, w in enumerate(model.get_weights())})
    print(
        f"accuracy on {len(held_out):,} held-out digits {accuracy:.1%}; {CLASSIFIER} {CLASSIFIER.stat().st_size:,} bytes"
    )


if __name__ == "__main__":
    main()
