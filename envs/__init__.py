"""Environments with one meaning of `step` at episode ends, and exact snapshots.

`make(config, num_envs, seed)` returns a `VectorEnv`; `EnvConfig` is the part of an agent's configuration that describes it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from envs.config import EnvConfig

if TYPE_CHECKING:
    from envs.factory import instance, limited, make, render_episode, rules_of
    from envs.vector import Step, VectorEnv

__all__ = ["EnvConfig", "Step", "VectorEnv", "instance", "limited", "make", "render_episode", "rules_of"]


def __getattr__(name: str) -> Any:
    """Import gymnasium and ale-py only when an environment is made: flags and `--help` need neither."""
    modules = {
        "instance": "envs.factory",
        "limited": "envs.factory",
        "make": "envs.factory",
        "render_episode": "envs.factory",
        "rules_of": "envs.factory",
        "Step": "envs.vector",
        "VectorEnv": "envs.vector",
    }
    if name not in modules:
        raise AttributeError(f"module 'envs' has no attribute {name!r}")
    return getattr(importlib.import_module(modules[name]), name)
