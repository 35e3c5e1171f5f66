from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import agents.policy_gradient.config  # noqa: F401 - its name is taken
from core import plugin
from core.errors import UsageError
from core.plugin import Context, build, canonical, register

ARGUMENTS = {
    "kind": "agent",
    "build": "tests.core.test_plugin:Half",
    "headline": "eval/x",
    "goal": "max",
    "clock": "steps",
    "summary": "s",
    "subject": "lr",
}


@pytest.fixture(autouse=True)
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(plugin, "REGISTRY", dict(plugin.REGISTRY))
    yield


class Half(plugin.Agent):
    clock = 0

    def __init__(self, config: object, context: Context): ...

    def step(self) -> dict: ...


class Timeless(plugin.Agent):
    """Keeps the contract but for its clock."""

    def __init__(self, config: object, context: Context): ...

    def step(self) -> dict: ...

    def state(self) -> dict: ...

    def act(self, observations, memory, rng, *, greedy): ...


class Old:
    """A plugin of version 0.1."""

    clock = 0

    def __init__(self, config: object, context: Context): ...

    def act(self, observations): ...

    def evaluate(self) -> dict: ...

    def state(self) -> dict: ...

    def load_state(self, tree: dict) -> None: ...

    def exportable(self) -> dict: ...


def good() -> type:
    @dataclass(frozen=True)
    class Config:
        lr: float = 1.0

    return Config


def test_registers_under_one_spelling() -> None:
    register("My_Agent", **ARGUMENTS)(good())
    assert plugin.REGISTRY["my-agent"].prefix == "agent"
    assert canonical(" GAN_CLS ") == "gan-cls"


def thawed() -> type:
    @dataclass
    class Config:
        lr: float = 1.0

    return Config


def no_dataclass() -> type:
    return type("Config", (), {})


def no_default() -> type:
    @dataclass(frozen=True)
    class Config:
        lr: float

    return Config


@pytest.mark.parametrize(
    ("name", "config", "changes", "says"),
    [
        ("ok", thawed, {}, "must be a dataclass with frozen=True"),
        ("ok", no_dataclass, {}, "must be a dataclass with frozen=True"),
        ("ok", no_default, {}, "needs a default for lr"),
        ("1bad!", good, {}, "letters, digits and hyphens"),
        ("ok", good, {"kind": "agnt"}, "did you mean 'agent'"),
        ("ok", good, {"goal": "maximum"}, "max"),
        ("ok", good, {"build": "module.Class"}, "package.module:Class"),
        ("policy-gradient", good, {}, "already taken by agents.policy_gradient.config"),
    ],
)
def test_a_wrong_registration_gets_one_sentence(name: str, config, changes: dict, says: str) -> None:
    before = dict(plugin.REGISTRY)
    with pytest.raises(UsageError, match=says) as caught:
        register(name, **(ARGUMENTS | changes))(config())
    assert "\n" not in str(caught.value)
    assert before == plugin.REGISTRY


@pytest.mark.parametrize(
    ("target", "says"),
    [
        ("tests.core.test_plugin:Half", "lacks act, state; see core/plugin.py"),
        ("tests.core.test_plugin:Timeless", "has no `clock` after its construction"),
        (
            "tests.core.test_plugin:Old",
            "inherit from core.plugin.Agent; let `state` name attributes, and drop `load_state` for `restored`; give `act` the "
            r"arguments \(observations, memory, rng, \*, greedy\), and drop `evaluate` for `environment`; for its `exportable` "
            "inherit from Exports too",
        ),
        ("tests.core.test_plugin:Whole", "has no 'Whole'"),
        ("tests.core.nowhere:Half", "no module 'tests.core.nowhere'"),
    ],
)
def test_a_plugin_that_does_not_keep_the_contract_gets_one_sentence(target: str, says: str, tmp_path: Path) -> None:
    register("ok", **(ARGUMENTS | {"build": target}))(good())
    with pytest.raises(UsageError, match=says):
        build(plugin.REGISTRY["ok"], None, Context(seed=0, folder=tmp_path))


def test_the_contract_needs_the_standard_library_only() -> None:
    code = "import sys, core.plugin; print([m for m in ('numpy', 'tensorflow', 'gymnasium', 'yaml', 'tyro') if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
