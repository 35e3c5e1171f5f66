"""From spaces of any kind to arrays that agents know, and back: the one place where observations and actions are translated.

Observations become the number of a state (Discrete) or one array (Box): what has several parts becomes one row of float32, as by
`gymnasium.spaces.flatten` but with bytes scaled by their bound, and pictures have their channels first. A picture beside other
parts stands at the beginning of their row (`Mixed`). Actions are a number from 0 on (Discrete), a row of numbers from 0 on
(MultiDiscrete) or a row of float numbers (Box).
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Space, Tuple

from core.errors import UsageError, nearest

__all__ = ["Acting", "Mixed", "Reading", "Unfit", "acting", "highest", "is_picture", "largest", "reading", "shown"]

SMALLEST = 8  # pixels: what has a shorter side is no picture but a row of numbers
MOST_STATES = 100_000  # of a Tuple of Discrete spaces that is one state; a larger one is a row of its parts
FREE = np.float32  # of numbers that a policy gives for a Box of whole numbers


class Unfit(Exception):
    """What an environment said does not fit its spaces; the bank knows where and when it was said."""


class Mixed(Box):
    """A row of float32 numbers that begins with a picture of C H W pixels between -1 and 1."""

    def __init__(self, low: np.ndarray, high: np.ndarray, picture: tuple[int, ...]):
        super().__init__(low, high, dtype=np.float32)
        self.picture = picture
        """C, H, W"""


@dataclass(frozen=True)
class Reading:
    """How observations of one space are read."""

    space: Space
    """Discrete from 0, or Box: what `read` returns."""
    read: Callable[[Any], Any]
    """From an observation to the number of a state or to an array; raises Unfit."""
    first_state: int = 0
    """What the environment calls the state 0, where observations are numbers of states."""
    state_shape: tuple[int, ...] = ()
    """Where observations are numbers of states: (states,), or those of each part of a Tuple, counted row by row; else empty."""
    said: str = ""
    """What has become of the environment's own observations, for the protocol line; empty where they are left as they are."""


@dataclass(frozen=True)
class Acting:
    """How actions reach an environment."""

    space: Space
    """Discrete from 0, MultiDiscrete from 0 [K] or Box [A]: what `to_env` takes."""
    to_env: Callable[[Any], Any]
    """From one action to what the environment takes; a new object each time, since it may write into it."""
    actions: tuple[int, ...] = ()
    """What the environment calls the actions 0, 1, ...; empty for a row of numbers."""
    first: int = 0
    """What the environment calls its first action."""
    sizes: tuple[int, ...] = ()
    """How many choices the environment has for each number of an action; empty for a row of float numbers."""

    def mask(self, told: Any, ended: bool) -> np.ndarray:
        """Return info["action_mask"] as [M] bool: for all actions, or for the choices of a row's first number, then the second.

        Raises Unfit for what is no mask, and where nothing is allowed although the episode has not `ended`.
        """
        need = f"{' + '.join(map(str, self.sizes))} entries are needed, 1 or true for every action that is allowed"
        try:
            array = np.concatenate([np.ravel(part) for part in told]) if isinstance(told, tuple) else np.asarray(told)
        except (ValueError, TypeError) as error:
            raise Unfit(f"action_mask is {shown(told)}; {need}") from error
        if array.shape != (sum(self.sizes),) or array.dtype.kind not in "biuf" or not np.isin(array, (0, 1)).all():
            raise Unfit(f"action_mask is {shown(told)}; {need}")
        mask = array.astype(bool)
        starts = np.cumsum((0, *self.sizes[:-1]))
        if self.actions:
            mask, starts = mask[self._used], starts[:1]
        possible = np.logical_or.reduceat(mask, starts)
        if not possible.all():
            if not ended:
                raise Unfit(f"action_mask is {shown(told)}; it must allow an action as long as the episode goes on")
            mask = np.ones_like(mask)  # nobody chooses here
        return mask

    @cached_property
    def _used(self) -> np.ndarray:
        """The places of `actions` among all that the environment has."""
        return np.array(self.actions, np.int64) - self.first


