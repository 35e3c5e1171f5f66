"""Flags of `stylegan`. The defaults learn digits in minutes on two cores; the preset stylegan-paper has the paper's sizes."""

from __future__ import annotations

from dataclasses import dataclass, field

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from generative.data.settings import DataConfig

__all__ = ["GROUP", "StyleGANConfig"]

GROUP = 4
"""Examples that share one minibatch standard deviation."""


@register(
    "stylegan",
    kind="generative",
    build="generative.stylegan.model:StyleGAN",
    group="Models that draw pictures",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Style-based generator: a mapping network, a style for every layer, noise, style mixing, truncation",
    description="A mapping network turns z into w, from which every layer of the synthesis network takes scale and shift of its "
    "feature maps; it begins with a learned constant and is given noise at every layer. Pictures can be mixed layer by layer.",
    paper="https://arxiv.org/abs/1812.04948",
    subject="data.source",
    tiny={
        "data.source": "digits",
        "data.size": 16,
        "batch": 4,
        "latent": 3,
        "width": 2,
        "mapping_layers": 2,
        "r1_every": 2,
        "eval_samples": 12,
        "path_samples": 6,
        "ema": 0.9,
    },
    search={"optimizer.lr": "1e-3..1e-2:log", "r1": "0.1..10.0:log"},
    run={"until": 5_000, "log_every": 50, "eval_every": 1_000, "save_every": 500},
)
@dataclass(frozen=True)
class StyleGANConfig:
    """StyleGAN."""

    data: DataConfig = field(default_factory=DataConfig)
    """What to learn from."""
    batch: int = 32
    """Examples per update, a multiple of 4."""
    latent: int = 64
    """Numbers in z, drawn from N(0, 1), and in w."""
    mapping_layers: int = 8
    """Dense layers between z and w, with as many units."""
    mapping_lr: float = 0.01
    """Step size of those layers as a multiple of the others'."""
    width: int = 12
    """Filters of the level next to the picture, in both networks; each further level has twice as many."""
    widest: int = 512
    """Most filters of a level."""
    mixing: float = 0.9
    """Share of the generated pictures whose styles come from two w, the second from a layer on that is drawn."""
    noise: bool = True
    """Give every layer noise of its own, weighed by channel."""
    r1: float = 1.0
    """Weight gamma of the penalty gamma / 2 |grad D|^2 on real examples; the paper's is 10, for 1024x1024."""
    r1_every: int = 8
    """Updates between two with that penalty, which then counts as many times (lazy); the paper's is 1."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=5e-3, beta1=0.0, beta2=0.99, epsilon=1e-8)
    """Optimiser of both networks, whose weights are of unit variance and scaled where they are used (equalised)."""
    d_lr_ratio: float = 1.0
    """The discriminator's step size as a multiple of the generator's."""
    ema: float = 0.995
    """Decay of the averaged generator that is then used for samples; 0 for none."""
    w_decay: float = 0.995
    """Decay of the running mean of w, towards which truncation pulls."""
    truncation: float = 1.0
    """psi of samples: w becomes mean + psi (w - mean) in layers of at most 32 pixels a side; 1 leaves it as it is."""
    turn: int = 1
    """Updates in one call of TensorFlow."""
    jit: bool = False
    """Compile with XLA."""
    eval_samples: int = 5_000
    """Samples per evaluation."""
    path_samples: int = 2_000
    """Steps whose length is measured in each of z and w; the paper's 100,000 take an hour here."""
    extractor: str = "digits"
    """Features that distances and path lengths compare: digits, a small classifier of 28x28 digits; the path of a .keras model,
    e.g. one that `features` has learned and `export` has written; or inception:PATH with the weights of Keras's InceptionV3."""

    def __post_init__(self) -> None:
        for name in ("latent", "mapping_layers", "width", "widest", "r1_every", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("eval_samples", "path_samples"):
            require(getattr(self, name) >= 4, f"{name} is {getattr(self, name)}; it must be at least 4")
        require(
            self.batch >= GROUP and self.batch % GROUP == 0,
            f"batch is {self.batch}; {GROUP} examples share a standard deviation, so it must be a multiple of {GROUP}",
        )
        for name in ("mapping_lr", "d_lr_ratio"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name):g}; it must be above 0")
        require(self.r1 >= 0, f"r1 is {self.r1:g}; it must be 0 or more")
        require(0 <= self.mixing <= 1, f"mixing is {self.mixing:g}; it must lie in [0, 1]")
        for name in ("ema", "w_decay"):
            require(0 <= getattr(self, name) < 1, f"{name} is {getattr(self, name)}; it must lie in [0, 1)")
        require(not self.data.points, f"data.source is {self.data.source!r}; stylegan learns pictures, e.g. mnist5k")
