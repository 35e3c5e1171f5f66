from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from agents.a3c.agent import A3C
from agents.a3c.config import A3CConfig
from agents.a3c.local import Processes
from agents.a3c.worker import Network, Report, Worker, rmsprop
from agents.rl.evaluate import evaluate
from core.errors import ForeignError, UsageError
from core.losses.reinforcement import (
    policy_gradient,
    squared_error,
)
from core.plugin import Context
from envs import EnvConfig
from tests.conftest import ROOT

CATCH, WALK = EnvConfig("pongan/Catch-v0"), EnvConfig("pongan/Walk-v0")


def config(**fields: Any) -> A3CConfig:
    defaults = {"env": CATCH, "workers": 1, "backend": "threads", "n_steps": 6, "hidden": (8,), "turn": 4}
    return A3CConfig(**(defaults | fields))


@contextmanager
def agent(seed: int = 0, say: Any = print, deterministic: bool = False, **fields: Any) -> Iterator[A3C]:
    a = A3C(config(**fields), Context(seed=seed, folder=Path("."), say=say, deterministic=deterministic))
    try:
        yield a
    finally:
        a.close()


def test_rmsprop_by_hand() -> None:
    theta, g = np.array([1.0, 2.0], np.float32), np.array([0.0, 4.0], np.float32)
    rmsprop(theta, g, np.array([3.0, -2.0], np.float32), lr=0.1, decay=0.75, epsilon=0.0)
    np.testing.assert_allclose(g, [2.25, 4.0])
    np.testing.assert_allclose(theta, [1 - 0.1 * 3 / 1.5, 2 + 0.1 * 2 / 2])


@pytest.mark.parametrize("env", [CATCH, WALK], ids=["categorical", "gaussian"])
def test_the_flat_gradient_is_that_of_the_model(env: EnvConfig) -> None:
    c = config(env=env, entropy=0.05, value_weight=0.7, max_gradient_norm=0.0)
    worker = Worker(c, seed=0, number=0)
    network, rng = worker.network, np.random.default_rng(0)
    theta = network.initial + rng.normal(0, 0.1, network.initial.shape).astype(np.float32)
    network.use(theta)
    x = rng.normal(size=(5, *network.observations.shape)).astype(np.float32)
    A, R = rng.normal(size=(2, 5)).astype(np.float32)
    a = rng.integers(0, 3, 5).astype(np.int32) if env is CATCH else rng.normal(size=(5, 1)).astype(np.float32)
    gradient, losses = network.gradient(x, a, A, R)

    model, end = network.model, 0
    for v in model.trainable_variables:
        end += v.numpy().size
        v.assign(theta[end - v.numpy().size : end].reshape(v.shape))
    log_std = tf.Variable(theta[end:])
    with tf.GradientTape() as tape:
        outputs = model(x)
        policy, value = outputs["policy"], outputs["value"][:, 0]
        parameters = policy if env is CATCH else (policy, log_std)
        log_pi, H = network.policy.log_prob(parameters, a), tf.reduce_mean(network.policy.entropy(parameters))
        parts = [tf.reduce_mean(policy_gradient(log_pi, A)), tf.reduce_mean(squared_error(value, R)), H]
        loss = parts[0] + 0.7 * parts[1] - 0.05 * parts[2]
    weights = [v.value for v in model.trainable_variables] + ([] if env is CATCH else [log_std])
    expected = np.concatenate([np.ravel(g) for g in tape.gradient(loss, weights)])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(losses, [*map(float, parts), np.linalg.norm(expected)], rtol=1e-4)

    acts, v, _ = network.forward(x)  # by the numpy mirror
    np.testing.assert_allclose(acts if env is CATCH else acts[0], policy, atol=1e-5)
    np.testing.assert_allclose(v, value, atol=1e-5)
    if env is not CATCH:
        np.testing.assert_array_equal(acts[1], log_std)


def test_the_gradient_is_cut_to_the_norm() -> None:
    norms = {}
    for limit in (0.0, 0.01):
        worker = Worker(config(max_gradient_norm=limit), seed=0, number=0)
        gradient = worker.learn(worker.network.initial, Report())
        norms[limit] = np.linalg.norm(gradient)
    assert norms[0.0] > 0.05 and norms[0.01] == pytest.approx(0.01, rel=1e-4)


