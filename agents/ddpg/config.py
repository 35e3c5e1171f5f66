"""Flags of `ddpg`. The defaults are sizes that later programs agree on; the preset `ddpg-paper` has those of the paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.rl.settings import TINY, OffPolicyConfig
from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register


@register(
    "ddpg",
    kind="agent",
    build="agents.ddpg.agent:DDPG",
    group="Agents for continuous actions",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Deep deterministic policy gradient (DDPG) for continuous actions",
    description="Learns a deterministic policy by the gradient of a critic with respect to the action, from transitions out of a "
    "replay memory and towards targets of networks that follow slowly. Explores by noise on its actions, correlated in time.",
    paper="https://arxiv.org/abs/1509.02971",
    subject="env.id",
    tiny=TINY,
    eval={"episodes": 20, "greedy": True},
    search={"actor_optimizer.lr": "1e-5..1e-2:log", "critic_optimizer.lr": "1e-4..1e-2:log", "tau": "1e-3..0.05:log"},
    run={"until": 1_000_000, "log_every": 1_000, "eval_every": 50_000, "save_every": 50_000},
)
@dataclass(frozen=True)
class DDPGConfig(OffPolicyConfig):
    """Deep deterministic policy gradient (DDPG)."""

    actor_optimizer: OptimizerConfig = OptimizerConfig("adam", lr=1e-3, epsilon=1e-8)
    """Optimiser of the policy; its clock counts environment steps. The paper's step size is 1e-4."""
    critic_optimizer: OptimizerConfig = OptimizerConfig("adam", lr=1e-3, epsilon=1e-8)
    """Optimiser of the critic; its clock counts environment steps. The paper adds weight_decay 1e-2."""
    noise: Literal["ou", "normal"] = "ou"
    """Noise on actions that explore: an Ornstein-Uhlenbeck process that begins each episode at 0, or independent normals."""
    sigma: float = 0.2
    """Standard deviation of the noise's step; the range of actions is 2."""
    theta: float = 0.15
    """Share by which the Ornstein-Uhlenbeck process falls back to 0 at each step."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.sigma >= 0, f"sigma is {self.sigma:g}; it must be 0 or more")
        require(0 <= self.theta <= 1, f"theta is {self.theta:g}; it must lie between 0 and 1")
