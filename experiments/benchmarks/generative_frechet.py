"""The pictures of every adversarial default on digits: distances, diversity, copying, minutes, beside floors and a peer.

    python -m experiments.benchmarks.generative_frechet [--seeds 3] [--only NAME ...] [--minutes 60] [--folder runs]

Each row is the command that the table prints, run as a user would, seed after seed with all rows in turn. Runs that are finished
are taken as they are; no run begins after `--minutes`. The peer is an SN-GAN in PyTorch (`gan_in_torch`), in the same turns.
"""

from __future__ import annotations

import argparse
import json
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from core.errors import UsageError, nearest
from core.runtime import configure
from experiments.benchmarks.learning import trained
from experiments.benchmarks.report import Page, Part, Report, Table
from experiments.launcher.experiment import Experiment, StoredRun
from experiments.launcher.flags import as_dict
from experiments.launcher.images import grid
from experiments.launcher.restore import restored
from generative.adversarial.evaluation import Evaluation
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data

__all__ = ["layout", "main"]

DEFAULTS = "generative_frechet_defaults"  # the rows that have several seeds
FIGURES = ("frechet", "precision", "recall", "rarest_class", "commonest_class", "novelty")
COUNT = 5_000
SHOWN = 36  # pictures of a row on the sheets
HALVES, PEER = "2,500 real digits against the other 2,500", "SN-GAN in PyTorch (`gan_in_torch`)"
PEER_FLAGS = ["--network", "sn", "--loss", "hinge", "--constraint", "sn", "--updates", "3000"]

RUNS: dict[str, tuple[int, str]] = {  # row: seeds, words after `python -m experiments.run`
    "dcgan": (3, "dcgan"),
    "ragan": (3, "ragan"),
    "wgan, spectral norm": (3, "wgan --model.constraint sn"),
    "wgan, gradient penalty": (3, "wgan"),
    "vae": (1, "vae"),
    "ragan, RaLSGAN": (1, "ragan --model.loss ralsgan"),
    "ragan, RaHinge": (1, "ragan --model.loss rahinge"),
    "ragan, RSGAN": (1, "ragan --model.loss rsgan"),
    "ragan, SGAN": (1, "ragan --model.loss sgan"),
    "wgan, clipping": (1, "wgan --model.constraint clip"),
    "wgan, regularised": (1, "wgan --model.constraint sn-reg"),
    "DCGAN networks, no norm": (1, "ragan --model.norm none"),
    "DCGAN networks, SN": (1, "ragan --model.norm spectral"),
    "DCGAN networks, GP": (1, "ragan --model.norm none --model.gp 10"),
    "residual networks, no norm": (1, "ragan --model.network resnet --model.norm none --run.until 2000"),
    "residual networks, SN": (1, "ragan --model.network resnet --model.norm spectral --run.until 2000"),
    "residual networks, GP": (1, "ragan --model.network resnet --model.norm none --model.gp 10 --run.until 2000"),
}


def main(argv: Sequence[str] | None = None) -> None:
    """Train what is missing, then write table, numbers and sheets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N of the rows that have several")
    parser.add_argument("--only", nargs="*", default=[], metavar="ROW", help="these rows; a part of the name is enough")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after this time")
    parser.add_argument("--folder", default="runs", help="root of the run folders")
    arguments = parser.parse_args(argv)
    rows = [HALVES, PEER, *RUNS]
    for part in arguments.only:
        if not any(part in row for row in rows):
            raise UsageError(f"there is no row {part!r}; {nearest(part, rows)}")
    wanted = [row for row in rows if not arguments.only or any(part in row for part in arguments.only)]
    configure(device="cpu")
    bench = Bench(arguments.folder)
    begun = time.monotonic()
    todo = [(row, seed) for seed in range(1, arguments.seeds + 1) for row in wanted if seed <= seeds_of(row)]
    for row, seed in todo:
        if not bench.report.lacks(f"{row} | {seed}", described(row)):
            continue
        if (time.monotonic() - begun) / 60 > arguments.minutes:
            print(f"time is up before {row}, seed {seed}")
            break
        print(bench.measure(row, seed), flush=True)
    bench.write()


def seeds_of(row: str) -> int:
    """Return how many seeds a row has."""
    return RUNS[row][0] if row in RUNS else 1


def described(row: str) -> Any:
    """Return what a kept result must agree with to be valid: the configuration that a row's command has today."""
    if row not in RUNS:
        return {"flags": PEER_FLAGS if row == PEER else []}
    experiment = Experiment.of(shlex.split(RUNS[row][1]))
    config, settings = experiment.config, experiment.settings
    return {"model": as_dict(config), "until": settings.until}


