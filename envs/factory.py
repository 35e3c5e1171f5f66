"""`make`: from an `EnvConfig` to a `VectorEnv`, and `render_episode`: a finished episode as a film."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import ale_py
import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec

from core.errors import UsageError, foreign, nearest
from core.named import function_named
from envs import fakes, games, toys
from envs.atari import AtariBank
from envs.classic import ClassicBank
from envs.config import FRAME_LIMIT, EnvConfig
from envs.film import film
from envs.games import Rules
from envs.hidden import Hidden
from envs.mujoco import no_display, take_over_warnings
from envs.vector import Bank, VectorEnv

__all__ = ["instance", "limited", "make", "render_episode", "rules_of"]

EXTRAS = {"minigrid": "minigrid", "highway_env": "highway"}
"""Modules that register environments -> the extra that brings them."""
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
"""Cores. Games that always step together share half as many native instances: a caller with two environments, one of which
plays while it decides for the other, then keeps all cores busy."""


def make(config: EnvConfig, num_envs: int, seed: int, *, may_idle: bool = True) -> VectorEnv:
    """Return `num_envs` environments side by side, their episodes drawn from `seed`; call `reset()` first.

    With `may_idle=False` the caller promises to step all of them always; Atari games without no-op starts then share a
    few native instances, which is faster. Restored episodes are the same either way.

    Raises UsageError for an unknown id, a missing package, actions or observations that do not fit the environment, and for what
    the registration of an Atari id asks for and the native games cannot do; ForeignError for what the environment's module or
    constructor raises.
    """
    if num_envs < 1:
        raise UsageError(f"{num_envs} environments were asked for; at least 1 is needed")
    spec = _spec(config)
    if not _is_atari(spec):
        build, protocol = _classic(config, spec)
        return VectorEnv([build() for _ in range(num_envs)], seed, protocol)
    for name in ("keys", "wrap"):
        if values := getattr(config, name):
            raise UsageError(
                f"{name} is {' '.join(values)}, but Atari games are played natively, with env.observation for preprocessing; "
                f"{config.id} is one"
            )
    config, game = _registered(config, spec)
    observation, protocol = _atari(config, game)
    together = not may_idle and config.noop_max == 0
    banks = min(num_envs, max(CORES // 2, 1)) if together else num_envs
    sizes = [num_envs // banks + (i < num_envs % banks) for i in range(banks)]
    return VectorEnv(
        [AtariBank(config, observation=observation, size=size, **game) for size in sizes], seed, protocol, atari=True
    )


def instance(config: EnvConfig) -> gymnasium.Env:
    """Return one instance as Gymnasium makes it, for what environments tell beyond their spaces, e.g. a transition model.

    Raises UsageError and ForeignError like `make`.
    """
    return _instance(config, _spec(config))()


def rules_of(config: EnvConfig) -> Rules | None:
    """Return the rules of a board game of two, None for any other environment. Raises UsageError and ForeignError like `make`."""
    made = instance(config)
    rules = getattr(made.unwrapped, "rules", None)
    made.close()
    return rules if isinstance(rules, Rules) else None


def limited(config: EnvConfig, steps: int) -> EnvConfig:
    """Return the configuration, with a time limit of `steps` if its environment has none: an episode may never end there."""
    spec = _spec(config)
    endless = not _is_atari(spec) and not config.time_limit and not spec.max_episode_steps
    return replace(config, time_limit=steps) if endless else config


def render_episode(
    config: EnvConfig, episode: tuple[int, np.ndarray], most_steps: int = 1_000, every: int = 1
) -> np.ndarray | None:
    """Play a `VectorEnv.last_episode` again and return its frames [T, H, W, 3] uint8, or None if it cannot be drawn.

    The film ends after `most_steps` steps and shows every `every`-th of them. Raises UsageError for pictures that are no film,
    and for MuJoCo without a display to draw on, and whatever the environment's render() raises.
    """
    seed, actions = episode
    spec = _spec(config)
    if not _is_atari(spec) and not _renders(spec):
        return None
    if _is_mujoco(spec) and (reason := no_display()):
        raise UsageError(reason)
    frames: list[Any] = []
    if _is_atari(spec):
        config, game = _registered(config, spec)
        bank: AtariBank | ClassicBank = AtariBank(config, observation="raw", rgb=True, **game)
    else:
        os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
        bank = _bank(config, _instance(config, spec, render_mode="rgb_array"))
    try:
        obs = bank.start(0, seed)
        for t in range(min(len(actions), most_steps) + 1):
            if t:
                bank.send(actions[t - 1 : t])
                obs = bank.recv()[0][0]
            if t % every == 0:
                picture = bank.render() if isinstance(bank, ClassicBank) else obs
                frames.append(picture if picture is None else np.copy(picture))  # it may draw into one array
    finally:
        bank.close()
    return film(frames)


def _renders(spec: EnvSpec) -> bool:
    """True when the environment can draw itself as RGB arrays."""
    return "rgb_array" in getattr(_creator(spec), "metadata", {}).get("render_modes", [])


def _creator(spec: EnvSpec) -> Any:
    """Return the class or function that makes the environment."""
    entry = spec.entry_point
    return gymnasium.envs.registration.load_env_creator(entry) if isinstance(entry, str) else entry


def _is_mujoco(spec: EnvSpec) -> bool:
    """True for environments on Gymnasium's own class for MuJoCo, of whatever package."""
    return any(cls.__module__.startswith("gymnasium.envs.mujoco.") for cls in getattr(_creator(spec), "__mro__", ()))


