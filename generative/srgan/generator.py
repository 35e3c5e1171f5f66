"""The generator of a configuration or of a run on disk, and a blend of two."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras

from core import checkpoint
from core.errors import UsageError, nearest
from core.layers.srgan import rrdb, srresnet
from core.unreadable import UNREADABLE
from generative.srgan.config import SRGANConfig

__all__ = ["blend", "load_generator", "make_generator", "read_config"]


def make_generator(config: SRGANConfig, seed: int = 0, *, batch_norm: bool | None = None) -> keras.Model:
    """Return the generator that a configuration describes: [B, H, W, 3] -> [B, scale H, scale W, 3], pictures in [-1, 1].

    With degradations its input has a fourth channel, the strength.
    """
    told = int(config.degradation != "bicubic")
    if config.generator == "rrdb":
        growth = max(config.width // 2, 1)
        return rrdb(
            config.blocks,
            config.width,
            seed,
            scale=config.scale,
            growth=growth,
            over_bicubic=config.over_bicubic,
            told=told,
        )
    return srresnet(
        config.blocks,
        config.width,
        seed,
        scale=config.scale,
        ends=config.ends,
        batch_norm=config.batch_norm if batch_norm is None else batch_norm,
        over_bicubic=config.over_bicubic,
        told=told,
    )


def load_generator(path: Path, weights: str = "newest") -> tuple[keras.Model, SRGANConfig, str]:
    """Return (generator, its configuration, the checkpoint's name) of a run's folder or of one of its checkpoints.

    `weights` chooses in a run's folder: newest, or best by Y-PSNR on strips of the photographs, which stage one usually has.
    Raises UsageError where there is no run of `srgan` or no checkpoint.
    """
    if weights not in ("newest", "best"):
        raise UsageError(f"--weights is {weights!r}; {nearest(weights, ['newest', 'best'])}")
    config = read_config(path)
    chosen: Path | None = path
    if not _is_checkpoint(path):
        chosen = checkpoint.chosen(path, weights)
    if chosen is None:
        raise UsageError(f"{path} has no checkpoint yet")
    G = make_generator(config)
    checkpoint.load(chosen, {"plugin": {"G": G}}, weights_only=True)
    return G, config, chosen.name


def _is_checkpoint(path: Path) -> bool:
    return (path / "tree.json").is_file()


def read_config(path: Path) -> SRGANConfig:
    """Return the configuration of a run's folder or of one of its checkpoints."""
    import yaml

    run = path.parent.parent if _is_checkpoint(path) else path
    file = run / "config.yaml"
    try:
        values: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (*UNREADABLE, yaml.YAMLError) as error:
        raise UsageError(f"{str(run)!r} is no run folder: its config.yaml cannot be read") from error
    experiment = values.get("experiment") if isinstance(values, dict) else None
    if experiment != "srgan":
        raise UsageError(f"{str(run)!r} holds a run of {experiment!r}; upscale needs one of 'srgan'")
    if not isinstance(values.get("model"), dict):
        raise UsageError(f"{str(run)!r} is no run folder: its config.yaml has no settings 'model'")
    # an optimiser's settings are a mapping, and no generator depends on them
    known = {f.name for f in dataclasses.fields(SRGANConfig) if not dataclasses.is_dataclass(f.default)}
    try:
        return SRGANConfig(**{name: value for name, value in values["model"].items() if name in known})
    except TypeError as error:  # a word where a number is compared
        raise UsageError(f"{str(run)!r} has a config.yaml whose settings are of wrong types: {error}") from error


def blend(G: keras.Model, other: keras.Model, alpha: float) -> None:
    """Set G <- (1 - alpha) G + alpha other, weight by weight: ESRGAN's network interpolation (section 3.4).

    Raises UsageError for alpha outside [0, 1] and for generators of different shapes.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"--alpha is {alpha:g}; it must lie in [0, 1]")
    if [tuple(v.shape) for v in G.variables] != [tuple(v.shape) for v in other.variables]:
        raise UsageError("the two generators have different shapes; only runs with the same network can be blended")
    for mine, its in zip(G.variables, other.variables, strict=True):
        mine.assign((1 - alpha) * mine + alpha * its)
