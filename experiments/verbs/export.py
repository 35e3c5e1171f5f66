"""A run's model as a SavedModel with its card."""

from __future__ import annotations

import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import tyro

from core.errors import UsageError
from core.plugin import Embeds, Exports, Spec
from experiments.launcher.events import read_scalars, read_texts
from experiments.launcher.experiment import StoredRun
from experiments.launcher.folder import RunFolder
from experiments.launcher.restore import restored
from experiments.launcher.strangers import close, reported

__all__ = ["Flags", "NoConversion", "concrete_functions", "example_inputs", "main", "save"]

TOLERANCE = 1e-5  # between the live model and the saved one, relative to the largest output
EXTRACTOR = "extractor.keras"
ONNX_TOLERANCE = 5e-3  # of another runtime that rounds differently: one of a picture's 256 levels
BATCH, SIDE = 2, 16  # of example inputs: the batch, and every other axis that is free


class NoConversion(UsageError):
    """tf2onnx or onnxruntime cannot do with a function what was asked."""


@dataclass(frozen=True)
class Flags:
    """Save a run's model as a SavedModel that needs TensorFlow and nothing of ours, with a model card beside it.

    The saved model is loaded again and compared with the live one before its folder appears. A model that embeds pictures is
    saved as extractor.keras too, which --model.extractor takes.
    """

    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """Folder to make."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""
    onnx: bool = False
    """Write NAME.onnx too; needs pongan[onnx]."""


def main(run: StoredRun, flags: Flags) -> None:
    spec, place = run.spec, run.path.absolute()  # an environment may change the working directory
    if flags.onnx and not all(importlib.util.find_spec(name) for name in ("tf2onnx", "onnxruntime")):
        raise UsageError("--onnx needs tf2onnx and onnxruntime: install pongan[onnx]")
    others = [flag for name, flag in run.given.items() if not name.startswith("run.")]
    if others:
        raise UsageError(f"export takes only --run.* flags beside its own; {others[0]!r} would make it another model")
    folder = Path(flags.out).absolute()
    if Path(flags.out).name in ("", ".."):
        raise UsageError(f"{flags.out!r} cannot be written: `export` makes a new folder; name one")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"{flags.out!r} exists already; `export` overwrites nothing")

    import tensorflow as tf

    plugin, which = restored(run, flags.weights)
    try:
        if not isinstance(plugin, Exports):
            raise UsageError(f"plugin {spec.name!r} cannot be exported: it is no `Exports` (see core/plugin.py)")
        with reported(spec, run.traces, "export"):
            functions = dict(plugin.exportable())
            concrete = concrete_functions(functions, spec)
            extractor = plugin.extractor() if isinstance(plugin, Embeds) else None
        try:
            converted, apart, failure = _write(place, folder, spec, which, functions, concrete, flags.onnx, extractor)
        except (OSError, tf.errors.OpError) as error:
            reason = error.strerror if isinstance(error, OSError) else error.message
            raise UsageError(f"{flags.out!r} cannot be written: {reason}") from error
    finally:
        close(plugin, spec, print)
    for name, function in concrete.items():
        print(f"{name}: {_listed(_inputs(function))} -> {_listed(function.structured_outputs)}")
    for name, difference in converted.items():
        print(f"{name}, equal within {difference:.1g}")
    print(f"{which} as a SavedModel, equal to the live model within {apart:.1g}: {flags.out}")
    if failure is not None:
        raise UsageError(f"{failure}; the SavedModel is in {flags.out!r}, without ONNX") from failure


def _write(
    path: Path,
    folder: Path,
    spec: Spec,
    which: str,
    functions: Mapping[str, Any],
    concrete: Mapping[str, Any],
    onnx: bool,
    extractor: Any = None,
) -> tuple[dict[str, float], float, NoConversion | None]:
    """Write `folder`, whole or not at all; return the differences of the other files by name, and of the SavedModel.

    Where ONNX fails the SavedModel is written all the same, and the failure is returned.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.tmp")
    failure = None
    converted: dict[str, float] = {}
    try:
        temporary.mkdir()
        save(concrete, temporary)
        apart = _difference(concrete, temporary)
        shutil.copy(path / "config.yaml", temporary / "config.yaml")
        try:
            if extractor is not None:
                converted[EXTRACTOR] = _to_keras(extractor, temporary / EXTRACTOR)
            for name, function in concrete.items() if onnx else ():
                converted[f"{name}.onnx"] = _to_onnx(name, function, temporary)
        except NoConversion as error:
            failure = error
            for file in temporary.glob("*.onnx"):
                file.unlink()
                converted.pop(file.name, None)
        differences = {"SavedModel": apart} | converted
        (temporary / "README.md").write_text(_card(path, spec, which, functions, concrete, differences))
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # not there after success
    return converted, apart, failure


