"""Algorithms across several tasks: normalised scores with what a reviewer asks for (Agarwal et al., 2021)."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UsageError, nearest, require
from experiments.launcher.yaml_file import read_yaml
from experiments.runs import FEW, Group, Run, configuration
from experiments.statistics import (
    interquartile_mean,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
    stratified_interval,
)

__all__ = ["Algorithm", "algorithms", "as_table", "draw", "references"]

REFERENCES = Path(__file__).parent / "references.yaml"
THRESHOLDS = 101  # points of a performance profile


@dataclass(frozen=True)
class Algorithm:
    """One configuration but for its task, with its runs on all the tasks."""

    name: str
    scores: dict[str, list[float]]
    """Task -> normalised scores, one a run."""

    @property
    def tasks(self) -> list[list[float]]:
        """[task][run], the tasks by name."""
        return [self.scores[task] for task in sorted(self.scores)]


def references(file: str = "") -> dict[str, tuple[float, float]]:
    """Return {task: (score that becomes 0, score that becomes 1)} of a YAML file, above those that come along.

    Raises UsageError for a file that cannot be read or holds something else.
    """
    found: dict[str, tuple[float, float]] = {}
    for path in (REFERENCES, *([Path(file)] if file else [])):
        for task, pair in read_yaml(path).items():
            numbers = isinstance(pair, list) and len(pair) == 2 and all(isinstance(n, (int, float)) for n in pair)
            if not numbers or pair[0] == pair[1]:
                raise UsageError(
                    f"{path}: {task!r} is {pair!r}; it must be two different scores, [becomes 0, becomes 1]"
                )
            found[str(task)] = (float(pair[0]), float(pair[1]))
    return found


def algorithms(groups: Sequence[Group], key: str, known: Mapping[str, tuple[float, float]]) -> list[Algorithm]:
    """Return the groups' runs by algorithm: what is left of a configuration without the setting `key`, which names the task.

    Raises UsageError for a setting or reference that is not there, and where algorithms have not seen the same tasks.
    """
    runs = [run for group in groups for run in group.runs]
    names = sorted({name for run in runs for name in run.settings})
    full = next((name for name in names if name == key or name.split(".", 1)[-1] == key), None)
    require(full is not None, f"--tasks is {key!r}, no setting of these runs; {nearest(key, names)}")
    assert full is not None
    found: dict[str, dict[str, list[float]]] = {}
    labels: dict[str, list[Run]] = {}
    for run in runs:
        task = str(run.settings.get(full, "none"))
        if task not in known:
            raise UsageError(
                f"there is no reference score for {task!r}, so its scores cannot be normalised; name a YAML file with "
                f"'{task}: [score that becomes 0, score that becomes 1]' by --references"
            )
        zero, one = known[task]
        rest = configuration(run, without=full)
        found.setdefault(rest, {}).setdefault(task, []).append((run.values[-1] - zero) / (one - zero))
        labels.setdefault(rest, []).append(run)
    tasks = sorted({task for scores in found.values() for task in scores})
    firsts = [runs[0].settings for runs in labels.values()]
    differing = [k for k in sorted({k for f in firsts for k in f} - {full}) if len({str(f.get(k)) for f in firsts}) > 1]
    made = []
    for number, (rest, scores) in enumerate(found.items()):
        missing = [task for task in tasks if task not in scores]
        own = [
            f"{k.split('.', 1)[-1]}={labels[rest][0].settings[k]}" for k in differing if k in labels[rest][0].settings
        ]
        few = own if len(own) <= FEW else []
        name = " ".join([chr(ord("A") + number % 26), labels[rest][0].experiment, *few])
        if missing:
            raise UsageError(
                f"{name} has no run on {', '.join(missing)}; algorithms are compared on the same tasks ({', '.join(tasks)}), and "
                f"are told apart by every setting but {full}"
            )
        made.append(Algorithm(name, scores))
    return made


def as_table(found: Sequence[Algorithm]) -> Any:
    """Return aggregates over all tasks with stratified bootstrap intervals, and who improves on the first, as a rich table."""
    from rich.table import Table
    from rich.text import Text

    tasks = len(found[0].scores)
    table = Table(
        title=f"normalised scores over {tasks} tasks",
        caption="95 % bootstrap intervals over runs within each task; P: probability that a run beats one of the first line's",
    )
    for column in ("algorithm", "runs", "IQM", "mean", "optimality gap", "P(better than A)"):
        table.add_column(column, justify="left" if column == "algorithm" else "right", overflow="fold")

    def cell(statistic: Callable[..., float], *members: Algorithm) -> Text:
        groups = [member.tasks for member in members]
        interval = stratified_interval(groups, statistic)
        shown = "" if interval is None else f" [{interval[0]:.3g}, {interval[1]:.3g}]"
        return Text(f"{statistic(*groups):.3g}{shown}")

    for one in found:
        table.add_row(
            Text(one.name),
            ", ".join(sorted({str(len(runs)) for runs in one.scores.values()})),
            cell(_iqm, one),
            cell(_mean, one),
            cell(optimality_gap, one),
            Text("") if one is found[0] else cell(probability_of_improvement, one, found[0]),
        )
    return table


def draw(found: Sequence[Algorithm]) -> bytes:
    """Return the performance profiles as a PNG: the share of runs above each score, with pointwise 95 % intervals."""
    from matplotlib.figure import Figure

    scores = [score for one in found for task in one.tasks for score in task]
    thresholds = np.linspace(min(0.0, *scores), max(1.0, *scores) * 1.02, THRESHOLDS)
    figure = Figure(figsize=(7, 4.5), dpi=110, layout="constrained")
    axis = figure.subplots()
    rng = np.random.default_rng(0)
    for one in found:
        (line,) = axis.plot(thresholds, performance_profile(one.tasks, list(thresholds)), label=one.name)
        if max(map(len, one.tasks)) > 1:
            resampled = [
                performance_profile([rng.choice(task, len(task)).tolist() for task in one.tasks], list(thresholds))
                for _ in range(200)
            ]
            low, high = np.quantile(resampled, [0.025, 0.975], axis=0)
            axis.fill_between(thresholds, low, high, color=line.get_color(), alpha=0.2, linewidth=0)
    axis.set(
        xlabel="normalised score",
        ylabel="share of runs above it",
        title=f"{len(found[0].scores)} tasks",
        ylim=(0, 1.02),
    )
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize="small")
    output = io.BytesIO()
    figure.savefig(output, format="png")
    return output.getvalue()


def _iqm(scores: Sequence[Sequence[float]]) -> float:
    return interquartile_mean(np.concatenate([np.asarray(task, float) for task in scores]).tolist())


def _mean(scores: Sequence[Sequence[float]]) -> float:
    return float(np.mean([np.mean(task) for task in scores]))
