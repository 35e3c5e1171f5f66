"""`tabular`: every update rule against numbers computed by hand, planners against a linear solve, what P tells against paths."""

from __future__ import annotations

import functools
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
from PIL import Image

from agents.rl.evaluate import evaluate
from agents.tabular.agent import Tabular
from agents.tabular.config import TabularConfig
from agents.tabular.dynamics import Dynamics
from agents.tabular.learning import CONTROL, TD0, Model
from agents.tabular.planning import PolicyIteration, ValueIteration
from core import checkpoint
from core.errors import UsageError
from core.plugin import Context
from envs import EnvConfig, instance, make
from experiments.launcher.catalogue import catalogue
from experiments.testing import check_contract

METHODS = (*CONTROL, "td0", "value-iteration", "policy-iteration")
GAMMA, ALPHA = 0.9, 0.5


class Coin:
    """Chance, told in advance."""

    def __init__(self, *numbers: float):
        self.numbers = list(numbers)

    def random(self) -> float:
        return self.numbers.pop(0)


def learner(method: str, *chance: float, epsilon: float = 0.0, **flags: Any) -> Any:
    """Q = [[1, 2], [3, 5], [4, 0]], alpha 0.5, gamma 0.9."""
    config = TabularConfig(method=method, gamma=GAMMA, **flags)  # type: ignore[arg-type]
    made = CONTROL[method](3, 2, config, Coin(*chance))  # type: ignore[arg-type]
    made.epsilon, made.lr = epsilon, ALPHA
    made.Q.assign([[1, 2], [3, 5], [4, 0]])
    return made


def agent(folder: Path, seed: int = 1, env: str = "FrozenLake-v1", **flags: Any) -> Tabular:
    return Tabular(TabularConfig(env=EnvConfig(env), **flags), Context(seed=seed, folder=folder))


def known(env_id: str, **fields: Any) -> Dynamics:
    config = EnvConfig(env_id, **fields)
    dynamics = Dynamics.of(instance(config), make(config, 1, 0), env_id)
    assert dynamics is not None
    return dynamics


# --- update rules, by hand ------------------------------------------------------------------------------------------------


def test_q_learning_takes_the_best_of_the_next_state() -> None:
    made = learner("q-learning")
    made.learn(0, 1, 1.0, 1, GAMMA, False)
    assert made.Q.values[0, 1] == pytest.approx(2 + 0.5 * (1 + 0.9 * 5 - 2))  # 3.75
    made.learn(1, 0, 1.0, 2, 0.0, True)  # terminated: nothing follows
    assert made.Q.values[1, 0] == pytest.approx(3 + 0.5 * (1 - 3))
    made.learn(1, 1, 1.0, 2, GAMMA, True)  # cut: the next state counts
    assert made.Q.values[1, 1] == pytest.approx(5 + 0.5 * (1 + 0.9 * 4 - 5))


def test_sarsa_takes_the_action_that_comes_next() -> None:
    made = learner("sarsa", 0.0, 0.2, epsilon=0.5)  # explores; its action is the first
    assert made.learn(0, 1, 1.0, 1, GAMMA, False) == 0
    assert made.Q.values[0, 1] == pytest.approx(2 + 0.5 * (1 + 0.9 * 3 - 2))  # 2.85, where Q-learning has 3.75


def test_sarsa_draws_the_next_action_before_the_update() -> None:
    made = learner("sarsa", 0.9)
    made.Q.assign([[1, 2], [3, 5], [4, 0]])
    assert made.learn(0, 1, -9.0, 0, GAMMA, False) == 1  # still the best of state 0, which the update makes the worst
    assert made.Q.values[0, 1] == pytest.approx(2 + 0.5 * (-9 + 0.9 * 2 - 2)) and made.Q.values[0, 1] < 1


