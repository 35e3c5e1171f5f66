"""The snippets of "Deep Learning Using TensorLayer" that use these functions, as the book's readers type them."""

# ruff: noqa: NPY002 - the global state is what these tests are about
from __future__ import annotations

import pathlib

import keras
import numpy as np
import pytest
from PIL import Image

from core import tl


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_mini_batching() -> None:
    X = np.asarray([["a", "a"], ["b", "b"], ["c", "c"], ["d", "d"], ["e", "e"], ["f", "f"]])
    y = np.asarray([0, 1, 2, 3, 4, 5])
    batches = list(tl.iterate.minibatches(inputs=X, targets=y, batch_size=2, shuffle=False))
    assert [b.tolist() for _, b in batches] == [[0, 1], [2, 3], [4, 5]]
    assert batches[0][0].tolist() == [["a", "a"], ["b", "b"]]

    np.random.seed(0)
    seen = np.concatenate([b for _, b in tl.iterate.minibatches(X, y, batch_size=2, shuffle=True)])
    assert sorted(seen) == [0, 1, 2, 3, 4, 5]
    assert seen.tolist() != [0, 1, 2, 3, 4, 5]


def test_sequences_for_recurrent_networks() -> None:
    X = np.asarray([["a", "a"], ["b", "b"], ["c", "c"], ["d", "d"], ["e", "e"], ["f", "f"]])
    y = np.asarray([0, 1, 2, 3, 4, 5])
    batches = list(tl.iterate.seq_minibatches(inputs=X, targets=y, batch_size=2, seq_length=2, stride=1))
    assert [b.tolist() for _, b in batches] == [[0, 1, 1, 2], [2, 3, 3, 4]]
    num_steps = 2  # many to one
    last = [b.reshape((-1, num_steps))[:, -1].tolist() for _, b in batches]
    assert last == [[1, 2], [3, 4]]

    train_data = list(range(20))
    x, target = next(iter(tl.iterate.ptb_iterator(train_data, batch_size=2, num_steps=3)))
    assert x.tolist() == [[0, 1, 2], [10, 11, 12]]
    assert target.tolist() == [[1, 2, 3], [11, 12, 13]]


def test_discounted_rewards() -> None:
    rewards = np.asarray([0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1])
    gamma = 0.9
    discounted = tl.rein.discount_episode_rewards(rewards, gamma)
    np.testing.assert_allclose(discounted, [0.729, 0.81, 0.9, 1.0] * 3, rtol=1e-6)
    discounted = tl.rein.discount_episode_rewards(rewards, gamma, mode=1)
    expected = [1.52110755, 1.69011939, 1.87791049, 2.08656716, 1.20729685, 1.34144104]
    np.testing.assert_allclose(discounted[:6], expected, rtol=1e-6)


def test_choosing_an_action() -> None:
    np.random.seed(0)
    actions = [int(tl.rein.choice_action_by_probs([0.2, 0.4, 0.4])) for _ in range(200)]
    assert set(actions) == {0, 1, 2}
    assert tl.rein.choice_action_by_probs([0.0, 1.0], ["a", "b"]) == "b"


def test_distorting_five_aligned_images() -> None:
    """Four slices of a scan and their segmentation go through the same distortions, pixel by pixel."""

    def distort_imgs(data: tuple[np.ndarray, ...]) -> tuple[np.ndarray, ...]:
        x1, x2, x3, x4, y = data
        x1, x2, x3, x4, y = tl.prepro.flip_axis_multi([x1, x2, x3, x4, y], axis=1, is_random=True)
        x1, x2, x3, x4, y = tl.prepro.elastic_transform_multi([x1, x2, x3, x4, y], alpha=20, sigma=3, is_random=True)
        x1, x2, x3, x4, y = tl.prepro.rotation_multi([x1, x2, x3, x4, y], rg=20, is_random=True, fill_mode="constant")
        x1, x2, x3, x4, y = tl.prepro.shift_multi(
            [x1, x2, x3, x4, y], wrg=0.10, hrg=0.10, is_random=True, fill_mode="constant"
        )
        x1, x2, x3, x4, y = tl.prepro.shear_multi([x1, x2, x3, x4, y], 0.05, is_random=True, fill_mode="constant")
        x1, x2, x3, x4, y = tl.prepro.zoom_multi(
            [x1, x2, x3, x4, y], zoom_range=[0.9, 1.1], is_random=True, fill_mode="constant"
        )
        return x1, x2, x3, x4, y

    scans = np.random.default_rng(0).random([3, 32, 24, 1])  # three patients
    data = tl.prepro.threading_data(list(zip(scans, scans, scans, scans, scans, strict=True)), fn=distort_imgs)
    assert data.shape == (3, 5, 32, 24, 1)
    X1, X2, X3, X4, y = data.transpose((1, 0, 2, 3, 4))
    for X in (X1, X2, X3, X4):
        np.testing.assert_array_equal(X, y)
    assert not np.array_equal(y, scans)


