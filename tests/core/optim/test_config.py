"""Schedules by hand, in numpy and in TensorFlow, and settings that do not fit together."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest

from core.errors import UsageError
from core.optim.config import OptimizerConfig, lr_at
from tests.conftest import ROOT

CLOCKS = [0, 1, 2, 3, 4, 6, 8, 20]
SCHEDULES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "constant": ({}, [2.0] * 8),
    "linear": ({"lr_steps": 4, "lr_end": 0.5}, [2.0, 1.75, 1.5, 1.25, 1.0, 1.0, 1.0, 1.0]),
    # 2 (0.5 + 0.5 (1 + cos(pi t / 4)) / 2)
    "cosine": (
        {"lr_steps": 4, "lr_end": 0.5},
        [2.0, 1.8535533905932737, 1.5, 1.1464466094067263, 1.0, 1.0, 1.0, 1.0],
    ),
    "step": ({"lr_steps": 2, "lr_end": 0.1}, [2.0, 2.0, 0.2, 0.2, 0.02, 2e-3, 2e-4, 2e-10]),
    "cyclic": ({"lr_steps": 4, "lr_end": 0.5}, [1.0, 1.5, 2.0, 1.5, 1.0, 2.0, 1.0, 1.0]),
}


def schedule(name: Any) -> OptimizerConfig:
    return OptimizerConfig(lr=2.0, lr_schedule=name, **SCHEDULES[name][0])


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedules_by_hand(name: str) -> None:
    import keras
    import tensorflow as tf

    config, expected = schedule(name), SCHEDULES[name][1]
    one_by_one = [lr_at(config, clock) for clock in CLOCKS]
    np.testing.assert_allclose(one_by_one, expected, rtol=1e-12)
    assert all(isinstance(lr, float) for lr in one_by_one)  # numpy's float64 is one
    np.testing.assert_allclose(lr_at(config, np.array(CLOCKS)), one_by_one, rtol=1e-15)
    traced = tf.function(lambda clock: lr_at(config, clock))(tf.constant(CLOCKS, tf.int64))
    assert traced.dtype == tf.float32
    np.testing.assert_allclose(traced, expected, rtol=1e-7)
    np.testing.assert_allclose(lr_at(config, keras.Variable(3)), expected[3], rtol=1e-7)


def test_a_clock_beyond_what_float32_counts_keeps_its_place_in_the_cycle() -> None:
    import tensorflow as tf

    config = OptimizerConfig(lr=1.0, lr_schedule="cyclic", lr_steps=4)
    assert [float(lr_at(config, tf.constant(2**26 + i, tf.int64))) for i in range(4)] == [0.0, 0.5, 1.0, 0.5]


def test_flags_need_no_tensorflow_and_no_numpy() -> None:
    code = "import sys; import core.optim.config; sys.exit('tensorflow' in sys.modules or 'numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"name": "adm"}, "name is 'adm'; did you mean 'adam'?"),
        ({"lr_schedule": "cosin"}, "lr_schedule is 'cosin'; did you mean 'cosine'?"),
        ({"lr": 0.0}, "lr is 0.0; a step size is above 0"),
        ({"beta1": 1.0}, "beta1 is 1.0; it must lie in [0, 1)"),
        ({"beta2": -0.1}, "beta2 is -0.1; it must lie in [0, 1)"),
        ({"name": "rmsprop", "rho": 1.0}, "rho is 1.0; it must lie in [0, 1)"),
        ({"epsilon": 0.0}, "epsilon is 0.0; it must be above 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be 0 or more"),
        ({"max_grad_norm": -1.0}, "max_grad_norm is -1.0; it must be 0 or more"),
        ({"accumulate": 0}, "accumulate is 0; it must be at least 1"),
        ({"momentum": 0.9}, "momentum is 0.9; adam has beta1 in its place, choose name sgd or rmsprop"),
        ({"name": "sgd", "nesterov": True}, "nesterov needs name sgd and a momentum above 0"),
        ({"name": "rmsprop", "momentum": 0.9, "nesterov": True}, "nesterov needs name sgd"),
        ({"centered": True}, "centered has no meaning for adam; choose name rmsprop or centered false"),
        ({"lr_steps": 10}, "lr_steps is 10; it needs lr_schedule, one of linear, cosine, step, cyclic"),
        ({"lr_end": 0.1}, "lr_end is 0.1; it needs lr_schedule"),
        ({"lr_schedule": "linear"}, "lr_steps is 0; lr_schedule linear needs the clock"),
        ({"lr_schedule": "step", "lr_steps": 5}, "lr_end is 0; lr_schedule step multiplies lr by it"),
        ({"lr_schedule": "linear", "lr_steps": 5, "lr_end": 2.0}, "lr_end is 2.0; it must lie in [0, 1]"),
    ],
)
def test_settings_that_do_not_fit_get_a_sentence(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        OptimizerConfig(**settings)
    assert sentence in str(caught.value)
