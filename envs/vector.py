"""`VectorEnv`: several environments side by side, each an episode that is a function of its seed and its actions."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from gymnasium.spaces import Box, Discrete, MultiDiscrete, Space

from core.errors import UsageError
from core.seeds import child

__all__ = ["Bank", "Received", "Step", "VectorEnv"]


Received = tuple[Sequence[Any], Sequence[Any], Sequence[Any], Sequence[Any]]
"""Observations, rewards, terminated, truncated of the games of one bank, each [size, ...]."""


class Bank(Protocol):
    """One or several games that step together. `send` starts a step and `recv` waits, so that banks run at the same time."""

    size: int
    name: str
    """The environment's id, for sentences."""
    frame_stack: int
    """Frames in an observation [frames, H, W], the newest last, each step one new; 1 where it is no stack."""
    observation_space: Space
    action_space: Space
    actions: tuple[int, ...]
    """What the environment calls the actions 0, 1, ...; empty for a vector of numbers."""
    first_state: int
    """What the environment calls the state 0, where observations are numbers of states."""
    state_shape: tuple[int, ...]
    """Where observations are numbers of states: (states,), or the states of each part of a Tuple, in whose order they are
    counted row by row; else empty."""
    said: str
    """What has become of the environment's own observations, for the protocol line; or empty."""
    mask: np.ndarray | None
    """Which actions are allowed now, [size, M] bool (see `envs.spaces.Acting`); None where the environment does not tell."""

    def start(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode of game `i` that depends on `seed` and nothing else, and return its first observation."""
        ...

    def send(self, actions: np.ndarray) -> None: ...

    def recv(self) -> Received: ...

    def reseed(self, seed: int) -> None:
        """Draw what happens from here on from another seed, where chance is the environment's own."""
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
    final_mask: np.ndarray | None = None
    """[N, M] bool: what is allowed on final_obs; None where the environments do not tell."""

    @property
    def done(self) -> np.ndarray:  # [N] bool
        return self.terminated | self.truncated


class VectorEnv:
    """N environments that reset themselves, can idle one by one, and can be written down and restored exactly.

    `last_episode[i]` is (seed, actions) of the episode that slot i finished last: enough to play it again and film it.
    """

    def __init__(self, banks: Sequence[Bank], seed: int, protocol: str, *, atari: bool = False):
        self.banks = list(banks)
        ends = np.cumsum([bank.size for bank in self.banks]).tolist()
        self._rows = [slice(end - bank.size, end) for bank, end in zip(self.banks, ends, strict=True)]
        self._place = [
            (bank, i) for bank in self.banks for i in range(bank.size)
        ]  # environment -> bank and number in it
        self.num_envs = len(self._place)
        self.observation_space = self.banks[0].observation_space
        self.action_space = self.banks[0].action_space
        self.frame_stack = self.banks[0].frame_stack
        self.actions, self.first_state = self.banks[0].actions, self.banks[0].first_state
        self.state_shape = self.banks[0].state_shape
        self.protocol = ", ".join(filter(None, [protocol, self.banks[0].said]))
        """One line that says everything a score depends on."""
        self.is_atari = atari
        """Whether these are Atari games, whose rewards are points of any size."""
        self._rngs = [np.random.default_rng(child(seed, "game", i)) for i in range(self.num_envs)]
        self._seeds = [0] * self.num_envs
        self._actions: list[list[Any]] = [[] for _ in self._place]  # since the episode began
        self.last_episode: list[tuple[int, np.ndarray] | None] = [None] * self.num_envs
        self._obs = self._empty()
        self._mask: np.ndarray | None = None
        self._on_its_way: tuple[np.ndarray, list[tuple[Bank, slice]]] | None = None
        self._may_be_none = self._obs.dtype.kind == "f"  # nan or infinite: whole numbers are checked where they come in

    @property
    def obs(self) -> np.ndarray:
        """The current observations [N, ...]; the caller must not write into them."""
        return self._obs

    @property
    def mask(self) -> np.ndarray | None:
        """Which actions are allowed now, [N, M] bool; None where the environments do not tell, which `reset` finds out.

        M is the number of actions, or of the choices for all numbers of an action, one behind the other.
        """
        return self._mask

    def reset(self) -> np.ndarray:
        """Begin a new episode everywhere and return the first observations [N, ...]."""
        obs = self._obs.copy()
        for i in range(self.num_envs):
            obs[i] = self._start(i)
        self._obs = obs
        self._ask_for_masks()
        return obs

    def step(self, actions: Any, active: np.ndarray | None = None) -> Step:
        """Take one action in each environment, or only where `active` [N] bool is true; the others stand still.

        Raises UsageError for an action of the wrong shape, type or range (the emulator would hang on it), when only part of a
        bank whose games step together is active, and when an environment raises or says what does not fit its spaces.
        """
        self.send(actions, active)
        return self.recv()

    def send(self, actions: Any, active: np.ndarray | None = None) -> None:
        """Begin a step and return at once, so that the caller can work while native environments do; then call `recv`.

        A step on its way is not part of `state()`: send it again after a restore.
        """
        if self._on_its_way is not None:
            raise UsageError("a step is on its way; call recv() before the next send()")
        actions = self._checked(actions)
        running = list(zip(self.banks, self._rows, strict=True))
        if active is not None and not active.all():
            running = [(bank, rows) for bank, rows in running if active[rows].any()]
            if not all(active[rows].all() for _, rows in running):
                raise UsageError(
                    "these environments step together; make them with may_idle=True to let some stand still"
                )
        for bank, rows in running:
            bank.send(actions[rows])
        self._on_its_way = (actions, running)

    def recv(self) -> Step:
        """Wait for the step that `send` began and return it."""
        if self._on_its_way is None:
            raise UsageError("no step is on its way; call send() first")
        actions, running = self._on_its_way
        self._on_its_way = None
        obs = self._empty() if len(running) == len(self.banks) else self._obs.copy()
        reward = np.zeros(self.num_envs)
        terminated = np.zeros(self.num_envs, bool)
        truncated = np.zeros(self.num_envs, bool)
        for bank, rows in running:
            obs[rows], reward[rows], terminated[rows], truncated[rows] = bank.recv()
            for i in range(rows.start, rows.stop):
                self._actions[i].append(actions[i])
        if self._mask is not None:
            self._ask_for_masks()
        final_mask = self._mask
        if self._may_be_none and not np.isfinite(obs).all():
            i = next(i for i in range(self.num_envs) if not np.isfinite(obs[i]).all())
            raise self._not_finite(i, obs[i])
        final_obs = obs
        ended = np.flatnonzero(terminated | truncated).tolist()
        if ended:
            final_obs = obs.copy()
            for i in ended:
                self.last_episode[i] = (self._seeds[i], np.asarray(self._actions[i]))
                obs[i] = self._start(i)
            if final_mask is not None:
                self._ask_for_masks()
        self._obs = obs
        return Step(obs, reward, terminated, truncated, final_obs, final_mask)

    def episode(self, i: int) -> tuple[int, Sequence[Any]]:
        """Return the seed of the episode in progress in slot i, and its actions so far."""
        return self._seeds[i], self._actions[i]

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
        self._settle()
        episodes = tree["episodes"]
        for i, episode in enumerate(episodes):
            self._seeds[i] = episode["seed"]
            self._actions[i] = list(episode["actions"])
        for bank, rows in zip(self.banks, self._rows, strict=True):
            self._replay(bank, rows)
        self._ask_for_masks()
        for i, episode in enumerate(episodes):
            if self._fingerprint(i) != episode["sees"]:
                raise UsageError(
                    f"environment {i} ({self.protocol}) did not come out where it was after replaying {len(self._actions[i])}"
                    " actions: its episodes must depend on the reset seed and the actions alone"
                )

    def close(self) -> None:
        self._settle()
        for bank in self.banks:
            bank.close()

    def _settle(self) -> None:
        """Wait for a step on its way and forget it."""
        if self._on_its_way is not None:
            for bank, _ in self._on_its_way[1]:
                bank.recv()
            self._on_its_way = None

    def _start(self, i: int) -> np.ndarray:
        self._seeds[i] = int(self._rngs[i].integers(2**31))
        self._actions[i] = []
        bank, number = self._place[i]
        obs = bank.start(number, self._seeds[i])
        if self._may_be_none and not np.isfinite(obs).all():
            raise self._not_finite(i, np.asarray(obs))
        return obs

    def _ask_for_masks(self) -> None:
        masks = [bank.mask for bank in self.banks]
        told = [mask for mask in masks if mask is not None]
        if told and len(told) < len(masks):
            raise UsageError(f"some of the environments {self.banks[0].name!r} have an action_mask and some have none")
        self._mask = np.concatenate(told) if told else None

    def _not_finite(self, i: int, obs: np.ndarray) -> UsageError:
        steps = len(self._actions[i])
        place = f"step {steps} of an episode" if steps else "reset()"
        number = obs[~np.isfinite(obs)].flat[0] if obs.ndim else obs
        return UsageError(
            f"environment {self._place[i][0].name!r} in {place}: the observation holds {number}; finite numbers are needed"
        )

    def _replay(self, bank: Bank, rows: slice) -> None:
        """Play the bank's episodes again so that all end together: one begins when as many steps are left as it has."""
        games = range(rows.start, rows.stop)
        most = max(len(self._actions[i]) for i in games)
        for left in range(most, -1, -1):
            for i in games:
                if len(self._actions[i]) == left:
                    self._obs[i] = bank.start(i - rows.start, self._seeds[i])
            if left:  # a game that has not begun yet does anything: its start forgets it
                taken = [self._actions[i][-left] if len(self._actions[i]) >= left else self._filler() for i in games]
                bank.send(np.asarray(taken))
                self._obs[rows] = bank.recv()[0]

    def _filler(self) -> Any:
        return np.zeros(self.action_space.shape or (), self.action_space.dtype)

    def _empty(self) -> np.ndarray:
        return np.empty((self.num_envs, *(self.observation_space.shape or ())), self.observation_space.dtype)

    def _fingerprint(self, i: int) -> str:
        seen = np.ascontiguousarray(self._obs[i]).tobytes()
        allowed = b"" if self._mask is None else self._mask[i].tobytes()
        return hashlib.sha256(seen + allowed).hexdigest()[:16]

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
        elif isinstance(space, MultiDiscrete):
            if actions.shape != (self.num_envs, *space.shape) or actions.dtype.kind not in "iu":
                raise UsageError(
                    f"actions have shape {list(actions.shape)} and type {actions.dtype}; {[self.num_envs, *space.shape]} "
                    "integers are needed"
                )
            if ((actions < 0) | (actions >= space.nvec)).any():
                raise UsageError(f"action {actions.tolist()} is out of range; there are {space.nvec.tolist()} choices")
        elif isinstance(space, Box):
            if actions.shape != (self.num_envs, *space.shape):
                raise UsageError(f"actions have shape {list(actions.shape)}; {[self.num_envs, *space.shape]} is needed")
            if not np.isfinite(actions).all():
                raise UsageError("an action is not finite; every component must be a number")
            actions = actions.astype(space.dtype, copy=False)
        return actions
