"""Train an experiment: a plugin or one of its presets."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.launcher.experiment import Experiment
from experiments.launcher.training import start

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Train an experiment: a plugin or one of its presets. Flags beat the file, the file beats the preset.

    python -m experiments.run policy-gradient --run.time-limit 120

    python -m experiments.run pong-pg-fast --agent.optimizer.lr 5e-4 --run.seed 2
    """


def main(experiment: Experiment, flags: Flags) -> int:
    return start(experiment).code
