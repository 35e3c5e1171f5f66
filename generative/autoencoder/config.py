"""Flags of `autoencoder`. The defaults denoise mnist5k, half of whose pixels are missing, in a minute on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register
from generative.data.settings import DataConfig

__all__ = ["AutoencoderConfig", "Kind"]

Kind = Literal["vanilla", "sparse", "denoising", "stacked", "convolutional"]

OWN: dict[Kind, dict[str, Any]] = {
    "vanilla": {"hidden": 64, "activation": "relu", "loss": "squared", "keep": 1.0, "l2": 0.0},
    "sparse": {"hidden": 196, "activation": "sigmoid", "loss": "squared", "keep": 1.0, "l2": 0.01},
    "denoising": {"hidden": 512, "activation": "sigmoid", "loss": "squared", "keep": 0.5, "l2": 0.0},
    "stacked": {"hidden": 800, "activation": "sigmoid", "loss": "cross-entropy", "keep": 1.0, "l2": 0.0},
    "convolutional": {"hidden": 32, "activation": "relu", "loss": "squared", "keep": 1.0, "l2": 0.0},
}
"""What a kind has where the flag is not set."""


@register(
    "autoencoder",
    kind="generative",
    build="generative.autoencoder.model:Autoencoder",
    headline="eval/error",
    goal="min",
    clock="updates",
    group="Models that describe pictures by features",
    summary="Autoencoders: vanilla, sparse, denoising, stacked with fine-tuning by labels, convolutional",
    description="An encoder makes a code of a picture, a decoder the picture of the code. Denoising ones are given pictures with "
    "pixels missing, sparse ones keep most units quiet, stacked ones are learned layer by layer and then read labels.",
    paper="https://www.jmlr.org/papers/volume11/vincent10a/vincent10a.pdf",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "kind": "stacked",
        "hidden": 8,
        "batch": 8,
        "held_out": 20,
        "labels": 40,
        "pretrain_updates": 3,
    },
    search={"optimizer.lr": "1e-4..1e-2:log", "batch": "32..256:log"},
    lr_find=RangeTest("loss/total", "optimizer", {"pretrain_updates": 1_000_000}),
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 500},
)
@dataclass(frozen=True)
class AutoencoderConfig:
    """Autoencoder."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    kind: Kind = "denoising"
    """vanilla: one hidden layer; sparse: its units are quiet for most pictures; denoising: pixels are missing in what it is
    given; stacked: layers learned one after another, then fine-tuned by labels; convolutional: strided convolutions, mirrored."""
    hidden: int | None = None
    """Units of the hidden layer, the code; stacked: of each. 64 (vanilla), 196 (sparse), 512 (denoising), 800 (stacked), 32
    (convolutional) if not set."""
    layers: int = 2
    """Hidden layers of stacked."""
    width: int = 16
    """Filters of the first convolution of convolutional; the second has twice as many."""
    activation: Literal["sigmoid", "relu", "softplus"] | None = None
    """Of the hidden units; relu for vanilla and convolutional, else sigmoid, if not set. It decides how sparse is kept sparse."""
    loss: Literal["squared", "cross-entropy"] | None = None
    """Half the squared error, or the cross entropy of pixels taken as probabilities, summed over pixels. cross-entropy for
    stacked, else squared, if not set."""
    keep: float | None = None
    """Share of the pixels that the encoder is given, drawn anew in every update; the others are 0. 0.5 for denoising, else 1, if
    not set. With less than 1 every layer of stacked learns to denoise what the layer below tells it."""
    l2: float | None = None
    """Weight of half the squared weights; 0.01 for sparse, else 0, if not set."""
    rho: float = 0.15
    """Mean activation that a unit of sparse should have (sigmoid)."""
    beta: float = 5.0
    """Weight of the divergence of the units' mean activations from it (sigmoid)."""
    l1: float = 0.05
    """Weight of the mean activations of sparse, summed over units (relu, softplus)."""
    pretrain: bool = True
    """Whether the layers of stacked learn to reconstruct before labels are learned; without, it is the same net from scratch."""
    pretrain_updates: int = 2_000
    """Updates of each layer of stacked before the next begins; after the last, labels are learned."""
    labels: int = 500
    """Pictures, the same for every seed, whose labels stacked is told; it learns to reconstruct all."""
    held_out: int = 1_000
    """Pictures, chosen at random but the same for every seed, that are kept from training and measured."""
    batch: int = 100
    """Pictures per update."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser; each layer of stacked and the fine-tuning begin with a fresh one."""

    def __post_init__(self) -> None:
        for name in ("hidden", "layers", "width", "pretrain_updates", "labels", "held_out", "batch"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} is {value}; it must be at least 1")
        require(not self.data.points, f"data.source is {self.data.source!r}; autoencoder learns pictures, e.g. mnist5k")
        require(0 < self.rho < 1, f"rho is {self.rho:g}; it is a mean of activations and must lie between 0 and 1")
        for name in ("beta", "l1", "l2"):
            weight = getattr(self, name)
            require(weight is None or weight >= 0, f"{name} is {weight}; a weight is 0 or more")
        keep, kind = self.own("keep"), self.kind
        require(0 < keep <= 1, f"keep is {keep:g}; it must be above 0 and at most 1")
        require(
            kind != "denoising" or keep < 1, f"keep is {keep:g}; denoising needs less than 1, else choose kind vanilla"
        )
        require(
            kind != "stacked" or self.own("activation") == "sigmoid",
            f"activation is {self.activation!r}; a layer of stacked reconstructs what lies in [0, 1], so it must be sigmoid",
        )

    def own(self, name: str) -> Any:
        """Return a setting, the kind's own where it is not set."""
        value = getattr(self, name)
        return OWN[self.kind][name] if value is None else value

    @property
    def sparsity(self) -> Literal["none", "kl", "l1"]:
        """How the hidden units are kept quiet."""
        if self.kind != "sparse":
            return "none"
        return "kl" if self.own("activation") == "sigmoid" else "l1"

    def learning(self, clock: int) -> int:
        """Return which layer learns to reconstruct in the update after `clock`; `layers` when stacked learns labels."""
        if self.kind != "stacked":
            return 0
        return min(clock // self.pretrain_updates, self.layers) if self.pretrain else self.layers
