from __future__ import annotations

import io
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from tensorboard.plugins.custom_scalar import layout_pb2
from tensorboard.plugins.hparams import plugin_data_pb2

from experiments.launcher.events import GLOSSARY, EventFile, read_scalars, unknown_tags
from experiments.launcher.images import gif, grid
from tests.conftest import ROOT
from tests.events import read


@pytest.fixture
def written(tmp_path: Path) -> Path:
    events = EventFile(tmp_path / "events.out.tfevents.1.test")
    events.layout()
    events.hyperparameters(
        {"agent.lr": 0.1, "agent.bias": True, "agent.env.id": "X", "agent.env.actions": [0, 2], "none": None}, "eval/x"
    )
    events.text("config", "# title")
    for step in range(50):
        events.scalars({"loss/a": step / 2, "eval/x": 1.0}, step)
    events.image("samples/a", np.full((4, 6, 3), 9, np.uint8), 3)
    events.film("video/a", np.random.default_rng(0).integers(0, 255, (3, 8, 10, 3)).astype(np.uint8), 4)
    events.finished(True)
    events.close()
    return tmp_path


def test_scalars_read_back_all_of_them(written: Path) -> None:
    assert read_scalars(written) == {"loss/a": [(s, s / 2) for s in range(50)], "eval/x": [(s, 1.0) for s in range(50)]}


def test_pictures_and_films_read_back(written: Path) -> None:
    events = read(written)
    width, height, png = events.Tensors("samples/a")[0].tensor_proto.string_val
    assert (width, height) == (b"6", b"4")
    assert np.asarray(Image.open(io.BytesIO(png))).tolist() == np.full((4, 6, 3), 9).tolist()
    film = Image.open(io.BytesIO(events.Tensors("video/a")[0].tensor_proto.string_val[2]))
    assert film.n_frames == 3 and film.size == (10, 8)


def test_hyperparameters_and_layout_read_back(written: Path) -> None:
    events = read(written)

    def content(tag: str) -> plugin_data_pb2.HParamsPluginData:
        return plugin_data_pb2.HParamsPluginData.FromString(events.SummaryMetadata(tag).plugin_data.content)

    experiment = content("_hparams_/experiment").experiment
    assert [m.name.tag for m in experiment.metric_infos] == ["eval/x"]
    values = content("_hparams_/session_start_info").session_start_info.hparams
    assert (
        values["agent.lr"].number_value == 0.1
        and values["agent.bias"].bool_value
        and values["none"].string_value == "None"
    )
    assert content("_hparams_/session_end_info").session_end_info.status == 1
    layout = layout_pb2.Layout.FromString(events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0])
    assert [c.title for c in layout.category] == ["Compare", "Training"]
    for category in layout.category:
        for chart in category.chart:
            assert not unknown_tags(chart.multiline.tag)


def test_a_file_that_is_cut_and_gone_on_with_stays_readable(tmp_path: Path) -> None:
    path = tmp_path / "events.out.tfevents.1.test"
    events = EventFile(path)
    events.scalars({"loss/a": 1.0}, 1)
    length = events.length()
    events.scalars({"loss/a": 2.0}, 2)
    events.close()
    with open(path, "r+b") as file:
        file.truncate(length)
    events = EventFile(path)
    events.scalars({"loss/a": 3.0}, 3)
    events.close()
    assert read_scalars(tmp_path) == {"loss/a": [(1, 1.0), (3, 3.0)]}


def test_the_glossary_is_that_of_the_concepts() -> None:
    page = (ROOT / "docs" / "concepts.md").read_text()
    for tag, meaning in GLOSSARY.items():
        assert f"| `{tag}/` | {meaning} |" in page


def test_unknown_tags() -> None:
    assert unknown_tags(["loss/a", "loss", "losses/a", "eval/b"]) == ["loss", "losses/a"]


def test_grid_is_row_by_row() -> None:
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((5, 2, 3, 1), np.uint8)
    picture = grid(images)
    assert picture.shape == (4, 9, 1)
    assert picture[::2, ::3, 0].tolist() == [[0, 1, 2], [3, 4, 0]]
    with pytest.raises(ValueError, match=r"\[N, H, W, C\] is needed"):
        grid(images[0])


def test_gif_keeps_frames_and_pace() -> None:
    frames = (np.arange(4)[:, None, None, None] * np.full((4, 5, 6, 3), 60)).astype(np.uint8)
    film = Image.open(io.BytesIO(gif(frames, frames_per_second=20)))
    assert film.n_frames == 4 and film.info["duration"] == 50


def test_a_waiting_wandb_run_is_told_of_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only one with sync_tensorboard; without wandb, or before its run begins, nothing happens."""
    told: list[tuple[str, bool]] = []
    run = SimpleNamespace(_tensorboard_callback=lambda folder, save: told.append((folder, save)))
    for wandb in (
        SimpleNamespace(run=None, patched={"tensorboard": []}),
        SimpleNamespace(run=run, patched={"tensorboard": []}),
        SimpleNamespace(run=run, patched={"tensorboard": [["module", "writer"]]}),
    ):
        monkeypatch.setitem(sys.modules, "wandb", wandb)
        EventFile(tmp_path / "events.out.tfevents.1.host").close()
    assert told == [(str(tmp_path), True)]