def test_expected_sarsa_takes_the_mean_under_its_policy() -> None:
    made = learner("expected-sarsa", epsilon=0.2)
    made.learn(0, 1, 1.0, 1, GAMMA, False)
    expected = 0.1 * 3 + 0.9 * 5  # each action 0.1 at random, the best 0.8 more
    assert made.Q.values[0, 1] == pytest.approx(2 + 0.5 * (1 + 0.9 * expected - 2))


def test_n_step_sarsa_sums_n_rewards_and_the_rest_at_the_end() -> None:
    made = learner("n-step-sarsa", *[0.9] * 4, n_step=3)  # greedy throughout
    made.learn(0, 0, 1.0, 1, GAMMA, False)
    made.learn(1, 0, 2.0, 2, GAMMA, False)
    np.testing.assert_array_equal(made.Q.values, [[1, 2], [3, 5], [4, 0]])  # three rewards have not come together
    made.learn(2, 1, 3.0, 1, GAMMA, False)
    G = 1 + 0.9 * 2 + 0.81 * 3 + 0.729 * 5
    assert made.Q.values[0, 0] == pytest.approx(1 + 0.5 * (G - 1))
    assert made.Q.values[1, 0] == 3 and len(made.waiting) == 2
    made.learn(1, 1, 4.0, 0, 0.0, True)
    assert made.Q.values[1, 0] == pytest.approx(3 + 0.5 * (2 + 0.9 * 3 + 0.81 * 4 - 3))
    assert made.Q.values[2, 1] == pytest.approx(0 + 0.5 * (3 + 0.9 * 4))
    assert made.Q.values[1, 1] == pytest.approx(5 + 0.5 * (4 - 5))
    assert made.waiting == []


def test_n_step_sarsa_looks_beyond_a_cut() -> None:
    made = learner("n-step-sarsa", 0.9, n_step=3)
    made.learn(0, 0, 1.0, 1, GAMMA, True)
    assert made.Q.values[0, 0] == pytest.approx(1 + 0.5 * (1 + 0.9 * 5 - 1))


@pytest.mark.parametrize("n", [1, 2])
def test_one_step_of_n_step_sarsa_is_sarsa(n: int) -> None:
    a, b = learner("sarsa", *[0.9] * 2), learner("n-step-sarsa", *[0.9] * 2, n_step=n)
    for made in (a, b):
        made.learn(0, 0, 1.0, 1, GAMMA, False)
        made.learn(1, 1, 2.0, 2, GAMMA, False)
    assert np.array_equal(a.Q.values, b.Q.values) == (n == 1)


@pytest.mark.parametrize(("method", "wanted"), [("mc-first-visit", 2.75), ("mc-every-visit", (3.5 + 2.75) / 2)])
def test_monte_carlo_averages_the_returns_of_the_first_or_every_visit(method: str, wanted: float) -> None:
    made = learner(method, average=True)
    made.gamma = 0.5
    made.learn(0, 0, 1.0, 0, 0.5, False)
    made.learn(0, 0, 2.0, 1, 0.5, False)
    assert made.Q.values[0, 0] == 1
    made.learn(1, 1, 3.0, 2, 0.0, True)  # returns 3, 2 + 3/2 = 3.5, 1 + 3.5/2 = 2.75
    assert made.Q.values[0, 0] == pytest.approx(wanted) and made.Q.values[1, 1] == 3 and made.episode == []
    assert made.N.tolist() == [[1 if method == "mc-first-visit" else 2, 0], [0, 1], [0, 0]]


def test_monte_carlo_with_a_step_size_and_a_cut_episode() -> None:
    made = learner("mc-first-visit", epsilon=0.2)
    made.learn(0, 0, 1.0, 1, GAMMA, True)
    rest = 0.1 * 3 + 0.9 * 5  # what the policy makes of the state in which the episode was cut
    assert made.Q.values[0, 0] == pytest.approx(1 + 0.5 * (1 + 0.9 * rest - 1))


def test_exploring_starts_draw_the_first_action_alone() -> None:
    made = learner("mc-first-visit", 0.1, 0.9, exploring_starts=True)
    assert made.start(0) == 0 and made.choose(0) == 1
    assert learner("mc-first-visit", 0.9).start(0) == 1


