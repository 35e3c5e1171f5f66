"""What the suite measures of each preset: the block `benchmark:` of its YAML file.

    benchmark:
      - {seeds: 5, target: 475, threshold: 475}
      - {name: pong-no-ops, target: 18, minutes: 10, flags: --agent.env.noop-max 30}

Every entry becomes a file in `results/`. A preset without the block has one entry of defaults. An empty list keeps a preset out
of the suite, e.g. one whose sizes take weeks on a CPU; it is still trained when it is named.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from core.errors import UsageError, require
from core.plugin import Spec
from experiments.launcher.catalogue import Preset, catalogue
from experiments.launcher.flags import parse_values
from experiments.launcher.yaml_file import read_yaml

__all__ = ["Measurement", "measurements", "plan"]


@dataclass(frozen=True)
class Measurement:
    """One entry of the block: arguments of `experiments.benchmarks.learning`, and the target."""

    seeds: int = 3
    """Seeds 1 to N."""
    name: str = ""
    """Name of the result files, if not the preset's."""
    target: float | None = None
    """Mean over seeds that the final weights' headline should reach: at least, or at most where less is better."""
    minutes: float = 0.0
    """Minutes in which every seed should reach the target; 0 for no limit."""
    threshold: float = 0.0
    """The table says when the curve first lay beyond this value."""
    curve: str = ""
    """Tag that is drawn, if not the usual one."""
    within: tuple[float, ...] = ()
    """The table says the best evaluation within so many minutes."""
    flags: str = ""
    """Flags for every run, as on a command line."""
    tolerance: float = 0.0
    """How far a seed's score may lie from its recorded one when it is trained again (`pongan claims`); 0 for three standard
    deviations of the recorded seeds, and at least 5 % of their mean."""

    def __post_init__(self) -> None:
        require(self.seeds >= 1, f"seeds is {self.seeds}; it must be 1 or more")
        require(self.tolerance >= 0, f"tolerance is {self.tolerance:g}; it must be 0 (the usual one) or more")
        require(self.minutes >= 0, f"minutes is {self.minutes:g}; it must be 0 (no limit) or more")
        require(
            re.fullmatch(r"([\w-][\w.-]*)?", self.name) is not None,
            f"name is {self.name!r}; use letters, digits, '.', '_' and '-'",
        )
        try:
            shlex.split(self.flags)
        except ValueError as error:
            raise UsageError(f"flags is {self.flags!r}: {error}") from error

    def arguments(self) -> list[str]:
        """Return the words that `experiments.benchmarks.learning` takes after the preset."""
        words = ["--seeds", str(self.seeds)]
        for name in ("name", "curve"):
            words += [f"--{name}", getattr(self, name)] if getattr(self, name) else []
        words += ["--threshold", f"{self.threshold:g}"] if self.threshold else []
        words += ["--within", *(f"{minutes:g}" for minutes in self.within)] if self.within else []
        return words + (["--flags", *shlex.split(self.flags)] if self.flags else [])

    def judged(self, spec: Spec, mean: float, slowest: float) -> str:
        """Return the target and whether the mean over seeds met it; `slowest` is the longest training in minutes."""
        if self.target is None:
            return ""
        beyond = mean >= self.target if spec.goal == "max" else mean <= self.target
        met = beyond and (not self.minutes or slowest <= self.minutes)
        limit = f" within {self.minutes:g} minutes" if self.minutes else ""
        return f"{'>=' if spec.goal == 'max' else '<='} {self.target:g}{limit}, {'met' if met else 'missed'}"


def measurements(preset: Preset) -> tuple[Measurement, ...]:
    """Return what a preset's file says under `benchmark:`. Raises UsageError for an unknown key or a wrong value."""
    block = read_yaml(preset.path).get("benchmark", [{}])
    source = f"preset {preset.name} ({preset.path}), benchmark"
    if not isinstance(block, list) or not all(isinstance(entry, Mapping) for entry in block):
        raise UsageError(
            f"{source}: it must be a list of settings such as '- {{seeds: 3, target: 475}}', not {block!r}"
        )
    found = []
    for entry in block:
        try:
            found.append(parse_values(Measurement, [], layers=[("entry", entry)], prog="benchmark"))
        except UsageError as error:
            raise UsageError(f"{source}: {str(error).removeprefix('entry: ')}") from error
    return tuple(found)


def plan() -> dict[str, tuple[Measurement, ...]]:
    """Return the measurements of every preset there is: agents before models, then by plugin and name.

    Raises UsageError where two of them would write the same file.
    """
    plugins = catalogue().plugins
    presets = sorted(catalogue().presets.values(), key=lambda p: (plugins[p.plugin].kind, p.plugin, p.name))
    planned = {preset.name: measurements(preset) for preset in presets}
    owners: dict[str, str] = {}
    for preset, entries in planned.items():
        for entry in entries:
            name = entry.name or preset
            require(
                name not in owners,
                f"preset {preset}, benchmark: the name {name!r} is that of a result of {owners.get(name)}; choose another",
            )
            owners[name] = preset
    return planned
