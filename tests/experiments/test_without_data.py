"""What `sample` and `export` need is in the run: the data, the extractor and the working directory may be gone."""

from __future__ import annotations

import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from experiments.launcher.catalogue import catalogue
from tests.conftest import only_run

MODELS = {
    "dcgan": "--model.data.size 16 --model.width 4 --model.batch 2 --model.eval-samples 4 --model.extractor own.keras",
    "vae": "--model.data.size 16 --model.hidden 8 --model.batch 2 --model.turn 1 --model.held-out 2 --model.nll-samples 2",
    "gan-cls": "",
}


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.slow) if name == "gan-cls" else name for name in MODELS]
)
def test_after_the_data_are_gone(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Everything by relative paths, in a folder that is then moved, from another working directory."""
    work, elsewhere = tmp_path / "work", tmp_path / "elsewhere"
    for folder in (work / "own", elsewhere):
        folder.mkdir(parents=True)
    monkeypatch.chdir(work)
    for i in range(12):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (16, 16, 3), np.uint8)).save(f"own/{i:02d}.png")
        Path(f"own/{i:02d}.txt").write_text(f"picture {i}")
    keras.Sequential([keras.Input((16, 16, 3)), keras.layers.AveragePooling2D(4)]).save("own.keras")
    tiny = catalogue().plugins["gan-cls"].tiny if name == "gan-cls" else {}
    given = [f"--model.{key.replace('_', '-')}={value}" for key, value in tiny.items() if key != "data.source"]
    more = [*given, *MODELS[name].split(), "--model.data.source", "folder:own", "--run.until", 1]
    code, _, err = cli("run", name, *more, "--run.folder", "runs")
    assert code == 0, err
    run, flags = only_run(Path("runs")), ["--n", 3]
    code, _, err = cli("sample", run, *flags, "--folder", tmp_path / "before")
    assert code == 0, err

    shutil.rmtree("own")
    Path("own.keras").unlink()
    monkeypatch.chdir(elsewhere)
    work.rename(tmp_path / "moved")
    run = tmp_path / "moved" / run
    code, _, err = cli("sample", run, *flags, "--folder", "after")
    assert code == 0, err
    assert len(list(Path("after").glob("*.png"))) == 3
    assert len(list(Path("after").glob("*.txt"))) == (3 if name == "gan-cls" else 0)
    for file in (tmp_path / "before").iterdir():
        assert file.read_bytes() == Path("after", file.name).read_bytes()
    code, _, err = cli("export", run, "-o", "exported")
    assert code == 0, err
    assert (elsewhere / "exported" / "saved_model.pb").is_file()
