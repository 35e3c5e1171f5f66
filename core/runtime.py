"""The machine a run uses: device, threads, precision, determinism. All but the precision hold for the whole process."""

from __future__ import annotations

import contextlib
import functools
import logging
import operator
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from core.errors import UsageError

__all__ = ["calm_blas", "configure", "configured", "withheld"]

NEEDLESS = ("matplotlib", "pandas", "sklearn")  # to Keras, for plots, data frames and wrappers
_DETERMINISTIC: list[bool] = []  # what the first run of the process has chosen; TensorFlow has no way back
ANEW = "TensorFlow keeps that as long as the process lives: start a new one (in a notebook: restart the kernel)"


@contextlib.contextmanager
def configured(**settings: Any) -> Iterator[dict[str, Any]]:
    """`configure` for one of several runs in a process; yields what was chosen.

    Keras counts the names of layers from one again, and afterwards has the dtype policy that it had before.
    """
    before = None
    if "keras" in sys.modules:
        import keras

        before = keras.mixed_precision.dtype_policy()
        keras.utils.clear_session(free_memory=False)
        keras.mixed_precision.set_dtype_policy(before)
    try:
        yield configure(**settings)
    finally:
        if "keras" in sys.modules:
            import keras

            keras.mixed_precision.set_dtype_policy(before or keras.config.floatx())


def configure(
    *,
    device: str = "auto",
    threads: int = 0,
    precision: Literal["float32", "bfloat16"] = "float32",
    deterministic: bool = False,
    training: bool = True,
) -> dict[str, Any]:
    """Set up TensorFlow and numpy's BLAS for one run and return what was chosen, for the run's records.

    `device`: `auto` (a GPU when there is one), `cpu`, or `gpu:N`. `threads`: cores to use, 0 for all. `deterministic`: same
    seed, same bits; TensorFlow then refuses operations that cannot promise it. numpy's BLAS always gets one thread: its
    products here are small, and two thread pools on the same cores slow each other down many times.

    Raises UsageError for a device that is not there. What TensorFlow fixes once per process cannot become another: a second
    training that asks for it gets a UsageError; with `training` false, to play or draw, the process stays as it is.
    """
    if device not in ("auto", "cpu") and not (device.startswith("gpu:") and device[4:].isdecimal()):
        raise UsageError(f"device {device!r} is unknown; choose auto, cpu or gpu:0")
    if threads < 0:
        raise UsageError(f"threads is {threads}; it must be 0 (all cores) or more")
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        if device == "cpu":
            os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    with _quiet_native_stderr(), withheld(NEEDLESS if "keras" not in sys.modules else ()):
        import keras
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
    if device.startswith("gpu:"):
        index = int(device[4:])
        if index >= len(gpus):
            found = (
                f"gpu:0 to gpu:{len(gpus) - 1}"
                if gpus
                else "no GPU that TensorFlow can use (see the extra pongan[gpu])"
            )
            raise UsageError(f"device {device!r} is not there: this machine has {found}; cpu always works")
        gpus = [gpus[index]]
    elif device == "cpu":
        gpus = []
    cores = threads or _cores()
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError as error:
        gpus = tf.config.get_visible_devices("GPU")
        if training:
            seen = ", ".join(gpu.name for gpu in gpus) or "cpu"
            raise UsageError(f"device is {device!r}, but TensorFlow in this process has {seen}; {ANEW}") from error
    try:
        tf.config.threading.set_intra_op_parallelism_threads(cores)
        tf.config.threading.set_inter_op_parallelism_threads(cores)
    except RuntimeError as error:
        running = tf.config.threading.get_intra_op_parallelism_threads() or _cores()
        if training and running != cores:
            raise UsageError(f"threads is {threads}, but TensorFlow in this process has {running}; {ANEW}") from error
        cores = running
    if not _DETERMINISTIC:
        _DETERMINISTIC.append(deterministic)
    elif training and deterministic != _DETERMINISTIC[0]:
        now, then = ("true", "false") if deterministic else ("false", "true")
        raise UsageError(f"deterministic is {now}, but it was {then} for an earlier run in this process; {ANEW}")
    deterministic = _DETERMINISTIC[0]
    calm_blas()
    tf.get_logger().addFilter(_no_retracing)
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if precision == "bfloat16" else "float32")
    if deterministic:
        tf.config.experimental.enable_op_determinism()
        _fix_order()
    return {
        "device": gpus[0].name if gpus else "cpu",
        "threads": cores,
        "precision": precision,
        "deterministic": deterministic,
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
    }


def calm_blas() -> None:
    """Give numpy's BLAS one thread."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1, user_api="blas")


def _no_retracing(record: logging.LogRecord) -> bool:
    """Leave out a warning: each plugin of a process traces its functions anew, which TensorFlow takes for a mistake."""
    return "triggered tf.function retracing" not in record.getMessage()


def _fix_order() -> None:
    """Take out what `enable_op_determinism` leaves to chance in TensorFlow 2.21: AddN and the remapper.

    AddN begins with the first tensor whose memory nobody else needs any more. Which one that is depends on what has run by then,
    so the last digit of a sum of three or more is the scheduler's. Gradients are added two at a time instead, and the graph
    optimiser must not make one AddN of several additions. Its remapper fuses operations in an order that is another in every
    process, and gives up where that does not work out.
    """
    import tensorflow as tf
    from tensorflow.python import pywrap_tfe
    from tensorflow.python.eager import backprop

    def total(gradients: list[Any]) -> Any:
        if all(isinstance(g, tf.Tensor) for g in gradients):
            return functools.reduce(operator.add, gradients)
        return backprop._aggregate_grads(gradients)  # IndexedSlices are put in a row

    pywrap_tfe.TFE_Py_RegisterVSpace(backprop._default_vspace._replace(aggregate_fn=total))
    tf.config.optimizer.set_experimental_options({"arithmetic_optimization": False, "remapping": False})


def _cores() -> int:
    """Return the cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextlib.contextmanager
def withheld(modules: Sequence[str]) -> Iterator[None]:
    """Let `import` find none of these modules, as if they were not installed, as far as they are not there already.

    Keras imports what it finds of them, and does without what it does not find. They are a third of the time that TensorFlow and
    Keras take to start.
    """
    absent = [name for name in modules if name not in sys.modules]
    sys.modules.update(dict.fromkeys(absent))  # type: ignore[arg-type]
    try:
        yield
    finally:
        for name in absent:
            del sys.modules[name]


@contextlib.contextmanager
def _quiet_native_stderr() -> Iterator[None]:
    """Hold back what native libraries write while TensorFlow looks for GPUs, which no log level silences; show it on failure."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(kept, held.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)
