"""The flags that all adversarial models have. No TensorFlow here: `list` and `--help` answer at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from generative.data.settings import DataConfig

__all__ = ["RENAMED", "AdversarialConfig", "Network"]

Network = Literal["dcgan", "sn", "resnet"]
RENAMED = {
    "lr": "optimizer.lr",
    "beta1": "optimizer.beta1",
    "anneal": "optimizer.lr_steps",
    "lr_end": "optimizer.lr_end",
}
"""Flags that dcgan, wgan and ragan had before their optimisers were settings of their own."""


@dataclass(frozen=True)
class AdversarialConfig:
    """Data, networks, optimiser and measures of a GAN; a model's configuration inherits them and adds its own."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    batch: int = 64
    """Examples per update; where an update has several steps, of each."""
    latent: int = 100
    """Numbers in z, drawn from N(0, 1)."""
    network: Network = "dcgan"
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
    optimizer: OptimizerConfig = OptimizerConfig(lr=2e-3, beta1=0.5)
    """Optimiser of both networks; its clock counts the generator's updates. The papers' 2e-4 suits their wide networks."""
    d_lr_ratio: float = 1.0
    """The discriminator's step size as a multiple of the generator's (two time scales: Heusel et al., 2017)."""
    ema: float = 0.999
    """Decay of the averaged generator that is then used for samples; 0 for none."""
    turn: int = 1
    """Generator updates in one call of TensorFlow: more where an update takes about a millisecond, as on ring and grid."""
    jit: bool = False
    """Compile with XLA: faster for perceptrons, several times slower for transposed convolutions on a CPU."""
    eval_samples: int = 5_000
    """Samples per evaluation (2,500 in PacGAN's protocol for ring and grid)."""
    extractor: str = "digits"
    """Features that distances compare: digits, a small classifier of 28x28 digits; the path of a .keras model, e.g. one that
    `features` has learned and `export` has written; or inception:PATH with the weights of Keras's InceptionV3."""

    def __post_init__(self) -> None:
        for name in ("batch", "latent", "width", "hidden", "layers", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.kernel >= 2, f"kernel is {self.kernel}; it must be at least 2, the stride")
        require(self.d_lr_ratio > 0, f"d_lr_ratio is {self.d_lr_ratio}; it must be above 0")
        require(0 <= self.ema < 1, f"ema is {self.ema}; it must lie in [0, 1)")
        require(self.eval_samples >= 4, f"eval_samples is {self.eval_samples}; it must be at least 4")
