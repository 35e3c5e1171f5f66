"""Checkpoints: a tree of state on disk, written atomically, verified before use, without pickle.

A checkpoint is a folder: `tree.json` (structure and plain values), `arrays.npz` (every array and variable) and
`SHA256SUMS` over both, in the format that `sha256sum -c` reads. It appears under its name by one rename, whole or not at all.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import shutil
import sys
import uuid
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.disk import fsync_folder, write_durably
from core.errors import UsageError

__all__ = [
    "AppendOnly",
    "CheckpointError",
    "DamagedCheckpoint",
    "best",
    "chosen",
    "clock_of",
    "leaves",
    "load",
    "numbered",
    "prune",
    "put_back",
    "read_weights",
    "save",
]

Tree = dict[str, Any]
FORMAT = 2
WEIGHTS_OF = (1, 2)  # formats whose models and variables can be read
FILES = ("tree.json", "arrays.npz")
COUNT = re.compile(r"_\d+(?=_|/|$)")
NUMBERED = re.compile(r"\d{12}(\.\d{3})?")


class CheckpointError(UsageError):
    """A checkpoint cannot be used; the text says which one and why, in one sentence."""


class DamagedCheckpoint(CheckpointError):
    """A checkpoint's files are missing, unreadable or not what was written. An intact one that does not fit is none."""


@dataclass(frozen=True)
class AppendOnly:
    """A file that only grows: the checkpoint keeps its length, and loading cuts off what came later.

    `path` is relative to the run's folder, `length` counts bytes.
    """

    path: str
    length: int


def save(run_folder: Path, name: str, tree: Tree, *, weights_only: bool = False, leave_out: Sequence[str] = ()) -> Path:
    """Write `tree` as the checkpoint `name` under `run_folder/checkpoints` and return its folder.

    Leaves: None, bool, int, float, str, numpy arrays and scalars, numpy Generators, anything with `.variables` (Keras
    models, layers, optimisers), variables, tf.random.Generator, keras SeedGenerator, AppendOnly, and anything with `state()`
    and `load_state(tree)`, whose state is such a tree too; inside dicts with string keys and lists (a tuple comes back as a
    list). `weights_only` keeps models and variables and nothing else, without those that `leave_out` names, dotted.

    Raises TypeError for another leaf and OSError when the disk refuses; in both cases nothing appears under the name.
    """
    arrays: dict[str, np.ndarray] = {}
    kept = _without(_weights(tree), leave_out) if weights_only else tree
    document = {"format": FORMAT, "tree": _encode(kept, "", arrays, run_folder)}
    folder = run_folder / "checkpoints"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / name
    retry = 0
    while target.exists():  # a turn that moved no clock was saved under this name before
        retry += 1
        target = folder / f"{name}.{retry:03d}"
    temporary = folder / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
    try:
        temporary.mkdir()
        write_durably(temporary / "tree.json", lambda file: file.write(json.dumps(document, indent=1).encode()))
        write_durably(temporary / "arrays.npz", lambda file: np.savez(file, **arrays))  # type: ignore[arg-type]
        sums = "".join(f"{_sha256(temporary / file)}  {file}\n" for file in FILES)
        write_durably(temporary / "SHA256SUMS", lambda file: file.write(sums.encode()))
        fsync_folder(temporary)
        os.rename(temporary, target)
        fsync_folder(folder)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    return target


def load(
    path: Path, live: Tree, *, weights_only: bool = False, generators: bool = True, may_lack: Sequence[str] = ()
) -> Tree:
    """Verify the checkpoint folder `path`, restore the stateful objects of `live` in place and return the whole tree.

    `live` is the tree the same program would save now; its models, optimisers, variables, generators and objects with a
    `load_state` receive their values, and every other leaf is returned as saved. Everything is checked first: names, counts,
    shapes; so a CheckpointError (damage: DamagedCheckpoint) leaves all objects as they were. Objects with a `load_state` come
    last, in the order of the tree. `weights_only` restores models and variables and ignores the rest; those that `may_lack`
    names, dotted, stay as they are where nothing is saved of them. Without `generators`, those of random numbers stay as they are
    in `live`.
    """
    document, arrays = _read_checked(path, weights_only)
    saved, wanted = document["tree"], live
    if weights_only:
        wanted = _weights(live)
        wanted = _without(wanted, [name for name in may_lack if not _has(saved, name)])
        saved = _restrict(saved, wanted)
    reader = _Reader(path, arrays, document["format"], generators)
    tree = reader.decode(saved, wanted, "")
    for action in [*reader.actions, *reader.loads]:
        action()
    return tree