@pytest.mark.parametrize("coin", [0.4, 0.6])
def test_double_q_learning_chooses_by_one_table_and_values_by_the_other(coin: float) -> None:
    made = learner("double-q-learning", coin)
    made.Q2.assign([[1, 2], [7, 6], [0, 0]])
    first, second = (made.Q, made.Q2) if coin < 0.5 else (made.Q2, made.Q)
    np.testing.assert_array_equal(made.q(1), [5, 5.5])  # the policy goes by both
    made.learn(0, 1, 1.0, 1, GAMMA, False)
    # Q1's best of state 1 is action 1, worth 6 to Q2; Q2's best is action 0, worth 3 to Q1. A maximum would be 5 or 7.
    ahead = 6 if coin < 0.5 else 3
    assert first.values[0, 1] == pytest.approx(2 + 0.5 * (1 + 0.9 * ahead - 2)) and second.values[0, 1] == 2


def test_td0_moves_a_value_towards_the_next() -> None:
    pi = np.array([[0.5, 0.5], [0.25, 0.75], [0, 1]])
    made = TD0(pi, TabularConfig(method="td0", gamma=GAMMA), Coin(0.3, 0.2, 0.9))  # type: ignore[arg-type]
    made.lr = ALPHA
    made.V.assign([1, 2, 3])
    made.learn(0, 1, 1.0, 2, GAMMA, False)
    made.learn(1, 1, 1.0, 2, 0.0, True)
    np.testing.assert_allclose(made.V.values, [1 + 0.5 * (1 + 0.9 * 3 - 1), 2 + 0.5 * (1 - 2), 3])
    assert [made.choose(1), made.choose(1), made.choose(2)] == [1, 0, 1]
    np.testing.assert_array_equal(made.policy(greedy=True), [[1, 0], [0, 1], [0, 1]])


def test_dyna_q_learns_from_the_step_and_again_from_its_model() -> None:
    made = learner("dyna-q", *[0.5] * 6, planning_steps=2)
    made.learn(0, 1, 1.0, 1, GAMMA, False)
    q, target = 2.0, 1 + 0.9 * 5
    for _ in range(3):
        q += 0.5 * (target - q)
    assert made.Q.values[0, 1] == pytest.approx(q)


def test_the_model_samples_states_actions_and_outcomes_as_the_book_says() -> None:
    model, rng = Model(), np.random.default_rng(0)
    for _ in range(3):
        model.add(0, 0, 1.0, 1, GAMMA)
    model.add(0, 0, -1.0, 2, 0.0)
    model.add(0, 1, 5.0, 2, GAMMA)
    model.add(2, 1, 7.0, 0, GAMMA)
    drawn = [model.sample(rng) for _ in range(8_000)]
    share = {key: drawn.count(key) / len(drawn) for key in set(drawn)}
    # A state 1/2, of state 0 an action 1/2, of action 0 the outcomes by their counts 3 to 1.
    wanted = {
        (0, 0, 1.0, 1, 0.9): 3 / 16,
        (0, 0, -1.0, 2, 0.0): 1 / 16,
        (0, 1, 5.0, 2, 0.9): 1 / 4,
        (2, 1, 7.0, 0, 0.9): 1 / 2,
    }
    assert share.keys() == wanted.keys()
    for key, p in wanted.items():
        assert share[key] == pytest.approx(p, abs=5 * np.sqrt(p * (1 - p) / len(drawn)))


def test_the_model_comes_back_from_a_checkpoint_in_the_same_order(tmp_path: Path) -> None:
    a, b = Model(), Model()
    for S, A, R, S_ in ((5, 1, 0.5, 3), (2, 0, -1.0, 5), (5, 0, 0.0, 2), (5, 1, 0.25, 3), (5, 1, 0.5, 3)):
        a.add(S, A, R, S_, GAMMA)
    b.add(9, 9, 9.0, 9, GAMMA)  # forgotten
    path = checkpoint.save(tmp_path, f"{1:012d}", {"model": a})
    checkpoint.load(path, {"model": b})
    assert (a.seen, a.taken, a.counts) == (b.seen, b.taken, b.counts)
    ends = np.random.default_rng(1), np.random.default_rng(1)
    assert [a.sample(ends[0]) for _ in range(50)] == [b.sample(ends[1]) for _ in range(50)]


