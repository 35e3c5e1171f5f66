"""Text: what Python's interpreter says of itself, and the user's own files."""

from __future__ import annotations

from generative.data.registry import Opening, Texts, source
from generative.data.settings import TextConfig

__all__ = ["own_text", "python_docs", "python_topics"]


@source(
    "python-docs", kind="text", summary="what Python's help() says: docstrings of the standard library, and its topics"
)
def python_docs(config: TextConfig, opening: Opening) -> Texts:
    from generative.data.text import help_topics, standard_library, version

    return Texts([*help_topics(), *standard_library()], f"docstrings and help topics of Python {version()}")


@source("python-topics", kind="text", summary="the topics of Python's help(): its language reference")
def python_topics(config: TextConfig, opening: Opening) -> Texts:
    from generative.data.text import help_topics, version

    return Texts(help_topics(), f"help topics of Python {version()}")


@source("text:PATH", kind="text", summary="a text file of yours, or all text files below a folder", example="book.txt")
def own_text(config: TextConfig, opening: Opening) -> Texts:
    from generative.data.text import read_texts

    kind = "the folder" if opening.path.is_dir() else "the file"
    return Texts(read_texts(opening.path, opening.say), f"{kind} {opening.path.name!r}")