# --- observations -------------------------------------------------------------------------------------------------------


def reading(space: Space, keys: Sequence[str], name: str) -> Reading:
    """Return how observations of `space` are read, of Dict and Tuple only the parts `keys`, in this order, if there are some.

    Raises UsageError, naming the environment `name`, for spaces that no agent takes and keys that are not there.
    """
    leaves = list(_leaves(space))
    if keys:
        leaves = _selected(space, leaves, keys, name)
    if len(leaves) == 1:
        path, part = leaves[0]
        one = _read_one(part, name)
        if not path:
            return one

        def read(obs: Any) -> Any:
            return one.read(_at(obs, path))

        said = f"observations are the part {_dotted(path)}" + (f", {one.said}" if one.said else "")
        return Reading(one.space, read, one.first_state, one.state_shape, said)
    if isinstance(space, Tuple) and not keys and all(isinstance(part, Discrete) for part in space.spaces):
        sizes = tuple(int(part.n) for part in space.spaces)
        if prod(sizes) <= MOST_STATES:
            return Reading(Discrete(prod(sizes)), lambda obs: _number_of(obs, space.spaces), 0, sizes)
    return _read_row(leaves, name)


def highest(space: Space) -> int:
    """Return the highest value of a Box of bytes, 1 to 255: what a network sees as 1."""
    return max(int(space.high.max(initial=1)), 1)


def largest(space: Space) -> float:
    """Return the largest absolute bound of a bounded Box of float pixels: what a network sees as 1; 1 where both are 0."""
    return float(max(np.abs(space.low).max(), np.abs(space.high).max())) or 1.0


def is_picture(space: Space) -> bool:
    """Return whether observations are pictures: three axes, of bytes or of float numbers with bounds, from 8x8 pixels on."""
    if not _has_pixels(space):
        return False
    H, W = space.shape[:2] if _is_channels_last(space) else space.shape[1:]
    return min(H, W) >= SMALLEST


def _has_pixels(space: Space) -> bool:
    if not isinstance(space, Box) or len(space.shape) != 3:
        return False
    return space.dtype == np.uint8 or (
        space.dtype.kind == "f" and bool(np.isfinite(space.low).all() and np.isfinite(space.high).all())
    )


def _is_channels_last(space: Box) -> bool:
    """Whether pictures are [H, W, C]: fewer channels than pixels along each side, and along the first axis not."""
    first, second, last = space.shape
    return last < min(first, second)


def _leaves(space: Space, path: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Space]]:
    """Yield (keys and numbers that lead to it, space) of every part that has no parts."""
    if isinstance(space, Dict):
        for key, part in space.spaces.items():
            yield from _leaves(part, (*path, key))
    elif isinstance(space, Tuple):
        for number, part in enumerate(space.spaces):
            yield from _leaves(part, (*path, number))
    else:
        yield path, space


def _dotted(path: tuple[Any, ...]) -> str:
    return ".".join(map(str, path))


def _selected(
    space: Space, leaves: list[tuple[tuple[Any, ...], Space]], keys: Sequence[str], name: str
) -> list[tuple[tuple[Any, ...], Space]]:
    """Return the leaves that `keys` name: a part by its name, a part of a part after a dot."""
    if not isinstance(space, (Dict, Tuple)):
        raise UsageError(f"keys {list(keys)} select parts of observations, but those of {name} have none: {space}")
    found = []
    for key in keys:
        below = [(path, part) for path, part in leaves if f"{_dotted(path)}.".startswith(f"{key}.")]
        if not below:
            names = {_dotted(path[: i + 1]) for path, _ in leaves for i in range(len(path))}
            raise UsageError(f"observations of {name} have no part {key!r}; {nearest(key, names)}")
        found += below
    return found


