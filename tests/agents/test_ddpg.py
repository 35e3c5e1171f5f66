from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.ddpg.agent import DDPG
from agents.ddpg.config import DDPGConfig
from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from envs import EnvConfig
from tests.agents.off_policy import Critic, as_torch, columns, layers, play, random_batch, same_layers, stepped

SMALL: dict[str, Any] = {
    "env": EnvConfig("pongan/Walk-v0"),
    "capacity": 200,
    "learning_starts": 20,
    "batch": 4,
    "hidden": (8, 6),
    "turn": 4,
}


def agent(seed: int = 0, **flags: Any) -> DDPG:
    return DDPG(DDPGConfig(**SMALL | flags), Context(seed=seed, folder=Path(".")))


@pytest.mark.slow  # needs the extra peers
def test_updates_are_those_of_an_independent_program() -> None:
    """Two updates of Algorithm 1 in PyTorch, with the paper's weight decay, which PyTorch adds to the gradient too."""
    torch = pytest.importorskip("torch")
    a = agent(
        **{"gamma": 0.9, "tau": 0.1, "batch": 16},
        actor_optimizer=OptimizerConfig("sgd", lr=0.05),
        critic_optimizer=OptimizerConfig("sgd", lr=0.02, weight_decay=0.01),
    )
    for target in (a.actor_target, a.critic_target):
        target.set_weights([w + np.random.default_rng(1).normal(size=w.shape) for w in target.get_weights()])
    actor, actor_target = as_torch(layers(a.actor)), as_torch(layers(a.actor_target))
    critic, critic_target = Critic(a.critic, 0), Critic(a.critic_target, 0)
    of_critic = torch.optim.SGD([*critic], lr=0.02, weight_decay=0.01)
    of_actor = torch.optim.SGD(actor.parameters(), lr=0.05)
    for k in range(2):
        batch = random_batch(a, 1, seed=k)
        s, action, s_next, rest = (torch.tensor(c, dtype=torch.float64) for c in columns(batch))
        r, discount, weight = rest.T
        with torch.no_grad():
            y = r + discount * critic_target(s_next, actor_target(s_next).tanh())
        error = y - critic(s, action)
        L = (weight * error**2).mean()
        stepped(of_critic, L)
        loss = -critic(s, actor(s).tanh()).mean()
        stepped(of_actor, loss)
        critic_target.follow(critic, 0.1)
        for mine, its in zip(actor_target.parameters(), actor.parameters(), strict=True):
            mine.data.mul_(0.9).add_(its.data, alpha=0.1)
        td, figures = a.updates(columns(batch), k, 0)
        np.testing.assert_allclose(td[0], abs(error).detach(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(figures[0, :2], [L.item(), loss.item()], rtol=1e-3, atol=1e-5)
    same_layers(a.actor, actor)
    same_layers(a.actor_target, actor_target)
    same_layers(a.critic, critic.network, 0)
    same_layers(a.critic_target, critic_target.network, 0)


def test_ornstein_uhlenbeck_noise_by_hand() -> None:
    """n <- 0.85 n + 0.2 epsilon: correlation 0.85 from step to step, variance 0.04 / (1 - 0.85^2)."""
    a, x = agent(), np.zeros((2_000, 1), np.float32)
    (noise,) = a.memory(2_000)
    once = a._noisy(x, noise, np.random.default_rng(3))[1]
    np.testing.assert_allclose(once, 0.2 * np.random.default_rng(3).standard_normal((2_000, 1)), rtol=1e-5)
    np.testing.assert_allclose(
        a._noisy(x, once, np.random.default_rng(4))[1],
        0.85 * once + 0.2 * np.random.default_rng(4).standard_normal((2_000, 1)),
        rtol=1e-4,
        atol=1e-6,
    )
    rng, steps = np.random.default_rng(0), []
    for _ in range(60):
        actions, noise = a._noisy(x, noise, rng)
        steps.append(noise[:, 0])
        assert np.abs(actions).max() <= 1
    assert np.var(steps[-1]) == pytest.approx(0.04 / (1 - 0.85**2), rel=0.1)
    assert np.corrcoef(steps[-2], steps[-1])[0, 1] == pytest.approx(0.85, abs=0.03)


def test_normal_noise_has_no_memory() -> None:
    a, x = agent(noise="normal", sigma=0.3), np.zeros((20_000, 1), np.float32)
    (noise,) = a.memory(20_000)
    _, first = a._noisy(x, noise, np.random.default_rng(0))
    _, second = a._noisy(x, first, np.random.default_rng(1))
    assert abs(np.corrcoef(first[:, 0], second[:, 0])[0, 1]) < 0.03 and second.std() == pytest.approx(0.3, rel=0.03)


def test_noise_begins_at_zero_in_every_episode() -> None:
    """An episode of Walk lasts 20 steps: 4 turns of 4 steps leave noise, the fifth ends it."""
    a = agent(learning_starts=2, envs=1, burst=1_000)
    play(a, 16)
    assert np.all(a.noise != 0)
    play(a, 20)
    assert np.all(a.noise == 0)


@pytest.mark.slow
def test_it_learns_a_continuous_walk() -> None:
    adam = OptimizerConfig(lr=3e-3, epsilon=1e-8)
    a = agent(
        **{"hidden": (32, 32), "batch": 64, "capacity": 3_000, "learning_starts": 100, "gamma": 0.9, "burst": 4},
        actor_optimizer=adam,
        critic_optimizer=adam,
    )
    untrained = evaluate(a, 40, 1, greedy=True)["eval/return_mean"]
    play(a, 2_000)
    assert untrained < -15 and evaluate(a, 40, 1, greedy=True)["eval/return_mean"] > -3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"sigma": -1.0}, "sigma is -1; it must be 0 or more"),
        ({"theta": 1.5}, "theta is 1.5; it must lie between 0 and 1"),
        ({"env": EnvConfig("CartPole-v1")}, "ddpg needs a vector of actions with finite bounds"),
    ],
)
def test_wrong_settings_get_one_sentence(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**flags)
