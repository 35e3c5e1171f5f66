"""The learning-rate range test: its arithmetic by hand, its suggestion on a real model, and what it leaves behind."""

from __future__ import annotations

import math
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from core.plugin import RangeTest
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment
from experiments.launcher.verbs import verbs
from experiments.testing import tiny
from experiments.verbs.lr_find import Flags, Sweep, main, sweep

DIGITS = ("--model.data.source", "digits", "--model.held-out", "20", "--model.hidden", "32", "--model.latent", "4")


def swept(losses: list[float]) -> Sweep:
    """The sweep that sees these losses, at step sizes 1, 2, 3, ..."""
    return sweep(dict(enumerate(losses, start=1)).__getitem__, [float(i) for i in range(1, len(losses) + 1)])


def test_losses_are_smoothed_by_hand_computed_weights() -> None:
    found = swept([10.0, 6.0, 3.0])
    assert found.rates == (1, 2, 3) and found.losses == (10, 6, 3)
    # averages 0.2, 0.316, 0.36968; divided by 0.02, 0.0396, 0.058808
    assert found.smoothed == pytest.approx((10.0, 7.97979798, 6.28621956))


def test_the_sweep_ends_at_four_times_the_best_smoothed_loss() -> None:
    # after 1 the smoothed loss is (0.98 + x) / 1.98: 4 exactly for x = 6.94
    assert len(swept([1.0, 6.93, 6.93]).rates) == 3
    assert len(swept([1.0, 6.95, 1.0]).rates) == 2


def test_a_loss_that_is_not_finite_ends_the_sweep_and_is_not_kept() -> None:
    for broken in (math.nan, math.inf):
        found = swept([3.0, 2.0, broken, 1.0])
        assert found.losses == (3, 2) and len(found.smoothed) == len(found.rates) == 2
    assert swept([math.nan]).rates == () and swept([math.nan]).suggestion is None


def test_below_zero_three_times_the_fall_is_too_much() -> None:
    assert len(swept([-1.0, -1.1, -1.0, -0.9]).rates) == 4  # four times the best would end it at once
    # smoothed after 10: x = -20 gives (9.8 - 20) / 1.98 = -5.15, a fall of 15.15; the limit is -5.15 + 45.45 = 40.3
    assert len(swept([10.0, -20.0, 100.0, 0.0]).rates) == 4
    assert len(swept([10.0, -20.0, 150.0, 0.0]).rates) == 3


def of_losses(*losses: float) -> Sweep:
    return Sweep(tuple(float(i) for i in range(1, len(losses) + 1)), losses, losses)


def test_the_suggestion_is_a_tenth_of_the_step_size_at_the_lowest_mean() -> None:
    # of three neighbours the lowest mean is that around the fifth, 17 / 3; the lowest single loss is the eighth
    assert of_losses(10, 10, 10, 6, 5, 6, 9, 4, 20, 20).suggestion == pytest.approx(0.5)
    # 80 losses have means of five: the lowest is around the 51st; of three it would be around the 39th
    losses = [10.0] * 80
    losses[37:40], losses[48:53] = [5.0] * 3, [5.5] * 5
    assert of_losses(*losses).suggestion == pytest.approx(5.1)


def test_there_is_no_suggestion_where_the_loss_falls_by_less_than_it_scatters() -> None:
    first = 10, 9, 9.5  # the deviation of the first two is 0.5, the mean of three 9.5
    assert of_losses(*first, *[8.9] * 7).suggestion == pytest.approx(0.5)
    assert of_losses(*first, *[9.1] * 7).suggestion is None
    assert of_losses(*range(10)).suggestion is None
    assert of_losses(10, 1).suggestion is None


