"""Data sources of somebody else's package: found, learned from, known again on resume, and named when they are broken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import ForeignError, UsageError
from experiments.launcher.events import read_scalars
from generative.data.captions import open_captions
from generative.data.registry import SOURCES, find, source
from generative.data.settings import CaptionConfig, DataConfig
from generative.data.sources import Mixture, Pictures, open_data
from tests.conftest import only_run

TINY = ("--model.batch", 4, "--model.latent", 3, "--model.width", 2, "--model.eval-samples", 12)
RUN = ("--run.log-every", 1, "--run.eval-every", 0, "--run.save-every", 2)


def test_list_shows_them_and_names_what_is_broken(external: Path, cli) -> None:
    code, out, _ = cli("list")
    assert code == 0
    text = " ".join(out.split())
    assert "stripes pictures: Stripes of two directions" in text and "two-points points: " in text
    assert "bars:PATH pictures: " in text and "grey-scenes captions: " in text
    for line in (
        "broken-source (package pongan-extra): RuntimeError: this plugin cannot even be imported",
        "taken (package pongan-extra): data source 'ring' (pongan_extra.taken_source.ring) is already taken by "
        "generative.data.built_in.mixtures.ring",
        "no-source (package pongan-extra): pongan_extra.q registers no data source",
        "gone (package pongan-extra): ModuleNotFoundError: No module named 'pongan_extra.nowhere'",
    ):
        assert f"broken: data source {line}" in out
    assert "harmless" not in out, "a module is taken as a whole"


def test_they_are_loaded_when_a_name_is_not_built_in(external: Path) -> None:
    DataConfig("ring")
    assert ("stripes", False) not in SOURCES
    assert DataConfig("stripes").places == () and DataConfig("bars:x").places == ("source", "cache")
    assert DataConfig("two-points").points and not DataConfig("stripes").points


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("strips", "data.source is 'strips'; did you mean 'stripes'?"),
        ("bar:x", "did you mean 'bars:'?"),
        ("bars", "data.source is 'bars'; did you mean 'bars:PATH'?"),
        ("bars:", "after the colon comes a path, e.g. bars:data/bars"),
        ("misread:", "after the colon comes a how, e.g. misread:raise"),
        ("stripes:x", "nothing follows stripes"),
        ("grey-scenes", "data.source is 'grey-scenes', which has captions; choose from atari:GAME, bars:PATH"),
        ("broken-source", "is there but broken: RuntimeError: this plugin cannot even be imported"),
        ("broken-source:x", "is there but broken: RuntimeError"),
    ],
)
def test_wrong_names(external: Path, cli, tmp_path: Path, text: str, sentence: str) -> None:
    code, _, err = cli("run", "dcgan", "--model.data.source", text, "--run.folder", tmp_path)
    assert code == 2 and sentence in " ".join(err.split())


@pytest.mark.slow
def test_dcgan_trains_on_one_and_goes_on(external: Path, cli, tmp_path: Path) -> None:
    flags = ("--model.data.source", "stripes", *TINY, *RUN, "--run.until", 4, "--run.folder", tmp_path)
    code, out, err = cli("run", "dcgan", *flags)
    assert code == 0 and "drawing 40 stripes" in out, err
    run = only_run(tmp_path)
    assert run.parts[-3:-1] == ("dcgan", "stripes")
    assert "40 grey images 16x16 of stripes across and along" in (run / "results.json").read_text()
    code, _, err = cli("resume", run, "--run.until", 6)
    assert code == 0, err
    assert [step for step, _ in read_scalars(run)["loss/generator"]] == [1, 2, 3, 4, 5, 6]
    code, _, err = cli("resume", run, "--run.until", 8, "--model.data.source", "ring")
    assert code == 2 and "resume takes only --run.* flags" in err


@pytest.mark.slow
def test_a_run_goes_on_where_its_data_moved(external: Path, cli, tmp_path: Path) -> None:
    text = "\n".join("".join(".#"[(row >> column) % 2] for column in range(16)) for row in range(300, 312))
    (tmp_path / "a.txt").write_text(text)
    flags = (*TINY, *RUN, "--run.until", 2, "--run.folder", tmp_path / "runs")
    code, _, err = cli("run", "dcgan", "--model.data.source", f"bars:{tmp_path / 'a.txt'}", *flags)
    assert code == 0, err
    run = only_run(tmp_path / "runs")
    (tmp_path / "a.txt").rename(tmp_path / "b.txt")
    assert cli("sample", run, "--n", 4)[0] == 0, "needs no data"
    code, _, err = cli("resume", run, "--run.until", 4)
    assert code == 2 and "FileNotFoundError" in err
    code, _, err = cli("resume", run, "--run.until", 4, "--model.data.source", f"bars:{tmp_path / 'b.txt'}")
    assert code == 0, err
    (tmp_path / "b.txt").write_text(text[::-1])
    code, _, err = cli("resume", run, "--run.until", 6)
    assert code == 2 and "their checksum differs" in err


def test_points_and_captions(external: Path) -> None:
    data = open_data(DataConfig("two-points"))
    assert isinstance(data, Mixture) and data.draw(1, 0, 5).shape == (5, 2)
    splits = open_captions(CaptionConfig("grey-scenes"))
    assert splits.sentences == ("a dark picture",) and splits.test.read(np.array([3]))[0].max() == 240
    assert splits.train.wrong_for(0, np.random.default_rng(0)) != "a black picture"
    with pytest.raises(UsageError, match="false that say left or right"):
        CaptionConfig("grey-scenes", mirror=True)
    with pytest.raises(UsageError, match="no meaning for two-points"):
        DataConfig("two-points", mirror=True)


def test_arrays_are_prepared_as_the_flags_say(external: Path) -> None:
    data = open_data(DataConfig("stripes", size=8, channels=3, mirror=True))
    assert isinstance(data, Pictures) and data.shape == (8, 8, 3) and data.digits == 0
    assert data.labels is not None and set(data.labels.tolist()) == {0, 1}
    assert data.protocol == "40 colour images 8x8 of stripes across and along, half of them mirrored"


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        ("raise", "data source 'misread:raise' raised ConnectionError when it was opened: nobody answers"),
        ("exit", "data source 'misread:exit' raised SystemExit when it was opened: it asked to end the process"),
        ("floats", r"returned pictures float64 \[4, 16, 16, 1\]; uint8 \[N, H, W, 1 or 3\] is needed"),
        ("labels", r"returned labels int64 \[3\]; whole numbers \[4\] are needed"),
        (
            "nothing",
            r"\(pongan_extra.stripes.misread\) returned NoneType; for pictures Images or Data, no Mixture, is needed",
        ),
        ("points", r"returned Mixture; for pictures Images or Data, no Mixture, is needed"),
    ],
)
def test_one_that_fails_is_named(external: Path, how: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_data(DataConfig(f"misread:{how}"))


def test_what_one_raises_ends_the_run_with_a_sentence_and_its_traceback(external: Path, cli, tmp_path: Path) -> None:
    code, _, err = cli("run", "dcgan", "--model.data.source", "misread:raise", *TINY, "--run.folder", tmp_path)
    assert code == 2 and "data source 'misread:raise' raised ConnectionError" in err
    assert "nobody answers" in (only_run(tmp_path) / "traceback.txt").read_text()
    with pytest.raises(ForeignError):
        open_data(DataConfig("misread:raise"))


@pytest.mark.parametrize(
    ("usage", "kind", "sentence"),
    [
        ("Stripes", "pictures", "must read 'name' or 'name:ARGUMENT'"),
        ("stripes:", "pictures", "must read 'name' or 'name:ARGUMENT'"),
        ("stripes:path", "pictures", "must read 'name' or 'name:ARGUMENT'"),
        ("stripes", "picture", "did you mean 'pictures'?"),
        ("mnist5k:PATH", "pictures", "is already taken by generative.data.built_in.digits.mnist5k"),
    ],
)
def test_what_cannot_be_registered(usage: str, kind: str, sentence: str) -> None:
    find("mnist5k")  # the built-in ones are there
    before = dict(SOURCES)
    with pytest.raises(UsageError, match=sentence):
        source(usage, kind=kind, summary="")(lambda config, opening: None)  # type: ignore[arg-type]
    assert before == SOURCES
