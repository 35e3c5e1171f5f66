"""Flags of `td3`. The defaults are those of the paper, with the networks and the batch of its authors' later program."""

from __future__ import annotations

from dataclasses import dataclass

from agents.rl.settings import TINY, OffPolicyConfig
from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register


@register(
    "td3",
    kind="agent",
    build="agents.td3.agent:TD3",
    group="Agents for continuous actions",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Twin delayed DDPG (TD3) for continuous actions",
    description="Learns a deterministic policy by the gradient of a critic with respect to the action. The smaller of two "
    "critics, asked at a noisy action of the target policy, gives the targets, and the policy moves at every second update only.",
    paper="https://arxiv.org/abs/1802.09477",
    subject="env.id",
    tiny=TINY,
    eval={"episodes": 20, "greedy": True},
    search={"optimizer.lr": "1e-4..3e-3:log", "tau": "1e-3..0.05:log", "noise": "0.05..0.3"},
    run={"until": 1_000_000, "log_every": 1_000, "eval_every": 50_000, "save_every": 50_000},
)
@dataclass(frozen=True)
class TD3Config(OffPolicyConfig):
    """Twin delayed deep deterministic policy gradient (TD3)."""

    optimizer: OptimizerConfig = OptimizerConfig("adam", lr=1e-3, epsilon=1e-8)
    """Optimiser of policy and critics, one each; its clock counts environment steps."""
    noise: float = 0.1
    """Standard deviation of the normal noise on actions that explore; the range of actions is 2."""
    target_noise: float = 0.2
    """Standard deviation of the noise on the target policy's actions."""
    target_noise_limit: float = 0.5
    """Most that this noise may be."""
    policy_delay: int = 2
    """Updates of the critics for each of the policy and of the target networks."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("noise", "target_noise", "target_noise_limit"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; it must be 0 or more")
        require(self.policy_delay >= 1, f"policy_delay is {self.policy_delay}; it must be at least 1")
