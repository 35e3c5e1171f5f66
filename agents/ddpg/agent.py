"""Deep deterministic policy gradient as in "Continuous control with deep reinforcement learning" (Lillicrap et al., 2016),
Algorithm 1.

One update, in the notation of the paper, for a minibatch of transitions (s_i, a_i, r_i, s_i+1) out of the replay:

    y_i     = r_i + gamma Q'(s_i+1, mu'(s_i+1))                    r_i alone where the episode terminated
    theta^Q  <- Adam(theta^Q, grad mean (y_i - Q(s_i, a_i))^2)
    theta^mu <- Adam(theta^mu, -mean grad_a Q(s_i, mu(s_i)) grad mu(s_i))
    theta'   <- tau theta + (1 - tau) theta'                       of both networks
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import numpy as np
import tensorflow as tf

from agents.ddpg.config import DDPGConfig
from agents.rl.off_policy import Experience, Updates, actor_network, columns_of, critic_networks, follow, scalars_of
from agents.rl.policies import Deterministic
from core.mirror import Mirror
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.replay import Batch
from core.seeds import child

__all__ = ["DDPG"]

STATS = ("loss/critic", "loss/policy", "value/q_mean", "optim/gradient_norm")


@final
class DDPG(Agent, Exports):
    """The agent. D numbers are an observation, A components an action, which lies between -1 and 1 in here."""

    def __init__(self, config: DDPGConfig, context: Context):
        self.config, self.environment = config, config.env
        self.acting = f"noisy ({config.noise}, {config.sigma:g} of half the range)"
        self.experience = Experience(config, context, "ddpg")
        D, env = self.experience.num_inputs, self.experience.env
        self.policy = Deterministic.of(env.action_space, "ddpg", config.env.id)
        A, seed = self.policy.num_actions, child(context.seed, "network")
        self.actor, self.actor_target = (actor_network(D, A, config.hidden, seed) for _ in range(2))
        self.critic, self.critic_target = (critic_networks(1, D, A, config.hidden, seed) for _ in range(2))
        self.actor_target.trainable = self.critic_target.trainable = False
        self.actor_optimizer = make_optimizer(config.actor_optimizer, self.actor.trainable_variables)
        self.critic_optimizer = make_optimizer(config.critic_optimizer, self.critic.trainable_variables)
        self.mirror = Mirror([self.actor])
        self.updates = Updates(self._minibatch, [D, A, D, 3], len(STATS), self.mirror, config)
        (self.noise,) = self.memory(config.envs)  # [N, A]
        self.clock = 0

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Take `turn` steps in each environment and make the updates that fall due."""
        figures: list[np.ndarray] = []

        def explore(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
            a, self.noise = self._noisy(x, self.noise, rng)
            return a

        def learn(batch: Batch, K: int) -> np.ndarray:
            play = self.experience
            errors, rows = self.updates(columns_of(batch), play.updates, play.clock)
            figures.append(rows)
            return errors

        def ended(done: np.ndarray) -> None:
            self.noise = np.where(done[:, None], np.float32(0), self.noise)

        scalars = self.experience.play(explore, self.policy.to_env, learn, ended)
        self.clock = self.experience.clock
        return scalars | scalars_of(STATS, figures)

    def _minibatch(
        self, s: tf.Tensor, a: tf.Tensor, s_next: tf.Tensor, rest: tf.Tensor, number: tf.Tensor, clock: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Make one update from transitions [B, ...]; return the critic's absolute errors [B] and the figures of STATS."""
        config, critic, actor = self.config, self.critic.trainable_variables, self.actor.trainable_variables
        r, discount, weight = tf.unstack(rest, axis=-1)  # [B]

        y = r + discount * self.critic_target([s_next, tf.tanh(self.actor_target(s_next))])[0]  # [B]
        with tf.GradientTape() as tape:
            error = tf.stop_gradient(y) - self.critic([s, a])[0]  # [B]
            L = tf.reduce_mean(weight * tf.square(error))
        gradient = tape.gradient(L, critic)
        self.critic_optimizer.apply(gradient, critic, clock)

        theta_mu = [v.value for v in actor]
        with tf.GradientTape(watch_accessed_variables=False) as tape:  # no gradient of the critic's weights
            tape.watch(theta_mu)
            loss = -tf.reduce_mean(self.critic([s, tf.tanh(self.actor(s))])[0])  # -J
        self.actor_optimizer.apply(tape.gradient(loss, theta_mu), actor, clock)

        follow(self.critic_target, self.critic, config.tau)
        follow(self.actor_target, self.actor, config.tau)
        return tf.abs(error), tf.stack([L, loss, tf.reduce_mean(y), tf.linalg.global_norm(gradient)])

    def _noisy(self, x: np.ndarray, noise: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return mu(s) with noise [N, A], and the noise [N, A], given that of the step before.

        Ornstein-Uhlenbeck: n <- n - theta n + sigma epsilon (Uhlenbeck and Ornstein, 1930, one step of Euler).
        """
        a = self.policy.greedy(self.mirror.chains[0](x))
        noise = (1 - self.config.theta) * noise if self.config.noise == "ou" else np.zeros_like(noise)
        noise = (noise + self.config.sigma * rng.standard_normal(a.shape)).astype(np.float32)
        return np.clip(a + noise, -1, 1), noise

    # --- the contract ---------------------------------------------------------------------------------------------------

    def memory(self, n: int) -> tuple[np.ndarray]:
        """Return the noise of n fresh episodes: zeros [N, A] in a tuple."""
        return (np.zeros((n, self.policy.num_actions), np.float32),)

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N, A] for observations [N, ...]: mu(s), or as in training with noise, which is the memory."""
        x = self.experience.observations.encode(observations)
        if greedy:
            return self.policy.to_env(self.policy.greedy(self.mirror.chains[0](x))), memory
        a, noise = self._noisy(x, memory[0], rng)
        return self.policy.to_env(a), (noise,)

    def exportable(self) -> Mapping[str, Any]:
        observations = self.experience.observations
        return {"act": self.policy.export(self.experience.env, lambda o: self.actor(observations.traced(o)))}

    def state(self) -> dict[str, Any]:
        names = ("actor", "critic", "actor_target", "critic_target", "actor_optimizer", "critic_optimizer")
        return {name: getattr(self, name) for name in (*names, "noise", "experience", "clock")}

    def restored(self) -> None:
        self.mirror.copy()

    def close(self) -> None:
        self.experience.close()