def test_the_small_network_plays_pong_at_42_pixels() -> None:
    pong = EnvConfig("ALE/Pong-v5", observation="frames42", actions=(0, 2, 3), noop_max=0)
    worker = Worker(config(env=pong), seed=0, number=0)
    report = Report()
    gradient = worker.learn(worker.network.initial, report)
    assert worker.network.observations.shape == (4, 42, 42) and worker.clip_rewards
    assert gradient.shape == worker.network.initial.shape and np.isfinite(gradient).all() and np.any(gradient)


def test_one_update_of_one_worker_is_rmsprop_on_its_gradient() -> None:
    c = config()
    with agent(turn=1) as a:
        a.step()
        twin = Worker(c, seed=0, number=0)
        gradient = twin.learn(a.network.initial, Report())
        g = 0.01 * gradient**2
        np.testing.assert_allclose(a.theta.numpy(), a.network.initial - 7e-4 * gradient / np.sqrt(g + 1e-5), atol=1e-7)
        assert (a.clock, a.updates) == (6, 1)


def test_one_worker_in_a_process_does_exactly_what_one_in_a_thread_does() -> None:
    results = []
    for backend in ("threads", "processes"):
        with agent(backend=backend) as a:
            for n in range(3):
                a.step()
                if backend == "processes" and n == 0:  # signals that reach the whole group are the launcher's business
                    for number in (signal.SIGTERM, signal.SIGINT):
                        os.kill(a.backend._processes[0].pid, number)  # type: ignore[attr-defined]
            results.append((a.theta.numpy(), a.g, a.state()["worker_states"][0]["rng"]))
    (theta_1, g_1, rng_1), (theta_2, g_2, rng_2) = results
    np.testing.assert_array_equal(theta_1, theta_2)
    np.testing.assert_array_equal(g_1, g_2)
    assert rng_1 == rng_2


@pytest.mark.slow
def test_several_workers_share_the_weights_and_their_delay_is_seen() -> None:
    with agent(workers=3, turn=30) as a:
        scalars = [a.step() for _ in range(4)]
        done = a.backend._shared.done  # type: ignore[attr-defined]
        assert (done > 0).all() and done.sum() == a.updates >= 120
        delays = np.concatenate([s["optim/staleness"] for s in scalars])
        assert len(delays) == a.updates and delays.min() >= 0 and delays.max() >= 1
        assert a.clock == a.updates * 6


@pytest.mark.parametrize("backend", ["threads", pytest.param("processes", marks=pytest.mark.slow)])
def test_workers_that_take_turns_give_the_same_run_and_resume_to_the_last_bit(backend: str) -> None:
    """Three workers: each gradient but a worker's first of a turn is two updates old; a resume goes on as if nothing had been."""
    said: list[str] = []
    fields = {"workers": 3, "turn": 7, "deterministic": True, "backend": backend, "say": said.append}
    with agent(**fields) as a:
        delays = [sorted(a.step()["optim/staleness"].tolist()) for _ in range(2)]
        assert delays == [[0, 1, 2, 2, 2, 2, 2]] * 2 and a.updates == 14 and a.clock == 14 * 6
        theta, g, states = a.theta.numpy().copy(), a.g.copy(), a.worker_states
        a.step()
        ending = a.theta.numpy().copy(), a.g.copy(), [state["rng"] for state in a.worker_states]
    with agent(**fields) as b:
        b.theta.assign(theta)
        b.g, b.worker_states = g, states
        b.step()
        np.testing.assert_array_equal(b.theta.numpy(), ending[0])
        np.testing.assert_array_equal(b.g, ending[1])
        assert [state["rng"] for state in b.worker_states] == ending[2] and said == []


