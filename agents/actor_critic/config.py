"""Flags of `actor-critic`. The defaults are synchronous n-step actor-critic on CartPole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from agents.rl.settings import check_memory
from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from envs.config import EnvConfig


def implied(old: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `anneal` stood for in a run from before `optimizer.*`."""
    return {"optimizer.lr_schedule": "linear" if old.get("anneal") else "constant"}


@register(
    "actor-critic",
    kind="agent",
    build="agents.actor_critic.agent:ActorCritic",
    group="Agents that learn a policy",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Advantage actor-critic (A2C), one-step to n-step with GAE; clipped-surrogate epochs (PPO) as an option",
    description="Plays a few steps in several environments, estimates how much better each action was than the value predicted, "
    "and makes it likelier in proportion. One step in one environment is the textbook's online form; several epochs with a "
    "clipped ratio are PPO. Discrete and continuous actions, pixels and vectors.",
    paper="https://arxiv.org/abs/1602.01783",
    subject="env.id",
    tiny={
        "env.id": "pongan/Catch-v0",
        "envs": 3,
        "n_steps": 4,
        "epochs": 2,
        "minibatches": 2,
        "clip": 0.2,
        "normalize_observations": True,
        "normalize_returns": True,
        "hidden": (8,),
        "turn": 3,
    },
    eval={"episodes": 20},
    renamed={
        "eval_episodes": "eval.episodes",
        "eval_actions": ("eval.greedy", {"greedy": True, "sampled": False}),
        "optimizer": "optimizer.name",
        "lr": "optimizer.lr",
        "anneal": "optimizer.lr_steps",
        "decay": "optimizer.rho",
        "epsilon": "optimizer.epsilon",
        "max_gradient_norm": "optimizer.max_grad_norm",
    },
    implied=implied,
    search={
        "optimizer.lr": "1e-5..1e-2:log",
        "entropy": "1e-4..0.05:log",
        "gae_lambda": "0.8..1.0",
        "n_steps": "5..256:log",
        "gamma": "0.95..0.999",
    },
    run={"until": 500_000, "log_every": 5_000, "eval_every": 100_000, "save_every": 100_000},
)
@dataclass(frozen=True)
class ActorCriticConfig:
    """Advantage actor-critic."""

    env: EnvConfig = EnvConfig(id="CartPole-v1")
    """The environment; discrete or continuous actions."""
    envs: int = 8
    """Environments played side by side."""
    n_steps: int = 5
    """Steps per environment between two updates; 1 with gae_lambda 0 is the one-step TD form."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 1.0
    """Decay of the generalised advantage estimate; 1 gives n-step returns, 0 one-step TD errors."""
    optimizer: OptimizerConfig = OptimizerConfig("rmsprop", lr=7e-4, rho=0.99, epsilon=1e-5, max_grad_norm=0.5)
    """Optimiser of policy and value; its clock counts environment steps."""
    value_weight: float = 0.5
    """Weight of the value loss (R - V)^2 / 2."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""
    epochs: int = 1
    """Passes over each rollout; more than 1 needs clip above 0."""
    minibatches: int = 1
    """Parts a rollout is dealt into, at random, for one update each; with memory by whole environments."""
    clip: float = 0.0
    """Bound of the surrogate objective's ratio, 0.1 or 0.2 in PPO; 0 is the plain policy gradient."""
    normalize_advantages: bool = False
    """Standardise the advantages over each minibatch."""
    normalize_observations: bool = False
    """Standardise vector observations by running statistics, which are part of the state."""
    normalize_returns: bool = False
    """Divide rewards by the running standard deviation of the discounted return, and clip them at 10 of it."""
    clip_rewards: Literal["auto", "yes", "no"] = "auto"
    """Learn from the reward's sign; auto: on the pictures of Atari games. Scores are reported unclipped either way."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers for vector observations, for policy and value apart; pictures get convolutions."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Of the hidden layers."""
    network: str = ""
    """cnn: convolutions also where pictures are int8 like pong80, or below 8 pixels a side; or a network of your own,
    module:function: from an observation's shape to a Keras model with output [B, units]."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """A recurrent cell between the hidden layers, then one network for policy and value, and the two heads. Its state goes on
    from rollout to rollout until the episode ends; the gradient goes back through one rollout, n_steps."""
    memory_size: int = 128
    """Units of the recurrent cell."""
    log_std: float = 0.0
    """Initial logarithm of the standard deviation of continuous actions, which is learned and the same in every state."""
    turn: int = 32
    """Steps per environment between two returns to the launcher, at most."""

    def __post_init__(self) -> None:
        for name in ("envs", "n_steps", "epochs", "minibatches", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(all(units >= 1 for units in self.hidden), f"hidden is {list(self.hidden)}; layers have at least 1 unit")
        require(0 <= self.gamma <= 1, f"gamma is {self.gamma}; a discount lies between 0 and 1")
        require(0 <= self.gae_lambda <= 1, f"gae_lambda is {self.gae_lambda}; it must lie between 0 and 1")
        require(0 <= self.clip < 1, f"clip is {self.clip}; it must be 0 (no clipping) or below 1, usually 0.1 or 0.2")
        require(
            self.epochs == 1 or self.clip > 0,
            f"epochs is {self.epochs} with clip 0; several passes over a rollout need clip above 0, e.g. 0.2",
        )
        batch = self.envs * self.n_steps
        require(
            batch % self.minibatches == 0,
            f"minibatches is {self.minibatches}; it must divide envs x n_steps = {batch}",
        )
        require(
            not self.normalize_advantages or batch // self.minibatches > 1,
            "normalize_advantages takes away the mean of a minibatch, and minibatches of one example would be nothing but that; "
            "raise envs or n_steps, or leave it out",
        )
        check_memory(self.memory, self.memory_size, self.n_steps)
        require(
            self.memory == "none" or self.envs % self.minibatches == 0,
            f"minibatches is {self.minibatches} with memory {self.memory}; it must divide envs = {self.envs}, since a minibatch "
            "is made of whole environments' sequences",
        )
        for name in ("value_weight", "entropy"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
