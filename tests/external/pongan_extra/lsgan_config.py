from dataclasses import dataclass

from core.errors import require
from core.plugin import register
from generative.adversarial.settings import AdversarialConfig


@register(
    "least-squares-gan",
    kind="generative",
    build="pongan_extra.lsgan:LSGAN",
    headline="eval/distance",
    goal="min",
    clock="updates",
    summary="Least-squares GAN with R1",
    paper="https://arxiv.org/abs/1611.04076",
    subject="data.source",
    tiny={"data.source": "digits", "data.size": 16, "batch": 4, "latent": 3, "width": 2, "eval_samples": 12},
    run={"until": 4_000, "log_every": 50, "eval_every": 1_000, "save_every": 1_000},
)
@dataclass(frozen=True)
class LSGANConfig(AdversarialConfig):
    """Least-squares GAN."""

    r1: float = 0.01
    """Weight of the zero-centred penalty |grad D|^2 / 2 on real examples."""

    def __post_init__(self):
        super().__post_init__()
        require(self.r1 >= 0, f"r1 is {self.r1}; it must be 0 or more")
