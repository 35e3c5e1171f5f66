"""Advantage actor-critic: Sutton & Barto (2018), section 13.5; Mnih et al. (2016); with GAE (Schulman et al., 2016) and, as an
option, the clipped surrogate of PPO (Schulman et al., 2017).

One update, in the notation of the papers:

    play T steps in N environments with pi_theta          s_t, a_t, r_t, V_t = V_theta(s_t)
    A_t = delta_t + gamma lambda A_{t+1}                  delta_t = r_t + gamma V_{t+1} - V_t; through truncation, not termination
    R_t = A_t + V_t
    for each epoch, each minibatch B:
        L = mean_B [ -A log pi(a|s) + c_v (R - V)^2 / 2 - c_e H(pi) ]        or the clipped surrogate for the first term
        theta <- optimiser(theta, clip(grad L))

With a memory, pi and V are functions of s_t and of the state h_{t-1} that the steps before have left, and B are the rollouts of
whole environments: each goes again through its T steps, from the state in which it began.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
import tensorflow as tf

from agents.actor_critic.config import ActorCriticConfig
from agents.actor_critic.network import Network
from agents.rl.episodes import Episodes
from agents.rl.memory import forget, starts
from agents.rl.observations import Observations
from agents.rl.policies import allowed, policy_for
from core.errors import UsageError
from core.losses.reinforcement import clipped_surrogate, policy_gradient, squared_error
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.returns import generalized_advantage
from core.seeds import child
from core.traced import direct
from envs import make

__all__ = ["ActorCritic", "merge_moments"]

PLAIN = ("clock", "updates", "t", "row", "rollout", "batch", "moments")
CHUNK = 32  # minibatches of vectors in one call
REWARD_LIMIT = 10.0  # of normalised rewards, in standard deviations


@final
class ActorCritic(Agent, Exports):
    """The agent. D is the size of a flat observation, A the number of actions or action components."""

    masks = True

    def __init__(self, config: ActorCriticConfig, context: Context):
        self.config, self.context, self.environment = config, context, config.env
        self.env = make(config.env, config.envs, child(context.seed, "games"), may_idle=False)
        self.env.reset()
        space, actions = self.env.observation_space, self.env.action_space
        self.observations = Observations.of(space, "actor-critic", config.network)
        self.pixels = self.observations.pictured
        if self.pixels and config.normalize_observations:
            raise UsageError(
                f"normalize_observations is for vectors; {config.env.id} is seen as pixels, which need none"
            )
        self.clip_rewards = (
            self.env.is_atari and self.pixels if config.clip_rewards == "auto" else config.clip_rewards == "yes"
        )
        self.policy = policy_for(actions, "actor-critic", config.env.id)

        self.rng = np.random.default_rng(child(context.seed, "actions"))
        self.network = Network(config, self.observations, self.policy, context.seed)
        self.model, self.log_std, self.mirror = self.network.model, self.network.log_std, self.network.mirror
        self.optimizer = make_optimizer(config.optimizer, self.network.weights)
        self.tags = ["loss/policy", "loss/value", "policy/entropy", "optim/gradient_norm"]
        self.tags += ["policy/kl", "policy/clipped"] if config.clip else []

        N = config.envs
        self.clock = 0
        self.updates = 0
        self.episodes = Episodes(N)
        self.t = 0  # steps of the rollout that have been played
        self.row = 0  # minibatches of the rollout that have been learned from
        self.rollout = self._empty_rollout()  # arrays [T, N, ...], written anew step by step
        self.batch: dict[str, Any] | None = None  # x, a, log_pi, A, R [B, ...] and order [E * M, B / M] while learning
        self.h = self.memory(N)  # state of the memory before the next step, arrays [N, H]; () without one
        self.h_0 = self.h  # before the rollout's first
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
        for t in range(self.t, self.t + steps):
            if t == 0:
                self.h_0 = self.h
            x = self.observations.encode(self.env.obs)
            parameters, o["v"][t], h = self.network.forward(x, self.h)
            if self.env.mask is not None:
                o["mask"][t] = self.env.mask
                parameters = allowed(parameters, self.env.mask)
            a, o["log_pi"][t] = self.policy.sample_with_log_prob(parameters, self.rng)
            o["x"][t], o["a"][t] = x, a
            step = self.env.step(self.policy.to_env(a))
            o["r"][t] = np.sign(step.reward) if self.clip_rewards else step.reward
            o["terminated"][t], o["done"][t] = step.terminated, step.done
            if step.truncated.any():  # a time limit is no end: the value of the last observation goes on
                o["v_final"][t] = self.network.forward(self.observations.encode(step.final_obs), h)[1]
            self.h = forget(h, step.done)
            self.episodes.add(step.reward, step.done)
        self.t += steps
        self.clock += steps * self.config.envs
        return self.episodes.scalars()

    def _estimate(self) -> dict[str, Any]:
        """Turn the rollout into a batch: advantages, returns, and the order in which minibatches take its rows."""
        config, o = self.config, self.rollout
        last = self.network.forward(self.observations.encode(self.env.obs), self.h)[1]  # [N]
        following = np.concatenate([o["v"][1:], last[None]])  # [T, N]
        following = np.where(o["done"], o["v_final"], following)
        r = self._normalized(o["r"], o["done"]) if config.normalize_returns else o["r"]
        A = generalized_advantage(r, o["v"], following, o["terminated"], o["done"], config.gamma, config.gae_lambda)
        R = A + o["v"]
        B = config.envs if self.network.rnn else R.size  # what is dealt into minibatches: environments, or single steps
        parts = config.minibatches
        orders = [self.rng.permutation(B) if parts > 1 else np.arange(B) for _ in range(config.epochs)]
        self.batch = {name: self._rows(o[name]) for name in ("x", "a", "log_pi", "mask") if name in o}
        self.batch |= {"A": self._rows(A), "R": self._rows(R), "order": np.reshape(orders, (-1, B // parts))}
        if self.network.rnn:
            self.batch["memory"] = [self._rows(starts(o["done"])), *self.h_0]
        self.row = 0
        spread = R.var()
        return {"value/mean": o["v"].mean(), "value/explained_variance": 1 - A.var() / spread if spread > 0 else 0.0}

    def _rows(self, values: np.ndarray) -> np.ndarray:
        """Return what is dealt into minibatches, [T N, ...], or with a memory [N, T, ...], for an array [T, N, ...]."""
        return values.swapaxes(0, 1) if self.network.rnn else values.reshape(-1, *values.shape[2:])

    def _learn(self) -> dict[str, Any]:
        """Learn from the next minibatches of the batch, a few in one call of the update."""
        batch, config = self.batch, self.config
        assert batch is not None
        order = batch["order"][self.row : self.row + (CHUNK if self.network.small else 1)]  # [K, M]
        rest = np.stack([batch["log_pi"][order], batch["A"][order], batch["R"][order]], axis=-1)  # one array: [K, M, 3]
        if "mask" in batch:
            rest = np.concatenate([rest, batch["mask"][order]], axis=-1, dtype=np.float32)
        memory = [array[order] for array in batch.get("memory", ())]
        losses, theta = self._update(
            *map(tf.constant, (batch["x"][order], batch["a"][order], rest, np.int64(self.clock), *memory))
        )
        self.row += len(order)
        self.updates += len(order)
        self.mirror.take(theta.numpy())
        if self.row == len(batch["order"]):
            if config.normalize_observations:
                self._observe(batch["x"].reshape(-1, *self.observations.shape))
                self.mirror.copy()
            self.batch, self.t = None, 0
        return dict(zip(self.tags, losses.numpy().tolist(), strict=True))

    @cached_property
    def _update(self) -> Callable[..., Sequence[tf.Tensor]]:
        """`_minibatches`, traced; as a concrete function it looks for no fitting trace in every call, which saves 0.2 ms, and
        `direct` saves another 0.1."""
        N, T, parts = self.config.envs, self.config.n_steps, self.config.minibatches
        M = (N // parts, T) if self.network.rnn else (N * T // parts,)  # below, M T stands for M with a memory
        x, a = (tf.TensorSpec((None, *M, *o.shape[2:]), o.dtype) for o in (self.rollout["x"], self.rollout["a"]))
        columns = 3 if self.env.mask is None else 3 + self.policy.num_actions
        rest, clock = tf.TensorSpec((None, *M, columns), tf.float32), tf.TensorSpec((), tf.int64)
        memory = [tf.TensorSpec((None, M[0], self.config.memory_size), tf.float32) for _ in self.h]
        memory = [tf.TensorSpec((None, *M), tf.bool), *memory] if memory else []
        return direct(
            tf.function(  # XLA: less than half the time on vectors
                self._minibatches, input_signature=[x, a, rest, clock, *memory], jit_compile=self.network.small
            ).get_concrete_function()
        )

    def _minibatches(
        self, x: tf.Tensor, a: tf.Tensor, rest: tf.Tensor, clock: tf.Tensor, *memory: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One optimiser step for each of K minibatches: x [K, M, ...], a [K, M, ...], rest (log pi, A, R) [K, M, 3] and behind
        them the mask, where there is one; with a memory M stands for M, T, and beside them are start [K, M, T] and the state
        [K, M, H].

        Return the means of `tags` [L] and, as one vector, the new weights for the mirror.
        """
        K, total = tf.shape(x)[0], tf.zeros(len(self.tags))
        for k in tf.range(K):
            log_pi, A, R, *mask = tf.unstack(rest[k], axis=-1)
            losses = self._minibatch(x[k], a[k], log_pi, A, R, clock, *[m[k] for m in memory], mask=mask)
            total += tf.stack([losses[tag] for tag in self.tags])
        return total / tf.cast(K, tf.float32), self.mirror.theta()

    @tf.autograph.experimental.do_not_convert  # its branches are Python's: converting them is most of the time of tracing
    def _minibatch(
        self,
        s: tf.Tensor,
        a: tf.Tensor,
        log_pi_old: tf.Tensor,
        A: tf.Tensor,
        R: tf.Tensor,
        clock: tf.Tensor,
        *memory: tf.Tensor,
        mask: Sequence[tf.Tensor] = (),
    ) -> dict[str, tf.Tensor]:
        config = self.config
        if memory:
            a, log_pi_old, A, R = (tf.reshape(o, [-1, *o.shape[2:]]) for o in (a, log_pi_old, A, R))  # [M T, ...]
        if config.normalize_advantages:
            A = (A - tf.reduce_mean(A)) / (tf.math.reduce_std(A) + 1e-8)
        with tf.GradientTape() as tape:
            parameters, V = self.network(s, *memory)
            if mask:  # a column for each action
                parameters = allowed(parameters, tf.reshape(tf.stack(mask, axis=-1) > 0, tf.shape(parameters)))
            log_pi, H = self.policy.log_prob(parameters, a), tf.reduce_mean(self.policy.entropy(parameters))  # [M], []
            surrogate = (
                clipped_surrogate(log_pi, log_pi_old, A, config.clip) if config.clip else policy_gradient(log_pi, A)
            )
            L_policy, L_value = tf.reduce_mean(surrogate), tf.reduce_mean(squared_error(V, R))
            L = L_policy + config.value_weight * L_value - config.entropy * H
        gradient = tape.gradient(L, self.network.weights)
        norm = tf.linalg.global_norm(gradient)
        self.optimizer.apply(gradient, self.network.weights, clock)
        losses = {"loss/policy": L_policy, "loss/value": L_value, "policy/entropy": H, "optim/gradient_norm": norm}
        if config.clip:
            ratio = tf.exp(log_pi - log_pi_old)
            losses["policy/kl"] = tf.reduce_mean(ratio - 1 - (log_pi - log_pi_old))  # Schulman (2020), k3
            losses["policy/clipped"] = tf.reduce_mean(tf.cast(tf.abs(ratio - 1) > config.clip, tf.float32))
        return losses

    # --- running statistics ---------------------------------------------------------------------------------------------

    def _observe(self, x: np.ndarray) -> None:
        """Count the rollout's observations into the statistics that standardise the next ones."""
        merge_moments(self.moments["obs"], x)
        _, mean, variance = self.moments["obs"]
        self.network.standardize.mean.assign(mean)
        self.network.standardize.std.assign(np.sqrt(variance + 1e-8))

    def _normalized(self, r: np.ndarray, done: np.ndarray) -> np.ndarray:
        """Return rewards [T, N] over the standard deviation of the discounted return so far, within +-10."""
        G = self.moments["running_return"]
        seen = np.empty(r.shape)
        for t in range(len(r)):
            G = seen[t] = self.config.gamma * G + r[t]
            G = np.where(done[t], 0.0, G)
        self.moments["running_return"] = G
        merge_moments(self.moments["return"], seen.ravel())
        return np.clip(r / np.sqrt(self.moments["return"][2] + 1e-8), -REWARD_LIMIT, REWARD_LIMIT)

    def _empty_rollout(self) -> dict[str, np.ndarray]:
        T, N, mask = self.config.n_steps, self.config.envs, self.env.mask
        return {
            "x": np.zeros((T, N, *self.observations.shape), self.observations.dtype),
            "a": np.zeros((T, N, *self.policy.shape), self.policy.dtype),
            "terminated": np.zeros((T, N), bool),
            "done": np.zeros((T, N), bool),
            **({} if mask is None else {"mask": np.zeros((T, *mask.shape), bool)}),
            **{name: np.zeros((T, N), np.float32) for name in ("log_pi", "v", "r", "v_final")},
        }

    # --- the contract ---------------------------------------------------------------------------------------------------

    def memory(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the state of n fresh episodes: h and c [n, H] of an LSTM, h of a GRU, () without a memory."""
        return self.network.fresh(n)

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool, mask: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] or [N, A] for observations [N, ...], drawn from the policy or its likeliest; of those that `mask`
        [N, M] allows."""
        parameters, _, memory = self.network.forward(self.observations.encode(observations), memory)
        parameters = allowed(parameters, mask)
        a = self.policy.greedy(parameters) if greedy else self.policy.sample(parameters, rng)
        return self.policy.to_env(a), memory

    def exportable(self) -> Mapping[str, Any]:
        return {"act": self.policy.export(self.env, self.network.exported, self.network.state_specs)}

    def state(self) -> dict[str, Any]:
        extra: dict[str, Any] = {} if self.log_std is None else {"log_std": self.log_std}
        if self.network.rnn:
            extra |= {"h": self.h, "h_0": self.h_0}
        return {
            "model": self.model,
            **extra,
            "optimizer": self.optimizer,
            "rng": self.rng,
            "env": self.env,
            "episodes": self.episodes,
            **{name: getattr(self, name) for name in PLAIN},
        }

    def restored(self) -> None:
        self.mirror.copy()

    def close(self) -> None:
        self.env.close()


def merge_moments(moments: list[Any], x: np.ndarray) -> None:
    """Count rows x [B, ...] into [count, mean, variance] (Chan et al., 1979)."""
    count, mean, variance = moments
    total = count + len(x)
    delta = x.mean(axis=0) - mean
    spread = count * variance + len(x) * x.var(axis=0) + delta**2 * count * len(x) / total
    moments[:] = [total, mean + delta * len(x) / total, spread / total]
