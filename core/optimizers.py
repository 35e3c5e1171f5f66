"""Adam and RMSProp in one pass over the weights."""

from __future__ import annotations

from typing import Any

import keras
import tensorflow as tf

__all__ = ["Adam", "RMSprop", "falling"]


def falling(lr: float, steps: int, end: float) -> Any:
    """Return a step size that falls from lr to `end` lr along a half cosine in `steps` updates, and lr itself for 0 steps."""
    return keras.optimizers.schedules.CosineDecay(lr, steps, alpha=end) if steps else lr


class Adam(keras.optimizers.Adam):
    """Keras's Adam (Kingma and Ba, 2015), same numbers and same state, whose update of a weight is one fused operation.

    Keras writes it as a dozen operations, each of which walks over weights, gradients and moments; on a CPU this costs a small
    network a fifth of its training time. epsilon stands outside the square root, next to sqrt(v), as in Keras.
    """

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if isinstance(gradient, tf.IndexedSlices) or self.amsgrad or variable.dtype != tf.float32:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        t = tf.cast(self.iterations.value + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[index].value.handle,
            v=self._velocities[index].value.handle,
            beta1_power=tf.pow(float(self.beta_1), t),
            beta2_power=tf.pow(float(self.beta_2), t),
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )


class RMSprop(keras.optimizers.RMSprop):
    """Keras's RMSprop (Hinton, 2012; centred: Graves, 2013), same numbers and same state, one fused operation a weight.

    epsilon stands inside the square root, as in Keras. The operation needs a place for the step it takes, which is no state.
    """

    def build(self, variables: Any) -> None:
        super().build(variables)
        self._steps = [tf.Variable(tf.zeros(v.shape), trainable=False) for v in variables]

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if isinstance(gradient, tf.IndexedSlices) or self.momentum or variable.dtype != tf.float32:
            super().update_step(gradient, variable, learning_rate)
            return
        index = self._get_variable_index(variable)
        slots = {"ms": self._velocities[index].value.handle, "mom": self._steps[index].handle}
        apply = tf.raw_ops.ResourceApplyRMSProp
        if self.centered:
            slots["mg"] = self._average_gradients[index].value.handle
            apply = tf.raw_ops.ResourceApplyCenteredRMSProp
        apply(
            var=variable.handle,
            **slots,
            lr=tf.cast(learning_rate, tf.float32),
            rho=self.rho,
            momentum=0.0,
            epsilon=self.epsilon,
            grad=tf.cast(gradient, tf.float32),
        )
