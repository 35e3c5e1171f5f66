"""Flags of `cyclegan`. The defaults translate two sets of digits into each other, learned in minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.data.settings import TwoConfig

__all__ = ["CycleGANConfig"]


@register(
    "cyclegan",
    kind="generative",
    build="generative.cyclegan.model:CycleGAN",
    group="Models that translate pictures",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Two GANs that translate two sets of pictures into each other, without pairs",
    description="G makes pictures of A look like those of B, F the other way, each before a discriminator of patches. What "
    "holds a picture and its translation together is the way back: F(G(x)) must be x.",
    paper="https://arxiv.org/abs/1703.10593",
    subject="data.source",
    tiny={
        "data.source": "two:digits,lfw-faces",
        "data.size": 16,
        "data.held_out": 0.05,
        "batch": 2,
        "width": 2,
        "down": 0,
        "blocks": 1,
        "d_layers": 0,
        "pool": 3,
        "eval_pictures": 40,
    },
    search={"optimizer.lr": "1e-4..1e-3:log", "cycle_weight": "5..20:log", "identity_weight": "1..10:log"},
    run={"until": 6_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class CycleGANConfig:
    """CycleGAN."""

    data: TwoConfig = field(default_factory=TwoConfig)
    """Two sources of pictures, A and B."""
    batch: int = 4
    """Pictures of each source per update."""
    width: int = 16
    """Filters of the level next to the picture, in all networks; each further one has twice as many."""
    down: int = 1
    """Strided convolutions of a generator; the paper has 2 for pictures of 128 pixels and more."""
    blocks: int = 3
    """Residual blocks of a generator."""
    d_layers: int = 1
    """Strided layers of a discriminator: with 0, 1, 2, 3 of them it judges patches of 7, 16, 34, 70 pixels a side."""
    cycle_weight: float = 10.0
    """Weight of |F(G(x)) - x| and |G(F(y)) - y|."""
    identity_weight: float = 5.0
    """Weight of |G(y) - y| and |F(x) - x|: what is of the target already is left as it is."""
    pool: int = 50
    """Earlier translations into each set that its discriminator is shown as well; 0 for none."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-4, beta1=0.5)
    """Optimiser of the generators together, and of the discriminators together."""
    eval_pictures: int = 5_000
    """Pictures of each set learned from, at most, with which held-out translations are compared, and held-out ones, at most."""
    extractor: str = "digits"
    """Features that Frechet distances compare: digits, a small classifier of them; the path of a .keras model, e.g. one that
    `features` has learned; or inception:PATH with the weights of Keras's InceptionV3."""

    def __post_init__(self) -> None:
        for name in ("batch", "width"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("blocks", "pool", "cycle_weight", "identity_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; it must be 0 or more")
        for name in ("down", "d_layers"):
            require(0 <= getattr(self, name) <= 4, f"{name} is {getattr(self, name)}; it must lie between 0 and 4")
        require(self.data.size >= 16, f"data.size is {self.data.size}; the networks need 16 pixels or more")
        require(
            self.data.size >= 4 * 2**self.down,
            f"down is {self.down}, which makes {self.data.size} pixels fewer than 4; choose fewer, or a larger data.size",
        )
        require(self.eval_pictures >= 4, f"eval_pictures is {self.eval_pictures}; it must be at least 4")