def read_weights(path: Path) -> dict[str, list[np.ndarray]]:
    """Verify the checkpoint folder `path` and return the arrays of each model and variable by its dotted name in the tree.

    TensorFlow is not needed. A model's arrays are in the order of its variables. Raises CheckpointError as `load` does.
    """
    document, arrays = _read_checked(path, weights_only=True)
    reader = _Reader(path, arrays, document["format"])
    found: dict[str, list[np.ndarray]] = {}

    def walk(node: Any, name: str) -> None:
        if not isinstance(node, dict):
            return
        if "$variables" in node:
            found[name] = [reader.array(entry) for entry in node["$variables"]]
            return
        for key, value in node.items():
            walk(value, f"{name}.{key}" if name else key)

    walk(document["tree"], "")
    return found


def put_back(owner: Any, tree: Tree) -> None:
    """Assign what `load` returned for `owner.state()` to its attributes; what was restored in place is the same object."""
    for name, value in tree.items():
        if value is not getattr(owner, name, None):
            setattr(owner, name, value)


def leaves(path: Path) -> dict[str, Any]:
    """Return everything in the checkpoint folder `path` by its place, e.g. `plugin/model/3 kernel`.

    Arrays and variables are numpy arrays, files (path, length), the rest is plain. Names come without the numbers by which Keras
    tells the layers of a process apart. Raises CheckpointError.
    """
    document, arrays = _read_verified(path)
    reader, found = _Reader(path, arrays, document.get("format", 0)), dict[str, Any]()

    def walk(node: Any, where: str) -> None:
        if isinstance(node, list):
            node = {str(i): value for i, value in enumerate(node)}
        if not isinstance(node, dict):
            found[where] = node
        elif "$array" in node:
            found[where] = reader.array(node)
        elif "$file" in node:
            found[where] = (node["$file"], node["length"])
        elif "$variables" in node:
            for i, entry in enumerate(node["$variables"]):
                found[f"{where}/{i} {COUNT.sub('', entry['name'])}"] = reader.array(entry)
        else:
            for key, value in node.get("$numpy_generator", node).items():
                walk(value, f"{where}/{key}" if where else key)

    walk(document["tree"], "")
    return found


def clock_of(path: Path) -> int:
    """Return the clock at which one of the `numbered` checkpoints was saved."""
    return int(path.name[:12])


def numbered(run_folder: Path) -> list[Path]:
    """Return the whole checkpoints of a run, newest first."""
    folder = run_folder / "checkpoints"
    found = [path for path in folder.iterdir() if NUMBERED.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=lambda path: path.name, reverse=True)


def best(run_folder: Path) -> Path | None:
    """Return the newest `best-*` checkpoint of a run (weights only), or None."""
    found = sorted((run_folder / "checkpoints").glob("best-*"), key=lambda path: path.name)
    return found[-1] if found else None


def chosen(run_folder: Path, weights: str) -> Path | None:
    """Return the checkpoint of a run that has its `best` or its `newest` weights, the other one where there is none such, or
    None."""
    whole = numbered(run_folder)
    newest, top = (whole[0] if whole else None), best(run_folder)
    return (top or newest) if weights == "best" else (newest or top)


