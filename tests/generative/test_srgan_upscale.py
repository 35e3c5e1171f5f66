"""Enlarging pictures: tiles without seams, every kind of picture, files and folders, blended networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms
from skimage.data import chelsea

from core.errors import UsageError
from core.layers.srgan import radius, rrdb, srresnet
from core.picture_files import save_picture
from generative.srgan.generator import blend, load_generator
from generative.srgan.upscale import Upscaler, jobs_of, upscale_picture

TINY = "--model.blocks 1 --model.width 4 --model.ends 3 --model.d-width 1 --model.crop 16 --model.batch 2 --model.eval-side 48"


def noisy(G, scale: float = 1.0):
    """Weights that make everything within reach matter."""
    rng = np.random.default_rng(0)
    for v in G.trainable_variables:
        if "kernel" in v.path:
            v.assign(rng.normal(0, scale * np.sqrt(1 / np.prod(v.shape[:3])), v.shape))
    return G


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A finished run of both stages, a few updates long."""
    from experiments.__main__ import main

    root = tmp_path_factory.mktemp("runs")
    stages = "--model.stage-one 2 --model.stage-two 2 --run.until 4 --run.save-every 2 --run.eval-every 2"
    assert main(["run", "srgan", *TINY.split(), *stages.split(), "--run.folder", str(root)]) == 0
    (config,) = root.glob("*/*/*/config.yaml")
    return config.parent


@pytest.mark.parametrize("over_bicubic", [False, True])
@pytest.mark.parametrize(
    ("size", "scale"), [((60, 83), 4), ((41, 40), 4), ((17, 100), 4), ((41, 40), 2), ((41, 40), 3), ((41, 40), 8)]
)
def test_tiles_are_the_whole(size: tuple[int, int], scale: int, over_bicubic: bool) -> None:
    G = noisy(srresnet(2, 8, ends=5, scale=scale, over_bicubic=over_bicubic), 0.2 if over_bicubic else 1)
    picture = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    whole = Upscaler(G, scale, window=0)(picture)
    tiled = Upscaler(G, scale, window=2 * radius(G) + 12)
    assert tiled.overlap == radius(G) and tiled.count(*size) > 3
    difference = np.abs(tiled(picture).astype(int) - whole)
    assert difference.max() <= 1 and whole.std() > 10
    seamed = Upscaler(G, scale, window=16, overlap=0)(picture)
    assert np.abs(seamed.astype(int) - whole).max() > 1, "the overlap matters"


def test_parts_cover_every_pixel_once() -> None:
    upscaler = Upscaler(srresnet(1, 2, ends=3), 4, window=24, overlap=4)
    picture = np.zeros((57, 90, 3), np.uint8)
    covered = np.zeros((4 * 57, 4 * 90), int)
    parts = list(upscaler.parts(picture))
    for top, left, part in parts:
        covered[top : top + part.shape[0], left : left + part.shape[1]] += 1
    assert (covered == 1).all() and len(parts) == upscaler.count(57, 90)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [2, 3, 8])
def test_the_verb_at_other_scales(cli, tmp_path: Path, scale: int) -> None:
    settings = f"--model.scale {scale} --model.crop 24 --model.stage-one 1 --model.stage-two 0 --run.until 1 --model.eval-side 96"
    assert cli("run", "srgan", *TINY.split(), *settings.split(), "--run.folder", tmp_path)[0] == 0
    (config,) = tmp_path.glob("*/*/*/config.yaml")
    save(tmp_path / "a.png", "LA")
    code, _, err = cli("upscale", config.parent, tmp_path / "a.png", "-o", tmp_path / "b.png", "--window", 16)
    assert code == 0 and f"{16 * scale}x{12 * scale}" in err
    with Image.open(tmp_path / "b.png") as large:
        assert large.size == (16 * scale, 12 * scale) and large.mode == "LA"


def test_rrdb_reaches_too_far_for_its_full_overlap() -> None:
    G = rrdb(4, 2, growth=1)
    assert radius(G) > 60 and Upscaler(G, 4).overlap == 48


