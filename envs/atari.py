"""Atari games through ale-py's native vector interface: one instance a slot, each with a thread of its own.

One instance for all games is about 7 % faster, but then no game can idle, restart or be restored alone.
"""

from __future__ import annotations

import numpy as np
from ale_py.vector_env import AtariVectorEnv
from gymnasium.spaces import Box, Discrete

from envs.config import EnvConfig

__all__ = ["DEFAULT_FRAME_LIMIT", "AtariSlot", "pong_objects"]

DEFAULT_FRAME_LIMIT = 108_000  # 30 minutes of play
PONG_BACKGROUND = (87, 107)  # grey values of (144, 72, 17) and of (109, 118, 43), the field before and during play


def pong_objects(screen: np.ndarray) -> np.ndarray:
    """Return Karpathy's binary 80x80 picture: 1 for paddles and ball, 0 for the background.

    `screen` is a grey Pong frame [210, 160]; rows 35:195 are kept, every second pixel of every second row
    ("Deep Reinforcement Learning: Pong from Pixels", 2016).
    """
    field = screen[35:195:2, ::2]
    return ((field != PONG_BACKGROUND[0]) & (field != PONG_BACKGROUND[1])).astype(np.int8)


class AtariSlot:
    """One game. Observations: frames84 [4, 84, 84] uint8, pong80 [80, 80] int8 in {-1, 0, 1}, raw [210, 160] uint8 grey,
    or, with `rgb`, the coloured screen [210, 160, 3] for filming."""

    def __init__(self, config: EnvConfig, game: str, observation: str, *, rgb: bool = False):
        stacked = observation == "frames84" and not rgb
        self._observation = "rgb" if rgb else observation
        self._noop_max = config.noop_max
        self._sticky = config.sticky_actions > 0
        frames = config.time_limit * config.frame_skip if config.time_limit else DEFAULT_FRAME_LIMIT
        self._env = AtariVectorEnv(
            game,
            1,
            num_threads=1,
            img_height=84 if stacked else 210,
            img_width=84 if stacked else 160,
            stack_num=4 if stacked else 1,
            maxpool=stacked,
            grayscale=not rgb,
            frameskip=config.frame_skip,
            repeat_action_probability=config.sticky_actions,
            max_num_frames_per_episode=frames + config.noop_max * config.frame_skip,
            noop_max=0,  # we draw no-ops ourselves: the native ones need a seeded reset, which costs 87 ms
            reward_clipping=False,
            episodic_life=False,
            use_fire_reset=False,
        )
        self._limit = frames // config.frame_skip
        self._taken = 0
        meanings = self._env.ale.get_action_set()
        chosen = config.actions or tuple(range(len(meanings)))
        self._actions = [np.array([a], np.int64) for a in chosen]
        self._full_strength = np.ones(1, np.float32)
        self.action_names = [meanings[a].name for a in chosen if a < len(meanings)]
        self.num_native_actions = len(meanings)
        self.action_space = Discrete(len(chosen))
        self.observation_space = {
            "frames84": Box(0, 255, (4, 84, 84), np.uint8),
            "pong80": Box(-1, 1, (80, 80), np.int8),
            "raw": Box(0, 255, (210, 160), np.uint8),
            "rgb": Box(0, 255, (210, 160, 3), np.uint8),
        }[self._observation]

    def start(self, seed: int) -> np.ndarray:
        # Without sticky actions the emulator is deterministic from any reset; with them it needs the seed.
        native, _ = self._env.reset(seed=np.array([seed], np.int64)) if self._sticky else self._env.reset()
        noops = int(np.random.default_rng(seed).integers(self._noop_max + 1))
        for _ in range(noops):
            self._env.ale.send(np.zeros(1, np.int64), self._full_strength)
            native, _, terminated, truncated, _ = self._env.ale.recv()
            if terminated[0] or truncated[0]:
                native, _ = self._env.reset()
        self._taken = 0
        self._previous: np.ndarray | None = None
        return self._seen(native)

    def send(self, action: int) -> None:
        self._env.ale.send(self._actions[action], self._full_strength)

    def recv(self) -> tuple[np.ndarray, float, bool, bool]:
        native, reward, terminated, truncated, _ = self._env.ale.recv()
        self._taken += 1
        ended = bool(terminated[0])
        return (
            self._seen(native),
            float(reward[0]),
            ended,
            not ended and (bool(truncated[0]) or self._taken >= self._limit),
        )

    def close(self) -> None:
        self._env.close()

    def _seen(self, native: np.ndarray) -> np.ndarray:
        if self._observation == "frames84":
            return native[0]
        if self._observation != "pong80":
            return native[0, 0]
        objects = pong_objects(native[0, 0])
        difference = objects - self._previous if self._previous is not None else np.zeros_like(objects)
        self._previous = objects
        return difference
