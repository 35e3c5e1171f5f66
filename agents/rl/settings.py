"""What agents share of their flags: those of `ddpg`, `td3` and `sac`, and the rules of `memory`. No TensorFlow here: `list` and
`--help` answer at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from core.errors import require
from envs.config import EnvConfig

__all__ = ["TINY", "OffPolicyConfig", "check_memory"]

TINY: dict[str, Any] = {
    "env.id": "pongan/Walk-v0",
    "envs": 2,
    "capacity": 100,
    "learning_starts": 12,
    "batch": 4,
    "hidden": (8,),
    "n_step": 2,
    "prioritised": True,
    "turn": 5,
}
"""For the contract test."""


@dataclass(frozen=True)
class OffPolicyConfig:
    """Environment, replay and critics of an off-policy agent for continuous actions; an agent's configuration inherits them."""

    env: EnvConfig = EnvConfig(id="Pendulum-v1")
    """The environment; its actions must be a vector with finite bounds, its observations numbers."""
    envs: int = 1
    """Environments played side by side."""
    capacity: int = 1_000_000
    """Observations the replay holds."""
    replay_on_disk: Literal["auto", "yes", "no"] = "auto"
    """Keep the observations in a file of the run's folder; auto: above 100 MB."""
    learning_starts: int = 1_000
    """Environment steps of uniformly random actions before the first update."""
    update_every: int = 1
    """Environment steps per update, however many environments play."""
    burst: int = 1
    """Updates that wait for each other and are then made in one go; saves time on small networks."""
    batch: int = 256
    """Transitions per update."""
    gamma: float = 0.99
    """Discount per step."""
    tau: float = 0.005
    """Share by which target networks move towards the learning ones."""
    hidden: tuple[int, ...] = (256, 256)
    """ReLU units of the hidden layers, of the policy and of each critic."""
    n_step: int = 1
    """Steps of reward before the target network's value."""
    prioritised: bool = False
    """Draw transitions in proportion to their last error (Schaul et al., 2016)."""
    alpha: float = 0.6
    """Exponent of the priorities; 0 is uniform."""
    beta: float = 0.4
    """Exponent of the importance weights at the start; it rises linearly to 1."""
    beta_steps: int = 1_000_000
    """Environment steps until beta is 1."""
    jit: Literal["auto", "yes", "no"] = "auto"
    """Compile updates with XLA; auto: in float32, since XLA multiplies no bfloat16 on a CPU."""
    turn: int = 16
    """Steps per environment between two returns to the launcher."""

    def __post_init__(self) -> None:
        for name in ("envs", "update_every", "burst", "batch", "n_step", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.beta_steps >= 0, f"beta_steps is {self.beta_steps}; it must be 0 or more")
        for name in ("gamma", "alpha", "beta"):
            require(0 <= getattr(self, name) <= 1, f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        require(0 < self.tau <= 1, f"tau is {self.tau}; it must be above 0 and at most 1")
        require(bool(self.hidden), "hidden is empty; at least one layer is needed, e.g. 256 256")
        require(all(units >= 1 for units in self.hidden), f"hidden is {list(self.hidden)}; layers have at least 1 unit")
        least = self.envs * (self.n_step + 1)
        require(
            self.learning_starts >= least,
            f"learning_starts is {self.learning_starts}; it must be at least {least}, when the first transitions are complete",
        )


def check_memory(memory: str, size: int, n_steps: int) -> None:
    """Raise UsageError for flags `memory` and `memory_size` that do not fit each other or rollouts of `n_steps`."""
    require(size >= 1, f"memory_size is {size}; a recurrent cell has at least 1 unit")
    require(
        memory == "none" or n_steps > 1,
        f"n_steps is 1 with memory {memory}; the gradient goes back through a rollout, and one step has no past: "
        "give at least 2, usually 16 or more",
    )
