"""The agents' optimisers: what the flags of older runs meant, and a step size that follows the environment steps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context, build
from experiments.launcher.catalogue import catalogue
from experiments.launcher.flags import current_names, parse
from experiments.testing import tiny

NAMES = ("dqn", "actor-critic", "policy-gradient")
ADAM: dict[str, Any] = {"optimizer": "adam", "lr": 1e-3, "anneal": 600}
DQN: dict[str, Any] = {"adam_epsilon": 1e-8, "clip_norm": 10.0}
AC: dict[str, Any] = {"decay": 0.95, "epsilon": 1e-4, "max_gradient_norm": 0.0}
PG: dict[str, Any] = {"decay": 0.95}
RMSPROP: dict[str, Any] = {"optimizer": "rmsprop", "lr": 1e-3, "anneal": 0}
FALLING: dict[str, Any] = {"lr": 1e-3, "lr_schedule": "linear", "lr_steps": 600}
MEANT = [
    ("dqn", ADAM | DQN, OptimizerConfig("adam", **FALLING, rho=0.95, epsilon=1e-8, max_grad_norm=10.0)),
    ("dqn", RMSPROP | DQN, OptimizerConfig("rmsprop", 1e-3, rho=0.95, epsilon=0.01, centered=True, max_grad_norm=10.0)),
    ("actor-critic", ADAM | AC, OptimizerConfig("adam", **FALLING, rho=0.95, epsilon=1e-4)),
    ("actor-critic", RMSPROP | AC, OptimizerConfig("rmsprop", 1e-3, rho=0.95, epsilon=1e-4)),
    ("policy-gradient", ADAM | PG, OptimizerConfig("adam", **FALLING, rho=0.95, epsilon=1e-8)),
    ("policy-gradient", RMSPROP | PG, OptimizerConfig("rmsprop", 1e-3, rho=0.95, epsilon=1e-10)),
]


def config(name: str, settings: dict[str, Any]) -> Any:
    return parse(catalogue().plugins[name], [("file", {"agent": settings})], [], prog="x", usage="").agent


@pytest.mark.parametrize(("name", "old", "optimizer"), MEANT)
def test_the_settings_of_an_older_run_mean_what_they_did(
    name: str, old: dict[str, Any], optimizer: OptimizerConfig
) -> None:
    stored = {"gamma": 0.9, "hidden": [8]} | old if name != "policy-gradient" else {"gamma": 0.9} | old
    current = current_names({"agent": stored}, catalogue().plugins[name])["agent"]
    assert config(name, current).optimizer == optimizer and config(name, current).gamma == 0.9
    assert current_names({"agent": current}, catalogue().plugins[name])["agent"] == current


@pytest.mark.parametrize("name", NAMES)
def test_an_old_name_gets_the_new_one(name: str) -> None:
    for old, new in (("optimizer", "name"), ("lr", "lr"), ("anneal", "lr_steps")):
        with pytest.raises(UsageError, match=f"'agent.{old}' is now called 'agent.optimizer.{new}'"):
            config(name, {old: 1})


def test_rmsprops_settings_do_not_pass_to_adam_unsaid() -> None:
    with pytest.raises(UsageError, match="centered has no meaning for adam; choose name rmsprop or centered false"):
        config("dqn", {"optimizer": {"name": "adam"}})
    with pytest.raises(UsageError, match=r"optimizer.epsilon is 0.01, .*; adam needs its own, e.g. 1e-8"):
        config("dqn", {"optimizer": {"name": "adam", "centered": False}})
    assert config("dqn", {"optimizer": {"name": "sgd", "centered": False}}).optimizer.name == "sgd"


@pytest.mark.parametrize("name", [pytest.param("dqn", marks=pytest.mark.slow), *NAMES[1:]])
def test_the_step_size_follows_the_environment_steps(name: str, tmp_path: Path) -> None:
    spec = catalogue().plugins[name]
    falling = OptimizerConfig("rmsprop", 1.0, lr_schedule="linear", lr_steps=1_000)
    settings = replace(tiny(spec), optimizer=falling)
    with build(spec, settings, Context(seed=3, folder=tmp_path, rewind=100)) as plugin:
        while plugin.updates < 3:
            plugin.step()
        clock = 1_000 * (1 - float(plugin.optimizer.learning_rate))
    assert clock == pytest.approx(round(clock), abs=1e-3) and plugin.updates < round(clock) <= plugin.clock
