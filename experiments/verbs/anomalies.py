"""How unlike what a run has learned pictures are, one by one: scores, a table, a sheet."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from core.disk import check_output, write_output
from core.errors import UsageError, nearest, require
from core.plugin import FindsAnomalies
from experiments.launcher.drawing import opened
from experiments.launcher.experiment import StoredRun
from experiments.launcher.strangers import reported
from experiments.prepared import open_prepared

if TYPE_CHECKING:
    import numpy as np

    from generative.data.sources import Pictures

__all__ = ["Flags", "Found", "find", "main"]

LISTED = 10  # pictures in the table
SHEETS = ("highest.png", "lowest.png")
COLUMNS = 8  # pictures in a row of a sheet


@dataclass(frozen=True)
class Flags:
    """Score how unlike the pictures that a run has learned from others are: those of a folder, an .npz file or a data source,
    prepared as the run's own were. Scores are the model's, in its own unit, and scaled to 0 ... 1 over the set."""

    run: Annotated[Positional[str], tyro.conf.arg(metavar="RUN")]
    """The folder of a run whose model finds anomalies."""
    pictures: Annotated[Positional[str], tyro.conf.arg(metavar="PICTURES")]
    """The pictures that are scored."""
    csv: str = ""
    """A file for a line a picture: its name (number in an array), its label where there is one, score and scaled score."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = ""
    """A folder for highest.png and lowest.png: the pictures of highest and of lowest score, each above its reconstruction and a
    map of where the two differ."""
    n: int = 16
    """Pictures in each of these."""
    anomalous: str = ""
    """A label, of a folder the name of a folder in it: say how well the scores tell its pictures from the others."""
    weights: Literal["best", "newest"] = "best"
    """The best by the headline metric, or the newest."""

    def __post_init__(self) -> None:
        require(1 <= self.n <= 1_000, f"--n is {self.n}; it must be at least 1 and at most 1,000")


@dataclass(frozen=True)
class Found:
    """Scored pictures, in their order."""

    positions: np.ndarray
    """[N] in the data."""
    names: list[str]
    labels: list[str]
    """[N], or none."""
    scores: np.ndarray
    """[N]"""
    scaled: np.ndarray
    """[N] in [0, 1]"""


def main(flags: Flags) -> None:
    table, folder = (Path(word).expanduser().absolute() if word else None for word in (flags.csv, flags.out))
    if table is not None:
        check_output(table)
    if folder is not None:
        require(
            folder.parent.is_dir() and not folder.is_file(),
            f"--out is {flags.out!r}; it must be a folder, or a new one in a folder that exists",
        )
    run = StoredRun.of([flags.run])
    from core.runtime import configure

    configure(training=False)  # before TensorFlow is imported: it is quiet then
    with opened(run, flags.weights) as (plugin, which):
        if not isinstance(plugin, FindsAnomalies):
            raise UsageError(f"{run.spec.name} finds no anomalies; `pongan list` shows models that do")
        data = open_prepared(run, flags.pictures, plugin.picture_shape)
        found = find(run, plugin, data)
        auc = _auc(found, flags.anomalous) if flags.anomalous else None
        if table is not None:
            write_output(table, lambda file: file.write(_as_csv(found).encode()))
        if folder is not None:
            folder.mkdir(exist_ok=True)
            order = found.scores.argsort(kind="stable")
            for name, chosen in zip(SHEETS, (order[::-1][: flags.n], order[: flags.n]), strict=True):
                _write_sheet(run, plugin, data, found.positions[chosen], folder / name)
    _show(found, f"{len(found.names):,} pictures by {run.spec.name} on {run.experiment.subject}, {which}")
    if auc is not None:
        print(f"area under the ROC curve of {flags.anomalous!r} against the others: {auc:.4f}")
    for word in (flags.csv, *(str(Path(flags.out) / name) for name in SHEETS if flags.out)):
        if word:
            print(word)


def find(run: StoredRun, plugin: FindsAnomalies, data: Pictures) -> Found:
    """Return the scores of all pictures of `data` that can be read. Raises UsageError where none can."""
    import numpy as np

    from core.metrics.anomalies import scaled_scores
    from generative.data.sets import named

    positions, names, labels, scores = [], list[str](), list[str](), []
    for batch in named(data):
        with reported(run.spec, run.path.absolute(), "anomalies"):
            scored, _ = plugin.anomalies(batch.images)
        positions.append(batch.positions)
        names += batch.names
        labels += batch.labels
        scores.append(np.asarray(scored))
    require(bool(names), f"none of the pictures of {data.name} can be read")
    whole = np.concatenate(scores)
    return Found(np.concatenate(positions), names, labels, whole, scaled_scores(whole))


def _auc(found: Found, label: str) -> float:
    from sklearn.metrics import roc_auc_score

    require(bool(found.labels), f"--anomalous is {label!r}, but these pictures have no labels")
    require(label in found.labels, f"--anomalous is {label!r}; {nearest(label, found.labels)}")
    require(
        len({*found.labels}) > 1, f"--anomalous is {label!r}, the one label of these pictures; nothing is to compare"
    )
    return float(roc_auc_score([other == label for other in found.labels], found.scores))


def _as_csv(found: Found) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["picture", *(["label"] if found.labels else []), "score", "scaled"])
    for i, name in enumerate(found.names):
        label = [found.labels[i]] if found.labels else []
        writer.writerow([name, *label, f"{found.scores[i]:.6g}", f"{found.scaled[i]:.6f}"])
    return text.getvalue()


def _write_sheet(run: StoredRun, plugin: FindsAnomalies, data: Pictures, positions: np.ndarray, file: Path) -> None:
    import numpy as np

    from core.metrics.anomalies import anomaly_sheet
    from core.picture_files import save_picture
    from experiments.launcher.images import as_image, grid

    images = data.rows_at(positions)
    with reported(run.spec, run.path.absolute(), "anomalies"):
        _, again = plugin.anomalies(images)
    sheet = anomaly_sheet(images, np.asarray(again))
    try:
        save_picture(as_image(grid(sheet, min(COLUMNS, len(sheet)))), file)
    except OSError as error:
        raise UsageError(f"{str(file)!r} cannot be written: {error.strerror or error}") from error


def _show(found: Found, title: str) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=f"{escape(title)}: the highest scores", title_justify="left")
    for column in ("picture", *(["label"] if found.labels else []), "score", "scaled"):
        table.add_column(column, justify="right" if column in ("score", "scaled") else "left")
    for i in found.scores.argsort(kind="stable")[::-1][:LISTED].tolist():
        cells: list[Any] = [escape(found.names[i]), *([escape(found.labels[i])] if found.labels else [])]
        table.add_row(*cells, f"{found.scores[i]:.4g}", f"{found.scaled[i]:.3f}")
    Console(highlight=False).print(table)
