"""Advantage actor-critic: Sutton & Barto (2018), section 13.5; Mnih et al. (2016); with GAE (Schulman et al., 2016) and, as an
option, the clipped surrogate of PPO (Schulman et al., 2017).

One update, in the notation of the papers:

    play T steps in N environments with pi_theta          s_t, a_t, r_t, V_t = V_theta(s_t)
    A_t = delta_t + gamma lambda A_{t+1}                  delta_t = r_t + gamma V_{t+1} - V_t; through truncation, not termination
    R_t = A_t + V_t
    for each epoch, each minibatch B:
        L = mean_B [ -A log pi(a|s) + c_v (R - V)^2 / 2 - c_e H(pi) ]        or the clipped surrogate for the first term
        theta <- optimiser(theta, clip(grad L))
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from agents.actor_critic.config import ActorCriticConfig
from agents.rl.evaluate import evaluate
from agents.rl.exported import gaussian_policy, softmax_policy
from agents.rl.observations import Observations
from core.errors import UsageError
from core.layers.torsos import NumpyMLP, Standardize, dense, mlp, nature_cnn
from core.losses.reinforcement import (
    categorical_entropy,
    categorical_log_prob,
    clipped_surrogate,
    gaussian_entropy,
    gaussian_log_prob,
    policy_gradient,
    squared_error,
)
from core.optimizers import Adam, RMSprop
from core.plugin import Context
from core.returns import generalized_advantage
from core.seeds import child
from envs import make

__all__ = ["ActorCritic"]

PLAIN = ("clock", "updates", "episodes", "t", "row", "score", "length", "recent", "rollout", "batch", "moments")
CHUNK = 32  # minibatches of vectors in one call
REWARD_LIMIT = 10.0  # of normalised rewards, in standard deviations


class ActorCritic:
    """The agent. D is the size of a flat observation, A the number of actions or action components."""

    def __init__(self, config: ActorCriticConfig, context: Context):
        self.config, self.context = config, context
        self.env = make(config.env, config.envs, child(context.seed, "games"), may_idle=False)
        self.env.reset()
        space, actions = self.env.observation_space, self.env.action_space
        self.observations = Observations.of(space, "actor-critic")
        self.pixels = self.observations.kind == "pixels"
        if self.pixels and config.normalize_observations:
            raise UsageError(
                f"normalize_observations is for vectors; {config.env.id} is seen as pixels, which need none"
            )
        self.clip_rewards = self.pixels if config.clip_rewards == "auto" else config.clip_rewards == "yes"
        self.discrete = isinstance(actions, Discrete)
        self.action_type: type = np.int32
        if isinstance(actions, Box) and len(actions.shape) == 1 and np.issubdtype(actions.dtype, np.floating):
            self.low, self.high = actions.low, actions.high
            self.num_actions, self.action_shape, self.action_type = actions.shape[0], actions.shape, np.float32
        elif isinstance(actions, Discrete):
            self.num_actions, self.action_shape = int(actions.n), ()
        else:
            raise UsageError(
                f"actor-critic needs discrete actions or a vector of them; those of {config.env.id} are {actions}"
            )

        self.rng = np.random.default_rng(child(context.seed, "actions"))
        self.act_rng = np.random.default_rng(child(context.seed, "act"))  # of `act`, which is no part of training
        self._build_networks()
        self.optimizer = (
            RMSprop(config.lr, rho=config.decay, epsilon=config.epsilon)
            if config.optimizer == "rmsprop"
            else Adam(config.lr, epsilon=config.epsilon)
        )
        self.optimizer.build(self.weights)
        self.tags = ["loss/policy", "loss/value", "policy/entropy", "optim/gradient_norm"]
        self.tags += ["policy/kl", "policy/clipped"] if config.clip else []

        N = config.envs
        self.clock = 0
        self.updates = 0
        self.episodes = 0
        self.t = 0  # steps of the rollout that have been played
        self.row = 0  # minibatches of the rollout that have been learned from
        self.score, self.length = np.zeros(N), np.zeros(N, int)  # of the episodes in progress
        self.recent: list[float] = []  # returns of the last 100 episodes
        self.rollout = self._empty_rollout()  # arrays [T, N, ...], written anew step by step
        self.batch: dict[str, Any] | None = None  # x, a, log_pi, A, R [B, ...] and order [E * M, B / M] while learning
        D = self.observations.shape if config.normalize_observations else ()
        self.moments: dict[str, Any] = {  # running statistics: count, mean and variance
            "obs": [0, np.zeros(D), np.ones(D)],
            "return": [0, np.zeros(()), np.ones(())],
            "running_return": np.zeros(N),
        }

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Play up to `turn` steps in each environment; with a full rollout, learn from it."""
        scalars: dict[str, Any] = {}
        if self.batch is None:
            scalars = self._play(min(self.config.turn, self.config.n_steps - self.t))
            if self.t < self.config.n_steps:
                return scalars
            scalars |= self._estimate()
        return scalars | self._learn()

    def _play(self, steps: int) -> dict[str, Any]:
        """Take `steps` steps in each environment and write them into the rollout."""
        o = self.rollout
        returns: list[float] = []
        lengths: list[int] = []
        for t in range(self.t, self.t + steps):
            x = self.observations.encode(self.env.obs)
            policy, o["v"][t] = self._forward(x)  # [N, A], [N]
            a, o["log_pi"][t] = self._sample(policy, self.rng)
            o["x"][t], o["a"][t] = x, a
            step = self.env.step(self._to_env(a))
            o["r"][t] = np.sign(step.reward) if self.clip_rewards else step.reward
            o["terminated"][t], o["done"][t] = step.terminated, step.done
            if step.truncated.any():  # a time limit is no end: the value of the last observation goes on
                o["v_final"][t] = self._forward(self.observations.encode(step.final_obs))[1]
            self.score += step.reward
            self.length += 1
            for i in np.flatnonzero(step.done):
                returns.append(float(self.score[i]))
                lengths.append(int(self.length[i]))
                self.score[i], self.length[i] = 0.0, 0
        self.t += steps
        self.clock += steps * self.config.envs
        if not returns:
            return {}
        self.episodes += len(returns)
        self.recent = [*self.recent, *returns][-100:]
        return {
            "rollout/return": np.array(returns),
            "rollout/length": np.array(lengths),
            "rollout/return_last100": np.mean(self.recent),
        }

    def _estimate(self) -> dict[str, Any]:
        """Turn the rollout into a batch: advantages, returns, and the order in which minibatches take its rows."""
        config, o = self.config, self.rollout
        last = self._forward(self.observations.encode(self.env.obs))[1]  # [N]
        following = np.concatenate([o["v"][1:], last[None]])  # [T, N]
        following = np.where(o["done"], o["v_final"], following)
        r = self._normalized(o["r"], o["done"]) if config.normalize_returns else o["r"]
        A = generalized_advantage(r, o["v"], following, o["terminated"], o["done"], config.gamma, config.gae_lambda)
        R = A + o["v"]
        B = R.size
        parts = config.minibatches
        orders = [self.rng.permutation(B) if parts > 1 else np.arange(B) for _ in range(config.epochs)]
        flat = {name: o[name].reshape(B, *o[name].shape[2:]) for name in ("x", "a", "log_pi")}
        self.batch = {**flat, "A": A.ravel(), "R": R.ravel(), "order": np.reshape(orders, (-1, B // parts))}
        self.row = 0
        spread = R.var()
        return {"value/mean": o["v"].mean(), "value/explained_variance": 1 - A.var() / spread if spread > 0 else 0.0}

    def _learn(self) -> dict[str, Any]:
        """Learn from the next minibatches of the batch, a few in one call of the update."""
        batch, config = self.batch, self.config
        assert batch is not None
        order = batch["order"][self.row : self.row + (1 if self.pixels else CHUNK)]  # [K, M]
        lr = config.lr * (max(0.0, 1 - self.clock / config.anneal) if config.anneal else 1.0)
        rest = np.stack([batch["log_pi"][order], batch["A"][order], batch["R"][order]], axis=-1)  # one array: [K, M, 3]
        losses, theta = self._update(*map(tf.constant, (batch["x"][order], batch["a"][order], rest, np.float32(lr))))
        self.row += len(order)
        self.updates += len(order)
        self._mirror_weights(theta.numpy())
        if self.row == len(batch["order"]):
            if config.normalize_observations:
                self._observe(batch["x"])
                self._copy_weights()
            self.batch, self.t = None, 0
        return dict(zip(self.tags, losses.numpy().tolist(), strict=True))

    @cached_property
    def _update(self) -> Callable[..., tuple[tf.Tensor, tf.Tensor]]:
        """`_minibatches`, traced; as a concrete function it looks for no fitting trace in every call, which saves 0.2 ms."""
        M = self.config.n_steps * self.config.envs // self.config.minibatches
        x, a = (tf.TensorSpec((None, M, *o.shape[2:]), o.dtype) for o in (self.rollout["x"], self.rollout["a"]))
        rest, lr = tf.TensorSpec((None, M, 3), tf.float32), tf.TensorSpec((), tf.float32)
        return tf.function(  # XLA: less than half the time on vectors
            self._minibatches, input_signature=[x, a, rest, lr], jit_compile=not self.pixels
        ).get_concrete_function()

    def _minibatches(self, x: tf.Tensor, a: tf.Tensor, rest: tf.Tensor, lr: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """One optimiser step for each of K minibatches: x [K, M, ...], a [K, M, ...], rest (log pi, A, R) [K, M, 3].

        Return the means of `tags` [L] and, as one vector, the new weights for the mirrors.
        """
        self.optimizer.learning_rate.assign(lr)
        K, total = tf.shape(x)[0], tf.zeros(len(self.tags))
        for k in tf.range(K):
            losses = self._minibatch(x[k], a[k], *tf.unstack(rest[k], axis=-1))
            total += tf.stack([losses[tag] for tag in self.tags])
        mirrored = [tf.reshape(v, [-1]) for v in self.mirrored]
        return total / tf.cast(K, tf.float32), tf.concat(mirrored, axis=0) if mirrored else tf.zeros(0)

    def _minibatch(
        self, s: tf.Tensor, a: tf.Tensor, log_pi_old: tf.Tensor, A: tf.Tensor, R: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        config = self.config
        if config.normalize_advantages:
            A = (A - tf.reduce_mean(A)) / (tf.math.reduce_std(A) + 1e-8)
        with tf.GradientTape() as tape:
            policy, V = self._networks(s)  # [M, A], [M]
            log_pi, H = self._log_prob_and_entropy(policy, a)  # [M], []
            surrogate = (
                clipped_surrogate(log_pi, log_pi_old, A, config.clip) if config.clip else policy_gradient(log_pi, A)
            )
            L_policy, L_value = tf.reduce_mean(surrogate), tf.reduce_mean(squared_error(V, R))
            L = L_policy + config.value_weight * L_value - config.entropy * H
        gradient = tape.gradient(L, self.weights)
        norm = tf.linalg.global_norm(gradient)
        if config.max_gradient_norm:
            gradient, _ = tf.clip_by_global_norm(gradient, config.max_gradient_norm, norm)
        self.optimizer.apply(gradient, self.weights)
        losses = {"loss/policy": L_policy, "loss/value": L_value, "policy/entropy": H, "optim/gradient_norm": norm}
        if config.clip:
            ratio = tf.exp(log_pi - log_pi_old)
            losses["policy/kl"] = tf.reduce_mean(ratio - 1 - (log_pi - log_pi_old))  # Schulman (2020), k3
            losses["policy/clipped"] = tf.reduce_mean(tf.cast(tf.abs(ratio - 1) > config.clip, tf.float32))
        return losses

    # --- policy and value -----------------------------------------------------------------------------------------------

    def _build_networks(self) -> None:
        """Pixels: one torso with two heads. Vectors: a network for the policy and another for the value."""
        config, shape = self.config, self.observations.shape
        seed = child(self.context.seed, "network")
        policy, value = dense(self.num_actions, "policy", seed, gain=0.01), dense(1, "value", seed, gain=1.0)
        self.mirrors: list[NumpyMLP] = []
        if self.pixels:
            x = keras.Input(shape, dtype="uint8")
            h = nature_cnn(self.observations.seen, seed)(x)
            self.model = keras.Model(x, {"policy": policy(h), "value": value(h)}, name="actor_critic")
        else:
            x = h = keras.Input(shape)
            self.standardize = Standardize(name="standardize")
            if config.normalize_observations:
                h = self.standardize(h)
            torsos = {name: mlp(shape[0], config.hidden, config.activation, seed, name) for name in ("actor", "critic")}
            outputs = {"policy": policy(torsos["actor"](h)), "value": value(torsos["critic"](h))}
            self.model = keras.Model(x, outputs, name="actor_critic")
            front = [self.standardize] if config.normalize_observations else []
            self.mirrors = [NumpyMLP(*front, torsos["actor"], policy), NumpyMLP(*front, torsos["critic"], value)]
        self.weights = list(self.model.trainable_variables)
        self.log_std = None
        if not self.discrete:
            self.log_std = keras.Variable(np.full(self.num_actions, config.log_std, np.float32), name="log_std")
            self.weights.append(self.log_std)
        self.mirrored = [v for mirror in self.mirrors for v in mirror.variables]  # what acting needs in numpy
        self.mirrored += [] if self.log_std is None else [self.log_std]
        self._copy_weights()

    def _networks(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits or means [B, A] and values [B] for inputs [B, ...]."""
        outputs = self.model(x, training=True)
        return outputs["policy"], outputs["value"][:, 0]

    @tf.function(reduce_retracing=True)
    def _networks_on_pixels(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return self._networks(x)

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits or means [N, A] and values [N] as numpy arrays, small networks by their mirror."""
        if self.pixels:
            policy, v = self._networks_on_pixels(tf.constant(x))
            return policy.numpy(), v.numpy()
        return self.mirrors[0](x), self.mirrors[1](x)[:, 0]

    def _copy_weights(self) -> None:
        """Bring the mirrors up to date with the model, e.g. after a restore."""
        self._mirror_weights(
            np.concatenate([np.zeros(0), *(v.numpy().ravel() for v in self.mirrored)], dtype=np.float32)
        )

    def _mirror_weights(self, theta: np.ndarray) -> None:
        """Take over the values of `mirrored`, all in one vector."""
        ends = np.cumsum([math.prod(v.shape) for v in self.mirrored], dtype=int)
        values = [part.reshape(v.shape) for part, v in zip(np.split(theta, ends[:-1]), self.mirrored, strict=False)]
        for mirror in self.mirrors:
            count = len(mirror.variables)
            mirror.take_weights(values[:count])
            values = values[count:]
        if self.log_std is not None:
            self.std = np.exp(values[0])  # [A]

    def _log_prob_and_entropy(self, policy: tf.Tensor, a: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return log pi(a) [B] and the mean entropy []."""
        if self.log_std is None:
            return categorical_log_prob(policy, a), tf.reduce_mean(categorical_entropy(policy))
        log_std = tf.convert_to_tensor(self.log_std)
        return gaussian_log_prob(policy, log_std, a), gaussian_entropy(log_std)

    def _sample(self, policy: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw actions [N] or [N, A] and return them with their log probability [N]."""
        if self.log_std is not None:
            z = rng.standard_normal(policy.shape, np.float32)
            log_pi = -(0.5 * z**2 + np.log(self.std) + 0.5 * np.log(2 * np.pi)).sum(axis=1)
            return policy + self.std * z, log_pi
        p = np.exp(policy - policy.max(axis=1, keepdims=True))
        ceiling = np.cumsum(p, axis=1)  # inverse of the distribution function
        a = (rng.random((len(p), 1)) * ceiling[:, -1:] >= ceiling).sum(axis=1)
        return a, np.log(p[np.arange(len(p)), a] / ceiling[:, -1])

    def _to_env(self, a: np.ndarray) -> np.ndarray:
        """Continuous actions are clipped to the environment's bounds; the policy does not know."""
        return a if self.discrete else np.clip(a, self.low, self.high)

    # --- running statistics ---------------------------------------------------------------------------------------------

    def _observe(self, x: np.ndarray) -> None:
        """Count the rollout's observations into the statistics that standardise the next ones."""
        _merge(self.moments["obs"], x)
        _, mean, variance = self.moments["obs"]
        self.standardize.mean.assign(mean)
        self.standardize.std.assign(np.sqrt(variance + 1e-8))

    def _normalized(self, r: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Return rewards [T, N] over the standard deviation of the discounted return so far, within +-10."""
        G = self.moments["running_return"]
        seen = np.empty(r.shape)
        for t in range(len(r)):
            G = seen[t] = self.config.gamma * G + r[t]
            G = np.where(done[t], 0.0, G)
        self.moments["running_return"] = G
        _merge(self.moments["return"], seen.ravel())
        return np.clip(r / np.sqrt(self.moments["return"][2] + 1e-8), -REWARD_LIMIT, REWARD_LIMIT)

    def _empty_rollout(self) -> dict[str, np.ndarray]:
        T, N = self.config.n_steps, self.config.envs
        return {
            "x": np.zeros((T, N, *self.observations.shape), np.uint8 if self.pixels else np.float32),
            "a": np.zeros((T, N, *self.action_shape), self.action_type),
            "terminated": np.zeros((T, N), bool),
            "done": np.zeros((T, N), bool),
            **{name: np.zeros((T, N), np.float32) for name in ("log_pi", "v", "r", "v_final")},
        }

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(self, observations: np.ndarray) -> np.ndarray:
        """Return actions [N] or [N, A] for observations [N, ...], drawn from the policy or its likeliest (`eval_actions`)."""
        policy, _ = self._forward(self.observations.encode(observations))
        if self.config.eval_actions == "sampled":
            return self._to_env(self._sample(policy, self.act_rng)[0])
        return policy.argmax(axis=1) if self.discrete else self._to_env(policy)

    def exportable(self) -> Mapping[str, Any]:
        def policy(observation: tf.Tensor) -> tf.Tensor:
            return self.model(self.observations.traced(observation), training=False)["policy"]

        if self.discrete:
            return {"act": softmax_policy(self.env, policy)}
        return {
            "act": gaussian_policy(
                self.env, lambda observation: (policy(observation), self.log_std), self.low, self.high
            )
        }

    def evaluate(self) -> Mapping[str, Any]:
        self._copy_weights()  # they may have been restored alone
        self.act_rng = np.random.default_rng(child(self.context.seed, "act", self.clock))
        config = self.config
        return evaluate(config.env, self.act, config.eval_episodes, self.context.seed, acting=config.eval_actions)

    def state(self) -> dict[str, Any]:
        extra = {} if self.log_std is None else {"log_std": self.log_std}
        return {
            "model": self.model,
            **extra,
            "optimizer": self.optimizer,
            "rng": self.rng,
            "env": self.env.state(),
            **{name: getattr(self, name) for name in PLAIN},
        }

    def load_state(self, tree: dict[str, Any]) -> None:
        for name in PLAIN:
            setattr(self, name, tree[name])
        self._copy_weights()
        self.env.load_state(tree["env"])

    def close(self) -> None:
        self.env.close()


def _merge(moments: list[Any], x: np.ndarray) -> None:
    """Count rows x [B, ...] into [count, mean, variance] (Chan et al., 1979)."""
    count, mean, variance = moments
    total = count + len(x)
    delta = x.mean(axis=0) - mean
    spread = count * variance + len(x) * x.var(axis=0) + delta**2 * count * len(x) / total
    moments[:] = [total, mean + delta * len(x) / total, spread / total]
