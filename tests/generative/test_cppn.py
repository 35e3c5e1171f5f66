"""Pattern-producing networks: places, first weights, updates by an independent formula, patterns of any size, bad pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from core.metrics.image_quality import psnr
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments import train
from generative.cppn.config import CPPNConfig
from generative.cppn.model import CPPN
from generative.cppn.networks import make_network, patterns, places, walk
from generative.cppn.picture import PHOTOGRAPHS, open_picture
from tests.conftest import only_run

SMALL: dict[str, Any] = {
    "units": 8,
    "layers": 2,
    "frequencies": 4,
    "batch": 24,
    "turn": 1,
    "side": 8,
    "frames": 2,
    "pattern_layers": 2,
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    y, x = np.mgrid[:12, :16]
    Image.fromarray(np.stack([16 * x, 20 * y, 255 - 8 * (x + y)], axis=-1).astype(np.uint8)).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def model(picture: Path | str, folder: Path, seed: int = 1, **settings: Any) -> CPPN:
    config = CPPNConfig(str(picture), **{"size": 0, **SMALL, **settings})
    return CPPN(config, Context(seed=seed, folder=folder / "files"))


# --- places and patterns --------------------------------------------------------------------------------------------------


def test_places_are_the_middles_of_pixels() -> None:
    np.testing.assert_allclose(places(1, 2), [[-0.5, 0], [0.5, 0]])
    np.testing.assert_allclose(places(2, 1, zoom=3), [[0, -1.5], [0, 1.5]])
    small, large = places(2, 4).reshape(2, 4, 2), places(8, 16).reshape(8, 16, 2)
    np.testing.assert_allclose(
        small, large.reshape(2, 4, 4, 4, 2).mean(axis=(1, 3)), atol=1e-6
    )  # 4x4 around the same middle
    assert np.abs(large).max() < 1 and large[..., 1].max() == pytest.approx(7 / 16)


def test_a_pattern_by_hand() -> None:
    """One hidden layer of two units: sigmoid(W_2 tanh(W_1 (x, y, r, z) + b_1) + b_2)."""
    config = CPPNConfig(pattern_units=2, pattern_layers=1, latent=1)
    rng = np.random.default_rng(7)
    W_1, b_1, W_2, b_2 = (rng.standard_normal(shape, np.float32) for shape in ((4, 2), 2, (2, 3), 3))
    drawn = patterns(config, 3, 5, 7, [np.array([0.5])])
    for row, column in ((0, 0), (1, 2), (2, 4)):
        x, y = (2 * column + 1 - 5) / 5, (2 * row + 1 - 3) / 5
        h = np.tanh(np.array([x, y, math.hypot(x, y), 0.5]) @ W_1 + b_1) @ W_2 + b_2
        np.testing.assert_allclose(drawn[0, row, column], 255 / (1 + np.exp(-h)), atol=0.51)


def test_a_pattern_has_no_size_and_another_seed_is_another(tmp_path: Path) -> None:
    config, z = CPPNConfig(pattern_layers=3), [np.zeros(8)]
    small, large = patterns(config, 20, 20, 1, z)[0], patterns(config, 60, 60, 1, z)[0]
    assert np.abs(small.astype(int) - large[1::3, 1::3]).max() <= 1  # the middle of each 3x3 is the same place
    assert np.abs(small.astype(int) - patterns(config, 20, 20, 2, z)[0]).mean() > 5
    few, many = model("rocket", tmp_path, size=16).sample(2, 3), model("rocket", tmp_path, size=16).sample(4, 3)
    np.testing.assert_array_equal(few, many[:2])
    assert many.shape == (4, 8, 8, 3) and len(np.unique(many.reshape(4, -1), axis=0)) == 4


def test_a_walk_is_a_circle() -> None:
    around = np.array(walk(5, 12, seed=1))
    np.testing.assert_allclose(around[:6], -around[6:], atol=1e-12)  # half way round is the other side
    steps = np.linalg.norm(np.diff(np.concatenate([around, around[:1]]), axis=0), axis=1)
    assert steps.min() > 0 and steps[-1] < 2 * np.median(steps)


# --- the fit --------------------------------------------------------------------------------------------------------------


def forward(network: str, v: list[np.ndarray], x: np.ndarray, omega: float = 30.0) -> np.ndarray:
    """Colours [P, 3] of places [P, 2] in float64, from the papers' formulas."""
    if network == "fourier":
        B = v.pop(0)
        v_in = (x + 1) / 2 @ B.T  # places in the unit square; the half by which they are moved turns all waves alike
        shift = B.sum(axis=1) / 2
        x = np.concatenate([np.cos(2 * np.pi * (v_in - shift)), np.sin(2 * np.pi * (v_in - shift))], axis=1)
    if network == "plain":
        x = np.concatenate([x, np.linalg.norm(x, axis=1, keepdims=True)], axis=1)
    act = {"sine": lambda a: np.sin(omega * a), "fourier": lambda a: np.maximum(a, 0), "plain": np.tanh}[network]
    for k in range(0, len(v) - 2, 2):
        x = act(x @ v[k] + v[k + 1])
    out = x @ v[-2] + v[-1]
    return out if network == "sine" else 1 / (1 + np.exp(-out))


