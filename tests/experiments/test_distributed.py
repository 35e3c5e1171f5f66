"""Two workers with half a batch each train as one process with the whole batch: the same curves within float tolerance."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from core.distributed import multiworker_role
from core.errors import UsageError
from experiments.tensorboard import read_scalars
from tests.conftest import ROOT, only_run

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
SOFT_ADAM = (
    "import runpy; from core import optimizers; start = optimizers.Adam.__init__;"
    "optimizers.Adam.__init__ = lambda self, *args, **kwargs: start(self, *args, **{**kwargs, 'epsilon': 1e-2});"
    "runpy.run_module('experiments', run_name='__main__', alter_sys=True)"
)
"""The launcher with another epsilon: Adam divides a gradient by its size, so what rounding leaves of one that is nearly 0 would
move a weight as far as a real gradient does, and after a few updates cover what a wrong share of the batch does."""
SHORT = ("--run.until", 8, "--run.log-every", 2, "--run.eval-every", 0, "--run.save-every", 4)


def ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    for s in sockets:
        s.bind(("localhost", 0))
    numbers = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return numbers


def start(*words: object, worker: int | None = None, hosts: list[int] | None = None) -> subprocess.Popen[str]:
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    if hosts is not None:
        cluster = {"worker": [f"localhost:{port}" for port in hosts]}
        env["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": "worker", "index": worker}})
    command = [sys.executable, "-c", SOFT_ADAM, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def two_workers(*words: object) -> list[subprocess.Popen[str]]:
    hosts = ports(2)
    return [start(*words, "--run.strategy", "multiworker", worker=i, hosts=hosts) for i in range(2)]


def assert_same_curves(one: Path, two: Path) -> None:
    a, b = read_scalars(one), read_scalars(two)
    tags = [tag for tag in a if not tag.startswith("time/")]
    assert tags and set(a) == set(b)
    for tag in tags:
        assert [step for step, _ in a[tag]] == [step for step, _ in b[tag]], tag
        np.testing.assert_allclose([v for _, v in b[tag]], [v for _, v in a[tag]], rtol=1e-5, err_msg=tag)


def check_two_workers(model: tuple, tmp_path: Path) -> None:
    processes = [start("run", *model, *SHORT, "--run.folder", tmp_path / "one")]
    processes += two_workers("run", *model, *SHORT, "--run.folder", tmp_path / "two")
    for process in processes:
        _, err = process.communicate(timeout=280)
        assert process.returncode == 0, err[-3000:]
    assert_same_curves(only_run(tmp_path / "one"), only_run(tmp_path / "two"))  # the second worker wrote no run


@pytest.mark.slow
def test_dcgan_on_two_workers_is_dcgan(tmp_path: Path) -> None:
    """Batch norm in both networks, two optimisers, an averaged generator; the evaluation at the end included."""
    check_two_workers(DCGAN, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [VAE, (*WGAN, "--model.constraint", "gp"), (*WGAN, "--model.constraint", "sn")],
    ids=["vae", "wgan-gp", "wgan-sn"],
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
            "'dqn' is an agent, and agents train on one device; dcgan, vae, wgan can be",
        ),
        (("ragan", "--run.strategy", "mirrored"), "'ragan' is not made for several devices"),
        (("vae", "--run.strategy", "mirored"), "mirored"),
    ],
)
def test_who_cannot_be_distributed_says_so(cli, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    code, _, err = cli("run", *words, "--run.folder", tmp_path / "runs")
    assert code == 2 and sentence in " ".join(err.split())
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


def test_two_mirrored_devices_train_as_one(tmp_path: Path) -> None:
    """Two logical CPUs stand for two GPUs."""
    script = f"""
import numpy as np, tensorflow as tf
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
from pathlib import Path
from core.plugin import Context, build
from experiments.run import configured
from core.distributed import make_strategy
spec, _, config, _ = configured({list(map(str, DCGAN))})
strategy = make_strategy("mirrored")
assert strategy.num_replicas_in_sync == 2
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
"""
    env = os.environ | {"PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "-1"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=env, capture_output=True, text=True, timeout=250
    )
    assert done.returncode == 0, done.stderr[-3000:]
