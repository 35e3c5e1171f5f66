from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from agents.dqn.agent import DQN
from agents.dqn.config import NATURE, DQNConfig
from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from core.replay import Batch
from envs import EnvConfig, Step

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
    return Batch(**{f.name: getattr(batch, f.name)[rows] for f in fields(batch)})


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


@pytest.mark.parametrize("flags", [{}, {"double": True, "dueling": True, "n_step": 3, "prioritised": True}])
def test_it_learns_to_catch(flags: dict[str, Any]) -> None:
    a = agent(
        **flags,
        **{"envs": 4, "hidden": (32,), "capacity": 4_000, "learning_starts": 200},
        optimizer=OptimizerConfig(lr=2e-3, epsilon=1e-8),
        **{"loss": "mean", "batch": 32, "epsilon_steps": 3_000, "epsilon_end": 0.05, "target_every": 96},
        **{"update_every": 2, "burst": 8},
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
    ],
)
def test_wrong_settings_get_one_sentence(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        agent(**flags)
