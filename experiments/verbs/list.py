"""Plugins by what they do, their presets, and data sources, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from core.plugin import GROUPS, Spec
from experiments.launcher.catalogue import catalogue
from generative.data.registry import all_sources

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print every plugin by what it does, with its presets below it, every data source, and what could not be loaded."""


def main(flags: Flags) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    found = catalogue()
    sources, broken_sources = all_sources()
    groups: dict[str, list[Spec]] = {}
    for spec in sorted(
        found.plugins.values(), key=lambda spec: (spec.kind, spec.group in GROUPS.values(), spec.group, spec.name)
    ):
        groups.setdefault(spec.group, []).append(spec)
    rows: dict[str, list[tuple[str, str]]] = {}
    for group, specs in groups.items():
        rows[group] = []
        for spec in specs:
            presets = sorted((p for p in found.presets.values() if p.plugin == spec.name), key=lambda p: p.name)
            rows[group].append((spec.name, spec.summary))
            rows[group] += [(f"  {preset.name}", preset.summary) for preset in presets]
    rows["Data"] = [(source.usage, f"{source.kind}: {source.summary}") for source in sources]
    width = max(len(name) for some in rows.values() for name, _ in some)
    console = Console(highlight=False)
    for title, some in rows.items():
        table = Table(box=None, show_header=False, padding=(0, 0, 0, 2))
        table.add_column(width=width, no_wrap=True)
        table.add_column(overflow="fold")
        for name, what in some:
            table.add_row(Text(name), Text(what))
        console.print(title, style="bold", markup=False)
        console.print(table, "")
    broken = found.broken | {f"data source {origin}": reason for origin, reason in broken_sources.items()}
    for origin, reason in sorted(broken.items()):
        console.print(f"broken: {origin}: {reason}", markup=False, soft_wrap=True)
