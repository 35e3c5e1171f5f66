"""`python -m experiments <verb>`, also installed as the command `pongan`."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence

__all__ = ["main"]

VERBS = {
    "run": "train an experiment: run <name> [flags]",
    "resume": "go on with a run: resume <run folder> [--run.* flags]",
    "list": "plugins, presets and data sources, one line each",
    "describe": "paper, algorithm, defaults: describe <name>",
    "play": "an agent plays, returns and a GIF: play <run folder>",
    "sample": "a generative model draws a PNG grid: sample <run folder>",
    "compare": "runs side by side with intervals over seeds: compare [runs...] [--metric TAG] [--csv] [--html]",
    "export": "a SavedModel with its card: export <run folder> -o FOLDER [--weights best|newest]",
    "sweep": "many settings and seeds: sweep <name> --seeds N --grid KEY=A,B [--random N] [--workers N] [--asha|--pbt]",
    "profile": "where the time of a step goes: profile <name> [--seconds 20] [flags]",
    "new": "a plugin or data source to start from: new agent|generative|source NAME [--package FOLDER]",
    "tensorboard": "open TensorBoard on a folder of runs: tensorboard [folder]",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return the exit code: 0 done, 2 a sentence about what to mend, 130/143 stopped by a signal."""
    from experiments.shadow import check

    if argv is None:
        _find_modules_here()
    check()
    from core.errors import UsageError
    from experiments.console import error

    try:
        return _dispatch(list(sys.argv[1:] if argv is None else argv))
    except UsageError as failure:
        error(str(failure))
        return 2
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        return 130


def _find_modules_here() -> None:
    """Let the command `pongan` find modules in the current folder, first on the path, as `python -m experiments` does."""
    if sys.flags.safe_path:  # the user wants no such thing
        return
    try:
        here = os.getcwd()
    except FileNotFoundError:  # deleted
        return
    sys.path[:] = [here, *(path for path in sys.path if path not in ("", here))]


def _dispatch(argv: list[str]) -> int:
    from core.errors import UsageError, nearest
    from experiments.catalogue import catalogue

    if not argv or argv[0] in ("-h", "--help"):
        print(_help())
        return 0 if argv else 2
    verb, rest = argv[0], argv[1:]
    if verb in ("run", "resume"):
        from experiments import run as module

        return {"run": module.run, "resume": module.resume}[verb](rest)
    if verb == "profile":
        from experiments.profile import profile

        return profile(rest)
    if verb == "sweep":
        from experiments.sweep import sweep

        return sweep(rest)
    if verb == "export":
        from experiments.export import export

        return export(rest)
    if verb == "new":
        from experiments.scaffold import new

        return new(rest)
    if verb in ("compare", "tensorboard"):
        from experiments import compare

        return {"compare": compare.compare, "tensorboard": compare.tensorboard}[verb](rest)
    if verb in VERBS:
        from experiments import show

        return {"list": show.list_all, "describe": show.describe, "play": show.play, "sample": show.sample}[verb](rest)
    commands = {name: target for spec in catalogue().plugins.values() for name, target in spec.commands.items()}
    if verb not in commands:
        raise UsageError(f"there is no verb {verb!r}; {nearest(verb, [*VERBS, *commands])}")
    module_name, _, function = commands[verb].partition(":")
    command: Callable[[list[str]], int | None] = getattr(importlib.import_module(module_name), function)
    return command(rest) or 0


def _help() -> str:
    from experiments.catalogue import catalogue

    own = {verb: f"a verb of {spec.name}" for spec in catalogue().plugins.values() for verb in spec.commands}
    lines = [f"  {verb:11s} {text}" for verb, text in (VERBS | own).items()]
    return "\n".join(
        [
            "usage: python -m experiments <verb> ...",
            "",
            *lines,
            "",
            "  python -m experiments run policy-gradient --run.time-limit 120",
            "  python -m experiments play runs/policy-gradient/ALE-Pong-v5/<date-time>-s1",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
