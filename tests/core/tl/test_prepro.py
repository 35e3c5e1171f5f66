"""Preprocessing beyond the vectors: random generators, both generations' keywords, and the bugs that are not copied."""

# ruff: noqa: NPY002 - the global state is what these tests are about
from __future__ import annotations

import inspect
import random
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core import tl
from core.tl.prepro import opencv

IMAGE = np.random.default_rng(0).random([12, 10, 3])
GREY = IMAGE[:, :, :1]
BYTES = (IMAGE * 255).astype(np.uint8)

RANDOM: dict[str, Callable[..., Any]] = {
    "rotation": lambda **k: tl.prepro.rotation(IMAGE, 20, True, **k),
    "rotation_multi": lambda **k: tl.prepro.rotation_multi([IMAGE, IMAGE], 20, True, **k),
    "shift": lambda **k: tl.prepro.shift(IMAGE, 0.3, 0.3, True, **k),
    "shift_multi": lambda **k: tl.prepro.shift_multi([IMAGE, IMAGE], 0.3, 0.3, True, **k),
    "shear": lambda **k: tl.prepro.shear(IMAGE, 0.3, True, **k),
    "shear_multi": lambda **k: tl.prepro.shear_multi([IMAGE, IMAGE], 0.3, True, **k),
    "shear2": lambda **k: tl.prepro.shear2(IMAGE, (0.3, 0.3), True, **k),
    "shear_multi2": lambda **k: tl.prepro.shear_multi2([IMAGE, IMAGE], (0.3, 0.3), True, **k),
    "zoom": lambda **k: tl.prepro.zoom(IMAGE, (0.5, 2.0), **k),
    "zoom of the book": lambda **k: tl.prepro.zoom(IMAGE, (0.5, 2.0), is_random=True, **k),
    "zoom_multi": lambda **k: tl.prepro.zoom_multi([IMAGE, IMAGE], (0.5, 2.0), **k),
    "respective_zoom": lambda **k: tl.prepro.respective_zoom(IMAGE, (0.5, 2.0), (0.5, 2.0), **k),
    "crop": lambda **k: tl.prepro.crop(IMAGE, 3, 3, True, **k),
    "crop_multi": lambda **k: tl.prepro.crop_multi([IMAGE, IMAGE], 3, 3, True, **k),
    "flip_axis": lambda **k: [tl.prepro.flip_axis(IMAGE, 1, True, **k) for _ in range(9)],
    "flip_axis_multi": lambda **k: [tl.prepro.flip_axis_multi([IMAGE, IMAGE], 1, True, **k) for _ in range(9)],
    "swirl": lambda **k: tl.prepro.swirl(IMAGE, strength=4, radius=8, is_random=True, **k),
    "swirl_multi": lambda **k: tl.prepro.swirl_multi([IMAGE, IMAGE], strength=4, radius=8, is_random=True, **k),
    "brightness": lambda **k: tl.prepro.brightness(IMAGE, 0.5, 1, True, **k),
    "brightness_multi": lambda **k: tl.prepro.brightness_multi([IMAGE, IMAGE], 0.5, 1, True, **k),
    "illumination": lambda **k: tl.prepro.illumination(BYTES, (0.5, 2), (0.3, 0.9), (0.7, 1), True, **k),
    "adjust_hue": lambda **k: tl.prepro.adjust_hue(BYTES, 0.3, is_random=True, **k),
    "pixel_value_scale": lambda **k: tl.prepro.pixel_value_scale(IMAGE, 0.5, is_random=True, **k),
    "channel_shift": lambda **k: tl.prepro.channel_shift(IMAGE, 0.3, True, **k),
    "channel_shift_multi": lambda **k: tl.prepro.channel_shift_multi([IMAGE, IMAGE], 0.3, True, **k),
    "drop": lambda **k: tl.prepro.drop(IMAGE.copy(), 0.5, **k),
    "affine_rotation_matrix": tl.prepro.affine_rotation_matrix,
    "affine_horizontal_flip_matrix": lambda **k: [tl.prepro.affine_horizontal_flip_matrix(**k) for _ in range(9)],
    "affine_vertical_flip_matrix": lambda **k: [tl.prepro.affine_vertical_flip_matrix(**k) for _ in range(9)],
    "affine_shift_matrix": tl.prepro.affine_shift_matrix,
    "affine_shear_matrix": tl.prepro.affine_shear_matrix,
    "affine_zoom_matrix": tl.prepro.affine_zoom_matrix,
    "affine_respective_zoom_matrix": lambda **k: tl.prepro.affine_respective_zoom_matrix((0.5, 1), (0.5, 1), **k),
    "obj_box_horizontal_flip": lambda **k: [
        tl.prepro.obj_box_horizontal_flip(IMAGE, [], is_random=True, **k)[0] for _ in range(9)
    ],
    "obj_box_crop": lambda **k: tl.prepro.obj_box_crop(IMAGE, [], [], 3, 3, is_random=True, **k)[0],
    "obj_box_shift": lambda **k: tl.prepro.obj_box_shift(IMAGE, [], [], 0.3, 0.3, is_random=True, **k)[0],
    "obj_box_zoom": lambda **k: tl.prepro.obj_box_zoom(IMAGE, [], [], (0.5, 2), is_random=True, **k)[0],
    "keypoint_random_crop": lambda **k: tl.prepro.keypoint_random_crop(IMAGE, [], size=(3, 3), **k)[0],
    "keypoint_resize_random_crop": lambda **k: tl.prepro.keypoint_resize_random_crop(IMAGE, [], size=(3, 9), **k)[0],
    "keypoint_random_rotate": lambda **k: tl.prepro.keypoint_random_rotate(IMAGE, [[(3, 4)]], rg=45, **k)[0],
    "keypoint_random_flip": lambda **k: [tl.prepro.keypoint_random_flip(IMAGE, [], **k)[0] for _ in range(9)],
    "keypoint_random_resize": lambda **k: tl.prepro.keypoint_random_resize(IMAGE, [], zoom_range=(0.5, 2), **k)[0],
    "keypoint_random_resize_shortestedge": lambda **k: tl.prepro.keypoint_random_resize_shortestedge(
        IMAGE, [], min_size=(20, 20), zoom_range=(0.3, 0.9), **k
    )[0],
}


