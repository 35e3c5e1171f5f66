"""The verb `anomalies`: the order of the scores, names and labels of every kind of set, sheets, and what cannot be scored."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from core.metrics.anomalies import anomaly_sheet, scaled_scores
from core.plugin import FindsAnomalies
from experiments.launcher.experiment import StoredRun
from experiments.verbs.anomalies import find
from generative.data.sets import source_of
from generative.data.settings import DataConfig
from generative.data.sources import open_data
from tests.conftest import only_run

SIDE = 16


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from experiments.__main__ import main

    root = tmp_path_factory.mktemp("runs")
    small = f"--model.data.source digits --model.data.size {SIDE} --model.width 2 --model.latent 3 --run.until 2"
    assert main(["run", "ganomaly", *small.split(), "--run.folder", str(root)]) == 0
    return only_run(root)


class Brightness(FindsAnomalies):
    """Scores the mean of a picture, and reconstructs it half as bright."""

    picture_shape = (SIDE, SIDE, 1)

    def anomalies(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        assert images.shape[1:] == self.picture_shape
        return images.mean(axis=(1, 2, 3)), images // 2


def fill(folder: Path, values: list[int]) -> Path:
    folder.mkdir(parents=True)
    for value in values:
        Image.new("L", (40, 40), value).save(folder / f"grey{value:03d}.png")
    return folder


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_pictures_are_called_by_their_paths_and_broken_ones_left_out(run: Path, tmp_path: Path) -> None:
    fill(tmp_path / "p" / "good", [10, 30])
    fill(tmp_path / "p" / "bad", [200])
    whole = (tmp_path / "p" / "good" / "grey010.png").read_bytes()
    (tmp_path / "p" / "good" / "half.png").write_bytes(whole[:-30])
    config = DataConfig(source_of(str(tmp_path / "p")), size=SIDE, channels=1, cache="no")
    found = find(StoredRun.of([str(run)]), Brightness(), open_data(config))
    assert found.names == ["bad/grey200.png", "good/grey010.png", "good/grey030.png"]
    assert found.labels == ["bad", "good", "good"] and found.scores.tolist() == [200, 10, 30]
    np.testing.assert_allclose(found.scaled, [1, 0, 20 / 190])


def test_a_folder_becomes_a_table_and_two_sheets(run: Path, cli, tmp_path: Path) -> None:
    fill(tmp_path / "p", [0, 90, 180, 255])
    out, table = tmp_path / "out", tmp_path / "scores.csv"
    code, text, err = cli("anomalies", run, tmp_path / "p", "--csv", table, "-o", out, "--n", 3)
    assert code == 0, err
    found = rows(table)
    assert [row["picture"] for row in found] == [f"grey{value:03d}.png" for value in (0, 90, 180, 255)]
    scores = np.array([float(row["score"]) for row in found])
    np.testing.assert_allclose([float(row["scaled"]) for row in found], scaled_scores(scores), atol=1e-3)
    assert list(found[0]) == ["picture", "score", "scaled"]
    highest = found[int(scores.argmax())]["picture"]
    assert "4 pictures by ganomaly on digits" in text and text.index(highest) < text.index("scores.csv")
    value = int(highest[4:7])
    with Image.open(out / "highest.png") as sheet, Image.open(out / "lowest.png") as lowest:
        assert sheet.size == lowest.size == (3 * SIDE, 3 * SIDE)
        assert np.abs(np.asarray(sheet, int)[:SIDE, :SIDE] - value).max() <= 1


def test_a_source_has_labels_and_an_area_under_the_curve(run: Path, cli, tmp_path: Path) -> None:
    table = tmp_path / "scores.csv"
    code, text, err = cli("anomalies", run, "digits", "--csv", table, "--anomalous", 0, "--weights", "newest")
    assert code == 0, err
    found = rows(table)
    data = open_data(DataConfig("digits"))
    assert [row["label"] for row in found] == [str(label) for label in data.labels]
    scores, zero = np.array([float(row["score"]) for row in found]), data.labels == 0
    area = np.mean(scores[zero][:, None] > scores[~zero])
    assert abs(float(text.split("against the others: ")[1].split()[0]) - area) < 1e-3


def test_an_array_is_called_by_number(run: Path, cli, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", images=np.zeros((3, 20, 20, 3), np.uint8))
    code, _, err = cli("anomalies", run, tmp_path / "a.npz", "--csv", tmp_path / "s.csv")
    assert code == 0, err
    assert [row["picture"] for row in rows(tmp_path / "s.csv")] == ["0", "1", "2"]
    assert {row["scaled"] for row in rows(tmp_path / "s.csv")} == {"0.000000"}


def test_words_that_name_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    fill(tmp_path / "digits", [1])
    assert source_of("digits") == "digits" and source_of("./digits") == "folder:digits"
    assert source_of(f"folder:{tmp_path}") == f"folder:{tmp_path}"
    with pytest.raises(UsageError, match=r"'mnist5' is no folder, .npz file or data source; did you mean 'mnist5k'"):
        source_of("mnist5")
    with pytest.raises(UsageError, match="there is no folder or file 'no/where'"):
        source_of("no/where")


def test_what_cannot_be_scored_gets_a_sentence(run: Path, cli, tmp_path: Path) -> None:
    fill(tmp_path / "p", [0, 255])
    pictures = tmp_path / "p"
    for words, sentence in (
        ((run, "mnist5"), "'mnist5' is no folder, .npz file or data source; did you mean 'mnist5k'"),
        ((run, pictures, "--n", 0), "--n is 0; it must be at least 1 and at most 1,000"),
        ((run, pictures, "--csv", tmp_path), "it must be a file in a folder that exists"),
        ((run, pictures, "-o", tmp_path / "no" / "where"), "it must be a folder, or a new one in a folder that exists"),
        ((run, pictures, "--anomalous", "bad"), "--anomalous is 'bad', but these pictures have no labels"),
        ((run, "digits", "--anomalous", "11"), "--anomalous is '11'; did you mean '1'"),
        ((run, "ring"), "'ring' is no folder, .npz file or data source"),
    ):
        code, _, err = cli("anomalies", *words)
        assert code == 2 and sentence in " ".join(err.split()), err


def test_a_model_that_finds_none_gets_a_sentence(cli, tmp_path: Path) -> None:
    flags = ("--model.data.source", "ring", "--run.until", 2, "--run.folder", tmp_path / "runs")
    assert cli("run", "dcgan", *flags)[0] == 0
    code, _, err = cli("anomalies", only_run(tmp_path / "runs"), "digits")
    assert code == 2 and "dcgan finds no anomalies; `pongan list` shows models that do" in " ".join(err.split())


def test_a_sheet_of_few_pictures_is_as_wide_as_they_are() -> None:
    images = np.full((2, SIDE, SIDE, 1), 100, np.uint8)
    assert anomaly_sheet(images, images // 2).shape == (2, 3 * SIDE, SIDE, 3)
