from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import keras
import numpy as np
import pytest
import scipy.sparse
import tensorflow as tf
from gymnasium.spaces import Box

from agents.policy_gradient.agent import PolicyGradient
from agents.policy_gradient.config import PolicyGradientConfig
from agents.rl.evaluate import evaluate
from agents.rl.policies import Categorical
from core import checkpoint
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from envs import EnvConfig, make
from envs.fakes import Catch
from experiments.launcher.catalogue import catalogue
from experiments.testing import assert_independent, check_contract

CATCH = EnvConfig("pongan/Catch-v0")


def agent(seed: int = 0, **fields: Any) -> PolicyGradient:
    fields = {
        "env": CATCH,
        "games": 2,
        "batch_episodes": 4,
        "hidden": 8,
        "chunk": 7,
        "turn": 3,
    } | fields
    return PolicyGradient(PolicyGradientConfig(**fields), Context(seed=seed, folder=Path(".")))


def play_until_full(a: PolicyGradient) -> dict[str, Any]:
    while a.batch is None:
        a.step()
    return a.batch


def learn(a: PolicyGradient) -> dict[str, Any]:
    while a.batch is not None:
        scalars = a.step()
    return dict(scalars)


def by_hand(a: PolicyGradient, batch: dict[str, Any]) -> list[np.ndarray]:
    """The gradient of sum_t -A_t log pi(a_t | x_t) for one hidden ReLU layer without biases, as the original writes it."""
    [(W1, _)], [(W2, _)] = (chain.weights for chain in a.network.mirror.chains)
    X = np.asarray(batch["X"].todense() if scipy.sparse.issparse(batch["X"]) else batch["X"], np.float64)
    h = np.maximum(X @ W1, 0)
    z = h @ W2
    p = np.exp(z - z.max(1, keepdims=True))
    p /= p.sum(1, keepdims=True)
    dz = batch["A"][:, None] * (p - np.eye(p.shape[1])[batch["a"]])
    dh = dz @ W2.T
    dh[h <= 0] = 0
    return [X.T @ dh, h.T @ dz]


@pytest.mark.parametrize("env", [CATCH, EnvConfig("ALE/Pong-v5", time_limit=40)], ids=["catch", "pong"])
def test_one_update_is_the_papers(env: EnvConfig) -> None:
    """Gradient against numpy, in padded chunks; RMSProp: v = decay v + (1 - decay) g^2, theta -= lr g / sqrt(v + 1e-10)."""
    a = agent(env=env)
    batch = play_until_full(a)
    if env is not CATCH and not np.any(batch["A"]):  # nobody scored: give the update something to do
        batch["A"] = np.random.default_rng(0).normal(size=len(batch["A"])).astype(np.float32)
    before = [np.asarray(v) for v in a.model.trainable_variables]
    gradient = by_hand(a, batch)
    scalars = learn(a)
    for theta, g, old in zip(a.model.trainable_variables, gradient, before, strict=True):
        v = 0.01 * g**2
        np.testing.assert_allclose(np.asarray(theta), old - 1e-4 * g / np.sqrt(v + 1e-10), rtol=1e-4, atol=1e-7)
    norm = np.sqrt(sum((g**2).sum() for g in gradient))
    np.testing.assert_allclose(scalars["optim/gradient_norm"], norm, rtol=1e-4)


