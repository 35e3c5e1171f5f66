from __future__ import annotations

import json

import numpy as np

from agents.rl.episodes import Episodes


def array(*values: float) -> np.ndarray:
    return np.array(values)


def test_scores_and_lengths_of_episodes_as_they_end() -> None:
    episodes = Episodes(3)
    assert episodes.scalars() == {}
    assert episodes.add(array(1, 2, 3), array(False, False, False)) == []
    assert episodes.add(array(1, -2, 0.5), array(True, False, True)) == [2, 3.5]
    assert episodes.add(array(4, 5, 6), array(True, True, False)) == [4, 5]
    scalars = episodes.scalars()
    assert scalars["rollout/return"].tolist() == [2, 3.5, 4, 5]
    assert scalars["rollout/length"].tolist() == [2, 2, 1, 3]
    assert scalars["rollout/return_last100"] == (2 + 3.5 + 4 + 5) / 4
    assert episodes.count == 4
    assert episodes.scalars() == {}  # each episode is told once
    assert episodes.score.tolist() == [0, 0, 6] and episodes.length.tolist() == [0, 0, 1]


def test_environments_that_stand_still_grow_no_older() -> None:
    episodes = Episodes(2)
    episodes.add(array(1, 0), array(False, False), live=array(True, False) > 0)
    episodes.add(array(1, 1), array(True, True))
    assert episodes.scalars()["rollout/length"].tolist() == [2, 1]


def test_groups_of_environments_take_turns() -> None:
    episodes = Episodes(3)
    episodes.add(array(1, 2), array(False, True), of=slice(0, 2))
    episodes.add(array(3), array(True), of=slice(2, 3))
    assert episodes.score.tolist() == [1, 0, 0]
    assert episodes.scalars()["rollout/return"].tolist() == [2, 3]


def test_the_mean_is_that_of_the_last_hundred() -> None:
    episodes = Episodes(0)
    episodes.ended([0.0] * 150, [1] * 150)
    episodes.ended([1.0] * 25, [1] * 25)
    assert episodes.scalars()["rollout/return_last100"] == 0.25 and episodes.count == 175


def test_a_restored_copy_goes_on() -> None:
    first, second = Episodes(2), Episodes(2)
    first.add(array(1, 2), array(True, False))
    first.scalars()
    state = first.state()
    plain = json.loads(json.dumps({key: state[key] for key in ("recent", "count")}))
    second.load_state({"score": state["score"].copy(), "length": state["length"].copy(), **plain})
    for episodes in (first, second):
        episodes.add(array(1, 1), array(True, True))
    ours, theirs = first.scalars(), second.scalars()
    assert {key: value.tolist() for key, value in ours.items()} == {
        key: value.tolist() for key, value in theirs.items()
    }
    assert ours["rollout/return"].tolist() == [1, 3] and ours["rollout/return_last100"] == 5 / 3