@pytest.mark.parametrize("network", ["sine", "fourier", "plain"])
def test_the_networks_are_those_of_the_papers(network: Any) -> None:
    config = CPPNConfig(network=network, units=7, layers=3, frequencies=5, sigma=2.0)
    built = make_network(config, seed=1)
    x = np.random.default_rng(0).uniform(-1, 1, (40, 2))
    weights = [np.asarray(w, np.float64) for w in built.get_weights()]
    np.testing.assert_allclose(built(x.astype(np.float32)), forward(network, weights, x), atol=2e-4)
    assert len(built.trainable_variables) == 8


def test_sines_start_as_in_their_paper() -> None:
    """U(-1/2, 1/2), then U(-sqrt(6/n)/30, sqrt(6/n)/30): inputs weigh in with standard deviation 1, what comes out has 0.7."""
    network = make_network(CPPNConfig(units=256, layers=3), seed=1)
    first, second = network.trainable_variables[0].numpy(), network.trainable_variables[2].numpy()
    assert 0.49 < np.abs(first).max() <= 0.5 and np.abs(second).max() <= math.sqrt(6 / 256) / 30
    assert np.abs(second).std() == pytest.approx(math.sqrt(6 / 256) / 30 / math.sqrt(12), rel=0.02)
    h = np.random.default_rng(0).uniform(-1, 1, (4000, 2))
    weights = [np.asarray(w, np.float64) for w in network.get_weights()]
    for k in (0, 2, 4):
        weighed = 30 * h @ weights[k]
        if k:
            assert weighed.std() == pytest.approx(1, abs=0.15)
        h = np.sin(weighed + 30 * weights[k + 1])
        assert h.std() == pytest.approx(math.sqrt(0.5), abs=0.08)


def test_an_update_is_gradient_descent_on_the_next_pixels(file: Path, tmp_path: Path) -> None:
    """Central differences of the mean squared error in float64; three updates, each on other pixels."""
    plugin = model(file, tmp_path, network="plain", units=3, layers=1, optimizer=OptimizerConfig("sgd", 0.5))
    pixels = np.asarray(Image.open(file)).reshape(-1, 3) / 255
    seen: list[int] = []
    for _ in range(3):
        v = [w.numpy().astype(np.float64) for w in plugin.variables]
        loss = float(plugin.step()["loss/total"])
        assert plugin._order is not None
        rows = plugin._order.indices(plugin.clock - 1)
        seen += rows.tolist()
        x, c = places(12, 16)[rows].astype(np.float64), pixels[rows]

        def error(weights: list[np.ndarray], x: np.ndarray = x, c: np.ndarray = c) -> float:
            return float(((forward("plain", weights, x) - c) ** 2).mean())

        assert loss == pytest.approx(error(v), rel=1e-5)
        for k, w in enumerate(plugin.variables):
            gradient = np.zeros_like(v[k])
            for place in np.ndindex(v[k].shape):
                up, down = [a.copy() for a in v], [a.copy() for a in v]
                up[k][place] += 1e-5
                down[k][place] -= 1e-5
                gradient[place] = (error(up) - error(down)) / 2e-5
            np.testing.assert_allclose(w, v[k] - 0.5 * gradient, atol=1e-5)
    assert len(seen) == len(set(seen)) == 72  # of 192: none twice in an epoch


@pytest.mark.parametrize("network", ["sine", "fourier", "plain"])
def test_a_picture_is_learned_and_drawn_at_any_size(file: Path, tmp_path: Path, network: Any) -> None:
    optimizer = OptimizerConfig(lr=3e-3)
    more = {"units": 32, "frequencies": 16, "sigma": 1.0, "omega": 5.0, "batch": 96, "turn": 10}
    plugin = model(file, tmp_path, network=network, optimizer=optimizer, **more)
    before = plugin.evaluate()["eval/psnr"]
    for _ in range(20):
        plugin.step()
    measured = plugin.evaluate()
    pixels = np.asarray(Image.open(file))
    assert measured["eval/psnr"] == psnr(pixels, plugin.drawn(12, 16)) > max(before + 6, 24)
    np.testing.assert_array_equal(measured["samples/fitted"][0, :, :16], pixels)
    assert measured["video/walk"].shape == (2, 8, 8, 3) and measured["samples/patterns"].shape == (36, 8, 8, 3)
    by_filter, drawn = plugin.enlarged()
    assert drawn.shape == (48, 64, 3) and psnr(by_filter, drawn) > 20
    assert np.abs(plugin.drawn(36, 48)[1::3, 1::3].astype(int) - plugin.drawn(12, 16)).max() <= 1