def same(a: Any, b: Any) -> bool:
    if isinstance(a, list):
        return all(map(same, a, b))
    return a.shape == b.shape and bool(np.array_equal(a, b))


@pytest.mark.parametrize("name", RANDOM)
def test_a_generator_decides_and_nothing_global_moves(name: str) -> None:
    numpy_state, python_state = np.random.get_state()[1].copy(), random.getstate()  # type: ignore[index]
    first = RANDOM[name](rng=np.random.default_rng(1))
    assert same(first, RANDOM[name](rng=np.random.default_rng(1)))
    assert not all(same(first, RANDOM[name](rng=np.random.default_rng(seed))) for seed in range(2, 9))
    assert np.array_equal(np.random.get_state()[1], numpy_state)  # type: ignore[index]
    assert random.getstate() == python_state


@pytest.mark.parametrize("name", RANDOM)
def test_without_a_generator_the_global_state_decides(name: str) -> None:
    def seeded(seed: int) -> Any:
        np.random.seed(seed)
        random.seed(seed)
        return RANDOM[name]()

    first = seeded(1)
    assert same(first, seeded(1))
    assert not all(same(first, seeded(seed)) for seed in range(2, 9))


@pytest.mark.parametrize("multi", [name for name in RANDOM if name.endswith(("_multi", "_multi2"))])
def test_multi_treats_images_like_the_single_form(multi: str) -> None:
    single = multi.replace("_multi2", "2").replace("_multi", "")
    both, one = RANDOM[multi](rng=np.random.default_rng(5)), RANDOM[single](rng=np.random.default_rng(5))
    for images, image in zip(both, one, strict=True) if isinstance(both, list) else [(both, one)]:
        np.testing.assert_allclose(images[0], image, atol=1e-12)
        np.testing.assert_allclose(images[1], image, atol=1e-12)


