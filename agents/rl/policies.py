"""Policies: from what a network says of each action to actions, their probability, and the function to export.

A policy is a distribution of actions with parameters that a network gives for N observations: logits [N, A] of a `Categorical`,
logits [N, M] of a `MultiCategorical`,
(mean [N, A], log std [A] or [N, A]) of a `Gaussian` and of a `SquashedGaussian`, u [N, A] of a `Deterministic`. Actors draw in
numpy, where a small network has its mirror; what gradients go through is TensorFlow.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete, MultiDiscrete

from agents.rl import choices
from agents.rl.choices import IMPOSSIBLE
from core.errors import UsageError
from envs import VectorEnv

__all__ = [
    "Categorical",
    "Deterministic",
    "Gaussian",
    "MultiCategorical",
    "Policy",
    "SquashedGaussian",
    "allowed",
    "choices_for",
    "drawn_uniformly",
    "named",
    "policy_for",
    "refused",
    "takes_observations",
]


def allowed(logits: Any, mask: Any) -> Any:
    """Return logits [N, M], an array or a tensor, by which actions are impossible that `mask` [N, M] bool does not allow.

    Probabilities, their logarithms and entropies are then those of the allowed actions alone, and no gradient reaches the other
    logits (Huang and Ontanon, 2022, section 3). Without a mask the logits are as they were.
    """
    if mask is None:
        return logits
    if isinstance(logits, np.ndarray):
        return choices.allowed(logits, mask)
    return tf.where(mask, logits, tf.constant(IMPOSSIBLE, logits.dtype))


def drawn_uniformly(rng: np.random.Generator, n: int, num_actions: int, mask: np.ndarray | None) -> np.ndarray:
    """Draw actions [n], each of those that `mask` [n, A] allows as likely as the other; of all without one."""
    if mask is None:
        return rng.integers(num_actions, size=n)
    return np.where(mask, rng.random(mask.shape), -1.0).argmax(axis=1)


@dataclass(frozen=True)
class Categorical:
    """pi(a|s) = softmax(logits)[a] over actions 0 to A - 1; parameters are logits [N, A]."""

    num_actions: int
    """A, and how many numbers a network gives."""
    shape: ClassVar[tuple[int, ...]] = ()
    """Of one action."""
    dtype: ClassVar[type] = np.int32

    @classmethod
    def of(cls, actions: Any, who: str, env_id: str) -> Categorical:
        """Return the policy for an action space; UsageError (naming the agent `who`) when it is not discrete."""
        if not isinstance(actions, Discrete):
            raise refused(who, "discrete actions", env_id, actions)
        return cls(int(actions.n))

    # numpy

    def sample(self, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw actions [N]."""
        return choices.drawn(logits, rng)

    def sample_with_log_prob(self, logits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw actions [N] and return them with log pi(a) [N]."""
        p, ceiling = choices.cumulative(logits)
        a = choices.inverse(ceiling, rng)
        return a, np.log(p[np.arange(len(p)), a] / ceiling[:, -1])

    def greedy(self, logits: np.ndarray) -> np.ndarray:
        """Return the likeliest actions [N]."""
        return logits.argmax(axis=1)

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Return the actions as the environment takes them: as they are."""
        return action

    # TensorFlow

    def log_prob(self, logits: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Return log pi(a) [B] for logits [B, A] float32 and actions [B] int."""
        tf.debugging.assert_shapes([(logits, ("B", "A")), (action, ("B",))])
        return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=action, logits=logits)

    def entropy(self, logits: tf.Tensor) -> tf.Tensor:
        """Return -sum_a pi(a) log pi(a) [B] in nats, for logits [B, A]."""
        tf.debugging.assert_shapes([(logits, ("B", "A"))])
        log_pi = tf.nn.log_softmax(logits)
        return -tf.reduce_sum(tf.exp(log_pi) * log_pi, axis=-1)

    def export(self, env: VectorEnv, parameters: Callable[..., Any], memory: Sequence[tf.TensorSpec] = ()) -> Any:
        """Return the function to export, for `parameters` from a batch of observations to logits [N, A].

        With `memory`, the specs of a state, `parameters(observation, *state)` returns the next state beside them, by name.
        """

        @takes_observations(env, memory)
        def act(observation: tf.Tensor, *state: tf.Tensor, mask: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            """The likeliest action [N], by the environment's number, and the probability [N, A] of each in turn to draw from."""
            logits, following = _asked(parameters, observation, state)
            probability = tf.nn.softmax(allowed(tf.cast(logits, tf.float32), mask))
            return {"action": named(env, tf.argmax(probability, axis=-1)), "probability": probability} | following

        return act


@dataclass(frozen=True)
class MultiCategorical:
    """K independent choices: pi(a|s) = prod_k softmax(logits_k)[a_k], a_k from 0 to A_k - 1; parameters are logits [N, M], those
    of the first choice, then of the second and so on, M = sum_k A_k. A bit is a choice of two.

    Each choice is a row of its own for a `Categorical` over the largest A_k, in which what it lacks is impossible.
    """

    sizes: tuple[int, ...]
    """A_k [K]"""
    dtype: ClassVar[type] = np.int32

    @property
    def num_actions(self) -> int:
        """M, how many numbers a network gives."""
        return sum(self.sizes)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action: [K]."""
        return (len(self.sizes),)

    @functools.cached_property
    def _one(self) -> Categorical:
        return Categorical(max(self.sizes))

    @functools.cached_property
    def _places(self) -> np.ndarray:
        """Where each choice's logits lie [K, max A_k]; M, where nothing lies, for those that it lacks."""
        ends = np.cumsum(self.sizes)[:, None]
        places = ends - np.array(self.sizes)[:, None] + np.arange(max(self.sizes))
        return np.where(places < ends, places, self.num_actions)

    # numpy

    def sample(self, logits: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Draw actions [N, K]."""
        return self._one.sample(self._rows(logits), rng).reshape(len(logits), -1)

    def sample_with_log_prob(self, logits: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw actions [N, K] and return them with log pi(a) [N], the sum over the choices."""
        a, log_pi = self._one.sample_with_log_prob(self._rows(logits), rng)
        return a.reshape(len(logits), -1), log_pi.reshape(len(logits), -1).sum(axis=1)

    def greedy(self, logits: np.ndarray) -> np.ndarray:
        """Return the likeliest actions [N, K]."""
        return self._one.greedy(self._rows(logits)).reshape(len(logits), -1)

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Return the actions as the environment takes them: as they are."""
        return action

    def _rows(self, logits: np.ndarray) -> np.ndarray:
        """Return a row for every choice, [N K, max A_k]."""
        padded = np.pad(logits, [(0, 0), (0, 1)], constant_values=IMPOSSIBLE)
        return padded[:, self._places].reshape(-1, self._one.num_actions)

    # TensorFlow

    def log_prob(self, logits: tf.Tensor, action: tf.Tensor) -> tf.Tensor:
        """Return log pi(a) [B] = sum_k log pi_k(a_k), for logits [B, M] float32 and actions [B, K] int."""
        tf.debugging.assert_shapes([(logits, ("B", self.num_actions)), (action, ("B", len(self.sizes)))])
        log_pi = self._one.log_prob(self._traced_rows(logits), tf.reshape(action, [-1]))
        return tf.reduce_sum(tf.reshape(log_pi, [-1, len(self.sizes)]), axis=-1)

    def entropy(self, logits: tf.Tensor) -> tf.Tensor:
        """Return sum_k H(pi_k) [B] in nats, for logits [B, M]: that of independent choices."""
        return tf.reduce_sum(tf.reshape(self._one.entropy(self._traced_rows(logits)), [-1, len(self.sizes)]), axis=-1)

    def _traced_rows(self, logits: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(logits, [[0, 0], [0, 1]], constant_values=IMPOSSIBLE)
        return tf.reshape(tf.gather(padded, self._places, axis=1), [-1, self._one.num_actions])

    def export(self, env: VectorEnv, parameters: Callable[..., Any], memory: Sequence[tf.TensorSpec] = ()) -> Any:
        """Return the function to export, for `parameters` from a batch of observations to logits [N, M], and as `Categorical`."""

        @takes_observations(env, memory)
        def act(observation: tf.Tensor, *state: tf.Tensor, mask: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            """The likeliest choices [N, K], each counted from 0, and the probability [N, M] of each, first those of the first
            choice, then of the second and so on."""
            logits, following = _asked(parameters, observation, state)
            rows = tf.nn.softmax(self._traced_rows(allowed(tf.cast(logits, tf.float32), mask)))  # [N K, max A_k]
            action = tf.reshape(tf.argmax(rows, axis=-1), [-1, len(self.sizes)])
            there = np.flatnonzero(self._places.ravel() < self.num_actions)
            probability = tf.gather(tf.reshape(rows, [-1, self._places.size]), there, axis=1)
            return {"action": action, "probability": probability, **following}

        return act


@dataclass(frozen=True, eq=False)
class Gaussian:
    """Independent normals, cut off at the bounds on the way to the environment, of which the density knows nothing.

    Parameters are (mean [N, A], log std [A] or [N, A]).
    """

    low: np.ndarray
    """[A]"""
    high: np.ndarray
    """[A]"""
    dtype: ClassVar[type] = np.float32

    @property
    def num_actions(self) -> int:
        """A, the components of an action, and how many means a network gives."""
        return len(self.low)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action: [A]."""
        return self.low.shape

    # numpy

    def sample(self, parameters: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Draw actions [N, A]."""
        mean, log_std = parameters
        return mean + np.exp(log_std) * rng.standard_normal(mean.shape, np.float32)

    def sample_with_log_prob(
        self, parameters: tuple[np.ndarray, np.ndarray], rng: np.random.Generator
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw actions [N, A] and return them with their log density [N]."""
        mean, log_std = parameters
        z = rng.standard_normal(mean.shape, np.float32)
        log_pi = -(0.5 * z**2 + log_std + 0.5 * math.log(2 * math.pi)).sum(axis=1)
        return mean + np.exp(log_std) * z, log_pi

    def greedy(self, parameters: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return the likeliest actions, the means [N, A]."""
        return parameters[0]

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Return the actions [N, A] within the environment's bounds."""
        return np.clip(action, self.low, self.high)

    # TensorFlow

    def log_prob(self, parameters: tuple[tf.Tensor, tf.Tensor], action: tf.Tensor) -> tf.Tensor:
        """Return the log density [B] of actions [B, A]."""
        mean, log_std = parameters
        tf.debugging.assert_shapes([(mean, ("B", "A")), (log_std, (..., "A")), (action, ("B", "A"))])
        z = (action - mean) * tf.exp(-log_std)  # [B, A]
        return -tf.reduce_sum(0.5 * tf.square(z) + log_std + 0.5 * math.log(2 * math.pi), axis=-1)

    def entropy(self, parameters: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        """Return the entropy in nats: [] for log std [A], [B] for log std [B, A]."""
        _, log_std = parameters
        return tf.reduce_sum(log_std + 0.5 * math.log(2 * math.pi * math.e), axis=-1)

    def export(self, env: VectorEnv, parameters: Callable[..., Any], memory: Sequence[tf.TensorSpec] = ()) -> Any:
        """Return the function to export, for `parameters` from a batch of observations to (mean, log std).

        With `memory`, the specs of a state, `parameters(observation, *state)` returns the next state beside them, by name.
        """

        @takes_observations(env, memory)
        def act(observation: tf.Tensor, *state: tf.Tensor) -> dict[str, tf.Tensor]:
            """The likeliest action [N, A] within its bounds; mean [N, A] and std [N, A] of the policy it is the middle of."""
            (mean, log_std), following = _asked(parameters, observation, state)
            std = tf.broadcast_to(tf.exp(tf.convert_to_tensor(log_std)), tf.shape(mean))
            return {"action": tf.clip_by_value(mean, self.low, self.high), "mean": mean, "std": std} | following

        return act


@dataclass(frozen=True, eq=False)
class SquashedGaussian:
    """a = tanh(u), u from independent normals: actions between -1 and 1 (Haarnoja et al., 2018, appendix C).

    Parameters are (mean [N, A], log std [A] or [N, A]) of u. `to_env` stretches actions to the bounds, so densities are those
    of actions between -1 and 1 whatever the environment's scale.
    """

    low: np.ndarray
    """[A]"""
    high: np.ndarray
    """[A]"""
    dtype: ClassVar[type] = np.float32

    @classmethod
    def of(cls, actions: Any, who: str, env_id: str) -> SquashedGaussian:
        """Return the policy for an action space; UsageError (naming the agent `who`) unless it is a vector with finite bounds."""
        return cls(*_bounds(actions, who, env_id))

    @property
    def num_actions(self) -> int:
        """A, the components of an action; a network gives as many means and as many log stds."""
        return len(self.low)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action: [A]."""
        return self.low.shape

    # numpy

    def sample(self, parameters: tuple[np.ndarray, np.ndarray], rng: np.random.Generator) -> np.ndarray:
        """Draw actions [N, A]."""
        mean, log_std = parameters
        return np.tanh(mean + np.exp(log_std) * rng.standard_normal(mean.shape, np.float32))

    def greedy(self, parameters: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """Return tanh of the means [N, A]."""
        return np.tanh(parameters[0])

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Return the actions [N, A] stretched from -1 and 1 to the environment's bounds."""
        return _stretched(action, self.low, self.high)

    # TensorFlow

    def reparameterize(self, parameters: tuple[tf.Tensor, tf.Tensor], noise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return actions [B, A] = tanh(mean + std noise) and their log density [B]; gradients go through both.

        `noise` [B, A] are standard normals. Eq. 21 of the paper, log pi(a) = log N(u) - sum_i log(1 - tanh(u_i)^2), whose
        logarithm is 2 (log 2 - u - softplus(-2u)): 1 - tanh^2 itself is 0 in float32 beyond |u| = 9.
        """
        mean, log_std = parameters
        tf.debugging.assert_shapes([(mean, ("B", "A")), (log_std, (..., "A")), (noise, ("B", "A"))])
        u = mean + tf.exp(log_std) * noise  # [B, A]
        log_normal = -(0.5 * tf.square(noise) + log_std + 0.5 * math.log(2 * math.pi))
        log_slope = 2 * (math.log(2) - u - tf.math.softplus(-2 * u))  # log da/du
        return tf.tanh(u), tf.reduce_sum(log_normal - log_slope, axis=-1)

    def export(self, env: VectorEnv, parameters: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]) -> Any:
        """Return the function to export, for `parameters` from a batch of observations to (mean, log std) of u."""

        @takes_observations(env)
        def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
            """The middle action [N, A] within its bounds; mean [N, A] and std [N, A] of the normals whose tanh is the policy."""
            mean, log_std = parameters(observation)
            std = tf.broadcast_to(tf.exp(tf.convert_to_tensor(log_std)), tf.shape(mean))
            return {"action": _stretched(tf.tanh(mean), self.low, self.high), "mean": mean, "std": std}

        return act


@dataclass(frozen=True, eq=False)
class Deterministic:
    """a = mu(s) = tanh(u): one action between -1 and 1 for every observation (Silver et al., 2014; Lillicrap et al., 2016).

    Parameters are u [N, A]. `to_env` stretches actions to the bounds, so noise that is added to them counts in half ranges.
    """

    low: np.ndarray
    """[A]"""
    high: np.ndarray
    """[A]"""
    dtype: ClassVar[type] = np.float32

    @classmethod
    def of(cls, actions: Any, who: str, env_id: str) -> Deterministic:
        """Return the policy for an action space; UsageError (naming the agent `who`) unless it is a vector with finite bounds."""
        return cls(*_bounds(actions, who, env_id))

    @property
    def num_actions(self) -> int:
        """A, the components of an action, and how many numbers a network gives."""
        return len(self.low)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one action: [A]."""
        return self.low.shape

    def greedy(self, u: np.ndarray) -> np.ndarray:
        """Return tanh(u) [N, A], in numpy."""
        return np.tanh(u)

    def to_env(self, action: np.ndarray) -> np.ndarray:
        """Return the actions [N, A] stretched from -1 and 1 to the environment's bounds."""
        return _stretched(action, self.low, self.high)

    def export(self, env: VectorEnv, parameters: Callable[[tf.Tensor], tf.Tensor]) -> Any:
        """Return the function to export, for `parameters` from a batch of observations to u."""

        @takes_observations(env)
        def act(observation: tf.Tensor) -> dict[str, tf.Tensor]:
            """The action [N, A] within its bounds."""
            return {"action": _stretched(tf.tanh(parameters(observation)), self.low, self.high)}

        return act


Policy = Categorical | MultiCategorical | Gaussian


def choices_for(actions: Any, who: str, env_id: str) -> Categorical | MultiCategorical:
    """Return the policy for a Discrete or MultiDiscrete space; UsageError (naming the agent `who`) for any other."""
    if isinstance(actions, MultiDiscrete):
        return MultiCategorical(tuple(actions.nvec.tolist()))
    if not isinstance(actions, Discrete):
        raise refused(who, "discrete actions (Discrete, MultiDiscrete, MultiBinary)", env_id, actions)
    return Categorical(int(actions.n))


def policy_for(actions: Any, who: str, env_id: str) -> Policy:
    """Return the policy for an action space of `envs.spaces`; UsageError (naming the agent `who`) for any other."""
    return Gaussian(actions.low, actions.high) if _is_vector(actions) else choices_for(actions, who, env_id)


def refused(who: str, needs: str, env_id: str, actions: Any) -> UsageError:
    """Return the sentence on an action space that the agent `who` does not take, with the nearest agents that do."""
    takers = "sac and actor-critic" if _is_vector(actions) and _is_bounded(actions) else "actor-critic and a3c"
    if isinstance(actions, Discrete):
        takers = "dqn and actor-critic"
    return UsageError(f"{who} needs {needs}; those of {env_id} are {actions}, which {takers} take")


def takes_observations(env: VectorEnv, memory: Sequence[tf.TensorSpec] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Return a decorator: `function(observation)` becomes a `tf.function` over batches of what the environment shows.

    Numbers of states reach `function` counted from 0, whatever the environment calls the first. `memory` has the specs of a
    recurrent state, which is given behind the observation, and of which the docstring then tells. Where environments tell which
    actions are allowed, a mask [N, M] bool is given last, and reaches `function` as the keyword `mask`.
    """
    space = env.observation_space

    def decorate(function: Callable[..., Any]) -> Any:
        masks = []
        if env.mask is not None and "mask" in inspect.signature(function).parameters:
            masks = [tf.TensorSpec((None, env.mask.shape[1]), tf.bool, "mask")]

        @functools.wraps(function)
        def of_the_environment(observation: tf.Tensor, *state: tf.Tensor) -> Any:
            seen = observation - env.first_state if env.first_state else observation
            return function(seen, *state[:-1], mask=state[-1]) if masks else function(seen, *state)

        del of_the_environment.__wrapped__  # TensorFlow would look for its arguments there
        if memory:
            parts, after = ", ".join(spec.name for spec in memory), ", ".join(f"next_{spec.name}" for spec in memory)
            of_the_environment.__doc__ = (
                f"{inspect.getdoc(function)} It remembers: {parts} [N, {memory[0].shape[-1]}] are zeros at the first step of "
                f"an episode, and {after} of the step before at every other."
            )
        if masks:
            of_the_environment.__doc__ = f"{inspect.getdoc(of_the_environment)} mask [N, M] says what is allowed."
        signature = [tf.TensorSpec((None, *space.shape), space.dtype, "observation"), *memory, *masks]
        return tf.function(of_the_environment, input_signature=signature)

    return decorate


def named(env: VectorEnv, action: tf.Tensor) -> tf.Tensor:
    """Return what the environment calls the actions [N], which count from 0."""
    return tf.gather(tf.constant(env.actions, tf.int64), action)


def _asked(
    parameters: Callable[..., Any], observation: tf.Tensor, state: Sequence[tf.Tensor]
) -> tuple[Any, dict[str, Any]]:
    """Return the parameters of a policy and, where there is a state, the next one by name."""
    return parameters(observation, *state) if state else (parameters(observation), {})


def _is_vector(actions: Any) -> bool:
    return isinstance(actions, Box) and len(actions.shape) == 1 and np.issubdtype(actions.dtype, np.floating)


def _is_bounded(actions: Box) -> bool:
    return bool(np.isfinite(actions.low).all() and np.isfinite(actions.high).all())


def _bounds(actions: Any, who: str, env_id: str) -> tuple[np.ndarray, np.ndarray]:
    """Return low [A] and high [A] of a vector of actions; UsageError for any other space and for bounds that are infinite."""
    if not _is_vector(actions) or not _is_bounded(actions):
        raise refused(who, "a vector of actions with finite bounds", env_id, actions)
    return actions.low, actions.high


def _stretched(action: Any, low: np.ndarray, high: np.ndarray) -> Any:
    """Return actions [N, A], an array or a tensor, brought from -1 and 1 to low [A] and high [A]."""
    clip = np.clip if isinstance(action, np.ndarray) else tf.clip_by_value
    return clip(low + 0.5 * (action + 1) * (high - low), low, high)
