"""From defaults, preset, file and flags to one typed configuration: the one parser of the command line.

defaults < preset < `--config FILE` < flags. YAML values become flags first, so that one parser (tyro) checks all of them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import io
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from core.errors import UsageError, nearest
from core.plugin import Spec
from experiments.launcher.settings import EvalConfig, RunConfig
from experiments.launcher.yaml_file import flattened

__all__ = ["Bare", "as_dict", "current_names", "flags", "known_flags", "parse", "parse_values", "take_option"]


@dataclass(frozen=True)
class Bare:
    """Marks a flag that may stand without a value, which then is `value`: `csv: Annotated[str, Bare("compare.csv")] = ""`."""

    value: str


def parse(
    spec: Spec,
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    argv: Sequence[str],
    *,
    prog: str,
    usage: str,
    verb: type | None = None,
) -> Any:
    """Return a frozen dataclass with the fields `run`, and `agent` and `eval` or `model`; with `verb`, its flags, also `flags`.

    `layers` are (where from, nested values) in rising precedence; `argv` comes last. Raises UsageError for an unknown key, a
    wrong type or a value out of range; `--help` prints the flags and exits.
    """
    import tyro

    sections: list[Any] = [(spec.prefix, spec.config, field(default_factory=spec.config))]
    for section, settings, own in _launchers(spec):
        unfit = [name for name in own if name not in flags(settings)]
        if unfit:
            raise UsageError(
                f"plugin {spec.name!r} sets {section}={{{unfit[0]!r}: ...}}; {nearest(unfit[0], flags(settings))}"
            )
        sections.append((section, settings, field(default_factory=functools.partial(settings, **own))))
    known, bare = known_flags(spec), {}
    if verb is not None:
        sections.insert(0, ("flags", Annotated[verb, tyro.conf.arg(name="")]))
        known, bare = flags(verb) | known, _bare(verb)
    whole = dataclasses.make_dataclass("Configuration", sections, frozen=True)
    return _parse(
        whole,
        known,
        [(source, dict(flattened(values))) for source, values in layers],
        argv,
        prog=prog,
        description=f"{spec.summary}\n\n{usage}",
        bare=bare,
        renamed=_renamed(spec) | getattr(verb, "RENAMED", {}),
    )


def parse_values(
    cls: type,
    argv: Sequence[str],
    *,
    layers: Sequence[tuple[str, Mapping[str, Any]]] = (),
    prog: str,
    description: str = "",
) -> Any:
    """Parse a dataclass that has nothing to do with an experiment, such as the flags of a verb; `layers` as in `parse`."""
    return _parse(
        cls,
        flags(cls),
        [(source, dict(flattened(values))) for source, values in layers],
        argv,
        prog=prog,
        description=description,
        bare=_bare(cls),
        renamed=getattr(cls, "RENAMED", {}),
    )


def _parse(
    cls: type,
    known: Mapping[str, Any],
    layers: Sequence[tuple[str, Mapping[str, Any]]],
    argv: Sequence[str],
    *,
    prog: str,
    description: str,
    bare: Mapping[str, str],
    renamed: Mapping[str, str],
) -> Any:
    import tyro

    words = list(argv)
    first = next((i for i, word in enumerate(words) if word.startswith("-")), len(words))
    arguments = words[:first]  # before values of lists, which would take them
    for source, values in layers:
        for key, value in values.items():
            name = key.replace("-", "_")
            if name in renamed and name not in known:
                raise UsageError(f"{source}: {key!r} is now called {renamed[name]!r}")
            if name not in known:
                raise UsageError(f"{source}: {key!r} is no setting; {nearest(name, known)}")
            if isinstance(value, (list, tuple)) and typing.get_origin(known[name]) is not tuple:
                raise UsageError(f"{source}: {key!r} is {value!r}; it must be one value")
            if value is None and type(None) not in typing.get_args(known[name]):
                raise UsageError(f"{source}: {key!r} has no value; give one or leave the line out")
            if isinstance(value, bool) and bool not in (known[name], *typing.get_args(known[name])):
                value = "yes" if value else "no"  # words without quotes, which YAML takes for true and false
            if known[name] is bool and not isinstance(value, bool):
                raise UsageError(f"{source}: {key!r} is {value!r}; it must be true or false, without quotes")
            _check_value(f"{source}: {key!r}", str(value), known[name])
            arguments += _as_flag(name, value)
    arguments += _checked_flags(words[first:], known, bare, renamed)
    output = io.StringIO()
    try:
        with contextlib.redirect_stderr(output):
            return tyro.cli(cls, args=arguments, prog=prog, description=description)
    except SystemExit as error:
        if error.code in (0, None):
            raise
        raise UsageError(f"{_first_sentence(output.getvalue())}; see {prog} --help") from None


def known_flags(spec: Spec) -> dict[str, Any]:
    """Return {dotted name: type} of the settings of a plugin's runs."""
    sections = [(spec.prefix, spec.config), *((section, settings) for section, settings, _ in _launchers(spec))]
    return {f"{prefix}.{name}": kind for prefix, cls in sections for name, kind in flags(cls).items()}


def _launchers(spec: Spec) -> list[tuple[str, type, Mapping[str, Any]]]:
    """Return (section, settings, the plugin's own defaults) of what the launcher is told about a run of it."""
    run: list[tuple[str, type, Mapping[str, Any]]] = [("run", RunConfig, spec.run)]
    return [("eval", EvalConfig, spec.eval), *run] if spec.kind == "agent" else run


