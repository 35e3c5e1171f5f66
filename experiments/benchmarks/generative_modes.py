"""Which modes of the ring and the grid every combination of loss and constraint finds, over seeds, beside published numbers.

    python -m experiments.benchmarks.generative_modes [--seeds 5] [--updates 5000] [--only NAME ...] [--seconds 900]

All combinations train the same perceptrons for the same number of discriminator updates. Finished runs are kept in the JSON file
and not repeated, so that the table can be filled in several calls; `--seconds` ends a call after that time.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from core.runtime import configure
from experiments.benchmarks.generative_runs import Variant, train_missing
from experiments.benchmarks.report import Part, Report, Table, spread
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
from experiments.launcher.flags import parse

__all__ = ["layout", "main"]

PICTURES = Path("runs/generative_modes")  # of single runs, until they stand on one sheet
MIXTURES = ("ring", "grid")
COMMON = {"latent": 2, "batch": 256, "layers": 3, "hidden": 128, "jit": True, "eval_samples": 2500, "ema": 0.995}
SN: dict[str, Any] = {"norm": "spectral", "optimizer": {"lr": 1e-3}}
PENALISED: dict[str, Any] = {"norm": "none", "optimizer": {"lr": 1e-3, "beta1": 0.0, "beta2": 0.99}}
COMBINATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "non-saturating GAN (dcgan)": ("dcgan", {"optimizer": {"lr": 1e-3}}),
    "WGAN, clipping 0.1": ("wgan", {"constraint": "clip", "clip": 0.1}),
    "WGAN, gradient penalty 0.1": ("wgan", {"constraint": "gp", "gp": 0.1, "optimizer": {"lr": 1e-3}}),
    "WGAN, spectral norm": ("wgan", {"constraint": "sn", "optimizer": {"lr": 1e-3}}),
    "WGAN, spectral-norm regularisation 0.01": ("wgan", {"constraint": "sn-reg", "optimizer": {"lr": 1e-3}}),
    "SGAN, spectral norm": ("ragan", {"loss": "sgan", **SN}),
    "SGAN, R1 0.003": ("ragan", {"loss": "sgan", "r1": 3e-3, **PENALISED}),
    "RSGAN, spectral norm": ("ragan", {"loss": "rsgan", **SN}),
    "RaSGAN, spectral norm": ("ragan", {"loss": "rasgan", **SN}),
    "RaSGAN, gradient penalty 0.1": ("ragan", {"loss": "rasgan", "gp": 0.1, **PENALISED}),
    "RaLSGAN, spectral norm": ("ragan", {"loss": "ralsgan", **SN}),
    "RaHinge, spectral norm": ("ragan", {"loss": "rahinge", **SN}),
    "RSGAN, R1 and R2 0.003": ("ragan", {"loss": "rsgan", "r1": 3e-3, "r2": 3e-3, **PENALISED}),
}
PRESETS = {"preset ragan-{mixture}": "ragan-{mixture}"}
PUBLISHED = (
    "Published on the grid, other networks and budgets: GAN 17.3 modes / 94.8 % high quality, ALI 24.1 / 95.7, PacGAN4 "
    "24.8 / 93.6 (Lin et al., 2018, table 1). True samples: 25 modes, 98.9 %."
)
FIGURES = ("modes", "high_quality", "reverse_kl", "mode_deviation_least", "mode_deviation", "mode_deviation_most")


def main() -> None:
    """Run what is missing, then write table, numbers and pictures."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds 1 to N")
    parser.add_argument("--updates", type=int, default=5000, help="discriminator updates of every combination")
    parser.add_argument("--only", nargs="*", default=[], help="combinations whose name contains one of these")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no run after this time")
    arguments = parser.parse_args()
    configure(device="cpu")
    names = [*PRESETS, *COMBINATIONS]
    wanted = [n for n in names if not arguments.only or any(part in n for part in arguments.only)]
    variants = [_variant(name, mixture, arguments.updates) for name in wanted for mixture in MIXTURES]
    report = Report(__spec__.name, "generative_modes", layout, resume=True)
    train_missing(report, variants, arguments.seeds, arguments.seconds, FIGURES, _keep_picture)
    report.write()
    _write_pictures(report.path(".png"))


