"""Runs of `srgan` beside bicubic and Lanczos interpolation on the held-out photographs: table and pictures.

    python -m experiments.benchmarks.srgan runs/srgan-cpu/photos/* [--name srgan] [--test FOLDER]

Every run contributes two rows: its best weights by Y-PSNR on strips that the training set keeps, which are those of stage one,
and its newest, those of stage two.
Several runs are seeds of one configuration: means +- standard deviations. The pictures are those of the first run.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core.errors import require
from core.metrics.image_quality import protocol
from core.metrics.spectrum import PATTERN
from experiments.benchmarks.report import Part, Report, Table, spread
from experiments.launcher.events import read_scalars

__all__ = ["layout", "main"]

COLUMNS = {
    "psnr_y": "PSNR Y",
    "ssim_y": "SSIM Y",
    "psnr_rgb": "PSNR RGB",
    "ssim_rgb": "SSIM RGB",
    "pattern_red": "pattern R",
    "pattern_green": "pattern G",
    "pattern_blue": "pattern B",
    "high_energy": "energy / truth's",
    "niqe": "NIQE",
}
CROPS = {"coffee": (168, 230), "chelsea": (92, 150), "flower": (150, 250)}  # (top, left) of what is shown
SHOWN = 120  # pixels a side, drawn twice as large

Upscale = Callable[[np.ndarray], np.ndarray]


def main() -> None:
    """Measure, write `results/NAME.{md,json}` and `results/NAME-photos.png`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, help="run folders of one configuration, a seed each")
    parser.add_argument("--name", default="srgan", help="name of the result files")
    parser.add_argument(
        "--test", default="", help="folder of pictures to measure on, e.g. Set5; the held-out photographs otherwise"
    )
    arguments = parser.parse_args()

    from core.runtime import configure

    configure(device="cpu")
    from generative.srgan.data import enlarge, open_photos, pair_of
    from generative.srgan.generator import load_generator
    from generative.srgan.measures import measures, natural_model, naturalness
    from generative.srgan.upscale import Upscaler

    _, config, newest = load_generator(arguments.runs[0])
    newest = newest.partition(".")[0]  # another checkpoint of the same update has a number after it
    for run in arguments.runs[1:]:
        its = load_generator(run)[2].partition(".")[0]
        require(
            its == newest,
            f"{run} stands at {int(its):,} updates, {arguments.runs[0]} at {int(newest):,}; seeds of one configuration are "
            "compared at the same update, so resume the one that is behind",
        )
    scale = config.scale
    report = Report(__spec__.name, arguments.name, layout)
    _, _, photos = open_photos(
        config.source, arguments.test, 1_000 if arguments.test else config.held_out, print, scale=scale
    )
    pairs = {}
    for photo in photos:
        pairs[photo.name] = pair_of(photo, scale)
    methods: dict[str, list[Upscale]] = {
        "bicubic": [partial(enlarge, scale=scale)],
        "Lanczos": [partial(enlarge, scale=scale, kind=Image.Resampling.LANCZOS)],
    }
    stages = ["stage one", "stage two"] if int(newest) > config.stage_one else ["stage one"]
    for stage in stages:
        weights = "best" if stage == "stage one" else "newest"
        methods[stage] = [Upscaler.of_run(run, weights=weights) for run in arguments.runs]
    large = {m: {p: [up(small) for up in ups] for p, (_, small) in pairs.items()} for m, ups in methods.items()}
    model, natural = natural_model(config.niqe)
    measured = {
        m: {p: [measures(pairs[p][0], image, scale, model) for image in images] for p, images in by_photo.items()}
        for m, by_photo in large.items()
    }
    minutes = [_minutes(run, config.stage_one) for run in arguments.runs]
    true = {p: [naturalness(whole, model, scale)] for p, (whole, _) in pairs.items()}
    report.keep(
        {
            "measured": measured,
            "truth": true,
            "minutes": minutes,
            "protocol": f"{protocol(scale)}; {PATTERN}; {natural}",
        }
    )
    report.write()
    if not arguments.test:
        rows = []
        for name in (name for name in pairs if name in CROPS):
            top, left = CROPS[name]
            shown = [large[m][name][0] for m in ("bicubic", "Lanczos", *stages)] + [pairs[name][0]]
            rows.append(np.concatenate([x[top : top + SHOWN, left : left + SHOWN] for x in shown], axis=1))
        sheet = Image.fromarray(np.concatenate(rows))
        enlarged = sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST)
        enlarged.save(report.path("-photos.png"), optimize=True)


def layout(numbers: dict[str, Any]) -> list[Part]:
    """Return the table, a row a method: every photograph's PSNR, and means over photographs of every measure."""
    measured = numbers["measured"]
    first = next(iter(next(iter(measured.values())).values()))[0]
    columns = {column: name for column, name in COLUMNS.items() if column in first}
    rows = []
    for method, photos in measured.items():
        cells = [spread([seed["psnr_y"] for seed in seeds], ".2f") for seeds in photos.values()]
        for column in columns:
            means = [
                statistics.mean(seed[column] for seed in by_seed) for by_seed in zip(*photos.values(), strict=True)
            ]
            cells.append(spread(means, ".4f" if column.startswith("ssim") else ".2f"))
        rows.append([method, *cells])
    seeds = range(len(numbers["minutes"]))
    gains = [
        statistics.mean(
            measured["stage one"][p][i]["psnr_y"] - bicubic[0]["psnr_y"] for p, bicubic in measured["bicubic"].items()
        )
        for i in seeds
    ]
    note = (
        f"Stage one beats bicubic by {spread(gains, '.3f')} dB Y-PSNR (target: at least 1.5 within 30 minutes), after "
        f"{spread([m[0] for m in numbers['minutes']], '.1f')} minutes of training; both stages took "
        f"{spread([m[1] for m in numbers['minutes']], '.1f')}. {len(seeds)} seed{'s' * (len(seeds) > 1)}. {numbers['protocol']}."
    )
    niqe_of_truth = [row[0]["niqe"] for row in numbers.get("truth", {}).values() if "niqe" in row[0]]
    if niqe_of_truth:
        note += f" NIQE of the true photographs is {statistics.mean(niqe_of_truth):.2f}."
    photos = [f"{photo}, PSNR Y" for photo in measured["bicubic"]]
    return [Table(["what", *photos, *(f"mean {column}" for column in columns.values())], rows), note]


def _minutes(run: Path, stage_one: int) -> tuple[float, float]:
    """Return the minutes of training until the end of stage one and until the end."""
    points = read_scalars(run)["time/elapsed"]
    return max(v for step, v in points if step <= stage_one) / 60, points[-1][1] / 60


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
