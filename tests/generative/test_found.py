"""The user's folder: links, hidden files, formats without a decoder, pages, pictures that cannot be used: counted and said."""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from generative.data.found import files_below, listed, pictures_below


def save(path: Path, shade: int = 100) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((12, 10, 3), shade, np.uint8)).save(path)
    return path


def names(root: Path) -> tuple[list[str], list[str]]:
    said: list[str] = []
    good, _ = pictures_below(root, said.append)
    return [path.relative_to(root).as_posix() for path in good], said


def test_linked_folders_are_followed_once_and_circles_end(tmp_path: Path) -> None:
    save(tmp_path / "elsewhere" / "a.png")
    save(tmp_path / "root" / "z" / "own.png")
    for link, target in (("class", "elsewhere"), ("same", "elsewhere"), ("a-before-z", "root/z"), ("up", "root")):
        (tmp_path / "root" / link).symlink_to(tmp_path / target)
    (tmp_path / "elsewhere" / "back").symlink_to(tmp_path / "root")
    (tmp_path / "root" / "lost").symlink_to(tmp_path / "nowhere")
    (tmp_path / "root" / "itself").symlink_to(tmp_path / "root" / "itself")
    (tmp_path / "root" / "one.png").symlink_to(tmp_path / "elsewhere" / "a.png")
    found, said = names(tmp_path / "root")
    assert found == ["class/a.png", "one.png", "z/own.png"], "own folders keep their names"
    assert (
        len(said) == 1 and "2 folders or links" in said[0] and "itself (a link that leads nowhere), lost (a" in said[0]
    )


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    for name in ("b.png", "a.png", ".thumbnails/a.png", "sub/._a.png", "sub/c.png"):
        save(tmp_path / name)
    for name in ("x.HEIC", "sub/y.cr2", "notes.txt", ".DS_Store"):
        (tmp_path / name).write_bytes(b"ftypheic")
    found, said = names(tmp_path)
    assert found == ["a.png", "b.png", "sub/c.png"] and len(said) == 2
    assert "2 hidden" in said[0] and ".thumbnails" in said[0] and "sub/._a.png" in said[0] and "DS_Store" not in said[0]
    assert "2 pictures" in said[1] and "(.cr2, .heic)" in said[1] and "x.HEIC" in said[1] and "convert them" in said[1]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads every folder")
def test_folders_that_cannot_be_listed_are_said(tmp_path: Path) -> None:
    save(tmp_path / "a.png")
    (tmp_path / "locked").mkdir(mode=0)
    assert "locked (Permission denied)" in names(tmp_path)[1][0]


def test_only_the_first_page_is_used_and_said(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 8), shade, np.uint8)) for shade in (0, 100, 200)]
    for name in ("film.gif", "pages.tif", "film.webp", "film.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "previewed.mpo", save_all=True, append_images=frames[1:])
    frames[0].save(tmp_path / "still.gif")
    found, said = names(tmp_path)
    assert len(found) == 6
    assert said == [
        f"of 4 files in {tmp_path} only the first frame or page is used: film.gif, film.png, film.webp, pages.tif"
    ]


def test_pixels_of_no_known_range_are_left_out(tmp_path: Path) -> None:
    Image.fromarray(np.arange(256, dtype=np.int32).reshape(16, 16)).save(tmp_path / "whole.tif")
    Image.fromarray(np.zeros((16, 16), np.float32)).save(tmp_path / "real.tif")
    Image.fromarray(np.full((16, 16), 65535, np.uint16)).save(tmp_path / "deep.tif")
    (tmp_path / "deep.pgm").write_bytes(b"P5 2 2 65535\n" + b"\xff\xff\0\0" * 2)
    found, said = names(tmp_path)
    assert found == ["deep.pgm", "deep.tif"] and len(said) == 1
    assert (
        "real.tif (its pixels are floating-point" in said[0] and "whole.tif (its pixels are 32-bit integers" in said[0]
    )


def test_a_picture_that_is_too_large_is_named_with_a_way_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / "a.png")
    Image.new("L", (30, 30)).save(tmp_path / "map.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 400)
    assert "map.png (more than 800 pixels, which are read at most: shrink it" in names(tmp_path)[1][0]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    file = save(tmp_path / "a.png")
    with pytest.raises(UsageError, match=r"names .*a\.png', which is a file; it must be a folder"):
        files_below(file)
    with pytest.raises(UsageError, match=r"test names the folder .* is not there"):
        files_below(tmp_path / "b", "test")


def test_a_registered_decoder_takes_its_format_out_of_the_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    Image.new("L", (4, 4)).save(buffer, "PNG")
    (tmp_path / "a.heic").write_bytes(buffer.getvalue())
    monkeypatch.setitem(Image.EXTENSION, ".heic", "PNG")
    assert names(tmp_path) == (["a.heic"], [])


def test_lists_say_how_many_more() -> None:
    assert listed(list("abcdefgh")) == "a, b, c, d, e and 3 more"
