"""Flags of `ganomaly`. The defaults leave the digit 0 out of mnist5k and find it again after a minute on one core."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.data.settings import DataConfig

__all__ = ["GANomalyConfig"]


@register(
    "ganomaly",
    kind="generative",
    build="generative.ganomaly.model:GANomaly",
    group="Models that find anomalies",
    headline="eval/contextual",
    goal="min",
    clock="updates",
    summary="Anomalies by encoding twice: how far a picture's code is from its reconstruction's",
    description="Encoder, decoder and a second encoder learn to reconstruct normal pictures and their codes, against a "
    "discriminator whose features are matched. A picture whose two codes lie far apart is an anomaly.",
    paper="https://arxiv.org/abs/1805.06725",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "held_out": 0.02,
    },
    distributed=True,
    search={"optimizer.lr": "3e-4..3e-3:log", "contextual": "10..100:log", "latent": "16..64:log"},
    run={"until": 1_000, "log_every": 50, "eval_every": 250, "save_every": 250},
)
@dataclass(frozen=True)
class GANomalyConfig:
    """GANomaly."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    anomaly: str = "0"
    """Label of the class that is left out of training, to be found among pictures that are held out; none to learn from all
    pictures, e.g. a folder of normal ones."""
    held_out: float = 0.2
    """Share of the normal pictures, the same for every seed, that are kept from training and measured."""
    batch: int = 64
    """Pictures per update."""
    latent: int = 32
    """Numbers in a code."""
    width: int = 16
    """Filters of the level next to the picture, in all networks; each further level has twice as many."""
    adversarial: float = 1.0
    """Weight of the distance of the discriminator's features, of a picture and of its reconstruction."""
    contextual: float = 50.0
    """Weight of the absolute difference of the two pictures."""
    latent_weight: float = 1.0
    """Weight of the distance of their codes."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, beta1=0.5)
    """Optimiser of both sides. The paper's 2e-4 suits its wide networks."""

    def __post_init__(self) -> None:
        for name in ("batch", "latent", "width"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(0 < self.held_out < 1, f"held_out is {self.held_out:g}; it must lie between 0 and 1")
        for name in ("adversarial", "contextual", "latent_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; a weight is 0 or more")
        require(
            self.contextual > 0 or self.adversarial > 0, "contextual and adversarial are 0; nothing teaches the decoder"
        )
        require(not self.data.points, f"data.source is {self.data.source!r}; ganomaly learns pictures, e.g. mnist5k")
