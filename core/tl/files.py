"""Weight files of both TensorLayer generations, and small helpers for files and folders.

``npz`` reads and writes the files.
"""

from __future__ import annotations

import io
import logging
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from core.tl.errors import InvalidInput, require
from core.tl.npz import read_npy, read_npz, replacing, write_npz

__all__ = [
    "assign_params",
    "assign_tf_variable",
    "assign_weights",
    "del_file",
    "del_folder",
    "exists_or_mkdir",
    "file_exists",
    "folder_exists",
    "load_and_assign_npz",
    "load_and_assign_npz_dict",
    "load_file_list",
    "load_folder_list",
    "load_npy_to_any",
    "load_npz",
    "load_npz_dict",
    "natural_keys",
    "npz_to_W_pdf",
    "read_file",
    "save_any_to_npy",
    "save_npz",
    "save_npz_dict",
    "tf_variables_to_numpy",
]

logger = logging.getLogger(__name__)

Variables = Any
"""A Keras model or layer, or a list of variables."""


# --- saving and loading parameters ------------------------------------------------------------------------------------


def save_npz(save_list: Sequence[Any] | None = None, name: str = "model.npz", sess: Any = None) -> None:
    """Write a list of parameters; :func:`load_npz` gives it back.

    Parameters of one shape and type are stacked under the key "params", which is TensorLayer's own format. Others are
    written one by one: TensorLayer would pickle them, and no weight file of this project is pickled.
    :func:`save_npz_dict` is the format that TensorLayer reads in either case.

    Args:
        save_list: variables, tensors or arrays.
        name: the file; ".npz" is appended if it is missing.
        sess: taken for the sake of 1.x, not used.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_npz([np.ones([2, 3]), np.zeros(3)], os.path.join(folder, "model.npz"))
    ...     [p.shape for p in load_npz(folder, "model.npz")]
    [(2, 3), (3,)]
    """
    arrays = tf_variables_to_numpy([] if save_list is None else list(save_list))
    if len({(a.shape, a.dtype) for a in arrays}) <= 1:
        write_npz(name, {"params": np.asarray(arrays)})
    else:
        write_npz(name, {f"params_{i}": a for i, a in enumerate(arrays)})


def load_npz(path: str = "", name: str = "model.npz") -> list[np.ndarray]:
    """Read parameters that :func:`save_npz` or any TensorLayer's save_npz wrote.

    Args:
        path: folder.
        name: the file.

    Returns:
        List of arrays, in the order they were saved.

    Raises:
        ValueError: the file holds more than arrays, or no "params".

    See :func:`save_npz` for an example.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_npz([np.ones(3)] * 2, os.path.join(folder, "model.npz"))
    ...     len(load_npz(name=os.path.join(folder, "model.npz")))
    2
    """
    file = os.path.join(path, name)
    arrays = read_npz(file)
    if "params" in arrays:
        return [np.asarray(p) for p in arrays["params"]]
    keys = [f"params_{i}" for i in range(len(arrays))]
    if set(keys) != set(arrays):
        raise ValueError(f"{file} holds {sorted(arrays)[:3]} ..., not 'params': load_npz_dict reads files with names")
    return [arrays[key] for key in keys]


def save_npz_dict(
    save_list: Sequence[Any] | Mapping[str, Any] | None = None, name: str = "model.npz", sess: Any = None
) -> None:
    """Write parameters by name; :func:`load_npz_dict` and :func:`load_and_assign_npz_dict` read them.

    Args:
        save_list: variables (written under their path, which Keras makes unique, or their name), arrays (written under
            their number, as 1.5.3 did), or a dictionary.
        name: the file; ".npz" is appended if it is missing.
        sess: taken for the sake of 1.x, not used.

    Raises:
        ValueError: two parameters have one name. (2.2.5 keeps the last one and says nothing.)

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_npz_dict({"w": np.ones(2), "b": np.zeros(1)}, os.path.join(folder, "model.npz"))
    ...     [p.tolist() for p in load_npz_dict(folder, "model.npz")]
    [[1.0, 1.0], [0.0]]
    """
    if isinstance(save_list, Mapping):
        names, values = list(save_list), list(save_list.values())
    else:
        values = [] if save_list is None else list(save_list)
        names = [_name(value, str(i)) for i, value in enumerate(values)]
    twice = sorted({n for n in names if names.count(n) > 1})
    require(not twice, f"parameters need different names, and more than one is called {twice}")
    write_npz(name, dict(zip(names, tf_variables_to_numpy(values), strict=True)))


