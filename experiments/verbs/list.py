"""Plugins and presets, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.launcher.catalogue import catalogue

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print every plugin and preset, one line each, and what could not be loaded."""


def main(flags: Flags) -> None:
    from rich.console import Console
    from rich.table import Table

    found = catalogue()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "kind", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name, spec in sorted(found.plugins.items()):
        table.add_row(name, spec.kind, spec.summary)
        for preset in sorted((p for p in found.presets.values() if p.plugin == name), key=lambda p: p.name):
            table.add_row(f"  {preset.name}", "preset", preset.summary)
    console = Console(highlight=False)
    console.print(table)
    for source, reason in sorted(found.broken.items()):
        console.print(f"broken: {source}: {reason}", markup=False, soft_wrap=True)
