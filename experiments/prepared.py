"""Pictures that a user names, prepared as those that a run has learned from."""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.errors import UsageError
from experiments.launcher.experiment import StoredRun, field_of

if TYPE_CHECKING:
    from generative.data.sources import Pictures

__all__ = ["open_prepared"]


def open_prepared(run: StoredRun, text: str, shape: tuple[int, int, int]) -> Pictures:
    """Return the pictures that a word of the command line names, a folder, an .npz file or a data source, as [N, *shape].

    Raises UsageError for a word that names none, and for a run that has learned from something else than data sources.
    """
    from generative.data.sets import source_of
    from generative.data.settings import DataConfig, PairConfig, TwoConfig
    from generative.data.sources import Pictures, open_data

    nested, _, _ = run.spec.subject.rpartition(".")
    learned = field_of(run.config, nested) if nested else None
    if not isinstance(learned, (DataConfig, PairConfig, TwoConfig)):
        raise UsageError(
            f"{run.spec.name} does not learn from the data sources of this package; its pictures cannot be prepared"
        )
    height, width, channels = shape
    frames = learned.frames if isinstance(learned, (DataConfig, TwoConfig)) else DataConfig.frames
    config = DataConfig(
        source_of(text),
        size=width,
        height=height,
        channels=channels,
        crop=learned.crop,
        frames=frames,
        cache=learned.cache,
    )
    data = open_data(config, print)
    if not isinstance(data, Pictures):
        raise UsageError(
            f"{text} is drawn anew each time; name a folder, a file or a source that has pictures of its own"
        )
    return data
