"""Any Gymnasium environment as a bank of one: a new instance for each episode, unless it is known to need none.

A reused Box2D world is not a function of the reset seed, a newly built one is, and building costs 0.15 ms. Gymnasium's toy texts
are one either way, and building them costs 0.5 to 20 ms, since they write down their transition model.

This is the border to code that is not ours. What it raises becomes a sentence that names the environment and the step, and what
it says is checked against the spaces it declares: numpy would broadcast a number to a row and wrap -1 to 255 without a word.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from math import inf, nan, prod
from numbers import Real
from typing import Any

import gymnasium
import numpy as np

from core.errors import UsageError, foreign, told, warn
from envs.vector import Received

__all__ = ["ClassicBank"]

BOOLS = (bool, np.bool_)


class ClassicBank:
    """One environment; `build()` makes an instance, one for all episodes with `reuse`. Observations and actions are the
    environment's own; those of a Discrete space are counted from 0, whatever its `start`, and with `actions` an action is a
    position among these. A Tuple of Discrete spaces is seen as one Discrete space: its states are numbered row by row, the last
    part counting fastest, and `state_shape` has the number of states of each part.

    Every method raises ForeignError for what the environment raises, and UsageError for an answer that does not fit its spaces:
    reset() without info, another shape, fractions or numbers out of bounds where integers are declared, rewards that are no
    finite number. Floats beyond the bounds of their Box are passed on: many environments overstep them by a little.
    """

    size = 1
    frame_stack = 1

    def __init__(
        self, build: Callable[[], gymnasium.Env], name: str, actions: tuple[int, ...] = (), *, reuse: bool = False
    ):
        self._build, self._reuse = build, reuse
        self.name = name
        self._env = build()
        self._fresh = True
        self._steps = 0  # of the episode
        try:
            self.observation_space: gymnasium.Space = self._env.observation_space
            space = self._env.action_space
        except Exception as error:
            raise foreign(f"environment {name!r}", error, "when it was asked for its spaces") from error
        self._parts = _parts(self.observation_space)
        if not self._parts and not isinstance(self.observation_space, gymnasium.spaces.Box):
            raise UsageError(
                f"observations of {name} are {self.observation_space}; only Box, Discrete and Tuples of Discrete are supported"
            )
        if not isinstance(space, (gymnasium.spaces.Box, gymnasium.spaces.Discrete)):
            raise UsageError(f"actions of {name} are {space}; only Box and Discrete are supported")
        if not all(space.contains(action) for action in actions):
            raise UsageError(f"actions {list(actions)} do not fit {name}, whose actions are {space}")
        self.actions = actions
        if isinstance(space, gymnasium.spaces.Discrete):
            self.actions = actions or tuple(range(int(space.start), int(space.start + space.n)))
            space = gymnasium.spaces.Discrete(len(self.actions))
        self._numbers = np.array(self.actions, np.int64)  # what samples of a Discrete space are
        self.action_space: gymnasium.Space = space
        self.first_state = 0
        self.state_shape = tuple(int(part.n) for part in self._parts)
        self._declared = self.observation_space
        self._discrete = isinstance(self._declared, gymnasium.spaces.Discrete)
        if self._discrete:
            self.first_state = int(self._declared.start)
        if self._parts:
            self.observation_space = gymnasium.spaces.Discrete(prod(self.state_shape))
        else:
            self._shape, self._dtype = self._declared.shape, self._declared.dtype
            self._whole = self._dtype.kind in "iub"
            self._taken = (self._dtype,) if self._whole else (np.dtype(np.float32), np.dtype(np.float64))  # as they are
            self._within = _bounds(self._declared)
            self._narrow = self._dtype.kind in "iu" and not _is_full(self._declared)

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
                f"reset() returned {_shown(result)}; it must return a tuple of the observation and a mapping: observation, {{}}"
            )
        return self._seen(result[0])

    def reseed(self, seed: int) -> None:
        """Draw what happens from here on from another seed."""
        self._env.unwrapped.np_random = np.random.Generator(np.random.PCG64(seed))

    def send(self, actions: np.ndarray) -> None:
        """Take the step; actions [1]."""
        number = actions[0]
        action = self._numbers[number] if self.actions else np.array(number)  # its own: it may write into it
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
            obs, reward, terminated, truncated, _ = self._result
        except (TypeError, ValueError) as error:
            raise self._wrong(
                f"step() returned {_shown(self._result)}; it must return observation, reward, terminated, truncated and info"
            ) from error
        if type(reward) is not float or not -inf < reward < inf:
            reward = self._reward(reward)
        if type(terminated) not in BOOLS:
            terminated = self._ended(terminated, "terminated")
        if type(truncated) not in BOOLS:
            truncated = self._ended(truncated, "truncated")
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
        if self._discrete:
            return self._state(obs, self._declared)
        if self._parts:
            return self._state_of_parts(obs)
        if type(obs) is not np.ndarray or obs.shape != self._shape or obs.dtype not in self._taken:
            return self._converted(obs)
        if self._narrow and not self._within(obs):
            raise self._outside(obs)
        return obs

    def _state_of_parts(self, obs: Any) -> int:
        """Return the number of a state that is a row of states, counted from 0, the last part fastest."""
        try:
            states = tuple(obs)
        except TypeError:
            states = ()
        if len(states) != len(self._parts):
            raise self._wrong(f"the observation is {_shown(obs)}; a row of {len(self._parts)} states is needed")
        number = 0
        for part, space in zip(states, self._parts, strict=True):
            number = number * int(space.n) + self._state(part, space)
        return number

    def _state(self, obs: Any, space: gymnasium.spaces.Discrete) -> int:
        """Return the number of a state of `space`, counted from 0."""
        try:
            state = operator.index(obs)
        except TypeError:
            array = self._array(obs)
            if array.size != 1 or array.item() != int(array.item()):  # [2] and 2.0 are a state too
                raise self._wrong(f"the observation is {_shown(obs)}; a state of {space} is needed") from None
            state = int(array.item())
        if not 0 <= state - space.start < space.n:
            raise self._wrong(f"the observation is the state {state}, which is outside {space}")
        return state - int(space.start)

    def _array(self, obs: Any) -> np.ndarray:
        """Return finite numbers as an array, whatever container they come in."""
        try:
            array = np.asarray(obs)
        except (ValueError, TypeError) as error:
            raise self._wrong(f"the observation is {_shown(obs)}; one array of numbers is needed") from error
        if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
            raise self._wrong(f"the observation is {_shown(obs)}; finite numbers are needed")
        return array

    def _converted(self, obs: Any) -> np.ndarray:
        """Return an observation of another container or type as the declared array, if that changes none of its numbers."""
        array = self._array(obs)
        if array.shape != self._shape:
            if not array.size == 1 == prod(self._shape):
                raise self._wrong(
                    f"the observation has shape {list(array.shape)}; its space {self._declared} needs {list(self._shape)}"
                )
            array = array.reshape(self._shape)
        if not self._whole:
            return array
        if array.dtype.kind == "f" and (array != np.floor(array)).any():
            fraction = array[array != np.floor(array)].flat[0]
            raise self._wrong(
                f"the observation holds {fraction:g}, but its space {self._declared} has whole numbers only"
            )
        if not self._within(array):
            raise self._outside(array)
        return array.astype(self._dtype)

    def _outside(self, array: np.ndarray) -> UsageError:
        wrong = array[(array < self._declared.low) | (array > self._declared.high)].flat[0]
        return self._wrong(f"the observation holds {wrong}, which is outside its space {self._declared}")

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
            raise self._wrong(f"the reward is {_shown(reward)}; a finite number is needed")
        return number

    def _ended(self, value: Any, name: str) -> bool:
        try:
            array = np.asarray(value)
        except ValueError:
            array = np.zeros(0)
        if array.size != 1 or array.dtype.kind not in "iub" or array.item() not in (0, 1):
            raise self._wrong(f"{name} is {_shown(value)}; True or False is needed")
        return bool(array.item())


def _parts(space: gymnasium.Space) -> tuple[gymnasium.spaces.Discrete, ...]:
    """Return the Discrete spaces of which one state is made, empty where it is not made of them."""
    parts = space.spaces if isinstance(space, gymnasium.spaces.Tuple) else (space,)
    return tuple(parts) if all(isinstance(part, gymnasium.spaces.Discrete) for part in parts) else ()


def _bounds(space: gymnasium.spaces.Box) -> Callable[[np.ndarray], Any]:
    """Return the function that tells whether whole numbers lie within the bounds of a Box."""
    low, high = space.low, space.high
    if not low.size:
        return lambda array: True
    if (low == low.flat[0]).all() and (high == high.flat[0]).all():  # the common case, three times as fast
        least, most = low.flat[0].item(), high.flat[0].item()
        return lambda array: array.min() >= least and array.max() <= most
    return lambda array: ((array >= low) & (array <= high)).all()


def _is_full(space: gymnasium.spaces.Box) -> bool:
    """True when every number of the space's type lies within its bounds."""
    info = np.iinfo(space.dtype)
    return bool((space.low == info.min).all() and (space.high == info.max).all())


def _shown(value: Any) -> str:
    """Return what a value is, short enough for a sentence."""
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"an array of shape {list(value.shape)} and type {value.dtype}"
    if isinstance(value, (tuple, list)) and not all(isinstance(item, (int, float, str, type(None))) for item in value):
        return f"{type(value).__name__} of {', '.join(type(item).__name__ for item in value[:6])}"
    try:
        text = " ".join(repr(value).split())
    except Exception:  # noqa: BLE001 - a stranger's __repr__ may raise anything
        return f"of type {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:77]}..."
