"""The replay beside a list that keeps everything: every stack, reward and discount, over random episodes."""

from __future__ import annotations

import errno
import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from core import checkpoint
from core.errors import UsageError
from core.replay import Replay
from core.sum_tree import SumTree

GAMMA = 0.9
KINDS: dict[str, dict[str, Any]] = {
    "frames": {"shape": (4, 3), "dtype": np.uint8, "stack": 4},
    "vectors": {"shape": (3,), "dtype": np.float32, "stack": 1},
    "tabular": {"shape": (), "dtype": np.int64, "stack": 1},
}


def test_masks_come_back_with_the_observation_that_they_are_of() -> None:
    """Observation t is the number t, and its mask allows action t % 3 alone; over the ends of episodes and of the ring."""
    rng = np.random.default_rng(0)

    def replay() -> Replay:
        return Replay(24, (), np.int64, num_envs=2, n_step=2, gamma=GAMMA, rng=np.random.default_rng(1), choices=3)

    def mask(numbers: np.ndarray) -> np.ndarray:
        return np.eye(3, dtype=bool)[numbers % 3]

    full, t = replay(), np.array([0, 1000])
    for _ in range(40):
        ends = rng.random(2) < 0.3
        full.add(t, np.zeros(2, int), np.zeros(2), ends, np.zeros(2, bool), t + 1, mask(t), mask(t + 1))
        t = np.where(ends, t + 2, t + 1)
    restored = replay()
    restored.load_state(full.state())
    for one in (full, restored):
        batch = one.sample(64)
        assert batch.mask_t is not None
        np.testing.assert_array_equal(batch.mask_t, mask(batch.obs_t))
    assert len(set((batch.obs_t - batch.obs_tm1).tolist())) > 1  # two steps, and one where the episode ended


class World:
    """Random episodes in N environments, and what became of every action taken in them."""

    def __init__(self, kind: str, num_envs: int, seed: int, longest: int = 9):
        self.kind, self.N, self.rng, self.longest = KINDS[kind], num_envs, np.random.default_rng(seed), longest
        self.count = 0
        self.episodes: list[list[dict[str, Any]]] = [[] for _ in range(num_envs)]  # of each environment, of all time
        self.obs = np.stack([self.first() for _ in range(num_envs)])

    def frame(self) -> np.ndarray:
        shape, dtype = self.kind["shape"], self.kind["dtype"]
        self.count += 1
        return np.asarray(self.rng.integers(0, 256, shape) if shape else self.count, dtype)

    def first(self) -> np.ndarray:
        return np.stack([self.frame() for _ in range(self.kind["stack"])]) if self.kind["stack"] > 1 else self.frame()

    def following(self, obs: np.ndarray) -> np.ndarray:
        return np.concatenate([obs[1:], self.frame()[None]]) if self.kind["stack"] > 1 else self.frame()

    def step(self, *replays: Replay) -> None:
        action = self.rng.integers(0, 5, self.N)
        reward = self.rng.normal(size=self.N).astype(np.float32)
        ends = self.rng.random(self.N) < 2 / self.longest
        terminated = ends & (self.rng.random(self.N) < 0.5)
        final = np.stack([self.following(o) for o in self.obs])
        for replay in replays:
            replay.add(self.obs, action, reward, terminated, ends & ~terminated, final)
        following = final.copy()
        for i in range(self.N):
            self.episodes[i].append(
                {
                    "obs": self.obs[i],
                    "a": action[i],
                    "r": reward[i],
                    "end": "t" if terminated[i] else "u" if ends[i] else "",
                    "final": final[i],
                }
            )
            if ends[i]:
                following[i] = self.first()
        self.obs = following

    def transition(self, i: int, number: int, n: int) -> tuple[Any, ...] | None:
        """obs, a, r, discount, next obs of the `number`-th action of environment i over n steps; None while it is incomplete."""
        r, steps = 0.0, self.episodes[i]
        for d in range(n):
            if number + d >= len(steps):
                return None
            step = steps[number + d]
            r += GAMMA**d * step["r"]
            if step["end"] or d == n - 1:
                if not step["end"] and number + n >= len(steps):
                    return None  # its next observation comes with the next step
                first = steps[number]
                return first["obs"], first["a"], r, 0.0 if step["end"] == "t" else GAMMA ** (d + 1), step["final"]
        raise AssertionError

    def whole(self, n: int, live: int) -> dict[bytes, tuple[Any, ...]]:
        """All transitions that a replay of `live` slots an environment may return, by their observation."""
        stack, found = self.kind["stack"], {}
        for i, steps in enumerate(self.episodes):
            slots, at = 0, []  # slot of every action
            for number, step in enumerate(steps):
                slots += stack - 1 if number == 0 or steps[number - 1]["end"] else 0
                at.append(slots)
                slots += 2 if step["end"] else 1
            for number in range(len(steps)):
                t = self.transition(i, number, n)
                if t is not None and at[number] - (stack - 1) >= slots - live:
                    found[t[0].tobytes()] = t
        return found


