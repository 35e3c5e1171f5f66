from __future__ import annotations

import hashlib
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from core import checkpoint
from core.checkpoint import AppendOnly, CheckpointError, DamagedCheckpoint


def build(seed: int) -> dict:
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(4), keras.layers.Dropout(0.5, seed=seed), keras.layers.Dense(2)]
    )
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(model.trainable_variables)
    return {
        "model": model,
        "optimizer": optimizer,
        "half": tf.Variable(tf.cast(tf.range(3), tf.bfloat16) * (seed + 0.5)),
        "tf_rng": tf.random.Generator.from_seed(seed),
        "keras_rng": keras.random.SeedGenerator(seed),
        "rngs": [np.random.default_rng(seed), np.random.Generator(np.random.MT19937(seed))],
        "numbers": {"i": seed, "f": seed + 0.1, "none": None, "text": "é", "flag": True, "list": [1, [2, 3]]},
        "frames": np.arange(6, dtype=np.uint8).reshape(2, 3) + seed,
        "nested": {"deep": {"x": np.float32(seed), "variable": tf.Variable([1.0 * seed])}},
    }


def train(tree: dict) -> None:
    model, optimizer = tree["model"], tree["optimizer"]
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(tf.ones((2, 3)), training=True) ** 2)
    optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)


def test_every_kind_of_leaf_comes_back_and_goes_on_the_same(tmp_path: Path) -> None:
    a, b = build(1), build(2)
    train(a)
    path = checkpoint.save(tmp_path, f"{1:012d}", a)
    values = checkpoint.load(path, b)
    assert values["numbers"] == a["numbers"]
    np.testing.assert_array_equal(values["frames"], a["frames"])
    assert values["nested"]["deep"]["x"] == np.float32(1)
    assert values["model"] is b["model"]
    np.testing.assert_array_equal(b["half"].numpy(), a["half"].numpy())
    assert b["half"].dtype == tf.bfloat16
    for _ in range(2):
        train(a)
        train(b)
        for x, y in zip(
            a["model"].variables + a["optimizer"].variables,
            b["model"].variables + b["optimizer"].variables,
            strict=True,
        ):
            np.testing.assert_array_equal(np.asarray(x), np.asarray(y))
        np.testing.assert_array_equal(a["tf_rng"].normal([3]), b["tf_rng"].normal([3]))
        for x, y in zip(a["rngs"], b["rngs"], strict=True):
            assert x.random() == y.random()
        assert int(a["keras_rng"].next()[1]) == int(b["keras_rng"].next()[1])


def test_sums_are_those_of_sha256sum(tmp_path: Path) -> None:
    path = checkpoint.save(tmp_path, "x", {"a": 1})
    for line in (path / "SHA256SUMS").read_text().splitlines():
        digest, name = line.split("  ")
        assert hashlib.sha256((path / name).read_bytes()).hexdigest() == digest


