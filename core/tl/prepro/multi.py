"""The ``_multi`` form of a distortion: several images alike, with one random draw."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, Literal, ParamSpec

import numpy as np

from core.tl.errors import EmptyInput
from core.tl.randomness import Repeated

__all__ = ["Images", "multi", "stack"]

Images = np.ndarray | Sequence[np.ndarray]
"""[n, row, col, channel], or a list of n images [row, col, channel]."""
P = ParamSpec("P")


def multi(
    name: str,
    single: Callable[Concatenate[np.ndarray, P], np.ndarray],
    description: str,
    *,
    each: Callable[..., np.ndarray] | None = None,
    required: str = "",
    needs_image: Literal["always", "when random", "never"] = "always",
) -> Callable[Concatenate[Images, P], Any]:
    """Make the ``_multi`` form of a distortion, with the parameters of its single form.

    An image and its segmentation mask, say, go through the single form one after the other, and what was drawn for the
    first is drawn for the others too: the single form must draw through :func:`core.tl.randomness.drawn`.

    Args:
        name: of the new function.
        single: the form for one image, ``single(x, ..., rng=None)``.
        description: the first lines of the docstring, and its example.
        each: what is called for each image instead of ``single``, where TensorLayer's two forms differ.
        required: a parameter without a default, though it has one in ``single``.
        needs_image: when no images at all are an error, as in TensorLayer; else the result is an empty array.

    Returns:
        The function; its result is [n, ...], or a list if the images differ in shape. It raises EmptyInput for no images
        (see ``needs_image``) and TypeError, whatever the images, for parameters that ``single`` lacks.

    >>> def brighter(x, amount=1, *, rng=None):
    ...     return x + amount
    >>> brighter_multi = multi("brighter_multi", brighter, "Several images.")
    >>> brighter_multi(np.zeros([2, 1, 1, 1]), 3).ravel().tolist(), str(inspect.signature(brighter_multi))
    ([3.0, 3.0], "(x: 'Images', amount=1, *, rng=None) -> 'Any'")
    """
    distort: Callable[..., np.ndarray] = each or single
    signature = inspect.signature(single)
    parameters = [p.replace(default=p.empty) if p.name == required else p for p in signature.parameters.values()]
    parameters[0] = parameters[0].replace(annotation="Images")
    signature = signature.replace(parameters=parameters, return_annotation="Any")

    def form(*args: Any, **kwargs: Any) -> Any:
        arguments = signature.bind(*args, **kwargs).arguments
        images, rng = arguments.pop("x"), Repeated(arguments.pop("rng", None))
        looks_at_first = needs_image == "always" or (needs_image == "when random" and arguments.get("is_random"))
        if looks_at_first and len(images) == 0:
            raise EmptyInput(f"{name} needs at least one image")
        results = []
        for image in images:
            rng.rewind()
            results.append(distort(image, **arguments, rng=rng))
        return stack(results)

    form.__name__ = form.__qualname__ = name
    form.__module__ = single.__module__
    form.__signature__ = signature  # type: ignore[attr-defined]
    form.__doc__ = _docstring(description, single, list(signature.parameters)[1:])
    return form


def _docstring(description: str, single: Callable[..., Any], parameters: list[str]) -> str:
    text, _, example = inspect.cleandoc(description).partition("\n\n>>>")
    others = textwrap.fill(f"{', '.join(parameters)}: see :func:`{single.__name__}`.", 104, subsequent_indent="    ")
    sections = [
        text,
        "Args:\n" + textwrap.indent(f"x: n images of one height and width.\n{others}", "    "),
        "Returns:\n    [n, row, col, channel], or a list if the images differ in shape.",
    ]
    return "\n\n".join([*sections, f">>>{example}"] if example else sections)


def stack(images: list[np.ndarray]) -> Any:
    """One array if the images have one shape, else the list (a colour image and its one-channel mask).

    Args:
        images: n images.

    >>> stack([np.zeros([2, 2, 1])] * 3).shape
    (3, 2, 2, 1)
    """
    try:
        return np.asarray(images)
    except ValueError:  # numpy's word for "the shapes differ"
        return images
