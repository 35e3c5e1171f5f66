"""Flags of `stargan`. The defaults give digits colours, thick and thin strokes, in minutes on one core."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.data.settings import DataConfig

__all__ = ["StarGANConfig"]


@register(
    "stargan",
    kind="generative",
    build="generative.stargan.model:StarGAN",
    group="Models that translate pictures",
    headline="eval/right",
    goal="max",
    clock="updates",
    summary="Translations between many domains by one generator, which is told the domain",
    description="The generator sees a picture and the label of a domain. The critic judges whether a picture is real and names "
    "its domain; from a translation the generator must find back to the picture it came from.",
    paper="https://arxiv.org/abs/1711.09020",
    subject="data.source",
    tiny={
        "data.size": 16,
        "batch": 4,
        "width": 2,
        "d_width": 2,
        "down": 1,
        "blocks": 1,
        "d_layers": 2,
        "critic_steps": 2,
        "eval_pictures": 20,
        "held_out": 40,
    },
    search={"optimizer.lr": "1e-4..2e-3:log", "rec_weight": "5..20:log", "width": "16..64:log"},
    run={"until": 1_000, "log_every": 20, "eval_every": 250, "save_every": 250},
)
@dataclass(frozen=True)
class StarGANConfig:
    """StarGAN."""

    data: DataConfig = field(default_factory=lambda: DataConfig("styled-digits"))
    """Labelled pictures; the labels are the domains."""
    held_out: int = 500
    """Pictures that are kept for measuring."""
    width: int = 16
    """Filters of the generator's first layer; each halving of the picture doubles them."""
    down: int = 2
    """Halvings of the picture."""
    blocks: int = 3
    """Residual blocks at the smallest size."""
    d_width: int = 32
    """Filters of the critic's first layer; each further layer doubles them."""
    d_layers: int = 3
    """Layers of the critic, each halving the picture."""
    batch: int = 16
    """Pictures in an update."""
    critic_steps: int = 5
    """Updates of the critic before each of the generator."""
    cls_weight: float = 1.0
    """Weight of the domain classification."""
    rec_weight: float = 10.0
    """Weight of the way back."""
    gp: float = 10.0
    """Weight of the gradient penalty."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-4, beta1=0.5)
    """Optimiser of generator and critic, each with its own state."""
    eval_pictures: int = 400
    """Held-out pictures that an evaluation translates, each into all domains but its own."""

    def __post_init__(self) -> None:
        for name in (
            *("held_out", "width", "d_width", "d_layers", "batch", "critic_steps", "eval_pictures"),
            *("down", "blocks"),
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("cls_weight", "rec_weight", "gp"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name):g}; it must be above 0")
        require(
            not self.data.points,
            f"data.source is {self.data.source!r}; stargan translates labelled pictures, e.g. styled-digits",
        )