@pytest.mark.parametrize("loss", ["mean", "sum"])
def test_clipped_epochs_are_those_of_ppo(loss: str) -> None:
    """GAE by its definition, then every minibatch of every epoch by dense layers, one tape and Keras's Adam."""
    adam = OptimizerConfig(lr=0.05, max_grad_norm=0.5)  # far enough for ratios beyond the bound
    fields = {"baseline": True, "bias": True, "gae_lambda": 0.8, "gamma": 0.9, "entropy": 0.02, "value_weight": 0.3}
    a = agent(games=3, batch_episodes=3, epochs=3, minibatch=6, clip=0.1, loss=loss, optimizer=adam, **fields)
    batch = play_until_full(a)
    assert len(batch["a"]) == 15 and batch["ends"].tolist() == [5, 10, 15, 20, 25, 30, 35, 40, 45]
    for epoch in batch["order"].reshape(3, 15):
        assert sorted(epoch) == list(range(15))

    theta = [tf.Variable(v.numpy()) for v in a.model.trainable_variables]
    plain = keras.optimizers.Adam(0.05, epsilon=1e-7, global_clipnorm=0.5)
    left = 0.0
    for rows in np.split(batch["order"], batch["ends"][:-1]):
        X, chosen, A, R = (tf.constant(batch[name][rows]) for name in ("X", "a", "A", "R"))
        with tf.GradientTape() as tape:
            W1, b1, W2, b2, W3, b3 = theta
            h = tf.nn.relu(X @ W1 + b1)
            log_p = tf.math.log(tf.nn.softmax(h @ W2 + b2))
            ratio = tf.exp(tf.gather(log_p, chosen, batch_dims=1) - batch["log_pi"][rows])
            bounded = tf.minimum(ratio * A, tf.clip_by_value(ratio, 0.9, 1.1) * A)
            entropy = -tf.reduce_sum(tf.exp(log_p) * log_p, axis=1)
            each = -bounded - 0.02 * entropy + 0.3 * (R - (h @ W3 + b3)[:, 0]) ** 2 / 2
            total = tf.reduce_mean(each) if loss == "mean" else tf.reduce_sum(each)
        plain.apply(tape.gradient(total, theta), theta)
        left = max(left, float(tf.reduce_max(tf.abs(ratio - 1))))
    scalars = learn(a)
    assert left > 0.1 and a.updates == 9 and scalars["policy/clipped"] > 0
    for ours, theirs in zip(a.model.trainable_variables, theta, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-5)


def test_advantages_are_those_of_gae_within_a_point() -> None:
    """A_t = sum_k (gamma lambda)^k delta_{t+k} up to the cut, R_t = A_t + V_t; the last steps wait for theirs."""
    a = agent(games=1, batch_steps=12, baseline=True, gae_lambda=0.5, gamma=0.9)
    while a.ready < 12:
        a._play(a.groups[0])
    rollout = list(a.groups[0].rollout)
    r, v, cut = (np.array([float(t[name][0]) for t in rollout]) for name in ("r", "v", "cut"))
    batch, end = a._take_batch(), int(np.flatnonzero(cut)[-1]) + 1
    A = np.zeros(end)
    for t in range(end):
        for k in range(t, end):
            A[t] += 0.45 ** (k - t) * (r[k] + (0 if cut[k] else 0.9 * v[k + 1]) - v[k])
            if cut[k]:
                break
    np.testing.assert_allclose(batch["R"], A + v[:end], atol=1e-5)
    np.testing.assert_allclose(batch["A"], (A - A.mean()) / A.std(), atol=1e-4)
    assert len(set(np.flatnonzero(cut))) > 1


def test_layers_start_unrelated_to_each_other() -> None:
    """Names of equal length once gave `hidden` and `logits` one seed."""
    a = agent(hidden=64, baseline=True)
    a.network.inputs, a.network.policy = 64, Categorical(64)  # equal shapes
    hidden, logits, value = (a.network.build().get_layer(name).kernel.numpy() for name in ("hidden", "logits", "value"))
    assert hidden.shape == logits.shape == (64, 64) and value.shape == (64, 1)
    assert abs(np.corrcoef(hidden.ravel(), logits.ravel())[0, 1]) < 0.1
    assert_independent({"hidden": hidden, "logits": logits, "value": value})
    assert len({np.abs(kernel).max() for kernel in (hidden, logits, value)}) == 3


def of_network(network: str, **fields: Any) -> PolicyGradient:
    env = EnvConfig("ALE/Pong-v5", observation="pong80frames", frame_stack=3, time_limit=12)
    return agent(**{"env": env, "network": network, "baseline": True, "bias": True} | fields)


