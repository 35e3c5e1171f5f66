"""The words of captions in any script, and the vocabulary that a model learns from them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from core.errors import UsageError, nearest
from core.tl.nlp import Vocabulary, create_vocab
from core.tl.prepro import pad_sequences

__all__ = ["MOST_WORDS", "Words", "words_of"]

MOST_WORDS = 200
"""Words of a caption that are read: one caption of thousands would make every batch as wide."""
ASCII_WORD = re.compile(r"[a-z0-9]+")
SPACELESS = (
    *((0x3005, 0x3007), (0x3041, 0x3096), (0x309D, 0x309F), (0x30A1, 0x30FA), (0x30FC, 0x30FF), (0x31F0, 0x31FF)),
    *((0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0xFF66, 0xFF9F), (0x20000, 0x323AF)),
)
"""Han and kana, which are written without spaces: each character, with its marks, is a word."""
INVISIBLE = (0xAD, 0x200C, 0x200D, *range(0xFE00, 0xFE10))
"""Soft hyphen, joiners and variation selectors, which stand inside words and are no part of them."""
NO_WORD = r"[^\p{L}\p{M}\p{N}]+"
"""What lies between words, for TensorFlow's regular expressions (RE2): all but letters, their marks, and digits."""


@lru_cache(maxsize=100_000)
def words_of(text: str) -> tuple[str, ...]:
    """Split a caption into lower-case words: runs of letters with their marks and of digits, of any alphabet, in NFC.

    A character of Han or kana is a word of its own. `Words.traced` has the same rule.

    >>> words_of("A red circle, above a Light-Blue one.")
    ('a', 'red', 'circle', 'above', 'a', 'light', 'blue', 'one')
    """
    if text.isascii():
        return tuple(ASCII_WORD.findall(text.lower()))
    words: list[str] = []
    open_word = False  # whether the next letter belongs to the last word
    for c in unicodedata.normalize("NFC", text).lower():
        kind = unicodedata.category(c)[0]
        if ord(c) in INVISIBLE:
            continue
        if kind not in "LMN":
            open_word = False
        elif kind == "M" and words and (open_word or _spaceless(words[-1][0])):
            words[-1] += c
        elif kind != "M" and _spaceless(c):
            words.append(c)
            open_word = False
        elif open_word:
            words[-1] += c
        else:
            words.append(c)
            open_word = True
    return tuple(words)


def _spaceless(c: str) -> bool:
    return any(first <= ord(c) <= last for first, last in SPACELESS)


class Words:
    """The words of a file that `learn` wrote, the most frequent first, with their ids; 0 is padding."""

    def __init__(self, path: Path):
        self._vocabulary = Vocabulary(str(path))
        self.known = frozenset(self._vocabulary.reverse_vocab)

    def __len__(self) -> int:
        return len(self._vocabulary.reverse_vocab)

    @staticmethod
    def learn(captions: Sequence[Sequence[str]], path: Path) -> None:
        """Write the words of the captions to `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        create_vocab((words_of(text) for texts in captions for text in texts), str(path))

    def encode(self, text: str) -> list[int]:
        """Return the ids of a caption's words, at most MOST_WORDS; unknown words share one id."""
        return [self._vocabulary.word_to_id(word) for word in words_of(text)[:MOST_WORDS]]

    def encode_typed(self, text: str) -> list[int]:
        """Return the ids of a caption that a user typed. UsageError names the words that no training caption has."""
        typed = words_of(text)
        if not typed:
            raise UsageError(f"the caption {text!r} has no word")
        if len(typed) > MOST_WORDS:
            raise UsageError(
                f"the caption has {len(typed):,} words; at most {MOST_WORDS} are read, write a shorter one"
            )
        unknown = [word for word in dict.fromkeys(typed) if word not in self.known]
        if unknown:
            hints = "; ".join(f"{word!r}: {nearest(word, (w for w in self.known if w.isalpha()))}" for word in unknown)
            raise UsageError(f"no training caption has the word{'s' if len(unknown) > 1 else ''} {hints}")
        return [self._vocabulary.word_to_id(word) for word in typed]

    def traced(self, captions: Any) -> Any:
        """Return ids [B, T] int32 of captions [B], a tensor of UTF-8 texts inside a `tf.function`, as `encode` does."""
        import tensorflow as tf

        known = {word: i for i, word in enumerate(self._vocabulary.reverse_vocab)}
        # TensorFlow cannot compose accents, so a word is known in both forms.
        forms = {unicodedata.normalize("NFD", word): i for word, i in known.items()} | known
        spaceless = "".join(f"\\x{{{first:X}}}-\\x{{{last:X}}}" for first, last in SPACELESS)
        invisible = "".join(f"\\x{{{code:X}}}" for code in INVISIBLE)
        plain = tf.strings.regex_replace(tf.strings.lower(captions, encoding="utf-8"), f"[{invisible}]", "")
        plain = tf.strings.regex_replace(plain, NO_WORD, " ")
        plain = tf.strings.regex_replace(plain, f"([{spaceless}]\\p{{M}}*)", r" \1 ")
        words = tf.strings.split(tf.strings.strip(plain)).to_tensor("")[:, :MOST_WORDS]  # [B, T]
        same = tf.cast(words[..., None] == tf.constant(list(forms)), tf.int32)  # [B, T, forms]
        found = tf.gather(tf.constant(list(forms.values())), tf.argmax(same, axis=-1))
        ids = tf.where(tf.reduce_max(same, axis=-1) > 0, found, self._vocabulary.unk_id)
        return tf.where(words == "", 0, ids)

    def check_traced(self) -> None:
        """Raise UsageError naming a word of the captions that `traced` reads otherwise than training did.

        The two know different versions of Unicode, and the vocabularies of older runs hold words that are split today.
        """
        import tensorflow as tf

        learned = [(i, word) for i, word in enumerate(self._vocabulary.reverse_vocab) if not word.startswith("<")]
        rows = self.traced(tf.constant([word for _, word in learned])).numpy()  # [words, T]
        for (i, word), ids in zip(learned, rows, strict=True):
            if ids[ids > 0].tolist() != [i]:
                raise UsageError(
                    f"the captions' word {word!r} would be read otherwise by the exported model than in training; train "
                    "again without it"
                )

    def pad(self, sentences: Sequence[Sequence[int]], length: int = 0) -> np.ndarray:
        """Return [B, T] int32, T the longest sentence (or `length`), shorter ones filled with 0."""
        return pad_sequences(sentences, length or None)