def test_averages_are_averages() -> None:
    made = learner("q-learning", average=True)
    for R in (1.0, 2.0, 6.0):
        made.learn(0, 0, R, 1, 0.0, True)
    assert made.Q.values[0, 0] == pytest.approx(3)  # the first value, 1, is forgotten at n = 1


def test_of_equal_actions_one_is_drawn() -> None:
    made = CONTROL["q-learning"](1, 4, TabularConfig(), np.random.default_rng(0))
    made.epsilon = 0.0
    made.Q.assign([[2, 1, 2, 2]])
    counts = np.bincount([made.choose(0) for _ in range(3_000)], minlength=4) / 3_000
    np.testing.assert_allclose(counts, [1 / 3, 0, 1 / 3, 1 / 3], atol=0.05)
    np.testing.assert_allclose(made.policy(greedy=False), [[0.025 + 0.3, 0.025, 0.025 + 0.3, 0.025 + 0.3]])
    np.testing.assert_array_equal(made.policy(greedy=True), [[1, 0, 0, 0]])


# --- planning and what P tells --------------------------------------------------------------------------------------------


@functools.cache
def solved(env_id: str, gamma: float) -> np.ndarray:
    """Return v* by Howard's policy iteration with a dense solve of every policy: written for this test, from env.P alone."""
    P = gymnasium.make(env_id).unwrapped.P  # type: ignore[attr-defined]
    S, A = len(P), len(P[0])
    T, R = np.zeros((S, A, S)), np.zeros((S, A))
    for s in range(S):
        for a in range(A):
            for p, s_t, r, end in P[s][a]:
                R[s, a] += p * r
                T[s, a, s_t] += 0 if end else p
    pi, everywhere = np.zeros(S, int), np.arange(S)
    while True:
        V = np.linalg.solve(np.eye(S) - gamma * T[everywhere, pi], R[everywhere, pi])
        Q = R + gamma * T @ V
        if (Q.max(axis=1) <= V + 1e-10).all():
            return V
        pi = np.where(Q.max(axis=1) > V + 1e-10, Q.argmax(axis=1), pi)


@pytest.mark.parametrize("method", ["value-iteration", "policy-iteration"])
@pytest.mark.parametrize(
    "env_id", ["FrozenLake-v1", "FrozenLake8x8-v1", "CliffWalking-v1", "CliffWalkingSlippery-v1", "Taxi-v4"]
)
def test_planners_come_to_the_values_of_a_linear_solve(method: str, env_id: str, tmp_path: Path) -> None:
    a = agent(tmp_path, env=env_id, method=method, turn=500)
    truth = solved(env_id, a.config.gamma)
    assert np.abs(a.method.values() - truth).max() > 0.1  # at first
    while a.clock < 40_000 and np.abs(a.method.values() - truth).max() > 1e-9:
        a.step()
    assert np.abs(a.method.values() - truth).max() < 1e-6
    np.testing.assert_allclose(a.truth, truth, atol=1e-8)
    a.close()


def coin_game() -> Dynamics:
    """Two states. In 0, action 0 ends with reward 1, action 1 pays 0.5 and leads to 1 or ends, each 1/2; 1 ends with 4 or 2."""
    made = SimpleNamespace(
        P={
            0: {0: [(1.0, 0, 1.0, True)], 1: [(0.5, 1, 0.5, False), (0.5, 0, 0.5, True)]},
            1: {0: [(1.0, 1, 4.0, True)], 1: [(1.0, 1, 2.0, True)]},
        },
        initial_state_distrib=np.array([1.0, 0.0]),
    )
    env = SimpleNamespace(state_shape=(2,), actions=(0, 1), first_state=0)
    dynamics = Dynamics.of(SimpleNamespace(unwrapped=made), env, "coin game")  # type: ignore[arg-type]
    assert dynamics is not None
    return dynamics


