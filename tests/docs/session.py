"""A session in a terminal whose commands are run for real and become a page of the documentation."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.conftest import ROOT


@dataclass
class Session:
    """Runs commands in a folder and keeps what they print, for the page."""

    folder: Path
    page: str
    variables: dict[str, str] = field(default_factory=dict)
    """Of the environment, beside those that every session has."""

    def text(self, markdown: str) -> None:
        self.page += "\n" + markdown.strip() + "\n"

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.folder / "site"), str(ROOT)])
        return os.environ | {
            "PYTHONPATH": path,
            "COLUMNS": "118",
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "CUDA_VISIBLE_DEVICES": "-1",
            **self.variables,
        }

    def run(self, command: str, code: int = 0, shown: bool = True, last: int = 0) -> str:
        """Run a command line; its output must end with `code`. `last` shows only so many lines of it."""
        done = subprocess.run(
            words(command),
            cwd=self.folder,
            env=self.environment(),
            text=True,
            timeout=600,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == code, f"{command}\n{done.stdout}"
        if shown:
            self.show(command, done.stdout, last)
        return done.stdout

    def show(self, command: str, output: str, last: int = 0) -> None:
        lines = [line.rstrip() for line in self.plain(output).strip("\n").splitlines()]
        if last and len(lines) > last:
            lines = ["...", *lines[-last:]]
        self.page += f"\n```console\n$ {command}\n" + "\n".join(lines) + "\n```\n"

    def plain(self, output: str) -> str:
        """Return output without what belongs to this machine or to native libraries."""
        kept = [
            line
            for line in output.splitlines()
            if not re.match(r"^([WEI]0000|WARNING: All log|\d{4}-\d\d-\d\d .*Ray)", line)
        ]
        text = "\n".join(kept).replace(str(self.folder) + "/", "").replace(str(self.folder), ".")
        return text.replace(sys.executable, "python").replace("/private", "")

    def commands(self) -> list[str]:
        return re.findall(r"^\$ (.*)$", self.page, re.MULTILINE)


def words(command: str) -> list[str]:
    """Return a command line's words; `python` is this interpreter, and `pongan` needs no installed script."""
    programs = {"python": [sys.executable], "pongan": [sys.executable, "-m", "experiments"]}
    first, *rest = shlex.split(command)
    return [*programs.get(first, [first]), *rest]


def only(folder: Path, pattern: str) -> Path:
    (found,) = folder.glob(pattern)
    return found


def without_dates(commands: list[str]) -> list[str]:
    return [re.sub(r"\d{8}-\d{6}", "DATE", command) for command in commands]
