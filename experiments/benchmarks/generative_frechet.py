"""Fréchet distance of every adversarial variant on mnist5k 28x28 over seeds, same networks, same number of images shown.

    python -m experiments.benchmarks.generative_frechet [--seeds 3] [--images 192000] [--only NAME ...] [--seconds 900]

The budget is the number of real images that the discriminator sees, so that five critic steps are not free. Finished runs are
kept in the JSON file and not repeated; `--seconds` ends a call after that time.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from core.runtime import configure
from experiments.benchmarks.generative_runs import Variant, spread, train_missing
from experiments.catalogue import catalogue
from experiments.configuration import parse
from experiments.tensorboard import grid

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "generative_frechet"
PICTURES = Path("runs/generative_frechet")  # of single runs, until they stand on one sheet
FIGURES = ("frechet", "kernel_distance", "precision", "recall")
COMMON = {"width": 16, "ema": 0.995, "batch": 64}
SN: dict[str, Any] = {"spectral": True}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "DCGAN": ("dcgan", {}),
    "DCGAN, bfloat16": ("dcgan", {}),
    "DCGAN, resize-convolution": ("dcgan", {"upsampling": "resize"}),
    "WGAN, clipping": ("wgan", {"constraint": "clip"}),
    "WGAN, gradient penalty": ("wgan", {"constraint": "gp"}),
    "WGAN, spectral norm": ("wgan", {"constraint": "sn"}),
    "WGAN, spectral-norm regularisation": ("wgan", {"constraint": "sn-reg"}),
    "SGAN, spectral norm": ("ragan", {"loss": "sgan", **SN}),
    "RSGAN, spectral norm": ("ragan", {"loss": "rsgan", **SN}),
    "RaSGAN, spectral norm": ("ragan", {"loss": "rasgan", **SN}),
    "RaLSGAN, spectral norm": ("ragan", {"loss": "ralsgan", **SN}),
    "RaHinge, spectral norm": ("ragan", {"loss": "rahinge", **SN}),
    "RSGAN, R1 and R2": ("ragan", {"loss": "rsgan", "spectral": False, "r1": 1.0, "r2": 1.0}),
}


def main() -> None:
    """Run what is missing, then write table, numbers and samples."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3, help="seeds 1 to N")
    parser.add_argument("--images", type=int, default=192_000, help="real images shown to the discriminator")
    parser.add_argument("--only", nargs="*", default=[], help="variants whose name contains one of these")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    arguments = parser.parse_args()
    configure(device="cpu")
    wanted = [n for n in VARIANTS if not arguments.only or any(part in n for part in arguments.only)]
    variants = [_variant(name, arguments.images) for name in wanted]
    found = train_missing(
        RESULTS.with_suffix(".json"), variants, arguments.seeds, arguments.seconds, FIGURES, _keep_picture
    )
    _write(found, arguments.images)


def _variant(name: str, images: int) -> Variant:
    """Return a variant with as many updates as show the discriminator `images` real images."""
    plugin, settings = VARIANTS[name]
    spec, _ = catalogue().find(plugin)
    config = parse(spec, [(name, {"model": {**COMMON, **settings}})], [], prog=name, usage="").model
    shown = config.batch * getattr(config, "critic_steps", getattr(config, "d_steps", 1))
    return Variant(name, plugin, config, images // shown, "bfloat16" if "bfloat16" in name else "float32")


def _keep_picture(variant: Variant, measured: dict[str, Any]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    Image.fromarray(grid(measured["samples/fixed"])[..., 0]).save(PICTURES / f"{variant.name}.png")


def _write(found: dict[str, Any], images: int) -> None:
    lines = [
        "| variant | seeds | Fréchet | kernel distance | precision | recall |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    protocols = set()
    for name in VARIANTS:
        runs = [run for key, run in found.items() if key.startswith(f"{name} | ")]
        if not runs:
            continue
        protocols.add(runs[0]["protocol"])
        figures = " | ".join(spread(runs, figure, digits) for figure, digits in zip(FIGURES, (1, 2, 2, 2), strict=True))
        lines.append(f"| {name} | {len(runs)} | {figures} |")
    note = (
        f"Mean +- standard deviation over seeds; width {COMMON['width']}, averaged generator, each paper's own optimiser, "
        f"{images:,} real images shown to the discriminator. Protocol: {'; '.join(sorted(protocols))}. {platform.machine()} with "
        f"{os.cpu_count()} shared cores, {time.strftime('%Y-%m-%d')}; `python -m experiments.benchmarks.generative_frechet`"
    )
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + f"\n\n{note}\n")
    print(RESULTS.with_suffix(".md").read_text())
    shown = [name for name in VARIANTS if (PICTURES / f"{name}.png").is_file()]
    if shown:
        side, across = 28 * 8, 5
        sheet = Image.new("L", (across * (side + 6), -(-len(shown) // across) * (side + 22)), 255)
        for i, name in enumerate(shown):
            left, top = i % across * (side + 6), i // across * (side + 22)
            ImageDraw.Draw(sheet).text((left + 2, top + 2), name, fill=0)
            sheet.paste(Image.open(PICTURES / f"{name}.png"), (left, top + 16))
        sheet.save(RESULTS.with_suffix(".png"))


if __name__ == "__main__":
    main()
