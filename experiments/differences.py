"""Two runs, number by number: settings, versions, curves, and the tensors of their checkpoints."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from core import checkpoint
from core.errors import require
from experiments.launcher.events import read_scalars
from experiments.launcher.experiment import StoredRun
from experiments.launcher.folder import RunFolder
from experiments.launcher.restore import make_plugin
from experiments.launcher.strangers import close, reported
from experiments.launcher.yaml_file import flattened

__all__ = ["TIMES", "Difference", "Leaf", "Step", "compared", "curves", "lines", "records", "stepped"]

NOT_OURS = ("run.folder", "run.tag")  # settings that say where a run lies
TIMES = "time/"  # scalars that no two runs share
OF_THE_LOOP = (
    "meter",
    "episodes",
)  # of a checkpoint's `loop` what belongs to training; evaluations stand in the curves
MISSING = "-"


@dataclass(frozen=True)
class Leaf:
    """A place in two checkpoints that differs."""

    place: str
    shape: str
    largest: float
    """The largest difference between two numbers; infinite where one is missing or no number."""
    values: tuple[str, str]
    """The first two that differ."""

    @property
    def named(self) -> str:
        return f"{self.place} {self.shape}".rstrip()


@dataclass
class Difference:
    """What was found; everything is empty for runs that are equal."""

    records: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    """Settings, versions and code by name."""
    curve: tuple[int, dict[str, tuple[float | None, float | None]]] | None = None
    """The first clock at which points differ, and these points by tag."""
    equal_until: int | None = None
    """The last clock at which both have points and all were equal."""
    leaves: tuple[int, list[Leaf]] | None = None
    """The first clock of which both keep checkpoints that differ, and where they do."""
    checked: list[int] = field(default_factory=list)
    """Clocks of the checkpoints that both keep."""

    @property
    def same(self) -> bool:
        """Whether all numbers are equal, to the last bit, and there are some."""
        return self.curve is None and self.leaves is None and (bool(self.checked) or self.equal_until is not None)


def compared(a: Path, b: Path, end: int | None = None) -> Difference:
    """Compare two run folders; `end` is a clock at which `b` was ended, so that it has points there that `a` need not have.

    Raises UsageError where one is none, CheckpointError for a damaged checkpoint.
    """
    found, points = Difference(records=records(a, b)), read_scalars(a)
    theirs = {
        tag: [(clock, value) for clock, value in line if clock != end or clock in dict(points.get(tag, ()))]
        for tag, line in read_scalars(b).items()
    }
    found.curve, found.equal_until = curves(points, theirs)
    ours, others = ({path.name: path for path in checkpoint.numbered(run)} for run in (a, b))
    for name in sorted(ours.keys() & others.keys()):
        found.checked.append(checkpoint.clock_of(ours[name]))
        differing = same(leaves(ours[name]), leaves(others[name]))
        if differing and found.leaves is None:
            found.leaves = (found.checked[-1], differing)
    return found


def lines(found: Difference, names: tuple[str, str] = ("A", "B"), most: int = 10) -> Iterator[Any]:
    """Yield what was found for rich's console: tables and sentences, of each kind at most `most` lines."""
    if found.records:
        yield "settings, versions and code that differ:"
        yield _table(("what", *names), found.records.items(), most)
    else:
        yield "settings, versions and code: the same"
    if found.curve is not None:
        clock, tags = found.curve
        shown = (
            (tag, tuple(MISSING if value is None else f"{value:.9g}" for value in pair)) for tag, pair in tags.items()
        )
        before = "from the first on" if found.equal_until is None else f"equal until clock {found.equal_until:,}"
        yield f"curves: {before}, different at {clock:,}:"
        yield _table(("tag", *names), shown, most)
    elif found.equal_until is not None:
        yield f"curves: equal to the last bit until clock {found.equal_until:,}, as far as both have come"
    else:
        yield "curves: there is no clock at which both have a point"
    if found.leaves is not None:
        clock, places = found.leaves
        rows = ((leaf.named, (*leaf.values, f"{leaf.largest:.3g}")) for leaf in places)
        yield f"checkpoints at clock {clock:,}: {len(places)} places differ, the largest difference first:"
        yield _table(("place", *names, "largest"), rows, most)
    elif found.checked:
        yield f"checkpoints: equal to the last bit at {', '.join(f'{clock:,}' for clock in dict.fromkeys(found.checked))}"
    else:
        yield "checkpoints: there is none of the same clock in both"


