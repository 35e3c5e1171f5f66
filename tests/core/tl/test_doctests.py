"""The examples in the docstrings run, and nothing public goes without one."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import json
import logging
import pathlib
import pkgutil
import re

import pytest

from core import tl
from tests.golden import run_golden

MODULES = ["core.tl", *(module.name for module in pkgutil.walk_packages(tl.__path__, "core.tl."))]
PUBLIC = ("activation", "cost", "files", "iterate", "layers", "nlp", "prepro", "rein", "utils", "visualize")
GENERATIONS = json.loads((pathlib.Path(run_golden.__file__).parent / "signatures.json").read_text())

# What signatures.json lists and this package does not have.
LEFT_OUT = {
    "downloads a data set or a file": r"files\.(load_.*_dataset|load_cropped_svhn|maybe_download.*|download_file.*)",
    "saves TensorLayer's own graphs, or code": r"files\.(.*hdf5.*|eval_layer|func2str|str2func|generate_func|"
    r"static_graph2net|(load|save)_keras_model)",
    "reads or writes TensorFlow checkpoints": r"files\.(.*ckpt.*|rename_weight_or_biases)",
    "runs a TensorLayer network, or the machine": r"utils\.(fit|test|predict|run_epoch|train_epoch|exit_tensorflow|"
    r"open_tensorboard|set_gpu_fraction|clear_all_placeholder_variables)",
    "a stub that was never finished": r"prepro\.constant(_multi)?",
    "builds TensorFlow 1 graph nodes": r"prepro\.(distorted_images|crop_central_whiten_images)",
    "draws skeletons with OpenCV": r"visualize\.(draw_mpii_pose_to_image|draw_boxes_and_labels_to_image_with_json)",
}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("core.tl").addHandler(logging.NullHandler())
    module = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    made = [f for f in vars(module).values() if getattr(f, "__module__", "") == name and hasattr(f, "__signature__")]
    for source in (module, *made):  # in a module doctest finds only what stands there
        for example in finder.find(source, None if source is module else f"{name}.{source.__name__}", module):
            runner.run(example)
    assert runner.failures == 0, capfd.readouterr().out
    assert runner.tries >= len(made)


@pytest.mark.parametrize("name", PUBLIC)
def test_everything_public_has_an_example_and_types(name: str) -> None:
    module = importlib.import_module(f"core.tl.{name}")
    for member in module.__all__:
        value = getattr(module, member)
        assert value.__doc__, member
        assert ">>> " in value.__doc__ or "for an example" in value.__doc__, f"{member} has no example"
        function = value.__init__ if inspect.isclass(value) else value
        for parameter in inspect.signature(function).parameters.values():
            if parameter.name != "self":
                assert parameter.annotation is not parameter.empty, f"{member}: {parameter.name} has no type"


def test_every_function_is_here_or_left_out_for_a_reason() -> None:
    left_out = {name for name in GENERATIONS if any(re.fullmatch(pattern, name) for pattern in LEFT_OUT.values())}
    assert [name for name in sorted(set(GENERATIONS) - left_out) if not is_here(name)] == []
    assert [name for name in sorted(left_out) if is_here(name)] == []


def test_keywords_of_every_generation_are_accepted() -> None:
    missing = []
    for name in filter(is_here, GENERATIONS):
        module, function = name.split(".")
        implementation = getattr(getattr(tl, module), function)
        implementation = implementation.__init__ if inspect.isclass(implementation) else implementation
        ours = set(inspect.signature(implementation).parameters)
        for version, signature in GENERATIONS[name].items():
            arguments = ast.parse(f"def f{signature}: pass").body[0].args  # type: ignore[attr-defined]
            unknown = {argument.arg for argument in arguments.args} - ours
            missing += [f"{name} of {version} takes {unknown}"] if unknown else []
    assert not missing, "\n".join(missing)


def is_here(name: str) -> bool:
    module, function = name.split(".")
    return function in getattr(tl, module).__all__
