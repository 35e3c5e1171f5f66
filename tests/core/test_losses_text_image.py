"""The joint embedding's hinge and GAN-CLS's discriminator loss against numbers worked out by hand; encoder, tiling, retrieval."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from core.layers.text import Tile, text_encoder
from core.losses.text_image import contrastive, cosine_hinge, matching_discriminator, word_similarity
from core.metrics.retrieval import recall_at_1

# Directions at 0 and 90 degrees against captions at 0 and 60 degrees, of odd lengths: a cosine does not see length.
X = np.array([[2.0, 0.0], [0.0, 0.5]], np.float32)
V = np.array([[3.0, 0.0], [1.0, math.sqrt(3)]], np.float32)
# cosines: s_00 = 1, s_01 = 0.5, s_10 = 0, s_11 = sqrt(3)/2 = 0.8660


def hinge(false: list[list[bool]], margin: float) -> float:
    return float(cosine_hinge(tf.constant(X), tf.constant(V), tf.constant(false), margin))


def test_cosine_hinge_by_hand() -> None:
    both = [[False, True], [True, False]]
    assert hinge(both, 0.2) == 0  # 1 - 0.5 and 0.866 - 0.5 both exceed the margin
    # margin 0.6, wrong captions: (0, 1): 0.6 - 1 + 0.5 = 0.1; (1, 0): 0.6 - 0.866 + 0 < 0
    # wrong pictures: (0, 1): 0.6 - 0.866 + 0.5 = 0.234; (1, 0): 0.6 - 1 + 0 < 0
    assert hinge(both, 0.6) == pytest.approx((0.1 + 0.6 - math.sqrt(3) / 2 + 0.5) / 2, abs=1e-6)
    assert hinge([[False, True], [False, False]], 0.6) == pytest.approx(0.1 + 1.1 - math.sqrt(3) / 2, abs=1e-6)
    assert hinge([[False, False], [True, False]], 0.6) == 0
    assert hinge([[False, False], [False, False]], 0.6) == 0  # nothing is wrong: no loss, no division by 0
    swapped = tf.constant(V[::-1])  # cosines 0.5 and 0: 0.6 - 1 + 0.5 = 0.1 and 0.6 - 0.866 + 0 < 0
    none = tf.zeros((2, 2), tf.bool)
    assert float(cosine_hinge(tf.constant(X), tf.constant(V), none, 0.6, swapped)) == pytest.approx(0.1 / 2, abs=1e-6)


def test_cosine_hinge_pulls_right_and_pushes_wrong_pairs() -> None:
    rng = np.random.default_rng(0)
    x, v = (tf.Variable(rng.normal(size=(6, 4)).astype(np.float32)) for _ in range(2))
    false = tf.constant(~np.eye(6, dtype=bool))
    for _ in range(300):
        with tf.GradientTape() as tape:
            loss = cosine_hinge(x, v, false, 0.2)
        for variable, gradient in zip((x, v), tape.gradient(loss, (x, v)), strict=True):
            variable.assign_sub(2.0 * gradient)
    assert recall_at_1(x.numpy(), v.numpy()) == 1
    assert float(loss) < 0.02


def test_only_false_pairs_are_pushed_apart() -> None:
    x, v = tf.constant(X), tf.Variable(V)
    with tf.GradientTape() as tape:
        loss = cosine_hinge(x, v, tf.constant([[False, True], [False, False]]), 0.6)
    pushed = -tape.gradient(loss, v).numpy()
    assert pushed[1] @ X[1] > 0 and pushed[1] @ X[0] < 0  # caption 1 to its own picture, away from picture 0
    np.testing.assert_allclose(pushed[0], 0, atol=1e-6)  # caption 0 lies on its picture already


def test_matching_discriminator_by_hand() -> None:
    right, wrong, fake = (tf.constant(values) for values in ([2.0, -1.0], [0.0, 3.0], [1.0, -2.0]))

    def softplus(x: float) -> float:
        return math.log1p(math.exp(x))

    def sigmoid(x: float) -> float:
        return 1 / (1 + math.exp(-x))

    with tf.GradientTape() as tape:
        tape.watch((right, wrong, fake))
        loss = matching_discriminator(right, wrong, fake)
    expected = (softplus(-2) + softplus(1)) / 2 + (softplus(0) + softplus(3) + softplus(1) + softplus(-2)) / 4
    assert float(loss) == pytest.approx(expected, rel=1e-6)
    by_right, by_wrong, by_fake = tape.gradient(loss, (right, wrong, fake))
    np.testing.assert_allclose(by_right, [(sigmoid(2) - 1) / 2, (sigmoid(-1) - 1) / 2], rtol=1e-5)
    np.testing.assert_allclose(by_wrong, [sigmoid(0) / 4, sigmoid(3) / 4], rtol=1e-5)
    np.testing.assert_allclose(by_fake, [sigmoid(1) / 4, sigmoid(-2) / 4], rtol=1e-5)


@pytest.mark.parametrize("shapes", [((2, 3), (2, 4), (2, 2)), ((2, 3), (3, 3), (2, 2)), ((2, 3), (2, 3), (2,))])
def test_losses_refuse_other_shapes(shapes) -> None:
    x, v, false = (tf.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError):
        cosine_hinge(x, v, tf.cast(false, tf.bool))


def test_text_encoder_does_not_see_padding() -> None:
    encoder = text_encoder(words=7, width=4, units=5, seed=1)
    short, padded = np.array([[3, 1, 6]], np.int32), np.array([[3, 1, 6, 0, 0, 0]], np.int32)
    np.testing.assert_allclose(encoder(short), encoder(padded), atol=1e-7)
    other = np.array([[1, 3, 6]], np.int32)
    assert np.abs(encoder(short) - encoder(other)).max() > 1e-4  # it reads in order


def test_text_encoder_has_no_number_that_its_seed_does_not_determine() -> None:
    one, two = (text_encoder(words=7, width=4, units=5, seed=1).variables for _ in range(2))
    assert len(one) == len(two) > 4  # the state of a generator that is never drawn from is among them
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


def test_text_encoder_is_the_lstm_of_the_equations() -> None:
    encoder = text_encoder(words=4, width=3, units=2, seed=3)
    table, kernel, recurrent, bias = (np.array(w) for w in encoder.get_weights())

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    h, c = np.zeros(2), np.zeros(2)
    for word in (2, 3, 1):
        i, f, g, o = np.split(table[word] @ kernel + h @ recurrent + bias, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        h = sigmoid(o) * np.tanh(c)
    np.testing.assert_allclose(encoder(np.array([[2, 3, 1]], np.int32))[0], h, rtol=1e-5)


def test_tile_lays_the_vector_over_every_place() -> None:
    maps, vector = tf.reshape(tf.range(16.0), [2, 2, 2, 2]), tf.constant([[7.0], [9.0]])
    out = Tile()([maps, vector])
    assert out.shape == (2, 2, 2, 3)
    np.testing.assert_array_equal(out[..., :2], maps)
    np.testing.assert_array_equal(out[..., 2], np.stack([np.full((2, 2), 7.0), np.full((2, 2), 9.0)]))


def test_recall_at_1_by_hand() -> None:
    x = np.array([[1, 0], [0, 1], [-1, 0.1]])
    v = np.array([[5, 1], [1, 2], [0.1, 1]])  # the third picture is nearest to the third caption, the second too
    assert recall_at_1(x, v) == pytest.approx(2 / 3)
    assert recall_at_1(x, np.ones((3, 2))) == 0  # a tie is no hit


def test_word_similarity_is_the_mean_cosine_of_words_with_what_they_look_at() -> None:
    """With gamma ln 3 the word (2, 0) looks at (5, 0) and (0, 1) in shares of 3/4 and 1/4, the word (1, 1) at both alike."""
    words = tf.constant([[[2.0, 0], [1, 1], [-7, 3]]])  # the third is padding
    regions = tf.constant([[[5.0, 0], [0, 1]]])
    ids = tf.constant([[4, 5, 0]])
    first = 0.75 / (0.75**2 + 0.25**2) ** 0.5
    np.testing.assert_allclose(
        word_similarity(words, regions, ids, gamma=float(np.log(3))), [(first + 1) / 2], rtol=1e-5
    )
    sides = word_similarity(
        tf.tile(words, (3, 1, 1))[None], tf.tile(regions, (2, 1, 1))[:, None], tf.tile(ids, (3, 1))[None]
    )
    assert sides.shape == (2, 3)


def test_contrastive_is_the_log_loss_of_the_matching_pair() -> None:
    """Similarities are logarithms, so softmaxes are fractions: 4 of 4 + 3 + 1, 5 of 5 + 2 + 6, 4 of 4 + 2, 5 of 5 + 3."""
    s, wrong = tf.math.log([[4.0, 3.0], [2.0, 5.0]]), tf.math.log([1.0, 6.0])
    every = tf.constant([[False, True], [True, False]])
    expected = -np.mean([np.log(4 / 8) + np.log(4 / 6), np.log(5 / 13) + np.log(5 / 8)])
    np.testing.assert_allclose(contrastive(s, every, wrong, gamma=1.0), expected, rtol=1e-6)
    some = tf.constant(
        [[False, False], [True, False]]
    )  # caption 1 happens to be true of picture 0, so nothing is said of the two
    expected = -np.mean([np.log(4 / 5) + np.log(4 / 6), np.log(5 / 13) + np.log(5 / 5)])
    np.testing.assert_allclose(contrastive(s, some, wrong, gamma=1.0), expected, rtol=1e-6)
    halved = contrastive(s / 10, every, wrong / 10)  # gamma 10
    np.testing.assert_allclose(halved, contrastive(s, every, wrong, gamma=1.0), rtol=1e-5)