def test_two_workers_in_turn_by_hand() -> None:
    """Updates 0 and 1 have gradients for the first weights, update 2 one for the weights after update 0."""
    c = config(workers=2)
    with agent(workers=2, turn=3, deterministic=True) as a:
        a.step()
        theta, g = a.network.initial.copy(), np.zeros_like(a.network.initial)
        workers = [Worker(c, seed=0, number=number) for number in range(2)]
        first, second = (worker.learn(a.network.initial, Report()) for worker in workers)
        rmsprop(theta, g, first, c.lr, c.decay, c.epsilon)
        third = workers[0].learn(theta.copy(), Report())
        for gradient in (second, third):
            rmsprop(theta, g, gradient, c.lr, c.decay, c.epsilon)
        np.testing.assert_array_equal(a.theta.numpy(), theta)


def test_no_worker_waits_for_one_that_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    with agent(backend="processes", workers=2, deterministic=True) as a:
        a.step()
        os.kill(a.backend._processes[1].pid or 0, signal.SIGKILL)  # type: ignore[attr-defined]
        with pytest.raises(
            UsageError, match="worker 1 ended with exit code -9, and in a deterministic run no other can take"
        ):
            a.step()
    learn = Worker.learn

    def fail(self: Worker, theta: np.ndarray, report: Report) -> np.ndarray:
        if report.updates:
            raise ArithmeticError("nothing left to learn")
        return learn(self, theta, report)

    monkeypatch.setattr(Worker, "learn", fail)
    with agent(workers=3, turn=9, deterministic=True) as a, pytest.raises(ArithmeticError, match="nothing left"):
        a.step()


ORPHAN = """
import os, signal, sys
from tests.agents.test_a3c import agent

if __name__ == "__main__":
    with agent(backend="processes", workers=2, deterministic=True) as a:
        a.step()
        backend = a.backend
        print(*(process.pid for process in backend._processes), flush=True)
        backend._shared.prepare(4, 1e-3)
        backend._pipes[0].send(("work", None))  # and the second one is never asked
        os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_no_worker_waits_on_when_the_launcher_is_killed(tmp_path: Path) -> None:
    (tmp_path / "orphan.py").write_text(ORPHAN)
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "orphan.py"], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    pids, deadline = [int(word) for word in done.stdout.split()[-2:]], time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


@pytest.mark.slow
@pytest.mark.parametrize("workers", [1, 3])
def test_it_learns_to_catch(workers: int) -> None:
    fields = {"lr": 0.004, "n_steps": 20, "hidden": (32,), "turn": 50}
    with agent(workers=workers, **fields) as a:
        untrained = evaluate(a, 50, 1, greedy=True)["eval/return_mean"]
        while a.clock < 40_000:
            a.step()
        assert untrained < 0.5 and evaluate(a, 50, 1, greedy=True)["eval/return_mean"] > 0.9


def test_a_worker_process_that_dies_is_named_and_the_others_go_on() -> None:
    said: list[str] = []
    with agent(backend="processes", workers=2, say=said.append) as a:
        a.step()
        backend = a.backend
        assert isinstance(backend, Processes)
        os.kill(backend._processes[1].pid or 0, signal.SIGKILL)
        before = a.updates
        a.step()
        assert a.updates >= before + 4
        assert any("worker 1 ended with exit code -9; training goes on with 1" in line for line in said)
        first, second = a.state()["worker_states"]
        assert first is not None and second is None
        os.kill(backend._processes[0].pid or 0, signal.SIGKILL)
        with pytest.raises(UsageError, match="there is none left"):
            a.step()


def test_a_failure_in_a_worker_reaches_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Worker, theta: np.ndarray, report: Report) -> np.ndarray:
        raise ArithmeticError("the worker broke")

    with agent(workers=2) as a:
        a.step()
        monkeypatch.setattr(Worker, "learn", fail)
        with pytest.raises(ArithmeticError, match="the worker broke"):
            a.step()


def test_a_failure_that_cannot_be_sent_reaches_the_caller_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "failing_walk.py").write_text("""
import gymnasium
from envs.fakes import Walk

class Failure(Exception):
    def __init__(self, a, b):
        super().__init__(f"{a} {b}")
        self.hook = lambda: None

class FailingWalk(Walk):
    def step(self, action):
        raise Failure("no", "light")

