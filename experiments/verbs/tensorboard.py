"""TensorBoard on a folder of runs."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import Positional

from experiments.runs import find_runs

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Open TensorBoard on a folder of runs. Flags of TensorBoard's own may follow, e.g. --port 6007; `tensorboard --helpfull`
    lists them."""

    folder: Annotated[Positional[str], tyro.conf.arg(metavar="[FOLDER]")] = "runs"
    """Folder that has all the runs below it."""


def main(flags: Flags, passed: list[str]) -> None:
    find_runs([flags.folder])
    os.execv(sys.executable, [sys.executable, "-m", "tensorboard.main", "--logdir", flags.folder, *passed])
