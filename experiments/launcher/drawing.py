"""What a run's model draws, batch by batch, so that the number of pictures is not bounded by memory."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any, Literal, NamedTuple

from core.errors import UsageError
from core.plugin import Draws, DrawsText, Plugin
from core.seeds import child
from experiments.launcher.experiment import StoredRun
from experiments.launcher.restore import restored
from experiments.launcher.strangers import close, reported

__all__ = ["AT_ONCE", "Drawn", "batches", "opened"]

AT_ONCE = 100
"""Pictures in a batch. Another number would make other pictures."""


class Drawn(NamedTuple):
    """Pictures that follow each other."""

    first: int
    """Number of the first."""
    images: Any
    """B of [H, W, C] uint8."""
    captions: Sequence[str]
    """[B], or none."""


@contextlib.contextmanager
def opened(run: StoredRun, weights: Literal["best", "newest"] = "best") -> Iterator[tuple[Plugin, str]]:
    """Give (the run's model with its weights, which weights); it is closed in the end.

    Raises UsageError for a run of another kind and one without weights.
    """
    plugin, which = restored(run, weights, "generative")
    try:
        yield plugin, which
    finally:
        close(plugin, run.spec, print)


def batches(
    run: StoredRun, plugin: Plugin, n: int, seed: int, *, first: int = 0, captions: Sequence[str] = ()
) -> Iterator[Drawn]:
    """Draw pictures number `first` ... `first` + n - 1.

    Picture i is one of batch i // AT_ONCE, which is always drawn whole with a seed of its own, so a picture depends on the seed
    and its number alone, not on n. With `captions` picture i shows caption i modulo their number; without, a model that draws
    captions shows its own in turn, from the first in every batch.

    Raises UsageError for a model that draws no single pictures or reads no captions, ForeignError for what the plugin raises.
    """
    name, K = run.spec.name, len(captions)
    for batch in range(first // AT_ONCE, -(-(first + n) // AT_ONCE)):
        start, own = batch * AT_ONCE, child(seed, "batch", batch)
        texts: Sequence[str] = [captions[i % K] for i in range(start, start + AT_ONCE)] if captions else []
        with reported(run.spec, run.traces, "sample"):
            if texts:
                if not isinstance(plugin, DrawsText):
                    raise UsageError(f"{name} reads no text; leave the captions out")
                images = plugin.sample_texts(texts, own)
            else:
                if not isinstance(plugin, Draws):
                    raise UsageError(f"{name} draws no pictures without a caption")
                images = plugin.sample(AT_ONCE, own)
                shown = plugin.captions if isinstance(plugin, DrawsText) else ()
                texts = [shown[i % len(shown)] for i in range(AT_ONCE)] if shown else []
        if len(images) != AT_ONCE:
            raise UsageError(
                f"{name} on {run.experiment.subject} draws one picture of all samples; single pictures are needed here"
            )
        kept = slice(max(first - start, 0), min(first + n - start, AT_ONCE))
        yield Drawn(start + kept.start, images[kept], texts[kept])