def replay(kind: str, capacity: int = 120, seed: int = 0, **fields: Any) -> Replay:
    return Replay(capacity, rng=np.random.default_rng(seed), gamma=GAMMA, **KINDS[kind], **fields)


def check_sample(r: Replay, expected: dict[bytes, tuple[Any, ...]], batch: int = 40) -> list[bytes]:
    drawn = r.sample(batch)
    for b in range(batch):
        obs, a, ret, discount, following = expected[drawn.obs_tm1[b].tobytes()]  # a KeyError: no such transition
        np.testing.assert_array_equal(drawn.obs_tm1[b], obs)
        np.testing.assert_array_equal(drawn.obs_t[b], following)
        assert drawn.a_tm1[b] == a
        np.testing.assert_allclose([drawn.r_t[b], drawn.discount_t[b]], [ret, discount], rtol=1e-5, atol=1e-6)
    return [drawn.obs_tm1[b].tobytes() for b in range(batch)]


@pytest.mark.parametrize("where", ["memory", "file", "prioritised"])
@pytest.mark.parametrize("n", [1, 3])
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_sample_is_what_the_agent_saw(kind: str, n: int, where: str, tmp_path: Path) -> None:
    """Random episodes, the ring going round many times: nothing but real transitions comes out, and every one of them does."""
    options: dict[str, Any] = {
        "memory": {},
        "file": {"path": tmp_path / "replay.bin", "slack": 50},
        "prioritised": {"alpha": 0.6},
    }[where]
    world, r = World(kind, 3, seed=n), replay(kind, n_step=n, num_envs=3, **options)
    for _ in range(20):
        for _ in range(world.rng.integers(1, 40)):
            world.step(r)
        expected = world.whole(n, r.live)
        if not expected:
            continue
        check_sample(r, expected)
        if where == "prioritised":
            assert r._tree is not None
            assert np.count_nonzero(r._tree.leaves) == len(expected)  # exactly those that can be sampled
            drawn = r.sample(8)
            r.set_priorities(drawn.index, world.rng.normal(size=8))
    seen: set[bytes] = set()
    for _ in range(60):
        seen |= set(check_sample(r, expected))
    assert seen == set(expected)
    assert len(r) <= 120 and r.head.min() > 3 * r.slots
    r.close()


def test_uniform_means_uniform() -> None:
    world, r = World("frames", 2, seed=5), replay("frames", capacity=60, num_envs=2)
    for _ in range(100):
        world.step(r)
    count: Counter[bytes] = Counter()
    expected = world.whole(1, r.live)
    draws = 400 * len(expected)
    drawn = r.sample(draws)
    count.update(drawn.obs_tm1[b].tobytes() for b in range(draws))
    assert set(count) == set(expected)
    chi2 = sum((c - 400) ** 2 / 400 for c in count.values())
    freedom = len(expected) - 1
    assert abs(chi2 - freedom) < 5 * np.sqrt(2 * freedom)


