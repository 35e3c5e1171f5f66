"""Small networks in numpy: a TensorFlow call costs 0.3 ms, two layers of 64 units 0.02 ms."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from core.forward import ACTIVATIONS, affine, linear
from core.layers.noisy import NoisyDense
from core.layers.recurrent import RecurrentCell, products
from core.layers.torsos import Standardize

__all__ = ["Cell", "Chain", "Mirror"]


class Chain:
    """The forward pass of dense layers, optionally behind a `Standardize`; models among the layers count as theirs.

    Dense layers may be noisy, and layer normalisation over the last axis and activations may stand behind them. Raises ValueError
    for a layer or an activation that it does not know.
    """

    def __init__(self, *layers: keras.layers.Layer):
        self._layers: list[keras.layers.Layer] = []
        self._activations: list[Callable[[np.ndarray], np.ndarray]] = []
        self._standardize: Standardize | None = None
        for layer in _flat(layers):
            if isinstance(layer, Standardize) and not self._layers:
                self._standardize = layer
            elif type(layer) is keras.layers.Activation and self._layers and self._activations[-1] is linear:
                self._activations[-1] = _activation(layer.activation)
            elif type(layer) in (keras.layers.Dense, NoisyDense):  # a subclass may compute anything
                self._layers.append(layer)
                self._activations.append(_activation(layer.activation))
            elif _is_plain_norm(layer):
                self._layers.append(layer)
                self._activations.append(linear)
            else:
                raise ValueError(f"{layer.name} is a {type(layer).__name__}; only dense layers can be mirrored")
        own = [] if self._standardize is None else [self._standardize.mean, self._standardize.std]
        self.variables: list[keras.Variable] = own + [v for layer in self._layers for v in layer.variables]
        self.noise_width = sum(layer.width for layer in self._layers if isinstance(layer, NoisyDense))
        """Standard normals that one draw of all noisy layers takes."""
        self.weights: list[tuple[np.ndarray | None, ...]] = []
        """Kernel [inputs, units] and bias [units] of each layer, None where it has no bias; of noisy ones their sigmas too, of a
        normalisation scale and offset."""
        self.take([v.numpy() for v in self.variables])

    def take(self, values: Sequence[np.ndarray]) -> None:
        """Take over these values of `variables`."""
        left = iter(values)
        if self._standardize is not None:
            self._mean, self._std = next(left), next(left)
        self.weights = []
        for layer in self._layers:
            own: list[np.ndarray | None] = [next(left) for _ in layer.variables]
            self.weights.append((*own, None) if len(own) == 1 else tuple(own))

    def __call__(self, x: Any, noise: np.ndarray | None = None) -> np.ndarray:
        """Return the last layer's output [B, units] float32 for x [B, inputs] float32, which may be sparse.

        `noise` [B or 1, noise_width] are the standard normals of the noisy layers, one behind the other; without it they are
        their means.
        """
        if self._standardize is not None:
            x = np.clip((x - self._mean) / self._std, -self._standardize.clip, self._standardize.clip)
        start = 0
        for layer, weights, activation in zip(self._layers, self.weights, self._activations, strict=True):
            if isinstance(layer, keras.layers.LayerNormalization):
                x = _normalized(x, layer.epsilon, *weights)
            elif isinstance(layer, NoisyDense) and noise is not None:
                x = _noisy(x, noise[:, start : start + layer.width], *weights)
                start += layer.width
            else:
                kernel, bias, *_ = weights
                assert kernel is not None
                x = affine(x, kernel, bias)
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


def _noisy(x: np.ndarray, noise: np.ndarray, kernel: Any, bias: Any, kernel_sigma: Any, bias_sigma: Any) -> np.ndarray:
    """Return what a `NoisyDense` without activation does."""
    eps = np.sign(noise) * np.sqrt(np.abs(noise))
    eps_in, eps_out = eps[:, : len(kernel)], eps[:, len(kernel) :]
    return x @ kernel + bias + ((x * eps_in) @ kernel_sigma + bias_sigma) * eps_out


def _normalized(x: np.ndarray, epsilon: float, scale: Any, offset: Any) -> np.ndarray:
    """Return rows with mean 0 and variance 1, scaled and moved (Ba et al., 2016)."""
    x = x - x.mean(axis=1, keepdims=True)
    x *= scale / np.sqrt(np.einsum("bi,bi->b", x, x)[:, None] / np.float32(x.shape[1]) + np.float32(epsilon))
    x += offset
    return x


def _is_plain_norm(layer: keras.layers.Layer) -> bool:
    """Whether a layer normalises the last axis and has scale and offset."""
    plain = type(layer) is keras.layers.LayerNormalization and layer.center and layer.scale
    return plain and not layer.rms_scaling and layer.axis in (-1, 1, [-1], [1])


def _sigmoid(x: np.ndarray) -> np.ndarray:
    return 0.5 * np.tanh(0.5 * x) + 0.5


def _activation(function: Any) -> Callable[[np.ndarray], np.ndarray]:
    name = keras.activations.serialize(function)
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise ValueError(f"the activation {name} cannot be mirrored; {', '.join(ACTIVATIONS)} can")
    return ACTIVATIONS[name]


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
