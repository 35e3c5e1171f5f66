"""How good a translation is."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import numpy as np

from core.tl.errors import require

__all__ = ["moses_multi_bleu"]


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
