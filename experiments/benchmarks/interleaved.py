"""Speeds measured in turns, so that a machine that slows down slows everybody: each measurement in a process of its own."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping

__all__ = ["interleave", "machine"]


def interleave(module: str, contenders: Mapping[str, Iterable[object]], rounds: int) -> dict[str, list[float]]:
    """Run `python -m module ARGUMENTS` for every name -> arguments, `rounds` times over; return name -> [steps per second].

    The last line that the process prints is the figure. Raises RuntimeError with the end of its messages if it fails.
    """
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, arguments in contenders.items():
            command = [sys.executable, "-m", module, *map(str, arguments)]
            done = subprocess.run(command, capture_output=True, text=True)
            if done.returncode:
                raise RuntimeError(f"{name} failed:\n{done.stderr[-3000:]}")
            rates[name].append(float(done.stdout.splitlines()[-1]))
            print(f"round {number + 1}: {name} {rates[name][-1]:,.0f} steps/s", flush=True)
    return rates


def machine() -> str:
    """Return where and when: architecture, cores, date."""
    return f"{platform.machine()}, {os.cpu_count()} cores, {time.strftime('%Y-%m-%d')}"
