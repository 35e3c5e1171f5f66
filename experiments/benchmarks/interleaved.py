"""Speeds measured in turns, so that a machine that slows down slows everybody: each measurement in a process of its own."""

from __future__ import annotations

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.launcher.experiment import Experiment
from experiments.launcher.restore import make_plugin

__all__ = ["built", "interleave", "parser", "per_second", "protocol", "steps"]


def parser(description: str | None, *, seconds: float, rounds: int) -> argparse.ArgumentParser:
    """Return a parser with the flags of every speed: `--seconds`, `--rounds` and, hidden, `--worker WORD ...` (`interleave`)."""
    made = argparse.ArgumentParser(description=(description or "").splitlines()[0])
    made.add_argument("--seconds", type=_positive(float), default=seconds, help="least time of one measurement")
    made.add_argument("--rounds", type=_positive(int), default=rounds, help="measurements of each contender, in turns")
    made.add_argument("--worker", nargs="+", help=argparse.SUPPRESS)
    return made


def interleave(
    module: str, contenders: Mapping[str, Sequence[str]], rounds: int, seconds: float, *, tolerant: bool = False
) -> dict[str, dict[str, Any]]:
    """Run `python -m module --worker WORDS --seconds N` for every name -> words, `rounds` times over.

    Returns {name: {"seconds": N, "rates": [per second]}}; the last line that the process prints is the rate. Raises RuntimeError
    with the end of its messages if it fails; with `tolerant` the contender's row is {"seconds": N, "failed": its last line}.
    """
    rows: dict[str, dict[str, Any]] = {name: {"seconds": seconds, "rates": []} for name in contenders}
    for number in range(rounds):
        for name, words in contenders.items():
            if "failed" in rows[name]:
                continue
            command = [sys.executable, "-m", module, "--worker", *words, "--seconds", str(seconds)]
            done = subprocess.run(command, capture_output=True, text=True)
            if not done.returncode:
                rate = float(done.stdout.splitlines()[-1])
                rows[name]["rates"].append(rate)
                print(f"round {number + 1}: {name} {rate:,.{0 if rate >= 100 else 3}f}/s", flush=True)
            elif tolerant:
                rows[name] = {
                    "seconds": seconds,
                    "failed": (done.stderr.strip().splitlines() or ["no message"])[-1][:200],
                }
                print(f"{name} failed: {rows[name]['failed']}", flush=True)
            else:
                raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
    return rows


def protocol(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return how rows of `interleave` were measured, for a note.

    >>> protocol({"a": {"seconds": 5.0, "rates": [1.0, 2.0]}, "b": {"seconds": 5.0, "rates": [1.0, 2.0, 3.0]}})
    '2 to 3 interleaved rounds of at least 5 s, each in a process of its own'
    """
    counts = {len(row["rates"]) for row in rows.values() if "rates" in row}
    lengths = {row["seconds"] for row in rows.values()}
    number, least = (" to ".join(f"{n:g}" for n in sorted({min(some), max(some)})) for some in (counts, lengths))
    return f"{number} interleaved round{'s' * (counts != {1})} of at least {least} s, each in a process of its own"


def per_second(turn: Callable[[], float], seconds: float, *, warm: int = 1, least: int = 1) -> float:
    """Return the sum of what `turn` returns by the second, over at least `seconds` and `least` calls.

    `warm` calls come before: start-up, tracing, compiling, first touches.
    """
    for _ in range(warm):
        turn()
    begun, done, turns = time.perf_counter(), 0.0, 0
    while time.perf_counter() - begun < seconds or turns < least:
        done += turn()
        turns += 1
    return done / (time.perf_counter() - begun)


@contextlib.contextmanager
def built(words: Sequence[str]) -> Iterator[Any]:
    """Give the plugin that the launcher would build for the words after `run`, on the CPU; it is closed at the end."""
    from core.runtime import configure

    chosen = Experiment.of(words)
    settings = chosen.settings
    configure(device="cpu", precision=settings.precision, deterministic=settings.deterministic)
    with tempfile.TemporaryDirectory() as folder:
        plugin = make_plugin(chosen.spec, chosen.config, settings, Path(folder), lambda line: None)
        try:
            yield plugin
        finally:
            plugin.close()


def steps(plugin: Any) -> Callable[[], int]:
    """Return a turn for `per_second`: one `step()` of the plugin, counted by its clock."""

    def turn() -> int:
        before = plugin.clock
        plugin.step()
        return int(plugin.clock - before)

    return turn


def _positive(kind: Callable[[str], Any]) -> Callable[[str], Any]:
    def parsed(text: str) -> Any:
        value = kind(text)
        if not value > 0:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    parsed.__name__ = kind.__name__  # argparse's word for it
    return parsed