def concrete_functions(functions: Mapping[str, Any], spec: Spec) -> dict[str, Any]:
    """Trace the functions and check what the contract asks of them: named inputs, named outputs."""
    concrete = {}
    for name, function in functions.items():
        if not getattr(function, "input_signature", None):
            raise UsageError(
                f"plugin {spec.name!r} exports {name!r} without an input_signature; see `exportable` in core/plugin.py"
            )
        concrete[name] = function.get_concrete_function()
        if not isinstance(concrete[name].structured_outputs, Mapping):
            raise UsageError(
                f"plugin {spec.name!r} exports {name!r}, which returns no mapping of name -> tensor; see core/plugin.py"
            )
        if both := set(_inputs(concrete[name])) & set(concrete[name].structured_outputs):
            raise UsageError(
                f"plugin {spec.name!r} exports {name!r} with {min(both)!r} as an input and as an output, which ONNX cannot "
                "tell apart; rename one"
            )
    return concrete


def save(concrete: Mapping[str, Any], folder: Path) -> None:
    """Write a SavedModel whose signatures are these concrete functions, with every variable that they read."""
    import tensorflow as tf

    module = tf.Module()
    module.weights = list({id(v): v for f in concrete.values() for v in f.variables}.values())
    tf.saved_model.save(module, str(folder), signatures=dict(concrete))


def example_inputs(function: Any) -> dict[str, np.ndarray]:
    """Return valid inputs of a concrete function, by name: normal floats, random bytes, zeros and ones for other integers."""
    rng = np.random.default_rng(0)
    examples = {}
    for name, spec in _inputs(function).items():
        axes = spec.shape.as_list()
        shape = [n or (BATCH if i == 0 else SIDE) for i, n in enumerate(axes)]
        kind = np.dtype(spec.dtype.as_numpy_dtype)
        if kind.kind == "O":  # texts
            examples[name] = np.full(shape, "a", object)
        elif kind.kind == "f" or kind.kind == "V":
            examples[name] = rng.normal(size=shape).astype(kind)
        else:
            examples[name] = rng.integers(256 if kind == np.uint8 else 2, size=shape).astype(kind)
    return examples


