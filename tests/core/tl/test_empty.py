"""Empty input: every function of the package does with it what TensorLayer 2.2.5 does."""

from __future__ import annotations

import pathlib
import tempfile
import traceback
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from core import tl

MODULES = ("activation", "cost", "files", "iterate", "layers", "nlp", "prepro", "rein", "utils", "visualize")

# Functions of numbers, of names of files, or of a Keras model: nothing they take has a length.
OF_NOTHING_WITH_A_LENGTH = {
    "prepro": {
        "affine_horizontal_flip_matrix": "a probability",
        "affine_respective_zoom_matrix": "numbers",
        "affine_rotation_matrix": "a number",
        "affine_shear_matrix": "numbers",
        "affine_shift_matrix": "numbers",
        "affine_vertical_flip_matrix": "a probability",
        "affine_zoom_matrix": "a number",
        "transform_matrix_offset_center": "a matrix of fixed size",
    },
    "files": {
        "assign_tf_variable": "one variable",
        "del_file": "a name",
        "del_folder": "a name",
        "exists_or_mkdir": "a name",
        "file_exists": "a name",
        "folder_exists": "a name",
    },
    "visualize": {"frame": "one image, which matplotlib draws"},
}

IMAGE = np.random.default_rng(0).random([8, 8, 3])
NO_COLOURS, NO_GREY, NO_PIXELS = np.zeros([0, 0, 3]), np.zeros([0, 0, 1]), np.zeros([0, 0])
NO_IMAGES = np.zeros([0, 4, 4, 3])
NO_ROWS, NO_COLUMNS = np.zeros([0, 4], int), np.zeros([2, 0], int)
NOTHING = np.asarray([])
BLACK = np.zeros([2, 2])
NAN = float("nan")


def tensor(*shape: int, dtype: str = "float32") -> tf.Tensor:
    return tf.zeros(shape, dtype)


def file(text: str = "") -> str:
    path = pathlib.Path(tempfile.mkdtemp(), "text")
    path.write_text(text)
    return str(path)


def written(function: Callable[..., Any], *args: Any) -> str:
    """The text of the file that a function writes, whose name is its last argument."""
    path = pathlib.Path(tempfile.mkdtemp(), "written")
    function(*args, str(path))
    return path.read_text()


def saved(save: Callable[..., Any], load: Callable[..., Any], value: Any, ending: str) -> Any:
    path = str(pathlib.Path(tempfile.mkdtemp(), f"saved{ending}"))
    save(value, path)
    return load(name=path)


ROWS: list[tuple[str, Callable[[], Any], Any]] = []
"""The function, a call, and its result or what it raises."""


def row(name: str, expected: Any, *args: Any, **kwargs: Any) -> None:
    module, function = name.split(".")
    ROWS.append((name, lambda: getattr(getattr(tl, module), function)(*args, **kwargs), expected))


def row_of(name: str, expected: Any, call: Callable[..., Any]) -> None:
    module, function = name.split(".")
    ROWS.append((name, lambda: call(getattr(getattr(tl, module), function)), expected))


# --- images -----------------------------------------------------------------------------------------------------------

for images in ([], NO_IMAGES):
    row("prepro.rotation_multi", IndexError, images)
    row("prepro.shift_multi", IndexError, images)
    row("prepro.shear_multi", IndexError, images)
    row("prepro.shear_multi2", IndexError, images)
    row("prepro.crop_multi", IndexError, images, 1, 1)
    row("prepro.elastic_transform_multi", IndexError, images, 1, 1)
    row("prepro.swirl_multi", IndexError, images, is_random=True)
    row("prepro.swirl_multi", NOTHING, images)
    row("prepro.zoom_multi", NOTHING, images)
    row("prepro.flip_axis_multi", NOTHING, images, 1)
    row("prepro.brightness_multi", NOTHING, images)
    row("prepro.channel_shift_multi", NOTHING, images, 1)
