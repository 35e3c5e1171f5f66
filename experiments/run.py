"""`python -m experiments.run <name> [flags]`: start a run, and `resume` one."""

from __future__ import annotations

import contextlib
import shlex
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from core.errors import UsageError, nearest
from core.plugin import Context, Placed, Spec, build
from experiments.catalogue import catalogue
from experiments.configuration import FIXED_AT_START, RunConfig, as_dict, flags, parse, parse_values, read_yaml
from experiments.folder import RunFolder
from experiments.strangers import Interrupts, close, keep_traceback, reason

__all__ = ["configured", "load_run", "make_plugin", "resume", "run"]


def run(argv: Sequence[str], observe: Callable[[Any], None] | None = None) -> int:
    """Start a run: `<plugin or preset> [--config FILE] [flags]`. Returns the exit code.

    `observe` is called with the `Loop` before it begins to train.
    """
    if not argv or argv[0] in ("-h", "--help"):
        print(_USAGE.format(names=", ".join(sorted([*catalogue().plugins, *catalogue().presets]))))
        return 0 if argv else 2
    spec, label, plugin_config, settings = configured(argv)
    subject = str(_field(plugin_config, spec.subject))
    _check_strategy(spec, settings)
    chosen = _configure_runtime(settings)
    with _workplace(settings) as place:
        folder = RunFolder.create(place.root or settings.folder, label, subject, settings.seed, settings.tag)
        values = {
            "experiment": spec.name,
            "preset": label,
            spec.prefix: as_dict(plugin_config),
            "run": as_dict(settings),
        }
        with _disk_errors(spec):
            folder.write_config(values)
        return _train(spec, plugin_config, settings, folder, label, chosen, place, observe)


def configured(argv: Sequence[str]) -> tuple[Spec, str, Any, RunConfig]:
    """Return plugin, name of the preset or plugin, its configuration and the run's settings for the words after `run`."""
    name, rest = argv[0], list(argv[1:])
    spec, preset = catalogue().find(name)
    layers: list[tuple[str, Mapping[str, Any]]] = []
    if preset is not None:
        layers.append((f"preset {preset.name}", _relaunch_values(str(preset.path), spec)))
    file = _take_option(rest, "--config")
    if file is not None:
        layers.append((file, _relaunch_values(file, spec)))
    label = preset.name if preset else spec.name
    config = parse(spec, layers, rest, prog=f"python -m experiments.run {label}", usage=_examples(label, spec))
    return spec, label, getattr(config, spec.prefix), config.run


def resume(argv: Sequence[str]) -> int:
    """Go on with a run: `<run folder> [--run.* flags]`, and where its data lie now, if they moved. Returns the exit code."""
    path, rest = _run_path(argv, "resume")
    spec, plugin_config, settings = load_run(path, [])
    moved = _moved(rest, spec, plugin_config)
    if moved:
        plugin_config = load_run(path, moved)[1]
    unknown = [t for t in rest if t.startswith("--") and not t.startswith("--run.") and t not in ("--help", "-h")]
    if unknown:
        raise UsageError(
            f"resume takes only {', '.join(['--run.*', *_places(spec, plugin_config)])} flags; "
            f"{unknown[0].partition('=')[0]!r} would make it another run"
        )
    prefixed = [f"run.{name}" for name in flags(RunConfig)]
    default = _RunOnly(replace(settings, time_limit=0.0))  # the limit was that of another call
    places = ", ".join(_places(spec, plugin_config))
    told = f"Go on with a run. Only the launcher's flags can change{f', and {places}, where files have moved' * bool(places)}."
    changed = parse_values(
        _RunOnly, [], rest, prog="python -m experiments resume", default=default, description=told
    ).run
    for name in FIXED_AT_START:
        if getattr(changed, name) != getattr(settings, name):
            raise UsageError(
                f"run.{name} was {getattr(settings, name)!r} when this run began and cannot become {getattr(changed, name)!r} on "
                f"resume; {', '.join(sorted(p for p in prefixed if p[4:] not in FIXED_AT_START))} can change"
            )
    _check_strategy(spec, changed)
    chosen = _configure_runtime(changed)
    with _workplace(changed) as place:
        if place.root is not None:  # another worker writes the run: this one reads a copy
            path = Path(shutil.copytree(path, Path(place.root) / path.name, ignore=shutil.ignore_patterns(".lock")))
        folder = RunFolder.open(path)
        values = RunFolder.read_config(path) | {"run": as_dict(changed)}
        if moved:
            values[spec.prefix] = as_dict(plugin_config)
        label = values.get("preset", spec.name)
        return _train(spec, plugin_config, changed, folder, label, chosen, place, None, resuming=values)