@pytest.mark.parametrize("multi", [name for name in tl.prepro.__all__ if name.endswith(("_multi", "_multi2"))])
def test_multi_has_the_parameters_of_the_single_form(multi: str) -> None:
    single = getattr(tl.prepro, multi.replace("_multi2", "2").replace("_multi", ""))
    form = getattr(tl.prepro, multi)
    parameters = list(inspect.signature(single).parameters.values())
    if multi == "flip_axis_multi":
        parameters[1] = parameters[1].replace(default=inspect.Parameter.empty)
        with pytest.raises(TypeError, match="axis"):
            form([IMAGE])
    assert list(inspect.signature(form).parameters.values())[1:] == parameters[1:]
    assert form.__name__ == multi
    with pytest.raises(TypeError, match="colour"):
        form([IMAGE], 1, 1, colour=True)


def test_images_together_share_their_draw_whatever_other_threads_draw() -> None:
    def flip_and_turn(item: np.ndarray) -> np.ndarray:
        turned = tl.prepro.rotation_multi([item] * 4, 90, is_random=True)
        return tl.prepro.crop_multi(turned, 8, 8, is_random=True)

    for together in tl.prepro.threading_data([IMAGE] * 40, flip_and_turn):
        assert (together == together[0]).all()


# --- moving pixels ----------------------------------------------------------------------------------------------------


def test_rotation_of_a_non_square_image_turns_about_its_middle() -> None:
    x = np.zeros([5, 9, 1])
    x[2, 4] = 1  # the middle
    assert tl.prepro.rotation(x, 90, fill_mode="constant")[2, 4, 0] == pytest.approx(1)
    x = np.random.default_rng(0).random([6, 4, 1])
    np.testing.assert_allclose(tl.prepro.rotation(x, 180), x[::-1, ::-1], atol=1e-12)


def test_a_square_rotation_by_90_degrees_is_exact() -> None:
    np.testing.assert_array_equal(tl.prepro.rotation(BYTES[:8, :8], 90), np.rot90(BYTES[:8, :8], -1))


def test_images_of_different_types_and_channels() -> None:
    mask = (GREY > 0.5).astype(np.uint8)
    turned, turned_mask = tl.prepro.rotation_multi([IMAGE, mask], 30)
    assert turned.shape == (12, 10, 3)
    assert turned_mask.shape == (12, 10, 1)
    assert turned_mask.dtype == np.uint8
    together = tl.prepro.rotation_multi([GREY, mask], 30)
    assert together.shape == (2, 12, 10, 1)
    np.testing.assert_array_equal(together[1], tl.prepro.rotation(mask, 30))


def test_channel_first_images() -> None:
    first = np.ascontiguousarray(np.moveaxis(IMAGE, 2, 0))
    axes: dict[str, Any] = {"row_index": 1, "col_index": 2, "channel_index": 0}
    for distort in (tl.prepro.rotation, tl.prepro.shift, tl.prepro.shear, tl.prepro.shear2):
        np.testing.assert_allclose(np.moveaxis(distort(first, **axes), 0, 2), distort(IMAGE))
    cropped = tl.prepro.crop(first, 4, 6, row_index=1, col_index=2)
    np.testing.assert_array_equal(np.moveaxis(cropped, 0, 2), tl.prepro.crop(IMAGE, 4, 6))


def test_zoom_of_three_generations() -> None:
    np.testing.assert_array_equal(
        tl.prepro.zoom(IMAGE, (0.5, 0.5), True), tl.prepro.zoom(IMAGE, [0.5, 0.5], is_random=True)
    )
    book = tl.prepro.zoom(IMAGE, (0.5, 0.5), is_random=False)  # enlarges
    documented = tl.prepro.zoom(IMAGE, 2.0, fill_mode="nearest")  # enlarges as well
    np.testing.assert_allclose(book, documented)
    assert tl.prepro.zoom(np.ones([8, 8, 1]), 0.5).sum() < 32  # black outside
    assert tl.prepro.zoom(np.ones([8, 8, 1]), 0.5, border_mode="replicate").sum() == 64
    np.testing.assert_allclose(tl.prepro.respective_zoom(IMAGE, 2.0, 2.0, fill_mode="nearest"), documented)
    assert tl.prepro.zoom(IMAGE[:, :, 0], 2.0).shape == (12, 10)
    with pytest.raises(ValueError, match="pair"):
        tl.prepro.zoom(IMAGE, 2.0, is_random=True)


