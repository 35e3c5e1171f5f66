"""Flags of `srgan`. The defaults have the paper's sizes and losses but for what README.md lists as deviations.

ESRGAN's steps are options; `srgan-cpu`, `srgan-phone` and `srgan-esrgan` are presets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import nearest, require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register

__all__ = ["LAYERS", "STRENGTH", "WINDOW", "SRGANConfig"]

STRENGTH = 0.5
"""Strength of degradations that is measured with, and that `upscale` expects unless told another one."""

WINDOW = 256
"""Pixels a side that the network sees at once when it enlarges a picture: about 1 GB with 64 channels."""

LAYERS = tuple(f"conv{b}_{i}" for b, n in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, n + 1)) + tuple(
    f"pool{b}" for b in range(1, 6)
)
"""Layers of VGG19 that the perceptual loss can compare."""


@register(
    "srgan",
    kind="generative",
    build="generative.srgan.model:SRGAN",
    group="Models that enlarge pictures",
    headline="eval/validation_psnr_y",
    goal="max",
    clock="updates",
    summary="Pictures 2, 3, 4 or 8 times larger: SRResNet and SRGAN, with ESRGAN's steps as options",
    description="Stage one fits the generator to pixels alone; stage two adds the distance of VGG19 features and a "
    "discriminator. `upscale` enlarges any photo with what a run has learned.",
    paper="https://arxiv.org/abs/1609.04802",
    subject="source",
    places=("source", "test", "features", "niqe"),
    distributed=True,
    lr_find=RangeTest("loss/pixel", "pixel_optimizer", {"stage_one": 1_000_000, "stage_two": 0}),
    renamed={
        "lr_one": "pixel_optimizer.lr",
        "schedule_one": "pixel_optimizer.lr_schedule",
        "lr": "optimizer.lr",
        "decay": "optimizer.lr_end",
        "beta1": "optimizer.beta1",
    },
    tiny={
        "blocks": 1,
        "width": 4,
        "ends": 3,
        "d_width": 1,
        "crop": 16,
        "batch": 2,
        "stage_one": 4,
        "stage_two": 8,
        "eval_side": 48,
    },
    search={"pixel_optimizer.lr": "1e-4..2e-3:log", "optimizer.lr": "1e-5..5e-4:log"},
    run={"until": 200_000, "log_every": 100, "eval_every": 5_000, "save_every": 1_000},
    verbs={"upscale": "generative.srgan.upscale_verb"},
)
@dataclass(frozen=True)
class SRGANConfig:
    """SRGAN."""

    source: str = "photos"
    """photos (bundled; coffee, chelsea and flower are held out) or folder:PATH, DIV2K's layout included."""
    test: str = ""
    """Folder of pictures to measure on, e.g. Set5 or Set14; empty for those that the source holds out."""
    held_out: int = 5
    """Pictures that a folder holds out, and the most of a validation set that are measured on."""
    validation: int = 8
    """Photographs to train on whose right eighth is kept to choose the best checkpoint by; 0: those measured on choose it."""
    scale: Literal[2, 3, 4, 8] = 4
    """How many times larger pictures become."""
    degradation: Literal["bicubic", "first", "second"] = "bicubic"
    """How pictures become small: bicubic alone, or blur, resizing, noise and JPEG, once or twice (Real-ESRGAN)."""
    crop: int = 384
    """Side of the large crops in pixels, a multiple of the scale."""
    augment: bool = True
    """Mirror crops and turn them by quarter turns, at random."""
    recolour: bool = False
    """Exchange the colour channels of crops at random: a few photographs do not show all colours."""
    batch: int = 16
    """Crops per update."""
    generator: Literal["srresnet", "rrdb"] = "srresnet"
    """Residual blocks, or ESRGAN's residual-in-residual dense blocks without batch norm."""
    blocks: int = 16
    """Residual blocks; ESRGAN has 23 (RRDB)."""
    width: int = 64
    """Channels of the generator."""
    ends: int = 9
    """Side of SRResNet's first and last kernel."""
    batch_norm: bool = True
    """Batch norm in SRResNet."""
    over_bicubic: bool = False
    """Let G make what bicubic interpolation lacks, without tanh, in place of whole pictures."""
    d_width: int = 64
    """Filters of D's first layer; the others have up to 32 times as many."""
    roll: bool = False
    """Move what D sees round by random offsets, real and made crops alike: its strides leave no pattern in G then."""
    stage_one: int = 100_000
    """Updates with the pixel loss alone."""
    stage_two: int = 100_000
    """Updates with all three losses."""
    pixel_optimizer: OptimizerConfig = OptimizerConfig(lr=1e-4)
    """Optimiser of stage one; its clock counts that stage's updates."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-4, lr_schedule="step", lr_steps=50_000, lr_end=0.1)
    """Optimiser of both networks in stage two; its clock counts that stage's updates. The default falls halfway."""
    distance: Literal["mse", "l1"] = "mse"
    """How pixels and features are compared in stage two: squares (SRGAN) or absolute values (ESRGAN)."""
    pixel_weight: float = 1.0
    """Weight of the pixel loss in stage two; ESRGAN: 1e-2."""
    adversarial_weight: float = 1e-3
    """Weight of the adversarial loss; ESRGAN: 5e-3."""
    adversarial: Literal["standard", "relativistic"] = "standard"
    """Non-saturating loss, or the relativistic average one."""
    features: str = ""
    """Weights of VGG19: a Keras weights file (.h5) or vgg19.npy; empty for no perceptual loss."""
    feature_weight: float = 2e-6
    """Weight of the perceptual loss, for squares and features after activation of pictures in 0 ... 255; ESRGAN: 1."""
    feature_layer: str = "pool4"
    """Layer whose features are compared: pool1 ... pool5, conv1_1 ... conv5_4."""
    feature_activated: bool = True
    """Compare a convolution's features after its ReLU; ESRGAN: before."""
    feature_size: int = 224
    """Side to which pictures are resized (bilinear) for the features; 0 for as they are."""
    niqe: str = ""
    """Model that NIQE compares with: an .npz file with mu_pris_param and cov_pris_param; empty for one of the bundled photos."""
    eval_side: int = 0
    """Measure on the middle of the pictures, at most so many pixels a side; 0 for whole pictures."""

    def __post_init__(self) -> None:
        head, colon, rest = self.source.partition(":")
        known = self.source == "photos" or (head == "folder" and bool(rest))
        hint = nearest(self.source if not colon else head + ":PATH", ["photos", "folder:PATH"])
        require(known, f"source is {self.source!r}; {hint}")
        for name in ("batch", "blocks", "width", "d_width", "held_out"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(
            self.crop >= 16 and self.crop % self.scale == 0,
            f"crop is {self.crop}; it must be a multiple of the scale, {self.scale}, at least 16",
        )
        require(self.validation >= 0, f"validation is {self.validation}; it must be 0 or more")
        require(self.ends >= 1 and self.ends % 2 == 1, f"ends is {self.ends}; a kernel's side must be odd")
        require(
            self.batch > 1 or self.crop > 64 or not self.stage_two,
            f"batch is 1 with a crop of {self.crop}, whose last maps in D have one pixel: batch norm would make them all alike; "
            "choose 2 or more",
        )
        for name in ("stage_one", "stage_two", "pixel_weight", "adversarial_weight", "feature_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        require(
            self.feature_layer in LAYERS,
            f"feature_layer is {self.feature_layer!r}; {nearest(self.feature_layer, LAYERS)}",
        )
        require(
            self.feature_size == 0 or self.feature_size >= 32,
            f"feature_size is {self.feature_size}; it must be 0 (the crop's own) or at least 32",
        )
        require(
            self.eval_side == 0 or self.eval_side >= 24, f"eval_side is {self.eval_side}; it must be 0 or at least 24"
        )
