"""Any Gymnasium environment as a bank of one: a new instance for each episode.

A reused Box2D world is not a function of the reset seed, a newly built one is, and building costs 0.15 ms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np

from core.errors import UsageError
from envs.vector import Received

__all__ = ["ClassicBank"]


class ClassicBank:
    """One environment; `build()` makes an instance. Observations and actions are the environment's own; those of a Discrete
    space are counted from 0, whatever its `start`, and with `actions` an action is a position among these."""

    size = 1
    frame_stack = 1

    def __init__(self, build: Callable[[], gymnasium.Env], actions: tuple[int, ...] = ()):
        self._build = build
        self._env = build()
        self._fresh = True
        self.observation_space: gymnasium.Space = self._env.observation_space
        space = self._env.action_space
        if not isinstance(self.observation_space, (gymnasium.spaces.Box, gymnasium.spaces.Discrete)):
            raise UsageError(
                f"observations of {self._name} are {self.observation_space}; only Box and Discrete are supported"
            )
        if not isinstance(space, (gymnasium.spaces.Box, gymnasium.spaces.Discrete)):
            raise UsageError(f"actions of {self._name} are {space}; only Box and Discrete are supported")
        if not all(space.contains(action) for action in actions):
            raise UsageError(f"actions {list(actions)} do not fit {self._name}, whose actions are {space}")
        self.actions = actions
        if isinstance(space, gymnasium.spaces.Discrete):
            self.actions = actions or tuple(range(int(space.start), int(space.start + space.n)))
            space = gymnasium.spaces.Discrete(len(self.actions))
        self.action_space: gymnasium.Space = space
        self.first_state = 0
        if isinstance(self.observation_space, gymnasium.spaces.Discrete):
            self.first_state = int(self.observation_space.start)
            self.observation_space = gymnasium.spaces.Discrete(int(self.observation_space.n))

    @property
    def _name(self) -> str:
        return self._env.spec.id if self._env.spec else type(self._env).__name__

    def start(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode that depends on `seed` alone and return its first observation."""
        if not self._fresh:
            self._env.close()
            self._env = self._build()
        self._fresh = False
        return self._seen(self._env.reset(seed=seed)[0])

    def _seen(self, obs: Any) -> Any:
        return obs - self.first_state if self.first_state else obs

    def send(self, actions: np.ndarray) -> None:
        """Take the step; actions [1]."""
        action = self.actions[actions[0]] if self.actions else np.array(actions[0])  # its own: it may write into it
        self._result = self._env.step(action)

    def recv(self) -> Received:
        """Return observations, rewards, terminated, truncated, each [1, ...]."""
        obs, reward, terminated, truncated, _ = self._result
        return (self._seen(obs),), (reward,), (terminated,), (truncated and not terminated,)

    def render(self) -> np.ndarray:
        """Return the current picture [H, W, 3] uint8; the instance must have been built with render_mode='rgb_array'."""
        return np.asarray(self._env.render(), np.uint8)

    def close(self) -> None:
        self._env.close()