for image in (NO_COLOURS, NO_GREY):
    row("prepro.rotation", image, image)
    row("prepro.shift", image, image)
    row("prepro.shear", image, image)
    row("prepro.shear2", image, image)
    row("prepro.affine_transform", image, image, np.eye(3))
    row("prepro.apply_transform", image, image, np.eye(3))
    row("prepro.crop", image, image, 0, 0)
    row("prepro.flip_axis", image, image)
    row("prepro.brightness", image, image)
    row("prepro.pixel_value_scale", image, image)
    row("prepro.samplewise_norm", image, image, samplewise_center=True, samplewise_std_normalization=True)
    row("prepro.featurewise_norm", image, image, 1.0, 1.0)
    row("prepro.drop", image, image)
    row("prepro.zoom", ValueError, image)
    row("prepro.respective_zoom", ValueError, image)
    row("prepro.affine_transform_cv2", ValueError, image, np.eye(3))
    row("prepro.swirl", ValueError, image)
    row("prepro.channel_shift", ValueError, image, 1)
    row("prepro.imresize", ValueError, image)
    row("prepro.array_to_img", ValueError, image)
row("prepro.crop", IMAGE[:0], IMAGE, 8, 0)
row("prepro.elastic_transform", NO_GREY, NO_GREY, 1, 1)
row("prepro.elastic_transform", AssertionError, NO_COLOURS, 1, 1)
row("prepro.illumination", NO_COLOURS.astype(np.uint8), NO_COLOURS.astype(np.uint8))
row("prepro.rgb_to_hsv", NO_COLOURS, NO_COLOURS)
row("prepro.hsv_to_rgb", NO_COLOURS.astype(np.uint8), NO_COLOURS)
row("prepro.adjust_hue", NO_COLOURS.astype(np.uint8), NO_COLOURS)
row("prepro.get_zca_whitening_principal_components_img", ValueError, np.zeros([0, 2, 2, 1]))
row("prepro.zca_whitening", NO_GREY, NO_GREY, NO_PIXELS)
row("prepro.projective_transform_by_points", ValueError, NO_COLOURS, np.eye(4)[:, :2], np.eye(4)[:, :2])
row("prepro.find_contours", ValueError, NO_PIXELS)
row("prepro.binary_dilation", NO_PIXELS.astype(bool), NO_PIXELS)
row("prepro.binary_erosion", NO_PIXELS.astype(bool), NO_PIXELS)
row("prepro.dilation", NO_PIXELS, NO_PIXELS)
row("prepro.erosion", NO_PIXELS, NO_PIXELS)
for points in ([], [[]], np.zeros([0, 2])):
    row("prepro.pt2map", BLACK, points, size=(2, 2))
row("prepro.affine_transform_keypoints", [], [], np.eye(3))
row("prepro.affine_transform_keypoints", ValueError, [[]], np.eye(3))

# --- boxes and people -------------------------------------------------------------------------------------------------

for boxes in ([], None, np.zeros([0, 4])):
    row("prepro.obj_box_coords_rescale", [], boxes)
    for flip in ("obj_box_horizontal_flip", "obj_box_left_right_flip"):
        row(f"prepro.{flip}", (IMAGE[:, ::-1], []), IMAGE, boxes)
    row_of("prepro.obj_box_imresize", [], lambda f, boxes=boxes: f(IMAGE, boxes, [4, 4])[1])
    for crop_shift_or_zoom, sizes in (("obj_box_crop", (4, 4)), ("obj_box_shift", ()), ("obj_box_zoom", ())):
        for fractions in (False, True):
            row_of(
                f"prepro.{crop_shift_or_zoom}",
                ([], []),
                lambda f, boxes=boxes, sizes=sizes, rel=fractions: f(IMAGE, boxes, boxes, *sizes, is_rescale=rel)[1:],
            )
for box_function in (
    "obj_box_coord_rescale",
    "obj_box_coord_centroid_to_upleft",
    "obj_box_coord_centroid_to_upleft_butright",
    "obj_box_coord_upleft_butright_to_centroid",
    "obj_box_coord_upleft_to_centroid",
    "obj_box_coord_scale_to_pixelunit",
):
    row(f"prepro.{box_function}", AssertionError, [])