def _places(spec: Spec, config: Any) -> dict[str, str]:
    """Return {flag: value} of the settings that say where a run's files lie: the plugin's `places`, or its data sources'."""
    nested = {field.name: getattr(config, field.name) for field in fields(config)}
    found = (f"{name}.{place}" for name, part in nested.items() if isinstance(part, Placed) for place in part.places)
    return {f"--{spec.prefix}.{name.replace('_', '-')}": str(_field(config, name)) for name in spec.places or found}


def _moved(words: list[str], spec: Spec, config: Any) -> list[str]:
    """Take the flags out of `words` that say where a run's files lie now, and return them.

    Raises UsageError for a source of another kind than before, e.g. npz:PATH in place of folder:PATH.
    """
    found = []
    for flag, before in _places(spec, config).items():
        value = _take_option(words, flag)
        if value is None:
            continue
        kinds = {text.partition(":")[0] if ":" in text else "" for text in (value, before)}
        if not before or len(kinds) > 1:
            raise UsageError(f"{flag} was {before!r} when this run began; {value!r} would make it another run")
        found.append(f"{flag}={value}")
    return found


def load_run(path: Path, argv: Sequence[str]) -> tuple[Spec, Any, RunConfig]:
    """Return plugin, its configuration and the run's settings as a run folder's config.yaml has them, changed by `argv`."""
    RunFolder.check(path)
    values = RunFolder.read_config(path)
    spec, _ = catalogue().find(values["experiment"])
    layers = [(str(path / "config.yaml"), _relaunch_values(str(path / "config.yaml"), spec))]
    config = parse(spec, layers, argv, prog="python -m experiments", usage="")
    return spec, getattr(config, spec.prefix), config.run


def make_plugin(spec: Spec, config: Any, settings: RunConfig, files: Path, say: Any, strategy: Any = None) -> Any:
    """Build the plugin for a run."""
    from experiments.loop import KEPT

    # With save_every 0 only a signal saves in between, and the run may go on from there to its end.
    rewind = KEPT * settings.save_every or settings.until
    context = Context(
        seed=settings.seed, folder=files, precision=settings.precision, rewind=rewind, strategy=strategy, say=say
    )
    return build(spec, config, context)


# --- one run from beginning to end ------------------------------------------------------------------------------------


