from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from gymnasium.spaces import Box

from agents.rl.networks import torso
from agents.rl.observations import Observations
from core.errors import UsageError
from core.layers.torsos import mlp
from core.mirror import Mirror
from core.plugin import Context, build
from envs.spaces import Mixed
from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract, tiny

MODULE = """
import keras

units, a_model = 7, keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])

def dense(shape):
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(8, "tanh"), keras.layers.Dense(6, "relu")])

def functional(shape):
    x = keras.Input(shape)
    return keras.Model(x, keras.layers.Dense(6, "relu")(keras.layers.Dense(8, "tanh")(x)))

def normed(shape):
    return keras.Sequential([keras.layers.Dense(8, "gelu"), keras.layers.LayerNormalization()])

def residual(shape):
    x = keras.Input(shape)
    h = keras.layers.Dense(8, "relu")(x)
    return keras.Model(x, h + keras.layers.Dense(8)(h))

def twice(shape):
    x, layer = keras.Input(shape), keras.layers.Dense(shape[0], "tanh")
    return keras.Model(x, layer(layer(x)))

def convolutional(shape):
    return keras.Sequential([
        keras.Input(shape, dtype="uint8"), keras.layers.Permute((2, 3, 1)), keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 8, 8, activation="relu"), keras.layers.Flatten(),
    ])

def dropping(shape):
    return keras.Sequential([keras.Input(shape), keras.layers.Dense(4), keras.layers.Dropout(0.5)])

def raises(shape):
    raise OSError("no weights")

def shared(shape):
    return a_model

def returns_a_layer(shape):
    return keras.layers.Dense(3)

def wrong_shape(shape):
    return keras.Sequential([keras.Input((9,)), keras.layers.Dense(3)])

def wrong_type(shape):
    return keras.Sequential([keras.Input(shape, dtype="int32"), keras.layers.Embedding(3, 2), keras.layers.Flatten()])

def of_bytes(shape):
    return keras.Sequential([keras.Input(shape, dtype="uint8"), keras.layers.Rescaling(1 / 255)])

def no_row(shape):
    return keras.Sequential([keras.Input(shape), keras.layers.Reshape((2, 2))])
"""
FOUR = Observations.of(Box(-1, 1, (4,), np.float32), "x", in_blocks=False)
PICTURES = Observations.of(Box(0, 255, (4, 84, 84), np.uint8), "x", in_blocks=False)
AGENTS = ("a3c", "actor-critic", "dqn")


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(MODULE)
    (tmp_path / "own_broken.py").write_text("raise RuntimeError('half written')")
    monkeypatch.syspath_prepend(tmp_path)


def own(name: str, observations: Observations = FOUR, seed: int = 1, where: str = "actor") -> keras.Model:
    return torso(observations, (), "relu", seed, where, f"own_networks:{name}")


def test_first_weights_follow_from_seed_and_name() -> None:
    def kernel(**fields: Any) -> np.ndarray:
        return own("dense", **fields).layers[0].kernel.numpy()

    np.testing.assert_array_equal(kernel(), kernel())
    assert not np.allclose(kernel(), kernel(seed=2)) and not np.allclose(kernel(), kernel(where="critic"))


@pytest.mark.parametrize(
    ("agent", "name", "mirrored"),
    [
        ("a3c", "dense", True),
        ("actor-critic", "normed", False),
        pytest.param("dqn", "dense", True, marks=pytest.mark.slow),
    ],
)
def test_every_agent_learns_saves_and_goes_on_with_a_network_of_ones_own(
    agent: str, name: str, mirrored: bool, tmp_path: Path
) -> None:
    spec = catalogue().plugins[agent]
    spec = dataclasses.replace(spec, tiny={**spec.tiny, "network": f"own_networks:{name}"})
    check_contract(spec, tmp_path)
    plugin = build(spec, tiny(spec), Context(seed=3, folder=tmp_path))
    mirror = plugin.network._mirror if agent == "a3c" else plugin.mirror
    assert bool(mirror.chains) == mirrored
    plugin.close()


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_the_exported_function_acts_as_the_agent_does(agent: str, tmp_path: Path) -> None:
    spec = catalogue().plugins[agent]
    chosen = dataclasses.replace(spec, tiny={**spec.tiny, "network": "own_networks:residual"})
    plugin = build(chosen, tiny(chosen), Context(seed=3, folder=tmp_path))
    for _ in range(6):
        plugin.step()
    seen = np.random.default_rng(0).random((32, *plugin.env.observation_space.shape), np.float32)
    actions, _ = plugin.act(seen, (), np.random.default_rng(0), greedy=True)
    np.testing.assert_array_equal(plugin.exportable()["act"](seen)["action"], actions)
    plugin.close()


@pytest.mark.parametrize(
    ("name", "mirrored"), [("dense", True), ("functional", True), ("residual", False), ("twice", False)]
)
def test_only_layers_in_a_row_are_mirrored(name: str, mirrored: bool) -> None:
    model = own(name)
    mirror = Mirror([model])
    assert bool(mirror.chains) == mirrored
    x = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    for chain in mirror.chains:
        np.testing.assert_allclose(chain(x), model(x), atol=1e-6)