def test_crop_reaches_every_place_with_a_generator() -> None:
    rng = np.random.default_rng(0)
    x = np.arange(4)[:, None]
    assert {int(tl.prepro.crop(x, 1, 2, True, rng=rng)[0, 0]) for _ in range(99)} == {0, 1, 2}
    with pytest.raises(AssertionError, match="does not fit"):
        tl.prepro.crop(x, 2, 2)


def test_crop_multi_with_an_odd_rest_has_the_size_asked_for() -> None:
    assert tl.prepro.crop_multi([IMAGE] * 2, wrg=3, hrg=3).shape == (2, 3, 3, 3)


def test_shear2_leaves_its_list_alone() -> None:
    fractions = [0.2, 0.2]
    tl.prepro.shear2(IMAGE, fractions, is_random=True)
    assert fractions == [0.2, 0.2]


def test_elastic_transform_follows_the_generator() -> None:
    first = tl.prepro.elastic_transform(GREY, 8, 2, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(first, tl.prepro.elastic_transform(GREY, 8, 2, rng=np.random.default_rng(0)))
    assert not np.array_equal(first, tl.prepro.elastic_transform(GREY, 8, 2))


def test_a_matrix_moves_images_and_points_alike() -> None:
    x = np.zeros([20, 30, 1])
    x[5, 10] = 1
    matrix = tl.prepro.affine_shift_matrix(0.2, 0.1, w=30, h=20) @ tl.prepro.affine_horizontal_flip_matrix(1.0)
    matrix = tl.prepro.transform_matrix_offset_center(matrix, x=30, y=20)
    (col, row) = tl.prepro.affine_transform_keypoints([[(10, 5)]], matrix)[0][0]
    assert tl.prepro.affine_transform_cv2(x, matrix)[int(row), int(col), 0] == 1


def test_cv2_warp_rounds_bytes_like_opencv() -> None:
    x = np.asarray([[0, 255]], np.uint8)
    half = np.asarray([[1, 0, -0.5], [0, 1, 0]])
    assert tl.prepro.affine_transform_cv2(x, half).tolist() == [[128, 128]]
    assert tl.prepro.affine_transform_cv2(x, half, border_mode="replicate").tolist() == [[128, 255]]
    assert tl.prepro.affine_transform_cv2(x, np.eye(3), flags=0).tolist() == [[0, 255]]
    for wrong in ({"flags": 2}, {"border_mode": "wrap"}):
        with pytest.raises(ValueError, match="must be"):
            tl.prepro.affine_transform_cv2(x, half, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="invertible"):
        tl.prepro.affine_transform_cv2(x, np.zeros([2, 3]))


@pytest.mark.parametrize("wrong", [np.zeros([4, 4]), np.zeros([2, 4, 4, 3])])
def test_an_image_has_three_axes(wrong: np.ndarray) -> None:
    for distort in (tl.prepro.rotation, tl.prepro.shift, tl.prepro.shear, tl.prepro.shear2):
        with pytest.raises(ValueError, match=r"\[row, col, channel\]"):
            distort(wrong)


# --- pixels -----------------------------------------------------------------------------------------------------------


def test_hsv_round_trip_and_alpha() -> None:
    rgba = np.random.default_rng(0).integers(0, 256, [4, 5, 4]).astype(np.uint8)
    hsv = tl.prepro.rgb_to_hsv(rgba)
    assert hsv[..., 0].min() >= 0
    assert hsv[..., 0].max() < 1
    back = tl.prepro.hsv_to_rgb(hsv)
    assert abs(back.astype(int) - rgba).max() <= 1
    np.testing.assert_array_equal(back[..., 3], rgba[..., 3])


def test_normalisation_with_arrays_and_zeros() -> None:
    mean, std = IMAGE.mean(axis=(0, 1)), IMAGE.std(axis=(0, 1))
    normed = tl.prepro.featurewise_norm(IMAGE, mean, std)
    np.testing.assert_allclose(normed.mean(axis=(0, 1)), 0, atol=1e-9)
    assert tl.prepro.featurewise_norm(BYTES, 0, 0) is BYTES
    with pytest.raises(TypeError, match="float image"):
        tl.prepro.samplewise_norm(BYTES.copy(), rescale=1 / 255)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        tl.prepro.samplewise_norm(np.zeros([2, 2, 2]))


def test_zca_whitens() -> None:
    images = np.random.default_rng(0).normal(size=[500, 2, 2, 1]) @ np.asarray([[2.0]])
    components = tl.prepro.get_zca_whitening_principal_components_img(images)
    white = np.asarray([tl.prepro.zca_whitening(image, components).ravel() for image in images])
    np.testing.assert_allclose(white.T @ white / len(white), np.eye(4), atol=1e-3)


def test_channel_shift_never_wraps() -> None:
    shifted = tl.prepro.channel_shift(BYTES, 300)
    assert shifted.dtype == np.uint8
    assert (shifted == BYTES.max()).all()
    assert tl.prepro.channel_shift(BYTES, 0.5).dtype == np.float64


def test_drop_is_in_place_for_colours_only() -> None:
    x = IMAGE.copy()
    assert tl.prepro.drop(x, 0.5) is x
    assert ((x == 0).all(axis=2) | (x != 0).all(axis=2)).all()
    grey = GREY.copy()
    tl.prepro.drop(grey, 0.5)
    np.testing.assert_array_equal(grey, GREY)
    with pytest.raises(ValueError, match="1 or 3"):
        tl.prepro.drop(np.zeros([2, 2, 2]))


@pytest.mark.parametrize("size", [[6, 5], 50, 0.5])
def test_imresize_sizes(size: Any) -> None:
    assert tl.prepro.imresize(BYTES, size).shape == (6, 5, 3)
    assert tl.prepro.imresize(GREY, size).shape == (6, 5, 1)
    assert tl.prepro.imresize(BYTES[:, :, 0], size, mode="F").dtype == np.float32
    with pytest.raises(ValueError, match="bicubic"):
        tl.prepro.imresize(BYTES, size, interp="magic")


def test_array_to_img_lifts_negative_values_in_place() -> None:
    x = np.asarray([[[-1.0], [1.0]]])
    picture = tl.prepro.array_to_img(x)
    assert picture.mode == "L"
    assert np.array(picture).tolist() == [[0, 255]]
    assert x.ravel().tolist() == [0.0, 2.0]
    with pytest.raises(ValueError, match="channels"):
        tl.prepro.array_to_img(np.zeros([2, 2, 4]))


def test_points_and_morphology() -> None:
    for points in ([[0, 1], [1, 0]], [[[0, 1]], [[1, 0]]]):
        assert tl.prepro.pt2map(points, size=(2, 2)).tolist() == [[0, 1], [1, 0]]
    x = np.pad(np.ones([1, 1]), 4)
    assert tl.prepro.dilation(x, 2).sum() == tl.prepro.binary_dilation(x, 2).sum() == 13
    assert tl.prepro.erosion(tl.prepro.dilation(x, 2), 2).sum() == 1
    assert tl.prepro.binary_erosion(tl.prepro.binary_dilation(x, 2), 2).sum() == 1


# --- boxes, people, sequences -----------------------------------------------------------------------------------------


def test_boxes_follow_the_image() -> None:
    x = np.zeros([40, 40, 1])
    x[10:20, 5:15] = 1
    for distort in (
        lambda: tl.prepro.obj_box_crop(x, [3], [[5, 10, 10, 10]], wrg=30, hrg=30),
        lambda: tl.prepro.obj_box_shift(x, [3], [[5, 10, 10, 10]], wrg=0.1, hrg=0.1, fill_mode="constant"),
    ):
        image, classes, boxes = distort()
        left, top, w, h = map(int, boxes[0])
        assert classes == [3]
        assert image[top : top + h, left : left + w].all()
        assert image.sum() == w * h


def test_boxes_that_leave_the_image_are_removed() -> None:
    x = np.zeros([40, 40, 3])
    _, classes, boxes = tl.prepro.obj_box_crop(x, [1, 2], [[0, 0, 3, 3], [10, 10, 20, 20]], wrg=30, hrg=30)
    assert (classes, boxes) == ([2], [[5, 5, 20, 20]])
    relative = tl.prepro.obj_box_crop(x, [1], [[0.5, 0.5, 0.5, 0.5]], 30, 30, is_rescale=True, is_center=True)[2]
    np.testing.assert_allclose(relative, [[0.5, 0.5, 2 / 3, 2 / 3]])
    with pytest.raises(AssertionError, match="four numbers"):
        tl.prepro.obj_box_crop(x, [1], [[1, 2, 3]], 30, 30)
    with pytest.raises(ValueError, match="one for each"):
        tl.prepro.obj_box_crop(x, [], [[1, 2, 3, 4]], 30, 30)


def test_keypoints_follow_the_image() -> None:
    x = np.zeros([40, 40, 3], np.float32)
    x[20, 12] = 1
    mask = x[:, :, 0]
    image, people, moved = tl.prepro.keypoint_random_crop(x, [[(12, 20)]], mask, (30, 30), rng=np.random.default_rng(0))
    col, row = people[0][0]
    assert image[row, col, 0] == moved[row, col] == 1  # type: ignore[index]
    image, people, moved = tl.prepro.keypoint_random_resize(
        np.ones([8, 8, 3]), [[(4, 4), (-1000, -1000)]], np.ones([8, 8]), zoom_range=(0.5, 0.5)
    )
    assert people == [[(2, 2), (-1000, -1000)]]
    assert image.shape == (4, 4, 3)
    np.testing.assert_allclose(image, 1)


def test_area_resizing_keeps_the_mean() -> None:
    resized = tl.prepro.keypoint_random_resize(IMAGE, [], zoom_range=(0.6, 0.6))[0]
    assert resized.shape == (7, 6, 3)
    np.testing.assert_allclose(resized.mean(), IMAGE.mean(), rtol=1e-2)
    whole = tl.prepro.keypoint_random_resize(IMAGE, [], zoom_range=(0.5, 0.5))[0]
    np.testing.assert_allclose(whole, IMAGE.reshape(6, 2, 5, 2, 3).mean(axis=(1, 3)))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "float32", "float64"])