gymnasium.register("FailingWalk-v0", FailingWalk, max_episode_steps=20)
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    with agent(workers=1, backend="processes", env=EnvConfig("failing_walk:FailingWalk-v0")) as a:
        with pytest.raises(
            ForeignError, match=r"'failing_walk:FailingWalk-v0' raised Failure in step 1 .*: no light"
        ) as caught:
            a.step()
        assert "failing_walk.py" in caught.value.__notes__[0]


@pytest.mark.parametrize(
    ("end", "says"), [("os._exit(5)", "exit code 5"), ("sys.exit(5)", "raised SystemExit in step 3")]
)
def test_an_environment_that_ends_its_worker_is_named(
    end: str, says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"leaving_{end[:2].replace('.', '')}"
    (tmp_path / f"{name}.py").write_text(f"""
import os, sys
import gymnasium
from envs.fakes import Walk

class Leaving(Walk):
    steps = 0
    def step(self, action):
        self.steps += 1
        if self.steps == 3:
            {end}
        return super().step(action)

gymnasium.register("{name}-v0", Leaving, max_episode_steps=20)
""")
    monkeypatch.syspath_prepend(str(tmp_path))
    env = EnvConfig(f"{name}:{name}-v0")
    with agent(workers=1, backend="processes", env=env) as a, pytest.raises(UsageError, match=says) as caught:
        a.step()
    assert f"'{name}:{name}-v0'" in str(caught.value)


@pytest.mark.slow
def test_resuming_several_workers_says_that_it_is_not_exact() -> None:
    said: list[str] = []
    with agent(workers=2) as a, agent(workers=2, seed=1, say=said.append) as b:
        a.step()
        b.theta.assign(a.theta)
        b.g, b.clock, b.worker_states = a.g, a.clock, a.worker_states
        assert any("not bit for bit" in line for line in said)
        b.step()
        assert b.clock > a.clock


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"workers": -1}, "workers is -1"),
        ({"ray_address": "auto"}, "it needs backend ray"),
        ({"turn": 0}, "turn is 0"),
        ({"decay": 1.0}, "decay is 1.0"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        config(**fields)


def test_a_deterministic_run_on_ray_is_refused() -> None:
    with (
        pytest.raises(UsageError, match=r"takes --agent\.backend processes or threads"),
        agent(workers=2, backend="ray", deterministic=True),
    ):
        pass


def test_a_network_for_other_actions_is_refused() -> None:
    from gymnasium.spaces import Box, MultiBinary

    with pytest.raises(UsageError, match="a3c needs discrete actions"):  # environments give them as MultiDiscrete
        Network(config(), Box(-1, 1, (3,), np.float32), MultiBinary(2), 0)
    with pytest.raises(UsageError, match="a3c needs discrete actions"):  # 2.9 would act as 2
        Network(config(), Box(-1, 1, (3,), np.float32), Box(0, 3, (2,), np.int64), 0)


@pytest.mark.slow
@pytest.mark.parametrize("address", ["127.0.0.1:1", "127.0.0.1:99999"])
def test_a_ray_address_where_nobody_listens_is_refused_at_once(address: str) -> None:
    pytest.importorskip("ray")
    with agent(backend="ray", ray_address=address) as a, pytest.raises(UsageError, match="cannot be reached"):
        a.step()


@pytest.mark.slow
def test_ray_goes_on_when_a_node_is_killed() -> None:
    """Two nodes with one CPU each, one worker on each; the second node is killed in mid-training."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    said: list[str] = []
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    ray.init(address=cluster.address, log_to_driver=False)
    try:
        with agent(backend="ray", workers=2, turn=20, say=said.append) as a:
            scalars = a.step()
            assert a.updates == 20 and len(scalars["optim/staleness"]) == 20
            assert all(state is not None for state in a.state()["worker_states"])
            cluster.remove_node(node, allow_graceful=False)
            theta = a.theta.numpy()
            for _ in range(3):
                a.step()
            assert a.updates == 80 and not np.array_equal(theta, a.theta.numpy())
            assert any("was lost" in line and "training goes on with 1" in line for line in said), said
            assert sum(state is None for state in a.state()["worker_states"]) == 1
    finally:
        ray.shutdown()
        cluster.shutdown()
