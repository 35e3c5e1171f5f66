"""Runs of `srgan` beside bicubic and Lanczos interpolation on the held-out photographs: table and pictures.

    python -m experiments.benchmarks.srgan runs/srgan-cpu/photos/* [--name srgan] [--test FOLDER]

Every run contributes two rows: its best weights by Y-PSNR, which are those of stage one, and its newest, those of stage two.
Several runs are seeds of one configuration: means +- standard deviations. The pictures are those of the first run.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from core.errors import require
from core.metrics.image_quality import PROTOCOL, quality
from experiments.launcher.events import read_scalars

__all__ = ["main"]

HERE = Path(__file__).parent
COLUMNS = {"psnr_y": "PSNR Y", "ssim_y": "SSIM Y", "psnr_rgb": "PSNR RGB", "ssim_rgb": "SSIM RGB"}
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
    from generative.srgan.data import open_photos, shrink
    from generative.srgan.generator import load_generator
    from generative.srgan.upscale import Upscaler

    _, config, newest = load_generator(arguments.runs[0])
    for run in arguments.runs[1:]:
        its = load_generator(run)[2]
        require(
            its == newest,
            f"{run} stands at {int(its):,} updates, {arguments.runs[0]} at {int(newest):,}; seeds of one configuration are "
            "compared at the same update, so resume the one that is behind",
        )
    _, _, photos = open_photos(config.source, arguments.test, 1_000 if arguments.test else config.held_out, print)
    pairs = {}
    for photo in photos:
        whole = photo.read()
        whole = whole[: whole.shape[0] // 4 * 4, : whole.shape[1] // 4 * 4]
        pairs[photo.name] = (whole, shrink(whole))

    def pillow(kind: Image.Resampling) -> Upscale:
        return lambda small: np.asarray(Image.fromarray(small).resize((4 * small.shape[1], 4 * small.shape[0]), kind))

    methods: dict[str, list[Upscale]] = {
        "bicubic": [pillow(Image.Resampling.BICUBIC)],
        "Lanczos": [pillow(Image.Resampling.LANCZOS)],
    }
    stages = ["stage one", "stage two"] if int(newest) > config.stage_one else ["stage one"]
    for stage in stages:
        weights = "best" if stage == "stage one" else "newest"
        methods[stage] = [Upscaler.of_run(run, weights=weights) for run in arguments.runs]
    large = {m: {p: [up(small) for up in ups] for p, (_, small) in pairs.items()} for m, ups in methods.items()}
    measured = {
        m: {p: [quality(pairs[p][0], image) for image in images] for p, images in by_photo.items()}
        for m, by_photo in large.items()
    }
    lines = [
        "| what | "
        + " | ".join(f"{p}, PSNR Y" for p in pairs)
        + " | "
        + " | ".join(f"mean {c}" for c in COLUMNS.values())
        + " |"
    ]
    lines.append("| --- " * (1 + len(pairs) + len(COLUMNS)) + "|")
    for m, by_photo in measured.items():
        cells = [_cell([row["psnr_y"] for row in rows], 2) for rows in by_photo.values()]
        for column in COLUMNS:
            per_seed = [statistics.mean(rows[i][column] for rows in by_photo.values()) for i in range(len(methods[m]))]
            cells.append(_cell(per_seed, 2 if column.startswith("psnr") else 4))
        lines.append(f"| {m} | " + " | ".join(cells) + " |")
    gains = [
        statistics.mean(measured["stage one"][p][i]["psnr_y"] - measured["bicubic"][p][0]["psnr_y"] for p in pairs)
        for i in range(len(arguments.runs))
    ]
    minutes = [_minutes(run, config.stage_one) for run in arguments.runs]
    note = (
        f"Stage one beats bicubic by {_cell(gains, 3)} dB Y-PSNR (target: at least 0.8 within 60 minutes), after "
        f"{_cell([m[0] for m in minutes], 1)} minutes of training; both stages took {_cell([m[1] for m in minutes], 1)}. "
        f"{len(arguments.runs)} seed(s). {PROTOCOL}. `python -m experiments.benchmarks.srgan RUNS`."
    )
    stem = HERE / "results" / arguments.name
    stem.with_suffix(".md").write_text("\n".join(lines) + f"\n\n{note}\n")
    record = {"measured": measured, "gain_y": gains, "minutes": minutes, "protocol": PROTOCOL}
    stem.with_suffix(".json").write_text(json.dumps(record, indent=1) + "\n")
    print(stem.with_suffix(".md").read_text())
    if not arguments.test:
        rows = []
        for name in (name for name in pairs if name in CROPS):
            top, left = CROPS[name]
            shown = [large[m][name][0] for m in ("bicubic", "Lanczos", *stages)] + [pairs[name][0]]
            rows.append(np.concatenate([x[top : top + SHOWN, left : left + SHOWN] for x in shown], axis=1))
        sheet = Image.fromarray(np.concatenate(rows))
        sheet.resize((2 * sheet.width, 2 * sheet.height), Image.Resampling.NEAREST).save(
            HERE / "results" / f"{arguments.name}-photos.png", optimize=True
        )


def _cell(values: list[float], digits: int) -> str:
    spread = f" +- {statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.{digits}f}{spread}"


def _minutes(run: Path, stage_one: int) -> tuple[float, float]:
    """Return the minutes of training until the end of stage one and until the end."""
    points = read_scalars(run)["time/elapsed"]
    return max(v for step, v in points if step <= stage_one) / 60, points[-1][1] / 60


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