def _read_one(space: Space, name: str) -> Reading:
    """Return how observations are read that have no parts."""
    if isinstance(space, Discrete):
        return Reading(
            Discrete(int(space.n)), lambda obs: _state(obs, space), int(space.start), state_shape=(int(space.n),)
        )
    if isinstance(space, Box):
        read = _BoxReader(space)
        if not (_has_pixels(space) and _is_channels_last(space)):
            return Reading(space, read)
        turned = Box(space.low.transpose(2, 0, 1), space.high.transpose(2, 0, 1), dtype=space.dtype)
        said = f"pictures {'x'.join(map(str, space.shape))} have their channels put first"
        return Reading(turned, lambda obs: read(obs).transpose(2, 0, 1), said=said)
    return _read_row([((), space)], name)


def _read_row(leaves: list[tuple[tuple[Any, ...], Space]], name: str) -> Reading:
    """Return how observations of several parts, or of one that is no array of its own, become one row."""
    pictures = [leaf for leaf in leaves if is_picture(leaf[1])]
    others = [_dotted(path) for path, part in leaves if _width(part) and not is_picture(part)]
    hint = "a wrapper of your own, --agent.env.wrap module:function, can make it one of these"
    if others:
        hint = f"select others, e.g. --agent.env.keys {' '.join(others[:4])}"
    for path, part in leaves:
        if not _width(part):
            what = (
                f"observations of {name} have the part {_dotted(path)!r}, which is"
                if path
                else f"observations of {name} are"
            )
            known = "Box, Discrete, MultiDiscrete, MultiBinary, and Dict and Tuple of these"
            raise UsageError(f"{what} {_brief(part)}; agents take {known}: {hint}")
    if len(pictures) > 1:
        names = [_dotted(path) for path, _ in pictures]
        raise UsageError(
            f"observations of {name} have {len(pictures)} pictures, {', '.join(names)}, and agents take one: choose it by "
            f"--agent.env.keys, e.g. {' '.join([names[0], *others[:4]])}"
        )
    leaves = pictures + [leaf for leaf in leaves if not is_picture(leaf[1])]
    parts = [(path, _to_row(part)) for path, part in leaves]
    low, high = (np.concatenate([bounds[i] for bounds in (_row_bounds(part) for _, part in leaves)]) for i in (0, 1))

    def read(obs: Any) -> np.ndarray:
        return np.concatenate([to_row(_at(obs, path)) for path, to_row in parts])

    named = [f"{_dotted(path)} ({_width(part)})" if path else str(_width(part)) for path, part in leaves]
    if not pictures:
        return Reading(Box(low, high, dtype=np.float32), read, said=f"observations are one row of {', '.join(named)}")
    shape = _read_one(pictures[0][1], name).space.shape
    said = f"observations are the picture {_dotted(pictures[0][0])} {list(shape)} and a row of {', '.join(named[1:])}"
    return Reading(Mixed(low, high, shape), read, said=said)


def _brief(space: Space) -> str:
    text = str(space)
    return text if len(text) <= 60 else f"a {type(space).__name__}"


def _width(space: Space) -> int:
    """Return how many numbers of a row a part takes; 0 for a space that cannot be one."""
    if isinstance(space, Discrete):
        return int(space.n)
    if isinstance(space, MultiDiscrete):
        return int(space.nvec.sum())
    return prod(space.shape) if isinstance(space, (Box, MultiBinary)) else 0


def _row_bounds(space: Space) -> tuple[np.ndarray, np.ndarray]:
    if is_picture(space) and space.dtype != np.uint8:
        return np.full(_width(space), -1, np.float32), np.ones(_width(space), np.float32)
    if isinstance(space, Box) and space.dtype != np.uint8:
        return space.low.ravel().astype(np.float32), space.high.ravel().astype(np.float32)
    return np.zeros(_width(space), np.float32), np.ones(_width(space), np.float32)


