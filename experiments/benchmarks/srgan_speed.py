"""Training steps and upscaled megapixels per second of `srgan` beside the same network in PyTorch.

    python -m experiments.benchmarks.srgan_speed [--seconds 6] [--rounds 3] [--precisions float32 bfloat16]

The network is SRResNet with its defaults. A step is one of stage one: crops 96, batch 16, small crops made before on both sides.
Upscaling enlarges one picture of 160x160. PyTorch (extra `peers`) runs in channels_last and compiled; the better counts.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import statistics
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.benchmarks.interleaved import interleave, parser, per_second, protocol
from experiments.benchmarks.peers import need
from experiments.benchmarks.report import Part, Report, Table

__all__ = ["layout", "main"]

BLOCKS, WIDTH, ENDS, BATCH, CROP, SIDE = 16, 64, 9, 16, 96, 160
CONTENDERS = {"ours": "`srgan`", "channels-last": "PyTorch, channels_last", "compile": "PyTorch, compiled"}
PRECISIONS = ("float32", "bfloat16")
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
    """Return calls by the second; a call returns what it must have finished for."""

    def turn() -> int:
        call()
        return 1

    return per_second(turn, seconds, warm=3, least=3)


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table of medians."""
    rows = []
    for task, precision in itertools.product(TASKS, PRECISIONS):
        if f"ours {task} {precision}" in measured:
            medians = [statistics.median(measured[f"{name} {task} {precision}"]["rates"]) for name in CONTENDERS]
            ratio = f"{medians[0] / max(medians[1:]):.2f}"
            rows.append([TASKS[task], precision, *(f"{median:.3g}" for median in medians), ratio])
    note = (
        f"Medians of {protocol(measured)}; SRResNet with {BLOCKS} blocks of {WIDTH} channels, steps of stage one on {BATCH} "
        f"crops of {CROP}, upscaling of {SIDE}x{SIDE} pixels, counted in pixels of the result. Target: ahead in all rows."
    )
    return [Table(["what", "precision", *CONTENDERS.values(), "ours / the better peer"], rows), note]


def main() -> None:
    """Measure all contenders in turn and write the table of medians."""
    words = parser(__doc__, seconds=6, rounds=3)
    words.add_argument("--precisions", nargs="+", default=list(PRECISIONS), choices=PRECISIONS)
    words.add_argument("--tasks", nargs="+", default=list(TASKS), choices=list(TASKS))
    arguments = words.parse_args()
    if arguments.worker:
        name, task, precision = arguments.worker
        seconds = arguments.seconds
        print(ours(task, precision, seconds) if name == "ours" else peer(task, precision, seconds, name))
        return
    need("torch")
    report = Report(__spec__.name, "srgan_speed", layout, packages=("tensorflow", "keras", "torch"), resume=True)
    turns = itertools.product(arguments.tasks, arguments.precisions, CONTENDERS)
    workers = {f"{name} {task} {precision}": (name, task, precision) for task, precision, name in turns}
    report.keep(interleave(__spec__.name, workers, arguments.rounds, arguments.seconds))
    report.write()


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
