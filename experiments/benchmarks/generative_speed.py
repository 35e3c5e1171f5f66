"""Images per second of DCGAN 64x64 at batch 64 beside the same network in PyTorch, and the share of the machine's peak.

    python -m experiments.benchmarks.generative_speed [--seconds 20] [--rounds 3] [--precisions float32 bfloat16]

Both sides share the generator's forward pass between the half-steps. PyTorch (extra `peers`) runs plain, in channels_last and
compiled; the best counts. Every measurement is a process of its own, and the contenders take turns.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.benchmarks.interleaved import interleave, parser, per_second, protocol
from experiments.benchmarks.peers import need
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

BATCH, LATENT, WIDTH, SIZE = 64, 100, 64, 64
CONTENDERS = {
    "ours": "`dcgan`",
    "torch": "PyTorch",
    "torch-channels-last": "PyTorch, channels_last",
    "torch-compile": "PyTorch, compiled",
}
PEAKS = ("peak-torch", "peak-tensorflow")
PRECISIONS = ("float32", "bfloat16")


def multiply_adds() -> float:
    """Return the multiply-adds of one update: G forward 1 and backward 2; D forward 3, backward 2 for each of real and fake, and
    once more towards the image for G. A transposed convolution costs what the convolution it mirrors costs."""
    sizes = [SIZE >> k for k in range(5)]
    channels = [3, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH]
    convolutions = sum(sizes[k + 1] ** 2 * 25 * channels[k] * channels[k + 1] for k in range(4))
    last = sizes[4] ** 2 * channels[4]
    G, D = convolutions + LATENT * last, convolutions + last
    return BATCH * (3 * G + 8 * D)


def ours(precision: Any, seconds: float) -> float:
    """Return updates of the plugin by the second."""
    from core.runtime import configure

    configure(device="cpu", precision=precision)
    from core.plugin import Context
    from generative.data.settings import DataConfig
    from generative.dcgan.config import DCGANConfig
    from generative.dcgan.model import DCGAN

    config = DCGANConfig(DataConfig("photos", size=SIZE), batch=BATCH, latent=LATENT, width=WIDTH, kernel=5, ema=0.0)
    with tempfile.TemporaryDirectory() as folder:
        model = DCGAN(config, Context(seed=1, folder=Path(folder), precision=precision))
        rate = _rate(lambda: float(model.step()["loss/generator"]), seconds)
        model.close()
    return rate


def peer(precision: str, seconds: float, variant: str) -> float:
    """Return updates of the same algorithm in PyTorch by the second."""
    import torch
    from torch import nn
    from torch.nn.functional import softplus

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(1)
    layout: Any = torch.channels_last if "channels-last" in variant else torch.contiguous_format
    filters, start = [8 * WIDTH, 4 * WIDTH, 2 * WIDTH, WIDTH, 3], SIZE // 16
    layers: list[Any] = [
        nn.Linear(LATENT, start * start * filters[0], bias=False),
        nn.Unflatten(1, (filters[0], start, start)),
    ]
    for k in range(4):
        last = k == 3
        up = nn.ConvTranspose2d(filters[k], filters[k + 1], 5, 2, 2, output_padding=1, bias=last)
        layers += [nn.BatchNorm2d(filters[k]), nn.ReLU(), up]
    G: Any = nn.Sequential(*layers, nn.Tanh())
    G = G.to(memory_format=layout)
    filters.reverse()
    layers = []
    for k in range(4):
        layers.append(nn.Conv2d(filters[k], filters[k + 1], 5, 2, 2, bias=k == 0))
        layers += [nn.BatchNorm2d(filters[k + 1])] if k else []
        layers.append(nn.LeakyReLU(0.2))
    D: Any = nn.Sequential(*layers, nn.Flatten(), nn.Linear(filters[4] * start * start, 1))
    D = D.to(memory_format=layout)
    for module in [*G.modules(), *D.modules()]:
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            nn.init.normal_(module.weight, 0, 0.02)
    G_optimizer, D_optimizer = (torch.optim.Adam(m.parameters(), 2e-4, (0.5, 0.999)) for m in (G, D))
    if variant == "torch-compile":
        G, D = torch.compile(G), torch.compile(D)
    x = (torch.rand(BATCH, 3, SIZE, SIZE) * 2 - 1).to(memory_format=layout)
    casting = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()

    def update() -> float:
        with casting:
            fake = G(torch.randn(BATCH, LATENT))
            D_loss = softplus(-D(x).float()).mean() + softplus(D(fake.detach()).float()).mean()
        D_optimizer.zero_grad(set_to_none=True)
        D_loss.backward()
        D_optimizer.step()
        D.requires_grad_(False)  # the generator's step needs no gradient for D's weights
        with casting:
            G_loss = softplus(-D(fake).float()).mean()
        G_optimizer.zero_grad(set_to_none=True)
        G_loss.backward()
        D.requires_grad_(True)
        G_optimizer.step()
        return float(G_loss)

    return _rate(update, seconds)


def peak(precision: Any, seconds: float, library: str) -> float:
    """Return multiply-adds by the second in products of large matrices."""
    n = 2048
    if library == "torch":
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        a = torch.rand(n, n, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)
        rate = _rate(lambda: float((a @ a)[0, 0]), seconds)
    else:
        from core.runtime import configure

        configure(device="cpu")
        import tensorflow as tf

        b = tf.cast(tf.random.stateless_uniform((n, n), (1, 1)), precision)
        rate = _rate(lambda: float((b @ b)[0, 0]), seconds)
    return rate * float(n) ** 3


def _rate(call: Callable[[], float], seconds: float) -> float:
    """Return calls by the second; a call returns a number, for which it must have finished."""

    def turn() -> int:
        call()
        return 1

    return per_second(turn, seconds, warm=2, least=3)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of medians, with the share of the fastest product of matrices of either library."""
    rows, tops = [], {}
    for precision in PRECISIONS:
        if f"ours {precision}" not in measured:
            continue
        top = tops[precision] = max(max(measured[f"{name} {precision}"]["rates"]) for name in PEAKS)
        for name, title in CONTENDERS.items():
            row = measured[f"{name} {precision}"]
            if "failed" in row:
                rows.append([title, precision, f"failed: {row['failed']}", "", "", ""])
                continue
            rate = statistics.median(row["rates"])
            turns = zip(measured[f"ours {precision}"]["rates"], row["rates"], strict=True)
            ratio = "" if name == "ours" else f"{statistics.median(a / b for a, b in turns):.2f}"
            share = f"{rate * multiply_adds() / top:.0%}"
            rows.append([title, precision, f"{BATCH * rate:.1f}", f"{1 / rate:.3f}", share, ratio])
    peaks = ", ".join(f"{precision} {2e-9 * top:.0f} GFLOP/s" for precision, top in tops.items())
    note = (
        f"{protocol(measured)}; batch {BATCH}, width {WIDTH}, {multiply_adds() / 1e9:.1f} billion multiply-adds an update; peak: "
        f"the fastest product of 2048x2048 matrices, of either library, {peaks}. Target: ahead of the best PyTorch at the same "
        "precision."
    )
    columns = ["what", "precision", "images/s, median", "seconds an update", "share of peak", "ours beside it"]
    return [Table(columns, rows), note]


def main() -> None:
    """Measure all contenders in turn, `rounds` times, and write the table of medians."""
    words = parser(__doc__, seconds=20, rounds=3)
    words.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    arguments = words.parse_args()
    if arguments.worker:
        name, precision = arguments.worker
        work: dict[str, Callable[[], float]] = {
            "ours": lambda: ours(precision, arguments.seconds),
            "peak-torch": lambda: peak(precision, arguments.seconds / 4, "torch"),
            "peak-tensorflow": lambda: peak(precision, arguments.seconds / 4, "tensorflow"),
        }
        print(work[name]() if name in work else peer(precision, arguments.seconds, name))
        return
    need("torch")
    report = Report(__spec__.name, "generative_speed", layout, packages=("tensorflow", "keras", "torch"), resume=True)
    turns = [(name, precision) for precision in arguments.precisions for name in (*CONTENDERS, *PEAKS)]
    workers = {f"{name} {precision}": (name, precision) for name, precision in turns}
    report.keep(interleave(__spec__.name, workers, arguments.rounds, arguments.seconds, tolerant=True))
    report.write()


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
