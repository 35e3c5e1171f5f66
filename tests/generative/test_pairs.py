"""Pairs and two unpaired sources: squares at one place, what is held out, files with partners, clear sentences."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.errors import UsageError
from generative.data.pairs import open_pairs
from generative.data.photographs import HELD_OUT, IN_COLOUR
from generative.data.settings import DataConfig, PairConfig, TwoConfig
from generative.data.two import open_two


def picture(path: Path, value: int, size: tuple[int, int] = (20, 20)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (value, value, value)).save(path)


def halves(path: Path, left: int, right: int) -> None:
    """A picture twice as wide as high, each half of one grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    x = np.full((20, 40, 3), left, np.uint8)
    x[:, 20:] = right
    Image.fromarray(x).save(path)


def test_grey_and_colour_are_cut_at_one_place() -> None:
    train, held_out = open_pairs(PairConfig("grey", size=32))
    x = train.draw(seed=3, position=0, batch=16)
    assert x.shape == (16, 32, 32, 4) and train.domains == ("grey", "colour") and train.channels == (1, 3)
    grey, colour = train.split(x)
    luma = colour @ np.array([0.299, 0.587, 0.114])  # BT.601, full range
    assert np.abs(grey[..., 0] - luma).max() <= 1
    np.testing.assert_array_equal(x, train.draw(seed=3, position=0, batch=16))
    assert not np.array_equal(x, train.draw(seed=3, position=1, batch=16))
    assert not set(IN_COLOUR) & set(HELD_OUT)
    assert "astronaut" in train.protocol and "chelsea" in held_out.protocol and "chelsea" not in train.protocol


def test_half_of_the_pairs_are_mirrored_both_pictures_alike() -> None:
    plain, mirrored = (open_pairs(PairConfig("grey", size=32, mirror=m)).train for m in (False, True))
    a, b = (pairs.draw(seed=3, position=0, batch=64) for pairs in (plain, mirrored))
    same = np.array([np.array_equal(x, y) for x, y in zip(a, b, strict=True)])
    turned = np.array([np.array_equal(x[:, ::-1], y) for x, y in zip(a, b, strict=True)])
    assert (same | turned).all() and 20 < same.sum() < 44


