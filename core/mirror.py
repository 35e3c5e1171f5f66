"""Small networks in numpy: a TensorFlow call costs 0.3 ms, two layers of 64 units 0.02 ms."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.layers.recurrent import RecurrentCell, products
from core.layers.torsos import Standardize

__all__ = ["Cell", "Chain", "Mirror"]


class Chain:
    """The forward pass of dense layers, optionally behind a `Standardize`; models among the layers count as theirs.

    Raises ValueError for a layer or an activation that it does not know.
    """

    def __init__(self, *layers: keras.layers.Layer):
        self._dense: list[keras.layers.Dense] = []
        self._standardize: Standardize | None = None
        for layer in _flat(layers):
            if isinstance(layer, Standardize) and not self._dense:
                self._standardize = layer
            elif type(layer) is keras.layers.Dense:  # a subclass may compute anything
                self._dense.append(layer)
            else:
                raise ValueError(f"{layer.name} is a {type(layer).__name__}; only dense layers can be mirrored")
        names = [keras.activations.serialize(layer.activation) for layer in self._dense]
        unknown = [name for name in names if not isinstance(name, str) or name not in ACTIVATIONS]
        if unknown:
            raise ValueError(f"the activation {unknown[0]} cannot be mirrored; {', '.join(ACTIVATIONS)} can")
        self._activations = [ACTIVATIONS[name] for name in names]
        own = [] if self._standardize is None else [self._standardize.mean, self._standardize.std]
        self.variables: list[keras.Variable] = own + [v for layer in self._dense for v in layer.variables]
        self.weights: list[tuple[np.ndarray, np.ndarray | None]] = []
        """Kernel [inputs, units] and bias [units] of each layer; None where it has no bias."""
        self.take([v.numpy() for v in self.variables])

    def take(self, values: Sequence[np.ndarray]) -> None:
        """Take over these values of `variables`."""
        left = iter(values)
        if self._standardize is not None:
            self._mean, self._std = next(left), next(left)
        self.weights = [(next(left), next(left) if layer.use_bias else None) for layer in self._dense]

    def __call__(self, x: Any) -> np.ndarray:
        """Return the last layer's output [B, units] float32 for x [B, inputs] float32, which may be sparse."""
        if self._standardize is not None:
            x = np.clip((x - self._mean) / self._std, -self._standardize.clip, self._standardize.clip)
        for (kernel, bias), activation in zip(self.weights, self._activations, strict=True):
            x = x @ kernel
            if bias is not None:
                x += bias
            x = activation(x)
        return x


class Cell:
    """One step of a recurrent cell."""

    def __init__(self, cell: RecurrentCell):
        self._formula = cell.formula
        self.variables: list[keras.Variable] = [cell.kernel, cell.recurrent_kernel, cell.bias]
        self.take([v.numpy() for v in self.variables])

    def take(self, values: Sequence[np.ndarray]) -> None:
        """Take over these values of `variables`."""
        self._weights = values

    def __call__(self, x: np.ndarray, state: Sequence[np.ndarray]) -> tuple[np.ndarray, ...]:
        """Return the next state for x [B, inputs] and the state before, arrays [B, units] float32; its first is the output."""
        return self._formula(*products(x, state[0], *self._weights), state, _sigmoid, np.tanh)


class Mirror:
    """Chains of layers, recurrent cells and other variables, whose weights come as one vector theta [P].

    Where a chain cannot be mirrored, `chains` and `cells` are empty and the caller asks TensorFlow.

    Each array that leaves TensorFlow costs 0.05 ms, so a traced update returns `theta()` beside its result, and `take` brings
    the mirror up to date; after any other change of the weights, `copy` does. `order` lists the variables of a theta that is
    made elsewhere, which may hold more than is mirrored; without it theta has `variables`, one behind another.
    """

    def __init__(
        self,
        *chains: Sequence[keras.layers.Layer],
        cells: Sequence[RecurrentCell] = (),
        others: Sequence[keras.Variable] = (),
        order: Sequence[keras.Variable] | None = None,
    ):
        self.chains: list[Chain] = []
        """One for each of `chains`, x [B, inputs] -> [B, units], or none."""
        self.cells: list[Cell] = []
        """One for each of `cells`, or none."""
        with contextlib.suppress(ValueError):
            self.chains = [Chain(*chain) for chain in chains]
            self.cells = [Cell(cell) for cell in cells]
        self._parts: list[Chain | Cell] = [*self.chains, *self.cells]
        self.variables = [*(v for part in self._parts for v in part.variables), *others]
        self.others = [v.numpy() for v in others]
        """The values of the other variables."""
        places, end = {}, 0
        for v in self.variables if order is None else order:
            start, end = end, end + math.prod(v.shape)
            places[id(v)] = (start, end, tuple(v.shape))
        self._places = [places[id(v)] for v in self.variables]

    def theta(self) -> tf.Tensor:
        """Return the present values of `variables` [P]; empty where nothing is mirrored."""
        parts = [tf.reshape(v.value, [-1]) for v in self.variables]
        return tf.concat(parts, axis=0) if parts else tf.zeros(0)

    def copy(self) -> None:
        """Take over the present weights: 0.2 ms, since TensorFlow is asked for each."""
        self._take([v.numpy() for v in self.variables])

    def take(self, theta: np.ndarray) -> None:
        """Take over the weights theta [P]; the mirror keeps views of it."""
        self._take([theta[start:end].reshape(shape) for start, end, shape in self._places])

    def _take(self, values: list[np.ndarray]) -> None:
        start = 0
        for part in self._parts:
            part.take(values[start : start + len(part.variables)])
            start += len(part.variables)
        self.others = values[start:]


def _relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0, out=x)


def _elu(x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, np.expm1(np.minimum(x, 0)))


def _tanh(x: np.ndarray) -> np.ndarray:
    return np.tanh(x, out=x)


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _linear(x: np.ndarray) -> np.ndarray:
    return x


ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": _relu,
    "tanh": _tanh,
    "elu": _elu,
    "linear": _linear,
}


def _flat(layers: Sequence[keras.layers.Layer]) -> list[keras.layers.Layer]:
    """Return the layers, those of nested models in their place; ValueError where they do not stand in a row."""
    flat: list[keras.layers.Layer] = []
    for layer in layers:
        if type(layer) is keras.Sequential:
            flat += _flat(layer.layers)
        elif isinstance(layer, keras.Model):
            if not _in_a_row(layer):
                raise ValueError(
                    f"{layer.name} is no row of layers; only dense layers, one after the other, can be mirrored"
                )
            flat += _flat(layer.layers)
        elif not isinstance(layer, keras.layers.InputLayer):
            flat.append(layer)
    return flat


def _in_a_row(model: keras.Model) -> bool:
    """Whether a functional model passes one tensor from layer to layer, each used once: no sum, no branch, no second turn."""
    steps = getattr(model, "operations", [])  # layers, and what stands between them
    of_keras = type(model).__module__.startswith("keras.")  # a subclass may compute anything
    if not of_keras or not steps or len(model.inputs) != 1 or len(model.outputs) != 1:
        return False
    last = model.inputs[0]
    for step in steps:
        if isinstance(step, keras.layers.InputLayer):
            continue
        try:
            if not isinstance(step, keras.layers.Layer) or step.input is not last:
                return False
            last = step.output
        except (AttributeError, ValueError):  # a layer that is used several times has no one input
            return False
    return last is model.outputs[0]
