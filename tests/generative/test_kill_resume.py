"""A generative run killed in the middle of an epoch and resumed ends as the undisturbed one: weights and curves bit for bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.experiments.test_kill_resume import check_killed_equals_undisturbed

DIGITS = ("--model.data.source", "digits", "--model.data.size", 16)
GAN = (
    *(*DIGITS, "--model.batch", 16, "--model.latent", 8, "--model.width", 4),
    *("--model.eval-samples", 100, "--model.ema", 0.99),
)
EXTRACTOR = ("--model.batch", 16, "--model.features", 8, "--model.width", 4, "--model.hidden", 16)
RUN = (
    "--run.save-every",
    20,
    "--run.eval-every",
    200,
    "--run.log-every",
    20,
)  # 20 updates are no whole epoch of 1,797 digits
RUNS: dict[str, Any] = {
    "vae": (("vae", *DIGITS, "--model.hidden", 64, *RUN, "--run.until", 600), "loss/kl"),
    "dcgan": (("dcgan", *GAN, *RUN, "--run.until", 600), "loss/generator"),
    "wgan": (("wgan", *GAN, *RUN, "--run.until", 400), "critic/wasserstein"),
    "ragan": (("ragan", *GAN, *RUN, "--run.until", 500), "critic/sigma_max"),
    "ragan with R1": (
        ("ragan", *GAN, "--model.norm", "spectral", "--model.r1", 1, *RUN, "--run.until", 500),
        "critic/sigma_max",
    ),
    "features": (("features", *DIGITS, *EXTRACTOR, *RUN, "--run.until", 500), "loss/error"),
    "features of triplets": (
        ("features", *DIGITS, *EXTRACTOR, "--model.method", "triplet", *RUN, "--run.until", 500),
        "loss/violations",
    ),
}


def test_vae_killed_in_the_middle_of_an_epoch(launch, tmp_path: Path) -> None:
    experiment, curve = RUNS["vae"]
    check_killed_equals_undisturbed(launch, tmp_path, experiment, kills=1, seed=1, curve=curve)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcgan", "wgan", "ragan", "ragan with R1", "features", "features of triplets"])
def test_killed_in_the_middle_of_an_epoch(launch, tmp_path: Path, name: str) -> None:
    experiment, curve = RUNS[name]
    check_killed_equals_undisturbed(launch, tmp_path, experiment, kills=3, seed=2, curve=curve)
