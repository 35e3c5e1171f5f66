"""Reads event files back with TensorBoard's own reader."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import (
    COMPRESSED_HISTOGRAMS,
    IMAGES,
    TENSORS,
    EventAccumulator,
)
from tensorboard.util import tensor_util


def read(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run), size_guidance={TENSORS: 0, IMAGES: 0, COMPRESSED_HISTOGRAMS: 0})
    accumulator.Reload()
    return accumulator


def read_scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return {tag: [(step, value), ...]} for all scalars of a run, in the order they were written."""
    accumulator = read(run)
    tags = [
        tag
        for tag in accumulator.Tags()["tensors"]
        if accumulator.SummaryMetadata(tag).plugin_data.plugin_name == "scalars"
    ]
    return {
        tag: [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in accumulator.Tensors(tag)]
        for tag in tags
    }