def test_edges_are_black_on_white_and_each_square_begins_a_quarter_of_a_square_after_the_last() -> None:
    split = open_pairs(PairConfig("edges", size=64))
    a, b = split.train.split(split.train.draw(seed=1, position=0, batch=4))
    assert set(np.unique(a)) == {0, 255} and 0.5 < (a == 255).mean() < 0.99 and b.shape == (4, 64, 64, 3)
    sides = [(200, 300), (150, 225), (213, 320)]  # half of coffee, chelsea and flower
    expected = sum(((h - 64) // 16 + 1) * ((w - 64) // 16 + 1) for h, w in sides)
    everything = split.held_out.reference(10_000)
    assert len(everything) == expected
    np.testing.assert_array_equal(split.held_out.reference(2), everything[[0, expected // 2]])


def test_a_drawing_is_dark_where_the_photograph_is_darker_than_around() -> None:
    train, _ = open_pairs(PairConfig("pencil", size=64))
    a, b = train.split(train.draw(seed=1, position=0, batch=4))
    assert a.shape == (4, 64, 64, 1) and b.shape == (4, 64, 64, 3) and a.min() == 0 and (a == 255).mean() > 0.2
    grey = b.astype(float).mean(axis=3)
    around = (grey[:, :-6, 3:-3] + grey[:, 6:, 3:-3] + grey[:, 3:-3, :-6] + grey[:, 3:-3, 6:]) / 4
    lines, middle = a[:, 3:-3, 3:-3, 0], grey[:, 3:-3, 3:-3]
    assert (middle < around)[lines == 0].mean() > 0.9 > 0.5 > (middle < around)[lines == 255].mean()


def test_reverse_exchanges_the_pictures() -> None:
    forth, back = (open_pairs(PairConfig("grey", size=32, reverse=r)).train for r in (False, True))
    assert back.domains == ("colour", "grey") and back.channels == (3, 1)
    x, y = (pairs.draw(seed=1, position=0, batch=2) for pairs in (forth, back))
    np.testing.assert_array_equal(forth.split(x)[1], back.split(y)[0])


@pytest.mark.parametrize("layout", ["folders", "halves"])
def test_own_pairs_stay_together(tmp_path: Path, layout: str) -> None:
    for i in range(10):
        if layout == "halves":
            halves(tmp_path / f"{i}.png", 10 * i, 10 * i + 100)
        else:
            picture(tmp_path / "a" / "x" / f"{i}.png", 10 * i)
            picture(tmp_path / "b" / "x" / f"{i}.bmp", 10 * i + 100)
    config = PairConfig(f"pairs:{tmp_path}", size=16, held_out=0.2, cache="no")
    train, held_out = open_pairs(config)
    assert len(train) == 8 and len(held_out) == 2 and train.domains == ("a", "b")
    seen = set[int]()
    for pairs in (train, held_out):
        x = pairs.reference(100)
        a, b = pairs.split(x)
        assert x.shape == (len(pairs), 16, 16, 6)
        np.testing.assert_array_equal(a + 100, b)
        assert not seen & set(np.unique(a).tolist())
        seen |= set(np.unique(a).tolist())
    assert seen == {10 * i for i in range(10)}
    x = train.draw(seed=0, position=0, batch=8)
    np.testing.assert_array_equal(x[..., :3] + 100, x[..., 3:])


def test_a_run_knows_its_pairs_again_and_a_broken_file_takes_its_partner_along(tmp_path: Path) -> None:
    data, files = tmp_path / "data", tmp_path / "files"
    for i in range(6):
        picture(data / "a" / f"{i}.png", 10 * i)
        picture(data / "b" / f"{i}.png", 10 * i + 100)
    config = PairConfig(f"pairs:{data}", size=16, held_out=0.2, cache="no")
    before = open_pairs(config, folder=files)
    picture(data / "a" / "new.png", 99)
    (data / "b" / "2.png").write_bytes((data / "b" / "2.png").read_bytes()[:-40])
    after = open_pairs(config, folder=files)
    assert [len(part) for part in after] == [len(part) for part in before] == [5, 1]
    x = np.concatenate([part.reference(10) for part in after])
    np.testing.assert_array_equal(x[..., :3] + 100, x[..., 3:])
    assert set(np.unique(x[..., :3])) == {0, 10, 30, 40, 50}
    shutil.rmtree(data)
    gone = open_pairs(config, folder=files)  # a model can still be drawn from
    with pytest.raises(UsageError, match="is not there"):
        gone.train.draw(0, 0, 2)


def test_folders_that_are_no_pairs_get_a_sentence(tmp_path: Path) -> None:
    def opened(folder: Path) -> None:
        open_pairs(PairConfig(f"pairs:{folder}", size=16, cache="no"))

    picture(tmp_path / "alone" / "a" / "1.png", 0)
    picture(tmp_path / "alone" / "a" / "2.png", 0)
    picture(tmp_path / "alone" / "b" / "1.png", 0)
    with pytest.raises(UsageError, match=r"where 1 files of a have none of the same name in b, e.g. a/2"):
        opened(tmp_path / "alone")
    picture(tmp_path / "square" / "1.png", 0)
    with pytest.raises(
        UsageError, match=r"no picture twice as wide as high \(1.png 20x20\); pairs are one or the other"
    ):
        opened(tmp_path / "square")
    halves(tmp_path / "one" / "1.png", 0, 1)
    with pytest.raises(UsageError, match=r"data\.held_out is 0\.1, which is 0 of 1 pairs"):
        opened(tmp_path / "one")
    with pytest.raises(UsageError, match="is not there"):
        opened(tmp_path / "nowhere")


def test_two_sources_have_one_shape_and_hold_out(tmp_path: Path) -> None:
    two = open_two(TwoConfig(size=16, held_out=0.2))
    assert two.shape == (16, 16, 1) and [d.name for d in two] == ["mnist5k-middle", "digits"]
    assert [len(d.held_out) for d in two] == [1000, 359] and two.classes is not None and len(two.classes) == 10
    middle = open_two(TwoConfig("two:mnist5k-middle,mnist5k", size=22)).a.train
    whole = open_two(TwoConfig("two:mnist5k-middle,mnist5k", size=28)).b.train
    np.testing.assert_array_equal(middle.reference(3), whole.reference(3)[:, 3:25, 3:25])
    for i in range(4):
        picture(tmp_path / "reds" / f"{i}.png", i)
    mixed = open_two(TwoConfig(f"two:{tmp_path}/reds,digits", size=16, held_out=0.3, cache="no"))
    assert mixed.shape == (16, 16, 3) and mixed.a.name == "reds" and mixed.classes is None
    digit = mixed.b.train.reference(1)
    np.testing.assert_array_equal(digit[..., 0], digit[..., 2])


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (
            lambda: PairConfig("mnist5k"),
            "data.source is 'mnist5k', which has no pairs of pictures; choose from edges, grey",
        ),
        (lambda: PairConfig("edgs"), "data.source is 'edgs'; did you mean 'edges'?"),
        (lambda: PairConfig("pairs"), "data.source is 'pairs'; did you mean 'pairs:PATH'?"),
        (lambda: PairConfig("edges", size=4), "data.size is 4; it must be at least 8 pixels"),
        (lambda: PairConfig("edges", jitter=3), "data.jitter is 3; it must lie between 1 and 2"),
        (lambda: open_pairs(PairConfig("edges", size=400)), "data.size is 400; half of a photograph"),
        (lambda: DataConfig("edges"), "data.source is 'edges', which has pairs of pictures"),
        (lambda: DataConfig("two:a,b"), "data.source is 'two:a,b', which is two sources"),
        (lambda: TwoConfig("digits"), "data.source is 'digits', which is not two sources"),
        (lambda: TwoConfig("two"), "data.source is 'two'; did you mean 'two:A,B'?"),
        (lambda: TwoConfig("two:"), "after the colon comes two sources, with a comma between them, e.g. two:mnist5k"),
        (lambda: TwoConfig("two:digits"), "it must name two sources with a comma between them"),
        (lambda: TwoConfig("two:digits,mnist5"), "data.source is 'mnist5'; did you mean 'mnist5k'?"),
        (lambda: TwoConfig(held_out=1), "data.held_out is 1; it must lie between 0 and 1"),
        (lambda: open_two(TwoConfig("two:digits,ring")), "ring has no pictures of its own"),
        (lambda: open_two(TwoConfig("two:digits,./no/where")), "names the folder"),
    ],
)
def test_settings_that_cannot_be(make, sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        make()
    assert sentence in str(caught.value)


def test_places_may_move_where_they_are_paths() -> None:
    assert PairConfig("edges").places == () and PairConfig("pairs:./x").places == ("source", "cache")
    assert TwoConfig().places == () and TwoConfig("two:./a,digits").places == ("source", "cache")
    assert TwoConfig("two:./a,b/c.npz").sources == ("folder:./a", "npz:b/c.npz")
