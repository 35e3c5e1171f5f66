from __future__ import annotations

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from agents.rl.observations import Observations
from core.errors import UsageError
from core.layers.torsos import blocks
from envs.spaces import highest


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
    with pytest.raises(UsageError, match=r"'cnn' is for pictures, .* x sees float32 of shape \[4, 84, 84\] here"):
        Observations.of(Box(-np.inf, np.inf, (4, 84, 84), np.float32), "x", "cnn")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float32])
def test_sides_that_are_no_multiples_of_4_are_filled_with_zeros(dtype: type) -> None:
    rng = np.random.default_rng(0)
    obs = rng.integers(0, 100, (3, 2, 37, 42)).astype(dtype)
    kind = Observations.of(Box(0, 100, (2, 37, 42), dtype), "x", "cnn")
    assert kind.in_blocks and kind.filled == (2, 40, 44) and kind.shape == (10, 11, 32) and kind.dtype == dtype
    encoded = kind.encode(obs)
    picture = encoded.reshape(3, 10, 11, 2, 4, 4).transpose(0, 3, 1, 4, 2, 5).reshape(3, 2, 40, 44)
    top = {
        np.uint8: np.rint(obs.astype(float) * 255 / 100).astype(np.uint8),
        np.int8: obs,
        np.float32: obs / np.float32(100),
    }[dtype]
    np.testing.assert_array_equal(picture[:, :, :37, :42], top)
    assert not picture[:, :, 37:].any() and not picture[..., 42:].any()
    np.testing.assert_allclose(kind.traced(obs).numpy(), encoded, rtol=1e-6)


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-2, 1), (0, 255)])
def test_float_pictures_are_divided_by_their_largest_bound(low: float, high: float) -> None:
    obs = np.random.default_rng(0).uniform(low, high, (2, 3, 8, 9))
    kind = Observations.of(Box(low, high, (3, 8, 9), np.float64), "x")
    assert (kind.kind, kind.shape, kind.unit, kind.dtype) == ("pixels", (3, 8, 9), 1, np.float32)
    np.testing.assert_allclose(kind.encode(obs), obs / max(-low, high), rtol=1e-6)
    np.testing.assert_allclose(kind.traced(obs).numpy(), kind.encode(obs), rtol=1e-6)


def test_what_is_no_picture_is_a_row() -> None:
    assert Observations.of(Box(0, 255, (7, 7, 3), np.uint8), "x").shape == (147,)
    assert Observations.of(Box(-np.inf, np.inf, (3, 8, 8)), "x").shape == (192,)
    assert Observations.of(Box(0, 255, (3, 7, 7), np.uint8), "x", "cnn").shape == (3, 7, 7)


def test_the_highest_value_of_several_bounds() -> None:
    assert highest(Box(np.zeros(2, np.uint8), np.array([3, 7], np.uint8), dtype=np.uint8)) == 7
    assert highest(Box(0, 0, (2,), np.uint8)) == 1
