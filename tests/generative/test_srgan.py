"""SRGAN: the data, both stages worked out apart, the measures, and clear sentences for what cannot work."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from skimage.data import chelsea

from core.errors import UsageError
from core.metrics.image_quality import quality
from core.metrics.niqe import fit_model, niqe
from core.optim.config import OptimizerConfig
from core.plugin import Context
from experiments.launcher.catalogue import catalogue
from generative.data.pictures import BROKEN
from generative.srgan import config as config_module
from generative.srgan.config import SRGANConfig
from generative.srgan.data import Crops, Photo, as_rgb, keep_strips, open_photos, pair_of, pictures_in, strips_of
from generative.srgan.measures import natural_model
from generative.srgan.model import SRGAN
from generative.srgan.upscale import Upscaler

TINY: dict[str, Any] = {"blocks": 1, "width": 4, "ends": 3, "d_width": 1, "crop": 16, "batch": 2, "eval_side": 48}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


def eager(config: SRGANConfig, context: Context) -> SRGAN:
    """A model whose updates are not traced, which takes far longer than one of a tiny network."""
    model = SRGAN(config, context)
    model._stage_one, model._stage_two = model._update_pixels, model._update_both
    return model


def write(path: Path, *size: int, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(pixels).save(path)
    return path


# --- data -------------------------------------------------------------------------------------------------------------


def test_photos_hold_three_out() -> None:
    _, train, tests = open_photos("photos", "", 5, print)
    assert [photo.name for photo in tests] == ["coffee", "chelsea", "flower"]
    assert not {photo.name for photo in train} & {photo.name for photo in tests} and len(train) == 11
    for photo in train + tests:
        assert photo.read().shape == (*photo.size, 3) and photo.read().dtype == np.uint8


def test_crops_are_a_function_of_seed_and_position() -> None:
    _, train, _ = open_photos("photos", "", 5, print)
    one, two = (Crops("photos", train, 32, True, print) for _ in range(2))
    batch = one.draw(3, 5, 6).windows
    assert batch.shape == (6, 48, 48, 3)
    np.testing.assert_array_equal(batch, two.draw(3, 5, 6).windows)
    assert not np.array_equal(batch, one.draw(3, 6, 6).windows) and not np.array_equal(batch, one.draw(4, 5, 6).windows)


@pytest.mark.parametrize("order", ["first", "second"])
def test_degraded_crops_are_a_function_of_seed_and_position(order: Any) -> None:
    _, train, _ = open_photos("photos", "", 5, print)
    one, two = (Crops("photos", train, 32, True, print, degradation=order) for _ in range(2))
    two.draw(3, 4, 4)
    batch, same, other = one.draw(3, 5, 4), two.draw(3, 5, 4), one.draw(3, 6, 4)
    assert batch.small is not None and batch.small.shape == (4, 8, 8, 3) and batch.small.dtype == np.uint8
    for mine, its in zip(batch, same, strict=True):
        np.testing.assert_array_equal(mine, its)
    np.testing.assert_array_equal(batch.windows, Crops("photos", train, 32, True, print).draw(3, 5, 4).windows)
    assert not np.array_equal(batch.small, other.small) and len({*batch.strengths.tolist()}) == 4


def test_g_is_told_the_strength(context: Context) -> None:
    model = eager(
        SRGANConfig(**TINY | {"degradation": "first", "over_bicubic": True}, stage_one=1, stage_two=1), context
    )
    batch = model.stream.next()
    hr, lr = model._pair(*(tf.constant(x) for x in batch))
    np.testing.assert_allclose((hr + 1) * 127.5, batch.windows[:, 8:-8, 8:-8], atol=1e-4)
    np.testing.assert_allclose((lr[..., :3] + 1) * 127.5, batch.small, atol=1e-4)
    np.testing.assert_allclose(lr[..., 3], np.broadcast_to(batch.strengths[:, None, None], lr.shape[:3]))
    for _ in range(2):
        assert np.isfinite([float(v) for v in model.step().values()]).all()
    assert "JPEG of first order and strength 0.5" in model.evaluate()["eval/protocol"]
    picture = batch.small[0]
    made = [Upscaler(model.G, 4, strength=strength)(picture) for strength in (0.0, 0.5, 1.0)]
    np.testing.assert_array_equal(made[1], model._upscale(picture))
    assert not np.array_equal(made[0], made[2]) and made[0].shape == (16, 16, 3)
    model.close()


def test_order_and_windows_never_draw_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An epoch and a position of the same number are as far apart as any two."""
    begun: list[int] = []
    original = np.random.default_rng

    def watched(seed: Any) -> np.random.Generator:
        rng = original(seed)
        begun.append(rng.bit_generator.state["state"]["state"])
        return rng

    crops = Crops("a", [Photo("a", (32, 32), lambda: np.zeros((32, 32, 3), np.uint8))], 16, True, print)
    monkeypatch.setattr(np.random, "default_rng", watched)
    for position in range(10):  # one picture a batch: every position is an epoch
        crops.draw(3, position, 1)
    assert len(begun) == 20 == len(set(begun))


