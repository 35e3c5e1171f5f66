"""A plugin or a data source to start from."""

from __future__ import annotations

import importlib.util
import keyword
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro
from tyro.conf import Positional

import core
from core.errors import UsageError, nearest, require
from core.plugin import canonical
from experiments.launcher.catalogue import ENTRY_POINTS as PLUGIN_POINTS
from experiments.launcher.catalogue import catalogue
from generative.data.registry import BUILT_IN, all_sources
from generative.data.registry import ENTRY_POINTS as SOURCE_POINTS

__all__ = ["Flags", "main"]

TEMPLATES = Path(__file__).parent.parent / "templates"
REPOSITORY = Path(core.__file__).parent.parent
KINDS = ("agent", "generative", "source")


@dataclass(frozen=True)
class Flags:
    """Write a working plugin or data source: into this repository, or with --package as an installable package of its own."""

    kind: Annotated[Positional[str], tyro.conf.arg(metavar="KIND")]
    """agent, generative or source."""
    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Its name: letters, digits and hyphens."""
    package: str = ""
    """Folder of the package to make."""

    def __post_init__(self) -> None:
        require(self.kind in KINDS, f"the kind is {self.kind!r}; {nearest(self.kind, KINDS)}")


def main(flags: Flags) -> None:
    package = flags.package or None
    kind, name = flags.kind, canonical(flags.name)
    what = "data source" if kind == "source" else "plugin"
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(
            f"{what} name {flags.name!r} must be letters, digits and single hyphens, starting with a letter"
        )
    if name in _taken(kind):
        raise UsageError(f"the name {name!r} is already taken; `list` shows all names")
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise UsageError(
            f"{what} name {flags.name!r} is a word of Python's own, which no module can be called; choose another"
        )
    if package is not None and importlib.util.find_spec(module) is not None:
        raise UsageError(
            f"there is a Python package {module!r} already, which the new one would hide; choose another name"
        )
    if package is None and not (REPOSITORY / "pyproject.toml").is_file():
        raise UsageError(
            "pongan is installed here without its repository; give --package FOLDER for a package of your own"
        )
    at, test, files, dotted = _layout(kind, module, package)
    there = [path for path in (at, at.with_suffix(".py"), *files) if path.exists()]  # a package would hide a module
    if there:
        raise UsageError(f"{str(there[0])!r} exists already; `new` overwrites nothing")
    words = {
        "my_package": dotted.rpartition(".")[0],
        "my_module": dotted.rpartition(".")[2],
        "my_group": SOURCE_POINTS if kind == "source" else PLUGIN_POINTS,
        "my-plugin": name,
        "my-source": name,
        "MyPlugin": "".join(part.capitalize() for part in name.split("-")),
    }
    try:
        for path, template in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = (TEMPLATES / template).read_text() if template else f'"""The {what} {name}."""\n'
            for word, meant in words.items():
                text = text.replace(word, meant)
            path.write_text(_with_import_in_place(text, words["my_package"]) if package is None else text)
            print(path)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    if package is not None:
        print(
            f"install it:  python -m pip install --no-deps --no-build-isolation --editable {shlex.quote(str(package))}"
        )
    if kind == "source":
        print(f"learn it:    python -m experiments.run dcgan --model.data.source {name}")
    else:
        print(f"train it:    python -m experiments.run {name}")
    print(f"test it:     python -m pytest {shlex.quote(str(test))}")


def _layout(kind: str, module: str, package: str | None) -> tuple[Path, Path, dict[Path, str], str]:
    """Return (the new folder or module, its test, {file: template}, the module that registers it); '' makes a bare package."""
    if kind == "source" and package is None:
        at, test = REPOSITORY / BUILT_IN.replace(".", "/") / module, REPOSITORY / f"tests/generative/test_{module}.py"
        files = {at.with_suffix(".py"): "source.py.txt", test: "source_test.py.txt"}
        return at, test, files, f"{BUILT_IN}.{module}"
    main = {"agent": "agent", "generative": "model", "source": "source"}[kind]
    if package is None:
        folder = "agents" if kind == "agent" else "generative"
        at, tests, within = REPOSITORY / folder, REPOSITORY / "tests" / folder, f"{folder}."
    else:
        at, tests, within = Path(package), Path(package), ""
    at, test = at / module, tests / f"test_{module}.py"
    files = {at / "__init__.py": "", at / f"{main}.py": f"{main}.py.txt"}
    if package is not None:
        files[Path(package) / "pyproject.toml"] = "pyproject.toml.txt"
    if kind == "source":
        return at, test, files | {test: "source_test.py.txt"}, f"{within}{module}.source"
    files |= {at / "config.py": f"{kind}_config.py.txt", at / "README.md": "README.md.txt", test: "test.py.txt"}
    return at, test, files, f"{within}{module}.config"


def _taken(kind: str) -> set[str]:
    """Return the names that a new one may not have."""
    if kind == "source":
        return {source.name for source in all_sources()[0]}
    return {*catalogue().plugins, *catalogue().presets}


def _with_import_in_place(text: str, dotted: str) -> str:
    """Move the import of the new module to where sorted imports have it among the repository's."""
    lines = text.split("\n")
    own = [line for line in lines if line.startswith((f"from {dotted}.", f"import {dotted}."))]
    if not own:
        return text
    lines.remove(own[0])
    first = last = next(
        i
        for i, line in enumerate(lines)
        if line.startswith(("from core", "from envs", "from generative", "from agents"))
    )
    while lines[last].startswith(("from ", "import ")):
        last += 1
    block = sorted([own[0], *lines[first:last]], key=lambda line: (line.startswith("from"), line.split()[1]))
    return "\n".join([*lines[:first], *block, *lines[last:]])
