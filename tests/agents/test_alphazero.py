from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.alphazero.agent import AlphaZero
from agents.alphazero.config import AlphaZeroConfig
from agents.alphazero.network import policy_and_value
from agents.alphazero.search import C_BASE, C_INIT, search
from agents.rl.evaluate import evaluate
from core.errors import UsageError
from core.plugin import Context
from envs import EnvConfig
from envs.games import CONNECT_FOUR, TIC_TAC_TOE, Position, Rules
from tests.tic_tac_toe import lines_of_play


def agent(seed: int = 0, **fields: Any) -> AlphaZero:
    small = {
        "games": 4,
        "simulations": 8,
        "channels": 4,
        "blocks": 1,
        "batch": 8,
        "capacity": 200,
        "learning_starts": 10,
    }
    env = EnvConfig(fields.pop("env", "pongan/TicTacToe-v0"))
    return AlphaZero(AlphaZeroConfig(env=env, **(small | fields)), Context(seed=seed, folder=Path(".")))


def opinion(rules: Rules, mine: int, theirs: int) -> tuple[np.ndarray, float]:
    """Logits [A] and a value that depend on the position and on nothing else."""
    rng = np.random.default_rng([mine, theirs])
    return rng.normal(size=rules.num_actions), float(rng.uniform(-1, 1))


class Tree:
    """AlphaZero's search, written once more: one tree, by recursion."""

    def __init__(self, rules: Rules, mine: int, theirs: int):
        self.position = Position(rules, mine, theirs)
        logits, self.value = opinion(rules, mine, theirs)
        self.allowed = self.position.actions()
        p = np.exp(logits[self.allowed])
        self.P = dict(zip(self.allowed, p / p.sum(), strict=True))
        self.N = dict.fromkeys(self.allowed, 0)
        self.W = dict.fromkeys(self.allowed, 0.0)
        self.after: dict[int, Tree | float] = {}

    def simulate(self) -> float:
        """Return the value of what was found, for whoever moves here."""
        total = 1 + sum(self.N.values())
        C = np.log((1 + total + C_BASE) / C_BASE) + C_INIT
        a = max(
            self.allowed,
            key=lambda a: (self.W[a] / self.N[a] if self.N[a] else 0) + C * self.P[a] * total**0.5 / (1 + self.N[a]),
        )
        if a not in self.after:
            next_ = self.position.copy()
            gain = next_.play(a)
            self.after[a] = -gain if next_.over else Tree(next_.rules, next_.mine, next_.theirs)
            found = self.after[a]
            v = found if isinstance(found, float) else found.value
        else:
            found = self.after[a]
            v = found if isinstance(found, float) else found.simulate()
        self.N[a] += 1
        self.W[a] -= v
        return -v


