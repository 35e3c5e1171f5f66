"""What an agent's heads stand on: the network that belongs to a kind of observation, or one of the user's own."""

from __future__ import annotations

import contextlib
import importlib
import random
from collections.abc import Iterator, Sequence
from typing import Any
from weakref import WeakSet

import keras
import numpy as np

from agents.rl.observations import CNN, Observations, is_own
from core.errors import UsageError, foreign, nearest, told
from core.layers.torsos import mlp, nature_cnn
from core.seeds import child

__all__ = ["input_of", "torso"]

_BUILT: WeakSet[keras.Model] = WeakSet()  # own networks that have been handed out


def input_of(observations: Observations) -> Any:
    """Return the symbolic input x [B, *observations.shape] of an agent's network: bytes for pictures, else float32."""
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
    """Return a new network x [B, *observations.shape] -> [B, H]: that of the DQN paper for pictures, else `hidden` dense layers.

    `norm` puts a layer normalisation before each activation of the built-in networks.

    `network` cnn is that of the DQN paper by name. Otherwise, if not empty, it names a function of the user's own, as
    module:function. It gets the shape of one input ([D], float32; pictures [C, H, W], bytes) and returns a new Keras model each
    time, with output [B, H]. What its initialisers draw follows from (seed, name). Observations must be read with this `network`.

    Raises UsageError for a module or function that is not there, a result that is no such model, or one that does not fit the
    observations; ForeignError for what module or function raise.
    """
    if is_own(network):
        return _own(network, observations, seed, name)
    if observations.kind == "pixels":
        return nature_cnn(observations.seen, seed, name, observations.unit, _dtype(observations), norm)
    return mlp(observations.shape[0], hidden, activation, seed, name, norm)


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
    path, _, attribute = network.partition(":")
    if not path or not attribute:
        raise UsageError(f"network is {network!r}; it must be {CNN} or module:function, for instance my_module:torso")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise UsageError(f"network {network!r} names the module {path!r}, which cannot be found: {error}") from error
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise foreign(f"the module {path!r} of network {network!r}", error, "when it was imported") from error
    if not hasattr(module, attribute):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == path]
        raise UsageError(
            f"network {network!r} names {attribute!r}, which {path!r} does not have; {nearest(attribute, own)}"
        )
    function = getattr(module, attribute)
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