def load_npz_dict(path: str = "", name: str = "model.npz") -> list[np.ndarray]:
    """Read parameters that :func:`save_npz_dict` or any TensorLayer's save_npz_dict wrote.

    Args:
        path: folder.
        name: the file.

    Returns:
        List of arrays: by number if the names are numbers (1.5.3), else in the order of the file.

    Raises:
        ValueError: the file holds more than arrays.

    See :func:`save_npz_dict` for an example.
    """
    arrays = read_npz(os.path.join(path, name))
    keys = sorted(arrays, key=int) if all(key.isdigit() for key in arrays) else list(arrays)
    return [arrays[key] for key in keys]


def assign_params(*args: Any, sess: Any = None, params: Sequence[Any] | None = None, network: Any = None) -> list[Any]:
    """Put parameters into a Keras model, in the order of its weights: ``assign_params([sess,] params, network)``.

    Counts and shapes are compared before anything is assigned.

    Args:
        sess: taken for the sake of 1.x, not used.
        params: list of arrays.
        network: Keras model or layer, or list of variables.

    Returns:
        The variables.

    Raises:
        ValueError: the numbers of parameters or a shape differ.

    >>> class Variable:
    ...     shape, name = (2,), "w"
    ...     def assign(self, value): self.value = value
    >>> assign_params([np.ones(2)], [Variable()])[0].value.tolist()
    [1.0, 1.0]
    """
    given = _without_session(args, "params", "network")
    params, network = given.get("params", params), given.get("network", network)
    if params is None or network is None:
        raise InvalidInput("assign_params needs parameters and a network")
    variables = _variables(network)
    arrays = [np.asarray(p) for p in params]
    require(len(arrays) == len(variables), f"{len(arrays)} parameters for {len(variables)} variables")
    for i, (variable, array) in enumerate(zip(variables, arrays, strict=True)):
        _check_shape(variable, array, f"parameter {i}")
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)
    return variables


def assign_weights(weights: Sequence[Any], network: Any) -> list[Any]:
    """The name of :func:`assign_params` in 2.x.

    Args:
        weights: list of arrays.
        network: Keras model or layer, or list of variables.

    Returns:
        The variables.

    >>> assign_weights([], [])
    []
    """
    return assign_params(weights, network)


def assign_tf_variable(variable: Any, value: Any) -> None:
    """Assign one variable.

    Args:
        variable: with a method ``assign``.
        value: array of its shape.

    >>> class Variable:
    ...     def assign(self, value): self.value = value
    >>> v = Variable()
    >>> assign_tf_variable(v, 1.0)
    >>> v.value
    1.0
    """
    variable.assign(value)


def tf_variables_to_numpy(variables: Any) -> list[np.ndarray]:
    """Variables, tensors or arrays as arrays.

    Args:
        variables: a list, or one.

    Returns:
        List of arrays.

    >>> tf_variables_to_numpy([np.ones(2), 3.0])[1]
    array(3.)
    """
    values = variables if isinstance(variables, (list, tuple)) else [variables]
    return [np.asarray(v.numpy() if hasattr(v, "numpy") else v) for v in values]


def load_and_assign_npz(*args: Any, sess: Any = None, name: str | None = None, network: Any = None) -> Any:
    """:func:`load_npz`, then :func:`assign_params`: ``load_and_assign_npz([sess,] name, network)``.

    Args:
        sess: taken for the sake of 1.x, not used.
        name: the file.
        network: Keras model or layer, or list of variables.

    Returns:
        The network, or False if there is no such file (as the documentation says; some versions return None).

    Raises:
        ValueError: no network, or its shapes differ.

    >>> load_and_assign_npz(name="no such file", network=[])
    False
    """
    given = _without_session(args, "name", "network")
    name, network = given.get("name", name), given.get("network", network)
    if network is None or name is None:
        raise InvalidInput("load_and_assign_npz needs a file name and a network")
    if not os.path.exists(name):
        logger.error("file %s does not exist", name)
        return False
    assign_params(load_npz(name=name), network)
    return network