def test_grey_alpha_orientation_and_profile() -> None:
    upscaler = Upscaler(srresnet(1, 2, ends=3), 4)
    rgb = Image.fromarray(chelsea()[:20, :30])
    for mode, expected in (
        ("RGB", "RGB"),
        ("L", "L"),
        ("RGBA", "RGBA"),
        ("LA", "LA"),
        ("P", "RGB"),
        ("CMYK", "RGB"),
        ("1", "L"),
    ):
        large = upscale_picture(upscaler, rgb.convert(mode))
        assert large.mode == expected and large.size == (120, 80), mode
    holed = rgb.convert("RGBA")
    holed.putalpha(Image.linear_gradient("L").resize(holed.size))
    alpha = np.asarray(upscale_picture(upscaler, holed).getchannel("A"), int)
    bicubic = holed.getchannel("A").resize((120, 80), Image.Resampling.BICUBIC)
    np.testing.assert_array_equal(alpha, np.asarray(bicubic))
    exif = rgb.getexif()
    exif[0x0112] = 6
    turned = rgb.copy()
    turned.info["exif"] = exif.tobytes()
    turned.getexif()[0x0112] = 6
    large = upscale_picture(upscaler, turned)
    assert large.size == (80, 120)
    upright = upscale_picture(upscaler, rgb.transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(np.asarray(large), np.asarray(upright))
    rgb.info["icc_profile"] = b"profile"
    assert upscale_picture(upscaler, rgb).info["icc_profile"] == b"profile"
    inks = rgb.convert("CMYK")
    inks.info["icc_profile"] = b"profile of inks"
    assert "icc_profile" not in upscale_picture(upscaler, inks).info
    shares: list[float] = []
    upscale_picture(Upscaler(srresnet(1, 2, ends=3), 4, 16, 4), rgb, shares.append)
    assert shares == sorted(shares) and shares[-1] == 1 and len(shares) > 2


def test_the_verb_on_a_file_and_a_folder(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    Image.fromarray(chelsea()[:20, :30]).save(tmp_path / "in" / "a.png")
    Image.fromarray(chelsea()[:20, :30, 0]).save(tmp_path / "in" / "b.jpg")
    (tmp_path / "in" / "c.png").write_text("no picture")
    code, _, err = cli("upscale", run, tmp_path / "in" / "a.png", "-o", tmp_path / "big.png")
    assert code == 0 and "120x80" in err
    big = np.asarray(Image.open(tmp_path / "big.png"))
    np.testing.assert_array_equal(big, Upscaler.of_run(run)(chelsea()[:20, :30]))
    code, _, err = cli("upscale", run, tmp_path / "in", "-o", tmp_path / "out", "--window", 24, "--overlap", 8)
    assert code == 0 and "c.png cannot be enlarged" in err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "b.png"}
    assert Image.open(tmp_path / "out" / "b.png").mode == "L"


def save(path: Path, mode: str = "RGB", **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(chelsea()[:12, :16]).convert(mode).save(path, **more)
    return path


def test_a_folder_with_folders_links_and_what_is_no_picture(cli, run: Path, tmp_path: Path) -> None:
    for name in ("a.png", "sub/a.png", "sub/deep/b.jpg", ".hidden/c.png", "other/a.png"):
        save(tmp_path / "in" / name)
    (tmp_path / "in" / "linked").symlink_to(tmp_path / "elsewhere")
    save(tmp_path / "elsewhere" / "d.png")
    (tmp_path / "in" / "e.heic").write_bytes(b"ftypheic")
    out = tmp_path / "in" / "large"
    expected = ["a.png", "linked/d.png", "other/a.png", "sub/a.png", "sub/deep/b.png"]
    for _ in range(2):  # the second time the folder holds what the first wrote
        code, _, err = cli("upscale", run, tmp_path / "in", "-o", out)
        assert code == 0 and "1 hidden files" in err and "e.heic" in err
        assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.png")) == expected


def film(path: Path, count: int = 3, **more: Any) -> list[np.ndarray]:
    frames = [Image.fromarray(np.ascontiguousarray(chelsea()[20 * i : 20 * i + 12, :16])) for i in range(count)]
    frames[0].save(path, save_all=True, append_images=frames[1:], **more)
    return [np.asarray(frame) for frame in frames]


@pytest.mark.parametrize("name", ["a.gif", "a.webp", "a.png", "a.tif"])
def test_films_and_pages_are_enlarged_frame_by_frame(cli, run: Path, tmp_path: Path, name: str) -> None:
    film(tmp_path / name, **({} if name == "a.tif" else {"duration": [120, 200, 80], "loop": 2}))
    code, _, err = cli("upscale", run, tmp_path / name, "-o", tmp_path / f"large-{name}")
    assert code == 0 and "64x48, 3 frames or pages" in " ".join(err.split())
    upscaler = Upscaler.of_run(run)
    with Image.open(tmp_path / name) as small, Image.open(tmp_path / f"large-{name}") as large:
        assert large.n_frames == 3  # type: ignore[attr-defined]
        for i in range(3):
            small.seek(i), large.seek(i)
            expected = upscaler(np.asarray(small.convert("RGB"))).astype(int)
            difference = np.abs(np.asarray(large.convert("RGB")).astype(int) - expected)
            assert difference.mean() < {"a.gif": 8, "a.webp": 8, "a.png": 1e-9, "a.tif": 1e-9}[name]
            if name != "a.tif":
                assert large.info["duration"] == [120, 200, 80][i] and large.info["loop"] == 2


def test_films_with_holes_and_pages_of_different_sizes(cli, run: Path, tmp_path: Path) -> None:
    frames = [Image.fromarray(chelsea()[:8, :8]).convert("RGBA") for _ in range(2)]
    frames[0].paste((0, 0, 0, 0), (0, 0, 2, 8))
    frames[1].paste((0, 0, 0, 0), (0, 0, 4, 8))
    for name in ("a.gif", "a.png", "a.webp"):
        more = {"disposal": 2} if name == "a.gif" else {}
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100, **more)
        assert cli("upscale", run, tmp_path / name, "-o", tmp_path / f"large-{name}")[0] == 0
        with Image.open(tmp_path / f"large-{name}") as large:
            for i, hole in ((0, 2), (1, 4)):
                large.seek(i)
                alpha = np.asarray(large.convert("RGBA"))[..., 3]
                assert (alpha[:, : 4 * hole - 4] == 0).all() and (alpha[:, 4 * hole + 4 :] == 255).all()
    pages = [Image.fromarray(chelsea()[:8, :12]), Image.fromarray(chelsea()[:10, :6, 0])]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert cli("upscale", run, tmp_path / "a.tif", "-o", tmp_path / "b.tif")[0] == 0
    with Image.open(tmp_path / "b.tif") as large:
        assert large.size == (48, 32) and large.mode == "RGB"
        large.seek(1)
        assert large.size == (24, 40) and large.mode == "L"


def test_frames_that_a_format_cannot_hold_are_said(cli, run: Path, tmp_path: Path) -> None:
    film(tmp_path / "a.gif")
    for name, said in (("out.jpg", True), ("out.webp", False)):
        code, _, err = cli("upscale", run, tmp_path / "a.gif", "-o", tmp_path / name)
        sentence = "a.gif: only the first of its 3 frames or pages is enlarged, .jpg holds one"
        assert code == 0 and (sentence in " ".join(err.split())) == said
    Image.fromarray(chelsea()[:12, :16]).save(tmp_path / "a.mpo")
    code, _, err = cli("upscale", run, tmp_path / "a.mpo", "-o", tmp_path / "out.png")
    assert code == 0 and "pages" not in err


def test_films_in_folders_keep_their_format(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "in" / "sub").mkdir(parents=True)
    film(tmp_path / "in" / "sub" / "a.gif")
    film(tmp_path / "in" / "b.tif")
    save(tmp_path / "in" / "c.gif")
    assert cli("upscale", run, tmp_path / "in", "-o", tmp_path / "out")[0] == 0
    found = sorted(p.relative_to(tmp_path / "out").as_posix() for p in (tmp_path / "out").rglob("*.*"))
    assert found == ["b.tif", "c.png", "sub/a.gif"]


def test_a_limit_on_pixels_that_a_flag_lifts(cli, run: Path, tmp_path: Path) -> None:
    save(tmp_path / "in" / "a.png")  # 16x12 become 64x48, 3,072 pixels
    film(tmp_path / "in" / "b.gif")
    for name, pixels in (("a.png", "3,072 pixels (64x48)"), ("b.gif", "9,216 pixels (64x48 and 3 frames)")):
        code, _, err = cli("upscale", run, tmp_path / "in" / name, "-o", tmp_path / name, "--max-pixels", 3071)
        text = " ".join(err.split())
        assert code == 2 and f"would have {pixels}; --max-pixels is 3,071, raise it, or lift the limit with 0" in text
        assert not (tmp_path / name).exists()
    for most in (3072, 0):
        assert cli("upscale", run, tmp_path / "in" / "a.png", "-o", tmp_path / "a.png", "--max-pixels", most)[0] == 0
    code, _, err = cli("upscale", run, tmp_path / "in", "-o", tmp_path / "out", "--max-pixels", 3072)
    assert code == 0 and "b.gif cannot be enlarged" in " ".join(err.split())
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["a.png"]


@pytest.mark.parametrize(("mode", "kept"), [("P", True), ("RGB", True), ("L", True), ("1", False), ("CMYK", False)])
def test_colour_profiles_are_kept_or_told(cli, run: Path, tmp_path: Path, mode: str, kept: bool) -> None:
    icc = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    picture = save(tmp_path / "a.tif", mode, icc_profile=icc if mode != "1" else None)
    assert cli("upscale", run, picture, "-o", tmp_path / "b.png")[0] == 0
    with Image.open(tmp_path / "b.png") as large:
        assert (large.info.get("icc_profile") == icc) == kept
    code, _, err = cli("upscale", run, picture, "-o", tmp_path / "b.bmp")
    assert code == 0 and ("the colour profile is lost, .bmp cannot hold it" in err) == kept


@pytest.mark.parametrize(
    ("size", "exif", "name", "words"),
    [
        ((65, 20), 1, "a.ico", ".ico holds at most 256"),
        ((4096, 1), 1, "a.webp", ".webp holds at most 16,383"),
        ((1, 16_376), 6, "a.JPG", "would be 65504x4; .jpg holds at most 65,500"),
        ((8, 8), 1, "a.icns", ".icns cannot hold"),
        ((8, 8), 1, "a.xbm", ".xbm cannot hold"),
    ],
)
def test_what_a_format_cannot_hold_is_told_before_the_network_is_loaded(
    cli, tmp_path: Path, size: tuple[int, int], exif: int, name: str, words: str
) -> None:
    picture = Image.new("RGB", size)
    about = picture.getexif()
    about[0x0112] = exif  # turned: width and height change places
    picture.save(tmp_path / "a.png", exif=about)
    (tmp_path / "config.yaml").write_text("experiment: srgan\nmodel: {scale: 4}")
    code, _, err = cli("upscale", tmp_path, tmp_path / "a.png", "-o", tmp_path / name)
    assert code == 2 and words in " ".join(err.split()) and not (tmp_path / name).exists()


def test_nothing_of_the_users_is_overwritten_by_accident(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    picture = tmp_path / "in" / "a.png"
    Image.fromarray(chelsea()[:8, :8]).save(picture)
    (tmp_path / "link.png").symlink_to(picture)
    for target in (picture, tmp_path / "in", tmp_path / "link.png"):
        with pytest.raises(UsageError, match=r"is the picture .* itself"):
            jobs_of(picture, target)
    for name in ("a.jpg", "a.webp", "a.jpg.png"):
        Image.fromarray(chelsea()[:8, :8]).save(tmp_path / "in" / name)
    targets = [out.name for _, out in jobs_of(tmp_path / "in", tmp_path / "out")]
    assert targets == ["a.jpg.png", "a.jpg.png.png", "a.png.png", "a.webp.png"]
    (tmp_path / "file").touch()
    for target in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match="cannot be made"):
            jobs_of(tmp_path / "in", target)


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, picture = tmp_path / "big.png", Image.fromarray(chelsea()[:8, :8])
    save_picture(picture, out)

    def full(file: Any, *_: Any) -> None:
        file.write(b"half")
        raise OSError("no space left")

    old = out.read_bytes()
    monkeypatch.setattr(Image.Image, "save", lambda self, file, *rest, **named: full(file))
    with pytest.raises(OSError, match="no space left"):
        save_picture(picture, out)
    assert out.read_bytes() == old and list(tmp_path.iterdir()) == [out]


def test_broken_exif_is_the_matter_of_one_picture(cli, run: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name, exif in (("a", b""), ("b", b"MM\0*"), ("c", b"")):  # b's block ends after its header
        Image.fromarray(chelsea()[:8, :8]).save(tmp_path / "in" / f"{name}.png", exif=exif)
    code, _, err = cli("upscale", run, tmp_path / "in", "-o", tmp_path / "out")
    assert code == 0 and "b.png cannot be enlarged" in err
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"a.png", "c.png"}


def test_a_run_folder_whose_settings_are_gone(run: Path, tmp_path: Path) -> None:
    for content in (b"experiment: srgan", b"experiment: srgan\nmodel:", b"experiment: \xff"):
        (tmp_path / "config.yaml").write_bytes(content)
        with pytest.raises(UsageError, match="is no run folder"):
            Upscaler.of_run(tmp_path)


def test_settings_of_wrong_types_are_one_sentence(tmp_path: Path) -> None:
    for settings in ("width: x", "crop: [1]", "pixel_weight: null", "&a [*a]"):
        (tmp_path / "config.yaml").write_text(f"experiment: srgan\nmodel: {{{settings}}}")
        with pytest.raises(UsageError) as caught:
            Upscaler.of_run(tmp_path)
        assert "config.yaml" in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["out.psd", "out.xyz", "out"])
