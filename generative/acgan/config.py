"""Flags of `acgan`. The defaults learn the ten digits by their labels in minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require
from core.plugin import register
from generative.adversarial.settings import AdversarialConfig

__all__ = ["ACGANConfig"]


@register(
    "acgan",
    kind="generative",
    build="generative.acgan.model:ACGAN",
    group="Models that draw what is asked for",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Class-conditional GAN: an auxiliary classifier in the discriminator, or its projection discriminator",
    description="The generator draws pictures of a class that it is told, and the discriminator says which class it sees beside "
    "whether it is real (AC-GAN), or judges both at once by an inner product with a vector of the class (projection).",
    paper="https://arxiv.org/abs/1610.09585",
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
    search={"optimizer.lr": "5e-4..5e-3:log", "class_weight": "0.5..4.0:log"},
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class ACGANConfig(AdversarialConfig):
    """AC-GAN."""

    condition: Literal["classifier", "projection"] = "classifier"
    """classifier: D names the class, standard loss, batch norm (AC-GAN); projection: D's output has an inner product of its
    features with a vector of the class, hinge loss, spectral norm (Miyato and Koyama, 2018)."""
    class_weight: float = 1.0
    """Weight of the class losses beside the others, with condition classifier; the paper's is 1."""
    saturating: bool = False
    """Let G minimise log(1 - D(G(z, c))), which is L_S to the letter, instead of -log D(G(z, c)), with condition classifier."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.class_weight > 0, f"class_weight is {self.class_weight:g}; it must be above 0")
        require(
            self.condition == "classifier" or (self.class_weight == 1 and not self.saturating),
            "class_weight and saturating are of condition classifier; leave them out with projection",
        )
        require(
            not self.data.points, f"data.source is {self.data.source!r}; acgan learns labelled pictures, e.g. mnist5k"
        )