row("prepro.obj_box_coords_rescale", AssertionError, [[]])
row("prepro.parse_darknet_ann_str_to_list", [], "")
row("prepro.parse_darknet_ann_str_to_list", [], "\n")
row("prepro.parse_darknet_ann_list_to_cls_box", ([], []), [])
for distort, options in {
    "keypoint_random_crop": {"size": (4, 4)},
    "keypoint_resize_random_crop": {"size": (4, 4)},
    "keypoint_random_rotate": {},
    "keypoint_random_flip": {"prob": 0.0},
    "keypoint_random_resize": {},
    "keypoint_random_resize_shortestedge": {"min_size": (4, 4)},
}.items():
    row_of(f"prepro.{distort}", [], lambda f, options=options: f(IMAGE, [], IMAGE[:, :, 0], **options)[1])
row_of("prepro.keypoint_random_crop", [[]], lambda f: f(IMAGE, [[]], None, (4, 4))[1])  # the original raises
row("prepro.keypoint_random_flip", IndexError, IMAGE, [[]], prob=0.0)

# --- sequences and threads --------------------------------------------------------------------------------------------

row("prepro.pad_sequences", ValueError, [])
row("prepro.pad_sequences", ValueError, NO_ROWS)
row("prepro.pad_sequences", np.zeros([0, 3], np.int32), [], 3)
row("prepro.pad_sequences", np.zeros([0, 3], np.int32), NO_ROWS, 3)
row("prepro.pad_sequences", np.zeros([2, 0], np.int32), [[], []])
row("prepro.pad_sequences", np.full([2, 3], 7, np.int32), [[], []], 3, value=7)
for copied in ([], [[]], [[], []], (), NOTHING, NO_ROWS, NO_COLUMNS):
    row("prepro.remove_pad_sequences", copied, copied)
    row("prepro.sequences_add_end_id_after_pad", copied, copied)
    row("prepro.process_sequences", copied, copied)
    row("prepro.process_sequences", copied, copied, is_shorten=False)
for none in ([], (), NOTHING, NO_ROWS):
    row("prepro.sequences_add_start_id", [], none, 1)
    row("prepro.sequences_add_end_id", [], none, 1)
    row("prepro.sequences_get_mask", np.ones_like(none), none)
row("prepro.sequences_add_start_id", [[1], [1]], [[], []], 1)
row("prepro.sequences_add_start_id", [[1]], [[]], 1, remove_last=True)
row("prepro.sequences_add_end_id", [[1], [1]], [[], []], 1)
row("prepro.sequences_get_mask", np.ones([1, 0]), [[]])
row("prepro.sequences_get_mask", NO_COLUMNS, NO_COLUMNS)
row("prepro.threading_data", NOTHING, [], len)
row("prepro.threading_data", NOTHING, NO_ROWS, np.sum)
row("prepro.threading_data", np.asarray([0]), [[]], len)
row("prepro.threading_data", NOTHING, [], np.asarray, 2)

# --- iterate and rein -------------------------------------------------------------------------------------------------

for examples in ([], (), NOTHING, np.zeros([0, 3])):
    for options in ({}, {"shuffle": True}, {"allow_dynamic_batch_size": True}):
        row_of("iterate.minibatches", [], lambda f, x=examples, options=options: list(f(x, x, 2, **options)))
row_of("iterate.seq_minibatches", [], lambda f: list(f(NOTHING, NOTHING, 1, 1)))
row_of("iterate.seq_minibatches", [], lambda f: list(f(np.zeros([0, 3]), NOTHING, 2, 2)))
row_of("iterate.seq_minibatches2", [], lambda f: list(f(NOTHING, NOTHING, 1, 1)))
row_of("iterate.seq_minibatches2", [], lambda f: list(f(np.zeros([0, 3]), NOTHING, 2, 2)))
for tokens in ([], (), NOTHING):
    row_of("iterate.ptb_iterator", [], lambda f, tokens=tokens: list(f(tokens, 2, 2)))
