"""Flags of `vq-vae`. The defaults learn 7x7 codes of mnist5k, then a prior over them, in a few minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register
from generative.data.settings import DataConfig

__all__ = ["VQVAEConfig"]


@register(
    "vq-vae",
    kind="generative",
    build="generative.vq_vae.model:VQVAE",
    headline="eval/distance",
    goal="min",
    clock="updates",
    group="Models that draw pictures",
    summary="Vector-quantised VAE: pictures as grids of codes, and an autoregressive prior over the codes",
    description="An encoder's outputs become the nearest vectors of a codebook, from which a decoder makes the picture; then a "
    "recurrent network learns which grids of codes there are, so that new ones can be drawn.",
    paper="https://arxiv.org/abs/1711.00937",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "held_out": 20,
        "batch": 8,
        "width": 2,
        "codes": 5,
        "code_size": 3,
        "code_updates": 5,
        "prior_hidden": 6,
        "eval_samples": 8,
    },
    search={"optimizer.lr": "1e-4..1e-2:log", "codes": "32..512:log", "prior_optimizer.lr": "3e-4..1e-2:log"},
    lr_find=RangeTest("loss/total", "optimizer", {"code_updates": 1_000_000}),
    run={"until": 5_000, "log_every": 50, "eval_every": 1_000, "save_every": 500},
)
@dataclass(frozen=True)
class VQVAEConfig:
    """Vector-quantised variational autoencoder."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    held_out: int = 500
    """Pictures, chosen at random but the same for every seed, that are kept from training and measured."""
    codes: int = 128
    """Vectors in the codebook."""
    code_size: int = 16
    """Numbers in a vector of the codebook."""
    levels: int = 2
    """Strided convolutions on each side: each halves height and width, 28x28 pixels become 7x7 codes with 2."""
    width: int = 16
    """Filters of the level next to the picture; all further layers have twice as many."""
    sigma: float = 0.3
    """Standard deviation of a pixel in [0, 1] around the reconstruction."""
    commitment: float = 0.25
    """Weight of the distance of the encoder's outputs to their codes."""
    decay: float = 0.99
    """Decay of the averages that the codebook's vectors are."""
    code_updates: int = 2_000
    """Updates of encoder, decoder and codebook; then they stay as they are, and the prior learns."""
    prior_hidden: int = 128
    """Units of the recurrent network that is the prior over codes."""
    prior_dropout: float = 0.2
    """Share of the prior's inputs and of its outputs that are left out in training."""
    batch: int = 64
    """Pictures per update."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser of encoder and decoder."""
    prior_optimizer: OptimizerConfig = OptimizerConfig(max_grad_norm=5.0)
    """Optimiser of the prior; its clock begins with the prior."""
    eval_samples: int = 5_000
    """Samples per evaluation."""
    extractor: str = "digits"
    """Features that distances compare: digits, a small classifier of 28x28 digits; the path of a .keras model; or inception:PATH
    with the weights of Keras's InceptionV3."""

    def __post_init__(self) -> None:
        for name in ("held_out", "code_size", "levels", "width", "code_updates", "prior_hidden", "batch"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.codes >= 2, f"codes is {self.codes}; it must be at least 2")
        require(self.eval_samples >= 4, f"eval_samples is {self.eval_samples}; it must be at least 4")
        require(self.sigma > 0, f"sigma is {self.sigma:g}; a standard deviation is above 0")
        require(self.commitment >= 0, f"commitment is {self.commitment:g}; a weight is 0 or more")
        for name in ("decay", "prior_dropout"):
            require(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name):g}; it must lie in [0, 1)")
        require(not self.data.points, f"data.source is {self.data.source!r}; vq-vae learns pictures, e.g. mnist5k")
