"""What is exported runs in a process that has nothing of ours, and gives what the live model gives."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import tensorflow as tf

from core.errors import UsageError
from core.plugin import Context, Exports, FindsAnomalies, Spec, Translates, build
from experiments.launcher.catalogue import catalogue
from experiments.launcher.flags import parse
from experiments.verbs.export import NoConversion, concrete_functions, example_inputs, save
from tests.conftest import only_run
from tests.test_contract import BUILT_IN

VARIANTS: dict[str, tuple[str, list[str]]] = {  # name -> (plugin, flags on top of its tiny configuration)
    **{name: (name, []) for name in BUILT_IN if name != "mcts"},  # which has nothing to export
    "policy-gradient-sigmoid": ("policy-gradient", ["--agent.env.id", "CartPole-v1", "--agent.policy", "sigmoid"]),
    "dqn-pixels": ("dqn", ["--agent.env.id", "ALE/Pong-v5", "--agent.dueling", "--agent.capacity", "500"]),
    "actor-critic-continuous": ("actor-critic", ["--agent.env.id", "Pendulum-v1", "--agent.normalize-observations"]),
    "a3c-continuous": ("a3c", ["--agent.env.id", "Pendulum-v1"]),
    "actor-critic-lstm": ("actor-critic", ["--agent.memory", "lstm", "--agent.memory-size", "5", "--agent.envs", "4"]),
    "a3c-gru": ("a3c", ["--agent.memory", "gru", "--agent.memory-size", "5"]),
    "autoencoder-denoising": ("autoencoder", ["--model.kind", "denoising"]),
    "vae-conditional": ("vae", ["--model.conditional"]),
    "dcgan-ring": ("dcgan", ["--model.data.source", "ring", "--model.ema", "0.9"]),
}
SOME = ("policy-gradient", "actor-critic-continuous", "a3c-gru", "dqn", "dcgan", "gan-cls", "vae-conditional")
"""One of each kind of signature; the others are exported by `make slow`."""
DRAWS = 300
STRANGER = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("core", "envs", "agents", "generative", "experiments", "gymnasium", "ale_py"):
            raise ModuleNotFoundError(f"{name} is not there for a stranger")

sys.meta_path.insert(0, Refuse())
import pathlib
import numpy as np
import tensorflow as tf

for folder in map(pathlib.Path, sys.argv[1:]):
    signatures = tf.saved_model.load(str(folder / "model")).signatures
    for name, function in signatures.items():
        with np.load(folder / f"{name}.npz") as saved:
            arrays = {key: saved[key] for key in saved.files}
        given = {key[3:]: tf.constant(value) for key, value in arrays.items() if key.startswith("in.")}
        outputs = function(**given)
        for key, value in outputs.items():
            np.testing.assert_allclose(value, arrays[f"out.{key}"], rtol=1e-5, atol=1e-6, err_msg=f"{folder} {name} {key}")
        print(folder.name, name, *outputs)
"""


def built(name: str, folder: Path) -> tuple[Spec, Any]:
    plugin, flags = VARIANTS[name]
    spec = catalogue().plugins[plugin]
    whole = parse(spec, [("tiny", {spec.prefix: dict(spec.tiny)})], flags, prog="x", usage="")
    folder.mkdir()
    return spec, build(spec, getattr(whole, spec.prefix), Context(seed=3, folder=folder))


OTHERS = tuple(name for name in VARIANTS if name not in SOME)