def test_proportional_sampling_and_weights_by_hand() -> None:
    """Priorities 1, 2, 3, 4 to the power 0.5; weights (p / min p)^-beta."""
    r = replay("tabular", capacity=40, alpha=0.5)
    no = np.zeros(1, bool)
    for t in range(5):
        r.add(np.array([t]), np.array([0]), np.array([0.0]), no, no, np.array([t + 1]))
    drawn = r.sample(4)
    assert (
        sorted(drawn.obs_tm1.tolist()) == [0, 1, 2, 3] and (drawn.weight == 1).all()
    )  # equal priorities: one of each stratum
    order = np.argsort(drawn.obs_tm1)
    r.set_priorities(drawn.index[order], np.array([1.0, -2.0, 3.0, 4.0]))
    drawn = r.sample(100_000, beta=0.7)
    p = np.sqrt([1.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(np.bincount(drawn.obs_tm1) / 100_000, p / p.sum(), atol=1e-4)
    np.testing.assert_allclose(drawn.weight, (p**-0.7)[drawn.obs_tm1], rtol=1e-4)
    r.add(np.array([5]), np.array([0]), np.array([0.0]), no, no, np.array([6]))  # 4 is complete now: the highest so far
    r.sample(1)
    assert r._tree is not None
    np.testing.assert_allclose(r._tree.leaves[4], 2.0, rtol=1e-5)


def test_minibatches_are_stratified_one_by_one() -> None:
    r = replay("tabular", capacity=80, alpha=1.0)
    no = np.zeros(1, bool)
    for t in range(65):
        r.add(np.array([t]), np.array([0]), np.array([0.0]), no, no, np.array([t + 1]))
    for minibatch in r.sample(8, minibatches=3).obs_tm1.reshape(3, 8):
        assert (minibatch // 8 == np.arange(8)).all()


def test_sum_tree_is_cumsum() -> None:
    rng = np.random.default_rng(0)
    for size in (1, 2, 5, 64, 1000):
        tree, weights = SumTree(size), np.zeros(size)
        for _ in range(20):
            index = rng.integers(size, size=rng.integers(1, 2 * size + 1))
            weight = rng.random(len(index)) * (rng.random(len(index)) < 0.7)
            tree.set(index, weight)
            weights[index] = weight
            np.testing.assert_array_equal(tree.leaves, weights)
            np.testing.assert_allclose(tree.total, weights.sum())
            if tree.total == 0:
                continue
            mass = rng.random(200) * tree.total
            found = tree.find(mass)
            assert (weights[found] > 0).all()
            running = np.cumsum(weights)
            expected = np.minimum(np.searchsorted(running, mass, side="right"), np.flatnonzero(weights)[-1])
            near = np.abs(running[:, None] - mass).min(axis=0) < 1e-9  # a border: rounding decides
            np.testing.assert_array_equal(found[~near], expected[~near])
            assert (weights[tree.find(np.array([0.0, tree.total, 2 * tree.total]))] > 0).all()
        again = SumTree(size)
        again.load(tree.leaves)
        np.testing.assert_array_equal(again._node, tree._node)


@pytest.mark.parametrize("alpha", [None, 0.6])
@pytest.mark.parametrize("where", ["memory", "file"])
def test_a_restored_replay_draws_the_same(where: str, alpha: float | None, tmp_path: Path) -> None:
    """Also when the file was written on after the checkpoint, up to its slack."""
    path = tmp_path / "files" / "replay.bin" if where == "file" else None
    (tmp_path / "files").mkdir()
    options: dict[str, Any] = {"num_envs": 2, "path": path, "slack": 100, "alpha": alpha, "n_step": 2}
    world, r = World("frames", 2, seed=1), replay("frames", **options)
    for _ in range(150):
        world.step(r)
    if alpha:
        drawn = r.sample(8)
        r.set_priorities(drawn.index, world.rng.normal(size=8))
    saved = checkpoint.save(tmp_path, f"{1:012d}", {"replay": r.state()})
    expected = world.whole(2, r.live)
    first = [r.sample(16, beta=0.5) for _ in range(5)]
    if where == "file":
        assert r.state()["frames"] is None  # the checkpoint names the file and holds no observation
    for _ in range(20):
        world.step(r)
    r.close()  # as a kill leaves it: the file is further than the checkpoint

    other = replay("frames", seed=9, **options)
    assert other.state()["file"] is None and other.state()["frames"] is None
    other.load_state(checkpoint.load(saved, {"replay": other.state()})["replay"])
    for batch in first:
        again = other.sample(16, beta=0.5)
        for name in ("obs_tm1", "a_tm1", "r_t", "discount_t", "obs_t", "weight", "index"):
            np.testing.assert_array_equal(getattr(batch, name), getattr(again, name))
    check_sample(other, expected)
    for _ in range(300):
        world.step(other)
    other.sample(4)
    other.close()


def test_a_checkpoint_that_the_file_has_overtaken_is_refused(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    options: dict[str, Any] = {"path": tmp_path / "files" / "replay.bin", "slack": 50}
    world, r = World("frames", 1, seed=1), replay("frames", **options)
    for _ in range(200):
        world.step(r)
    head = r.head.copy()
    saved = checkpoint.save(tmp_path, f"{1:012d}", {"replay": r.state()})
    while r.head[0] - head[0] <= 50:
        world.step(r)
    r.close()
    other = replay("frames", **options)
    tree = checkpoint.load(saved, {"replay": other.state()})["replay"]
    with pytest.raises(UsageError, match=r"written on \d+ observations too far"):
        other.load_state(tree)

    os.truncate(options["path"], 5000)
    with pytest.raises(UsageError, match="has 5000 bytes and should have"):
        other.load_state(tree)
    options["path"].write_bytes(b"something else" * 1000)
    with pytest.raises(UsageError, match="is no replay of this run"):
        other.load_state(tree)
    options["path"].unlink()
    with pytest.raises(UsageError, match="is missing, which this checkpoint needs"):
        other.load_state(tree)


def test_a_file_with_too_little_slack_is_refused(tmp_path: Path) -> None:
    """With checkpoints further apart than the file was made for, a kill would leave none that can be used."""
    path = tmp_path / "replay.bin"
    world, r = World("frames", 1, seed=1), replay("frames", path=path, slack=50)
    empty = checkpoint.save(tmp_path, f"{0:012d}", {"replay": r.state()})
    for _ in range(20):
        world.step(r)
    saved = checkpoint.save(tmp_path, f"{1:012d}", {"replay": r.state()})
    r.close()
    more, less = replay("frames", path=path, slack=60), replay("frames", path=path, slack=40)
    with pytest.raises(UsageError, match="at most 50 observations old, and 60 are asked for now"):
        more.load_state(checkpoint.load(saved, {"replay": more.state()})["replay"])
    less.load_state(checkpoint.load(saved, {"replay": less.state()})["replay"])
    assert less.slots - less.live == 50
    less.close()
    path.unlink()
    more = replay(
        "frames", path=path, slack=60
    )  # nothing had been written yet: the file can still be as large as asked
    more.load_state(checkpoint.load(empty, {"replay": more.state()})["replay"])
    assert more.slots - more.live == 60
    more.close()


def test_a_file_is_sparse_and_made_at_the_first_step_only(tmp_path: Path) -> None:
    path = tmp_path / "replay.bin"
    r = Replay(1_000_000, (84, 84), np.uint8, stack=4, path=path, slack=150_000, rng=np.random.default_rng(0))
    assert not path.exists() and r.state()["file"] is None
    assert r.bytes_live == 7_056_000_000 and r.bytes_slack == 1_058_400_000
    obs, no = np.full((1, 4, 84, 84), 7, np.uint8), np.zeros(1, bool)
    for _ in range(8):
        r.add(obs, np.array([0]), np.array([0.0]), no, no, obs)
    assert path.stat().st_size > 8e9 and path.stat().st_blocks * 512 < 1e6
    assert (r.sample(4).obs_tm1 == 7).all()
    r.close()


def test_a_full_disk_is_an_error_not_a_signal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    r = replay("frames", path=tmp_path / "replay.bin")
    world = World("frames", 1, seed=0)
    world.step(r)

    def full(descriptor: int, data: bytes, offset: int) -> int:
        return min(len(data), 5)

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(OSError) as caught:
        world.step(r)
    assert caught.value.errno == errno.ENOSPC


def test_it_says_when_there_is_nothing_to_draw_and_when_it_is_too_small() -> None:
    for alpha in (None, 0.6):
        r, world = replay("frames", alpha=alpha), World("frames", 1, seed=0, longest=10**9)
        world.step(r)
        with pytest.raises(ValueError, match="no complete transition"):
            r.sample(1)
    with pytest.raises(UsageError, match="it must be at least 40"):
        replay("frames", capacity=30, num_envs=2)
