"""What an agent needs a memory for: hidden components of observations, and the T-maze."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from core.errors import UsageError
from envs import EnvConfig, limited, make, render_episode
from envs.toys import EAST, NORTH, SOUTH, WEST, TMaze

MAZE = EnvConfig("pongan/TMaze-v0")


def test_hidden_components_are_left_out_and_nothing_else_changes() -> None:
    whole, hidden = (make(EnvConfig("CartPole-v1", hide=hide), 2, 0) for hide in ((), (1, 3)))
    a, b = whole.reset(), hidden.reset()
    space = whole.observation_space
    np.testing.assert_array_equal(hidden.observation_space.high, space.high[[0, 2]])
    for _ in range(60):  # over the ends of episodes
        np.testing.assert_array_equal(b, a[:, [0, 2]])
        one, other = whole.step(np.ones(2, int)), hidden.step(np.ones(2, int))
        np.testing.assert_array_equal(other.final_obs, one.final_obs[:, [0, 2]])
        np.testing.assert_array_equal(other.done, one.done)
        a, b = one.obs, other.obs
    assert "CartPole-v1, without components 1, 3, time limit 500 steps" in hidden.protocol
    film = render_episode(EnvConfig("CartPole-v1", hide=(1, 3)), hidden.last_episode[0])
    assert film is not None and len(film) == len(hidden.last_episode[0][1]) + 1
    assert limited(EnvConfig("pongan/Walk-v0", hide=()), 5).time_limit == 0


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"id": "CartPole-v1", "hide": (4,)}, "hide names component 4, but observations of CartPole-v1 have 0 to 3"),
        ({"id": "CartPole-v1", "hide": (-1,)}, "hide names component -1"),
        ({"id": "CartPole-v1", "hide": (0, 1, 2, 3)}, "leaves nothing of the observations of CartPole-v1"),
        ({"id": "CartPole-v1", "hide": (1, 1)}, "names one component twice"),
        (
            {"id": "FrozenLake-v1", "hide": (1,)},
            "is for vectors of numbers; observations of FrozenLake-v1 are Discrete",
        ),
        ({"id": "pongan/Catch-v0", "hide": (1,)}, "is for vectors of numbers; observations of pongan/Catch-v0 are Box"),
        ({"id": "ALE/Pong-v5", "hide": (1,)}, "ALE/Pong-v5 is seen as pictures"),
    ],
)
def test_what_cannot_be_hidden_gets_a_sentence(fields: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        make(EnvConfig(**fields), 1, 0)


def maze(goal: int, length: int = 3) -> tuple[TMaze, np.ndarray]:
    """A maze whose goal lies on the given side, and its first observation."""
    env = TMaze(length)
    cue = [0, 1, 1] if goal == NORTH else [1, 1, 0]
    seed = next(seed for seed in range(50) if env.reset(seed=seed)[0].tolist() == cue)
    return env, env.reset(seed=seed)[0]


@pytest.mark.parametrize("goal", [NORTH, SOUTH])
def test_a_way_through_the_maze_by_hand(goal: int) -> None:
    env, cue = maze(goal)
    corridor, junction = [1, 0, 1], [0, 1, 0]
    seen = [  # action, observation, reward, terminated
        (WEST, cue.tolist(), -0.1, False),  # against the wall behind the start
        (NORTH, cue.tolist(), -0.1, False),
        (EAST, corridor, 0.0, False),
        (SOUTH, corridor, -0.1, False),
        (WEST, cue.tolist(), 0.0, False),  # the cue is at the start, also on the way back
        (EAST, corridor, 0.0, False),
        (EAST, corridor, 0.0, False),
        (EAST, junction, 0.0, False),
        (EAST, junction, -0.1, False),
        (goal, junction, 4.0, True),
    ]
    for action, observation, reward, terminated in seen:
        obs, r, end, truncated, _ = env.step(action)
        assert (obs.tolist(), r, end, truncated) == (observation, reward, terminated, False)


def test_the_wrong_turn_ends_the_episode_too() -> None:
    env, _ = maze(NORTH, length=1)
    env.step(EAST)
    assert env.step(SOUTH)[1:3] == (-0.1, True)


def test_the_registered_maze_has_a_corridor_of_20_and_a_film() -> None:
    env = make(MAZE, 1, 0)
    check_env(gymnasium.make("pongan/TMaze-v0").unwrapped, skip_render_check=True)
    goals = []
    for _ in range(20):
        cue = env.reset()[0]
        for t in range(20):
            step = env.step(np.array([EAST]))
            assert step.obs[0].tolist() == ([0, 1, 0] if t == 19 else [1, 0, 1])
        goals.append(int(cue[0]))  # 0 for north
        assert env.step(np.array([SOUTH if cue[0] else NORTH])).reward[0] == 4
    assert 0 < sum(goals) < 20 and "time limit 200 steps" in env.protocol
    film = render_episode(MAZE, env.last_episode[0])
    assert film is not None and film.shape == (22, 40, 184, 3)
    red = np.argwhere((film == [200, 60, 60]).all(-1))  # frame, row, column
    assert red[red[:, 0] == 0][:, 2].min() == 8 and red[red[:, 0] == 20][:, 2].min() == 8 * 21
    assert red[red[:, 0] == 21][:, 1].min() == (8 if goals[-1] == 0 else 24)
