"""What a verb is about: an experiment that is named and configured, or a run that is there."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any

from core.errors import UsageError
from core.plugin import Spec
from core.zoo import is_entry, located
from experiments.launcher.catalogue import find
from experiments.launcher.flags import as_dict, current_names, flags, parse, take_option
from experiments.launcher.folder import RunFolder
from experiments.launcher.settings import EvalConfig, RunConfig
from experiments.launcher.yaml_file import flattened, read_yaml

__all__ = ["Experiment", "StoredRun", "field_of"]

NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Experiment:
    """A plugin and its configuration."""

    spec: Spec
    label: str
    """Name of the preset, or else of the plugin."""
    config: Any
    settings: RunConfig
    evaluation: EvalConfig | None = None
    """Of an agent."""
    words: tuple[str, ...] = ()
    """The settings that were given after the name, as they were given."""
    flags: Any = None
    """Those of the verb, where one was parsed with the settings."""

    @property
    def subject(self) -> str:
        """What is learned from: the environment or the data source."""
        return str(field_of(self.config, self.spec.subject))

    @classmethod
    def of(
        cls,
        argv: Sequence[str],
        verb: type | None = None,
        prog: str = "python -m experiments.run",
        settings: Mapping[str, Any] = NOTHING,
    ) -> Experiment:
        """Read `<plugin or preset> [--config FILE] [flags]`, and with `verb` its flags too.

        `settings` are nested or dotted values from Python, above those of files.

        Raises UsageError for a name that does not exist and for what `experiments.launcher.flags.parse` refuses.
        """
        name, rest = argv[0], list(argv[1:])
        spec, preset = find(name)
        layers: list[tuple[str, Mapping[str, Any]]] = []
        if preset is not None:
            layers.append((f"preset {preset.name}", _relaunch_values(preset.path, spec)))
        file = take_option(rest, "--config")
        if file is not None:
            layers.append((file, _relaunch_values(Path(file), spec)))
        layers.append(("settings", settings))
        label = preset.name if preset else spec.name
        usage = inspect.cleandoc(verb.__doc__ or "") if verb and fields(verb) else _examples(label, spec)
        parsed = parse(spec, layers, rest, prog=f"{prog} {label}", usage=usage, verb=verb)
        return cls.parsed(spec, label, parsed, _settings(argv[1:]))

    @classmethod
    def parsed(cls, spec: Spec, label: str, values: Any, words: Sequence[str] = ()) -> Experiment:
        """Return what `experiments.launcher.flags.parse` has read."""
        evaluation, flags = getattr(values, "eval", None), getattr(values, "flags", None)
        return cls(spec, label, getattr(values, spec.prefix), values.run, evaluation, tuple(words), flags)

    def values(self) -> dict[str, Any]:
        """Return what config.yaml holds: nested plain values that launch it again."""
        sections = {self.spec.prefix: self.config, "eval": self.evaluation, "run": self.settings}
        given = {name: as_dict(section) for name, section in sections.items() if section is not None}
        return {"experiment": self.spec.name, "preset": self.label, **given}


@dataclass(frozen=True)
class StoredRun:
    """A run's folder, or an entry of a zoo, and its experiment with what flags change in it."""

    path: Path
    """Its folder."""
    word: str
    """What it was called: the folder as it was given, or zoo:NAME."""
    experiment: Experiment
    began: Experiment
    """What it is without those flags."""
    given: Mapping[str, str]
    """Settings that flags change: dotted name -> the flag as it was given."""
    read_only: bool
    """Whether it is an entry of a zoo, into which nothing is written."""
    traces: Path
    """Folder of tracebacks, absolute: its own, or of an entry the current one."""

    @property
    def spec(self) -> Spec:
        return self.experiment.spec

    @property
    def config(self) -> Any:
        return self.experiment.config

    @property
    def settings(self) -> RunConfig:
        return self.experiment.settings

    @property
    def flags(self) -> Any:
        """Those of the verb, where one was parsed with the settings."""
        return self.experiment.flags

    def check_whole(self) -> None:
        """Raise UsageError for an entry of a zoo, from whose weights no training goes on."""
        if self.read_only:
            raise UsageError(
                f"{self.word} is of the zoo, which is read only, and has no more than weights; train it anew: "
                f"python -m experiments.run {self.experiment.label}"
            )

    def output(self, name: str) -> Path:
        """Return where a file goes that the user did not name: into the run's folder, of an entry of a zoo into the current one,
        with the entry's name."""
        return Path(f"{self.path.name}-{name}") if self.read_only else self.path / name

    @classmethod
    def of(
        cls,
        argv: Sequence[str],
        verb: type | None = None,
        prog: str = "pongan",
        settings: Mapping[str, Any] = NOTHING,
    ) -> StoredRun:
        """Read `<run folder or zoo:NAME> [flags]`, and with `verb` its flags too; `settings` are values from Python, like flags.

        Raises UsageError for a folder that is no run's and for what `experiments.launcher.flags.parse` refuses.
        """
        word, path, rest = argv[0], located(argv[0]), list(argv[1:])
        RunFolder.check(path)
        stored = RunFolder.read_config(path)
        spec, _ = find(stored["experiment"])
        label, file = str(stored.get("preset", spec.name)), path / "config.yaml"
        stored_layer = (str(file), current_names(_relaunch_values(file, spec), spec))
        layers = [stored_layer, ("settings", settings)]
        usage = inspect.cleandoc((verb and verb.__doc__) or "")
        experiment = Experiment.parsed(
            spec, label, parse(spec, layers, rest, prog=f"{prog} {argv[0]}", usage=usage, verb=verb)
        )
        names = [word.partition("=")[0] for word in _settings(rest) if word.startswith("--")]
        given = {name[2:].replace("-", "_"): name for name in names}
        given |= {name.replace("-", "_"): name for name, _ in flattened(settings)}
        read_only = is_entry(path)
        traces = Path.cwd() if read_only else path.absolute()
        if not given:
            return cls(path, word, experiment, experiment, given, read_only, traces)
        began = Experiment.parsed(spec, label, parse(spec, [stored_layer], [], prog=prog, usage=""))
        return cls(path, word, experiment, began, given, read_only, traces)


