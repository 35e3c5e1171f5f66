"""Adversarial training in PyTorch, written from the papers alone: what the plugins' updates and pictures are held against.

No network, loss or update here comes from `generative/` or `core/`: a difference is a fault of one of the two. Needs the extra
`peers`.

    python -m experiments.benchmarks.gan_in_torch --loss hinge --constraint sn --updates 3000 --out samples.npz
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "LOSSES",
    "Discriminator",
    "Generator",
    "Options",
    "discriminator_objective",
    "generator_objective",
    "iterate",
    "train",
]


@dataclass(frozen=True)
class Options:
    """One variant. Sizes are for pictures of 28x28; D is spectrally normalised with constraint sn."""

    network: str = "sn"
    loss: str = "hinge"
    constraint: str = "sn"  # none, sn, sn-reg, gp, clip
    batch_norm: bool = False  # in D
    weight: float = 10.0  # of the gradient penalty, or of sigma^2 / 2, or the bound of clip
    r1: float = 0.0
    r2: float = 0.0
    width: int = 16
    latent: int = 128
    critic_steps: int = 1
    lr: float = 2e-4
    betas: tuple[float, float] = (0.5, 0.999)
    average: float = 0.999
    batch: int = 64
    updates: int = 3_000
    seed: int = 1


# --- layers -----------------------------------------------------------------------------------------------------------------


class _Spectral:
    """W / sigma with sigma = u'Wv; u and v move in `iterate` alone (Miyato et al., 2018, Algorithm 1)."""

    weight: Tensor
    u: Tensor
    v: Tensor
    divide: bool

    def start(self, divide: bool) -> None:
        rows = self.weight.flatten(1)
        self.divide = divide
        self.register_buffer("u", F.normalize(torch.randn(rows.shape[0], dtype=rows.dtype), dim=0))  # type: ignore[attr-defined]
        self.register_buffer("v", F.normalize(rows.T @ self.u, dim=0).detach())  # type: ignore[attr-defined]
        for _ in range(15):
            self.iterate()

    @torch.no_grad()
    def iterate(self) -> None:
        rows = self.weight.flatten(1)
        self.v = F.normalize(rows.T @ self.u, dim=0)
        self.u = F.normalize(rows @ self.v, dim=0)

    def sigma(self) -> Tensor:
        return self.u @ self.weight.flatten(1) @ self.v

    def effective(self) -> Tensor:
        return self.weight / self.sigma() if self.divide else self.weight


class Conv(nn.Conv2d, _Spectral):
    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.effective(), self.bias, self.stride, self.padding)


class Dense(nn.Linear, _Spectral):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.effective(), self.bias)


def iterate(network: nn.Module) -> None:
    """Run one power iteration in every layer."""
    for module in network.modules():
        if isinstance(module, _Spectral):
            module.iterate()


def _halved(x: Tensor) -> Tensor:
    """Average neighbours in pairs; at an odd end the last one stays alone."""
    return F.avg_pool2d(x, 2, ceil_mode=True, count_include_pad=False)


class Strided(Conv):
    """A convolution that halves the sides; an odd one gets its extra zeros at the end."""

    def __init__(self, inputs: int, outputs: int, bias: bool = True):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (0, x.shape[3] % 2, 0, x.shape[2] % 2)))


class Larger(nn.ConvTranspose2d):
    """A transposed convolution that doubles the sides, cut to `side`."""

    def __init__(self, inputs: int, outputs: int, side: int, bias: bool = False):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)
        self.side = side

    def forward(self, x: Tensor, output_size: Any = None) -> Tensor:
        return super().forward(x)[:, :, : self.side, : self.side]


