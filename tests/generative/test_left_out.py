"""One class left out of training, and what is held out to find it among."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from generative.data.left_out import leave_out
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, open_data


def pictures(n: int, labels: list[int] | None) -> Pictures:
    """Picture i has the value i everywhere."""
    images = np.arange(n, dtype=np.uint8)[:, None, None, None] * np.ones((1, 16, 16, 1), np.uint8)
    return Pictures("mine", "test pictures", images, None if labels is None else np.array(labels), mirror=True)


def values(data: Pictures) -> list[int]:
    return data.reference(len(data))[:, 0, 0, 0].tolist()


def test_the_class_left_out_is_in_neither_part_of_the_normal_ones() -> None:
    data = pictures(30, [i % 3 for i in range(30)])
    parts = leave_out(data, "1", 0.25)
    assert sorted(values(parts.anomalous)) == list(range(1, 30, 3))
    assert len(parts.normal) == 5 and len(parts.train) == 15
    assert sorted(values(parts.normal) + values(parts.train)) == [i for i in range(30) if i % 3 != 1]
    assert {int(label) for label in parts.train.labels} == {0, 2}
    assert parts.train.mirror and not parts.normal.mirror
    images, anomalous = parts.measured()
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 3 == 1, anomalous)
    assert len(images) == 15 and parts.protocol.endswith("held out, against 10 of the class left out")
    assert values(leave_out(data, "1", 0.25).normal) == values(parts.normal), "always the same"


def test_nothing_is_left_out_of_pictures_without_labels() -> None:
    parts = leave_out(pictures(20, None), "none", 0.2)
    assert parts.anomalous is None and len(parts.normal) == 4 and len(parts.train) == 16
    assert not parts.measured()[1].any() and parts.protocol.endswith("held out")


@pytest.mark.parametrize(
    ("labels", "anomaly", "held_out", "sentence"),
    [
        (None, "1", 0.2, "anomaly is '1', a label; mine has none, choose 'none' to learn from all its pictures"),
        ([0, 1, 20, 3], "2", 0.5, "anomaly is '2'; did you mean '20'?"),
        ([7, 7, 7, 7], "7", 0.5, "anomaly is '7', the one label of mine; nothing is left to learn from"),
        ([0, 1, 1, 1], "0", 0.1, "held_out is 0.1, which is 0 of 3 normal pictures; at least one must be held out"),
        ([0, 0, 1, 1], "0", 0.9, "held_out is 0.9, which is 2 of 2 normal pictures"),
    ],
)
def test_what_cannot_be_left_out(labels: list[int] | None, anomaly: str, held_out: float, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence.replace("?", r"\?")):
        leave_out(pictures(4, labels), anomaly, held_out)


def test_a_folder_of_normal_pictures_is_held_out_by_name(tmp_path) -> None:
    folder = tmp_path / "normal"
    folder.mkdir()
    for i in range(10):
        Image.new("L", (16, 16), i).save(folder / f"{i}.png")
    data = open_data(DataConfig(f"folder:{folder}", size=16, cache="no"))
    parts = leave_out(data, "none", 0.3)
    assert len(parts.normal) == 3 and sorted(values(parts.normal) + values(parts.train)) == list(range(10))