def _train(
    spec: Spec,
    config: Any,
    settings: RunConfig,
    folder: RunFolder,
    label: str,
    chosen: dict[str, Any],
    place: _Workplace,
    observe: Callable[[Any], None] | None,
    *,
    resuming: Mapping[str, Any] | None = None,
) -> int:
    """Train a new run, or go on with one: then `resuming` is its configuration, which is kept if the run can be restored."""
    from experiments.console import Display, closing_table
    from experiments.loop import Loop

    with _disk_errors(spec):
        folder.write_meta(status="running", experiment=spec.name, preset=label, seed=settings.seed, runtime=chosen)
    display = Display(label, spec.clock, settings.until, settings.time_limit)
    python = _python()  # before an environment changes the working directory
    again = f"{python} -m experiments resume {shlex.quote(str(folder.given))}"
    plugin: Any = None
    loop: Any = None
    scope = contextlib.ExitStack()
    interrupts = scope.enter_context(Interrupts())
    try:
        scope.enter_context(place.strategy.scope() if place.strategy else contextlib.nullcontext())
        plugin = make_plugin(spec, config, settings, folder.files, display.say, place.strategy)
        loop = Loop(plugin, spec, settings, folder, display, place.together)
        if resuming is not None:
            forked = folder.read_meta().get("forked", {}).get("checkpoint")
            name = loop.restore(forked)
            resumed = [*folder.read_meta().get("resumed", []), {"checkpoint": name, "argv": sys.argv}]
            folder.write_meta(resumed=resumed)
            folder.write_config(resuming)
            display.say(f"resumed {folder.given} at {plugin.clock:,} {spec.clock}")
        else:
            loop.begin(
                _texts(folder, chosen),
                {"experiment": label, "run.seed": settings.seed} | _flat(as_dict(config), spec.prefix),
            )
            display.say(f"{spec.name} on {_field(config, spec.subject)}: {folder.given}")
        if place.strategy is not None:
            display.say(f"{place.strategy.num_replicas_in_sync} replicas share every batch")
        if observe is not None:
            observe(loop)
        stopped = loop.train()
        if stopped is None:
            loop.events.finished(True)
    except BaseException as failure:  # the run's folder must say why it ended, whatever a plugin raised
        display.close()
        if isinstance(failure, KeyboardInterrupt) and (interrupts.by_user or (loop is not None and loop.interrupted)):
            folder.write_meta(status="interrupted: stopped without saving")
            display.say(f"stopped without saving; resume from the last checkpoint: {again}")
            return 130
        why = reason(failure, spec)
        hint = keep_traceback(failure, folder.path / "traceback.txt")
        if loop is not None and loop.trained:
            hint += f"; training is done and saved, and this evaluates it again: {again}"
        with contextlib.suppress(OSError):  # on a full disk the sentence below is all that can still be said
            folder.write_meta(status=f"failed: {why}")
            if loop is not None and hasattr(loop, "events"):
                loop.events.finished(False)
        raise UsageError(why + hint) from failure
    finally:
        display.close()
        if plugin is not None and hasattr(plugin, "close"):
            close(plugin, spec, display.say)
        scope.close()
        if loop is not None and hasattr(loop, "events"):
            with contextlib.suppress(OSError):  # likewise: what could not be written was reported above
                loop.events.close()
        folder.close()
    if stopped is not None:
        name = signal.Signals(stopped).name
        folder.write_meta(status=f"interrupted: {name}")
        display.say(f"saved at {plugin.clock:,} {spec.clock}; go on with: {again}")
        return 128 + stopped
    results = _results(spec, config, label, settings, folder, loop)
    with _disk_errors(spec):
        folder.write_results(results)
        folder.write_meta(status="finished")
    values = {k: v for k, v in loop.last["values"].items() if isinstance(v, (int, float, str))}
    closing_table(
        display.console,
        f"{label} on {results['subject']}, seed {settings.seed}",
        {
            spec.clock: f"{plugin.clock:,}",
            "minutes": results["wall_clock_seconds"] / 60,
            "steps per second": results["steps_per_second"],
        }
        | values,
    )
    display.say(f"results      {folder.given / 'results.json'}")
    display.say(f"TensorBoard  {python} -m tensorboard.main --logdir {shlex.quote(settings.folder)}")
    display.say(f"go on        {again} --run.until {2 * settings.until}")
    return 0


@dataclass(frozen=True)
class _Workplace:
    """Where a run trains: the strategy, a folder of its own for a worker that does not write the run, and a vote on stopping."""

    strategy: Any = None
    root: str | None = None
    together: Callable[[int], int] = lambda reason: reason


def _check_strategy(spec: Spec, settings: RunConfig) -> None:
    if settings.strategy == "none" or spec.distributed:
        return
    others = sorted(name for name, other in catalogue().plugins.items() if other.distributed)
    why = "an agent, and agents train on one device" if spec.kind == "agent" else "not made for several devices"
    raise UsageError(
        f"run.strategy is {settings.strategy!r}, but {spec.name!r} is {why}; {', '.join(others)} can be distributed"
    )


@contextlib.contextmanager
def _workplace(settings: RunConfig) -> Iterator[_Workplace]:
    if settings.strategy == "none":
        yield _Workplace()
        return
    from core.distributed import make_strategy, multiworker_role, together

    if settings.strategy == "mirrored":
        yield _Workplace(make_strategy("mirrored"))
        return
    number, _ = multiworker_role()
    strategy = make_strategy("multiworker")
    with tempfile.TemporaryDirectory(prefix=f"pongan-worker{number}-") as scratch:
        yield _Workplace(strategy, scratch if number else None, together(strategy))


def _configure_runtime(settings: RunConfig) -> dict[str, Any]:
    from core.runtime import configure

    return configure(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
    )


def _results(spec: Spec, config: Any, label: str, settings: RunConfig, folder: RunFolder, loop: Any) -> dict[str, Any]:
    meta = folder.read_meta()
    seconds = loop.elapsed
    return {
        "experiment": spec.name,
        "preset": label,
        "subject": str(_field(config, spec.subject)),
        "seed": settings.seed,
        "clock": {"value": loop.plugin.clock, "unit": spec.clock},
        "wall_clock_seconds": seconds,
        "steps_per_second": loop.plugin.clock / seconds if seconds else 0.0,
        "headline": {
            "tag": spec.headline,
            "goal": spec.goal,
            "final": loop.last["values"][spec.headline],
            "best": loop.best,
        },
        "evaluation": loop.last["values"],
        "resumed": len(meta.get("resumed", [])),
        "runtime": meta["runtime"],
        "versions": meta["versions"],
        "git": meta["git"],
    }


