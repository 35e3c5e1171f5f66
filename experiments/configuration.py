"""From defaults, preset, file and flags to one typed configuration.

defaults < preset < `--config FILE` < flags. YAML values become flags first, so that one parser (tyro) checks all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from core.errors import UsageError, nearest, require
from core.plugin import Spec

__all__ = ["FIXED_AT_START", "RunConfig", "as_dict", "flags", "parse", "parse_values", "read_yaml"]


@dataclass(frozen=True)
class RunConfig:
    """The launcher. The clock is the plugin's x-axis: environment steps or updates."""

    seed: int = 1
    """Seed of every random stream of the run."""
    until: int = 1_000_000
    """Clock at which training ends."""
    time_limit: float = 0.0
    """Seconds after which this call ends training, evaluates and saves; 0 for no limit."""
    log_every: int = 1_000
    """Clock between two points of every curve; a point is the mean since the last."""
    eval_every: int = 50_000
    """Clock between two evaluations; 0 for one at the end only."""
    save_every: int = 50_000
    """Clock between two checkpoints; 0 for one at the end only."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Type of the big matrix products; losses, statistics and optimisers stay float32."""
    threads: int = 0
    """CPU cores to use; 0 for all."""
    device: str = "auto"
    """auto (a GPU when there is one), cpu, or gpu:0."""
    strategy: Literal["none", "mirrored", "multiworker"] = "none"
    """Data-parallel training of generative models: mirrored (this machine's GPUs) or multiworker (processes in TF_CONFIG)."""
    deterministic: bool = False
    """Same seed, same bits, also across a kill and a resume; a little slower."""
    folder: str = "runs"
    """Root folder; the run's own folder is made inside it."""
    tag: str = ""
    """A word added to the run folder's name."""

    def __post_init__(self) -> None:
        require(self.seed >= 0, f"run.seed is {self.seed}; it must be 0 or more")
        require(self.until >= 1, f"run.until is {self.until}; it must be at least 1")
        require(self.time_limit >= 0, f"run.time_limit is {self.time_limit:g}; it must be 0 (no limit) or more seconds")
        require(self.log_every >= 1, f"run.log_every is {self.log_every}; it must be at least 1")
        for name in ("eval_every", "save_every", "threads"):
            require(getattr(self, name) >= 0, f"run.{name} is {getattr(self, name)}; it must be 0 or more")
        require(
            re.fullmatch(r"[\w.-]*", self.tag) is not None,
            f"run.tag is {self.tag!r}; use letters, digits, '.', '_' and '-'",
        )
        require(bool(self.folder), "run.folder is empty; name a folder")


FIXED_AT_START = ("seed", "precision", "deterministic", "folder", "tag")
"""Fields of RunConfig that a resume cannot change: the run would be another one."""


def parse(
    spec: Spec, layers: Sequence[tuple[str, Mapping[str, Any]]], argv: Sequence[str], *, prog: str, usage: str
) -> Any:
    """Return a frozen dataclass with the fields `run` and `agent` or `model`.

    `layers` are (where from, nested values) in rising precedence; `argv` comes last. Raises UsageError for an unknown key, a
    wrong type or a value out of range; `--help` prints the flags and exits.
    """
    unfit = [name for name in spec.run if name not in flags(RunConfig)]
    if unfit:
        raise UsageError(f"plugin {spec.name!r} sets run={{{unfit[0]!r}: ...}}; {nearest(unfit[0], flags(RunConfig))}")
    whole = dataclasses.make_dataclass(
        "Configuration",
        [
            (spec.prefix, spec.config, field(default_factory=spec.config)),
            ("run", RunConfig, field(default_factory=lambda: RunConfig(**spec.run))),
        ],
        frozen=True,
    )
    return parse_values(whole, layers, argv, prog=prog, description=f"{spec.summary}\n\n{usage}")