def load_and_assign_npz_dict(
    name: str = "model.npz", network: Any = None, skip: bool = False, *, sess: Any = None
) -> Any:
    """Put the parameters of a :func:`save_npz_dict` file into the variables of the same names.

    Args:
        name: the file.
        network: Keras model or layer, or list of variables.
        skip: leave out names the network lacks, instead of raising.
        sess: taken for the sake of 1.x, not used.

    Returns:
        The network, or False if there is no such file.

    Raises:
        ValueError: no network, an unknown name, or a shape differs.

    >>> load_and_assign_npz_dict("no such file", network=[])
    False
    """
    require(network is not None, "load_and_assign_npz_dict needs a network")
    if not os.path.exists(name):
        logger.error("file %s does not exist", name)
        return False
    arrays = read_npz(name)
    variables = {_name(v, str(i)): v for i, v in enumerate(_variables(network))}
    unknown = [key for key in arrays if key not in variables]
    require(skip or not unknown, f"the network has no variables {unknown}: skip=True leaves them out")
    known = {key: array for key, array in arrays.items() if key in variables}
    for key, array in known.items():
        _check_shape(variables[key], array, key)
    for key, array in known.items():
        variables[key].assign(array)
    return network


def _without_session(args: tuple[Any, ...], *names: str) -> dict[str, Any]:
    """Positional arguments of both generations by name: 1.x has a session before the others."""
    require(len(args) <= len(names) + 1, f"the positional arguments are ([sess,] {', '.join(names)}), not {len(args)}")
    return dict(zip(names, args[1:] if len(args) > len(names) else args, strict=False))


def _variables(network: Variables) -> list[Any]:
    return list(network) if isinstance(network, (list, tuple)) else list(network.weights)


def _name(value: Any, otherwise: str) -> str:
    return getattr(value, "path", None) or getattr(value, "name", None) or otherwise


def _check_shape(variable: Any, array: np.ndarray, label: str) -> None:
    shape = tuple(variable.shape)
    require(array.shape == shape, f"{label} has shape {array.shape}, its variable {_name(variable, '')} {shape}")


# --- any object -------------------------------------------------------------------------------------------------------


def save_any_to_npy(save_dict: Any = None, name: str = "file.npy") -> None:
    """Write plain Python data (dictionaries, lists, numbers, text, arrays) in numpy's format for objects.

    That format is a pickle, the only one TensorLayer's own loader takes; :func:`load_npy_to_any` reads it without
    running code.

    Args:
        save_dict: the data; {} without.
        name: the file; ".npy" is appended if it is missing.

    Raises:
        ValueError: the data holds something that :func:`load_npy_to_any` would refuse; nothing is written then.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_any_to_npy({"data": ["a", "b"]}, os.path.join(folder, "test.npy"))
    ...     load_npy_to_any(folder, "test.npy")
    {'data': ['a', 'b']}
    """
    buffer = io.BytesIO()
    np.save(buffer, np.asanyarray({} if save_dict is None else save_dict))
    buffer.seek(0)
    read_npy(buffer, "this data")
    with replacing(name, ".npy") as f:
        f.write(buffer.getvalue())


def load_npy_to_any(path: str = "", name: str = "file.npy") -> Any:
    """Read what :func:`save_any_to_npy`, of any TensorLayer too, wrote.

    Args:
        path: folder.
        name: the file.

    Returns:
        The data; an array of one element comes back as that element.

    Raises:
        ValueError: the file holds more than plain data and arrays.

    See :func:`save_any_to_npy` for an example.
    """
    file = os.path.join(path, name)
    with open(file, "rb") as f:
        array = read_npy(f, file)
    return array.item() if array.size == 1 else array


# --- files and folders ------------------------------------------------------------------------------------------------


def file_exists(filepath: str) -> bool:
    """Is there a file of this name?

    Args:
        filepath: the file.

    Returns:
        Whether it exists and is a file.

    >>> file_exists("no such file")
    False
    """
    return os.path.isfile(filepath)


def folder_exists(folderpath: str) -> bool:
    """Is there a folder of this name?

    Args:
        folderpath: the folder.

    Returns:
        Whether it exists and is a folder.

    >>> folder_exists(".")
    True
    """
    return os.path.isdir(folderpath)


