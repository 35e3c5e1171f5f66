"""The package as a whole, and iterate, rein, nlp, utils, visualize and cost beyond the vectors."""

# ruff: noqa: NPY002 - the global state is what these tests are about
from __future__ import annotations

import ast
import pathlib
import random
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from core import tl
from core.tl.nlp.captions import plain_word_tokenize

FOLDER = pathlib.Path(tl.__file__).parent


# --- the package ------------------------------------------------------------------------------------------------------


def test_importing_it_is_light() -> None:
    script = "import sys; from core import tl; print([m for m in {!r} if m in sys.modules])"
    heavy = ["tensorflow", "keras", "sklearn", "skimage", "matplotlib", "cv2", "nltk"]
    done = subprocess.run([sys.executable, "-c", script.format(heavy)], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_short_names() -> None:
    import core.tl.act
    from core.tl.vis import save_images

    assert tl.vis is tl.visualize
    assert core.tl.act is tl.act is tl.activation
    assert save_images is tl.visualize.save_images
    assert tl.act.lrelu is tl.act.leaky_relu


def test_nothing_prints_and_nothing_unpickles() -> None:
    files = sorted(FOLDER.rglob("*.py"))
    assert FOLDER / "prepro" / "warp.py" in files
    for file in files:
        calls = [node for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Call)]
        names = {ast.unparse(call.func) for call in calls}
        assert not names & {"print", "eval", "exec"}, file
        assert not names & {f"pickle.{name}" for name in ("load", "loads", "dump", "dumps")}, file
        assert "allow_pickle=True" not in {ast.unparse(keyword) for call in calls for keyword in call.keywords}, file


# --- iterate ----------------------------------------------------------------------------------------------------------


def test_batches_are_views() -> None:
    x = np.arange(10)
    for a, b in tl.iterate.minibatches(x, x, 4, True):
        assert np.shares_memory(a, x)
        assert np.shares_memory(b, x)


def test_batches_in_a_generators_order() -> None:
    x = np.arange(100)
    state = np.random.get_state()[1].copy()  # type: ignore[index]

    def order(seed: int) -> list[int]:
        batches = tl.iterate.minibatches(x, x, 10, shuffle=True, rng=np.random.default_rng(seed))
        return np.concatenate([a for a, _ in batches]).tolist()

    assert order(0) == order(0) != order(1)
    assert sorted(order(0)) == x.tolist()
    assert np.array_equal(np.random.get_state()[1], state)  # type: ignore[index]


def test_batches_of_lists_and_of_anything_that_slices() -> None:
    batches = list(tl.iterate.minibatches(["a", "b", "c"], np.arange(3), 2, shuffle=True, rng=np.random.default_rng(0)))
    assert isinstance(batches[0][0], list)
    assert isinstance(batches[0][1], list)
    assert list(tl.iterate.minibatches(range(4), "abcd", 2)) == [(range(2), "ab"), (range(2, 4), "cd")]


@pytest.mark.parametrize(
    "call",
    [
        lambda: tl.iterate.minibatches(np.arange(3), np.arange(4), 2),
        lambda: tl.iterate.minibatches(np.arange(3), np.arange(3), 0),
        lambda: tl.iterate.seq_minibatches(np.arange(3), np.arange(3), 1, 1, 0),
        lambda: tl.iterate.seq_minibatches2(np.arange(3), np.arange(4), 1, 1),
        lambda: tl.iterate.ptb_iterator(np.arange(9), 0, 1),
        lambda: tl.iterate.ptb_iterator(np.arange(9), 3, 3),
    ],
)
def test_rules_of_iterators_are_checked_at_once(call: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        call()


# --- rein -------------------------------------------------------------------------------------------------------------


def discounted_naively(rewards: np.ndarray, gamma: float, mode: int) -> list[float]:
    total, out = 0.0, []
    for r in rewards[::-1]:
        total = (0.0 if mode == 0 and r != 0 else total) * gamma + r
        out.append(total)
    return out[::-1]


@pytest.mark.parametrize("mode", [0, 1])
@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.99, 1.0, 1.01])
def test_discounting_is_the_recursion(mode: int, gamma: float) -> None:
    rng = np.random.default_rng(0)
    rewards = rng.choice([0.0, 0.0, 0.0, 1.0, -1.0, 2.5], 200)
    result = tl.rein.discount_episode_rewards(rewards, gamma, mode)
    np.testing.assert_allclose(result, discounted_naively(rewards, gamma, mode), rtol=1e-6)
    column = tl.rein.discount_episode_rewards(rewards[:, None], gamma, mode)
    np.testing.assert_array_equal(column[:, 0], result)


