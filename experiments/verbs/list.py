"""Plugins by what they do, presets and data sources, one line each."""

from __future__ import annotations

from dataclasses import dataclass

from core.plugin import GROUPS, Spec
from experiments.launcher.catalogue import catalogue
from generative.data.registry import all_sources

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print every plugin by what it does, preset and data source, one line each, and what could not be loaded."""


def main(flags: Flags) -> None:
    from rich.console import Console
    from rich.table import Table

    found = catalogue()
    sources, broken_sources = all_sources()
    groups: dict[str, list[Spec]] = {}
    for spec in sorted(
        found.plugins.values(), key=lambda spec: (spec.kind, spec.group in GROUPS.values(), spec.group, spec.name)
    ):
        groups.setdefault(spec.group, []).append(spec)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "kind", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for group, specs in groups.items():
        table.add_section()
        table.add_row(f"[bold]{group}[/]")
        for spec in specs:
            table.add_row(f"  {spec.name}", spec.kind, spec.summary)
            for preset in sorted((p for p in found.presets.values() if p.plugin == spec.name), key=lambda p: p.name):
                table.add_row(f"    {preset.name}", "preset", preset.summary)
    table.add_row("[bold]Data[/]")
    for source in sources:
        table.add_row(f"  {source.usage}", f"data: {source.kind}", source.summary)
    console = Console(highlight=False)
    console.print(table)
    broken = found.broken | {f"data source {origin}": reason for origin, reason in broken_sources.items()}
    for origin, reason in sorted(broken.items()):
        console.print(f"broken: {origin}: {reason}", markup=False, soft_wrap=True)
