"""Flags of `cppn`. The defaults fit a photograph of 256x256 with sine activations in minutes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register

__all__ = ["CPPNConfig"]


@register(
    "cppn",
    kind="generative",
    build="generative.cppn.model:CPPN",
    group="Models that draw pictures",
    headline="eval/psnr",
    goal="max",
    clock="updates",
    summary="Pattern-producing network, place to colour: random patterns, a film, a photograph drawn at any size",
    description="A network maps the place of a pixel to its colour, so that what it draws has no size of its own. With random "
    "weights it draws patterns, also as a film; fitted to a photograph, with sines or Fourier features, it draws that.",
    paper="https://doi.org/10.1007/s10710-007-9028-8",
    subject="picture",
    places=("picture",),
    tiny={
        "size": 12,
        "units": 8,
        "layers": 2,
        "frequencies": 4,
        "batch": 16,
        "turn": 2,
        "side": 8,
        "frames": 2,
        "pattern_layers": 2,
    },
    lr_find=RangeTest("loss/total", "optimizer", {"turn": 1}),
    search={"optimizer.lr": "1e-4..1e-2:log", "units": "32..256:log", "omega": "5..60:log"},
    run={"until": 2_000, "log_every": 50, "eval_every": 500, "save_every": 250},
)
@dataclass(frozen=True)
class CPPNConfig:
    """A network from places to colours."""

    picture: str = "astronaut"
    """What it learns to draw: a photograph that comes along (astronaut, chelsea, coffee, rocket, china, flower), or a file."""
    size: int = 256
    """Pixels of its longer side, reached with antialiasing; 0 for its own."""
    network: Literal["sine", "fourier", "plain"] = "sine"
    """sine: sin(omega (W x + b)) in every layer; fourier: sines of random frequencies, then ReLU; plain: x, y, r, then tanh."""
    units: int = 128
    """Units of each hidden layer."""
    layers: int = 4
    """Hidden layers."""
    omega: float = 30.0
    """omega_0 of sine: how fast the first layer's waves are."""
    frequencies: int = 128
    """Random frequencies of fourier; each is a sine and a cosine."""
    sigma: float = 10.0
    """Standard deviation of the frequencies, in waves over half the picture."""
    batch: int = 8_192
    """Pixels per update."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-3, lr_schedule="cosine", lr_steps=2_000, lr_end=0.01)
    """Optimiser of the fit."""
    turn: int = 5
    """Updates in one call of TensorFlow."""
    side: int = 128
    """Pixels a side of random patterns; a network draws the same at any."""
    pattern_units: int = 16
    """Units of a random network's layers."""
    pattern_layers: int = 8
    """Its layers."""
    latent: int = 8
    """Numbers that a random network gets beside x, y and r; a film walks through them. 0 for none."""
    zoom: float = 1.0
    """How much of the plane patterns show: x and y go from -zoom to zoom."""
    frames: int = 60
    """Frames of the film."""

    def __post_init__(self) -> None:
        require(
            self.size == 0 or self.size >= 8,
            f"size is {self.size}; it must be 0 (the picture's own) or at least 8 pixels",
        )
        for name in ("units", "layers", "frequencies", "batch", "turn", "pattern_units", "pattern_layers", "frames"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.side >= 8, f"side is {self.side}; it must be at least 8 pixels")
        require(self.latent >= 0, f"latent is {self.latent}; it must be 0 or more")
        for name in ("omega", "sigma", "zoom"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name):g}; it must be above 0")
