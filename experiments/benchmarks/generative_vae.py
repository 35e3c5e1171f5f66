"""Likelihood and seconds per epoch of `vae` beside PyTorch, same architecture, data, epochs and estimate, in one run.

    python -m experiments.benchmarks.generative_vae [--epochs 60] [--rounds 3]

The peers are the same network written here in PyTorch (extra `peers`) and, where that package can be imported, pythae's VAE (in
no extra: pip install pythae). Epochs of all alternate; each starts from its library's usual weights (Glorot; PyTorch's), Adam
1e-3, batch 128.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from core.runtime import configure
from experiments.benchmarks.peers import need
from experiments.benchmarks.report import Part, Report, Table, spread
from experiments.launcher.settings import RunConfig
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data

__all__ = ["layout", "main"]

HELD_OUT, BATCH, HIDDEN, LATENT, DRAWS = 500, 128, 400, 40, 200


def main() -> None:
    """Train both, in alternation, and write the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--epochs", type=int, default=60, help="epochs of both")
    parser.add_argument("--rounds", type=int, default=3, help="trainings of both, with seeds 1 to N")
    arguments = parser.parse_args()
    need("torch")
    import torch

    report = Report(__spec__.name, "generative_vae", layout, packages=("tensorflow", "keras", "torch", "pythae"))
    configure(device="cpu")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    data = open_data(DataConfig("mnist5k"))
    assert isinstance(data, Pictures)
    train, test = data.split(HELD_OUT)
    x_train, x_test = ((p.reference(len(p)) > 127).astype(np.float32) for p in (train, test))

    contenders: dict[str, Callable[[int], Trained]] = {"ours": lambda seed: Ours(seed)}
    peers = {"PyTorch": lambda seed: Peer(torch, x_train, seed, None)}
    try:
        import pythae

        peers["pythae"] = lambda seed: Peer(torch, x_train, seed, pythae)
    except ImportError as error:
        print(f"pythae cannot be imported ({error}); the only peer is the same network in PyTorch")
    contenders |= peers
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    nll: dict[str, list[float]] = {name: [] for name in contenders}
    for seed in range(1, arguments.rounds + 1):
        models = {name: make(seed) for name, make in contenders.items()}
        for model in models.values():
            model.epoch()  # tracing, first touches: trained on, not timed
        for _ in range(arguments.epochs - 1):
            for name, model in models.items():
                begun = time.perf_counter()
                model.epoch()
                seconds[name].append(time.perf_counter() - begun)
        for name, model in models.items():
            nll[name].append(model.nll(x_test))
            print(f"seed {seed}: {name} {nll[name][-1]:.2f} nats, {statistics.median(seconds[name]):.3f} s", flush=True)
    report.keep({"epochs": arguments.epochs, "rounds": arguments.rounds, "seconds": seconds, "nll": nll})
    report.write()


class Trained:
    """A contender: trains one epoch at a time and estimates -log p(x)."""

    def epoch(self) -> None:
        raise NotImplementedError

    def nll(self, x: np.ndarray) -> float:
        raise NotImplementedError


class Ours(Trained):
    """The plugin `vae`, as the launcher builds it."""

    def __init__(self, seed: int):
        from experiments.launcher.catalogue import catalogue
        from experiments.launcher.restore import make_plugin
        from generative.vae.config import VAEConfig

        spec, _ = catalogue().find("vae")
        steps = (5000 - HELD_OUT) // BATCH + 1
        config = VAEConfig(held_out=HELD_OUT, batch=BATCH, hidden=HIDDEN, latent=LATENT, turn=steps, nll_samples=DRAWS)
        self.model: Any = make_plugin(spec, config, RunConfig(seed=seed), Path(tempfile.mkdtemp()), print)

    def epoch(self) -> None:
        values = self.model.step()
        float(values["loss/total"])  # wait for it

    def nll(self, x: np.ndarray) -> float:
        value = float(self.model.evaluate()["eval/nll"])
        self.model.close()
        return value


