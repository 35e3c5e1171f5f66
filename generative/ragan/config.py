"""Flags of `ragan`. Every loss goes with every norm, penalties with all but batch; the default is RaSGAN with batch norm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require
from core.plugin import register
from generative.adversarial.settings import RENAMED, AdversarialConfig

__all__ = ["RaGANConfig"]


@register(
    "ragan",
    kind="generative",
    build="generative.ragan.model:RaGAN",
    group="Models that draw pictures",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Relativistic GANs: SGAN, RSGAN, RaSGAN, RaLSGAN, RaHinge, with spectral norm, gradient penalty, R1 and R2",
    description="The discriminator judges how much more real an example is than one of the other side, or than the other side's "
    "average; the generator minimises the same loss with the sides exchanged, on fresh examples. RSGAN with R1 and R2 is "
    "the objective of R3GAN.",
    paper="https://arxiv.org/abs/1807.00734",
    subject="data.source",
    distributed=True,
    renamed={**RENAMED, "beta2": "optimizer.beta2"},
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "norm": "spectral",
        "r1": 1.0,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "eval_samples": 12,
        "ema": 0.9,
    },
    search={"optimizer.lr": "5e-5..2e-3:log", "d_lr_ratio": "0.25..4.0:log"},
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class RaGANConfig(AdversarialConfig):
    """Relativistic GAN."""

    loss: Literal["sgan", "rsgan", "rasgan", "ralsgan", "rahinge"] = "rasgan"
    """sgan: the non-saturating loss, for comparison; rsgan: pairs; ra...: against the average (log, squares, hinge)."""
    norm: Literal["batch", "spectral", "none"] = "batch"
    """D's normalisation; not batch with gp, r1 or r2, which need a D of single examples. On ring and grid batch is none."""
    gp: float = 0.0
    """Weight of the gradient penalty (|grad D| - 1)^2 between real and fake; 10 is common."""
    r1: float = 0.0
    """Weight of the zero-centred penalty |grad D|^2 / 2 on real examples."""
    r2: float = 0.0
    """Weight of the zero-centred penalty |grad D|^2 / 2 on generated examples."""
    penalty_end: float = 1.0
    """Factor to which gp, r1 and r2 fall, geometrically: a smooth D first, a sharp one at the end."""
    penalty_anneal: int = 0
    """Clock at which that factor is reached."""
    d_steps: int = 1
    """Updates of D for each of the generator."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.d_steps >= 1, f"d_steps is {self.d_steps}; it must be at least 1")
        require(0 < self.penalty_end <= 1, f"penalty_end is {self.penalty_end}; it must lie in (0, 1]")
        require(
            self.penalty_anneal > 0 or self.penalty_end == 1,
            f"penalty_end is {self.penalty_end}; it needs penalty_anneal, the clock at which it is reached",
        )
        for name in ("gp", "r1", "r2", "penalty_anneal"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        penalised = self.gp > 0 or self.r1 > 0 or self.r2 > 0
        require(
            not (self.norm == "batch" and penalised) or self.data.points,
            "norm is 'batch', which mixes the examples of a batch, so a penalty on D's gradient (gp, r1, r2) has no meaning; "
            "choose norm 'none' or 'spectral'",
        )
