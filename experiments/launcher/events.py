"""TensorBoard: one event file a run, written record by record, so that a resume can cut it off and go on.

Needs TensorBoard's protocol buffers only, no TensorFlow.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, types_pb2
from tensorboard.compat.tensorflow_stub import errors
from tensorboard.compat.tensorflow_stub.pywrap_tensorflow import PyRecordReader_New
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.custom_scalar import metadata as layout_metadata
from tensorboard.plugins.hparams import api_pb2, plugin_data_pb2
from tensorboard.plugins.hparams import metadata as hparams_metadata
from tensorboard.plugins.hparams.summary_v2 import hparams_pb
from tensorboard.plugins.image import metadata as image_metadata
from tensorboard.plugins.scalar import metadata as scalar_metadata
from tensorboard.plugins.text import metadata as text_metadata
from tensorboard.summary.writer.record_writer import RecordWriter
from tensorboard.util import tensor_util

from experiments.launcher.images import gif, png

__all__ = ["GLOSSARY", "EventFile", "read_scalars", "read_texts", "unknown_tags"]

GLOSSARY = {
    "rollout": "episodes played while training: returns as the environment gives them, lengths, batch sizes",
    "eval": "evaluations of the weights at that moment, by the protocol in `eval/protocol`",
    "loss": "what the optimiser minimises, one tag per term",
    "policy": "the policy's own figures: entropy, exploration rate, distance between updates",
    "value": "value functions: mean, explained variance, errors",
    "critic": "diagnostics of a GAN's discriminator or critic: outputs on real and fake, singular values",
    "optim": "the optimiser: gradient norm, learning rate",
    "time": "speed: steps per second, seconds elapsed",
    "samples": "pictures of an evaluation: image grids from fixed noise, maps of a table of values",
    "video": "films of an evaluation episode",
}
"""The first part of every tag, and what stands under it."""

LAYOUT = {
    "Compare": {
        "Return": [r"eval/return_mean", r"rollout/return$"],
        "Quality of samples": [r"eval/frechet.*", r"eval/.*distance"],
        "Speed": [r"time/steps_per_second"],
    },
    "Training": {
        "Losses": [r"loss/.*"],
        "Policy": [r"policy/.*"],
        "Critic": [r"critic/.*"],
        "Optimiser": [r"optim/.*"],
    },
}


def unknown_tags(tags: Iterable[str]) -> list[str]:
    """Return the tags whose first part is not in GLOSSARY."""
    return [tag for tag in tags if tag.split("/")[0] not in GLOSSARY or "/" not in tag]


class EventFile:
    """Appends events to one file. `step` is the plugin's clock."""

    def __init__(self, path: Path):
        self.path = path
        new = not path.exists() or path.stat().st_size == 0
        self._file = open(path, "ab")  # noqa: SIM115 - lives as long as the run
        self._records = RecordWriter(self._file)
        if new:
            self._records.write(
                event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2").SerializeToString()
            )
        # One that the user has begun with sync_tensorboard waits to be told of folders.
        wandb = sys.modules.get("wandb")
        if wandb is not None and wandb.run is not None and wandb.patched["tensorboard"]:
            wandb.run._tensorboard_callback(str(path.parent), save=True)

    @classmethod
    def continuing(cls, old: Path, new: Path) -> EventFile:
        """Begin the file `new` with what `old` has, but for its hyperparameters and the texts of its beginning."""
        events = cls(new)
        for event in _events(old):
            kept = [value for value in event.summary.value if not _of_beginning(event, value)]
            if kept:
                del event.summary.value[:]
                event.summary.value.extend(kept)
                events._records.write(event.SerializeToString())
        return events

    def length(self) -> int:
        """Flush and return the number of bytes written."""
        self._file.flush()
        return os.fstat(self._file.fileno()).st_size

    def scalars(self, values: Mapping[str, float], step: int) -> None:
        summary = summary_pb2.Summary()
        for tag, value in values.items():
            tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_FLOAT, float_val=[value])
            summary.value.add(tag=tag, tensor=tensor, metadata=scalar_metadata.create_summary_metadata("", ""))
        self._write(summary, step)

    def text(self, tag: str, markdown: str, step: int = 0) -> None:
        self._strings(tag, [markdown.encode()], text_metadata.create_summary_metadata("", ""), step, scalar=True)

    def image(self, tag: str, picture: np.ndarray, step: int) -> None:
        """Write one picture [H, W, C] uint8."""
        height, width = picture.shape[:2]
        self._strings(
            tag, _image_strings(width, height, png(picture)), image_metadata.create_summary_metadata("", ""), step
        )

    def film(self, tag: str, frames: np.ndarray, step: int, frames_per_second: float = 30) -> bytes:
        """Write frames [T, H, W, C] uint8 as an animated GIF, and return it."""
        height, width = frames.shape[1:3]
        encoded = gif(frames, frames_per_second)
        self._strings(tag, _image_strings(width, height, encoded), image_metadata.create_summary_metadata("", ""), step)
        return encoded

    def hyperparameters(self, values: Mapping[str, Any], headline: str) -> None:
        """Write the configuration for the HParams page, ranked by `headline`."""
        plain = {k: v if isinstance(v, (bool, int, float, str)) else str(v) for k, v in values.items()}
        kinds = {bool: api_pb2.DATA_TYPE_BOOL, str: api_pb2.DATA_TYPE_STRING}
        experiment = api_pb2.Experiment(
            hparam_infos=[
                api_pb2.HParamInfo(name=k, type=kinds.get(type(v), api_pb2.DATA_TYPE_FLOAT64)) for k, v in plain.items()
            ],
            metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=headline))],
            time_created_secs=time.time(),
        )
        self._hparams(hparams_metadata.EXPERIMENT_TAG, experiment=experiment)
        self._write(hparams_pb(plain, trial_id="/".join(self.path.parent.parts[-3:])), 0)

    def finished(self, success: bool) -> None:
        """Tell the HParams page how the run ended."""
        status = api_pb2.STATUS_SUCCESS if success else api_pb2.STATUS_FAILURE
        end = plugin_data_pb2.SessionEndInfo(status=status, end_time_secs=time.time())
        self._hparams(hparams_metadata.SESSION_END_INFO_TAG, session_end_info=end)

    def _hparams(self, tag: str, **data: Any) -> None:
        message = plugin_data_pb2.HParamsPluginData(**data)
        summary = summary_pb2.Summary()
        summary.value.add(
            tag=tag, metadata=hparams_metadata.create_summary_metadata(message), tensor=hparams_metadata.NULL_TENSOR
        )
        self._write(summary, 0)

    def layout(self) -> None:
        """Write the page on which runs of different plugins compare (Custom Scalars)."""
        layout = layout_pb2.Layout()
        for title, charts in LAYOUT.items():
            category = layout.category.add(title=title)
            for name, tags in charts.items():
                category.chart.add(title=name, multiline=layout_pb2.MultilineChartContent(tag=tags))
        self._strings(
            "custom_scalars__config__",
            [layout.SerializeToString()],
            layout_metadata.create_summary_metadata(),
            0,
            scalar=True,
        )

    def close(self) -> None:
        self._records.close()

    def _strings(
        self, tag: str, strings: list[bytes], metadata: summary_pb2.SummaryMetadata, step: int, *, scalar: bool = False
    ) -> None:
        tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=strings)
        if not scalar:
            tensor.tensor_shape.dim.add(size=len(strings))
        summary = summary_pb2.Summary()
        summary.value.add(tag=tag, tensor=tensor, metadata=metadata)
        self._write(summary, step)

    def _write(self, summary: summary_pb2.Summary, step: int) -> None:
        self._records.write(event_pb2.Event(wall_time=time.time(), step=step, summary=summary).SerializeToString())


