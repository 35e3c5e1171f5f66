"""Where two runs begin to differ: settings, code, curves, tensors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import Positional

from core.errors import require
from core.zoo import located
from experiments.launcher.experiment import StoredRun

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print the settings, versions and code in which two runs differ, the first clock at which their curves do, and the places in
    their checkpoints, the largest difference first. The exit code is 0 for runs that are equal to the last bit, else 1.

    pongan diff runs/NAME/ENV/DATE-TIME-s1 runs/NAME/ENV/DATE-TIME-s1-fork500 --step 20
    """

    runs: Annotated[Positional[tuple[str, str]], tyro.conf.arg(metavar="A B")]
    """Two run folders."""
    step: int = 0
    """Take at most as many steps with both, from the newest checkpoint that is equal in both, until they differ, and say in what
    first: batch, scalars, gradients, step size or weights."""
    lines: int = 10
    """Lines of a table."""

    def __post_init__(self) -> None:
        require(self.step >= 0, f"--step is {self.step}; it must be 0 (no steps) or more")
        require(self.lines >= 1, f"--lines is {self.lines}; it must be at least 1")


def main(flags: Flags) -> int:
    from rich.console import Console

    from experiments.differences import compared, lines, stepped

    a, b = map(located, flags.runs)
    one, other = (StoredRun.of([str(path)]) for path in (a, b))
    console = Console(highlight=False)
    print(f"A  {a}\nB  {b}")
    found = compared(a, b)
    for part in lines(found, most=flags.lines):
        console.print(part)
    if flags.step:
        first = stepped(one, other, flags.step)
        for line in [f"steps: {flags.step} are equal"] if first is None else first.told(flags.lines):
            console.print(line, markup=False)
    return 0 if found.same else 1
