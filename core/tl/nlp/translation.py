"""Vocabularies of bytes for translation: files of tokens, and texts as token ids."""

from __future__ import annotations

import collections
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from core.tl.nlp.text import as_bytes

__all__ = [
    "basic_tokenizer",
    "create_vocabulary",
    "data_to_token_ids",
    "initialize_vocabulary",
    "sentence_to_token_ids",
]

logger = logging.getLogger(__name__)

Tokenizer = Callable[[Any], list[bytes]]

_WORD_SPLIT = re.compile(b"([.,!?\"':;)(])")
_DIGIT = re.compile(rb"\d")
_SPECIAL_TOKENS = (b"_PAD", b"_GO", b"_EOS", b"_UNK")


def basic_tokenizer(sentence: str | bytes, _WORD_SPLIT: re.Pattern[bytes] = _WORD_SPLIT) -> list[bytes]:
    """Split at white space, and punctuation off the words.

    Args:
        sentence: text or UTF-8 bytes.
        _WORD_SPLIT: what else to split off, a pattern of bytes with one group.

    Returns:
        List of bytes.

    >>> basic_tokenizer("Who? Me.")
    [b'Who', b'?', b'Me', b'.']
    """
    fragments = as_bytes(sentence).strip().split()
    return [word for fragment in fragments for word in _WORD_SPLIT.split(fragment) if word]


def create_vocabulary(
    vocabulary_path: str,
    data_path: str,
    max_vocabulary_size: int,
    tokenizer: Tokenizer | None = None,
    normalize_digits: bool = True,
    _DIGIT_RE: re.Pattern[bytes] = _DIGIT,
    _START_VOCAB: Sequence[bytes] | None = None,
) -> None:
    r"""Write the most frequent tokens of a file, one per line after the special ones. An existing file stays.

    Args:
        vocabulary_path: the file to write.
        data_path: text, one sentence per line.
        max_vocabulary_size: lines to write at most.
        tokenizer: bytes -> list of bytes; :func:`basic_tokenizer` without one.
        normalize_digits: turn every digit into 0.
        _DIGIT_RE: what a digit is.
        _START_VOCAB: special tokens; ``_PAD _GO _EOS _UNK`` without.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text, vocab = os.path.join(folder, "text"), os.path.join(folder, "vocab")
    ...     _ = open(text, "w").write("a b\na 12\n")
    ...     create_vocabulary(vocab, text, max_vocabulary_size=6)
    ...     open(vocab).read().split()
    ['_PAD', '_GO', '_EOS', '_UNK', 'a', 'b']
    """
    if os.path.exists(vocabulary_path):
        logger.info("vocabulary %s exists already", vocabulary_path)
        return
    counter: collections.Counter[bytes] = collections.Counter()
    with open(data_path, "rb") as lines:
        for line in lines:
            counter.update(_tokens(line, tokenizer, normalize_digits, _DIGIT_RE))
    special = _SPECIAL_TOKENS if _START_VOCAB is None else _START_VOCAB
    vocabulary = [*special, *(word for word, _ in counter.most_common())]
    with open(vocabulary_path, "wb") as f:
        f.writelines(word + b"\n" for word in vocabulary[:max_vocabulary_size])
    logger.info("vocabulary of %s written to %s", data_path, vocabulary_path)


def initialize_vocabulary(vocabulary_path: str) -> tuple[dict[bytes, int], list[bytes]]:
    """Read a vocabulary, one token per line.

    Args:
        vocabulary_path: the file.

    Returns:
        token -> id, and the list of tokens; as bytes.

    Raises:
        ValueError: no such file.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "vocab")
    ...     _ = open(path, "w").write("dog cat".replace(" ", chr(10)))
    ...     initialize_vocabulary(path)
    ({b'dog': 0, b'cat': 1}, [b'dog', b'cat'])
    """
    if not os.path.exists(vocabulary_path):
        raise ValueError(f"vocabulary file {vocabulary_path} not found")
    with open(vocabulary_path, "rb") as lines:
        tokens = [line.strip() for line in lines]
    return {token: i for i, token in enumerate(tokens)}, tokens


def sentence_to_token_ids(
    sentence: str | bytes,
    vocabulary: Mapping[bytes, int],
    tokenizer: Tokenizer | None = None,
    normalize_digits: bool = True,
    UNK_ID: int = 3,
    _DIGIT_RE: re.Pattern[bytes] = _DIGIT,
) -> list[int]:
    """A sentence as ids.

    Args:
        sentence: text or UTF-8 bytes.
        vocabulary: token -> id, of bytes.
        tokenizer: sentence -> list of bytes; :func:`basic_tokenizer` without one.
        normalize_digits: turn every digit into 0 first.
        UNK_ID: id of an unknown token.
        _DIGIT_RE: what a digit is.

    Returns:
        List of ids.

    >>> sentence_to_token_ids("I have 2 dogs", {b"I": 4, b"have": 5, b"0": 6})
    [4, 5, 6, 3]
    """
    return [vocabulary.get(token, UNK_ID) for token in _tokens(sentence, tokenizer, normalize_digits, _DIGIT_RE)]


def data_to_token_ids(
    data_path: str,
    target_path: str,
    vocabulary_path: str,
    tokenizer: Tokenizer | None = None,
    normalize_digits: bool = True,
    UNK_ID: int = 3,
    _DIGIT_RE: re.Pattern[bytes] = _DIGIT,
) -> None:
    r"""Write a text file as ids, line by line. An existing file stays.

    Args:
        data_path: text, one sentence per line.
        target_path: the file to write.
        vocabulary_path: see :func:`initialize_vocabulary`.
        tokenizer, normalize_digits, UNK_ID, _DIGIT_RE: see :func:`sentence_to_token_ids`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     text, vocab, ids = (os.path.join(folder, name) for name in ("text", "vocab", "ids"))
    ...     _ = open(text, "w").write("a b\nb\n"), open(vocab, "w").write("b\na\n")
    ...     data_to_token_ids(text, ids, vocab)
    ...     open(ids).read()
    '1 0\n0\n'
    """
    if os.path.exists(target_path):
        logger.info("%s exists already", target_path)
        return
    vocabulary, _ = initialize_vocabulary(vocabulary_path)
    with open(data_path, "rb") as lines, open(target_path, "w", encoding="utf-8", newline="\n") as f:
        for line in lines:
            ids = sentence_to_token_ids(line, vocabulary, tokenizer, normalize_digits, UNK_ID, _DIGIT_RE)
            f.write(" ".join(map(str, ids)) + "\n")


def _tokens(
    sentence: str | bytes, tokenizer: Tokenizer | None, normalize_digits: bool, digit: re.Pattern[bytes]
) -> list[bytes]:
    tokens = (tokenizer or basic_tokenizer)(sentence)
    return [digit.sub(b"0", token) for token in tokens] if normalize_digits else tokens
