"""Two workers with half a batch each train as one process with the whole batch: the same curves within float tolerance."""

from __future__ import annotations

import dataclasses
import json
import signal
import socket
import time
from pathlib import Path

import numpy as np
import pytest

from core.distributed import multiworker_role
from core.errors import UsageError
from experiments.launcher.catalogue import catalogue
from experiments.launcher.events import read_scalars
from tests.conftest import only_run
from tests.processes import Fork

DCGAN = ("dcgan", "--model.data.source", "digits", "--model.data.size", 16, "--model.batch", 16, "--model.width", 4)
DCGAN = (*DCGAN, "--model.latent", 8, "--model.eval-samples", 16, "--model.ema", 0.9, "--model.turn", 2)
VAE = (
    "vae",
    "--model.data.source",
    "digits",
    "--model.batch",
    16,
    "--model.turn",
    2,
    "--model.hidden",
    32,
    "--model.latent",
    4,
)
WGAN = ("wgan", "--model.data.source", "digits", "--model.data.size", 16, "--model.batch", 16, "--model.width", 4)
WGAN = (*WGAN, "--model.latent", 8, "--model.eval-samples", 16)
RAGAN = ("ragan", *WGAN[1:], "--model.d-steps", 2, "--model.norm", "spectral", "--model.gp", 10.0, "--model.r1", 1.0)
GAN_CLS = ("gan-cls", "--model.data.pictures", 40, "--model.data.captions", 2, "--model.batch", 8, "--model.latent", 3)
GAN_CLS = (*GAN_CLS, "--model.g-width", 8, "--model.d-width", 16, "--model.word-units", 4, "--model.text-units", 6)
GAN_CLS = (*GAN_CLS, "--model.reduced", 4, "--model.eval-pictures", 8, "--model.encoder-epochs", 1, "--model.ema", 0.9)
GAN_CLS = (*GAN_CLS, "--model.encoder", "alongside", "--model.gan-int", 1, "--model.r1", 1.0)
ENCODERS = "--model.encoder-optimizer"
GAN_CLS = (*GAN_CLS, f"{ENCODERS}.max-grad-norm", 0.1, f"{ENCODERS}.epsilon", 1e-2)
FEATURES = ("features", "--model.data.source", "digits", "--model.batch", 16, "--model.features", 4, "--model.width", 4)
FEATURES = (*FEATURES, "--model.hidden", 8)
SRGAN = ("srgan", "--model.blocks", 1, "--model.width", 4, "--model.ends", 3, "--model.d-width", 1, "--model.crop", 64)
SRGAN = (*SRGAN, "--model.batch", 4, "--model.stage-one", 4, "--model.stage-two", 4, "--model.eval-side", 48)
# With seed 1 the outputs of D for fakes cancel to a mean of 0.1, of which 1e-5 is less than rounding leaves.
SRGAN = (*SRGAN, "--run.seed", 2)
SRGAN = (*SRGAN, "--model.pixel-optimizer.epsilon", 1e-2)
SOFT = ("--model.optimizer.epsilon", 1e-2)
"""Adam divides a gradient by its size, so what rounding leaves of one that is nearly 0 would move a weight as far as a real
gradient does, and after a few updates cover what a wrong share of the batch does."""
SHORT = ("--run.until", 8, "--run.log-every", 2, "--run.eval-every", 0, "--run.save-every", 4)


def ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("localhost", 0))
    numbers = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return numbers


def two_workers(*words: object) -> list[Fork]:
    cluster = {"worker": [f"localhost:{port}" for port in ports(2)]}
    tasks = ({"cluster": cluster, "task": {"type": "worker", "index": index}} for index in range(2))
    return [Fork(*words, "--run.strategy", "multiworker", env={"TF_CONFIG": json.dumps(task)}) for task in tasks]


def assert_same_curves(one: Path, two: Path, atol: float = 0.0) -> None:
    a, b = read_scalars(one), read_scalars(two)
    tags = [tag for tag in a if not tag.startswith("time/")]
    assert tags and set(a) == set(b)
    for tag in tags:
        assert [step for step, _ in a[tag]] == [step for step, _ in b[tag]], tag
        np.testing.assert_allclose([v for _, v in b[tag]], [v for _, v in a[tag]], rtol=1e-5, atol=atol, err_msg=tag)


def check_two_workers(model: tuple, tmp_path: Path) -> None:
    processes = [Fork("run", *model, *SOFT, *SHORT, "--run.folder", tmp_path / "one")]
    processes += two_workers("run", *model, *SOFT, *SHORT, "--run.folder", tmp_path / "two")
    for process in processes:
        _, err = process.communicate(timeout=280)
        assert process.returncode == 0, err[-3000:]
    # a first D of gan-cls gives outputs of 1e-5, from gradients that cancel: those of one process differ as much between
    # weights that differ by rounding. test_two_mirrored_devices_have_the_gradients_of_one compares the gradients themselves
    atol = 1e-6 if model is GAN_CLS else 0.0
    assert_same_curves(only_run(tmp_path / "one"), only_run(tmp_path / "two"), atol)  # the second worker wrote no run


