from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.actor_critic.agent import ActorCritic, merge_moments
from agents.actor_critic.config import ActorCriticConfig
from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from envs import EnvConfig

CATCH, WALK = EnvConfig("pongan/Catch-v0"), EnvConfig("pongan/Walk-v0")


def agent(seed: int = 0, **fields: Any) -> ActorCritic:
    fields = {"env": CATCH, "envs": 3, "n_steps": 4, "hidden": (8,)} | fields
    return ActorCritic(ActorCriticConfig(**fields), Context(seed=seed, folder=Path(".")))


def play_and_estimate(a: ActorCritic) -> dict[str, Any]:
    a._play(a.config.n_steps)
    a._estimate()
    assert a.batch is not None
    return a.batch


def by_hand(a: ActorCritic, batch: dict[str, Any]) -> dict[str, np.ndarray]:
    """The gradient of mean[-A log pi + c_v (R - V)^2 / 2 - c_e H] for one tanh layer each, by the chain rule."""
    w = {v.path: v.numpy().astype(np.float64) for v in a.model.trainable_variables}
    x, B = batch["x"].astype(np.float64), len(batch["a"])
    gradient = {}
    for torso, head in (("actor/actor_0", "policy"), ("critic/critic_0", "value")):
        h = np.tanh(x @ w[f"{torso}/kernel"] + w[f"{torso}/bias"])
        z = h @ w[f"{head}/kernel"] + w[f"{head}/bias"]
        if head == "policy":
            p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            H = -(p * np.log(p)).sum(1, keepdims=True)
            dz = batch["A"][:, None] * (p - np.eye(3)[batch["a"]]) + a.config.entropy * p * (np.log(p) + H)
        else:
            dz = a.config.value_weight * (z - batch["R"][:, None])
        dz /= B
        dh = dz @ w[f"{head}/kernel"].T * (1 - h**2)
        gradient[f"{head}/kernel"], gradient[f"{head}/bias"] = h.T @ dz, dz.sum(0)
        gradient[f"{torso}/kernel"], gradient[f"{torso}/bias"] = x.T @ dh, dh.sum(0)
    return gradient


@pytest.mark.parametrize("limit", [0.0, 0.01])
def test_one_update_is_the_papers(limit: float) -> None:
    """RMSProp: v = decay v + (1 - decay) g^2, theta -= lr g / sqrt(v + epsilon), on the gradient cut to the norm."""
    rmsprop = OptimizerConfig("rmsprop", lr=0.01, rho=0.99, epsilon=1e-5, max_grad_norm=limit)
    a = agent(entropy=0.1, value_weight=0.7, optimizer=rmsprop)
    batch = play_and_estimate(a)
    before = {v.path: v.numpy() for v in a.model.trainable_variables}
    gradient = by_hand(a, batch)
    norm = np.sqrt(sum((g**2).sum() for g in gradient.values()))
    assert norm > 0.02
    scalars = a._learn()
    np.testing.assert_allclose(scalars["optim/gradient_norm"], norm, rtol=1e-4)
    for v in a.model.trainable_variables:
        g = gradient[v.path] * (limit / norm if limit else 1.0)
        step = 0.01 * g / np.sqrt(0.01 * g**2 + 1e-5)
        np.testing.assert_allclose(v.numpy(), before[v.path] - step, rtol=1e-3, atol=2e-6)


def test_the_online_form_is_the_td_error() -> None:
    """One environment, one step, lambda 0: A = r + gamma V(s') - V(s), without V(s') at the end of an episode."""
    a = agent(envs=1, n_steps=1, gae_lambda=0.0, gamma=0.9)
    ends = 0
    for _ in range(12):
        x, row = a.env.obs.reshape(1, -1).copy(), a.mirror.chains[1]
        batch = play_and_estimate(a)
        v, following = row(x)[0, 0], row(a.env.obs.reshape(1, -1))[0, 0]
        terminated, r = a.rollout["terminated"][0, 0], a.rollout["r"][0, 0]
        ends += terminated
        np.testing.assert_allclose(batch["A"], [r + 0.9 * (0 if terminated else following) - v], rtol=1e-4, atol=1e-6)
        a._learn()
    assert ends == 2  # an episode of Catch lasts 5 steps


def test_a_time_limit_goes_on_with_the_value_of_the_last_observation() -> None:
    """Walk is truncated after 20 steps and never terminates: R = r + gamma V(final observation), not V(next episode's first)."""
    a = agent(env=WALK, envs=2, n_steps=20, gamma=0.9)
    seen = []
    actor, critic = a.mirror.chains
    a.mirror.chains = [actor, lambda x: seen.append(x) or critic(x)]  # type: ignore[func-returns-value]
    batch = play_and_estimate(a)
    final = seen[20]  # after twenty calls for acting comes the one for the last observations
    assert a.rollout["done"][19].all() and not a.rollout["terminated"].any()
    expected = a.rollout["r"][19] + 0.9 * critic(final)[:, 0]
    np.testing.assert_allclose(batch["R"].reshape(20, 2)[19], expected, rtol=1e-4)
    assert not np.allclose(final, a.env.obs)


def adam(lr: float) -> OptimizerConfig:
    return OptimizerConfig(lr=lr, epsilon=1e-5, max_grad_norm=0.5)


A2C = {"envs": 8, "n_steps": 5, "optimizer": adam(0.02), "entropy": 0.01}
PPO = {"envs": 8, "n_steps": 10, "optimizer": adam(0.01), "epochs": 4, "minibatches": 4, "clip": 0.2}


