"""Train a preset over several seeds with the launcher and write table and curve.

    python -m experiments.benchmarks.learning pong-pg-fast --seeds 3
    python -m experiments.benchmarks.learning policy-gradient-cartpole --seeds 5 --flags --eval.episodes 100

The runs are ordinary run folders below --folder; a finished one of the same preset, seed and configuration is not repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from core.plugin import Spec
from experiments.benchmarks.report import Part, Report, Table, figure_of, spread
from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars
from experiments.launcher.experiment import Experiment
from experiments.launcher.flags import as_dict

__all__ = ["layout", "main", "trained"]

PACKAGES = ("tensorflow", "keras", "numpy", "gymnasium", "ale-py")
MODULE = "experiments.benchmarks.learning"  # also where the suite calls it


def main(argv: Sequence[str] | None = None) -> None:
    """Train, collect, write `results/<preset>.{md,json,png}`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("preset")
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    parser.add_argument("--folder", default="runs", help="root of the run folders")
    parser.add_argument("--name", default="", help="name of the result files, if not the preset's")
    parser.add_argument("--curve", default="", help="tag that is drawn, if not the usual one")
    parser.add_argument("--threshold", type=float, default=0.0, help="say when the curve first lay above this value")
    parser.add_argument(
        "--within", type=float, nargs="*", default=[], help="say the best evaluation within so many minutes"
    )
    parser.add_argument("--flags", nargs=argparse.REMAINDER, default=[], help="flags for every run; must come last")
    arguments = parser.parse_args(argv)
    spec, _ = catalogue().find(arguments.preset)
    curve = arguments.curve or ("rollout/return_last100" if spec.kind == "agent" else spec.headline)
    words = [arguments.preset, "--seeds", str(arguments.seeds)]
    words += ["--name", arguments.name] if arguments.name else []
    words += ["--curve", arguments.curve] if arguments.curve else []
    words += ["--threshold", f"{arguments.threshold:g}"] if arguments.threshold else []
    words += ["--within", *(f"{minutes:g}" for minutes in arguments.within)] if arguments.within else []
    words += ["--flags", *arguments.flags] if arguments.flags else []
    report = Report(MODULE, arguments.name or arguments.preset, layout, words=words, packages=PACKAGES)
    runs = [
        trained(arguments.preset, seed, arguments.folder, arguments.flags) for seed in range(1, arguments.seeds + 1)
    ]
    rows = [_row(run, spec, curve, arguments.threshold, arguments.within) for run in runs]
    report.keep(
        {
            "kind": spec.kind,
            "headline": spec.headline,
            "goal": spec.goal,
            "clock": spec.clock,
            "curve": curve,
            "threshold": arguments.threshold,
            "within": arguments.within,
            "rows": rows,
        }
    )
    report.write()
    _draw(rows, runs, curve, spec.headline, spec.clock, report.path(".png"), arguments.preset)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table, a row a seed."""
    rows = measured["rows"]
    figure = figure_of([r["final"] for r in rows]) if measured["kind"] == "agent" else ".4g"  # measures are of any size
    beyond = "above" if measured["goal"] == "max" else "below"
    columns = ["seed", f"final {measured['headline']}", "episodes", "best", measured["clock"], "minutes", "steps/s"]
    columns.append(f"{measured['curve']} {beyond} {measured['threshold']:g} after")
    lines = []
    for r in rows:
        cells = [f"{r['seed']}", f"{r['final']:{figure}}", f"{r['episodes'] or ''}", f"{r['best']:{figure}}"]
        cells += [f"{r['clock']:,}", f"{r['minutes']:.1f}", f"{r['steps_per_second']:,.0f}", r["above"]]
        lines.append([*cells, *(f"{best:{figure}}" for best in r["within"])])
    deviation = " (mean +- std)" if len(rows) > 1 else ""
    note = (
        f"Final over {len(rows)} seed{'s' * (len(rows) > 1)}: {spread([r['final'] for r in rows], figure)}{deviation}. "
        f"{rows[0]['protocol']}. Minutes are wall-clock with evaluations."
    )
    return [Table([*columns, *(f"best within {minutes:g} min" for minutes in measured["within"])], lines), note]


def trained(preset: str, seed: int, folder: str, flags: list[str]) -> Path:
    """Return the finished run of this preset, seed and configuration, training it if there is none."""
    experiment = Experiment.of([preset, *flags])
    spec, config = experiment.spec, experiment.config
    before = set(Path(folder).glob(f"{preset}/*/*"))
    command = ["run", preset, "--run.seed", str(seed), "--run.folder", folder, *flags]
    for run in sorted(before):
        if not (run / "results.json").exists():
            continue
        kept = yaml.safe_load((run / "config.yaml").read_text()).get(spec.prefix)
        if json.loads((run / "meta.json").read_text())["argv"][1:] == command[1:] and kept == as_dict(config):
            return run
    subprocess.run([sys.executable, "-m", "experiments.run", *command[1:]], check=True)
    (new,) = set(Path(folder).glob(f"{preset}/*/*")) - before
    return new


def _row(run: Path, spec: Spec, curve: str, threshold: float, within: list[float]) -> dict[str, Any]:
    results, headline = json.loads((run / "results.json").read_text()), spec.headline
    best: Any = max if spec.goal == "max" else min
    sign = 1 if spec.goal == "max" else -1
    scalars = read_scalars(run)
    elapsed = dict(scalars["time/elapsed"])
    first = next((step for step, value in scalars.get(curve, []) if sign * value > sign * threshold), None)
    ends = [next((e for s, e in elapsed.items() if s > step), max(elapsed.values())) for step, _ in scalars[headline]]
    evaluations = [
        (end / 60, value) for end, (_, value) in zip(ends, scalars[headline], strict=True)
    ]  # minutes, with their own
    above = f"{first:,} steps, {elapsed[first] / 60:.1f} min" if first is not None else "never"
    return {
        "seed": results["seed"],
        "final": results["headline"]["final"],
        "best": results["headline"]["best"]["value"],
        "episodes": len(results["evaluation"].get("eval/returns", [])),
        "clock": results["clock"]["value"],
        "minutes": results["wall_clock_seconds"] / 60,
        "steps_per_second": results["steps_per_second"],
        "above": above,
        "within": [best((v for at, v in evaluations if at <= minutes), default=float("nan")) for minutes in within],
        "protocol": results["evaluation"].get("eval/protocol", "The plugin states no protocol"),
        "config": yaml.safe_load((run / "config.yaml").read_text()),
        "commit": results["git"]["commit"],
        "versions": results["versions"],  # the run's own, which may have been finished before
    }


def _draw(
    rows: list[dict[str, Any]], runs: list[Path], curve: str, headline: str, clock: str, path: Path, title: str
) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(7, 3.6), dpi=110)
    for row, run, colour in zip(rows, runs, ["#3366aa", "#cc6633", "#44995a", "#8855aa", "#998833"] * 4, strict=False):
        scalars = read_scalars(run)
        for tag, style in ((curve, "-"), (headline, "o")):
            steps, values = zip(*scalars.get(tag, [(0, float("nan"))]), strict=True)
            label = f"seed {row['seed']}, {row['minutes']:.0f} min" if style == "-" else None
            axis.plot([s / 1e6 for s in steps], values, style, color=colour, label=label, markersize=4, linewidth=1.4)
    axis.set(
        xlabel=f"million {clock}", ylabel=curve.split("/")[-1], title=f"{title}: {curve} (lines), {headline} (dots)"
    )
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(path)


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