def test_the_convolutions_see_the_pictures_of_the_game() -> None:
    """What comes out of the rows of the batch is the network of the DQN paper over the plain pictures, undivided."""
    a = of_network("cnn")
    obs = np.random.default_rng(0).integers(0, 2, (5, 3, 80, 80)).astype(np.int8)
    x = a.rows.features(obs)
    assert scipy.sparse.issparse(x) and x.shape == (5, 3 * 80 * 80) and x.nnz == obs.sum()
    W1, b1, W2, b2, W3, b3, W4, b4, W5, b5, W6, b6 = [tf.constant(v.numpy()) for v in a.model.trainable_variables]
    assert W1.shape == (8, 8, 3, 32) and W4.shape == (6 * 6 * 64, 512)
    h = tf.constant(obs.transpose(0, 2, 3, 1), tf.float32)
    for W, b, stride in ((W1, b1, 4), (W2, b2, 2), (W3, b3, 1)):
        h = tf.nn.relu(tf.nn.conv2d(h, W, stride, "VALID") + b)
    h = tf.nn.relu(tf.reshape(h, [5, -1]) @ W4 + b4)
    logits, v = a.network.forward(x)
    np.testing.assert_allclose(logits, h @ W5 + b5, atol=1e-5)
    np.testing.assert_allclose(v, (h @ W6 + b6)[:, 0], atol=1e-5)
    exported = a.exportable()["act"](obs)["probability"]
    np.testing.assert_allclose(exported, tf.nn.softmax(h @ W5 + b5), atol=1e-5)


def test_the_networks_gradient_adds_up_over_chunks() -> None:
    """One RMSProp step by the gradient of one tape over the whole batch, standard deviations and padding aside."""
    a = of_network("cnn", policy="sigmoid", value_weight=0.3, entropy=0.02)
    batch = play_until_full(a)
    batch["A"] = np.random.default_rng(0).normal(size=len(batch["A"])).astype(np.float32)  # nobody has scored
    batch["R"] = np.random.default_rng(1).normal(size=len(batch["A"])).astype(np.float32)
    x = tf.constant(batch["X"].toarray().reshape(-1, 20, 20, 48))
    assert len(x) == 48 and a.config.chunk == 7
    before = [v.numpy() for v in a.model.trainable_variables]
    with tf.GradientTape() as tape:
        outputs = a.model(x)
        z, v = outputs["logits"][:, 0], outputs["value"][:, 0]
        p = tf.sigmoid(z)  # of the first of two actions
        chosen = tf.where(batch["a"] == 0, p, 1 - p)
        H = -(p * tf.math.log(p) + (1 - p) * tf.math.log(1 - p))
        loss = tf.reduce_sum(-tf.math.log(chosen) * batch["A"] - 0.02 * H + 0.3 * (batch["R"] - v) ** 2 / 2)
    gradient = [g.numpy() for g in tape.gradient(loss, a.model.trainable_variables)]
    scalars = learn(a)
    norm = np.sqrt(sum((g.astype(float) ** 2).sum() for g in gradient))
    np.testing.assert_allclose(scalars["optim/gradient_norm"], norm, rtol=1e-4)
    for theta, g, old in zip(a.model.trainable_variables, gradient, before, strict=True):
        far = np.abs(g) > 1e-3  # where the step's sign is not up to rounding
        step = (-1e-4 * g / np.sqrt(0.01 * g**2 + 1e-10))[far]
        np.testing.assert_allclose((theta.numpy() - old)[far], step, rtol=0.02, atol=1e-6)
        assert far.any()


def test_the_games_are_played_by_the_weights_of_the_last_update_alone() -> None:
    """The learner moves the weights while the games go on; what acts is told when an update is whole."""
    a = of_network("cnn", batch_steps=8, clip=0.2, epochs=2, minibatch=8)
    x = a.rows.features(a.groups[0].env.obs)
    logits = a.network.forward(x)[0]
    for v in a.model.trainable_variables:
        v.assign_add(tf.ones_like(v))
    np.testing.assert_array_equal(a.network.forward(x)[0], logits)
    a.restored()
    assert not np.allclose(a.network.forward(x)[0], logits)


