"""What an environment is, as flags. No gymnasium here: `--help` must answer at once."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from core.errors import require

__all__ = ["FRAME_LIMIT", "STACKED", "EnvConfig"]

FRAME_LIMIT = 108_000  # of an Atari episode: 30 minutes of play
STACKED = ("frames84", "frames42", "pong80frames")
"""Observations that are the last `frame_stack` frames."""
MOST_STACKED = 64


@dataclass(frozen=True)
class EnvConfig:
    """One environment, with everything that published scores silently depend on."""

    id: str = "CartPole-v1"
    """Gymnasium id, e.g. CartPole-v1, ALE/Pong-v5, or package.module:MyEnv-v0 for your own."""
    observation: Literal["auto", "raw", "frames84", "frames42", "pong80", "pong80x2", "pong80frames"] = "auto"
    """raw: as the environment gives it; frames84, frames42: Atari, four grey frames [4, 84, 84] or [4, 42, 42]; pong80:
    Karpathy's 80x80 difference frame; pong80x2: his 80x80 picture and that frame [2, 80, 80], so that a paddle at rest is seen
    too; pong80frames: the last four of his pictures [4, 80, 80]; auto: frames84 for Atari, raw for the rest."""
    frame_stack: int = 4
    """Frames in an observation of frames84, frames42 and pong80frames, the newest last; before an episode they are empty."""
    actions: tuple[int, ...] = ()
    """Discrete actions the agent may use, as the environment numbers them (from its space's start, which may be below 0);
    empty for all."""
    hide: tuple[int, ...] = ()
    """Components of a vector observation that the agent does not see, counted from 0: 1 3 are the velocities of CartPole-v1, 2
    that of Pendulum-v1. Such a task needs an agent with a memory."""
    keys: tuple[str, ...] = ()
    """Parts of observations that are Dict or Tuple to see, in this order, by name or number, a part of a part after a dot; empty
    for all. Several parts become one row of numbers."""
    wrap: tuple[str, ...] = ()
    """Functions or Gymnasium wrappers, module:function, that each take the environment and return it changed; the first is the
    innermost. E.g. gymnasium.wrappers:FlattenObservation, or preprocessing of your own."""
    masks: bool = True
    """Let agents choose only among the actions that info["action_mask"] allows, where the environment gives one."""
    frame_skip: int = 4
    """Emulator frames an action lasts (Atari only; frames84 and frames42 show the maximum of the last two)."""
    sticky_actions: float = 0.0
    """Probability that the emulator repeats the previous action instead (Atari only)."""
    noop_max: int = 30
    """An episode starts with 0 to this many no-ops, each lasting frame_skip frames (Atari only)."""
    time_limit: int = 0
    """Steps after which an episode is truncated; 0 for the environment's own limit (Atari: 108,000 frames)."""

    def __post_init__(self) -> None:
        require(
            1 <= self.frame_skip <= FRAME_LIMIT,
            f"frame_skip is {self.frame_skip}; it must be at least 1 frame and at most {FRAME_LIMIT:,}, a whole episode",
        )
        require(
            1 <= self.frame_stack <= MOST_STACKED,
            f"frame_stack is {self.frame_stack}; it must be at least 1 frame and at most {MOST_STACKED}",
        )
        require(
            self.frame_stack == 4 or self.observation in ("auto", *STACKED),
            f"frame_stack is {self.frame_stack}, but the observation {self.observation!r} is no stack of frames; "
            f"{' and '.join([', '.join(STACKED[:-1]), STACKED[-1]])} are",
        )
        require(
            0 <= self.sticky_actions < 1, f"sticky_actions is {self.sticky_actions}; a probability below 1 is needed"
        )
        require(
            0 <= self.noop_max <= FRAME_LIMIT,
            f"noop_max is {self.noop_max}; it must be 0 or more, at most {FRAME_LIMIT:,}",
        )
        require(
            0 <= self.time_limit < 2**63,
            f"time_limit is {self.time_limit}; it must be 0 (the environment's own) or more steps, at most {2**63 - 1:,}",
        )
        require(len(set(self.hide)) == len(self.hide), f"hide {list(self.hide)} names one component twice")
        for name in ("keys", "wrap"):
            values = getattr(self, name)
            require(all(values), f"{name} holds an empty word; leave the flag out for none")
        require(len(set(self.keys)) == len(self.keys), f"keys {list(self.keys)} name one part twice")
        require(len(set(self.actions)) == len(self.actions), f"actions {list(self.actions)} name one action twice")

    @property
    def is_pong(self) -> bool:
        """True for the Atari game Pong, the one game whose score resets the play and which pong80 and its kin understand."""
        return re.fullmatch(r"(ale_py:)?(ALE/)?Pong(NoFrameskip|Deterministic)?-v\d+", self.id) is not None