@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def test_warping_and_resizing_are_opencvs(dtype: str, channels: tuple[int, ...]) -> None:
    cv2 = pytest.importorskip("cv2")  # not needed by anything else
    rng = np.random.default_rng(0)
    tolerance = 0 if dtype == "uint8" else 1e-6
    for _ in range(40):
        x = (255 * rng.random((*rng.integers(2, 40, 2), *channels))).astype(dtype)
        h, w = x.shape[:2]
        new_h, new_w = map(int, rng.integers(1, 60, 2))
        theirs = cv2.resize(x, (new_w, new_h), interpolation=cv2.INTER_AREA).reshape(new_h, new_w, *channels)
        np.testing.assert_allclose(opencv.resize_area(x, new_w, new_h), theirs, tolerance, tolerance)
        if int(cv2.__version__.split(".")[0]) >= 5 and dtype != "float64":
            continue  # OpenCV 5 no longer rounds positions to 1/32 of a pixel
        matrix = np.eye(3) + rng.uniform(-0.4, 0.4, [3, 3])
        for flags in (cv2.INTER_NEAREST, cv2.INTER_AREA):
            for mode, border in (("constant", cv2.BORDER_CONSTANT), ("replicate", cv2.BORDER_REPLICATE)):
                theirs = cv2.warpAffine(x, matrix[:2], (w, h), flags=flags, borderMode=border).reshape(x.shape)
                ours = tl.prepro.affine_transform_cv2(x, matrix, flags, mode)
                np.testing.assert_allclose(ours, theirs, tolerance, tolerance)


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("size", [(24, 20), (15, 8), (9, 13), (12, 11)])
def test_enlarging_stays_within_the_neighbours(dtype: str, size: tuple[int, int]) -> None:
    ramp = np.broadcast_to(np.arange(10, dtype=dtype) * 20, (12, 10))
    scale = (size[0] / 12, size[1] / 10)
    resized = opencv.resize_area(ramp, size[1], size[0])
    assert resized.dtype == dtype
    assert resized.shape == size
    assert (np.diff(resized[0].astype(float)) >= 0).all()
    assert abs(resized[0].astype(float) - np.clip(np.arange(size[1]) / scale[1] * 20, 0, 180)).max() <= 21
    assert np.ptp(resized.astype(float), axis=0).max() <= 1