for shape in ((0,), (0, 1), (0, 3), (3, 0)):
    row("rein.discount_episode_rewards", np.zeros(shape, np.float32), np.zeros(shape))
row("rein.discount_episode_rewards", AttributeError, [])
row("rein.choice_action_by_probs", ValueError, [])
row("rein.choice_action_by_probs", ValueError, [], [])
row("rein.cross_entropy_reward_loss", 0.0, tensor(0, 3), tensor(0, dtype="int32"), tensor(0))
row("rein.log_weight", NAN, tensor(0), tensor(0))

# --- nlp and utils ----------------------------------------------------------------------------------------------------

row("nlp.generate_skip_gram_batch", IndexError, [], 2, 1, 1)
row("nlp.generate_skip_gram_batch", (np.zeros(0, np.int32), np.zeros([0, 1], np.int32), 0), [1, 2, 3], 0, 1, 1)
for probabilities in ([], NOTHING):
    for temperature in (1.0, 0.5, None):
        row("nlp.sample", ValueError, probabilities, temperature)
row("nlp.sample_top", ValueError, NOTHING, 1)
row_of("nlp.SimpleVocabulary", 3, lambda f: f({}, 3).word_to_id(""))
row_of("nlp.Vocabulary", ["<S>", "</S>", "<UNK>", "<PAD>"], lambda f: f(file()).reverse_vocab)
row_of("nlp.Vocabulary", 2, lambda f: f(file()).word_to_id(""))
row("nlp.process_sentence", ["<S>", "</S>"], "")
row("nlp.process_sentence", [], "", None, None)
for sentences in ([], (), [[]]):
    row_of("nlp.create_vocab", "<PAD> 0", lambda f, sentences=sentences: written(f, sentences))
row_of("nlp.create_vocab", 1, lambda f: f([], file()).word_to_id("a"))
row_of("nlp.simple_read_words", "", lambda f: f(file()))
row_of("nlp.read_words", [], lambda f: f(file()))
row_of("nlp.read_analogies_file", np.asarray([], np.int32), lambda f: f(file(), {}))
row_of("nlp.read_analogies_file", np.asarray([], np.int32), lambda f: f(file("\n"), {}))
for words in ([], (), NOTHING):
    row("nlp.build_vocab", ValueError, words)
    row("nlp.words_to_word_ids", [], words, {})
    row("nlp.word_ids_to_words", [], words, {})
    row("nlp.build_words_dataset", AssertionError, words)
    row("nlp.build_words_dataset", ([], [["UNK", 0]], {"UNK": 0}, {0: "UNK"}), words, 0)
row("nlp.words_to_word_ids", KeyError, ["a"], {})
row("nlp.word_ids_to_words", KeyError, [0], {})
row("nlp.build_reverse_dictionary", {}, {})
row_of("nlp.save_vocab", "", lambda f: written(f, []))
row("nlp.basic_tokenizer", [], "")
row("nlp.basic_tokenizer", [], b"")
row_of("nlp.create_vocabulary", "_PAD\n_GO\n_EOS\n_UNK\n", lambda f: written(lambda path: f(path, file(), 9)))
row_of("nlp.initialize_vocabulary", ({}, []), lambda f: f(file()))
row("nlp.sentence_to_token_ids", [], "", {})
row_of("nlp.data_to_token_ids", "", lambda f: written(lambda path: f(file(), path, file())))
row_of("nlp.data_to_token_ids", "\n", lambda f: written(lambda path: f(file("\n"), path, file())))
row("nlp.as_bytes", b"", "")
row("nlp.as_text", "", b"")
row("nlp.moses_multi_bleu", np.float32(0), [], [])
row("nlp.moses_multi_bleu", np.float32(0), NOTHING, NOTHING)
row("utils.dict_to_one", {}, {})
row("utils.flatten_list", [], [])
row("utils.flatten_list", [1], [[], [1], []])
row("utils.list_string_to_dict", {}, [])
row("utils.get_random_int", [], 0, 9, 0)
row("utils.class_balancing_oversample", IndexError, [], [])
row("utils.class_balancing_oversample", IndexError, np.zeros([0, 2]), NOTHING)
row("utils.evaluation", ValueError, [], [], 2)

