"""Flags of `features`. The defaults learn the digits of mnist5k by their labels in two minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register
from generative.data.settings import DataConfig

__all__ = ["FeaturesConfig", "Method", "ViewConfig"]

Method = Literal["labels", "siamese", "triplet", "autoencoder"]
MARGINS = {"siamese": 1.0, "triplet": 0.2}


@dataclass(frozen=True)
class ViewConfig:
    """How far a view of a picture, drawn anew in every update, may be from the picture. 0 switches a change off."""

    shift: float = 0.1
    """Most that it is shifted each way, as a share of its sides."""
    rotate: float = 10.0
    """Most that it is turned either way, in degrees."""
    zoom: float = 0.1
    """Most that it is made larger or smaller, as a share."""
    shear: float = 0.1
    """Most that a row is shifted against the next, in pixels."""
    light: float = 0.2
    """Most that brightness (of 1, the white) and contrast (as a share) change."""
    colour: float = 0.1
    """Most that each colour is made stronger or weaker, as a share; grey pictures have none."""
    erase: float = 0.0
    """Largest side of a square that is filled with grey, as a share of the picture's."""

    def __post_init__(self) -> None:
        for name in ("shift", "zoom", "light", "colour", "erase"):
            require(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name):g}; it must lie in [0, 1)")
        require(0 <= self.rotate <= 180, f"rotate is {self.rotate:g}; it must lie between 0 and 180 degrees")
        require(self.shear >= 0, f"shear is {self.shear:g}; it must be 0 or more")


@register(
    "features",
    kind="generative",
    build="generative.features.model:Features",
    group="Models that describe pictures by features",
    headline="eval/nearest",
    goal="max",
    clock="updates",
    summary="Feature extractor for pictures of your own: by labels, siamese pairs, triplets, or as an autoencoder",
    description="A perceptron or convolutional network maps pictures to vectors, so that pictures of one label, or views of one "
    "picture, lie near each other. `export` writes it as the .keras file that --model.extractor of the GANs takes.",
    paper="http://yann.lecun.com/exdb/publis/pdf/hadsell-chopra-lecun-06.pdf",
    subject="data.source",
    tiny={"data.source": "digits", "features": 3, "width": 2, "hidden": 8, "batch": 8, "held_out": 0.02},
    distributed=True,
    lr_find=RangeTest("loss/total", "optimizer"),
    search={"optimizer.lr": "1e-4..1e-2:log", "hidden": "32..256:log"},
    run={"until": 1_000, "log_every": 50, "eval_every": 500, "save_every": 500},
)
@dataclass(frozen=True)
class FeaturesConfig:
    """Feature extractor."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    method: Literal["auto", "labels", "siamese", "triplet", "autoencoder"] = "auto"
    """labels: cross entropy; siamese: pairs, a contrastive loss; triplet: a triplet loss on the unit sphere; autoencoder: squared
    error. auto: labels where the source has two or more, else triplet."""
    together: Literal["views", "labels"] = "views"
    """What siamese and triplet bring together: two views of one picture, or views of two pictures of one label."""
    features: int = 64
    """Numbers in a vector of features."""
    network: Literal["cnn", "mlp"] = "cnn"
    """cnn: a 3x3 convolution and a maximum over 2x2 a level, until the smaller side has at most 4 pixels; mlp: dense layers."""
    width: int = 16
    """Filters of the first level; each further one has twice as many, at most 8 times as many (cnn)."""
    hidden: int = 128
    """Units of a hidden dense layer."""
    layers: int = 2
    """Hidden dense layers of mlp; cnn has one."""
    margin: float | None = None
    """Distance at which siamese lets pairs be (1 if not set), or by which the squared distances of triplet differ (0.2)."""
    views: ViewConfig = field(default_factory=ViewConfig)
    """How pictures are varied in training."""
    held_out: float = 0.1
    """Share of the pictures, the same for every seed, that are kept from training and measured."""
    batch: int = 128
    """Pictures per update; siamese and triplet see each of them twice."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser of all weights."""

    def __post_init__(self) -> None:
        for name in ("features", "width", "hidden", "layers"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.batch >= 2, f"batch is {self.batch}; pictures are compared, so at least 2 are needed")
        require(0 < self.held_out < 1, f"held_out is {self.held_out:g}; it must lie between 0 and 1")
        require(not self.data.points, f"data.source is {self.data.source!r}; features learns pictures, e.g. mnist5k")
        contrasts = self.method in (*MARGINS, "auto")
        require(
            contrasts or self.together == "views",
            f"together is {self.together!r}; method {self.method} has no pairs, choose siamese or triplet",
        )
        if self.margin is not None:
            require(self.margin > 0, f"margin is {self.margin:g}; it must be above 0")
            require(contrasts, f"margin is {self.margin:g}; method {self.method} has none, choose siamese or triplet")

    def margin_of(self, method: Method) -> float:
        """Return the margin of siamese or triplet."""
        return MARGINS[method] if self.margin is None else self.margin