def current_names(values: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """Return the nested settings of a run with the names that they have today, for runs from before a renaming."""
    renamed, own = _renamed(spec), f"{spec.prefix}."
    values_of = {own + old: new[1] for old, new in spec.renamed.items() if not isinstance(new, str)}
    stored = dict(flattened(values))
    settings = {
        renamed.get(name, name): values_of[name].get(value, value) if name in values_of else value
        for name, value in stored.items()
    }
    if spec.implied is not None and not renamed.keys().isdisjoint(stored):
        before = {name.removeprefix(own): value for name, value in stored.items() if name.startswith(own)}
        settings |= {own + name: value for name, value in spec.implied(before).items()}
    current: dict[str, Any] = {}
    for name, value in settings.items():
        *sections, last = name.split(".")
        place = current
        for section in sections:
            place = place.setdefault(section, {})
        place[last] = value
    return current


def _renamed(spec: Spec) -> dict[str, str]:
    """Return {dotted old name: dotted new name} of a plugin's settings; the new one may be the launcher's, e.g. eval.episodes."""
    names = {old: new if isinstance(new, str) else new[0] for old, new in spec.renamed.items()}
    return {
        f"{spec.prefix}.{old}": new if new.startswith(("run.", "eval.")) else f"{spec.prefix}.{new}"
        for old, new in names.items()
    }


def _bare(cls: type) -> dict[str, str]:
    found: dict[str, str] = {}
    for name, hint in typing.get_type_hints(cls, include_extras=True).items():
        for mark in getattr(hint, "__metadata__", ()):
            if isinstance(mark, Bare):
                found[name] = mark.value
    return found


def take_option(tokens: list[str], name: str) -> str | None:
    """Remove `name VALUE` or `name=VALUE` from tokens and return VALUE, None where it is not there."""
    for i, token in enumerate(tokens):
        if token == name:
            if i + 1 == len(tokens):
                raise UsageError(f"{name} needs a value after it")
            del tokens[i]
            return tokens.pop(i)
        if token.startswith(name + "="):
            return tokens.pop(i).partition("=")[2]
    return None


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


def _as_name(key: str) -> str:
    return "--" + key.replace("_", "-")


def _as_flag(name: str, value: Any) -> list[str]:
    flag = _as_name(name)
    if isinstance(value, bool):
        section, dot, last = name.replace("_", "-").rpartition(".")
        return [flag if value else f"--{section}{dot}no-{last}"]
    if isinstance(value, (list, tuple)):
        return [flag, *map(str, value)]
    return [f"{flag}={value}"]  # one word, so that a value may begin with "-"


def _checked_flags(
    argv: Sequence[str], known: Mapping[str, Any], bare: Mapping[str, str], renamed: Mapping[str, str]
) -> list[str]:
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
        if key in renamed and key not in known:
            raise UsageError(f"the flag {name!r} is now called {_as_name(renamed[key])!r}")
        if key not in known and re.sub(r"(^|\.)no_(\w+)$", r"\1\2", key) not in known:
            names = [other.replace("_", "-") for other in known]
            group, _, last = key.replace("_", "-").rpartition(".")
            moved = [
                other for other in names if group and other.rpartition(".")[2] == last
            ]  # agent.lr, agent.optimizer.lr
            close = nearest(key.replace("_", "-"), moved or names)
            raise UsageError(f"there is no flag {name!r}; {close}".replace("did you mean '", "did you mean '--"))
        if key in bare and not equals and (not tokens or tokens[0].startswith("-") or Path(tokens[0]).is_dir()):
            result.append(f"{_as_name(key)}={bare[key]}")
        elif known.get(key) is bool and (equals or (tokens and tokens[0].lower() in ("true", "false"))):
            word = value if equals else tokens.pop(0)
            if word.lower() not in ("true", "false"):
                raise UsageError(f"{name} is {word!r}; it must be true or false")
            result += _as_flag(key, word.lower() == "true")
        else:
            if equals or tokens:
                _check_value(name, value if equals else tokens[0], known.get(key))
            result.append(_as_name(key) + equals + value)
    return result


def _check_value(name: str, text: str, kind: Any) -> None:
    """Raise UsageError where `text` is no number, or none of the choices, that a flag of this kind takes."""
    if typing.get_origin(kind) is typing.Literal:
        choices = [str(choice) for choice in typing.get_args(kind)]
        if text not in choices:
            raise UsageError(f"{name} is {text!r}; {nearest(text, choices)}")
    elif kind in (int, float):
        try:
            kind(text)
        except ValueError:
            raise UsageError(f"{name} is {text!r}; it must be a {'whole ' * (kind is int)}number") from None


def _first_sentence(report: str) -> str:
    """Return the body of tyro's error report as one line: what stands below its title and above the next rule.

    Of arguments that are missing it has the names, without what each is.
    """
    missing = re.search(r"Missing from [^:\n]*:", report)
    if missing is not None:
        listed = report[missing.end() :].partition("\n")[2].partition("For full helptext")[0]
        indented = re.findall(r"^[│|]?( +)(\w.*?|-\S.*?) *[│|]?$", listed, re.MULTILINE)
        names = [text for space, text in indented if space == indented[0][0]]
        return f"{missing[0]} {', '.join(names)}"
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