def test_saving_an_image_grid() -> None:
    images = np.random.default_rng(0).random([64, 10, 12, 3])
    tl.visualize.save_images(images, [8, 8], "temp.png")
    grid = np.array(Image.open("temp.png"))
    assert grid.shape == (80, 96, 3)
    np.testing.assert_array_equal(grid[10:20, 24:36], (images[10] * 255).astype(np.uint8))  # row 1, column 2

    tl.vis.save_images(images * 2 - 1, [8, 8], "tanh.png")  # the output of a generator
    assert abs(np.array(Image.open("tanh.png")).astype(int) - grid).max() <= 1


def test_padding_captions() -> None:
    captions = ["one two , three", "four five five"]
    processed = [tl.nlp.process_sentence(c, start_word="<S>", end_word="</S>") for c in captions]
    assert processed == [["<S>", "one", "two", ",", "three", "</S>"], ["<S>", "four", "five", "five", "</S>"]]

    tl.nlp.create_vocab(processed, word_counts_output_file="vocab.txt", min_word_count=1)
    vocab = tl.nlp.Vocabulary("vocab.txt", start_word="<S>", end_word="</S>", unk_word="<UNK>")
    assert (vocab.pad_id, vocab.start_id, vocab.unk_id) == (0, 1, 9)

    ids = [[vocab.word_to_id(word) for word in caption] for caption in processed]
    padded = tl.prepro.pad_sequences(
        ids, maxlen=None, dtype="int32", padding="post", truncating="pre", value=vocab.pad_id
    )
    assert padded.shape == (2, 6)
    mask = tl.prepro.sequences_get_mask(padded, pad_val=vocab.pad_id)
    assert mask.tolist() == [[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 1, 0]]

    generated = [[4, 3, 5, 3, 2, 2, 2, 2], [5, 3, 9, 4, 9, 2, 2, 3]]
    assert tl.prepro.process_sequences(generated, end_id=2, pad_val=0, is_shorten=True) == [
        [4, 3, 5, 3, 0],
        [5, 3, 9, 4, 9],
    ]
    assert tl.prepro.sequences_add_start_id([[4, 3, 5], [5, 3, 9]], start_id=2, remove_last=True) == [
        [2, 4, 3],
        [2, 5, 3],
    ]


def test_building_a_vocabulary() -> None:
    words = ["the", "quick", "brown", "fox", "jumps", "over", "the", "lazy", "dog", "the", "fox"]
    data, count, _, reverse_dictionary = tl.nlp.build_words_dataset(words, 3, True, "UNK")
    assert count == [["UNK", 6], ("the", 3), ("fox", 2)]
    assert tl.nlp.word_ids_to_words(data, reverse_dictionary)[:4] == ["the", "UNK", "UNK", "fox"]
    tl.nlp.save_vocab(count, name="vocab_text8.txt")
    assert pathlib.Path("vocab_text8.txt").read_text() == "UNK 6\nthe 3\nfox 2\n"

    vocab = tl.nlp.build_vocab(words)
    assert list(vocab)[:3] == ["the", "fox", "brown"]
    assert tl.nlp.words_to_word_ids(["the", "fox"], vocab) == [0, 1]


def test_skip_gram_batches() -> None:
    data = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]
    batch, labels, data_index = tl.nlp.generate_skip_gram_batch(
        data=data, batch_size=8, num_skips=2, skip_window=1, data_index=0
    )
    assert batch.tolist() == [2, 2, 3, 3, 4, 4, 5, 5]
    assert [sorted(pair) for pair in labels.reshape(4, 2).tolist()] == [[1, 3], [2, 4], [3, 5], [4, 6]]
    batch, _, _ = tl.nlp.generate_skip_gram_batch(data, 8, 2, 1, data_index)
    assert batch.tolist()[:2] == [9, 9]  # three words fill the first window, four more pass by


def test_saving_and_loading_parameters() -> None:
    def network() -> keras.Model:
        return keras.Sequential([keras.layers.Input([4]), keras.layers.Dense(3, "relu"), keras.layers.Dense(2)])

    trained, fresh, by_name = network(), network(), network()
    tl.files.save_npz(trained.weights, name="model.npz")
    load_params = tl.files.load_npz(name="model.npz")
    tl.files.assign_params(load_params, fresh)
    for a, b in zip(trained.get_weights(), fresh.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)

    assert tl.files.load_and_assign_npz(name="model.npz", network=by_name) is by_name
    np.testing.assert_array_equal(by_name(np.ones([1, 4])), trained(np.ones([1, 4])))

    tl.files.save_any_to_npy(save_dict={"data": ["a", "b"]}, name="test.npy")
    assert tl.files.load_npy_to_any(name="test.npy") == {"data": ["a", "b"]}


def test_sampling_words() -> None:
    np.random.seed(0)
    assert {int(tl.nlp.sample([0.1, 0.2, 0.7], temperature=0.7)) for _ in range(100)} == {0, 1, 2}
    assert {int(tl.nlp.sample_top(np.asarray([0.1, 0.2, 0.7]), top_k=2)) for _ in range(100)} == {1, 2}