@pytest.fixture(scope="module", params=[SOME, pytest.param(OTHERS, marks=pytest.mark.slow)], ids=["some", "others"])
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Variants with weights away from their start, saved, with inputs and the live model's outputs beside it."""
    root = tmp_path_factory.mktemp("exported")
    for name in request.param:
        spec, plugin = built(name, root / name)
        state, rng = plugin.state(), np.random.default_rng(0)
        state |= state["game"].state() if "game" in state else {}
        for node in (
            state[key]
            for key in ("model", "network", "actor", "theta", "G", "F", "T", "decoder", "encoder", "average", "body")
            if state.get(key) is not None
        ):
            for v in getattr(node, "trainable_variables", [node]):
                v.assign(np.asarray(v) + rng.normal(0, 0.05, v.shape))
        plugin.restored()  # its mirrors in numpy follow
        functions = concrete_functions(plugin.exportable(), spec)
        save(functions, root / name / "model")
        for key, function in functions.items():
            given = example_inputs(function)
            outputs = function(**{k: tf.constant(v) for k, v in given.items()})
            arrays = {f"in.{k}": v.astype("S") if v.dtype == object else v for k, v in given.items()} | {
                f"out.{k}": v.numpy() for k, v in outputs.items()
            }
            np.savez(root / name / f"{key}.npz", **arrays)
        if name == "alphazero":
            check_judge(plugin, functions["judge"])
        elif spec.kind == "agent":
            check_agent(plugin, functions["act"])
        else:
            check_model(plugin, functions)
        plugin.close()
    return root


def check_judge(plugin: Any, judge: Any) -> None:
    """The exported network says of a board what the search is told, and nothing of actions that are not allowed."""
    boards = np.random.default_rng(0).integers(-1, 2, (50, *plugin.rules.shifts.shape)).astype(np.int8)
    boards[:, 0, 0] = 0  # an action is allowed
    mine, theirs = plugin.rules.sides(boards)
    logits, value = plugin.evaluate(mine, theirs)
    p = np.exp(logits) * (plugin.rules.stones(mine | theirs) != 0)
    told = judge(observation=tf.constant(boards))
    np.testing.assert_allclose(told["value"], value, atol=1e-5)
    np.testing.assert_allclose(told["probability"], p / p.sum(axis=1, keepdims=True), atol=1e-5)