def test_pictures_reach_it_as_the_environment_gives_them(tmp_path: Path) -> None:
    assert own("convolutional", PICTURES)(np.zeros((2, 4, 84, 84), np.uint8)).shape == (2, 4 * 10 * 10)
    spec = catalogue().plugins["dqn"]
    flags = {"env.id": "ALE/Pong-v5", "network": "own_networks:convolutional", "capacity": 60}
    pong = dataclasses.replace(spec, tiny={**spec.tiny, **flags})
    plugin = build(pong, tiny(pong), Context(seed=0, folder=tmp_path))
    while not plugin.updates:
        plugin.step()
    plugin.close()


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
@pytest.mark.parametrize("observation", ["pong80", "pong80frames"])
def test_every_agent_sees_signed_pictures_through_cnn(agent: str, observation: str, tmp_path: Path) -> None:
    spec = catalogue().plugins[agent]
    env = {"env.id": "ALE/Pong-v5", "env.observation": observation, "env.time_limit": 9}
    more = {"dqn": {"capacity": 60}, "actor-critic": {"normalize_observations": False}}.get(agent, {})
    check_contract(dataclasses.replace(spec, tiny={**spec.tiny, **env, "network": "cnn", **more}), tmp_path)


def test_cnn_by_name_is_the_network_of_pictures() -> None:
    frames = Box(0, 255, (4, 84, 84), np.uint8)
    assert Observations.of(frames, "x", "cnn") == Observations.of(frames, "x")
    x = np.random.default_rng(0).integers(256, size=(2, 21, 21, 64)).astype(np.uint8)
    models = [torso(Observations.of(frames, "x", name), (), "relu", 1, network=name) for name in ("", "cnn")]
    np.testing.assert_array_equal(*[model(x) for model in models])


@pytest.mark.parametrize(
    ("network", "sentence"),
    [
        ("torso", "network is 'torso'; it must be cnn or module:function, for instance my_module:torso"),
        ("nowhere_at_all:torso", "names the module 'nowhere_at_all', which cannot be found"),
        (
            "own_broken:torso",
            "'own_broken' of network 'own_broken:torso' raised RuntimeError when it was imported",
        ),
        ("own_networks:dens", "names 'dens', which 'own_networks' does not have; did you mean 'dense'?"),
        ("own_networks:units", "is of type int; it must be a function from a shape to a model"),
        ("own_networks:a_model", "is of type Sequential; it must be a function"),
        ("own_networks:raises", r"raised OSError for observations of shape \[4\]: no weights"),
        ("own_networks:returns_a_layer", "returned a Dense; it must return a Keras model"),
        ("own_networks:wrong_shape", r"does not take observations of shape \[4\], float32"),
        ("own_networks:wrong_type", "takes int32; observations reach it as float32"),
        ("own_networks:of_bytes", "takes uint8; observations reach it as float32"),
        ("own_networks:no_row", r"gives \[None, 2, 2\]; the agent's heads need \[batch, units\]"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(network: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        torso(FOUR, (), "relu", 0, network=network)


@pytest.mark.parametrize("side", [8, 37])
def test_a_picture_beside_other_numbers_has_a_branch_of_its_own(side: int) -> None:
    """What the branches say stands side by side: that of the picture is its network alone, that of the rest its dense layers."""
    P = 3 * side * 40
    kind = Observations.of(Mixed(np.full(P + 2, -1, np.float32), np.ones(P + 2, np.float32), (3, side, 40)), "x")
    assert (kind.kind, kind.shape, kind.pictured, kind.dtype) == ("mixed", (P + 2,), True, np.float32)
    model = torso(kind, (5, 4), "tanh", 1)
    x = np.random.default_rng(0).random((6, P + 2), np.float32)
    out = model(kind.encode(x)).numpy()
    alone = Observations.of(Box(0, 1, (3, side, 40), np.float32), "x")
    seen = torso(alone, (), "relu", 1, "torso_cnn")(alone.encode(x[:, :P].reshape(6, 3, side, 40))).numpy()
    rest = mlp(2, (5, 4), "tanh", 1, "torso_rest")(x[:, P:]).numpy()
    np.testing.assert_allclose(out, np.concatenate([seen, rest], axis=1), rtol=1e-4, atol=1e-5)
    assert out.shape == (6, (512 if side == 37 else 256) + 4)
    assert torso(kind, (), "tanh", 1)(x).shape == (6, (512 if side == 37 else 256) + 2)


def test_one_model_for_two_networks_is_refused() -> None:
    with pytest.raises(UsageError, match="returned one model twice; it must build a new one at each call"):
        [own("shared") for _ in range(2)]


def test_a3c_has_no_place_for_weights_that_no_gradient_changes(tmp_path: Path) -> None:
    spec = catalogue().plugins["a3c"]
    spec = dataclasses.replace(spec, tiny={**spec.tiny, "network": "own_networks:dropping"})
    with pytest.raises(UsageError, match="a3c's workers share trainable weights alone"):
        build(spec, tiny(spec), Context(seed=0, folder=tmp_path))
