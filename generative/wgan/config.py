"""Flags of `wgan`. One flag, `constraint`, chooses how the critic is kept Lipschitz; its optimiser follows its paper."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.adversarial.settings import RENAMED, AdversarialConfig

__all__ = ["WGANConfig"]

ADAM = OptimizerConfig("adam", lr=2e-3, beta1=0.0, beta2=0.9, epsilon=1e-8)
RMSPROP = OptimizerConfig("rmsprop", lr=5e-4, rho=0.9, epsilon=1e-8)
"""Those of the papers; step sizes for narrow networks, ten to twenty times the papers' for their wide ones."""


@register(
    "wgan",
    kind="generative",
    build="generative.wgan.model:WGAN",
    group="Models that draw pictures",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Wasserstein GAN: weight clipping, gradient penalty, spectral normalisation or spectral-norm regularisation",
    description="A critic without sigmoid, trained several steps for each of the generator's, estimates the Wasserstein "
    "distance; one flag chooses what keeps it Lipschitz. The estimate and the critic's largest singular values are logged.",
    paper="https://arxiv.org/abs/1701.07875",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "constraint": "gp",
        "critic_steps": 2,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "eval_samples": 12,
        "ema": 0.9,
    },
    distributed=True,
    renamed={**RENAMED, "optimizer": "optimizer.name"},
    search={"optimizer.lr": "5e-5..2e-3:log", "critic_steps": "1..5", "gp": "1..100:log"},
    run={"until": 2_500, "log_every": 50, "eval_every": 500, "save_every": 1_000},
)
@dataclass(frozen=True)
class WGANConfig(AdversarialConfig):
    """Wasserstein GAN."""

    optimizer: OptimizerConfig = ADAM
    """Optimiser of both networks; its clock counts the generator's updates. With constraint clip, where nothing of it is set, it
    is RMSProp with a step size of 5e-4."""
    constraint: Literal["clip", "gp", "sn", "sn-reg"] = "gp"
    """clip: weights within `clip`; gp: gradient penalty; sn: spectral normalisation; sn-reg: spectral-norm regularisation."""
    critic_steps: int = 2
    """Updates of the critic for each of the generator; the papers have 5."""
    clip: float = 0.01
    """Bound of every weight of the critic, with constraint clip."""
    gp: float = 10.0
    """Weight of the gradient penalty, with constraint gp."""
    sn_reg: float = 0.01
    """Weight of sigma^2 / 2, summed over the critic's kernels, with constraint sn-reg."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.critic_steps >= 1, f"critic_steps is {self.critic_steps}; it must be at least 1")
        require(self.clip > 0, f"clip is {self.clip}; a bound is above 0")
        require(self.gp >= 0 and self.sn_reg >= 0, f"gp is {self.gp} and sn_reg {self.sn_reg}; weights are 0 or more")
        if self.constraint == "clip" and self.optimizer == ADAM:
            object.__setattr__(self, "optimizer", RMSPROP)