@pytest.mark.slow
def test_dcgan_on_two_workers_is_dcgan(tmp_path: Path) -> None:
    """Batch norm in both networks, two optimisers, an averaged generator; the evaluation at the end included."""
    check_two_workers(DCGAN, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        VAE,
        (*WGAN, "--model.constraint", "gp"),
        (*WGAN, "--model.constraint", "sn"),
        (*RAGAN, "--model.loss", "rasgan"),
        (*RAGAN, "--model.loss", "rahinge"),
        GAN_CLS,
        SRGAN,
        (*SRGAN, "--model.adversarial", "relativistic"),
        FEATURES,
        (*FEATURES, "--model.method", "siamese"),
        (*FEATURES, "--model.method", "triplet"),
    ],
    ids=[
        "vae",
        "wgan-gp",
        "wgan-sn",
        "rasgan",
        "rahinge",
        "gan-cls",
        "srgan",
        "esrgan",
        "labels",
        "siamese",
        "triplet",
    ],
)
def test_others_on_two_workers(model: tuple, tmp_path: Path) -> None:
    check_two_workers(model, tmp_path)


@pytest.mark.slow
def test_a_signal_to_one_worker_saves_and_stops_both_and_both_resume(tmp_path: Path) -> None:
    long = ("--run.until", 100_000, "--run.log-every", 2, "--run.eval-every", 0, "--run.save-every", 0)
    processes = two_workers("run", *VAE, *long, "--run.folder", tmp_path)
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and not list(tmp_path.glob("*/*/*/checkpoints/000000000000")):
        time.sleep(0.5)
    time.sleep(3)
    processes[1].send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in processes] == [143, 143]
    run = only_run(tmp_path)
    stopped = max(int(path.name) for path in (run / "checkpoints").iterdir() if path.name.isdigit())
    assert stopped > 0
    until = stopped + 40
    for process in two_workers("resume", run, "--run.until", until):
        _, err = process.communicate(timeout=200)
        assert process.returncode == 0, err[-3000:]
    steps = [step for step, _ in read_scalars(run)["loss/total"]]
    assert steps == sorted(set(steps)) and steps[-1] >= until - 20


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("dqn", "--run.strategy", "mirrored"),
            "'dqn' is an agent, and agents train on one device; acgan, bigan, "
            "dcgan, features, gan-cls, ganomaly, ragan, srgan, vae, wgan can be",
        ),
        (("vae", "--run.strategy", "mirored"), "mirored"),
    ],
)
def test_who_cannot_be_distributed_says_so(cli, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    code, _, err = cli("run", *words, "--run.folder", tmp_path / "runs")
    assert code == 2 and sentence in " ".join(err.split())
    assert not (tmp_path / "runs").exists()


def test_a_model_that_does_not_share_its_batch_says_so(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = dataclasses.replace(catalogue().plugins["vae"], distributed=False)
    monkeypatch.setitem(catalogue().plugins, "vae", alone)
    code, _, err = cli("run", "vae", "--run.strategy", "mirrored", "--run.folder", tmp_path / "runs")
    assert code == 2 and "'vae' is not made for several devices; acgan, bigan, dcgan, features, gan-cls" in " ".join(
        err.split()
    )
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "needs the environment variable TF_CONFIG"),
        ("{", "it must read like"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 1}}', "task worker 1 of 1 workers"),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "ps", "index": 0}}',
            "all tasks are workers",
        ),
    ],
)
def test_a_bad_cluster_gets_a_sentence(monkeypatch: pytest.MonkeyPatch, text: str, sentence: str) -> None:
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(UsageError) as caught:
        multiworker_role()
    assert sentence in str(caught.value)


TWO_DEVICES = """
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from core.plugin import Context, build
from experiments.launcher.experiment import Experiment
from core.distributed import make_strategy
strategy = make_strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
"""
"""Two logical CPUs stand for two GPUs."""


def on_two_devices(script: str) -> str:
    """Return the exit code and what was written to stderr if the script failed, which its assertions make it do."""
    process = Fork(code=TWO_DEVICES + script, env={"CUDA_VISIBLE_DEVICES": "-1"})
    _, err = process.communicate(timeout=250)
    return f"exit code {process.returncode}: {err[-3000:]}" if process.returncode else ""


def test_two_mirrored_devices_train_as_one(tmp_path: Path) -> None:
    failure = on_two_devices(f"""
chosen = Experiment.of({list(map(str, DCGAN))})
spec, config = chosen.spec, chosen.config
from dataclasses import replace
from core.errors import UsageError
try:
    build(spec, replace(config, batch=15), Context(seed=1, folder=Path({str(tmp_path)!r}), strategy=strategy))
    raise AssertionError("a batch of 15 for two")
except UsageError as error:
    assert "batch is 15; 2 replicas share it equally, so it must be a multiple of 2" in str(error)
alone = build(spec, config, Context(seed=1, folder=Path({str(tmp_path)!r})))
with strategy.scope():
    shared = build(spec, config, Context(seed=1, folder=Path({str(tmp_path)!r}), strategy=strategy))
    for _ in range(4):
        ours = shared.step()
    values = {{key: np.asarray(value) for key, value in ours.items()}}
for _ in range(4):
    expected = alone.step()
for key, value in expected.items():
    np.testing.assert_allclose(values[key], value, rtol=2e-3, atol=2e-3, err_msg=key)
for a, b in zip(alone.D.variables, shared.D.variables):
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=2e-3, atol=2e-3)
for v in shared.G.variables:  # running statistics too are the same on both devices
    copies = [np.asarray(copy) for copy in strategy.experimental_local_results(v.value)]
    assert len(copies) == 2 and np.array_equal(*copies)
""")
    assert not failure, failure


