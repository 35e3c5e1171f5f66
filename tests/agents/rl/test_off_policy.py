from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from agents.rl.off_policy import Experience, actor_network, critic_networks, follow
from agents.rl.settings import OffPolicyConfig
from core import checkpoint
from core.plugin import Context
from core.replay import Batch
from envs import EnvConfig
from experiments.testing import assert_independent

SMALL: dict[str, Any] = {
    "env": EnvConfig("pongan/Walk-v0"),
    "capacity": 200,
    "learning_starts": 20,
    "batch": 4,
    "hidden": (8, 6),
    "turn": 4,
}


def experience(folder: Path = Path("."), seed: int = 0, **flags: Any) -> Experience:
    return Experience(OffPolicyConfig(**SMALL | flags), Context(seed=seed, folder=folder, rewind=100), "agent")


def still(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.zeros((len(x), 1), np.float32)


class Learner:
    """Counts updates, keeps what they were given, and returns errors that are all 1."""

    def __init__(self, batch: int = 4):
        self.batch, self.counts, self.seen = batch, [], []  # type: ignore[var-annotated]

    def __call__(self, batch: Batch, K: int) -> np.ndarray:
        self.counts.append(K)
        self.seen.append(batch)
        assert len(batch.r_t) == K * self.batch
        return np.ones((K, self.batch), np.float32)


def play(e: Experience, clock: int, learner: Learner) -> dict[str, Any]:
    scalars: dict[str, Any] = {}
    while e.clock < clock:
        scalars |= e.play(still, lambda a: a, learner)
    return scalars


@pytest.mark.parametrize(("envs", "update_every", "burst"), [(1, 1, 1), (2, 1, 1), (3, 2, 1), (2, 2, 7)])
def test_one_update_for_every_k_steps_however_many_environments(envs: int, update_every: int, burst: int) -> None:
    learner = Learner()
    e = experience(envs=envs, update_every=update_every, burst=burst)
    play(e, 120, learner)
    due = (e.clock - 20) // update_every
    assert due - burst < e.updates <= due and e.updates == sum(learner.counts)
    assert min(learner.counts) >= burst


def test_actions_are_random_before_learning_starts_and_the_policys_after() -> None:
    e = experience(learning_starts=100)
    play(e, 160, Learner())
    a = e.replay._action[:, 0]
    (starts,) = np.nonzero(e.replay._flags)
    chosen = a[starts]
    assert np.all(chosen[:100] != 0) and np.all(chosen[100:] == 0) and np.abs(chosen).max() <= 1
    assert (chosen > 0.5).any() and (chosen < -0.5).any()


def test_n_step_targets_stop_at_a_time_limit_and_go_on_from_its_last_observation() -> None:
    """Walk is cut off after 20 steps and never ends: 3 steps of reward, fewer before the limit, and always a value."""
    e = experience(n_step=3, gamma=0.5, learning_starts=10, capacity=400, turn=1)
    rewards, seen, finals = [], [], []
    step = e.env.step

    def told(action: np.ndarray) -> Any:
        seen.append(e.x[0, 0])
        t = step(action)
        rewards.append(t.reward[0])
        finals.append(t.final_obs[0, 0])
        return t

    e.env.step = told  # type: ignore[assignment]
    play(e, 60, Learner())
    batch = e.replay.sample(500)
    lengths = set()
    for x, r, discount, following in zip(batch.obs_tm1, batch.r_t, batch.discount_t, batch.obs_t, strict=True):
        t = seen.index(x[0])
        k = min(3, 20 - t % 20)
        lengths.add(k)
        np.testing.assert_allclose(r, sum(0.5**i * rewards[t + i] for i in range(k)), rtol=1e-5)
        assert discount == 0.5**k and following[0] == finals[t + k - 1]
    assert lengths == {1, 2, 3}


def test_errors_become_priorities() -> None:
    e = experience(prioritised=True, alpha=1.0, learning_starts=40)
    learner = Learner()
    play(e, 44, learner)
    tree = e.replay._tree
    assert tree is not None and learner.counts
    drawn = np.concatenate([b.index for b in learner.seen])
    np.testing.assert_allclose(tree.leaves[drawn], 1 + 1e-6)


@pytest.mark.parametrize("where", ["no", "yes"])
def test_it_goes_on_exactly(where: str, tmp_path: Path) -> None:
    flags: dict[str, Any] = {"envs": 2, "n_step": 2, "prioritised": True, "replay_on_disk": where}
    one, first = experience(tmp_path, **flags), Learner()
    play(one, 72, first)
    checkpoint.save(tmp_path, f"{1:012d}", {"experience": one})
    one.close() if where == "yes" else None
    other, second = experience(tmp_path, seed=1, **flags), Learner()
    checkpoint.load(tmp_path / "checkpoints" / f"{1:012d}", {"experience": other})
    assert (tmp_path / "replay.bin").exists() == (where == "yes")
    if where == "yes":
        assert other.clock == 72 and len(other.replay) == len(one.replay)
        play(other, 120, second)
        return
    first.seen.clear()
    play(one, 120, first)
    play(other, 120, second)
    for a, b in zip(first.seen, second.seen, strict=True):
        for name in ("obs_tm1", "a_tm1", "r_t", "discount_t", "obs_t", "weight", "index"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    assert len(first.seen) > 10


def test_critics_side_by_side_are_perceptrons_that_share_nothing() -> None:
    critics = critic_networks(2, 3, 2, (5, 4), seed=1)
    kernels = {
        f"{v.path} {i}": np.array(v)[i] for v in critics.trainable_variables for i in range(2) if "kernel" in v.path
    }
    assert_independent(kernels)
    rng = np.random.default_rng(0)
    s, a = rng.normal(size=(7, 3)).astype(np.float32), rng.normal(size=(7, 2)).astype(np.float32)
    W1, b1, W2, b2, W3, b3 = critics.get_weights()
    for i in range(2):
        h = np.maximum(np.concatenate([s, a], axis=1) @ W1[i] + b1[i], 0)
        h = np.maximum(h @ W2[i] + b2[i], 0)
        np.testing.assert_allclose(critics([s, a])[i], (h @ W3[i] + b3[i])[:, 0], rtol=1e-4, atol=1e-5)
    with tf.GradientTape() as tape:
        first = tf.reduce_sum(critics([s, a])[0])
    for gradient in tape.gradient(first, critics.trainable_variables):
        assert np.any(gradient[0] != 0) and np.all(gradient[1] == 0)


def test_the_first_actions_are_near_the_middle() -> None:
    x = np.random.default_rng(0).normal(size=(100, 17)).astype(np.float32)
    assert np.abs(actor_network(17, 6, (64, 64), seed=3)(x)).max() < 0.1


def test_a_target_moves_by_tau() -> None:
    model, target = (actor_network(2, 1, (3,), seed) for seed in (1, 2))
    before = target.get_weights()
    follow(target, model, 0.25)
    for new, old, theta in zip(target.get_weights(), before, model.get_weights(), strict=True):
        np.testing.assert_allclose(new, 0.75 * old + 0.25 * theta, rtol=1e-5, atol=1e-7)