def _difference(concrete: Mapping[str, Any], folder: Path) -> float:
    """Return the largest difference between the live functions and the loaded ones; UsageError when it is no rounding."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(folder)).signatures
    largest = 0.0
    for name, function in concrete.items():
        inputs = {key: tf.constant(value) for key, value in example_inputs(function).items()}
        live, saved = function(**inputs), loaded[name](**inputs)
        for key, value in live.items():
            apart = _apart(value, saved[key])
            if not apart <= TOLERANCE:
                raise UsageError(
                    f"the saved {name!r} gives {key!r} {apart:.3g} apart from the live model; it depends on more than variables"
                )
            largest = max(largest, apart)
    return largest


def _to_keras(model: Any, target: Path) -> float:
    """Save a model of pictures, load it as measures do, and return how far its features are from the live ones."""
    from core.metrics.features import Extractor

    model.save(target)
    images = np.random.default_rng(0).integers(256, size=(BATCH, *model.input_shape[1:])).astype(np.uint8)
    live = np.asarray(model(images.astype(np.float32) / 255, training=False)).reshape(BATCH, -1)
    apart = _apart(live, Extractor(str(target))(images))
    if not apart <= TOLERANCE:
        raise UsageError(f"the saved {target.name} gives features {apart:.3g} apart from the live model's")
    return apart


def _to_onnx(name: str, function: Any, folder: Path) -> float:
    """Write one signature as `NAME.onnx` with tf2onnx, run it, and return how far its outputs are from the live ones."""
    import onnxruntime
    import tensorflow as tf

    target = folder / f"{name}.onnx"
    command = ["--saved-model", str(folder), "--signature_def", name, "--output", str(target)]
    done = subprocess.run([sys.executable, "-m", "tf2onnx.convert", *command], capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise NoConversion(f"tf2onnx cannot convert {name!r}: {reason}")
    given = example_inputs(function)
    live = function(**{key: tf.constant(value) for key, value in given.items()})
    try:
        session = onnxruntime.InferenceSession(str(target))
        names = [output.name for output in session.get_outputs()]
        found = dict(zip(names, session.run(names, given), strict=True))
    except Exception as error:  # onnxruntime's own, which have no common class
        raise NoConversion(f"onnxruntime cannot run {name!r}: {str(error).splitlines()[0]}") from error
    apart = max(_apart(value, found[key]) for key, value in live.items())
    if not apart <= ONNX_TOLERANCE:
        raise NoConversion(
            f"the ONNX file of {name!r} gives {apart:.3g} of the largest output apart from the live model"
        )
    return apart


def _apart(expected: Any, found: Any) -> float:
    """Return the largest difference between two outputs, relative to the largest number of the first (at least 1)."""
    a, b = (np.asarray(value, np.float64) for value in (expected, found))
    return float(np.abs(a - b).max(initial=0)) / max(float(np.abs(a).max(initial=0)), 1.0)


def _inputs(function: Any) -> dict[str, Any]:
    """Return {name: TensorSpec} of a concrete function."""
    positional, named = function.structured_input_signature
    return {spec.name: spec for spec in [*positional, *named.values()]}


def _listed(specs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_described(spec)}" for name, spec in specs.items())


def _described(spec: Any) -> str:
    axes = ", ".join("any" if n is None else str(n) for n in spec.shape.as_list())
    return f"[{axes}] {spec.dtype.name}"


# --- the model card -----------------------------------------------------------------------------------------------------


def _card(
    path: Path,
    spec: Spec,
    which: str,
    functions: Mapping[str, Any],
    concrete: Mapping[str, Any],
    apart: Mapping[str, float],
) -> str:
    config, meta = RunFolder.read_config(path), RunFolder.meta(path)
    name, function = next(iter(concrete.items()))
    call = ", ".join(
        f"{key}=tf.zeros({[n or 1 for n in s.shape.as_list()]}, tf.{s.dtype.name})"
        for key, s in _inputs(function).items()
    )
    rows = [
        f"| `{key}` | {_listed(_inputs(f))} | {_listed(f.structured_outputs)} | {_documented(functions[key])} |"
        for key, f in concrete.items()
    ]
    git = meta.get("git", {})
    versions = {
        **meta.get("versions", {}),
        "python": meta.get("host", {}).get("python", "unknown"),
        "commit": (git.get("commit") or "unknown") + (", with uncommitted changes" if git.get("changed") else ""),
    }
    return "\n".join(
        [
            f"# {config.get('preset') or spec.name}",
            "",
            f"{spec.summary}. {spec.description}" if spec.description != spec.summary else f"{spec.summary}.",
            *(["", f"Paper: <{spec.paper}>"] if spec.paper else []),
            "",
            "## Use",
            "",
            "A TensorFlow SavedModel; it needs TensorFlow alone.",
            "",
            "```python",
            "import tensorflow as tf",
            "",
            'model = tf.saved_model.load("path/to/this/folder")',
            f'outputs = model.signatures["{name}"]({call})',
            "```",
            "",
            *(
                [
                    f"`{EXTRACTOR}` is the same as a Keras model, pictures [N, H, W, C] in [0, 1] to features; "
                    f"`--model.extractor path/to/this/folder/{EXTRACTOR}` compares pictures by it.",
                    "",
                ]
                if EXTRACTOR in apart
                else []
            ),
            "| signature | inputs | outputs | what |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
            "Compared with the live model on random inputs, largest difference relative to the largest output: "
            + ", ".join(f"{name} {difference:.1g}" for name, difference in apart.items())
            + ".",
            "",
            "## Measured",
            "",
            *_measured(path, spec, which),
            "",
            "## Training",
            "",
            f"Plugin `{spec.name}`, seed {config.get('run', {}).get('seed')}, status of the run: "
            f"{meta.get('status', 'unknown')}. `python -m experiments.run "
            + spec.name
            + " --config config.yaml` trains it again.",
            "",
            "```yaml",
            (path / "config.yaml").read_text().rstrip(),
            "```",
            "",
            "| what | version |",
            "| --- | --- |",
            *(f"| {key} | {value} |" for key, value in versions.items()),
            "",
        ]
    )


def _measured(path: Path, spec: Spec, which: str) -> list[str]:
    """Return the lines on the evaluation of the exported weights, or on the last before them."""
    clock = int(re.findall(r"\d{12}", which)[0])
    points = {tag: [p for p in curve if p[0] <= clock] for tag, curve in read_scalars(path).items()}
    curves = {tag: curve for tag, curve in points.items() if curve and tag.startswith("eval/")}
    protocols = [text for step, text in read_texts(path).get("eval/protocol", []) if step <= clock]
    if spec.headline not in curves and RunFolder.results(path).get("clock", {}).get("value") == clock:  # of a zoo
        found = RunFolder.results(path)["evaluation"]
        numbers = {tag: value for tag, value in found.items() if isinstance(value, (int, float))}
        curves = {tag: [(clock, value)] for tag, value in numbers.items()}
        protocols = [str(found.get("eval/protocol", ""))]
    if spec.headline not in curves:
        return [f"These weights ({which}) have not been evaluated."]
    at = curves[spec.headline][-1][0]
    measured = f"at {at:,} {spec.clock}" + (
        "" if at == clock else f", the last evaluation before these weights ({clock:,})"
    )
    rows = [f"| `{tag}` | {curve[-1][1]:.6g} |" for tag, curve in curves.items() if curve[-1][0] == at]
    best = (
        " The best of this run by the headline metric, chosen by this very evaluation, so it flatters a little."
        if "best" in which
        else ""
    )
    return [
        f"{which[0].upper()}{which[1:]}, measured {measured}; headline `{spec.headline}` ({spec.goal}).{best}",
        "",
        "| metric | value |",
        "| --- | --- |",
        *rows,
        "",
        f"Protocol: {protocols[-1]}." if protocols else "The plugin states no protocol.",
    ]


def _documented(function: Any) -> str:
    text = inspect.getdoc(getattr(function, "python_function", function)) or ""
    return " ".join(text.split()).replace("|", r"\|")
