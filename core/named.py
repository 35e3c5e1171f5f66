"""What flags of the form module:function name."""

from __future__ import annotations

import importlib
from typing import Any

from core.errors import UsageError, foreign, nearest

__all__ = ["function_named"]


def function_named(name: str, what: str, valid: str = "module:function, for instance my_module:my_function") -> Any:
    """Return what `name`, module:function, names; `what` is what it is for, e.g. network, and `valid` what it may be.

    Raises UsageError for a module or function that is not there, ForeignError for what the module raises when it is imported.

    >>> function_named("math:hypot", "network")(3, 4)
    5.0
    """
    path, _, attribute = name.partition(":")
    if not path or not attribute:
        raise UsageError(f"{what} is {name!r}; it must be {valid}")
    try:
        module = importlib.import_module(path)
    except ModuleNotFoundError as error:
        raise UsageError(f"{what} {name!r} names the module {path!r}, which cannot be found: {error}") from error
    except (UsageError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise foreign(f"the module {path!r} of {what} {name!r}", error, "when it was imported") from error
    if not hasattr(module, attribute):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", "") == path]
        raise UsageError(
            f"{what} {name!r} names {attribute!r}, which {path!r} does not have; {nearest(attribute, own)}"
        )
    return getattr(module, attribute)
