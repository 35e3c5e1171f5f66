"""Flags of `pix2pix`. The defaults learn photographs from their edges in minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.data.settings import PairConfig

__all__ = ["Pix2PixConfig"]


@register(
    "pix2pix",
    kind="generative",
    build="generative.pix2pix.model:Pix2Pix",
    group="Models that translate pictures",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Conditional GAN of pairs: edges become photographs, grey pictures coloured ones, or pairs of your own",
    description="A U-Net translates a picture, and a discriminator of patches is shown both. Its loss makes patches look real, "
    "the L1 distance to the true picture, 100 times as heavy, makes the whole right.",
    paper="https://arxiv.org/abs/1611.07004",
    subject="data.source",
    tiny={"data.source": "grey", "data.size": 16, "batch": 2, "width": 2, "d_layers": 1, "eval_pictures": 8},
    search={"optimizer.lr": "1e-4..1e-3:log", "l1_weight": "10..100:log"},
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class Pix2PixConfig:
    """pix2pix."""

    data: PairConfig = field(default_factory=PairConfig)
    """Pairs of pictures to learn from."""
    batch: int = 4
    """Pairs per update."""
    width: int = 32
    """Filters of the level next to the picture, in both networks; each further one has twice as many, at most 8 times as many."""
    d_layers: int = 2
    """Strided layers of D: with 0, 1, 2, 3 of them it judges patches of 7, 16, 34, 70 pixels a side."""
    norm: Literal["batch", "instance"] = "batch"
    """Batch norm, whose averages are used for translations, or instance norm, which is batch norm of one picture."""
    dropout: float = 0.5
    """Share of the features that are dropped in the three innermost levels of the way up: the noise z, also of translations."""
    l1_weight: float = 100.0
    """Weight of the L1 distance to the true picture."""
    gan_weight: float = 1.0
    """Weight of D's judgement; with 0 there is no D, and the U-Net learns by L1 alone."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-4, beta1=0.5)
    """Optimiser of both networks."""
    eval_pictures: int = 400
    """Held-out squares that are measured, at most."""
    extractor: str = "digits"
    """Features that the Frechet distance compares: digits, a small classifier of them; the path of a .keras model, e.g. one that
    `features` has learned from photographs; or inception:PATH with the weights of Keras's InceptionV3."""

    def __post_init__(self) -> None:
        for name in ("batch", "width"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.data.size >= 16, f"data.size is {self.data.size}; the networks need 16 pixels or more")
        require(0 <= self.d_layers <= 4, f"d_layers is {self.d_layers}; it must lie between 0 and 4")
        require(0 <= self.dropout < 1, f"dropout is {self.dropout:g}; it must lie in [0, 1)")
        for name in ("l1_weight", "gan_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; it must be 0 or more")
        require(
            self.l1_weight > 0 or self.gan_weight > 0, "l1_weight and gan_weight are both 0; nothing would be learned"
        )
        require(
            self.batch > 1 or self.norm == "instance",
            "batch is 1, of which batch norm would be instance norm in training alone; choose norm instance",
        )
        require(self.eval_pictures >= 4, f"eval_pictures is {self.eval_pictures}; it must be at least 4")
