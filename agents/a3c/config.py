"""Flags of `a3c`. Its RMSProp, shared by workers without a lock, is the paper's and has flags of its own, not core.optim's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from agents.rl.settings import check_memory
from core.errors import require
from core.plugin import register
from envs.config import EnvConfig


@register(
    "a3c",
    kind="agent",
    build="agents.a3c.agent:A3C",
    group="Agents that learn a policy",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Asynchronous advantage actor-critic (A3C) in threads, processes or on a Ray cluster",
    description="Each worker copies the shared weights, plays a few steps in its own environment, and applies its gradient to "
    "the shared weights and the shared RMSProp statistics without waiting for the others. Discrete and continuous actions.",
    paper="https://arxiv.org/abs/1602.01783",
    subject="env.id",
    tiny={
        "env.id": "pongan/Catch-v0",
        "workers": 1,
        "backend": "threads",
        "hidden": (8,),
        "turn": 3,
    },
    eval={"episodes": 20},
    renamed={"eval_episodes": "eval.episodes", "eval_actions": ("eval.greedy", {"greedy": True, "sampled": False})},
    search={"lr": "1e-4..1e-2:log", "entropy": "1e-4..0.05:log", "n_steps": "5..40"},
    run={"until": 500_000, "log_every": 5_000, "eval_every": 100_000, "save_every": 100_000},
)
@dataclass(frozen=True)
class A3CConfig:
    """Asynchronous advantage actor-critic."""

    env: EnvConfig = EnvConfig(id="CartPole-v1")
    """The environment; discrete or continuous actions. frames42 brings a smaller network than frames84."""
    workers: int = 0
    """Actor-learners; 0 for one per core of this machine, also with ray. Only one can be resumed bit for bit: the order of
    several is the scheduler's."""
    backend: Literal["processes", "threads", "ray"] = "processes"
    """Where workers run: processes or threads of this machine, or Ray actors (extra `ray`)."""
    ray_address: str = ""
    """Ray cluster to connect to, e.g. auto or 10.0.0.1:6379; empty starts one on this machine."""
    n_steps: int = 20
    """Steps a worker plays between two updates (t_max in the paper)."""
    gamma: float = 0.99
    """Discount per step."""
    gae_lambda: float = 1.0
    """Decay of the generalised advantage estimate; 1 gives the paper's n-step returns."""
    lr: float = 7e-4
    """Step size."""
    anneal: int = 0
    """Clock at which the step size has fallen linearly to 0; 0 keeps it constant."""
    decay: float = 0.99
    """Decay of the shared average of squared gradients."""
    epsilon: float = 1e-5
    """RMSProp's epsilon, inside the square root."""
    max_gradient_norm: float = 40.0
    """Gradients are scaled down to this global norm; 0 leaves them as they are."""
    value_weight: float = 0.5
    """Weight of the value loss (R - V)^2 / 2."""
    entropy: float = 0.01
    """Weight of the entropy bonus."""
    reward_floor: float = -1e9
    """Learn from rewards no lower than this; scores are reported as they are."""
    clip_rewards: Literal["auto", "yes", "no"] = "auto"
    """Learn from the reward's sign; auto: on the pictures of Atari games. Scores are reported unclipped either way."""
    hidden: tuple[int, ...] = (64, 64)
    """Units of the hidden layers for vector observations, for policy and value apart."""
    activation: Literal["tanh", "relu"] = "tanh"
    """Of the hidden layers."""
    network: str = ""
    """cnn: convolutions also where pictures are int8 like pong80, or below 8 pixels a side; or a network of your own,
    module:function: from an observation's shape to a Keras model with output [B, units]."""
    memory: Literal["none", "lstm", "gru"] = "none"
    """A recurrent cell between the hidden layers, then one network for policy and value, and the two heads: lstm is the paper's
    A3C-LSTM. Its state goes on from rollout to rollout until the episode ends; the gradient goes back through n_steps."""
    memory_size: int = 128
    """Units of the recurrent cell; 256 in the paper."""
    log_std: float = 0.0
    """Initial logarithm of the standard deviation of continuous actions, which is learned and the same in every state."""
    turn: int = 50
    """Updates, by all workers together, between two returns to the launcher."""

    def __post_init__(self) -> None:
        for name in ("n_steps", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.workers >= 0, f"workers is {self.workers}; it must be 0 (one per core) or more")
        require(
            not self.ray_address or self.backend == "ray",
            f"ray_address is {self.ray_address!r} with backend {self.backend}; it needs backend ray",
        )
        require(all(units >= 1 for units in self.hidden), f"hidden is {list(self.hidden)}; layers have at least 1 unit")
        require(self.lr > 0, f"lr is {self.lr}; a step size is above 0")
        require(self.anneal >= 0, f"anneal is {self.anneal}; it must be 0 (a constant step size) or a clock")
        require(self.epsilon > 0, f"epsilon is {self.epsilon}; it must be above 0")
        require(0 <= self.gamma <= 1, f"gamma is {self.gamma}; a discount lies between 0 and 1")
        require(0 <= self.gae_lambda <= 1, f"gae_lambda is {self.gae_lambda}; it must lie between 0 and 1")
        require(0 <= self.decay < 1, f"decay is {self.decay}; it must lie in [0, 1)")
        check_memory(self.memory, self.memory_size, self.n_steps)
        for name in ("max_gradient_norm", "value_weight", "entropy"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
