"""Flags of `char-rnn`. The defaults write like Python's documentation after ten minutes on two cores."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import RangeTest, register
from generative.data.settings import TextConfig

__all__ = ["CharRNNConfig"]


@register(
    "char-rnn",
    kind="generative",
    build="generative.char_rnn.model:CharRNN",
    group="Models that write",
    headline="eval/bits_per_character",
    goal="min",
    clock="updates",
    summary="Recurrent network that writes: LSTM, GRU or plain, over characters or words",
    description="A recurrent network predicts each character, or word, of a text from those before it, by backpropagation "
    "through a window of it while its state goes on from window to window. It writes by drawing from its predictions.",
    paper="https://arxiv.org/abs/1308.0850",
    subject="data.source",
    tiny={
        "data.source": "python-topics",
        "data.held_out": 0.02,
        "units": 8,
        "embedding": 4,
        "layers": 1,
        "batch": 4,
        "steps": 5,
        "turn": 2,
        "order": 1,
        "samples": 2,
        "sample_length": 20,
    },
    lr_find=RangeTest("loss/total", "optimizer", {"turn": 1, "decay": 1.0}),
    search={"optimizer.lr": "3e-4..1e-2:log", "units": "64..512:log", "decay": "0.3..1.0"},
    run={"until": 6_000, "log_every": 100, "eval_every": 2_000, "save_every": 500},
)
@dataclass(frozen=True)
class CharRNNConfig:
    """A recurrent network that writes."""

    data: TextConfig = field(default_factory=TextConfig)
    """What to learn from."""
    unit: Literal["char", "word"] = "char"
    """What is predicted: characters, or words, where rare words are spelled out in characters."""
    words: int = 5_000
    """Words that are predicted as a whole, the most frequent ones (unit word)."""
    rare: int = 10
    """Characters that the text has less often are read as one, which is never written."""
    cell: Literal["lstm", "gru", "rnn"] = "lstm"
    """The recurrent cell; rnn: h = tanh(W x + U h + b)."""
    layers: int = 1
    """Recurrent layers, one on top of the other."""
    units: int = 256
    """Units of each."""
    embedding: int = 64
    """Numbers that stand for a symbol at the input; 0 for one-hot ones."""
    steps: int = 64
    """Symbols through which an update goes back."""
    batch: int = 32
    """Places of the text that are read side by side."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=3e-3, max_grad_norm=5.0)
    """Optimiser of all weights."""
    decay: float = 0.6
    """What the step size is multiplied with after every epoch from `decay_after` on."""
    decay_after: int = 3
    """Epochs before it falls."""
    turn: int = 5
    """Updates in one call of TensorFlow."""
    order: int = 5
    """Characters before each that the n-gram model looks at, which evaluations compare with."""
    samples: int = 64
    """Texts that an evaluation writes to look for brackets."""
    sample_length: int = 1_500
    """Characters of each."""
    temperature: float = 0.8
    """What logits are divided by when it writes; 1 is the distribution that was learned, 0 takes the likeliest."""
    top_k: int = 0
    """Symbols, the likeliest, among which it draws; 0 for all."""

    def __post_init__(self) -> None:
        for name in (
            *("words", "rare", "layers", "units", "steps", "batch", "turn", "samples", "sample_length"),
            "decay_after",
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("embedding", "temperature", "top_k"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; it must be 0 or more")
        require(0 <= self.order <= 20, f"order is {self.order}; it must lie between 0 and 20")
        require(0 < self.decay <= 1, f"decay is {self.decay:g}; it must be above 0 and at most 1")
        require(
            self.decay == 1 or self.optimizer.lr_schedule == "constant",
            f"decay is {self.decay:g} and optimizer.lr_schedule {self.optimizer.lr_schedule!r}; choose one, decay 1 is none",
        )
