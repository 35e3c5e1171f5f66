"""Train the small classifier that reads captioned shapes off pictures, and write its weights.

    python -m experiments.benchmarks.gan_cls_reader

Trained on freshly drawn pictures of all (colour, shape) pairs, also those that gan-cls never sees, since it must read them; the
accuracy that it prints is over other pictures of one thing and of one to three. About two minutes on two cores.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from core.runtime import configure
from generative.data.shape_reader import OUTPUTS, WEIGHTS, Reader, cells, network
from generative.data.shapes import PLACES, SEEN, UNSEEN, Thing, draw_scene, paint

__all__ = ["main", "measure"]

UPDATES, BATCH, SEED, TESTED = 2_500, 32, 1, 4_000
ALL = (*SEEN, *UNSEEN)


def main() -> None:
    """Train, write the weights, print the accuracy on other pictures."""
    configure(deterministic=True, device="cpu")
    keras.utils.set_random_seed(SEED)
    model = network()
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, UPDATES))
    optimizer.build(model.trainable_variables)

    @tf.function
    def update(
        x: tf.Tensor, labels: tf.Tensor
    ) -> tf.Tensor:  # x [B, 24, 24, 3], labels [B, 3]: colour + 1, shape, size
        with tf.GradientTape() as tape:
            heads = tf.split(model(x, training=True), OUTPUTS, axis=1)
            colour, shape, size = (
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels[:, i], head) for i, head in enumerate(heads)
            )
            filled = tf.cast(labels[:, 0] > 0, tf.float32)  # an empty cell has neither shape nor size
            loss = tf.reduce_mean(colour) + tf.reduce_sum(filled * (shape + size)) / tf.reduce_sum(filled)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for position in range(UPDATES):
        rng = np.random.default_rng([SEED, position])
        scenes = [draw_scene(rng, ALL) for _ in range(BATCH)]
        x = cells(np.stack([paint(scene, rng) for scene in scenes])).reshape(-1, *model.input_shape[1:])
        labels = np.zeros((BATCH, len(PLACES), 3), np.int32)
        for row, scene in zip(labels, scenes, strict=True):
            for thing in scene:
                row[thing.place] = thing.colour + 1, thing.shape, thing.size
        loss = update(tf.constant(x), tf.constant(labels.reshape(-1, 3)))
        if (position + 1) % 500 == 0:
            print(f"{position + 1:,} updates: loss {float(loss):.4f}", flush=True)
    np.savez_compressed(WEIGHTS, **{f"w{i}": w for i, w in enumerate(model.get_weights())})
    print(f"{WEIGHTS} {WEIGHTS.stat().st_size:,} bytes")
    for name, value in measure().items():
        print(f"{name} {value:.2%}")


def measure(count: int = TESTED) -> dict[str, float]:
    """Return the reader's accuracy on `count` real pictures of one thing, by attribute, and of one to three, as a whole."""
    reader, rng = Reader(), np.random.default_rng([SEED, 2**32])
    one = [draw_scene(rng, ALL, 1) for _ in range(count)]
    read = reader.single(np.stack([paint(scene, rng) for scene in one]))
    same = np.array(
        [[a == b for a, b in zip(got, scene[0], strict=True)] for got, scene in zip(read, one, strict=True)]
    )
    accuracy = {name: float(same[:, i].mean()) for i, name in enumerate(Thing._fields)}
    many = [draw_scene(rng, ALL) for _ in range(count)]
    whole = zip(reader(np.stack([paint(scene, rng) for scene in many])), many, strict=True)
    right = [set(got) == set(scene) for got, scene in whole]
    return {**accuracy, "all four": float(same.all(axis=1).mean()), "whole pictures": float(np.mean(right))}


if __name__ == "__main__":
    main()