@pytest.mark.parametrize("loss", ["rasgan", "cosine_hinge"])
def test_what_compares_rows_sees_those_of_all_devices(loss: str) -> None:
    """Losses whose terms need the rows of other replicas: value and gradient are those of one device."""
    failure = on_two_devices(f"""
from core.distributed import on_replicas, share, share_of_mean, whole_batch
from core.losses.relativistic import rasgan
from core.losses.text_image import cosine_hinge
rows = np.random.default_rng(0).normal(size=(2, 6, 3)).astype(np.float32)
false = tf.constant(1 - np.eye(6), tf.bool)

def value(x, y):
    if {loss!r} == "rasgan":
        return rasgan(share(x)[:, 0], share(y)[:, 0])
    return cosine_hinge(whole_batch(share(x)), whole_batch(share(y)), false, 0.9)

def gradients(x, y):
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        part = share_of_mean(value(x, y))
    return tf.stack(tape.gradient(part, [x, y]))

x, y = map(tf.constant, rows)
expected_value, expected = value(x, y), gradients(x, y)
with strategy.scope():
    np.testing.assert_allclose(tf.function(lambda: on_replicas(value, x, y))(), expected_value, rtol=1e-6)
    mean = tf.function(lambda: on_replicas(gradients, x, y))()
np.testing.assert_allclose(2 * mean, expected, rtol=1e-5, atol=1e-7)
assert np.abs(expected).max() > 0.01
""")
    assert not failure, failure


def test_the_optimiser_of_two_devices_is_that_of_one() -> None:
    """Accumulated, clipped over the whole batch, decayed and on a schedule: each device has half of every gradient."""
    failure = on_two_devices("""
import keras
from core.distributed import on_replicas, share_of_mean
from core.optim.config import OptimizerConfig
from core.optim.optimizer import make_optimizer
gradients = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
common = dict(lr=0.1, lr_schedule="linear", lr_steps=8, weight_decay=0.1, accumulate=2, max_grad_norm=0.5)

def trained(config):
    w = keras.Variable([1.0, -2.0, 0.5])
    optimizer = make_optimizer(config, [w])

    def update(g):
        context = tf.distribute.get_replica_context()
        if context.num_replicas_in_sync == 2:  # unlike halves of 2 g, whose sum is the gradient of one
            g = tf.where(context.replica_id_in_sync_group == 0, 3 * g, -g)
        optimizer.apply([share_of_mean(g)], [w])
        return tf.reduce_sum(w.value)

    step = tf.function(lambda g: on_replicas(update, g))
    for g in gradients:
        step(tf.constant(g))
    assert np.asarray(optimizer.iterations) == 6
    return [np.asarray(v) for v in (w, *optimizer.variables)]

for name in ("adam", "adamw", "radam", "rmsprop", "adagrad", "sgd"):
    config = OptimizerConfig(name, momentum=0.9 if name in ("rmsprop", "sgd") else 0.0, **common)
    alone = trained(config)
    with strategy.scope():
        shared = trained(config)
    assert abs(alone[0] - [1.0, -2.0, 0.5]).max() > 1e-3
    for a, b in zip(alone, shared, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-7, err_msg=name)
""")
    assert not failure, failure


@pytest.mark.slow
@pytest.mark.parametrize(
    "model", [(*RAGAN, "--model.loss", "rasgan"), GAN_CLS, (*SRGAN, "--model.stage-one", 0)], ids=str
)
def test_two_mirrored_devices_have_the_gradients_of_one(model: tuple, tmp_path: Path) -> None:
    """After one update Adam's first moments are the gradients, times 1 - beta1."""
    failure = on_two_devices(f"""
chosen = Experiment.of({list(map(str, model))})
spec, config = chosen.spec, chosen.config
alone = build(spec, config, Context(seed=1, folder=Path({str(tmp_path)!r})))
alone.step()
with strategy.scope():
    shared = build(spec, config, Context(seed=1, folder=Path({str(tmp_path)!r}), strategy=strategy))
    shared.step()
kept, parts = alone.state(), shared.state()
names = [name for name in kept if name.endswith("optimizer") and int(kept[name].iterations) > 0]
assert "G_optimizer" in names and len(names) > 1
for name in names:
    ours, expected = (state[name].slots["momentum"] for state in (parts, kept))
    size = max(np.abs(m).max() for m in map(np.asarray, expected))
    assert size > 0, name
    for a, b in zip(ours, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=1e-5 * size, rtol=1e-4, err_msg=f"{{name}} {{b.path}}")
""")
    assert not failure, failure
