"""Larger pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

import tyro
from tyro.conf import Positional

from generative.srgan.config import WINDOW

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Make pictures larger with what a run has learned, as many times as it was trained for."""

    run: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")]
    """A run's folder, zoo:NAME, or one of a run's checkpoints."""
    picture: Annotated[Positional[str], tyro.conf.arg(metavar="PICTURE")]
    """A picture, film or file of several pages, or a folder of such, those in its folders included."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """File to write; for a folder the folder to write to; by default photo-x4.jpg, here, for photo.jpg."""
    weights: Literal["newest", "best"] = "newest"
    """The newest, or the best by Y-PSNR on strips of the photographs, which stage one usually has."""
    toward: str = ""
    """Another run or checkpoint: blend the two networks weight by weight."""
    alpha: float = 0.5
    """Share of the other network, 0 to 1."""
    denoise: float | None = None
    """How much noise and compression to expect, 0 to 1, of a run trained with degradations; 0.5 unless given."""
    window: int = WINDOW
    """Pixels a side at once; 0 for the whole picture."""
    overlap: int | None = None
    """Pixels of context around a part; by default the network's reach, at most 48."""
    max_pixels: int = 200_000_000
    """Most pixels that a result may have, all frames together; 0 for any number."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the convolutions."""
    threads: int = 0
    """CPU cores to use; 0 for all."""
    device: str = "auto"
    """auto, cpu or gpu:0."""


def main(flags: Flags) -> None:
    from core.errors import require
    from core.runtime import configure  # and TensorFlow with it: --help answers without
    from core.zoo import located
    from generative.data.found import user_path
    from generative.srgan.generator import read_config
    from generative.srgan.upscale import Upscaler, check_strength, enlarge

    def upscaler() -> Upscaler:
        configure(device=flags.device, threads=flags.threads, precision=flags.precision, training=False)
        return Upscaler.of_run(
            flags.run,
            weights=flags.weights,
            toward=flags.toward or None,
            alpha=flags.alpha,
            window=flags.window,
            overlap=flags.overlap,
            strength=flags.denoise,
        )

    config = read_config(user_path(str(located(flags.run))))
    check_strength(flags.denoise, config)
    require(flags.max_pixels >= 0, f"--max-pixels is {flags.max_pixels}; it must be 0 (any number) or more")
    picture = user_path(flags.picture)
    out = flags.out or f"{picture.stem}-x{config.scale}{picture.suffix}"
    enlarge(flags.picture, out, config.scale, upscaler, flags.max_pixels)
