"""Captioned pictures: captions say what is there, wrong ones are wrong in meaning, unseen pairs stay unseen, own data is read."""

from __future__ import annotations

import io
import tarfile
import unicodedata
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core.errors import UsageError
from generative.data import shapes
from generative.data.captions import Captioned, Examples, Splits, open_captions
from generative.data.settings import CaptionConfig
from generative.data.shapes import COLOURS, PLACES, SEEN, SHAPES, SIZES, UNSEEN, Claim, Thing
from generative.data.words import Words, words_of

RED, GREEN, BLUE = (list(COLOURS).index(name) for name in ("red", "green", "blue"))
CIRCLE, SQUARE, TRIANGLE = (SHAPES.index(name) for name in ("circle", "square", "triangle"))
SMALL, LARGE = (list(SIZES).index(name) for name in ("small", "large"))
TOP, MIDDLE, RIGHT = (PLACES.index(name) for name in ("top", "middle", "right"))
TOP_LEFT = PLACES.index("top left")
NO = -1


@pytest.fixture(scope="module")
def splits() -> Splits:
    return open_captions(CaptionConfig(pictures=300, captions=3))


@pytest.fixture
def words(splits: Splits, tmp_path: Path) -> Words:
    Words.learn(splits.train.captions, tmp_path / "words.txt")
    return Words(tmp_path / "words.txt")


# --- claims -----------------------------------------------------------------------------------------------------------

SCENE = (Thing(RED, CIRCLE, LARGE, TOP), Thing(BLUE, SQUARE, SMALL, MIDDLE))


@pytest.mark.parametrize(
    ("claim", "expected"),
    [
        (Claim(SCENE), True),
        (Claim(SCENE[::-1]), True),  # the order of naming says nothing
        (Claim((Thing(RED, CIRCLE, NO, NO), Thing(BLUE, SQUARE, NO, NO))), True),
        (Claim((Thing(RED, CIRCLE, NO, NO), Thing(BLUE, SQUARE, NO, NO)), "above"), True),
        (Claim((Thing(BLUE, SQUARE, NO, NO), Thing(RED, CIRCLE, NO, NO)), "below"), True),
        (Claim((Thing(RED, CIRCLE, NO, NO), Thing(BLUE, SQUARE, NO, NO)), "below"), False),
        (Claim((Thing(RED, CIRCLE, NO, NO), Thing(BLUE, SQUARE, NO, NO)), "left"), False),
        (Claim((Thing(RED, CIRCLE, SMALL, NO), Thing(BLUE, SQUARE, NO, NO))), False),
        (Claim((Thing(RED, CIRCLE, NO, MIDDLE), Thing(BLUE, SQUARE, NO, NO))), False),
        (Claim((Thing(RED, SQUARE, NO, NO), Thing(BLUE, CIRCLE, NO, NO))), False),  # the same words, exchanged
        (Claim((Thing(RED, CIRCLE, LARGE, TOP),)), False),  # a caption names everything
    ],
)
def test_a_claim_holds_or_not(claim: Claim, expected: bool) -> None:
    assert shapes.is_true(claim, SCENE) is expected


def test_every_wording_is_true_of_its_scene_and_says_its_words() -> None:
    rng = np.random.default_rng(0)
    seen: set[str] = set()
    for _ in range(2_000):
        scene = shapes.draw_scene(rng, SEEN)
        text, claim = shapes.caption(scene, rng)
        assert shapes.is_true(claim, scene)
        seen.update(text.split())
        assert "a orange" not in text and "an red" not in text and "  " not in text
    both = {"circle", "disc", "square", "box", "large", "big", "small", "little", "purple", "violet", "above", "over"}
    assert both | {"left", "right", "below", "under", "triangle", "cross", "plus"} <= {word.strip(",") for word in seen}


def test_complete_captions_of_one_thing_leave_nothing_out() -> None:
    rng = np.random.default_rng(1)
    for _ in range(200):
        thing = shapes.draw_scene(rng, SEEN, 1)[0]
        assert shapes.caption((thing,), rng, complete=True)[1] == Claim((thing,))
    assert shapes.sentence(Thing(RED, CIRCLE, LARGE, TOP_LEFT)) == "a large red circle at the top left"


