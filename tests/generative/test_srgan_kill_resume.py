"""A run of srgan killed around the change of stages and resumed ends as the undisturbed one: weights and curves bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.experiments.test_kill_resume import check_killed_equals_undisturbed

NETWORK = "--model.blocks 1 --model.width 4 --model.ends 3 --model.d-width 1 --model.crop 16 --model.batch 2 --model.eval-side 48"


def experiment(one: int, two: int, save: int, *more: str) -> list[str]:
    falling = f"--model.pixel-optimizer.lr-schedule cosine --model.pixel-optimizer.lr-steps {one}"
    stages = f"--model.stage-one {one} --model.stage-two {two} {falling} --run.until {one + two}"
    return [
        "srgan",
        *NETWORK.split(),
        *stages.split(),
        *f"--run.save-every {save} --run.log-every 5 --run.eval-every {one}".split(),
        *more,
    ]


@pytest.mark.slow
def test_killed_around_the_change_of_stages(launch, tmp_path: Path) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, experiment(60, 60, 15), kills=1, seed=1, curve="loss/pixel")


@pytest.mark.slow
def test_killed_with_degradations_and_what_d_sees_rolled(launch, tmp_path: Path) -> None:
    options = ["--model.degradation", "second", "--model.over-bicubic", "--model.roll", "--model.scale", "2"]
    run = experiment(40, 40, 10, *options)
    check_killed_equals_undisturbed(launch, tmp_path, run, kills=2, seed=3, curve="loss/pixel")


@pytest.mark.slow
def test_killed_often(launch, tmp_path: Path) -> None:
    check_killed_equals_undisturbed(launch, tmp_path, experiment(300, 300, 20), kills=6, seed=2, curve="loss/pixel")