def test_a_vae_learns_at_the_suggestion_and_diverges_at_the_end(
    cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    seen: list[Sweep] = []
    monkeypatch.setattr("experiments.verbs.lr_find.sweep", lambda *a: seen.append(sweep(*a)) or seen[-1])
    # a schedule of the user's must not move the step size of the test
    falling = ("--model.optimizer.lr-schedule", "cosine", "--model.optimizer.lr-steps", 5)
    code, out, err = cli("lr-find", "vae", "--steps", 400, *DIGITS, *falling)
    assert code == 0, err
    (found,) = seen
    assert found.rates[0] == 1e-8 and found.rates[-1] < 10, "it ended at the last step size, without diverging"
    assert found.smoothed[-1] > 4 * min(found.smoothed)
    first, best = found.smoothed[0], min(found.smoothed)
    assert best < 0.8 * first, "at no step size was anything learned"
    at = found.rates.index(max(rate for rate in found.rates if rate < 1e-6))
    assert found.smoothed[at] == pytest.approx(first, rel=0.05), "a step size of nearly 0 changed the loss"
    assert found.suggestion is not None and 1e-3 < found.suggestion < 0.03  # where this one trains well
    assert f"--model.optimizer.lr {found.suggestion:.1e}" in out and "now it is 0.001" in out

    with Image.open("lr-find.png") as picture:
        assert picture.format == "PNG" and picture.size == (880, 495)
        colours = {colour for _, colour in picture.convert("RGB").getcolors(1 << 20) or ()}
    assert {(31, 119, 180), (214, 39, 40)} <= colours, "the curve or the suggestion is not in the picture"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lr-find.png", "scratch"]
    assert not list(scratch.glob("pongan*")), "the plugin's files stayed behind"


@pytest.mark.parametrize("name", sorted(n for n, s in catalogue().plugins.items() if s.lr_find))
def test_every_range_test_that_is_registered_works(name: str, tmp_path: Path) -> None:
    spec = catalogue().plugins[name]
    experiment = replace(Experiment.of([name]), config=tiny(spec))
    assert main(experiment, Flags(low=1e-8, high=1e-7, steps=10, out=str(tmp_path / "out.png"))) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["out.png"]


def test_accumulated_gradients_count_as_one_update(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from generative.vae.model import VAE

    calls: list[float] = []
    step = VAE.step

    def counted(self: VAE) -> object:
        calls.append(float(self.optimizer.learning_rate))
        return step(self)

    monkeypatch.setattr(VAE, "step", counted)
    flags = ("--low", 1e-4, "--high", 1e-3, "--steps", 10, "--out", tmp_path / "out.png")
    assert cli("lr-find", "vae", *flags, *DIGITS, "--model.optimizer.accumulate", 3)[0] == 0
    assert len(calls) == 30 and len(set(calls)) == 10 and calls == sorted(calls)
    assert calls[0] == pytest.approx(1e-4) and calls[-1] == pytest.approx(1e-3)


def test_a_plugin_without_such_a_loss_is_refused_by_name_of_those_with_one(cli, tmp_path: Path) -> None:
    for name in ("dcgan", "dqn"):
        code, _, err = cli("lr-find", name, "--out", tmp_path / "out.png")
        assert code == 2 and " ".join(err.split()).endswith(
            f"'{name}' names no loss that falls while it learns, so lr-find cannot follow it; it can with autoencoder, "
            "char-rnn, cppn, features, gan-cls, srgan, vae, vq-vae"
        )
    assert not list(tmp_path.iterdir())


def test_what_cannot_be_is_refused_in_one_sentence(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for flags, sentence in (
        (("--low", 0), "--low is 0; a step size is above 0"),
        (("--low", 1, "--high", 0.1), "--high is 0.1; it must be finite and above --low, which is 1"),
        (("--high", "inf"), "--high is inf; it must be finite and above --low, which is 1e-08"),
        (("--steps", 2), "--steps is 2; a curve needs at least 10"),
        (("--out", "missing/out.png"), "missing"),
        (("--run.strategy", "mirrored"), "run.strategy is 'mirrored'; lr-find trains on one device, leave it out"),
    ):
        code, _, err = cli("lr-find", "vae", *flags)
        assert code == 2 and sentence in " ".join(err.split()), err
    assert not list(tmp_path.iterdir())


def test_a_registration_that_does_not_fit_is_a_sentence(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = catalogue().plugins["vae"]
    for test, sentence in (
        (
            RangeTest("loss/totl", "optimizer", {"turn": 1}),
            "'loss/totl', which its step() did not return; did you mean",
        ),
        (RangeTest("loss/total", "optimiser"), "lr_find of 'vae': 'model.optimiser.lr_schedule' is no setting"),
        (RangeTest("loss/total", "optimizer", {"tern": 1}), "'model.tern' is no setting; did you mean 'model.turn'"),
    ):
        monkeypatch.setitem(catalogue().plugins, "vae", replace(spec, lr_find=test))
        code, _, err = cli("lr-find", "vae", *DIGITS, "--out", tmp_path / "out.png")
        assert code == 2 and sentence in " ".join(err.split()), err


def test_a_file_with_an_underscore_is_a_verb_with_a_hyphen(cli) -> None:
    assert "lr-find" in verbs() and "lr_find" not in verbs()
    code, out, _ = cli("--help")
    assert code == 0 and "lr-find" in out and "range test" in out
