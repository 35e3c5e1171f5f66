"""Go on with a run from its newest checkpoint."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace

from core.errors import UsageError
from core.plugin import Placed
from experiments.launcher.experiment import StoredRun, field_of
from experiments.launcher.flags import as_dict
from experiments.launcher.settings import FIXED_AT_START
from experiments.launcher.training import go_on

__all__ = ["Flags", "changed", "main"]


@dataclass(frozen=True)
class Flags:
    """Go on with a run from its newest checkpoint. Only the launcher's flags can change, and where files lie that have moved."""


def main(run: StoredRun, flags: Flags) -> int:
    return go_on(changed(run)).code


def changed(run: StoredRun) -> StoredRun:
    """Return the run as it may go on; UsageError where its new settings would make it another, and for an entry of a zoo."""
    run.check_whole()
    places = _places(run)
    for name, flag in run.given.items():
        if name in places:
            _check_moved(flag, *places[name])
        elif not name.startswith(("run.", "eval.")):
            ours = ["--run.*", "--eval.*"] if run.spec.kind == "agent" else ["--run.*"]
            taken = ", ".join([*ours, *("--" + place.replace("_", "-") for place in places)])
            raise UsageError(f"resume takes only {taken} flags; {flag!r} would make it another run")
    settings = run.settings
    if "run.time_limit" not in run.given:  # the limit was that of another call
        settings = replace(settings, time_limit=0.0)
    for name in FIXED_AT_START:
        began = getattr(run.began.settings, name)
        if getattr(settings, name) != began:
            others = sorted(f"run.{other}" for other in as_dict(settings) if other not in FIXED_AT_START)
            raise UsageError(
                f"run.{name} was {began!r} when this run began and cannot become {getattr(settings, name)!r} on resume; "
                f"{', '.join(others)} can change"
            )
    return replace(run, experiment=replace(run.experiment, settings=settings))


def _places(run: StoredRun) -> dict[str, tuple[str, str]]:
    """Return {dotted setting: (value when the run began, value now)} of what says where a run's files lie.

    These are the plugin's `places`, or those of its data sources, as they were when the run began.
    """
    spec, config = run.spec, run.began.config
    nested = {item.name: getattr(config, item.name) for item in fields(config)}
    found = (f"{name}.{place}" for name, part in nested.items() if isinstance(part, Placed) for place in part.places)
    return {
        f"{spec.prefix}.{name}": (str(field_of(config, name)), str(field_of(run.config, name)))
        for name in spec.places or found
    }


def _check_moved(flag: str, before: str, now: str) -> None:
    """Raise UsageError for a source of another kind than before, e.g. npz:PATH in place of folder:PATH."""
    kinds = {match[0] if (match := re.match("[a-z][a-z0-9-]*:", text)) else "" for text in (before, now)}
    if not before or len(kinds) > 1:
        raise UsageError(f"{flag} was {before!r} when this run began; {now!r} would make it another run")
