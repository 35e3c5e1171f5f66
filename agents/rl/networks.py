"""What an agent's heads stand on: the network that belongs to a kind of observation, or one of the user's own."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakSet

import keras
import numpy as np

from agents.rl.observations import CNN, LEAST, Observations, is_own
from core.errors import UsageError, foreign, told
from core.layers.torsos import mlp, nature_cnn, small_cnn
from core.named import function_named
from core.seeds import child

__all__ = ["input_of", "torso"]

_BUILT: WeakSet[keras.Model] = WeakSet()  # own networks that have been handed out


def input_of(observations: Observations) -> Any:
    """Return the symbolic input x [B, *observations.shape] of an agent's network: bytes for pictures of bytes, else float32."""
    return keras.Input(observations.shape, dtype=_dtype(observations), name="x")


def torso(
    observations: Observations,
    hidden: Sequence[int],
    activation: str,
    seed: int,
    name: str = "torso",
    network: str = "",
    norm: bool = False,
) -> keras.Model:
    """Return a new network x [B, *observations.shape] -> [B, H]: convolutions for pictures, else `hidden` dense layers.

    `norm` puts a layer normalisation before each activation of the built-in networks.

    Pictures from 36 pixels a side on get the network of the DQN paper, smaller ones one of 3x3 filters; `network` cnn is that by
    name. A picture at the beginning of a row gets convolutions and the rest of the row dense layers, side by side. Otherwise, if
    not empty, it names a function of the user's own, as module:function. It gets the shape of one input ([D], float32; pictures
    [C, H, W], bytes or float32) and returns a new Keras model each time, with output [B, H]. What its initialisers draw follows
    from (seed, name). Observations must be read with this `network`.

    Raises UsageError for a module or function that is not there, a result that is no such model, or one that does not fit the
    observations; ForeignError for what module or function raise.
    """
    if is_own(network):
        return _own(network, observations, seed, name)
    if observations.kind == "mixed":
        return _two_branches(observations, hidden, activation, seed, name, norm)
    if observations.kind == "pixels":
        cnn = nature_cnn if observations.in_blocks else small_cnn
        return cnn(observations.filled, seed, name, observations.unit, _dtype(observations), norm)
    return mlp(observations.shape[0], hidden, activation, seed, name, norm)


def _two_branches(
    observations: Observations, hidden: Sequence[int], activation: str, seed: int, name: str, norm: bool
) -> keras.Model:
    """Return x [B, C H W + D] -> [B, units]: convolutions of the picture, dense layers of the D other numbers, concatenated."""
    C, H, W = observations.picture
    P, D = C * H * W, observations.shape[0] - C * H * W
    layers, x = keras.layers, input_of(observations)
    picture = layers.Reshape((C, H, W), name=f"{name}_picture", dtype="float32")(x[:, :P])
    if min(H, W) < LEAST:
        seen = small_cnn((C, H, W), seed, f"{name}_cnn", 1, "float32", norm)(picture)
    else:  # in blocks of 4x4 pixels, filled up with zeros
        h, w = -(-H // 4), -(-W // 4)
        filled = layers.ZeroPadding2D(((0, 4 * h - H), (0, 4 * w - W)), "channels_first", dtype="float32")(picture)
        cut = layers.Permute((2, 4, 1, 3, 5), dtype="float32")(layers.Reshape((C, h, 4, w, 4), dtype="float32")(filled))
        blocks = layers.Reshape((h, w, 16 * C), dtype="float32")(cut)
        seen = nature_cnn((C, 4 * h, 4 * w), seed, f"{name}_cnn", 1, "float32", norm)(blocks)
    rest = mlp(D, hidden, activation, seed, f"{name}_rest", norm)(x[:, P:]) if hidden else x[:, P:]
    return keras.Model(x, layers.Concatenate(name=f"{name}_both")([seen, rest]), name=name)


def _own(network: str, observations: Observations, seed: int, name: str) -> keras.Model:
    function = _function(network)
    shape, dtype = list(observations.shape), _dtype(observations)
    try:
        with _keras_seed(child(seed, name)):
            model = function(observations.shape)
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise foreign(f"network {network!r}", error, f"for observations of shape {shape}") from error
    if not isinstance(model, keras.Model):
        raise UsageError(f"network {network!r} returned a {type(model).__name__}; it must return a Keras model")
    if model in _BUILT:
        raise UsageError(f"network {network!r} returned one model twice; it must build a new one at each call")
    _BUILT.add(model)
    declared = model.inputs[0].dtype if getattr(model, "inputs", None) else dtype
    if declared != dtype and not (dtype == "uint8" and "float" in declared):
        raise UsageError(f"network {network!r} takes {declared}; observations reach it as {dtype}")
    try:
        with _keras_seed(child(seed, name, "build")):
            out = model(input_of(observations))
    except Exception as error:
        raise UsageError(
            f"network {network!r} does not take observations of shape {shape}, {dtype}: {told(error)}"
        ) from error
    if not hasattr(out, "shape") or len(out.shape) != 2 or out.shape[-1] is None:
        wrong = list(out.shape) if hasattr(out, "shape") else type(out).__name__
        raise UsageError(
            f"network {network!r} gives {wrong}; the agent's heads need [batch, units], one row an observation"
        )
    model.name = name
    return model


def _function(network: str) -> Any:
    """Return what module:function names."""
    function = function_named(network, "network", f"{CNN} or module:function, for instance my_module:torso")
    if not callable(function) or isinstance(function, keras.Model):
        raise UsageError(
            f"network {network!r} is of type {type(function).__name__}; it must be a function from a shape to a model"
        )
    return function


def _dtype(observations: Observations) -> str:
    return np.dtype(observations.dtype).name


@contextlib.contextmanager
def _keras_seed(seed: int) -> Iterator[None]:
    """Layers made in here without a seed get one that follows from `seed`: Keras draws it from Python's global generator."""
    kept = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(kept)