@pytest.mark.parametrize("file", ["tree.json", "arrays.npz", "SHA256SUMS"])
@pytest.mark.parametrize("damage", ["flip", "truncate", "delete"])
def test_damage_is_noticed_before_anything_changes(tmp_path: Path, file: str, damage: str) -> None:
    path = checkpoint.save(tmp_path, "x", build(1))
    victim = path / file
    data = bytearray(victim.read_bytes())
    if damage == "flip":
        data[len(data) // 2] ^= 0x01
        victim.write_bytes(data)
    elif damage == "truncate":
        victim.write_bytes(data[: len(data) // 2])
    else:
        victim.unlink()
    live = build(2)
    before = [np.asarray(v).copy() for v in live["model"].variables]
    with pytest.raises(DamagedCheckpoint, match=r"checkpoint .* (is damaged|cannot be read)"):
        checkpoint.load(path, live)
    for old, new in zip(before, live["model"].variables, strict=True):
        np.testing.assert_array_equal(old, np.asarray(new))


def test_a_checkpoint_that_may_not_be_read_is_no_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = checkpoint.save(tmp_path, "a", {"clock": 1})

    def refuse(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(checkpoint, "_sha256", refuse)
    with pytest.raises(CheckpointError, match=r"cannot be read: .*Permission denied") as caught:
        checkpoint.load(path, {"clock": 0})
    assert not isinstance(caught.value, DamagedCheckpoint)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda t: t.update(model=keras.Sequential([keras.Input((3,)), keras.layers.Dense(4)])),
            "has .* variables at '/model'",
        ),
        (lambda t: t.update(half=tf.Variable(tf.zeros(4, tf.bfloat16))), r"shape \[3\]; this run's is \[4\]"),
        (lambda t: t.update(extra=tf.Variable(1.0)), "has nothing for /extra"),
        (lambda t: t.update(rngs=[None, None]), "has a numpy PCG64 generator"),
        (lambda t: t.update(model=None), "has variables at '/model'; this run has none"),
    ],
)
def test_a_checkpoint_of_another_program_is_refused_whole(tmp_path: Path, change, says: str) -> None:
    path = checkpoint.save(tmp_path, "x", build(1))
    live = build(2)
    change(live)
    before = np.asarray(live["nested"]["deep"]["variable"])
    with pytest.raises(CheckpointError, match=says) as refused:
        checkpoint.load(path, live)
    assert not isinstance(refused.value, DamagedCheckpoint)
    np.testing.assert_array_equal(before, np.asarray(live["nested"]["deep"]["variable"]))


@pytest.mark.parametrize("leaf", [object(), np.array([object()]), {1: 2}, {"$x": 1}, lambda: 0])
def test_what_cannot_be_saved_says_where_and_leaves_nothing(tmp_path: Path, leaf: object) -> None:
    with pytest.raises(TypeError, match="'/a/b'"):
        checkpoint.save(tmp_path, "x", {"a": {"b": leaf}})
    assert not (tmp_path / "checkpoints" / "x").exists()


def test_a_full_disk_leaves_earlier_checkpoints_and_no_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = checkpoint.save(tmp_path, f"{1:012d}", build(1))

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(tmp_path, f"{2:012d}", build(1))
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == [good.name]


def test_append_only_files_are_cut_to_the_committed_length(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"committed")
    path = checkpoint.save(tmp_path, "x", {"log": AppendOnly("log", 9)})
    with open(log, "ab") as file:
        file.write(b" and more")
    assert checkpoint.load(path, {"log": None})["log"] == AppendOnly("log", 9)
    assert log.read_bytes() == b"committed"
    log.write_bytes(b"short")
    with pytest.raises(DamagedCheckpoint, match="9 bytes of"):
        checkpoint.load(path, {"log": None})


def test_weights_only_keeps_models_and_variables(tmp_path: Path) -> None:
    a, b = build(1), build(2)
    path = checkpoint.save(tmp_path, "best-1", {"plugin": a}, weights_only=True)
    kept = json.loads((path / "tree.json").read_text())["tree"]["plugin"]
    assert sorted(kept) == ["half", "model", "nested"]
    whole = checkpoint.save(tmp_path, f"{1:012d}", {"plugin": a})
    for saved in (path, whole):
        live = build(2)
        rng_before = live["rngs"][0].bit_generator.state
        checkpoint.load(saved, {"plugin": live}, weights_only=True)
        np.testing.assert_array_equal(np.asarray(live["model"].variables[0]), np.asarray(a["model"].variables[0]))
        assert live["rngs"][0].bit_generator.state == rng_before
    assert b["nested"]["deep"]["variable"].numpy() == [2.0]


def test_names_order_and_pruning(tmp_path: Path) -> None:
    for clock in (0, 5, 5, 10, 10, 10):
        checkpoint.save(tmp_path, f"{clock:012d}", {"c": clock})
    for clock in (5, 10):
        checkpoint.save(tmp_path, f"best-{clock:012d}", {"c": clock})
    (tmp_path / "checkpoints" / ".killed.tmp").mkdir()
    assert [p.name for p in checkpoint.numbered(tmp_path)][:3] == [
        "000000000010.002",
        "000000000010.001",
        "000000000010",
    ]
    checkpoint.prune(tmp_path, keep=2, best="best-000000000005")
    assert [p.name for p in checkpoint.numbered(tmp_path)] == ["000000000010.002", "000000000010.001"]
    assert checkpoint.best(tmp_path).name == "best-000000000005"  # the one named, not the newest
    assert not (tmp_path / "checkpoints" / ".killed.tmp").exists()


class Counter:
    """Holds a variable, a generator and a number, and restores the number itself."""

    def __init__(self, seed: int):
        self.weight, self.rng, self.count = tf.Variable([float(seed)]), np.random.default_rng(seed), seed
        self.seen: list[float] = []

    def state(self) -> dict:
        return {"weight": self.weight, "rng": self.rng, "count": self.count}

    def load_state(self, tree: dict) -> None:
        self.count = tree["count"]
        self.seen.append(float(self.weight.numpy()[0]))  # what is restored in place already is


class Owner:
    def __init__(self, seed: int):
        self.counter, self.counters, self.clock, self.rows = Counter(seed), [Counter(seed + 1)], seed, (seed, [seed])

    def state(self) -> dict:
        return {name: getattr(self, name) for name in ("counter", "counters", "clock", "rows")}


def test_objects_restore_themselves_and_other_attributes_are_put_back(tmp_path: Path) -> None:
    a, b = Owner(3), Owner(7)
    a.counter.rng.random(5)
    path = checkpoint.save(tmp_path, f"{1:012d}", {"owner": a.state()})
    counter, inner = b.counter, b.counters[0]
    checkpoint.put_back(b, checkpoint.load(path, {"owner": b.state()})["owner"])
    assert b.counter is counter and b.counters[0] is inner, "in place"
    assert (counter.count, inner.count, b.clock, b.rows) == (3, 4, 3, [3, [3]])
    assert counter.seen == [3.0] and inner.seen == [4.0]
    assert counter.rng.random() == a.counter.rng.random()


def test_weights_inside_of_objects_are_kept_and_restored_without_the_rest(tmp_path: Path) -> None:
    a, b = Owner(3), Owner(7)
    path = checkpoint.save(tmp_path, "best-1", {"owner": a.state()}, weights_only=True)
    checkpoint.load(path, {"owner": b.state()}, weights_only=True)
    assert float(b.counter.weight.numpy()[0]) == 3 and b.counter.count == 7 and not b.counter.seen and b.clock == 7


def older(path: Path) -> Path:
    """Make a checkpoint one of format 1."""
    text = (path / "tree.json").read_text().replace('"format": 2', '"format": 1')
    (path / "tree.json").write_text(text)
    sums = [f"{hashlib.sha256((path / f).read_bytes()).hexdigest()}  {f}" for f in checkpoint.FILES]
    (path / "SHA256SUMS").write_text("\n".join(sums) + "\n")
    return path


def test_an_older_version_is_read_for_its_weights_only(tmp_path: Path) -> None:
    a, b = build(1), build(2)
    path = older(checkpoint.save(tmp_path, f"{1:012d}", {"p": {"target": {"model": a["model"]}, "clock": 3}}))
    live = {"p": {"target": b["model"], "clock": 0}}
    with pytest.raises(
        CheckpointError, match="has format 1, of another version of pongan; this one goes on from format 2"
    ):
        checkpoint.load(path, live)
    checkpoint.load(path, live, weights_only=True)
    for x, y in zip(a["model"].variables, b["model"].variables, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy())
    with pytest.raises(
        CheckpointError, match=r"\(another version of pongan wrote it, in format 1\) has nothing for /p/own"
    ):
        checkpoint.load(path, {"p": {"own": b["model"]}}, weights_only=True)


def test_models_in_a_list_belong_to_the_weights(tmp_path: Path) -> None:
    """Also of a whole checkpoint, in which the list holds other things too."""

    def tree(value: float) -> dict:
        return {
            "p": {"parts": [tf.Variable([value]), np.random.default_rng(1), (tf.Variable([2 * value]), 3)], "clock": 7}
        }

    for name, weights_only in (("best-1", True), (f"{1:012d}", False)):
        path = checkpoint.save(tmp_path, name, tree(5.0), weights_only=weights_only)
        live = tree(0.0)
        checkpoint.load(path, live, weights_only=True)
        first, _, (second, _) = live["p"]["parts"]
        assert first.numpy().tolist() == [5.0] and second.numpy().tolist() == [10.0]
