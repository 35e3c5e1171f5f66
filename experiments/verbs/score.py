"""How far pictures are from those that they should look like: distances, precision and recall, scores."""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from core.errors import UsageError, nearest, require
from core.zoo import PREFIX, located
from experiments.launcher.drawing import batches, opened
from experiments.launcher.experiment import StoredRun

if TYPE_CHECKING:
    import numpy as np

    from core.metrics.features import Extractor
    from generative.data.sets import Batch, PictureSet, Say

__all__ = ["Flags", "main", "score"]


@dataclass(frozen=True)
class Flags:
    """Measure how far the pictures A are from the pictures B that they should look like: Fréchet and kernel distance, precision,
    recall, density, coverage, inception score; per class where both have labels. A and B are each a folder of pictures (its
    subfolders are classes), an .npz file, a data source, e.g. mnist5k, or the run of a generative model, which draws them."""

    a: Annotated[Positional[str], tyro.conf.arg(metavar="A")]
    """The pictures that are scored."""
    b: Annotated[Positional[str], tyro.conf.arg(metavar="B")]
    """The pictures that they should look like."""
    extractor: str = ""
    """Features that are compared: digits, a small classifier of 28x28 digits; the path of a .keras model; inception:PATH with the
    weights of Keras's InceptionV3. By default digits, where A or B is known to be of digits."""
    n: int = 0
    """Pictures of each at most, spread evenly; 0 for all. A run draws as many, 5,000 for 0."""
    size: int = 0
    """Side of the square that both are brought to first, its middle cut out; 0 where all have one height and width."""
    seed: int = 0
    """Seed of what a run draws, and of the samples' order."""
    weights: Literal["best", "newest"] = "best"
    """Of a run: the best by the headline metric, or the newest."""
    json: bool = False
    """Print JSON, with all digits, and nothing else on stdout."""

    def __post_init__(self) -> None:
        require(self.n >= 0, f"--n is {self.n}; it must be 0 (all) or more")
        require(self.size == 0 or self.size >= 8, f"--size is {self.size}; it must be 0 or at least 8 pixels")
        require(0 <= self.seed < 2**31, f"--seed is {self.seed}; it must be at least 0 and below 2^31")


def main(flags: Flags) -> None:
    with contextlib.redirect_stdout(sys.stderr):  # what a run says when it is opened, too
        found = score(flags, print)
    if flags.json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
        return
    _show(found)


def score(flags: Flags, say: Say = lambda line: None) -> dict[str, Any]:
    """Return what is measured: scalars by name (None where there are too few pictures for it), `pictures`, `classes`, `protocol`.

    Raises UsageError for sets that cannot be read or compared.
    """
    import numpy as np
    from rich.console import Console
    from rich.progress import Progress

    from core.runtime import configure

    configure(training=False)  # before TensorFlow is imported: it is quiet then

    from core.metrics import feature_sets
    from core.metrics.features import Extractor
    from core.seeds import child
    from generative.data.sets import sized

    with contextlib.ExitStack() as stack:
        a, b = (_open(text, flags, stack, say) for text in (flags.a, flags.b))
        require(
            a.sides == b.sides,
            f"A has pictures of {sized(a.sides)} and B of {sized(b.sides)}; their distance would measure that: bring both to "
            f"one size with --size, e.g. --size {min(*a.sides, *b.sides)}",
        )
        for name, pictures in (("A", a), ("B", b)):
            _check_count(f"{name}, {pictures.what},", pictures.count)
        extractor = Extractor(flags.extractor or _default(a, b))
        with Progress(console=Console(stderr=True)) as bar:
            parts = []
            for name, pictures in (("A", a), ("B", b)):
                task = bar.add_task(f"features of {name}", total=pictures.count)
                parts.append(_features(pictures, extractor, partial(bar.advance, task)))
                _check_count(f"{name}, {pictures.what},", len(parts[-1].labels))
            fake, real = (
                part.at(np.random.default_rng(child(flags.seed, "order", i)).permutation(len(part.labels)))
                for i, part in enumerate(parts)  # each in random order: data may be sorted by class
            )
            classes = _shared_classes(fake, real, say)
            task = bar.add_task("measures", total=feature_sets.STEPS * (1 + len(classes)))
            measure = partial(feature_sets.distances_between, seed=flags.seed, tick=partial(bar.advance, task))
            measured: dict[str, Any] = measure(fake.features, real.features)
            if extractor.classes:
                measured |= feature_sets.inception_scores(fake.logits, seed=flags.seed)
                measured["inception_score_b"] = feature_sets.inception_scores(real.logits)["inception_score"]
            by_class = {}
            for name in classes:
                x, y = fake.of_class(name), real.of_class(name)
                by_class[name] = {"pictures": {"a": len(x), "b": len(y)}, **measure(x, y)}
            bar.update(task, completed=feature_sets.STEPS * (1 + len(classes)))
    counts = {"a": len(fake.labels), "b": len(real.labels)}
    prepared = f", brought to {sized(a.sides)} with Pillow's bicubic filter" if flags.size else f" of {sized(a.sides)}"
    some = min(feature_sets.NEIGHBOURS, max(counts.values()))
    protocol = (
        f"{counts['a']:,} pictures A ({a.what}) against {counts['b']:,} pictures B ({b.what}){prepared}; {extractor.protocol}; "
        f"{feature_sets.PROTOCOL}, over at most {some:,} of each"
    )
    if extractor.classes:
        protocol += (
            f"; inception score of all pictures as one set, over the {extractor.classes:,} classes of the same model"
        )
    return {"a": flags.a, "b": flags.b, "pictures": counts, **measured, "classes": by_class, "protocol": protocol}


