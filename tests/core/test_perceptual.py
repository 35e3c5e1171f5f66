"""VGG19 with random weights in both file formats beside Keras Applications' own: outputs of layers and gradients."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.losses.perceptual import Features, load_vgg19
from core.tl.files import save_any_to_npy


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[keras.Model, dict[str, Path]]:
    """Keras Applications' VGG19 with random weights, and files of them."""
    model = keras.applications.VGG19(weights=None, include_top=False)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.weights:
            kernel, bias = (w.shape for w in layer.weights)
            scale = np.float32(np.sqrt(2 / np.prod(kernel[:3])))
            layer.set_weights(
                [scale * rng.standard_normal(kernel, np.float32), 0.1 * rng.standard_normal(bias, np.float32)]
            )
    folder = tmp_path_factory.mktemp("vgg19")
    files = {
        "keras-2": folder / "vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5",
        "keras-3": folder / "vgg19.weights.h5",
        "npy": folder / "vgg19.npy",
    }
    write_layers_by_name(model, files["keras-2"])
    model.save_weights(files["keras-3"])
    names = {layer.name: layer.name.replace("block", "conv").replace("_conv", "_") for layer in model.layers}
    save_any_to_npy(
        {names[la.name]: [np.asarray(w) for w in la.weights] for la in model.layers if la.weights}, str(files["npy"])
    )
    return model, files


def write_layers_by_name(model: keras.Model, path: Path) -> None:
    """The layout in which the weights of Keras Applications are published: a group per layer, named in an attribute."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            for letter, weight in zip("Wb", layer.weights, strict=False):
                group.create_dataset(f"{layer.name}_{letter}_1:0", data=np.asarray(weight))
            group.attrs["weight_names"] = [name.encode() for name in group]


@pytest.mark.parametrize("format", ["keras-2", "keras-3", "npy"])
@pytest.mark.parametrize(
    ("layer", "theirs"), [("pool4", "block4_pool"), ("conv5_4", "block5_conv4"), ("pool1", "block1_pool")]
)
def test_features_and_gradients_beside_keras_applications(reference, format: str, layer: str, theirs: str) -> None:
    model, files = reference
    ours = Features(str(files[format]), layer, activated=True, size=0)
    truth = keras.Model(model.inputs, model.get_layer(theirs).output)  # convolutions include their ReLU there
    x = tf.constant(np.random.default_rng(1).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32))
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        mine = ours(x)
        prepared = keras.applications.vgg19.preprocess_input((x + 1) * 127.5)
        its = truth(prepared, training=False)
        losses = [tf.reduce_mean(tf.square(y)) for y in (mine, its)]
    scale = float(tf.reduce_max(tf.abs(its)))
    np.testing.assert_allclose(mine, its, atol=1e-4 * scale)
    gradients = [np.asarray(tape.gradient(loss, x)) for loss in losses]
    np.testing.assert_allclose(*gradients, atol=1e-3 * np.abs(gradients[1]).max())
    assert np.abs(gradients[1]).max() > 0


def test_before_and_after_activation(reference) -> None:
    _, files = reference
    x = tf.constant(np.random.default_rng(1).uniform(-1, 1, (1, 32, 32, 3)).astype(np.float32))
    before, after = (Features(str(files["npy"]), "conv3_4", activated=a, size=0)(x) for a in (False, True))
    assert float(tf.reduce_min(before)) < 0
    np.testing.assert_allclose(after, tf.nn.relu(before), atol=1e-3)


def test_pictures_are_resized_to_what_the_weight_belongs_to(reference) -> None:
    _, files = reference
    x = tf.zeros((1, 32, 32, 3))
    assert Features(str(files["npy"]), "pool2", size=64)(x).shape == (1, 16, 16, 128)
    assert Features(str(files["npy"]), "pool2", size=0)(x).shape == (1, 8, 8, 128)


def test_files_that_are_no_vgg19(tmp_path: Path) -> None:
    def refused(name: str, sentence: str) -> None:
        with pytest.raises(UsageError, match=sentence):
            load_vgg19(str(tmp_path / name))

    refused("none.npy", "not there")
    (tmp_path / "a.txt").write_text("x")
    refused("a.txt", "weights file")
    (tmp_path / "a.h5").write_text("x")
    refused("a.h5", "no HDF5 file")
    (tmp_path / "a.npy").write_text("x")
    refused("a.npy", "no vgg19.npy")
    save_any_to_npy({"conv1_1": [np.zeros((3, 3, 3, 64)), np.zeros(64)]}, str(tmp_path / "part.npy"))
    refused("part.npy", "no weights for block1_conv2")
    save_any_to_npy({"conv1_1": [np.zeros((5, 5, 3, 64)), np.zeros(64)]}, str(tmp_path / "shape.npy"))
    refused("shape.npy", r"shapes \[\[5, 5, 3, 64\]")
    save_any_to_npy([1, 2], str(tmp_path / "list.npy"))
    refused("list.npy", "a dictionary")


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self):
            return (print, ("ran",))

    np.save(tmp_path / "evil.npy", np.array({"conv1_1": Evil()}, dtype=object), allow_pickle=True)
    with pytest.raises(UsageError, match=r"could run code"):
        load_vgg19(str(tmp_path / "evil.npy"))


@pytest.mark.slow
def test_damaged_weights_are_one_sentence(reference, tmp_path: Path) -> None:
    _, files = reference
    rng = np.random.default_rng(0)
    for name, file in files.items():
        raw = file.read_bytes()
        for cut in (100, 3000, len(raw) // 2):
            path = tmp_path / f"{name}{file.suffix}"
            path.write_bytes(raw[:cut])
            with pytest.raises(UsageError, match=name):
                load_vgg19(str(path))
        for _ in range(2):
            damaged = bytearray(raw)
            at = int(rng.integers(2000))
            damaged[at : at + 8] = rng.bytes(8)
            path.write_bytes(damaged)
            try:
                load_vgg19(str(path))
            except UsageError as error:
                assert name in str(error) and "\n" not in str(error)
    save_any_to_npy({"conv1_1": ["no", "arrays"]}, str(tmp_path / "words.npy"))
    with pytest.raises(UsageError, match=r"words\.npy"):
        load_vgg19(str(tmp_path / "words.npy"))
