"""The launcher's own settings, as flags `--run.*` and, for agents, `--eval.*`."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from core.errors import require

__all__ = ["FIXED_AT_START", "KEPT", "EvalConfig", "RunConfig"]

KEPT = 3
"""Whole checkpoints that a run keeps."""


@dataclass(frozen=True)
class RunConfig:
    """The launcher. The clock is the plugin's x-axis: environment steps or updates."""

    seed: int = 1
    """Seed of every random stream of the run."""
    until: int = 1_000_000
    """Clock at which training ends."""
    time_limit: float = 0.0
    """Seconds after which this call ends training, evaluates and saves; 0 for no limit."""
    solved_at: float | None = None
    """Agents: end training, as if the time were up, once the mean return of the last 100 episodes has reached this; None for no
    such end."""
    log_every: int = 1_000
    """Clock between two points of every curve; a point is the mean since the last."""
    eval_every: int = 50_000
    """Clock between two evaluations; 0 for one at the end only."""
    save_every: int = 50_000
    """Clock between two checkpoints; 0 for one at the end only."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the big matrix products; losses, statistics and optimisers stay float32."""
    threads: int = 0
    """CPU cores to use; 0 for all."""
    device: str = "auto"
    """auto (a GPU when there is one), cpu, or gpu:0."""
    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    """Data-parallel training of generative models: mirrored (this machine's GPUs) or multiworker (processes in TF_CONFIG)."""
    deterministic: bool = False
    """Same seed, same bits, also across a kill and a resume; a little slower."""
    folder: str = "runs"
    """Root folder; the run's own folder is made inside it."""
    tag: str = ""
    """A word added to the run folder's name."""

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"run.seed is {self.seed}; it must be 0 or more")
        require(self.until >= 1, f"run.until is {self.until}; it must be at least 1")
        require(self.time_limit >= 0, f"run.time_limit is {self.time_limit:g}; it must be 0 (no limit) or more seconds")
        goal = self.solved_at
        require(goal is None or math.isfinite(goal), f"run.solved_at is {goal}; it must be a return, e.g. 18, or None")
        require(self.log_every >= 1, f"run.log_every is {self.log_every}; it must be at least 1")
        for name in ("eval_every", "save_every", "threads"):
            require(getattr(self, name) >= 0, f"run.{name} is {getattr(self, name)}; it must be 0 or more")
        require(
            re.fullmatch(r"[\w.-]*", self.tag) is not None,
            f"run.tag is {self.tag!r}; use letters, digits, '.', '_' and '-'",
        )
        require(bool(self.folder), "run.folder is empty; name a folder")


FIXED_AT_START = ("seed", "precision", "deterministic", "folder", "tag")
"""Fields of RunConfig that a resume cannot change: the run would be another one."""


@dataclass(frozen=True)
class EvalConfig:
    """How an agent is evaluated: whole episodes in environments of their own."""

    episodes: int = 10
    """Episodes of an evaluation."""
    greedy: bool = False
    """Take the likeliest or best action, instead of drawing as in training."""
    seed: int | None = None
    """Seed of the episodes and of what is drawn; by default the run's."""
    film: Literal["last", "always", "never"] = "last"
    """Film the first episode: of the last evaluation, of each, or of none."""

    def __post_init__(self) -> None:
        require(self.episodes >= 1, f"eval.episodes is {self.episodes}; it must be at least 1")
        require(self.seed is None or self.seed >= 0, f"eval.seed is {self.seed}; it must be 0 or more")