@pytest.mark.slow
@pytest.mark.parametrize("fields", [A2C, PPO | {"normalize_advantages": True}], ids=["a2c", "ppo"])
def test_it_learns_to_catch(fields: dict[str, Any]) -> None:
    a = agent(hidden=(32,), **fields)
    untrained = evaluate(a, 50, 1, greedy=True)["eval/return_mean"]
    while a.clock < 12_000:
        a.step()
    assert untrained < 0.5 and evaluate(a, 50, 1, greedy=True)["eval/return_mean"] > 0.9


@pytest.mark.slow
def test_it_learns_a_continuous_walk() -> None:
    normalized = {"normalize_observations": True, "normalize_returns": True}
    fields = PPO | normalized | {"n_steps": 20, "gamma": 0.9, "gae_lambda": 0.9, "log_std": -0.5}
    fields["optimizer"] = adam(0.003)
    a = agent(env=WALK, hidden=(32,), **fields)
    untrained = evaluate(a, 50, 1, greedy=True)["eval/return_mean"]
    while a.clock < 16_000:
        a.step()
    assert untrained < -15 and evaluate(a, 50, 1, greedy=True)["eval/return_mean"] > -3


def test_acting_tells_the_probability_the_update_will_see() -> None:
    """The ratio of the first minibatch is 1: numpy's log pi is TensorFlow's, for softmax and for Gaussians."""
    for env in (CATCH, WALK):
        a = agent(env=env, clip=0.2)
        batch = play_and_estimate(a)
        parameters, _ = a.network(batch["x"])
        log_pi = a.policy.log_prob(parameters, batch["a"])
        np.testing.assert_allclose(log_pi, batch["log_pi"], rtol=1e-4, atol=1e-5)
        assert float(a._learn()["policy/kl"]) == pytest.approx(0, abs=1e-6)


def test_every_row_is_learned_from_once_an_epoch() -> None:
    a = agent(epochs=3, minibatches=4, clip=0.2)
    order = play_and_estimate(a)["order"]
    assert order.shape == (12, 3)
    for epoch in order.reshape(3, 12):
        assert sorted(epoch) == list(range(12))


def test_running_statistics_are_those_of_everything_seen() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal(3, 2, (n, 4)) for n in (1, 5, 30)]
    moments: list[Any] = [0, np.zeros(4), np.ones(4)]
    for part in parts:
        merge_moments(moments, part)
    everything = np.concatenate(parts)
    assert moments[0] == 36
    np.testing.assert_allclose(moments[1], everything.mean(0))
    np.testing.assert_allclose(moments[2], everything.var(0))


def test_rewards_are_divided_by_the_deviation_of_the_discounted_return() -> None:
    a = agent(envs=1, gamma=0.5, normalize_returns=True)
    r, done = np.array([[1.0], [2.0], [4.0]]), np.array([[False], [True], [False]])
    returns = [1, 0.5 * 1 + 2, 4]  # afresh after the end
    np.testing.assert_allclose(a._normalized(r, done), r / np.std(returns), rtol=1e-6)
    assert a.moments["running_return"] == [4]


def test_the_standardised_network_sees_the_statistics() -> None:
    a = agent(env=WALK, normalize_observations=True)
    a.step()
    x = a.env.obs
    for mirrored, output in zip(a.network.forward(x)[0], a.network(x)[0], strict=True):  # mean, log std
        np.testing.assert_allclose(mirrored, output, atol=1e-5)
    _, mean, variance = a.moments["obs"]
    np.testing.assert_allclose(a.network.standardize.mean.numpy(), mean, rtol=1e-5)
    np.testing.assert_allclose(a.network.standardize.std.numpy(), np.sqrt(variance), rtol=1e-4)


@pytest.mark.slow
def test_pixels_act_and_learn_in_both_precisions() -> None:
    import keras

    pong = EnvConfig("ALE/Pong-v5", actions=(0, 2, 3), time_limit=30, noop_max=0)
    try:
        for policy in ("float32", "mixed_bfloat16"):
            keras.mixed_precision.set_dtype_policy(policy)
            a = agent(env=pong, envs=2, n_steps=3)
            before = [v.numpy() for v in a.model.trainable_variables]
            scalars = a.step()
            assert all(np.isfinite(np.asarray(value, float)).all() for value in scalars.values())
            assert all(np.any(v.numpy() != old) for v, old in zip(a.model.trainable_variables, before, strict=True))
            assert a.rollout["x"].dtype == np.uint8 and a.clip_rewards
            a.close()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"epochs": 4}, "epochs is 4 with clip 0"),
        ({"minibatches": 5}, "it must divide envs x n_steps = 12"),
        ({"minibatches": 12, "normalize_advantages": True}, "minibatches of one example"),
        ({"gae_lambda": 1.5}, "gae_lambda is 1.5"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"hidden": (8, 0)}, "layers have at least 1 unit"),
        ({"env": EnvConfig("ALE/Pong-v5"), "normalize_observations": True}, "pixels, which need none"),
        ({"env": EnvConfig("CartPole-v1"), "network": "cnn"}, "'cnn' is for pictures"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence.replace("(", r"\(")):
        agent(**fields)


def test_evaluation_plays_the_likeliest_action_when_asked() -> None:
    a = agent()
    obs = a.env.obs
    actions, _ = a.act(obs, (), np.random.default_rng(0), greedy=True)
    assert np.array_equal(actions, a.network.forward(obs.reshape(3, -1))[0].argmax(1))
    assert "greedy actions" in evaluate(a, 2, 0, greedy=True)["eval/protocol"]
    assert "sampled actions" in evaluate(a, 2, 0)["eval/protocol"]
