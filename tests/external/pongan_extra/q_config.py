from dataclasses import dataclass

from core.plugin import register
from envs import EnvConfig


@register(
    "tabular-q",
    kind="agent",
    build="pongan_extra.q:TabularQ",
    headline="eval/return_mean",
    goal="max",
    clock="environment steps",
    summary="Watkins' Q-learning with a table",
    paper="https://doi.org/10.1007/BF00992698",
    subject="env.id",
    tiny={"env.id": "FrozenLake-v1"},
    run={"until": 400, "log_every": 100, "eval_every": 200, "save_every": 200},
    verbs={"greedy-table": "pongan_extra.greedy_table"},
)
@dataclass(frozen=True)
class QConfig:
    """Q-learning."""

    env: EnvConfig = EnvConfig("FrozenLake-v1")
    """An environment with numbered observations."""
    lr: float = 0.1
    """Step size."""
    epsilon: float = 0.2
    """Probability of a random action."""