def _to_row(space: Space) -> Callable[[Any], np.ndarray]:
    """Return the function from a part of an observation to its numbers [width] float32: one-hot for choices."""
    width = _width(space)
    if isinstance(space, Discrete):

        def one_hot(obs: Any) -> np.ndarray:
            row = np.zeros(width, np.float32)
            row[_state(obs, space)] = 1
            return row

        return one_hot
    if isinstance(space, MultiDiscrete):
        whole = _BoxReader(Box(space.start, space.start + space.nvec - 1, dtype=space.dtype), space)
        offset = np.concatenate([[0], np.cumsum(space.nvec.ravel())[:-1]]) - space.start.ravel()

        def one_hots(obs: Any) -> np.ndarray:
            row = np.zeros(width, np.float32)
            row[whole(obs).ravel() + offset] = 1
            return row

        return one_hots
    if isinstance(space, MultiBinary):
        bits = _BoxReader(Box(0, 1, space.shape, np.int8), space)
        return lambda obs: bits(obs).ravel().astype(np.float32)
    numbers = _read_one(space, "").read if is_picture(space) else _BoxReader(space)  # pictures: channels first
    scale = np.float32(highest(space) if space.dtype == np.uint8 else largest(space) if is_picture(space) else 1)
    return lambda obs: np.asarray(numbers(obs), np.float32).ravel() / scale


def _at(obs: Any, path: tuple[Any, ...]) -> Any:
    """Return the part of an observation to which `path` leads."""
    for step in path:
        try:
            obs = obs[step]
        except (LookupError, TypeError) as error:
            has = f"the parts {', '.join(map(str, obs))}" if isinstance(obs, Mapping) else shown(obs)
            raise Unfit(f"the observation has no part {_dotted(path)!r}: it is {has}") from error
    return obs


def _number_of(obs: Any, spaces: Sequence[Discrete]) -> int:
    """Return the number of a state that is a row of states, counted from 0, the last part fastest."""
    try:
        states = tuple(obs)
    except TypeError:
        states = ()
    if len(states) != len(spaces):
        raise Unfit(f"the observation is {shown(obs)}; a row of {len(spaces)} states is needed")
    number = 0
    for part, space in zip(states, spaces, strict=True):
        number = number * int(space.n) + _state(part, space)
    return number


def _state(obs: Any, space: Discrete) -> int:
    """Return the number of a state of `space`, counted from 0."""
    try:
        state = operator.index(obs)
    except TypeError:
        array = _array(obs)
        if array.size != 1 or array.item() != int(array.item()):  # [2] and 2.0 are a state too
            raise Unfit(f"the observation is {shown(obs)}; a state of {space} is needed") from None
        state = int(array.item())
    if not 0 <= state - space.start < space.n:
        raise Unfit(f"the observation is the state {state}, which is outside {space}")
    return state - int(space.start)


def _array(obs: Any) -> np.ndarray:
    """Return finite numbers as an array, whatever container they come in."""
    try:
        array = np.asarray(obs)
    except (ValueError, TypeError) as error:
        raise Unfit(f"the observation is {shown(obs)}; one array of numbers is needed") from error
    if array.dtype.kind not in "fiub" or not np.isfinite(array).all():
        raise Unfit(f"the observation is {shown(obs)}; finite numbers are needed")
    return array


