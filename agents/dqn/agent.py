"""Deep Q-learning as in "Human-level control through deep reinforcement learning" (Mnih et al., 2015), Algorithm 1.

One update, in the notation of the paper, for a minibatch of transitions (s_tm1, a_tm1, r_t, s_t) out of the replay:

    y     = r_t + gamma max_a Qhat(s_t, a)                     r_t alone where the episode terminated
    theta <- optimiser(theta, grad sum huber(y - Q(s_tm1, a_tm1)))
    Qhat  <- Q                                                 every C updates

and what flags make of it, Z(s, a) being a distribution of returns whose mean is Q(s, a):

    double       y = r_t + gamma Qhat(s_t, argmax_a Q(s_t, a))                         van Hasselt et al., 2016
    c51          grad D_KL(Phi (r_t + gamma Zhat(s_t, a*)) || Z(s_tm1, a_tm1))         Bellemare et al., 2017
    qr           grad sum_i mean_j rho_tau_i(r_t + gamma zhat_j(s_t, a*) - z_i(s_tm1, a_tm1))      Dabney et al., 2018
    munchausen   y = r_t + alpha [tau log pi(a_tm1|s_tm1)]_l0^0                        Vieillard et al., 2020
                     + gamma sum_a pi(a|s_t) (Qhat(s_t, a) - tau log pi(a|s_t))        pi = softmax(Qhat / tau)
    noisy        Q(s, a, xi), Qhat(s, a, xi'), with new noise at every update and step         Fortunato et al., 2018
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, final

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Discrete

from agents.dqn.config import DQNConfig
from agents.dqn.network import Network
from agents.rl.episodes import Episodes
from agents.rl.observations import Observations
from agents.rl.policies import allowed, drawn_uniformly, named, refused, takes_observations
from core.errors import require
from core.losses.reinforcement import (
    categorical_kl,
    categorical_projection,
    huber,
    munchausen_target,
    q_learning_error,
    quantile_huber,
)
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.replay import Batch, Replay
from core.schedules import linear
from core.seeds import child
from core.traced import direct
from envs import make

__all__ = ["DQN"]

IN_MEMORY = 100_000_000  # bytes of observations that replay_on_disk=auto leaves in memory
PLAIN = ("clock", "updates")
STATS = ("loss/td", "value/td_error", "value/q_mean", "optim/gradient_norm")


@final
class DQN(Agent, Exports):
    """The agent. Observations are pictures [C, H, W], or D numbers (a state's number one-hot)."""

    masks = True

    def __init__(self, config: DQNConfig, context: Context):
        self.config, self.context, self.environment = config, context, config.env
        self.acting = f"epsilon-greedy ({config.eval_epsilon:g})"
        self.env = make(config.env, config.envs, child(context.seed, "games"), may_idle=False)
        self.env.reset()
        space, actions = self.env.observation_space, self.env.action_space
        if not isinstance(actions, Discrete):
            raise refused("dqn", "discrete actions", config.env.id, actions)
        require(
            self.env.mask is None or not config.munchausen,
            f"munchausen knows no masks, which {config.env.id} gives; --agent.env.masks False ignores them",
        )
        self.num_actions = int(actions.n)
        self.observations = Observations.of(space, "dqn", config.network)
        pixels = self.observations.kind == "pixels"
        self.clips = config.clip_rewards == "yes" or (config.clip_rewards == "auto" and pixels and self.env.is_atari)

        seed = child(context.seed, "network")
        network, target = (Network(config, self.observations, self.num_actions, seed) for _ in range(2))
        self.model, self.target = network.model, target.model
        self.network, self.target_network = network, target
        self.mirror = network.mirror
        self.target.trainable = False
        self.target.set_weights(self.model.get_weights())
        self.optimizer = make_optimizer(config.optimizer, self.model.trainable_variables)
        self._updates, self._q = self._traced()

        self.rng = np.random.default_rng(child(context.seed, "actions"))
        self.noise = np.random.default_rng(child(context.seed, "noise"))  # of the updates; that of the steps is rng's
        stack = self.env.frame_stack
        size = config.capacity * int(np.prod(space.shape)) * space.dtype.itemsize // stack
        on_disk = config.replay_on_disk == "yes" or (config.replay_on_disk == "auto" and size > IN_MEMORY)
        self.replay = Replay(
            config.capacity,
            space.shape[1:] if stack > 1 else space.shape,
            space.dtype,
            num_envs=config.envs,
            stack=stack,
            n_step=config.n_step,
            gamma=config.gamma,
            rng=np.random.default_rng(child(context.seed, "replay")),
            alpha=config.alpha if config.prioritised else None,
            path=context.folder / "replay.bin" if on_disk else None,
            slack=context.rewind + context.rewind // 4 + 1_000,  # an episode takes some slots more than it has steps
            choices=0 if self.env.mask is None else self.num_actions,
        )
        self.clock = 0
        self.updates = 0
        self.episodes = Episodes(config.envs)

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Take `turn` steps in each environment and make the updates that fall due."""
        if self.clock == 0:
            self._say_size()
        stats: list[np.ndarray] = []
        for _ in range(self.config.turn):
            s_tm1 = self.env.obs
            mask_tm1 = self.env.mask
            a_tm1 = self._epsilon_greedy(s_tm1, self.epsilon, self.rng, mask_tm1, self.config.noisy)  # [N]
            self.env.send(a_tm1)
            self._learn(stats)  # while the environments play
            t = self.env.recv()
            r_t = np.sign(t.reward) if self.clips else t.reward
            self.replay.add(s_tm1, a_tm1, r_t, t.terminated, t.truncated, t.final_obs, mask_tm1, t.final_mask)
            self.clock += self.config.envs
            self.episodes.add(t.reward, t.done)
        scalars: dict[str, Any] = {"policy/epsilon": self.epsilon, "rollout/replay_size": len(self.replay)}
        if stats:
            scalars |= dict(zip(STATS, np.concatenate(stats, axis=0).T, strict=True))
        return scalars | self.episodes.scalars()

    def _learn(self, stats: list[np.ndarray]) -> None:
        """Make the updates that are due: one for every `update_every` steps since `learning_starts`, `burst` at a time."""
        config = self.config
        due = (self.clock - config.learning_starts) // config.update_every - self.updates
        if due < config.burst:
            return
        beta = linear(self.clock, config.beta_steps, config.beta, 1.0)
        while due:
            K = min(due, config.target_every - self.updates % config.target_every)
            batch = self.replay.sample(config.batch, K, beta)  # [K * B]
            td, figures = self._update(batch, K)
            stats.append(figures)
            if config.prioritised:
                self.replay.set_priorities(batch.index, td.ravel())
            self.updates += K
            due -= K
            if config.tau == 1 and self.updates % config.target_every == 0:
                self._copy_to_target()

    def _update(self, batch: Batch, K: int) -> tuple[np.ndarray, np.ndarray]:
        """Make K updates, one on the weights of the other; return their errors [K, B] and the figures named in STATS [K, 4].

        Everything goes in and comes out in few arrays: each costs 0.05 ms on its way, a small network's update 0.09 ms.
        """
        B, encode = self.config.batch, self.observations.encode
        states = np.stack([encode(batch.obs_tm1), encode(batch.obs_t)]).reshape(2, K, B, *self.observations.shape)
        masks = () if batch.mask_t is None else batch.mask_t.T  # A rows, where actions are masked
        numbers = np.empty((5 + len(masks), K * B))  # float64 holds every clock
        numbers[:5] = batch.a_tm1, batch.r_t, batch.discount_t, batch.weight, np.broadcast_to(self.clock, K * B)
        if len(masks):
            numbers[5:] = masks
        noise = [self.noise.standard_normal((K, 3, self.network.noise_width), np.float32)] if self.config.noisy else []
        rows, theta = self._updates(*map(tf.constant, (states, numbers.reshape(-1, K, B), *noise)))
        self.mirror.take(theta.numpy())
        rows = rows.numpy()  # [K, B + 4]
        return rows[:, :B], rows[:, B:]

    def _minibatch(
        self,
        s_tm1: tf.Tensor,
        a_tm1: tf.Tensor,
        r_t: tf.Tensor,
        discount_t: tf.Tensor,
        s_t: tf.Tensor,
        weight: tf.Tensor,
        clock: tf.Tensor,
        mask_t: Sequence[tf.Tensor] = (),
        noise: Sequence[tf.Tensor] = (),
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Make one update; return the errors [B] and the figures named in STATS.

        `mask_t` holds [B] for each action, above 0 where it is allowed on s_t; then the maximum is that over the allowed ones.
        `noise` is a row [1, P] of each of three: for Z(s_tm1), the target network and the choice of the action.
        """
        config, theta = self.config, self.model.trainable_variables
        xi, xi_target, xi_selector = noise or (None, None, None)
        z_t_target = self.target_network(s_t, xi_target)  # [B, A] or [B, A, Z]
        q_t_selector = self.network.values(self.network(s_t, xi_selector)) if config.double else None  # [B, A]
        if mask_t:
            q_t = self.network.values(z_t_target) if q_t_selector is None else q_t_selector
            q_t_selector = allowed(q_t, tf.stack(mask_t, axis=-1) > 0)
        z_tm1_target = self.target_network(s_tm1, xi_target) if config.munchausen else None
        with tf.GradientTape() as tape:
            z_tm1 = self.network(s_tm1, xi)  # [B, A] or [B, A, Z]
            td, losses = self._errors(z_tm1, a_tm1, r_t, discount_t, z_t_target, q_t_selector, z_tm1_target)  # [B]
            losses = weight * losses
            loss = tf.reduce_sum(losses) if config.loss == "sum" else tf.reduce_mean(losses)
        gradient = tape.gradient(loss, theta)
        norm = tf.linalg.global_norm(gradient)
        self.optimizer.apply(gradient, theta, clock)
        if config.tau < 1:
            for old, new in zip(self.target.variables, self.model.variables, strict=True):
                old.assign(old + config.tau * (new - old))
        q_tm1 = self.network.values(z_tm1)
        return td, tf.stack([tf.reduce_mean(losses), tf.reduce_mean(tf.abs(td)), tf.reduce_mean(q_tm1), norm])

    def _errors(
        self,
        z_tm1: tf.Tensor,
        a_tm1: tf.Tensor,
        r_t: tf.Tensor,
        discount_t: tf.Tensor,
        z_t_target: tf.Tensor,
        q_t_selector: tf.Tensor | None,
        z_tm1_target: tf.Tensor | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return what priorities follow and the loss, both [B]: of distributions one and the same, as in Rainbow."""
        config, values = self.config, self.network.values
        if config.distribution == "none" and not config.munchausen:
            td = q_learning_error(z_tm1, a_tm1, r_t, discount_t, z_t_target, q_t_selector)
            return td, huber(td)
        z_a_tm1 = tf.gather(z_tm1, a_tm1, batch_dims=1)  # [B] or [B, Z]
        if config.munchausen:
            q_tm1_target = values(z_tm1_target)  # [B, A]
            settings = config.munchausen_alpha, config.munchausen_tau, config.munchausen_clip
            z_t = z_t_target if config.distribution == "qr" else z_t_target[..., None]  # [B, A, Z]
            y = munchausen_target(q_tm1_target, a_tm1, r_t, discount_t, z_t, *settings)  # [B, Z]
            if config.distribution == "none":
                td = y[:, 0] - z_a_tm1
                return td, huber(td)
        else:
            a_t = tf.argmax(values(z_t_target) if q_t_selector is None else q_t_selector, axis=-1)  # [B]
            z_t = tf.gather(z_t_target, a_t, batch_dims=1)  # [B, Z]
            if config.distribution == "c51":
                p_t, atoms = tf.nn.softmax(z_t), tf.constant(self.network.atoms)  # [B, Z], [Z]
                m = categorical_projection(p_t, r_t, discount_t, atoms)  # [B, Z]
                losses = categorical_kl(m, z_a_tm1)
                return losses, losses
            y = r_t[:, None] + discount_t[:, None] * z_t  # [B, Z]
        losses = quantile_huber(z_a_tm1, y)
        return losses, losses

    def _traced(self) -> tuple[Callable[..., Any], Callable[..., Any]]:
        """Return two traced functions: K updates one after the other in one call, and the values of observations."""
        B, shape, kind = self.config.batch, self.observations.shape, self.observations.dtype
        P = self.network.noise_width
        width = 5 if self.env.mask is None else 5 + self.num_actions
        states_of, numbers_of = tf.TensorSpec((2, None, B, *shape), kind), tf.TensorSpec((width, None, B), tf.float64)
        noise_of = [tf.TensorSpec((None, 3, P), tf.float32)] if self.config.noisy else []
        noise_of_acting = [tf.TensorSpec((None, P), tf.float32)] if self.config.noisy else []

        @tf.function(
            input_signature=[states_of, numbers_of, *noise_of],
            jit_compile=bool(self.mirror.chains),  # XLA: half the time on vectors, none gained on pixels
        )
        def updates(states: Any, numbers: Any, *noise: Any) -> Any:
            clock, K = numbers[4, 0, 0], tf.shape(numbers)[1]
            rows = tf.TensorArray(tf.float32, K, element_shape=(B + len(STATS),))
            for k in tf.range(K):  # each on the weights that the one before left
                tf.autograph.experimental.set_loop_options(parallel_iterations=1)
                a_tm1, r_t, discount_t, weight, _, *mask_t = tf.unstack(tf.cast(numbers[:, k], tf.float32))
                xi = tf.split(noise[0][k], 3, axis=0) if noise else []
                td, figures = self._minibatch(
                    states[0, k], tf.cast(a_tm1, tf.int32), r_t, discount_t, states[1, k], weight, clock, mask_t, xi
                )
                rows = rows.write(k, tf.concat([td, figures], axis=0))
            return rows.stack(), self.mirror.theta()

        @tf.function(input_signature=[tf.TensorSpec((None, *shape), kind), *noise_of_acting])
        def q(s: Any, *noise: Any) -> Any:
            return self.network.values(self.network(s, *noise))

        # Concrete functions skip looking for a trace that fits: 0.15 ms a call.
        return direct(updates.get_concrete_function()), direct(q.get_concrete_function())

    def _copy_to_target(self) -> None:
        for old, new in zip(self.target.variables, self.model.variables, strict=True):
            old.assign(new)

    @property
    def epsilon(self) -> float:
        """Probability of a random action at this clock."""
        config = self.config
        if self.clock < config.learning_starts:
            return 1.0
        return linear(self.clock, config.epsilon_steps, *config.epsilons)

    def _epsilon_greedy(
        self,
        observations: np.ndarray,
        epsilon: float,
        rng: np.random.Generator,
        mask: np.ndarray | None = None,
        noisy: bool = False,
    ) -> np.ndarray:
        """Return actions [N]: at random with probability epsilon, else of the highest value, with `noisy` under noise; of those
        that `mask` [N, A] allows."""
        N = len(observations)
        explores = rng.random(N) < epsilon
        actions = drawn_uniformly(rng, N, self.num_actions, mask)
        if explores.all():
            return actions
        noise = rng.standard_normal((N, self.network.noise_width), np.float32) if noisy else None
        return np.where(explores, actions, allowed(self._values(observations, noise), mask).argmax(axis=1))

    def _values(self, observations: np.ndarray, noise: np.ndarray | None = None) -> np.ndarray:
        """Return Q [N, A] for observations [N, ...], under `noise` [N, P] or, of noisy networks, by their mean weights."""
        x = self.observations.encode(observations)
        if self.mirror.chains:
            return self.network.values(self.network.forward(x, noise))
        if self.config.noisy:
            noise = np.zeros((1, self.network.noise_width), np.float32) if noise is None else noise
            return self._q(tf.constant(x), tf.constant(noise))[0].numpy()
        return self._q(tf.constant(x))[0].numpy()

    def _say_size(self) -> None:
        replay = self.replay
        line = f"replay: {self.config.capacity:,} observations, {replay.bytes_live / 1e9:.3g} GB"
        if replay.path is None:
            self.context.say(f"{line} in memory when full, all of it in every checkpoint")
        else:
            self.context.say(
                f"{line} in {replay.path} when full, and up to {replay.bytes_slack / 1e9:.3g} GB beyond them, so that "
                f"checkpoints as old as {self.context.rewind:,} steps stay whole"
            )

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool, mask: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] of the highest value for observations [N, ...], at random with probability `eval_epsilon`; of those
        that `mask` [N, A] allows."""
        return self._epsilon_greedy(observations, 0.0 if greedy else self.config.eval_epsilon, rng, mask=mask), memory

    def exportable(self) -> Mapping[str, Any]:
        @takes_observations(self.env)
        def act(observation: tf.Tensor, mask: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
            """The action [N] of the highest value, by the environment's number, and the values [N, A] of all in turn."""
            q = self.network.values(self.network(self.observations.traced(observation)))
            return {"action": named(self.env, tf.argmax(allowed(q, mask), axis=-1)), "value": q}

        return {"act": act}

    def state(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "target": self.target,
            "optimizer": self.optimizer,
            "rng": self.rng,
            "env": self.env,
            "replay": self.replay,
            "episodes": self.episodes,
            **({"noise": self.noise} if self.config.noisy else {}),
            **{name: getattr(self, name) for name in PLAIN},
        }

    def restored(self) -> None:
        self.mirror.copy()

    def close(self) -> None:
        self.env.close()
        self.replay.close()
