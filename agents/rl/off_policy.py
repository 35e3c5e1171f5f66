"""What `ddpg`, `td3` and `sac` share: playing into a replay, networks for vectors, many updates in one call. No update rule."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agents.rl.episodes import Episodes
from agents.rl.observations import Observations
from agents.rl.settings import OffPolicyConfig
from core.errors import UsageError
from core.layers.torsos import GAIN, dense, mlp, orthogonal
from core.mirror import Mirror
from core.plugin import Context
from core.replay import Batch, Replay
from core.schedules import linear
from core.seeds import child
from core.traced import direct
from envs import make

__all__ = [
    "DenseRows",
    "Experience",
    "Updates",
    "actor_network",
    "columns_of",
    "critic_networks",
    "follow",
    "scalars_of",
]

IN_MEMORY = 100_000_000  # bytes of observations that replay_on_disk=auto leaves in memory
HEAD = 0.01  # gain of the policy's last layer: the first actions are all near the middle


class Experience:
    """Environments, the replay that they fill, and the clock of the updates that are due.

    Actions here are those of the networks, [N, A] between -1 and 1. The replay keeps encoded observations [D] float32.
    """

    def __init__(self, config: OffPolicyConfig, context: Context, who: str):
        """`who` is the agent's name, for sentences. Raises UsageError for observations that are no numbers."""
        self.config, self.context = config, context
        self.env = make(config.env, config.envs, child(context.seed, "games"), may_idle=False)
        self.observations = Observations.of(self.env.observation_space, who, in_blocks=False)
        if self.observations.pictured:
            shown = list(self.observations.picture or self.observations.seen)
            raise UsageError(
                f"{who} needs observations that are vectors; those of {config.env.id} have pictures {shown}: actor-critic takes "
                "pictures, and --agent.env.wrap gymnasium.wrappers:FlattenObservation makes rows of them"
            )
        self.num_inputs = self.observations.shape[0]  # D
        num_actions = int(np.prod(self.env.action_space.shape or ()))
        size = config.capacity * self.num_inputs * 4
        on_disk = config.replay_on_disk == "yes" or (config.replay_on_disk == "auto" and size > IN_MEMORY)
        self.replay = Replay(
            config.capacity,
            (self.num_inputs,),
            np.float32,
            num_envs=config.envs,
            n_step=config.n_step,
            gamma=config.gamma,
            rng=np.random.default_rng(child(context.seed, "replay")),
            alpha=config.alpha if config.prioritised else None,
            path=context.folder / "replay.bin" if on_disk else None,
            slack=context.rewind + context.rewind // 4 + 1_000,  # an episode takes a slot more than it has steps
            action_shape=(num_actions,),
            action_dtype=np.float32,
        )
        self.rng = np.random.default_rng(child(context.seed, "actions"))
        self.env.reset()
        self.x = self.observations.encode(self.env.obs)  # [N, D]
        self.clock = 0
        self.updates = 0
        self.episodes = Episodes(config.envs)

    def play(
        self,
        explore: Callable[[np.ndarray, np.random.Generator], np.ndarray],
        to_env: Callable[[np.ndarray], np.ndarray],
        learn: Callable[[Batch, int], np.ndarray],
        ended: Callable[[np.ndarray], None] = lambda done: None,
    ) -> dict[str, Any]:
        """Take `turn` steps in each environment and make the updates that fall due; return the scalars of play and replay.

        `explore(x [N, D], rng)` chooses actions [N, A]. `learn(batch [K B], K)` makes K updates and returns the errors [K, B].
        `ended(done [N])` is told where episodes ended.
        """
        config = self.config
        if self.clock == 0:
            self._say_size()
        for _ in range(config.turn):
            if self.clock < config.learning_starts:
                a = self.rng.uniform(-1, 1, (config.envs, *self.env.action_space.shape)).astype(np.float32)
            else:
                a = explore(self.x, self.rng)
            t = self.env.step(to_env(a))
            following = self.observations.encode(t.obs)
            final = self.observations.encode(t.final_obs) if t.done.any() else following
            self.replay.add(self.x, a, t.reward, t.terminated, t.truncated, final)
            self.x = following
            self.clock += config.envs
            self.episodes.add(t.reward, t.done)
            ended(t.done)
            self._learn(learn)
        return {"rollout/replay_size": len(self.replay)} | self.episodes.scalars()

    def _learn(self, learn: Callable[[Batch, int], np.ndarray]) -> None:
        """Make the updates that are due: one for every `update_every` steps since `learning_starts`, `burst` at a time."""
        config = self.config
        K = (self.clock - config.learning_starts) // config.update_every - self.updates
        if config.burst > K:
            return
        batch = self.replay.sample(config.batch, K, linear(self.clock, config.beta_steps, config.beta, 1.0))
        errors = learn(batch, K)
        if config.prioritised:
            self.replay.set_priorities(batch.index, errors.ravel())
        self.updates += K

    def _say_size(self) -> None:
        replay = self.replay
        line = f"replay: {self.config.capacity:,} observations, {replay.bytes_live / 1e9:.3g} GB"
        if replay.path is None:
            self.context.say(f"{line} in memory when full, all of it in every checkpoint")
        else:
            self.context.say(
                f"{line} in {replay.path} when full, and up to {replay.bytes_slack / 1e9:.3g} GB beyond them, so that "
                f"checkpoints as old as {self.context.rewind:,} steps stay whole"
            )

    def state(self) -> dict[str, Any]:
        names = ("env", "replay", "rng", "episodes", "x", "clock", "updates")
        return {name: getattr(self, name) for name in names}

    def load_state(self, tree: dict[str, Any]) -> None:
        self.x, self.clock, self.updates = tree["x"], tree["clock"], tree["updates"]  # the others are restored in place

    def close(self) -> None:
        self.env.close()
        self.replay.close()