def _table(columns: Sequence[str], rows: Any, most: int) -> Any:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 2), pad_edge=True)
    for column in columns:
        table.add_column(column, overflow="fold")
    rows = list(rows)
    for name, values in rows[:most]:
        table.add_row(name, *map(str, values))
    if len(rows) > most:
        table.caption, table.caption_justify = f"and {len(rows) - most} more", "left"
    return table


# --- one step of both ---------------------------------------------------------------------------------------------------

KINDS = ("batch", "scalars", "gradients", "step size", "weights")
"""What may differ in a step, causes before effects. Gradients are seen by the optimiser's moments; all that is neither a weight
nor the optimiser's counts to the batch: generators, environments, replays, positions, counters."""


@dataclass(frozen=True)
class Step:
    """The first step of two runs after which they differ."""

    start: int
    """Clock of the state from which both began."""
    number: int
    """Of the step, from 1; 0 where they begin differently."""
    found: Mapping[str, list[Leaf]]
    """What differs, by kind, in the order of KINDS."""

    def told(self, most: int) -> Iterator[str]:
        """Yield lines that say so."""
        begin = f"from the checkpoint at clock {self.start:,}" if self.start else "from the beginning"
        kinds = list(self.found)
        if self.number:
            yield f"steps: {begin}, step {self.number} is the first that differs, in {kinds[0]} first"
        else:
            yield f"steps: {begin}, they differ before the first step, in {kinds[0]}"
        for kind, places in self.found.items():
            for leaf in places[:most]:
                yield f"  {kind:10s} {leaf.named}: {leaf.values[0]} | {leaf.values[1]}"
            if len(places) > most:
                yield f"  {kind:10s} and {len(places) - most} more"


def stepped(a: StoredRun, b: StoredRun, steps: int) -> Step | None:
    """Take steps with both runs from the newest checkpoint that is equal in both, else from their beginnings, until they differ.

    Returns None where `steps` steps are equal. Both run with today's code and the machine's settings of `a`. Raises UsageError
    for two that cannot run side by side.
    """
    from core.runtime import configured

    settings = a.began.settings
    for name in ("precision", "deterministic"):
        mine, other = getattr(settings, name), getattr(b.began.settings, name)
        require(
            mine == other,
            f"run.{name} is {mine!r} in one run and {other!r} in the other; TensorFlow knows one at a time",
        )
    common = [path.name for path in checkpoint.numbered(a.path) if (b.path / "checkpoints" / path.name).is_dir()]
    start = next((name for name in common if _equal_but_for_rates(a.path, b.path, name)), None)
    runtime = configured(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
    )
    with runtime, contextlib.ExitStack() as stack:
        plugins, places = [], []
        for run in (a, b):
            place = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(reported(run.spec, run.path.absolute(), "diff"))
            if start is not None:
                shutil.copytree(run.path / "files", place / "files")
                shutil.copytree(run.path / "checkpoints" / start, place / "checkpoints" / start)
                for file in run.path.glob("events.out.tfevents.*"):
                    shutil.copy2(file, place)
            (place / "files").mkdir(exist_ok=True)
            plugin = make_plugin(run.spec, run.began.config, run.began.settings, place / "files", _nobody)
            stack.callback(close, plugin, run.spec, _nobody)
            if start is not None:
                tree = checkpoint.load(place / "checkpoints" / start, {"plugin": plugin.state()})
                checkpoint.put_back(plugin, tree["plugin"])
                plugin.restored()
            plugins.append(plugin)
            places.append(place)
        clock = plugins[0].clock
        for number in range(steps + 1):
            scalars = [plugin.step() if number else {} for plugin in plugins]
            seen = [
                {tag: np.asarray(value) for tag, value in some.items() if not tag.startswith(TIMES)} for some in scalars
            ]
            states = [_state(plugin, place, number) for plugin, place in zip(plugins, places, strict=True)]
            found: dict[str, list[Leaf]] = {"scalars": same(*seen)}
            for leaf in same(*states):
                found.setdefault(_kind(leaf.place, plugins[0].state()), []).append(leaf)
            # another step size shows in the weights, once it is used
            if any(places for kind, places in found.items() if kind != "step size"):
                return Step(clock, number, {kind: found[kind] for kind in KINDS if found.get(kind)})
    return None