@contextlib.contextmanager
def _disk_errors(spec: Spec) -> Iterator[None]:
    """Make one sentence of what the disk refuses before and after training."""
    try:
        yield
    except OSError as failure:
        raise UsageError(reason(failure, spec)) from failure


# --- small helpers ----------------------------------------------------------------------------------------------------

_USAGE = """usage: python -m experiments.run <name> [--config FILE] [flags]

Trains an experiment: a plugin or one of its presets. Flags beat the file, the file beats the preset.

  python -m experiments.run policy-gradient --run.time-limit 120
  python -m experiments.run pong-pg-fast --agent.lr 5e-4 --run.seed 2

names: {names}
`python -m experiments list` describes them, `python -m experiments.run <name> --help` shows all flags."""


def _examples(label: str, spec: Spec) -> str:
    field = next((name for name, kind in flags(spec.config).items() if kind is float), None)
    flag = f"--{spec.prefix}.{field.replace('_', '-')} {_field(spec.config(), field)}" if field else "--run.seed 2"
    return (
        f"Examples:\n\n  python -m experiments.run {label} --run.time-limit 120\n\n"
        f"  python -m experiments.run {label} {flag} --run.seed 2 --run.tag trial"
    )


@dataclass(frozen=True)
class _RunOnly:
    """Go on with a run. Only the launcher's flags can change."""

    run: RunConfig


def _only_settings(words: Sequence[str], verb: str, flags: Iterable[str]) -> None:
    """Raise UsageError for a flag among `words` that no run has (settings have a dot); the verb's own `flags` are suggested."""
    for word in words:
        name = word.partition("=")[0]
        if name.startswith("--") and "." not in name and name not in ("--config", "--help"):
            raise UsageError(f"{verb} knows no flag {word!r}; {nearest(name, flags)}")


def _take_option(tokens: list[str], name: str) -> str | None:
    """Remove `name VALUE` or `name=VALUE` from tokens and return VALUE."""
    for i, token in enumerate(tokens):
        if token == name:
            if i + 1 == len(tokens):
                raise UsageError(f"{name} needs a value after it")
            del tokens[i]
            return tokens.pop(i)
        if token.startswith(name + "="):
            return tokens.pop(i).partition("=")[2]
    return None


def _relaunch_values(file: str, spec: Spec) -> dict[str, Any]:
    values = read_yaml(Path(file))
    owner = values.pop("experiment", spec.name)
    values.pop("preset", None)
    if owner != spec.name:
        raise UsageError(f"{file} configures the experiment {owner!r}, not {spec.name!r}")
    return values


def _run_path(argv: Sequence[str], verb: str, usage: str = "") -> tuple[Path, list[str]]:
    if not argv or argv[0].startswith("-"):
        raise UsageError(f"usage: python -m experiments {usage or f'{verb} <run folder> [flags]'}")
    return Path(argv[0]), list(argv[1:])


def _field(config: Any, dotted: str) -> Any:
    for name in dotted.split("."):
        if not hasattr(config, name):
            raise UsageError(
                f"{type(config).__name__} has no field {name!r}, which the plugin's registration names ({dotted!r})"
            )
        config = getattr(config, name)
    return config


def _flat(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        flat |= _flat(value, f"{prefix}.{key}") if isinstance(value, Mapping) else {f"{prefix}.{key}": value}
    return flat


def _texts(folder: RunFolder, chosen: dict[str, Any]) -> dict[str, str]:
    config = (folder.path / "config.yaml").read_text()
    meta = folder.read_meta()
    facts = {
        "command": shlex.join(meta["argv"]),
        **chosen,
        **meta["versions"],
        "commit": meta["git"]["commit"] or "unknown",
    }
    table = "| what | value |\n| --- | --- |\n" + "\n".join(f"| {k} | {v} |" for k, v in facts.items())
    return {"config": "    " + config.replace("\n", "\n    "), "versions": table}


def _python() -> str:
    """Return the interpreter as a word for a command to paste."""
    here = Path(sys.executable).is_relative_to(Path.cwd())
    return shlex.quote(str(Path(sys.executable).relative_to(Path.cwd()))) if here else "python"


if __name__ == "__main__":
    from experiments.__main__ import main

    sys.exit(main(["run", *sys.argv[1:]]))