class _BoxReader:
    """From an observation to the array that a Box declares. Whole numbers must lie within its bounds; floats beyond are
    passed on: many environments overstep them by a little. Raises Unfit."""

    def __init__(self, space: Box, declared: Space | None = None):
        """`declared` is the space that sentences name, where it is another."""
        self._space, self._declared = space, declared or space
        self._shape, self._dtype = space.shape, space.dtype
        self._whole = self._dtype.kind in "iub"
        self._taken = (self._dtype,) if self._whole else (np.dtype(np.float32), np.dtype(np.float64))  # as they are
        self._within = _bounds(space)
        self._narrow = self._dtype.kind in "iu" and not _is_full(space)

    def __call__(self, obs: Any) -> np.ndarray:
        if type(obs) is not np.ndarray or obs.shape != self._shape or obs.dtype not in self._taken:
            return self._converted(obs)
        if self._narrow and not self._within(obs):
            raise self._outside(obs)
        return obs

    def _converted(self, obs: Any) -> np.ndarray:
        """Return an observation of another container or type as the declared array, if that changes none of its numbers."""
        array = _array(obs)
        if array.shape != self._shape:
            if not array.size == 1 == prod(self._shape):
                raise Unfit(
                    f"the observation has shape {list(array.shape)}; its space {self._declared} needs {list(self._shape)}"
                )
            array = array.reshape(self._shape)
        if not self._whole:
            return array
        if array.dtype.kind == "f" and (array != np.floor(array)).any():
            fraction = array[array != np.floor(array)].flat[0]
            raise Unfit(f"the observation holds {fraction:g}, but its space {self._declared} has whole numbers only")
        if not self._within(array):
            raise self._outside(array)
        return array.astype(self._dtype)

    def _outside(self, array: np.ndarray) -> Unfit:
        wrong = array[(array < self._space.low) | (array > self._space.high)].flat[0]
        return Unfit(f"the observation holds {wrong}, which is outside its space {self._declared}")


def _bounds(space: Box) -> Callable[[np.ndarray], Any]:
    """Return the function that tells whether whole numbers lie within the bounds of a Box."""
    low, high = space.low, space.high
    if not low.size:
        return lambda array: True
    if (low == low.flat[0]).all() and (high == high.flat[0]).all():  # the common case, three times as fast
        least, most = low.flat[0].item(), high.flat[0].item()
        return lambda array: array.min() >= least and array.max() <= most
    return lambda array: ((array >= low) & (array <= high)).all()


def _is_full(space: Box) -> bool:
    """True when every number of the space's type lies within its bounds."""
    info = np.iinfo(space.dtype)
    return bool((space.low == info.min).all() and (space.high == info.max).all())


# --- actions ------------------------------------------------------------------------------------------------------------


def acting(space: Space, wanted: tuple[int, ...], name: str) -> Acting:
    """Return how actions reach an environment with the action space `space`, of which `wanted` are used, or all if it is empty.

    Raises UsageError, naming the environment `name`, for spaces that no agent takes and actions that are not there.
    """
    if not isinstance(space, (Box, Discrete, MultiDiscrete, MultiBinary)):
        raise UsageError(
            f"actions of {name} are {_brief(space)}; agents take Box, Discrete, MultiDiscrete and MultiBinary: a wrapper of "
            "your own, --agent.env.wrap module:function, can make them one of these"
        )
    if not all(space.contains(action) for action in wanted):
        raise UsageError(f"actions {list(wanted)} do not fit {name}, whose actions are {space}")
    if isinstance(space, Discrete):
        actions = wanted or tuple(range(int(space.start), int(space.start + space.n)))
        numbers = np.array(actions, np.int64)  # what samples of a Discrete space are
        return Acting(Discrete(len(actions)), numbers.__getitem__, actions, int(space.start), (int(space.n),))
    shape, dtype = space.shape, space.dtype
    if isinstance(space, (MultiDiscrete, MultiBinary)):
        binary = isinstance(space, MultiBinary)
        sizes = np.full(prod(shape), 2) if binary else space.nvec.ravel()
        start = np.zeros(shape, dtype) if binary else space.start
        return Acting(
            MultiDiscrete(sizes),
            lambda action: (action.reshape(shape) + start).astype(dtype),
            sizes=tuple(sizes.tolist()),
        )
    if len(shape) == 1 and dtype.kind == "f":
        return Acting(space, np.array)
    free = dtype if dtype.kind == "f" else FREE
    low, high = (bound.ravel().astype(np.float64) for bound in (space.low, space.high))

    def to_env(action: np.ndarray) -> np.ndarray:
        if dtype.kind != "f":  # the nearest whole numbers
            action = np.clip(np.rint(action), low, high)
        return np.array(action.reshape(shape), dtype)

    return Acting(Box(low.astype(free), high.astype(free), dtype=free), to_env)


def shown(value: Any) -> str:
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