def _equal_but_for_rates(a: Path, b: Path, name: str) -> bool:
    """Return whether a checkpoint is the same in two runs, step sizes aside, which settings set anew."""
    found = same(*(leaves(run / "checkpoints" / name) for run in (a, b)))
    return all(leaf.place.endswith("learning_rate") for leaf in found)


def _nobody(line: str) -> None:
    """Hear nothing."""


def _state(plugin: Any, place: Path, number: int) -> dict[str, Any]:
    path = checkpoint.save(place, f"step-{number}", {"plugin": plugin.state()})
    found = leaves(path)
    shutil.rmtree(path)
    return found


def _kind(place: str, node: Any) -> str:
    """Return which of KINDS a place in a plugin's state belongs to."""
    import keras

    for name in place.split("/")[1:]:
        if isinstance(node, keras.optimizers.Optimizer):
            return "step size" if name.endswith("learning_rate") else "gradients"
        if callable(getattr(node, "state", None)) and callable(getattr(node, "load_state", None)):
            node = node.state()
        if isinstance(node, Mapping):
            node = node.get(name)
        elif isinstance(node, (list, tuple)):
            node = node[int(name)] if name.isdecimal() and int(name) < len(node) else None
        else:
            break
    generator = hasattr(getattr(node, "state", None), "assign") or place.endswith("seed_generator_state")
    return "weights" if not generator and (hasattr(node, "variables") or hasattr(node, "assign")) else "batch"


# --- what is compared ---------------------------------------------------------------------------------------------------


def records(a: Path, b: Path) -> dict[str, tuple[Any, Any]]:
    """Return {name: (a's, b's)} of the settings, versions and code in which two runs differ."""
    both = []
    for run in (a, b):
        RunFolder.check(run)
        meta = RunFolder.meta(run)
        facts = {key: value for key, value in flattened(RunFolder.read_config(run)) if key not in NOT_OURS}
        facts |= {f"version {name}": value for name, value in meta.get("versions", {}).items()}
        facts |= {name: meta.get("runtime", {}).get(name) for name in ("device", "threads")}
        facts |= {name: meta.get("host", {}).get(name) for name in ("platform", "python", "processor")}
        facts |= {"commit": meta.get("git", {}).get("commit"), "code changed since": _code(run)}
        both.append(facts)
    names = dict.fromkeys([*both[0], *both[1]])
    return {
        name: (both[0].get(name, MISSING), both[1].get(name, MISSING))
        for name in names
        if both[0].get(name, MISSING) != both[1].get(name, MISSING)
    }


def curves(
    a: Mapping[str, Sequence[tuple[int, float]]], b: Mapping[str, Sequence[tuple[int, float]]]
) -> tuple[tuple[int, dict[str, tuple[float | None, float | None]]] | None, int | None]:
    """Return ((first clock at which points differ, {tag: (a's, b's)}), last clock before it at which all are equal).

    `a` and `b` are {tag: [(clock, value), ...]}. Only what both have reached is compared.
    """
    points = [
        {(clock, tag): value for tag, line in run.items() if not tag.startswith(TIMES) for clock, value in line}
        for run in (a, b)
    ]
    ends = [max((clock for clock, _ in some), default=-1) for some in points]
    equal: int | None = None
    for clock in sorted({clock for some in points for clock, _ in some if clock <= min(ends)}):
        tags = sorted({tag for some in points for at, tag in some if at == clock})
        pairs = {tag: (points[0].get((clock, tag)), points[1].get((clock, tag))) for tag in tags}
        differing = {tag: pair for tag, pair in pairs.items() if pair[0] != pair[1]}
        if differing:
            return (clock, differing), equal
        equal = clock
    return None, equal


