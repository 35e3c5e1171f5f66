"""A model translates pictures of one domain into another: one file each, and a sheet of both."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from core.disk import check_output, new_folder, whole_folder
from core.errors import UsageError, nearest, require
from core.plugin import Translates
from core.seeds import child
from experiments.launcher.drawing import opened
from experiments.launcher.experiment import StoredRun
from experiments.launcher.strangers import reported
from experiments.prepared import open_prepared

if TYPE_CHECKING:
    import numpy as np

    from generative.data.sets import Named
    from generative.data.sources import Pictures

__all__ = ["Flags", "main"]

MOST = 2**31 - 1  # a seed on the command line
ROW = 8  # pairs in a row of the sheet at most
DIGITS = 6  # of a picture's number in its file's name


@dataclass(frozen=True)
class Flags:
    """Translate pictures into another domain that a run has learned: those of a folder, an .npz file or a data source, prepared
    as the run's own were. Each becomes a PNG file of its name in a folder."""

    run: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")]
    """The folder of a run whose model translates."""
    pictures: Annotated[Positional[str], tyro.conf.arg(metavar="PICTURES")]
    """The pictures that are translated."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])]
    """A new or empty folder for the translations, which is there when all are written; of an array picture i is 00000i.png."""
    to: str = ""
    """The domain to translate into, where the model has several."""
    sheet: str = ""
    """A file for a picture of the first ones, each beside its translation."""
    n: int = 32
    """Pictures on the sheet."""
    seed: int = 0
    """Seed of what chance has a part in, in models where it has."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""

    def __post_init__(self) -> None:
        require(1 <= self.n <= 1_000, f"--n is {self.n}; it must be at least 1 and at most 1,000")
        require(
            0 <= self.seed <= MOST,
            f"--seed is {self.seed}; it must be a whole number of at least 0 and at most {MOST:,}",
        )


def main(flags: Flags) -> None:
    folder = new_folder(flags.out, "--out")
    sheet = Path(flags.sheet).expanduser().absolute() if flags.sheet else None
    if sheet is not None:
        check_output(sheet)
        from core.picture_files import format_of

        format_of(sheet)
    run = StoredRun.of([flags.run])
    from core.runtime import configure

    configure(training=False)  # before TensorFlow is imported: it is quiet then
    with opened(run, flags.weights) as (plugin, which):
        if not isinstance(plugin, Translates):
            raise UsageError(f"{run.spec.name} translates no pictures; `pongan list` shows models that do")
        target = _target(plugin, flags.to, run.spec.name)
        data = open_prepared(run, flags.pictures, plugin.picture_shape)
        count, shown = _write_all(run, plugin, data, target, folder, flags)
        if sheet is not None:
            _write_sheet(shown, sheet)
    print(f"{count:,} pictures as {target} by {run.spec.name} on {run.experiment.subject}, {which}: {flags.out}")
    if sheet is not None:
        print(flags.sheet)


def _target(plugin: Translates, named: str, model: str) -> str:
    domains = list(plugin.domains)
    if not named:
        require(len(domains) == 1, f"{model} translates into {', '.join(domains)}; choose one with --to")
        return domains[0]
    require(named in domains, f"--to is {named!r}; {nearest(named, domains)}")
    return named


def _translated(
    run: StoredRun, plugin: Translates, data: Pictures, target: str, seed: int
) -> Iterator[tuple[Named, np.ndarray]]:
    """Yield all pictures that can be read in batches, with their translations [B, H, W, C] uint8."""
    import numpy as np

    from generative.data.sets import named

    for i, batch in enumerate(named(data)):
        with reported(run.spec, run.traces, "translate"):
            yield batch, np.asarray(plugin.translate(batch.images, target, child(seed, "batch", i)))


def _write_all(
    run: StoredRun, plugin: Translates, data: Pictures, target: str, folder: Path, flags: Flags
) -> tuple[int, list[tuple[np.ndarray, np.ndarray]]]:
    """Write every translation into `folder`; return how many, and the first pictures with their translations."""
    from core.picture_files import write_picture
    from experiments.launcher.images import as_image

    taken: set[str] = set()
    shown: list[tuple[Any, Any]] = []
    try:
        with whole_folder(folder) as place:
            for batch, images in _translated(run, plugin, data, target, flags.seed):
                for name, before, after in zip(batch.names, batch.images, images, strict=True):
                    path = place / _file_name(name, taken)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    write_picture(as_image(after), path, "PNG")
                    if len(shown) < flags.n:
                        shown.append((before, after))
            require(bool(shown), f"none of the pictures of {data.name} can be read")
    except OSError as error:
        raise UsageError(f"{flags.out!r} cannot be written: {error.strerror or error}") from error
    return len(taken), shown


def _file_name(name: str, taken: set[str]) -> str:
    """Return the name of the PNG file of a picture: its own, or its number; a.jpg beside a.png becomes a.jpg.png."""
    if name.isdecimal():
        name = f"{int(name):0{DIGITS}d}"
    file = f"{Path(name).with_suffix('')}.png"
    file = f"{name}.png" if file.lower() in taken else file
    taken.add(file.lower())  # some disks do not tell a.png from A.png
    return file


def _write_sheet(shown: list[tuple[np.ndarray, np.ndarray]], file: Path) -> None:
    import numpy as np

    from core.picture_files import save_picture
    from experiments.launcher.images import as_image, grid
    from generative.data.pictures import beside

    befores, afters = (np.stack(part) for part in zip(*shown, strict=True))
    pairs = beside(befores, afters)
    try:
        save_picture(as_image(grid(pairs, min(ROW, len(pairs)))), file)
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be written: {error.strerror or error}") from error
