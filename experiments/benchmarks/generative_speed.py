"""Images per second of DCGAN 64x64 at batch 64 beside the same network in PyTorch, and the share of the machine's peak.

    python -m experiments.benchmarks.generative_speed [--seconds 20] [--rounds 3] [--precisions float32 bfloat16]

Both sides share the generator's forward pass between the half-steps. PyTorch (extra `peers`) runs plain, in channels_last and
compiled; the best counts. Every measurement is a process of its own, and the contenders take turns.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "generative_speed"
BATCH, LATENT, WIDTH, SIZE = 64, 100, 64, 64
CONTENDERS = {
    "ours": "`dcgan`",
    "torch": "PyTorch",
    "torch-channels-last": "PyTorch, channels_last",
    "torch-compile": "PyTorch, compiled",
}
PEAKS = ("peak-torch", "peak-tensorflow")


def multiply_adds() -> float:
    """Return the multiply-adds of one update: G forward 1 and backward 2; D forward 3, backward 2 for each of real and fake, and
    once more towards the image for G. A transposed convolution costs what the convolution it mirrors costs."""
    sizes = [SIZE >> k for k in range(5)]
    channels = [3, WIDTH, 2 * WIDTH, 4 * WIDTH, 8 * WIDTH]
    convolutions = sum(sizes[k + 1] ** 2 * 25 * channels[k] * channels[k + 1] for k in range(4))
    last = sizes[4] ** 2 * channels[4]
    G, D = convolutions + LATENT * last, convolutions + last
    return BATCH * (3 * G + 8 * D)


def ours(precision: Any, seconds: float) -> tuple[int, float]:
    """Return (updates, seconds) of the plugin."""
    from core.runtime import configure

    configure(device="cpu", precision=precision)
    from core.plugin import Context
    from generative.data.settings import DataConfig
    from generative.dcgan.config import DCGANConfig
    from generative.dcgan.model import DCGAN

    config = DCGANConfig(DataConfig("photos", size=SIZE), batch=BATCH, latent=LATENT, width=WIDTH, kernel=5, ema=0.0)
    model = DCGAN(config, Context(seed=1, folder=Path(tempfile.mkdtemp()), precision=precision))
    measured = _timed(lambda: float(model.step()["loss/generator"]), seconds)
    model.close()
    return measured


def peer(precision: str, seconds: float, variant: str) -> tuple[int, float]:
    """Return (updates, seconds) of the same algorithm in PyTorch."""
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

    return _timed(update, seconds)


def peak(precision: Any, seconds: float, library: str) -> tuple[float, float]:
    """Return (multiply-adds, seconds) of products of large matrices."""
    n = 2048
    if library == "torch":
        import torch

        torch.set_num_threads(len(os.sched_getaffinity(0)))
        a = torch.rand(n, n, dtype=torch.bfloat16 if precision == "bfloat16" else torch.float32)
        count, taken = _timed(lambda: float((a @ a)[0, 0]), seconds)
    else:
        from core.runtime import configure

        configure(device="cpu")
        import tensorflow as tf

        b = tf.cast(tf.random.stateless_uniform((n, n), (1, 1)), precision)
        count, taken = _timed(lambda: float((b @ b)[0, 0]), seconds)
    return count * float(n) ** 3, taken


def _timed(update: Callable[[], float], seconds: float) -> tuple[int, float]:
    for _ in range(2):  # tracing, compiling, first touches
        update()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds or count < 3:
        update()
        count += 1
    return count, time.perf_counter() - begun


def main() -> None:
    """Measure all contenders in turn, `rounds` times, and write the table of medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="least time of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender, interleaved")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--worker", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, precision = arguments.worker
        work: dict[str, Callable[[], tuple[float, float]]] = {
            "ours": lambda: ours(precision, arguments.seconds),
            "peak-torch": lambda: peak(precision, arguments.seconds / 4, "torch"),
            "peak-tensorflow": lambda: peak(precision, arguments.seconds / 4, "tensorflow"),
        }
        count, seconds = work[name]() if name in work else peer(precision, arguments.seconds, name)
        print(json.dumps({"count": count, "seconds": seconds}))
        return
    try:
        import torch  # noqa: F401
    except ImportError:
        sys.exit("this benchmark compares with PyTorch, which is not installed: pip install 'pongan[peers]'")

    rates: dict[str, list[float]] = {}
    failed: dict[str, str] = {}
    for number in range(arguments.rounds):
        for precision in arguments.precisions:
            for name in [*CONTENDERS, *PEAKS]:
                key = f"{name} {precision}"
                if key in failed:
                    continue
                command = [
                    sys.executable,
                    "-m",
                    __spec__.name,
                    "--worker",
                    name,
                    precision,
                    "--seconds",
                    str(arguments.seconds),
                ]
                done = subprocess.run(command, capture_output=True, text=True)
                if done.returncode:
                    failed[key] = done.stderr.strip().splitlines()[-1][:200]
                    print(f"{key} failed: {failed[key]}", flush=True)
                    continue
                measured = json.loads(done.stdout.splitlines()[-1])
                rates.setdefault(key, []).append(measured["count"] / measured["seconds"])
                print(f"round {number + 1}: {key} {rates[key][-1]:.3g}/s", flush=True)
    lines = [
        "| what | precision | images/s, median | seconds an update | share of peak | ours beside it |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    tops = {p: max(rate for name in PEAKS for rate in rates[f"{name} {p}"]) for p in arguments.precisions}
    for precision in arguments.precisions:
        top = tops[precision]
        for name, title in CONTENDERS.items():
            key = f"{name} {precision}"
            if key not in rates:
                lines.append(f"| {title} | {precision} | failed: {failed[key]} | | | |")
                continue
            rate = statistics.median(rates[key])
            ratio = statistics.median(a / b for a, b in zip(rates[f"ours {precision}"], rates[key], strict=True))
            lines.append(
                f"| {title} | {precision} | {BATCH * rate:.1f} | {1 / rate:.3f} | {rate * multiply_adds() / top:.0%} "
                f"| {'' if name == 'ours' else f'{ratio:.2f}'} |"
            )
    peaks = ", ".join(f"{precision} {2e-9 * top:.0f} GFLOP/s" for precision, top in tops.items())
    note = (
        f"{arguments.rounds} interleaved rounds of at least {arguments.seconds:g} s; batch {BATCH}, width {WIDTH}, "
        f"{multiply_adds() / 1e9:.1f} billion multiply-adds an update; peak: the fastest product of 2048x2048 matrices, of "
        f"either library, {peaks}; {platform.machine()} with {os.cpu_count()} shared cores, {time.strftime('%Y-%m-%d')}; "
        f"`python -m experiments.benchmarks.generative_speed --seconds {arguments.seconds:g} --rounds {arguments.rounds}`. "
        "Target: ahead of the best PyTorch at the same precision."
    )
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + f"\n\n{note}\n")
    RESULTS.with_suffix(".json").write_text(
        json.dumps({"updates_per_second": rates, "protocol": note}, indent=1) + "\n"
    )
    print(RESULTS.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