def test_rewards_must_be_one_column() -> None:
    assert tl.rein.discount_episode_rewards(np.zeros(0)).shape == (0,)
    with pytest.raises(ValueError, match=r"\[T\]"):
        tl.rein.discount_episode_rewards(np.zeros([3, 2]))
    with pytest.raises(AttributeError, match=r"np\.asarray"):
        tl.rein.discount_episode_rewards([0, 1])  # type: ignore[arg-type]


def test_reward_loss_has_the_policy_gradient() -> None:
    logits = tf.Variable([[0.3, -0.2, 0.1]])
    with tf.GradientTape() as tape:
        loss = tl.rein.cross_entropy_reward_loss(logits, [1], [2.0])
    probabilities = tf.nn.softmax(logits).numpy()
    expected = 2.0 * (probabilities - np.asarray([[0, 1, 0]]))
    np.testing.assert_allclose(tape.gradient(loss, logits), expected, rtol=1e-6)


# --- nlp --------------------------------------------------------------------------------------------------------------


def test_text_functions_follow_a_generator() -> None:
    p = np.full(50, 0.02)
    state = random.getstate()
    for draw in (
        lambda rng: int(tl.nlp.sample(p, 1.5, rng=rng)),
        lambda rng: int(tl.nlp.sample_top(p, 40, rng=rng)),
        lambda rng: tl.nlp.generate_skip_gram_batch(list(range(50)), 16, 2, 4, rng=rng)[1].tolist(),
        lambda rng: tl.utils.get_random_int(0, 99, rng=rng),
        lambda rng: str(tl.rein.choice_action_by_probs(p, rng=rng)),
    ):
        assert draw(np.random.default_rng(0)) == draw(np.random.default_rng(0))
        assert len({str(draw(np.random.default_rng(seed))) for seed in range(9)}) > 1
    assert random.getstate() == state


def test_sampling_from_numbers_that_do_not_sum_to_one() -> None:
    np.random.seed(0)
    with pytest.warns(UserWarning, match="dividing by the sum"):
        assert int(tl.nlp.sample([1.0, 100.0, 200.0])) in (0, 1, 2)
    with pytest.raises(ValueError, match="top_k"):
        tl.nlp.sample_top([0.5, 0.5], top_k=3)


SENTENCES = {
    "How are you?": "how are you ?",
    "A man isn't riding Tom's well-known horse.": "a man is n't riding tom 's well-known horse .",
    "It costs 3.50, or 1,000!": "it costs 3.50 , or 1,000 !",
    "They're here (both)... we'll see": "they 're here ( both ) ... we 'll see",
    "Two dogs -- one cat; it's 5:30 p.m. now.": "two dogs -- one cat ; it 's 5:30 p.m. now .",
    'A "quoted" word': "a `` quoted '' word",
    "I can't; I cannot, I'm gonna go": "i ca n't ; i can not , i 'm gon na go",
    "The U.S. army & co.": "the u.s. army & co .",
    "50% of $3.50": "50 % of $ 3.50",
    "dogs' tails and/or heads": "dogs ' tails and/or heads",
}


@pytest.mark.parametrize(("text", "words"), SENTENCES.items())
def test_the_plain_tokenizer_splits_like_nltk(text: str, words: str) -> None:
    assert plain_word_tokenize(text.lower()) == words.split()
    assert tl.nlp.process_sentence(text, None, None) == words.split()  # nltk's own, where it is installed


def test_a_blank_line_in_a_vocabulary(tmp_path: pathlib.Path) -> None:
    (tmp_path / "vocab.txt").write_text("a 1\n\nb 1\n")
    with pytest.raises(ValueError, match="line 2"):
        tl.nlp.Vocabulary(str(tmp_path / "vocab.txt"))


def test_translation_files(tmp_path: pathlib.Path) -> None:
    text, vocab, ids = (str(tmp_path / name) for name in ("text", "vocab", "ids"))
    pathlib.Path(text).write_text("Who has 12 dogs?\nI have 34.\n")
    tl.nlp.create_vocabulary(vocab, text, 50, _START_VOCAB=[b"_UNK"])
    table, tokens = tl.nlp.initialize_vocabulary(vocab)
    assert tokens[0] == b"_UNK"
    assert b"00" in table
    tl.nlp.data_to_token_ids(text, ids, vocab, UNK_ID=0)
    assert pathlib.Path(ids).read_text().splitlines()[1].split()[2] == str(table[b"00"])
    before = pathlib.Path(ids).stat().st_mtime_ns
    tl.nlp.data_to_token_ids(text, ids, vocab)
    assert pathlib.Path(ids).stat().st_mtime_ns == before
    with pytest.raises(ValueError, match="not found"):
        tl.nlp.initialize_vocabulary(str(tmp_path / "none"))


