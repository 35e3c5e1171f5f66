"""Parallelised Q-network as in "Simplifying Deep Temporal Difference Learning" (Gallici et al., 2024), Algorithm 1.

One round, in the notation of the paper; phi is the one set of weights that there is:

    play T steps in I environments, epsilon-greedily on Q_phi      s_t, a_t, r_t
    R_t = r_t + gamma [lambda R_{t+1} + (1 - lambda) max_a Q_phi(s_{t+1}, a)]      from the last step backwards; r_t alone where
                                                                   the episode terminated, max Q alone in the bracket at the last
    for each epoch, each minibatch B of the T x I steps:           step and where it was truncated
        phi <- RAdam(phi, clip(grad mean_B (R_t - Q_phi(s_t, a_t))^2 / 2))
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf
from gymnasium.spaces import Discrete

from agents.pqn.config import PQNConfig
from agents.rl.episodes import Episodes
from agents.rl.networks import input_of, torso
from agents.rl.observations import Observations
from agents.rl.policies import allowed, drawn_uniformly, named, refused, takes_observations
from core.layers.torsos import dense
from core.losses.reinforcement import squared_error
from core.mirror import Mirror
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.returns import lambda_returns
from core.schedules import linear
from core.seeds import child
from core.traced import direct
from envs import make

__all__ = ["PQN"]

PLAIN = ("clock", "updates", "t", "row", "rollout", "batch")
CHUNK = 64  # minibatches of vectors in one call
STATS = ("loss/td", "value/td_error", "value/q_mean", "optim/gradient_norm")


@final
class PQN(Agent, Exports):
    """The agent. Observations are pictures [C, H, W] bytes, or D numbers (a state's number one-hot)."""

    masks = True

    def __init__(self, config: PQNConfig, context: Context):
        self.config, self.environment = config, config.env
        self.acting = f"epsilon-greedy ({config.epsilon_end:g})"
        self.env = make(config.env, config.envs, child(context.seed, "games"), may_idle=False)
        space, actions = self.env.observation_space, self.env.action_space
        if not isinstance(actions, Discrete):
            raise refused("pqn", "discrete actions", config.env.id, actions)
        self.num_actions = int(actions.n)
        self.observations = Observations.of(space, "pqn", config.network)
        pixels = self.observations.kind == "pixels"
        self.clips = config.clip_rewards == "yes" or (config.clip_rewards == "auto" and pixels and self.env.is_atari)

        seed = child(context.seed, "network")
        below = torso(self.observations, config.hidden, "relu", seed, network=config.network, norm=True)
        head, s = dense(self.num_actions, "q", seed), input_of(self.observations)
        self.model = keras.Model(s, head(below(s)), name="q")  # s [B, ...] -> Q [B, A]
        self.mirror = Mirror([below, head])
        self.small = bool(self.mirror.chains)  # it acts in numpy and learns under XLA
        self.optimizer = make_optimizer(config.optimizer, self.model.trainable_variables)
        self._update, self._q = self._traced()

        self.rng = np.random.default_rng(child(context.seed, "actions"))
        self.env.reset()
        self.clock = 0
        self.updates = 0
        self.episodes = Episodes(config.envs)
        self.t = 0  # steps of the rollout that have been played
        self.row = 0  # minibatches of the rollout that have been learned from
        self.rollout = self._empty_rollout()  # arrays [T, I, ...], written anew step by step
        self.batch: dict[str, Any] | None = None  # s, a, R [B, ...] and order [E * M, B / M] while learning

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Play up to `turn` steps in each environment; with a full rollout, learn from it."""
        scalars: dict[str, Any] = {}
        if self.batch is None:
            scalars = self._play(min(self.config.turn, self.config.n_steps - self.t))
            if self.t < self.config.n_steps:
                return scalars
            self._compute_targets()
        return scalars | self._learn()

    def _play(self, steps: int) -> dict[str, Any]:
        """Take `steps` steps in each environment and write them into the rollout."""
        o, config = self.rollout, self.config
        for t in range(self.t, self.t + steps):
            s = self.observations.encode(self.env.obs)
            q, mask = self._values(s), self.env.mask  # [I, A]
            a = self._epsilon_greedy(q, self.epsilon, self.rng, mask)
            o["s"][t], o["a"][t], o["v"][t] = s, a, highest(q, mask)
            step = self.env.step(a)
            o["r"][t] = np.sign(step.reward) if self.clips else config.reward_scale * step.reward
            o["terminated"][t], o["done"][t] = step.terminated, step.done
            if step.truncated.any():  # a time limit is no end: the value of the last observation goes on
                o["v_final"][t] = highest(self._values(self.observations.encode(step.final_obs)), step.final_mask)
            self.episodes.add(step.reward, step.done)
            self.clock += config.envs
        self.t += steps
        return {"policy/epsilon": self.epsilon} | self.episodes.scalars()

    def _compute_targets(self) -> None:
        """Turn the rollout into a batch: Q(lambda) returns, and the order in which minibatches take its rows."""
        config, o = self.config, self.rollout
        last = highest(self._values(self.observations.encode(self.env.obs)), self.env.mask)  # [I]
        following = np.concatenate([o["v"][1:], last[None]])  # [T, I] max_a Q(s_{t+1}, a)
        following = np.where(o["done"], o["v_final"], following)
        R = lambda_returns(o["r"], following, o["terminated"], o["done"], config.gamma, config.q_lambda)
        B = R.size
        orders = [self.rng.permutation(B) for _ in range(config.epochs)]
        flat = {name: o[name].reshape(B, *o[name].shape[2:]) for name in ("s", "a")}
        self.batch = {**flat, "R": R.ravel(), "order": np.reshape(orders, (-1, B // config.minibatches))}
        self.row = 0

    def _learn(self) -> dict[str, Any]:
        """Learn from the next minibatches of the batch, a few in one call of the update."""
        batch = self.batch
        assert batch is not None
        order = batch["order"][self.row : self.row + (CHUNK if self.small else 1)]  # [K, M]
        figures, theta = self._update(
            *map(tf.constant, (batch["s"][order], batch["a"][order], batch["R"][order], np.int64(self.clock)))
        )
        self.row += len(order)
        self.updates += len(order)
        self.mirror.take(theta.numpy())
        if self.row == len(batch["order"]):
            self.batch, self.t = None, 0
        return dict(zip(STATS, figures.numpy().T, strict=True))

    def _minibatch(self, s: tf.Tensor, a: tf.Tensor, R: tf.Tensor, clock: tf.Tensor) -> tf.Tensor:
        """Make one update from s [B, ...], a [B] and R [B]; return the figures named in STATS."""
        phi = self.model.trainable_variables
        with tf.GradientTape() as tape:
            q = self.model(s, training=True)  # [B, A]
            q_a = tf.gather(q, a, batch_dims=1)  # [B]
            loss = tf.reduce_mean(squared_error(q_a, R))
        gradient = tape.gradient(loss, phi)
        self.optimizer.apply(gradient, phi, clock)
        error = tf.reduce_mean(tf.abs(R - q_a))
        return tf.stack([loss, error, tf.reduce_mean(q), tf.linalg.global_norm(gradient)])

    def _traced(self) -> tuple[Any, Any]:
        """Return two traced functions: K updates one after the other in one call, and the values of observations."""
        config, shape, kind = self.config, self.observations.shape, self.observations.dtype
        M = config.n_steps * config.envs // config.minibatches
        s_of, a_of, R_of = ((None, M, *shape), kind), ((None, M), tf.int32), ((None, M), tf.float32)
        signature = [tf.TensorSpec(*of) for of in (s_of, a_of, R_of, ((), tf.int64))]

        @tf.function(input_signature=signature, jit_compile=self.small)
        def update(s: Any, a: Any, R: Any, clock: Any) -> Any:
            K = tf.shape(s)[0]
            figures = tf.TensorArray(tf.float32, K, element_shape=(len(STATS),))
            for k in tf.range(K):  # each on the weights that the one before left
                tf.autograph.experimental.set_loop_options(parallel_iterations=1)
                figures = figures.write(k, self._minibatch(s[k], a[k], R[k], clock))
            return figures.stack(), self.mirror.theta()

        @tf.function(input_signature=[tf.TensorSpec((None, *shape), kind)])
        def q(s: Any) -> Any:
            return self.model(s, training=False)

        return direct(update.get_concrete_function()), direct(q.get_concrete_function())

    @property
    def epsilon(self) -> float:
        """Probability of a random action at this clock."""
        config = self.config
        return linear(self.clock, config.epsilon_steps, config.epsilon_start, config.epsilon_end)

    def _epsilon_greedy(
        self, q: np.ndarray, epsilon: float, rng: np.random.Generator, mask: np.ndarray | None = None
    ) -> np.ndarray:
        """Return actions [N]: at random with probability epsilon, else of the highest value in q [N, A]; of those that `mask`
        [N, A] allows."""
        explores = rng.random(len(q)) < epsilon
        actions = drawn_uniformly(rng, len(q), self.num_actions, mask)
        return np.where(explores, actions, allowed(q, mask).argmax(axis=1))

    def _values(self, s: np.ndarray) -> np.ndarray:
        """Return Q [N, A] for inputs [N, ...], of small networks by their mirror."""
        return self.mirror.chains[0](s) if self.small else self._q(tf.constant(s))[0].numpy()

    def _empty_rollout(self) -> dict[str, np.ndarray]:
        T, N = self.config.n_steps, self.config.envs
        return {
            "s": np.zeros((T, N, *self.observations.shape), self.observations.dtype),
            "a": np.zeros((T, N), np.int32),
            "terminated": np.zeros((T, N), bool),
            "done": np.zeros((T, N), bool),
            **{name: np.zeros((T, N), np.float32) for name in ("r", "v", "v_final")},
        }

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool, mask: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] of the highest value for observations [N, ...], at random with probability `epsilon_end`; of those
        that `mask` [N, A] allows."""
        q = self._values(self.observations.encode(observations))
        return self._epsilon_greedy(q, 0.0 if greedy else self.config.epsilon_end, rng, mask), memory

    def exportable(self) -> Mapping[str, Any]:
        @takes_observations(self.env)
        def act(observation: tf.Tensor, mask: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            """The action [N] of the highest value, by the environment's number, and the values [N, A] of all in turn."""
            q = self.model(self.observations.traced(observation), training=False)
            return {"action": named(self.env, tf.argmax(allowed(q, mask), axis=-1)), "value": q}

        return {"act": act}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model,
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


def highest(q: np.ndarray, mask: np.ndarray | None) -> np.ndarray:
    """Return the highest value [N] in q [N, A] of those that `mask` [N, A] allows; of the first action where it allows none."""
    return q[np.arange(len(q)), allowed(q, mask).argmax(axis=1)]