def _variant(name: str, mixture: str, updates: int) -> Variant:
    """Return a combination with its configuration and the generator's updates."""
    title = f"{name} | {mixture}"
    if name in PRESETS:
        chosen = Experiment.of([PRESETS[name].format(mixture=mixture)])
        return Variant(title, chosen.spec.name, chosen.config, chosen.settings.until)
    plugin, settings = COMBINATIONS[name]
    spec, _ = catalogue().find(plugin)
    steps = 5 if plugin == "wgan" else 1
    own = {"critic_steps": steps} if plugin == "wgan" else {}
    values = {"model": {**COMMON, **own, "turn": 50 // steps, "data": {"source": mixture}, **settings}}
    return Variant(title, plugin, parse(spec, [(name, values)], [], prog=name, usage="").model, updates // steps)


def _keep_picture(variant: Variant, measured: dict[str, Any]) -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(measured["samples/points"][0])
    picture.resize((200, 200), Image.Resampling.LANCZOS).save(PICTURES / f"{_slug(variant.name)}.png")


def _slug(name: str) -> str:
    return "".join(c if c.isalnum() else "-" for c in name.lower()).strip("-")


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table, a row a combination and mixture."""
    rows = []
    protocols = set()
    for name in (*PRESETS, *COMBINATIONS):
        for mixture in MIXTURES:
            runs = [run for key, run in measured.items() if key.startswith(f"{name} | {mixture} | ")]
            if not runs:
                continue
            protocols.add(runs[0]["protocol"])
            least, most = min(r["mode_deviation_least"] for r in runs), max(r["mode_deviation_most"] for r in runs)
            mean = statistics.mean(r["mode_deviation"] for r in runs)
            rows.append(
                [
                    name.format(mixture=mixture),
                    mixture,
                    f"{len(runs)}",
                    spread([r["modes"] for r in runs], ".1f"),
                    spread([100 * r["high_quality"] for r in runs], ".1f"),
                    spread([r["reverse_kl"] for r in runs], ".3f"),
                    f"{least:.2f}, {mean:.2f}, {most:.2f}",
                    f"{statistics.median(r['seconds'] for r in runs):.0f}",
                ]
            )
    note = (
        f"Mean +- standard deviation over seeds; deviation: least and most of any mode in any seed. {PUBLISHED} "
        f"Protocol: {'; '.join(sorted(protocols))}."
    )
    columns = ["combination", "mixture", "seeds", "modes", "high quality %", "reverse KL"]
    return [Table([*columns, "deviation (least, mean, most)", "seconds"], rows), note]


def _write_pictures(out: Path) -> None:
    """Put seed 1's pictures of all combinations on one sheet, ring above grid."""
    columns = [
        n
        for n in (*PRESETS, *COMBINATIONS)
        if all((PICTURES / f"{_slug(f'{n} | {m}')}.png").is_file() for m in MIXTURES)
    ]
    if not columns:
        return
    across = 7
    rows = -(-len(columns) // across)
    sheet = Image.new("RGB", (across * 204, rows * 428), "white")
    for i, name in enumerate(columns):
        left, top = i % across * 204, i // across * 428
        ImageDraw.Draw(sheet).text((left + 2, top + 2), name.replace("-{mixture}", "")[:34], fill="black")
        for j, mixture in enumerate(MIXTURES):
            sheet.paste(Image.open(PICTURES / f"{_slug(f'{name} | {mixture}')}.png"), (left, top + 16 + j * 204))
    sheet.convert("P", palette=Image.Palette.ADAPTIVE, colors=128).save(out)


if __name__ == "__main__":
    main()
