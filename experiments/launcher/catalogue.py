"""What can be run: plugins found by folder scan and by entry point, and their presets. Imports no TensorFlow."""

from __future__ import annotations

import importlib
import importlib.metadata
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

from core.errors import UsageError, nearest, told
from core.plugin import REGISTRY, Spec, canonical

__all__ = ["ENTRY_POINTS", "Catalogue", "Preset", "catalogue", "find"]

ENTRY_POINTS = "pongan.plugins"
BUILT_IN = ("agents", "generative")


@dataclass(frozen=True)
class Preset:
    """A named set of values for one plugin: a YAML file in the `presets` folder beside the plugin's configuration."""

    name: str
    plugin: str
    path: Path

    @property
    def summary(self) -> str:
        """The file's first comment line."""
        with open(self.path, encoding="utf-8") as file:
            first = file.readline()
        return first.lstrip("# ").strip() if first.startswith("#") else ""


@dataclass
class Catalogue:
    """All plugins and presets by name, and what could not be loaded, with the reason."""

    plugins: dict[str, Spec] = field(default_factory=dict)
    presets: dict[str, Preset] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)

    def find(self, name: str) -> tuple[Spec, Preset | None]:
        """Return the plugin (and preset) called `name`; UsageError with the nearest name otherwise."""
        key = canonical(name)
        if key in self.plugins:
            return self.plugins[key], None
        if key in self.presets:
            return self.plugins[self.presets[key].plugin], self.presets[key]
        for source, reason in self.broken.items():
            if key in source:
                raise UsageError(f"experiment {name!r} is there but broken: {reason}")
        raise UsageError(f"there is no experiment {name!r}; {nearest(key, [*self.plugins, *self.presets])}")


def find(name: str) -> tuple[Spec, Preset | None]:
    """Return the plugin (and preset) called `name`, as `catalogue().find` does; where it is one of ours, no other is loaded."""
    key, known = canonical(name), catalogue.cache_info().currsize > 0
    for config in () if known else _configurations():
        if config.parent.name == key.replace("-", "_") or (config.parent / "presets" / f"{key}.yaml").exists():
            alone = _loaded([config])
            if key in alone.plugins or key in alone.presets:
                return alone.find(key)
    return catalogue().find(name)


@lru_cache(maxsize=1)
def catalogue() -> Catalogue:
    """Load every plugin once; a broken one is listed as such and harms nobody else."""
    return _loaded(_configurations(), importlib.metadata.entry_points(group=ENTRY_POINTS))


def _configurations() -> list[Path]:
    """Return the file that registers a plugin of ours, for each."""
    roots = [Path(importlib.import_module(package).__path__[0]) for package in BUILT_IN]
    return [config for root in roots for config in sorted(root.glob("*/config.py"))]


def _loaded(configurations: Iterable[Path], entries: Iterable[importlib.metadata.EntryPoint] = ()) -> Catalogue:
    """Load these plugins of ours, then those of other packages, and find the presets of all."""
    result = Catalogue()

    def load(source: str, action: str) -> None:
        before = set(REGISTRY)
        try:
            module, _, attribute = action.partition(":")
            loaded = importlib.import_module(module)
            if attribute:
                getattr(loaded, attribute)
            new = set(REGISTRY) - before or {k for k, s in REGISTRY.items() if s.config.__module__ == module}
            if not new:
                raise UsageError(f"{action} registers no plugin")
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's module may raise anything; `list` shows it
            for name in set(REGISTRY) - before:
                del REGISTRY[name]
            result.broken[source] = (
                str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {told(error)}"
            )
            return
        for name in new:
            result.plugins[name] = REGISTRY[name]

    for config in configurations:
        package, name = config.parts[-3:-1]
        load(f"{package}/{name}", f"{package}.{name}.config")
    for entry in sorted(entries, key=lambda e: e.name):
        origin = f"{entry.name} (package {entry.dist.name})" if entry.dist else entry.name
        load(origin, entry.value)
    _find_presets(result)
    return result


def _find_presets(result: Catalogue) -> None:
    """Add the presets beside every configuration; where several plugins share a folder, `experiment:` says whose each is."""
    neighbours: dict[Path, list[str]] = {}
    for spec in result.plugins.values():
        module_file = sys.modules[spec.config.__module__].__file__
        if module_file:
            neighbours.setdefault(Path(module_file).parent / "presets", []).append(spec.name)
    for folder, owners in neighbours.items():
        for path in sorted(folder.glob("[!.]*.yaml")):  # what editors leave begins with a dot
            name, source = canonical(path.stem), f"preset {path.stem} ({path})"
            try:
                said = _owner(path)
            except (OSError, UnicodeDecodeError) as error:
                result.broken[source] = f"it cannot be read: {error}"
                continue
            owner = canonical(said or owners[0]) if len(owners) == 1 or said else ""
            if owner not in owners:
                result.broken[source] = f"it must say 'experiment: NAME', with one of {', '.join(sorted(owners))}"
            elif name in result.plugins or name in result.presets:
                result.broken[source] = f"the name {name!r} is already taken"
            else:
                result.presets[name] = Preset(name, owner, path)


def _owner(path: Path) -> str:
    """Return what follows `experiment:` in a YAML file, without importing a YAML reader."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("experiment:"):
            return line.partition(":")[2].strip()
    return ""
