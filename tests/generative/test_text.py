"""Text: what comes with the interpreter, the user's files, parts without a common paragraph, sentences for what is no text."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from core.errors import UsageError
from experiments.launcher.catalogue import catalogue
from generative.data import text as text_module
from generative.data.registry import find
from generative.data.settings import DataConfig, TextConfig
from generative.data.text import help_topics, open_text, paragraphs, standard_library, version


def book(count: int = 40) -> str:
    return "\n\n".join(f"Chapter {i} is\n" + " ".join(f"word{i}x{j}" for j in range(12)) for i in range(count))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    (tmp_path / "book.txt").write_text(book())
    return tmp_path / "book.txt"


def test_the_topics_of_help_are_a_text_with_topics_held_out() -> None:
    text, topics = open_text(TextConfig("python-topics")), dict(help_topics())
    assert version() in text.protocol and f"{len(text.train):,} characters" in text.protocol
    assert 0.08 < len(text.held_out) / (len(text.train) + len(text.held_out)) < 0.2  # by the last topic too many
    train, held_out = ({" ".join(p.split()) for p in paragraphs(part)} for part in (text.train, text.held_out))
    assert len(held_out) > 100 and not train & held_out
    whole = sum(paragraphs(topic)[-1] in text.held_out for topic in topics.values())
    assert 2 <= whole < len(topics) / 3


def test_the_standard_library_is_parsed_and_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "json").mkdir()
    (tmp_path / "json" / "test").mkdir()
    (tmp_path / "json" / "test" / "a.py").write_text('"""A test."""')
    (tmp_path / "json" / "__init__.py").write_text(
        '"""Notes."""\nraise SystemExit\nclass A:\n    """First."""\n    def f(self):\n        """Second."""\n'
        'if True:\n    def g():\n        """Notes."""\n'
    )
    (tmp_path / "this.py").write_text('"""Left out."""')
    (tmp_path / "abc.py").write_text("x = 1\n")
    monkeypatch.setattr(text_module, "LIBRARY", tmp_path)
    assert standard_library.__wrapped__() == [("module json", "Notes.\n\nFirst.\n\nSecond.")]


@pytest.mark.slow
def test_docstrings_are_those_of_the_modules() -> None:
    topics = dict(standard_library())
    assert len(topics) > 150 and sum(map(len, topics.values())) > 1_000_000
    import textwrap as module

    for thing in (module, module.TextWrapper, module.dedent):
        said = inspect.getdoc(thing)
        assert said is not None and said in topics["module textwrap"]


def test_a_file_is_cut_into_pieces_and_the_same_ones_are_always_held_out(file: Path) -> None:
    first, again = (open_text(TextConfig(f"text:{file}")) for _ in range(2))
    assert (first.train, first.held_out) == (again.train, again.held_out)
    parts = set(paragraphs(book()))
    train, held_out = set(paragraphs(first.train)), set(paragraphs(first.held_out))
    assert train | held_out == parts and not train & held_out and 2 <= len(held_out) <= 8
    more = open_text(TextConfig(f"text:{file}", held_out=0.4))
    assert held_out < set(paragraphs(more.held_out))


def test_a_folder_has_a_topic_a_file_and_leaves_out_what_is_no_text(tmp_path: Path) -> None:
    for i in range(25):
        (tmp_path / f"{i}.txt").write_text("\n\n".join(f"file {i} part {j} " + "abc " * 9 for j in range(3)))
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\0\0")
    (tmp_path / "empty.txt").touch()
    said: list[str] = []
    text = open_text(TextConfig(f"text:{tmp_path}"), said.append)
    assert said == [f"2 files in {tmp_path} are empty or no UTF-8 text and are left out: empty.txt, picture.png"]
    held_out = {part.split(" part")[0] for part in paragraphs(text.held_out)}
    assert 2 <= len(held_out) <= 4 and not any(f"{name} part" in text.train for name in held_out)


def test_paragraphs_that_both_parts_have_are_measured_in_neither(tmp_path: Path) -> None:
    """A refrain after every paragraph, once with other spaces."""
    verses = [f"verse {i} " + "la " * 20 + "\n\nThe\nrefrain" + " " * (i % 2) + " is here" for i in range(40)]
    (tmp_path / "song.txt").write_text("\n\n".join(verses))
    text = open_text(TextConfig(f"text:{tmp_path / 'song.txt'}"))
    assert "refrain" in text.train and "refrain" not in text.held_out and "verse" in text.held_out


def test_line_breaks_of_all_kinds_and_a_byte_order_mark(tmp_path: Path, file: Path) -> None:
    (tmp_path / "dos.txt").write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\n", b"\r\n"))
    one, other = (open_text(TextConfig(f"text:{tmp_path / name}")) for name in ("book.txt", "dos.txt"))
    assert sorted(paragraphs(one.train + "\n\n" + one.held_out)) == sorted(
        paragraphs(other.train + "\n\n" + other.held_out)
    )


def test_a_text_without_empty_lines_is_cut_at_its_lines(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("\n".join(f"line {i} " + "abc " * 9 for i in range(60)))
    text = open_text(TextConfig(f"text:{tmp_path / 'a.txt'}"))
    train, held_out = text.train.split("\n"), text.held_out.split("\n")
    assert len(train) + len(held_out) == 60 and 6 <= len(held_out) <= 12 and not {*train} & {*held_out}


BAD = {
    "missing": (None, "which is not there"),
    "empty": (b" \n", "which is empty"),
    "binary": (b"abc\0def" * 400, "which is no text: its byte 3 is 0"),
    "of another encoding": ("Grüße ".encode("latin-1") * 400, "which is no UTF-8 text (byte 2); convert it"),
    "too short": (b"a few words", "a text of 11 characters; at least 1,000 are needed"),
    "of one line": (b"abc " * 400, "at least 10 are needed, break its lines"),
    "of one paragraph again and again": (b"abc def ghi\n\n" * 400, "held-out paragraphs all stand in the rest too"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_file_that_cannot_be_learned_from_gets_a_sentence(cli, tmp_path: Path, kind: str) -> None:
    raw, sentence = BAD[kind]
    if raw is not None:
        (tmp_path / "a.txt").write_bytes(raw)
    source = f"text:{tmp_path / 'a.txt'}"
    code, _, err = cli("run", "char-rnn", "--model.data.source", source, "--run.folder", tmp_path / "runs")
    assert code == 2 and sentence in " ".join(err.split()), err
    with pytest.raises(UsageError) as caught:
        open_text(TextConfig(source))
    assert sentence in str(caught.value) and "\n" not in str(caught.value)


def test_a_folder_without_text_gets_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "a.bin").write_bytes(b"\0")
    with pytest.raises(UsageError, match="which holds no text file"):
        open_text(TextConfig(f"text:{tmp_path}"))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: TextConfig("mnist5k"),
            "data.source is 'mnist5k', which is no text; choose from python-docs, python-topics",
        ),
        (lambda: TextConfig("captioned-shapes"), "'captioned-shapes', which is no text"),
        (lambda: TextConfig("python-doc"), "data.source is 'python-doc'; did you mean 'python-docs'?"),
        (lambda: TextConfig("text"), "data.source is 'text'; did you mean 'text:PATH'?"),
        (lambda: TextConfig("text:"), "after the colon comes a path, e.g. text:book.txt"),
        (lambda: TextConfig("python-docs:x"), "nothing follows python-docs"),
        (lambda: TextConfig(held_out=0.6), "data.held_out is 0.6; it must be above 0 and at most 0.5"),
        (lambda: DataConfig("python-docs"), "data.source is 'python-docs', which is text"),
        (lambda: find("python-docs", "captions"), "data.source is 'python-docs', which is text"),
    ],
)
def test_sources_of_another_kind_get_a_sentence(make, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert sentence in str(caught.value)


def test_a_run_knows_its_text_again_and_no_other(file: Path, tmp_path: Path) -> None:
    config, files = TextConfig(f"text:{file}"), tmp_path / "files"
    first = open_text(config, folder=files)
    file.rename(tmp_path / "moved.txt")
    gone = open_text(config, folder=files)
    assert not gone.there and gone.protocol == first.protocol
    with pytest.raises(UsageError, match="which is not there"):
        gone.train  # noqa: B018 - asking is the point
    moved = open_text(TextConfig(f"text:{tmp_path / 'moved.txt'}"), folder=files)
    assert moved.there and moved.train == first.train
    (tmp_path / "moved.txt").write_text(book(41))
    changed = open_text(TextConfig(f"text:{tmp_path / 'moved.txt'}"), folder=files)
    with pytest.raises(UsageError, match=r"is not the text with which the run began .* its checksum differs"):
        changed.held_out  # noqa: B018


def test_what_lists_sources_of_pictures_says_that_text_is_none(cli, tmp_path: Path) -> None:
    code, out, err = cli("list")
    assert code == 0 and " text: a text file of yours" in out and "text:PATH" in out, err
    code, _, err = cli("score", "python-topics", "digits")
    assert code == 2 and "python-topics has text, no pictures" in " ".join(err.split())
    assert {"char-rnn"} <= catalogue().plugins.keys()
