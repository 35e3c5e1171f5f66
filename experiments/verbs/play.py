"""An agent plays: returns and a film."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.disk import check_output, write_output
from core.errors import UsageError, told
from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import restored
from experiments.launcher.strangers import close, reported

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """An agent plays: prints its returns and writes a film."""

    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""
    out: str = ""
    """The film's file, a GIF; by default play.gif in the run's folder."""


def main(run: StoredRun, flags: Flags) -> None:
    place = run.path.absolute()  # an environment may change the working directory
    if flags.out:
        check_output(Path(flags.out))
    out, shown_out = (
        (Path(flags.out).absolute(), flags.out) if flags.out else (place / "play.gif", run.path / "play.gif")
    )
    spec = run.spec
    plugin, which = restored(run, flags.weights, "agent")
    try:
        with reported(spec, place, "play"):
            measured = dict(plugin.evaluate())
    finally:
        close(plugin, spec, print)
    from rich.console import Console

    from agents.rl.evaluate import NO_FILM
    from envs.film import film
    from experiments.launcher.console import closing_table
    from experiments.launcher.images import gif

    for i, score in enumerate(measured.get("eval/returns", [])):
        print(f"episode {i + 1}: return {score:g}")
    shown = {k: v for k, v in measured.items() if isinstance(v, (int, float, str))}
    closing_table(Console(highlight=False), f"{spec.name}, {which}", shown)
    films = [value for tag, value in measured.items() if tag.startswith("video/")]
    why = str(measured.get("eval/protocol", "")).partition(NO_FILM)[2]
    try:
        encoded = gif(film(films[0])) if films else b""
    except (UsageError, ValueError, TypeError, OSError) as error:
        encoded, why = b"", told(error)
    if encoded:
        write_output(out, lambda file: file.write(encoded))
        print(f"film: {shown_out}")
    else:
        print(f"no film: {why}" if why else "this environment cannot be drawn, so there is no film")
