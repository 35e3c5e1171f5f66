"""Soft actor-critic as in "Soft Actor-Critic Algorithms and Applications" (Haarnoja et al., 2018b), Algorithm 1.

One update, in the notation of the paper, for a minibatch of transitions (s_t, a_t, r_t, s_t+1) out of the replay:

    y       = r_t + gamma (min_i Qbar_i(s_t+1, a') - alpha log pi(a'|s_t+1))       a' ~ pi; r_t alone where it terminated
    theta_i <- Adam(theta_i, grad mean (Q_i(s_t, a_t) - y)^2 / 2)                  i = 1, 2
    phi     <- Adam(phi,     grad mean [alpha log pi(a|s_t) - min_i Q_i(s_t, a)])  a = tanh(mu + sigma epsilon)
    alpha   <- Adam(alpha,   grad mean [-alpha log pi(a|s_t) - alpha Hbar])        Hbar: the entropy to stay at
    thetabar_i <- tau theta_i + (1 - tau) thetabar_i
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from agents.rl.off_policy import Experience, Updates, actor_network, columns_of, critic_networks, follow, scalars_of
from agents.rl.policies import SquashedGaussian
from agents.sac.config import SACConfig
from core.losses.reinforcement import squared_error
from core.mirror import Mirror
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.replay import Batch
from core.seeds import child

__all__ = ["SAC"]

LOG_STD = (-20.0, 2.0)  # bounds of log sigma, those of the paper's program
STATS = ("loss/critic", "loss/policy", "policy/entropy", "policy/temperature", "value/q_mean", "optim/gradient_norm")


@final
class SAC(Agent, Exports):
    """The agent. D numbers are an observation, A components an action, which lies between -1 and 1 in here."""

    def __init__(self, config: SACConfig, context: Context):
        self.config, self.environment = config, config.env
        self.experience = Experience(config, context, "sac")
        D, env = self.experience.num_inputs, self.experience.env
        self.policy = SquashedGaussian.of(env.action_space, "sac", config.env.id)
        A, seed = self.policy.num_actions, child(context.seed, "network")
        self.entropy_target = -float(A) if config.entropy_target is None else config.entropy_target
        self.actor = actor_network(D, 2 * A, config.hidden, seed)
        self.critics, self.target = (critic_networks(2, D, A, config.hidden, seed) for _ in range(2))
        self.target.trainable = False
        self.log_alpha = keras.Variable(np.log(config.temperature), dtype="float32", name="log_alpha")
        self.actor_optimizer = make_optimizer(config.optimizer, self.actor.trainable_variables)
        self.critic_optimizer = make_optimizer(config.optimizer, self.critics.trainable_variables)
        self.alpha_optimizer = make_optimizer(config.optimizer, [self.log_alpha])
        self.mirror = Mirror([self.actor])
        self.updates = Updates(self._minibatch, [D, A, D, 3, A, A], len(STATS), self.mirror, config)
        self.noise = np.random.default_rng(child(context.seed, "noise"))
        self.clock = 0

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Take `turn` steps in each environment and make the updates that fall due."""
        figures: list[np.ndarray] = []

        def learn(batch: Batch, K: int) -> np.ndarray:
            noise = self.noise.standard_normal((2, len(batch.r_t), self.policy.num_actions), np.float32)
            play = self.experience
            errors, rows = self.updates([*columns_of(batch), *noise], play.updates, play.clock)
            figures.append(rows)
            return errors

        scalars = self.experience.play(self._sample, self.policy.to_env, learn)
        self.clock = self.experience.clock
        return scalars | scalars_of(STATS, figures)

    def _minibatch(
        self,
        s_t: tf.Tensor,
        a_t: tf.Tensor,
        s_next: tf.Tensor,
        rest: tf.Tensor,
        noise_next: tf.Tensor,
        noise_t: tf.Tensor,
        number: tf.Tensor,
        clock: tf.Tensor,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Make one update from transitions [B, ...]; return the critics' mean absolute errors [B] and the figures of STATS."""
        config, actor, critics = self.config, self.actor.trainable_variables, self.critics.trainable_variables
        r_t, discount_t, weight = tf.unstack(rest, axis=-1)  # [B]
        alpha = tf.exp(tf.convert_to_tensor(self.log_alpha))

        a_next, log_pi_next = self.policy.reparameterize(self._parameters(s_next), noise_next)  # [B, A], [B]
        y = r_t + discount_t * (
            tf.reduce_min(self.target([s_next, a_next]), axis=0) - alpha * log_pi_next
        )  # [B], eq. 3
        with tf.GradientTape() as tape:
            q = self.critics([s_t, a_t])  # [2, B]
            J_Q = tf.reduce_sum([tf.reduce_mean(weight * squared_error(q[i], y)) for i in range(2)])  # eq. 5
        gradient = tape.gradient(J_Q, critics)
        self.critic_optimizer.apply(gradient, critics, clock)

        phi = [v.value for v in actor]
        with tf.GradientTape(watch_accessed_variables=False) as tape:  # no gradient of the critics' weights
            tape.watch(phi)
            a, log_pi = self.policy.reparameterize(self._parameters(s_t), noise_t)
            J_pi = tf.reduce_mean(alpha * log_pi - tf.reduce_min(self.critics([s_t, a]), axis=0))  # eq. 9
        self.actor_optimizer.apply(tape.gradient(J_pi, phi), actor, clock)

        H = -tf.reduce_mean(log_pi)
        if config.learn_temperature == "yes":  # J(alpha) = alpha (H - Hbar), eq. 18; d alpha / d log alpha = alpha
            self.alpha_optimizer.apply([alpha * (H - self.entropy_target)], [self.log_alpha], clock)
        follow(self.target, self.critics, config.tau)
        error = tf.reduce_mean(tf.abs(y - q), axis=0)
        norm = tf.linalg.global_norm(gradient)
        return error, tf.stack([J_Q, J_pi, H, alpha, tf.reduce_mean(q), norm])

    # --- the policy -----------------------------------------------------------------------------------------------------

    def _parameters(self, s: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return mean and log std [B, A] of the normals before the tanh."""
        mean, log_std = tf.split(self.actor(s), 2, axis=-1)
        return mean, tf.clip_by_value(log_std, *LOG_STD)

    def _forward(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what `_parameters` returns, in numpy."""
        mean, log_std = np.split(self.mirror.chains[0](x), 2, axis=-1)
        return mean, np.clip(log_std, *LOG_STD)

    def _sample(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return self.policy.sample(self._forward(x), rng)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N, A] for observations [N, ...], drawn from the policy or the middle of it."""
        x = self.experience.observations.encode(observations)
        a = self.policy.greedy(self._forward(x)) if greedy else self._sample(x, rng)
        return self.policy.to_env(a), memory

    def exportable(self) -> Mapping[str, Any]:
        observations = self.experience.observations
        return {"act": self.policy.export(self.experience.env, lambda o: self._parameters(observations.traced(o)))}

    def state(self) -> dict[str, Any]:
        names = ("actor", "critics", "target", "log_alpha", "actor_optimizer", "critic_optimizer", "alpha_optimizer")
        return {name: getattr(self, name) for name in (*names, "noise", "experience", "clock")}

    def restored(self) -> None:
        self.mirror.copy()

    def close(self) -> None:
        self.experience.close()