def parse_values(
    cls: type,
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    argv: Sequence[str],
    *,
    prog: str,
    description: str | None = None,
    default: Any = None,
) -> Any:
    """Parse the dataclass `cls` from layers of values and flags; the one door to tyro."""
    import tyro

    known = flags(cls)
    arguments: list[str] = []
    for source, values in layers:
        for key, value in _flatten(values):
            name = key.replace("-", "_")
            if name not in known:
                raise UsageError(f"{source}: {key!r} is no setting; {nearest(name, known)}")
            if isinstance(value, (list, tuple)) and typing.get_origin(known[name]) is not tuple:
                raise UsageError(f"{source}: {key!r} is {value!r}; it must be one value")
            if value is None and type(None) not in typing.get_args(known[name]):
                raise UsageError(f"{source}: {key!r} has no value; give one or leave the line out")
            if known[name] is bool and not isinstance(value, bool):
                raise UsageError(f"{source}: {key!r} is {value!r}; it must be true or false, without quotes")
            arguments += _as_flag(name, value)
    arguments += _checked_flags(argv, known)
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output):
            options = {} if default is None else {"default": default}
            return tyro.cli(cls, args=arguments, prog=prog, description=description, **options)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UsageError(_first_sentence(output.getvalue())) from None


def flags(cls: type, prefix: str = "") -> dict[str, Any]:
    """Return {dotted field name: type} of a dataclass and the dataclasses in it."""
    hints: dict[str, type] = typing.get_type_hints(cls)
    found: dict[str, Any] = {}
    for item in dataclasses.fields(cls):
        name, kind = prefix + item.name, hints[item.name]
        found |= flags(kind, name + ".") if hasattr(kind, "__dataclass_fields__") else {name: kind}
    return found


def as_dict(config: Any) -> dict[str, Any]:
    """Return a configuration as plain nested values for YAML: tuples become lists."""
    plain: dict[str, Any] = {}
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        plain[item.name] = (
            as_dict(value) if dataclasses.is_dataclass(value) else list(value) if isinstance(value, tuple) else value
        )
    return plain


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of nested values; UsageError when it is missing, broken or no mapping."""
    import yaml

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _loader())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the file {str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise UsageError(f"{path} is not valid YAML{where}: {getattr(error, 'problem', error)}") from error
    except ValueError as error:  # an impossible date
        raise UsageError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold settings such as 'run: {{seed: 1}}', not {type(values).__name__}")
    try:
        list(_flatten(values))
    except RecursionError as error:
        raise UsageError(f"{path} is not valid YAML for settings: an anchor stands inside itself") from error
    return values


def _loader() -> type:
    """Return YAML's safe loader, but for two settings of one name, of which it would take the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in seen:
                    problem = f"{key.value!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    return Loader


def _flatten(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _as_flag(name: str, value: Any) -> list[str]:
    flag = "--" + name.replace("_", "-")
    if isinstance(value, bool):
        head, _, last = flag.rpartition(".")
        return [flag if value else f"{head}.no-{last}"]
    if isinstance(value, (list, tuple)):
        return [flag, *map(str, value)]
    return [f"{flag}={value}"]  # one word, so that a value may begin with "-"


def _checked_flags(argv: Sequence[str], known: Mapping[str, Any]) -> list[str]:
    """Return argv with names in one spelling and `--flag true|false` understood; UsageError for an unknown name."""
    result: list[str] = []
    tokens = list(argv)
    while tokens:
        token = tokens.pop(0)
        if not token.startswith("--") or token in ("--help", "--"):
            result.append(token)
            continue
        name, equals, value = token.partition("=")
        key = name[2:].replace("-", "_")
        if key not in known and re.sub(r"(^|\.)no_(\w+)$", r"\1\2", key) not in known:
            raise UsageError(
                f"there is no flag {name!r}; {nearest(key, known)}".replace("did you mean '", "did you mean '--")
            )
        if known.get(key) is bool and (equals or (tokens and tokens[0].lower() in ("true", "false"))):
            word = value if equals else tokens.pop(0)
            if word.lower() not in ("true", "false"):
                raise UsageError(f"{name} is {word!r}; it must be true or false")
            result += _as_flag(key, word.lower() == "true")
        else:
            result.append("--" + key.replace("_", "-") + equals + value)
    return result


def _first_sentence(report: str) -> str:
    """Return the body of tyro's error report as one line: what stands below its title and above the next rule."""
    sections: list[list[str]] = [[]]
    for line in report.splitlines():
        text = line.strip("│ ")
        if line.startswith(("╭", "╰")):
            continue
        if text and set(text) <= {"─", "-"}:
            sections.append([])
        elif text:
            sections[-1].append(text)
    titled = "╭" not in report and len(sections) > 1  # without a box the title is a section of its own
    return " ".join(sections[1 if titled else 0]) or report.strip()
