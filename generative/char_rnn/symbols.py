"""What a text is made of, numbered: characters, or words together with the characters of those that are rare."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

__all__ = ["UNKNOWN", "Symbols"]

UNKNOWN = "\N{REPLACEMENT CHARACTER}"
"""Stands for all rare characters, and has number 0."""
PIECE = re.compile(r"\n *| ?[^\W\d_]+| +|.", re.DOTALL)
"""A line break with the indentation after it, a word with the space before it, spaces, or any one character."""
LEAST = 3  # occurrences of a word that is one symbol


class Symbols:
    """V symbols and their numbers; `texts` [V] are what they stand for, `lengths` [V] how many characters that is."""

    def __init__(self, texts: Sequence[str]):
        self.texts = list(texts)
        self.lengths = np.array([len(text) for text in self.texts])
        self._words = {text: number for number, text in enumerate(self.texts) if len(text) > 1}
        self._of_code = np.zeros(0x110000, np.int32)  # 0 for characters that are not known
        for number, text in enumerate(self.texts):
            if len(text) == 1:
                self._of_code[ord(text)] = number

    def __len__(self) -> int:
        return len(self.texts)

    @classmethod
    def learn(cls, text: str, rare: int, words: int = 0) -> Symbols:
        """Return the characters that `text` has at least `rare` times and its `words` most frequent words."""
        characters = sorted(c for c, times in Counter(text).items() if times >= rare and c != UNKNOWN)
        pieces = Counter(piece for piece in PIECE.findall(text) if len(piece) > 1) if words else Counter()
        known = {*characters}
        frequent = [piece for piece, times in pieces.most_common() if times >= LEAST and known.issuperset(piece)]
        return cls([UNKNOWN, *characters, *frequent[:words]])

    def encode(self, text: str) -> np.ndarray:
        """Return the numbers [N] int32 of a text's symbols: words that are known, all else in characters."""
        if not self._words:
            return self._characters(text)
        parts: list[np.ndarray] = []
        for piece in PIECE.findall(text):
            number = self._words.get(piece)
            parts.append(self._characters(piece) if number is None else np.array([number], np.int32))
        return np.concatenate(parts) if parts else np.zeros(0, np.int32)

    def decode(self, numbers: np.ndarray) -> str:
        """Return the text of numbers [N]."""
        return "".join(self.texts[number] for number in numbers)

    def unknown(self, text: str) -> list[str]:
        """Return the characters of a text that are not known, each once."""
        return [c for c in dict.fromkeys(text) if self._of_code[ord(c)] == 0]

    def codes(self) -> np.ndarray:
        """Return the Unicode code points [V, L] int32 of each symbol, 0 behind its end."""
        codes = np.zeros((len(self), self.lengths.max()), np.int32)
        for row, text in zip(codes, self.texts, strict=True):
            row[: len(text)] = [ord(c) for c in text]
        return codes

    def _characters(self, text: str) -> np.ndarray:
        return self._of_code[np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)]