# --- files and visualize ----------------------------------------------------------------------------------------------

row("files.tf_variables_to_numpy", [], [])
row("files.assign_params", [], [], [])
row("files.assign_weights", [], [], [])
row_of("files.save_npz", [], lambda f: saved(f, tl.files.load_npz, [], ".npz"))
row_of("files.save_npz", ["params"], lambda f: saved(f, lambda name: list(np.load(name)), [], ".npz"))
row_of("files.load_npz", [], lambda f: saved(lambda v, p: np.savez(p, params=v), f, [], ".npz"))
row_of("files.save_npz_dict", [], lambda f: saved(f, tl.files.load_npz_dict, {}, ".npz"))
row_of("files.load_npz_dict", [], lambda f: saved(lambda v, p: np.savez(p), f, [], ".npz"))
row_of("files.load_and_assign_npz", [], lambda f: saved(tl.files.save_npz, lambda name: f(name, []), [], ".npz"))
row_of(
    "files.load_and_assign_npz_dict", [], lambda f: saved(tl.files.save_npz_dict, lambda name: f(name, []), [], ".npz")
)
for plain in ({}, NOTHING):
    row_of("files.save_any_to_npy", plain, lambda f, plain=plain: saved(f, tl.files.load_npy_to_any, plain, ".npy"))
    row_of("files.load_npy_to_any", plain, lambda f, plain=plain: saved(lambda v, p: np.save(p, v), f, plain, ".npy"))
row_of("files.load_file_list", [], lambda f: f(tempfile.mkdtemp()))
row_of("files.load_folder_list", [], lambda f: f(tempfile.mkdtemp()))
row_of("files.read_file", "", lambda f: f(file()))
row("files.natural_keys", [""], "")
row_of("files.npz_to_W_pdf", None, lambda f: f(tempfile.mkdtemp()))
row("visualize.read_images", [], [])
row("visualize.read_image", FileNotFoundError, "")
row_of("visualize.save_images", ValueError, lambda f: f(NO_IMAGES, [1, 1], file()))
row_of("visualize.save_image", ValueError, lambda f: f(NO_COLOURS, file()))
for draw, kernels in {
    "images2d": NO_IMAGES,
    "CNN2d": np.zeros([3, 3, 1, 0]),
    "draw_weights": np.zeros([784, 0]),
    "W": np.zeros([784, 0]),
    "tsne_embedding": np.zeros([0, 4]),
}.items():
    more = ({},) if draw == "tsne_embedding" else ()
    row_of(f"visualize.{draw}", ValueError, lambda f, x=kernels, more=more: f(x, *more, saveable=True, name=file()))
row("visualize.draw_boxes_and_labels_to_image", BLACK.astype(np.uint8), BLACK.astype(np.uint8), [], [], [], [])

# --- tensors ----------------------------------------------------------------------------------------------------------

row("cost.cross_entropy", NAN, tensor(0, 3), tensor(0, dtype="int32"), "name")
for no_examples in ("sigmoid_cross_entropy", "binary_cross_entropy", "mean_squared_error", "absolute_difference_error"):
    row(f"cost.{no_examples}", NAN, tensor(0, 3), tensor(0, 3))
row("cost.huber_loss", NAN, tensor(0, 3), tensor(0, 3))
row("cost.huber_loss", 0.0, tensor(3, 0), tensor(3, 0), is_mean=False)
for sum_of_nothing in ("binary_cross_entropy", "mean_squared_error", "absolute_difference_error"):
    row(f"cost.{sum_of_nothing}", 0.0, tensor(3, 0), tensor(3, 0))
