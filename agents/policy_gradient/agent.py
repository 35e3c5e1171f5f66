"""Policy gradient as in "Deep Reinforcement Learning: Pong from Pixels" (Karpathy, 2016); REINFORCE (Williams, 1992).

One update, in the notation of the paper:

    play with pi_theta until the batch is full          x_t, a_t, r_t
    G_t  = r_t + gamma G_{t+1}                          beginning afresh where the play does
    A_t  = (G_t - V_t - mean) / std                     over the batch; V_t = 0 without a baseline
    theta <- optimiser(theta, sum_t grad [-A_t log pi(a_t | x_t)])
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import scipy.sparse
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from agents.evaluation import evaluate
from agents.policy_gradient.config import PolicyGradientConfig
from core.errors import UsageError
from core.losses.reinforcement import categorical_entropy, policy_gradient, squared_error
from core.plugin import Context
from core.returns import discounted_returns
from envs import make

__all__ = ["PolicyGradient"]

RUNNING_DECAY = 0.99  # of the running mean of returns that the original prints


class PolicyGradient:
    """The agent. Observations are flattened to D numbers; difference frames stay sparse until a gradient needs them."""

    def __init__(self, config: PolicyGradientConfig, context: Context):
        self.config, self.context = config, context
        self.env = make(config.pong_env, config.games, context.seed)
        space, actions = self.env.observation_space, self.env.action_space
        if not isinstance(actions, Discrete) or not isinstance(space, (Box, Discrete)):
            raise UsageError(f"policy-gradient needs discrete actions; those of {config.env.id} are {actions}")
        self.num_actions = int(actions.n)
        if config.policy == "sigmoid" and self.num_actions != 2:
            raise UsageError(
                f"policy=sigmoid needs exactly 2 actions; {config.env.id} has {self.num_actions}, see env.actions"
            )
        self.sparse = space.dtype == np.int8  # difference frames: about 40 of 6,400 pixels are not 0
        self.tabular = int(space.n) if isinstance(space, Discrete) else 0
        self.inputs = self.tabular or int(np.prod(space.shape))
        self.scale = 1 / 255 if space.dtype == np.uint8 else 1.0

        self.rng = np.random.default_rng([context.seed, 1])
        self.act_rng = np.random.default_rng([context.seed, 2])  # of `act`, which is no part of training
        self.model = self._build_model()
        self.optimizer = (
            keras.optimizers.RMSprop(config.lr, rho=config.decay, epsilon=1e-10)
            if config.optimizer == "rmsprop"
            else keras.optimizers.Adam(config.lr, epsilon=1e-8)
        )
        self.optimizer.build(self.model.trainable_variables)
        self.gradient = [tf.Variable(tf.zeros_like(v), trainable=False) for v in self.model.trainable_variables]
        self._copy_weights()

        self.clock = 0
        self.updates = 0
        self.episodes = 0
        self.running_return: float | None = None
        self.recent: list[float] = []  # returns of the last 100 episodes
        self.score = np.zeros(config.games)  # of the episode in progress
        self.length = np.zeros(config.games, int)
        self.left = self._quota()  # [N] whole episodes each game still has to play for this batch
        self.rollout: list[dict[str, Any]] = []  # one entry a step: x [N, D] and a, r, v, cut, live [N]
        self.batch: dict[str, Any] | None = None  # X [B, D], a, A, G [B] while an update is under way
        self.row = 0  # rows of the batch whose gradient is in `gradient`
        self.losses = np.zeros(3)
        self.env.reset()

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Play `turn` steps in each game, or add one chunk to the gradient of a full batch."""
        if self.batch is not None:
            return self._learn(self.batch)
        returns: list[float] = []
        lengths: list[int] = []
        for _ in range(self.config.turn):
            self._play(returns, lengths)
            if self._batch_is_full():
                self.batch = self._take_batch()
                break
        return {"rollout/return": np.array(returns), "rollout/length": np.array(lengths)} if returns else {}

    def _play(self, returns: list[float], lengths: list[int]) -> None:
        live = self.left > 0  # [N]
        x = self._features(self.env.obs)  # [N, D]
        logits, v = self._forward(x)
        a = self._sample(logits, self.rng)  # [N]
        step = self.env.step(a, live)
        r = step.reward.astype(np.float32)
        cut = step.done | ((r != 0) & self.config.cuts)
        if self.config.baseline and step.truncated.any():  # a time limit is no end: the value goes on
            r += self.config.gamma * step.truncated * self._forward(self._features(step.final_obs))[1]
        self.rollout.append({"x": x, "a": a, "r": r, "v": v, "cut": cut, "live": live})

        self.clock += int(live.sum())
        self.score += step.reward
        self.length += live
        for i in np.flatnonzero(step.done):
            returns.append(float(self.score[i]))
            lengths.append(int(self.length[i]))
            mean = self.score[i] if self.running_return is None else self.running_return
            self.running_return = float(RUNNING_DECAY * mean + (1 - RUNNING_DECAY) * self.score[i])
            self.recent = [*self.recent[-99:], float(self.score[i])]
            self.score[i], self.length[i] = 0.0, 0
            self.episodes += 1
            if not self.config.batch_steps:
                self.left[i] -= 1

    def _batch_is_full(self) -> bool:
        if not self.config.batch_steps:
            return not self.left.any()
        if not self.rollout[-1]["cut"].any():  # no return has become known
            return False
        return int(self._known().sum()) >= self.config.batch_steps

    def _known(self) -> np.ndarray:
        """Return [T, N] bool: steps not yet learned from whose return is known, as a cut follows."""
        cut = np.stack([t["cut"] for t in self.rollout])
        followed = np.flip(np.logical_or.accumulate(np.flip(cut, 0), 0), 0)
        return followed & np.stack([t["live"] for t in self.rollout])

    def _take_batch(self) -> dict[str, Any]:
        known = self._known()
        r, v, cut, a = (np.stack([t[key] for t in self.rollout]) for key in ("r", "v", "cut", "a"))
        G = discounted_returns(r, cut, self.config.gamma)[known]  # [B]
        A = G - v[known] if self.config.baseline else G
        A = (A - A.mean()) / (A.std() + 1e-8)
        X = self._stack([t["x"] for t in self.rollout])[np.flatnonzero(known)]  # [B, D]
        for t, taken in zip(self.rollout, known, strict=True):
            t["live"] = t["live"] & ~taken
        while self.rollout and not self.rollout[0]["live"].any():
            del self.rollout[0]
        if not self.config.batch_steps:
            self.left = self._quota()
        return {"X": X, "a": a[known].astype(np.int32), "A": A.astype(np.float32), "G": G}

    def _learn(self, batch: dict[str, Any]) -> Mapping[str, Any]:
        size, chunk = len(batch["a"]), self.config.chunk
        rows = slice(self.row, self.row + chunk)
        x = batch["X"][rows]
        x = x.toarray() if self.sparse else x

        def padded(array: np.ndarray) -> np.ndarray:  # to one shape, so that TensorFlow traces once
            return np.pad(array, [(0, chunk - len(array))] + [(0, 0)] * (array.ndim - 1))

        weight = np.full(len(x), 1 / size if self.config.loss == "mean" else 1.0, np.float32)
        losses = self._add_gradient(
            *(padded(z) for z in (x, batch["a"][rows], batch["A"][rows], batch["G"][rows], weight))
        )
        self.losses += losses.numpy()
        self.row += chunk
        if self.row < size:
            return {}
        norm = self._apply_gradient()
        self._copy_weights()
        policy, value, entropy = self.losses / (1 if self.config.loss == "mean" else size)
        self.batch, self.row, self.losses = None, 0, np.zeros(3)
        self.updates += 1
        scalars = {
            "loss/policy": policy,
            "policy/entropy": entropy,
            "optim/gradient_norm": norm,
            "rollout/batch_steps": size,
        }
        if self.config.baseline:
            scalars["loss/value"] = value
        if self.running_return is not None:
            scalars["rollout/return_running"] = self.running_return
            scalars["rollout/return_last100"] = np.mean(self.recent)
        return scalars

    @tf.function
    def _add_gradient(self, x: tf.Tensor, a: tf.Tensor, A: tf.Tensor, G: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            logits, v = self._outputs(tf.cast(x, tf.float32))
            policy = tf.reduce_sum(weight * policy_gradient(logits, a, A))
            value = tf.reduce_sum(weight * squared_error(v, G))
            entropy = tf.reduce_sum(weight * categorical_entropy(logits))
            loss = policy - self.config.entropy * entropy
            if self.config.baseline:
                loss += self.config.value_weight * value
        gradient = tape.gradient(loss, self.model.trainable_variables)
        for total, part in zip(self.gradient, gradient, strict=True):
            total.assign_add(part)
        return tf.stack([policy, value, entropy])

    @tf.function
    def _apply_gradient(self) -> tf.Tensor:
        norm = tf.linalg.global_norm(self.gradient)
        self.optimizer.apply(self.gradient, self.model.trainable_variables)
        for total in self.gradient:
            total.assign(tf.zeros_like(total))
        return norm

    # --- the network ----------------------------------------------------------------------------------------------------

    def _build_model(self) -> keras.Model:
        def dense(units: int, name: str, **kwargs: Any) -> keras.layers.Dense:
            seed = int(np.random.SeedSequence([self.context.seed, len(name)]).generate_state(1)[0] >> 1)
            fan_in = keras.initializers.VarianceScaling(1.0, "fan_in", "untruncated_normal", seed=seed)
            return keras.layers.Dense(units, use_bias=self.config.bias, kernel_initializer=fan_in, name=name, **kwargs)

        x = keras.Input((self.inputs,), name="x")
        h = dense(self.config.hidden, "hidden", activation="relu")(x)
        logits = dense(1 if self.config.policy == "sigmoid" else self.num_actions, "logits", dtype="float32")(h)
        outputs = {"logits": logits}
        if self.config.baseline:
            outputs["value"] = dense(1, "value", dtype="float32")(h)
        return keras.Model(x, outputs, name="policy")

    def _outputs(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits [B, A] and values [B] for x [B, D]."""
        outputs = self.model(x, training=True)
        logits = outputs["logits"]
        if self.config.policy == "sigmoid":  # sigmoid(z) is the softmax over (z, 0)
            logits = tf.concat([logits, tf.zeros_like(logits)], axis=1)
        return logits, outputs["value"][:, 0] if self.config.baseline else tf.zeros_like(logits[:, 0])

    def _copy_weights(self) -> None:
        """Mirror the weights in numpy: acting on ten rows costs TensorFlow more for the call than for the numbers."""
        self.mirror = {
            layer.name: (np.asarray(layer.kernel), np.asarray(layer.bias) if layer.use_bias else np.float32(0))
            for layer in self.model.layers
            if isinstance(layer, keras.layers.Dense)
        }

    def _forward(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Return logits [N, A] and values [N] for x [N, D], dense or sparse, from the mirror."""
        (W1, b1), (W2, b2) = self.mirror["hidden"], self.mirror["logits"]
        h = np.maximum(x @ W1 + b1, 0)  # [N, H]
        logits = h @ W2 + b2
        if self.config.policy == "sigmoid":
            logits = np.concatenate([logits, np.zeros_like(logits)], axis=1)
        if not self.config.baseline:
            return logits, np.zeros(len(logits), np.float32)
        Wv, bv = self.mirror["value"]
        return logits, (h @ Wv + bv)[:, 0]

    def _features(self, obs: np.ndarray) -> Any:
        """Return observations as rows [N, D]: sparse for difference frames, one-hot for tabular ones, else float32."""
        if self.sparse:
            flat = obs.reshape(len(obs), self.inputs)
            at = np.flatnonzero(flat)
            ends = np.searchsorted(at, self.inputs * np.arange(len(obs) + 1))
            return scipy.sparse.csr_matrix(
                (flat.ravel()[at].astype(np.float32), (at % self.inputs).astype(np.int32), ends.astype(np.int32)),
                flat.shape,
            )
        if self.tabular:
            return np.eye(self.tabular, dtype=np.float32)[obs]
        return np.asarray(obs.reshape(len(obs), self.inputs), np.float32) * np.float32(self.scale)

    @staticmethod
    def _sample(logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw one action a row [N] from softmax(logits [N, A]), by the inverse of its distribution function."""
        p = np.exp(logits - logits.max(axis=1, keepdims=True))
        ceiling = np.cumsum(p, axis=1)
        return (rng.random((len(p), 1)) * ceiling[:, -1:] >= ceiling).sum(axis=1)

    def _stack(self, xs: list[Any]) -> Any:
        return scipy.sparse.vstack(xs, format="csr") if self.sparse else np.concatenate(xs)

    def _quota(self) -> np.ndarray:
        return np.full(
            self.config.games, 1 if self.config.batch_steps else self.config.batch_episodes // self.config.games
        )

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Return actions [N], sampled from the policy, for observations [N, ...]."""
        return self._sample(self._forward(self._features(observations))[0], self.act_rng)

    def evaluate(self) -> Mapping[str, Any]:
        self._copy_weights()  # they may have been restored alone
        self.act_rng = np.random.default_rng([self.context.seed, 2, self.clock])
        return evaluate(self.config.pong_env, self.act, self.config.eval_episodes, self.context.seed)

    def state(self) -> dict[str, Any]:
        arrays = (
            {key: np.stack([t[key] for t in self.rollout]) for key in ("a", "r", "v", "cut", "live")}
            if self.rollout
            else {}
        )
        return {
            "model": self.model,
            "optimizer": self.optimizer,
            "gradient": self.gradient,
            "rng": self.rng,
            "env": self.env.state(),
            "clock": self.clock,
            "updates": self.updates,
            "episodes": self.episodes,
            "running_return": self.running_return,
            "recent": self.recent,
            "score": self.score,
            "length": self.length,
            "left": self.left,
            "rollout": arrays
            | ({"x": self._pack(self._stack([t["x"] for t in self.rollout]))} if self.rollout else {}),
            "batch": self.batch and {**self.batch, "X": self._pack(self.batch["X"])},
            "row": self.row,
            "losses": self.losses,
        }

    def load_state(self, tree: dict[str, Any]) -> None:
        for key in (
            "clock",
            "updates",
            "episodes",
            "running_return",
            "recent",
            "score",
            "length",
            "left",
            "row",
            "losses",
        ):
            setattr(self, key, tree[key])
        self.env.load_state(tree["env"])
        saved = tree["rollout"]
        self.rollout = []
        if saved:
            N, X = self.config.games, self._unpack(saved["x"])
            for t in range(len(saved["a"])):
                entry = {key: saved[key][t] for key in ("a", "r", "v", "cut", "live")}
                self.rollout.append({"x": X[t * N : (t + 1) * N], **entry})
        self.batch = tree["batch"] and {**tree["batch"], "X": self._unpack(tree["batch"]["X"])}
        self._copy_weights()

    def _pack(self, X: Any) -> Any:
        return {"data": X.data, "indices": X.indices, "indptr": X.indptr} if self.sparse else X

    def _unpack(self, X: Any) -> Any:
        if not self.sparse:
            return X
        return scipy.sparse.csr_matrix((X["data"], X["indices"], X["indptr"]), (len(X["indptr"]) - 1, self.inputs))

    def close(self) -> None:
        self.env.close()
