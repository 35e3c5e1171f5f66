"""Flags of `tabular`. The defaults learn slippery FrozenLake by Q-learning."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from core.errors import require
from core.plugin import register
from envs.config import EnvConfig

PLANNERS = ("value-iteration", "policy-iteration")
MONTE_CARLO = ("mc-first-visit", "mc-every-visit")


@register(
    "tabular",
    kind="agent",
    build="agents.tabular.agent:Tabular",
    group="Tables, planning and board games",
    headline="eval/return_mean",
    goal="max",
    clock="steps or sweeps",
    summary="Tables of values: dynamic programming, Monte Carlo, TD(0), SARSA, Q-learning, Dyna-Q by --agent.method",
    description="Keeps a value for every state, or every state and action, and moves it towards what follows: by sweeps over a "
    "known transition model (value iteration, policy iteration), by returns of whole episodes (Monte Carlo), by the value of "
    "the next step (TD(0), SARSA, Q-learning and their kin), or by steps that a learned model makes up (Dyna-Q). States and "
    "actions must be numbered.",
    paper="http://incompleteideas.net/book/the-book-2nd.html",
    subject="env.id",
    tiny={"method": "dyna-q", "turn": 7, "planning_steps": 2, "epsilon_steps": 100, "lr_steps": 100},
    eval={"episodes": 100, "greedy": True},
    search={"gamma": "0.9..1.0", "lr_start": "0.01..1.0:log", "epsilon_start": "0.05..1.0"},
    run={"until": 100_000, "log_every": 2_000, "eval_every": 25_000, "save_every": 25_000},
)
@dataclass(frozen=True)
class TabularConfig:
    """Values in a table (Sutton and Barto, 2nd ed., chapters 4 to 8)."""

    env: EnvConfig = EnvConfig("FrozenLake-v1")
    """The environment; its states and actions must be Discrete, or a Tuple of Discrete as Blackjack's."""
    method: Literal[
        "value-iteration",
        "policy-iteration",
        "mc-first-visit",
        "mc-every-visit",
        "td0",
        "sarsa",
        "expected-sarsa",
        "n-step-sarsa",
        "q-learning",
        "double-q-learning",
        "dyna-q",
    ] = "q-learning"
    """How the table is learned. The two planners sweep over the environment's transition model, and a step of theirs is a sweep
    over all states; td0 predicts the values of a given policy; the others learn to act."""
    gamma: float = 0.99
    """Discount per step."""
    lr_start: float = 0.5
    """Step size alpha at the beginning."""
    lr_end: float = 0.005
    """Step size from lr_steps on."""
    lr_steps: int = 75_000
    """Environment steps over which the step size falls linearly."""
    average: bool = False
    """Step size 1/n at the n-th update of an entry instead: the table holds plain averages."""
    epsilon_start: float = 1.0
    """Probability of a random action at the beginning; at random among the best otherwise."""
    epsilon_end: float = 0.1
    """Probability of a random action from epsilon_steps on, and in evaluations that are not greedy."""
    epsilon_steps: int = 50_000
    """Environment steps over which epsilon falls linearly."""
    initial_value: float = 0.0
    """What the table holds at first; above what can be reached it makes every action worth a try."""
    exploring_starts: bool = False
    """Monte Carlo: draw the first action of every episode at random; with epsilon 0 this is the book's Monte Carlo ES."""
    n_step: int = 4
    """Rewards in the target of n-step-sarsa."""
    planning_steps: int = 10
    """Updates of dyna-q from its model after every step."""
    evaluated: Literal["optimal", "random"] = "optimal"
    """The policy whose values td0 predicts; optimal needs the environment's transition model."""
    theta: float = 1e-10
    """policy-iteration improves its policy once a sweep of evaluation changes no value by this much."""
    max_episode_steps: int = 500
    """Steps after which an episode is cut where the environment has no limit of its own, in evaluations too."""
    turn: int = 200
    """Steps or sweeps between two returns to the launcher."""

    def __post_init__(self) -> None:
        for name in ("n_step", "max_episode_steps", "turn"):
            require(getattr(self, name) >= 1, f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("lr_steps", "epsilon_steps", "planning_steps"):
            require(getattr(self, name) >= 0, f"{name} is {getattr(self, name)}; it must be 0 or more")
        for name in ("gamma", "lr_start", "lr_end", "epsilon_start", "epsilon_end"):
            require(0 <= getattr(self, name) <= 1, f"{name} is {getattr(self, name)}; it must lie between 0 and 1")
        require(self.theta > 0, f"theta is {self.theta:g}; it must be above 0, e.g. 1e-10")
        require(
            self.method != "policy-iteration" or self.gamma < 1,
            "gamma is 1, for which a policy that never ends has no values and policy-iteration no end; "
            "choose a gamma below 1, e.g. 0.99, or --agent.method value-iteration",
        )
        require(
            not self.exploring_starts or self.method in MONTE_CARLO,
            f"exploring_starts is for Monte Carlo, and method is {self.method!r}; choose {' or '.join(MONTE_CARLO)}",
        )
