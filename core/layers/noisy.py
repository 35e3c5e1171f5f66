"""Dense layers with learned noise (Fortunato et al., 2018), whose network explores without an epsilon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from core.seeds import child

__all__ = ["NoisyDense"]


class NoisyDense(keras.layers.Layer):
    """y = f((mu_w + sigma_w * eps_w) x + mu_b + sigma_b * eps_b): [B, inputs] and noise [B or 1, width] -> [B, units].

    The noise is factorised (Fortunato et al., 2018, eqs. 10 and 11): of `width` = inputs + units standard normals xi, the
    eps_w[i, j] = f(xi_i) f(xi_inputs+j) and eps_b[j] = f(xi_inputs+j) with f(x) = sgn(x) sqrt(|x|). Rows may have a noise each or
    share one; noise of zeros leaves the means. Weights: `kernel` and `kernel_sigma` [inputs, units], `bias` and `bias_sigma`
    [units]; means start uniform within +-1 / sqrt(inputs), each from (seed, name), sigmas at sigma0 / sqrt(inputs).
    """

    def __init__(self, units: int, name: str, seed: int, activation: str = "linear", sigma0: float = 0.5):
        """Linear layers, the heads, stay float32 whatever the precision of the run."""
        super().__init__(name=name, dtype="float32" if activation == "linear" else None)
        self.units, self.seed, self.sigma0 = units, seed, sigma0
        self.activation = keras.activations.get(activation)

    @property
    def width(self) -> int:
        """How many numbers of noise one draw takes; known once the layer is built."""
        return sum(self.kernel.shape)

    def build(self, x_shape: Sequence[int], noise_shape: Sequence[int]) -> None:
        inputs = x_shape[-1]
        bound, sigma = inputs**-0.5, keras.initializers.Constant(self.sigma0 * inputs**-0.5)

        def mean(what: str) -> keras.initializers.Initializer:
            return keras.initializers.RandomUniform(-bound, bound, seed=child(self.seed, self.name, what))

        self.kernel = self.add_weight(shape=(inputs, self.units), initializer=mean("kernel"), name="kernel")
        self.bias = self.add_weight(shape=(self.units,), initializer=mean("bias"), name="bias")
        self.kernel_sigma = self.add_weight(shape=(inputs, self.units), initializer=sigma, name="kernel_sigma")
        self.bias_sigma = self.add_weight(shape=(self.units,), initializer=sigma, name="bias_sigma")

    def call(self, x: Any, noise: Any) -> Any:
        ops = keras.ops
        eps = ops.sign(noise) * ops.sqrt(ops.abs(noise))
        eps_in, eps_out = eps[:, : x.shape[-1]], eps[:, x.shape[-1] :]
        mean = ops.matmul(x, self.kernel) + self.bias
        return self.activation(mean + (ops.matmul(x * eps_in, self.kernel_sigma) + self.bias_sigma) * eps_out)

    def compute_output_shape(self, x_shape: Sequence[int], noise_shape: Sequence[int]) -> Any:
        return (*x_shape[:-1], self.units)
