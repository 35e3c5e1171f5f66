"""Saving whole files or none, loading without running code, and putting parameters into Keras models."""

from __future__ import annotations

import io
import os
import pathlib
import zipfile
from typing import Any

import keras
import numpy as np
import pytest

from core import tl
from core.tl import files


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def model() -> keras.Model:
    return keras.Sequential([keras.layers.Input([4]), keras.layers.Dense(3), keras.layers.BatchNormalization()])


class Bomb:
    """Unpickling it would make a folder."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("bomb",)


# --- safety -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "hidden", [Bomb(), [Bomb()], {"a": np.array([Bomb(), 1], dtype=object)}], ids=["bare", "list", "dict"]
)
def test_nothing_runs_while_loading(hidden: Any) -> None:
    holder = np.empty(1, dtype=object)
    holder[0] = hidden
    np.save("bomb.npy", holder)
    np.savez("bomb.npz", params=holder)
    for load, name in (
        (files.load_npy_to_any, "bomb.npy"),
        (files.load_npz, "bomb.npz"),
        (files.load_npz_dict, "bomb.npz"),
    ):
        with pytest.raises(ValueError, match=r"bomb\.np. holds posix\.mkdir, which could run code"):
            load(name=name)  # type: ignore[operator]
    assert not os.path.exists("bomb")


@pytest.mark.parametrize("module", ["builtins.eval", "numpy.f2py.crackfortran.myeval", "numpy.load", "os.system"])
def test_other_names_are_refused(module: str) -> None:
    package, name = module.rsplit(".", 1)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "|O", "fortran_order": False, "shape": (1,)})
    pathlib.Path("a.npy").write_bytes(header.getvalue() + f"c{package}\n{name}\n(S'1'\ntR.".encode())
    with pytest.raises(ValueError, match="could run code"):
        files.load_npy_to_any(name="a.npy")


def test_plain_data_comes_back() -> None:
    data = {
        "weights": [np.ones([2, 3], "float32"), np.zeros(4)],
        "names": np.array(["a", "b"]),
        "loss": np.float32(0.5),
        "nested": {"bytes": b"x", "tuple": (1, 2.5, None, True)},
    }
    files.save_any_to_npy(data, "data.npy")
    loaded = files.load_npy_to_any(name="data.npy")
    assert list(loaded) == list(data)
    np.testing.assert_array_equal(loaded["weights"][0], data["weights"][0])
    assert loaded["loss"] == data["loss"]
    assert loaded["nested"] == data["nested"]
    files.save_any_to_npy(np.arange(3), "array")
    assert files.load_npy_to_any(name="array.npy").tolist() == [0, 1, 2]


def test_an_object_that_could_not_be_read_is_not_written() -> None:
    files.save_any_to_npy({"a": 1}, "data.npy")
    with pytest.raises(ValueError, match="could run code"):
        files.save_any_to_npy({"a": Bomb()}, "data.npy")
    assert files.load_npy_to_any(name="data.npy") == {"a": 1}
    assert os.listdir() == ["data.npy"]
    with pytest.raises(ValueError, match="numbers or text"):
        files.save_npz([np.array([Bomb()], dtype=object)], "model.npz")
    assert os.listdir() == ["data.npy"]


def test_an_interrupted_save_leaves_the_old_file(monkeypatch: pytest.MonkeyPatch) -> None:
    files.save_npz([np.ones(3)], "model.npz")

    def disk_full(*args: Any, **kwargs: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(np.lib.format, "write_array", disk_full)
    with pytest.raises(OSError, match="disk full"):
        files.save_npz([np.zeros(3)], "model.npz")
    assert os.listdir() == ["model.npz"]
    np.testing.assert_array_equal(files.load_npz(name="model.npz")[0], np.ones(3))


def test_weights_need_no_unpickling() -> None:
    files.save_npz([np.ones([2, 2]), np.zeros(3), np.full(1, 7.0)], "ragged.npz")
    with np.load("ragged.npz", allow_pickle=False) as stored:
        assert sorted(stored) == ["params_0", "params_1", "params_2"]
        assert stored["params_2"] == 7
    files.save_npz([np.ones(2)] * 2, "uniform.npz")
    with np.load("uniform.npz", allow_pickle=False) as stored:
        assert stored["params"].shape == (2, 2)


def test_types_stay() -> None:
    files.save_npz([np.ones(2, "float32"), np.ones(2, "int64")], "model.npz")
    assert [p.dtype for p in files.load_npz(name="model.npz")] == ["float32", "int64"]


def test_more_than_ten_parameters_keep_their_order() -> None:
    values = [np.full(i + 1, float(i)) for i in range(12)]
    files.save_npz(values, "many.npz")
    assert [p[0] for p in files.load_npz(name="many.npz")] == list(range(12))
    files.save_npz_dict(values, "numbers.npz")
    assert [p[0] for p in files.load_npz_dict(name="numbers.npz")] == list(range(12))


def test_a_file_of_the_other_kind_is_named() -> None:
    files.save_npz_dict({"w": np.ones(2)}, "names.npz")
    with pytest.raises(ValueError, match="load_npz_dict"):
        files.load_npz(name="names.npz")


def test_a_damaged_file_raises() -> None:
    files.save_npz([np.arange(1000.0)], "model.npz")
    whole = pathlib.Path("model.npz").read_bytes()
    pathlib.Path("model.npz").write_bytes(whole[:2000] + b"\xff" + whole[2001:])
    with pytest.raises(zipfile.BadZipFile):
        files.load_npz(name="model.npz")


# --- Keras ------------------------------------------------------------------------------------------------------------


def test_both_generations_call_assign_params() -> None:
    source = model()
    params = source.get_weights()
    params[0] = np.full_like(params[0], 3.0)
    for assign in (
        lambda m: files.assign_params(None, params, m),
        lambda m: files.assign_params(params, m),
        lambda m: files.assign_params(sess=None, params=params, network=m),
        lambda m: files.assign_weights(params, m),
    ):
        target = model()
        assign(target)
        np.testing.assert_array_equal(target.get_weights()[0], params[0])


def test_a_wrong_model_is_left_as_it_was() -> None:
    target = model()
    before = target.get_weights()
    wrong = [np.ones_like(w) for w in before]
    with pytest.raises(ValueError, match="5 parameters for 6 variables"):
        files.assign_params(wrong[:-1], target)
    with pytest.raises(ValueError, match=r"parameter 5 has shape \(9,\)"):
        files.assign_params([*wrong[:-1], np.ones(9)], target)
    for a, b in zip(before, target.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_by_name() -> None:
    source = model()
    source.weights[0].assign(np.full([4, 3], 5.0))
    files.save_npz_dict(source.weights, "model.npz")
    assert files.load_and_assign_npz_dict("model.npz", network=source) is source
    with pytest.raises(ValueError, match="skip=True"):
        files.load_and_assign_npz_dict("model.npz", network=source.weights[:2])
    assert files.load_and_assign_npz_dict("model.npz", network=source.weights[:2], skip=True)
    with pytest.raises(ValueError, match="more than one is called"):
        files.save_npz_dict([source.weights[0], source.weights[0]], "twice.npz")
    assert not os.path.exists("twice.npz")


def test_both_generations_call_load_and_assign_npz() -> None:
    source = model()
    files.save_npz(source.weights, "model.npz")
    for call in (
        lambda m: files.load_and_assign_npz(None, "model.npz", m),
        lambda m: files.load_and_assign_npz("model.npz", m),
        lambda m: files.load_and_assign_npz(sess=None, name="model.npz", network=m),
    ):
        target = model()
        assert call(target) is target
        np.testing.assert_array_equal(target.get_weights()[0], source.get_weights()[0])
    assert files.load_and_assign_npz(name="none.npz", network=source) is False
    with pytest.raises(ValueError, match=r"\[sess,\] name, network"):
        files.load_and_assign_npz(None, "model.npz", source, 1)
    with pytest.raises(ValueError, match="needs a file name and a network"):
        files.load_and_assign_npz(name="model.npz")


# --- files and folders ------------------------------------------------------------------------------------------------


def test_lists_and_folders() -> None:
    assert not files.exists_or_mkdir("a/b")
    assert files.exists_or_mkdir("a/b")
    for name in ("x10.npz", "x2.npz", "y.txt"):
        pathlib.Path("a", name).write_text(name)
    assert files.load_file_list("a", regx=r"\.npz") == ["x2.npz", "x10.npz"]
    assert files.load_file_list("a", regx=r"\.txt", keep_prefix=True) == [os.path.join("a", "y.txt")]
    assert files.load_folder_list("a") == [os.path.join("a", "b")]
    assert files.load_folder_list() == ["a"]
    assert files.read_file("a/y.txt") == "y.txt"
    assert files.file_exists("a/y.txt")
    files.del_file("a/y.txt")
    assert not files.file_exists("a/y.txt")
    files.del_folder("a")
    assert not files.folder_exists("a")


def test_weights_as_a_picture() -> None:
    files.save_npz([np.random.default_rng(0).random([784, 4])], "w1pre_1.npz")
    tl.files.npz_to_W_pdf(".")
    assert os.path.exists("w1pre_1.pdf")
