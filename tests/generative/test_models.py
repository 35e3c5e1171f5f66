"""The four models: updates as their papers have them, samples, pictures, and clear sentences for what cannot work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from generative.data.settings import DataConfig
from generative.dcgan.config import DCGANConfig
from generative.dcgan.model import DCGAN
from generative.ragan.config import RaGANConfig
from generative.ragan.model import RaGAN
from generative.vae.config import VAEConfig
from generative.vae.model import VAE
from generative.wgan.config import WGANConfig
from generative.wgan.model import WGAN

DIGITS = DataConfig("digits", size=16)
SMALL: dict[str, Any] = {"batch": 4, "latent": 3, "width": 2, "eval_samples": 12}
RING: dict[str, Any] = {"data": DataConfig("ring"), "batch": 16, "latent": 2, "hidden": 8, "eval_samples": 100}


def weights(model: Any) -> list[np.ndarray]:
    return [np.array(v) for v in model.trainable_variables]


def moved(before: list[np.ndarray], model: Any) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(before, weights(model), strict=True))


def eager(model: Any) -> Any:
    """Run updates without tracing, which takes far longer than one update of a tiny network."""
    step = model.step

    def untraced() -> Any:
        tf.config.run_functions_eagerly(True)
        try:
            return step()
        finally:
            tf.config.run_functions_eagerly(False)

    model.step = untraced
    return model


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


# --- the updates ------------------------------------------------------------------------------------------------------


def test_dcgan_shares_the_generators_forward_pass(context: Context) -> None:
    """One forward pass gives what two would: D's step, then G's with the same z through the updated D, worked out apart."""
    model, twin = (DCGAN(DCGANConfig(DIGITS, **SMALL), context) for _ in range(2))
    x = tf.constant(model.game.stream.take(1)[0])
    key = tf.constant([model.game.noise_seed, 0], tf.int64)
    x_real = tf.cast(x, tf.float32) / 127.5 - 1
    model._step_both(x_real, key)

    z = tf.random.stateless_normal((4, 3), key)
    with tf.GradientTape() as tape:
        fake, real = twin.D(twin.G(z, training=True), training=True), twin.D(x_real, training=True)
        loss = tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))
    twin.D_optimizer.apply(tape.gradient(loss, twin.D.trainable_variables), twin.D.trainable_variables)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.nn.softplus(-twin.D(twin.G(z, training=True), training=True)))
    twin.G_optimizer.apply(tape.gradient(loss, twin.G.trainable_variables), twin.G.trainable_variables)
    for mine, its in zip(weights(model.D) + weights(model.G), weights(twin.D) + weights(twin.G), strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-5)
    model.close(), twin.close()


def test_wgan_clips_every_weight_and_takes_n_critic_batches(context: Context) -> None:
    model = eager(WGAN(WGANConfig(DIGITS, constraint="clip", critic_steps=3, **SMALL), context))
    model.step()
    assert model.game.stream.position == 3
    assert max(np.abs(w).max() for w in weights(model.f)) == pytest.approx(0.01)
    assert int(model.f_optimizer.iterations) == 3 and int(model.G_optimizer.iterations) == 1
    assert model.f_optimizer.config.name == "rmsprop"
    assert float(model.f_optimizer.learning_rate) == pytest.approx(5e-4)
    model.close()


@pytest.mark.parametrize("constraint", ["gp", "sn", "sn-reg"])
def test_wgan_constraints(context: Context, constraint: Any) -> None:
    model = eager(
        WGAN(
            WGANConfig(
                DIGITS,
                constraint=constraint,
                critic_steps=2,
                optimizer=OptimizerConfig(lr=1e-3, beta1=0.0, beta2=0.9),
                **SMALL,
            ),
            context,
        )
    )
    scalars = {tag: float(value) for tag, value in model.step().items()}
    assert (scalars["loss/penalty"] > 0) == (constraint != "sn")
    assert {f"critic/sigma_{i}" for i in range(3)} < scalars.keys()
    kernels = [w for w in weights(model.f) if w.ndim > 1]
    true = max(np.linalg.svd(w.reshape(-1, w.shape[-1]), compute_uv=False)[0] for w in kernels)
    assert 0.7 * true < scalars["critic/sigma_max"] < 1.001 * true  # an estimate from below: two power iterations since
    model.close()


@pytest.mark.slow
def test_wgan_critic_with_spectral_norm_is_lipschitz(context: Context) -> None:
    config = WGANConfig(
        **RING, constraint="sn", layers=2, turn=20, optimizer=OptimizerConfig(lr=1e-2, beta1=0.0, beta2=0.9)
    )
    model = WGAN(config, context)
    for _ in range(5):
        model.step()
    x, y = np.random.default_rng(0).normal(size=(2, 500, 2)).astype(np.float32)
    slopes = np.abs(model.game.sampler.judge(x) - model.game.sampler.judge(y)) / np.linalg.norm(x - y, axis=1)
    assert slopes.max() < 1.1  # 1 with the exact largest singular values
    model.close()


@pytest.mark.parametrize("loss", ["sgan", "rsgan", "rasgan", "ralsgan", "rahinge"])
def test_ragan_uses_fresh_examples_for_the_generator(context: Context, loss: Any) -> None:
    model = eager(RaGAN(RaGANConfig(**RING, loss=loss, norm="spectral", d_steps=2, r1=0.1, r2=0.1, gp=1.0), context))
    before_G, before_C = weights(model.G), weights(model.C)
    scalars = {tag: float(value) for tag, value in model.step().items()}
    assert model.game.stream.position == 3 and scalars["loss/penalty"] > 0
    assert moved(before_G, model.G) and moved(before_C, model.C)
    model.close()


@pytest.mark.parametrize(("clock", "factor"), [(0, 1.0), (2, 0.1), (4, 0.01), (9, 0.01)])
def test_ragan_penalties_fall_geometrically(context: Context, clock: int, factor: float) -> None:
    falling = RaGANConfig(**RING, norm="spectral", gp=1.0, r1=0.3, r2=0.2, penalty_end=0.01, penalty_anneal=4)
    constant = RaGANConfig(**RING, norm="spectral", gp=1.0 * factor, r1=0.3 * factor, r2=0.2 * factor)
    models = [eager(RaGAN(config, context)) for config in (falling, constant)]
    for model in models:
        model.clock = clock
    ours, expected = (model.step() for model in models)
    assert float(expected["loss/penalty"]) > 0
    np.testing.assert_allclose(ours["loss/penalty"], expected["loss/penalty"], rtol=1e-5)
    for a, b in zip(weights(models[0].C), weights(models[1].C), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    for model in models:
        model.close()


def test_power_iteration_runs_once_per_discriminator_update(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    from generative.ragan import model as module

    calls = []
    monkeypatch.setattr(module, "power_iterate", lambda network: calls.append(network))
    model = RaGAN(RaGANConfig(**RING, norm="spectral", d_steps=3), context)
    model._update(
        tf.constant(model.game.stream.take(4)), tf.constant([0, 0], tf.int64)
    )  # eager: every iteration is a call
    assert calls == [model.C] * 3
    model.close()


@pytest.mark.slow
def test_turn_changes_no_number(context: Context) -> None:
    one, five = (RaGAN(RaGANConfig(**RING, norm="spectral", turn=turn, ema=0.9, r1=0.1), context) for turn in (1, 5))
    for _ in range(5):
        one.step()
    five.step()
    assert one.clock == five.clock == 5 and one.game.stream.position == five.game.stream.position
    for a, b in zip(weights(one.game.average), weights(five.game.average), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    one.close(), five.close()


def test_averaged_generator_follows(context: Context) -> None:
    model = eager(DCGAN(DCGANConfig(DIGITS, ema=0.9, **SMALL), context))
    start = weights(model.G)
    model.step()
    for average, old, new in zip(weights(model.game.average), start, weights(model.G), strict=True):
        np.testing.assert_allclose(average, 0.1 * old + 0.9 * new, atol=1e-6)  # min(0.9, 1 / 10) of the old at t = 0
    model.close()


def test_vae_climbs_the_bound_on_digits(context: Context) -> None:
    model = VAE(
        VAEConfig(DataConfig("digits"), held_out=100, hidden=64, latent=4, turn=50, optimizer=OptimizerConfig(lr=3e-3)),
        context,
    )
    first = {tag: float(v) for tag, v in model.step().items()}
    for _ in range(6):
        last = {tag: float(v) for tag, v in model.step().items()}
    assert last["loss/total"] < first["loss/total"] - 8
    assert last["loss/total"] == pytest.approx(last["loss/reconstruction"] + last["loss/kl"], rel=1e-4)
    measured = model.evaluate()
    assert measured["eval/nll"] < -measured["eval/elbo"], "the importance-weighted bound is the tighter one"
    assert measured["eval/kl"] == pytest.approx(np.sum(measured["eval/kl_per_latent"]), rel=1e-5)
    assert measured["eval/active_latents"] == 4
    model.close()


@pytest.mark.parametrize(
    "change",
    [
        {"network": "conv", "hidden": 16},
        {"likelihood": "gaussian", "binarise": "no"},
        {"binarise": "sampled", "beta": 4.0},
        {"latent": 2, "manifold": 5},
        {"importance_samples": 5},
        {"conditional": True},
        {"conditional": True, "network": "conv", "hidden": 16, "importance_samples": 3, "latent": 2},
    ],
    ids=["conv", "gaussian", "sampled", "manifold", "importance", "conditional", "all"],
)
def test_vae_variants(context: Context, change: dict[str, Any]) -> None:
    settings = {"hidden": 8, "latent": 3, "held_out": 20, "turn": 1, "nll_samples": 4, **change}
    model = VAE(VAEConfig(DataConfig("digits"), **settings), context)
    scalars = model.step()
    assert np.isfinite([float(v) for v in scalars.values()]).all()
    measured = model.evaluate()
    assert measured["samples/reconstructions"].shape == (20, 16, 8, 1)
    conditional = settings.get("conditional", False)
    assert ("samples/manifold" in measured) == (settings["latent"] == 2 and not conditional)
    assert ("samples/classes" in measured) == conditional
    protocol = measured["eval/protocol"]
    assert protocol.startswith("20 grey images 8x8 of scikit-learn's digits, held out of 1,797; "), protocol
    model.close()


def test_an_importance_weighted_update_by_hand(context: Context) -> None:
    """-log mean_k w_k with w_k = p(x | z_k) p(z_k) / q(z_k | x), all densities written out, and the gradient of an output bias.

    That is sum_k w~_k (sigmoid(logits_k) - x), w~ the normalised weights (Burda et al., 2016, eq. 14).
    """
    config = VAEConfig(
        DataConfig("digits"),
        held_out=100,
        hidden=6,
        latent=2,
        batch=4,
        turn=1,
        importance_samples=3,
        optimizer=OptimizerConfig(name="sgd", lr=0.1),
    )
    model = VAE(config, context)
    x = (model.train.draw(model.stream.seed, 0, 4) > 127).reshape(4, -1).astype(float)
    epsilon = np.asarray(tf.random.stateless_normal((4, 3, 2), [model.noise_seed, 0]), float).transpose(
        1, 0, 2
    )  # [K, B, L]
    W, b, M, m, S, s = (np.asarray(v, float) for v in model.encoder.trainable_variables)
    h = np.maximum(x @ W + b, 0)
    mean, log_variance = h @ M + m, h @ S + s
    z = mean + np.exp(log_variance / 2) * epsilon
    V, c, U, d = (np.asarray(v, float) for v in model.decoder.trainable_variables)
    logits = np.maximum(z @ V + c, 0) @ U + d  # [K, B, 64]
    log_p_x = -(np.log1p(np.exp(logits)) - x * logits).sum(axis=2)
    log_p_z = (-0.5 * z**2 - 0.5 * np.log(2 * np.pi)).sum(axis=2)
    log_q = (-0.5 * (z - mean) ** 2 / np.exp(log_variance) - 0.5 * log_variance - 0.5 * np.log(2 * np.pi)).sum(axis=2)
    w = np.exp(log_p_x + log_p_z - log_q)  # [K, B]
    slope = ((w / w.sum(axis=0))[..., None] * (1 / (1 + np.exp(-logits)) - x)).sum(axis=0).mean(axis=0)
    scalars = model.step()
    assert float(scalars["loss/total"]) == pytest.approx(-np.log(w.mean(axis=0)).mean(), rel=1e-5)
    assert float(scalars["loss/reconstruction"]) == pytest.approx(-log_p_x.mean(), rel=1e-5)
    np.testing.assert_allclose(model.decoder.trainable_variables[-1], d - 0.1 * slope, atol=1e-6)
    model.close()


def test_a_conditional_vae_draws_what_it_is_asked_for(context: Context, tmp_path: Path) -> None:
    """Two kinds of pictures, black and white, with labels 3 and 8: the label decides, z has nothing to tell."""
    images = np.repeat(np.array([0, 255], np.uint8), 30)[:, None, None, None] * np.ones((1, 8, 8, 1), np.uint8)
    np.savez(tmp_path / "own.npz", images=images, labels=np.repeat([3, 8], 30))
    settings = {
        "held_out": 10,
        "hidden": 8,
        "latent": 2,
        "batch": 16,
        "turn": 50,
        "nll_samples": 5,
        "conditional": True,
    }
    data = DataConfig(f"npz:{tmp_path / 'own.npz'}")
    model = VAE(VAEConfig(data, optimizer=OptimizerConfig(lr=1e-2), **settings), context)
    for _ in range(6):
        model.step()
    rows = model.by_class(3).reshape(2, 8, 24)
    assert rows[0].mean() < 20 and rows[1].mean() > 200
    assert [bool(image.mean() > 127) for image in model.sample(5)] == [False, True, False, True, False]
    decode = model.exportable()["decode"]
    made = decode(latent=tf.zeros((3, 2)), label=tf.constant([8, 3, 8], tf.int64))["image"].numpy()
    assert [bool(image.mean() > 127) for image in made] == [True, False, True]
    encode = model.exportable()["encode"]
    told = [
        encode(image=tf.constant(images[:1]), label=tf.constant([label], tf.int64))["mean"].numpy() for label in (3, 8)
    ]
    assert np.abs(told[0] - told[1]).max() > 1e-3
    model.close()


def test_vae_measures_pictures_it_never_saw(context: Context) -> None:
    model = VAE(VAEConfig(DataConfig("digits"), held_out=200, hidden=8, latent=2), context)
    assert len(model.train) == 1597 and not set(model.train.rows) & set(model.test.rows)
    assert set(model.train.rows) | set(model.test.rows) == set(range(1797))
    model.close()


# --- samples and pictures ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [16, 27, 28, 32, 64])
def test_any_size_from_16_up(context: Context, size: int) -> None:
    model = DCGAN(DCGANConfig(DataConfig("digits", size=size), **SMALL), context)
    assert model.G.output_shape == (None, size, size, 1)
    assert model.sample(3, seed=2).shape == (3, size, size, 1)
    np.testing.assert_array_equal(model.sample(3, seed=2), model.sample(3, seed=2))
    assert not np.array_equal(model.sample(3, seed=2), model.sample(3, seed=3))
    assert model.D.output_shape == (None,)
    model.close()


def test_resize_convolution_and_minibatch_std(context: Context) -> None:
    model = eager(DCGAN(DCGANConfig(DIGITS, upsampling="resize", minibatch_std=True, **SMALL), context))
    assert any("Resize" in type(layer).__name__ for layer in model.G.layers)
    model.step()
    model.close()


def test_interpolation_and_arithmetic(context: Context) -> None:
    model = DCGAN(DCGANConfig(DIGITS, **SMALL), context)
    assert model.interpolate(64, 0).shape == (64, 16, 16, 1)
    assert model.arithmetic(5, 0).shape == (1, 5 * 16, 4 * 16, 1)
    z = np.asarray(model.game.sampler.noise(15, 0)).reshape(5, 3, 3)
    last = model.game.sampler.generate(z[:, 0] - z[:, 1] + z[:, 2])
    picture = model.arithmetic(5, 0)[0].reshape(5, 16, 4, 16)[:, :, 3]
    np.testing.assert_allclose(picture, np.round((np.asarray(last)[..., 0] + 1) * 127.5), atol=1)
    model.close()


@pytest.mark.parametrize(("Model", "Config"), [(DCGAN, DCGANConfig), (WGAN, WGANConfig), (RaGAN, RaGANConfig)])
def test_points_are_counted_and_drawn(context: Context, Model: Any, Config: Any) -> None:
    model = eager(Model(Config(**RING), context))
    model.step()
    measured = model.evaluate()
    assert measured["samples/points"].shape == (1, 400, 400, 3)
    assert 0 <= measured["eval/modes"] <= 8 and "100 samples, 8 modes" in measured["eval/protocol"]
    assert model.sample(50).shape == (1, 400, 400, 3)
    model.close()


def test_step_sizes_of_both_networks_fall_by_the_clock(context: Context) -> None:
    falling = OptimizerConfig(lr=1e-2, lr_schedule="cosine", lr_steps=4, lr_end=0.1)
    settings: dict[str, Any] = {**SMALL, "optimizer": falling, "d_lr_ratio": 4.0, "critic_steps": 3}
    model = eager(WGAN(WGANConfig(DIGITS, **settings), context))
    seen = []
    for _ in range(5):
        model.step()
        seen.append([float(o.learning_rate) for o in (model.G_optimizer, model.f_optimizer)])
    np.testing.assert_allclose(*(np.transpose(seen) * [[4], [1]]), rtol=1e-6)
    np.testing.assert_allclose(np.transpose(seen)[0][[0, 2, 4]], [1e-2, 5.5e-3, 1e-3], rtol=1e-5)
    model.close()


def test_a_model_of_pictures_that_are_not_square(context: Context) -> None:
    model = eager(DCGAN(DCGANConfig(DataConfig("photos", size=32, height=20), **SMALL), context))
    model.step()
    assert model.sample(2).shape == (2, 20, 32, 3)
    assert model.evaluate()["samples/fixed"].shape == (64, 20, 32, 3)
    assert model.arithmetic(2).shape == (1, 2 * 20, 4 * 32, 3)
    model.close()


def test_stacked_digits_count_a_thousand_modes(context: Context) -> None:
    model = DCGAN(DCGANConfig(DataConfig("stacked-digits"), **SMALL), context)
    measured = model.evaluate()
    assert 1 <= measured["eval/modes"] <= 12 and measured["eval/reverse_kl"] > 4
    assert "classifier reads in their red, green and blue" in measured["eval/protocol"]
    assert "in blocks of at most 1,000" in measured["eval/protocol"]
    model.close()


# --- clear sentences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("Model", "Config"), [(DCGAN, DCGANConfig), (WGAN, WGANConfig), (RaGAN, RaGANConfig)])
def test_pictures_below_16_pixels(context: Context, Model: Any, Config: Any) -> None:
    with pytest.raises(
        UsageError, match=r"digits has 8 pixels a side; the networks need 16, set data.size .* to 16 or more"
    ):
        Model(Config(DataConfig("digits"), **SMALL), context)


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: DCGANConfig(batch=0), "batch is 0"),
        (lambda: DCGANConfig(real_label=0.3), "real_label is 0.3"),
        (lambda: DCGANConfig(kernel=1), "kernel is 1; it must be at least 2"),
        (lambda: DCGANConfig(d_lr_ratio=0), "d_lr_ratio is 0"),
        (lambda: WGANConfig(clip=0), "clip is 0"),
        (lambda: RaGANConfig(norm="batch", r1=1), "norm is 'batch', which mixes"),
        (lambda: RaGANConfig(norm="none", r1=1, penalty_end=0.1), "penalty_end is 0.1; it needs penalty_anneal"),
        (lambda: VAEConfig(DataConfig("ring")), "vae learns pictures"),
        (lambda: VAEConfig(likelihood="gaussian"), "binarise is 'half'"),
        (lambda: VAEConfig(importance_samples=5, beta=2.0), "beta is 2.0 and importance_samples 5"),
    ],
)
def test_settings_that_cannot_work(make: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make()


def test_extractors_are_checked_before_the_first_update(context: Context) -> None:
    """Not before: drawing and exporting need none."""
    model = DCGAN(DCGANConfig(DIGITS, extractor="nowhere.keras", **SMALL), context)
    assert len(model.sample(2)) == 2 and model.exportable()
    with pytest.raises(UsageError, match=r"extractor is 'nowhere.keras'; it must be 'digits', the path"):
        model.step()
    assert model.clock == 0


def test_pictures_that_are_too_few_to_measure_on(context: Context, tmp_path: Path) -> None:
    for i in range(3):
        Image.new("L", (16, 16), 80 * i).save(tmp_path / f"{i}.png")
    with pytest.raises(UsageError, match="has 3 pictures; to measure on them 4 or more are needed"):
        DCGAN(DCGANConfig(data=DataConfig(f"folder:{tmp_path}", size=16)), context).step()


def test_a_conditional_vae_needs_labels(context: Context) -> None:
    with pytest.raises(UsageError, match="conditional is set; lfw-faces has no labels"):
        VAE(VAEConfig(DataConfig("lfw-faces"), held_out=10, conditional=True), context)


def test_vae_needs_more_than_it_holds_out(context: Context) -> None:
    with pytest.raises(UsageError, match="less than the 1797"):
        VAE(VAEConfig(DataConfig("digits"), held_out=1797), context)


def test_sample_draws_what_a_model_offers(cli, tmp_path: Path) -> None:
    flags = ["--model.data.source", "digits", "--model.data.size", 16, "--model.batch", 4, "--model.width", 2]
    run_flags = ["--model.eval-samples", 12, "--run.until", 2, "--run.folder", tmp_path]
    assert cli("run", "dcgan", *flags, *run_flags)[0] == 0
    (run,) = tmp_path.glob("dcgan/*/*")
    for name in ("interpolate", "arithmetic"):
        code, out, _ = cli("sample", run, "--picture", name, "--n", 9)
        assert code == 0 and name in out and (run / f"{name}.png").is_file()
    code, _, err = cli("sample", run, "--picture", "interpolat")
    assert code == 2 and "did you mean 'interpolate'" in err.replace("\n", " ")


@pytest.mark.parametrize(("Model", "Config"), [(DCGAN, DCGANConfig), (WGAN, WGANConfig), (RaGAN, RaGANConfig)])
def test_bfloat16_keeps_outputs_and_weights_in_float32(context: Context, Model: Any, Config: Any) -> None:
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = eager(Model(Config(DIGITS, **SMALL), context))
        assert np.isfinite([float(v) for v in model.step().values()]).all()
        z = tf.zeros((2, 3))
        assert model.G(z).dtype == tf.float32 and model.G.layers[1].compute_dtype == "bfloat16"
        assert {v.dtype for v in model.G.variables} == {"float32"}
        model.close()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.slow
def test_ragan_finds_the_eight_modes_of_the_ring(context: Context) -> None:
    from experiments.launcher.catalogue import catalogue
    from experiments.launcher.flags import parse
    from experiments.launcher.yaml_file import read_yaml

    spec, preset = catalogue().find("ragan-ring")
    assert preset is not None
    config = parse(spec, [("preset", read_yaml(preset.path))], [], prog="", usage="")
    model = RaGAN(config.model, context)
    while model.clock < config.run.until:
        model.step()
    measured = model.evaluate()
    assert measured["eval/modes"] == 8 and measured["eval/high_quality"] > 0.9
    model.close()
