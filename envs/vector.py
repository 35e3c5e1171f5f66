"""`VectorEnv`: several environments side by side, each an episode that is a function of its seed and its actions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from core.errors import UsageError

__all__ = ["Slot", "Step", "VectorEnv"]


class Slot(Protocol):
    """One environment. `send` starts a step and `recv` waits for it, so that native ones run at the same time."""

    observation_space: Space
    action_space: Space

    def start(self, seed: int) -> np.ndarray:
        """Begin an episode that depends on `seed` and nothing else, and return its first observation."""
        ...

    def send(self, action: Any) -> None: ...

    def recv(self) -> tuple[np.ndarray, float, bool, bool]:
        """Return observation, reward, terminated, truncated."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True)
class Step:
    """What came of one action in each of N environments.

    Where an episode ended (`done`), `obs` is already the first observation of the next one and `final_obs` the last of
    the old; elsewhere the two are equal. Idle environments keep their observation, with reward 0 and not done.
    Value targets bootstrap through `truncated`, never through `terminated`.
    """

    obs: np.ndarray  # [N, ...]
    reward: np.ndarray  # [N] float64, as the environment gives it: never clipped here
    terminated: np.ndarray  # [N] bool
    truncated: np.ndarray  # [N] bool
    final_obs: np.ndarray  # [N, ...]

    @property
    def done(self) -> np.ndarray:  # [N] bool
        return self.terminated | self.truncated


class VectorEnv:
    """N environments that reset themselves, can idle one by one, and can be written down and restored exactly.

    `last_episode[i]` is (seed, actions) of the episode that slot i finished last: enough to play it again and film it.
    """

    def __init__(self, slots: Sequence[Slot], seed: int, protocol: str):
        self._slots = list(slots)
        self.num_envs = len(self._slots)
        self.observation_space = self._slots[0].observation_space
        self.action_space = self._slots[0].action_space
        self.protocol = protocol
        """One line that says everything a score depends on."""
        self._rngs = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(self.num_envs)]
        self._seeds = [0] * self.num_envs
        self._actions: list[list[Any]] = [[] for _ in self._slots]  # since the episode began
        self.last_episode: list[tuple[int, np.ndarray] | None] = [None] * self.num_envs
        space = self.observation_space
        self._obs = np.zeros((self.num_envs, *(space.shape or ())), space.dtype)

    @property
    def obs(self) -> np.ndarray:
        """The current observations [N, ...]; the caller must not write into them."""
        return self._obs

    def reset(self) -> np.ndarray:
        """Begin a new episode everywhere and return the first observations [N, ...]."""
        obs = self._obs.copy()
        for i in range(self.num_envs):
            obs[i] = self._start(i)
        self._obs = obs
        return obs

    def step(self, actions: Any, active: np.ndarray | None = None) -> Step:
        """Take one action in each environment, or only where `active` [N] bool is true; the others stand still.

        Raises UsageError for an action of the wrong shape, type or range: the emulator would hang on it.
        """
        actions = self._checked(actions)
        running = range(self.num_envs) if active is None else np.flatnonzero(active).tolist()
        for i in running:
            self._slots[i].send(actions[i])
        obs = self._obs.copy()
        reward = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, bool)
        truncated = np.zeros(self.num_envs, bool)
        for i in running:
            obs[i], reward[i], terminated[i], truncated[i] = self._slots[i].recv()
            self._actions[i].append(actions[i])
        final_obs = obs
        ended = np.flatnonzero(terminated | truncated).tolist()
        if ended:
            final_obs = obs.copy()
            for i in ended:
                self.last_episode[i] = (self._seeds[i], np.asarray(self._actions[i]))
                obs[i] = self._start(i)
        self._obs = obs
        return Step(obs, reward, terminated, truncated, final_obs)

    def state(self) -> dict[str, Any]:
        """Return what started each episode, the actions since, and a hash of what is seen now: a few kilobytes."""
        return {
            "rngs": self._rngs,
            "episodes": [
                {"seed": self._seeds[i], "actions": np.asarray(self._actions[i]), "sees": self._fingerprint(i)}
                for i in range(self.num_envs)
            ],
        }

    def load_state(self, tree: dict[str, Any]) -> None:
        """Play every episode again up to where it stood.

        Raises UsageError when an environment does not come out where it was: then it is no function of seed and actions.
        """
        episodes = tree["episodes"]
        for i, episode in enumerate(episodes):
            self._seeds[i] = episode["seed"]
            self._actions[i] = list(episode["actions"])
            self._obs[i] = self._slots[i].start(self._seeds[i])
        for t in range(max(len(actions) for actions in self._actions)):
            running = [i for i in range(self.num_envs) if t < len(self._actions[i])]
            for i in running:
                self._slots[i].send(self._actions[i][t])
            for i in running:
                self._obs[i] = self._slots[i].recv()[0]
        for i, episode in enumerate(episodes):
            if self._fingerprint(i) != episode["sees"]:
                raise UsageError(
                    f"environment {i} ({self.protocol}) did not come out where it was after replaying {len(self._actions[i])}"
                    " actions: its episodes must depend on the reset seed and the actions alone"
                )

    def close(self) -> None:
        for slot in self._slots:
            slot.close()

    def _start(self, i: int) -> np.ndarray:
        self._seeds[i] = int(self._rngs[i].integers(2**31))
        self._actions[i] = []
        return self._slots[i].start(self._seeds[i])

    def _fingerprint(self, i: int) -> str:
        return hashlib.sha256(np.ascontiguousarray(self._obs[i]).tobytes()).hexdigest()[:16]

    def _checked(self, actions: Any) -> np.ndarray:
        actions = np.asarray(actions)
        space = self.action_space
        if isinstance(space, Discrete):
            if actions.shape != (self.num_envs,) or actions.dtype.kind not in "iu":
                raise UsageError(
                    f"actions have shape {list(actions.shape)} and type {actions.dtype}; [{self.num_envs}] integers are needed"
                )
            low, high = int(space.start), int(space.start + space.n) - 1
            if actions.min() < low or actions.max() > high:
                wrong = actions[(actions < low) | (actions > high)][0]
                raise UsageError(f"action {wrong} is out of range; valid actions are {low} to {high}")
        elif isinstance(space, Box):
            if actions.shape != (self.num_envs, *space.shape):
                raise UsageError(f"actions have shape {list(actions.shape)}; {[self.num_envs, *space.shape]} is needed")
            if not np.isfinite(actions).all():
                raise UsageError("an action is not finite; every component must be a number")
            actions = actions.astype(space.dtype, copy=False)
        return actions
