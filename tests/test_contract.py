from pathlib import Path

import pytest

from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract

BUILT_IN = sorted(
    name for name, spec in catalogue().plugins.items() if spec.build.startswith(("agents.", "generative."))
)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_plugin_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_contract(catalogue().plugins[name], tmp_path)


def test_no_built_in_plugin_is_broken() -> None:
    assert {
        source: why for source, why in catalogue().broken.items() if source.startswith(("agents", "generative"))
    } == {}
