"""An agent plays: returns and a film."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from core.disk import check_output, write_output
from core.errors import require
from experiments.launcher.evaluation import measure
from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import acting
from experiments.launcher.strangers import close, reported
from experiments.launcher.window import check_screen, show

__all__ = ["Flags", "main", "play"]


@dataclass(frozen=True)
class Flags:
    """An agent plays: prints its returns and writes a film."""

    episodes: int = 0
    """Episodes to play; 0 for as many as in the run's evaluations (--eval.episodes), for one of the zoo's."""
    seed: int | None = None
    """Seed of the episodes; by default that of the run's evaluations."""
    render: Literal["gif", "human", "none"] = "gif"
    """A film of the first episode as a file, in a window, or none."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""
    out: str = ""
    """The film's file, a GIF; by default play.gif in the run's folder, of the zoo ENTRY-play.gif here."""

    def __post_init__(self) -> None:
        require(self.episodes >= 0, f"--episodes is {self.episodes}; it must be 0 or more")
        require(self.seed is None or self.seed >= 0, f"--seed is {self.seed}; it must be 0 or more")


def main(run: StoredRun, flags: Flags) -> None:
    if flags.out:
        check_output(Path(flags.out))
    named = flags.out or run.output("play.gif")
    out = Path(named).absolute()  # an environment may change the working directory
    if flags.render == "human":
        check_screen()
    measured, which = play(run, flags, lambda i, score: print(f"episode {i + 1}: return {score:g}", flush=True))
    spec = run.spec
    from rich.console import Console

    from agents.rl.evaluate import NO_FILM
    from experiments.launcher.console import closing_table
    from experiments.launcher.images import gif

    shown = {k: v for k, v in measured.items() if isinstance(v, (int, float, str))}
    closing_table(Console(highlight=False), f"{spec.name}, {which}", shown)
    if flags.render == "none":
        return
    frames, why = measured.get("video/episode"), str(measured["eval/protocol"]).partition(NO_FILM)[2]
    if frames is None:
        print(f"no film: {why}" if why else "this environment cannot be drawn, so there is no film")
    elif flags.render == "human":
        show(frames, f"{spec.name}, {which}")
    else:
        encoded = gif(frames)
        write_output(out, lambda file: file.write(encoded))
        print(f"film: {named}")


def play(
    run: StoredRun, flags: Flags, on_episode: Callable[[int, float], object] | None = None
) -> tuple[dict[str, Any], str]:
    """Return what an evaluation of the run's agent says, with frames of a film where one is rendered, and which weights played.

    `on_episode` is called with (place in eval/returns, return) as soon as an episode is over.

    Raises UsageError for a run of another kind, ForeignError for what the plugin or its environment raises.
    """
    plugin, which = acting(run, flags.weights)
    settings = run.experiment.evaluation
    assert settings is not None
    settings = replace(settings, film="never" if flags.render == "none" else "always")
    if flags.episodes:
        settings = replace(settings, episodes=flags.episodes)
    elif run.read_only and "eval.episodes" not in run.given:
        settings = replace(settings, episodes=1)  # something to see at once
    if flags.seed is not None:
        settings = replace(settings, seed=flags.seed)
    try:
        with reported(run.spec, run.traces, "play"):
            return measure(plugin, settings, run.settings.seed, last=True, on_episode=on_episode), which
    finally:
        close(plugin, run.spec, print)
