"""Words and their ids: vocabularies, tokenizers, skip-gram batches, sampling. No TensorFlow.

Text files are read and written as UTF-8.
"""

from __future__ import annotations

import collections
import logging
import math
import os
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from core.tl.errors import EmptyInput, require
from core.tl.randomness import Rng, python_integer, random_source

__all__ = [
    "SimpleVocabulary",
    "Vocabulary",
    "as_bytes",
    "as_text",
    "basic_tokenizer",
    "build_reverse_dictionary",
    "build_vocab",
    "build_words_dataset",
    "create_vocab",
    "create_vocabulary",
    "data_to_token_ids",
    "generate_skip_gram_batch",
    "initialize_vocabulary",
    "moses_multi_bleu",
    "process_sentence",
    "read_analogies_file",
    "read_words",
    "sample",
    "sample_top",
    "save_vocab",
    "sentence_to_token_ids",
    "simple_read_words",
    "word_ids_to_words",
    "words_to_word_ids",
]

logger = logging.getLogger(__name__)

Tokenizer = Callable[[Any], list[bytes]]

_WORD_SPLIT = re.compile(b"([.,!?\"':;)(])")
_DIGIT = re.compile(rb"\d")
_SPECIAL_TOKENS = (b"_PAD", b"_GO", b"_EOS", b"_UNK")

# --- batches and sampling ---------------------------------------------------------------------------------------------


def generate_skip_gram_batch(
    data: Sequence[int], batch_size: int, num_skips: int, skip_window: int, data_index: int = 0, *, rng: Rng = None
) -> tuple[np.ndarray, np.ndarray, int]:
    """A batch of word2vec's skip-gram model: words, and for each a random neighbour to predict.

    Args:
        data: word ids; the batch wraps around at their end.
        batch_size: B, a multiple of ``num_skips``.
        num_skips: neighbours taken of each word.
        skip_window: how far a neighbour may be, to either side.
        data_index: where to begin.
        rng: source of randomness; the standard library's `random` without one.

    Returns:
        int32 words [B], int32 neighbours [B, 1], and the ``data_index`` to go on with.

    Raises:
        ValueError, AssertionError: a size breaks these rules.
        IndexError: no words.

    >>> words, neighbours, index = generate_skip_gram_batch([1, 2, 3, 4, 5], 4, num_skips=2, skip_window=1)
    >>> words.tolist(), sorted(neighbours[:2, 0].tolist()), index
    ([2, 2, 3, 3], [1, 3], 0)
    """
    require(num_skips >= 1, f"num_skips must be at least 1, not {num_skips}")
    require(batch_size % num_skips == 0, f"batch_size must be a multiple of num_skips, not {batch_size} of {num_skips}")
    require(
        num_skips <= 2 * skip_window, f"a window of {skip_window} has no {num_skips} neighbours: num_skips is too large"
    )
    if len(data) == 0:
        raise EmptyInput("generate_skip_gram_batch needs at least one word")
    batch = np.empty(batch_size, dtype=np.int32)
    labels = np.empty((batch_size, 1), dtype=np.int32)
    span = 2 * skip_window + 1
    window = [data[(data_index + i) % len(data)] for i in range(span)]
    data_index = (data_index + span) % len(data)
    for start in range(0, batch_size, num_skips):
        used = {skip_window}
        for row in range(start, start + num_skips):
            neighbour = skip_window
            while neighbour in used:
                neighbour = python_integer(rng, 0, span - 1)
            used.add(neighbour)
            batch[row] = window[skip_window]
            labels[row, 0] = window[neighbour]
        window = [*window[1:], data[data_index]]
        data_index = (data_index + 1) % len(data)
    return batch, labels, data_index


def sample(
    a: Sequence[float] | np.ndarray | None = None, temperature: float | None = 1.0, *, rng: Rng = None
) -> np.integer:
    """Draw an index from probabilities.

    Args:
        a: [V] probabilities. If rounding (or a sum other than one) stops numpy from drawing from them, they are
            divided by their sum.
        temperature: above 1 flattens the distribution, below 1 sharpens it; None takes the most probable index.
        rng: source of randomness; numpy's global state without one.

    Returns:
        The index, a numpy integer.

    >>> int(sample([0.0, 1.0, 0.0])), int(sample([0.1, 0.2, 0.7], temperature=None))
    (1, 2)
    """
    require(a is not None and len(a) > 0, "a must be a non-empty list of probabilities")
    if temperature is None:
        return np.argmax(a)  # type: ignore[arg-type]
    p = np.asarray(a)
    if temperature != 1:
        with np.errstate(divide="ignore"):
            p = np.exp(np.log(p) / temperature)
        p = p / np.sum(p)
    source = random_source(rng)
    try:
        return np.argmax(source.multinomial(1, p, 1))
    except ValueError:
        p = p.astype(np.float64)
        warnings.warn(f"the probabilities sum to {p.sum()}, not 1: dividing by the sum", stacklevel=2)
        return np.argmax(source.multinomial(1, p / p.sum(), 1))