def test_unseen_pairs_are_in_no_training_picture(splits: Splits) -> None:
    assert set(SEEN) | set(UNSEEN) == {(c, s) for c in range(len(COLOURS)) for s in range(len(SHAPES))}
    assert {c for c, _ in SEEN} == set(range(len(COLOURS))) and {s for _, s in SEEN} == set(range(len(SHAPES)))
    forbidden = [
        (words, shape)
        for colour, shape in ((list(COLOURS)[c], SHAPES[s]) for c, s in UNSEEN)
        for words in ([colour, "violet"] if colour == "purple" else [colour])
    ]
    synonyms = {"circle": ("circle", "disc"), "square": ("square", "box"), "cross": ("cross", "plus")}
    for texts in splits.train.captions:
        for text in texts:
            for colour, shape in forbidden:
                assert not any(f"{colour} {name}" in text for name in synonyms.get(shape, (shape,))), text
    assert splits.unseen is not None
    assert any("red cross" in text or "red plus" in text for texts in splits.unseen.captions for text in texts)


@pytest.mark.parametrize("shape", range(len(SHAPES)))
def test_painted_things_are_where_and_what_they_should_be(shape: int) -> None:
    for place in range(len(PLACES)):
        for size, radius in enumerate(SIZES.values()):
            image = shapes.paint((Thing(RED, shape, size, place),), np.random.default_rng(place)).astype(float)
            red = image[..., 0] - image[..., 2] > 80
            rows, columns = np.nonzero(red)
            centre = np.array([rows.mean(), columns.mean()])
            expected = np.array([shapes.CENTRES[i] for i in divmod(place, 3)])
            assert np.abs(centre - expected).max() < 3
            assert 0.35 * np.pi * radius**2 < red.sum() < 1.3 * np.pi * radius**2
            assert image[~red].std() < 30  # a plain ground


# --- batches ----------------------------------------------------------------------------------------------------------


def test_wrong_captions_are_wrong_in_meaning(splits: Splits, words: Words) -> None:
    """Pictures and captions are few here, so other pictures' captions that happen to be true are met often."""
    twins = [Thing(RED, CIRCLE, LARGE, TOP), Thing(RED, CIRCLE, LARGE, TOP), Thing(GREEN, TRIANGLE, SMALL, RIGHT)]
    texts = [
        ["a large red circle at the top"],
        ["in the picture a big red disc near the upper edge"],
        ["a green triangle"],
    ]
    claims = [Claim((thing,)) for thing in twins]
    images = np.zeros((3, 64, 64, 3), np.uint8)

    def is_true(i: int, j: int, k: int) -> bool:
        return shapes.is_true(claims[j], (twins[i],))

    data = Captioned("twins", "twins", images, texts, is_true, np.arange(3))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    assert {data.wrong_for(0, rng) for _ in range(50)} == set(texts[2])  # never the twin's, whose words are other ones
    assert {data.wrong_for(2, rng) for _ in range(50)} == {*texts[0], *texts[1]}
    assert len(data.different(3, rng)) == 2

    batch = Examples(splits.train, words).draw(1, 0, 64)
    assert batch.x.shape == (64, 64, 64, 3) and batch.x.dtype == np.uint8
    assert not batch.false.diagonal().any() and 0.9 < batch.false.mean() < 1
    assert not (batch.text == batch.wrong).all(axis=1).any()


def test_a_caption_is_wrong_in_one_attribute_of_one_thing() -> None:
    scene = (Thing(RED, CIRCLE, LARGE, TOP), Thing(GREEN, TRIANGLE, SMALL, RIGHT))
    changes = []
    for seed in range(300):
        text = shapes.wrong_caption(scene, shapes.SEEN, np.random.default_rng(seed))
        words = set(text.split())
        assert len(words & {"a", "an"}) >= 1
        right = [bool({"red"} & words), bool({"circle", "disc"} & words), bool({"green"} & words), "triangle" in words]
        assert sum(right) >= 3, text  # at most one colour or shape is another
        changes.append("".join("-x"[not r] for r in right))
        pairs = [pair for pair in shapes.UNSEEN if list(shapes.COLOURS)[pair[0]] + " " + shapes.SHAPES[pair[1]] in text]
        assert not pairs, text
    assert set(changes) == {"----", "x---", "-x--", "--x-", "---x"}  # the first: a size, a place or a relation
    assert 0.4 < sum(change in ("-x--", "---x") for change in changes) / len(changes) < 0.6  # shapes