class Bench:
    """Measures rows, {"row | seed": figures} in the report, and draws them."""

    def __init__(self, folder: str):
        self.folder = folder
        self.report = Report(
            __spec__.name, "generative_frechet", layout, packages=("tensorflow", "keras", "torch"), resume=True
        )
        self.data = open_data(DataConfig("mnist5k"))
        assert isinstance(self.data, Pictures)

    def measure(self, row: str, seed: int) -> str:
        """Measure one row with one seed and keep it; returns a line about it."""
        if row == HALVES:
            measured, samples = self._halves()
        elif row == PEER:
            measured, samples = self._peer(seed)
        else:
            measured, samples = self._run(row, seed)
        self.report.keep({f"{row} | {seed}": measured | {"of": described(row)}})
        pictures = Path(self.folder) / "generative_frechet"
        pictures.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid(samples[:SHOWN])[..., 0]).save(pictures / f"{slug(row)}-s{seed}.png")
        figures = ", ".join(f"{name} {measured[name]:.3g}" for name in FIGURES if name in measured)
        return f"{row}, seed {seed}: {figures}, {measured.get('minutes', 0):.1f} min"

    def _halves(self) -> tuple[dict[str, Any], np.ndarray]:
        assert isinstance(self.data, Pictures)
        one, other = self.data.split(len(self.data) // 2)
        samples = other.reference(COUNT)
        return self._figures(Evaluation(one, COUNT).of_pictures(Fixed(samples))), samples

    def _peer(self, seed: int) -> tuple[dict[str, Any], np.ndarray]:
        with tempfile.TemporaryDirectory() as place:
            out = Path(place) / "samples.npz"
            command = [*PEER_FLAGS, "--seed", str(seed), "--samples", str(COUNT), "--out", str(out)]
            module = "experiments.benchmarks.gan_in_torch"
            done = subprocess.run(
                [sys.executable, "-m", module, *command], check=True, stdout=subprocess.PIPE, text=True
            )
            seconds = json.loads(done.stdout.splitlines()[-1])["seconds"]
            with np.load(out, allow_pickle=False) as file:
                samples = file["images"]
        figures = self._figures(Evaluation(self.data, COUNT).of_pictures(Fixed(samples)))
        updates = int(PEER_FLAGS[PEER_FLAGS.index("--updates") + 1])
        return figures | {"minutes": seconds / 60, "images_per_second": 64 * updates / seconds}, samples

    def _run(self, row: str, seed: int) -> tuple[dict[str, Any], np.ndarray]:
        name, *flags = shlex.split(RUNS[row][1])
        run = trained(name, seed, self.folder, flags)
        results = json.loads((run / "results.json").read_text())
        model: Any = restored(StoredRun.of([str(run)]), "newest")[0]
        config, seconds = model.config, results["wall_clock_seconds"]
        steps = getattr(config, "critic_steps", getattr(config, "d_steps", 1))
        extra = {
            "minutes": seconds / 60,
            "images_per_second": results["clock"]["value"] * config.batch * steps / seconds,
            "commit": results["git"]["commit"],
        }
        if "eval/frechet" in results["evaluation"]:
            measured, samples = results["evaluation"], model.sample(SHOWN, 1)
        else:  # a model that is measured by its likelihood
            samples = model.sample(COUNT, 2)
            measured = Evaluation(self.data, COUNT).of_pictures(Fixed(samples))
        model.close()
        return self._figures(measured) | extra, samples

    @staticmethod
    def _figures(measured: dict[str, Any]) -> dict[str, Any]:
        figures = {name: float(measured[f"eval/{name}"]) for name in FIGURES if f"eval/{name}" in measured}
        return {**figures, "protocol": measured["eval/protocol"]}

    def write(self) -> None:
        """Write tables and sheets of everything that has been measured."""
        self.report.write()
        several = [row for row in RUNS if seeds_of(row) > 1]
        self._draw([f"{row} | 1" for row in (HALVES, PEER, *RUNS)], 5, self.report.path(".png"))
        seeds = [f"{row} | {seed}" for row in several for seed in range(1, seeds_of(row) + 1)]
        self._draw(seeds, 3, self.report.path(".png").with_stem(DEFAULTS))

    def _draw(self, keys: list[str], across: int, out: Path) -> None:
        pictures = Path(self.folder) / "generative_frechet"
        named = [(key, *key.rsplit(" | ", 1)) for key in keys]
        files = {key: pictures / f"{slug(row)}-s{seed}.png" for key, row, seed in named}
        shown = [(key, row, seed) for key, row, seed in named if key in self.report.measured and files[key].is_file()]
        if not shown:
            return
        side = 28 * 6
        sheet = Image.new("L", (across * (side + 8), -(-len(shown) // across) * (side + 24)), 255)
        for i, (key, row, seed) in enumerate(shown):
            left, top = i % across * (side + 8), i // across * (side + 24)
            title = (
                row.replace("`", "")
                .replace(" (gan_in_torch)", "")
                .replace("2,500 real digits against the other 2,500", "real digits")
            )
            ImageDraw.Draw(sheet).text((left + 2, top + 3), f"{title}, seed {seed}" if across == 3 else title, fill=0)
            sheet.paste(Image.open(files[key]), (left, top + 18))
        sheet.save(out)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of all rows, and a page of those that have several seeds."""
    several = [row for row in RUNS if seeds_of(row) > 1]
    return [*_table([HALVES, PEER, *RUNS], measured), Page(DEFAULTS, _table([HALVES, PEER, *several], measured))]


def _table(rows: list[str], measured: dict[str, Any]) -> list[Table | str]:
    lines = []
    protocols = set()
    for row in rows:
        runs = [run for key, run in measured.items() if key.rpartition(" | ")[0] == row]
        if not runs:
            continue
        protocols |= {run["protocol"] for run in runs if row in RUNS}
        share = (
            f"{100 * min(r['rarest_class'] for r in runs):.1f} %, {100 * max(r['commonest_class'] for r in runs):.1f} %"
        )
        timed = "minutes" in runs[0]
        lines.append(
            [
                f"`{RUNS[row][1]}`" if row in RUNS else row,
                f"{len(runs)}",
                span(runs, "frechet", 1),
                span(runs, "precision", 2),
                span(runs, "recall", 2),
                share,
                span(runs, "novelty", 2),
                f"{statistics.median(r['images_per_second'] for r in runs):,.0f}" if timed else "",
                f"{statistics.median(r['minutes'] for r in runs):.1f}" if timed else "",
            ]
        )
    note = (
        "Each row is `python -m experiments.run` with these words; mean, in brackets least and most over seeds; shares of "
        "the rarest and the commonest digit in any seed; images are real ones shown to D; minutes with evaluations, of the "
        f"peer without. Protocol: {'; '.join(sorted(protocols))}."
    )
    columns = [
        "what",
        "seeds",
        "Fréchet",
        "precision",
        "recall",
        "rarest, commonest digit",
        "novelty",
        "images/s",
        "minutes",
    ]
    return [Table(columns, lines), note]


class Fixed:
    """Pictures that are there already, as what `Evaluation` draws from."""

    def __init__(self, images: np.ndarray):
        self.images = images

    def sample(self, n: int, seed: int) -> np.ndarray:
        """Return the first n of them, [n, H, W, C] uint8."""
        return self.images[:n]


def slug(row: str) -> str:
    """Return a row's name as a part of a file's."""
    return "".join(c if c.isalnum() else "-" for c in row.lower()).strip("-")


def span(runs: Sequence[dict[str, Any]], figure: str, digits: int) -> str:
    """Return "mean [least, most]" of a figure over seeds, of one run the figure alone."""
    values = [run[figure] for run in runs]
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"{statistics.mean(values):.{digits}f} [{min(values):.{digits}f}, {max(values):.{digits}f}]"


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
