"""Observations and actions of any kind become arrays that agents know, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, MultiDiscrete, Text, Tuple

from core.errors import UsageError
from envs import EnvConfig, make
from envs.fakes import Anything
from envs.spaces import Mixed, Unfit, acting, is_picture, reading

BYTES = Box(0, 4, (2, 2), np.uint8)
MIXED = Dict(
    {
        "far": Box(-np.inf, np.inf, (2,), np.float64),
        "at": Tuple((Discrete(3, start=5), MultiDiscrete([2, 3], start=[0, 1]))),
        "on": MultiBinary(2),
        "seen": BYTES,
    }
)
SEEN = {
    "far": np.array([0.5, -7.0]),
    "at": (6, np.array([1, 2])),
    "on": np.array([0, 1], np.int8),
    "seen": np.array([[0, 1], [2, 4]], np.uint8),
}
AT, FAR, ON, BITS = [0, 1, 0, 0, 1, 0, 1, 0], [0.5, -7], [0, 1], [0, 0.25, 0.5, 1]  # by hand


def test_several_parts_are_one_row() -> None:
    whole = reading(MIXED, (), "x")
    assert whole.space.shape == (16,) and whole.space.dtype == np.float32 and whole.state_shape == ()
    row = whole.read(SEEN)
    assert row.dtype == np.float32 and row.tolist() == [*AT, *FAR, *ON, *BITS]  # Dict sorts its names
    assert whole.said == "observations are one row of at.0 (3), at.1 (5), far (2), on (2), seen (4)"
    assert (whole.space.low[8:10] == -np.inf).all() and whole.space.high[-4:].tolist() == [1] * 4


def test_keys_select_and_order_parts() -> None:
    assert reading(MIXED, ("on", "far"), "x").read(SEEN).tolist() == [*ON, *FAR]
    assert reading(MIXED, ("at.1", "on"), "x").read(SEEN).tolist() == [*AT[3:], *ON]
    assert reading(MIXED, ("at",), "x").read(SEEN).tolist() == AT
    one = reading(MIXED, ("at.0",), "x")  # a part alone is what it is
    assert one.space == Discrete(3) and one.first_state == 5 and one.read(SEEN) == 1 and one.state_shape == (3,)
    alone = reading(MIXED, ("seen",), "x")
    assert alone.space == BYTES and alone.read(SEEN) is SEEN["seen"] and alone.said == "observations are the part seen"


def test_flatten_agrees_where_there_are_no_bytes() -> None:
    space = Dict(
        {"a": Tuple((Discrete(4), MultiBinary((2, 2)))), "b": MultiDiscrete([[3, 2], [2, 4]]), "c": Box(-1, 1, (2, 3))}
    )
    space.seed(3)
    read = reading(space, (), "x").read
    for _ in range(20):
        obs = space.sample()
        np.testing.assert_array_equal(read(obs), gymnasium.spaces.flatten(space, obs))


@pytest.mark.parametrize(
    ("obs", "says"),
    [
        (
            {k: v for k, v in SEEN.items() if k != "on"},
            "the observation has no part 'on': it is the parts far, at, seen",
        ),
        ({**SEEN, "at": 3}, "has no part 'at.0': it is 3"),
        ({**SEEN, "at": (4, np.array([0, 1]))}, "the state 4, which is outside Discrete"),
        ({**SEEN, "at": (5, np.array([0, 4]))}, r"holds 4, which is outside its space MultiDiscrete"),
        ({**SEEN, "on": [0, 2]}, r"holds 2, which is outside its space MultiBinary\(2\)"),
        ({**SEEN, "far": [0.0]}, r"has shape \[1\]; its space"),
    ],
)
def test_parts_that_do_not_fit(obs: Any, says: str) -> None:
    with pytest.raises(Unfit, match=says):
        reading(MIXED, (), "x").read(obs)


PHOTO = Box(0, 255, (12, 16, 3), np.uint8)
IMAGE = Dict({"image": Box(0, 255, (12, 16, 3), np.uint8), "direction": Discrete(4), "words": Text(5)})


@pytest.mark.parametrize(
    ("space", "keys", "says"),
    [
        (MIXED, ("om",), "observations of x have no part 'om'; did you mean 'on'?"),
        (BYTES, ("on",), r"keys \['on'\] select parts of observations, but those of x have none"),
        (IMAGE, ("direction", "words"), r"have the part 'words', which is a Text.*e.g. --agent.env.keys direction"),
        (
            Dict({"a": PHOTO, "b": PHOTO, "c": Discrete(2)}),
            (),
            "of x have 2 pictures, a, b, and agents take one: choose it by --agent.env.keys, e.g. a c",
        ),
        (Text(5), (), "observations of x are a Text.*agents take Box, Discrete, MultiDiscrete, MultiBinary"),
    ],
)
def test_spaces_that_no_agent_takes(space: Any, keys: tuple, says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        reading(space, keys, "x")
    assert "\n" not in str(caught.value)


def test_pictures_have_their_channels_first() -> None:
    turned = reading(IMAGE, ("image",), "x")
    assert turned.space.shape == (3, 12, 16) and turned.space.dtype == np.uint8
    assert turned.said == "observations are the part image, pictures 12x16x3 have their channels put first"
    picture = np.arange(12 * 16 * 3, dtype=np.uint8).reshape(12, 16, 3)
    seen = turned.read({"image": picture})
    assert all(seen[c, y, x] == picture[y, x, c] for c, y, x in ((0, 0, 1), (2, 11, 15), (1, 7, 3)))
    for shape in ((3, 12, 16), (1, 8, 8), (4, 84, 84)):
        assert reading(Box(0, 1, shape, np.float32), (), "x").space.shape == shape


def test_a_picture_beside_other_parts_comes_first_in_their_row() -> None:
    rng = np.random.default_rng(0)
    photo, speed = rng.integers(0, 256, (12, 16, 3)).astype(np.uint8), np.array([0.5, -3], np.float32)
    for space, seen in ((PHOTO, photo / 255), (Box(-2, 1, (12, 16, 3)), photo / 255 / 2)):
        obs = {"photo": photo if space is PHOTO else (photo / 255).astype(np.float32), "speed": speed, "gear": 2}
        mixed = reading(Dict({"speed": Box(-9, 9, (2,)), "photo": space, "gear": Discrete(3)}), (), "x")
        assert isinstance(mixed.space, Mixed) and mixed.space.picture == (3, 12, 16) and mixed.space.shape == (576 + 5,)
        row = mixed.read(obs)
        np.testing.assert_allclose(row[:576], seen.transpose(2, 0, 1).ravel(), rtol=1e-6)
        assert row[576:].tolist() == [0, 0, 1, 0.5, -3] and row.dtype == np.float32 and mixed.space.contains(row)
    assert mixed.said == "observations are the picture photo [3, 12, 16] and a row of gear (3), speed (2)"


def test_what_is_a_picture() -> None:
    pictures = [(8, 8, 3), (3, 8, 9), (84, 84, 12), (1, 8, 8)]
    assert all(is_picture(Box(0, 255, shape, np.uint8)) and is_picture(Box(0, 1, shape)) for shape in pictures)
    assert not is_picture(Box(0, 255, (7, 7, 3), np.uint8)) and not is_picture(Box(0, 255, (84, 84), np.uint8))
    assert not is_picture(Box(-np.inf, np.inf, (8, 8, 3))) and not is_picture(Box(-1, 1, (3, 8, 8), np.int8))


def test_large_tuples_of_states_are_rows() -> None:
    assert reading(Tuple([Discrete(10)] * 5), (), "x").state_shape == (10,) * 5
    assert reading(Tuple([Discrete(10)] * 6), (), "x").space.shape == (60,)


def test_choices_by_the_environments_numbers() -> None:
    several = acting(MultiDiscrete([[2, 3], [4, 2]], start=[[0, -1], [5, 0]], dtype=np.int32), (), "x")
    assert several.space == MultiDiscrete([2, 3, 4, 2]) and several.sizes == (2, 3, 4, 2)
    action = several.to_env(np.array([1, 2, 3, 0]))
    assert action.tolist() == [[1, 1], [8, 0]] and action.dtype == np.int32
    bits = acting(MultiBinary((2, 2)), (), "x")
    assert bits.space == MultiDiscrete([2] * 4) and bits.to_env(np.array([0, 1, 1, 0])).tolist() == [[0, 1], [1, 0]]
    assert acting(Discrete(3, start=-1), (), "x").to_env(np.int64(0)) == -1


def test_boxes_of_any_shape_and_type() -> None:
    square = acting(Box(-2, 2, (2, 2), np.float32), (), "x")
    assert square.space == Box(-2, 2, (4,), np.float32)
    assert square.to_env(np.array([1, 2, 3, 4], np.float32)).tolist() == [[1, 2], [3, 4]]
    whole = acting(Box(0, 9, (2,), np.int16), (), "x")
    action = whole.to_env(np.array([2.6, 9.8], np.float32))
    assert whole.space == Box(0, 9, (2,), np.float32) and action.tolist() == [3, 9] and action.dtype == np.int16
    scalar = acting(Box(-1, 1, (), np.float64), (), "x")
    assert scalar.space.shape == (1,) and scalar.to_env(np.array([0.5])).shape == ()
    with pytest.raises(UsageError, match=r"actions of x are Dict\(.*--agent.env.wrap module:function"):
        acting(Dict({"a": Discrete(2)}), (), "x")


def test_masks() -> None:
    discrete = acting(Discrete(4, start=2), (), "x")
    assert discrete.mask(np.array([1, 0, 0, 1], np.int8), False).tolist() == [True, False, False, True]
    assert acting(Discrete(4, start=2), (5, 3), "x").mask([1, 0, 0, 1], False).tolist() == [True, False]
    pair = acting(MultiDiscrete([2, 3]), (), "x")
    for told in ([1, 0, 0, 1, 1], (np.array([1, 0]), np.array([0, 1, 1]))):
        assert pair.mask(told, False).tolist() == [True, False, False, True, True]
    assert pair.mask([1, 0, 0, 0, 0], True).all()  # the episode has ended: nobody chooses
    for told, says in (
        ([1, 0, 0, 0, 0], "must allow an action as long as"),
        ([1, 1], r"2 \+ 3 entries"),
        ([2] * 5, r"2 \+ 3"),
    ):
        with pytest.raises(Unfit, match=says):
            pair.mask(told, False)


@pytest.fixture
def anything() -> Any:
    def register(observations: Any, actions: Any, **kwargs: Any) -> EnvConfig:
        gymnasium.registry.pop("own/Anything-v0", None)
        gymnasium.register(
            "own/Anything-v0", Anything, kwargs={"observations": observations, "actions": actions, **kwargs}
        )
        return EnvConfig("own/Anything-v0")

    yield register
    gymnasium.registry.pop("own/Anything-v0", None)


def test_a_masked_environment_goes_on_exactly(anything: Callable[..., EnvConfig]) -> None:
    config = anything(MIXED, MultiDiscrete([3, 4], start=[1, 0]), masked=True)
    env, rng = make(config, 2, 0), np.random.default_rng(0)
    env.reset()
    assert env.mask is not None and env.mask.shape == (2, 7) and "observations are one row of" in env.protocol

    def play(env: Any, rng: np.random.Generator) -> list:
        seen = []
        for _ in range(11):  # over the end of episodes; a choice that is not allowed would raise
            weight = rng.random(env.mask.shape) * env.mask
            step = env.step(np.stack([weight[:, :3].argmax(1), weight[:, 3:].argmax(1)], axis=1))
            seen += [step.obs.copy(), step.final_mask.copy(), env.mask.copy(), step.reward]
        return seen

    masks = np.stack(play(env, rng)[2::4])  # [steps, N, M]
    assert (masks[:, 0] != masks[:, 1]).any() and (masks[1:] != masks[:-1]).any()
    tree, state = env.state(), rng.bit_generator.state
    tree = {**tree, "rngs": [r.bit_generator.state for r in tree["rngs"]]}
    following = play(env, rng)
    other, rng = make(config, 2, 5), np.random.default_rng(1)
    other.reset()
    rng.bit_generator.state = state
    for r, s in zip(other.state()["rngs"], tree["rngs"], strict=True):
        r.bit_generator.state = s
    other.load_state(tree)
    for a, b in zip(following, play(other, rng), strict=True):
        np.testing.assert_array_equal(a, b)
    ignored = make(EnvConfig(config.id, masks=False), 1, 0)
    ignored.reset()
    assert ignored.mask is None


def test_wrappers_of_ones_own(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_wraps.py").write_text(
        "import gymnasium\n"
        "def doubled(env): return gymnasium.wrappers.TransformReward(env, lambda r: 2 * r + 1)\n"
        "def nothing(env): return None\n"
        "def broken(env): raise OSError('no licence')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    wraps = ("gymnasium.wrappers:FlattenObservation", "own_wraps:doubled")
    env = make(EnvConfig("pongan/Catch-v0", wrap=wraps), 1, 0)
    assert env.reset().shape == (1, 30) and env.step(np.array([1])).reward.tolist() == [1.0]
    assert ", wrapped in gymnasium.wrappers:FlattenObservation, wrapped in own_wraps:doubled" in env.protocol
    for fields, says in (
        ({"wrap": ("own_wraps:doubles",)}, "names 'doubles', which 'own_wraps' does not have; did you mean 'doubled'?"),
        ({"wrap": ("own_wraps",)}, "wrap is 'own_wraps'; it must be module:function"),
        ({"wrap": ("own_wraps:nothing",)}, "returned a NoneType; it must return an environment"),
        ({"wrap": ("own_wraps:broken",)}, "of environment 'pongan/Catch-v0' raised OSError: no licence"),
        ({"wrap": ("own_wraps:doubled",), "id": "ALE/Pong-v5"}, "Atari games are played natively"),
        ({"keys": ("a", "a")}, "name one part twice"),
    ):
        with pytest.raises(UsageError, match=says):
            make(EnvConfig(**{"id": "pongan/Catch-v0", **fields}), 1, 0)


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        (
            {"action_mask": [1, 1]},
            {},
            "in step 1 of an episode: info has no action_mask, which that of the first reset",
        ),
        ({}, {"action_mask": [1, 1]}, "info has an action_mask, which that of the first reset"),
        ({"action_mask": [1, 1]}, {"action_mask": [1, 1, 1]}, r"action_mask is \[1, 1, 1\]; 2 entries are needed"),
        ({"action_mask": [0, 0]}, {}, r"in reset\(\): action_mask is \[0, 0\]; it must allow an action"),
    ],
)
def test_masks_come_always_or_never(first: dict, then: dict, says: str) -> None:
    class Telling(gymnasium.Env):
        observation_space, action_space = Discrete(2), Discrete(2)

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            return 0, first

        def step(self, action: Any) -> Any:
            return 0, 0.0, False, False, then

    gymnasium.registry.pop("own/Telling-v0", None)
    gymnasium.register("own/Telling-v0", lambda **kwargs: Telling())
    env = make(EnvConfig("own/Telling-v0"), 1, 0)
    with pytest.raises(UsageError, match=says):
        env.reset()
        env.step(np.array([0]))
