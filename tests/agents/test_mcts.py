from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from agents.mcts.agent import MCTS
from agents.mcts.config import MCTSConfig
from agents.mcts.replayed import Replayed
from agents.rl.evaluate import evaluate
from core import uct
from core.errors import UsageError
from core.plugin import Context
from core.seeds import child
from envs import EnvConfig, make
from envs.games import TIC_TAC_TOE, Position
from tests.tic_tac_toe import lines_of_play


def agent(env: str, **fields: Any) -> MCTS:
    return MCTS(MCTSConfig(env=EnvConfig(env), **fields), Context(seed=0, folder=Path(".")))


def test_a_replayed_environment_stands_where_the_episode_stands() -> None:
    env = make(EnvConfig("CartPole-v1"), 1, 3)
    bank = make(EnvConfig("CartPole-v1"), 1, 0).banks[0]
    env.reset()
    for a in (0, 1, 1, 0):
        env.step(np.array([a]))
    seed, actions = env.episode(0)
    now = Replayed(bank, seed, list(actions), chance=1, horizon=3)
    expected = env.step(np.array([1])).final_obs[0]
    assert now.play(1) == 1.0 and not now.over and list(now.actions()) == [0, 1]
    np.testing.assert_array_equal(np.float32(bank._env.unwrapped.state), expected)  # type: ignore[attr-defined]
    now.play(0)
    now.play(0)
    assert now.over  # its horizon


def test_the_search_does_not_know_what_will_be_drawn() -> None:
    env = make(EnvConfig("FrozenLake-v1"), 1, 3)
    bank = make(EnvConfig("FrozenLake-v1"), 1, 0).banks[0]
    env.reset()
    seed, _ = env.episode(0)
    places = []
    for chance in range(30):
        Replayed(bank, seed, [], chance, horizon=9).play(2)
        places.append(int(bank._env.unwrapped.s))  # type: ignore[attr-defined]
    assert set(places) == {0, 1, 4}  # slippery: right, up (the wall) or down


def test_it_walks_a_path_without_a_reward_on_the_way() -> None:
    a = agent("CliffWalking-v1", simulations=300, horizon=15, gamma=0.9)
    seed = a.env.episode(0)[0]
    root = a._search(0, a.env.obs[0], np.random.default_rng(0))
    assert uct.best_action(root) != 1  # right, from the start: into the cliff
    assert root.children[1].mean < min(root.children[b].mean for b in (0, 2, 3))
    assert a.env.episode(0) == (seed, [])  # the search has its own environment


def test_an_evaluation_is_searched_where_it_stands() -> None:
    a = agent("pongan/TicTacToe-v0", simulations=60)
    result = evaluate(a, 12, 1, greedy=True)
    assert result["eval/return_mean"] > 0.4 and result["video/episode"].shape[1:] == (96, 96, 3)
    b = agent("CartPole-v1", simulations=12, horizon=12)
    made = make(EnvConfig("CartPole-v1"), 2, 5)
    made.reset()
    b.watch(made)
    actions, _ = b.act(made.obs, (), np.random.default_rng(0), greedy=True)
    assert actions.shape == (2,) and b.watched is made


def test_continuous_actions_are_refused() -> None:
    with pytest.raises(UsageError, match="mcts needs discrete actions"):
        agent("Pendulum-v1")


@pytest.mark.slow
def test_it_never_loses_tic_tac_toe() -> None:
    known: dict[tuple[int, int], int] = {}

    def decide(sides: np.ndarray) -> list[int]:
        for mine, theirs in map(tuple, sides.tolist()):
            if (mine, theirs) not in known:
                rng = np.random.default_rng(child(0, mine, theirs))
                known[mine, theirs] = uct.best_action(uct.search(Position(TIC_TAC_TOE, mine, theirs).copy, 3_000, rng))
        return [known[mine, theirs] for mine, theirs in map(tuple, sides.tolist())]

    lost, played = lines_of_play(decide)
    assert lost == 0 and played > 500 and len(known) > 300
