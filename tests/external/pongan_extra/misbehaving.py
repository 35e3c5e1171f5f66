"""A plugin whose behaviour is chosen by a flag: it raises, diverges, fills the disk or forgets its headline."""

import time
from dataclasses import dataclass

import numpy as np

from core.plugin import register


@register(
    "misbehaving",
    kind="generative",
    build="pongan_extra.misbehaving:Misbehaving",
    headline="eval/score",
    goal="max",
    clock="updates",
    summary="Fails as told",
    subject="how",
    tiny={},
    run={"until": 1000, "log_every": 5, "eval_every": 0, "save_every": 10},
)
@dataclass(frozen=True)
class MisbehavingConfig:
    """Failures."""

    how: str = "not"
    """raise, nan, headline, state, tag, or not."""
    at: int = 25
    """Update at which it happens."""
    pause: float = 0.0
    """Seconds a step takes."""


class Misbehaving:
    def __init__(self, config, context):
        self.config, self.clock, self.x = config, 0, np.zeros(3)

    def step(self):
        time.sleep(self.config.pause)
        self.clock += 1
        now = self.clock == self.config.at
        if now and self.config.how == "raise":
            raise RuntimeError("the plugin's own words")
        return {
            "weird" if self.config.how == "tag" else "loss/x": float("nan")
            if now and self.config.how == "nan"
            else float(self.clock)
        }

    def sample(self, n, seed=0):
        return np.zeros((n, 8, 8, 1), np.uint8)

    def evaluate(self):
        return {"eval/other" if self.config.how == "headline" else "eval/score": 1.0}

    def state(self):
        return {"x": object() if self.config.how == "state" and self.clock else self.x, "clock": self.clock}

    def load_state(self, tree):
        self.x, self.clock = tree["x"], tree["clock"]

    def close(self):
        pass