NETWORKS = """
import keras

def normed(shape):
    return keras.Sequential([keras.layers.Dense(6, "relu"), keras.layers.BatchNormalization(), keras.layers.Dropout(0.5)])
"""


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param(
            {"network": "cnn", "env.id": "ALE/Pong-v5", "env.observation": "pong80", "env.time_limit": 8},
            marks=pytest.mark.slow,
        ),
        {
            **{"network": "cnn", "env.id": "ALE/Pong-v5", "env.observation": "pong80frames", "env.frame_stack": 2},
            **{"env.time_limit": 7, "env.noop_max": 0, "batch_steps": 12, "clip": 0.2, "epochs": 2, "minibatch": 5},
        },
        pytest.param(
            {"network": "cnn", "env.id": "ALE/Pong-v5", "env.observation": "frames84", "env.time_limit": 6},
            marks=pytest.mark.slow,
        ),
        {"network": "own_networks_of_pg:normed", "clip": 0.1, "epochs": 3, "minibatch": 4},
    ],
    ids=["difference", "frames", "grey", "own"],
)
def test_every_network_keeps_the_contract(
    fields: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_networks_of_pg.py").write_text(NETWORKS)
    monkeypatch.syspath_prepend(tmp_path)
    spec = catalogue().plugins["policy-gradient"]
    check_contract(replace(spec, tiny={**spec.tiny, "baseline": True, **fields}), tmp_path)


class Drawn(gymnasium.ObservationWrapper):
    """Catch as a picture: bytes [48, 40]."""

    def __init__(self) -> None:
        super().__init__(Catch())
        self.observation_space = Box(0, 255, (48, 40), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return np.kron(observation * 255, np.ones((8, 8))).astype(np.uint8)


@pytest.mark.slow
def test_a_network_of_convolutions_learns_to_catch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium.envs.registration, "registry", dict(gymnasium.registry))
    gymnasium.register("Drawn-v0", Drawn)
    a = agent(
        **{"env": EnvConfig("Drawn-v0"), "network": "cnn", "bias": True, "loss": "mean"},
        **{"games": 8, "batch_steps": 80, "baseline": True, "chunk": 256},
        optimizer=OptimizerConfig(lr=1e-3, epsilon=1e-8, max_grad_norm=0.5),
    )
    while a.clock < 5_000:
        a.step()
    assert evaluate(a, 20, 1)["eval/return_mean"] > 0.9


def test_a_batch_is_exactly_its_whole_episodes_started_together() -> None:
    a = agent(games=2, batch_episodes=6)
    weights = np.asarray(a.model.trainable_variables[0]).copy()
    batch = play_until_full(a)
    assert a.episodes.count == 6 and len(batch["a"]) == 6 * 5 == a.clock  # an episode of Catch lasts 5 steps
    np.testing.assert_array_equal(weights, np.asarray(a.model.trainable_variables[0]))
    np.testing.assert_allclose(batch["A"].mean(), 0, atol=1e-6)
    np.testing.assert_allclose(batch["A"].std(), 1, atol=1e-5)
    learn(a)
    assert a.updates == 1 and all(not g.rollout and (g.left == 3).all() for g in a.groups)


def test_games_that_finished_idle_until_the_last_is_done() -> None:
    """CartPole episodes differ in length: the batch holds one of each game, and the short ones were not played twice."""
    a = agent(env=EnvConfig("CartPole-v1"), games=4, batch_episodes=4)
    batch = play_until_full(a)
    assert a.episodes.count == 4 and len(batch["a"]) == a.clock
    lengths = [len(last[1]) for g in a.groups for last in g.env.last_episode]
    assert sum(lengths) == a.clock and len(set(lengths)) > 1


def test_busy_games_learn_every_step_exactly_once() -> None:
    """With batch_steps, steps whose return is unknown wait; over many updates none is lost and none used twice."""
    a = agent(env=EnvConfig("CartPole-v1"), games=3, batch_steps=60, chunk=32)
    learned = 0
    for _ in range(8):
        batch = play_until_full(a)
        assert len(batch["a"]) >= 60
        learned += len(batch["a"])
        waiting = sum(int(t["live"].sum()) for g in a.groups for t in g.rollout)
        assert learned + waiting == a.clock
        learn(a)
    assert a.updates == 8


def test_in_pong_the_discounted_sum_begins_afresh_at_every_point() -> None:
    a = agent(env=EnvConfig("ALE/Pong-v5"), games=1, batch_episodes=1, gamma=0.9, chunk=512)
    while a.clock < 400:
        a.step()
    r = np.array([t["r"][0] for t in a.groups[0].rollout])
    cut = np.array([t["cut"][0] for t in a.groups[0].rollout])
    np.testing.assert_array_equal(cut, r != 0)
    assert cut.any()
    assert not agent().config.cuts and agent(cut_at_reward="yes").config.cuts


def test_the_numpy_mirror_is_the_keras_model() -> None:
    for fields in ({}, {"bias": True, "baseline": True}, {"policy": "sigmoid", "env": EnvConfig("CartPole-v1")}):
        a = agent(**fields)
        play_until_full(a)
        learn(a)
        x = np.random.default_rng(0).normal(size=(5, a.network.inputs)).astype(np.float32)
        logits, v = a.network.forward(x)
        outputs = {name: np.asarray(value) for name, value in a.model(x).items()}
        if a.config.policy == "sigmoid":
            outputs["logits"] = np.concatenate([outputs["logits"], np.zeros((5, 1))], axis=1)
        np.testing.assert_allclose(logits, outputs["logits"], atol=1e-5)
        np.testing.assert_allclose(v, outputs["value"][:, 0] if a.config.baseline else np.zeros(5), atol=1e-5)


def test_sigmoid_is_the_original_policy() -> None:
    """One logit z for two actions: the first is taken with probability 1 / (1 + exp(-z))."""
    a = agent(policy="sigmoid", env=EnvConfig("CartPole-v1"))
    logits = np.tile([[0.7, 0.0]], (40_000, 1)).astype(np.float32)
    share = (a.policy.sample(logits, np.random.default_rng(0)) == 0).mean()
    assert abs(share - 1 / (1 + np.exp(-0.7))) < 0.01


def test_a_time_limit_is_bootstrapped_with_the_baseline_only() -> None:
    for baseline in (True, False):
        a = agent(env=EnvConfig("CartPole-v1", time_limit=4), baseline=baseline, bias=True, games=1, batch_episodes=1)
        if baseline:
            a.model.get_layer("value").bias.assign([10.0])
            a.network.mirror.copy()
        (group,) = a.groups
        while not group.env.last_episode[0]:
            a._play(group)
        rewards = [float(t["r"][0]) for t in group.rollout]
        assert rewards[:3] == [1, 1, 1]
        assert rewards[3] > 9 if baseline else rewards[3] == 1.0


def test_tabular_observations_become_one_hot() -> None:
    a = agent(env=EnvConfig("FrozenLake-v1"))
    np.testing.assert_array_equal(a.rows.features(np.array([0, 15])), np.eye(16, dtype=np.float32)[[0, 15]])


@pytest.mark.slow
def test_step_returns_in_time_and_long_batches_stay_small() -> None:
    """A batch of 10 episodes of 8,000 Pong steps: 16 million bytes a million non-zeros, far below 300 MB."""
    a = agent(env=EnvConfig("ALE/Pong-v5"), games=10, batch_episodes=10, chunk=2048, turn=16)
    while a.clock < 3_000:
        a.step()
    rows = [t["x"] for g in a.groups for t in g.rollout]
    stored = sum(x.data.nbytes + x.indices.nbytes + x.indptr.nbytes for x in rows)
    assert stored / a.clock * 80_000 < 100e6


@pytest.mark.slow
def test_it_learns_to_catch() -> None:
    a = agent(
        **{"games": 8, "batch_steps": 200, "hidden": 32, "bias": True, "loss": "mean", "baseline": True, "chunk": 256},
        optimizer=OptimizerConfig(lr=1e-2, epsilon=1e-8),
    )
    while a.clock < 20_000:
        a.step()
    assert evaluate(a, 4, 1)["eval/return_mean"] > 0.9


def test_evaluation_plays_what_it_says() -> None:
    result = evaluate(agent(), 5, 1)
    assert len(result["eval/returns"]) == 5 and "5 whole episodes, sampled actions" in result["eval/protocol"]
    assert result["video/episode"].dtype == np.uint8


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"games": 3, "batch_episodes": 4}, "multiple of games"),
        ({"gamma": 1.1}, "gamma is 1.1"),
        ({"hidden": -1}, "hidden is -1"),
        ({"env": EnvConfig("pongan/Walk-v0")}, "needs discrete actions"),
        ({"policy": "sigmoid"}, "exactly 2 actions"),
        (
            {"network": "cnn", "env": EnvConfig("CartPole-v1")},
            r"'cnn' is for pictures, \[C, H, W\] or \[H, W\], .*; policy-gradient sees float32 of shape \[4\] here",
        ),
        ({"network": "cnn", "env": EnvConfig("FrozenLake-v1")}, r"'cnn' is for pictures, .* sees states here"),
        ({"network": "cnm"}, "network is 'cnm'; it must be cnn or module:function"),
        ({"network": "nowhere_at_all:torso"}, "names the module 'nowhere_at_all', which cannot be found"),
    ],
)
def test_wrong_settings_get_one_sentence(fields: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**fields)


