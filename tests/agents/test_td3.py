from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.rl.evaluate import evaluate
from agents.td3.agent import TD3
from agents.td3.config import TD3Config
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


def agent(seed: int = 0, **flags: Any) -> TD3:
    return TD3(TD3Config(**SMALL | flags), Context(seed=seed, folder=Path(".")))


def noise(a: TD3, rows: int, seed: int = 5) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((rows, a.policy.num_actions), np.float32)


def test_target_smoothing_by_hand() -> None:
    """0.2 epsilon, cut at 0.5, on the action, cut at 1."""
    smoothed = agent()._smoothed(np.float32([[0.0], [0.0], [0.9], [-0.2]]), np.float32([[1.0], [4.0], [1.0], [-9.0]]))
    np.testing.assert_allclose(smoothed, [[0.2], [0.5], [1.0], [-0.7]], rtol=1e-6)


@pytest.mark.slow  # needs the extra peers
def test_updates_are_those_of_an_independent_program() -> None:
    """Four updates of Algorithm 1 in PyTorch: the policy and the targets move at the second and the fourth."""
    torch = pytest.importorskip("torch")
    a = agent(gamma=0.9, tau=0.1, batch=16, target_noise=0.6, optimizer=OptimizerConfig("sgd", lr=0.05))
    for target in (a.actor_target, a.critics_target):
        target.set_weights([w + np.random.default_rng(1).normal(size=w.shape) for w in target.get_weights()])
    actor, actor_target = as_torch(layers(a.actor)), as_torch(layers(a.actor_target))
    critics, targets = ([Critic(m, i) for i in range(2)] for m in (a.critics, a.critics_target))
    steps = [torch.optim.SGD(p, lr=0.05) for p in (actor.parameters(), [*critics[0], *critics[1]])]
    for k in range(4):
        batch = random_batch(a, 1, seed=k)
        epsilon = noise(a, 16, seed=k)
        s, action, s_next, rest = (torch.tensor(c, dtype=torch.float64) for c in columns(batch))
        r, discount, weight = rest.T
        with torch.no_grad():
            smooth = torch.clamp(torch.tensor(0.6 * epsilon, dtype=torch.float64), -0.5, 0.5)
            a_next = torch.clamp(actor_target(s_next).tanh() + smooth, -1, 1)
            y = r + discount * torch.minimum(*(q(s_next, a_next) for q in targets))
        assert (abs(0.6 * epsilon) > 0.5).any()
        errors = [y - q(s, action) for q in critics]
        loss = sum((weight * error**2).mean() for error in errors)
        stepped(steps[1], loss)
        before = a.actor.get_weights()
        td, figures = a.updates([*columns(batch), epsilon], k, 0)
        np.testing.assert_allclose(td[0], sum(abs(e) for e in errors).detach() / 2, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(figures[0, 0], loss.item(), rtol=1e-3)
        moved = any(np.any(new != old) for new, old in zip(a.actor.get_weights(), before, strict=True))
        assert moved == (k % 2 == 1)
        if k % 2:
            stepped(steps[0], -critics[0](s, actor(s).tanh()).mean())
            for target, critic in zip(targets, critics, strict=True):
                target.follow(critic, 0.1)
            for mine, its in zip(actor_target.parameters(), actor.parameters(), strict=True):
                mine.data.mul_(0.9).add_(its.data, alpha=0.1)
        same_layers(a.actor, actor)
        same_layers(a.actor_target, actor_target)
        for model, members in ((a.critics, critics), (a.critics_target, targets)):
            for i, member in enumerate(members):
                same_layers(model, member.network, i)


def test_the_policys_loss_is_reported_only_where_it_moved() -> None:
    a = agent(turn=1, policy_delay=3, envs=2)
    play(a, 40)
    losses = [a.step().get("loss/policy", ()) for _ in range(6)]  # two updates a step
    assert sum(map(len, losses)) == 4 and all(np.all(np.asarray(some) != 0) for some in losses)


def test_exploring_noise_has_its_deviation_and_stays_within_the_bounds() -> None:
    a = agent(noise=0.3)
    rng = np.random.default_rng(0)
    x = np.zeros((20_000, 1), np.float32)
    drawn = a._explore(x, rng)
    assert (drawn - a.act(x, (), rng, greedy=True)[0]).std() == pytest.approx(0.3, rel=0.03)
    assert np.abs(agent(noise=9.0)._explore(x, rng)).max() == 1


@pytest.mark.slow
def test_it_learns_a_continuous_walk() -> None:
    a = agent(
        hidden=(32, 32),
        batch=64,
        capacity=3_000,
        learning_starts=100,
        gamma=0.9,
        burst=4,
        optimizer=OptimizerConfig(lr=3e-3, epsilon=1e-8),
    )
    untrained = evaluate(a, 40, 1, greedy=True)["eval/return_mean"]
    play(a, 2_000)
    assert untrained < -15 and evaluate(a, 40, 1, greedy=True)["eval/return_mean"] > -3


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"policy_delay": 0}, "policy_delay is 0; it must be at least 1"),
        ({"target_noise": -1.0}, "target_noise is -1; it must be 0 or more"),
        (
            {"env": EnvConfig("CartPole-v1")},
            "td3 needs a vector of actions with finite bounds; those of CartPole-v1 are",
        ),
    ],
)
def test_wrong_settings_get_one_sentence(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**flags)
