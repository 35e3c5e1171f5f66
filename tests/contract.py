"""What every plugin must do, as one function: used for the built-in plugins and for the external package of the tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from core import checkpoint
from core.plugin import MEMBERS, Context, Spec, build
from experiments.configuration import parse
from experiments.tensorboard import unknown_tags

STEPS = 6


def check_contract(spec: Spec, folder: Path) -> None:
    """Step, finite scalars, evaluate without a trace, save, restore, the same next steps bit for bit, close."""
    config = getattr(parse(spec, [("tiny", {spec.prefix: dict(spec.tiny)})], [], prog="tiny", usage=""), spec.prefix)

    def plugin(seed: int) -> Any:
        return build(spec, config, Context(seed=seed, folder=folder))

    def saved(instance: Any, name: str) -> tuple[Path, str, dict[str, np.ndarray]]:
        path = checkpoint.save(folder, name, {"plugin": instance.state()})
        with np.load(path / "arrays.npz", allow_pickle=False) as arrays:
            return path, (path / "tree.json").read_text(), {key: arrays[key] for key in arrays.files}

    def assert_same(first: Any, second: Any, name: str) -> None:
        (_, tree_1, arrays_1), (_, tree_2, arrays_2) = saved(first, name), saved(second, name)
        assert _without_names(tree_1) == _without_names(tree_2)
        for key in arrays_1:
            np.testing.assert_array_equal(arrays_1[key], arrays_2[key])

    original = plugin(seed=3)
    assert all(hasattr(original, member) for member in MEMBERS[spec.kind])
    clocks = [original.clock]
    seen: dict[str, float] = {}
    for _ in range(STEPS):
        scalars = original.step()
        clocks.append(original.clock)
        for tag, value in scalars.items():
            assert np.isfinite(np.asarray(value, float)).all(), f"{tag} is {value}"
            seen[tag] = float(np.mean(np.asarray(value, float)))
    assert clocks == sorted(clocks) and clocks[-1] > clocks[0] >= 0
    assert seen and not unknown_tags(seen)

    path, tree, arrays = saved(original, f"{1:012d}")
    measured = original.evaluate()
    assert np.isfinite(float(measured[spec.headline])) and not unknown_tags(measured)
    for tag, value in measured.items():
        if tag.startswith(("samples/", "video/")):
            assert np.asarray(value).dtype == np.uint8 and np.ndim(value) == 4
    _, tree_after, arrays_after = saved(original, f"{2:012d}")
    assert tree == tree_after, "evaluate() changed the training state"
    assert all(np.array_equal(arrays[key], arrays_after[key]) for key in arrays), (
        "evaluate() changed the training state"
    )

    restored = plugin(seed=4)  # another beginning: everything that matters must come from the checkpoint
    values = checkpoint.load(path, {"plugin": restored.state()})["plugin"]
    restored.load_state(values)
    assert restored.clock == original.clock
    for _ in range(STEPS):
        first, second = original.step(), restored.step()
        assert {k: np.asarray(v).tolist() for k, v in first.items()} == {
            k: np.asarray(v).tolist() for k, v in second.items()
        }
    assert_same(original, restored, f"{3:012d}")

    for instance in (original, restored):
        instance.close()
        instance.close()


def _without_names(tree: str) -> Any:
    """The tree without variable names, which Keras numbers per process."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: strip(v) for k, v in node.items() if not (k == "name" and "$array" in node)}
        return [strip(v) for v in node] if isinstance(node, list) else node

    return strip(json.loads(tree))
