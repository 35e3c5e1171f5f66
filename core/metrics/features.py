"""Feature extractors for distances between sets of pictures: a small digit classifier that comes along, or the user's model."""

from __future__ import annotations

import hashlib
from pathlib import Path

import keras
import numpy as np

from core.errors import UsageError
from core.unreadable import UNREADABLE

__all__ = ["CLASSIFIER", "Extractor", "digit_classifier"]

CLASSIFIER = Path(__file__).parent / "digit_classifier.npz"
BATCH = 500


def digit_classifier() -> keras.Model:
    """Return the classifier's network with random weights: [B, 28, 28, 1] in [0, 1] -> logits [B, 10], layer `features` [B, 64].

    `experiments/benchmarks/generative_classifier.py` trained the weights that lie beside this file.
    """

    def conv(filters: int) -> keras.layers.Layer:
        return keras.layers.Conv2D(filters, 5, padding="same", activation="relu", dtype="float32")

    def pool() -> keras.layers.Layer:
        return keras.layers.MaxPooling2D(2, dtype="float32")

    x = keras.Input((28, 28, 1))
    h = pool()(conv(32)(pool()(conv(16)(x))))
    h = keras.layers.Flatten(dtype="float32")(h)
    h = keras.layers.Dense(64, activation="relu", dtype="float32", name="features")(h)
    return keras.Model(x, keras.layers.Dense(10, dtype="float32", name="logits")(h))


class Extractor:
    """Maps pictures [N, H, W, C] uint8 to features [N, D] float32. `protocol` names it with its checksum.

    `source` is "digits", the classifier above with 64 features, or the path of a Keras model saved as .keras, whose output is
    flattened; pictures are made as its input wants them: resized with bilinear interpolation and antialiasing, grey from
    colour by the mean, scaled to [0, 1]. Raises UsageError for a file that is no such model.
    """

    def __init__(self, source: str = "digits"):
        self.reads_digits = source == "digits"
        path = CLASSIFIER if self.reads_digits else Path(source).expanduser()
        if not path.is_file():
            raise UsageError(f"extractor is {source!r}; it must be 'digits' or the path of a .keras model")
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        if source == "digits":
            whole = digit_classifier()
            with np.load(path, allow_pickle=False) as file:
                whole.set_weights([file[f"w{i}"] for i in range(len(file.files))])
            self.model = keras.Model(whole.input, [whole.get_layer("features").output, whole.output])
            name = "digit classifier (64 features)"
        else:
            try:
                loaded = keras.models.load_model(path, compile=False)  # safe mode: no lambda is unpacked
            except UNREADABLE as error:
                why = (str(error).splitlines() or [type(error).__name__])[0]
                raise UsageError(f"extractor {source!r} is no Keras model: {why}") from error
            # a list where there are several inputs, none before a first call
            wants = getattr(loaded, "input_shape", None)
            if not isinstance(wants, tuple) or len(wants) != 4:
                raise UsageError(f"extractor {source!r} wants {wants}; it must take one batch of pictures [N, H, W, C]")
            x = keras.Input(wants[1:])
            y = loaded(x)
            if not hasattr(y, "shape"):
                raise UsageError(
                    f"extractor {source!r} has {len(keras.tree.flatten(y))} outputs; it must have one: save a "
                    "model of the one you want, keras.Model(model.input, model.outputs[0])"
                )
            self.model = keras.Model(x, [y, y])
            name = f"the model {path.name}"
        height, width, channels = self.model.input_shape[1:]
        if None in (height, width) or channels not in (1, 3):
            raise UsageError(
                f"extractor {source!r} wants {self.model.input_shape}; it must say a size and 1 or 3 channels"
            )
        self.shape = (height, width, channels)
        self.protocol = (
            f"features of {name}, sha256 {checksum}, input {height}x{width}x{channels}, bilinear antialiased"
        )

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the features [N, D]."""
        return self.outputs(images)[0]

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the classifier's label [N] of every picture."""
        return self.outputs(images)[1].argmax(axis=1)

    def outputs(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features [N, D] and the classifier's logits [N, C]; of the user's own model the features twice."""
        parts = [
            self.model(self._as_input(images[i : i + BATCH]), training=False) for i in range(0, len(images), BATCH)
        ]
        features, logits = (np.concatenate([np.asarray(part[i], np.float32) for part in parts]) for i in (0, 1))
        return features.reshape(len(images), -1), logits.reshape(len(images), -1)

    def _as_input(self, images: np.ndarray) -> np.ndarray:
        height, width, channels = self.shape
        x = images.astype(np.float32) / 255
        if x.shape[3] != channels:
            x = x.mean(axis=3, keepdims=True) if channels == 1 else np.repeat(x, 3, axis=3)
        if x.shape[1:3] != (height, width):
            x = np.asarray(keras.ops.image.resize(x, (height, width), interpolation="bilinear", antialias=True))
        return x
