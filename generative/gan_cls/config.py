"""Flags of `gan-cls`. The defaults suit captioned-shapes and two cores; the preset gan-cls-flowers has the original's sizes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register
from generative.data.settings import CaptionConfig

__all__ = ["GANCLSConfig"]


@register(
    "gan-cls",
    kind="generative",
    build="generative.gan_cls.model:GANCLS",
    group="Models that draw what is asked for",
    headline="eval/agreement",
    goal="max",
    clock="updates",
    summary="GAN-CLS: 64x64 pictures from captions that you type",
    description="A text encoder learns to put captions near their pictures; a generator draws from noise and an encoded caption, "
    "and a discriminator judges whether a picture is real and matches: it also sees real pictures with wrong captions.",
    paper="https://arxiv.org/abs/1605.05396",
    subject="data.source",
    distributed=True,
    lr_find=RangeTest("loss/encoder", "encoder_optimizer", {"encoder": "before", "encoder_epochs": 1e6}),
    renamed={
        "lr": "optimizer.lr",
        "beta1": "optimizer.beta1",
        "halve_every": "optimizer.lr_steps",
        "encoder_lr": "encoder_optimizer.lr",
        "clip": "encoder_optimizer.max_grad_norm",
    },
    tiny={
        "data.pictures": 40,
        "data.captions": 2,
        "batch": 8,
        "latent": 3,
        "g_width": 2,
        "d_width": 2,
        "word_units": 4,
        "text_units": 6,
        "reduced": 4,
        "encoder_epochs": 1.0,
        "ema": 0.9,
        "eval_pictures": 8,
    },
    search={"optimizer.lr": "5e-5..1e-3:log", "encoder_optimizer.lr": "1e-4..3e-3:log"},
    run={"until": 24_000, "log_every": 50, "eval_every": 2_000, "save_every": 500},
)
@dataclass(frozen=True)
class GANCLSConfig:
    """GAN-CLS."""

    data: CaptionConfig = field(default_factory=CaptionConfig)
    """What to learn from."""
    text: Literal["sentence", "words"] = "sentence"
    """What G and D see of a caption: one vector (the original), or each word too, which their places ask (AttnGAN)."""
    batch: int = 32
    """Pictures per update, each with a right and a wrong caption."""
    latent: int = 100
    """Numbers in z, drawn from N(0, 1)."""
    g_width: int = 24
    """Filters before G's last layer; its first maps have 8 times as many (the original: 128)."""
    d_width: int = 24
    """Filters of D's and of the picture encoder's first layer; the others have 2, 4 and 8 times as many (the original: 64)."""
    word_units: int = 128
    """Numbers per word in the text encoder."""
    text_units: int = 128
    """Units of the LSTM: the size of the joint embedding of captions and pictures."""
    reduced: int = 128
    """Numbers to which G and D each reduce the encoded caption."""
    encoder: Literal["alongside", "before"] = "before"
    """When the encoders train: alongside the GAN for the first encoder_epochs (the original), or before it; frozen after."""
    encoder_epochs: float = 24.0
    """Passes over the pictures for which the encoders train."""
    encoder_optimizer: OptimizerConfig = OptimizerConfig(max_grad_norm=10.0)
    """Optimiser of the encoders."""
    margin: float = 0.2
    """By how much the cosine of a matching pair must exceed that of a wrong one."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=4e-4, beta1=0.0, lr_schedule="step", lr_steps=25_000, lr_end=0.5)
    """Optimiser of G and D: its step size is halved every 100 passes over the default's pictures (the original: 2e-4 and beta1
    0.5)."""
    batch_norm: bool = False
    """Batch norm in D (the original); not with r1 or r2, which need a D of single examples."""
    r1: float = 0.01
    """Weight of the zero-centred penalty |grad D|^2 / 2 on real pictures with their captions (the original: 0)."""
    r2: float = 0.01
    """Weight of the zero-centred penalty |grad D|^2 / 2 on generated pictures with their captions (the original: 0)."""
    penalty_every: int = 4
    """R1 and R2 stand in every so many updates once, with as many times their weight (lazy regularisation, StyleGAN2)."""
    damsm: float = 0.0
    """Weight of the encoders' own loss in G's, for text words: how well the picture shows each word of its caption (AttnGAN)."""
    gan_int: float = 0.0
    """Weight of G's loss on captions halfway between two of the batch (GAN-INT); 1 is common, 0 for none."""
    ema: float = 0.999
    """Decay of the averaged generator that is then used for samples; 0 for none."""
    eval_pictures: int = 576
    """Generated pictures, at most, per kind of caption in an evaluation."""

    def __post_init__(self) -> None:
        for name in (
            *("batch", "latent", "g_width", "d_width", "word_units", "text_units"),
            *("reduced", "penalty_every", "eval_pictures"),
        ):
            least = 2 if name == "batch" else 1
            require(getattr(self, name) >= least, f"{name} is {getattr(self, name)}; it must be at least {least}")
        for name in ("damsm", "gan_int", "encoder_epochs", "r1", "r2"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; it must be 0 or more")
        require(
            0 < self.margin < 2, f"margin is {self.margin:g}; cosines differ by less than 2, so it must lie in (0, 2)"
        )
        require(
            not (self.batch_norm and (self.r1 or self.r2)),
            "batch_norm mixes the examples of a batch, so a gradient penalty (r1, r2) has no meaning; choose one of them",
        )
        require(
            self.text == "words" or not self.damsm,
            f"damsm is {self.damsm:g}, but text is 'sentence'; it compares words with places, which takes text words",
        )
        require(
            self.text == "sentence" or not self.gan_int,
            f"gan_int is {self.gan_int:g}, but text is 'words'; there is no word halfway between two, set one of them back",
        )
        require(
            self.text == "sentence" or self.text_units % 2 == 0,
            f"text_units is {self.text_units}; with text words two LSTMs share them, so it must be even",
        )
        require(0 <= self.ema < 1, f"ema is {self.ema}; it must lie in [0, 1)")
