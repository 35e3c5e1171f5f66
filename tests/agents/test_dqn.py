from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from agents.dqn.agent import DQN
from agents.dqn.config import NATURE, DQNConfig
from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import REGISTRY, Context
from core.replay import Batch
from envs import EnvConfig, Step
from experiments.testing import check_contract

CATCH = EnvConfig("pongan/Catch-v0")
CARTPOLE = EnvConfig("CartPole-v1")
SMALL: dict[str, Any] = {
    "env": CATCH,
    "capacity": 200,
    "learning_starts": 20,
    "update_every": 1,
    "target_every": 1_000,
    "batch": 4,
    "hidden": (8,),
    "turn": 4,
}


def agent(folder: Path = Path("."), seed: int = 0, **flags: Any) -> DQN:
    return DQN(DQNConfig(**SMALL | flags), Context(seed=seed, folder=folder, rewind=100))


def play(a: DQN, clock: int) -> dict[str, Any]:
    scalars: dict[str, Any] = {}
    while a.clock < clock:
        scalars |= a.step()
    return scalars


def weights(model: Any) -> list[np.ndarray]:
    return [np.array(v) for v in model.trainable_variables]


def random_batch(a: DQN, K: int, seed: int = 0) -> Batch:
    """Transitions for K minibatches; every third terminated."""
    rng, N, D = np.random.default_rng(seed), K * a.config.batch, a.observations.shape
    s_tm1, s_t = (rng.normal(scale=0.2, size=(N, *D)).astype(np.float32) for _ in range(2))
    discount = np.where(np.arange(N) % 3 == 0, 0, a.config.gamma).astype(np.float32)
    r, weight = rng.normal(scale=2, size=N).astype(np.float32), rng.random(N).astype(np.float32)
    action = rng.integers(a.num_actions, size=N).astype(np.int32)
    return Batch(s_tm1, action, r, discount, s_t, weight, np.arange(N))


def part(batch: Batch, rows: slice) -> Batch:
    columns = {f.name: getattr(batch, f.name) for f in fields(batch)}
    return Batch(**{name: column if column is None else column[rows] for name, column in columns.items()})


@pytest.mark.parametrize("double", [False, True])
def test_one_update_is_the_papers(double: bool) -> None:
    """A linear Q by hand: the error clipped to [-1, 1], summed over the batch, centred RMSProp with 0.01 inside the root."""
    a = agent(hidden=(), double=double, gamma=0.9, batch=16)
    a.target.set_weights([w + np.random.default_rng(1).normal(size=w.shape) for w in a.target.get_weights()])
    (W, b), (W_hat, b_hat) = weights(a.model), [np.array(v) for v in a.target.variables]
    batch = random_batch(a, 1)
    s_tm1, action, r, discount, s_t, weight = (getattr(batch, f.name) for f in fields(batch)[:6])
    best = (s_t @ W + b if double else s_t @ W_hat + b_hat).argmax(axis=1)
    rows = np.arange(len(r))
    y = r + discount * (s_t @ W_hat + b_hat)[rows, best]
    delta = y - (s_tm1 @ W + b)[rows, action]
    clipped = weight * np.clip(delta, -1, 1)
    assert (np.abs(delta) > 1).any() and (np.abs(delta) < 1).any()
    pushed = np.zeros((len(r), a.num_actions), np.float32)
    pushed[rows, action] = -clipped
    td, figures = a._update(batch, 1)
    np.testing.assert_allclose(td[0], delta, rtol=1e-4, atol=1e-5)
    for new, old, g in zip(weights(a.model), (W, b), (s_tm1.T @ pushed, pushed.sum(axis=0)), strict=True):
        v, m = 0.05 * g**2, 0.05 * g
        np.testing.assert_allclose(new, old - 2.5e-4 * g / np.sqrt(v - m**2 + 0.01), rtol=1e-5, atol=1e-7)
    absolute = np.abs(delta)
    huber = np.where(absolute < 1, delta**2 / 2, absolute - 0.5)
    norm = np.sqrt(((s_tm1.T @ pushed) ** 2).sum() + (pushed.sum(axis=0) ** 2).sum())
    q_mean = (s_tm1 @ W + b).mean()
    np.testing.assert_allclose(figures[0], [(weight * huber).mean(), absolute.mean(), q_mean, norm], rtol=1e-4)


