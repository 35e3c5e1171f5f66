"""Small environments of our own that ask one question of an agent: registered as `pongan/TMaze-v0`."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Discrete

__all__ = ["TMaze", "register"]

NORTH, EAST, SOUTH, WEST = range(4)


class TMaze(gymnasium.Env):
    """A corridor of `length` steps with a junction at its end, where the goal lies north or south (Bakker, 2001).

    The first observation says on which side: [0, 1, 1] or [1, 1, 0]; all others in the corridor are [1, 0, 1], the junction is
    [0, 1, 0]. Actions are north, east, south, west. The right turn at the junction gives 4 and the wrong one -0.1; either ends
    the episode. A step against a wall gives -0.1 and stays where it is, any other step 0.

    The return of an agent that never runs against a wall is 4 p - 0.1 (1 - p), where p is the probability of the right turn.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 10}

    def __init__(self, length: int = 20, render_mode: str | None = None):
        self.length, self.render_mode = length, render_mode
        self.observation_space = Box(0.0, 1.0, (3,), np.float32)
        self.action_space = Discrete(4)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        super().reset(seed=seed)
        self._at, self._side = 0, 0  # steps from the start; 0 in the corridor, then the turn that was taken
        self._goal = NORTH if self.np_random.integers(2) else SOUTH
        return self._seen(), {}

    def step(self, action: int) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        turned = self._at == self.length and action in (NORTH, SOUTH)
        if turned:
            self._side = -1 if action == NORTH else 1
            return self._seen(), 4.0 if action == self._goal else -0.1, True, False, {}
        before = self._at
        self._at = int(np.clip(before + {EAST: 1, WEST: -1}.get(int(action), 0), 0, self.length))
        return self._seen(), 0.0 if self._at != before else -0.1, False, False, {}

    def render(self) -> np.ndarray:
        """Return the maze from above: floor white, the goal green, the agent red; as the cue has it, the goal is seen at once."""
        cells = np.zeros((5, self.length + 3, 3), np.uint8)
        cells[2, 1:-1] = cells[1:4, -2] = 255
        cells[1 if self._goal == NORTH else 3, -2] = [60, 180, 90]
        cells[2 + self._side, 1 + self._at] = [200, 60, 60]
        return np.kron(cells, np.ones((8, 8, 1), np.uint8))

    def _seen(self) -> np.ndarray:
        if self._at == 0:
            return np.array([0, 1, 1] if self._goal == NORTH else [1, 1, 0], np.float32)
        return np.array([0, 1, 0] if self._at == self.length else [1, 0, 1], np.float32)


def register() -> None:
    """Make the toys known to Gymnasium; calling it again changes nothing. TMaze has a time limit of 200 steps."""
    if "pongan/TMaze-v0" not in gymnasium.registry:
        gymnasium.register("pongan/TMaze-v0", f"{TMaze.__module__}:{TMaze.__name__}", max_episode_steps=200)