# --- playing without TensorFlow --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("env", "settings"),
    [
        ({"id": "pongan/Catch-v0"}, {"bias": True, "baseline": True}),
        ({"id": "pongan/Catch-v0", "actions": (0, 2)}, {"policy": "sigmoid", "bias": True, "baseline": True}),
        ({"id": "FrozenLake-v1"}, {}),
        ({"id": "CartPole-v1"}, {"bias": True}),
        ({"id": "pongan/TicTacToe-v0"}, {"baseline": True}),
        ({"id": "ALE/Pong-v5", "observation": "pong80x2"}, {"bias": True, "baseline": True}),
    ],
)
def test_the_player_acts_as_the_agent_bit_for_bit(
    env: dict[str, Any], settings: dict[str, Any], tmp_path: Path
) -> None:
    from agents.policy_gradient.player import player

    config = PolicyGradientConfig(EnvConfig(**env), games=3, batch_episodes=3, hidden=17, **settings)
    a = PolicyGradient(config, Context(seed=3, folder=tmp_path))
    for v in a.model.variables:  # biases are 0 before learning
        v.assign(v + 0.1 * np.random.default_rng(len(v.shape)).normal(size=v.shape))
    a.restored()
    path = checkpoint.save(tmp_path, "best-000000000000", {"plugin": a.state()}, weights_only=True)
    mine = player(config, {n.removeprefix("plugin."): w for n, w in checkpoint.read_weights(path).items()})
    assert mine is not None and (mine.environment, mine.acting, mine.masks) == (a.environment, a.acting, a.masks)
    played = make(config.pong_env, 4, seed=1)
    obs = played.reset()
    for step in range(12):
        mask = {} if played.mask is None else {"mask": played.mask}
        for greedy in (True, False):
            theirs, ours = (p.act(obs, (), np.random.default_rng(step), greedy=greedy, **mask)[0] for p in (a, mine))
            np.testing.assert_array_equal(ours, theirs)
        x = a.rows.features(obs)
        np.testing.assert_array_equal(mine.logits(obs), a.network.forward(x)[0])  # type: ignore[attr-defined]
        obs = played.step(ours).obs
    played.close()
    a.close()


def test_where_there_is_no_player_the_whole_agent_is_needed(tmp_path: Path) -> None:
    from agents.policy_gradient.player import player

    config = PolicyGradientConfig(EnvConfig("pongan/Catch-v0"), hidden=4)
    arrays = [np.zeros((30, 4), np.float32), np.zeros((4, 3), np.float32)]  # 6 x 5 cells, 3 actions
    assert player(config, {"model": arrays}) is not None
    assert player(config, {"model": arrays[:1]}) is None  # too few
    assert player(config, {"model": [arrays[0].T, arrays[1]]}) is None  # of another shape
    assert player(config, {}) is None
    assert player(replace(config, network="cnn"), {"model": arrays}) is None
