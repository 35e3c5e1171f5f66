"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from core.disk import check_output, write_output, write_whole
from core.errors import UsageError


def half(file: Any) -> None:
    file.write(b"half of")
    raise KeyboardInterrupt


def test_what_fails_half_way_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "a"
    with pytest.raises(KeyboardInterrupt):
        write_whole(file, half)
    assert not list(tmp_path.iterdir())
    write_whole(file, lambda f: f.write(b"old"))
    with pytest.raises(KeyboardInterrupt):
        write_whole(file, half)
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]
    write_whole(file, lambda f: f.write(b"new"))
    assert file.read_bytes() == b"new"


def test_links_are_followed_and_pipes_stay_pipes(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "target")
    write_whole(tmp_path / "link", lambda f: f.write(b"x"))
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_bytes() == b"x"
    os.mkfifo(tmp_path / "pipe")
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    write_whole(tmp_path / "pipe", lambda f: f.write(b"y"))
    reader.join(10)
    assert read == [b"y"] and (tmp_path / "pipe").is_fifo()


def test_sentences_for_files_that_cannot_be(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none" / "a"):
        with pytest.raises(UsageError, match="cannot be written: it must be a file in a folder that exists"):
            check_output(path)
        with pytest.raises(UsageError, match="cannot be written: "):
            write_output(path, lambda f: f.write(b""))
    check_output(tmp_path / "a")
    assert not list(tmp_path.iterdir())
