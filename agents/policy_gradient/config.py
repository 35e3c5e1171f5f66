"""Flags of `policy-gradient`. The defaults are the classic Pong set-up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from envs.config import EnvConfig


def implied(old: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `optimizer` and `anneal` stood for in a run from before `optimizer.*`."""
    return {
        "optimizer.lr_schedule": "linear" if old.get("anneal") else "constant",
        "optimizer.epsilon": 1e-8 if old.get("optimizer") == "adam" else 1e-10,
    }


@register(
    "policy-gradient",
    kind="agent",
    build="agents.policy_gradient.agent:PolicyGradient",
    group="Agents that learn a policy",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Pong from Pixels: REINFORCE with one hidden layer, on Pong or any discrete environment",
    description="Plays whole episodes with fixed weights, then makes every action more likely in proportion to the standardised "
    "discounted return that followed it. One hidden layer of ReLU units on Karpathy's 80x80 difference frame, or on the "
    "environment's own observation; optionally a value baseline and an entropy bonus.",
    paper="https://karpathy.github.io/2016/05/31/rl/",
    subject="env.id",
    tiny={
        "env.id": "pongan/Catch-v0",
        "games": 2,
        "batch_episodes": 4,
        "hidden": 8,
        "chunk": 16,
        "turn": 3,
    },
    eval={"episodes": 10},
    renamed={
        "eval_episodes": "eval.episodes",
        "optimizer": "optimizer.name",
        "lr": "optimizer.lr",
        "anneal": "optimizer.lr_steps",
        "decay": "optimizer.rho",
    },
    implied=implied,
    search={"optimizer.lr": "1e-4..1e-2:log", "gamma": "0.9..0.999", "hidden": "64,200,400"},
    player="agents.policy_gradient.player:player",
    run={"until": 20_000_000, "log_every": 10_000, "eval_every": 500_000, "save_every": 100_000},
)
@dataclass(frozen=True)
class PolicyGradientConfig:
    """Policy gradient (REINFORCE)."""

    env: EnvConfig = EnvConfig(id="ALE/Pong-v5")
    """The environment; Pong is seen as pong80 with the actions stay, up, down unless stated otherwise."""
    games: int = 10
    """Episodes played side by side."""
    batch_episodes: int = 10
    """Whole episodes per batch, started together, and with clip 0 played with fixed weights; ignored when batch_steps is set."""
    batch_steps: int = 0
    """Learn as soon as this many steps have known returns while the games go on; 0 for whole episodes."""
    hidden: int = 200
    """ReLU units in the hidden layer, where `network` is empty."""
    bias: bool = False
    """Give the layers biases (the original has none)."""
    network: str = ""
    """Empty: one hidden layer, as in the original; cnn: convolutions, on pictures; or a network of your own,
    module:function: from an observation's shape to a Keras model with output [B, units]."""
    policy: Literal["softmax", "sigmoid"] = "softmax"
    """softmax over all actions; sigmoid: one logit for exactly two actions, as in the original."""
    optimizer: OptimizerConfig = OptimizerConfig("rmsprop", lr=1e-4, rho=0.99, epsilon=1e-10)
    """Optimiser; its clock counts environment steps. The epsilon of 1e-10 is RMSProp's; the presets give Adam 1e-8."""
    loss: Literal["sum", "mean"] = "sum"
    """Sum the loss over the batch, as in the original, or average it."""
    gamma: float = 0.99
    """Discount per step."""
    cut_at_reward: Literal["auto", "yes", "no"] = "auto"
    """Begin the discounted sum afresh after every reward, right only where a reward ends the rally; auto: in Pong."""
    baseline: bool = False
    """Learn a value from the hidden layer and subtract it from the return."""
    gae_lambda: float = 1.0
    """Decay of the generalised advantage estimate; 1 sums the rewards as they came, below 1 needs baseline."""
    value_weight: float = 0.5
    """Weight of the squared error of the baseline."""
    entropy: float = 0.0
    """Weight of the entropy bonus."""
    epochs: int = 1
    """Passes over each batch; more than 1 needs clip above 0."""
    minibatch: int = 0
    """Steps of one update, dealt at random from the batch; 0 for the whole batch."""
    clip: float = 0.0
    """Bound of the surrogate objective's ratio, 0.1 or 0.2 in PPO, which lets the games go on while a batch is learned; 0 is the
    plain policy gradient."""
    chunk: int = 2048
    """Steps whose gradient is computed in one call where an update takes the whole batch; gradients add up over it."""
    turn: int = 16
    """Steps per game between two returns to the launcher."""

    def __post_init__(self) -> None:
        for name in ("games", "batch_episodes", "hidden", "epochs", "chunk", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        require(self.batch_steps >= 0, f"batch_steps is {self.batch_steps}; it must be 0 (whole episodes) or more")
        require(0 <= self.gamma <= 1, f"gamma is {self.gamma}; a discount lies between 0 and 1")
        require(0 <= self.gae_lambda <= 1, f"gae_lambda is {self.gae_lambda}; it must lie between 0 and 1")
        require(
            self.gae_lambda == 1 or self.baseline,
            f"gae_lambda is {self.gae_lambda} without a value to look ahead by; it needs baseline true",
        )
        require(self.minibatch >= 0, f"minibatch is {self.minibatch}; it must be 0 (the whole batch) or more steps")
        require(0 <= self.clip < 1, f"clip is {self.clip}; it must be 0 (no clipping) or below 1, usually 0.1 or 0.2")
        require(
            self.clip > 0 or (self.epochs == 1 and not self.minibatch),
            f"epochs is {self.epochs} and minibatch {self.minibatch} with clip 0; several updates of a batch need clip above 0, "
            "e.g. 0.2",
        )
        require(
            self.entropy >= 0 and self.value_weight >= 0, "entropy and value_weight are weights; they must be 0 or more"
        )
        require(
            self.batch_steps > 0 or self.batch_episodes % self.games == 0,
            f"batch_episodes is {self.batch_episodes}; it must be a multiple of games ({self.games}), which start together",
        )

    @property
    def pong_env(self) -> EnvConfig:
        """`env` with what is left open filled in: Pong is played as stay, up, down on difference frames."""
        if not self.env.is_pong:
            return self.env
        observation = "pong80" if self.env.observation == "auto" else self.env.observation
        up_down = (2, 3) if self.policy == "sigmoid" else (0, 2, 3)
        return replace(self.env, observation=observation, actions=self.env.actions or up_down)

    @property
    def cuts(self) -> bool:
        """Whether the discounted sum begins afresh after every reward."""
        return self.env.is_pong if self.cut_at_reward == "auto" else self.cut_at_reward == "yes"