def test_crops_come_in_all_eight_positions() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    photo = Photo("a", (32, 32), lambda: pixels)
    ways = {np.rot90(p, k).tobytes() for p in (pixels, pixels[:, ::-1]) for k in range(4)}
    drawn = {window.tobytes() for window in Crops("a", [photo], 16, True, print).draw(0, 0, 100).windows}
    assert drawn == ways
    assert {window.tobytes() for window in Crops("a", [photo], 16, False, print).draw(0, 0, 9).windows} == {
        pixels.tobytes()
    }
    recoloured = {
        window.tobytes() for window in Crops("a", [photo], 16, False, print, recolour=True).draw(0, 0, 60).windows
    }
    orders = ((0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0))
    assert recoloured == {np.ascontiguousarray(pixels[..., order]).tobytes() for order in orders}


def test_folders_small_pictures_and_div2k(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "plain" / f"{i}.png", 40, 40 + i, seed=i)
    (tmp_path / "plain" / "bad.png").write_text("x")
    said: list[str] = []
    _, train, tests = open_photos(f"folder:{tmp_path / 'plain'}", "", 1, said.append)
    assert len(train) == 3 and len(tests) == 1 and "bad.png" in said[0]
    small = [*train, Photo("tiny", (20, 20), lambda: np.zeros((20, 20, 3), np.uint8))]
    assert len(Crops("x", small, 16, True, said.append).photos) == 3 and "tiny (20x20)" in said[-1]
    with pytest.raises(UsageError, match=r"crop is 64, .* choose 24 or less"):
        Crops("x", train, 64, True, said.append)

    write(tmp_path / "div2k" / "DIV2K_train_HR" / "0001.png", 40, 40)
    write(tmp_path / "div2k" / "DIV2K_valid_HR" / "0801.png", 44, 40)
    write(tmp_path / "div2k" / "DIV2K_train_LR_bicubic" / "X4" / "0001x4.png", 10, 10)
    _, train, tests = open_photos(f"folder:{tmp_path / 'div2k'}", "", 5, print)
    assert [p.name for p in train] == ["0001.png"] and [p.name for p in tests] == ["0801.png"]

    write(tmp_path / "set5" / "img_001_SRF_4_HR.png", 40, 40)
    write(tmp_path / "set5" / "img_001_SRF_4_LR.png", 10, 10)
    _, _, tests = open_photos("photos", str(tmp_path / "set5"), 5, print)
    assert [p.name for p in tests] == ["img_001_SRF_4_HR.png"]


