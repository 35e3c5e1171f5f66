"""Features of VGG19 (Simonyan and Zisserman, 2015) for perceptual losses (Johnson et al., 2016; Ledig et al., 2017, eq. 5).

The weights are the user's own file; nothing is downloaded. Two formats are read: a Keras weights file, and `vgg19.npy`, the
dictionary {"conv1_1": [kernel, bias], ...}, through the restricted loader of `core.tl.files`, which runs no code.
"""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from core.errors import UsageError, nearest
from core.tl.files import load_npy_to_any
from core.unreadable import UNREADABLE

__all__ = ["Features", "load_vgg19", "vgg19"]

CONVOLUTIONS = (2, 2, 4, 4, 4)  # per block
MEANS_BGR = (103.939, 116.779, 123.68)  # of ImageNet in 0 ... 255, what the network was trained with


def vgg19() -> keras.Model:
    """Return VGG19 without its dense layers: BGR minus means [B, H, W, 3] -> block5_pool; layers are named as Keras names them.

    A ReLU is a layer of its own, so that `blockB_convI` is a convolution before, `blockB_reluI` after activation.
    """
    x = h = keras.Input((None, None, 3))
    for b, count in enumerate(CONVOLUTIONS, start=1):
        for i in range(1, count + 1):
            h = keras.layers.Conv2D(min(64 * 2 ** (b - 1), 512), 3, padding="same", name=f"block{b}_conv{i}")(h)
            h = keras.layers.ReLU(name=f"block{b}_relu{i}")(h)
        h = keras.layers.MaxPooling2D(2, strides=2, name=f"block{b}_pool")(h)
    return keras.Model(x, h, name="vgg19")


def load_vgg19(path: str) -> keras.Model:
    """Return `vgg19()` with the weights of a file: Keras's .h5 (with or without the dense top) or vgg19.npy.

    Raises UsageError for another file, or where a layer is missing or has another shape.
    """
    if not Path(path).is_file():
        raise UsageError(f"features names the file {path!r}, which is not there")
    model = vgg19()
    convolutions = [layer for layer in model.layers if layer.weights]
    if Path(path).suffix == ".npy":
        found = _read_npy(path)
    elif path.endswith((".h5", ".hdf5")):
        found = _read_keras(path)
    else:
        raise UsageError(f"features is {path!r}; a Keras weights file (.h5) or vgg19.npy is needed")
    for layer in convolutions:
        arrays = found.get(layer.name)
        if arrays is None:
            raise UsageError(f"{path!r} has no weights for {layer.name} of VGG19; {nearest(layer.name, found)}")
        shapes, wanted = [list(a.shape) for a in arrays], [list(w.shape) for w in layer.weights]
        if shapes != wanted:
            raise UsageError(f"{path!r} has shapes {shapes} for {layer.name} of VGG19; {wanted} is needed")
        layer.set_weights(arrays)
    model.trainable = False
    return model


class Features:
    """phi: pictures [B, H, W, 3] in [-1, 1] -> features [B, h, w, C] float32 of one layer of VGG19.

    `layer` is poolB or convB_I, the latter after its ReLU if `activated`; pictures are resized to `size` pixels a side with
    bilinear interpolation first, or not at all if that is 0. Raises UsageError as `load_vgg19` does.
    """

    def __init__(self, path: str, layer: str = "pool4", activated: bool = True, size: int = 224):
        model = load_vgg19(path)
        kind, place = layer.rstrip("0123456789_"), layer.lstrip("abcdefghijklmnopqrstuvwxyz")
        block, _, number = place.partition("_")
        name = f"block{block}_{'pool' if kind == 'pool' else 'relu' if activated else 'conv'}{number}"
        if name not in {one.name for one in model.layers}:
            names = [one.name.replace("block", "").replace("_", "") for one in model.layers if "pool" in one.name]
            raise UsageError(
                f"feature layer {layer!r} is none of VGG19's; choose pool1 ... pool5 or conv1_1 ... conv5_4 ({names})"
            )
        self.model, self.size = keras.Model(model.inputs, model.get_layer(name).output), size

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        tf.debugging.assert_shapes([(x, ("B", "H", "W", 3))])
        if self.size and tuple(x.shape[1:3]) != (self.size, self.size):
            x = tf.image.resize(x, (self.size, self.size))  # bilinear
        bgr = tf.reverse((x + 1.0) * 127.5, axis=[-1]) - tf.constant(MEANS_BGR)
        return tf.cast(self.model(bgr, training=False), tf.float32)


def _read_npy(path: str) -> dict[str, list[np.ndarray]]:
    """Return {"block1_conv1": [kernel, bias], ...} of vgg19.npy."""
    try:
        saved = load_npy_to_any("", path)
    except UNREADABLE as error:
        raise UsageError(f"{path!r} is no vgg19.npy: {_first_line(error)}") from error
    if not isinstance(saved, dict):
        raise UsageError(
            f"{path!r} holds {type(saved).__name__}; a dictionary {{'conv1_1': [kernel, bias], ...}} is needed"
        )
    found = {}
    for name, arrays in saved.items():
        if isinstance(name, str) and name.startswith("conv"):
            block, _, number = name[4:].partition("_")
            try:
                found[f"block{block}_conv{number}"] = [np.asarray(a, np.float32) for a in arrays]
            except UNREADABLE as error:
                raise UsageError(f"{path!r} is no vgg19.npy: {name} holds no arrays ({_first_line(error)})") from error
    return found


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _read_keras(path: str) -> dict[str, list[np.ndarray]]:
    """Return {"block1_conv1": [kernel, bias], ...} of a Keras weights file, of version 2 (layers by name) or 3 (by order)."""
    import h5py

    try:
        with h5py.File(path, "r") as file:
            layers = file.get("model_weights", file)
            if "layer_names" in layers.attrs:
                return {str(name): _datasets(layers[name]) for name in layers if name.startswith("block")}
            if "layers" in layers:  # conv2d, conv2d_1, ..., in the order of the network
                names = [f"block{b}_conv{i}" for b, n in enumerate(CONVOLUTIONS, 1) for i in range(1, n + 1)]
                saved = [f"conv2d_{k}" if k else "conv2d" for k in range(len(names))]
                return {
                    name: _datasets(layers["layers"][key])
                    for name, key in zip(names, saved, strict=True)
                    if key in layers["layers"]
                }
    except UNREADABLE as error:
        raise UsageError(f"{path!r} is no HDF5 file: {_first_line(error)}") from error
    raise UsageError(f"{path!r} is no weights file of Keras; save it with model.save_weights")


def _datasets(group: object) -> list[np.ndarray]:
    """Return kernel and bias of one layer: all arrays below its group, the one with more axes first."""
    import h5py

    arrays: list[np.ndarray] = []
    assert isinstance(group, h5py.Group)
    group.visititems(lambda name, node: arrays.append(np.asarray(node)) if isinstance(node, h5py.Dataset) else None)
    return sorted(arrays, key=lambda array: -array.ndim)
