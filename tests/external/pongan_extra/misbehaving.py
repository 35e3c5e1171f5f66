"""A plugin whose behaviour is chosen by a flag: it raises anywhere, diverges, fills the disk or forgets its headline."""

import os
import sys
import time
from dataclasses import dataclass

import numpy as np

from core.plugin import Draws, Generator, register


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
    """raise, nan, headline, state, tag, exit, interrupt, construct, evaluate, vanish, film, chdir, sample, close, or not."""
    at: int = 25
    """Update at which it happens; evaluations fail until then."""
    pause: float = 0.0
    """Seconds a step takes."""


class Misbehaving(Generator, Draws):
    def __init__(self, config, context):
        self.config, self.clock, self.x = config, 0, np.zeros(3)
        if config.how == "construct":
            raise ConnectionError("\n   nobody answers\n")
        if config.how == "chdir":
            os.chdir("/")

    def step(self):
        time.sleep(self.config.pause)
        self.clock += 1
        now = self.clock == self.config.at
        if now and self.config.how == "raise":
            raise RuntimeError("the plugin's own words")
        if now and self.config.how == "exit":
            sys.exit()
        if now and self.config.how == "interrupt":
            raise KeyboardInterrupt
        return {
            "weird" if self.config.how == "tag" else "loss/x": float("nan")
            if now and self.config.how == "nan"
            else float(self.clock)
        }

    def sample(self, n, seed=0):
        if self.config.how == "sample":
            sys.exit("no more pictures")
        return np.zeros((n, 8, 8, 1), np.uint8)

    def evaluate(self):
        if self.config.how == "evaluate" and self.clock <= self.config.at:
            raise RuntimeError("nothing to evaluate on")
        if self.config.how == "vanish" and self.clock <= self.config.at:
            os._exit(7)
        film = {"video/x": np.zeros((3, 8, 8, 5), np.uint8)} if self.config.how == "film" else {}
        return {"eval/other" if self.config.how == "headline" else "eval/score": 1.0, **film}

    def state(self):
        return {"x": object() if self.config.how == "state" and self.clock else self.x, "clock": self.clock}

    def close(self):
        if self.config.how == "close":
            raise ConnectionResetError("gone")
