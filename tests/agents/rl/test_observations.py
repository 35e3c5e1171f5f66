from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from agents.rl.observations import Observations, highest
from core.errors import UsageError
from core.layers.torsos import blocks


def bytes_space(high: int, *shape: int) -> Box:
    return Box(0, high, shape, np.uint8)


@pytest.mark.parametrize(
    ("high", "seen", "fed"), [(1, [0, 1], [0, 255]), (3, [1, 3], [85, 255]), (254, [0, 254], [0, 255])]
)
@pytest.mark.parametrize("in_blocks", [True, False])
def test_pictures_reach_the_network_scaled_by_their_bound(high: int, seen: list, fed: list, in_blocks: bool) -> None:
    """The networks of pictures divide by 255, so the space's highest value must arrive there as 255."""
    kind = Observations.of(bytes_space(high, 2, 36, 36), "x", in_blocks=in_blocks)
    obs = np.tile(np.array(seen, np.uint8), 2 * 36 * 18).reshape(1, 2, 36, 36)
    wanted = np.tile(np.array(fed, np.uint8), 2 * 36 * 18).reshape(1, 2, 36, 36)
    encoded = kind.encode(obs)
    assert encoded.dtype == np.uint8
    np.testing.assert_array_equal(encoded, blocks(wanted) if in_blocks else wanted)
    np.testing.assert_array_equal(kind.traced(obs).numpy(), encoded)


def test_pictures_of_all_bytes_are_passed_on_as_they_are() -> None:
    obs = np.random.default_rng(0).integers(256, size=(3, 4, 84, 84)).astype(np.uint8)
    np.testing.assert_array_equal(Observations.of(bytes_space(255, 4, 84, 84), "x").encode(obs), blocks(obs))
    assert Observations.of(bytes_space(255, 4, 84, 84), "x", in_blocks=False).encode(obs) is obs


@pytest.mark.parametrize(("high", "seen", "fed"), [(255, [0, 51, 255], [0, 0.2, 1]), (1, [0, 1, 1], [0, 1, 1])])
def test_rows_of_bytes_are_scaled_by_their_bound(high: int, seen: list, fed: list) -> None:
    kind = Observations.of(bytes_space(high, 3), "x")
    obs = np.array([seen], np.uint8)
    np.testing.assert_allclose(kind.encode(obs), np.array([fed], np.float32), rtol=1e-6)
    np.testing.assert_array_equal(kind.traced(obs).numpy(), kind.encode(obs))


def test_other_numbers_are_not_scaled() -> None:
    for space, obs in ((Box(0, 9, (2,), np.int64), [[3, 9]]), (Box(0, 9, (2,), np.float32), [[3.5, 9]])):
        assert Observations.of(space, "x").encode(np.array(obs)).tolist() == obs
    assert Observations.of(Discrete(3), "x").encode(np.array([2])).tolist() == [[0, 0, 1]]


def test_cnn_takes_signed_bytes_for_pictures() -> None:
    """[H, W] or [C, H, W] in blocks, as they are: what its space calls the highest is what the network divides by."""
    for shape in ((36, 40), (2, 36, 40)):
        obs = np.random.default_rng(0).integers(-3, 4, (5, *shape)).astype(np.int8)
        kind = Observations.of(Box(-3, 3, shape, np.int8), "x", "cnn")
        assert (kind.kind, kind.unit, kind.dtype) == ("pixels", 3, np.int8)
        encoded = kind.encode(obs)
        assert encoded.dtype == np.int8 and encoded.shape == (5, 9, 10, 16 * (len(shape) - 1))
        picture = encoded.reshape(5, 9, 10, -1, 4, 4).transpose(0, 3, 1, 4, 2, 5).reshape(5, -1, 36, 40)
        np.testing.assert_array_equal(picture, obs.reshape(5, -1, 36, 40))
        np.testing.assert_array_equal(kind.traced(obs).numpy(), encoded)
    assert Observations.of(Box(-3, 3, (36, 40), np.int8), "x").kind == "vector"
    assert Observations.of(Box(-3, 3, (36, 40), np.int8), "x", "module:function").kind == "vector"
    with pytest.raises(UsageError, match="sides divisible by 4, at least 36"):
        Observations.of(Box(-3, 3, (36, 42), np.int8), "x", "cnn")
    with pytest.raises(UsageError, match="'cnn' is for pictures of bytes"):
        Observations.of(Box(0, 1, (4, 84, 84), np.float32), "x", "cnn")


def test_the_highest_value_of_several_bounds() -> None:
    assert highest(Box(np.zeros(2, np.uint8), np.array([3, 7], np.uint8), dtype=np.uint8)) == 7
    assert highest(Box(0, 0, (2,), np.uint8)) == 1
