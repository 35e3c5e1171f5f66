"""Flags of `ragan`. Every loss goes with every norm, penalties with all but batch; the default is RaSGAN with batch norm."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.plugin import register
from generative.data.settings import DataConfig

__all__ = ["RaGANConfig"]


@register(
    "ragan",
    kind="generative",
    build="generative.ragan.model:RaGAN",
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
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class RaGANConfig:
    """Relativistic GAN."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
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
    d_steps: int = 1
    """Updates of D for each of the generator."""
    batch: int = 64
    """Examples per update; each step of D and of G has its own."""
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
    hidden: int = 128
    """Units per hidden layer of the perceptrons that take the networks' place on ring and grid."""
    layers: int = 2
    """Hidden layers of those perceptrons."""
    lr: float = 2e-3
    """Adam step size of both networks; the paper's 2e-4 suits its wide ones."""
    beta1: float = 0.5
    """Adam's decay of the gradient's mean."""
    beta2: float = 0.999
    """Adam's decay of the squared gradient's mean."""
    anneal: int = 0
    """Clock at which the step size has fallen to `lr_end` of itself along a half cosine; 0 keeps it constant."""
    lr_end: float = 0.0
    """Share of the step size that is left then."""
    penalty_end: float = 1.0
    """Factor to which gp, r1 and r2 fall, geometrically: a smooth D first, a sharp one at the end."""
    penalty_anneal: int = 0
    """Clock at which that factor is reached."""
    ema: float = 0.999
    """Decay of the averaged generator that is then used for samples; 0 for none."""
    turn: int = 1
    """Generator updates in one call of TensorFlow: more where an update takes about a millisecond, as on ring and grid."""
    jit: bool = False
    """Compile with XLA: faster for perceptrons, several times slower for transposed convolutions on a CPU."""
    eval_samples: int = 5_000
    """Samples per evaluation (2,500 in PacGAN's protocol for ring and grid)."""
    extractor: str = "digits"
    """Features that distances compare: digits, a small classifier of 28x28 digits, or the path of a .keras model."""

    def __post_init__(self) -> None:
        for name in ("d_steps", "batch", "latent", "width", "hidden", "layers", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.kernel >= 2, f"kernel is {self.kernel}; it must be at least 2, the stride")
        require(self.eval_samples >= 4, f"eval_samples is {self.eval_samples}; it must be at least 4")
        require(0 < self.penalty_end <= 1, f"penalty_end is {self.penalty_end}; it must lie in (0, 1]")
        require(
            self.penalty_anneal > 0 or self.penalty_end == 1,
            f"penalty_end is {self.penalty_end}; it needs penalty_anneal, the clock at which it is reached",
        )
        for name in ("gp", "r1", "r2", "anneal", "penalty_anneal"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        require(0 <= self.lr_end <= 1, f"lr_end is {self.lr_end}; it must lie in [0, 1]")
        require(
            self.anneal > 0 or self.lr_end == 0,
            f"lr_end is {self.lr_end}; it needs anneal, the clock at which it is reached",
        )
        require(self.lr > 0, f"lr is {self.lr}; a step size is above 0")
        require(0 <= self.beta1 < 1, f"beta1 is {self.beta1}; it must lie in [0, 1)")
        require(0 <= self.beta2 < 1, f"beta2 is {self.beta2}; it must lie in [0, 1)")
        require(0 <= self.ema < 1, f"ema is {self.ema}; it must lie in [0, 1)")
        penalised = self.gp > 0 or self.r1 > 0 or self.r2 > 0
        require(
            not (self.norm == "batch" and penalised) or self.data.points,
            "norm is 'batch', which mixes the examples of a batch, so a penalty on D's gradient (gp, r1, r2) has no meaning; "
            "choose norm 'none' or 'spectral'",
        )