def read_scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    """Return {tag: [(step, value), ...]} of a run folder: all points, in the order they were written.

    A run that is still writing may end in half a record, which is left out.
    """
    scalars: dict[str, list[tuple[int, float]]] = {}
    for step, value in _summaries(run, "scalars"):
        scalars.setdefault(value.tag, []).append((step, float(tensor_util.make_ndarray(value.tensor))))
    return scalars


def read_texts(run: Path) -> dict[str, list[tuple[int, str]]]:
    """Return {tag: [(step, text), ...]} of a run folder, likewise."""
    texts: dict[str, list[tuple[int, str]]] = {}
    for step, value in _summaries(run, "text"):
        texts.setdefault(value.tag, []).append((step, value.tensor.string_val[0].decode()))
    return texts


def _summaries(run: Path, plugin: str) -> Iterator[tuple[int, Any]]:
    """Yield (step, value) of every summary that belongs to one of TensorBoard's plugins."""
    for file in sorted(run.glob("events.out.tfevents.*")):
        for event in _events(file):
            for value in event.summary.value:
                if value.metadata.plugin_data.plugin_name == plugin:
                    yield event.step, value


def _events(file: Path) -> Iterator[Any]:
    reader = PyRecordReader_New(str(file))
    while True:
        try:
            reader.GetNext()
        except (errors.OutOfRangeError, errors.DataLossError):
            return
        yield event_pb2.Event.FromString(reader.record())


def _of_beginning(event: Any, value: Any) -> bool:
    """Return whether a summary says what the run is."""
    plugin = value.metadata.plugin_data.plugin_name
    text = plugin == text_metadata.PLUGIN_NAME and not event.step and "/" not in value.tag
    return text or plugin == hparams_metadata.PLUGIN_NAME


def _image_strings(width: int, height: int, encoded: bytes) -> list[bytes]:
    return [str(width).encode(), str(height).encode(), encoded]
