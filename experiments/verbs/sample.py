"""A generative model draws: a grid, or any number of single pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from core.disk import check_output, new_folder, whole_folder
from core.errors import UsageError, nearest, require
from core.plugin import Draws, DrawsText, Generator
from core.unreadable import UNREADABLE
from experiments.launcher.drawing import Drawn, batches, opened
from experiments.launcher.experiment import StoredRun
from experiments.launcher.strangers import reported

__all__ = ["Flags", "draw", "main"]

MOST = 2**31 - 1  # a count or a seed on the command line
KINDS = {"png": "PNG", "jpg": "JPEG"}
DIGITS = 6  # of a picture's number in its file's name, at least


@dataclass(frozen=True)
class Flags:
    """A generative model draws: a grid, or any number of single pictures."""

    RENAMED: ClassVar[dict[str, str]] = {
        name: f"picture {name}"
        for name in ("interpolate", "arithmetic", "compare", "reconstructions", "latents", "manifold")
    }
    n: int = 64
    """Pictures to draw."""
    seed: int = 0
    """Seed of the noise."""
    picture: str = "samples"
    """What to draw: samples, or what else the model has, e.g. interpolate."""
    text: str | None = None
    """Draw what this caption says, for models that read."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""
    out: str = ""
    """A file, which gets the format of its ending, PNG without one, or a folder, in which each picture gets a file; by default
    NAME.png in the run's folder, of the zoo ENTRY-NAME.png here."""
    folder: str = ""
    """A new or empty folder for --n single pictures 000000.png ..., as programs that score pictures want them. It is there when
    all are written; with captions each picture has its NAME.txt."""
    format: Literal["png", "jpg"] = "png"
    """Of the pictures in --folder; JPEG has quality 95 and all colours."""
    first: int = 0
    """Number of the first picture in --folder: each depends on the seed and its number alone, so a set can be drawn in parts."""
    captions: str = ""
    """A file with a caption a line, which the pictures in --folder show in turn, for models that read."""

    def __post_init__(self) -> None:
        require(1 <= self.n <= MOST, f"--n is {self.n}; it must be a whole number of at least 1 and at most {MOST:,}")
        require(
            0 <= self.seed <= MOST,
            f"--seed is {self.seed}; it must be a whole number of at least 0 and at most {MOST:,}",
        )
        require(self.text is None or self.picture == "samples", "--text and --picture name two pictures; choose one")
        require(
            0 <= self.first <= MOST,
            f"--first is {self.first}; it must be a whole number of at least 0 and at most {MOST:,}",
        )
        if self.folder:
            require(not self.out, "--out and --folder name two places; choose one")
            require(
                self.picture == "samples", f"--picture is {self.picture!r}; --folder has samples, write others to --out"
            )
            require(
                not (self.captions and self.text is not None), "--text and --captions both say what to draw; choose one"
            )
        for name in ("first", "captions"):
            require(not getattr(self, name) or bool(self.folder), f"--{name} is for pictures in a --folder; name one")
        require(
            self.format == "png" or bool(self.folder),
            f"--format is {self.format}, of pictures in a --folder; name one, or an --out that ends in .{self.format}",
        )

    @property
    def name(self) -> str:
        """Of the pictures, for the plugin and for the file."""
        return self.picture if self.text is None else "text"


