from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.pqn.agent import PQN
from agents.pqn.config import PQNConfig
from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import REGISTRY, Context
from envs import EnvConfig, Step
from experiments.testing import check_contract

SMALL: dict[str, Any] = {
    **{"env": EnvConfig("pongan/Catch-v0"), "envs": 3, "n_steps": 6, "epochs": 2, "minibatches": 3, "hidden": (8,)},
    **{"turn": 4},
}


def agent(seed: int = 0, **flags: Any) -> PQN:
    return PQN(PQNConfig(**SMALL | flags), Context(seed=seed, folder=Path(".")))


def q_of(a: PQN, s: np.ndarray) -> np.ndarray:
    """Q from the weights, in float64: dense, layer normalisation, ReLU; dense."""
    W, b, scale, offset, V, c = (np.array(v, np.float64) for v in a.model.trainable_variables)
    z = s @ W + b
    z = (z - z.mean(axis=1, keepdims=True)) / np.sqrt(z.var(axis=1, keepdims=True) + 1e-6)
    return np.maximum(z * scale + offset, 0) @ V + c


def test_a_rollout_becomes_q_lambda_targets() -> None:
    """Written out step by step, with episodes that end and ones that a time limit cuts off."""
    seen: list[tuple[np.ndarray, Step]] = []
    a = agent(
        env=EnvConfig("CartPole-v1", time_limit=14),
        n_steps=72,
        gamma=0.9,
        q_lambda=0.7,
        reward_scale=0.5,
        minibatches=1,
    )
    step = a.env.step

    def recorded(action: np.ndarray) -> Step:
        before = a.env.obs.copy()
        seen.append((before, step(action)))
        return seen[-1][1]

    a.env.step = recorded  # type: ignore[method-assign]
    a._play(72)
    a._compute_targets()
    assert a.batch is not None
    best = q_of(a, a.env.obs).max(axis=1)  # of the state after the last step
    R = np.zeros((72, 3))
    ends = {"terminated": 0, "truncated": 0}
    for t in reversed(range(72)):
        for i in range(3):
            _, now = seen[t]
            if now.terminated[i]:
                R[t, i] = 0.5
                ends["terminated"] += 1
            elif now.truncated[i]:
                R[t, i] = 0.5 + 0.9 * q_of(a, now.final_obs[i : i + 1]).max()
                ends["truncated"] += 1
            else:
                q_next = best[i] if t == 71 else q_of(a, seen[t + 1][0][i : i + 1]).max()
                R[t, i] = 0.5 + 0.9 * (q_next if t == 71 else 0.7 * R[t + 1, i] + 0.3 * q_next)
    assert min(ends.values()) > 0
    np.testing.assert_allclose(a.batch["R"].reshape(72, 3), R, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a.batch["s"].reshape(72, 3, 4), [s for s, _ in seen], atol=1e-6)


def test_an_update_regresses_on_the_targets_of_the_actions_taken() -> None:
    """SGD at 0.5 on the mean of (R - Q)^2 / 2: the head's bias moves by what the errors of each action add up to."""
    a = agent(epochs=1, minibatches=1, optimizer=OptimizerConfig("sgd", lr=0.5))
    a._play(6)
    a._compute_targets()
    assert a.batch is not None
    s, action, R = a.batch["s"], a.batch["a"], a.batch["R"]
    q, before = q_of(a, s), [np.array(v) for v in a.model.trainable_variables]
    errors = R - q[np.arange(18), action]
    scalars = a._learn()
    for k in range(a.num_actions):
        moved = np.array(a.model.trainable_variables[-1])[k] - before[-1][k]
        np.testing.assert_allclose(moved, 0.5 * errors[action == k].sum() / 18, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scalars["loss/td"], [(errors**2).mean() / 2], rtol=1e-4)
    np.testing.assert_allclose(scalars["value/td_error"], [np.abs(errors).mean()], rtol=1e-4)
    assert a.batch is None and a.t == 0 and a.updates == 1
    np.testing.assert_allclose(a._values(s), q_of(a, s), atol=1e-5)  # the mirror follows


def test_every_row_is_learned_from_once_an_epoch_and_nothing_is_kept_for_later() -> None:
    a = agent(epochs=2, minibatches=3)
    a._play(6)
    a._compute_targets()
    assert a.batch is not None
    order = a.batch["order"]  # [E * M, B / M]
    assert order.shape == (6, 6)
    for epoch in (order[:3], order[3:]):
        np.testing.assert_array_equal(np.sort(epoch.ravel()), np.arange(18))
    assert not np.array_equal(order[:3], order[3:])
    assert not {"target", "replay"} & set(a.state())


