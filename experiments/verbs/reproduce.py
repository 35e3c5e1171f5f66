"""Train a run again and compare, to the last bit."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from typing import Any

from core.errors import UsageError, require
from core.zoo import PREFIX
from experiments.launcher.experiment import StoredRun
from experiments.launcher.folder import RunFolder

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Train a run again, in a folder that is gone afterwards, and say whether it comes out equal to the last bit, or the first
    clock and the tensors that differ. The exit code is 0 for equal, else 1.

    pongan reproduce runs/NAME/ENV/DATE-TIME-s1 --until 20000
    """

    until: int = 0
    """Clock to train to; 0 for the run's newest checkpoint."""
    lines: int = 10
    """Lines of a table."""

    def __post_init__(self) -> None:
        require(self.until >= 0, f"--until is {self.until}; it must be 0 (the newest checkpoint) or a clock")
        require(self.lines >= 1, f"--lines is {self.lines}; it must be at least 1")


def main(run: StoredRun, flags: Flags) -> int:
    from pathlib import Path

    import numpy as np
    from rich.console import Console

    from core import checkpoint
    from experiments.differences import TIMES, compared, lines
    from experiments.launcher.events import read_scalars
    from experiments.launcher.training import start

    run.check_whole()
    if run.given:
        raise UsageError(f"a run is reproduced as it was; {next(iter(run.given.values()))!r} would make it another run")
    forked = RunFolder.meta(run.path).get("forked", {})
    origin = str(forked.get("run", "another run"))
    weights = StoredRun.of([origin]) if origin.startswith(PREFIX) else None
    if forked and weights is None:
        raise UsageError(f"{run.path} was forked from {origin}; reproduce that one, and fork it again")
    whole = checkpoint.numbered(run.path)
    require(bool(whole), f"{run.path} has no checkpoint yet")
    newest = checkpoint.clock_of(whole[0])
    until = flags.until or newest
    require(0 < until <= newest, f"--until is {until}; {run.path} has come to {newest}")
    told = {(clock, tag): value for tag, line in read_scalars(run.path).items() for clock, value in line}
    exact = run.settings.deterministic
    if not exact:
        print("the run was not --run.deterministic: expect differences from the rounding of sums on")
    console = Console(highlight=False)

    def watch(loop: Any) -> None:
        def on_log(clock: int, point: dict[str, Any]) -> None:
            same = all(
                told.get((clock, tag), value) == float(np.float32(value))
                for tag, value in point.items()
                if not tag.startswith(TIMES)
            )
            if exact and not same:
                loop.stop_soon()

        loop.on_log = on_log

    with tempfile.TemporaryDirectory() as scratch:
        settings = replace(run.settings, folder=scratch, until=until, time_limit=0.0, solved_at=None)
        ending = start(replace(run.experiment, settings=settings), watch, quiet=True, weights=weights)
        if ending.signal is not None:
            return ending.code
        found = compared(Path(run.path), ending.path, end=until)
        for name in ("run.until", "run.time_limit", "run.solved_at"):
            found.records.pop(name, None)
        for part in lines(found, ("the run", "again"), flags.lines):
            console.print(part)
    print("reproduced: equal to the last bit" if found.same else "not reproduced: the first differences stand above")
    return 0 if found.same else 1
