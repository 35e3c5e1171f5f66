from dataclasses import dataclass

from core.plugin import register


@register(
    "pixel-gaussian",
    kind="generative",
    build="pongan_extra.gaussian:PixelGaussian",
    headline="eval/mean_error",
    goal="min",
    clock="updates",
    summary="A Gaussian for every pixel of a digit",
    subject="data",
    tiny={"batch": 4},
    run={"until": 60, "log_every": 10, "eval_every": 30, "save_every": 30},
)
@dataclass(frozen=True)
class GaussianConfig:
    """Independent Gaussians."""

    data: str = "digits"
    """Data set."""
    batch: int = 32
    """Images per update."""
