"""Flags of `bigan`. The defaults learn digits in minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.adversarial.settings import AdversarialConfig

__all__ = ["BiGANConfig"]


@register(
    "bigan",
    kind="generative",
    build="generative.bigan.model:BiGAN",
    group="Models that find anomalies",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Bidirectional GAN: an encoder learns to invert the generator, without ever comparing two pictures",
    description="The discriminator sees pairs of a picture and a code: real pictures with what the encoder makes of them, codes "
    "with what the generator makes of those. Encoder and generator can only fool it by inverting each other.",
    paper="https://arxiv.org/abs/1605.09782",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "hidden": 4,
        "held_out": 0.02,
        "eval_samples": 12,
        "ema": 0.9,
    },
    distributed=True,
    search={"optimizer.lr": "3e-4..3e-3:log", "latent": "20..100:log"},
    run={"until": 3_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class BiGANConfig(AdversarialConfig):
    """BiGAN."""

    latent: int = 50
    """Numbers in a code z, drawn from N(0, 1)."""
    hidden: int = 256
    """Units of a hidden layer in which D compares picture and code."""
    layers: int = 2
    """Such layers."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, beta1=0.5)
    """Optimiser of generator and encoder together, and of the discriminator."""
    anomaly: str = "none"
    """Label of the class that is left out of training, to be found among pictures that are held out, or none."""
    held_out: float = 0.1
    """Share of the (normal) pictures, the same for every seed, that are kept from training and measured."""
    feature_weight: float = 0.1
    """Share of D's features in an anomaly's score; the rest is the difference of the pictures (Zenati et al., 2018)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(0 < self.held_out < 1, f"held_out is {self.held_out:g}; it must lie between 0 and 1")
        require(0 <= self.feature_weight <= 1, f"feature_weight is {self.feature_weight:g}; it must lie in [0, 1]")
        require(not self.data.points, f"data.source is {self.data.source!r}; bigan learns pictures, e.g. mnist5k")