SGD = OptimizerConfig("sgd", lr=0.5, epsilon=1e-8)
RAINBOW: dict[str, Any] = {
    **{"distribution": "c51", "atoms": 11, "v_min": -2.0, "v_max": 2.0, "noisy": True, "double": True, "dueling": True},
    **{"n_step": 3, "prioritised": True, "optimizer": OptimizerConfig("adam", epsilon=1e-8), "loss": "mean"},
}


def perturbed(a: DQN) -> DQN:
    """Move the target network away from the learning one, so that mistaking one for the other shows."""
    rng = np.random.default_rng(1)
    a.target.set_weights([w + rng.normal(scale=0.5, size=w.shape) for w in a.target.get_weights()])
    return a


def linear_layer(model: Any, s: np.ndarray, Z: int, xi: np.ndarray | None = None) -> np.ndarray:
    """What a layer alone says, [B, A, Z] float64, from its weights and noise."""
    W, b, *sigmas = (np.array(v, np.float64) for v in model.variables)
    if xi is not None:
        f = np.sign(xi) * np.sqrt(np.abs(xi))
        W, b = W + sigmas[0] * np.outer(f[: len(W)], f[len(W) :]), b + sigmas[1] * f[len(W) :]
    return (s @ W + b).reshape(len(s), -1, Z)


