"""GAN-CLS: the update as the paper has it, encoders that train and freeze, drawing from typed captions, its measures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core import checkpoint
from core.errors import UsageError
from core.optim.config import OptimizerConfig
from core.plugin import Context
from generative.data import shapes
from generative.data.captions import Captioned, Splits
from generative.data.settings import CaptionConfig
from generative.data.shape_reader import Reader
from generative.gan_cls.config import GANCLSConfig
from generative.gan_cls.measures import Measures, apart, groups, one_thing_scenes
from generative.gan_cls.model import GANCLS
from generative.gan_cls.networks import generator
from tests.conftest import only_run
from tests.experiments.test_kill_resume import check_killed_equals_undisturbed

SMALL = GANCLSConfig(
    CaptionConfig(pictures=40, captions=2),
    **{"batch": 4, "latent": 3, "g_width": 2, "d_width": 2, "word_units": 4, "text_units": 6, "reduced": 4},
    encoder_epochs=0,
    optimizer=OptimizerConfig(lr=2e-4, beta1=0.0),
    ema=0.0,
    eval_pictures=8,
)


def weights(network: Any) -> list[np.ndarray]:
    return [np.array(v) for v in network.trainable_variables]


def moved(before: list[np.ndarray], network: Any) -> bool:
    return any(not np.array_equal(a, b) for a, b in zip(before, weights(network), strict=True))


def make(context: Context, **changes: Any) -> GANCLS:
    """Build a small model whose updates run without tracing, which takes far longer than they do."""
    model = GANCLS(dataclasses.replace(SMALL, **changes), context)
    model._update, model._update_encoders = model.update, model.update_encoders
    return model


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(seed=1, folder=tmp_path)


ORIGINAL = {"batch_norm": True, "r1": 0.0, "r2": 0.0, "optimizer": OptimizerConfig(lr=2e-4, beta1=0.5)}
PENALISED = {"batch_norm": False, "r1": 0.7, "r2": 0.3, "penalty_every": 1}
WORDS = {**PENALISED, "text": "words", "damsm": 0.0}
MATCHED = {
    "batch_norm": False,
    "r1": 0.0,
    "r2": 0.0,
    "text": "words",
    "damsm": 0.6,
    "optimizer": OptimizerConfig("sgd", lr=0.1),
}
LAZY = {"batch_norm": False, "r1": 0.2, "r2": 0.1, "penalty_every": 3}


@pytest.mark.parametrize(
    "fields",
    [ORIGINAL, PENALISED, *(pytest.param(some, marks=pytest.mark.slow) for some in (LAZY, WORDS, MATCHED))],
    ids=["original", "penalised", "lazily penalised", "words", "words that the encoders compare"],
)
def test_update_is_the_papers(context: Context, fields: dict[str, Any]) -> None:
    """Shared forward passes give what separate ones would: Algorithm 1 worked out apart, with a plain optimiser's steps."""
    model, twin = make(context, **fields), make(context, **fields)
    if fields["r1"]:
        for variable in model.D_variables + twin.D_variables:
            variable.assign(8 * variable)  # so that the penalties weigh as much as the loss
    if fields.get("damsm"):
        for variable in model.I.trainable_variables + twin.I.trainable_variables:
            variable.assign(10 * variable)  # untrained and this small, it shows vectors of length 0
    batch = model.stream.next()
    key = tf.constant([model.noise_seed, 0], tf.int64)
    model.update(*map(tf.constant, (batch.x, batch.text, batch.wrong)), key, True, tf.constant(batch.false))

    def D(x: tf.Tensor, v: list[tf.Tensor]) -> tf.Tensor:
        return twin.D_head([twin.D_trunk(x, training=True), *v], training=True)

    def encoded(ids: np.ndarray) -> list[tf.Tensor]:
        if fields.get("text") != "words":
            return [twin.T(ids)]
        words, v = twin.T(ids)
        return [v, words, tf.constant(ids)]

    x = tf.cast(batch.x, tf.float32) / 127.5 - 1
    v, v_wrong = encoded(batch.text), encoded(batch.wrong)
    z = tf.random.stateless_normal((4, 3), key)
    with tf.GradientTape() as tape:
        fake = twin.G([z, *v], training=True)
        r, w, f = (tf.sigmoid(s) for s in (D(x, v), D(x, v_wrong), D(fake, v)))
        loss = -tf.reduce_mean(tf.math.log(r) + 0.5 * (tf.math.log(1 - w) + tf.math.log(1 - f)))
        for weight, picture in ((fields["r1"], x), (fields["r2"], tf.identity(fake))):
            with tf.GradientTape() as inner:
                inner.watch(picture)
                output = D(picture, v)
            norms = tf.reduce_sum(inner.gradient(output, picture) ** 2, axis=(1, 2, 3))  # [B]
            loss += fields.get("penalty_every", 1) * weight * tf.reduce_mean(norms) / 2
    twin.D_optimizer.apply(tape.gradient(loss, twin.D_variables), twin.D_variables)
    with tf.GradientTape() as tape:
        fake = twin.G([z, *v], training=True)
        loss = -tf.reduce_mean(tf.math.log(tf.sigmoid(D(fake, v))))
        if fields.get("damsm"):
            loss += fields["damsm"] * damsm(twin.I(fake, training=False), v, v_wrong, batch.false)
    twin.G_optimizer.apply(tape.gradient(loss, twin.G.trainable_variables), twin.G.trainable_variables)
    for name in ("G", "D_trunk", "D_head", "T"):
        for mine, its in zip(weights(getattr(model, name)), weights(getattr(twin, name)), strict=True):
            np.testing.assert_allclose(mine, its, atol=3e-5)
    model.close(), twin.close()


