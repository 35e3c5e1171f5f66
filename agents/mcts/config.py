"""Flags of `mcts`."""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import require
from core.plugin import register
from envs.config import EnvConfig


@register(
    "mcts",
    kind="agent",
    build="agents.mcts.agent:MCTS",
    group="Tables, planning and board games",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Monte Carlo tree search (UCT) with random roll-outs: plans, learns nothing",
    description="Before every action it plays the environment on from where it stands, again and again: down a tree by upper "
    "confidence bounds, one new node, random actions to the end, the return back up the tree. Games of two players are searched "
    "for both sides; any other environment is played again from its seed and its actions.",
    paper="https://doi.org/10.1109/TCIAIG.2012.2186810",
    subject="env.id",
    tiny={"env.id": "FrozenLake-v1", "simulations": 5, "horizon": 20, "turn": 3},
    eval={"episodes": 20, "greedy": True},
    search={"simulations": "50..2000:log", "exploration": "0.2..3.0"},
    run={"until": 400, "log_every": 40, "eval_every": 400, "save_every": 200},
)
@dataclass(frozen=True)
class MCTSConfig:
    """UCT (Kocsis and Szepesvari, 2006)."""

    env: EnvConfig = EnvConfig("pongan/ConnectFourUCT100-v0")
    """The environment; its actions must be discrete."""
    simulations: int = 400
    """Simulations before each action."""
    exploration: float = 1.4142135
    """Constant c of UCB1, for returns brought to between 0 and 1."""
    gamma: float = 1.0
    """Discount per step."""
    horizon: int = 100
    """Steps after which a simulation ends in an environment that is no game of two."""
    turn: int = 1
    """Steps between two returns to the launcher."""

    def __post_init__(self) -> None:
        for name in ("simulations", "horizon", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.exploration >= 0, f"exploration is {self.exploration:g}; it must be 0 or more")
        require(0 <= self.gamma <= 1, f"gamma is {self.gamma:g}; it must lie between 0 and 1")
