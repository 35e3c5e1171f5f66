"""A model writes: text that goes on from a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from core.disk import check_output, write_output
from core.errors import UsageError, require
from core.plugin import Writes
from experiments.launcher.drawing import opened
from experiments.launcher.experiment import StoredRun
from experiments.launcher.strangers import reported

__all__ = ["Flags", "main", "write"]

MOST = 2**31 - 1  # a count or a seed on the command line
RULE = "\n" + 40 * "-" + "\n"  # between texts


@dataclass(frozen=True)
class Flags:
    """A model writes: any number of texts that go on from a prompt."""

    prompt: str = ""
    """What the texts begin with."""
    n: int = 1
    """Texts to write; each depends on the seed and its number alone."""
    length: int = 500
    """Characters of each, without the prompt."""
    temperature: float | None = None
    """Below 1 more often what is likely, at 0 always the likeliest; by default the run's own."""
    top_k: int | None = None
    """Draw among so many of the likeliest symbols, 0 for all; by default the run's own."""
    seed: int = 0
    """Of what is drawn."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """A file for the texts, which are printed without one."""

    def __post_init__(self) -> None:
        for name in ("n", "length"):
            count = getattr(self, name)
            require(
                1 <= count <= MOST, f"--{name} is {count}; it must be a whole number of at least 1 and at most {MOST:,}"
            )
        require(
            0 <= self.seed <= MOST,
            f"--seed is {self.seed}; it must be a whole number of at least 0 and at most {MOST:,}",
        )
        require(
            self.temperature is None or 0 <= self.temperature < float("inf"),
            f"--temperature is {self.temperature}; it must be a number of at least 0",
        )
        require(self.top_k is None or self.top_k >= 0, f"--top-k is {self.top_k}; it must be 0 (all) or more")


def main(run: StoredRun, flags: Flags) -> None:
    out = Path(flags.out).expanduser().absolute()  # a plugin may change the working directory
    if flags.out:
        check_output(out)
    texts, which = write(run, flags)
    whole = RULE.join(flags.prompt + text for text in texts)
    if not flags.out:
        print(whole)
        return
    write_output(out, lambda file: file.write(f"{whole}\n".encode()))
    print(f"{flags.n} text{'s' * (flags.n > 1)} of {which}: {flags.out}")


def write(run: StoredRun, flags: Flags) -> tuple[Sequence[str], str]:
    """Return the texts that `flags` ask the run's model for, without their prompt, and which weights wrote them.

    Raises UsageError for a run of another kind and a prompt that cannot be read, ForeignError for what the plugin raises.
    """
    with opened(run, flags.weights) as (plugin, which), reported(run.spec, run.path.absolute(), "write"):
        if not isinstance(plugin, Writes):
            raise UsageError(f"{run.spec.name} writes no text; `pongan sample` draws what generative models make")
        temperature = plugin.temperature if flags.temperature is None else flags.temperature
        top_k = plugin.top_k if flags.top_k is None else flags.top_k
        return plugin.write(
            flags.prompt, flags.n, flags.length, temperature=temperature, top_k=top_k, seed=flags.seed
        ), which
