"""TensorLayer's mixed helpers: class balancing, random integers, dictionaries, classification scores."""

from __future__ import annotations

import collections
import logging
import random
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from core.tl.errors import EmptyInput, require
from core.tl.randomness import Rng

__all__ = [
    "class_balancing_oversample",
    "dict_to_one",
    "evaluation",
    "flatten_list",
    "get_random_int",
    "list_string_to_dict",
]

logger = logging.getLogger(__name__)


def evaluation(
    y_test: Sequence[int] | np.ndarray, y_predict: Sequence[int] | np.ndarray, n_classes: int
) -> tuple[np.ndarray, np.ndarray, np.float64, np.float64]:
    """Classification scores (scikit-learn computes them).

    Args:
        y_test: [N] true classes.
        y_predict: [N] predicted classes.
        n_classes: number of classes, C.

    Returns:
        Confusion matrix [C, C] with true classes in rows, F1 of each class [C], accuracy, and mean F1 of the classes
        that occur.

    Raises:
        ValueError: the lengths differ, or there are no examples.

    >>> c_mat, f1, acc, f1_macro = evaluation([0, 1, 1], [0, 1, 0], n_classes=2)
    >>> c_mat.tolist(), f1.round(3).tolist(), round(float(acc), 3), round(float(f1_macro), 3)
    ([[1, 0], [1, 1]], [0.667, 0.667], 0.667, 0.667)
    """
    from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

    require(len(y_test) >= 1, "evaluation needs at least one example")
    labels = list(range(n_classes))
    c_mat = confusion_matrix(y_test, y_predict, labels=labels)
    f1 = f1_score(y_test, y_predict, average=None, labels=labels)
    f1_macro = np.float64(f1_score(y_test, y_predict, average="macro"))
    acc = np.float64(accuracy_score(y_test, y_predict))
    logger.info("confusion matrix:\n%s\nF1 %s, macro F1 %f, accuracy %f", c_mat, f1, f1_macro, acc)
    return c_mat, f1, acc, f1_macro


def dict_to_one(dp_dict: Mapping[Any, Any]) -> dict[Any, int]:
    """The same keys, each with the value 1 (keeping probabilities that switch dropout off).

    Args:
        dp_dict: a dictionary.

    Returns:
        A new one.

    >>> dict_to_one({"drop1": 0.5})
    {'drop1': 1}
    """
    return dict.fromkeys(dp_dict, 1)


def flatten_list(list_of_list: Iterable[Iterable[Any]]) -> list[Any]:
    """A list of lists as one list.

    Args:
        list_of_list: the lists.

    Returns:
        Their elements.

    >>> flatten_list([[1, 2, 3], [4, 5], [6]])
    [1, 2, 3, 4, 5, 6]
    """
    return [element for part in list_of_list for element in part]


def class_balancing_oversample(
    X_train: np.ndarray,
    y_train: Sequence[Any] | np.ndarray,
    printable: bool = True,
) -> tuple[np.ndarray, list[Any]]:
    """Repeat the examples of rarer classes until all classes are as large as the largest.

    Args:
        X_train: [N, features].
        y_train: [N] labels of any kind (the original needs a label 0).
        printable: log the class sizes.

    Returns:
        Examples [M, features], at least float64, the largest class first, and the list of their M labels.

    Raises:
        ValueError: the lengths differ, or X_train has no two axes.
        IndexError: no examples.

    >>> x, y = class_balancing_oversample(np.asarray([[1.0], [2.0], [3.0]]), ["a", "a", "b"])
    >>> x.ravel().tolist(), y
    ([1.0, 2.0, 3.0, 3.0], ['a', 'a', 'b', 'b'])
    """
    x = np.asarray(X_train)
    if len(x) == 0:
        raise EmptyInput("class_balancing_oversample needs at least one example")
    require(x.ndim == 2, f"X_train must be [N, features], not {x.shape}")
    require(len(x) == len(y_train), f"{len(x)} examples but {len(y_train)} labels: give one for each")
    sizes = collections.Counter(y_train).most_common()
    largest = sizes[0][1]
    if printable:
        logger.info("classes and their sizes %s, all brought to %d", sizes, largest)
    labels = np.asarray(y_train)
    rows = [np.resize(np.flatnonzero(labels == label), largest) for label, _ in sizes]
    return x[np.concatenate(rows)].astype(np.result_type(x.dtype, np.float64)), [
        label for label, _ in sizes for _ in range(largest)
    ]


def get_random_int(
    min_v: int = 0,
    max_v: int = 10,
    number: int = 5,
    seed: int | None = None,
    *,
    min: int | None = None,
    max: int | None = None,
    rng: Rng = None,
) -> list[int]:
    """Random integers, both limits included.

    Args:
        min_v, max_v: the limits; 1.5.3 called them ``min`` and ``max``, which works too.
        number: how many.
        seed: the same seed gives the same numbers. (The original takes 0 for none.)
        rng: source of randomness instead of ``seed``; the system's entropy without either.

    Returns:
        List of integers.

    Raises:
        ValueError: the limits are exchanged.

    >>> get_random_int(0, 10, 5, seed=42)
    [10, 1, 0, 4, 3]
    """
    low, high = (min_v if min is None else min), (max_v if max is None else max)
    require(low <= high, f"the lower limit {low} is above the upper one, {high}")
    if rng is not None:
        return [int(n) for n in rng.integers(low, high + 1, number)]
    source = random.Random(seed)
    return [source.randint(low, high) for _ in range(number)]


def list_string_to_dict(string: Iterable[Any]) -> dict[Any, int]:
    """Number the elements of a list.

    Args:
        string: the list; of an element that stands twice, the last number counts.

    Returns:
        element -> number.

    >>> list_string_to_dict(["a", "b", "c"])
    {'a': 0, 'b': 1, 'c': 2}
    """
    return {element: i for i, element in enumerate(string)}
