"""Flags of `dcgan`. The defaults learn digits in minutes on two cores; preset dcgan-paper has the paper's sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.plugin import register
from generative.data.settings import DataConfig

__all__ = ["DCGANConfig"]


@register(
    "dcgan",
    kind="generative",
    build="generative.dcgan.model:DCGAN",
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
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class DCGANConfig:
    """DCGAN."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    batch: int = 64
    """Examples per update."""
    latent: int = 100
    """Numbers in z, drawn from N(0, 1)."""
    network: Literal["dcgan", "sn", "resnet"] = "dcgan"
    """dcgan: strided convolutions; sn: a 3x3 and a strided convolution a level; resnet: residual blocks."""
    width: int = 16
    """Filters of the level next to the picture, in both networks; each further level has twice as many."""
    kernel: int = 4
    """Side of the strided convolutions' kernels, at least 2; resnet has its own."""
    upsampling: Literal["transposed", "resize"] = "transposed"
    """G's layers: transposed convolutions, or nearest neighbours and a convolution; resnet has the latter."""
    minibatch_std: bool = False
    """Show D the standard deviation over its batch."""
    hidden: int = 128
    """Units per hidden layer of the perceptrons that take the networks' place on ring and grid."""
    layers: int = 2
    """Hidden layers of those perceptrons."""
    lr: float = 2e-3
    """Adam step size of both networks; the paper's 2e-4 suits its wide ones."""
    beta1: float = 0.5
    """Adam's decay of the gradient's mean."""
    anneal: int = 0
    """Clock at which the step size has fallen to `lr_end` of itself along a half cosine; 0 keeps it constant."""
    lr_end: float = 0.0
    """Share of the step size that is left then."""
    real_label: float = 1.0
    """D's target on real examples; 0.9 is one-sided label smoothing."""
    ema: float = 0.999
    """Decay of the averaged generator that is then used for samples; 0 for none."""
    turn: int = 1
    """Updates in one call of TensorFlow: more where an update takes under a millisecond, as on ring and grid."""
    jit: bool = False
    """Compile with XLA: faster for perceptrons, several times slower for transposed convolutions on a CPU."""
    eval_samples: int = 5_000
    """Samples per evaluation (2,500 in PacGAN's protocol for ring and grid)."""
    extractor: str = "digits"
    """Features that distances compare: digits, a small classifier of 28x28 digits, or the path of a .keras model."""

    def __post_init__(self) -> None:
        for name in ("batch", "latent", "width", "hidden", "layers", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.kernel >= 2, f"kernel is {self.kernel}; it must be at least 2, the stride")
        require(self.eval_samples >= 4, f"eval_samples is {self.eval_samples}; it must be at least 4")
        require(self.anneal >= 0, f"anneal is {self.anneal}; it must be 0 or more")
        require(0 <= self.lr_end <= 1, f"lr_end is {self.lr_end}; it must lie in [0, 1]")
        require(
            self.anneal > 0 or self.lr_end == 0,
            f"lr_end is {self.lr_end}; it needs anneal, the clock at which it is reached",
        )
        require(self.lr > 0, f"lr is {self.lr}; a step size is above 0")
        require(0 <= self.beta1 < 1, f"beta1 is {self.beta1}; it must lie in [0, 1)")
        require(0.5 < self.real_label <= 1, f"real_label is {self.real_label}; it must lie in (0.5, 1]")
        require(0 <= self.ema < 1, f"ema is {self.ema}; it must lie in [0, 1)")