def field_of(config: Any, dotted: str) -> Any:
    """Return a field of nested dataclasses; UsageError where a plugin's registration names one that is not there."""
    for name in dotted.split("."):
        if not hasattr(config, name):
            raise UsageError(
                f"{type(config).__name__} has no field {name!r}, which the plugin's registration names ({dotted!r})"
            )
        config = getattr(config, name)
    return config


def _settings(words: Sequence[str]) -> list[str]:
    """Return the words that are settings of the run, --config among them, without the verb's own flags."""
    kept, ours = [], False
    for word in words:
        if word.startswith("-") and not re.match(r"-\.?\d", word):  # a negative number is a value
            name = word.partition("=")[0]
            ours = "." in name or name == "--config"
        if ours:
            kept.append(word)
    return kept


def _relaunch_values(file: Path, spec: Spec) -> dict[str, Any]:
    values = read_yaml(file)
    owner = values.pop("experiment", spec.name)
    values.pop("preset", None)
    values.pop("benchmark", None)  # what `experiments.benchmarks.suite` measures of a preset; no setting of a run
    if owner != spec.name:
        raise UsageError(f"{file} configures the experiment {owner!r}, not {spec.name!r}")
    return values


def _examples(label: str, spec: Spec) -> str:
    number = next((name for name, kind in flags(spec.config).items() if kind is float), None)
    flag = f"--{spec.prefix}.{number.replace('_', '-')} {field_of(spec.config(), number)}" if number else "--run.seed 2"
    return (
        f"Examples:\n\n  python -m experiments.run {label} --run.time-limit 120\n\n"
        f"  python -m experiments.run {label} {flag} --run.seed 2 --run.tag trial"
    )
