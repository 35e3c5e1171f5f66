"""One actor-learner of A3C: Mnih et al. (2016), Algorithm S3. Runs unchanged in a thread, a process or a Ray actor.

One update, in the notation of the paper:

    theta' <- theta                                        a copy of the shared weights
    play t_max steps with pi_theta'                        s_t, a_t, r_t
    R_t = r_t + gamma R_{t+1}                              from V_theta' of the last state; through truncation, not termination
    d theta = grad mean_t [ -(R_t - V_t) log pi(a_t|s_t) + c_v (R_t - V_t)^2 / 2 - c_e H(pi) ]
    g <- alpha g + (1 - alpha) d theta^2                   shared by all workers, without a lock
    theta <- theta - eta d theta / sqrt(g + epsilon)

With a memory (A3C-LSTM), pi and V are functions of s_t and of the state h_{t-1} that the steps before have left; the gradient
goes back through the t_max steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from gymnasium.spaces import Space

from agents.a3c.config import A3CConfig
from agents.rl.memory import Memory, forget, starts
from agents.rl.networks import input_of, torso
from agents.rl.observations import Observations
from agents.rl.policies import Gaussian, allowed, policy_for
from core.errors import UsageError
from core.layers.torsos import a3c_cnn, dense
from core.losses.reinforcement import policy_gradient, squared_error
from core.mirror import Mirror
from core.returns import generalized_advantage
from core.seeds import child
from envs import make

__all__ = ["Network", "Report", "Worker", "rmsprop"]

LOSSES = ("loss/policy", "loss/value", "policy/entropy", "optim/gradient_norm")


@dataclass
class Report:
    """What a worker has done since the last one."""

    updates: int = 0
    returns: list[float] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    losses: list[np.ndarray] = field(default_factory=list)  # LOSSES of each update
    staleness: list[int] = field(
        default_factory=list
    )  # updates by others between copying theta and applying the gradient


def rmsprop(theta: np.ndarray, g: np.ndarray, gradient: np.ndarray, lr: float, decay: float, epsilon: float) -> None:
    """Apply a gradient [P] to shared weights theta [P] and shared statistics g [P] in place (Mnih et al., 2016, eq. S2, S3).

    Other workers may do the same at this moment; an element may then lose one of two updates, as in Hogwild (Recht et al., 2011).
    """
    # a copy of g, since the root must hold this gradient even if another worker overwrites the shared one meanwhile
    mean_square = decay * g + (1 - decay) * np.square(gradient)  # [P]
    g[:] = mean_square
    theta -= lr * gradient / np.sqrt(mean_square + epsilon)


class Network:
    """Policy and value as functions of one flat vector theta [P] of weights: small to send, and one array to update.

    Vectors have a network for the policy and another for the value; pixels, and all with a memory, have one torso with two heads.
    """

    def __init__(self, config: A3CConfig, space: Space, actions: Space, seed: int):
        self.config, self.space = config, space
        small = config.env.observation == "frames42"
        self.observations = Observations.of(space, "a3c", config.network, in_blocks=not small or bool(config.network))
        self.pixels = self.observations.pictured
        self.policy = policy_for(actions, "a3c", config.env.id)
        self.gaussian = isinstance(self.policy, Gaussian)
        policy, value = dense(self.policy.num_actions, "policy", seed, gain=0.01), dense(1, "value", seed, gain=1.0)
        shared = self.pixels or config.memory != "none"
        name = "torso" if shared else "actor"
        if self.pixels and small and not config.network:
            actor: keras.Model = a3c_cnn(self.observations.seen, seed)
        else:
            actor = torso(self.observations, config.hidden, config.activation, seed, name, config.network)
        critic = actor
        if not shared:
            critic = torso(self.observations, config.hidden, config.activation, seed, "critic", config.network)
        x = input_of(self.observations)
        chains: Sequence[Any] = ([actor, policy], [critic, value])
        self.rnn: Memory | None = None
        if config.memory == "none":
            below = [actor(x)] * 2 if shared else [actor(x), critic(x)]
            self.model = keras.Model(x, {"policy": policy(below[0]), "value": value(below[1])}, name="a3c")
        else:
            self.rnn = Memory(config.memory, config.memory_size, x, [actor], policy, value, seed, "a3c")
            self.model, chains = self.rnn.model, self.rnn.chains
        if self.model.non_trainable_variables:
            raise UsageError(
                f"network {config.network!r} has weights that no gradient changes, for instance statistics or a dropout's "
                "generator; a3c's workers share trainable weights alone"
            )
        variables = list(self.model.trainable_variables)
        self._mirror = Mirror(*chains, cells=[self.rnn.cell] if self.rnn else [], order=variables)
        self.small = bool(self._mirror.chains)  # dense layers alone: they act in numpy and learn under XLA
        self._variables = variables
        self._shapes = [tuple(v.shape) for v in variables]
        self.initial = np.concatenate([v.numpy().ravel() for v in variables])
        if self.gaussian:  # log std [A], the last weights of theta
            log_std = np.full(self.policy.num_actions, config.log_std, np.float32)
            self._shapes.append(log_std.shape)
            self.initial = np.concatenate([self.initial, log_std])
        self._sizes = [int(np.prod(shape)) for shape in self._shapes]
        self._gradient = tf.function(self._loss_gradient, jit_compile=self.small)
        self.use(self.initial)

    def use(self, theta: np.ndarray) -> None:
        """Act with the weights theta [P] from now on."""
        self.theta = tf.constant(theta)
        self._mirror.take(theta)
        if self.gaussian:
            self.log_std = theta[-self.policy.num_actions :]  # [A]

    def memory(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the state of n fresh episodes: h and c [n, H] of an LSTM, h of a GRU, () without a memory."""
        return self.rnn.fresh(n) if self.rnn else ()

    def forward(self, x: np.ndarray, h: Sequence[np.ndarray] = ()) -> tuple[Any, np.ndarray, Sequence[np.ndarray]]:
        """Return the policy's parameters, the values [N] and the next state of the memory for network inputs x [N, ...]."""
        if self.small and self.rnn:
            policy, v, h = self.rnn.mirrored(self._mirror, x, h)
        elif self.small:
            actor, critic = self._mirror.chains
            policy, v = actor(x), critic(x)[:, 0]
        else:
            policy, v, *h = (out.numpy() for out in self._networks_to_act(self.theta, *map(tf.constant, (x, *h))))
        return (policy, self.log_std) if self.gaussian else policy, v, h

    def gradient(
        self,
        x: np.ndarray,
        a: np.ndarray,
        A: np.ndarray,
        R: np.ndarray,
        *memory: np.ndarray,
        mask: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return d theta [P] and LOSSES for a rollout x [T, ...], a, A, R [T] under the weights in use; with a memory, for which
        steps begin an episode, start [T] bool, and the state [1, H] before the first."""
        masks = {} if mask is None else {"mask": tf.constant(mask)}  # [T, M]
        gradient, losses = self._gradient(self.theta, *(tf.constant(array) for array in (x, a, A, R, *memory)), **masks)
        return gradient.numpy(), losses.numpy()

    def _loss_gradient(
        self,
        theta: tf.Tensor,
        s: tf.Tensor,
        a: tf.Tensor,
        A: tf.Tensor,
        R: tf.Tensor,
        *memory: tf.Tensor,
        mask: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        config = self.config
        with tf.GradientTape() as tape:
            tape.watch(theta)
            parameters, V = self._over_time(theta, s, *memory) if memory else self.networks(theta, s)[:2]
            parameters = allowed(parameters, mask)
            log_pi, H = self.policy.log_prob(parameters, a), tf.reduce_mean(self.policy.entropy(parameters))  # [T], []
            L_policy = tf.reduce_mean(policy_gradient(log_pi, A))
            L_value = tf.reduce_mean(squared_error(V, R))
            L = L_policy + config.value_weight * L_value - config.entropy * H
        gradient = tape.gradient(L, theta)  # [P]
        norm = tf.norm(gradient)
        if config.max_gradient_norm:
            gradient *= tf.minimum(1.0, config.max_gradient_norm / (norm + 1e-12))
        return gradient, tf.stack([L_policy, L_value, H, norm])

    def networks(self, theta: tf.Tensor, x: tf.Tensor, *h: tf.Tensor) -> tuple[Any, tf.Tensor, dict[str, tf.Tensor]]:
        """Return the policy's parameters, the values [N] and the next state of the memory by name; differentiable in theta."""
        weights, log_std = self._weights(theta)
        outputs, _ = self.model.stateless_call(weights, [], [x, *h] if h else x, training=True)
        policy = outputs["policy"]
        following = self.rnn.following(outputs) if self.rnn else {}
        return (policy, log_std) if self.gaussian else policy, outputs["value"][:, 0], following

    def _over_time(self, theta: tf.Tensor, x: tf.Tensor, start: tf.Tensor, *h: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Return the policy's parameters and the values [T] for one sequence x [T, ...]; differentiable in theta."""
        assert self.rnn is not None
        weights, log_std = self._weights(theta)
        with keras.StatelessScope(state_mapping=list(zip(self._variables, weights, strict=True))):
            policy, value = self.rnn.over_time(x[None], start[None], *h)
        return (policy, log_std) if self.gaussian else policy, value

    def _weights(self, theta: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor | None]:
        """Return the weights of the model and the log std, cut out of theta [P]."""
        weights = [tf.reshape(w, s) for w, s in zip(tf.split(theta, self._sizes), self._shapes, strict=True)]
        log_std = weights.pop() if self.gaussian else None
        return weights, log_std

    @tf.function(reduce_retracing=True)
    def _networks_to_act(self, theta: tf.Tensor, x: tf.Tensor, *h: tf.Tensor) -> tuple[tf.Tensor, ...]:
        parameters, value, following = self.networks(theta, x, *h)
        return parameters[0] if self.gaussian else parameters, value, *following.values()


class Worker:
    """Plays in an environment of its own and turns what it saw into gradients."""

    def __init__(self, config: A3CConfig, seed: int, number: int):
        self.config = config
        self.env = make(config.env, 1, child(seed, "worker", number, "game"))
        self.env.reset()
        self.network = Network(config, self.env.observation_space, self.env.action_space, seed)
        self.rng = np.random.default_rng(child(seed, "worker", number, "actions"))
        self.h = self.network.memory(1)  # state of the memory before the next step, arrays [1, H]; () without one
        self.score, self.length = 0.0, 0
        clip = config.clip_rewards
        self.clip_rewards = self.env.is_atari and self.network.pixels if clip == "auto" else clip == "yes"

    def learn(self, theta: np.ndarray, report: Report) -> np.ndarray:
        """Play t_max steps with the weights theta [P] and return the gradient [P]; add to the report."""
        config, network, policy, T = self.config, self.network, self.network.policy, self.config.n_steps
        network.use(theta)
        rollout: dict[str, list[Any]] = {key: [] for key in ("x", "a", "r", "v", "v_final", "terminated", "done")}
        x, h_0 = network.observations.encode(self.env.obs), self.h  # [1, ...]
        masks = []  # [1, M] of each step, where the environment tells what is allowed
        for _ in range(T):
            parameters, v, h = network.forward(x, self.h)
            if self.env.mask is not None:
                masks.append(self.env.mask)
                parameters = allowed(parameters, self.env.mask)
            a = policy.sample(parameters, self.rng)
            step = self.env.step(policy.to_env(a))
            self.score += float(step.reward[0])
            self.length += 1
            r = np.sign(step.reward) if self.clip_rewards else np.maximum(step.reward, config.reward_floor)
            v_final = np.zeros(1, np.float32)
            if step.truncated[0]:  # a time limit is no end: the value of the last observation goes on
                v_final = network.forward(network.observations.encode(step.final_obs), h)[1]
            self.h = forget(h, step.done)
            for key, value in zip(rollout, (x, a, r, v, v_final, step.terminated, step.done), strict=True):
                rollout[key].append(value)
            if step.done[0]:
                report.returns.append(self.score)
                report.lengths.append(self.length)
                self.score, self.length = 0.0, 0
            x = network.observations.encode(step.obs)
        o = {key: np.stack(values) for key, values in rollout.items()}  # [T, 1, ...]
        following = np.concatenate([o["v"][1:], network.forward(x, self.h)[1][None]])
        following = np.where(o["done"], o["v_final"], following)
        A = generalized_advantage(
            o["r"], o["v"], following, o["terminated"], o["done"], config.gamma, config.gae_lambda
        )
        a = o["a"][:, 0].astype(policy.dtype)
        memory = (starts(o["done"])[:, 0], *h_0) if network.rnn else ()
        mask = np.concatenate(masks) if masks else None
        gradient, losses = network.gradient(o["x"][:, 0], a, A[:, 0], (A + o["v"])[:, 0], *memory, mask=mask)
        report.losses.append(losses)
        report.updates += 1
        return gradient

    def state(self) -> dict[str, Any]:
        """Return plain values and arrays: a worker may live in another process, where nothing can be restored in place."""
        env = self.env.state()
        rngs = [rng.bit_generator.state for rng in env.pop("rngs")]
        return {
            "env": env,
            "env_rngs": rngs,
            "rng": self.rng.bit_generator.state,
            "score": self.score,
            "length": self.length,
            **({"h": self.h} if self.h else {}),
        }

    def load_state(self, tree: dict[str, Any]) -> None:
        for rng, state in zip(self.env.state()["rngs"], tree["env_rngs"], strict=True):
            rng.bit_generator.state = state
        self.rng.bit_generator.state = tree["rng"]
        self.env.load_state(tree["env"])
        self.score, self.length, self.h = tree["score"], tree["length"], tree.get("h", ())

    def close(self) -> None:
        self.env.close()
