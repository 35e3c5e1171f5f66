from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from core.errors import UsageError
from core.runtime import configure, withheld
from tests.conftest import ROOT
from tests.processes import Fork


def in_a_fresh_process(arguments: str, then: str, *, from_the_start: bool = False) -> dict:
    code = (
        "import json, os\nfrom core.runtime import configure\n"
        f"chosen = configure({arguments})\nimport tensorflow as tf, keras\n{then}\nprint(json.dumps(chosen))"
    )
    if from_the_start:
        command, pipe = [sys.executable, "-c", code], subprocess.PIPE
        process = subprocess.Popen(command, cwd=ROOT, stdout=pipe, stderr=pipe, text=True)
    else:
        process = Fork(code=code)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    assert err == "", "TensorFlow's start-up noise reaches the user"
    return json.loads(out.splitlines()[-1])


def test_keras_starts_without_what_it_needs_for_plots_frames_and_wrappers() -> None:
    then = (
        "import sys\nchosen['there'] = [name for name in ('matplotlib', 'pandas', 'sklearn') if name in sys.modules]\n"
        "import sklearn.metrics, matplotlib.pyplot, pandas\nchosen['works'] = len(pandas.DataFrame({'a': [1]}))"
    )
    chosen = in_a_fresh_process("device='cpu'", then, from_the_start=True)
    assert chosen["there"] == [] and chosen["works"] == 1


def test_what_is_there_already_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with withheld(["json", "wave"]):
        assert sys.modules["json"] is json
        with pytest.raises(ModuleNotFoundError):
            import wave
    import wave

    assert wave.open


def test_settings_reach_tensorflow_keras_and_blas() -> None:
    chosen = in_a_fresh_process(
        "device='cpu', threads=1, precision='bfloat16', deterministic=True",
        "from threadpoolctl import threadpool_info\n"
        "chosen['intra'] = tf.config.threading.get_intra_op_parallelism_threads()\n"
        "chosen['optimizer'] = tf.config.optimizer.get_experimental_options()\n"
        "chosen['policy'] = keras.mixed_precision.dtype_policy().name\n"
        "chosen['blas'] = [p['num_threads'] for p in threadpool_info() if p['user_api'] == 'blas']\n"
        "try:\n tf.random.normal([1])\n chosen['refuses'] = False\nexcept RuntimeError:\n chosen['refuses'] = True",
        from_the_start=True,
    )
    assert (chosen["device"], chosen["threads"], chosen["intra"]) == ("cpu", 1, 1)
    assert not chosen["optimizer"]["arithmetic_optimization"] and not chosen["optimizer"]["remapping"]
    assert chosen["policy"] == "mixed_bfloat16" and chosen["refuses"]
    assert chosen["blas"] and set(chosen["blas"]) == {1}


def test_all_cores_by_default_and_the_environment_is_left_to_the_user() -> None:
    chosen = in_a_fresh_process("", "chosen['visible'] = os.environ.get('CUDA_VISIBLE_DEVICES')")
    assert chosen["threads"] == len(os.sched_getaffinity(0)) and chosen["visible"] is None


SUMS = """
w = tf.random.stateless_normal((300, 300), (0, 1))

@tf.function
def sums(x):
    found, others = [], []
    for i in range(40):
        v, slow = x + float(i), w @ w * (0.01 + 0.001 * i)
        c = tf.cos(3 * v)
        for _ in range(i):
            c = tf.tanh(1.01 * c)
        a, b = tf.exp(0.1 * v), tf.sin(v)
        with tf.GradientTape() as tape:
            tape.watch(v)
            y = tf.reduce_sum(v * a) + tf.reduce_sum(v * b) + tf.reduce_sum(v * c)
        gradient = tape.gradient(y, v)
        others.append(tf.reduce_sum(a @ slow) + tf.reduce_sum(b @ slow))  # holds a and b until slow is there
        found += [a + b + c, gradient]
    return tf.stack(found), others

x = tf.random.stateless_normal((40, 300), (0, 2))
runs = [sums(x)[0].numpy() for _ in range(40)]
chosen["differ"] = sum(not (run == runs[0]).all() for run in runs)
chosen["AddN"] = sum(node.op == "AddN" for node in sums.get_concrete_function(x).graph.as_graph_def().node)
"""


def test_sums_do_not_depend_on_what_else_has_run() -> None:
    """With AddN, of the tape or made of a + b + c, some last digit is another in most of these runs."""
    chosen = in_a_fresh_process("device='cpu', threads=2, deterministic=True", SUMS)
    assert (chosen["differ"], chosen["AddN"]) == (0, 0)


def test_several_plugins_in_one_process_are_no_reason_to_warn() -> None:
    chosen = in_a_fresh_process(
        "",
        "class Model:\n @tf.function\n def double(self, x):\n  return 2 * x\n"
        "chosen['sum'] = sum(int(Model().double(tf.constant(i))) for i in range(7))",
    )
    assert chosen["sum"] == 42  # and nothing on stderr


def test_keras_has_its_policy_and_its_names_back() -> None:
    chosen = in_a_fresh_process(
        "",
        "from core.runtime import configured\n"
        "keras.layers.Dense(1), keras.mixed_precision.set_dtype_policy('float64')\n"
        "with configured(precision='bfloat16'):\n"
        " layer = keras.layers.Dense(1)\n"
        " chosen['inside'] = [layer.name, layer.compute_dtype]\n"
        "chosen['after'] = keras.layers.Dense(1).compute_dtype",
    )
    assert chosen["inside"] == ["dense", "bfloat16"] and chosen["after"] == "float64"


def test_what_the_process_has_is_a_sentence_for_a_training_and_good_enough_to_play() -> None:
    ask = (
        "tf.constant(1.0) + 1\n"
        "def ask(**settings):\n"
        " try:\n  configure(**settings)\n except Exception as error:\n  return f'{type(error).__name__}: {error}'\n"
        "chosen['fits'] = ask(device='cpu', threads=1, precision='bfloat16')\n"
        "chosen['threads'] = ask(device='cpu', threads=2)\n"
        "chosen['deterministic'] = ask(device='cpu', threads=1, deterministic=True)\n"
        "chosen['played'] = configure(device='cpu', threads=2, deterministic=True, training=False)"
    )
    chosen = in_a_fresh_process("device='cpu', threads=1", ask)
    assert chosen["fits"] is None
    assert chosen["threads"].startswith("UsageError: threads is 2, but TensorFlow in this process has 1; ")
    assert chosen["deterministic"].startswith("UsageError: deterministic is true, but it was false for an earlier run")
    assert chosen["played"]["threads"] == 1 and not chosen["played"]["deterministic"]
    then = ask.replace("deterministic=True)", "deterministic=False)").replace("threads=1", "threads=0")
    chosen = in_a_fresh_process("device='cpu', deterministic=True", then)
    assert chosen["deterministic"].startswith("UsageError: deterministic is false, but it was true for an earlier run")


def test_what_is_not_there_gets_one_sentence() -> None:
    with pytest.raises(UsageError, match="device 'gpu:99' is not there"):
        configure(device="gpu:99")
    with pytest.raises(UsageError, match="choose auto, cpu or gpu:0"):
        configure(device="cuda")
    with pytest.raises(UsageError, match="threads is -1"):
        configure(threads=-1)


def test_a_gpu_is_used_when_present() -> None:
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        pytest.skip("no GPU")
    chosen = in_a_fresh_process("device='gpu:0'", "chosen['where'] = tf.constant(1.0).device")
    assert "GPU:0" in chosen["device"] and "GPU:0" in chosen["where"]
