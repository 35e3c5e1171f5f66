"""The pinned set installs on the oldest Python that the project promises."""

from __future__ import annotations

import importlib.metadata
import tomllib

from packaging.specifiers import SpecifierSet

from tests.conftest import ROOT


def test_every_pin_fits_the_oldest_python() -> None:
    """Those that are installed here; a set-up on 3.11.2 once failed by one that asked for 3.11.5."""
    promised = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    oldest = promised.removeprefix(">=") + ".0"
    pinned = {line.partition("==")[0] for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line}
    checked = 0
    for package in importlib.metadata.distributions():
        if package.name in pinned:
            assert SpecifierSet(package.metadata.get("Requires-Python") or "").contains(oldest), package.name
            checked += 1
    assert checked > 40
