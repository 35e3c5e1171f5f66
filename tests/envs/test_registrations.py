"""What the registration of an Atari id asks for is played, or a sentence says what is not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from ale_py.env import AtariEnv
from gymnasium.wrappers import TransformReward

from core.errors import UsageError
from envs import EnvConfig, VectorEnv, make, render_episode

PONG = {"game": "pong", "frameskip": 4, "repeat_action_probability": 0.0}


@pytest.fixture(autouse=True)
def registry() -> Iterator[None]:
    gymnasium.register_envs(ale_py)
    before = set(gymnasium.registry)
    yield
    for name in set(gymnasium.registry) - before:
        gymnasium.registry.pop(name)


def made(
    settings: dict[str, Any] | None = None, *, entry_point: Any = "ale_py.env:AtariEnv", **registration: Any
) -> VectorEnv:
    fields = settings or {}
    gymnasium.register("own/Pong-v0", entry_point, **{"kwargs": PONG, **registration})
    env = make(EnvConfig(**{"id": "own/Pong-v0", "noop_max": 0, **fields}), 1, 0)
    env.reset()
    return env


def length(env: VectorEnv) -> int:
    steps = 1
    while not env.step(np.zeros(1, int)).truncated[0]:
        steps += 1
    return steps


@pytest.mark.parametrize(
    ("settings", "registration", "steps"),
    [
        ({}, {"max_episode_steps": 6}, 6),
        ({"time_limit": 9}, {"max_episode_steps": 6}, 9),  # a flag of the user's comes first
        ({}, {"kwargs": PONG | {"max_num_frames_per_episode": 30}}, 7),
        ({}, {"kwargs": PONG | {"max_num_frames_per_episode": 30}, "max_episode_steps": 5}, 5),
        ({}, {"kwargs": PONG | {"max_num_frames_per_episode": 1}}, 1),
    ],
)
def test_time_limits(settings: dict, registration: dict, steps: int) -> None:
    env = made(settings, **registration)
    assert length(env) == steps and f"time limit {steps} steps" in env.protocol


def test_all_actions_in_play_and_in_the_film() -> None:
    env = made({"time_limit": 3, "actions": (0, 17)}, kwargs=PONG | {"full_action_space": True})
    assert env.actions == (0, 17) and "NOOP/DOWNLEFTFIRE" in env.protocol
    while env.last_episode[0] is None:
        env.step(np.array([1]))
    film = render_episode(EnvConfig("own/Pong-v0", noop_max=0, time_limit=3, actions=(0, 17)), env.last_episode[0])
    assert film is not None and film.shape == (4, 210, 160, 3)


@pytest.mark.parametrize(
    ("registration", "says"),
    [
        ({"kwargs": PONG | {"mode": 1}}, "mode=1"),
        ({"kwargs": PONG | {"difficulty": 0}}, "difficulty=0"),
        ({"kwargs": PONG | {"obs_type": "ram"}}, "obs_type='ram'"),
        ({"kwargs": PONG | {"continuous": True}}, "continuous=True"),
        ({"kwargs": PONG | {"sound_obs": True}}, "sound_obs=True"),
        ({"kwargs": PONG | {"frameskip": 2}}, "frameskip=2, but env.frame_skip is 4; give --agent.env.frame-skip 2"),
        ({"kwargs": PONG | {"frameskip": (2, 5)}}, r"frameskip=\(2, 5\), but env.frame_skip is 4$"),
        ({"kwargs": PONG | {"repeat_action_probability": 0.5}}, "give --agent.env.sticky-actions 0.5"),
        ({"kwargs": PONG | {"game": "Pong"}}, "the game 'Pong'; did you mean 'pong'"),
        ({"kwargs": {}}, "the game ''; choose from"),
        ({"additional_wrappers": (TransformReward.wrapper_spec(func=abs),)}, "the wrapper TransformReward"),
    ],
)
def test_what_the_native_games_cannot_do(registration: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        made(**registration)
    assert "'own/Pong-v0' is registered with" in str(caught.value)


def test_settings_that_agree_with_the_registration() -> None:
    env = made(
        {"frame_skip": 2, "sticky_actions": 0.5}, kwargs=PONG | {"frameskip": 2, "repeat_action_probability": 0.5}
    )
    assert "frame skip 2, sticky actions 0.5" in env.protocol
    assert "frame skip 4, sticky actions 0," in make(EnvConfig("ALE/Pong-v5"), 1, 0).protocol  # registered with 0.25
    assert "frame skip 4, sticky actions 0," in make(EnvConfig("Pong-v4"), 1, 0).protocol  # registered with 2 to 5


def test_a_function_of_ones_own_is_played_through_gymnasium() -> None:
    env = made(
        {"observation": "raw"}, entry_point=lambda **kwargs: AtariEnv(**kwargs), kwargs=PONG | {"obs_type": "ram"}
    )
    assert env.observation_space.shape == (128,) and env.step(np.zeros(1, int)).obs.dtype == np.uint8


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"frame_skip": 108_001}, "frame_skip is 108001; .* at most 108,000"),
        ({"noop_max": 10**6}, "noop_max is 1000000; .* at most 108,000"),
        ({"time_limit": 2**63}, "time_limit is 9223372036854775808; .* at most 9,223,372,036,854,775,807"),
        ({"actions": (-1, 2)}, "0 to 5"),
    ],
)
def test_numbers_beyond_the_emulator(fields: dict, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        make(EnvConfig("ALE/Pong-v5", **fields), 1, 0)


def test_limits_that_the_emulator_cannot_count() -> None:
    env = make(EnvConfig("ALE/Pong-v5", time_limit=2**40, frame_skip=5), 1, 0)
    env.reset()
    assert not env.step(np.zeros(1, int)).done[0] and f"time limit {2**40} steps" in env.protocol