def softmax(x: np.ndarray) -> np.ndarray:
    e = np.exp(x - x.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def wants(batch: Batch) -> tuple[np.ndarray, ...]:
    return tuple(getattr(batch, f.name) for f in fields(batch)[:6])


def check_moved(a: DQN, before: list[np.ndarray], s: np.ndarray, pushed: np.ndarray, xi: np.ndarray | None) -> None:
    """`pushed` [B, A, Z] is the gradient of the loss with respect to what the layer says; SGD at 0.5 goes against it."""
    g = pushed.reshape(len(s), -1)
    gradients = [s.T @ g, g.sum(axis=0)]
    if xi is not None:
        f = np.sign(xi) * np.sqrt(np.abs(xi))
        f_in, f_out = f[: s.shape[1]], f[s.shape[1] :]
        gradients += [gradients[0] * np.outer(f_in, f_out), gradients[1] * f_out]
    for new, old, gradient in zip(weights(a.model), before, gradients, strict=True):
        np.testing.assert_allclose(new, old - 0.5 * gradient, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("double", "noisy"), [(False, False), (True, True)])
def test_one_update_of_c51(double: bool, noisy: bool) -> None:
    """A layer alone by hand: the projected distribution of the best action, the cross entropy's gradient p - m, and the three
    noises, one for each of Z(s_tm1), the target network and the choice of the action."""
    flags: dict[str, Any] = {"distribution": "c51", "atoms": 5, "v_min": -2.0, "v_max": 2.0, "hidden": (), "batch": 12}
    a = perturbed(agent(**flags, double=double, noisy=noisy, optimizer=SGD))
    batch = random_batch(a, 1)
    s_tm1, action, r, discount, s_t, weight = wants(batch)
    drawn = np.random.default_rng()
    drawn.bit_generator.state = a.noise.bit_generator.state
    xi, xi_target, xi_selector = drawn.standard_normal((3, a.network.noise_width), np.float32) if noisy else [None] * 3
    before, rows, atoms = weights(a.model), np.arange(len(r)), np.linspace(-2, 2, 5)
    p_t = softmax(linear_layer(a.target, s_t, 5, xi_target))
    chooser = softmax(linear_layer(a.model, s_t, 5, xi_selector)) if double else p_t
    p_t = p_t[rows, (chooser @ atoms).argmax(axis=1)]  # [B, Z]
    m = np.zeros_like(p_t)
    for j, z in enumerate(atoms):
        place = (np.clip(r + discount * z, -2, 2) + 2) / 1.0  # the atoms are 1 apart
        low = np.minimum(np.floor(place).astype(int), 3)
        m[rows, low] += p_t[:, j] * (low + 1 - place)
        m[rows, low + 1] += p_t[:, j] * (place - low)
    p = softmax(linear_layer(a.model, s_tm1, 5, xi))
    kl = (np.where(m > 0, m * np.log(np.maximum(m, 1e-30)), 0) - m * np.log(p[rows, action])).sum(axis=1)
    pushed = np.zeros_like(p)
    pushed[rows, action] = weight[:, None] * (p[rows, action] - m)
    errors, figures = a._update(batch, 1)
    np.testing.assert_allclose(errors[0], kl, rtol=1e-3, atol=1e-5)  # what priorities follow
    np.testing.assert_allclose(figures[0][[0, 2]], [(weight * kl).mean(), (p @ atoms).mean()], rtol=1e-4)
    check_moved(a, before, s_tm1, pushed, xi)


@pytest.mark.parametrize("munchausen", [False, True])
def test_one_update_of_quantile_regression(munchausen: bool) -> None:
    """A layer alone by hand, with N = 4 quantiles: sums of (tau - 1{u < 0}) clip(u), with the target of M-IQN if asked."""
    a = perturbed(agent(distribution="qr", quantiles=4, munchausen=munchausen, hidden=(), batch=12, optimizer=SGD))
    batch = random_batch(a, 1)
    s_tm1, action, r, discount, s_t, weight = wants(batch)
    before, rows = weights(a.model), np.arange(len(r))
    z_t, theta = linear_layer(a.target, s_t, 4), linear_layer(a.model, s_tm1, 4)
    if munchausen:
        q_tm1, q_t = linear_layer(a.target, s_tm1, 4).mean(axis=2), z_t.mean(axis=2)
        bonus = 0.9 * np.maximum(0.03 * np.log(softmax(q_tm1 / 0.03)[rows, action]), -1)
        pi = softmax(q_t / 0.03)
        ahead = (pi[..., None] * (z_t - 0.03 * np.log(pi + 1e-300)[..., None])).sum(axis=1)
        y = (r + bonus)[:, None] + discount[:, None] * ahead
    else:
        y = r[:, None] + discount[:, None] * z_t[rows, z_t.mean(axis=2).argmax(axis=1)]
    u = y[:, None, :] - theta[rows, action][:, :, None]  # [B, N, N]
    tau = (np.arange(4)[:, None] + 0.5) / 4
    share = np.abs(tau - (u < 0))
    losses = (share * np.where(np.abs(u) < 1, u**2 / 2, np.abs(u) - 0.5)).mean(axis=2).sum(axis=1)
    pushed = np.zeros_like(theta)
    pushed[rows, action] = -weight[:, None] * (share * np.clip(u, -1, 1)).mean(axis=2)
    errors, _ = a._update(batch, 1)
    np.testing.assert_allclose(errors[0], losses, rtol=1e-4)
    check_moved(a, before, s_tm1, pushed, None)


def test_one_update_of_munchausen_dqn() -> None:
    a = perturbed(agent(munchausen=True, munchausen_tau=0.5, hidden=(), batch=12, optimizer=SGD))
    batch = random_batch(a, 1)
    s_tm1, action, r, discount, s_t, weight = wants(batch)
    before, rows = weights(a.model), np.arange(len(r))
    pi_tm1, q_t = softmax(linear_layer(a.target, s_tm1, 1)[..., 0] / 0.5), linear_layer(a.target, s_t, 1)[..., 0]
    pi_t = softmax(q_t / 0.5)
    bonus = 0.9 * np.maximum(0.5 * np.log(pi_tm1[rows, action]), -1)
    y = r + bonus + discount * (pi_t * (q_t - 0.5 * np.log(pi_t))).sum(axis=1)
    q = linear_layer(a.model, s_tm1, 1)
    delta = y - q[rows, action, 0]
    pushed = np.zeros_like(q)
    pushed[rows, action, 0] = -weight * np.clip(delta, -1, 1)
    errors, _ = a._update(batch, 1)
    np.testing.assert_allclose(errors[0], delta, rtol=1e-4, atol=1e-5)
    check_moved(a, before, s_tm1, pushed, None)


@pytest.mark.slow
def test_updates_of_rainbow_are_those_of_pytorch() -> None:
    """All six parts on a network with hidden layers: three updates beside autograd's, in float64."""
    torch = pytest.importorskip("torch", reason="the extra peers brings PyTorch")
    a = perturbed(agent(**{**RAINBOW, "hidden": (10, 6), "batch": 16, "optimizer": SGD, "tau": 0.25, "gamma": 0.9}))
    batch, K, Z = random_batch(a, 3), 3, 11
    drawn = np.random.default_rng()
    drawn.bit_generator.state = a.noise.bit_generator.state
    xi = torch.tensor(drawn.standard_normal((K, 3, a.network.noise_width), np.float32).astype(np.float64))
    names = [v.path for v in a.model.variables]
    theta, target = (
        {
            name: torch.tensor(np.array(v, np.float64), requires_grad=own)
            for name, v in zip(names, m.variables, strict=True)
        }
        for m, own in ((a.model, True), (a.target, False))
    )
    atoms = torch.linspace(-2, 2, Z, dtype=torch.float64)

    def probabilities(w: dict[str, Any], s: Any, noise: Any) -> Any:
        left = noise

        def layer(name: str, x: Any, relu: bool = True) -> Any:
            nonlocal left
            W, b, W_sigma, b_sigma = (w[f"{name}/{what}"] for what in ("kernel", "bias", "kernel_sigma", "bias_sigma"))
            own, left = left[: sum(W.shape)], left[sum(W.shape) :]
            f = torch.sign(own) * torch.sqrt(torch.abs(own))
            f_in, f_out = f[: len(W)], f[len(W) :]
            y = x @ (W + W_sigma * torch.outer(f_in, f_out)) + b + b_sigma * f_out
            return torch.relu(y) if relu else y

        h = layer("torso_0", s)
        value = layer("value", layer("value_hidden", h), relu=False)[:, None]
        advantage = layer("advantage", layer("advantage_hidden", h), relu=False).reshape(len(s), -1, Z)
        return torch.softmax(value + advantage - advantage.mean(1, keepdim=True), dim=2)

    peer = torch.optim.SGD(theta.values(), lr=0.5)
    errors, rows = [], torch.arange(16)
    for k in range(K):
        part_k = wants(part(batch, slice(16 * k, 16 * k + 16)))
        s_tm1, action, r, discount, s_t, weight = (torch.tensor(np.asarray(x, np.float64)) for x in part_k)
        action = action.long()
        with torch.no_grad():
            a_t = (probabilities(theta, s_t, xi[k, 2]) @ atoms).argmax(1)
            p_t = probabilities(target, s_t, xi[k, 1])[rows, a_t]
            moved = (r[:, None] + discount[:, None] * atoms).clip(-2, 2)
            m = torch.zeros_like(p_t)
            for j in range(Z):  # a value gives to an atom what lies nearer to it than dz = 0.4
                m += p_t[:, j, None] * (1 - (moved[:, j, None] - atoms).abs() / 0.4).clip(min=0)
        p = probabilities(theta, s_tm1, xi[k, 0])[rows, action]
        losses = (torch.special.xlogy(m, m) - m * torch.log(p)).sum(1)
        peer.zero_grad()
        (weight * losses).mean().backward()
        peer.step()
        errors.append(losses.detach().numpy())
        with torch.no_grad():
            for name in names:
                target[name] += 0.25 * (theta[name] - target[name])
    td, _ = a._update(batch, K)
    np.testing.assert_allclose(td, errors, rtol=1e-3, atol=1e-4)
    for model, theirs in ((a.model, theta), (a.target, target)):
        for name, ours in zip(names, model.variables, strict=True):
            np.testing.assert_allclose(np.array(ours), theirs[name].detach().numpy(), atol=3e-5, err_msg=name)


@pytest.mark.parametrize("double", [False, True])
def test_the_maximum_is_that_over_allowed_actions(double: bool) -> None:
    """A table of values, since Taxi's states are one-hot: r + gamma max Q'(s', a) over the actions that the mask allows."""
    a = agent(env=EnvConfig("Taxi-v4"), hidden=(), double=double, dueling=False)
    rng = np.random.default_rng(0)
    Q, T = rng.normal(size=(500, 6)).astype(np.float32), rng.normal(size=(500, 6)).astype(np.float32)
    a.model.set_weights([Q, np.zeros(6, np.float32)])
    a.target.set_weights([T, np.zeros(6, np.float32)])
    a.restored()
    B = a.config.batch
    s, s_, action = rng.integers(500, size=B), rng.integers(500, size=B), rng.integers(6, size=B).astype(np.int32)
    mask = rng.random((B, 6)) < 0.4
    mask[:, 3] = True
    r, discount = rng.normal(size=B).astype(np.float32), np.full(B, 0.9, np.float32)
    td, _ = a._update(Batch(s, action, r, discount, s_, np.ones(B, np.float32), np.arange(B), mask), 1)
    chosen = np.where(mask, (Q if double else T)[s_], -np.inf).argmax(axis=1)
    np.testing.assert_allclose(td[0], r + 0.9 * T[s_, chosen] - Q[s, action], rtol=1e-4, atol=1e-5)
    assert (chosen != (Q if double else T)[s_].argmax(axis=1)).any()
    masks = np.eye(6, dtype=bool)[np.arange(30) % 6]
    for epsilon in (0.0, 1.0):
        assert a._epsilon_greedy(np.arange(30), epsilon, rng, mask=masks).tolist() == (np.arange(30) % 6).tolist()
    a.close()


def test_truncated_transitions_bootstrap_and_terminated_ones_do_not() -> None:
    """The value of the last observation counts at a time limit; at a landing only the reward does."""
    a = agent(env=EnvConfig("CartPole-v1", time_limit=4), learning_starts=10**6, gamma=0.9)
    play(a, 200)  # nothing can fall over in four steps
    drawn = a.replay.sample(300)
    np.testing.assert_allclose(drawn.discount_t, 0.9)
    a = agent(learning_starts=10**6, gamma=0.9)  # an episode of Catch is 5 steps, the last one lands
    play(a, 200)
    drawn = a.replay.sample(300)
    landed = drawn.r_t != 0
    assert landed.any()
    np.testing.assert_allclose(drawn.discount_t, np.where(landed, 0, 0.9))


def test_many_updates_in_one_call_are_the_same_as_one_after_the_other() -> None:
    together, single = agent(seed=1), agent(seed=1)
    batch = random_batch(together, 5)
    errors, figures = together._update(batch, 5)
    for k in range(5):
        td, row = single._update(part(batch, slice(4 * k, 4 * k + 4)), 1)
        np.testing.assert_allclose(td[0], errors[k], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(row[0], figures[k], rtol=1e-4)
    for one, other in zip(weights(together.model), weights(single.model), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(("envs", "burst"), [(1, 1), (3, 1), (2, 7)])
def test_one_update_for_every_k_steps_however_many_environments(envs: int, burst: int) -> None:
    a = agent(envs=envs, update_every=2, burst=burst)
    play(a, 120)
    due = (a.clock - envs - 20) // 2  # the last step's are made while the next one is played
    assert due - burst < a.updates <= due and a.updates % burst in (0, 1)


def test_the_target_network_is_copied_every_c_updates() -> None:
    a = agent(target_every=5, optimizer=replace(NATURE, lr=0.1), turn=1)
    before, changes = [np.array(v) for v in a.target.variables], []
    while a.updates < 16:
        done = a.updates
        a.step()
        now = [np.array(v) for v in a.target.variables]
        if a.updates > done and not np.array_equal(now[0], before[0]):
            changes.append(a.updates)
            for t, theta in zip(now, weights(a.model), strict=True):
                np.testing.assert_array_equal(t, theta)
        before = now
    assert changes == [5, 10, 15]


def test_tau_moves_the_target_network_a_little_at_every_update() -> None:
    a = agent(tau=0.25)
    old = [np.array(v) for v in a.target.variables]
    a._update(random_batch(a, 1), 1)
    for t, before, theta in zip(a.target.variables, old, weights(a.model), strict=True):
        np.testing.assert_allclose(np.array(t), 0.75 * before + 0.25 * theta, rtol=1e-5, atol=1e-7)


def test_dueling_adds_value_and_centred_advantages_and_the_mirror_is_the_model() -> None:
    for flags in ({"dueling": True, "hidden": (8, 6)}, {"dueling": True}, {}):
        a = agent(**flags)
        play(a, 40)  # some updates, after which the mirror took over the weights
        s = np.random.default_rng(0).normal(size=(7, *a.observations.seen)).astype(np.float32)
        x = a.observations.encode(s)
        q = np.array(a.model(x))
        assert a.mirror.chains
        np.testing.assert_allclose(a._values(s), q, atol=1e-5)
        if a.config.dueling:
            h = x
            for layer in a.model.layers:
                if layer.name.startswith("torso"):
                    h = layer(h)
            value = a.model.get_layer("value")(a.model.get_layer("value_hidden")(h))
            np.testing.assert_allclose(q.mean(axis=1), np.array(value)[:, 0], atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("flags", [RAINBOW, {"distribution": "qr", "quantiles": 5, "noisy": True}], ids=["c51", "qr"])
def test_noise_explores_and_evaluations_know_none(flags: dict[str, Any]) -> None:
    a = agent(**flags, envs=2)
    play(a, 60)  # some updates, after which the mirror took over the weights
    assert (
        a.mirror.chains and a.epsilon == 0 and agent(**{**flags, "epsilon_end": 0.3, "epsilon_steps": 0}).epsilon == 1
    )
    s = np.random.default_rng(0).normal(size=(7, *a.observations.seen)).astype(np.float32)
    x, xi = (
        tf.constant(a.observations.encode(s)),
        np.random.default_rng(1).standard_normal((7, a.network.noise_width), "f"),
    )
    np.testing.assert_allclose(a._values(s), a.network.values(a.network(x)), atol=1e-5)
    np.testing.assert_allclose(a._values(s, xi), a.network.values(a.network(x, tf.constant(xi))), atol=1e-5)
    rng = np.random.default_rng(2)
    many = np.repeat(s[:1], 500, axis=0)
    assert len(np.unique(a._epsilon_greedy(many, 0.0, rng, noisy=True))) > 1  # each row under its own noise
    assert len(np.unique(a.act(many, (), rng, greedy=True)[0])) == 1
    greedy = a._values(s).argmax(axis=1)
    np.testing.assert_array_equal(a.act(s, (), rng, greedy=True)[0], greedy)


def test_dueling_distributions_are_centred_atom_by_atom() -> None:
    a = agent(**{**RAINBOW, "noisy": False, "hidden": (8, 6)})
    x = tf.constant(np.random.default_rng(0).normal(size=(7, *a.observations.shape)).astype(np.float32))
    h = x
    for layer in a.model.layers:
        if layer.name.startswith("torso"):
            h = layer(h)
    value = a.model.get_layer("value")(a.model.get_layer("value_hidden")(h))  # [7, Z]
    np.testing.assert_allclose(np.array(a.network(x)).mean(axis=1), value, atol=1e-5)


def test_priorities_are_the_new_errors() -> None:
    a = agent(prioritised=True, alpha=0.7)
    play(a, 100)
    tree = a.replay._tree
    assert tree is not None and len(np.unique(tree.leaves)) > 20
    drawn = a.replay.sample(4)
    td, _ = a._update(drawn, 1)
    a.replay.set_priorities(drawn.index, td.ravel())
    np.testing.assert_allclose(tree.leaves[drawn.index], (np.abs(td[0]) + 1e-6) ** 0.7, rtol=1e-5)


def test_epsilon_falls_linearly_and_is_the_share_of_random_actions() -> None:
    a = agent(learning_starts=100, epsilon_steps=1_000, epsilon_end=0.1)
    seen = []
    for a.clock in (0, 99, 500, 1_000, 5_000):
        seen.append(round(a.epsilon, 6))
    assert seen == [1, 1, 0.55, 0.1, 0.1]
    a.clock = 500
    s = np.repeat(a.env.obs, 20_000, axis=0)
    chosen = np.bincount(a._epsilon_greedy(s, a.epsilon, np.random.default_rng(0)), minlength=3) / 20_000
    np.testing.assert_allclose(np.sort(chosen), [0.55 / 3, 0.55 / 3, 0.45 + 0.55 / 3], atol=0.015)


def test_rewards_are_clipped_for_learning_and_reported_raw(monkeypatch: pytest.MonkeyPatch) -> None:
    a = agent(clip_rewards="yes", learning_starts=10**6)
    recv = a.env.recv

    def tenfold() -> Step:
        t = recv()
        return Step(t.obs, 10 * t.reward, t.terminated, t.truncated, t.final_obs)

    monkeypatch.setattr(a.env, "recv", tenfold)
    scalars = play(a, 60)
    assert set(np.unique(a.replay.sample(200).r_t)) == {-1.0, 0.0, 1.0}
    assert set(np.abs(scalars["rollout/return"])) == {10.0}
    assert not agent().clips and not agent(env=EnvConfig("ALE/Pong-v5"), clip_rewards="no").clips


def test_states_of_a_table_become_one_hot() -> None:
    a = agent(env=EnvConfig("FrozenLake-v1"), hidden=(), envs=2)
    play(a, 60)
    np.testing.assert_array_equal(a.observations.encode(np.array([0, 15])), np.eye(16, dtype=np.float32)[[0, 15]])
    assert a.replay.sample(4).obs_tm1.dtype.kind == "i" and a.updates > 0


@pytest.mark.parametrize("dueling", [False, True])
def test_pong_from_frames_stored_once_in_a_file(dueling: bool, tmp_path: Path) -> None:
    said: list[str] = []
    config = DQNConfig(
        **SMALL | {"env": EnvConfig("ALE/Pong-v5"), "envs": 2, "dueling": dueling, "replay_on_disk": "yes"}
    )
    a = DQN(config, Context(seed=0, folder=tmp_path, rewind=100, say=said.append))
    assert not (tmp_path / "replay.bin").exists() and a.clips
    scalars = play(a, 40)
    assert a.updates > 5 and np.isfinite(scalars["loss/td"]).all()
    assert a.replay.bytes_live == 200 * 84 * 84 and (tmp_path / "replay.bin").exists()
    assert len(said) == 1 and "0.00141 GB" in said[0] and "replay.bin" in said[0]
    assert a.act(a.env.obs, (), a.rng, greedy=False)[0].shape == (2,)
    a.close()


class Coloured(gymnasium.Env):
    """A colour picture [3, 36, 36] whose three planes count the steps at different paces; ends after 7."""

    observation_space = gymnasium.spaces.Box(0, 255, (3, 36, 36), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.t = 0
        return self.seen(), {}

    def step(self, action):
        self.t += 1
        return self.seen(), 1.0, self.t == 7, False, {}

    def seen(self) -> np.ndarray:
        return np.broadcast_to(np.array([1, 10, 20], np.uint8)[:, None, None] * self.t, (3, 36, 36)).astype(np.uint8)


def test_planes_of_colour_are_no_stack_of_frames() -> None:
    gymnasium.register("pongan/Coloured-v0", Coloured)
    a = agent(env=EnvConfig("pongan/Coloured-v0"), clip_rewards="no")
    play(a, 40)
    batch = a.replay.sample(20)
    first, second = batch.obs_tm1[..., 0, 0], batch.obs_t[..., 0, 0]  # [B, 3]
    np.testing.assert_array_equal(first, first[:, :1] * np.array([1, 10, 20]))
    np.testing.assert_array_equal(second[:, 0] - first[:, 0], 1)
    gymnasium.registry.pop("pongan/Coloured-v0")


def test_step_size_falls_to_nothing() -> None:
    a = agent(optimizer=replace(NATURE, lr=0.1, lr_schedule="linear", lr_steps=60))
    play(a, 60)
    before = weights(a.model)
    play(a, 80)
    np.testing.assert_array_equal(before[0], weights(a.model)[0])


@pytest.mark.parametrize(
    "flags",
    [{}, pytest.param({"double": True, "dueling": True, "n_step": 3, "prioritised": True}, marks=pytest.mark.slow)],
)
def test_it_learns_to_catch(flags: dict[str, Any]) -> None:
    check_it_learns_to_catch(flags)


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {**RAINBOW, "atoms": 21},
        {"distribution": "qr", "quantiles": 11},
        {"munchausen": True},
        {"munchausen": True, "distribution": "qr", "quantiles": 11, "noisy": True, "epsilon_start": 1.0},
    ],
    ids=["rainbow", "qr", "munchausen", "munchausen-qr-noisy"],
)
def test_every_variant_learns_to_catch(flags: dict[str, Any]) -> None:
    check_it_learns_to_catch({key: value for key, value in flags.items() if key not in ("optimizer", "loss")})


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        {**RAINBOW, "env.id": "ALE/Pong-v5", "learning_starts": 40},
        {"distribution": "qr", "quantiles": 5, "noisy": False},
        {"munchausen": True, "double": False, "n_step": 1, "distribution": "qr", "quantiles": 5},
        {"munchausen": True, "double": False, "n_step": 1, "distribution": "none", "noisy": False},
    ],
    ids=["rainbow-on-pictures", "qr", "munchausen-qr-noisy", "munchausen"],
)
def test_other_variants_keep_the_contract(flags: dict[str, Any], tmp_path: Path) -> None:
    """The fast contract run is of Rainbow's combination."""
    spec = REGISTRY["dqn"]
    plain = {key: value for key, value in flags.items() if key not in ("optimizer", "loss")}
    check_contract(replace(spec, tiny={**spec.tiny, **plain}), tmp_path)


def check_it_learns_to_catch(flags: dict[str, Any]) -> None:
    a = agent(
        **flags,
        **{"envs": 4, "hidden": (32,), "capacity": 4_000, "learning_starts": 200},
        optimizer=OptimizerConfig(lr=2e-3, epsilon=1e-8),
        **{"loss": "mean", "batch": 32, "epsilon_steps": 3_000, "target_every": 96, "update_every": 2, "burst": 8},
        epsilon_end=None if flags.get("noisy") else 0.05,
    )
    play(a, 5_000)
    assert evaluate(a, 40, 1, greedy=True)["eval/return_mean"] > 0.9


def test_evaluation_plays_what_it_says() -> None:
    assert "4 whole episodes, greedy actions" in evaluate(agent(), 4, 1, greedy=True)["eval/protocol"]
    assert "epsilon-greedy (0.05) actions" in evaluate(agent(eval_epsilon=0.05), 4, 1)["eval/protocol"]


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"gamma": 1.1}, "gamma is 1.1"),
        (
            {"optimizer": replace(NATURE, name="adam", centered=False)},
            "optimizer.epsilon is 0.01, .* adam needs its own",
        ),
        ({"tau": 0.0}, "tau is 0.0; it must be above 0"),
        ({"learning_starts": 1}, "learning_starts is 1; it must be at least 2"),
        ({"capacity": 5}, "the replay holds 5 observations"),
        ({"env": EnvConfig("pongan/Walk-v0")}, "dqn needs discrete actions"),
        ({"dueling": True, "hidden": ()}, "dueling needs a hidden layer"),
        ({"hidden": (0,)}, r"hidden is \[0\]"),
        ({"atoms": 1}, "atoms is 1; a distribution needs at least 2"),
        ({"quantiles": 1}, "quantiles is 1"),
        ({"v_min": 3.0, "v_max": 3.0}, "v_min is 3 and v_max 3"),
        ({"sigma0": 0.0}, "sigma0 is 0; it must be above 0"),
        ({"munchausen_tau": 0.0}, "a temperature is above 0"),
        ({"munchausen_clip": 0.0}, "munchausen_clip is 0; it must be below 0"),
        ({"munchausen_alpha": 1.5}, "munchausen_alpha is 1.5; it must lie between 0 and 1"),
        ({"epsilon_start": 2.0}, "epsilon_start is 2.0"),
        ({"munchausen": True, "distribution": "c51"}, "choose distribution qr or none"),
        ({"munchausen": True, "double": True}, "averages over all actions; leave one of them out"),
        ({"munchausen": True, "n_step": 3}, "n_step is 3 with munchausen"),
    ],
)
def test_wrong_settings_get_one_sentence(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**flags)
