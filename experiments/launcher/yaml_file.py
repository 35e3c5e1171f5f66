"""YAML files of settings, read without surprises: a name twice, a loop or no mapping is a sentence."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from core.errors import UsageError

__all__ = ["flattened", "read_yaml"]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of nested values; UsageError when it is missing, broken or no mapping."""
    import yaml

    try:
        values = yaml.load(path.read_text(encoding="utf-8"), _loader())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"the file {str(path)!r} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = f", line {place.line + 1}" if place else ""
        raise UsageError(f"{path} is not valid YAML{where}: {getattr(error, 'problem', error)}") from error
    except ValueError as error:  # an impossible date
        raise UsageError(f"{path} is not valid YAML: {error}") from error
    if not isinstance(values, dict):
        raise UsageError(f"{path} must hold settings such as 'run: {{seed: 1}}', not {type(values).__name__}")
    try:
        list(flattened(values))
    except RecursionError as error:
        raise UsageError(f"{path} is not valid YAML for settings: an anchor stands inside itself") from error
    return values


def _loader() -> type:
    """Return YAML's safe loader, but for two settings of one name, of which it would take the last."""
    import yaml

    class Loader(yaml.SafeLoader):
        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen: set[str] = set()
            for key, _ in node.value:
                if str(key.value) in seen:
                    problem = f"{key.value!r} is given twice"
                    raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
                seen.add(str(key.value))
            return super().construct_mapping(node, deep)

    return Loader


def flattened(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (dotted name, value) of nested settings.

    >>> list(flattened({"run": {"seed": 1}}))
    [('run.seed', 1)]
    """
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