def _is_atari(spec: EnvSpec) -> bool:
    return spec.entry_point == "ale_py.env:AtariEnv"


def _spec(config: EnvConfig) -> EnvSpec:
    gymnasium.register_envs(ale_py)
    fakes.register()
    toys.register()
    games.register()
    module, _, name = config.id.rpartition(":")
    if module:
        try:
            importlib.import_module(module)
        except ModuleNotFoundError as error:
            extra = f"; the extra pongan[{EXTRAS[module]}] has it" if module in EXTRAS else ""
            raise UsageError(
                f"environment {config.id!r} names the module {module!r}, which cannot be found: {error}{extra}"
            ) from error
        except (UsageError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise foreign(
                f"the module {module!r} of environment {config.id!r}", error, "when it was imported"
            ) from error
    try:
        return gymnasium.spec(name)
    except gymnasium.error.Error as error:
        by_bare_name = {key.split("/")[-1].rsplit("-v", 1)[0]: key for key in _preferred_last(gymnasium.registry)}
        hint = nearest(name.split("/")[-1].rsplit("-v", 1)[0], by_bare_name)
        for bare, full in by_bare_name.items():
            hint = hint.replace(f"{bare!r}?", f"{full!r}?")
        raise UsageError(f"there is no environment {config.id!r}; {hint}") from error


def _preferred_last(ids: Iterable[str]) -> list[str]:
    """Sort ids so that of several with one bare name the one to recommend comes last: newest, ALE/, then unprefixed."""
    return sorted(ids, key=lambda key: (key.startswith(("phys2d/", "tabular/")) is False, key.startswith("ALE/"), key))


def _instance(config: EnvConfig, spec: EnvSpec, **kwargs: str) -> Callable[[], gymnasium.Env]:
    if config.time_limit:
        spec = replace(spec, max_episode_steps=config.time_limit)

    wrappers = {name: function_named(name, "wrap") for name in config.wrap}

    def build() -> gymnasium.Env:
        try:
            _creator(spec)  # imports what it needs, before a model file is read
            take_over_warnings()
            env = gymnasium.make(spec, disable_env_checker=True, **kwargs)
        except gymnasium.error.DependencyNotInstalled as error:
            raise UsageError(
                f"environment {config.id!r} needs a package: {error} (the extras pongan[box2d] and pongan[mujoco] have Box2D "
                "and MuJoCo)"
            ) from error
        except (UsageError, KeyboardInterrupt):
            raise
        except BaseException as error:
            raise foreign(f"environment {config.id!r}", error, "when it was made") from error
        for name, wrapper in wrappers.items():
            env = _wrapped(env, wrapper, f"wrap {name!r} of environment {config.id!r}")
        return Hidden(env, config.hide, config.id) if config.hide else env

    return build


def _wrapped(env: gymnasium.Env, wrapper: Callable[[gymnasium.Env], Any], who: str) -> gymnasium.Env:
    try:
        wrapped = wrapper(env)
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise foreign(who, error) from error
    if not isinstance(wrapped, gymnasium.Env):
        raise UsageError(f"{who} returned a {type(wrapped).__name__}; it must return an environment")
    return wrapped


def _bank(config: EnvConfig, build: Callable[[], gymnasium.Env], *, reuse: bool = False) -> ClassicBank:
    return ClassicBank(build, config.id, config.actions, config.keys, masks=config.masks, reuse=reuse)


def _classic(config: EnvConfig, spec: EnvSpec) -> tuple[Callable[[], Bank], str]:
    if config.observation not in ("auto", "raw"):
        raise UsageError(f"observation {config.observation!r} is for Atari games; {config.id} needs 'raw' or 'auto'")
    if config.frame_stack != 4:
        raise UsageError(
            f"frame_stack is {config.frame_stack}, but only Atari games are seen in stacks; {config.id} is none"
        )
    limit = config.time_limit or spec.max_episode_steps
    hidden = f"without components {', '.join(map(str, config.hide))}, " if config.hide else ""
    protocol = f"{config.id}, {hidden}" + (f"time limit {limit} steps" if limit else "no time limit")
    protocol += "".join(f", wrapped in {name}" for name in config.wrap)
    reuse = str(spec.entry_point).startswith("gymnasium.envs.toy_text.") and not (
        spec.additional_wrappers or config.wrap
    )
    return lambda: _bank(config, _instance(config, spec), reuse=reuse), protocol


def _registered(config: EnvConfig, spec: EnvSpec) -> tuple[EnvConfig, dict[str, Any]]:
    """Return the configuration with the time limit of an Atari id's registration, and what else the native games take from it.

    Raises UsageError for what they cannot do. ale-py's own ids differ in frame skip and sticky actions alone: flags here.
    """
    asked = dict(spec.kwargs)
    if asked.get("game") not in (roms := ale_py.roms.get_all_rom_ids()):
        name = asked.get("game", "")
        raise UsageError(f"environment {config.id!r} is registered with the game {name!r}; {nearest(str(name), roms)}")
    game = {"game": asked.pop("game"), "full_action_space": bool(asked.pop("full_action_space", False))}
    frames = asked.pop("max_num_frames_per_episode", None)
    asked.pop("render_mode", None)
    if asked.get("obs_type") in ("rgb", "grayscale"):  # the screen, which env.observation prepares
        del asked["obs_type"]
    for name in ("mode", "difficulty", "continuous", "continuous_action_threshold", "sound_obs"):
        if asked.get(name, 0) is None or asked.get(name) is False:
            del asked[name]
    for name, flag in (("frameskip", "frame_skip"), ("repeat_action_probability", "sticky_actions")):
        value = asked.pop(name, None)
        if value is not None and not _is_ale(spec) and value != getattr(config, flag):
            number = "" if isinstance(value, tuple) else f"; give --agent.env.{flag.replace('_', '-')} {value:g}"
            raise UsageError(
                f"environment {config.id!r} is registered with {name}={value}, but env.{flag} is {getattr(config, flag):g}"
                f"{number}"
            )
    unfit = [f"{name}={value!r}" for name, value in asked.items()]
    unfit += [f"the wrapper {wrapper.name}" for wrapper in spec.additional_wrappers]
    if unfit:
        raise UsageError(
            f"environment {config.id!r} is registered with {', '.join(unfit)}, which the native Atari games do not support; "
            "register a function of your own that returns the AtariEnv, and it is played through Gymnasium, as registered"
        )
    limits = [limit for limit in (spec.max_episode_steps, frames and max(frames // config.frame_skip, 1)) if limit]
    if not config.time_limit and limits and not _is_ale(spec):
        config = replace(config, time_limit=min(limits))
    return config, game


def _is_ale(spec: EnvSpec) -> bool:
    """True for the ids that ale-py itself registers."""
    game = str(spec.kwargs["game"]).title().replace("_", "")
    versions = {"ALE": (5,), None: (0, 4)}.get(spec.namespace, ())
    return spec.version in versions and spec.name in (game, f"{game}NoFrameskip")


def _atari(config: EnvConfig, game: dict[str, Any]) -> tuple[str, str]:
    """Check an Atari configuration; return the kind of observation and the protocol line."""
    observation = "frames84" if config.observation == "auto" else config.observation
    if observation.startswith("pong80") and not config.is_pong:
        raise UsageError(
            f"observation {observation!r} knows the colours of Pong only; {config.id} needs 'frames84' or 'raw'"
        )
    if config.hide:
        raise UsageError(f"hide {list(config.hide)} is for vectors of numbers; {config.id} is seen as pictures")
    probe = AtariBank(replace(config, actions=()), observation=observation, **game)
    names, count = probe.action_names, probe.num_native_actions
    probe.close()
    if any(not 0 <= a < count for a in config.actions):
        raise UsageError(
            f"actions {list(config.actions)} do not fit {config.id}, which has 0 to {count - 1}: {', '.join(names)}"
        )
    limit = config.time_limit or FRAME_LIMIT // config.frame_skip
    stack = f" of {config.frame_stack}" if config.frame_stack != 4 else ""
    return observation, (
        f"{config.id}, {observation}{stack}, frame skip {config.frame_skip}, sticky actions {config.sticky_actions:g}, "
        f"{f'0-{config.noop_max}' if config.noop_max else 'no'} no-op starts, time limit {limit} steps, "
        f"actions {'/'.join([names[a] for a in config.actions] or names)}"
    )