def test_bleu_by_hand() -> None:
    # 1-grams 5/6, 2-grams 3/5, 3-grams 2/4, 4-grams 1/3, both of length 6
    score = tl.nlp.moses_multi_bleu(["the cat sat on the mat"], ["the cat is on the mat"])
    assert float(score) == 0.0  # no common 4-gram
    score = tl.nlp.moses_multi_bleu(["the cat sat on the mat"], ["a cat sat on the mat"])
    expected = 100 * (5 / 6 * 4 / 5 * 3 / 4 * 2 / 3) ** 0.25
    assert float(score) == pytest.approx(expected, abs=0.006)
    assert tl.nlp.moses_multi_bleu([], []) == 0


# --- utils ------------------------------------------------------------------------------------------------------------


def test_random_integers_of_both_generations() -> None:
    assert tl.utils.get_random_int(min=0, max=10, number=5, seed=42) == tl.utils.get_random_int(0, 10, 5, 42)
    assert tl.utils.get_random_int(seed=0) == tl.utils.get_random_int(seed=0)
    with pytest.raises(ValueError, match="above"):
        tl.utils.get_random_int(3, 2)


def test_oversampling_of_any_labels() -> None:
    x, y = tl.utils.class_balancing_oversample(np.arange(12).reshape(6, 2), np.asarray([5, 5, 5, 5, 7, 7]))
    assert y == [5] * 4 + [7] * 4
    assert x[4:, 0].tolist() == [8, 10, 8, 10]
    with pytest.raises(ValueError, match="labels"):
        tl.utils.class_balancing_oversample(np.ones([2, 2]), [1])


# --- visualize --------------------------------------------------------------------------------------------------------


def test_images_of_every_kind_round_trip(tmp_path: pathlib.Path) -> None:
    rng = np.random.default_rng(0)
    path = str(tmp_path / "a.png")
    for shape in ([5, 4], [5, 4, 1], [5, 4, 3], [5, 4, 4]):
        image = rng.integers(0, 256, shape).astype(np.uint8)
        tl.vis.save_image(image, path)
        np.testing.assert_array_equal(tl.vis.read_image(path), image.reshape(5, 4) if shape[2:] == [1] else image)
    tl.vis.save_image(np.asarray([[0.0, 0.5]]), path)
    assert tl.vis.read_image(path).tolist() == [[0, 127]]
    tl.vis.save_image(np.asarray([[-3.0, 5.0]]), path)
    assert tl.vis.read_image(path).tolist() == [[0, 255]]
    with pytest.raises(ValueError, match=r"\[row, col\]"):
        tl.vis.save_image(np.zeros([2, 2, 2]), path)


def test_palettes_are_read_as_colours(tmp_path: pathlib.Path) -> None:
    Image.new("RGB", (2, 1), (255, 0, 0)).convert("P").save(tmp_path / "p.png")
    Image.new("1", (2, 1), 1).save(tmp_path / "b.png")
    first, second = tl.vis.read_images(["p.png", "b.png"], str(tmp_path), n_threads=2)
    assert first.tolist() == [[[255, 0, 0], [255, 0, 0]]]
    assert second.tolist() == [[255, 255]]


def test_a_grid_too_small(tmp_path: pathlib.Path) -> None:
    with pytest.raises(AssertionError, match="do not fit"):
        tl.vis.save_images(np.zeros([5, 2, 2, 3]), [2, 2], str(tmp_path / "a.png"))
    with pytest.raises(ValueError, match=r"\[n, row, col\]"):
        tl.vis.save_images(np.zeros([5, 2, 2, 4]), [3, 2], str(tmp_path / "a.png"))


def test_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    shown: list[float] = []
    monkeypatch.setattr(plt, "pause", shown.append)
    tl.vis.frame(np.zeros([4, 4, 3]), second=0.1, saveable=False)
    tl.vis.CNN2d(np.ones([3, 3, 3, 5]), second=0.2, saveable=False)
    plt.close("all")
    assert shown == [0.1, 0.2]
    with pytest.raises(ValueError, match="1 or 3"):
        tl.vis.images2d(np.zeros([4, 3, 3, 2]))