def prune(run_folder: Path, keep: int, best: str = "") -> None:
    """Delete all but the `keep` newest whole checkpoints, every `best-*` but the one named, and what a killed save left behind.

    The named one need not be the newest: a resumed run may have gone another way than the one that wrote a later best.
    """
    old = numbered(run_folder)[keep:]
    bests = [path for path in (run_folder / "checkpoints").glob("best-*") if path.name != best]
    for path in [*old, *bests, *(run_folder / "checkpoints").glob(".*.tmp")]:
        shutil.rmtree(path)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read_checked(path: Path, weights_only: bool) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Return document and arrays of a checkpoint of a format that can be read."""
    document, arrays = _read_verified(path)
    if document.get("format") not in (WEIGHTS_OF if weights_only else (FORMAT,)):
        raise CheckpointError(
            f"checkpoint {path} has format {document.get('format')!r}, of another version of pongan; this one goes on from "
            f"format {FORMAT}, and reads the weights of {' and '.join(map(str, WEIGHTS_OF))}"
        )
    return document, arrays


def _read_verified(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    try:
        sums = [line.split("  ", 1) for line in (path / "SHA256SUMS").read_text().splitlines()]
        listed = {name: digest for digest, name in sums}
        for file in FILES:
            if listed.get(file) != _sha256(path / file):
                raise DamagedCheckpoint(f"checkpoint {path} is damaged: {file} does not match its checksum")
        document = json.loads((path / "tree.json").read_text())
        with np.load(path / "arrays.npz", allow_pickle=False) as file:
            return document, {key: file[key] for key in file.files}
    except PermissionError as error:
        raise CheckpointError(f"checkpoint {path} cannot be read: {error}") from error
    except (OSError, ValueError, zipfile.BadZipFile) as error:  # ValueError: broken lines, JSON or array headers
        raise DamagedCheckpoint(f"checkpoint {path} cannot be read: {error}") from error


# --- what a leaf is ---------------------------------------------------------------------------------------------------


def _variables(node: Any) -> list[Any] | None:
    """Return the variables of a stateful TensorFlow or Keras object in a fixed order, or None for anything else."""
    if isinstance(node, (dict, list, tuple, np.ndarray, np.generic, str)):
        return None
    if hasattr(node, "variables"):  # Keras model, layer, optimiser
        return list(node.variables)
    if hasattr(getattr(node, "state", None), "assign"):  # tf.random.Generator, keras SeedGenerator
        return [node.state]
    return [node] if hasattr(node, "assign") else None


def _draws(node: Any, name: str) -> bool:
    """Return whether the variable `name` of a stateful object says where a stream of random numbers stands."""
    return hasattr(getattr(node, "state", None), "assign") or name.rpartition("/")[2] == "seed_generator_state"


def _is_stateful(node: Any) -> bool:
    """Return whether an object saves and restores itself, as environments, replays and streams do."""
    return callable(getattr(node, "state", None)) and callable(getattr(node, "load_state", None))


def _is_weight(node: Any) -> bool:
    if _variables(node) is None or hasattr(getattr(node, "state", None), "assign"):
        return False
    keras = sys.modules.get("keras")
    return keras is None or not isinstance(node, keras.optimizers.Optimizer)


def _weights(tree: Tree) -> Tree:
    """Return the part of `tree` that consists of models and variables; a list is a dictionary by number."""
    kept: Tree = {}
    for key, node in tree.items():
        if _is_stateful(node):
            node = node.state()
        if isinstance(node, (list, tuple)):
            node = {str(i): value for i, value in enumerate(node)}
        if isinstance(node, dict):
            inner = _weights(node)
            if inner:
                kept[key] = inner
        elif _is_weight(node):
            kept[key] = node
    return kept


def _without(tree: Tree, names: Sequence[str]) -> Tree:
    """Return a tree without what dotted names say, as far as it is there."""
    kept = dict(tree)
    for name in names:
        key, _, rest = name.partition(".")
        if rest and isinstance(kept.get(key), dict):
            kept[key] = _without(kept[key], [rest])
        elif not rest:
            kept.pop(key, None)
    return kept


def _has(tree: Any, name: str) -> bool:
    for key in name.split("."):
        if not isinstance(tree, dict) or key not in tree:
            return False
        tree = tree[key]
    return tree is not None


def _restrict(saved: Tree, live: Tree) -> Tree:
    """Return the part of a saved tree that `live` has too; a model that stood in a dictionary of its own comes out of it."""
    kept = {}
    for key, node in saved.items():
        if key not in live:
            continue
        if isinstance(live[key], dict):
            numbered = {str(i): value for i, value in enumerate(node)} if isinstance(node, list) else node
            kept[key] = _restrict(numbered, live[key])
        else:  # format 1 had some models as {"model": ...}
            kept[key] = node["model"] if [*node] == ["model"] else node
    return kept


def _as_array(variable: Any) -> np.ndarray:
    return np.asarray(variable.numpy() if hasattr(variable, "numpy") else variable)


# --- tree to JSON and back --------------------------------------------------------------------------------------------


def _encode(node: Any, where: str, arrays: dict[str, np.ndarray], run_folder: Path) -> Any:
    def put(array: np.ndarray) -> dict[str, Any]:
        key = f"a{len(arrays)}"
        if array.dtype.hasobject:
            raise TypeError(f"state {where!r} is an array of Python objects; only numeric and text arrays can be saved")
        stored = array.view(f"u{array.dtype.itemsize}") if array.dtype.kind == "V" else array  # bfloat16 and its kin
        arrays[key] = stored
        return {"$array": key} if stored is array else {"$array": key, "dtype": array.dtype.name}

    if node is None or isinstance(node, (bool, int, float, str)):
        return node
    if isinstance(node, np.generic):
        return node.item()
    if isinstance(node, np.ndarray):
        return put(node)
    if isinstance(node, dict):
        for key in node:
            if not isinstance(key, str) or key.startswith("$"):
                raise TypeError(f"state {where!r} has the key {key!r}; keys are strings that do not start with '$'")
        return {key: _encode(value, f"{where}/{key}", arrays, run_folder) for key, value in node.items()}
    if isinstance(node, (list, tuple)):
        return [_encode(value, f"{where}/{i}", arrays, run_folder) for i, value in enumerate(node)]
    if isinstance(node, np.random.Generator):
        return {"$numpy_generator": _encode(node.bit_generator.state, where, arrays, run_folder)}
    if _is_stateful(node):
        return _encode(node.state(), where, arrays, run_folder)
    if isinstance(node, AppendOnly):
        with open(run_folder / node.path, "rb") as file:
            os.fsync(file.fileno())
        return {"$file": node.path, "length": node.length}
    variables = _variables(node)
    if variables is None:
        raise TypeError(f"state {where!r} is a {type(node).__name__}, which a checkpoint cannot hold")
    return {"$variables": [{"name": str(v.name), **put(_as_array(v))} for v in variables]}


class _Reader:
    """Walks a saved tree beside the live one. Restoring waits in `actions` until everything has been found to fit."""

    def __init__(self, path: Path, arrays: dict[str, np.ndarray], format: int, generators: bool = True):
        self.path, self.run_folder, self.arrays, self.format = path, path.parent.parent, arrays, format
        self.generators = generators  # whether those of random numbers are restored too
        self.actions: list[Callable[[], Any]] = []
        self.loads: list[Callable[[], Any]] = []

    def decode(self, node: Any, live: Any, where: str) -> Any:
        if _is_stateful(live):
            tree = self.decode(node, live.state(), where)
            self.loads.append(functools.partial(live.load_state, tree))
            return live
        if isinstance(node, list):
            lives = live if isinstance(live, (list, tuple)) and len(live) == len(node) else [None] * len(node)
            return [self.decode(value, lives[i], f"{where}/{i}") for i, value in enumerate(node)]
        if not isinstance(node, dict):
            return node
        for mark, read in (
            ("$array", self.array),
            ("$file", self._file),
            ("$numpy_generator", self._numpy_generator),
            ("$variables", self._variables),
        ):
            if mark in node:
                return read(node, live, where)
        # a numpy generator, written down
        if "bit_generator" in node and isinstance(live, dict) and not self.generators:
            return live
        if not isinstance(live, dict) and _holds_state(live):
            raise self._error(f"has names and values at {where!r}, where this run has variables")
        members = live if isinstance(live, dict) else {}
        for key, value in members.items():
            if key not in node and _holds_state(value):
                raise self._error(f"has nothing for {where}/{key}, which this run needs")
        return {key: self.decode(value, members.get(key), f"{where}/{key}") for key, value in node.items()}

    def _error(self, what: str) -> CheckpointError:
        older = f" (another version of pongan wrote it, in format {self.format})" if self.format != FORMAT else ""
        return CheckpointError(f"checkpoint {self.path}{older} {what}")

    def array(self, node: Any, live: Any = None, where: str = "") -> np.ndarray:
        """Return the array that a node of the tree names."""
        array = self.arrays[node["$array"]]
        if "dtype" not in node:
            return array
        import ml_dtypes

        return array.view(np.dtype(getattr(ml_dtypes, node["dtype"])))

    def _file(self, node: Any, live: Any, where: str) -> AppendOnly:
        file, length = self.run_folder / node["$file"], node["length"]
        if not file.is_file() or file.stat().st_size < length:
            raise DamagedCheckpoint(
                f"checkpoint {self.path} needs {length} bytes of {file}, which is missing or shorter"
            )
        self.actions.append(lambda: os.truncate(file, length))
        return AppendOnly(node["$file"], length)

    def _numpy_generator(self, node: Any, live: Any, where: str) -> np.random.Generator:
        state = self.decode(node["$numpy_generator"], None, where)
        kind = state["bit_generator"]
        if not isinstance(live, np.random.Generator) or type(live.bit_generator).__name__ != kind:
            raise self._error(f"has a numpy {kind} generator at {where!r}; this run has not")
        if self.generators:
            self.actions.append(lambda: setattr(live.bit_generator, "state", state))
        return live

    def _variables(self, node: Any, live: Any, where: str) -> Any:
        saved = [(entry["name"], self.array(entry)) for entry in node["$variables"]]
        variables = _variables(live)
        if variables is None:
            raise self._error(f"has variables at {where!r}; this run has none there")
        if len(variables) != len(saved):
            raise self._error(f"has {len(saved)} variables at {where!r}; this run has {len(variables)}")
        for variable, (name, array) in zip(variables, saved, strict=True):
            if tuple(variable.shape) != array.shape:
                shapes = f"shape {list(array.shape)}; this run's is {list(variable.shape)}"
                raise self._error(f"has {name} at {where!r} with {shapes}")
            if self.generators or not _draws(live, name):
                self.actions.append(functools.partial(variable.assign, array))
        return live


def _holds_state(node: Any) -> bool:
    if isinstance(node, dict):
        return any(_holds_state(value) for value in node.values())
    if isinstance(node, (list, tuple)):
        return any(_holds_state(value) for value in node)
    return isinstance(node, np.random.Generator) or _is_stateful(node) or _variables(node) is not None
