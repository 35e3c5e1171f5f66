"""One optimiser class with six update rules, each a single fused operation a weight where TensorFlow has one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from core.distributed import share_of_mean, sum_of_replicas
from core.optim.config import OptimizerConfig, lr_at

__all__ = ["Optimizer", "make_optimizer"]


def make_optimizer(config: OptimizerConfig, variables: Sequence[Any], calls_per_clock: int = 1) -> Optimizer:
    """Return the optimiser of `variables` that `config` describes.

    `calls_per_clock`: calls of `apply` while the plugin's clock counts one, e.g. the critic's steps for each of the generator's.
    """
    optimizer = Optimizer(config, calls_per_clock)
    optimizer.build(list(variables))
    return optimizer


class Optimizer(keras.optimizers.Optimizer):
    """Moves weights along gradients: `apply(gradients, variables)`, inside a `tf.function` and on every replica of a strategy.

    `learning_rate`, a variable, is the step size of the newest update; with a constant schedule it may be assigned. `iterations`
    counts calls. `variables` is the whole state, accumulated gradients included.

    Keras writes an update of Adam as a dozen operations, each of which walks over weights, gradients and moments; on a CPU this
    costs a small network a fifth of its training time. The numbers and the state of adam and rmsprop are those of Keras, epsilon
    in its places.
    """

    def __init__(self, config: OptimizerConfig, calls_per_clock: int = 1):
        super().__init__(learning_rate=float(lr_at(config, 0)), name=config.name)
        self.config, self.calls_per_clock = config, calls_per_clock
        self.rule: Callable[..., None] = {
            "adam": self._adam,
            "adamw": self._adam,
            "radam": self._radam,
            "rmsprop": self._rmsprop,
            "adagrad": self._adagrad,
            "sgd": self._sgd,
        }[config.name]

    def build(self, variables: list[Any]) -> None:
        """Make the state that belongs to `variables`."""
        if self.built:
            return
        super().build(variables)
        config = self.config
        self.slots: dict[str, list[Any]] = {}  # kind -> a variable for each weight
        if config.name in ("adam", "adamw", "radam"):
            moments = self.add_optimizer_variables(variables, ["momentum", "velocity"])
            self.slots = dict(zip(("momentum", "velocity"), moments, strict=True))
        if config.name in ("rmsprop", "adagrad"):
            self.slots["velocity"] = self.add_optimizer_variables(variables, "velocity")
        if config.centered:
            self.slots["average"] = self.add_optimizer_variables(variables, "average")
        if config.momentum:
            self.slots["momentum"] = self.add_optimizer_variables(variables, "momentum")
        elif config.name == "rmsprop":  # its operation needs a place for the step it takes, which is no state
            self.slots["momentum"] = [tf.Variable(tf.zeros(v.shape, v.dtype), trainable=False) for v in variables]
        if config.accumulate > 1:
            self.sums = [
                self.add_variable(v.shape, dtype=v.dtype, aggregation="only_first_replica", name="sum")
                for v in variables
            ]

    def apply(self, grads: Sequence[Any], trainable_variables: Sequence[Any] | None = None, clock: Any = None) -> None:
        """Take one step, or with `accumulate` K keep the gradients until the K-th call, which takes it with their mean.

        A weight without a gradient (None) stays. Under a strategy each replica has its part and the sum of all is meant. The
        norm is that of the mean over all calls and replicas. `clock` is where the schedule stands; without it, the calls counted
        here say so.
        """
        config = self.config
        variables = list(self._trainable_variables if trainable_variables is None else trainable_variables)
        if config.lr_schedule != "constant":
            self.learning_rate.assign(
                lr_at(config, self.iterations.value // self.calls_per_clock if clock is None else clock)
            )
        if config.accumulate > 1 or config.max_grad_norm or config.max_grad_value:
            pairs = [(g, v) for g, v in zip(grads, variables, strict=True) if g is not None]
            variables = [v for _, v in pairs]
            # dense: the rows of an embedding come apart, but the norm is over all
            gradients = sum_of_replicas([tf.cast(tf.convert_to_tensor(g), v.dtype) for g, v in pairs])
            if config.accumulate > 1:
                gradients = [self._mean_of_calls(g, v) for g, v in zip(gradients, variables, strict=True)]
            if config.max_grad_value:
                gradients = [tf.clip_by_value(g, -config.max_grad_value, config.max_grad_value) for g in gradients]
            if config.max_grad_norm:
                gradients, _ = tf.clip_by_global_norm(gradients, config.max_grad_norm)
            grads = [share_of_mean(g) for g in gradients]  # what follows adds them up again
        super().apply(grads, variables)

    def _mean_of_calls(self, gradient: tf.Tensor, variable: Any) -> tf.Tensor:
        """Add a gradient to those since the last update; returns the sum over K, which is their mean at the K-th call."""
        total, K = self.sums[self._get_variable_index(variable)], self.config.accumulate
        total.assign(tf.where(self.iterations.value % K == 0, gradient, total.value + gradient))
        return total.value / K

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """Move one weight; Keras calls it on the device where the weight lies."""

        def move() -> tf.Tensor:
            g, lr = tf.cast(tf.convert_to_tensor(gradient), variable.dtype), tf.cast(learning_rate, variable.dtype)
            if (
                self.config.weight_decay and self.config.name == "adamw"
            ):  # decoupled: Loshchilov and Hutter, 2019, Algorithm 2
                variable.assign_sub(lr * self.config.weight_decay * variable)
            elif self.config.weight_decay:
                g += self.config.weight_decay * variable
            self.rule(variable, g, lr, self._get_variable_index(variable))
            return tf.constant(True)

        if self.config.accumulate == 1:
            move()
        else:
            due = (self.iterations.value + 1) % self.config.accumulate == 0
            tf.cond(due, move, lambda: tf.constant(False))

    # --- the rules: weight w [...], gradient g [...], step size lr [], the weight's number ---------------------------------

    def _t(self, dtype: tf.DType) -> tf.Tensor:
        """Return the number of this update, from 1."""
        return tf.cast(self.iterations.value // self.config.accumulate + 1, dtype)

    def _handle(self, kind: str, number: int) -> Any:
        slot = self.slots[kind][number]
        return slot.value.handle if isinstance(slot, keras.Variable) else slot.handle

    def _adam(self, w: tf.Variable, g: tf.Tensor, lr: tf.Tensor, number: int) -> None:
        """Kingma and Ba, 2015, in the form that ends their section 2: epsilon is added to sqrt(v), not to sqrt(v_hat)."""
        config, t = self.config, self._t(tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=w.handle,
            m=self._handle("momentum", number),
            v=self._handle("velocity", number),
            beta1_power=tf.cast(tf.pow(config.beta1, t), w.dtype),
            beta2_power=tf.cast(tf.pow(config.beta2, t), w.dtype),
            lr=lr,
            beta1=config.beta1,
            beta2=config.beta2,
            epsilon=config.epsilon,
            grad=g,
        )

    def _radam(self, w: tf.Variable, g: tf.Tensor, lr: tf.Tensor, number: int) -> None:
        """Liu et al., 2020, Algorithm 2, rectified from rho_t > 5 on, as in the authors' program; the paper has 4."""
        config, t = self.config, self._t(tf.float64)  # rho_t is a small difference of large numbers
        m, v = (self.slots[kind][number] for kind in ("momentum", "velocity"))
        m.assign(config.beta1 * m.value + (1 - config.beta1) * g)
        v.assign(config.beta2 * v.value + (1 - config.beta2) * tf.square(g))
        unbiased = 1 - tf.pow(tf.constant(config.beta2, tf.float64), t)
        step = tf.cast(1 / (1 - tf.pow(tf.constant(config.beta1, tf.float64), t)), w.dtype) * m.value  # m_hat
        longest = 2 / (1 - config.beta2) - 1  # rho_inf
        if longest > 5:
            rho = longest - 2 * t * (1 - unbiased) / unbiased  # rho_t
            steady = tf.maximum(rho, 5.0)
            r = tf.sqrt((steady - 4) * (steady - 2) * longest / ((longest - 4) * (longest - 2) * steady))  # r_t
            rectified = tf.cast(r * tf.sqrt(unbiased), w.dtype) * step / (tf.sqrt(v.value) + config.epsilon)
            step = tf.where(rho > 5, rectified, step)
        w.assign_sub(lr * step)

    def _rmsprop(self, w: tf.Variable, g: tf.Tensor, lr: tf.Tensor, number: int) -> None:
        """Hinton, 2012, lecture 6e; centred: Graves, 2013, eqs. 38-41. epsilon stands inside the square root."""
        slots = {"ms": self._handle("velocity", number), "mom": self._handle("momentum", number)}
        apply = tf.raw_ops.ResourceApplyRMSProp
        if self.config.centered:
            slots["mg"] = self._handle("average", number)
            apply = tf.raw_ops.ResourceApplyCenteredRMSProp
        config = self.config
        apply(var=w.handle, **slots, lr=lr, rho=config.rho, momentum=config.momentum, epsilon=config.epsilon, grad=g)

    def _adagrad(self, w: tf.Variable, g: tf.Tensor, lr: tf.Tensor, number: int) -> None:
        """Duchi et al., 2011, with the diagonal of G_t: s <- s + g^2; w <- w - lr g / sqrt(s + epsilon), s from 0 on."""
        s = self.slots["velocity"][number]
        s.assign(s.value + tf.square(g))
        w.assign_sub(lr * g / tf.sqrt(s.value + self.config.epsilon))

    def _sgd(self, w: tf.Variable, g: tf.Tensor, lr: tf.Tensor, number: int) -> None:
        """b <- momentum b + g; w <- w - lr b, with Nesterov w <- w - lr (g + momentum b): Sutskever et al., 2013, eqs. 1-4, but
        the velocity is counted in gradients, so that a new step size holds for all of it."""
        config = self.config
        if not config.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(var=w.handle, alpha=lr, delta=g)
            return
        accum = self._handle("momentum", number)
        tf.raw_ops.ResourceApplyMomentum(
            var=w.handle, accum=accum, lr=lr, grad=g, momentum=config.momentum, use_nesterov=config.nesterov
        )