def main(run: StoredRun, flags: Flags) -> None:
    if flags.folder:
        _draw_set(run, flags)
        return
    name = flags.name
    default = run.output(f"{name}.png")
    out, each = _picture_output(flags.out or None, default.absolute())  # a plugin may change the working directory
    images, which = draw(run, flags)
    from experiments.launcher.images import as_image, grid

    with reported(run.spec, run.traces, "sample"):
        pictures = [as_image(image) for image in images] if each else [as_image(grid(images))]
    if each:
        out.mkdir(exist_ok=True)
        files = [out / f"{name}-{i:0{len(str(len(pictures) - 1))}d}.png" for i in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            _write_picture(picture, file)
        print(f"{len(files)} {'samples' if name == 'samples' else f'pictures ({name})'} of {which}: {files[0]} ...")
        return
    _write_picture(pictures[0], out)
    what = f"{flags.n} samples" if name == "samples" else name
    print(f"{what} of {which}: {flags.out or default}")


def draw(run: StoredRun, flags: Flags) -> tuple[Any, str]:
    """Return the pictures [N, H, W, C] that `flags` ask the run's model for, and which weights drew them.

    Raises UsageError for a run of another kind and for pictures that its model has not, ForeignError for what the plugin raises.
    """
    spec, name = run.spec, flags.name
    with opened(run, flags.weights) as (plugin, which), reported(spec, run.traces, "sample"):
        assert isinstance(plugin, Generator)
        drawn: dict[str, Callable[[int, int], Any]] = {"samples": plugin.sample} if isinstance(plugin, Draws) else {}
        drawn |= plugin.pictures
        if flags.text is not None:
            if not isinstance(plugin, DrawsText):
                raise UsageError(f"{spec.name} reads no text; leave --text out")
            drawn["text"] = partial(plugin.sample_text, flags.text)
        if name not in drawn:
            alone = "it has samples only" if drawn else "it has no pictures"
            hint = nearest(name, drawn) if len(drawn) > 1 else alone
            raise UsageError(f"{spec.name} draws no {name!r}; {hint}")
        return drawn[name](flags.n, flags.seed), which


# --- any number of single pictures ----------------------------------------------------------------------------------------


def _draw_set(run: StoredRun, flags: Flags) -> None:
    """Draw `flags.n` pictures into `flags.folder`, which is there whole or not at all."""
    folder = new_folder(flags.folder, "--folder", ", and draw what a set still lacks with --first")
    captions = _read_captions(flags.captions) if flags.captions else [] if flags.text is None else [flags.text]
    from rich.console import Console
    from rich.progress import Progress

    with opened(run, flags.weights) as (plugin, which):
        try:
            with whole_folder(folder) as place, Progress(console=Console(stderr=True)) as bar:
                task = bar.add_task("pictures", total=flags.n)
                for drawn in batches(run, plugin, flags.n, flags.seed, first=flags.first, captions=captions):
                    _write_batch(drawn, place, flags)
                    bar.advance(task, len(drawn.images))
        except OSError as error:
            raise UsageError(f"{flags.folder!r} cannot be written: {error.strerror or error}") from error
    print(f"{flags.n:,} samples of {which}: {Path(flags.folder) / _file_name(flags.first, flags)} ...")


def _write_batch(drawn: Drawn, folder: Path, flags: Flags) -> None:
    from core.picture_files import write_picture
    from experiments.launcher.images import as_image

    for i, image in enumerate(drawn.images):
        path = folder / _file_name(drawn.first + i, flags)
        write_picture(as_image(image), path, KINDS[flags.format])
        if drawn.captions:
            path.with_suffix(".txt").write_text(drawn.captions[i] + "\n", encoding="utf-8")


def _file_name(number: int, flags: Flags) -> str:
    return f"{number:0{max(DIGITS, len(str(flags.first + flags.n - 1)))}d}.{flags.format}"


def _read_captions(named: str) -> list[str]:
    """Return the lines of a file that are not empty."""
    try:
        lines = Path(named).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except UNREADABLE as error:
        why = "it is no UTF-8 text" if isinstance(error, ValueError) else getattr(error, "strerror", "") or str(error)
        raise UsageError(f"--captions is {named!r}, which cannot be read: {why}") from error
    captions = [line.strip() for line in lines if line.strip()]
    require(bool(captions), f"--captions is {named!r}, which is empty; it must have a caption a line")
    return captions


# --- a grid, or what else a model draws -----------------------------------------------------------------------------------


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