class Peer(Trained):
    """The same network in PyTorch, or pythae's VAE around the same encoder and decoder."""

    def __init__(self, torch: Any, x: np.ndarray, seed: int, pythae: Any):
        self.torch = torch
        self.x = torch.from_numpy(x.reshape(len(x), -1))  # [N, 784]
        torch.manual_seed(seed)
        nn = torch.nn
        self.encoder = nn.Sequential(nn.Linear(784, HIDDEN), nn.ReLU())
        self.mean, self.log_variance = nn.Linear(HIDDEN, LATENT), nn.Linear(HIDDEN, LATENT)
        self.decoder = nn.Sequential(nn.Linear(LATENT, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 784))
        self.parts = [self.encoder, self.mean, self.log_variance, self.decoder]
        self.wrapped = self._wrap(pythae) if pythae is not None else None
        parameters = self.wrapped.parameters() if self.wrapped else [p for m in self.parts for p in m.parameters()]
        self.optimizer = torch.optim.Adam(parameters, 1e-3)
        self.position = 0

    def _wrap(self, pythae: Any) -> Any:
        """Return pythae's VAE; its networks are ours, with a sigmoid where its binary cross entropy wants probabilities."""
        from pythae.models import VAE, VAEConfig
        from pythae.models.base.base_utils import ModelOutput
        from pythae.models.nn import BaseDecoder, BaseEncoder

        outer, torch = self, self.torch

        class Encoder(BaseEncoder):
            def __init__(self) -> None:
                super().__init__()
                self.body, self.mean, self.log_variance = outer.encoder, outer.mean, outer.log_variance

            def forward(self, x: Any) -> Any:
                h = self.body(x.reshape(len(x), -1))
                return ModelOutput(embedding=self.mean(h), log_covariance=self.log_variance(h))

        class Decoder(BaseDecoder):
            def __init__(self) -> None:
                super().__init__()
                self.body = outer.decoder

            def forward(self, z: Any) -> Any:
                return ModelOutput(reconstruction=torch.sigmoid(self.body(z)))

        config = VAEConfig(input_dim=(784,), latent_dim=LATENT, reconstruction_loss="bce")
        return VAE(config, encoder=Encoder(), decoder=Decoder())

    def epoch(self) -> None:
        torch, F = self.torch, self.torch.nn.functional
        steps = len(self.x) // BATCH + 1
        order = torch.cat([torch.randperm(len(self.x)) for _ in range(2)])[: steps * BATCH].reshape(steps, BATCH)
        for rows in order:
            x = self.x[rows]  # [B, 784]
            if self.wrapped is not None:
                loss = self.wrapped({"data": x}).loss
            else:
                h = self.encoder(x)
                mean, log_variance = self.mean(h), self.log_variance(h)
                z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
                nll = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
                kl = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum()
                loss = (nll + kl) / BATCH
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()

    def nll(self, x: np.ndarray) -> float:
        torch, F = self.torch, self.torch.nn.functional
        with torch.no_grad():
            x = torch.from_numpy(x.reshape(len(x), -1))
            h = self.encoder(x)
            mean, log_variance = self.mean(h), self.log_variance(h)
            weights = []
            for _ in range(DRAWS):
                epsilon = torch.randn_like(mean)
                z = mean + torch.exp(0.5 * log_variance) * epsilon
                log_p = -F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="none").sum(-1)
                weights.append(log_p - 0.5 * z.square().sum(-1) + 0.5 * (epsilon.square() + log_variance).sum(-1))
            return float((np.log(DRAWS) - torch.logsumexp(torch.stack(weights), 0)).mean())


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table; ratios are to ours, epoch by epoch."""
    titles = {"ours": "`vae`", "PyTorch": "the same network in PyTorch", "pythae": "pythae's VAE, same networks"}
    rows = []
    for name, seconds in measured["seconds"].items():
        turns = zip(measured["seconds"]["ours"], seconds, strict=True)
        ratio = "" if name == "ours" else f"{statistics.median(b / a for a, b in turns):.2f}"
        nll = spread(measured["nll"][name], ".2f")
        rows.append([titles[name], nll, f"{statistics.median(seconds):.3f}", ratio])
    seeds = measured["rounds"]
    note = (
        f"784-{HIDDEN}-{LATENT}-{HIDDEN}-784, mnist5k binarised at one half, 4,500 digits for training, {HELD_OUT} held out, "
        f"{measured['epochs']} epochs of batch {BATCH}, Adam 1e-3, importance-weighted estimate with {DRAWS} draws, "
        f"{seeds} seed{'s' * (seeds > 1)}, epochs of the contenders in alternation. Targets: equal within 1 nat, at least "
        "twice as fast."
    )
    columns = ["what", "-log p(x), nats", "seconds per epoch, median", "faster than it, median of epochs"]
    return [Table(columns, rows), note]


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
