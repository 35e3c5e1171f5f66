from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.rl.evaluate import evaluate
from agents.sac.agent import SAC
from agents.sac.config import SACConfig
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


def agent(seed: int = 0, **flags: Any) -> SAC:
    return SAC(SACConfig(**SMALL | flags), Context(seed=seed, folder=Path(".")))


def noise(a: SAC, rows: int, seed: int = 5) -> list[np.ndarray]:
    return list(np.random.default_rng(seed).standard_normal((2, rows, a.policy.num_actions), np.float32))


@pytest.mark.parametrize("target", [pytest.param(-1e2, marks=pytest.mark.slow), 1e2])
def test_the_temperature_moves_against_the_distance_to_the_entropy_target(target: float) -> None:
    """J(alpha) = alpha (H - Hbar), whose derivative by log alpha is alpha (H - Hbar)."""
    a = agent(temperature=0.5, entropy_target=target, optimizer=OptimizerConfig("sgd", lr=1e-3))
    _, figures = a.updates([*columns(random_batch(a, 1)), *noise(a, 4)], 0, 0)
    H = figures[0, 2]
    np.testing.assert_allclose(a.log_alpha.numpy(), np.log(0.5) - 1e-3 * 0.5 * (H - target), rtol=1e-5)
    assert (a.log_alpha.numpy() > np.log(0.5)) == (target > H)


@pytest.mark.slow
def test_a_temperature_that_is_given_stays() -> None:
    a = agent(learn_temperature="no", temperature=0.3)
    a.updates([*columns(random_batch(a, 1)), *noise(a, 4)], 0, 0)
    assert np.exp(a.log_alpha.numpy()) == pytest.approx(0.3)


def test_the_entropy_target_is_minus_the_number_of_action_components() -> None:
    assert agent().entropy_target == -1.0 and agent(entropy_target=0.5).entropy_target == 0.5


@pytest.mark.slow  # needs the extra peers
def test_updates_are_those_of_an_independent_program() -> None:
    """Two updates of Algorithm 1 in PyTorch, with its autograd, its normal and its tanh."""
    torch = pytest.importorskip("torch")
    from torch.distributions import Normal, TransformedDistribution
    from torch.distributions.transforms import TanhTransform

    config: dict[str, Any] = {"gamma": 0.9, "tau": 0.1, "batch": 16, "temperature": 0.7}
    a = agent(**config, optimizer=OptimizerConfig("sgd", lr=0.05))
    a.target.set_weights([w + np.random.default_rng(1).normal(size=w.shape) for w in a.target.get_weights()])
    actor = as_torch(layers(a.actor))
    critics, targets = ([Critic(m, i) for i in range(2)] for m in (a.critics, a.target))
    log_alpha = torch.tensor(np.log(0.7), requires_grad=True)
    steps = [torch.optim.SGD(p, lr=0.05) for p in (actor.parameters(), [*critics[0], *critics[1]], [log_alpha])]

    def pi(s: Any, epsilon: Any) -> Any:
        mean, log_std = actor(s).chunk(2, -1)
        u = mean + log_std.clamp(-20, 2).exp() * epsilon
        dist = TransformedDistribution(Normal(mean, log_std.clamp(-20, 2).exp()), [TanhTransform(cache_size=1)])
        action = dist.transforms[0](u)
        return action, dist.log_prob(action).sum(-1)

    for k in range(2):
        batch = random_batch(a, 1, seed=k)
        s, action, s_next, rest = (torch.tensor(c, dtype=torch.float64) for c in columns(batch))
        r, discount, weight = rest.T
        e_next, e = (torch.tensor(n, dtype=torch.float64) for n in noise(a, 16, seed=k))
        alpha = log_alpha.exp().detach()
        with torch.no_grad():
            a_next, log_pi_next = pi(s_next, e_next)
            y = r + discount * (torch.minimum(*(q(s_next, a_next) for q in targets)) - alpha * log_pi_next)
        errors = [y - q(s, action) for q in critics]
        stepped(steps[1], sum((weight * error**2 / 2).mean() for error in errors))
        sampled, log_pi = pi(s, e)
        loss = (alpha * log_pi - torch.minimum(*(q(s, sampled) for q in critics))).mean()
        stepped(steps[0], loss)
        stepped(steps[2], -(log_alpha.exp() * (log_pi.detach() + a.entropy_target)).mean())
        for target, critic in zip(targets, critics, strict=True):
            target.follow(critic, 0.1)
        td, figures = a.updates([*columns(batch), *noise(a, 16, seed=k)], k, 0)
        np.testing.assert_allclose(td[0], sum(abs(e) for e in errors).detach() / 2, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(figures[0, 1], loss.item(), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(figures[0, 3], alpha, rtol=1e-5)
    np.testing.assert_allclose(a.log_alpha.numpy(), log_alpha.item(), rtol=1e-4)
    same_layers(a.actor, actor)
    for model, members in ((a.critics, critics), (a.target, targets)):
        for i, member in enumerate(members):
            same_layers(model, member.network, i)


def test_greedy_actions_are_the_middle_and_drawn_ones_are_not() -> None:
    a = agent()
    obs, rng = np.array([[0.3], [-2.0]], np.float32), np.random.default_rng(0)
    mean, _ = a._forward(obs)
    np.testing.assert_allclose(a.act(obs, (), rng, greedy=True)[0], np.tanh(mean), atol=1e-6)
    drawn = a.act(obs, (), rng, greedy=False)[0]
    assert (np.abs(drawn) <= 1).all() and not np.allclose(drawn, np.tanh(mean))
    for mirrored, traced in zip(a._forward(obs), a._parameters(obs), strict=True):
        np.testing.assert_allclose(mirrored, traced, atol=1e-6)


def test_actions_reach_the_environment_within_its_own_bounds() -> None:
    a = agent(env=EnvConfig("Pendulum-v1"), learning_starts=1_000)
    seen: list[np.ndarray] = []
    step = a.experience.env.step
    a.experience.env.step = lambda action: seen.append(action) or step(action)  # type: ignore[assignment, func-returns-value]
    play(a, 400)
    actions = np.concatenate(seen)
    assert np.abs(actions).max() <= 2 and np.abs(actions).max() > 1.9
    stored = a.experience.replay.sample(300).a_tm1
    assert np.abs(stored).max() <= 1 and stored.dtype == np.float32


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
        ({"temperature": 0.0}, "temperature is 0; it must be above 0"),
        (
            {"env": EnvConfig("CartPole-v1")},
            "sac needs a vector of actions with finite bounds; those of CartPole-v1 are",
        ),
        ({"env": EnvConfig("ALE/Pong-v5")}, "sac needs observations that are vectors"),
        ({"learning_starts": 1}, "learning_starts is 1; it must be at least 2"),
        ({"hidden": ()}, "hidden is empty"),
        ({"tau": 0.0}, "tau is 0.0; it must be above 0"),
    ],
)
def test_wrong_settings_get_one_sentence(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**flags)
