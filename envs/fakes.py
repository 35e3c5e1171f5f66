"""Tiny environments of our own for tests and first steps: `pongan/Catch-v0` and `pongan/Walk-v0`, and one with any spaces."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete, MultiBinary, MultiDiscrete

__all__ = ["Anything", "Catch", "Walk", "register"]


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


class Anything(gymnasium.Env):
    """Samples of any observation space, which tell nothing, for 8 steps; the best is one action, drawn once for all episodes.

    The reward is the share of the action's numbers that are right, for Box minus the mean distance to it. With `masked`,
    `info["action_mask"]` allows the best choices and others at random, and `step` raises ValueError for what it does not allow.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    STEPS = 8

    def __init__(
        self,
        observations: gymnasium.Space,
        actions: gymnasium.Space,
        masked: bool = False,
        render_mode: str | None = None,
    ):
        self.render_mode, self.masked = render_mode, masked
        self.observation_space, self.action_space = copy.deepcopy(observations), copy.deepcopy(actions)
        self.action_space.seed(0)
        self.best = np.asarray(self.action_space.sample())

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(int(self.np_random.integers(2**31)))
        self._step = 0
        return self._sees()

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if not self.action_space.contains(action):
            raise ValueError(f"{action!r} is not in {self.action_space}")
        if self.masked and not self._mask[self._entries(action)].all():
            raise ValueError(f"{action!r} is not allowed by {self._mask}")
        self._step += 1
        if isinstance(self.action_space, Box):
            reward = -float(np.abs(np.asarray(action, np.float64) - self.best).mean())
        else:
            reward = float((action == self.best).mean())
        obs, info = self._sees()
        return obs, reward, self._step == self.STEPS, False, info

    def _sees(self) -> tuple[Any, dict[str, Any]]:
        if not self.masked:
            return self.observation_space.sample(), {}
        self._mask = self.np_random.random(int(self._sizes().sum())) < 0.3
        self._mask[self._entries(self.best)] = True
        return self.observation_space.sample(), {"action_mask": self._mask.astype(np.int8)}

    def _sizes(self) -> np.ndarray:
        """How many choices there are for each number of an action."""
        space = self.action_space
        if isinstance(space, MultiBinary):
            return np.full(int(np.prod(space.shape)), 2)
        return space.nvec.ravel() if isinstance(space, MultiDiscrete) else np.array([space.n])

    def _entries(self, action: Any) -> np.ndarray:
        """Where the choices of an action stand in a mask."""
        begins = np.cumsum([0, *self._sizes()[:-1]])
        return begins + np.ravel(action) - np.ravel(getattr(self.action_space, "start", 0))


def register() -> None:
    """Make the fakes known to Gymnasium; calling it again changes nothing."""
    for name, cls, limit in (("pongan/Catch-v0", Catch, None), ("pongan/Walk-v0", Walk, 20)):
        if name not in gymnasium.registry:
            gymnasium.register(name, f"{cls.__module__}:{cls.__name__}", max_episode_steps=limit)