class _Down(nn.Module):
    """A residual block of D (Gulrajani et al., 2017): two 3x3 convolutions, halved by averaging, beside a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int, *, down: bool, first: bool):
        super().__init__()
        inner = inputs if down and not first else outputs
        self.one, self.two = Conv(inputs, inner, 3, 1, 1), Conv(inner, outputs, 3, 1, 1)
        self.beside = Conv(inputs, outputs, 1) if down or inputs != outputs else None
        self.down, self.first = down, first

    def forward(self, x: Tensor) -> Tensor:
        h = self.two(F.relu(self.one(x if self.first else F.relu(x))))
        if self.down:
            h = _halved(h)
        s = _halved(x) if self.down and self.first else x
        s = s if self.beside is None else self.beside(s)
        return h + (_halved(s) if self.down and not self.first else s)


class _Up(nn.Module):
    """A residual block of G: nearest neighbours and two 3x3 convolutions, batch norm and ReLU before each."""

    def __init__(self, inputs: int, outputs: int, side: int):
        super().__init__()
        self.norm_one, self.norm_two = nn.BatchNorm2d(inputs), nn.BatchNorm2d(outputs)
        self.one, self.two = nn.Conv2d(inputs, outputs, 3, 1, 1), nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.beside = nn.Conv2d(inputs, outputs, 1)
        self.side = (side, side)

    def forward(self, x: Tensor) -> Tensor:
        h = self.one(F.interpolate(F.relu(self.norm_one(x)), self.side))
        return self.two(F.relu(self.norm_two(h))) + self.beside(F.interpolate(x, self.side))


SIDES = (28, 14, 7, 4)


class Generator(nn.Module):
    """z [B, latent] -> [B, 1, 28, 28] in [-1, 1], in three steps from 4x4 up."""

    def __init__(self, options: Options):
        super().__init__()
        w, network = options.width, options.network
        filters = [w, 2 * w, 4 * w, 8 * w] if network != "dcgan" else [1, w, 2 * w, 4 * w]  # at 28, 14, 7, 4 pixels
        self.top = filters[3]
        body: list[nn.Module] = []
        for level in (2, 1, 0):
            inputs, outputs = filters[level + 1], filters[level]
            if network == "resnet":
                body.append(_Up(inputs, outputs, SIDES[level]))
            else:
                last = network == "dcgan" and level == 0
                body += [nn.BatchNorm2d(inputs), nn.ReLU(), Larger(inputs, outputs, SIDES[level], bias=last)]
        if network != "dcgan":
            body += [nn.BatchNorm2d(w), nn.ReLU(), nn.Conv2d(w, 1, 3, 1, 1)]
        self.dense = nn.Linear(options.latent, 4 * 4 * self.top, bias=network == "resnet")
        self.body = nn.Sequential(*body)
        _start(self, network)

    def forward(self, z: Tensor) -> Tensor:
        h = self.dense(z).view(len(z), 4, 4, self.top).permute(0, 3, 1, 2)
        return torch.tanh(self.body(h.contiguous()))


class Discriminator(nn.Module):
    """[B, 1, 28, 28] -> raw outputs [B], in three steps down to 4x4."""

    def __init__(self, options: Options):
        super().__init__()
        w, network, norm = options.width, options.network, options.batch_norm
        body: list[nn.Module] = []

        def add(layer: nn.Module, filters: int, normed: bool, slope: float) -> None:
            body.extend([layer, *([nn.BatchNorm2d(filters)] if normed else []), nn.LeakyReLU(slope)])

        before = 1
        for level in range(3):
            filters = w * 2**level
            normed = norm and level > 0
            if network == "dcgan":
                add(Strided(before, filters, bias=not normed), filters, normed, 0.2)
            elif network == "sn":
                add(Conv(before, filters, 3, 1, 1, bias=not normed), filters, normed, 0.1)
                add(Strided(filters, filters, bias=not norm), filters, norm, 0.1)
            else:
                body.append(_Down(before, filters, down=True, first=level == 0))
            before = filters
        if network == "sn":
            add(Conv(before, 8 * w, 3, 1, 1, bias=not norm), 8 * w, norm, 0.1)
        if network == "resnet":
            body += [_Down(before, 8 * w, down=False, first=False), nn.ReLU()]
        self.pooled, self.divided = network == "resnet", options.constraint == "sn"
        features = 8 * w if self.pooled else 4 * 4 * (4 * w if network == "dcgan" else 8 * w)
        self.body, self.last = nn.Sequential(*body), Dense(features, 1)
        _start(self, network)
        for module in self.modules():
            if isinstance(module, _Spectral):
                module.start(options.constraint == "sn")

    def forward(self, x: Tensor) -> Tensor:
        h = self.body(x)
        if self.pooled:  # the sum, as Miyato et al. have it, or the mean, as Gulrajani et al.
            h = h.sum((2, 3)) if self.divided else h.mean((2, 3))
        else:
            h = h.permute(0, 2, 3, 1).flatten(1)
        return self.last(h)[:, 0]


def _start(network: nn.Module, kind: str) -> None:
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            if kind == "resnet":
                nn.init.xavier_uniform_(module.weight, 2**0.5 if module.weight.shape[-1] == 3 else 1.0)
            else:
                nn.init.normal_(module.weight, 0, 0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


# --- losses -----------------------------------------------------------------------------------------------------------------

Pair = tuple[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]]


def _averaged(first: Callable[[Tensor], Tensor], second: Callable[[Tensor], Tensor]) -> Pair:
    def loss(a: Tensor, b: Tensor) -> Tensor:
        return first(a - b.mean()).mean() + second(b - a.mean()).mean()

    return loss, lambda real, fake: loss(fake, real)


LOSSES: dict[str, Pair] = {  # of D and of G, each as a function of C(x_r), C(x_f)
    "sgan": (
        lambda real, fake: F.softplus(-real).mean() + F.softplus(fake).mean(),
        lambda real, fake: F.softplus(-fake).mean(),
    ),
    "hinge": (
        lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(),
        lambda real, fake: -fake.mean(),
    ),
    "wasserstein": (lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean()),
    "rsgan": (lambda real, fake: F.softplus(fake - real).mean(), lambda real, fake: F.softplus(real - fake).mean()),
    "rasgan": _averaged(lambda d: F.softplus(-d), lambda d: F.softplus(d)),
    "ralsgan": _averaged(lambda d: (d - 1) ** 2, lambda d: (d + 1) ** 2),
    "rahinge": _averaged(lambda d: F.relu(1 - d), lambda d: F.relu(1 + d)),
}


def discriminator_objective(
    options: Options, D: nn.Module, real: Tensor, fake: Tensor, alpha: Tensor
) -> tuple[Tensor, Tensor]:
    """Return D's loss and its penalties; alpha [B] places the points of the gradient penalty between real and fake."""
    loss = LOSSES[options.loss][0](D(real), D(fake))
    penalty = torch.zeros((), dtype=real.dtype)
    if options.constraint == "gp":
        mixed = alpha[:, None, None, None] * real + (1 - alpha[:, None, None, None]) * fake
        norm = (_gradient(D, mixed).flatten(1).square().sum(1) + 1e-12).sqrt()
        penalty = penalty + options.weight * ((norm - 1) ** 2).mean()
    if options.constraint == "sn-reg":
        layers = [m for m in D.modules() if isinstance(m, _Spectral)]
        penalty = penalty + options.weight / 2 * torch.stack([layer.sigma() ** 2 for layer in layers]).sum()
    for weight, x in ((options.r1, real), (options.r2, fake)):
        if weight:
            penalty = penalty + weight / 2 * _gradient(D, x).flatten(1).square().sum(1).mean()
    return loss, penalty


