"""Flags of `vae`. The defaults are the usual small perceptron, 784-400-40-400-784, on binarised mnist5k."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register
from generative.data.settings import DataConfig

__all__ = ["VAEConfig"]


@register(
    "vae",
    kind="generative",
    build="generative.vae.model:VAE",
    group="Models that draw pictures",
    headline="eval/nll",
    goal="min",
    clock="updates",
    summary="Variational autoencoder, Gaussian encoder, Bernoulli or Gaussian pixels, perceptron or convolutional",
    description="An encoder gives a Gaussian over latents, a decoder the likelihood of the pixels; both climb the evidence lower "
    "bound through reparameterised samples. Evaluation adds an importance-weighted estimate of the likelihood.",
    paper="https://arxiv.org/abs/1312.6114",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "held_out": 20,
        "batch": 8,
        "hidden": 8,
        "latent": 2,
        "turn": 2,
        "nll_samples": 5,
        "manifold": 3,
    },
    distributed=True,
    lr_find=RangeTest("loss/total", "optimizer", {"turn": 1}),
    renamed={"lr": "optimizer.lr"},
    search={"optimizer.lr": "1e-4..1e-2:log", "latent": "2..100:log", "beta": "0.25..4.0:log"},
    run={"until": 20_000, "log_every": 100, "eval_every": 2_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class VAEConfig:
    """Variational autoencoder."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    held_out: int = 500
    """Examples, chosen at random but the same for every seed, that are kept from training and measured."""
    network: Literal["mlp", "conv"] = "mlp"
    """mlp: one hidden layer on each side; conv: two strided convolutions, mirrored."""
    hidden: int = 400
    """Units of the hidden layers; conv: of the dense layer, with hidden/8 and hidden/4 filters."""
    latent: int = 40
    """Dimensions of z."""
    likelihood: Literal["bernoulli", "gaussian"] = "bernoulli"
    """p(x | z) of a pixel: Bernoulli with logits, or normal around the output with standard deviation sigma."""
    sigma: float = 0.1
    """Standard deviation of the Gaussian likelihood, of pixels in [0, 1]."""
    binarise: Literal["no", "half", "sampled"] = "half"
    """Pixels become 0 or 1: above one half, or drawn anew in every update with the pixel as probability (Bernoulli only)."""
    beta: float = 1.0
    """Weight of the divergence; 1 is the evidence lower bound."""
    importance_samples: int = 1
    """Draws of z for an example: 1 trains the evidence lower bound, K > 1 the importance-weighted bound (IWAE)."""
    conditional: bool = False
    """Tell encoder and decoder the label of each example, for samples of a label that is asked for."""
    batch: int = 128
    """Examples per update."""
    optimizer: OptimizerConfig = OptimizerConfig()
    """Optimiser of encoder and decoder."""
    turn: int = 10
    """Updates in one call of TensorFlow; an update of the perceptron takes about two milliseconds."""
    jit: bool = False
    """Compile with XLA."""
    nll_samples: int = 200
    """Draws from q(z | x) in the importance-weighted estimate of -log p(x)."""
    manifold: int = 20
    """Pictures a side of the latent manifold that is drawn when z has two dimensions."""

    def __post_init__(self) -> None:
        for name in ("held_out", "hidden", "latent", "batch", "turn", "nll_samples", "manifold", "importance_samples"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.network == "mlp" or self.hidden >= 8, f"hidden is {self.hidden}; conv needs at least 8")
        require(self.sigma > 0, f"sigma is {self.sigma}; a standard deviation is above 0")
        require(self.beta >= 0, f"beta is {self.beta}; a weight is 0 or more")
        require(
            self.importance_samples == 1 or self.beta == 1,
            f"beta is {self.beta} and importance_samples {self.importance_samples}; the importance-weighted bound has no "
            "divergence to weigh, leave one of the two out",
        )
        require(not self.data.points, f"data.source is {self.data.source!r}; vae learns pictures, e.g. mnist5k")
        require(
            self.likelihood == "bernoulli" or self.binarise == "no",
            f"binarise is {self.binarise!r}; with likelihood gaussian it must be 'no'",
        )