@pytest.mark.parametrize("rules", [CONNECT_FOUR, TIC_TAC_TOE], ids=["connect-four", "tic-tac-toe"])
def test_many_trees_at_once_are_each_the_tree_of_its_position(rules: Rules) -> None:
    rng, sides = np.random.default_rng(0), []
    while len(sides) < 6:
        position = Position(rules)
        for _ in range(rng.integers(5)):
            position.play(int(rng.choice(position.actions())))
        if not position.over:
            sides.append((position.mine, position.theirs))

    def of_all(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        opinions = [opinion(rules, int(m), int(t)) for m, t in zip(mine, theirs, strict=True)]
        return np.array([p for p, _ in opinions]), np.array([v for _, v in opinions])

    visits, values = search(rules, *np.array(sides, np.uint64).T, of_all, 80)
    for row, value, (mine, theirs) in zip(visits, values, sides, strict=True):
        tree = Tree(rules, mine, theirs)
        for _ in range(80):
            tree.simulate()
        assert {a: n for a, n in enumerate(row) if a in tree.N} == tree.N and row.sum() == 80
        assert value == pytest.approx(sum(tree.W.values()) / 80, abs=1e-5)


def test_a_win_is_taken_and_a_loss_prevented() -> None:
    def even(mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((len(mine), 7)), np.zeros(len(mine))

    wins, threatened = Position(CONNECT_FOUR), Position(CONNECT_FOUR)
    for a in (3, 0, 3, 0, 3, 1):
        wins.play(a)
    for a in (6, 3, 6, 3, 0, 3):
        threatened.play(a)
    sides = np.array([(p.mine, p.theirs) for p in (wins, threatened)], np.uint64)
    visits, value = search(CONNECT_FOUR, *sides.T, even, 200)
    assert visits.argmax(axis=1).tolist() == [3, 3] and value[0] > 0.8
    with_noise, _ = search(CONNECT_FOUR, *sides.T, even, 1, noise=np.eye(7)[[5, 2]], noise_share=1.0)
    assert with_noise.argmax(axis=1).tolist() == [5, 2]


def test_the_first_network_has_no_preference() -> None:
    model = policy_and_value(CONNECT_FOUR, 4, 2, seed=1)
    outputs = model(np.random.default_rng(0).integers(0, 2, (3, 6, 7, 2)).astype(np.float32))
    np.testing.assert_array_equal(outputs["policy"], np.zeros((3, 7)))
    np.testing.assert_array_equal(outputs["value"], np.zeros((3, 1)))


def test_positions_keep_how_the_game_ended_for_whoever_moved() -> None:
    a = agent()
    while not a.written:
        a.step()
    sides, z = a.positions["sides"][: a.written], a.positions["z"][: a.written]
    starts = np.flatnonzero((sides == 0).all(axis=1))  # each game begins with an empty board
    assert starts[0] == 0
    for start, end in zip(starts, [*starts[1:], a.written], strict=True):
        game = sides[start:end]
        for (mine, theirs), (next_mine, next_theirs) in itertools.pairwise(game):
            assert mine & theirs == 0 and next_mine == theirs and bin(int(next_theirs ^ mine)).count("1") == 1
        assert np.all(z[start:end][:-1] == -z[start:end][1:]) and z[end - 1] in (0.0, 1.0)
        np.testing.assert_allclose(a.positions["pi"][start:end].sum(axis=1), 1, rtol=1e-6)
        pi = a.positions["pi"][start:end]
        occupied = game[:, 0] | game[:, 1]
        assert not pi[TIC_TAC_TOE.stones(occupied) == 0].any()


def test_one_update_is_the_papers() -> None:
    import tensorflow as tf

    a = agent(value_weight=0.5)
    x = np.random.default_rng(0).integers(0, 2, (8, 3, 3, 2)).astype(np.float32)
    pi = np.random.default_rng(1).dirichlet(np.ones(9), 8).astype(np.float32)
    z = np.array([1, -1, 0, 1, -1, 0, 1, 1], np.float32)
    for v in a.model.trainable_variables:  # heads that have an opinion
        v.assign(v + 0.1 * np.random.default_rng(len(v.shape)).normal(size=v.shape))
    outputs = a.model(x)
    p, v = tf.nn.softmax(outputs["policy"]).numpy(), outputs["value"].numpy()[:, 0]
    (figures,) = a._update(*map(tf.constant, (x, pi, z, np.int64(0))))
    expected = [-(pi * np.log(p)).sum(axis=1).mean(), ((z - v) ** 2).mean(), -(p * np.log(p)).sum(axis=1).mean()]
    np.testing.assert_allclose(figures, expected, rtol=1e-5)
    for _ in range(150):
        (figures,) = a._update(*map(tf.constant, (x, pi, z, np.int64(0))))
    assert figures[0] < expected[0] and figures[1] < 0.5 * expected[1]


def test_only_games_with_rules() -> None:
    with pytest.raises(UsageError, match=r"alphazero plays games whose rules it knows.*CartPole-v1 is none"):
        agent(env="CartPole-v1")


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"games": 0}, "games is 0"),
        ({"noise": 0.0}, "noise is 0"),
        ({"noise_share": 1.5}, "noise_share is 1.5"),
        ({"learning_starts": 300}, "more than the capacity of 200 positions"),
    ],
)
def test_what_does_not_fit_gets_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        agent(**fields)


@pytest.mark.slow
def test_it_loses_few_lines_of_tic_tac_toe_after_some_thousand_moves() -> None:
    a = agent(games=64, simulations=25, channels=16, blocks=2, batch=128, capacity=20_000, learning_starts=1_000)
    before, _ = lines_of_play(lambda sides: search(TIC_TAC_TOE, *sides.T, a.evaluate, 25)[0].argmax(axis=1))
    while a.clock < 60_000:
        a.step()
    lost, played = lines_of_play(lambda sides: search(TIC_TAC_TOE, *sides.T, a.evaluate, 200)[0].argmax(axis=1))
    assert lost < 0.05 * played and lost < 0.2 * before
    assert evaluate(a, 100, 1, greedy=True)["eval/return_mean"] > 0.8
