from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from envs.film import film
from experiments.launcher.images import gif

COLOUR = np.tile(np.array([220, 40, 10], np.uint8), (4, 6, 1))


@pytest.mark.parametrize(
    ("picture", "shape", "first"),
    [
        (COLOUR, (4, 6, 3), [220, 40, 10]),
        (COLOUR[:1], (1, 6, 3), [220, 40, 10]),
        (COLOUR[:, :1], (4, 1, 3), [220, 40, 10]),
        (COLOUR.transpose(2, 0, 1), (4, 6, 3), [220, 40, 10]),
        (np.dstack([COLOUR, np.full((4, 6), 9, np.uint8)]), (4, 6, 3), [220, 40, 10]),
        (COLOUR / 255, (4, 6, 3), [220, 40, 10]),
        (COLOUR.astype(np.float32), (4, 6, 3), [220, 40, 10]),
        (COLOUR.astype(np.int64), (4, 6, 3), [220, 40, 10]),
        (COLOUR.astype(np.uint16) * 257, (4, 6, 3), [220, 40, 10]),
        (COLOUR.tolist(), (4, 6, 3), [220, 40, 10]),
        (COLOUR[..., 0], (4, 6, 3), [220, 220, 220]),
        (COLOUR[..., :1], (4, 6, 3), [220, 220, 220]),
        (COLOUR[None, ..., 0], (4, 6, 3), [220, 220, 220]),
        (np.ones((4, 6), bool), (4, 6, 3), [255, 255, 255]),
        (np.full((4, 6, 3), 0.8, np.float16), (4, 6, 3), [204, 204, 204]),
    ],
)
def test_pictures_of_every_common_kind(picture: np.ndarray, shape: tuple, first: list) -> None:
    frames = film([picture, picture])
    assert frames.dtype == np.uint8 and frames.shape == (2, *shape)
    assert frames[0, 0, 0].tolist() == frames[1, -1, -1].tolist() == first
    with Image.open(io.BytesIO(gif(frames))) as read:
        assert read.size == (shape[1], shape[0])
        assert np.abs(np.subtract(read.convert("RGB").getpixel((0, 0)), first)).max() <= 2


def test_one_bright_picture_shows_how_far_fractions_reach() -> None:
    dark, bright = np.full((2, 2, 3), 1.0), np.full((2, 2, 3), 200.0)
    assert film([dark, bright])[:, 0, 0, 0].tolist() == [1, 200]


@pytest.mark.parametrize(
    ("pictures", "says"),
    [
        ([], "nothing was drawn"),
        ([None], "returned None"),
        ([np.zeros((5, 6, 2))], r"shape \[5, 6, 2\]"),
        ([np.zeros((0, 6, 3))], r"shape \[0, 6, 3\]"),
        ([np.zeros(6)], r"shape \[6\]"),
        ([COLOUR, COLOUR[:2]], r"change their shape, \[4, 6, 3\] to \[2, 6, 3\]"),
        ([np.full((4, 6, 3), -0.5)], "hold -0.5"),
        ([np.full((4, 6, 3), 70_000, np.int64)], "above 255"),
        ([np.zeros((1, 70_000, 3), np.uint8)], "70000x1; a film has at most 65,535"),
        ([{"rgb": COLOUR}], "no picture"),
    ],
)
def test_what_is_no_film(pictures: list, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        film(pictures)
