"""Flags of `wgan`. One flag, `constraint`, chooses how the critic is kept Lipschitz; its optimiser follows its paper."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.plugin import register
from generative.data.settings import DataConfig

__all__ = ["WGANConfig"]

OWN: dict[str, tuple[Literal["rmsprop", "adam"], float]] = {
    "clip": ("rmsprop", 5e-4),
    "gp": ("adam", 2e-3),
    "sn": ("adam", 2e-3),
    "sn-reg": ("adam", 2e-3),
}
"""Optimiser of each constraint's paper; step size for narrow networks, ten to twenty times the paper's for its wide ones."""


@register(
    "wgan",
    kind="generative",
    build="generative.wgan.model:WGAN",
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
    run={"until": 2_500, "log_every": 50, "eval_every": 500, "save_every": 1_000},
)
@dataclass(frozen=True)
class WGANConfig:
    """Wasserstein GAN."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
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
    batch: int = 64
    """Examples per update; each critic step has its own."""
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
    optimizer: Literal["auto", "rmsprop", "adam"] = "auto"
    """auto: RMSProp (decay 0.9) with constraint clip, Adam (beta2 0.9) with the others."""
    lr: float = 0.0
    """Step size of both networks; 0 for the constraint's own: clip 5e-4, gp, sn and sn-reg 2e-3."""
    beta1: float = 0.0
    """Adam's decay of the gradient's mean."""
    anneal: int = 0
    """Clock at which the step size has fallen to `lr_end` of itself along a half cosine; 0 keeps it constant."""
    lr_end: float = 0.0
    """Share of the step size that is left then."""
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
        for name in ("critic_steps", "batch", "latent", "width", "hidden", "layers", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.kernel >= 2, f"kernel is {self.kernel}; it must be at least 2, the stride")
        require(self.eval_samples >= 4, f"eval_samples is {self.eval_samples}; it must be at least 4")
        require(self.clip > 0, f"clip is {self.clip}; a bound is above 0")
        require(self.gp >= 0 and self.sn_reg >= 0, f"gp is {self.gp} and sn_reg {self.sn_reg}; weights are 0 or more")
        require(self.anneal >= 0, f"anneal is {self.anneal}; it must be 0 or more")
        require(0 <= self.lr_end <= 1, f"lr_end is {self.lr_end}; it must lie in [0, 1]")
        require(
            self.anneal > 0 or self.lr_end == 0,
            f"lr_end is {self.lr_end}; it needs anneal, the clock at which it is reached",
        )
        require(self.lr >= 0, f"lr is {self.lr}; it must be 0 (the constraint's own) or a step size above 0")
        require(0 <= self.beta1 < 1, f"beta1 is {self.beta1}; it must lie in [0, 1)")
        require(0 <= self.ema < 1, f"ema is {self.ema}; it must lie in [0, 1)")

    @property
    def chosen_optimizer(self) -> Literal["rmsprop", "adam"]:
        """The optimiser, `auto` resolved."""
        return OWN[self.constraint][0] if self.optimizer == "auto" else self.optimizer

    @property
    def chosen_lr(self) -> float:
        """The step size, 0 resolved."""
        return self.lr or OWN[self.constraint][1]
