"""Feature extractors for distances between sets of pictures: a digit classifier that comes along, your model, InceptionV3."""

from __future__ import annotations

import hashlib
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from core.errors import UsageError
from core.unreadable import UNREADABLE

__all__ = ["CLASSIFIER", "INCEPTION", "Extractor", "clean_resize", "digit_classifier"]

CLASSIFIER = Path(__file__).parent / "digit_classifier.npz"
INCEPTION, INCEPTION_SIDE = "inception:", 299
ARRAYS = 94 * 4  # of InceptionV3 without its top: kernels, and mean, variance and offset of the batch norm after each
BATCH, PIXELS = 500, 2**22  # pictures, and pixels of all of them, in one forward pass at most


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

    `source` is one of

    * "digits", the classifier above with 64 features;
    * the path of a Keras model saved as .keras, whose output is flattened;
    * "inception:PATH" with Keras's own weights of InceptionV3 (an .h5 file, with or without the top): 2,048 features.

    Pictures are made as the input wants them: grey from colour by the mean, resized and scaled to [0, 1] with bilinear
    interpolation and antialiasing; for InceptionV3 to [-1, 1] with the bicubic filter, see `clean_resize`. `classes` is the
    number of classes that the model tells apart, 0 for one that does not. Raises UsageError for a file that is no such model.
    """

    def __init__(self, source: str = "digits"):
        self.reads_digits, self._is_inception = source == "digits", source.startswith(INCEPTION)
        path = CLASSIFIER if self.reads_digits else Path(source.removeprefix(INCEPTION)).expanduser()
        if not path.is_file():
            raise UsageError(
                f"extractor is {source!r}; it must be 'digits', the path of a .keras model, or {INCEPTION}PATH with the weights "
                "of Keras's InceptionV3"
            )
        checksum = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
        self._forward: Any
        if self.reads_digits:
            self.model, self.classes, name = _digits(), 10, "digit classifier (64 features)"
        elif self._is_inception:
            self.model, self.classes = _inception(path)
            name = f"InceptionV3 with Keras's weights {path.name} (2,048 features)"
        else:
            self.model, self.classes = _own(source, path)
            name = f"the model {path.name}"
        # traced where the network is large; a small one keeps the bits that it has had without a graph
        self._forward = tf.function(self.model, reduce_retracing=True) if self._is_inception else self.model
        height, width, channels = self.model.input_shape[1:]
        if None in (height, width) or channels not in (1, 3):
            raise UsageError(
                f"extractor {source!r} wants {self.model.input_shape}; it must say a size and 1 or 3 channels"
            )
        self.shape = (height, width, channels)
        self._batch = max(1, min(BATCH, PIXELS // (height * width)))
        resizing = (
            "bicubic antialiased in floats (Parmar et al., 2022)" if self._is_inception else "bilinear antialiased"
        )
        self.protocol = f"features of {name}, sha256 {checksum}, input {height}x{width}x{channels}, {resizing}"

    def __call__(self, images: np.ndarray) -> np.ndarray:
        """Return the features [N, D]."""
        return self.outputs(images)[0]

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Return the classifier's label [N] of every picture."""
        return self.outputs(images)[1].argmax(axis=1)

    def outputs(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features [N, D] and the classifier's logits [N, C]; of a model that is no classifier the features twice."""
        size = self._batch
        parts = [
            self._forward(self._as_input(images[i : i + size]), training=False) for i in range(0, len(images), size)
        ]
        features, logits = (np.concatenate([np.asarray(part[i], np.float32) for part in parts]) for i in (0, 1))
        return features.reshape(len(images), -1), logits.reshape(len(images), -1)

    def _as_input(self, images: np.ndarray) -> np.ndarray:
        height, width, channels = self.shape
        if self._is_inception:
            return np.stack([clean_resize(image, height, width) for image in images]) / 127.5 - 1
        x = images.astype(np.float32) / 255
        if x.shape[3] != channels:
            x = x.mean(axis=3, keepdims=True) if channels == 1 else np.repeat(x, 3, axis=3)
        if x.shape[1:3] != (height, width):
            x = np.asarray(keras.ops.image.resize(x, (height, width), interpolation="bilinear", antialias=True))
        return x


def clean_resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Return a picture [H, W, 1 or 3] uint8 as [height, width, 3] float32 in 0 ... 255, resized as Parmar et al. (2022) do.

    Each channel goes through Pillow's bicubic filter, which widens with the scale, as floating-point numbers: nothing is rounded
    to bytes, and what overshoots is cut off.
    """
    channels = [Image.fromarray(image[..., c].astype(np.float32)) for c in range(image.shape[2])]
    resized = [
        np.asarray(channel.resize((width, height), Image.Resampling.BICUBIC)).clip(0, 255) for channel in channels
    ]
    return np.stack(resized * (3 // len(resized)), axis=-1)


def _digits() -> keras.Model:
    """Return the classifier, pictures -> [features, logits]."""
    whole = digit_classifier()
    with np.load(CLASSIFIER, allow_pickle=False) as file:
        whole.set_weights([file[f"w{i}"] for i in range(len(file.files))])
    return keras.Model(whole.input, [whole.get_layer("features").output, whole.output])


def _own(source: str, path: Path) -> tuple[keras.Model, int]:
    """Return (the user's model, pictures -> [features, logits or the features again], its classes)."""
    try:
        loaded = keras.models.load_model(path, compile=False)  # safe mode: no lambda is unpacked
    except UNREADABLE as error:
        raise UsageError(f"extractor {source!r} is no Keras model: {_first_line(error)}") from error
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
    last = loaded.layers[-1]
    sure = isinstance(last, keras.layers.Softmax) or getattr(last, "activation", None) is keras.activations.softmax
    if sure and len(y.shape) == 2:
        return keras.Model(x, [y, keras.ops.log(keras.ops.maximum(y, 1e-30))]), int(y.shape[1])
    return keras.Model(x, [y, y]), 0


def _inception(path: Path) -> tuple[keras.Model, int]:
    """Return (InceptionV3 with the weights of a file, pictures in [-1, 1] -> [pooled features, logits], its classes).

    A file without the top has no logits: the features stand in their place, and there are 0 classes.
    """
    try:
        arrays = _count_arrays(path)
    except UNREADABLE as error:
        raise UsageError(f"{str(path)!r} is no HDF5 file: {_first_line(error)}") from error
    if arrays not in (ARRAYS, ARRAYS + 2):
        raise UsageError(
            f"{str(path)!r} has no weights of Keras's InceptionV3: {arrays} arrays, where {ARRAYS} are needed, or "
            f"{ARRAYS + 2} with the top"
        )
    top = arrays > ARRAYS
    more = {"classifier_activation": None} if top else {"pooling": "avg"}
    shape = (INCEPTION_SIDE, INCEPTION_SIDE, 3)
    whole = keras.applications.InceptionV3(include_top=top, weights=None, input_shape=shape, **more)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what Keras warns of are layers that it has found no weights for
            whole.load_weights(path)
    except (*UNREADABLE, Warning) as error:
        raise UsageError(f"{str(path)!r} has no weights of Keras's InceptionV3: {_first_line(error)}") from error
    features = whole.get_layer("avg_pool").output if top else whole.output
    return keras.Model(whole.input, [features, whole.output]), 1000 if top else 0


def _count_arrays(path: Path) -> int:
    """Return how many arrays an HDF5 file has."""
    import h5py

    found = []
    with h5py.File(path, "r") as file:
        file.visititems(lambda name, node: found.append(name) if isinstance(node, h5py.Dataset) else None)
    return len(found)


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
