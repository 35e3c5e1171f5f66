"""Flags of `cvae-gan`. The defaults learn the ten digits by their labels in minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.adversarial.settings import AdversarialConfig

__all__ = ["CVAEGANConfig"]


@register(
    "cvae-gan",
    kind="generative",
    build="generative.cvae_gan.model:CVAEGAN",
    group="Models that draw what is asked for",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="CVAE-GAN: encoder, generator, discriminator and classifier; the generator matches mean features",
    description="A conditional variational autoencoder whose decoder is also a generator: what it draws has the mean features "
    "that the discriminator sees in real pictures, and for each class those that a classifier sees.",
    paper="https://arxiv.org/abs/1703.10155",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "held_out": 20,
        "eval_samples": 12,
        "ema": 0.9,
    },
    search={"optimizer.lr": "3e-4..3e-3:log", "kl_weight": "0.3..10.0:log", "d_weight": "0.1..10.0:log"},
    run={"until": 3_000, "log_every": 50, "eval_every": 1_000, "save_every": 500},
)
@dataclass(frozen=True)
class CVAEGANConfig(AdversarialConfig):
    """CVAE-GAN."""

    latent: int = 32
    """Numbers in z."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, beta1=0.5)
    """Optimiser of all four networks."""
    held_out: int = 500
    """Pictures, chosen at random but the same for every seed, that are kept from training and reconstructed."""
    kl_weight: float = 3.0
    """lambda_1, of the divergence of q(z | x, c) from N(0, 1)."""
    pair_weight: float = 1.0
    """lambda_2, of the distance of a picture and its reconstruction, in pixels and in features of D and C."""
    d_weight: float = 1.0
    """lambda_3, of the distance of D's mean features of real and of drawn pictures; the paper's is 1e-3, for wide networks."""
    c_weight: float = 1.0
    """lambda_4, of the distance of C's mean features in each class; the paper's is 1e-3, for wide networks."""
    centre_decay: float = 0.9
    """Decay of the moving averages of those means."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.held_out >= 1, f"held_out is {self.held_out}; it must be at least 1")
        for name in ("kl_weight", "pair_weight", "d_weight", "c_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; a weight is 0 or more")
        require(0 <= self.centre_decay < 1, f"centre_decay is {self.centre_decay:g}; it must lie in [0, 1)")
        require(
            not self.data.points,
            f"data.source is {self.data.source!r}; cvae-gan learns labelled pictures, e.g. mnist5k",
        )