row("cost.mean_squared_error", NAN, tensor(3, 0), tensor(3, 0), is_mean=True)
row("cost.normalized_mean_square_error", NAN, tensor(3, 0), tensor(3, 0))
row_of("cost.cosine_similarity", NOTHING.astype("float32"), lambda f: f(tensor(0, 3), tensor(0, 3)).numpy())
row("cost.cross_entropy_seq", 0.0, tensor(0, 3), tensor(0, 2, dtype="int32"))
row("cost.cross_entropy_seq_with_mask", NAN, tensor(0, 3), tensor(0, 2, dtype="int32"), tensor(0, 2))
row("cost.sequence_loss_by_example", ValueError, [], [], [])
for score in ("dice_coe", "dice_hard_coe", "iou_coe"):
    row(f"cost.{score}", NAN, tensor(0, 2, 2, 1), tensor(0, 2, 2, 1))
    row(f"cost.{score}", 1.0, tensor(2, 0, 0, 1), tensor(2, 0, 0, 1))
for regularizer in ("li_regularizer", "lo_regularizer"):
    row_of(f"cost.{regularizer}", 0.0, lambda f: f(0.5)(tensor(0, 0)))
for regularizer, shape in {"maxnorm_i_regularizer": (0, 3), "maxnorm_o_regularizer": (3, 0)}.items():
    row_of(f"cost.{regularizer}", 0.0, lambda f, shape=shape: f(0.5)(tensor(*shape)))
row_of("cost.maxnorm_regularizer", -np.inf, lambda f: f(0.5)(tensor(0, 0)))
for activation in tl.activation.__all__:
    if activation != "identity":
        row_of(f"activation.{activation}", np.zeros([0, 3], "float32"), lambda f: np.asarray(f(tensor(0, 3))))
row("activation.identity", [], [])
for lengths, sequences in {
    "retrieve_seq_length_op": ((0, 4, 2), (2, 0, 2)),
    "retrieve_seq_length_op2": ((0, 4), (2, 0)),
    "retrieve_seq_length_op3": ((0, 4), (2, 0)),
}.items():
    for no_steps in sequences:
        expected = np.zeros(no_steps[0], np.int32)
        row_of(f"layers.{lengths}", expected, lambda f, shape=no_steps: f(tensor(*shape)).numpy())
row_of("layers.target_mask_op", np.zeros([2, 0], np.int32), lambda f: f(tensor(2, 0)).numpy())


# --- the test ---------------------------------------------------------------------------------------------------------


def same(got: Any, expected: Any) -> bool:
    if isinstance(expected, np.ndarray):
        return isinstance(got, np.ndarray) and got.dtype == expected.dtype and np.array_equal(got, expected)
    if isinstance(expected, (list, tuple)):
        return type(got) is type(expected) and len(got) == len(expected) and all(map(same, got, expected))
    if isinstance(expected, float):
        return bool(np.array_equal(float(got), expected, equal_nan=True))
    return bool(type(got) is type(expected) and got == expected)


def outcome(call: Callable[[], Any], expected: Any) -> str:
    """What is wrong with a row, or nothing."""
    raises = isinstance(expected, type) and issubclass(expected, Exception)
    try:
        got = call()
    except Exception as error:  # noqa: BLE001 - the table says which
        if raises and isinstance(error, expected):
            return "" if str(error) else "raises without a word"
        return "".join(traceback.format_exception_only(error))
    return "" if not raises and same(got, expected) else f"gives {got!r}"


@pytest.mark.filterwarnings("ignore")  # scikit-learn and numpy warn of means of nothing
def test_empty_input_gives_what_it_gives_in_tensorlayer() -> None:
    problems = [(name, why, expected) for name, call, expected in ROWS if (why := outcome(call, expected))]
    assert not problems, "\n".join(f"{name}: {why}, not {expected!r}" for name, why, expected in problems)


def test_the_table_has_every_public_function() -> None:
    seen = {name for name, _, _ in ROWS}
    missing = {
        f"{module}.{name}"
        for module in MODULES
        for name in getattr(tl, module).__all__
        if f"{module}.{name}" not in seen and name not in OF_NOTHING_WITH_A_LENGTH.get(module, {})
    }
    assert not missing
