"""Any Gymnasium environment as a bank of one: a new instance for each episode, unless it is known to need none.

A reused Box2D world is not a function of the reset seed, a newly built one is, and building costs 0.15 ms. Gymnasium's toy texts
are one either way, and building them costs 0.5 to 20 ms, since they write down their transition model.

This is the border to code that is not ours. What it raises becomes a sentence that names the environment and the step, and what
it says is checked against the spaces it declares: numpy would broadcast a number to a row and wrap -1 to 255 without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf, nan
from numbers import Real
from typing import Any

import gymnasium
import numpy as np

from core.errors import UsageError, foreign, told, warn
from envs.spaces import Unfit, acting, reading, shown
from envs.vector import Received

__all__ = ["ClassicBank"]

MASK = "action_mask"
LATE = (
    f"info has an {MASK}, which that of the first reset() did not have; every reset() and step must bring one or none"
)
BOOLS = (bool, np.bool_)


class ClassicBank:
    """One environment; `build()` makes an instance, one for all episodes with `reuse`. `envs.spaces` says how its observations,
    of Dict and Tuple only the parts `keys`, become states or arrays, and actions, of Discrete ones only `actions`, its own.

    `mask` follows `info["action_mask"]` where reset() brings one, unless `masks` is false.

    Every method raises ForeignError for what the environment raises, and UsageError for an answer that does not fit its spaces:
    reset() without info, another shape, fractions or numbers out of bounds where integers are declared, rewards that are no
    finite number. Floats beyond the bounds of their Box are passed on: many environments overstep them by a little.
    """

    size = 1
    frame_stack = 1

    def __init__(
        self,
        build: Callable[[], gymnasium.Env],
        name: str,
        actions: tuple[int, ...] = (),
        keys: tuple[str, ...] = (),
        *,
        masks: bool = True,
        reuse: bool = False,
    ):
        self._build, self._reuse = build, reuse
        self.name = name
        self._env = build()
        self._fresh = True
        self._steps = 0  # of the episode
        try:
            observations, space = self._env.observation_space, self._env.action_space
        except Exception as error:
            raise foreign(f"environment {name!r}", error, "when it was asked for its spaces") from error
        self._reading, self._acting = reading(observations, keys, name), acting(space, actions, name)
        self.observation_space, self.action_space = self._reading.space, self._acting.space
        self.first_state, self.state_shape = self._reading.first_state, self._reading.state_shape
        self.actions = self._acting.actions
        self.said = self._reading.said
        self.mask: np.ndarray | None = None
        self._masks = masks and bool(self._acting.sizes)
        self._masked: bool | None = None if self._masks else False  # the first reset() tells

    def start(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode that depends on `seed` alone and return its first observation."""
        if not (self._fresh or self._reuse):
            self.close()
            self._env = self._build()
        self._fresh = False
        self._steps = 0
        try:
            result = self._env.reset(seed=seed)
        except (UsageError, KeyboardInterrupt):  # the launcher knows whether a key was pressed
            raise
        except BaseException as error:
            raise foreign(f"environment {self.name!r}", error, "in reset()") from error
        if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], (Mapping, type(None)))):
            raise self._wrong(
                f"reset() returned {shown(result)}; it must return a tuple of the observation and a mapping: observation, {{}}"
            )
        if self._masks:
            has = result[1] is not None and MASK in result[1]
            if has and self._masked is False:
                raise self._wrong(LATE)
            self._masked = self._masked or has
            self.mask = self._allowed(result[1], False) if self._masked else None
        return self._seen(result[0])

    def reseed(self, seed: int) -> None:
        """Draw what happens from here on from another seed."""
        self._env.unwrapped.np_random = np.random.Generator(np.random.PCG64(seed))

    def send(self, actions: np.ndarray) -> None:
        """Take the step; actions [1]."""
        action = self._acting.to_env(actions[0])
        self._steps += 1
        try:
            self._result = self._env.step(action)
        except (UsageError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise foreign(f"environment {self.name!r}", error, f"in step {self._steps} of an episode") from error

    def recv(self) -> Received:
        """Return observations, rewards, terminated, truncated, each [1, ...]."""
        try:
            obs, reward, terminated, truncated, info = self._result
        except (TypeError, ValueError) as error:
            raise self._wrong(
                f"step() returned {shown(self._result)}; it must return observation, reward, terminated, truncated and info"
            ) from error
        if type(reward) is not float or not -inf < reward < inf:
            reward = self._reward(reward)
        if type(terminated) not in BOOLS:
            terminated = self._ended(terminated, "terminated")
        if type(truncated) not in BOOLS:
            truncated = self._ended(truncated, "truncated")
        if self._masked:
            self.mask = self._allowed(info, terminated or truncated)
        elif self._steps == 1 and self._masks and isinstance(info, Mapping) and MASK in info:
            raise self._wrong(LATE)
        return (self._seen(obs),), (reward,), (terminated,), (truncated and not terminated,)

    def render(self) -> Any:
        """Return the current picture as the environment draws it; `build` must have set render_mode='rgb_array'."""
        return self._env.render()

    def close(self) -> None:
        """Close the instance; what its close() raises costs a warning, since nothing is needed of it any more."""
        try:
            self._env.close()
        except BaseException as error:  # noqa: BLE001 - whatever it is, training goes on without this instance
            warn(f"environment {self.name!r} raised {type(error).__name__} in close(): {told(error)}")

    # --- what the environment says --------------------------------------------------------------------------------------

    def _wrong(self, what: str) -> UsageError:
        place = f"step {self._steps} of an episode" if self._steps else "reset()"
        return UsageError(f"environment {self.name!r} in {place}: {what}")

    def _seen(self, obs: Any) -> Any:
        try:
            return self._reading.read(obs)
        except Unfit as error:
            raise self._wrong(str(error)) from error

    def _allowed(self, info: Any, ended: bool) -> np.ndarray:
        """Return what `info` allows, [1, M] bool."""
        try:
            told = info[MASK]
        except (LookupError, TypeError) as error:
            if not ended:
                raise self._wrong(f"info has no {MASK}, which that of the first reset() had") from error
            return np.ones_like(self.mask)
        try:
            return self._acting.mask(told, ended)[None]
        except Unfit as error:
            raise self._wrong(str(error)) from error

    def _reward(self, reward: Any) -> float:
        """Return a reward of another type as the number it is; an array of one number is one."""
        try:
            if isinstance(reward, Real):
                number = float(reward)
            else:
                array = np.asarray(reward)
                number = float(array.item()) if array.size == 1 and array.dtype.kind in "fiub" else nan
        except (ValueError, TypeError, OverflowError):
            number = nan
        if not -inf < number < inf:
            raise self._wrong(f"the reward is {shown(reward)}; a finite number is needed")
        return number

    def _ended(self, value: Any, name: str) -> bool:
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.zeros(0)
        if array.size != 1 or array.dtype.kind not in "iub" or array.item() not in (0, 1):
            raise self._wrong(f"{name} is {shown(value)}; True or False is needed")
        return bool(array.item())
