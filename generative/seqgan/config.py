"""Flags of `seqgan`. The defaults play the oracle task of the paper at a fifth of its size, in minutes on one core."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register

__all__ = ["SeqGANConfig"]


@register(
    "seqgan",
    kind="generative",
    build="generative.seqgan.model:SeqGAN",
    group="Models that write",
    headline="eval/nll_oracle",
    goal="min",
    clock="updates",
    summary="Sequences by policy gradient: a discriminator rewards the generator, through Monte Carlo roll-outs",
    description="A recurrent network writes sequences of symbols like those of an oracle, a random recurrent network. After "
    "maximum likelihood it learns by REINFORCE: a symbol's reward is what a convolutional discriminator says, on average, of the "
    "sequences that follow from it. The oracle itself can say how likely what is written is.",
    paper="https://arxiv.org/abs/1609.05473",
    subject="vocabulary",
    tiny={
        "vocabulary": 12,
        "length": 4,
        "sequences": 16,
        "units": 4,
        "embedding": 3,
        "pretrain": 2,
        "pretrain_d_steps": 1,
        "d_steps": 1,
        "d_epochs": 1,
        "batch": 8,
        "rollouts": 2,
        "turn": 1,
        "widths": (1, 3),
        "filters": (3, 2),
        "d_embedding": 3,
        "eval_samples": 8,
    },
    search={"policy_optimizer.lr": "1e-3..3e-2:log", "discriminator.lr": "1e-4..3e-3:log", "d_steps": "1..5"},
    run={"until": 12_000, "log_every": 100, "eval_every": 500, "save_every": 1_000},
)
@dataclass(frozen=True)
class SeqGANConfig:
    """SeqGAN on the oracle task."""

    vocabulary: int = 1_000
    """Symbols."""
    length: int = 20
    """Symbols in a sequence."""
    sequences: int = 2_000
    """Sequences of the oracle to learn from."""
    oracle_seed: int = 1
    """Seed of the oracle and of its sequences, the same in all runs that compare."""
    oracle_units: int = 32
    """Units of the oracle's LSTM, and numbers that stand for a symbol at its input; all its weights come from N(0, 1)."""
    units: int = 32
    """Units of the generator's LSTM."""
    embedding: int = 32
    """Numbers that stand for a symbol at its input."""
    batch: int = 64
    """Sequences in an update; of the discriminator's, half are the oracle's."""
    optimizer: OptimizerConfig = OptimizerConfig(lr=1e-2, max_grad_norm=5.0)
    """Optimiser of maximum likelihood."""
    pretrain: int = 1_200
    """Updates by maximum likelihood at the beginning."""
    adversarial: bool = True
    """Go on against the discriminator; otherwise by maximum likelihood, to compare with."""
    pretrain_d_steps: int = 10
    """Steps of the discriminator before the first round."""
    g_steps: int = 1
    """Updates of the generator in a round."""
    d_steps: int = 1
    """Steps of the discriminator in a round. For each, the generator writes as many sequences as the oracle gave."""
    d_epochs: int = 3
    """Epochs over both in such a step."""
    rollouts: int = 16
    """Sequences by which a prefix is judged."""
    rollout_rate: float = 0.8
    """Share of the roll-out policy that stays when it follows the generator after an update; 0 copies the generator."""
    baseline: bool = False
    """Subtract from each reward the batch's mean at that place of the sequence."""
    policy_optimizer: OptimizerConfig = OptimizerConfig(lr=1e-2, max_grad_norm=5.0)
    """Optimiser of the policy gradient."""
    d_embedding: int = 32
    """Numbers that stand for a symbol at the discriminator's input."""
    widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 15, 20)
    """Symbols that its filters see."""
    filters: tuple[int, ...] = (25, 50, 50, 50, 50, 25, 25, 25, 25, 25, 40, 40)
    """Filters of each width."""
    keep: float = 0.75
    """Share of its features that dropout keeps."""
    l2: float = 0.2
    """Weight of the squared weights of its last layer, halved."""
    discriminator: OptimizerConfig = OptimizerConfig(lr=1e-3)
    """Optimiser of the discriminator."""
    turn: int = 10
    """Most updates of one kind, but policy gradients, in one call of TensorFlow."""
    temperature: float = 1.0
    """What logits are divided by where evaluations and `export` write; training writes at 1."""
    eval_samples: int = 2_000
    """Sequences that an evaluation writes, and those of the oracle, never seen, that it reads."""

    def __post_init__(self) -> None:
        for name in (
            *("length", "sequences", "oracle_units", "units", "embedding", "d_steps", "d_epochs", "g_steps"),
            *("rollouts", "d_embedding", "turn", "eval_samples"),
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.vocabulary >= 2, f"vocabulary is {self.vocabulary}; it must be at least 2")
        for name in ("pretrain", "pretrain_d_steps", "l2"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name):g}; it must be 0 or more")
        require(
            self.batch >= 2 and self.batch % 2 == 0 and self.batch <= self.sequences,
            f"batch is {self.batch}; it must be even and between 2 and the {self.sequences} sequences",
        )
        require(0 <= self.rollout_rate < 1, f"rollout_rate is {self.rollout_rate:g}; it must be 0 or more and below 1")
        require(0 < self.keep <= 1, f"keep is {self.keep:g}; it must be above 0 and at most 1")
        require(self.temperature > 0, f"temperature is {self.temperature:g}; it must be above 0")
        require(
            len(self.widths) == len(self.filters) > 0,
            f"there are {len(self.widths)} widths and {len(self.filters)} filters; each width needs its number of filters",
        )
        for width, number in zip(self.widths, self.filters, strict=True):
            require(number >= 1, f"filters has {number}; each must be at least 1")
            require(
                1 <= width <= self.length,
                f"widths has {width}; each must lie between 1 and the {self.length} symbols of a sequence",
            )