# --- the sets --------------------------------------------------------------------------------------------------------------


def _open(text: str, flags: Flags, stack: contextlib.ExitStack, say: Say) -> PictureSet:
    """Return the pictures that a word of the command line names; `stack` closes a run's model.

    The name of a source is that source: a folder of that name is ./NAME.
    """
    from generative.data import sets
    from generative.data.registry import all_sources

    path = located(text).expanduser()
    sources = {(source.name, source.kind == "captions"): source for source in all_sources()[0]}
    name, colon, argument = text.partition(":")
    source = sources.get((name, False)) or sources.get((name, True))
    if name in ("folder", "npz") and argument:
        path, source = Path(argument).expanduser(), None
        require(
            path.is_dir() if name == "folder" else path.is_file(),
            f"there is no {name} {str(path)!r}, which {text!r} names",
        )
    if source is not None and bool(colon) == bool(source.argument):
        if path.exists():
            say(f"{text!r} is the data source here; the folder or file is ./{text}")
        return sets.of_source(text, source, flags.n, flags.size, say)
    if (path / "config.yaml").is_file():
        return _of_run(text if text.startswith(PREFIX) else str(path), flags, stack)
    if path.is_dir():
        return sets.of_folder(path, flags.n, flags.size, say)
    if path.is_file():
        return sets.of_npz(path, flags.n, flags.size, say)
    if "/" in text and not colon:
        raise UsageError(f"there is no folder, file or run {text!r}")
    raise UsageError(
        f"{text!r} is no folder, .npz file, run or data source; {nearest(text, [found.usage for found in sources.values()])}"
    )


def _of_run(word: str, flags: Flags, stack: contextlib.ExitStack) -> PictureSet:
    import numpy as np

    from generative.data.pictures import prepare_all
    from generative.data.sets import DRAWN, PictureSet, sides_of

    run = StoredRun.of([word])
    plugin, which = stack.enter_context(opened(run, flags.weights))
    count = flags.n or DRAWN

    def drawn() -> Iterator[Batch]:
        for batch in batches(run, plugin, count, flags.seed):
            yield prepare_all(np.asarray(batch.images), flags.size, 0), ()

    first, *_ = itertools.islice(every := drawn(), 1)  # tells the size
    what = f"{run.spec.name} on {run.experiment.subject}, {which}, seed {flags.seed}"
    return PictureSet(what, sides_of(first[0]), count, itertools.chain([first], every), partial(_learned_digits, run))


def _learned_digits(run: StoredRun) -> bool:
    """Return whether a run learns from a source of single digits that comes along."""
    from generative.data.registry import SOURCES
    from generative.data.settings import DataConfig
    from generative.data.sources import open_data

    source = SOURCES.get((run.experiment.subject, False))
    return source is not None and source.kind == "pictures" and open_data(DataConfig(source.name)).digits == 1