def test_nothing_can_be_wrong_where_all_captions_say_the_same() -> None:
    images = np.zeros((2, 64, 64, 3), np.uint8)
    data = Captioned("same", "same", images, [["a"], ["a"]], lambda i, j, k: True, np.arange(2))  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="differ in meaning"):
        data.wrong_for(0, np.random.default_rng(0))


def test_batches_are_a_function_of_seed_and_position(splits: Splits, words: Words) -> None:
    first, second = Examples(splits.train, words), Examples(splits.train, words)
    late = second.draw(3, 7, 16)
    for position in range(8):
        batch = first.draw(3, position, 16)
    for a, b in zip(batch, late, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(first.draw(4, 7, 16).x, late.x)


def test_words_are_known_or_named(words: Words) -> None:
    assert words.encode_typed("A large RED circle, above a small blue square.") == words.encode(
        "a large red circle above a small blue square"
    )
    with pytest.raises(UsageError, match=r"'cyan'.*'squares': did you mean 'square'"):
        words.encode_typed("a cyan circle and two squares".replace("two ", ""))
    with pytest.raises(UsageError, match="no word"):
        words.encode_typed("!!")
    assert words_of("An orange-ish one.") == ("an", "orange", "ish", "one")
    np.testing.assert_array_equal(words.pad([[4, 5], [6]], 3), [[4, 5, 0], [6, 0, 0]])


CAPTIONS = [
    *("this flower's petals are light-purple", "It isn't red; it can't be: it's blue!", "3.5 cm, 1,000 petals, p.m."),
    *("Die Blüte ist groß und ÜPPIG", "красный круг НАД синим", "赤い丸", "a_b  under\tscore ½ ²", "naïve café"),
]


def test_exported_captions_are_split_as_in_training(tmp_path: Path) -> None:
    Words.learn([CAPTIONS], tmp_path / "words")
    words = Words(tmp_path / "words")
    texts = [*CAPTIONS, "light purple", "an unknown light-green, flower's", "", "!?"]
    np.testing.assert_array_equal(words.traced(tf.constant(texts)), words.pad([words.encode(text) for text in texts]))
    words.check_traced()
    (tmp_path / "old").write_text("<PAD> 0\nred 2\nlight-purple 1")  # as an older rule split it
    with pytest.raises(UsageError, match="the captions' word 'light-purple' would be read otherwise"):
        Words(tmp_path / "old").check_traced()


SCRIPTS = {
    "लाल फूल": ("लाल", "फूल"),
    "நீல மலர்கள்": ("நீல", "மலர்கள்"),
    "ดอกไม้ สีแดง": ("ดอกไม้", "สีแดง"),
    "זר פרחים": ("זר", "פרחים"),
    "زهرة حَمْراء": ("زهرة", "حَمْراء"),
    "cafe\u0301 NAI\u0308VE": ("caf\u00e9", "na\u00efve"),
    "می\u200cخواهم": ("میخواهم",),
    "\u1112\u1161\u11ab\uae00 꽃": ("한글", "꽃"),  # the first syllable taken apart
    "红色的花，a2": ("红", "色", "的", "花", "a2"),
    "か\u3099くの花": ("が", "く", "の", "花"),
    "𠮷野 ok": ("𠮷", "野", "ok"),
    "a ❤\ufe0f b": ("a", "b"),
}


def test_words_of_all_scripts_and_both_ways_to_write_accents(tmp_path: Path) -> None:
    for text, expected in SCRIPTS.items():
        assert words_of(text) == expected
    Words.learn([list(SCRIPTS)], tmp_path / "words")
    words = Words(tmp_path / "words")
    for form in ("NFC", "NFD"):
        texts = [unicodedata.normalize(form, text) for text in SCRIPTS]
        expected_ids = words.pad([words.encode(text) for text in SCRIPTS])
        np.testing.assert_array_equal(words.traced(tf.constant(texts)), expected_ids)
        np.testing.assert_array_equal(words.pad([words.encode(text) for text in texts]), expected_ids)
    words.check_traced()


def test_long_captions_are_cut_with_a_word(tmp_path: Path) -> None:
    for i in range(6):
        save_picture(tmp_path / "own" / f"{i}.png")
        (tmp_path / "own" / f"{i}.txt").write_text(f"number {i}" + " and so on" * (100 * (i == 3)))
    said: list[str] = []
    splits = open_captions(CaptionConfig(f"folder:{tmp_path / 'own'}"), said.append)
    assert said == ["1 pictures have captions of more than 200 words, which are cut there: 3.png"]
    Words.learn(splits.train.captions, tmp_path / "words")
    words = Words(tmp_path / "words")
    long = next(text for texts in splits.train.captions for text in texts if len(text) > 100)
    assert len(words.encode(long)) == 200 and words.traced(tf.constant([long])).numpy().tolist() == [words.encode(long)]
    with pytest.raises(UsageError, match="the caption has 302 words; at most 200"):
        words.encode_typed(long)


# --- own data ---------------------------------------------------------------------------------------------------------


def save_picture(path: Path, shade: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((80, 70, 3), shade, np.uint8)).save(path)


def test_folder_with_captions(tmp_path: Path) -> None:
    for i in range(10):
        save_picture(tmp_path / f"{i}.png", 20 * i)
        (tmp_path / f"{i}.txt").write_text(f"picture number {i}\nthe same for all\n\n")
    save_picture(tmp_path / "bare.png")
    said: list[str] = []
    splits = open_captions(CaptionConfig(f"folder:{tmp_path}", held_out=0.2), said.append)
    assert "1 of 11 pictures have no captions" in said[0] and "bare.png" in said[0]
    assert len(splits.train) == 8 and len(splits.test) == 2 and splits.unseen is None
    assert not set(splits.train.rows) & set(splits.test.rows)
    rng = np.random.default_rng(0)
    for _ in range(100):  # a caption that picture 0 has too is not wrong for it
        text = splits.train.wrong_for(int(splits.train.rows[0]), rng)
        assert text.startswith("picture number") and not text.endswith(str(splits.train.rows[0]))
    i = int(splits.train.rows[0])
    assert splits.train.read(np.array([i]))[0].mean() == pytest.approx(20 * int(splits.train.captions[i][0][-1]))


def test_stand_ins_for_broken_pictures_come_from_their_own_split(tmp_path: Path) -> None:
    """The next good picture of the folder is often one without captions or of the other split."""
    for i in range(20):
        save_picture(tmp_path / f"{i:02d}.png", 10 * i)
        if i % 3:
            (tmp_path / f"{i:02d}.txt").write_text(f"number {i:02d}")
    splits = open_captions(CaptionConfig(f"folder:{tmp_path}", held_out=0.5))
    broken = {int(split.rows[n]) for split in splits[:2] for n in (0, 2, len(split) - 1)}
    for i in broken:
        file = tmp_path / f"{i:02d}.png"
        file.write_bytes(file.read_bytes()[:-40])
    splits = open_captions(CaptionConfig(f"folder:{tmp_path}", held_out=0.5))
    for split in splits[:2]:
        x, rows = split.read(split.rows)
        good = [int(i) for i in split.rows if i not in broken]
        assert rows.tolist() == [next((j for j in good if j >= i), good[0]) for i in split.rows]
        np.testing.assert_array_equal(x.mean(axis=(1, 2, 3)), 10 * rows)
        assert sorted(i for i, _ in split.different(32, np.random.default_rng(0))) == good  # what is measured is whole
    Words.learn([splits.train.captions[i] for i in splits.train.rows], tmp_path / "words")
    words = Words(tmp_path / "words")
    examples = Examples(splits.train, words)
    for position in range(5):
        batch = examples.draw(0, position, 8)
        for picture, text in zip(batch.x, batch.text, strict=True):
            assert text.tolist() == words.encode(f"number {int(picture[0, 0, 0]) // 10:02d}")


@pytest.mark.parametrize("root", ["", "images"])
def test_captions_in_the_layout_of_cub(tmp_path: Path, root: str) -> None:
    for i in range(8):
        bird = f"{i // 4 + 1:03d}.Black_footed_Albatross/Bird_{i:04d}"
        save_picture(tmp_path / "images" / f"{bird}.jpg", 20 * i)
        save_picture(tmp_path / "segmentations" / f"{bird}.png")
        text = tmp_path / "text_c10" / f"{bird}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        text.write_text(f"bird {i}\nits beak {i}\n", encoding="utf-8-sig")
    (tmp_path / "attributes").mkdir()
    said: list[str] = []
    splits = open_captions(CaptionConfig(f"folder:{tmp_path / root}"), said.append)
    assert len(splits.train) + len(splits.test) == 8
    rows = [*splits.train.rows, *splits.test.rows]
    assert {splits.train.captions[i][0] for i in rows} == {f"bird {i}" for i in range(8)}
    assert len(said) == (not root) and all("8 of 16 pictures have no captions" in line for line in said)


def test_captions_in_archives_that_are_no_utf8_are_said(tmp_path: Path) -> None:
    make_flowers(tmp_path, archive=False)
    with zipfile.ZipFile(tmp_path / "more.ZIP", "w") as file:
        file.writestr("class_00001/image_00001.txt", b"petals \xff of kind 1")
    said: list[str] = []
    open_captions(CaptionConfig(f"flowers:{tmp_path}"), said.append)
    assert len(said) == 1 and "1 captions in more.ZIP hold bytes that are no UTF-8" in said[0]


def make_flowers(folder: Path, archive: bool) -> None:
    texts = {}
    for n in range(1, 12):
        save_picture(folder / "jpg" / f"image_{n:05d}.jpg", 20 * n)
        texts[f"text_c10/class_{1 + n // 3:05d}/image_{n:05d}.txt"] = f"petals of kind {1 + n // 3}\nflower {n}\n"
    if archive:
        with tarfile.open(folder / "captions.tar.gz", "w:gz") as file:
            for name, text in texts.items():
                member = tarfile.TarInfo(name)
                member.size = len(text)
                file.addfile(member, io.BytesIO(text.encode()))
        return
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


@pytest.mark.parametrize("archive", [True, False])
def test_flowers_layout(tmp_path: Path, archive: bool) -> None:
    make_flowers(tmp_path, archive)
    splits = open_captions(CaptionConfig(f"flowers:{tmp_path}"))
    assert len(splits.train) + len(splits.test) == 11
    kinds = [{splits.train.captions[i][0] for i in split.rows} for split in (splits.train, splits.test)]
    assert not kinds[0] & kinds[1] and kinds[1]  # whole classes are held out
    rng = np.random.default_rng(0)
    i = int(splits.train.rows[0])
    for _ in range(50):
        text = splits.train.wrong_for(i, rng)
        (kind,) = {c[0] for c in splits.train.captions if text in c}
        assert kind != splits.train.captions[i][0]  # of another class


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        ("folder:nowhere", "not there"),
        ("flowers:nowhere", "not there"),
        ("captioned-shape", "did you mean 'captioned-shapes'"),
        ("flowers:", "after the colon comes a path"),
        ("mnist5k", "choose from"),
    ],
)
def test_sources_that_are_not_there(source: str, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        open_captions(CaptionConfig(source))


def test_own_data_that_cannot_be_used(tmp_path: Path) -> None:
    save_picture(tmp_path / "a" / "1.png")
    with pytest.raises(UsageError, match="none of the 1 pictures has captions"):
        open_captions(CaptionConfig(f"folder:{tmp_path / 'a'}"))
    with pytest.raises(UsageError, match="no captions class_00001"):
        open_captions(CaptionConfig(f"flowers:{tmp_path / 'a'}"))
    (tmp_path / "a" / "1.txt").write_text("one caption")
    with pytest.raises(UsageError, match="too few"):
        open_captions(CaptionConfig(f"folder:{tmp_path / 'a'}"))
    (tmp_path / "a" / "1.txt").write_bytes(b"\xff\xfe caption")
    with pytest.raises(UsageError, match="UTF-8"):
        open_captions(CaptionConfig(f"folder:{tmp_path / 'a'}"))
    (tmp_path / "a" / "captions.tar.gz").write_bytes(b"no archive")
    with pytest.raises(UsageError, match=r"archive .* cannot be read"):
        open_captions(CaptionConfig(f"flowers:{tmp_path / 'a'}"))


@pytest.mark.parametrize("change", [{"pictures": 1}, {"captions": 0}, {"held_out": 1.0}, {"mirror": True}])
def test_settings_out_of_range(change: dict) -> None:
    with pytest.raises(UsageError, match=next(iter(change))):
        CaptionConfig(**change)
