"""Texts as lists of words, and their numbers."""

from __future__ import annotations

import collections
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from core.tl.errors import require
from core.tl.nlp.text import as_bytes, as_text

__all__ = [
    "build_reverse_dictionary",
    "build_vocab",
    "build_words_dataset",
    "read_analogies_file",
    "read_words",
    "save_vocab",
    "simple_read_words",
    "word_ids_to_words",
    "words_to_word_ids",
]

logger = logging.getLogger(__name__)


def simple_read_words(filename: str = "nietzsche.txt") -> str:
    """The whole text of a file.

    Args:
        filename: the file.

    Returns:
        Its text.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "text.txt")
    ...     _ = open(path, "w").write("to be")
    ...     simple_read_words(path)
    'to be'
    """
    with open(filename, encoding="utf-8") as f:
        return f.read()


def read_words(filename: str = "nietzsche.txt", replace: Sequence[str] | None = None) -> list[str]:
    r"""The words of a file, split at white space.

    Args:
        filename: the file.
        replace: (old, new), replaced before; ``["\n", "<eos>"]`` without.

    Returns:
        List of words.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "text.txt")
    ...     _ = open(path, "w").write("to be \n or")
    ...     read_words(path)
    ['to', 'be', '<eos>', 'or']
    """
    old, new = ("\n", "<eos>") if replace is None else replace
    with open(filename, encoding="utf-8", newline="") as f:
        return f.read().replace(old, new).split()


def read_analogies_file(eval_file: str = "questions-words.txt", word2id: Mapping[Any, int] | None = None) -> np.ndarray:
    r"""Questions "a is to b as c is to d" as word ids. Lines with an unknown word are left out.

    Args:
        eval_file: four words per line; lines that begin with ":" are headings.
        word2id: word -> id; words may be str or bytes, in lower case.

    Returns:
        int32 [questions, 4].

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "questions.txt")
    ...     _ = open(path, "w").write(": capitals\nAthens Greece Oslo Norway\nAthens Greece Oslo X\n")
    ...     read_analogies_file(path, {"athens": 0, "greece": 1, "oslo": 2, "norway": 3}).tolist()
    [[0, 1, 2, 3]]
    """
    ids = {as_bytes(word): i for word, i in (word2id or {}).items()}
    questions, skipped = [], 0
    with open(eval_file, "rb") as lines:
        for line in lines:
            if line.startswith(b":"):
                continue
            question = [ids.get(word.strip()) for word in line.strip().lower().split(b" ")]
            if None in question or len(question) != 4:
                skipped += 1
            else:
                questions.append(question)
    logger.info("%d analogies from %s, %d skipped", len(questions), eval_file, skipped)
    return np.array(questions, dtype=np.int32)


def build_vocab(data: Iterable[str]) -> dict[str, int]:
    """Number words by falling frequency, equally frequent ones by the alphabet.

    Args:
        data: words.

    Returns:
        word -> id.

    Raises:
        ValueError: no words.

    >>> build_vocab(["b", "a", "c", "c"])
    {'c': 0, 'a': 1, 'b': 2}
    """
    counter = collections.Counter(data)
    if not counter:
        raise ValueError("build_vocab needs at least one word")
    return {word: i for i, word in enumerate(sorted(counter, key=lambda word: (-counter[word], word)))}


def build_reverse_dictionary(word_to_id: Mapping[Any, int]) -> dict[int, Any]:
    """id -> word of a word -> id.

    Args:
        word_to_id: the dictionary.

    Returns:
        Its inverse.

    >>> build_reverse_dictionary({"a": 0, "b": 1})
    {0: 'a', 1: 'b'}
    """
    return {i: word for word, i in word_to_id.items()}


def build_words_dataset(
    words: Sequence[Any] | None = None, vocabulary_size: int = 50000, printable: bool = True, unk_key: str = "UNK"
) -> tuple[list[int], list[Any], dict[Any, int], dict[int, Any]]:
    """Number the most frequent words and replace all others by one unknown word.

    Args:
        words: words (str or bytes).
        vocabulary_size: ids to give, the unknown word's 0 included; at most the number of different words.
        printable: log the sizes.
        unk_key: the unknown word.

    Returns:
        data: the words as ids; count: ``[[unk_key, n], (word, n), ...]``; word -> id; id -> word.

    Raises:
        ValueError, AssertionError: fewer different words than ``vocabulary_size``.

    >>> data, count, dictionary, reverse = build_words_dataset(["a", "b", "a", "c"], vocabulary_size=2)
    >>> data, count, dictionary
    ([1, 0, 1, 0], [['UNK', 2], ('a', 2)], {'UNK': 0, 'a': 1})
    """
    words = [] if words is None else words
    counter = collections.Counter(words)
    require(
        vocabulary_size <= len(counter),
        f"vocabulary_size must be at most the number of different words, {len(counter)}, not {vocabulary_size}",
    )
    count: list[Any] = [[unk_key, -1], *counter.most_common(vocabulary_size - 1)]
    dictionary: dict[Any, int] = {}
    for word, _ in count:
        dictionary[word] = len(dictionary)
    data = [dictionary.get(word, 0) for word in words]
    count[0][1] = sum(n for word, n in counter.items() if word not in dictionary)
    if printable:
        logger.info("%d different words, %d of them kept", len(counter), vocabulary_size)
    return data, count, dictionary, build_reverse_dictionary(dictionary)


def words_to_word_ids(
    data: Iterable[Any] | None = None, word_to_id: Mapping[Any, int] | None = None, unk_key: Any = "UNK"
) -> list[int]:
    """Words to ids.

    Args:
        data: words.
        word_to_id: word -> id.
        unk_key: whose id an unknown word gets.

    Returns:
        List of ids.

    Raises:
        ValueError: an argument is missing.
        KeyError: an unknown word, and ``unk_key`` has no id.

    >>> words_to_word_ids(["a", "zz"], {"UNK": 0, "a": 1})
    [1, 0]
    """
    if data is None or word_to_id is None:
        raise ValueError("words_to_word_ids needs words and a dictionary word -> id, not None")
    return [word_to_id[word if word in word_to_id else unk_key] for word in data]


def word_ids_to_words(data: Iterable[int], id_to_word: Mapping[int, Any] | Sequence[Any]) -> list[Any]:
    """Ids to words.

    Args:
        data: ids.
        id_to_word: id -> word.

    Returns:
        List of words.

    Raises:
        KeyError or IndexError: an id without a word.

    >>> word_ids_to_words([1, 0], {0: "a", 1: "b"})
    ['b', 'a']
    """
    return [id_to_word[i] for i in data]


def save_vocab(count: Sequence[Any] | None = None, name: str = "vocab.txt") -> None:
    r"""Write words and their counts, one "word count" per line.

    Args:
        count: pairs (word, count), e.g. of :func:`build_words_dataset`.
        name: the file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "vocab.txt")
    ...     save_vocab([["UNK", 2], (b"the", 4)], path)
    ...     open(path).read()
    'UNK 2\nthe 4\n'
    """
    count = [] if count is None else count
    path = os.path.join(os.getcwd(), name)
    with open(path, "w", encoding="utf-8", newline="\n") as f:
        f.writelines(f"{as_text(word)} {int(n)}\n" for word, n in count)
    logger.info("%d words written to %s", len(count), path)
