"""A plugin to start from."""

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
from experiments.launcher.catalogue import catalogue

__all__ = ["Flags", "main"]

TEMPLATES = Path(__file__).parent.parent / "templates"
REPOSITORY = Path(core.__file__).parent.parent
KINDS = {
    "agent": ("agents", "agent"),
    "generative": ("generative", "model"),
}  # kind -> (package, name of the main file)


@dataclass(frozen=True)
class Flags:
    """Write a working plugin: into this repository, or with --package as an installable package of its own."""

    kind: Annotated[Positional[str], tyro.conf.arg(metavar="KIND")]
    """agent or generative."""
    name: Annotated[Positional[str], tyro.conf.arg(metavar="NAME")]
    """Its name: letters, digits and hyphens."""
    package: str = ""
    """Folder of the package to make."""

    def __post_init__(self) -> None:
        require(self.kind in KINDS, f"the kind is {self.kind!r}; {nearest(self.kind, KINDS)}")


def main(flags: Flags) -> None:
    package = flags.package or None
    kind, name = flags.kind, canonical(flags.name)
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", name):
        raise UsageError(
            f"plugin name {flags.name!r} must be letters, digits and single hyphens, starting with a letter"
        )
    found = catalogue()
    if name in found.plugins or name in found.presets:
        raise UsageError(f"the name {name!r} is already taken; `list` shows all names")
    folder, main = KINDS[kind]
    module = name.replace("-", "_")
    if keyword.iskeyword(module):
        raise UsageError(
            f"plugin name {flags.name!r} is a word of Python's own, which no module can be called; choose another"
        )
    if package is not None and importlib.util.find_spec(module) is not None:
        raise UsageError(
            f"there is a Python package {module!r} already, which the new one would hide; choose another name"
        )
    prefix = "agent" if kind == "agent" else "generative"
    if package is None:
        at, dotted, test = (
            REPOSITORY / folder / module,
            f"{folder}.{module}",
            REPOSITORY / "tests" / folder / f"test_{module}.py",
        )
        if not (REPOSITORY / "pyproject.toml").is_file():
            raise UsageError(
                "pongan is installed here without its repository; give --package FOLDER for a package of your own"
            )
    else:
        root = Path(package)
        at, dotted, test = root / module, module, root / f"test_{module}.py"
    files = {
        at / "__init__.py": f'"""The plugin {name}."""\n',
        at / "config.py": (TEMPLATES / f"{prefix}_config.py.txt").read_text(),
        at / f"{main}.py": (TEMPLATES / f"{main}.py.txt").read_text(),
        at / "README.md": (TEMPLATES / "README.md.txt").read_text(),
        test: (TEMPLATES / "test.py.txt").read_text(),
    }
    if package is not None:
        files[Path(package) / "pyproject.toml"] = (TEMPLATES / "pyproject.toml.txt").read_text()
    there = [path for path in (at, at.with_suffix(".py"), *files) if path.exists()]  # a package would hide a module
    if there:
        raise UsageError(f"{str(there[0])!r} exists already; `new` overwrites nothing")
    title = "".join(part.capitalize() for part in name.split("-"))
    try:
        for path, text in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            text = text.replace("my_package", dotted).replace("my-plugin", name).replace("MyPlugin", title)
            path.write_text(_with_import_in_place(text, dotted) if package is None else text)
            print(path)
    except OSError as error:
        raise UsageError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    if package is not None:
        print(
            f"install it:  python -m pip install --no-deps --no-build-isolation --editable {shlex.quote(str(package))}"
        )
    print(f"train it:    python -m experiments.run {name}")
    print(f"test it:     python -m pytest {shlex.quote(str(test))}")


def _with_import_in_place(text: str, dotted: str) -> str:
    """Move the import of the plugin's own configuration to where sorted imports have it among the repository's."""
    lines = text.split("\n")
    own = [line for line in lines if line.startswith((f"from {dotted}.", f"import {dotted}."))]
    if not own:
        return text
    lines.remove(own[0])
    first = last = next(i for i, line in enumerate(lines) if line.startswith(("from core", "from agents", "from envs")))
    while lines[last].startswith(("from ", "import ")):
        last += 1
    block = sorted([own[0], *lines[first:last]], key=lambda line: (line.startswith("from"), line.split()[1]))
    return "\n".join([*lines[:first], *block, *lines[last:]])
