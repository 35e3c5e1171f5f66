"""Flags of `sac`. The defaults are those of the paper's second version, with a temperature that is learned."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.rl.settings import TINY, OffPolicyConfig
from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register

ADAM = OptimizerConfig("adam", lr=3e-4, epsilon=1e-8)


@register(
    "sac",
    kind="agent",
    build="agents.sac.agent:SAC",
    group="Agents for continuous actions",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Soft actor-critic (SAC) for continuous actions, with a learned temperature",
    description="Learns a stochastic policy that is paid for its entropy besides the reward, by the gradient of the smaller of "
    "two critics with respect to the action. A temperature weighs the entropy, and is learned so that it stays at a target.",
    paper="https://arxiv.org/abs/1812.05905",
    subject="env.id",
    tiny=TINY,
    eval={"episodes": 20, "greedy": True},
    search={"optimizer.lr": "1e-4..3e-3:log", "tau": "1e-3..0.05:log", "gamma": "0.95..0.999"},
    run={"until": 1_000_000, "log_every": 1_000, "eval_every": 50_000, "save_every": 50_000},
)
@dataclass(frozen=True)
class SACConfig(OffPolicyConfig):
    """Soft actor-critic (SAC)."""

    optimizer: OptimizerConfig = ADAM
    """Optimiser of policy, critics and temperature, one each; its clock counts environment steps."""
    temperature: float = 1.0
    """Weight of the entropy, at the start where it is learned."""
    learn_temperature: Literal["yes", "no"] = "yes"
    """Move the temperature so that the policy's entropy stays at entropy_target."""
    entropy_target: float | None = None
    """Nats of entropy to stay at, for actions between -1 and 1; none for minus the number of action components."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.temperature > 0, f"temperature is {self.temperature:g}; it must be above 0")
