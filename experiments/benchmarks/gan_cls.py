"""Measure runs of gan-cls on captioned-shapes, one per seed: what a classifier reads off their pictures, and retrieval.

    python -m experiments.run gan-cls --run.precision bfloat16 --run.seed 1
    python -m experiments.benchmarks.gan_cls runs/gan-cls/captioned-shapes/*

The newest weights are measured, not those that an evaluation liked best, with four draws of every caption. The first run's
pictures of the fixed sentences become the sheet.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from core import checkpoint
from core.errors import UsageError, require
from core.runtime import configure
from experiments.benchmarks.gan_cls_reader import TESTED, measure
from experiments.benchmarks.report import Part, Report, Table, spread
from experiments.launcher.events import read_scalars
from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import make_plugin
from generative.data import shapes
from generative.gan_cls.measures import Measures
from generative.gan_cls.model import ROWS

__all__ = ["layout", "main"]

DRAWS = (11, 12, 13, 14)  # seeds of noise and wording
TARGETS = {"colour": 0.95, "shape": 0.85, "joint_unseen": 0.70, "retrieval": 0.90}
COLUMNS = {
    "colour": ("colour_seen", "colour_unseen"),
    "shape": ("shape_seen", "shape_unseen"),
    "size": ("size_seen", "size_unseen"),
    "place": ("place_seen", "place_unseen"),
    "colour, shape and place": ("joint_seen", "joint_unseen"),
    "two things, three": ("true_two", "true_three"),
    "R@1 of 32": ("retrieval", "retrieval_unseen"),
}


def main() -> None:
    """Measure, then write table, numbers and the sheet of pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, one per seed")
    arguments = parser.parse_args()
    configure(device="cpu")
    report = Report(__spec__.name, "gan_cls", layout)
    rows = [_measured(path, report.path(".png") if i == 0 else None) for i, path in enumerate(arguments.runs)]
    report.keep({"rows": rows, "draws": len(DRAWS), "reader": measure(), "tested": TESTED})
    report.write()
    for name, target in TARGETS.items():
        names = [name] if name in rows[0] else [f"{name}_seen", f"{name}_unseen"]
        worst = min(row[n] for row in rows for n in names)
        print(f"{name}: worst seed {worst:.1%}, target {target:.0%}: {'reached' if worst >= target else 'missed'}")


def _measured(path: Path, sheet: Path | None) -> dict[str, Any]:
    run = StoredRun.of([str(path)])
    spec, config, settings = run.spec, run.config, run.settings
    if spec.name != "gan-cls" or config.data.source != "captioned-shapes":
        raise UsageError(
            f"{path} holds {spec.name!r} on {getattr(config, spec.subject.split('.')[0])}; gan-cls is measured"
        )
    whole = checkpoint.numbered(path)
    require(bool(whole), f"{path} has no checkpoint yet")
    newest = whole[0]
    model: Any = make_plugin(spec, config, settings, path / "files", print)
    checkpoint.load(newest, {"plugin": model.state()}, weights_only=True)
    measures = Measures(model.data, count=10**6)
    draws = [measures(model.draw, model.embed_text, model.embed_images, seed) for seed in DRAWS]
    figures = {tag: float(np.mean([draw[tag] for draw in draws])) for tag in draws[0] if tag != "eval/protocol"}
    if sheet is not None:
        _draw_sheet(model, sheet)
    model.close()
    return {
        "seed": settings.seed,
        "updates": int(newest.name[:12]),
        "minutes": read_scalars(path)["time/elapsed"][-1][1] / 60,
        "precision": settings.precision,
        **{tag.removeprefix("eval/"): value for tag, value in figures.items()},
        "protocol": measures.protocol,
    }


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table, a row a seed and one of means."""
    rows = measured["rows"]

    def shares(row: dict[str, Any], pair: tuple[str, str]) -> str:
        return ", ".join(f"{100 * row[name]:.1f}" for name in pair)

    lines = [
        [f"{row['seed']}", f"{row['minutes']:.0f}", f"{row['updates']:,}", *(shares(row, p) for p in COLUMNS.values())]
        for row in rows
    ]
    if len(rows) > 1:
        means = (", ".join(spread([100 * r[name] for r in rows], ".1f") for name in pair) for pair in COLUMNS.values())
        lines.append(["mean +- std", "", "", *means])
    reader = ", ".join(f"{name} {100 * value:.2f}" for name, value in measured["reader"].items())
    note = (
        "Percent; each pair of numbers is seen, unseen combinations of colour and shape. Each caption drawn "
        f"{measured['draws']} times. The reading classifier itself on {measured['tested']:,} other real pictures: {reader}. "
        f"Protocol: {rows[0]['protocol']}. Minutes are wall-clock of training with evaluations, {rows[0]['precision']}."
    )
    return [Table(["seed", "minutes", "updates", *COLUMNS], lines), note]


def _draw_sheet(model: Any, out: Path) -> None:
    """One row of pictures for each fixed sentence, which stands above it."""
    side, gap, head = shapes.SIDE, 2, 14
    sheet = Image.new("RGB", (ROWS * (side + gap), len(shapes.SENTENCES) * (side + head)), "white")
    for row, sentence in enumerate(shapes.SENTENCES):
        top = row * (side + head)
        ImageDraw.Draw(sheet).text((1, top + 1), sentence, fill="black")
        for column, picture in enumerate(model.sample_text(sentence, ROWS, seed=1)):
            sheet.paste(Image.fromarray(picture), (column * (side + gap), top + head))
    sheet.save(out)


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