def test_a_sequence_without_padding_stays() -> None:
    assert tl.prepro.remove_pad_sequences([[1, 2, 3], [0, 0], []]) == [[1, 2, 3], [], []]


def test_padding_of_vectors_and_of_arrays() -> None:
    vectors = [np.ones([2, 3]), np.ones([1, 3])]
    assert tl.prepro.pad_sequences(vectors, dtype="float32").sum(axis=2).tolist() == [[3, 3], [3, 0]]
    padded = tl.prepro.pad_sequences([[1, 2, 3], [4]])
    assert tl.prepro.remove_pad_sequences(padded) == [[1, 2, 3], [4]]
    assert tl.prepro.sequences_add_start_id(padded, 9) == [[9, 1, 2, 3], [9, 4, 0, 0]]
    assert tl.prepro.sequences_add_end_id(padded, 9) == [[1, 2, 3, 9], [4, 0, 0, 9]]
    assert tl.prepro.sequences_add_end_id_after_pad(padded, 9) == [[1, 2, 3], [4, 9, 0]]
    assert tl.prepro.process_sequences(padded, end_id=0).tolist() == [[1], [4]]
    for wrong in ({"padding": "mid"}, {"truncating": "mid"}):
        with pytest.raises(ValueError, match="'pre' or 'post'"):
            tl.prepro.pad_sequences([[1]], **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="one shape"):
        tl.prepro.pad_sequences([np.ones([1, 2]), np.ones([1, 3])])
    with pytest.raises(ValueError, match="at least one"):
        tl.prepro.pad_sequences([])
    with pytest.raises(ValueError, match="at least 0"):
        tl.prepro.pad_sequences([[1]], maxlen=-1)


