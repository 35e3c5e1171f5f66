from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from core import plugin
from experiments.launcher.catalogue import catalogue
from generative.data import registry
from tests.external.install import install


@pytest.fixture
def external(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The external package is on the path for one test; returns the folder that holds it."""
    catalogue()
    registry.all_sources()
    site = tmp_path / "site"
    site.mkdir()
    install(site)
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(plugin, "REGISTRY", plugin.REGISTRY)
    before, sources_before = dict(plugin.REGISTRY), dict(registry.SOURCES)
    catalogue.cache_clear()
    registry.load_outside.cache_clear()
    yield site
    plugin.REGISTRY.clear()
    plugin.REGISTRY.update(before)
    registry.SOURCES.clear()
    registry.SOURCES.update(sources_before)
    for name in [m for m in sys.modules if m.split(".")[0] == "pongan_extra"]:
        del sys.modules[name]
    catalogue.cache_clear()
    registry.load_outside.cache_clear()
