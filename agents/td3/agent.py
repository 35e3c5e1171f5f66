"""Twin delayed DDPG as in "Addressing Function Approximation Error in Actor-Critic Methods" (Fujimoto et al., 2018), Algorithm 1.

One update, in the notation of the paper, for a minibatch of transitions (s, a, r, s') out of the replay:

    a~      = clip(mu'(s') + clip(epsilon, -c, c), -1, 1)          epsilon ~ N(0, sigma~)
    y       = r + gamma min_i Q'_i(s', a~)                         r alone where the episode terminated
    theta_i <- Adam(theta_i, grad mean (y - Q_i(s, a))^2)          i = 1, 2
    every d updates:
        phi <- Adam(phi, -grad mean Q_1(s, mu(s)))
        theta'_i <- tau theta_i + (1 - tau) theta'_i,   phi' <- tau phi + (1 - tau) phi'
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from agents.rl.off_policy import Experience, Updates, actor_network, columns_of, critic_networks, follow, scalars_of
from agents.rl.policies import Deterministic
from agents.td3.config import TD3Config
from core.mirror import Mirror
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.replay import Batch
from core.seeds import child

__all__ = ["TD3"]

STATS = ("loss/critic", "value/q_mean", "optim/gradient_norm", "loss/policy")  # the last one when the policy moves


@final
class TD3(Agent, Exports):
    """The agent. D numbers are an observation, A components an action, which lies between -1 and 1 in here."""

    def __init__(self, config: TD3Config, context: Context):
        self.config, self.environment = config, config.env
        self.acting = f"noisy (standard deviation {config.noise:g} of half the range)"
        self.experience = Experience(config, context, "td3")
        D, env = self.experience.num_inputs, self.experience.env
        self.policy = Deterministic.of(env.action_space, "td3", config.env.id)
        A, seed = self.policy.num_actions, child(context.seed, "network")
        self.actor, self.actor_target = (actor_network(D, A, config.hidden, seed) for _ in range(2))
        self.critics, self.critics_target = (critic_networks(2, D, A, config.hidden, seed) for _ in range(2))
        self.actor_target.trainable = self.critics_target.trainable = False
        self.actor_optimizer = make_optimizer(config.optimizer, self.actor.trainable_variables)
        self.critic_optimizer = make_optimizer(config.optimizer, self.critics.trainable_variables)
        self.mirror = Mirror([self.actor])
        self.updates = Updates(self._minibatch, [D, A, D, 3, A], len(STATS), self.mirror, config)
        self.noise = np.random.default_rng(child(context.seed, "noise"))
        self.clock = 0

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Take `turn` steps in each environment and make the updates that fall due."""
        figures: list[np.ndarray] = []
        first = self.experience.updates

        def learn(batch: Batch, K: int) -> np.ndarray:
            noise = self.noise.standard_normal((len(batch.r_t), self.policy.num_actions), np.float32)
            play = self.experience
            errors, rows = self.updates([*columns_of(batch), noise], play.updates, play.clock)
            figures.append(rows)
            return errors

        scalars = self.experience.play(self._explore, self.policy.to_env, learn)
        self.clock = self.experience.clock
        measured = scalars_of(STATS, figures)
        if measured:  # the policy's loss of the updates at which it moved
            d = self.config.policy_delay
            moved = measured.pop("loss/policy")[-(first + 1) % d :: d]
            measured |= {"loss/policy": moved} if len(moved) else {}
        return scalars | measured

    def _minibatch(
        self,
        s: tf.Tensor,
        a: tf.Tensor,
        s_next: tf.Tensor,
        rest: tf.Tensor,
        noise: tf.Tensor,
        number: tf.Tensor,
        clock: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Make one update from transitions [B, ...]; return the critics' mean absolute errors [B] and the figures of STATS."""
        config, critics = self.config, self.critics.trainable_variables
        r, discount, weight = tf.unstack(rest, axis=-1)  # [B]

        a_next = self._smoothed(tf.tanh(self.actor_target(s_next)), noise)  # [B, A]
        y = r + discount * tf.reduce_min(self.critics_target([s_next, a_next]), axis=0)  # [B]
        with tf.GradientTape() as tape:
            error = tf.stop_gradient(y) - self.critics([s, a])  # [2, B]
            loss = tf.reduce_sum(tf.reduce_mean(weight * tf.square(error), axis=1))
        gradient = tape.gradient(loss, critics)
        self.critic_optimizer.apply(gradient, critics, clock)

        J = tf.constant(0.0)
        if number % config.policy_delay == 0:
            J = self._improve(s, clock)
        figures = tf.stack([loss, tf.reduce_mean(y), tf.linalg.global_norm(gradient), -J])
        return tf.reduce_mean(tf.abs(error), axis=0), figures

    def _improve(self, s: tf.Tensor, clock: tf.Tensor) -> tf.Tensor:
        """Move the policy up the first critic, and the target networks towards the learning ones; return J []."""
        phi = [v.value for v in self.actor.trainable_variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:  # no gradient of the critics' weights
            tape.watch(phi)
            J = tf.reduce_mean(self.critics([s, tf.tanh(self.actor(s))])[0])
            loss = -J
        self.actor_optimizer.apply(tape.gradient(loss, phi), self.actor.trainable_variables, clock)
        follow(self.critics_target, self.critics, self.config.tau)
        follow(self.actor_target, self.actor, self.config.tau)
        return J

    def _smoothed(self, a: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Return actions [B, A] with clipped noise, from standard normals [B, A]; section 5.3."""
        limit = self.config.target_noise_limit
        return tf.clip_by_value(a + tf.clip_by_value(self.config.target_noise * noise, -limit, limit), -1.0, 1.0)

    def _explore(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        a = self.policy.greedy(self.mirror.chains[0](x))
        noise = np.float32(self.config.noise) * rng.standard_normal(a.shape, np.float32)
        return np.clip(a + noise, -1, 1)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N, A] for observations [N, ...]: mu(s), or as in training with noise."""
        x = self.experience.observations.encode(observations)
        a = self.policy.greedy(self.mirror.chains[0](x)) if greedy else self._explore(x, rng)
        return self.policy.to_env(a), memory

    def exportable(self) -> Mapping[str, Any]:
        observations = self.experience.observations
        return {"act": self.policy.export(self.experience.env, lambda o: self.actor(observations.traced(o)))}

    def state(self) -> dict[str, Any]:
        names = ("actor", "critics", "actor_target", "critics_target", "actor_optimizer", "critic_optimizer")
        return {name: getattr(self, name) for name in (*names, "noise", "experience", "clock")}

    def restored(self) -> None:
        self.mirror.copy()

    def close(self) -> None:
        self.experience.close()
