"""Verbs: found by folder and by entry point, parsed by one parser, called by name.

A verb is a module with a frozen dataclass `Flags`, whose docstring says in its first line what the verb does, and a function

    main(flags: Flags) -> int | None                             for a verb about nothing in particular
    main(experiment: Experiment, flags: Flags) -> int | None     its first word names a plugin or preset
    main(run: StoredRun, flags: Flags) -> int | None             its first word is a run's folder

Where the first word may be left out the parameter is `experiment: Experiment | None`. The latter two also take every setting of
that experiment, `--agent.*` or `--model.*` and `--run.*`. A further parameter, `passed: list[str]`, gets the words from the first
flag on that is not known. The module's docstring is the line in `pongan --help`. A verb of ours has its
file's name, `-` for `_`.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import textwrap
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from core.errors import UsageError, nearest, told
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.flags import flags as flags_of
from experiments.launcher.flags import parse_values

__all__ = ["ENTRY_POINTS", "Verb", "call", "listed", "verbs"]

ENTRY_POINTS = "pongan.verbs"
FOLDER = Path(__file__).parent.parent / "verbs"
SUBJECTS = {Experiment: "NAME", StoredRun: "RUN"}


@dataclass(frozen=True)
class Verb:
    """Where a verb stands."""

    name: str
    module: str
    source: str
    """Whose it is, where it is not ours."""

    @property
    def summary(self) -> str:
        """The first line of the module's docstring, read without importing it."""
        if not self.source:
            return _docstring(FOLDER / f"{self.module.rpartition('.')[2]}.py")
        try:
            found = importlib.util.find_spec(self.module)
            return f"{_docstring(Path(str(found and found.origin)))} ({self.source})"
        except (Exception, SystemExit):  # noqa: BLE001 - a stranger's package may raise anything; calling it says what
            return f"a verb of {self.source}"


def verbs() -> dict[str, Verb]:
    """Return all verbs by name: ours, those of plugins, and those of other packages; nobody replaces one that is there."""
    found = _ours()
    for spec in catalogue().plugins.values():
        for name, module in spec.verbs.items():
            found.setdefault(name, Verb(name, module, spec.name))
    for entry in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        found.setdefault(entry.name, Verb(entry.name, entry.value, f"package {entry.dist.name}" if entry.dist else "?"))
    return found


def _ours() -> dict[str, Verb]:
    stems = [path.stem for path in sorted(FOLDER.glob("[!_]*.py"))]
    return {(name := stem.replace("_", "-")): Verb(name, f"experiments.verbs.{stem}", "") for stem in stems}


def call(name: str, argv: Sequence[str]) -> int:
    """Parse the words after a verb and do what it does; returns the exit code.

    Raises UsageError for a verb that does not exist or cannot be loaded, and for words that it does not take.
    """
    known = _ours()
    if name not in known:
        known = verbs()
    if name not in known:
        raise UsageError(f"there is no verb {name!r}; {nearest(name, known)}")
    main, flags = _load(known[name])
    prog = "python -m experiments.run" if name == "run" else f"pongan {name}"
    parameters = typing.get_type_hints(main)
    subject, needed = _subject(parameters)
    words, passed = list(argv), list[str]()
    if "passed" in parameters:
        words, passed = _split(words, flags)
    extra = {"passed": passed} if "passed" in parameters else {}
    if subject is None:
        return main(parse_values(flags, words, prog=prog, description=_help(flags)), **extra) or 0
    if not words or words[0] in ("-h", "--help"):
        _print_usage(prog, subject, flags)
        return 0 if words else 2
    if words[0].startswith("-") and not needed:
        return main(None, parse_values(flags, words, prog=prog, description=_help(flags)), **extra) or 0
    if words[0].startswith("-"):
        raise UsageError(
            f"usage: {prog} {SUBJECTS[subject]} [flags]; {words[0]!r} stands where {SUBJECTS[subject]} belongs"
        )
    chosen = subject.of(words, flags, prog)
    return main(chosen, chosen.flags, **extra) or 0


def _subject(parameters: dict[str, Any]) -> tuple[Any, bool]:
    """Return what the first word names, None for nothing in particular, and whether it has to be there."""
    for kind in parameters.values():
        for subject in SUBJECTS:
            if kind is subject:
                return subject, True
            if subject in typing.get_args(kind):
                return subject, False
    return None, False


def _load(verb: Verb) -> tuple[Callable[..., int | None], type]:
    try:
        module = importlib.import_module(verb.module)
        return module.main, module.Flags
    except (Exception, SystemExit) as error:
        if not verb.source:
            raise
        why = str(error) if isinstance(error, UsageError) else f"{type(error).__name__}: {told(error)}"
        raise UsageError(f"the verb {verb.name!r} of {verb.source} is there but broken: {why}") from error


def _split(words: list[str], flags: type) -> tuple[list[str], list[str]]:
    """Return the words up to the first flag that `flags` does not have, and the rest."""
    own = {"help", *flags_of(flags)}
    for i, word in enumerate(words):
        if word.startswith("-") and word != "-h" and word.lstrip("-").partition("=")[0].replace("-", "_") not in own:
            return words[:i], words[i:]
    return words, []


def _help(flags: type) -> str:
    return inspect.cleandoc(flags.__doc__ or "")


def _print_usage(prog: str, subject: type, flags: type) -> None:
    """Print what can be said before it is known which experiment the verb is about."""
    if subject is Experiment:
        found = catalogue()
        listed = textwrap.fill(
            f"names: {', '.join(sorted([*found.plugins, *found.presets]))}", 100, break_on_hyphens=False
        )
        names = f"{listed}\n\n`pongan list` describes them, "
    else:
        names = ""
    more = f"{names}`{prog} {SUBJECTS[subject]} --help` shows all flags, with those of its settings."
    with contextlib.suppress(SystemExit):
        parse_values(flags, ["--help"], prog=f"{prog} {SUBJECTS[subject]}", description=f"{_help(flags)}\n\n{more}")


def _docstring(file: Path) -> str:
    return (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").splitlines()[0]


def listed() -> list[tuple[str, str]]:
    """Return (name, what it does) of every verb, for `pongan --help`."""
    return [(verb.name, verb.summary) for verb in verbs().values()]