def _default(a: PictureSet, b: PictureSet) -> str:
    """Return the extractor where none is named."""
    require(
        b.digits() or a.digits(),
        "neither A nor B is known to be of digits; name the features that are compared with --extractor: digits, the path of a "
        ".keras model, or inception:PATH with the weights of Keras's InceptionV3",
    )
    return "digits"


def _check_count(name: str, count: int) -> None:
    from core.metrics.feature_sets import K_DENSITY, LEAST

    require(
        count >= LEAST,
        f"{name} has {count} picture{'s' * (count != 1)}; {LEAST} or more are needed, since coverage compares each with its "
        f"{K_DENSITY}th nearest",
    )


# --- features and classes -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Features:
    """Features [N, D], logits [N, C] and names of classes [N], '' where there are none."""

    features: np.ndarray
    logits: np.ndarray
    labels: np.ndarray

    def at(self, rows: np.ndarray) -> _Features:
        return _Features(self.features[rows], self.logits[rows], self.labels[rows])

    def of_class(self, name: str) -> np.ndarray:
        return self.features[self.labels == name]

    @property
    def counts(self) -> dict[str, int]:
        """Pictures by class, {} where there are none."""
        return {name: n for name, n in Counter(self.labels.tolist()).items() if name}


def _features(pictures: PictureSet, extractor: Extractor, advance: Callable[[int], object]) -> _Features:
    import numpy as np

    features, logits, names = [], [], list[str]()
    for images, labels in pictures.batches:
        x, y = extractor.outputs(images)
        features.append(x)
        logits.append(y if extractor.classes else y[:, :0])
        names += labels or [""] * len(images)
        advance(len(images))
    require(bool(features), f"none of the {pictures.count} pictures of {pictures.what} can be read")
    return _Features(np.concatenate(features), np.concatenate(logits), np.array(names))


def _shared_classes(fake: _Features, real: _Features, say: Say) -> list[str]:
    """Return the classes of which both have enough pictures; `say` gets a line about the others, where both have labels."""
    from core.metrics.feature_sets import LEAST

    a, b = fake.counts, real.counts
    if not a or not b:
        return []
    ordered = sorted({*a, *b}, key=lambda name: (not name.isdecimal(), int(name) if name.isdecimal() else 0, name))
    shared = [name for name in ordered if min(a.get(name, 0), b.get(name, 0)) >= LEAST]
    few = [f"{name} ({a.get(name, 0)} in A, {b.get(name, 0)} in B)" for name in ordered if name not in shared]
    if few:
        say(f"classes with fewer than {LEAST} pictures in A or B are not measured by themselves: {', '.join(few)}")
    return shared


# --- the report -----------------------------------------------------------------------------------------------------------

NAMES = {
    "frechet": "Fréchet distance",
    "frechet_infinity": "Fréchet distance, infinite A",
    "kernel_distance": "kernel distance",
    "precision": "precision",
    "recall": "recall",
    "density": "density",
    "coverage": "coverage",
    "inception_score": "inception score of A",
    "inception_score_infinity": "inception score, infinite A",
    "inception_score_b": "inception score of B",
}


def _show(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from experiments.launcher.console import closing_table

    console = Console(highlight=False)
    rows = {words: _number(found[name]) for name, words in NAMES.items() if name in found}
    sets = {name.upper(): f"{found[name]} ({count:,} pictures)" for name, count in found["pictures"].items()}
    closing_table(console, "A against B", sets | rows)
    if found["classes"]:
        table = Table(title="by class", title_justify="left")
        for column in ("class", "A", "B", "Fréchet", "inf. A", "kernel", "prec.", "recall", "dens.", "cov."):
            table.add_column(column, justify="left" if column == "class" else "right", no_wrap=True)
        for name, values in found["classes"].items():
            numbers = ["-" if (value := values[measure]) is None else f"{value:,.3g}" for measure in list(NAMES)[:7]]
            table.add_row(escape(name), *(f"{count:,}" for count in values["pictures"].values()), *numbers)
        console.print(table)
    console.print(f"protocol: {found['protocol']}", markup=False, soft_wrap=True)


def _number(value: float | None) -> str:
    return "too few pictures" if value is None else f"{value:,.4g}"