def damsm(
    pictures: tuple[tf.Tensor, tf.Tensor], right: list[tf.Tensor], wrong: list[tf.Tensor], false: np.ndarray
) -> tf.Tensor:
    """Equations 7 to 13 of Xu et al. (2018) pair by pair, once for captions as a whole and once for their words."""

    def cos(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(a * b) / tf.norm(a) / tf.norm(b)

    def whole(i: int, captions: list[tf.Tensor], j: int) -> tf.Tensor:
        return cos(pictures[0][i], captions[0][j])

    def by_word(i: int, captions: list[tf.Tensor], j: int) -> tf.Tensor:
        words = captions[1][j][: int(np.sum(captions[2][j] > 0))]  # [T, E]
        regions = pictures[1][i] / tf.norm(pictures[1][i], axis=1, keepdims=True)  # [R, E]
        scores = tf.exp(5 * tf.einsum("te,re->tr", words, regions) / tf.norm(words, axis=1, keepdims=True))
        seen = tf.einsum("tr,re->te", scores / tf.reduce_sum(scores, axis=1, keepdims=True), regions)
        return tf.reduce_mean(tf.reduce_sum(words * seen, axis=1) / tf.norm(words, axis=1) / tf.norm(seen, axis=1))

    total, B = 0.0, len(false)
    for similarity in (whole, by_word):
        for i in range(B):
            own = tf.exp(10 * similarity(i, right, i))
            captions = [tf.exp(10 * similarity(i, right, j)) for j in range(B) if false[i, j]]
            others = [tf.exp(10 * similarity(j, right, i)) for j in range(B) if false[j, i]]
            total -= tf.math.log(own / tf.add_n([own, *captions, tf.exp(10 * similarity(i, wrong, i))]))
            total -= tf.math.log(own / tf.add_n([own, *others]))
    return total / B


@pytest.mark.slow
def test_penalties_stand_in_every_third_update(context: Context) -> None:
    model = make(context, **LAZY)
    penalties = [float(model.step()["loss/penalty"]) for _ in range(7)]
    assert [penalty > 0 for penalty in penalties] == [True, False, False] * 2 + [True]
    model.close()


@pytest.mark.slow
@pytest.mark.parametrize(("encoder", "text"), [("alongside", "sentence"), ("before", "sentence"), ("before", "words")])
def test_encoders_train_then_freeze(context: Context, encoder: Any, text: Any) -> None:
    model = make(
        *(context,),
        **{"encoder": encoder, "text": text, "encoder_epochs": 0.2},
        encoder_optimizer=OptimizerConfig(max_grad_norm=1e-9),
    )  # 8 of 40 pictures: two updates
    before, G = weights(model.T) + weights(model.I), weights(model.G)
    for _ in range(2):
        assert "loss/encoder" in model.step()
    assert moved(G, model.G) is (encoder == "alongside")
    after = weights(model.T) + weights(model.I)
    assert (
        0 < max(np.abs(a - b).max() for a, b in zip(before, after, strict=True)) < 1e-4
    )  # clipped below Adam's epsilon
    values = model.step()
    assert "loss/encoder" not in values and "loss/generator" in values
    assert moved(G, model.G)
    for a, b in zip(after, weights(model.T) + weights(model.I), strict=True):
        np.testing.assert_array_equal(a, b)
    model.close()


def test_the_text_enters_as_large_as_the_noise() -> None:
    """Encoders learn directions: whatever the length of their vectors, G sees numbers about as large as those of z."""
    G = generator(text=64, latent=10, width=2, reduced=128, seed=1)
    v = 0.01 * tf.random.stateless_normal((32, 64), (1, 2))
    z = tf.random.stateless_normal((32, 10), (3, 4))
    np.testing.assert_allclose(G([z, v]), G([z, 1_000 * v]), atol=1e-5)
    joint = next(layer.output for layer in G.layers if isinstance(layer, keras.layers.Concatenate))
    assert 0.5 < np.std(keras.Model(G.inputs, joint)([z, v])[:, 10:]) < 2


def test_the_words_decide_what_is_drawn_and_judged(context: Context) -> None:
    """With one vector of the caption, G and D still tell its words apart; padding behind them changes nothing."""
    model = make(context, text="words")
    v, words, ids = model._encoded(tf.constant(model.words.pad([model.words.encode("a small red circle")])))
    z, maps = tf.ones((1, 3)), tf.random.stateless_normal((1, 4, 4, 16), (1, 2))
    for network, first in ((model.G, z), (model.D_head, maps)):
        for variable in network.trainable_variables:  # far enough from 0
            variable.assign(10 * variable)
        before = network([first, v, words, ids], training=True)
        assert np.abs(network([first, v, words[:, ::-1] ** 3, ids], training=True) - before).max() > 1e-6
        longer = tf.pad(words, [[0, 0], [0, 3], [0, 0]], constant_values=5.0), tf.pad(ids, [[0, 0], [0, 3]])
        np.testing.assert_allclose(network([first, v, *longer], training=True), before, atol=1e-5)
    model.close()


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"damsm": 1.0}, "damsm is 1, but text is 'sentence'"),
        ({"text": "words", "gan_int": 1.0}, "gan_int is 1, but text is 'words'"),
        ({"text": "words", "text_units": 7}, "text_units is 7; with text words"),
        ({"text": "words", "damsm": -1.0}, "damsm is -1; it must be 0 or more"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        dataclasses.replace(SMALL, **fields)


def test_step_size_is_halved_again_and_again(context: Context) -> None:
    halved = OptimizerConfig(lr=2e-4, lr_schedule="step", lr_steps=1, lr_end=0.5)
    model = make(context, optimizer=halved)
    rates = [float(model.step()["optim/lr"]) for _ in range(3)]
    np.testing.assert_allclose(rates, [2e-4, 1e-4, 5e-5], rtol=1e-6)
    assert float(model.G_optimizer.learning_rate) == float(model.D_optimizer.learning_rate) == pytest.approx(5e-5)
    model.close()


def test_gan_int_adds_captions_halfway(context: Context) -> None:
    plain, mixed = make(context), make(context, gan_int=1.0)
    assert float(mixed.step()["loss/generator"]) > 1.5 * float(plain.step()["loss/generator"])
    plain.close(), mixed.close()


def test_ema_is_what_is_drawn(context: Context) -> None:
    model = make(context, ema=0.9)
    for _ in range(2):
        model.step()
    assert moved(weights(model.average), model.G)
    z, v = tf.zeros((1, 3)), tf.constant(model.embed_text(["a red circle"]))
    drawn = model._generate(z, v)
    np.testing.assert_allclose(drawn, model.average([z, v], training=False), atol=1e-6)
    model.close()


@pytest.mark.slow
@pytest.mark.parametrize("by", ["sentence", "words"])
def test_drawing_depends_on_caption_and_seed_only(context: Context, by: Any) -> None:
    model = make(
        context, text=by, ema=0.0, optimizer=OptimizerConfig(lr=0.02, beta1=0.0)
    )  # far enough from the grey of the first weights
    for _ in range(24):
        model.step()
    text = "a large red circle above a small blue square"
    first = model.sample_text(text, 3, seed=5)
    assert first.shape == (3, 64, 64, 3) and first.dtype == np.uint8
    np.testing.assert_array_equal(first, model.sample_text(text.upper() + ".", 3, seed=5))
    assert np.abs(first[:2] - model.sample_text(text, 2, seed=5).astype(int)).max() <= 1  # rounding in another batch
    assert not np.array_equal(first, model.sample_text(text, 3, seed=6))
    assert not np.array_equal(first, model.sample_text("a small blue square above a large red circle", 3, seed=5))
    assert model.sample(10).shape == (10, 64, 64, 3) and model.interpolate(7).shape == (7, 64, 64, 3)
    with pytest.raises(UsageError, match="'cyan'"):
        model.sample_text("a cyan circle", 1)
    model.close()


@pytest.mark.slow
def test_the_words_stay_those_of_the_run(context: Context, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for i, text in enumerate(("a cat", "a dog", "one bird", "two fish")):
        (own / "x").mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((64, 64, 3), 50 * i, np.uint8)).save(own / "x" / f"{i}.png")
        (own / "x" / f"{i}.txt").write_text(text)
    config = CaptionConfig(f"folder:{own}")
    first = make(context, data=config)
    first.step()
    measured = first.evaluate()
    assert 0 <= measured["eval/agreement"] <= 1 and measured["samples/sentences"].shape == (64, 64, 64, 3)
    first.close()
    train = [int(i) for i in first.data.train.rows]
    (own / "x" / f"{train[0]}.txt").write_text("a zebra")
    changed = make(context, data=config)
    with pytest.raises(UsageError, match=rf"captions in .* have changed since the run began.*{train[0]}\.png"):
        changed.step()
    for file in own.rglob("*.*"):
        file.unlink()
    gone = make(context, data=config)
    assert gone.sentences() == first.sentences() and gone.sample(3).shape == (3, 64, 64, 3)
    assert make(context, data=config).sample_text(first.data.train.captions[train[0]][0], 2).shape == (2, 64, 64, 3)


# --- measures ---------------------------------------------------------------------------------------------------------


def test_reader_reads_real_pictures() -> None:
    rng = np.random.default_rng(11)
    scenes = [shapes.draw_scene(rng, (*shapes.SEEN, *shapes.UNSEEN)) for _ in range(500)]
    read = Reader()(np.stack([shapes.paint(scene, rng) for scene in scenes]))
    assert np.mean([set(a) == set(b) for a, b in zip(read, scenes, strict=True)]) >= 0.98
    ones = one_thing_scenes(shapes.SEEN)
    single = Reader().single(np.stack([shapes.paint((thing,), rng) for thing in ones]))
    assert np.mean([a == b for a, b in zip(single, ones, strict=True)]) >= 0.99


def test_measures_are_1_for_a_perfect_painter_and_low_for_one_that_mixes_up_colours(context: Context) -> None:
    model = make(context)
    measures = Measures(model.data, count=60)
    rng = np.random.default_rng(0)
    table: dict[str, tuple[shapes.Thing, ...]] = {}

    def paint(captions: Any, seed: int) -> np.ndarray:
        return np.stack([shapes.paint(table[text], rng) for text in captions])

    def spoiled(captions: Any, seed: int) -> np.ndarray:
        wrong = [
            tuple(t._replace(colour=(t.colour + 1) % len(shapes.COLOURS)) for t in table[text]) for text in captions
        ]
        return np.stack([shapes.paint(scene, rng) for scene in wrong])

    wording = np.random.default_rng(2)
    for things in measures.seen.values():
        for thing in things:
            table[shapes.caption((thing,), wording, complete=True)[0]] = (thing,)
    again = np.random.default_rng(2)  # the scenes of two and three things, drawn as Measures draws them
    for pairs in (shapes.SEEN, shapes.UNSEEN):
        again.permutation(len(one_thing_scenes(pairs)))
    for n in (2, 3):
        for _ in range(60):
            scene = shapes.draw_scene(again, shapes.SEEN, n)
            table[shapes.caption(scene, again)[0]] = scene

    right = measures(paint, model.embed_text, model.embed_images)
    for name in ("colour", "shape", "size", "place", "joint"):
        for split in ("seen", "unseen"):
            assert right[f"eval/{name}_{split}"] >= 0.98, name
    assert right["eval/true_two"] >= 0.95 and right["eval/true_three"] >= 0.95 and right["eval/agreement"] >= 0.98
    for name in ("two", "three"):  # one picture of a caption each time: only what the painter leaves to chance differs
        assert 0.3 < right[f"eval/diversity_{name}"] < 1.02
    wrong = measures(spoiled, model.embed_text, model.embed_images)
    assert wrong["eval/colour_seen"] < 0.02 and wrong["eval/joint_seen"] < 0.02 and wrong["eval/true_two"] < 0.05
    assert wrong["eval/shape_seen"] >= 0.98 and wrong["eval/place_unseen"] >= 0.98


def test_diversity_is_the_mean_distance_of_two_pictures_of_one_caption() -> None:
    """Points 0, 3, 4 on a line are 3, 4 and 1 apart, the corners (0, 0), (3, 4), (0, 0) 5, 0 and 5; the mean is 3."""
    images = np.array([[0, 0], [3, 0], [4, 0], [0, 0], [3, 4], [0, 0]], np.uint8)
    assert apart(images, 3) == pytest.approx((3 + 4 + 1 + 5 + 0 + 5) / 6, abs=1e-9)
    assert apart(np.array([[0], [255]], np.uint8), 2) == 255


def test_what_a_caption_leaves_open_is_drawn() -> None:
    rng = np.random.default_rng(3)
    unsaid = shapes.UNSAID
    claim = shapes.Claim((shapes.Thing(0, 0, unsaid, unsaid), shapes.Thing(1, 2, 1, unsaid)), "above")
    scenes = [shapes.draw_true(claim, rng) for _ in range(200)]
    assert all(shapes.is_true(claim, scene) for scene in scenes)
    assert {scene[0].place for scene in scenes} == set(range(6)) and {scene[0].size for scene in scenes} == {0, 1}
    assert {scene[1].size for scene in scenes} == {1}


def test_retrieval_says_among_how_many_and_needs_a_choice() -> None:
    images = np.repeat(np.arange(5, dtype=np.uint8), 64 * 64 * 3).reshape(5, 64, 64, 3)
    texts = [[f"number {i}"] for i in range(5)]

    def split(rows: list[int], alike: bool = False) -> Captioned:
        return Captioned("own", "own", images, texts, lambda i, j, k: alike or i == j, np.array(rows))  # type: ignore[arg-type]

    measures = Measures(Splits(split([0, 1]), split([2, 3, 4]), None), 8)
    assert "8 times among 3 captions of other meaning" in measures.protocol and "32" not in measures.protocol
    one_hot = np.eye(5)
    measured = measures(
        lambda captions, seed: images[[int(text[-1]) for text in captions]],
        lambda captions: one_hot[[int(text[-1]) for text in captions]],
        lambda pictures: one_hot[pictures[:, 0, 0, 0]],
    )
    assert measured["eval/retrieval"] == measured["eval/agreement"] == 1.0
    for test in (split([2]), split([2, 3, 4], alike=True)):
        with pytest.raises(UsageError, match="differ in meaning must be held out"):
            Measures(Splits(split([0, 1]), test, None), 8)


def test_a_caption_that_is_true_of_all_pictures_leaves_its_group_out(context: Context) -> None:
    """Whether a group begins with it is chance; as long as another group has a choice, the data can be measured."""
    images, texts = np.zeros((6, 64, 64, 3), np.uint8), [["a photo", f"number {i}"] for i in range(6)]

    def is_true(i: int, j: int, k: int) -> bool:
        return k == 0 or i == j

    data = Captioned("own", "own", images, texts, is_true, np.arange(6))  # type: ignore[arg-type]
    drawn = groups(data)
    assert 0 < len(drawn) < 8 and min(map(len, drawn)) >= 2
    assert all(k == 1 for group in drawn for _, k in group)


def test_data_that_cannot_be_measured_is_refused_before_the_first_update(context: Context) -> None:
    model = make(context)
    train, test = model.data[:2]
    alike = Captioned("own", "own", test.images, test.captions, lambda i, j, k: True, test.rows)
    model._splits = Splits(train, alike, None)
    with pytest.raises(UsageError, match="differ in meaning must be held out"):
        model.step()
    assert model.clock == 0
    model.close()


# --- from the command line --------------------------------------------------------------------------------------------

TINY = (
    *("--model.data.pictures", 40, "--model.batch", 8, "--model.latent", 3, "--model.g-width", 2, "--model.d-width", 2),
    *("--model.word-units", 4, "--model.text-units", 6, "--model.reduced", 4, "--model.eval-pictures", 8),
)


@pytest.mark.slow
def test_sample_draws_what_the_text_says(cli, tmp_path: Path) -> None:
    until = ("--model.encoder-epochs", 0.4, "--run.until", 3, "--run.log-every", 1, "--run.folder", tmp_path)
    code, _, err = cli("run", "gan-cls", *TINY, *until)
    assert code == 0, err
    run = only_run(tmp_path)
    text = "a large red circle above a small blue square"
    code, _, err = cli("sample", run, "--text", text, "--n", 8)
    assert code == 0, err
    with Image.open(run / "text.png") as picture:
        assert picture.width >= 3 * 64 and picture.mode == "RGB"
    code, _, err = cli("sample", run, "--text", "a large mauve circle")
    assert code == 2 and "'mauve'" in err
    code, _, err = cli("sample", run, "--text", text, "--picture", "interpolate")
    assert code == 2 and "--text and --picture name two pictures" in err
    for change, word in ((("--model.encoder", "befor"), "before"), (("--model.margin", 3), "margin is 3")):
        code, _, err = cli("run", "gan-cls", *change)
        assert code == 2 and word in err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("encoder", "text"),
    [
        ("alongside", ()),
        ("before", ()),
        ("before", ("--model.text", "words", "--model.damsm", 1)),
    ],
    ids=["alongside", "before", "words"],
)
def test_killed_across_the_freezing_of_the_encoders(
    launch, tmp_path: Path, encoder: str, text: tuple[Any, ...]
) -> None:
    """Checkpoints lie before and after update 300, where the encoders freeze; the kills come at both sides of it."""
    until = ("--run.until", 600, "--run.save-every", 20, "--run.eval-every", 300, "--run.log-every", 20)
    flags = ("--model.encoder", encoder, "--model.encoder-epochs", 60, "--model.ema", 0.99, *text)
    check_killed_equals_undisturbed(
        *(launch, tmp_path, ["gan-cls", *TINY, *flags, *until]), kills=4, seed=3, curve="loss/discriminator"
    )


def test_without_an_average_a_restored_model_still_draws(context: Context, tmp_path: Path) -> None:
    saved, restored = make(context, ema=0.0), make(dataclasses.replace(context, seed=2), ema=0.0)
    path = checkpoint.save(
        tmp_path, f"{1:012d}", {"plugin": saved.state() | {"average": None}}
    )  # as checkpoints from before
    checkpoint.put_back(restored, checkpoint.load(path, {"plugin": restored.state()})["plugin"])
    restored.restored()
    text = "a large red circle"
    np.testing.assert_array_equal(saved.sample_text(text, 2, 3), restored.sample_text(text, 2, 3))
