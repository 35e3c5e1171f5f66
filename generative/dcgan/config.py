"""Flags of `dcgan`. The defaults learn digits in minutes on two cores; preset dcgan-paper has the paper's sizes."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.plugin import register
from generative.adversarial.settings import RENAMED, AdversarialConfig

__all__ = ["DCGANConfig"]


@register(
    "dcgan",
    kind="generative",
    build="generative.dcgan.model:DCGAN",
    group="Models that draw pictures",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Deep convolutional GAN, non-saturating loss, pictures of any size from 16 pixels up",
    description="A generator of transposed convolutions and a discriminator of strided ones, both with batch norm, play the "
    "non-saturating GAN game with Adam, beta1 0.5; the generator's forward pass serves both half-steps.",
    paper="https://arxiv.org/abs/1511.06434",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "eval_samples": 12,
        "ema": 0.9,
    },
    distributed=True,
    renamed=RENAMED,
    search={"optimizer.lr": "5e-5..2e-3:log", "d_lr_ratio": "0.25..4.0:log", "ema": "0.99,0.995,0.999"},
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class DCGANConfig(AdversarialConfig):
    """DCGAN."""

    minibatch_std: bool = False
    """Show D the standard deviation over its batch."""
    real_label: float = 1.0
    """D's target on real examples; 0.9 is one-sided label smoothing."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0.5 < self.real_label <= 1, f"real_label is {self.real_label}; it must lie in (0.5, 1]")
