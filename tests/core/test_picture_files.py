"""Pictures in the format of their file's name: what a format cannot hold is known before the work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms

from core.errors import UsageError
from core.picture_files import check_picture, format_of, save_picture

ENDINGS = (
    *(
        "png",
        "PNG",
        "jpg",
        "jpeg",
        "jfif",
        "jpe",
        "webp",
        "tif",
        "bmp",
        "gif",
        "ico",
        "tga",
        "ppm",
        "pgm",
        "jp2",
        "avif",
        "dds",
    ),
    *("sgi", "pcx", "qoi"),
)


def picture(mode: str, size: tuple[int, int] = (40, 24)) -> Image.Image:
    pixels = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), np.uint8)
    return Image.fromarray(pixels).convert(mode)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
def test_what_passes_the_check_is_written_with_its_size_and_alpha(tmp_path: Path, ending: str, mode: str) -> None:
    path, large = tmp_path / f"a.{ending}", picture(mode)
    try:
        lost = check_picture(path, large.size, mode)
    except UsageError as error:
        assert f".{ending.lower()}" in str(error) and "write .png" in str(error)
        assert ("alpha" not in str(error) or mode.endswith("A")) and ending.lower() != "png"
        return
    save_picture(large, path)
    with Image.open(path) as again:
        assert again.size == large.size and not lost
        assert not mode.endswith("A") or again.has_transparency_data


@pytest.mark.parametrize(
    ("name", "size", "most"),
    [
        ("a.webp", (16_384, 1), "16,383"),
        ("a.jfif", (1, 65_501), "65,500"),
        ("a.ico", (16, 257), "256"),
        ("a.icns", (40, 24), "icns"),
    ],
)
def test_limits_are_told_before_the_work(tmp_path: Path, name: str, size: tuple[int, int], most: str) -> None:
    with pytest.raises(UsageError, match=most):
        check_picture(tmp_path / name, size, "RGB")
    assert check_picture(tmp_path / "a.png", size, "RGB") == []


def test_the_limits_are_pillows_own(tmp_path: Path) -> None:
    for name, most in (("a.webp", 16_383), ("a.jpg", 65_500)):
        save_picture(Image.new("L", (most, 1)), tmp_path / name)
        with pytest.raises((OSError, ValueError)):
            save_picture(Image.new("L", (most + 1, 1)), tmp_path / name)


def test_a_colour_profile_goes_along_or_is_told(tmp_path: Path) -> None:
    large = picture("RGB")
    large.info["icc_profile"] = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for ending, kept in (("png", True), ("jpe", True), ("tif", True), ("bmp", False), ("ppm", False)):
        lines = check_picture(tmp_path / f"a.{ending}", large.size, "RGB", profile=True)
        assert bool(lines) != kept and all("colour profile is lost" in line for line in lines)
        save_picture(large, tmp_path / f"a.{ending}")
        with Image.open(tmp_path / f"a.{ending}") as again:
            assert (again.info.get("icc_profile") == large.info["icc_profile"]) == kept


@pytest.mark.parametrize("name", ["a.psd", "a.xyz", "a", "a.txt"])
def test_endings_that_are_no_format(name: str) -> None:
    with pytest.raises(UsageError, match="must name a picture format that can be written"):
        format_of(Path(name))
