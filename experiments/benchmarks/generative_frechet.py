"""Fréchet distance of every adversarial variant on mnist5k 28x28 over seeds, same networks, same number of images shown.

    python -m experiments.benchmarks.generative_frechet [--seeds 3] [--images 64000] [--only NAME ...] [--seconds 900]

The budget is the number of real images that the discriminator sees, so that five critic steps are not free. Finished runs are
kept in the JSON file and not repeated; `--seconds` ends a call after that time.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
from PIL import Image, ImageDraw

from core.runtime import configure
from experiments.catalogue import catalogue
from experiments.configuration import RunConfig, as_dict, parse
from experiments.run import make_plugin
from experiments.tensorboard import grid

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "generative_frechet"
PICTURES = Path("runs/generative_frechet")
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
    parser.add_argument("--images", type=int, default=64_000, help="real images shown to the discriminator")
    parser.add_argument("--only", nargs="*", default=[], help="variants whose name contains one of these")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    arguments = parser.parse_args()
    configure(device="cpu")
    begun = time.monotonic()
    found = json.loads(RESULTS.with_suffix(".json").read_text()) if RESULTS.with_suffix(".json").is_file() else {}
    wanted = [n for n in VARIANTS if not arguments.only or any(part in n for part in arguments.only)]
    for seed in range(1, arguments.seeds + 1):
        for name in wanted:
            plugin, settings = VARIANTS[name]
            spec, _ = catalogue().find(plugin)
            config = parse(spec, [(name, {"model": {**COMMON, **settings}})], [], prog=name, usage="").model
            per_update = config.batch * getattr(config, "critic_steps", getattr(config, "d_steps", 1))
            values = {"plugin": plugin, "config": as_dict(config), "updates": arguments.images // per_update}
            key = f"{name} | {seed}"
            if found.get(key, {}).get("run") == values or time.monotonic() - begun > arguments.seconds:
                continue
            precision: Any = "bfloat16" if "bfloat16" in name else "float32"
            found[key] = {"run": values, **_measured(name, plugin, config, values["updates"], seed, precision)}
            RESULTS.parent.mkdir(exist_ok=True)
            RESULTS.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
            print(f"{key}: Fréchet {found[key]['frechet']:.2f}, {found[key]['seconds']:.0f} s", flush=True)
    _write(found, arguments.images)


def _measured(name: str, plugin: str, config: Any, updates: int, seed: int, precision: Any) -> dict[str, Any]:
    keras.backend.clear_session()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    spec, _ = catalogue().find(plugin)
    with tempfile.TemporaryDirectory() as folder:
        model = make_plugin(spec, config, RunConfig(seed=seed, precision=precision), Path(folder), print)
        begun = time.monotonic()
        while model.clock < updates:
            values = model.step()
        float(values["loss/generator"])  # wait for it
        seconds = time.monotonic() - begun
        measured = model.evaluate()
        model.close()
    keras.mixed_precision.set_dtype_policy("float32")
    if seed == 1:
        PICTURES.mkdir(parents=True, exist_ok=True)
        Image.fromarray(grid(measured["samples/fixed"])[..., 0]).save(PICTURES / f"{name}.png")
    figures = ("frechet", "kernel_distance", "precision", "recall")
    return {
        **{f: float(measured[f"eval/{f}"]) for f in figures},
        "seconds": seconds,
        "protocol": measured["eval/protocol"],
    }


def _write(found: dict[str, Any], images: int) -> None:
    lines = [
        "| variant | seeds | Fréchet | kernel distance | precision | recall | seconds |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    protocols = set()
    for name in VARIANTS:
        runs = [run for key, run in found.items() if key.startswith(f"{name} | ")]
        if not runs:
            continue
        protocols.add(runs[0]["protocol"])

        def spread(figure: str, digits: int, runs: list[Any] = runs) -> str:
            values = [run[figure] for run in runs]
            return f"{statistics.mean(values):.{digits}f} +- {statistics.stdev(values) if len(values) > 1 else 0:.{digits}f}"

        lines.append(
            f"| {name} | {len(runs)} | {spread('frechet', 1)} | {spread('kernel_distance', 2)} | {spread('precision', 2)} "
            f"| {spread('recall', 2)} | {statistics.median(r['seconds'] for r in runs):.0f} |"
        )
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
