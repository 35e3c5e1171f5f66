"""What a person sees while a run trains: a live bar on a terminal, plain lines in a pipe, a table at the end."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from core.errors import UsageError

__all__ = ["Display", "closing_table", "error", "exit_with", "show_curve"]

PLAIN_SECONDS = 10.0  # between two plain lines, of a training whose steps are short
SILENT_SECONDS = 14.0  # after which a line comes even in the middle of a step, an evaluation or a save


def error(sentence: str) -> None:
    """Print one sentence to stderr."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"[bold red]error:[/] {escape(sentence)}")


def exit_with(main: Callable[[], int | None]) -> NoReturn:
    """Call `main` and leave the process with what it returns, or with 2 and one sentence where it raises UsageError."""
    try:
        sys.exit(main())
    except UsageError as failure:
        error(str(failure))
        sys.exit(2)


class Display:
    """Progress of one run: rate, time left and the headline metric.

    In a pipe a line comes every 10 seconds, by a thread of its own every 14 where the training is busy with something longer.
    With `quiet` there are warnings only, on stderr.
    """

    def __init__(self, name: str, unit: str, until: int, time_limit: float, quiet: bool = False):
        self.console = _Lasting(highlight=False, soft_wrap=not sys.stdout.isatty(), quiet=quiet)
        self._quiet = quiet
        self._unit, self._until, self._time_limit = unit, until, time_limit
        self._begun = self._printed = self._drawn = time.monotonic()
        self._start_clock: int | None = None
        self._clock: int | None = None  # of the last step
        self._rate = 0.0
        self.headline = ""
        self._progress: Progress | None = None
        self._closed = threading.Event()
        if quiet:
            return
        if self.console.is_terminal:
            self._progress = Progress(  # fits 80 columns
                BarColumn(bar_width=16),
                TextColumn("{task.fields[clock]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[headline]}"),
                console=self.console,
                refresh_per_second=4,
            )
            # The bar shows whichever limit is nearer: thousandths of the run.
            self._task = self._progress.add_task(name, total=1000, clock="", headline="")
            self._progress.start()
        else:
            threading.Thread(target=self._break_silence, daemon=True).start()

    def say(self, line: str) -> None:
        """Print a line of its own."""
        self._printed = time.monotonic()
        if self._quiet and line.startswith("warning:"):
            print(line, file=sys.stderr)
        self.console.print(escape(line))

    def update(self, clock: int, figures: Callable[[], Mapping[str, float]] = dict) -> None:
        """Show where the run stands; called after every step. `figures` is asked for means when a line is due."""
        now = time.monotonic()
        if self._start_clock is None:
            self._start_clock = clock
        self._clock = clock
        if now - self._drawn < 0.25:
            return
        self._drawn = now
        self._rate = (clock - self._start_clock) / max(now - self._begun, 1e-9)
        if self._progress is not None:
            done = clock / self._until
            if self._time_limit:
                done = max(done, (now - self._begun) / self._time_limit)
            place = f"{clock:,}/{self._until:,} {self._rate_text()}"
            headline = escape(self.headline)
            self._progress.update(self._task, completed=1000 * min(done, 1), clock=place, headline=headline)
        elif now - self._printed >= PLAIN_SECONDS:
            logged = figures()
            short = [tag for tag in logged if tag.split("/")[0] in ("rollout", "loss", "critic")][:4]
            self._print_place(now, [f"{tag} {logged[tag]:.4g}" for tag in short])

    def _print_place(self, now: float, figures: list[str]) -> None:
        if self._clock is None:
            self.say("preparing: data, networks, the first step")
            return
        place = f"{self._clock:,}/{self._until:,} {self._unit}"
        parts = [place, self._rate_text(), self._left(self._clock, now), *figures, self.headline]
        self.say(", ".join(part for part in parts if part))

    def _rate_text(self) -> str:
        return f"{self._rate:,.{0 if self._rate >= 10 else 1 if self._rate >= 1 else 2}f}/s" if self._rate else ""

    def _break_silence(self) -> None:
        while not self._closed.wait(1.0):
            now = time.monotonic()
            if now - self._printed >= SILENT_SECONDS:
                self._print_place(now, [])

    def _left(self, clock: int, now: float) -> str:
        left = (self._until - clock) / self._rate if self._rate else float("inf")
        if self._time_limit:
            left = min(left, self._time_limit - (now - self._begun))
        return f"{max(left, 0) / 60:.1f} min left" if left != float("inf") else ""

    def close(self) -> None:
        """Take the bar away; lines can still be printed."""
        self._closed.set()
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def closing_table(console: Console, title: str, rows: dict[str, Any]) -> None:
    """Print what a run came to."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for key, value in rows.items():
        table.add_row(key, f"{value:,.4g}" if isinstance(value, float) else escape(str(value)))
    console.print(table)


def show_curve(console: Console, curves: Mapping[str, list[tuple[int, float]]], headline: str, unit: str) -> None:
    """Plot the run's curve: an agent's mean return of the last 100 episodes, else the headline; nothing of fewer than 3 points.

    `curves` is tag -> [(clock, value)].
    """
    tag = "rollout/return_last100" if "rollout/return_last100" in curves else headline
    points = curves.get(tag, [])
    if len(points) < 3:
        return
    from uniplot import plot_to_string

    xs, ys = zip(*points, strict=True)
    width = min(max(console.width - 16, 20), 100)
    print(
        f"{tag} over {unit}",
        plot_to_string(ys, xs, lines=True, width=width, height=12, color=False),
        sep="\n",
        file=console.file,
    )


class _Lasting(Console):
    """A console whose reader may leave, as `| head` does: from then on nothing is printed, and the training goes on."""

    def on_broken_pipe(self) -> None:
        self.quiet = True
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # what the interpreter flushes at its end goes there
        os.close(nowhere)
