"""Flags of `alphazero`. No TensorFlow here: `list` and `--help` answer at once."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from envs.config import EnvConfig


@register(
    "alphazero",
    kind="agent",
    build="agents.alphazero.agent:AlphaZero",
    group="Tables, planning and board games",
    headline="eval/return_mean",
    goal="max",
    clock="moves of self-play",
    summary="Connect Four and tic-tac-toe: policy and value from self-play by tree search (AlphaZero)",
    description="Plays many games against itself, each move by a tree search that a network guides, and trains the network on "
    "how often the search tried each action and on who won. It is measured against the opponent in its environment.",
    paper="https://doi.org/10.1126/science.aar6404",
    subject="env.id",
    tiny={
        "env.id": "pongan/TicTacToe-v0",
        "games": 3,
        "simulations": 4,
        "eval_simulations": 3,
        "channels": 4,
        "blocks": 1,
        "capacity": 50,
        "batch": 4,
        "learning_starts": 6,
    },
    eval={"episodes": 40, "greedy": True},
    search={"optimizer.lr": "1e-4..1e-2:log", "simulations": "16..200:log", "noise": "0.1..2.0:log"},
    run={"until": 400_000, "log_every": 4_000, "eval_every": 50_000, "save_every": 50_000},
)
@dataclass(frozen=True)
class AlphaZeroConfig:
    """Self-play by a tree search, and a network that learns from it (Silver et al., 2018)."""

    env: EnvConfig = EnvConfig("pongan/ConnectFourUCT100-v0")
    """The game and, for evaluations, the opponent; self-play needs the rules alone."""
    games: int = 64
    """Games of self-play side by side; the network sees a position of each at once."""
    simulations: int = 48
    """Simulations of the search for each move of self-play."""
    eval_simulations: int = 100
    """Simulations for each move in evaluations."""
    noise: float = 1.0
    """Concentration of the Dirichlet noise in the roots' priors; the paper: about 10 over the number of moves."""
    noise_share: float = 0.25
    """Weight of that noise."""
    sampled_moves: int = 12
    """First moves of a game that are drawn by how often the search tried them; later ones are the one tried most."""
    channels: int = 32
    """Filters of the convolutions."""
    blocks: int = 3
    """Residual blocks of the network."""
    optimizer: OptimizerConfig = OptimizerConfig(name="adamw", lr=2e-3, weight_decay=1e-3)
    """Of the network."""
    value_weight: float = 1.0
    """Weight of the value's squared error beside the policy's cross-entropy."""
    capacity: int = 200_000
    """Positions kept to learn from, the newest."""
    learning_starts: int = 4_000
    """Positions of finished games before the first update."""
    batch: int = 256
    """Positions in an update."""
    positions_per_update: int = 64
    """Moves of self-play for each update."""

    def __post_init__(self) -> None:
        for name in (
            *("games", "simulations", "eval_simulations", "channels", "batch"),
            *("capacity", "learning_starts", "positions_per_update"),
        ):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("sampled_moves", "blocks", "value_weight"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        require(self.noise > 0, f"noise is {self.noise:g}; it must be above 0, e.g. 1")
        require(0 <= self.noise_share <= 1, f"noise_share is {self.noise_share:g}; it must lie between 0 and 1")
        require(
            self.learning_starts <= self.capacity,
            f"learning_starts is {self.learning_starts:,}, more than the capacity of {self.capacity:,} positions",
        )