def test_a_sweep_of_value_iteration_by_hand() -> None:
    made = ValueIteration(coin_game(), GAMMA)
    assert made.sweep() == 4 and made.values().tolist() == [1, 4]
    assert made.sweep() == pytest.approx(0.5 + 0.9 * 0.5 * 4 - 1)  # 2.3
    np.testing.assert_allclose(made.values(), [2.3, 4])
    assert made.sweep() == 0 and made.chosen().tolist() == [1, 0]


def test_policy_iteration_by_hand() -> None:
    made = PolicyIteration(coin_game(), GAMMA, theta=1e-9)
    assert (
        made.sweep() == 4 and made.values().tolist() == [1, 4] and made.improvements == 0
    )  # under action 0 everywhere
    assert made.sweep() == 0 and made.improvements == 1 and made.changed == 1
    assert made.chosen().tolist() == [1, 0]
    made.sweep()
    np.testing.assert_allclose(made.values(), [2.3, 4])
    made.sweep()
    assert made.improvements == 2 and made.changed == 0


def test_values_of_the_random_walk_of_the_book(tmp_path: Path) -> None:
    """Example 6.2: five states in a row, left or right at random, a reward of 1 at the right end: 1/6, 2/6, ... 5/6."""
    gymnasium.register("RandomWalk-v0", RandomWalk)
    try:
        steps = {"lr_start": 0.1, "lr_end": 0.002, "lr_steps": 10_000}
        a = agent(tmp_path, env="RandomWalk-v0", method="td0", evaluated="random", gamma=1.0, **steps)
        np.testing.assert_allclose(a.truth, np.arange(1, 6) / 6)
        while a.clock < 12_000:
            a.step()
        np.testing.assert_allclose(a.method.values(), np.arange(1, 6) / 6, atol=0.06)
        assert a.measures()["eval/value_error"] == pytest.approx(np.abs(a.method.values() - np.arange(1, 6) / 6).max())
        a.close()
    finally:
        del gymnasium.registry["RandomWalk-v0"]


class RandomWalk(gymnasium.Env):
    observation_space, action_space = gymnasium.spaces.Discrete(5), gymnasium.spaces.Discrete(2)
    initial_state_distrib = np.eye(5)[2]

    def __init__(self, render_mode: str | None = None):
        def to(s: int) -> list[tuple[float, int, float, bool]]:
            return [(1.0, min(max(s, 0), 4), float(s == 5), not 0 <= s <= 4)]

        self.P = {s: {0: to(s - 1), 1: to(s + 1)} for s in range(5)}

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[int, dict]:
        super().reset(seed=seed)
        self.s = 2
        return self.s, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict]:
        ((_, self.s, reward, terminated),) = self.P[self.s][int(action)]
        return self.s, reward, terminated, False, {}


def test_the_expected_return_is_the_probability_of_every_path() -> None:
    """Always right on slippery FrozenLake: of the paths of six steps three miss all holes, each with (1/3)^6."""
    right = np.eye(4)[np.full(16, 2)]
    dynamics = known("FrozenLake-v1")
    assert dynamics.expected_return(right, 5) == 0
    assert dynamics.expected_return(right, 6) == pytest.approx(3 / 3**6)


def test_only_states_in_which_one_can_act_are_met() -> None:
    dynamics = known("CliffWalking-v1")
    met = dynamics.reachable(np.full((48, 4), 0.25))
    assert np.flatnonzero(~met).tolist() == list(range(37, 48))  # the cliff, which leads to the start, and the goal
    up = dynamics.reachable(np.eye(4)[np.zeros(48, int)])
    assert np.flatnonzero(up).tolist() == [0, 12, 24, 36]