@pytest.mark.parametrize(
    ("large", "small"),
    [
        ("HR/baby.png", "LR_bicubic/X4/babyx4.png"),
        ("DIV2K_valid_HR/0801.png", "DIV2K_valid_LR_bicubic/X4/0801x4.png"),
        ("image_SRF_4/img_001_SRF_4_HR.png", "image_SRF_4/img_001_SRF_4_LR.png"),
        ("img_001_HR.png", "img_001_LR.png"),
    ],
)
def test_small_files_of_benchmarks_are_used_as_they_are(
    context: Context, tmp_path: Path, large: str, small: str
) -> None:
    write(tmp_path / "set" / large, 50, 43)
    write(tmp_path / "set" / small, 12, 10, seed=1)
    for other in ("LR_bicubic/X2/babyx2.png", "image_SRF_2/img_001_SRF_2_HR.png"):
        if other.split("_")[0] == small.split("_")[0]:
            write(tmp_path / "set" / other, 25, 21)
    _, _, (photo,) = open_photos("photos", f"folder:{tmp_path / 'set'}", 5, print)
    whole, given = pair_of(photo, 4)
    truth = np.asarray(Image.open(tmp_path / "set" / large))
    np.testing.assert_array_equal(whole, truth[:40, :48])
    np.testing.assert_array_equal(given, np.asarray(Image.open(tmp_path / "set" / small)))
    whole, given = pair_of(photo, 4, 24)
    np.testing.assert_array_equal(whole, truth[8:32, 12:36])
    assert given.shape == (6, 6, 3)
    config = SRGANConfig(**TINY | {"test": str(tmp_path / "set"), "validation": 0, "eval_side": 0})
    for _ in range(2):  # found, and known again from the run's record
        model = eager(config, context)
        assert "in files of their own" in model.evaluate()["eval/protocol"]
        bicubic = quality(truth[:40, :48], np.asarray(Image.open(tmp_path / "set" / small).resize((48, 40), 3)), 4)
        assert model.evaluate()["eval/bicubic_psnr_y"] == pytest.approx(bicubic["psnr_y"])
        model.close()


def test_small_files_that_are_not_so_many_times_smaller(tmp_path: Path) -> None:
    write(tmp_path / "a_HR.png", 48, 40)
    write(tmp_path / "a_LR.png", 24, 20)
    write(tmp_path / "b_HR.png", 48, 40)
    said: list[str] = []
    _, _, tests = open_photos("photos", str(tmp_path), 5, said.append)
    assert [photo.name for photo in tests] == ["b_HR.png"] and tests[0].read_small is None
    assert "its small file is 24x20, not 4 times smaller than 48x40" in said[-1]
    _, _, tests = open_photos("photos", str(tmp_path), 5, print, scale=2)
    assert [photo.read_small is None for photo in tests] == [False, True]


def test_strips_are_not_trained_on() -> None:
    """The right eighth of each photograph; of one that is too small nothing."""
    pixels = np.random.default_rng(0).integers(0, 256, (200, 240, 3), np.uint8)
    photos = [Photo(name, pixels.shape[:2], lambda: pixels) for name in "abc"]
    small = Photo("small", (80, 80), lambda: pixels[:80, :80])
    rest, strips = keep_strips([photos[0], small, *photos[1:]], 3, 4, 32)
    assert [photo.name for photo in strips] == ["a", "b"] and [photo.name for photo in rest] == ["a", "small", "b", "c"]
    np.testing.assert_array_equal(np.concatenate([rest[0].read(), strips[0].read()], axis=1), pixels)
    assert strips[0].read().shape == (200, 25, 3) and rest[3].read().shape == pixels.shape == (*rest[3].size, 3)
    assert keep_strips(photos, 3, 4, 180)[1] == [], "no window would be left"


def test_how_many_strips_is_recorded_and_runs_from_before_have_none(tmp_path: Path) -> None:
    assert strips_of(tmp_path / "new" / "files", 3) == 3 and strips_of(tmp_path / "new" / "files", 5) == 3
    assert strips_of(None, 3) == 3
    for i in range(3):
        write(tmp_path / "own" / f"{i}.png", 40, 40)
    open_photos(f"folder:{tmp_path / 'own'}", "", 1, print, folder=tmp_path / "old" / "files")
    assert strips_of(tmp_path / "old" / "files", 3) == 0