def check_agent(plugin: Any, act: Any) -> None:
    """The exported function is the policy that `act` draws from."""
    off_policy = hasattr(plugin, "experience")
    env = plugin.groups[0].env if hasattr(plugin, "groups") else plugin.experience.env if off_policy else plugin.env
    space = env.observation_space
    space.seed(0)
    observations = np.stack([space.sample() for _ in range(100)])
    fresh = plugin.memory(len(observations)) if hasattr(plugin.config, "memory") else ()
    states = np.random.default_rng(4).normal(size=(len(fresh), *np.shape(fresh)[1:]))
    given = {key: tf.constant(part, tf.float32) for key, part in zip("hc", states, strict=False)}
    memory = tuple(part.numpy() for part in given.values())
    outputs = {key: value.numpy() for key, value in act(observation=tf.constant(observations), **given).items()}
    if hasattr(plugin, "method"):  # a table: every state has one value, and one action
        np.testing.assert_allclose(outputs["value"], plugin.method.values()[observations])
        greedy, _ = plugin.act(observations, (), np.random.default_rng(2), greedy=True)
        np.testing.assert_array_equal(outputs["action"], np.array(env.actions)[greedy])
        return
    if "value" in outputs:
        x = plugin.observations.encode(observations) if type(plugin).__name__ == "PQN" else observations
        np.testing.assert_allclose(outputs["value"], plugin._values(x), rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(outputs["action"], np.array(env.actions)[outputs["value"].argmax(axis=1)])
        return
    if off_policy:  # greedy actions are the exported ones, to the last bits
        greedy, _ = plugin.act(observations, (), np.random.default_rng(2), greedy=True)
        np.testing.assert_allclose(outputs["action"], greedy, rtol=1e-4, atol=1e-4)
        if "mean" not in outputs:
            return
    for key, part in zip(
        "hc", plugin.act(observations, memory, np.random.default_rng(2), greedy=True)[1], strict=False
    ):
        np.testing.assert_allclose(outputs[f"next_{key}"], part, atol=1e-5)
    rng = np.random.default_rng(2)
    drawn = np.stack(
        [plugin.act(observations, memory, rng, greedy=False)[0] for _ in range(DRAWS)]
    )  # [DRAWS, 100, ...]
    if "probability" in outputs:
        A = outputs["probability"].shape[1]
        frequency = (drawn[..., None] == np.arange(A)).mean(axis=0)  # [100, A], each with deviation <= 0.03
        assert np.abs(frequency - outputs["probability"]).max() < 0.15
        assert np.abs(frequency - outputs["probability"]).mean() < 0.03
        np.testing.assert_array_equal(outputs["action"], np.array(env.actions)[outputs["probability"].argmax(axis=1)])
    else:
        policy = (plugin if hasattr(plugin, "policy") else plugin.network).policy
        low, high = policy.low, policy.high
        z = np.random.default_rng(1).standard_normal((DRAWS, *outputs["mean"].shape))
        expected = np.clip(outputs["mean"] + outputs["std"] * z, low, high)
        if off_policy:  # mean and std are those of the normals whose tanh is stretched to the bounds
            expected = low + (np.tanh(outputs["mean"] + outputs["std"] * z) + 1) / 2 * (high - low)
        assert np.abs(drawn.mean(axis=0) - expected.mean(axis=0)).mean() < 0.12
        assert abs(drawn.std() - expected.std()) < 0.05
        if not off_policy:
            np.testing.assert_allclose(outputs["action"], np.clip(outputs["mean"], low, high))


@pytest.mark.parametrize("name", ["policy-gradient", "dqn", "actor-critic", "a3c"])
def test_actions_and_states_have_the_environments_numbers(name: str, tmp_path: Path) -> None:
    """States 5 to 7, actions 10 to 12, of which the agent may use 10 and 12."""

    class Numbered(gymnasium.Env):
        observation_space = gymnasium.spaces.Discrete(3, start=5)
        action_space = gymnasium.spaces.Discrete(3, start=10)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            return np.int64(5), {}

        def step(self, action):
            return np.int64(6), 1.0, True, False, {}

    gymnasium.register("test/Numbered-v0", Numbered)
    try:
        spec = catalogue().plugins[name]
        flags = ["--agent.env.id", "test/Numbered-v0", "--agent.env.actions", "10", "12"]
        whole = parse(spec, [("tiny", {spec.prefix: dict(spec.tiny)})], flags, prog="x", usage="")
        plugin = build(spec, whole.agent, Context(seed=3, folder=tmp_path))
        outputs = plugin.exportable()["act"](tf.constant([5, 6, 7], tf.int64))
        scores = outputs["value" if "value" in outputs else "probability"].numpy()  # [3, 2]
        assert len({tuple(row) for row in scores.round(6).tolist()}) > 1  # the states are told apart
        np.testing.assert_array_equal(outputs["action"], np.array([10, 12])[scores.argmax(axis=1)])
        plugin.close()
    finally:
        gymnasium.registry.pop("test/Numbered-v0")


def assert_same_pictures(a: Any, b: np.ndarray) -> None:
    """Two graphs of one network may round a byte the other way."""
    apart = np.abs(np.asarray(a, int) - np.asarray(b, int))
    assert apart.max() <= 1 and apart.mean() < 0.01, apart.max()


def check_model(plugin: Any, functions: dict[str, Any]) -> None:
    """The exported function makes what the model's own methods make, of the same noise, caption or picture."""
    if "upscale" in functions:
        picture = np.random.default_rng(0).integers(256, size=(1, 20, 24, 3)).astype(np.uint8)
        assert_same_pictures(functions["upscale"](tf.constant(picture))["upscaled"][0], plugin._upscale(picture[0]))
        return
    if "follow" in functions:
        state = np.random.default_rng(0).normal(size=(5, len(plugin.network.parts), plugin.config.units))
        number = np.arange(5, dtype=np.int32)
        found = functions["follow"](number=tf.constant(number), state=tf.constant(state, tf.float32))
        logits, after = plugin.network(number, *tf.unstack(tf.constant(state, tf.float32), axis=1))
        np.testing.assert_allclose(found["probability"], tf.nn.softmax(logits), atol=1e-6)
        np.testing.assert_allclose(found["next_state"], tf.stack(after, axis=1), atol=1e-6)
        codes = functions["spell"](number=tf.constant(number))["code"].numpy()
        assert ["".join(map(chr, row[row > 0])) for row in codes] == plugin.symbols.texts[:5]
        return
    if "judge" in functions:
        noise = np.random.default_rng(0).random((5, plugin.config.length), np.float32)
        x = functions["generate"](noise=tf.constant(noise))["sequence"]
        np.testing.assert_array_equal(x, plugin.G.write(tf.constant(noise)))
        judged = functions["judge"](sequence=x)
        np.testing.assert_allclose(judged["nll"], plugin.G.nll(x), atol=1e-5)
        np.testing.assert_allclose(judged["nll_oracle"], plugin.oracle.nll(x), atol=1e-5)
        np.testing.assert_allclose(judged["probability"], tf.sigmoid(plugin.D(x)), atol=1e-5)
        return
    if "translate" in functions:
        images = np.random.default_rng(0).integers(256, size=(5, *plugin.shape)).astype(np.uint8)
        found = functions["translate"](image=tf.constant(images), label=tf.constant(plugin.classes[[1] * 5]))
        assert_same_pictures(found["translated"], plugin.translate(images, plugin.domains[1]))
        return
    if "paint" in functions:
        height, width = plugin.picture.shape
        colours = functions["paint"](place=plugin.places)["colour"].numpy().reshape(height, width, 3)
        assert_same_pictures(np.round(colours * 255), plugin.drawn(height, width))
        return
    if "embed" in functions:
        images = np.random.default_rng(0).integers(256, size=(5, *plugin.train.shape)).astype(np.uint8)
        np.testing.assert_allclose(functions["embed"](tf.constant(images))["features"], plugin.embed(images), atol=1e-5)
        return
    if isinstance(plugin, Translates):
        images = np.random.default_rng(0).integers(256, size=(5, *plugin.picture_shape)).astype(np.uint8)
        ways = [("translate", 0)] if len(plugin.domains) == 1 else [("b_to_a", 0), ("a_to_b", 1)]
        for name, i in ways:
            found = functions[name](image=tf.constant(images))["translated"]
            assert_same_pictures(found, plugin.translate(images, plugin.domains[i]))
        return
    if isinstance(plugin, FindsAnomalies):
        images = np.random.default_rng(0).integers(256, size=(5, *plugin.picture_shape)).astype(np.uint8)
        outputs = functions["score"](tf.constant(images))
        scores, again = plugin.anomalies(images)
        np.testing.assert_allclose(outputs["score"], scores, rtol=1e-4)
        assert_same_pictures(outputs["reconstruction"], again)
        if len(functions) == 1:
            return
    if "decode" in functions and hasattr(plugin, "prior"):
        noise = tf.random.stateless_uniform((5, plugin.grid[0] * plugin.grid[1]), [7, -1])
        assert_same_pictures(functions["generate"](noise)["image"], plugin.sample(5, 7))
        return
    noise = tf.random.stateless_normal((5, plugin.config.latent), [7, -1])
    if "generate" in functions and "label" in example_inputs(functions["generate"]):
        labels = plugin.classes[[3, 1, 3, 0, 2]]
        outputs = functions["generate"](noise=noise, label=tf.constant(labels))
        assert_same_pictures(outputs["image"], plugin.draw(np.searchsorted(plugin.classes, labels), 7))
        return
    if "generate" in functions and "truncation" in example_inputs(functions["generate"]):
        detail = tf.random.stateless_normal((5, plugin.pixels), [7, -2])
        outputs = functions["generate"](latent=noise, noise=detail, truncation=tf.ones(5))
        assert_same_pictures(outputs["image"], plugin.sample(5, 7))
        return
    if hasattr(plugin, "draw"):
        captions = ["A red circle, above a Blue square.", "", "a zebra", "small", "a large green triangle"]
        outputs = functions["generate"](noise=noise, caption=tf.constant(captions))
        assert_same_pictures(outputs["image"], plugin.draw(captions, 7))
        return
    told = {}
    if getattr(plugin.config, "conditional", False):
        told["label"] = tf.constant(plugin.classes[np.arange(5) % len(plugin.classes)])
    outputs = functions[next(iter(functions))](noise, **told)
    if "point" in outputs:
        np.testing.assert_allclose(outputs["point"], plugin.game.sampler.outputs(5, 7), atol=1e-6)
    else:
        assert_same_pictures(outputs["image"], plugin.sample(5, 7))


def test_a_process_without_this_package_gets_the_same_outputs(exported: Path) -> None:
    folders = sorted(path for path in exported.iterdir())
    done = subprocess.run(
        [sys.executable, "-I", "-c", STRANGER, *map(str, folders)],
        cwd=exported,
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    listed = [line.split()[:2] for line in done.stdout.splitlines()]
    assert {name for name, _ in listed} == {folder.name for folder in folders}
    (vae,) = {"vae", "vae-conditional"} & {folder.name for folder in folders}
    assert [vae, "encode"] in listed and [vae, "decode"] in listed


def test_the_verb_writes_model_and_card(cli, tmp_path: Path) -> None:
    run_flags = ("--run.until", 400, "--run.log-every", 100, "--run.eval-every", 200, "--run.folder", tmp_path / "runs")
    agent_flags = ("--agent.env.id", "pongan/Catch-v0", "--eval.episodes", 4)
    assert cli("run", "actor-critic", *agent_flags, *run_flags)[0] == 0
    run, out = only_run(tmp_path / "runs"), tmp_path / "exported"
    code, text, err = cli("export", run, "-o", out)
    assert code == 0, err
    assert "act: observation [any, " in text and "-> action [any] int64, probability [any, 3] float32" in text
    card = (out / "README.md").read_text()
    for part in (
        *(
            "| `eval/return_mean` |",
            "Protocol: 4 whole episodes, sampled actions",
            "id: pongan/Catch-v0",
            "| tensorflow |",
        ),
        *(
            "it flatters a little",
            'model.signatures["act"](observation=tf.zeros([1, ',
            "seed 1, status of the run: finished",
        ),
    ):
        assert part in card, part
    for words, sentence in (
        (("export", run, "-o", out), "exists already; `export` overwrites nothing"),
        (("export", run), "Missing from pongan export"),
        (("export", run, "-o", tmp_path / "x", "--weights", "bset"), "did you mean 'best'?"),
        (("export", run, "-o", tmp_path / "x", "--onxn"), "no flag '--onxn'; did you mean '--onnx'?"),
        (("export", run, "-o", "."), "`export` makes a new folder; name one"),
        (("export", run, "-o", "/proc/x"), "'/proc/x' cannot be written: "),
        (("export", run, "-o", tmp_path / "x", "--run.device", "gpu:7"), "device 'gpu:7' is not there"),
    ):
        code, _, err = cli(*words)
        assert code == 2 and sentence in " ".join(err.split()), err


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is None, reason="needs the extra onnx")
def test_onnx_gives_the_same_or_is_refused(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--model.data.source", "ring", "--run.until", 4, "--run.folder", tmp_path / "runs")
    assert cli("run", "dcgan", *flags)[0] == 0
    code, text, err = cli("export", only_run(tmp_path / "runs"), "-o", tmp_path / "out", "--onnx")
    assert code == 0 and "equal within" in text, err
    assert (tmp_path / "out" / "generate.onnx").stat().st_size > 1000
    monkeypatch.setattr("experiments.verbs.export.ONNX_TOLERANCE", -1.0)
    code, _, err = cli("export", only_run(tmp_path / "runs"), "-o", tmp_path / "apart", "--onnx")
    assert code == 2 and "apart from the live model; the SavedModel is in" in " ".join(err.split())
    assert not (tmp_path / "apart" / "generate.onnx").exists()


@pytest.mark.skipif(importlib.util.find_spec("tf2onnx") is not None, reason="the extra onnx is installed")
def test_onnx_says_what_it_needs(cli, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("experiment: dqn")
    code, _, err = cli("export", tmp_path, "-o", tmp_path / "out", "--onnx")
    assert code == 2 and "--onnx needs tf2onnx and onnxruntime: install pongan[onnx]" in " ".join(err.split())


def test_a_plugin_without_the_member_gets_a_sentence(external: Path, cli, tmp_path: Path) -> None:
    assert cli("run", "pixel-gaussian", "--model.batch", 4, "--run.folder", tmp_path / "runs")[0] == 0
    code, _, err = cli("export", only_run(tmp_path / "runs"), "-o", tmp_path / "out")
    assert code == 2 and "plugin 'pixel-gaussian' cannot be exported: it is no `Exports`" in " ".join(err.split())
    assert not (tmp_path / "out").exists()


SIGNATURE = [tf.TensorSpec((None, 2), tf.float32, "noise")]


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (tf.function(lambda noise: {"image": noise}), "without an input_signature"),
        (tf.function(lambda noise: noise, SIGNATURE), "returns no mapping of name -> tensor"),
        (tf.function(lambda noise: {"noise": 2 * noise}, SIGNATURE), "with 'noise' as an input and as an output"),
    ],
)
def test_a_function_without_names_of_its_own_gets_a_sentence(function: Any, sentence: str) -> None:
    with pytest.raises(UsageError, match=f"plugin 'dcgan' exports 'draw'.* {sentence}"):
        concrete_functions({"draw": function}, catalogue().plugins["dcgan"])


def test_a_failed_export_leaves_nothing_and_a_failed_conversion_the_saved_model(
    external: Path, cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What depends on more than variables is refused; the same words work once that is mended. tf2onnx is imitated here."""
    assert cli("run", "pixel-gaussian", "--model.batch", 4, "--run.folder", tmp_path / "runs")[0] == 0
    from pongan_extra.gaussian import PixelGaussian

    changing = tf.Variable(True)  # a function that returns something else at every call cannot equal its saved copy

    def exportable(self: Any) -> dict[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, 2), tf.float32, "noise")])
        def generate(noise: tf.Tensor) -> dict[str, tf.Tensor]:
            more = tf.cast(tf.timestamp() * 1e6 % 1000, tf.float32)
            return {"image": tf.where(changing, noise + more, noise)}

        return {"generate": generate}

    monkeypatch.setattr(PixelGaussian, "exportable", exportable, raising=False)
    Exports.register(PixelGaussian)
    words = ("export", only_run(tmp_path / "runs"), "-o", tmp_path / "deep" / "out")
    code, _, err = cli(*words)
    assert code == 2 and "depends on more than variables" in " ".join(err.split())
    assert list((tmp_path / "deep").iterdir()) == []

    def refuse(name: str, function: Any, folder: Path) -> float:
        (folder / f"{name}.onnx").write_text("half")
        raise NoConversion(f"tf2onnx cannot convert {name!r}: no such operation")

    changing.assign(False)
    monkeypatch.setattr("experiments.verbs.export._to_onnx", refuse)
    real = importlib.util.find_spec
    extra = ("tf2onnx", "onnxruntime")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: real("json" if name in extra else name, *rest))
    code, text, err = cli(*words, "--onnx")
    assert (
        code == 2 and "no such operation; the SavedModel is in" in " ".join(err.split()) and "equal to the live" in text
    )
    assert {p.name for p in (tmp_path / "deep").iterdir()} == {"out"}
    found = {p.name for p in (tmp_path / "deep" / "out").iterdir()}
    assert {"saved_model.pb", "README.md", "config.yaml"} <= found and not any(name.endswith(".onnx") for name in found)
    assert "onnx" not in (tmp_path / "deep" / "out" / "README.md").read_text()
