"""Flags of `pqn`. The defaults are those of the authors' CartPole program, but for the step size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from envs.config import EnvConfig


@register(
    "pqn",
    kind="agent",
    build="agents.pqn.agent:PQN",
    group="Agents that learn values of discrete actions",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Parallelised Q-network: Q(lambda) over many environments, layer norm, no replay and no target network",
    description="Plays a few steps in many environments, epsilon-greedily, computes Q(lambda) returns of them with the one "
    "network there is, and regresses on them in a few epochs of minibatches. Layer normalisation keeps the values from "
    "diverging, so neither a replay memory nor a target network is needed.",
    paper="https://arxiv.org/abs/2407.04811",
    subject="env.id",
    tiny={
        "env.id": "pongan/Catch-v0",
        "envs": 3,
        "n_steps": 4,
        "epochs": 2,
        "minibatches": 2,
        "hidden": (8,),
        "turn": 3,
    },
    eval={"episodes": 20, "greedy": True},
    search={"optimizer.lr": "1e-5..1e-2:log", "q_lambda": "0.0..0.95", "epochs": "1..4", "gamma": "0.95..0.999"},
    run={"until": 500_000, "log_every": 5_000, "eval_every": 100_000, "save_every": 100_000},
)
@dataclass(frozen=True)
class PQNConfig:
    """Parallelised Q-network (PQN)."""

    env: EnvConfig = EnvConfig(id="CartPole-v1")
    """The environment; its actions must be discrete."""
    envs: int = 32
    """Environments played side by side."""
    n_steps: int = 64
    """Steps per environment between two rounds of learning."""
    gamma: float = 0.99
    """Discount per step."""
    q_lambda: float = 0.95
    """Decay of the Q(lambda) returns; 0 gives one-step targets, 1 returns over the whole rollout."""
    epochs: int = 4
    """Passes over each rollout."""
    minibatches: int = 16
    """Parts a rollout is dealt into, at random, for one update each."""
    optimizer: OptimizerConfig = OptimizerConfig("radam", lr=1e-3, epsilon=1e-8, max_grad_norm=10.0)
    """Optimiser; its clock counts environment steps."""
    epsilon_start: float = 1.0
    """Probability of a random action at the beginning."""
    epsilon_end: float = 0.2
    """Probability of a random action from epsilon_steps on, and in evaluations that are not greedy."""
    epsilon_steps: int = 100_000
    """Environment steps over which epsilon falls linearly."""
    reward_scale: float = 1.0
    """Learn from rewards times this; reported returns stay raw. Errors of large returns meet the limit of the gradient's norm."""
    clip_rewards: Literal["auto", "yes", "no"] = "auto"
    """Learn from the reward's sign; auto: on pictures."""
    hidden: tuple[int, ...] = (128, 128)
    """ReLU units of the hidden layers, each behind a layer normalisation; pictures get the network of the DQN paper with one
    behind every layer."""
    network: str = ""
    """cnn: the convolutions of the DQN paper, also where pictures are int8 like pong80; or a network of your own,
    module:function: from an observation's shape to a Keras model with output [B, units]. Normalise in it."""
    turn: int = 32
    """Steps per environment between two returns to the launcher, at most."""

    def __post_init__(self) -> None:
        for name in ("envs", "n_steps", "epochs", "minibatches", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.epsilon_steps >= 0, f"epsilon_steps is {self.epsilon_steps}; it must be 0 or more")
        for name in ("gamma", "q_lambda", "epsilon_start", "epsilon_end"):
            require(0 <= getattr(self, name) <= 1, f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        require(self.reward_scale > 0, f"reward_scale is {self.reward_scale:g}; it must be above 0")
        require(bool(self.hidden), "hidden is empty; at least one layer is needed, e.g. 128 128")
        require(all(units >= 1 for units in self.hidden), f"hidden is {list(self.hidden)}; layers have at least 1 unit")
        rows = self.envs * self.n_steps
        require(
            rows % self.minibatches == 0,
            f"minibatches is {self.minibatches}; it must divide envs x n_steps = {rows}",
        )