@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
@pytest.mark.parametrize("maxlen", [None, 0, 1, 3, 9])
def test_padding_row_by_row(padding: str, truncating: str, maxlen: int | None) -> None:
    sequences = [[1, 2, 3, 4], [], [5], [6, 7]]
    width = 4 if maxlen is None else maxlen
    rows = []
    for s in sequences:
        kept = s[max(0, len(s) - width) :] if truncating == "pre" else s[:width]
        fill = [-1] * (width - len(kept))
        rows.append(fill + kept if padding == "pre" else kept + fill)
    assert tl.prepro.pad_sequences(sequences, maxlen, "int32", padding, truncating, -1).tolist() == rows


# --- threads ----------------------------------------------------------------------------------------------------------


def test_threads_keep_the_order_and_are_few() -> None:
    names, running = set(), []

    def slow(item: int) -> int:
        running.append(threading.active_count())
        names.add(threading.current_thread().name)
        time.sleep(0.001 * (item % 3))
        return item

    before = threading.active_count()
    assert tl.prepro.threading_data(list(range(300)), slow).tolist() == list(range(300))
    assert max(running) - before <= 64


def test_threads_with_a_generator_are_reproducible() -> None:
    def draw(part: Any, rng: np.random.Generator) -> np.ndarray:
        time.sleep(0.002 * random.random())
        return rng.random(2)

    first = tl.prepro.threading_data(range(20), draw, rng=np.random.default_rng(0))
    np.testing.assert_array_equal(first, tl.prepro.threading_data(range(20), draw, rng=np.random.default_rng(0)))
    assert len({tuple(row) for row in first}) == 20


def test_an_exception_in_a_thread_reaches_the_caller() -> None:
    with pytest.raises(ZeroDivisionError):
        tl.prepro.threading_data([1, 0], lambda x: 1 / x)
    with pytest.raises(TypeError, match="function"):
        tl.prepro.threading_data([1])


def test_results_of_different_shapes_come_as_a_list() -> None:
    assert [len(r) for r in tl.prepro.threading_data([1, 2], np.arange)] == [1, 2]
