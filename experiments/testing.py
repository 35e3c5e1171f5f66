"""What every plugin must do, as one function for the tests of plugins, ours and other people's."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import pearsonr

from core import checkpoint
from core.plugin import Context, Spec, build
from experiments.launcher.evaluation import measure
from experiments.launcher.events import unknown_tags
from experiments.launcher.flags import parse
from experiments.launcher.settings import EvalConfig

__all__ = ["STEPS", "assert_independent", "check_contract", "correlated", "first_kernels", "tiny"]

STEPS = 6
ATTEMPTS = 3
"""At the same next steps. Without `--run.deterministic` TensorFlow adds three or more gradients in the order in which they are
ready, so once in many runs a last bit differs by chance (see core/runtime.py). What a checkpoint lacks differs every time."""
CHANCE = 1e-9  # of a correlation so large in independent kernels: far below one in all the pairs of all plugins
FOREIGN = (
    "builtins",
    "keras",
    "tensorflow",
    "numpy",
)  # packages (builtins: modules, functions) in which no plugin keeps a model
COPIES = ("average", "target")  # ends of the names of attributes that hold copies of a network, which start equal to it


def tiny(spec: Spec) -> Any:
    """Return a plugin's configuration with its `tiny` settings."""
    return getattr(parse(spec, [("tiny", {spec.prefix: dict(spec.tiny)})], [], prog="tiny", usage=""), spec.prefix)


def check_contract(spec: Spec, folder: Path) -> None:
    """Independent first weights, steps with finite scalars, evaluate without a trace, save, restore, the same next steps bit
    for bit, close."""
    config = tiny(spec)

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
    assert_independent(first_kernels(original))
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
    measured = measure(original, EvalConfig(episodes=2), seed=3, last=True)
    assert np.isfinite(float(measured[spec.headline])) and not unknown_tags(measured)
    for tag, value in measured.items():
        if tag.startswith(("samples/", "video/")):
            assert np.asarray(value).dtype == np.uint8 and np.ndim(value) == 4
    _, tree_after, arrays_after = saved(original, f"{2:012d}")
    assert tree == tree_after, "the evaluation changed the training state"
    assert all(np.array_equal(arrays[key], arrays_after[key]) for key in arrays), (
        "the evaluation changed the training state"
    )

    needless = {f"plugin.{name}" for name in original.learns_with}
    assert needless <= {*checkpoint.read_weights(path)}, f"learns_with {original.learns_with} is not in state()"
    for attempt in range(ATTEMPTS):
        restored = plugin(seed=4)  # another beginning: everything that matters must come from the checkpoint
        checkpoint.put_back(restored, checkpoint.load(path, {"plugin": restored.state()})["plugin"])
        restored.restored()
        assert restored.clock == original.clock
        try:
            for _ in range(STEPS):
                first, second = original.step(), restored.step()
                assert {k: np.asarray(v).tolist() for k, v in first.items()} == {
                    k: np.asarray(v).tolist() for k, v in second.items()
                }
            assert_same(original, restored, f"{3 + attempt:012d}")
            break
        except AssertionError:
            if attempt == ATTEMPTS - 1:
                raise
            restored.close()
            path, _, _ = saved(original, f"{3 + attempt:012d}")

    for instance in (original, restored):
        instance.close()
        instance.close()


def first_kernels(instance: Any) -> dict[str, np.ndarray]:
    """Return the trainable kernels of every Keras model that a plugin holds, by place, without models meant as copies."""
    models: dict[int, tuple[str, Any]] = {}
    copies = set()
    for path, model in _models(instance, "", set()):
        models.setdefault(id(model), (path, model))
        if path.endswith(COPIES):
            copies.add(id(model))
    kernels: dict[str, np.ndarray] = {}
    for key, (path, model) in models.items():
        others = [other.get_weights() for other_key, (_, other) in models.items() if other_key != key]
        if key in copies and any(_equal(model.get_weights(), weights) for weights in others):
            continue
        kernels |= {f"{path} {v.path}": np.asarray(v) for v in model.trainable_variables if len(v.shape) > 1}
    return kernels


def assert_independent(kernels: dict[str, np.ndarray]) -> None:
    """Refuse kernels that were drawn from one seed: where shapes differ, their first entries are proportional."""
    for (one, a), (other, b) in itertools.combinations(kernels.items(), 2):
        assert not correlated(a, b), (
            f"{one} and {other} start correlated: give each a seed of its own, core.seeds.child"
        )


def correlated(a: np.ndarray, b: np.ndarray) -> bool:
    """Return whether the first entries of two arrays agree, up to scale and shift, more than chance allows."""
    n = min(a.size, b.size)
    x, y = a.ravel()[:n].astype(float), b.ravel()[:n].astype(float)
    if n < 4 or x.std() == 0 or y.std() == 0:  # too few to tell; constants are meant
        return False
    return bool(pearsonr(x, y).pvalue < CHANCE)


def _models(node: Any, path: str, seen: set[int]) -> Iterator[tuple[str, Any]]:
    """Yield (place, model) for the Keras models among the attributes of our own objects, and in lists and mappings there."""
    import keras  # not before a run has configured TensorFlow

    if isinstance(node, keras.Model):
        yield path, node
        return
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, dict):
        inner = node.items()
    elif isinstance(node, (list, tuple)):
        inner = enumerate(node)  # type: ignore[assignment]
    elif type(node).__module__.split(".")[0] not in FOREIGN and hasattr(node, "__dict__"):
        inner = vars(node).items()
    else:
        return
    for name, value in inner:
        yield from _models(value, f"{path}.{name}" if path else str(name), seen)


def _equal(some: list[np.ndarray], others: list[np.ndarray]) -> bool:
    return len(some) == len(others) and all(map(np.array_equal, some, others))


def _without_names(tree: str) -> Any:
    """The tree without variable names, which Keras numbers per process."""

    def strip(node: Any) -> Any:
        if isinstance(node, dict):
            return {k: strip(v) for k, v in node.items() if not (k == "name" and "$array" in node)}
        return [strip(v) for v in node] if isinstance(node, list) else node

    return strip(json.loads(tree))