# --- pictures -------------------------------------------------------------------------------------------------------------


def test_photographs_come_along_and_files_keep_their_shape(file: Path, tmp_path: Path) -> None:
    for name in PHOTOGRAPHS:
        picture = open_picture(name, 32, None)
        assert max(picture.shape) == 32 and picture.pixels.shape == (*picture.shape, 3) and picture.pixels.std() > 20
    assert open_picture(str(file), 0, None).shape == (12, 16) and open_picture(str(file), 8, None).shape == (6, 8)
    Image.fromarray(np.asarray(Image.open(file))[..., 0]).save(tmp_path / "grey.png")
    assert open_picture(str(tmp_path / "grey.png"), 0, None).pixels.shape == (12, 16, 3)


def test_a_run_draws_without_its_picture_and_learns_from_no_other(cli, file: Path, tmp_path: Path) -> None:
    given = [f"--model.{key.replace('_', '-')}={value}" for key, value in SMALL.items()]
    words = ["--model.picture", file, "--model.size", 0, *given, "--run.until", 2, "--run.folder", tmp_path / "runs"]
    code, _, err = cli("run", "cppn", *words)
    assert code == 0, err
    run = only_run(tmp_path / "runs")
    assert (run / "film.gif").stat().st_size > 100
    file.rename(tmp_path / "b.png")
    code, _, err = cli("sample", run, "--n", 4, "--model.side", 20, "--out", tmp_path / "patterns.png")
    assert code == 0, err
    with Image.open(tmp_path / "patterns.png") as sheet:
        assert min(sheet.size) >= 40
    assert cli("export", run, "-o", tmp_path / "exported")[0] == 0
    code, _, err = cli("sample", run, "--picture", "fitted")
    assert code == 2 and "which is not there; it must be a file, or one of astronaut" in " ".join(err.split())
    moved = ("resume", run, "--model.picture", tmp_path / "b.png", "--run.until", 4)
    code, _, err = cli(*moved)
    assert code == 0, err
    Image.new("RGB", (16, 12)).save(tmp_path / "b.png")
    code, _, err = cli(*moved[:-1], 6)
    assert code == 2 and "not the one with which the run began (b.png, 12x16): its checksum differs" in " ".join(
        err.split()
    )


@pytest.mark.slow
def test_a_run_stopped_and_resumed_is_the_one_in_one_go(file: Path, tmp_path: Path) -> None:
    found = []
    for until in ([6], [3, 6]):
        settings = {"model": {"picture": str(file), "size": 0, **SMALL}}
        run = train("cppn", settings, until=until[0], folder=tmp_path / str(len(until)), quiet=True)
        for more in until[1:]:
            run = run.resume(until=more, quiet=True)
        with run.plugin("newest") as plugin:
            assert isinstance(plugin, CPPN)
            found.append(plugin.network.get_weights())
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"picture": "astronut"}, "picture is 'astronut'; did you mean 'astronaut'?, or name a file"),
        (
            {"picture": "no/such.png"},
            "picture is 'no/such.png', which is not there; it must be a file, or one of astronaut",
        ),
        ({"picture": "."}, "picture is '.', a folder; name one picture in it"),
        ({"picture": __file__}, "which cannot be read: no picture format"),
        ({"size": 4}, "size is 4; it must be 0 (the picture's own) or at least 8 pixels"),
        ({"size": 8, "batch": 100}, "batch is 100; the picture has only 64 pixels, choose at most so many"),
        ({"units": 0}, "units is 0; it must be at least 1"),
        ({"side": 4}, "side is 4; it must be at least 8 pixels"),
        ({"latent": -1}, "latent is -1; it must be 0 or more"),
        ({"omega": 0.0}, "omega is 0; it must be above 0"),
    ],
)
def test_what_cannot_be_fitted_gets_a_sentence(settings: dict[str, Any], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        CPPN(replace(CPPNConfig(**SMALL), **settings), Context(seed=1, folder=tmp_path / "files"))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)
