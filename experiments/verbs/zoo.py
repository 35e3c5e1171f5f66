"""Trained runs that come along: list, cards, and entries of your own."""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro
from tyro.conf import Positional

from core.disk import write_atomically
from core.errors import UsageError, nearest, require
from core.zoo import CARD, PREFIX, VARIABLE, entries, own_zoos
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.folder import RunFolder
from experiments.launcher.yaml_file import flattened, read_yaml

__all__ = ["Flags", "card_of", "main", "retraining", "score_of", "size_of"]

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
LOGISTICS = ("folder", "tag", "device", "threads", "strategy", "log_every", "save_every", "time_limit")
"""Fields of RunConfig that change nothing that is learned."""
FILES = (".txt", ".json")
"""What an entry keeps of a plugin's own files: words and records of data; no replay, no picture."""


@dataclass(frozen=True)
class Flags:
    """List trained runs that come along, show the card of one, or make an entry of a run of yours.

    pongan zoo

    pongan zoo pong

    pongan zoo add RUN --name my-pong --folder my-zoo

    `zoo:NAME` stands wherever a run is only read: pongan play zoo:pong.
    """

    words: Annotated[Positional[tuple[str, ...]], tyro.conf.arg(metavar="[NAME | add RUN]")] = ()
    """The entry whose card to show, or `add` and a run to make one of."""
    name: str = ""
    """With add: the entry's name, in small letters, digits and hyphens; by default that of the preset or plugin."""
    folder: str = ""
    """With add: the zoo, a folder of entries; by default the first that PONGAN_ZOO names."""
    what: str = ""
    """With add: what it is, in a few words; by default the plugin's summary and what was learned from."""
    licence: str = ""
    """With add: the licence of what it learned from."""
    example: str = ""
    """With add: a command to try; by default the one that plays or draws."""
    episodes: int = 0
    """With add: episodes of the evaluation that the card states; 0 for as many as in the run's own."""
    weights: Literal["best", "newest"] = "best"
    """With add: the best by the headline metric, or the newest."""

    def __post_init__(self) -> None:
        require(self.episodes >= 0, f"--episodes is {self.episodes}; it must be 0 or more")


def main(flags: Flags) -> None:
    if flags.words[:1] == ("add",):
        require(len(flags.words) == 2, "usage: pongan zoo add RUN [--name NAME] [--folder ZOO]")
        _add(flags)
        return
    own = [name for name in ("name", "folder", "what", "licence", "example", "episodes") if getattr(flags, name)]
    require(not own, f"--{own[0] if own else ''} is for an entry to make: pongan zoo add RUN")
    require(len(flags.words) <= 1, f"one entry at a time; {' '.join(flags.words)!r} names {len(flags.words)}")
    if flags.words:
        _show(flags.words[0].removeprefix(PREFIX))
    else:
        _list()


# --- cards ------------------------------------------------------------------------------------------------------------------


def card_of(folder: Path) -> dict[str, str]:
    """Return what an entry's card says: what, command, try, licence; UsageError where it says less."""
    card = read_yaml(folder / CARD)
    missing = [key for key in ("what", "command", "try", "licence") if not isinstance(card.get(key), str)]
    if missing:
        raise UsageError(f"{folder / CARD} does not say {', '.join(missing)}; `pongan zoo add` writes whole cards")
    return card


def score_of(folder: Path) -> str:
    """Return an entry's headline as a few words."""
    results = _results(folder)
    tag, evaluation = results["headline"]["tag"], results["evaluation"]
    value, spread = evaluation[tag], evaluation.get("eval/return_std")
    if tag == "eval/return_mean" and spread is not None:
        return f"return {value:.4g} +- {spread:.2g}"
    return f"{tag.removeprefix('eval/').replace('_', ' ')} {value:.4g}"


def _results(folder: Path) -> dict[str, Any]:
    """Return an entry's results; UsageError where they are not those of an entry."""
    results = RunFolder.results(folder)
    missing = [key for key in ("seed", "clock", "headline", "evaluation", "wall_clock_seconds") if key not in results]
    require(
        not missing, f"{folder / 'results.json'} has no {', '.join(missing)}; `pongan zoo add` writes whole entries"
    )
    return results


