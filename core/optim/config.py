"""Flags of an optimiser, and its step size as a function of the clock. TensorFlow is imported only when a tensor comes in."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import nearest, require

__all__ = ["OptimizerConfig", "lr_at"]

NAMES = ("adam", "adamw", "radam", "rmsprop", "adagrad", "sgd")
SCHEDULES = ("constant", "linear", "cosine", "step", "cyclic")


@dataclass(frozen=True)
class OptimizerConfig:
    """How gradients become steps."""

    name: Literal["adam", "adamw", "radam", "rmsprop", "adagrad", "sgd"] = "adam"
    """Update rule."""
    lr: float = 1e-3
    """Step size, the largest of the schedule."""
    beta1: float = 0.9
    """Decay of the gradient's mean (adam, adamw, radam)."""
    beta2: float = 0.999
    """Decay of the squared gradient's mean (adam, adamw, radam)."""
    momentum: float = 0.0
    """Decay of the summed steps (sgd, rmsprop)."""
    nesterov: bool = False
    """Look ahead by one step of the momentum (sgd)."""
    rho: float = 0.9
    """Decay of the squared gradient's mean (rmsprop)."""
    centered: bool = False
    """Divide by the gradient's deviation instead of its square's root (rmsprop)."""
    epsilon: float = 1e-7
    """Keeps a denominator above 0; outside the square root in adam, adamw and radam, inside in rmsprop and adagrad."""
    weight_decay: float = 0.0
    """adamw: share of a weight, times the step size, taken off per update (0.01 is usual); others: times weight, added to the
    gradient."""
    lr_schedule: Literal["constant", "linear", "cosine", "step", "cyclic"] = "constant"
    """linear and cosine fall once, step falls every lr_steps, cyclic rises and falls in a triangle."""
    lr_steps: int = 0
    """Clock over which the schedule runs: the whole fall, the time between two steps, or one cycle; 0 for constant."""
    lr_end: float = 0.0
    """Share of lr at the end of the fall, after each step of what was before, or at the ends of a cycle."""
    max_grad_norm: float = 0.0
    """Most that the gradient's norm over all weights may be; 0 for no limit."""
    max_grad_value: float = 0.0
    """Most that each entry of the gradient may be, up or down; 0 for no limit. Before the limit on the norm."""
    accumulate: int = 1
    """Gradients that are averaged into one update."""

    def __post_init__(self) -> None:
        require(self.name in NAMES, f"name is {self.name!r}; {nearest(self.name, NAMES)}")
        require(
            self.lr_schedule in SCHEDULES,
            f"lr_schedule is {self.lr_schedule!r}; {nearest(self.lr_schedule, SCHEDULES)}",
        )
        require(self.lr > 0, f"lr is {self.lr}; a step size is above 0")
        for name in ("beta1", "beta2", "momentum", "rho"):
            require(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name)}; it must lie in [0, 1)")
        require(self.epsilon > 0, f"epsilon is {self.epsilon}; it must be above 0")
        for name in ("weight_decay", "lr_steps", "max_grad_norm", "max_grad_value"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        require(self.accumulate >= 1, f"accumulate is {self.accumulate}; it must be at least 1")
        require(0 <= self.lr_end <= 1, f"lr_end is {self.lr_end}; it must lie in [0, 1]")
        self._check_fit()

    def _check_fit(self) -> None:
        """Refuse settings that the rule or the schedule would ignore."""
        require(
            self.momentum == 0 or self.name in ("sgd", "rmsprop"),
            f"momentum is {self.momentum}; {self.name} has beta1 in its place, choose name sgd or rmsprop",
        )
        require(
            not self.nesterov or (self.name == "sgd" and self.momentum > 0),
            "nesterov needs name sgd and a momentum above 0, e.g. 0.9",
        )
        require(
            not self.centered or self.name == "rmsprop",
            f"centered has no meaning for {self.name}; choose name rmsprop or centered false",
        )
        if self.lr_schedule == "constant":
            for name in ("lr_steps", "lr_end"):
                require(
                    getattr(self, name) == 0,
                    f"{name} is {getattr(self, name)}; it needs lr_schedule, one of {', '.join(SCHEDULES[1:])}",
                )
            return
        require(self.lr_steps > 0, f"lr_steps is 0; lr_schedule {self.lr_schedule} needs the clock over which it runs")
        require(
            self.lr_schedule != "step" or self.lr_end > 0,
            "lr_end is 0; lr_schedule step multiplies lr by it, so it must be above 0, e.g. 0.1",
        )


def lr_at(config: OptimizerConfig, clock: Any) -> Any:
    """Return the step size at a clock, a number or an array [...] of numpy (float64) or a tensor [...] of TensorFlow (float32).

    With t the clock, T lr_steps and e lr_end:

        linear   lr (1 - (1 - e) min(t / T, 1))
        cosine   lr (e + (1 - e) (1 + cos(pi min(t / T, 1))) / 2)     Loshchilov and Hutter, 2017, eq. 5, one period
        step     lr e^floor(t / T)
        cyclic   lr (e + (1 - e) (1 - |2 (t / T - floor(t / T)) - 1|))     Smith, 2017, `triangular`: from e lr to lr and back
    """
    of_numpy = isinstance(clock, (int, float)) or type(clock).__module__ == "numpy"
    if of_numpy:
        import numpy as np  # here, so that `list` and `--help` answer without it

        return (config.lr * _share(config, np.asarray(clock, np.float64), np))[()]
    import tensorflow as tf

    t = tf.cast(clock, tf.float64)  # a clock may pass 2^24, the last whole number that float32 counts to
    return tf.cast(config.lr * _share(config, t, tf), tf.float32)


def _share(config: OptimizerConfig, t: Any, xp: Any) -> Any:
    """Return the step size at clock t as a share of lr; xp is numpy or TensorFlow, which call these functions alike."""
    if config.lr_schedule == "constant":
        return xp.ones_like(t)
    end, done = config.lr_end, t / config.lr_steps
    if config.lr_schedule == "step":
        return end ** xp.floor(done)
    if config.lr_schedule == "cyclic":
        return end + (1 - end) * (1 - xp.abs(2 * (done - xp.floor(done)) - 1))
    done = xp.minimum(done, 1.0)
    if config.lr_schedule == "linear":
        return 1 - (1 - end) * done
    return end + (1 - end) * 0.5 * (1 + xp.cos(math.pi * done))
