"""Training steps and upscaled megapixels per second of `srgan` beside the same network in PyTorch.

    python -m experiments.benchmarks.srgan_speed [--seconds 6] [--rounds 3] [--precisions float32 bfloat16]

The network is SRResNet with its defaults. A step is one of stage one: crops 96, batch 16, small crops made before on both sides.
Upscaling enlarges one picture of 160x160. PyTorch (extra `peers`) runs in channels_last and compiled; the better counts.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from experiments.benchmarks.interleaved import interleave, machine

__all__ = ["main"]

RESULTS = Path(__file__).parent / "results" / "srgan_speed"
BLOCKS, WIDTH, ENDS, BATCH, CROP, SIDE = 16, 64, 9, 16, 96, 160
CONTENDERS = {"ours": "`srgan`", "channels-last": "PyTorch, channels_last", "compile": "PyTorch, compiled"}
TASKS = {"train": "training steps/s", "upscale": "megapixels/s upscaled"}


def ours(task: str, precision: Any, seconds: float) -> float:
    """Return steps or output megapixels per second of the plugin's own step and upscaler."""
    from core.runtime import configure

    configure(device="cpu", precision=precision)
    import tensorflow as tf

    from core.optim.config import OptimizerConfig
    from core.optim.optimizer import make_optimizer
    from generative.srgan.config import SRGANConfig
    from generative.srgan.generator import make_generator
    from generative.srgan.model import pixel_step
    from generative.srgan.upscale import Upscaler

    config = SRGANConfig(blocks=BLOCKS, width=WIDTH, ends=ENDS)
    G = make_generator(config, 1)
    if task == "upscale":
        upscaler, picture = Upscaler.of_generator(G, config, window=0), _picture()
        return _rate(lambda: upscaler(picture), seconds) * 16 * SIDE**2 / 1e6
    optimizer = make_optimizer(OptimizerConfig(lr=1e-4), G.trainable_variables)
    hr, lr = (tf.constant(x) for x in _batch())
    step = tf.function(lambda: pixel_step(G, optimizer, hr, lr))
    return _rate(lambda: float(step()), seconds)


def peer(task: str, precision: str, seconds: float, variant: str) -> float:
    """Return the same of PyTorch."""
    import torch
    from torch import nn

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    torch.manual_seed(1)

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
                nn.BatchNorm2d(WIDTH),
                nn.PReLU(WIDTH),
                nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
                nn.BatchNorm2d(WIDTH),
            )

        def forward(self, x: Any) -> Any:
            return x + self.body(x)

    class SRResNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Sequential(nn.Conv2d(3, WIDTH, ENDS, padding=ENDS // 2), nn.PReLU(WIDTH))
            after = [nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False), nn.BatchNorm2d(WIDTH)]
            self.body = nn.Sequential(*[Block() for _ in range(BLOCKS)], *after)
            ups = [[nn.Conv2d(WIDTH, 4 * WIDTH, 3, padding=1), nn.PixelShuffle(2), nn.PReLU(WIDTH)] for _ in range(2)]
            self.up = nn.Sequential(*ups[0], *ups[1], nn.Conv2d(WIDTH, 3, ENDS, padding=ENDS // 2), nn.Tanh())

        def forward(self, x: Any) -> Any:
            first = self.first(x)
            return self.up(first + self.body(first))

    network: Any = SRResNet()
    G = network.to(memory_format=torch.channels_last)
    casting = torch.autocast("cpu", torch.bfloat16) if precision == "bfloat16" else contextlib.nullcontext()
    run = torch.compile(G) if variant == "compile" else G
    if task == "upscale":
        G.eval()
        picture = torch.from_numpy(_picture()).permute(2, 0, 1)[None]

        def upscale() -> Any:
            with torch.inference_mode(), casting:
                y = run(picture.float().to(memory_format=torch.channels_last) / 127.5 - 1)
                return (
                    ((y.float() + 1) * 127.5)
                    .round()
                    .clamp(0, 255)
                    .to(torch.uint8)[0]
                    .permute(1, 2, 0)
                    .contiguous()
                    .numpy()
                )

        return _rate(upscale, seconds) * 16 * SIDE**2 / 1e6
    optimizer = torch.optim.Adam(G.parameters(), 1e-4, (0.9, 0.999))
    hr, lr = (torch.from_numpy(x).permute(0, 3, 1, 2).to(memory_format=torch.channels_last) for x in _batch())

    def step() -> float:
        optimizer.zero_grad(set_to_none=True)
        with casting:
            sr = run(lr)
        loss = (hr - sr.float()).square().mean()
        loss.backward()
        optimizer.step()
        return float(loss)

    return _rate(step, seconds)


def _batch() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    hr = rng.uniform(-1, 1, (BATCH, CROP, CROP, 3)).astype(np.float32)
    return hr, rng.uniform(-1, 1, (BATCH, CROP // 4, CROP // 4, 3)).astype(np.float32)


def _picture() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def _rate(call: Callable[[], Any], seconds: float) -> float:
    for _ in range(3):  # tracing, compiling, first touches
        call()
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds or count < 3:
        call()
        count += 1
    return count / (time.perf_counter() - begun)


def main() -> None:
    """Measure all contenders in turn and write the table of medians."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=6.0, help="least time of one measurement")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each contender, interleaved")
    parser.add_argument("--precisions", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    parser.add_argument("--worker", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        name, task, precision = arguments.worker
        seconds = arguments.seconds
        rate = ours(task, precision, seconds) if name == "ours" else peer(task, precision, seconds, name)
        print(rate)
        return
    try:
        import torch  # noqa: F401
    except ImportError:
        sys.exit("this benchmark compares with PyTorch, which is not installed: pip install 'pongan[peers]'")
    contenders = {
        f"{name} {task} {precision}": ["--worker", name, task, precision, "--seconds", arguments.seconds]
        for task in arguments.tasks
        for precision in arguments.precisions
        for name in CONTENDERS
    }
    record = RESULTS.with_suffix(".json")
    rates = json.loads(record.read_text())["rates"] if record.exists() else {}  # of other tasks and precisions
    rates |= interleave(__spec__.name, contenders, arguments.rounds)
    lines = [
        "| what | precision | " + " | ".join(CONTENDERS.values()) + " | ours / the better peer |",
        "| --- " * 6 + "|",
    ]
    for task, precision in itertools.product(TASKS, ("float32", "bfloat16")):
        if f"ours {task} {precision}" in rates:
            medians = [statistics.median(rates[f"{name} {task} {precision}"]) for name in CONTENDERS]
            cells = [f"{median:.3g}" for median in medians] + [f"{medians[0] / max(medians[1:]):.2f}"]
            lines.append(f"| {TASKS[task]} | {precision} | " + " | ".join(cells) + " |")
    rounds = "to".join(f" {n} " for n in sorted({len(measured) for measured in rates.values()}))
    note = (
        f"Medians of{rounds}interleaved rounds of at least {arguments.seconds:g} s, each in a process of its own; "
        f"SRResNet with {BLOCKS} blocks of {WIDTH} channels, steps of stage one on {BATCH} crops of {CROP}, upscaling of "
        f"{SIDE}x{SIDE} pixels, counted in pixels of the result; {machine()}; "
        f"`python -m experiments.benchmarks.srgan_speed --seconds {arguments.seconds:g}`. Target: ahead in all rows."
    )
    RESULTS.with_suffix(".md").write_text("\n".join(lines) + f"\n\n{note}\n")
    record.write_text(json.dumps({"rates": rates, "protocol": note}, indent=1) + "\n")
    print(RESULTS.with_suffix(".md").read_text())


if __name__ == "__main__":
    main()
