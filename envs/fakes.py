"""Tiny environments of our own for tests and first steps: registered as `pongan/Catch-v0` and `pongan/Walk-v0`."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

__all__ = ["Catch", "Walk", "register"]


class Catch(gymnasium.Env):
    """A ball falls through a 6x5 board; a paddle on the floor moves left, stays or moves right. +1 caught, -1 missed."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 4}
    ROWS, COLUMNS = 6, 5

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.observation_space = Box(0.0, 1.0, (self.ROWS, self.COLUMNS), np.float32)
        self.action_space = Discrete(3)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._row, self._column = 0, int(self.np_random.integers(self.COLUMNS))
        self._paddle = self.COLUMNS // 2
        return self._board(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._paddle = int(np.clip(self._paddle + action - 1, 0, self.COLUMNS - 1))
        self._row += 1
        landed = self._row == self.ROWS - 1
        reward = (1.0 if self._column == self._paddle else -1.0) if landed else 0.0
        return self._board(), reward, landed, False, {}

    def render(self) -> np.ndarray:
        return np.kron(self._board()[..., None] * [90, 200, 120], np.ones((16, 16, 1))).astype(np.uint8)

    def _board(self) -> np.ndarray:
        board = np.zeros((self.ROWS, self.COLUMNS), np.float32)
        board[-1, self._paddle] = 0.5
        board[self._row, self._column] = 1.0
        return board


class Walk(gymnasium.Env):
    """A noisy walk on a line, for continuous actions: the reward is minus the distance from 0; nothing terminates."""

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}

    def __init__(self, render_mode: str | None = None):
        self.render_mode = render_mode
        self.observation_space = Box(-np.inf, np.inf, (1,), np.float32)
        self.action_space = Box(-1.0, 1.0, (1,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._x = self.np_random.uniform(-2, 2)
        return np.array([self._x], np.float32), {}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        self._x += float(np.clip(action[0], -1, 1)) + self.np_random.normal(0, 0.05)
        return np.array([self._x], np.float32), -abs(self._x), False, False, {}


def register() -> None:
    """Make the fakes known to Gymnasium; calling it again changes nothing."""
    for name, cls, limit in (("pongan/Catch-v0", Catch, None), ("pongan/Walk-v0", Walk, 20)):
        if name not in gymnasium.registry:
            gymnasium.register(name, f"{cls.__module__}:{cls.__name__}", max_episode_steps=limit)
