"""Policy gradient as in "Deep Reinforcement Learning: Pong from Pixels" (Karpathy, 2016); REINFORCE (Williams, 1992); with GAE
(Schulman et al., 2016) and, as an option, the clipped surrogate of PPO (Schulman et al., 2017).

One batch, in the notation of the papers:

    play with pi_theta until the batch is full          x_t, a_t, r_t, V_t; V_t = 0 without a baseline
    A_t  = delta_t + gamma lambda A_{t+1}               delta_t = r_t + gamma V_{t+1} - V_t; beginning afresh where the play does
    R_t  = A_t + V_t                                    with lambda = 1 the discounted sum of rewards, as in the original
    A_t <- (A_t - mean) / std                           over the batch
    for each epoch, each minibatch B:
        theta <- optimiser(theta, sum_B grad [-A_t log pi(a_t | x_t)])          or of the clipped surrogate
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
import tensorflow as tf
from gymnasium.spaces import Box, Discrete

from agents.policy_gradient.config import PolicyGradientConfig
from agents.policy_gradient.network import Network
from agents.rl.episodes import Episodes
from agents.rl.policies import allowed, choices_for
from core.errors import UsageError
from core.losses.reinforcement import clipped_surrogate, policy_gradient, squared_error
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.returns import generalized_advantage
from core.seeds import child
from envs import VectorEnv, make

__all__ = ["PolicyGradient"]

ROLLOUT = ("a", "log_pi", "r", "v", "cut", "live")  # what a step of the rollout holds beside x and mask, each [N]
PLAIN = (  # counters and arrays that come back from a checkpoint as they are
    *("clock", "updates", "running_return"),
    *("ready", "row", "gradient", "losses"),
)
RUNNING_DECAY = 0.99  # of the running mean of returns that the original prints


@dataclass
class Group:
    """Half of the games: while they play, the agent decides for the other half."""

    env: VectorEnv
    games: slice  # of all games
    left: np.ndarray  # [N] whole episodes each game still has to play for this batch
    open: np.ndarray  # [N] steps since the last cut: their return is not known yet
    rollout: list[dict[str, Any]] = field(default_factory=list)  # one entry a step: x [N, D] and ROLLOUT, each [N]
    sent: dict[str, Any] | None = None  # x, a, log_pi, v, live of the step on its way


@final
class PolicyGradient(Agent, Exports):
    """The agent. Observations are flattened to D numbers, the rows of its `Network`."""

    masks = True

    def __init__(self, config: PolicyGradientConfig, context: Context):
        self.config, self.context, self.environment = config, context, config.pong_env
        self.groups = [self._make_group(number) for number in range(min(2, config.games))]
        space, actions = self.groups[0].env.observation_space, self.groups[0].env.action_space
        self.policy = choices_for(actions, "policy-gradient", config.env.id)
        if not isinstance(space, (Box, Discrete)):
            raise UsageError(
                f"policy-gradient needs Box or Discrete observations; those of {config.env.id} are {space}"
            )
        if config.policy == "sigmoid" and (self.policy.shape or self.policy.num_actions != 2):
            has = f"{self.policy.shape[0]} choices in each" if self.policy.shape else self.policy.num_actions
            raise UsageError(f"policy=sigmoid needs exactly 2 actions; {config.env.id} has {has}, see env.actions")
        self.network = Network(config, space, self.policy, context.seed, self._loss)
        self.rows, self.model = self.network.rows, self.network.model
        self.rng = np.random.default_rng(child(context.seed, "actions"))
        self.optimizer = make_optimizer(config.optimizer, self.model.trainable_variables)
        self.gradient = [np.zeros(v.shape, np.float32) for v in self.model.trainable_variables]
        self.learner = ThreadPoolExecutor(1, "learner")  # nothing runs in it between two calls of `step`

        self.clock = 0
        self.updates = 0
        self.episodes = Episodes(config.games)
        self.running_return: float | None = None
        self.ready = 0  # steps of the rollouts whose return is known
        # While learning: X [B, D], a, log_pi, A, R [B], the order of rows [E B], where updates end in it, and the clock.
        self.batch: dict[str, Any] | None = None
        self.row = 0  # rows of the order that are learned from
        self.tags = ["loss/policy", "policy/entropy", *["loss/value"] * config.baseline]
        self.tags += ["policy/kl", "policy/clipped"] if config.clip else []
        self.losses = np.zeros(len(self.tags))  # sums over the chunks of this minibatch

    def _make_group(self, number: int) -> Group:
        config, groups = self.config, min(2, self.config.games)
        N = config.games // groups + (number < config.games % groups)
        seed = child(self.context.seed, "games", number)
        env = make(config.pong_env, N, seed, may_idle=not config.batch_steps)
        env.reset()
        first = 0 if number == 0 else config.games - N
        return Group(env, slice(first, first + N), self._quota(N), np.zeros(N, int))

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Play `turn` steps in each game, or learn from one chunk of a full batch; under the clipped surrogate, whose ratio
        corrects for weights that move while the games go on, both at once."""
        learning = None
        if self.batch is not None:
            if not self.config.clip:
                return self._learned(self._learn(self.batch))
            learning = self.learner.submit(self._learn, self.batch)
        for _ in range(self.config.turn):
            for group in self.groups:
                self._play(group)
            if learning is None and self._is_full():
                self.batch = self._take_batch()
                break
        scalars = self.episodes.scalars()
        return scalars if learning is None else scalars | self._learned(learning.result())

    def _learned(self, scalars: dict[str, Any]) -> dict[str, Any]:
        """Act by the new weights, if there are some; returns what `_learn` did."""
        if scalars:
            self.network.use_weights()
            if self.running_return is not None:
                scalars["rollout/return_running"] = self.running_return
        return scalars

    def _is_full(self) -> bool:
        return self.ready >= self.config.batch_steps if self.config.batch_steps else not self._playing()

    def _play(self, group: Group) -> None:
        """Take in the step that is on its way and send the next."""
        if group.sent is None and not self._send(group):
            return
        t, step = group.sent, group.env.recv()
        assert t is not None
        r = step.reward.astype(np.float32)
        cut = step.done | ((r != 0) & self.config.cuts)
        if self.config.baseline and step.truncated.any():  # a time limit is no end: the value goes on
            r += self.config.gamma * step.truncated * self.network.forward(self.rows.features(step.final_obs))[1]
        group.rollout.append({**t, "r": r, "cut": cut})

        live = t["live"]
        group.open += live
        self.ready += int(group.open[cut].sum())
        group.open[cut] = 0
        self.clock += int(live.sum())
        for score in self.episodes.add(step.reward, step.done, live, group.games):
            mean = score if self.running_return is None else self.running_return
            self.running_return = RUNNING_DECAY * mean + (1 - RUNNING_DECAY) * score
        if not self.config.batch_steps:
            group.left -= step.done
        self._send(group)

    def _send(self, group: Group) -> bool:
        """Choose actions for the group and set the step on its way; False when all its episodes are played."""
        live = group.left > 0  # [N]
        group.sent = None
        if not live.any():
            return False
        x = self.rows.features(group.env.obs)  # [N, D]
        logits, v = self.network.forward(x)
        mask = group.env.mask
        a, log_pi = self.policy.sample_with_log_prob(allowed(logits, mask), self.rng)  # [N]
        group.env.send(a, live)
        group.sent = {
            "x": x,
            "a": a,
            "log_pi": log_pi,
            "v": v,
            "live": live,
            **({} if mask is None else {"mask": mask}),
        }
        return True

    def _playing(self) -> bool:
        return any(group.left.any() for group in self.groups)

    def _take_batch(self) -> dict[str, Any]:
        """Take the steps whose return is known out of the rollouts; the others wait for the next batch."""
        config, parts = self.config, []
        for group in self.groups:
            if not group.rollout:
                continue
            a, log_pi, r, v, cut, live = (np.stack([t[key] for t in group.rollout]) for key in ROLLOUT)
            known = live & np.flip(np.logical_or.accumulate(np.flip(cut, 0), 0), 0)  # [T, N] a cut follows
            following = np.concatenate(
                [v[1:], v[-1:]]
            )  # V_{t+1}; of the last row nobody asks, where it is known it is cut
            A = generalized_advantage(r, v, following, cut, cut, config.gamma, config.gae_lambda)
            X = self.rows.stack([t["x"] for t in group.rollout])  # [T * N, D]
            taken_masks = [np.stack([t["mask"] for t in group.rollout])[known]] if "mask" in group.rollout[0] else []
            parts.append((X[np.flatnonzero(known)], a[known], log_pi[known], A[known], (A + v)[known], *taken_masks))
            for t, taken in zip(group.rollout, known, strict=True):
                t["live"] = t["live"] & ~taken
            while group.rollout and not group.rollout[0]["live"].any():
                del group.rollout[0]
            if not config.batch_steps:
                group.left = self._quota(len(group.left))
        self.ready = 0
        a, log_pi, A, R = (np.concatenate([part[i] for part in parts]) for i in (1, 2, 3, 4))  # [B]
        A = (A - A.mean()) / (A.std() + 1e-8)
        B, E = len(A), config.epochs
        U = -(-B // config.minibatch) if config.minibatch else 1  # updates an epoch
        orders = [self.rng.permutation(B) if U > 1 else np.arange(B) for _ in range(E)]
        ends = [(epoch * U + i) * B // U for epoch in range(E) for i in range(1, U + 1)]
        masks = {"mask": np.concatenate([part[5] for part in parts])} if len(parts[0]) > 5 else {}
        rows = {"a": a.astype(np.int32), "log_pi": log_pi.astype(np.float32), "A": A.astype(np.float32), "R": R}
        return {
            "X": self.rows.stack([part[0] for part in parts]),
            **rows,
            **masks,
            "order": np.concatenate(orders),
            "ends": np.array(ends),
            "clock": self.clock,
        }

    def _learn(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Add one chunk to the gradient of a minibatch; with its last chunk, make the update and return its scalars.

        The games may go on meanwhile: what they change, like the clock, is not looked at.
        """
        ends, chunk = batch["ends"], self.config.minibatch or self.config.chunk
        update = int(np.searchsorted(ends, self.row, side="right"))
        size = ends[update] - (ends[update - 1] if update else 0)
        rows = batch["order"][self.row : min(self.row + chunk, ends[update])]
        x = batch["X"][rows]  # [C, D]
        weight = np.full(len(rows), 1 / size if self.config.loss == "mean" else 1.0, np.float32)
        masks = [batch["mask"][rows]] if "mask" in batch else []
        rest = (*(batch[name][rows] for name in ("a", "log_pi", "A", "R")), weight, *masks)
        losses, gradient = self.network.gradient(x, chunk, *rest)
        for total, part in zip(self.gradient, gradient, strict=True):
            total += np.asarray(part)  # a tensor on the right would not add in place
        self.losses += losses.numpy()
        self.row += len(rows)
        if self.row < ends[update]:
            return {}
        gradient = [tf.constant(total) for total in self.gradient]
        norm = self._apply_gradient(gradient, tf.constant(batch["clock"], tf.int64))
        for total in self.gradient:
            total[:] = 0
        means = self.losses / (1 if self.config.loss == "mean" else size)
        scalars = dict(zip(self.tags, means, strict=True))
        scalars |= {"optim/gradient_norm": norm, "rollout/batch_steps": len(batch["a"])}
        self.losses[:] = 0
        self.updates += 1
        if self.row == ends[-1]:
            self.batch, self.row = None, 0
        return scalars

    def _loss(
        self,
        logits: tf.Tensor,
        v: tf.Tensor,
        a: tf.Tensor,
        log_pi_old: tf.Tensor,
        A: tf.Tensor,
        R: tf.Tensor,
        weight: tf.Tensor,
        mask: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the loss to go down by and the sums of `tags`, for logits and mask [C, A], the rest [C]."""
        logits = allowed(logits, mask)
        config, log_pi = self.config, self.policy.log_prob(logits, a)
        surrogate = clipped_surrogate(log_pi, log_pi_old, A, config.clip) if config.clip else policy_gradient(log_pi, A)
        sums = {
            "loss/policy": tf.reduce_sum(weight * surrogate),
            "policy/entropy": tf.reduce_sum(weight * self.policy.entropy(logits)),
        }
        loss = sums["loss/policy"] - config.entropy * sums["policy/entropy"]
        if config.baseline:
            sums["loss/value"] = tf.reduce_sum(weight * squared_error(v, R))
            loss += config.value_weight * sums["loss/value"]
        if config.clip:
            ratio = tf.exp(log_pi - log_pi_old)
            sums["policy/kl"] = tf.reduce_sum(weight * (ratio - 1 - (log_pi - log_pi_old)))  # Schulman (2020), k3
            sums["policy/clipped"] = tf.reduce_sum(weight * tf.cast(tf.abs(ratio - 1) > config.clip, tf.float32))
        return loss, tf.stack([sums[tag] for tag in self.tags])

    @tf.function
    def _apply_gradient(self, gradient: list[tf.Tensor], clock: tf.Tensor) -> tf.Tensor:
        self.optimizer.apply(gradient, self.model.trainable_variables, clock)
        return tf.linalg.global_norm(gradient)

    def _quota(self, games: int) -> np.ndarray:
        config = self.config
        return np.full(games, 1 if config.batch_steps else config.batch_episodes // config.games)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool, mask: Any = None
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] for observations [N, ...], drawn from the policy or its likeliest; of those that `mask` [N, M]
        allows."""
        logits = allowed(self.network.forward(self.rows.features(observations))[0], mask)
        return self.policy.greedy(logits) if greedy else self.policy.sample(logits, rng), memory

    def exportable(self) -> Mapping[str, Any]:
        return {"act": self.policy.export(self.groups[0].env, self.network.logits)}

    def state(self) -> dict[str, Any]:
        stateful = {"model": self.model, "optimizer": self.optimizer, "rng": self.rng, "episodes": self.episodes}
        return {**stateful, **{name: getattr(self, name) for name in PLAIN}, "under_way": self.under_way}

    def restored(self) -> None:
        self.network.use_weights()

    @property
    def under_way(self) -> dict[str, Any]:
        """The batch that is learned from and the games, sparse matrices as their parts; set by a restore."""
        return {
            "batch": self.batch and {**self.batch, "X": self.rows.pack(self.batch["X"])},
            "groups": [self._group_state(group) for group in self.groups],
        }

    @under_way.setter
    def under_way(self, saved: dict[str, Any]) -> None:
        self.batch = saved["batch"] and {**saved["batch"], "X": self.rows.unpack(saved["batch"]["X"])}
        for group, tree in zip(self.groups, saved["groups"], strict=True):
            group.left, group.open = tree["left"], tree["open"]
            group.rollout, rollout = [], tree["rollout"]
            if rollout:
                N, X = len(group.left), self.rows.unpack(rollout["x"])
                for t in range(len(rollout["a"])):
                    entry = {key: rollout[key][t] for key in rollout if key != "x"}
                    group.rollout.append({"x": X[t * N : (t + 1) * N], **entry})
            group.sent = tree["sent"]
            if group.sent is not None:
                group.sent["x"] = self.rows.features(group.env.obs)
                group.env.send(group.sent["a"], group.sent["live"])

    def _group_state(self, group: Group) -> dict[str, Any]:
        rollout = {}
        if group.rollout:
            keys = [key for key in (*ROLLOUT, "mask") if key in group.rollout[0]]
            rollout = {key: np.stack([t[key] for t in group.rollout]) for key in keys}
            rollout["x"] = self.rows.pack(self.rows.stack([t["x"] for t in group.rollout]))
        return {
            "env": group.env,
            "left": group.left,
            "open": group.open,
            "rollout": rollout,
            "sent": group.sent and {key: value for key, value in group.sent.items() if key != "x"},
        }

    def close(self) -> None:
        self.learner.shutdown()
        for group in self.groups:
            group.env.close()
