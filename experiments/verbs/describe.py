"""Paper, algorithm, presets and defaults of an experiment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro
from tyro.conf import Positional

from experiments.launcher.catalogue import catalogue
from experiments.launcher.flags import as_dict
from experiments.launcher.yaml_file import flattened

__all__ = ["Flags", "main"]


@dataclass(frozen=True)
class Flags:
    """Print paper, algorithm, x-axis, headline metric, presets and defaults of an experiment."""

    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """A plugin or preset."""


def main(flags: Flags) -> None:
    from rich.console import Console

    spec, preset = catalogue().find(flags.name)
    console = Console(highlight=False)
    console.print(f"{spec.name}: {spec.summary}", style="bold", markup=False)
    console.print(f"\n{spec.description}\n", markup=False)
    facts = {
        "paper": spec.paper or "none named",
        "x-axis": spec.clock,
        "headline": f"{spec.headline} ({spec.goal})",
        "presets": ", ".join(sorted(p.name for p in catalogue().presets.values() if p.plugin == spec.name)) or "none",
    }
    for key, value in facts.items():
        console.print(f"{key:9s} {value}", markup=False, soft_wrap=True)
    if preset is not None:
        console.print(f"\npreset {preset.name}: {preset.summary}\n{preset.path.read_text().rstrip()}", markup=False)
    console.print("\ndefaults")
    for key, value in flattened({spec.prefix: as_dict(spec.config())}):
        console.print(f"  --{key.replace('_', '-'):32s} {value}", markup=False, soft_wrap=True)
