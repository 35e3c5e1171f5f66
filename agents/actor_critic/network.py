"""The networks of `actor-critic`: policy and value, to act (small ones in numpy), to learn and to export."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from agents.actor_critic.config import ActorCriticConfig
from agents.rl.memory import Memory
from agents.rl.networks import input_of, torso
from agents.rl.observations import Observations
from agents.rl.policies import Gaussian, Policy
from core.layers.torsos import Standardize, dense
from core.mirror import Mirror
from core.seeds import child
from core.traced import direct

__all__ = ["Network"]


class Network:
    """Inputs [N, ...] to the policy's parameters and values [N].

    Pictures, and all with a memory: one torso, two heads. Vectors: a network for the policy and another for the value. `seed` is
    the run's.
    """

    def __init__(self, config: ActorCriticConfig, observations: Observations, policy: Policy, seed: int):
        self.observations, seed = observations, child(seed, "network")
        heads = dense(policy.num_actions, "policy", seed, gain=0.01), dense(1, "value", seed, gain=1.0)
        self.standardize = Standardize(name="standardize")
        """What observations of vectors go through first, where the configuration says so."""
        front = [self.standardize] if config.normalize_observations else []

        def network(name: str) -> keras.Model:
            return torso(observations, config.hidden, config.activation, seed, name, config.network)

        shared = observations.pictured or config.memory != "none"
        actor = network("torso" if shared else "actor")
        critic = actor if shared else network("critic")
        x = h = input_of(observations)
        chains: Sequence[list[Any]] = ([*front, actor, heads[0]], [*front, critic, heads[1]])
        self.rnn: Memory | None = None
        if config.memory == "none":
            for layer in front:
                h = layer(h)
            below = [actor(h)] * 2 if shared else [actor(h), critic(h)]
            self.model = keras.Model(
                x, {"policy": heads[0](below[0]), "value": heads[1](below[1])}, name="actor_critic"
            )
        else:
            self.rnn = Memory(config.memory, config.memory_size, x, [*front, actor], *heads, seed, "actor_critic")
            self.model, chains = self.rnn.model, self.rnn.chains
        self.weights = list(self.model.trainable_variables)
        """All that is learned."""
        self.log_std: keras.Variable | None = None
        """[A], of a Gaussian policy; one for all states."""
        if isinstance(policy, Gaussian):
            self.log_std = keras.Variable(np.full(policy.num_actions, config.log_std, np.float32), name="log_std")
            self.weights.append(self.log_std)
        others = [] if self.log_std is None else [self.log_std]
        self.mirror = Mirror(*chains, cells=[self.rnn.cell] if self.rnn else [], others=others)
        self.small = bool(self.mirror.chains)
        """Dense layers alone: they act in numpy and learn under XLA."""

    @property
    def state_specs(self) -> tuple[tf.TensorSpec, ...]:
        """Of the memory's state; () without one."""
        return self.rnn.specs if self.rnn else ()

    def fresh(self, n: int) -> tuple[np.ndarray, ...]:
        """Return the state of n fresh episodes: h and c [n, H] of an LSTM, h of a GRU, () without a memory."""
        return self.rnn.fresh(n) if self.rnn else ()

    def __call__(self, x: tf.Tensor, *memory: tf.Tensor) -> tuple[Any, tf.Tensor]:
        """Return the policy's parameters and the values [B] for inputs [B, ...]; with a memory [M T] for sequences [M, T, ...],
        of which start [M, T] and the state [M, H] tell."""
        if self.rnn:
            policy, V = self.rnn.over_time(x, *memory)
            return self._parameters(policy), V
        outputs = self.model(x, training=True)
        return self._parameters(outputs["policy"]), outputs["value"][:, 0]

    def forward(self, x: np.ndarray, h: Sequence[np.ndarray] = ()) -> tuple[Any, np.ndarray, Sequence[np.ndarray]]:
        """Return the policy's parameters, the values [N] and the next state of the memory as numpy arrays, small networks by
        their mirror."""
        if self.small and self.rnn:
            policy, v, h = self.rnn.mirrored(self.mirror, x, h)
        elif self.small:
            actor, critic = self.mirror.chains
            policy, v = actor(x), critic(x)[:, 0]
        else:
            policy, v, *h = (output.numpy() for output in self._to_act(*map(tf.constant, (x, *h))))
        return policy if self.log_std is None else (policy, self.mirror.others[0]), v, h

    def exported(self, observation: tf.Tensor, *h: tf.Tensor) -> Any:
        """Return the policy's parameters for observations [N, ...]; with a memory, and the next state by name."""
        x = self.observations.traced(observation)
        outputs = self.model([x, *h] if h else x, training=False)
        policy = self._parameters(outputs["policy"])
        return (policy, self._following(outputs)) if self.rnn else policy

    def _parameters(self, policy: tf.Tensor) -> Any:
        """Return the policy's parameters, given what the network says of it."""
        return policy if self.log_std is None else (policy, tf.convert_to_tensor(self.log_std))

    def _following(self, outputs: Mapping[str, Any]) -> dict[str, Any]:
        return self.rnn.following(outputs) if self.rnn else {}

    @cached_property
    def _to_act(self) -> Callable[..., Sequence[tf.Tensor]]:
        """What the network says of the policy, the values [N] and the next state of the memory, for inputs [N, ...] and the state
        before; traced."""
        x = tf.TensorSpec((None, *self.observations.shape), self.observations.dtype)

        @tf.function(input_signature=[x, *self.state_specs])
        def networks(x: tf.Tensor, *h: tf.Tensor) -> tuple[tf.Tensor, ...]:
            outputs = self.model([x, *h] if h else x, training=False)
            return outputs["policy"], outputs["value"][:, 0], *self._following(outputs).values()

        return direct(networks.get_concrete_function())