def del_file(filepath: str) -> None:
    """Delete a file.

    Args:
        filepath: the file.

    Raises:
        FileNotFoundError: no such file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a")
    ...     open(path, "w").close()
    ...     del_file(path)
    ...     os.listdir(folder)
    []
    """
    os.remove(filepath)


def del_folder(folderpath: str) -> None:
    """Delete a folder **and everything in it**, as from 1.8 on. (1.5.3 deleted empty folders only.)

    Args:
        folderpath: the folder.

    Raises:
        FileNotFoundError: no such folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.makedirs(os.path.join(folder, "a", "b"))
    ...     del_folder(os.path.join(folder, "a"))
    ...     os.listdir(folder)
    []
    """
    shutil.rmtree(folderpath)


def read_file(filepath: str) -> str:
    """The text of a file.

    Args:
        filepath: the file, UTF-8.

    Returns:
        Its text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "a.txt")
    ...     _ = open(path, "w").write("text")
    ...     read_file(path)
    'text'
    """
    with open(filepath, encoding="utf-8") as f:
        return f.read()


def load_file_list(
    path: str | None = None, regx: str = r"\.jpg", printable: bool = True, keep_prefix: bool = False
) -> list[str]:
    r"""Names in a folder that match a regular expression anywhere (``\.npz`` matches a.npzx too).

    The default expression is that of 1.6 and later; 1.5.3's was ``\.npz``.

    Args:
        path: the folder; the current one without.
        regx: the expression.
        printable: log the names.
        keep_prefix: put the folder before each name.

    Returns:
        List of names in human order (see :func:`natural_keys`).

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("im10.jpg", "im2.jpg", "notes.txt"):
    ...         open(os.path.join(folder, name), "w").close()
    ...     load_file_list(folder)
    ['im2.jpg', 'im10.jpg']
    """
    folder = os.getcwd() if path is None else path
    names = sorted((name for name in os.listdir(folder) if re.search(regx, name)), key=natural_keys)
    if printable:
        logger.info("%d files match %s: %s", len(names), regx, names)
    return [os.path.join(folder, name) for name in names] if keep_prefix else names


def load_folder_list(path: str = "") -> list[str]:
    """Folders in a folder.

    Args:
        path: the folder; the current one without.

    Returns:
        List of their paths, in human order.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     os.makedirs(os.path.join(folder, "a"))
    ...     [os.path.basename(f) for f in load_folder_list(folder)]
    ['a']
    """
    folders = (os.path.join(path, name) for name in os.listdir(path or "."))
    return sorted(filter(os.path.isdir, folders), key=natural_keys)


def exists_or_mkdir(path: str, verbose: bool = True) -> bool:
    """Make sure that a folder exists.

    Args:
        path: the folder; folders above it are made too.
        verbose: log what was done.

    Returns:
        True if it existed, False if it was made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     exists_or_mkdir(os.path.join(folder, "a")), exists_or_mkdir(os.path.join(folder, "a"))
    (False, True)
    """
    existed = os.path.exists(path)
    if not existed:
        os.makedirs(path, exist_ok=True)
    if verbose:
        logger.info("%s %s", path, "exists" if existed else "created")
    return existed


def natural_keys(text: str) -> list[int | str]:
    """Key to sort names with numbers the way people do.

    Args:
        text: the name.

    Returns:
        Its parts, numbers as integers.

    >>> sorted(["im1.jpg", "im31.jpg", "im11.jpg", "im03.jpg"], key=natural_keys)
    ['im1.jpg', 'im03.jpg', 'im11.jpg', 'im31.jpg']
    """
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", text)]


def npz_to_W_pdf(path: str | None = None, regx: str = r"w1pre_[0-9]+\.(npz)") -> None:
    """Draw the first weight matrix of each matching file as a grid of images of 28 x 28.

    Args:
        path: the folder; the current one without.
        regx: names of the files; the picture of a.npz is a.pdf, in the current folder.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     npz_to_W_pdf(folder)  # no files, no pictures
    """
    from core.tl import visualize

    for name in load_file_list(path=path, regx=regx):
        weights = load_npz(path or "", name)[0]
        visualize.draw_weights(weights, saveable=True, name=name.split(".")[0], fig_idx=2012)
