"""Plugins, presets and data sources, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.launcher.catalogue import catalogue
from generative.data.registry import all_sources

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print every plugin, preset and data source, one line each, and what could not be loaded."""


def main(flags: Flags) -> None:
    from rich.console import Console
    from rich.table import Table

    found = catalogue()
    sources, broken_sources = all_sources()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "kind", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name, spec in sorted(found.plugins.items()):
        table.add_row(name, spec.kind, spec.summary)
        for preset in sorted((p for p in found.presets.values() if p.plugin == name), key=lambda p: p.name):
            table.add_row(f"  {preset.name}", "preset", preset.summary)
    for source in sources:
        table.add_row(source.usage, f"data: {source.kind}", source.summary)
    console = Console(highlight=False)
    console.print(table)
    broken = found.broken | {f"data source {origin}": reason for origin, reason in broken_sources.items()}
    for origin, reason in sorted(broken.items()):
        console.print(f"broken: {origin}: {reason}", markup=False, soft_wrap=True)
