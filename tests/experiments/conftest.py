from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import plugin
from experiments.launcher.catalogue import catalogue
from tests.external.install import install


@pytest.fixture
def external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The external package is on the path for one test; returns the folder that holds it."""
    catalogue()
    site = tmp_path / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(plugin, "REGISTRY", plugin.REGISTRY)
    before = dict(plugin.REGISTRY)
    catalogue.cache_clear()
    yield site
    plugin.REGISTRY.clear()
    plugin.REGISTRY.update(before)
    for name in [m for m in sys.modules if m.split(".")[0] == "pongan_extra"]:
        del sys.modules[name]
    catalogue.cache_clear()