def sample_top(a: Sequence[float] | np.ndarray | None = None, top_k: int = 10, *, rng: Rng = None) -> np.integer:
    """Draw an index from the ``top_k`` most probable ones.

    Args:
        a: [V] probabilities.
        top_k: candidates, at most V.
        rng: source of randomness; numpy's global state without one.

    Returns:
        The index, a numpy integer.

    Raises:
        ValueError: more candidates than probabilities.

    >>> int(sample_top([0.1, 0.2, 0.7], top_k=1))
    2
    """
    p = np.asarray([] if a is None else a)
    require(1 <= top_k <= len(p), f"top_k must be between 1 and the number of probabilities, {len(p)}, not {top_k}")
    candidates = np.argpartition(p, -top_k)[-top_k:]
    weights = p[candidates]
    return random_source(rng).choice(candidates, p=weights / np.sum(weights))


# --- captions: vocabularies of words ----------------------------------------------------------------------------------


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

    >>> import tempfile
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
        return _plain_word_tokenize(text)
    try:
        return word_tokenize(text)
    except LookupError:  # nltk is there, its sentence splitter's data is not: a caption is one sentence anyway
        return word_tokenize(text, preserve_line=True)


def _plain_word_tokenize(text: str) -> list[str]:
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

    >>> import tempfile
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


# --- text as a list of words ------------------------------------------------------------------------------------------


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


# --- translation: vocabularies of bytes -------------------------------------------------------------------------------


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


# --- bytes, text, and a metric ----------------------------------------------------------------------------------------


def as_bytes(bytes_or_text: str | bytes, encoding: str = "utf-8") -> bytes:
    """Text to bytes; bytes stay.

    Args:
        bytes_or_text: either.
        encoding: of the text.

    Returns:
        bytes.

    Raises:
        TypeError: neither.

    >>> as_bytes("a")
    b'a'
    """
    if isinstance(bytes_or_text, str):
        return bytes_or_text.encode(encoding)
    if isinstance(bytes_or_text, (bytes, bytearray)):
        return bytes(bytes_or_text)
    raise TypeError(f"expected text or bytes, not {bytes_or_text!r}")


def as_text(bytes_or_text: str | bytes, encoding: str = "utf-8") -> str:
    """Bytes to text; text stays.

    Args:
        bytes_or_text: either.
        encoding: of the bytes.

    Returns:
        str.

    Raises:
        TypeError: neither.

    >>> as_text(b"a")
    'a'
    """
    return bytes_or_text if isinstance(bytes_or_text, str) else as_bytes(bytes_or_text).decode(encoding)


def moses_multi_bleu(
    hypotheses: Sequence[str] | np.ndarray, references: Sequence[str] | np.ndarray, lowercase: bool = False
) -> np.float32:
    """BLEU-4 of a corpus, as Moses's ``multi-bleu.perl`` computes it (the original downloads and runs that script).

    Tokens are split at white space, each hypothesis has one reference, and without a common 4-gram the score is 0.
    Papineni et al. 2002, "BLEU: a method for automatic evaluation of machine translation".

    Args:
        hypotheses: n sentences.
        references: n sentences or more; the rest is ignored.
        lowercase: compare in lower case.

    Returns:
        BLEU in percent, rounded to two digits.

    Raises:
        ValueError: fewer references than hypotheses.

    >>> float(moses_multi_bleu(["a bird is flying on the sky"], ["a bird is flying on the sky"]))
    100.0
    """
    if np.size(hypotheses) == 0:
        return np.float32(0.0)
    require(len(references) >= len(hypotheses), f"{len(hypotheses)} hypotheses but only {len(references)} references")
    matches, totals = [0] * 4, [0] * 4
    length = reference_length = 0
    for hypothesis, reference in zip(hypotheses, references, strict=False):
        tokens, wanted = ((s.lower() if lowercase else s).split() for s in (hypothesis, reference))
        length, reference_length = length + len(tokens), reference_length + len(wanted)
        for n in range(1, 5):
            found, known = _ngrams(tokens, n), _ngrams(wanted, n)
            matches[n - 1] += (found & known).total()
            totals[n - 1] += found.total()
    if 0 in matches:
        return np.float32(0.0)
    precision = math.exp(sum(math.log(m / t) for m, t in zip(matches, totals, strict=True)) / 4)
    brevity = min(1.0, math.exp(1 - reference_length / length))
    return np.float32(round(100 * brevity * precision, 2))


def _ngrams(tokens: list[str], n: int) -> collections.Counter[tuple[str, ...]]:
    return collections.Counter(tuple(tokens[i : i + n]) for i in range(len(tokens) - n + 1))