def test_chosen_actions_are_the_environments_own() -> None:
    """The model follows the order of env.actions: 1, down, and 2, right, alone."""
    few, all_four = known("FrozenLake-v1", actions=(2, 1)), known("FrozenLake-v1")
    V = np.arange(16.0)
    np.testing.assert_array_equal(few.backup(V, GAMMA), all_four.backup(V, GAMMA)[:, [2, 1]])


def test_a_model_that_cannot_be_read_gets_one_sentence() -> None:
    env = SimpleNamespace(state_shape=(2,), actions=(0, 1), first_state=0)
    for P, says in (
        ({0: {0: []}}, "sum to 0"),
        ({0: {0: [(1.0, 5, 0.0, False)], 1: [(1.0, 0, 0.0, False)]}, 1: {}}, "KeyError"),
        ({s: {a: [(1.0, 5, 0.0, False)] for a in (0, 1)} for s in (0, 1)}, "ValueError"),
    ):
        with pytest.raises(UsageError, match=f"P of X cannot be read.*{says}"):
            Dynamics.of(SimpleNamespace(unwrapped=SimpleNamespace(P=P)), env, "X")  # type: ignore[arg-type]


# --- the agent ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
def test_every_method_keeps_the_contract(method: str, tmp_path: Path) -> None:
    spec = catalogue().plugins["tabular"]
    check_contract(replace(spec, tiny={**spec.tiny, "method": method, "n_step": 3}), tmp_path)


def test_blackjack_is_learned_from_its_tuples(tmp_path: Path) -> None:
    a = agent(tmp_path, env="Blackjack-v1", method="mc-first-visit", exploring_starts=True, average=True, turn=100)
    a.step()
    assert a.num_states == 32 * 11 * 2 and a.dynamics is None and a.episodes.count > 20
    sums = np.flatnonzero(a.method.visited()) // 22
    assert sums.min() >= 4 and sums.max() <= 21
    assert set(a.measures()) == {"samples/policy"}
    assert np.isfinite(evaluate(a, 3, seed=1, film=False)["eval/return_mean"])
    a.close()


def test_episodes_are_cut_where_nothing_else_ends_them(tmp_path: Path) -> None:
    a = agent(tmp_path, env="CliffWalking-v1", max_episode_steps=30, method="sarsa", turn=60)
    scalars = a.step()
    assert scalars["rollout/length"].max() <= 30 and a.episodes.count >= 2
    assert "time limit 30 steps" in evaluate(a, 2, seed=1, film=False)["eval/protocol"]
    a.close()
    b = agent(tmp_path, max_episode_steps=30)  # FrozenLake has a limit of its own
    assert b.most_steps == 100
    b.close()


@pytest.mark.parametrize(("method", "least", "most"), [("q-learning", -13, -13), ("sarsa", -17, -15)])
def test_the_cliff(method: str, least: float, most: float, tmp_path: Path) -> None:
    """Example 6.6: Q-learning finds the shortest path, along the edge; SARSA one above it. 15 is the best for epsilon 0.1."""
    a = agent(
        tmp_path,
        env="CliffWalking-v1",
        method=method,
        gamma=1.0,
        lr_start=0.5,
        lr_end=0.02,
        lr_steps=18_000,
        epsilon_start=0.1,
    )
    while a.clock < 20_000:
        a.step()
    assert least <= a.measures()["eval/exact_return"] <= most
    a.close()


def test_dyna_q_crosses_the_lake_after_few_steps(tmp_path: Path) -> None:
    a = agent(tmp_path, method="dyna-q", lr_start=0.5, lr_end=0.02, lr_steps=8_000, epsilon_steps=8_000)
    while a.clock < 10_000:
        a.step()
    assert a.measures()["eval/exact_return"] > 0.7
    a.close()


def test_the_picture_lies_in_the_runs_folder(tmp_path: Path) -> None:
    a = agent(tmp_path, method="value-iteration")
    a.step()
    picture = a.measures()["samples/policy"]
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "policy.png")), picture[0])
    before = picture.copy()
    a.method.V.assign(-a.method.V.values)
    again = a.measures()["samples/policy"]
    assert again.shape != before.shape or (again != before).any()
    a.close()