class Updates:
    """K updates in one call of TensorFlow, each on the weights that the one before left.

    Every array costs 0.05 ms on its way, so a minibatch's columns go in as one array, and errors, figures and the mirror's
    weights come out as two.
    """

    def __init__(
        self,
        minibatch: Callable[..., tuple[tf.Tensor, tf.Tensor]],
        widths: Sequence[int],
        figures: int,
        mirror: Mirror,
        config: OffPolicyConfig,
    ):
        """`minibatch(*columns, number, clock)` makes one update and returns its errors [B] and figures [F]; columns are
        [B, width], the `number` [] int64 of the update counts from 1, the `clock` [] int64 is that of the step sizes."""
        self.batch, self.mirror = config.batch, mirror
        batch, in_float32 = config.batch, keras.mixed_precision.dtype_policy().compute_dtype == "float32"

        @tf.function(
            input_signature=[tf.TensorSpec((None, batch, sum(widths)), tf.float32), tf.TensorSpec((2,), tf.int64)],
            jit_compile=config.jit == "yes" or (config.jit == "auto" and in_float32),
        )
        def updates(rows: tf.Tensor, counters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            K = tf.shape(rows)[0]
            results = tf.TensorArray(tf.float32, K, element_shape=(batch + figures,))
            for k in tf.range(K):
                tf.autograph.experimental.set_loop_options(parallel_iterations=1)
                number = counters[0] + tf.cast(k, tf.int64) + 1
                error, row = minibatch(*tf.split(rows[k], widths, axis=-1), number, counters[1])
                results = results.write(k, tf.concat([error, row], axis=0))
            return results.stack(), mirror.theta()

        self._traced = direct(updates.get_concrete_function())

    def __call__(self, columns: Sequence[np.ndarray], done: int, clock: int) -> tuple[np.ndarray, np.ndarray]:
        """Make K updates from columns [K B, width], after `done` earlier ones; return errors [K, B] and figures [K, F]."""
        rows = np.concatenate(columns, axis=1, dtype=np.float32)
        rows = rows.reshape(-1, self.batch, rows.shape[1])
        results, theta = self._traced(tf.constant(rows), tf.constant([done, clock], tf.int64))
        self.mirror.take(theta.numpy())
        results = results.numpy()
        return results[:, : self.batch], results[:, self.batch :]


# --- networks -----------------------------------------------------------------------------------------------------------


class DenseRows(keras.layers.Layer):
    """E dense layers side by side, each with an input and weights of its own: [B, inputs] or [E, B, inputs] -> [E, B, units].

    One batched product instead of E. Weights: `kernel` [E, inputs, units], each orthogonal by a seed of its own, and `bias`
    [E, 1, units]. Linear ones, the heads, stay float32 whatever the precision of the run.
    """

    def __init__(self, count: int, units: int, activation: str, seed: int, name: str):
        super().__init__(name=name, dtype="float32" if activation == "linear" else None)
        self.count, self.units, self.activation = count, units, keras.activations.get(activation)
        self.initializers = [orthogonal(GAIN[activation], seed, f"{name}_{i}") for i in range(count)]

    def build(self, input_shape: Sequence[int]) -> None:
        def kernels(shape: Sequence[int], dtype: Any = None) -> Any:
            return keras.ops.stack([initial(shape[1:], dtype) for initial in self.initializers])

        shape = (self.count, input_shape[-1], self.units)
        self.kernel = self.add_weight(shape=shape, initializer=kernels, name="kernel")
        self.bias = self.add_weight(shape=(self.count, 1, self.units), initializer="zeros", name="bias")

    def call(self, x: Any) -> Any:
        ops = keras.ops
        return self.activation(ops.matmul(x, ops.cast(self.kernel, x.dtype)) + ops.cast(self.bias, x.dtype))


def actor_network(inputs: int, outputs: int, hidden: Sequence[int], seed: int) -> keras.Sequential:
    """Return s [B, inputs] -> the policy's parameters [B, outputs], first all near 0."""
    below = mlp(inputs, hidden, "relu", seed, "actor").layers
    return keras.Sequential([keras.Input((inputs,)), *below, dense(outputs, "policy", seed, gain=HEAD)], name="actor")


def critic_networks(count: int, inputs: int, actions: int, hidden: Sequence[int], seed: int) -> keras.Model:
    """Return (s [B, inputs], a [B, actions]) -> the values Q_i(s, a) [count, B] of `count` networks that share nothing."""
    s, a = keras.Input((inputs,), name="s"), keras.Input((actions,), name="a")
    h = keras.ops.concatenate([s, a], axis=-1)
    for number, units in enumerate(hidden):
        h = DenseRows(count, units, "relu", seed, f"critic_{number}")(h)
    q = DenseRows(count, 1, "linear", seed, "q")(h)
    return keras.Model([s, a], keras.ops.squeeze(q, -1), name="critics")


def follow(target: keras.Model, model: keras.Model, tau: float) -> None:
    """theta' <- tau theta + (1 - tau) theta', for every weight of `target`."""
    for old, new in zip(target.variables, model.variables, strict=True):
        old.assign(old + tau * (new - old))


def columns_of(batch: Batch) -> list[np.ndarray]:
    """Return columns [K B, width] of transitions for `Updates`: s_tm1, a_tm1, s_t, and r_t, discount_t and weight in one."""
    return [batch.obs_tm1, batch.a_tm1, batch.obs_t, np.stack([batch.r_t, batch.discount_t, batch.weight], axis=1)]


def scalars_of(names: Sequence[str], figures: Sequence[np.ndarray]) -> dict[str, Any]:
    """Return figures, a list of [K, F], by name; empty before the first update."""
    return dict(zip(names, np.concatenate(figures, axis=0).T, strict=True)) if figures else {}
