from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import checkpoint
from core.plugin import Context, Translates, build
from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract, tiny

BUILT_IN = sorted(
    name for name, spec in catalogue().plugins.items() if spec.build.startswith(("agents.", "generative."))
)


LONG = ("gan-cls", "stylegan")  # many graphs to trace: half a minute each, in make slow


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow if n in LONG else ()) for n in BUILT_IN])
def test_every_plugin_keeps_the_contract(name: str, tmp_path: Path) -> None:
    check_contract(catalogue().plugins[name], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", BUILT_IN)
def test_what_only_learning_needs_is_not_needed_to_draw(name: str, tmp_path: Path) -> None:
    spec = catalogue().plugins[name]

    def plugin(seed: int) -> Any:
        return build(spec, tiny(spec), Context(seed=seed, folder=tmp_path))

    original = plugin(3)
    needless = [f"plugin.{part}" for part in original.learns_with]
    if needless:
        original.step()
        lean = checkpoint.save(tmp_path, "lean", {"plugin": original.state()}, weights_only=True, leave_out=needless)
        other = plugin(4)
        checkpoint.load(lean, {"plugin": other.state()}, weights_only=True, may_lack=needless)
        other.restored()
        if isinstance(original, Translates):
            images = np.random.default_rng(0).integers(256, size=(2, *original.picture_shape)).astype(np.uint8)
            first, second = (model.translate(images, original.domains[0], 1) for model in (original, other))
        else:
            first, second = original.sample(2, 1), other.sample(2, 1)
        np.testing.assert_array_equal(first, second)
        other.close()
    original.close()


def test_no_built_in_plugin_is_broken() -> None:
    assert {
        source: why for source, why in catalogue().broken.items() if source.startswith(("agents", "generative"))
    } == {}
