"""Flags of `dqn`. The defaults are those of the Nature paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.errors import require
from core.optim.config import OptimizerConfig
from core.plugin import register
from envs.config import EnvConfig

NATURE = OptimizerConfig("rmsprop", lr=2.5e-4, rho=0.95, epsilon=0.01, centered=True)


def implied(old: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return what `optimizer` and `anneal` stood for in a run from before `optimizer.*`."""
    adam = old.get("optimizer") == "adam"
    return {
        "optimizer.lr_schedule": "linear" if old.get("anneal") else "constant",
        "optimizer.centered": not adam,
        "optimizer.epsilon": old.get("adam_epsilon", 1e-8) if adam else NATURE.epsilon,
    }


@register(
    "dqn",
    kind="agent",
    build="agents.dqn.agent:DQN",
    group="Agents that learn values of discrete actions",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Deep Q-learning as in Nature, with double, dueling, n-step and prioritised replay as flags",
    description="Learns the value of every action from transitions drawn out of a replay memory, towards targets of a network "
    "that is copied from the learning one now and then, and acts on the best value or, with probability epsilon, at random. "
    "Convolutions on Atari frames, a multilayer perceptron on other observations.",
    paper="https://doi.org/10.1038/nature14236",
    subject="env.id",
    tiny={
        "env.id": "pongan/Catch-v0",
        "envs": 2,
        "capacity": 100,
        "learning_starts": 12,
        "update_every": 1,
        "target_every": 5,
        "batch": 4,
        "hidden": (8,),
        "double": True,
        "dueling": True,
        "n_step": 2,
        "prioritised": True,
        "distribution": "c51",
        "atoms": 11,
        "noisy": True,
        "turn": 5,
    },
    eval={"episodes": 10},
    renamed={
        "eval_episodes": "eval.episodes",
        "optimizer": "optimizer.name",
        "lr": "optimizer.lr",
        "anneal": "optimizer.lr_steps",
        "adam_epsilon": "optimizer.epsilon",
        "clip_norm": "optimizer.max_grad_norm",
    },
    implied=implied,
    search={
        "optimizer.lr": "1e-5..1e-2:log",
        "batch": "32,64,128",
        "target_every": "32..2000:log",
        "gamma": "0.95..0.999",
    },
    run={"until": 50_000_000, "log_every": 10_000, "eval_every": 250_000, "save_every": 50_000},
)
@dataclass(frozen=True)
class DQNConfig:
    """Deep Q-learning (DQN)."""

    env: EnvConfig = EnvConfig(id="ALE/Pong-v5")
    """The environment; its actions must be discrete."""
    envs: int = 1
    """Environments played side by side."""
    capacity: int = 1_000_000
    """Observations the replay holds; a stack of frames costs one frame."""
    replay_on_disk: Literal["auto", "yes", "no"] = "auto"
    """Keep the observations in a file of the run's folder; auto: above 100 MB."""
    learning_starts: int = 50_000
    """Environment steps of random play before the first update."""
    update_every: int = 4
    """Environment steps per update, however many environments play."""
    burst: int = 1
    """Updates that wait for each other and are then made in one go; saves time on small networks."""
    batch: int = 32
    """Transitions per update."""
    gamma: float = 0.99
    """Discount per step."""
    target_every: int = 10_000
    """Updates between two copies of the weights into the target network; ignored when tau is below 1."""
    tau: float = 1.0
    """Below 1: move the target network by this share towards the learning one at every update instead."""
    optimizer: OptimizerConfig = NATURE
    """Optimiser; its clock counts environment steps. The default is Nature's centred RMSProp: another rule needs centered false,
    and Adam's kind an epsilon of its own, e.g. 1e-8."""
    loss: Literal["sum", "mean"] = "sum"
    """Sum the loss over the batch, as the program of the paper does, or average it."""
    epsilon_start: float | None = None
    """Probability of a random action at the beginning of the schedule; None: 1, and 0 if noisy."""
    epsilon_end: float | None = None
    """Probability of a random action from epsilon_steps on; None: 0.1, and 0 if noisy."""
    epsilon_steps: int = 1_000_000
    """Environment steps over which epsilon falls linearly; before learning_starts all play is random."""
    clip_rewards: Literal["auto", "yes", "no"] = "auto"
    """Learn from the sign of the reward (reported returns stay raw); auto: on the pictures of Atari games."""
    hidden: tuple[int, ...] = (64, 64)
    """ReLU units of the multilayer perceptron's layers; none for a table. Pictures get the network of the paper."""
    network: str = ""
    """cnn: convolutions also where pictures are int8 like pong80, or below 8 pixels a side; or a network of your own,
    module:function: from an observation's shape to a Keras model with output [B, units]."""
    double: bool = False
    """Choose the target's action by the learning network (van Hasselt et al., 2016)."""
    dueling: bool = False
    """Estimate state value and advantages in two streams (Wang et al., 2016)."""
    n_step: int = 1
    """Steps of reward before the target network's value."""
    distribution: Literal["none", "c51", "qr"] = "none"
    """Learn the distribution of returns instead of their mean: as probabilities of atoms (c51; Bellemare et al., 2017) or as
    quantiles (qr; Dabney et al., 2018)."""
    atoms: int = 51
    """Atoms of c51, evenly spaced from v_min to v_max."""
    v_min: float = -10.0
    """Least return that c51 can tell; the paper's is for rewards clipped to -1, 0 and 1."""
    v_max: float = 10.0
    """Greatest return that c51 can tell."""
    quantiles: int = 200
    """Quantiles of qr."""
    noisy: bool = False
    """Explore by learned noise in the dense layers (Fortunato et al., 2018); evaluations and `play` use the means."""
    sigma0: float = 0.5
    """Initial size of that noise, times 1 / sqrt(inputs of a layer)."""
    munchausen: bool = False
    """Add the scaled log-probability of the action taken to the reward, and the entropy of a softmax policy to the target
    (Vieillard et al., 2020)."""
    munchausen_alpha: float = 0.9
    """Scale of the log-probability that is added to the reward."""
    munchausen_tau: float = 0.03
    """Temperature of the softmax policy, in units of the return."""
    munchausen_clip: float = -1.0
    """Least that tau times the log-probability may be."""
    prioritised: bool = False
    """Draw transitions in proportion to their last error (Schaul et al., 2016)."""
    alpha: float = 0.6
    """Exponent of the priorities; 0 is uniform."""
    beta: float = 0.4
    """Exponent of the importance weights at the start; it rises linearly to 1."""
    beta_steps: int = 1_000_000
    """Environment steps until beta is 1."""
    turn: int = 8
    """Steps per environment between two returns to the launcher."""
    eval_epsilon: float = 0.001
    """Probability of a random action in evaluations and `play`; 0 is greedy."""

    def __post_init__(self) -> None:
        for name in ("envs", "update_every", "burst", "batch", "target_every", "n_step", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("epsilon_steps", "beta_steps"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("gamma", "epsilon_start", "epsilon_end", "eval_epsilon", "alpha", "beta", "munchausen_alpha"):
            value = getattr(self, name)
            require(value is None or 0 <= value <= 1, f"{name} is {value}; it must lie between 0 and 1")
        require(0 < self.tau <= 1, f"tau is {self.tau}; it must be above 0 and at most 1 (copies every target_every)")
        rule, epsilon = self.optimizer.name, self.optimizer.epsilon
        require(
            rule in ("rmsprop", "sgd") or epsilon != NATURE.epsilon,
            f"optimizer.epsilon is {epsilon}, which RMSProp has inside its square root; {rule} needs its own, e.g. 1e-8",
        )
        require(all(units >= 1 for units in self.hidden), f"hidden is {list(self.hidden)}; layers have at least 1 unit")
        least = self.envs * (self.n_step + 1)
        require(
            self.learning_starts >= least,
            f"learning_starts is {self.learning_starts}; it must be at least {least}, when the first transitions are complete",
        )
        self._check_variants()

    def _check_variants(self) -> None:
        """Refuse values and combinations of distribution, noise and Munchausen targets that have no meaning."""
        require(self.atoms >= 2, f"atoms is {self.atoms}; a distribution needs at least 2, the paper has 51")
        require(
            self.quantiles >= 2, f"quantiles is {self.quantiles}; a distribution needs at least 2, the paper has 200"
        )
        require(
            self.v_min < self.v_max, f"v_min is {self.v_min:g} and v_max {self.v_max:g}; v_min must be the smaller one"
        )
        require(self.sigma0 > 0, f"sigma0 is {self.sigma0:g}; it must be above 0, e.g. 0.5, or leave out noisy")
        require(
            self.munchausen_tau > 0, f"munchausen_tau is {self.munchausen_tau:g}; a temperature is above 0, e.g. 0.03"
        )
        require(self.munchausen_clip < 0, f"munchausen_clip is {self.munchausen_clip:g}; it must be below 0, e.g. -1")
        if not self.munchausen:
            return
        require(
            self.distribution != "c51",
            "distribution is c51 with munchausen, which is defined for values and quantiles; choose distribution qr or none",
        )
        require(
            not self.double,
            "double chooses the action of the target's maximum, and munchausen averages over all actions; leave one of them out",
        )
        require(
            self.n_step == 1,
            f"n_step is {self.n_step} with munchausen, which adds to every reward a term of its own action; n_step must be 1",
        )

    @property
    def epsilons(self) -> tuple[float, float]:
        """Probability of a random action at the beginning and at the end of the schedule."""
        start, end = (0.0, 0.0) if self.noisy else (1.0, 0.1)
        return (
            start if self.epsilon_start is None else self.epsilon_start,
            end if self.epsilon_end is None else self.epsilon_end,
        )