def test_what_pillow_cannot_write_is_refused_before_any_work(tmp_path: Path, name: str) -> None:
    Image.fromarray(chelsea()[:20, :30]).save(tmp_path / "p.png")
    with pytest.raises(UsageError, match="must name a picture format that can be written"):
        jobs_of(tmp_path / "p.png", tmp_path / name)
    for good in ("a.png", "a.JPG", "a.webp", "a.tif"):
        assert jobs_of(tmp_path / "p.png", tmp_path / good) == [(tmp_path / "p.png", tmp_path / good)]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["RUN", "none.png", "-o", "a.png"], "there is no picture 'none.png'"),
        (["RUN", "PICTURE", "-o", "a.xyz"], "its ending must name a picture format"),
        (["RUN", "PICTURE", "-o", "none/a.png"], "no folder 'none'"),
        (["RUN", "PICTURE", "-o", "TMP/a.png", "--weights", "bset"], "did you mean 'best'"),
        (["RUN", "PICTURE", "-o", "TMP/a.png", "--toward", "RUN", "--alpha", "2"], "--alpha is 2"),
        (["RUN", "PICTURE", "-o", "TMP/a.png", "--window", "8", "--overlap", "4"], "more than twice its overlap"),
        (["TMP", "PICTURE", "-o", "TMP/a.png"], "is no run folder"),
        (["RUN", "ALPHA", "-o", "TMP/a.jpg"], "alpha channel, which .jpg cannot hold"),
        (
            ["RUN", "PICTURE", "-o", "TMP/a.png", "--denoise", "0.5"],
            "--denoise is 0.5, but the run was trained on bicubic",
        ),
        (["RUN", "PICTURE", "-o", "TMP/a.png", "--denoise", "2"], "--denoise is 2; it must lie in [0, 1]"),
        (["RUN", "PICTURE", "-o", "TMP/a.png", "--max-pixels", "-1"], "--max-pixels is -1"),
        (["RUN", "TMP/empty", "-o", "TMP/b"], "holds no picture"),
        (["RUN", "TMP/bad.png", "-o", "TMP/b.png"], "none of the 1 files"),
    ],
)
def test_clear_sentences(cli, run: Path, tmp_path: Path, arguments: list[str], sentence: str) -> None:
    picture, alpha = tmp_path / "p.png", tmp_path / "alpha.png"
    Image.fromarray(chelsea()[:20, :30]).save(picture)
    Image.fromarray(chelsea()[:20, :30]).convert("RGBA").save(alpha)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_text("x")
    places = {"RUN": run, "PICTURE": picture, "ALPHA": alpha}
    argv = [places.get(a, a.replace("TMP", str(tmp_path))) for a in arguments]
    code, _, err = cli("upscale", *argv)
    assert code == 2 and sentence in " ".join(err.split())


def test_network_interpolation(run: Path) -> None:
    first, last = sorted((run / "checkpoints").glob("0*"))[0], sorted((run / "checkpoints").glob("0*"))[-1]
    picture = chelsea()[:20, :30]
    at_first, at_last = Upscaler.of_run(first)(picture), Upscaler.of_run(last)(picture)
    assert not np.array_equal(at_first, at_last)
    for alpha, expected in ((0.0, at_first), (1.0, at_last)):
        np.testing.assert_array_equal(Upscaler.of_run(first, toward=last, alpha=alpha)(picture), expected)
    a, b = load_generator(first)[0], load_generator(last)[0]
    before = [np.array(v) for v in a.variables]
    blend(a, b, 0.25)
    for mine, one, two in zip(a.variables, before, b.variables, strict=True):
        np.testing.assert_allclose(mine, 0.75 * one + 0.25 * np.array(two), atol=1e-6)
    with pytest.raises(UsageError, match="different shapes"):
        blend(a, srresnet(1, 2), 0.5)


def test_best_and_newest(run: Path) -> None:
    newest, best = (load_generator(run, weights)[2] for weights in ("newest", "best"))
    assert newest.startswith("000000000004") and best.startswith("best-")  # saved before and after the last evaluation