def leaves(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds by place, as far as the seed decides it; of a file, the SHA-256 of what counts."""
    kept: dict[str, Any] = {}
    for place, value in checkpoint.leaves(path).items():
        section, _, rest = place.partition("/")
        if section == "events" or (section == "loop" and rest.split("/")[0] not in OF_THE_LOOP):
            continue
        if TIMES in place:
            continue
        kept[place] = _digest(path.parent.parent, *value) if isinstance(value, tuple) else value
    return kept


def same(a: Mapping[str, Any], b: Mapping[str, Any]) -> list[Leaf]:
    """Return the places in which two checkpoints differ, the largest difference first; [] where none does."""
    places = sorted(a.keys() | b.keys())
    return sorted(
        (leaf for place in places for leaf in _leaf(place, a.get(place, MISSING), b.get(place, MISSING))),
        key=lambda leaf: -leaf.largest,
    )


def _leaf(place: str, a: Any, b: Any) -> Iterator[Leaf]:
    if not isinstance(a, np.ndarray) and not isinstance(b, np.ndarray):
        if a == b or (a != a and b != b):  # nan is nan here
            return
        if not all(isinstance(value, (int, float)) for value in (a, b)):
            yield Leaf(place, "", np.inf, (_short(a), _short(b)))
            return
    x, y = np.asarray(a), np.asarray(b)
    if x.dtype.hasobject or y.dtype.hasobject:  # whole numbers beyond 64 bits
        yield Leaf(place, "", float(abs(a - b)), (_short(a), _short(b)))
        return
    if x.shape != y.shape or x.dtype != y.dtype:
        if x.dtype != y.dtype or x.size != y.size or x.tobytes() != y.tobytes():
            yield Leaf(place, f"{list(x.shape)} | {list(y.shape)}", np.inf, (_short(a), _short(b)))
        return
    if x.tobytes() == y.tobytes():
        return
    if x.dtype.kind not in "fiub" and x.dtype.name != "bfloat16":
        yield Leaf(place, str(list(x.shape)), np.inf, (_short(a), _short(b)))
        return
    u, v = np.atleast_1d(x).astype(np.float64), np.atleast_1d(y).astype(np.float64)
    differ = (u != v) & ~(np.isnan(u) & np.isnan(v))
    if not differ.any():  # -0.0 and 0.0, or bits of nan
        differ = np.ones_like(differ)
    first = tuple(np.argwhere(differ)[0])
    yield Leaf(place, str(list(x.shape)), float(np.abs(u - v)[differ].max()), (f"{u[first]:.9g}", f"{v[first]:.9g}"))


def _short(value: Any) -> str:
    text = f"array {list(value.shape)} {value.dtype}" if isinstance(value, np.ndarray) and value.ndim else str(value)
    return text if len(text) <= 40 else text[:37] + "..."


def _digest(run: Path, name: str, length: int) -> str:
    """Return the SHA-256 of the first `length` bytes of a file of the run."""
    digest = hashlib.sha256()
    with open(run / name, "rb") as file:
        while length > 0 and (block := file.read(min(length, 1 << 20))):
            digest.update(block)
            length -= len(block)
    return digest.hexdigest()


def _code(run: Path) -> str:
    """Return what tells the code apart that a run kept beside its commit; '' where there was none."""
    files = sorted(path for path in (run / "code").rglob("*") if path.is_file())
    digest = hashlib.sha256()
    for path in files:
        digest.update(str(path.relative_to(run)).encode() + path.read_bytes())
    return f"code/, SHA-256 {digest.hexdigest()[:8]}" if files else ""
