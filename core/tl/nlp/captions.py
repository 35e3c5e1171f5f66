"""Captions: splitting them into words, and vocabularies with words for their start, their end and the unknown."""

from __future__ import annotations

import collections
import logging
import re
from collections.abc import Iterable

__all__ = ["SimpleVocabulary", "Vocabulary", "create_vocab", "plain_word_tokenize", "process_sentence"]

logger = logging.getLogger(__name__)


class SimpleVocabulary:
    """Word to id, with one id for every unknown word. Returned by :func:`create_vocab`.

    >>> SimpleVocabulary({"a": 0}, unk_id=1).word_to_id("b")
    1
    """

    def __init__(self, vocab: dict[str, int], unk_id: int) -> None:
        self._vocab = vocab
        self._unk_id = unk_id

    def word_to_id(self, word: str) -> int:
        """The id of ``word``, or the unknown word's."""
        return self._vocab.get(word, self._unk_id)


class Vocabulary:
    """Words and ids of a file that has one word per line (further columns, such as counts, are ignored).

    The id of a word is its line number from 0; of a word that stands twice, the last. Special words the file lacks are
    appended in the order start, end, unknown, padding (1.5.3 required the padding).

    Attributes:
        vocab: word -> id.
        reverse_vocab: list of words by id.
        start_id, end_id, unk_id, pad_id: ids of the special words.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a line is blank.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = os.path.join(folder, "vocab.txt")
    ...     _ = create_vocab([["<S>", "a", "cat", "</S>"]], path)
    ...     vocab = Vocabulary(path)
    >>> vocab.word_to_id("cat"), vocab.id_to_word(3), vocab.unk_id
    (3, 'cat', 5)
    """

    def __init__(
        self,
        vocab_file: str,
        start_word: str = "<S>",
        end_word: str = "</S>",
        unk_word: str = "<UNK>",
        pad_word: str = "<PAD>",
    ) -> None:
        with open(vocab_file, encoding="utf-8") as lines:
            self.reverse_vocab: list[str] = []
            for number, line in enumerate(lines, start=1):
                columns = line.split()
                if not columns:
                    raise ValueError(f"line {number} of {vocab_file} is blank: every line must begin with a word")
                self.reverse_vocab.append(columns[0])
        for word in (start_word, end_word, unk_word, pad_word):
            if word not in self.reverse_vocab:
                self.reverse_vocab.append(word)
        self.vocab = {word: i for i, word in enumerate(self.reverse_vocab)}
        self.start_id = self.vocab[start_word]
        self.end_id = self.vocab[end_word]
        self.unk_id = self.vocab[unk_word]
        self.pad_id = self.vocab[pad_word]
        logger.info("vocabulary of %d words from %s", len(self.vocab), vocab_file)

    def word_to_id(self, word: str) -> int:
        """The id of ``word``, or the unknown word's."""
        return self.vocab.get(word, self.unk_id)

    def id_to_word(self, word_id: int) -> str:
        """The word of an id, or the unknown word. A negative id counts from the end, as in any list."""
        return self.reverse_vocab[word_id if word_id < len(self.reverse_vocab) else self.unk_id]


def process_sentence(sentence: str, start_word: str | None = "<S>", end_word: str | None = "</S>") -> list[str]:
    """Split a caption into lower-case words and punctuation, between a start and an end word.

    With nltk installed its tokenizer does the splitting, else a plain one that treats English contractions alike.

    Args:
        sentence: the caption.
        start_word: put first; None for none.
        end_word: put last; None for none.

    Returns:
        List of words.

    >>> process_sentence("How are you?")
    ['<S>', 'how', 'are', 'you', '?', '</S>']
    """
    words = _word_tokenize(sentence.lower())
    return [*([] if start_word is None else [start_word]), *words, *([] if end_word is None else [end_word])]


_TOKEN = re.compile(
    r"""n't\b                                          # don't -> do n't
      | '(?:s|m|d|ll|re|ve)\b                           # it's -> it 's
      | \w+?(?=n't\b)
      | can(?=not\b) | (?:gon|wan)(?=na\b) | got(?=ta\b)  # cannot -> can not
      | (?:[^\W\d]\.){2,}(?=.)                           # p.m.
      | \w+(?:[.,:]\d+|[-./](?=\w)\w+)*                 # words, 3.5, 1,000, well-known
      | \.{2,} | -- | `` | ''
      | [^\w\s]""",
    re.VERBOSE,
)


def _word_tokenize(text: str) -> list[str]:
    try:
        from nltk.tokenize import word_tokenize
    except ImportError:
        return plain_word_tokenize(text)
    try:
        return word_tokenize(text)
    except LookupError:  # nltk is there, its sentence splitter's data is not: a caption is one sentence anyway
        return word_tokenize(text, preserve_line=True)


def plain_word_tokenize(text: str) -> list[str]:
    """The splitting that needs no nltk.

    Args:
        text: a caption in lower case.

    Returns:
        List of words and punctuation marks.

    >>> plain_word_tokenize("it's 3.50")
    ['it', "'s", '3.50']
    """
    opened = re.sub(r'(^|[\s(\[{<])"', r"\1`` ", text)  # the Penn Treebank's quotation marks
    return _TOKEN.findall(opened.replace('"', " '' "))


def create_vocab(
    sentences: Iterable[Iterable[str]], word_counts_output_file: str, min_word_count: int = 1
) -> SimpleVocabulary:
    """Count words and write them to a file, the most frequent first after ``<PAD>``.

    Args:
        sentences: lists of words, e.g. of :func:`process_sentence`.
        word_counts_output_file: the file, one "word count" per line; :class:`Vocabulary` reads it.
        min_word_count: rarer words are left out.

    Returns:
        The vocabulary; its id for unknown words is the first free one.

    >>> import os, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     vocab = create_vocab([["one", "two"], ["two"]], os.path.join(folder, "vocab.txt"))
    >>> vocab.word_to_id("two"), vocab.word_to_id("zebra")
    (1, 3)
    """
    counter: collections.Counter[str] = collections.Counter()
    for sentence in sentences:
        counter.update(sentence)
    counts = [("<PAD>", 0), *((w, n) for w, n in counter.most_common() if n >= min_word_count)]
    with open(word_counts_output_file, "w", encoding="utf-8", newline="\n") as f:
        f.write("\n".join(f"{word} {count}" for word, count in counts))
    logger.info("%d of %d words written to %s", len(counts), len(counter) + 1, word_counts_output_file)
    return SimpleVocabulary({word: i for i, (word, _) in enumerate(counts)}, unk_id=len(counts))
