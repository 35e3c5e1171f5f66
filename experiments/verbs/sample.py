"""A generative model draws: a grid, or a folder of pictures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from core.disk import check_output
from core.errors import UsageError, nearest, require
from core.plugin import Draws, DrawsText
from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import restored
from experiments.launcher.strangers import close, reported

__all__ = ["Flags", "draw", "main"]

MOST = 2**31 - 1  # a count or a seed on the command line


@dataclass(frozen=True)
class Flags:
    """A generative model draws: a grid, or a folder of pictures."""

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
    NAME.png in the run's folder."""

    def __post_init__(self) -> None:
        require(1 <= self.n <= MOST, f"--n is {self.n}; it must be a whole number of at least 1 and at most {MOST:,}")
        require(
            0 <= self.seed <= MOST,
            f"--seed is {self.seed}; it must be a whole number of at least 0 and at most {MOST:,}",
        )
        require(self.text is None or self.picture == "samples", "--text and --picture name two pictures; choose one")

    @property
    def name(self) -> str:
        """Of the pictures, for the plugin and for the file."""
        return self.picture if self.text is None else "text"


def main(run: StoredRun, flags: Flags) -> None:
    place = run.path.absolute()  # a plugin may change the working directory
    name = flags.name
    out, each = _picture_output(flags.out or None, place / f"{name}.png")
    images, which = draw(run, flags)
    from experiments.launcher.images import as_image, grid

    with reported(run.spec, place, "sample"):
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
    print(f"{what} of {which}: {flags.out or run.path / f'{name}.png'}")


def draw(run: StoredRun, flags: Flags) -> tuple[Any, str]:
    """Return the pictures [N, H, W, C] that `flags` ask the run's model for, and which weights drew them.

    Raises UsageError for a run of another kind and for pictures that its model has not, ForeignError for what the plugin raises.
    """
    spec, name = run.spec, flags.name
    plugin, which = restored(run, flags.weights, "generative")
    try:
        with reported(spec, run.path.absolute(), "sample"):
            drawn: dict[str, Callable[[int, int], Any]] = {}
            if isinstance(plugin, Draws):
                drawn = {"samples": plugin.sample, **plugin.pictures}
            if flags.text is not None:
                if not isinstance(plugin, DrawsText):
                    raise UsageError(f"{spec.name} reads no text; leave --text out")
                drawn["text"] = partial(plugin.sample_text, flags.text)
            if name not in drawn:
                alone = "it has samples only" if drawn else "it has no pictures"
                hint = nearest(name, drawn) if len(drawn) > 1 else alone
                raise UsageError(f"{spec.name} draws no {name!r}; {hint}")
            return drawn[name](flags.n, flags.seed), which
    finally:
        close(plugin, spec, print)


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