def size_of(folder: Path) -> int:
    """Return the bytes of an entry's files."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def _list() -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("name", "what", "score", "MB", "try"):
        table.add_column(column, overflow="fold", no_wrap=column in ("name", "MB"))
    console, broken = Console(highlight=False), []
    for name, folder in entries().items():
        try:
            card = card_of(folder)
            table.add_row(name, card["what"], score_of(folder), f"{size_of(folder) / 1e6:.2f}", card["try"])
        except UsageError as error:
            broken.append(f"broken: {name}: {error}")
    console.print(table)
    for line in broken:
        console.print(line, markup=False, soft_wrap=True)


def _show(name: str) -> None:
    from rich.console import Console

    known = entries()
    require(name in known, f"there is no entry {name!r} in the zoo; {nearest(name, known)}")
    folder = known[name]
    card, results, meta = card_of(folder), _results(folder), RunFolder.meta(folder)
    clock, evaluation = results["clock"], results["evaluation"]
    numbers = {tag: value for tag, value in evaluation.items() if isinstance(value, (int, float))}
    facts = {
        "try": card["try"],
        "trained by": card["command"],
        "seed": results["seed"],
        "clock": f"{clock['value']:,} {clock['unit']}, {results['wall_clock_seconds'] / 60:.1f} minutes",
        "trained on": str(meta.get("started", "unknown"))[:10],
        "versions": ", ".join(f"{package} {number}" for package, number in meta.get("versions", {}).items()),
        "score": score_of(folder),
        "protocol": evaluation.get("eval/protocol", "none stated"),
        "all numbers": ", ".join(f"{tag.removeprefix('eval/')} {value:.4g}" for tag, value in numbers.items()),
        "licence of the data": card["licence"],
        "size": f"{size_of(folder) / 1e6:.2f} MB",
        "folder": folder,
    }
    console = Console(highlight=False)
    console.print(f"{PREFIX}{name}: {card['what']}", style="bold", markup=False)
    for key, value in facts.items():
        console.print(f"{key:20s} {value}", markup=False, soft_wrap=True)


# --- entries of your own ------------------------------------------------------------------------------------------------------


def _add(flags: Flags) -> None:
    """Make an entry: the run's weights as they act, measured anew, on a card; whole or not at all."""
    from core import checkpoint
    from experiments.launcher.evaluation import measure
    from experiments.launcher.restore import restored
    from experiments.launcher.strangers import close, reported

    require(not flags.words[1].startswith(PREFIX), f"{flags.words[1]} is in the zoo already; name a run of yours")
    run = StoredRun.of(flags.words[1:], prog="pongan zoo add")
    name, zoo = flags.name or run.experiment.label, _zoo(flags)
    require(
        NAME.fullmatch(name) is not None and name != "add",
        f"--name is {name!r}; use small letters, digits and single hyphens, e.g. my-pong",
    )
    path, folder = run.path.absolute(), zoo.absolute() / name  # a plugin may change the working directory
    taken = entries().get(name, folder if folder.exists() else None)
    require(taken is None, f"the name {name!r} is taken by {taken}; choose another --name")
    experiment, started = run.experiment, RunFolder.meta(run.path)
    if experiment.evaluation is not None and flags.episodes:
        experiment = replace(experiment, evaluation=replace(experiment.evaluation, episodes=flags.episodes))
    experiment = replace(experiment, settings=replace(experiment.settings, folder="runs", device="auto", threads=0))
    spec = run.spec
    temporary = folder.parent / f".{name}.{uuid.uuid4().hex[:8]}.tmp"
    plugin, which = restored(run, flags.weights)
    clock = int(re.findall(r"\d{12}", which)[0])
    try:
        (temporary / "files").mkdir(parents=True)
        with reported(spec, run.traces, "zoo"):
            print(f"{which}: measuring", flush=True)
            measured = measure(plugin, experiment.evaluation, experiment.settings.seed, last=True)
            tree = {"plugin": plugin.state()}
        left_out = [f"plugin.{part}" for part in plugin.learns_with]
        checkpoint.save(temporary, f"best-{clock:012d}", tree, weights_only=True, leave_out=left_out)
        for file in sorted((path / "files").glob("*")):
            if file.suffix in FILES:
                shutil.copy(file, temporary / "files")
        _write_records(temporary, experiment, clock, measured, started, RunFolder.results(path))
        _write_card(temporary, run.experiment, name, flags, plugin)
        _write_picture(temporary, measured)
        temporary.rename(folder)
    except OSError as error:
        raise UsageError(f"{str(folder)!r} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)  # not there after success
        close(plugin, spec, print)
    for line in _places(experiment):
        print(line)
    print(f"{PREFIX}{name}: {score_of(folder)}, {size_of(folder) / 1e6:.2f} MB in {folder}")
    if name not in entries():
        print(f"to be found by its name: export {VARIABLE}={folder.parent}")


def _zoo(flags: Flags) -> Path:
    if flags.folder:
        return Path(flags.folder).expanduser()
    own = own_zoos()
    require(bool(own), f"an entry needs a zoo to lie in: name a --folder, or set {VARIABLE} to one")
    return own[0]


def _write_records(
    folder: Path,
    experiment: Experiment,
    clock: int,
    measured: Mapping[str, Any],
    meta: Mapping[str, Any],
    results: Mapping[str, Any],
) -> None:
    """Write config.yaml, results.json with what was measured now, and of meta.json what a reader needs."""
    import json

    import numpy as np
    import yaml

    spec = experiment.spec
    kept = {
        tag: value if isinstance(value, str) else np.asarray(value).tolist()
        for tag, value in measured.items()
        if not tag.startswith(("samples/", "video/"))
    }
    require(spec.headline in kept, f"the evaluation returned no {spec.headline}, which {spec.name!r} promises")
    document = {
        "experiment": spec.name,
        "preset": experiment.label,
        "subject": experiment.subject,
        "seed": experiment.settings.seed,
        "clock": {"value": clock, "unit": spec.clock},
        "wall_clock_seconds": float(results.get("wall_clock_seconds", 0.0)),
        "headline": {"tag": spec.headline, "goal": spec.goal, "final": kept[spec.headline]},
        "evaluation": kept,
    }
    record = {key: meta[key] for key in ("started", "versions", "git") if key in meta}
    record |= {"status": "finished", "experiment": spec.name, "preset": experiment.label, "seed": document["seed"]}
    text = yaml.safe_dump(experiment.values(), sort_keys=False, allow_unicode=True)
    write_atomically(folder / "config.yaml", text)
    write_atomically(folder / "results.json", json.dumps(document, indent=2) + "\n")
    write_atomically(folder / "meta.json", json.dumps(record, indent=2) + "\n")


def _write_card(folder: Path, experiment: Experiment, name: str, flags: Flags, plugin: Any) -> None:
    import yaml

    from core.plugin import DrawsText

    spec = experiment.spec
    example = f"pongan {'play' if spec.kind == 'agent' else 'sample'} {PREFIX}{name}"
    if isinstance(plugin, DrawsText) and plugin.captions:
        example += f' --text "{plugin.captions[0]}"'
    card = {
        "what": flags.what or f"{spec.summary}; {experiment.subject}",
        "command": retraining(experiment),
        "try": flags.example or example,
        "licence": flags.licence or "not stated",
    }
    write_atomically(folder / CARD, yaml.safe_dump(card, sort_keys=False, allow_unicode=True, width=120))


def _write_picture(folder: Path, measured: Mapping[str, Any]) -> None:
    """Write the film of an agent, or else the first picture of the evaluation."""
    import numpy as np

    from core.disk import write_whole
    from experiments.launcher.images import gif, grid, png

    if "video/episode" in measured:
        encoded, file = gif(measured["video/episode"]), "film.gif"
    else:
        pictures = next((np.asarray(value) for tag, value in measured.items() if tag.startswith("samples/")), None)
        if pictures is None:
            return
        encoded, file = png(pictures if pictures.ndim == 3 else grid(pictures)), "samples.png"
    write_whole(folder / file, lambda stream: stream.write(encoded))


def retraining(experiment: Experiment) -> str:
    """Return the command that trains an experiment with today's presets and defaults."""
    import shlex

    try:
        named = Experiment.of([experiment.label])
        require(named.spec.name == experiment.spec.name, "")
    except UsageError:  # a preset that is no more
        named = Experiment.of([experiment.spec.name])
    today = dict(flattened(named.values()))
    words = ["python", "-m", "experiments.run", named.label]
    for key, value in flattened(experiment.values()):
        if key in ("experiment", "preset") or today.get(key) == value or key in {f"run.{field}" for field in LOGISTICS}:
            continue
        values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
        flag = "--" + key.replace("_", "-")
        if isinstance(value, bool):
            section, dot, last = flag.rpartition(".")
            words.append(flag if value else f"{section}{dot}no-{last}")
        else:
            words += [flag, *map(str, values)]
    return shlex.join(words)


def _places(experiment: Experiment) -> Iterator[str]:
    """Yield a warning for each setting that names a place on this machine, which whoever uses the entry has not."""
    for key, value in flattened(experiment.values()):
        if isinstance(value, str) and re.match(r"([a-z-]+:)?(/|~|\.)", value):
            yield f"warning: {key} is {value!r}; whoever plays or draws from the entry may need it too"
