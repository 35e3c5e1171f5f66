"""The simplest agent: it takes one action for ever."""

from __future__ import annotations

from typing import Any

import numpy as np

from core.plugin import Agent
from envs import EnvConfig


class Stubborn(Agent):
    """Takes `action` in `environment` and counts, in its memory, the steps of every episode."""

    def __init__(self, environment: EnvConfig, action: int = 0):
        self.environment, self.action, self.clock = environment, action, 0
        self.lengths: list[np.ndarray] = []

    def step(self) -> dict[str, Any]:
        return {}

    def state(self) -> dict[str, Any]:
        return {"clock": self.clock}

    def memory(self, n: int) -> tuple[np.ndarray, ...]:
        return (np.zeros(n, int),)

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        self.lengths.append(memory[0] + 1)
        return np.full(len(observations), self.action), (memory[0] + 1,)