def test_the_best_checkpoint_is_not_chosen_on_what_is_measured(context: Context) -> None:
    model = eager(SRGANConfig(**TINY | {"eval_side": 0, "validation": 2}), context)
    model.tests = model.tests[2:]
    assert [photo.name for photo in model.strips] == ["astronaut", "rocket"]
    shown, expected = model.evaluate(), []
    for photo in model.strips:
        strip = photo.read()
        height, width = (n // 4 * 4 for n in strip.shape[:2])
        top, left = (strip.shape[0] - height) // 2, (strip.shape[1] - width) // 2
        strip = strip[top : top + height, left : left + width]
        small = np.asarray(Image.fromarray(strip).resize((width // 4, height // 4), Image.Resampling.BICUBIC))
        expected.append(quality(strip, model._upscale(small), 4)["psnr_y"])
    assert shown["eval/validation_psnr_y"] == pytest.approx(np.mean(expected))
    assert (
        shown["eval/validation_psnr_y"] != shown["eval/psnr_y"] and "strips of 2 photographs" in shown["eval/protocol"]
    )
    none = eager(SRGANConfig(**TINY | {"validation": 0}), dataclasses.replace(context, folder=context.folder / "none"))
    shown = none.evaluate()
    assert shown["eval/validation_psnr_y"] == shown["eval/psnr_y"]
    assert "on the photographs that are measured on" in shown["eval/protocol"]
    model.close(), none.close()


def test_versions_of_a_picture_named_hr_are_left_out_and_said(tmp_path: Path) -> None:
    names = ("a_HR", "a_LR", "a_bicubic", "a", "b_HR", "b2", "b_old", "c_LR", "d")
    for name in names:
        write(tmp_path / f"{name}.png", 20, 20)
    said: list[str] = []
    found = [photo.name.partition(".")[0] for photo in pictures_in(tmp_path, said.append)]
    assert found == ["a_HR", "b2", "b_HR", "b_old", "c_LR", "d"]
    assert len(said) == 1 and "3 pictures" in said[0] and "named _HR" in said[0] and "a_LR.png" in said[0]


def test_a_photograph_to_measure_on_that_is_gone_ends_a_resume_at_once(tmp_path: Path) -> None:
    for i in range(4):
        write(tmp_path / "own" / f"{i}.png", 40, 40)
    context = Context(seed=1, folder=tmp_path / "files", say=lambda line: None)
    config = SRGANConfig(**TINY | {"source": f"folder:{tmp_path / 'own'}", "held_out": 2})
    first = SRGAN(config, context)
    first.close()
    (tmp_path / "own" / first.tests[0].name).unlink()
    again = SRGAN(config, context)
    assert again.exportable().keys() == {"upscale"}, "needs no pictures"
    with pytest.raises(UsageError, match=rf"{first.tests[0].name} to measure on cannot be read"):
        again.step()
    assert again.clock == 0
    again.close()


def test_folders_that_cannot_work(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"names the folder .*, which is not there"):
        open_photos(f"folder:{tmp_path / 'none'}", "", 5, print)
    with pytest.raises(UsageError, match="no picture"):
        pictures_in(tmp_path)
    write(tmp_path / "a.png", 40, 40)
    with pytest.raises(UsageError, match="held_out is 5, of 1 pictures"):
        open_photos(f"folder:{tmp_path}", "", 5, print)


def test_pictures_that_cannot_be_measured_on_are_left_out_at_the_start(tmp_path: Path) -> None:
    for name, side in (("a", 40), ("b", 40), ("c", 19), ("d", 20), ("e", 40)):
        write(tmp_path / f"{name}.png", 40, side)
    whole = (tmp_path / "b.png").read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])  # its header is good
    said: list[str] = []
    _, _, tests = open_photos("photos", str(tmp_path), 5, said.append)
    assert [photo.name for photo in tests] == ["a.png", "d.png", "e.png"]
    assert len(said) == 1 and "b.png" in said[0] and "c.png (40x19, at least 20 pixels" in said[0]
    small = tests[1].read()
    assert np.isfinite(list(quality(small, np.roll(small, 1), 4).values())).all()
    with pytest.raises(ValueError, match="at least 11 pixels"):
        quality(small[:16], small[:16], 4)
    for name in "ade":
        (tmp_path / f"{name}.png").unlink()
    with pytest.raises(UsageError, match=r"none of the 2 pictures to measure on can be used: b\.png"):
        open_photos("photos", str(tmp_path), 5, said.append)


def test_pictures_that_bicubic_restores_are_left_out_at_the_start(tmp_path: Path) -> None:
    """Their PSNR is infinite, and so would be the mean that the run reports; only the part that is measured counts."""
    write(tmp_path / "a.png", 60, 60)
    Image.new("RGB", (60, 60), "white").save(tmp_path / "blank.png")
    framed = np.random.default_rng(0).integers(0, 256, (60, 60, 3), np.uint8)
    framed[10:-10, 10:-10] = 200
    Image.fromarray(framed).save(tmp_path / "framed.png")
    said: list[str] = []
    for side, names in ((0, ["a.png", "framed.png"]), (32, ["a.png"])):
        _, _, tests = open_photos("photos", str(tmp_path), 5, said.append, eval_side=side)
        assert [photo.name for photo in tests] == names
        assert "blank.png (bicubic interpolation restores it without an error)" in said.pop()


def test_pairs_are_kept_only_when_complete() -> None:
    model = SRGAN.__new__(SRGAN)
    model.config, model._pairs = SRGANConfig(**TINY), None
    pixels = np.zeros((40, 40, 3), np.uint8)

    def lost() -> np.ndarray:
        raise OSError("the disk went away")

    model.tests = [Photo("a", (40, 40), lambda: pixels), Photo("b", (40, 40), lost)]
    for _ in range(2):
        with pytest.raises(UsageError, match="picture b to measure on cannot be read: the disk went away"):
            model._test_pairs()


def test_a_broken_picture_is_replaced_and_named(tmp_path: Path) -> None:
    whole = write(tmp_path / "a.png", 40, 40).read_bytes()
    (tmp_path / "b.png").write_bytes(whole[: len(whole) // 2])
    said: list[str] = []
    crops = Crops("x", pictures_in(tmp_path), 16, False, said.append)
    assert len(crops.draw(0, 0, 8).windows) == 8 and len(said) == 1 and "b.png" in said[0]


def test_orientation_and_sixteen_bits(tmp_path: Path) -> None:
    picture = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))
    exif = picture.getexif()
    exif[0x0112] = 6  # the camera was turned
    picture.save(tmp_path / "turned.png", exif=exif)
    assert as_rgb(Image.open(tmp_path / "turned.png")).size == (4, 6)
    assert pictures_in(tmp_path)[0].read().shape == (6, 4, 3)
    deep = Image.fromarray(np.array([[0, 65535], [257, 32896]], np.uint16))
    np.testing.assert_array_equal(np.asarray(as_rgb(deep))[..., 0], [[0, 255], [1, 128]])
    with pytest.raises(BROKEN, match="floating-point numbers of no known range"):
        as_rgb(Image.fromarray(np.zeros((4, 4), np.float32)))


# --- the updates ------------------------------------------------------------------------------------------------------


def test_the_small_crop_is_what_pillow_makes_of_the_whole_picture(context: Context) -> None:
    model = SRGAN(SRGANConfig(**TINY | {"augment": False}), context)
    photo = model.crops.photos[0].read()
    top, left, margin = 40, 64, 8
    hr, lr = model._pair(tf.constant(photo[None, top - margin : top + 24, left - margin : left + 24]))
    height, width = (n // 4 for n in photo.shape[:2])
    whole = Image.fromarray(photo[: 4 * height, : 4 * width]).resize((width, height), Image.Resampling.BICUBIC)
    expected = np.asarray(whole)[top // 4 : top // 4 + 4, left // 4 : left // 4 + 4]
    assert np.abs((lr[0] + 1) * 127.5 - expected).max() <= 1.001
    np.testing.assert_allclose((hr[0] + 1) * 127.5, photo[top : top + 16, left : left + 16], atol=1e-4)
    model.close()


def test_stage_one_is_the_pixel_loss_and_moves_g_alone(context: Context) -> None:
    model = eager(SRGANConfig(**TINY, stage_one=2, stage_two=2), context)
    windows = tf.constant(model.stream.next().windows)
    hr, lr = model._pair(windows)
    expected = np.mean((np.asarray(hr) - np.asarray(model.G(lr, training=True))) ** 2)
    D, G = ([np.array(v) for v in network.trainable_variables] for network in (model.D, model.G))
    model.stream.load_state(model.stream.state() | {"position": 0})
    assert float(model.step()["loss/pixel"]) == pytest.approx(expected, rel=1e-4)
    assert all(np.array_equal(a, v) for a, v in zip(D, model.D.trainable_variables, strict=True))
    assert any(not np.array_equal(a, v) for a, v in zip(G, model.G.trainable_variables, strict=True))
    model.close()


@pytest.mark.parametrize("esrgan", [False, True])
def test_stage_two_shares_the_generators_forward_pass(context: Context, esrgan: bool) -> None:
    """One forward pass of G gives what two would: D's step, then G's through the updated D, worked out apart."""
    options: dict[str, Any] = {"generator": "rrdb", "distance": "l1", "adversarial": "relativistic"} if esrgan else {}
    config = SRGANConfig(
        **TINY | options, stage_one=0, pixel_weight=0.5, adversarial_weight=0.1, optimizer=OptimizerConfig(lr=1e-2)
    )
    model, twin = (eager(config, context) for _ in range(2))
    model.phi = twin.phi = lambda x: 3.0 * x[:, ::2]  # stands in for VGG19, which has tests of its own
    config = model.config = twin.config = dataclasses.replace(config, feature_weight=0.2)
    windows = tf.constant(model.stream.next().windows)
    values = model._update_both((windows,), tf.constant(0))

    def distance(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.abs(x - y)) if esrgan else tf.reduce_mean(tf.square(x - y))

    def cross(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
        if esrgan:
            real, fake = real - tf.reduce_mean(fake), fake - tf.reduce_mean(real)
        return tf.reduce_mean(tf.nn.softplus(-real)) + tf.reduce_mean(tf.nn.softplus(fake))

    hr, lr = twin._pair(windows)
    with tf.GradientTape() as tape:
        d_loss = cross(twin.D(hr, training=True), twin.D(twin.G(lr, training=True), training=True))
    twin.D_optimizer.apply(tape.gradient(d_loss, twin.D.trainable_variables), twin.D.trainable_variables)
    with tf.GradientTape() as tape:
        sr = twin.G(lr, training=True)
        fake = twin.D(sr, training=True)
        adversarial = cross(fake, twin.D(hr, training=True)) if esrgan else tf.reduce_mean(tf.nn.softplus(-fake))
        loss = 0.5 * distance(hr, sr) + 0.2 * distance(twin.phi(hr), twin.phi(sr)) + 0.1 * adversarial
    twin.G_optimizer.apply(tape.gradient(loss, twin.G.trainable_variables), twin.G.trainable_variables)
    assert float(values[3]) == pytest.approx(float(loss), rel=1e-4)
    assert float(values[4]) == pytest.approx(float(d_loss), rel=1e-4)
    for mine, its in zip(model.D.trainable_variables, twin.D.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-4)
    for mine, its in zip(model.G.trainable_variables, twin.G.trainable_variables, strict=True):
        np.testing.assert_allclose(mine, its, atol=2e-3)  # Adam divides small gradients by their own size
    model.close(), twin.close()


def test_what_d_sees_is_rolled_the_same_way_for_real_and_made_crops(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = eager(SRGANConfig(**TINY, stage_one=0, roll=True), context)
    windows = tf.constant(model.stream.next().windows)
    hr, lr = model._pair(windows)
    made, seen = model.G(lr, training=True), []
    call = keras.Model.__call__

    def watched(self: keras.Model, x: tf.Tensor, **named: Any) -> tf.Tensor:
        seen.extend([np.asarray(x)] * (self is model.D))
        return call(self, x, **named)

    monkeypatch.setattr(keras.Model, "__call__", watched)

    def offset() -> tuple[int, int]:
        places = [(i, j) for i in range(16) for j in range(16)]
        return next(place for place in places if np.array_equal(np.roll(hr, place, (1, 2)), seen[0]))

    model._update_both((windows,), tf.constant(0))
    at_first = offset()
    for x in seen[1:]:
        np.testing.assert_allclose(x, np.roll(made, at_first, (1, 2)), atol=1e-5)
    assert len(seen) == 3
    for clock, same in ((7, False), (0, True)):
        seen.clear()
        model._update_both((windows,), tf.constant(clock))
        assert (offset() == at_first) == same, "a function of the clock"
    model.close()


STEPS = {
    "pixel_optimizer": OptimizerConfig(lr=1.0, lr_schedule="step", lr_steps=2, lr_end=0.1),
    "optimizer": OptimizerConfig(lr=1e-3, lr_schedule="step", lr_steps=2, lr_end=0.1),
}


def test_step_sizes_follow_each_stage(context: Context) -> None:
    config = SRGANConfig(**TINY, stage_one=4, stage_two=4, **STEPS)
    model = eager(config, context)
    rates = [float(model.step()["optim/lr"]) for _ in range(10)]
    np.testing.assert_allclose(rates, [1, 1, 0.1, 0.1, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-6)
    assert int(model.pixel_optimizer.iterations) == 4 and int(model.D_optimizer.iterations) == 6
    model.close()


def test_without_features_it_says_so(tmp_path: Path) -> None:
    said: list[str] = []
    SRGAN(SRGANConfig(**TINY), Context(seed=1, folder=tmp_path, say=said.append)).close()
    assert any("without the perceptual loss" in line for line in said)
    model = SRGAN(SRGANConfig(**TINY, features=str(tmp_path / "vgg19.npy")), Context(seed=1, folder=tmp_path))
    assert len(model.sample(1)) == 1 and model.exportable(), "drawing and exporting need no features"
    with pytest.raises(UsageError, match="not there"):
        model.step()
    assert model.clock == 0
    model.close()


def test_over_bicubic_dark_stays_dark(context: Context) -> None:
    """A tanh reaches black nowhere: blue of 3 became 14 of 255 (see README.md)."""
    model = SRGAN(SRGANConfig(**TINY | {"over_bicubic": True, "validation": 0}), context)
    for v in [layer for layer in model.G.layers if layer.weights][-1].weights:
        v.assign(tf.zeros_like(v))  # nothing is added
    dark = np.zeros((12, 12, 3), np.uint8)
    dark[..., 0] = 90
    np.testing.assert_array_equal(model._upscale(dark), np.broadcast_to([90, 0, 0], (48, 48, 3)))
    shown = model.evaluate()
    for name in ("psnr_y", "psnr_rgb", "ssim_rgb", "high_energy"):
        assert shown[f"eval/{name}"] == pytest.approx(shown[f"eval/bicubic_{name}"], rel=0.05)
    assert 0 < shown["eval/high_energy"] < 0.1
    model.close()


@pytest.mark.parametrize("scale", [2, 3, 8])
def test_other_scales(context: Context, scale: int) -> None:
    model = eager(
        SRGANConfig(**TINY | {"scale": scale, "crop": 48, "eval_side": 96}, stage_one=1, stage_two=1), context
    )
    photo = model.crops.photos[0].read()
    top, left, margin = 5 * scale, 9 * scale, 2 * scale
    hr, lr = model._pair(tf.constant(photo[None, top - margin : top + 48 + margin, left - margin : left + 48 + margin]))
    height, width = (n // scale for n in photo.shape[:2])
    whole = Image.fromarray(photo[: scale * height, : scale * width]).resize((width, height), Image.Resampling.BICUBIC)
    expected = np.asarray(whole)[5 : 5 + 48 // scale, 9 : 9 + 48 // scale]
    assert hr.shape == (1, 48, 48, 3) and np.abs((lr[0] + 1) * 127.5 - expected).max() <= 1.001
    for _ in range(2):
        assert np.isfinite([float(v) for v in model.step().values()]).all()
    shown = model.evaluate()
    assert (
        f"made {scale} times smaller" in shown["eval/protocol"] and f"{scale} pixels cut off" in shown["eval/protocol"]
    )
    assert np.isfinite([v for k, v in shown.items() if k.startswith("eval/") and not isinstance(v, str)]).all()
    assert model.sample(2).shape == (2, 96, 96, 3) and model.compare(1).shape == (1, 96, 4 * 96, 3)
    small = np.zeros((1, 5, 7, 3), np.uint8)
    assert model.exportable()["upscale"](small)["upscaled"].shape == (1, 5 * scale, 7 * scale, 3)
    model.close()


@pytest.mark.slow
def test_it_learns_in_seconds(context: Context) -> None:
    model = SRGAN(
        SRGANConfig(
            **TINY | {"width": 8, "batch": 4, "crop": 32}, pixel_optimizer=OptimizerConfig(lr=5e-3), batch_norm=False
        ),
        context,
    )
    before = model.evaluate()
    for _ in range(150):
        model.step()
    after = model.evaluate()
    assert after["eval/psnr_y"] > before["eval/psnr_y"] + 5 and after["eval/psnr_y"] > 15
    assert before["eval/bicubic_psnr_y"] == after["eval/bicubic_psnr_y"] > 20
    assert after["eval/gain_y"] == pytest.approx(after["eval/psnr_y"] - after["eval/bicubic_psnr_y"])
    assert all(word in after["eval/protocol"] for word in ("coffee, chelsea, flower", "BT.601", "border", "bicubic"))
    assert model.sample(5, seed=1).shape == (5, 48, 48, 3)
    np.testing.assert_array_equal(model.sample(2, seed=1), model.sample(2, seed=1))
    assert model.compare(2).shape == (1, 96, 192, 3)
    model.close()


def test_niqe_with_a_model_of_ones_own(context: Context, tmp_path: Path) -> None:
    own = fit_model([chelsea()])
    np.savez(tmp_path / "own.npz", mu_pris_param=own.mean, cov_pris_param=own.covariance)
    model = eager(SRGANConfig(**TINY | {"eval_side": 200, "validation": 0, "niqe": str(tmp_path / "own.npz")}), context)
    model.tests = model.tests[1:2]
    shown = model.evaluate()
    truth = model._test_pairs()[0][0][4:-4, 4:-4]
    assert truth.shape == (192, 192, 3) and shown["eval/truth_niqe"] == pytest.approx(niqe(truth, own))
    assert shown["eval/bicubic_niqe"] > shown["eval/truth_niqe"] and np.isfinite(shown["eval/niqe"])
    assert "NIQE with the model own.npz" in shown["eval/protocol"]
    (tmp_path / "own.npz").unlink()
    again = SRGAN(model.config, dataclasses.replace(context, folder=context.folder / "again"))
    natural_model.cache_clear()
    with pytest.raises(UsageError, match=r"own\.npz', which is no \.npz file"):
        again.step()
    assert again.clock == 0
    model.close(), again.close()


@pytest.mark.slow
def test_niqe_of_the_bundled_photographs() -> None:
    model, what = natural_model()
    assert "11 bundled photographs, not comparable with published values" in what
    small = Image.fromarray(chelsea()).resize((112, 75), Image.Resampling.BICUBIC)
    blurred = np.asarray(small.resize((451, 300), Image.Resampling.BICUBIC))
    assert niqe(chelsea(), model) < niqe(blurred, model) - 1  # type: ignore[operator]


def test_bfloat16_keeps_outputs_and_weights_in_float32(context: Context) -> None:
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        model = eager(SRGANConfig(**TINY, stage_one=1), context)
        for _ in range(2):
            assert np.isfinite([float(v) for v in model.step().values()]).all()
        assert model.G(tf.zeros((1, 4, 4, 3))).dtype == tf.float32 and model.G.layers[1].compute_dtype == "bfloat16"
        assert {v.dtype for v in model.G.variables} == {"float32"}
        model.close()
    finally:
        keras.mixed_precision.set_dtype_policy("float32")


def test_the_flags_name_presets_that_exist() -> None:
    said = set(re.findall(r"`([\w-]+)`", config_module.__doc__ or ""))
    presets = {name for name, preset in catalogue().presets.items() if preset.plugin == "srgan"}
    assert said == presets | {"srgan"}


# --- clear sentences --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"scale": 3, "crop": 64}, "crop is 64; it must be a multiple of the scale, 3"),
        ({"validation": -1}, "validation is -1"),
        ({"source": "photo"}, "did you mean 'photos'"),
        ({"source": "folder:"}, "source is 'folder:'"),
        ({"crop": 97}, "crop is 97; it must be a multiple of the scale, 4"),
        ({"ends": 4}, "ends is 4"),
        ({"batch": 1, "crop": 64}, "batch is 1 with a crop of 64"),
        ({"feature_layer": "conv5_5"}, "did you mean 'conv5_4'"),
        ({"feature_size": 3}, "feature_size is 3"),
    ],
)
def test_settings_that_cannot_work(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        SRGANConfig(**settings)
