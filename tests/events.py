"""Reads event files back with TensorBoard's own reader, all points and pictures."""

from __future__ import annotations

from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator


def read(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run), size_guidance={TENSORS: 0})
    accumulator.Reload()
    return accumulator