def test_drawn_boxes() -> None:
    image = np.zeros([60, 60, 3], np.uint8)
    drawn = tl.vis.draw_boxes_and_labels_to_image(image, [0], [[0.5, 0.5, 0.5, 0.5]], [0.9], ["cat"])
    assert drawn[15, 30].tolist() == [0, 255, 0]
    assert not image.any()


# --- cost and activation ----------------------------------------------------------------------------------------------


def test_segmentation_scores_of_both_generations() -> None:
    a = np.zeros([2, 2, 2, 1], np.float32)
    a[0, 0] = 1
    b = np.zeros_like(a)
    b[0, :, 0] = 1
    for score, book in ((tl.cost.dice_coe, 0.5), (tl.cost.dice_hard_coe, 0.5), (tl.cost.iou_coe, 1 / 3)):
        assert float(score(a, b)) == pytest.approx((book + 1) / 2, abs=1e-4)  # the second pair is empty: 1
        assert float(score(a, b, epsilon=1e-10)) == pytest.approx(book, abs=1e-6)
    assert float(tl.cost.dice_coe(a, a, epsilon=0.25)) == 0.75
    with pytest.raises(ValueError, match="sorensen"):
        tl.cost.dice_coe(a, b, loss_type="cosine")


def test_a_missing_axis_is_one_sentence() -> None:
    with pytest.raises(ValueError, match="same axes"):
        tl.cost.mean_squared_error(np.ones([3, 1]), np.ones(3))


def test_huber_loss_by_hand() -> None:
    output, target = np.asarray([[0.5, 3.0]]), np.zeros([1, 2])
    assert float(tl.cost.huber_loss(output, target, is_mean=False)) == pytest.approx(0.125 + 2.5)
    reverse = 0.5 + (9 + 1) * 0.5 / (1 + 1e-5)
    assert float(tl.cost.huber_loss(output, target, False, reverse=True)) == pytest.approx(reverse, rel=1e-6)
    c = 0.2 * 3.0
    dynamic = 0.5 + (9 + c**2) * 0.5 / (c + 1e-5)
    assert float(tl.cost.huber_loss(output, target, False, dynamichuber=True, reverse=True)) == pytest.approx(dynamic)


def test_sequence_losses_agree() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(size=[2, 3, 5])  # [B, T, V]
    targets = rng.integers(0, 5, [2, 3])
    steps = [logits[:, t] for t in range(3)]
    each = tl.cost.sequence_loss_by_example(steps, list(targets.T), list(np.ones([3, 2])))
    total = tl.cost.cross_entropy_seq(logits.reshape(6, 5), targets, batch_size=2)
    masked, losses, _, _ = tl.cost.cross_entropy_seq_with_mask(
        logits.reshape(6, 5), targets, np.ones([2, 3]), return_details=True
    )
    assert float(total) == pytest.approx(3 * float(masked))
    np.testing.assert_allclose(each, np.asarray(losses).reshape(2, 3).mean(axis=1))
    with pytest.raises(ValueError, match="one length"):
        tl.cost.sequence_loss_by_example(steps, list(targets.T), [1.0])


def test_regularisers() -> None:
    assert tl.cost.li_regularizer(0.0)(np.ones([2, 2])) is None
    for make in (tl.cost.li_regularizer, tl.cost.lo_regularizer):
        for wrong in (1, -0.1, 1.0):
            with pytest.raises(ValueError, match="scale"):
                make(wrong)
    assert float(tl.cost.maxnorm_regularizer(2.0)(np.asarray([[1.0, -3.0]]))) == 6


def test_sign_lets_the_gradient_through() -> None:
    x = tf.Variable([0.3, -2.0])
    with tf.GradientTape() as tape:
        y = tf.reduce_sum(tl.act.sign(x) * [0.5, 7.0])
    assert tape.gradient(y, x).numpy().tolist() == [0.5, 1.0]


def test_slopes() -> None:
    assert tl.act.leaky_relu([-1.0], alpha=0).numpy().tolist() == [0.0]
    for function in (tl.act.leaky_relu, tl.act.leaky_relu6, tl.act.leaky_twice_relu6):
        with pytest.raises(ValueError, match=r"\[0, 1\]"):
            function([1.0], 1.5)


def test_sequence_lengths_of_strings() -> None:
    words = tf.constant([["a", "b", ""], ["c", "", ""]])
    assert tl.layers.retrieve_seq_length_op3(words, pad_val="").numpy().tolist() == [2, 1]
    with pytest.raises(ValueError, match="2 or 3 axes"):
        tl.layers.target_mask_op([1, 2])