def generator_objective(options: Options, D: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """Return G's loss; only the relativistic ones look at real pictures."""
    judged = D(real) if options.loss.startswith(("rs", "ra")) else fake.new_zeros(())
    return LOSSES[options.loss][1](judged, D(fake))


def _gradient(D: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_(True)
    return torch.autograd.grad(D(x).sum(), x, create_graph=True)[0]


# --- training ---------------------------------------------------------------------------------------------------------------


def train(options: Options, pictures: np.ndarray, samples: int) -> tuple[np.ndarray, float]:
    """Return `samples` pictures [N, 28, 28, 1] uint8 of the averaged generator, and the seconds that the training took."""
    torch.manual_seed(options.seed)
    rng = np.random.default_rng(options.seed)
    data = torch.from_numpy(pictures.astype(np.float32) / 127.5 - 1).permute(0, 3, 1, 2).contiguous()
    G, D = Generator(options), Discriminator(options)
    average = copy.deepcopy(G)
    steps = [torch.optim.Adam(network.parameters(), options.lr, options.betas) for network in (G, D)]

    def batch() -> Tensor:
        return data[rng.integers(len(data), size=options.batch)]

    def noise(n: int) -> Tensor:
        return torch.randn(n, options.latent)

    begun = time.perf_counter()
    for t in range(options.updates):
        for _ in range(options.critic_steps):
            iterate(D)
            with torch.no_grad():
                fake = G(noise(options.batch))
            loss, penalty = discriminator_objective(options, D, batch(), fake, torch.rand(options.batch))
            steps[1].zero_grad()
            (loss + penalty).backward()
            steps[1].step()
            if options.constraint == "clip":
                with torch.no_grad():
                    for p in D.parameters():
                        p.clamp_(-options.weight, options.weight)
        D.requires_grad_(False)
        loss = generator_objective(options, D, batch(), G(noise(options.batch)))
        steps[0].zero_grad()
        loss.backward()
        steps[0].step()
        D.requires_grad_(True)
        with torch.no_grad():
            decay = min(options.average, (1 + t) / (10 + t))
            for mean, value in zip(average.state_dict().values(), G.state_dict().values(), strict=True):
                mean.copy_(decay * mean + (1 - decay) * value if value.is_floating_point() else value)
    taken = time.perf_counter() - begun
    average.eval()
    with torch.no_grad():
        drawn = torch.cat([average(noise(250)) for _ in range(-(-samples // 250))])[:samples]
    return ((drawn.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255).to(torch.uint8).numpy(), taken


def main() -> None:
    """Train on mnist5k and write samples; prints the seconds as JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    defaults: dict[str, Any] = Options().__dict__
    choices = {
        "network": ("dcgan", "sn", "resnet"),
        "loss": LOSSES,
        "constraint": ("none", "sn", "sn-reg", "gp", "clip"),
    }
    for name in ("network", "loss", "constraint", "weight", "width", "latent", "critic_steps", "lr", "updates", "seed"):
        flag, default = "--" + name.replace("_", "-"), defaults[name]
        parser.add_argument(flag, type=type(default), default=default, choices=choices.get(name))
    parser.add_argument("--batch-norm", action="store_true")
    parser.add_argument("--betas", type=float, nargs=2, default=defaults["betas"])
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--out", type=Path, required=True, help="an .npz file with `images`")
    arguments = vars(parser.parse_args())
    samples, out = arguments.pop("samples"), arguments.pop("out")
    options = Options(**arguments | {"betas": tuple(arguments["betas"])})
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    from generative.data.settings import DataConfig
    from generative.data.sources import Pictures, open_data

    data = open_data(DataConfig("mnist5k"))
    assert isinstance(data, Pictures)
    images, seconds = train(options, data.reference(len(data)), samples)
    np.savez_compressed(out, images=images)
    print(json.dumps({"seconds": seconds}))


if __name__ == "__main__":
    main()
