"""Atari games through ale-py's native vector interface.

A bank is one native instance with one thread. A bank of one game can idle, restart and start with no-ops alone; a bank of several
saves the thread switches (about a fifth of the time of a step, measured), but its games always step together.
"""

from __future__ import annotations

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.spaces import Box, Discrete

from envs.config import FRAME_LIMIT, STACKED, EnvConfig
from envs.vector import Received

__all__ = ["AtariBank", "pong_objects"]

MOST_FRAMES = 2**31 - 1  # that the emulator can count; longer limits are counted here alone
FRAME_SIDES = {"frames84": 84, "frames42": 42}  # pixels
PONG_BACKGROUND = (87, 107)  # grey values of (144, 72, 17) and of (109, 118, 43), the field during and before play


def pong_objects(screen: np.ndarray) -> np.ndarray:
    """Return Karpathy's binary 80x80 pictures [..., 80, 80] int8: 1 for paddles and ball, 0 for the background.

    `screen` holds grey Pong frames [..., 210, 160]; rows 35:195 are kept, every second pixel of every second row
    ("Deep Reinforcement Learning: Pong from Pixels", 2016).
    """
    field = screen[..., 35:195:2, ::2]
    return ((field != PONG_BACKGROUND[0]) & (field != PONG_BACKGROUND[1])).view(np.int8)


class AtariBank:
    """`size` games. Observations: frames84 [K, 84, 84] and frames42 [K, 42, 42] uint8 for stacks of K frames, pong80 [80, 80]
    int8 in {-1, 0, 1}, pong80x2 [2, 80, 80] int8 with the picture before its difference, pong80frames [K, 80, 80] int8 with the
    last K pictures, raw [210, 160] uint8 grey, or, with `rgb`, the coloured screen [210, 160, 3] for filming."""

    first_state = 0
    state_shape: tuple[int, ...] = ()
    said = ""
    mask: np.ndarray | None = None

    def __init__(
        self,
        config: EnvConfig,
        game: str,
        observation: str,
        size: int = 1,
        *,
        rgb: bool = False,
        full_action_space: bool = False,
    ):
        side = FRAME_SIDES.get(observation, 0) if not rgb else 0
        K = config.frame_stack
        self.name = config.id
        self.size, self.frame_stack = size, K if observation in STACKED and not rgb else 1
        self._observation = "rgb" if rgb else observation
        self._noop_max = config.noop_max
        self._sticky = config.sticky_actions > 0
        frames = config.time_limit * config.frame_skip if config.time_limit else FRAME_LIMIT
        self._env = AtariVectorEnv(
            game,
            size,
            num_threads=1,
            img_height=side or 210,
            img_width=side or 160,
            stack_num=K if side else 1,
            maxpool=side > 0,
            grayscale=not rgb,
            frameskip=config.frame_skip,
            repeat_action_probability=config.sticky_actions,
            max_num_frames_per_episode=min(frames + config.noop_max * config.frame_skip, MOST_FRAMES),
            full_action_space=full_action_space,
            noop_max=0,  # we draw no-ops ourselves: the native ones need a seeded reset, which costs 87 ms
            reward_clipping=False,
            episodic_life=False,
            use_fire_reset=False,
        )
        self._limit = frames // config.frame_skip
        self._taken = np.zeros(size, int)
        meanings = self._env.ale.get_action_set()
        self.actions = config.actions or tuple(range(len(meanings)))
        self._actions = np.array(self.actions, np.int64)
        self._full_strength = np.ones(size, np.float32)
        self.action_names = [meanings[a].name for a in self.actions if a < len(meanings)]
        self.num_native_actions = len(meanings)
        self.action_space = Discrete(len(self.actions))
        self.observation_space = {
            "frames84": Box(0, 255, (K, 84, 84), np.uint8),
            "frames42": Box(0, 255, (K, 42, 42), np.uint8),
            "pong80": Box(-1, 1, (80, 80), np.int8),
            "pong80x2": Box(-1, 1, (2, 80, 80), np.int8),
            "pong80frames": Box(0, 1, (K, 80, 80), np.int8),
            "raw": Box(0, 255, (210, 160), np.uint8),
            "rgb": Box(0, 255, (210, 160, 3), np.uint8),
        }[self._observation]
        self._pictures = np.zeros((size, self.frame_stack, 80, 80), np.int8)  # of Pong: the last ones, the newest last
        self._began = False

    def start(self, i: int, seed: int) -> np.ndarray:
        """Begin an episode of game `i` that depends on `seed` alone and return its first observation."""
        native = self._reset(i, seed)
        if self.size == 1:
            for _ in range(int(np.random.default_rng(seed).integers(self._noop_max + 1))):
                self._env.ale.send(np.zeros(1, np.int64), self._full_strength)
                native, _, terminated, truncated, _ = self._env.ale.recv()
                if terminated[0] or truncated[0]:
                    native = self._reset(i, seed)
        self._taken[i] = 0
        if self._observation in FRAME_SIDES:
            return native[i]
        if self._observation.startswith("pong80"):  # there is no previous picture, so nothing moved
            self._pictures[i] = 0
            self._pictures[i, -1] = pong_objects(native[i, 0])
            return self._pong(np.zeros_like(self._pictures[:, -1]))[i]
        return native[i, 0]

    def reseed(self, seed: int) -> None:
        """Nothing: the emulator draws sticky actions from the seed of its start alone."""

    def send(self, actions: np.ndarray) -> None:
        """Start a step of all games; actions [size]."""
        self._env.ale.send(self._actions[actions], self._full_strength)

    def recv(self) -> Received:
        """Wait for the step and return observations, rewards, terminated, truncated, each [size, ...]."""
        native, reward, terminated, truncated, _ = self._env.ale.recv()
        self._taken += 1
        truncated = (truncated | (self._taken >= self._limit)) & ~terminated
        if self._observation in FRAME_SIDES:
            return native, reward, terminated, truncated
        screens = native[:, 0]
        if self._observation.startswith("pong80"):
            objects = pong_objects(screens)
            moved = objects - self._pictures[:, -1]
            self._pictures = np.concatenate([self._pictures[:, 1:], objects[:, None]], axis=1)
            screens = self._pong(moved)
        return screens, reward, terminated, truncated

    def _pong(self, moved: np.ndarray) -> np.ndarray:
        """Return the observations [size, ...] of the present pictures and their difference to those before [size, 80, 80]."""
        if self._observation == "pong80":
            return moved
        return (
            self._pictures if self._observation == "pong80frames" else np.stack([self._pictures[:, -1], moved], axis=1)
        )

    def close(self) -> None:
        self._env.close()

    def _reset(self, i: int, seed: int) -> np.ndarray:
        """Reset game `i`. Without sticky actions the emulator is deterministic from any reset; with them it needs the seed."""
        mask = np.zeros(self.size, bool)
        mask[i] = True
        if not self._began:  # the native instance wants all games reset once
            self._env.reset()
            self._began = True
        return self._env.reset(seed=np.array([seed], np.int64) if self._sticky else None, options={"reset_mask": mask})[
            0
        ]
