"""Data-parallel training by `tf.distribute` as if on one device: the configured batch is that of all replicas together.

A plugin's update runs in `on_replicas`, takes its rows with `share` and scales its losses with `share_of_mean`; what compares
rows with each other asks for `mean_of_batch` or `whole_batch`. Without a strategy all of it is plain training. The optimisers
of Keras sum the gradients of all replicas, `core.layers.batch_norm` shares its moments, and the launcher builds and trains the
plugin in the strategy's scope.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from core.errors import UsageError, nearest

__all__ = [
    "check_batch",
    "make_strategy",
    "mean_of_batch",
    "multiworker_role",
    "on_replicas",
    "share",
    "share_of_mean",
    "sum_of_replicas",
    "together",
    "whole_batch",
]

VOTES = 3  # go on, time is up, a signal came
STRATEGIES = ("none", "mirrored", "multiworker")


def make_strategy(name: str) -> Any:
    """Return the strategy called `name`, or None for `none`.

    `mirrored`: all GPUs that TensorFlow sees, or the CPU. `multiworker`: one process for each worker that the environment
    variable TF_CONFIG lists; it returns once all of them have come. UsageError when TF_CONFIG is missing or broken.
    """
    if name == "none":
        return None
    if name == "mirrored":
        devices = [device.name.removeprefix("/physical_device:") for device in tf.config.list_logical_devices("GPU")]
        return tf.distribute.MirroredStrategy(devices or [d.name for d in tf.config.list_logical_devices("CPU")])
    if name != "multiworker":
        raise UsageError(f"strategy {name!r} is unknown; {nearest(name, STRATEGIES)}")
    multiworker_role()
    return tf.distribute.MultiWorkerMirroredStrategy()


def multiworker_role() -> tuple[int, int]:
    """Return (this worker's number, count of workers) from TF_CONFIG; worker 0 is the chief, which writes the run."""
    text = os.environ.get("TF_CONFIG", "")
    example = '{"cluster": {"worker": ["host1:4000", "host2:4000"]}, "task": {"type": "worker", "index": 0}}'
    if not text:
        raise UsageError(
            f"strategy multiworker needs the environment variable TF_CONFIG for each worker, e.g. {example}"
        )
    try:
        config = json.loads(text)
        kind, number = config["task"]["type"], int(config["task"]["index"])
        workers = len(config["cluster"]["worker"])
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"TF_CONFIG is {text!r}; it must read like {example}") from error
    if kind != "worker" or set(config["cluster"]) != {"worker"} or not 0 <= number < workers:
        raise UsageError(
            f"TF_CONFIG names task {kind} {number} of {workers} workers; all tasks are workers, numbered from 0"
        )
    return number, workers


def together(strategy: Any) -> Callable[[int], int]:
    """Return a function that gives every worker the largest of the small whole numbers that the workers call it with."""

    def largest(own: tf.Tensor) -> tf.Tensor:
        flags = tf.cast(tf.range(VOTES) <= own, tf.int32)  # a sum tells who has voted for what
        return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, flags)

    @tf.function(input_signature=[tf.TensorSpec((), tf.int32)])
    def vote(own: tf.Tensor) -> tf.Tensor:
        return strategy.experimental_local_results(strategy.run(largest, (own,)))[0]

    return lambda own: int(tf.math.count_nonzero(vote(tf.constant(own)))) - 1


def check_batch(batch: int, strategy: Any) -> None:
    """Raise UsageError unless the replicas of a strategy can share a batch equally."""
    count = 1 if strategy is None else strategy.num_replicas_in_sync
    if batch % count:
        raise UsageError(f"batch is {batch}; {count} replicas share it equally, so it must be a multiple of {count}")


def on_replicas(update: Callable[..., tf.Tensor], *arguments: Any) -> tf.Tensor:
    """Run `update` on every replica with the same arguments and return the mean of its results, a tensor of figures.

    `update` takes its part of a batch with `share` and scales losses that it differentiates with `share_of_mean`.
    """
    if not tf.distribute.has_strategy():
        return update(*arguments)
    strategy = tf.distribute.get_strategy()
    return strategy.reduce(tf.distribute.ReduceOp.MEAN, strategy.run(update, arguments), axis=None)


def share(x: tf.Tensor) -> tf.Tensor:
    """Return this replica's rows of a batch [B, ...] that every replica has whole: B / replicas of them, in order."""
    context = _one_of_several()
    if context is None:
        return x
    rows = tf.shape(x)[0] // context.num_replicas_in_sync
    return x[context.replica_id_in_sync_group * rows :][:rows]


def share_of_mean(loss: tf.Tensor) -> tf.Tensor:
    """Return a mean over this replica's rows as its part of the mean over the batch: the sum over replicas is that mean."""
    context = _one_of_several()
    return loss if context is None else loss / context.num_replicas_in_sync


def mean_of_batch(x: tf.Tensor) -> tf.Tensor:
    """Return the mean [] over the batch of which this replica has the rows x [B / replicas]; gradients reach all rows."""
    mean, context = tf.reduce_mean(x), _one_of_several()
    return mean if context is None else context.all_reduce(tf.distribute.ReduceOp.MEAN, mean)


def whole_batch(x: tf.Tensor) -> tf.Tensor:
    """Return the batch [B, ...] of which this replica has the rows x, in order; gradients reach all rows."""
    context = _one_of_several()
    return x if context is None else context.all_gather(x, axis=0)


def sum_of_replicas(parts: list[tf.Tensor]) -> list[tf.Tensor]:
    """Return the sums over replicas of tensors of which each replica has its part, for instance gradients to be clipped."""
    context = _one_of_several()
    return parts if context is None else context.all_reduce(tf.distribute.ReduceOp.SUM, parts)


def _one_of_several() -> Any:
    """Return the context of the replica whose update this is, None where there is no other."""
    context = tf.distribute.get_replica_context()
    return None if context is None or context.num_replicas_in_sync == 1 else context
