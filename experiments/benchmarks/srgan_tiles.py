"""What `upscale` needs and whether its windows show: peak memory for a picture of 4000x3000, tiled beside whole.

    python -m experiments.benchmarks.srgan_tiles runs/srgan-cpu/photos/... [--size 4000 3000]

The verb runs in a process of its own, whose peak resident memory the system reports. The full-size network is measured too, on a
smaller picture, since its memory does not grow with it but for the result.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

SEAM_SIDE = 224  # pixels a side of the picture whose tiles are compared with the whole
FULL_SIZE = (640, 480)  # of the picture for the full-size network


def main() -> None:
    """Measure and write `results/srgan_tiles.{md,json}`."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("run", type=Path, help="a run of srgan")
    parser.add_argument("--size", nargs=2, type=int, default=[4000, 3000], help="width and height of the large picture")
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        _full_size(Path(arguments.worker))
        return
    report = Report(__spec__.name, "srgan_tiles", layout)
    with tempfile.TemporaryDirectory() as folder:
        picture, result = Path(folder) / "photo.png", Path(folder) / "big.png"
        _photo(*arguments.size).save(picture, compress_level=1)
        verb = ["-m", "experiments", "upscale", str(arguments.run), str(picture), "-o", str(result)]
        own = _measured(verb)
        Image.MAX_IMAGE_PIXELS = None
        with Image.open(result) as large:
            size = large.size
        full = _measured(["-m", __spec__.name, str(arguments.run), "--worker", str(result)])
    assert size == (4 * arguments.size[0], 4 * arguments.size[1])
    seams = _seams(arguments.run)
    report.keep({"own": own, "full_size": full, "size": arguments.size, "seams": seams})
    report.write()


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the tables of memory and of seams."""
    rows = []
    for name, (width, height), (seconds, peak) in (
        ("the run's, by the verb", measured["size"], measured["own"]),
        ("16 blocks of 64 channels", FULL_SIZE, measured["full_size"]),
    ):
        rows.append([name, f"{width}x{height}", f"{4 * width}x{4 * height}", f"{seconds:.0f}", f"{peak:.2f}"])
    seams = [
        [r["network"], f"{r['reach']}", f"{r['overlap']}", f"{r['largest']}", f"{r['mean']:.4f}"]
        for r in measured["seams"]
    ]
    note = (
        "Peak resident memory of a process of its own, TensorFlow and files included; target: at most 4 GiB at 4000x3000. "
        f"Differences between tiled and whole on a photograph of {SEAM_SIDE}x{SEAM_SIDE} pixels, with windows of 112 or, for "
        "wide overlaps, twice the overlap and 16; target: at most 1 with the reach. The RRDB network is untrained, its kernels "
        "drawn as He et al. (2015)."
    )
    return [
        Table(["network", "picture", "result", "seconds", "peak memory, GiB"], rows),
        Table(["network", "reach", "overlap", "largest difference, of 255", "mean difference"], seams),
        note,
    ]


def _photo(width: int, height: int) -> Image.Image:
    from sklearn.datasets import load_sample_image

    return Image.fromarray(load_sample_image("flower.jpg")).resize((width, height), Image.Resampling.BICUBIC)


def _measured(arguments: list[str]) -> tuple[float, float]:
    """Run Python with these arguments; return (seconds, peak resident GiB)."""
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, *arguments])
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(arguments)} failed with status {status}")
    return time.monotonic() - begun, usage.ru_maxrss / 2**20


def _full_size(target: Path) -> None:
    from core.runtime import configure

    configure(device="cpu")
    from generative.srgan.config import SRGANConfig
    from generative.srgan.generator import make_generator
    from generative.srgan.upscale import Upscaler, upscale_picture

    config = SRGANConfig()
    upscale_picture(Upscaler.of_generator(make_generator(config), config), _photo(*FULL_SIZE)).save(target)


def _seams(run: Path) -> list[dict[str, float | str]]:
    """Return how far tiled and whole differ, for the run's network with its reach and for RRDB with three overlaps."""
    from core.runtime import configure

    configure(device="cpu")
    from core.layers.srgan import radius, rrdb
    from generative.srgan.generator import load_generator
    from generative.srgan.upscale import Upscaler

    G, _, _ = load_generator(run)
    wide = rrdb(23, 32, growth=16)
    rng = np.random.default_rng(0)
    for v in wide.trainable_variables:
        if "kernel" in v.path:
            v.assign(rng.normal(0, np.sqrt(2 / np.prod(v.shape[:3])), v.shape))
    small = wide.layers[-2]
    small.kernel.assign(0.1 * small.kernel)  # pictures, not saturated noise
    picture = np.asarray(_photo(SEAM_SIDE, SEAM_SIDE))
    rows: list[dict[str, float | str]] = []
    cases = [
        ("the run's", G, radius(G)),
        *(("RRDB, 23 blocks of 32 channels", wide, overlap) for overlap in (16, 32, 48)),
    ]
    wholes: dict[int, np.ndarray] = {}
    for name, network, overlap in cases:
        if id(network) not in wholes:
            wholes[id(network)] = Upscaler(network, 4, window=0)(picture)
        tiled = Upscaler(network, 4, window=max(112, 2 * overlap + 16), overlap=overlap)(picture)
        difference = np.abs(tiled.astype(int) - wholes[id(network)])
        rows.append(
            {
                "network": name,
                "reach": radius(network),
                "overlap": overlap,
                "largest": int(difference.max()),
                "mean": float(difference.mean()),
            }
        )
    return rows


if __name__ == "__main__":
    main()
