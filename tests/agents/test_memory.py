"""The memory of `actor-critic` and `a3c`: what acting computes step by step is what learning sees, and its gradient."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from agents.a3c.agent import A3C
from agents.a3c.config import A3CConfig
from agents.a3c.worker import Report, Worker
from agents.actor_critic.agent import ActorCritic
from agents.actor_critic.config import ActorCriticConfig
from agents.rl.evaluate import evaluate
from agents.rl.memory import forget, starts
from core import checkpoint
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from envs import EnvConfig
from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract

CATCH, WALK = EnvConfig("pongan/Catch-v0"), EnvConfig("pongan/Walk-v0", time_limit=7)
KINDS = ["lstm", "gru"]
ONE = ["lstm", pytest.param("gru", marks=pytest.mark.slow)]  # which of them every run of the tests tries
Weights = dict[str, np.ndarray]


def agent(seed: int = 0, **fields: Any) -> ActorCritic:
    fields = {"env": CATCH, "envs": 4, "n_steps": 12, "hidden": (8,), "memory": "lstm", "memory_size": 6} | fields
    return ActorCritic(ActorCriticConfig(**fields), Context(seed=seed, folder=Path(".")))


def worker(**fields: Any) -> Worker:
    fields = {"env": CATCH, "n_steps": 12, "hidden": (8,), "memory": "lstm", "memory_size": 6} | fields
    return Worker(A3CConfig(**fields), seed=0, number=0)


def shaken(variables: Sequence[Any]) -> None:
    """Move weights so far from their start that the state, and with it the past, shows in every output."""
    rng = np.random.default_rng(0)
    for v in variables:
        v.assign(v.numpy() + rng.normal(0, 0.5, v.shape))


def rollout(a: ActorCritic) -> dict[str, Any]:
    a._play(a.config.n_steps)
    a._estimate()
    assert a.batch is not None
    return a.batch


# --- acting and learning ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "env", "network"),
    [
        ("lstm", CATCH, ""),
        *(pytest.param(*case, marks=pytest.mark.slow) for case in itertools.product(KINDS, (CATCH, WALK), ("", "own"))),
    ],
)
def test_a_sequence_is_what_acting_computed_step_by_step(
    kind: str, env: EnvConfig, network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Episodes end inside the rollouts and at different steps; the second rollout begins in the middle of one. By the mirror, and
    with a network of one's own that has none by TensorFlow."""
    if network:
        (tmp_path / "own_torso.py").write_text(
            "import keras\ntorso = lambda s: keras.Sequential([keras.Input(s), keras.layers.Dense(5, 'gelu')])\n"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        network = "own_torso:torso"
    a = agent(env=env, memory=kind, clip=0.2, network=network)
    assert a.network.small != bool(network)
    shaken(a.model.trainable_variables)
    a.restored()
    a.env.step(a.policy.to_env(np.zeros((4, *a.policy.shape), a.policy.dtype)), np.arange(4) % 2 == 0)  # two are ahead
    for number in range(2):
        batch = rollout(a)
        parameters, V = a.network(batch["x"], *batch["memory"])
        np.testing.assert_allclose(np.reshape(V, (4, 12)), a.rollout["v"].T, atol=1e-5)
        actions = batch["a"].reshape(48, *a.policy.shape)
        np.testing.assert_allclose(
            a.policy.log_prob(parameters, actions), batch["log_pi"].ravel(), rtol=1e-4, atol=1e-5
        )
        assert 4 <= a.rollout["done"].sum() < 16 and any(np.any(h) for h in batch["memory"][1:]) == bool(number)
        forgetful, _ = a.network(batch["x"], tf.ones_like(batch["memory"][0]), *batch["memory"][1:])
        assert not np.allclose(a.policy.log_prob(forgetful, actions), batch["log_pi"].ravel(), atol=1e-2)
        a.batch, a.t = None, 0
        shaken(a.model.trainable_variables)
        a.restored()


@pytest.mark.parametrize("kind", ONE)
def test_a_workers_sequence_is_what_acting_computed_step_by_step(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = worker(memory=kind, env=WALK)
    theta = w.network.initial + np.random.default_rng(0).normal(0, 0.5, w.network.initial.shape).astype(np.float32)
    seen: dict[str, Any] = {}
    step, values = w.network.forward, []
    monkeypatch.setattr(w.network, "_gradient", w.network._loss_gradient)  # without the compiler
    monkeypatch.setattr(w.network, "forward", lambda x, h: values.append((x, step(x, h)[1])) or step(x, h))
    learn = w.network.gradient
    monkeypatch.setattr(w.network, "gradient", lambda *given, **_: seen.update(given=given) or learn(*given))
    for number in range(2):
        values.clear()
        w.learn(theta, Report())
        x, _, _, _, start, *h = seen["given"]
        assert start.tolist() == [t in ((7,) if number == 0 else (2, 9)) for t in range(12)]
        assert any(np.any(part) for part in h) == bool(number)
        _, V = w.network._over_time(w.network.theta, tf.constant(x), tf.constant(start), *map(tf.constant, h))
        acted = [v[0] for given, v in values if any(given is row or np.array_equal(given[0], row) for row in x)]
        np.testing.assert_allclose(V, acted[:12], atol=1e-5)


# --- the gradient -------------------------------------------------------------------------------------------------------


def loss(w: Weights, kind: str, batch: dict[str, Any], c_v: float, c_e: float) -> float:
    """mean[-A log pi + c_v (R - V)^2 / 2 - c_e H] of whole sequences in float64, written down step by step."""

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    total, (start, *h_0) = 0.0, batch["memory"]
    N, T = start.shape
    for n in range(N):
        state = [part[n].astype(float) for part in h_0]
        for t in range(T):
            if start[n, t]:
                state = [0 * part for part in state]
            f = np.tanh(batch["x"][n, t].astype(float) @ w["torso/torso_0/kernel"] + w["torso/torso_0/bias"])
            U, b, xW = w["memory/recurrent_kernel"], w["memory/bias"], f @ w["memory/kernel"]
            if kind == "lstm":
                i, forget_gate, g, o = np.split(xW + state[0] @ U + b, 4)
                c = sigmoid(forget_gate) * state[1] + sigmoid(i) * np.tanh(g)
                state = [sigmoid(o) * np.tanh(c), c]
            else:
                (z, r, g), (z_h, r_h, g_h) = np.split(xW + b[0], 3), np.split(state[0] @ U + b[1], 3)
                z = sigmoid(z + z_h)
                state = [z * state[0] + (1 - z) * np.tanh(g + sigmoid(r + r_h) * g_h)]
            logits = state[0] @ w["policy/kernel"] + w["policy/bias"]
            (V,) = state[0] @ w["value/kernel"] + w["value/bias"]
            log_p = logits - np.log(np.exp(logits).sum())
            entropy = -(np.exp(log_p) * log_p).sum()
            total += -batch["A"][n, t] * log_p[batch["a"][n, t]] + c_v * (batch["R"][n, t] - V) ** 2 / 2 - c_e * entropy
    return total / (N * T)


def assert_gradient(gradient: Weights, w: Weights, of: Callable[[Weights], float]) -> None:
    """Compare with central differences: along each weight array in a random direction."""
    rng = np.random.default_rng(1)
    for name in w:
        direction = rng.normal(size=w[name].shape)
        up, down = (of(w | {name: w[name] + sign * 1e-5 * direction}) for sign in (1, -1))
        expected = (up - down) / 2e-5
        assert abs(expected) > 1e-6, name
        np.testing.assert_allclose((gradient[name] * direction).sum(), expected, rtol=2e-3, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", ONE)
def test_one_update_follows_the_gradient_through_the_whole_rollout(kind: str) -> None:
    """Of the second rollout, which begins in the middle of episodes; a step of SGD is the gradient itself.

    LSTM without a compiler, which takes longer than the test; GRU as the agent does it."""
    a = agent(memory=kind, entropy=0.1, value_weight=0.7, optimizer=OptimizerConfig("sgd", lr=1.0, max_grad_norm=0.0))
    shaken(a.model.trainable_variables)
    a.restored()
    rollout(a)
    a.batch, a.t = None, 0
    batch = rollout(a)
    before = {v.path: v.numpy().astype(float) for v in a.model.trainable_variables}
    if kind == "gru":
        a._learn()
    else:
        a._minibatch(
            *map(tf.constant, (*(batch[key] for key in ("x", "a", "log_pi", "A", "R")), np.int64(0))), *batch["memory"]
        )
    gradient = {v.path: before[v.path] - v.numpy() for v in a.model.trainable_variables}
    assert_gradient(gradient, before, lambda w: loss(w, kind, batch, 0.7, 0.1))


@pytest.mark.parametrize("kind", ["gru", pytest.param("lstm", marks=pytest.mark.slow)])
def test_a_workers_gradient_goes_through_the_whole_rollout(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    w = worker(memory=kind, entropy=0.1, value_weight=0.7, max_gradient_norm=0.0)
    theta = w.network.initial + np.random.default_rng(0).normal(0, 0.5, w.network.initial.shape).astype(np.float32)
    seen: dict[str, Any] = {}
    learn = w.network.gradient
    monkeypatch.setattr(w.network, "gradient", lambda *given, **_: seen.update(given=given) or learn(*given))
    if kind == "gru":  # without the compiler, which takes longer than the test
        monkeypatch.setattr(w.network, "_gradient", w.network._loss_gradient)
    w.learn(theta, Report())
    flat = w.learn(theta, Report())
    x, actions, A, R, start, *h = seen["given"]
    batch = {"x": x[None], "a": actions[None], "A": A[None], "R": R[None], "memory": [start[None], *h]}
    weights, gradient, end = {}, {}, 0
    for v in w.network.model.trainable_variables:
        place = slice(end, end := end + v.numpy().size)
        weights[v.path], gradient[v.path] = (array[place].reshape(v.shape).astype(float) for array in (theta, flat))
    assert_gradient(gradient, weights, lambda changed: loss(changed, kind, batch, 0.7, 0.1))


# --- minibatches, state, episodes ---------------------------------------------------------------------------------------


def test_minibatches_are_whole_environments() -> None:
    a = agent(epochs=3, minibatches=2, clip=0.2)
    batch = rollout(a)
    assert batch["order"].shape == (6, 2)
    for epoch in batch["order"].reshape(3, 4):
        assert sorted(epoch) == [0, 1, 2, 3]
    np.testing.assert_array_equal(batch["x"][3], a.rollout["x"][:, 3])
    np.testing.assert_array_equal(batch["memory"][0][3], np.roll(a.rollout["done"][:, 3], 1) & (np.arange(12) > 0))


@pytest.mark.slow
def test_minibatches_are_learned_from_one_after_the_other() -> None:
    """The first has not moved the weights yet: its ratio is 1, as acting's probabilities are those of learning."""
    a = agent(epochs=3, minibatches=2, clip=0.2)
    order = rollout(a)["order"]
    a.batch["order"] = order[:1]  # type: ignore[index]
    assert a._learn()["policy/kl"] == pytest.approx(0, abs=1e-6)
    rollout(a)
    assert a._learn()["policy/kl"] > 0 and a.updates == 7 and a.batch is None


def test_forgetting_and_starts_by_hand() -> None:
    done = np.array([[False, True], [True, False], [False, False]])
    assert starts(done).tolist() == [[False, False], [False, True], [True, False]]
    h, c = forget((np.ones((2, 3), np.float32), np.full((2, 3), 2, np.float32)), done[0])
    assert h.tolist() == [[1, 1, 1], [0, 0, 0]] and c.tolist() == [[2, 2, 2], [0, 0, 0]] and h.dtype == np.float32


def test_the_state_goes_on_from_rollout_to_rollout_and_ends_with_the_episode() -> None:
    """Walk here lasts 7 steps: after 5 and 10 the state is that of 5 and 3 steps, after 15 of 1."""
    a = agent(env=WALK, n_steps=5, envs=2)
    shaken(a.model.trainable_variables)
    a.restored()
    for played, length in ((5, 5), (10, 3), (15, 1)):
        a._play(5)
        h = a.memory(2)
        for t in range(5 - min(length, 5), 5):
            h = a.network.forward(a.rollout["x"][t], h)[2]
        if played == 5 or length <= 5:
            for part, own in zip(h, a.h, strict=True):
                np.testing.assert_allclose(own, part, atol=1e-6)
        assert np.abs(a.h[0]).min() > 0
        a.t = 0


def test_a_truncated_episode_is_valued_with_the_state_that_it_ended_in() -> None:
    a = agent(env=WALK, n_steps=7, envs=2, gamma=0.9)
    shaken(a.model.trainable_variables)
    a.restored()
    seen, forward = [], a.network.forward
    a.network.forward = lambda x, h: seen.append((x, h)) or forward(x, h)  # type: ignore[method-assign]
    batch = rollout(a)
    x, h = seen[7]  # after seven calls for acting comes the one for the last observations
    last_x, last_h = seen[6]
    np.testing.assert_array_equal(h[0], forward(last_x, last_h)[2][0])
    np.testing.assert_allclose(batch["R"][:, 6], a.rollout["r"][6] + 0.9 * forward(x, h)[1], rtol=1e-4)
    assert not np.any(a.h[0])


@pytest.mark.parametrize("name", ["actor-critic", "a3c"])
def test_every_episode_of_an_evaluation_begins_with_an_empty_memory(name: str) -> None:
    a: Any = agent()
    if name == "a3c":
        a = A3C(A3CConfig(env=CATCH, workers=1, backend="threads", hidden=(8,), memory="lstm", memory_size=6),
                Context(seed=0, folder=Path(".")))  # fmt: skip
    states, act = [], a.act

    def watched(observations: Any, memory: Any, *rest: Any, **named: Any) -> Any:
        states.append(memory)
        return act(observations, memory, *rest, **named)

    a.act = watched
    evaluate(a, 6, seed=1, film=False)
    assert len(states) == 5 and not any(np.any(part) for part in states[0])  # Catch lasts five steps
    for memory in states[1:]:
        assert all(part.shape == (6, 6) and np.any(part, axis=1).all() for part in memory)
    states.clear()
    evaluate(a, 20, seed=1, film=False)  # some of the sixteen places play two
    assert not any(np.any(part) for part in states[5]) and np.any(states[6][0])
    a.close()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "memory"),
    [
        ("actor-critic", "lstm"),
        ("actor-critic", "gru"),
        ("a3c", "lstm"),
        ("a3c", "gru"),
    ],
)
def test_the_contract_with_a_memory(name: str, memory: str, tmp_path: Path) -> None:
    spec = catalogue().plugins[name]
    fields = {"memory": memory, "memory_size": 4} | ({"envs": 4} if name == "actor-critic" else {})
    check_contract(dataclasses.replace(spec, tiny=dict(spec.tiny) | fields), tmp_path)


def test_without_a_memory_a_checkpoint_is_as_before(tmp_path: Path) -> None:
    a = agent(memory="none")
    assert not {"h", "h_0"} & set(a.state()) and a.memory(3) == () and "memory" not in rollout(a)
    assert "h" not in worker(memory="none").state()


def test_a_checkpoint_in_the_middle_of_an_episode_has_the_state(tmp_path: Path) -> None:
    a, b = agent(), agent(seed=5)
    a._play(3)
    path = checkpoint.save(tmp_path, "x", {"agent": a.state()})
    checkpoint.put_back(b, checkpoint.load(path, {"agent": b.state()})["agent"])
    b.restored()
    assert np.any(a.h[0])
    for one, other in zip((*a.h, *a.h_0), (*b.h, *b.h_0), strict=True):
        np.testing.assert_array_equal(one, other)
    a._play(9), b._play(9)
    np.testing.assert_array_equal(a.rollout["v"], b.rollout["v"])


@pytest.mark.parametrize(
    ("make", "fields", "sentence"),
    [
        (agent, {"minibatches": 3, "clip": 0.2}, "minibatches is 3 with memory lstm; it must divide envs = 4"),
        (agent, {"n_steps": 1}, "n_steps is 1 with memory lstm"),
        (agent, {"memory_size": 0}, "memory_size is 0"),
        (worker, {"n_steps": 1}, "n_steps is 1 with memory lstm"),
        (worker, {"memory_size": -1}, "memory_size is -1"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(make: Any, fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make(**fields)


@pytest.mark.slow
@pytest.mark.parametrize("memory", KINDS)
def test_it_learns_what_only_a_memory_can(memory: str) -> None:
    """A T-maze of 20 steps within 150,000 steps; an agent without a memory takes the right turn half of the time."""
    optimizer = OptimizerConfig("adam", lr=1e-3, max_grad_norm=0.5)
    fields = {"n_steps": 64, "envs": 16, "gamma": 0.98, "gae_lambda": 0.95, "epochs": 4, "minibatches": 4, "clip": 0.2}
    fields |= {
        "normalize_advantages": True,
        "entropy": 0.01,
        "hidden": (32,),
        "memory_size": 32,
        "optimizer": optimizer,
    }
    a = agent(env=EnvConfig("pongan/TMaze-v0"), memory=memory, **fields)
    while a.clock < 150_000:
        a.step()
    assert evaluate(a, 50, 1, greedy=True)["eval/return_mean"] > 3.795
