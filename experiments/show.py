"""`list`, `describe`, `play` and `sample`: looking at experiments and at what a run has learned."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from core.disk import check_output, write_output
from core.errors import UsageError, nearest, told
from experiments.catalogue import catalogue
from experiments.configuration import as_dict
from experiments.run import _flat, _run_path, _take_option, load_run, make_plugin
from experiments.strangers import close, reported

__all__ = ["describe", "list_all", "play", "restored", "sample"]

MOST = 2**31 - 1  # a count or a seed on the command line


def list_all(argv: Sequence[str]) -> int:
    """Print every plugin and preset, one line each, and what could not be loaded."""
    from rich.console import Console
    from rich.table import Table

    found = catalogue()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "kind", "what it is"):
        table.add_column(column, overflow="fold", no_wrap=column == "name")
    for name, spec in sorted(found.plugins.items()):
        table.add_row(name, spec.kind, spec.summary)
        for preset in sorted((p for p in found.presets.values() if p.plugin == name), key=lambda p: p.name):
            table.add_row(f"  {preset.name}", "preset", preset.summary)
    console = Console(highlight=False)
    console.print(table)
    for source, reason in sorted(found.broken.items()):
        console.print(f"broken: {source}: {reason}", markup=False, soft_wrap=True)
    return 0


def describe(argv: Sequence[str]) -> int:
    """Print paper, algorithm, x-axis, headline metric, presets and defaults of an experiment."""
    if len(argv) != 1:
        raise UsageError("usage: python -m experiments describe <name>")
    from rich.console import Console

    spec, preset = catalogue().find(argv[0])
    console = Console(highlight=False)
    console.print(f"{spec.name}: {spec.summary}", style="bold", markup=False)
    console.print(f"\n{spec.description}\n", markup=False)
    facts = {
        "paper": spec.paper or "none named",
        "x-axis": spec.clock,
        "headline": f"{spec.headline} ({spec.goal})",
        "presets": ", ".join(sorted(p.name for p in catalogue().presets.values() if p.plugin == spec.name)) or "none",
    }
    for key, value in facts.items():
        console.print(f"{key:9s} {value}", markup=False, soft_wrap=True)
    if preset is not None:
        console.print(f"\npreset {preset.name}: {preset.summary}\n{preset.path.read_text().rstrip()}", markup=False)
    console.print("\ndefaults")
    for key, value in _flat(as_dict(spec.config()), spec.prefix).items():
        console.print(f"  --{key.replace('_', '-'):32s} {value}", markup=False, soft_wrap=True)
    return 0


def play(argv: Sequence[str]) -> int:
    """An agent plays: prints its returns and writes a GIF. `<run folder> [--weights best|newest] [--out FILE] [--agent.*]`."""
    path, rest = _run_path(argv, "play")
    place, target = path.absolute(), _take_option(rest, "--out")  # an environment may change the working directory
    out = _output(target, place / "play.gif")
    plugin, spec, which = restored(path, rest, "agent")
    try:
        with reported(spec, place, "play"):
            measured = dict(plugin.evaluate())
    finally:
        close(plugin, spec, print)
    from rich.console import Console

    from agents.rl.evaluate import NO_FILM
    from envs.film import film
    from experiments.console import closing_table
    from experiments.tensorboard import gif

    for i, score in enumerate(measured.get("eval/returns", [])):
        print(f"episode {i + 1}: return {score:g}")
    shown = {k: v for k, v in measured.items() if isinstance(v, (int, float, str))}
    closing_table(Console(highlight=False), f"{spec.name}, {which}", shown)
    films = [value for tag, value in measured.items() if tag.startswith("video/")]
    why = str(measured.get("eval/protocol", "")).partition(NO_FILM)[2]
    try:
        encoded = gif(film(films[0])) if films else b""
    except (UsageError, ValueError, TypeError, OSError) as error:
        encoded, why = b"", told(error)
    if encoded:
        write_output(out, lambda file: file.write(encoded))
        print(f"film: {target or path / 'play.gif'}")
    else:
        print(f"no film: {why}" if why else "this environment cannot be drawn, so there is no film")
    return 0


def sample(argv: Sequence[str]) -> int:
    """A generative model draws: a grid. `<run folder> [--n N] [--seed S] [--weights best|newest] [--out FILE or FOLDER]`.

    A file gets the format that its ending says, PNG without one; a folder gets each picture as a file of its own. A model may
    draw other pictures too: each name in its `pictures` is a flag here, e.g. `--interpolate`. One that has
    `sample_text(text, n, seed)` draws what `--text "..."` says.
    """
    path, rest = _run_path(argv, "sample")
    n, seed = (
        _whole(_take_option(rest, "--n") or "64", "--n", 1),
        _whole(_take_option(rest, "--seed") or "0", "--seed", 0),
    )
    text, target = _take_option(rest, "--text"), _take_option(rest, "--out")
    named = [t for t in rest if t.startswith("--") and "." not in t and "=" not in t and t != "--weights"]
    if text is not None:
        named.insert(0, "--text")
    if len(named) > 1:
        raise UsageError(f"{' and '.join(named)} name two pictures; choose one")
    name = named[0][2:] if named else "samples"
    place = path.absolute()
    out, each = _picture_output(target, place / f"{name}.png")
    plugin, spec, which = restored(path, [t for t in rest if t not in named], "generative")
    from experiments.tensorboard import as_image, grid

    try:
        with reported(spec, place, "sample"):
            drawn = {"samples": plugin.sample, **getattr(plugin, "pictures", {})}
            if text is not None and hasattr(plugin, "sample_text"):
                drawn["text"] = partial(plugin.sample_text, text)
            if name not in drawn:
                others = [f"--{other}" for other in drawn if other != "samples"]
                hint = nearest(named[0], others) if others else "it has samples only"
                raise UsageError(f"{spec.name} draws no {name!r}; {hint}")
            images = drawn[name](n, seed)
            pictures = [as_image(image) for image in images] if each else [as_image(grid(images))]
    finally:
        close(plugin, spec, print)
    if each:
        out.mkdir(exist_ok=True)
        files = [out / f"{name}-{i:0{len(str(len(pictures) - 1))}d}.png" for i in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            _write_picture(picture, file)
        print(f"{len(files)} {'samples' if name == 'samples' else f'pictures ({name})'} of {which}: {files[0]} ...")
        return 0
    _write_picture(pictures[0], out)
    print(f"{f'{n} samples' if name == 'samples' else name} of {which}: {target or path / f'{name}.png'}")
    return 0


def _picture_output(named: str | None, default: Path) -> tuple[Path, bool]:
    """Return (the file or folder to write to, whether each picture gets a file of its own), checked before the work."""
    if named is None:
        return default, False
    out = Path(named).expanduser().absolute()  # a plugin may change the folder on the way
    if (out.is_dir() or named.endswith("/")) and out != out.parent:
        if not out.parent.is_dir():
            raise UsageError(f"{named!r} cannot be made: there is no folder {str(out.parent)!r}")
        return out, True
    check_output(out)
    if out.suffix:
        from core.picture_files import format_of

        format_of(out)
    return out, False


def _write_picture(picture: Any, out: Path) -> None:
    """Write one of Pillow's images, as PNG where the file's name has no ending.

    Raises UsageError where the format cannot hold it or the disk refuses.
    """
    from core.picture_files import check_picture, save_picture

    kind = "" if out.suffix else "PNG"
    check_picture(out, picture.size, picture.mode, kind=kind)
    try:
        save_picture(picture, out, kind)
    except OSError as error:
        raise UsageError(f"{str(out)!r} cannot be written: {error.strerror or error}") from error


def restored(path: Path, rest: list[str], kind: str | None = None) -> tuple[Any, Any, str]:
    """Return (plugin with the run's weights, spec, which weights); with `kind`, of such a plugin only.

    Raises UsageError where the run has none, ForeignError for what the plugin or its environment raises.
    """
    from core import checkpoint
    from core.runtime import configure

    weights = _take_option(rest, "--weights") or "best"
    if weights not in ("best", "newest"):
        raise UsageError(f"--weights is {weights!r}; {nearest(weights, ['best', 'newest'])}")
    spec, config, settings = load_run(path, rest)
    if kind is not None and spec.kind != kind:
        verb = "sample" if spec.kind == "generative" else "play"
        raise UsageError(f"{path} holds {spec.name!r}, which is {spec.kind}; use `{verb}`")
    whole = checkpoint.numbered(path)
    chosen = (checkpoint.best(path) if weights == "best" else None) or (whole[0] if whole else None)
    if chosen is None:
        raise UsageError(f"{path} has no checkpoint yet")
    configure(device=settings.device, threads=settings.threads, precision=settings.precision)
    path, chosen = path.absolute(), chosen.absolute()
    with reported(spec, path, "restoring"):
        plugin = make_plugin(spec, config, settings, path / "files", print)
        checkpoint.load(chosen, {"plugin": plugin.state()}, weights_only=True)
    return plugin, spec, f"checkpoint {chosen.name}"


def _output(named: str | None, default: Path) -> Path:
    """Return the file to write: the one that the user named, if it can be made, or the default in the run's folder."""
    if named:
        check_output(Path(named))
    return Path(named).absolute() if named else default


def _whole(text: str, name: str, least: int) -> int:
    if not text.isdecimal() or not least <= int(text) <= MOST:
        raise UsageError(f"{name} is {text!r}; it must be a whole number of at least {least} and at most {MOST:,}")
    return int(text)