@pytest.mark.parametrize("env_id", ["FrozenLake8x8-v1", "CliffWalking-v1", "Taxi-v4", "Blackjack-v1"])
def test_every_environment_has_its_map(env_id: str, tmp_path: Path) -> None:
    a = agent(tmp_path, env=env_id)
    a.step()
    _, height, width, channels = a.measures()["samples/policy"].shape
    assert channels == 3 and 200 < height < 1_500 and 200 < width < 2_000
    for panel in a.layout.panels:
        assert (panel.states >= 0).all() and (panel.states < a.num_states).all()
        assert len(np.unique(panel.states)) == panel.states.size
    a.close()


def test_taxi_and_blackjack_states_stand_where_gymnasium_counts_them(tmp_path: Path) -> None:
    taxi = instance(EnvConfig("Taxi-v4")).unwrapped
    a = agent(tmp_path, env="Taxi-v4")
    board = a.layout.panels[5]  # G to Y: bring
    assert board.title == "G to Y: bring"
    assert [*taxi.decode(int(board.states[3, 1]))] == [3, 1, 4, 2]
    a.close()
    a = agent(tmp_path, env="Blackjack-v1")
    usable = a.layout.panels[0]
    assert usable.title == "usable ace" and np.unravel_index(usable.states[1, 2], (32, 11, 2)) == (20, 3, 1)
    a.close()


def test_nothing_but_the_export_needs_tensorflow() -> None:
    code = """
import sys, tempfile
from pathlib import Path
from agents.rl.evaluate import evaluate
from agents.tabular.config import TabularConfig
from core.plugin import REGISTRY, Context, build
agent = build(REGISTRY["tabular"], TabularConfig(), Context(seed=1, folder=Path(tempfile.mkdtemp())))
agent.step(), agent.measures(), evaluate(agent, 2, seed=1, greedy=True)
print(sorted({"tensorflow", "keras"} & set(sys.modules)))
"""
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )


@pytest.mark.parametrize(
    ("env", "flags", "says"),
    [
        ("Blackjack-v1", {"method": "value-iteration"}, "plans with a transition model, and Blackjack-v1 tells none"),
        ("Blackjack-v1", {"method": "td0"}, "choose --agent.evaluated random"),
        ("CartPole-v1", {}, "needs numbered states and actions"),
        ("pongan/Walk-v0", {}, "needs numbered states and actions"),
        ("FrozenLake-v1", {"method": "policy-iteration", "gamma": 1.0}, "gamma is 1"),
        (
            "FrozenLake-v1",
            {"exploring_starts": True},
            "exploring_starts is for Monte Carlo, and method is 'q-learning'",
        ),
        ("FrozenLake-v1", {"lr_start": 1.5}, "lr_start is 1.5"),
        ("FrozenLake-v1", {"n_step": 0}, "n_step is 0"),
        ("FrozenLake-v1", {"theta": 0.0}, "theta is 0"),
        ("FrozenLake-v1", {"planning_steps": -1}, "planning_steps is -1"),
    ],
)
def test_what_does_not_fit_gets_one_sentence(env: str, flags: dict, says: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        agent(tmp_path, env=env, **flags)
    assert "\n" not in str(caught.value)


def test_what_is_exported_is_the_table(tmp_path: Path) -> None:
    a = agent(tmp_path, env="CliffWalking-v1", method="value-iteration")
    a.step()
    states = np.arange(48)
    said = a.exportable()["act"](states)
    np.testing.assert_array_equal(said["action"], a.act(states, (), np.random.default_rng(0), greedy=True)[0])
    np.testing.assert_allclose(said["value"], a.method.values(), rtol=1e-6)
    assert float(said["value"][36]) == pytest.approx(-(1 - 0.99**13) / 0.01)
    a.close()