def test_epsilon_falls_linearly_and_greedy_evaluations_have_none() -> None:
    a = agent(epsilon_start=0.9, epsilon_end=0.1, epsilon_steps=1_000)
    seen = []
    for a.clock in (0, 500, 1_000, 5_000):
        seen.append(round(a.epsilon, 6))
    assert seen == [0.9, 0.5, 0.1, 0.1]
    q = np.tile([0.0, 2.0, 1.0], (30_000, 1))
    chosen = np.bincount(a._epsilon_greedy(q, 0.5, np.random.default_rng(0)), minlength=3) / 30_000
    np.testing.assert_allclose(chosen, [0.5 / 3, 0.5 + 0.5 / 3, 0.5 / 3], atol=0.015)
    assert "2 whole episodes, greedy actions" in evaluate(a, 2, 1, greedy=True)["eval/protocol"]
    assert "epsilon-greedy (0.1) actions" in evaluate(a, 2, 1)["eval/protocol"]


def test_it_learns_to_catch() -> None:
    a = agent(
        envs=8,
        n_steps=16,
        minibatches=4,
        epochs=4,
        hidden=(32,),
        optimizer=OptimizerConfig("radam", lr=3e-3, epsilon=1e-8, max_grad_norm=10.0),
        epsilon_steps=3_000,
        epsilon_end=0.05,
    )
    while a.clock < 6_000:
        a.step()
    assert evaluate(a, 40, 1, greedy=True)["eval/return_mean"] > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("env", ["ALE/Pong-v5", "FrozenLake-v1"])
def test_pictures_and_states_keep_the_contract(env: str, tmp_path: Path) -> None:
    spec = REGISTRY["pqn"]
    check_contract(replace(spec, tiny={**spec.tiny, "env.id": env}), tmp_path)


@pytest.mark.slow
def test_updates_are_those_of_pytorch() -> None:
    """Twelve minibatches through RAdam with clipped gradients, past the step at which its rectification begins."""
    torch = pytest.importorskip("torch", reason="the extra peers brings PyTorch")
    limit = 0.05  # gradients meet it
    optimizer = OptimizerConfig("radam", lr=3e-3, epsilon=1e-8, max_grad_norm=limit)
    a = agent(hidden=(16, 8), epochs=4, minibatches=3, optimizer=optimizer)
    a._play(6)
    a._compute_targets()
    assert a.batch is not None
    phi = [torch.tensor(np.array(v, np.float64), requires_grad=True) for v in a.model.trainable_variables]
    peer = torch.optim.RAdam(phi, lr=3e-3, eps=1e-8)
    s, R = (torch.tensor(np.asarray(a.batch[name], np.float64)) for name in ("s", "R"))
    action = torch.tensor(a.batch["a"].astype(np.int64))
    clipped = 0
    for rows in a.batch["order"]:
        W1, b1, g1, o1, W2, b2, g2, o2, V, c = phi
        h = torch.relu(torch.nn.functional.layer_norm(s[rows] @ W1 + b1, (16,), g1, o1, 1e-6))
        h = torch.relu(torch.nn.functional.layer_norm(h @ W2 + b2, (8,), g2, o2, 1e-6))
        q = (h @ V + c)[torch.arange(len(rows)), action[rows]]
        loss = 0.5 * ((R[rows] - q) ** 2).mean()
        peer.zero_grad()
        loss.backward()
        clipped += int(torch.nn.utils.clip_grad_norm_(phi, limit) > limit)
        peer.step()
    a._learn()
    assert clipped >= 6
    for ours, theirs in zip(a.model.trainable_variables, phi, strict=True):
        np.testing.assert_allclose(np.array(ours), theirs.detach().numpy(), atol=2e-5)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"q_lambda": 1.1}, "q_lambda is 1.1; it must lie between 0 and 1"),
        ({"minibatches": 4}, "minibatches is 4; it must divide envs x n_steps = 18"),
        ({"hidden": ()}, "hidden is empty"),
        ({"hidden": (0,)}, r"hidden is \[0\]"),
        ({"reward_scale": 0.0}, "reward_scale is 0; it must be above 0"),
        ({"epochs": 0}, "epochs is 0"),
        ({"epsilon_steps": -1}, "epsilon_steps is -1"),
        ({"env": EnvConfig("pongan/Walk-v0")}, "pqn needs discrete actions"),
    ],
)
def test_wrong_settings_get_one_sentence(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**flags)
