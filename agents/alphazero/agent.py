"""AlphaZero: "A general reinforcement learning algorithm that masters chess, shogi and Go through self-play" (Silver et al.,
2018).

a move          pi = N(s, .) / sum N(s, .) of a tree search that f_theta guides (agents/alphazero/search.py)
a game          (s_t, pi_t, z_t) for every move; z_t = 1, 0 or -1: how it ended for whoever moved at t
an update       l = w_v (z - v)^2 - pi^T log p                      (p, v) = f_theta(s), over positions of the newest games
                theta <- optimiser(theta, grad l)                   weight decay is the optimiser's
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Any, final

import numpy as np
import tensorflow as tf

from agents.alphazero.config import AlphaZeroConfig
from agents.alphazero.network import policy_and_value
from agents.alphazero.search import search
from core.errors import UsageError
from core.optim.optimizer import make_optimizer
from core.plugin import Agent, Context, Exports
from core.seeds import child
from core.traced import direct
from envs import rules_of

__all__ = ["AlphaZero"]


@final
class AlphaZero(Agent, Exports):
    """The agent. N games are played at once; A is the number of actions, L the most moves of a game."""

    acting = "sampled by visits"

    def __init__(self, config: AlphaZeroConfig, context: Context):
        self.config, self.context, self.environment = config, context, config.env
        rules = rules_of(config.env)
        if rules is None:
            raise UsageError(
                f"alphazero plays games whose rules it knows, e.g. pongan/ConnectFour-v0 and pongan/TicTacToe-v0; "
                f"{config.env.id} is none"
            )
        self.rules = rules
        self.model = policy_and_value(rules, config.channels, config.blocks, child(context.seed, "network"))
        self.optimizer = make_optimizer(config.optimizer, self.model.trainable_variables)
        self.rng = np.random.default_rng(child(context.seed, "self-play"))
        N, A, L = config.games, rules.num_actions, rules.rows * rules.columns
        self.sides = np.zeros((2, N), np.uint64)  # of the games in progress: of whose turn it is, and the other's
        self.moves = np.zeros(N, int)
        self.history: dict[str, np.ndarray] = {
            "sides": np.zeros((N, L, 2), np.uint64),
            "pi": np.zeros((N, L, A), np.float32),
        }
        self.positions: dict[str, np.ndarray] = {  # to learn from, a ring
            "sides": np.zeros((config.capacity, 2), np.uint64),
            "pi": np.zeros((config.capacity, A), np.float32),
            "z": np.zeros(config.capacity, np.float32),
        }
        self.written = 0  # positions so far
        self.clock = 0
        self.updates = 0

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Make one move in each game of self-play, and the updates that fall due."""
        config, rules, trees = self.config, self.rules, np.arange(self.config.games)
        mine, theirs = self.sides
        allowed = rules.stones(mine | theirs) != 0
        noise = self.rng.standard_gamma(config.noise, allowed.shape) * allowed + 1e-12 * allowed
        noise /= noise.sum(axis=1, keepdims=True)  # a Dirichlet draw over the allowed actions
        visits, value = search(rules, mine, theirs, self.evaluate, config.simulations, noise, config.noise_share)
        pi = (visits / visits.sum(axis=1, keepdims=True)).astype(np.float32)
        self.history["sides"][trees, self.moves] = self.sides.T
        self.history["pi"][trees, self.moves] = pi
        drawn = (self.rng.random((len(pi), 1)) >= np.cumsum(pi, axis=1)[:, :-1]).sum(axis=1)
        a = np.where(self.moves < config.sampled_moves, drawn, pi.argmax(axis=1))
        moved = mine | rules.stones(mine | theirs)[trees, a]
        self.sides = np.stack([theirs, moved])
        self.moves += 1
        won, full = rules.won(moved), rules.full(moved | theirs)
        scalars: dict[str, Any] = {"value/root": value}
        lengths = [self._end(game, float(won[game])) for game in np.flatnonzero(won | full).tolist()]
        if lengths:
            scalars |= {
                "rollout/length": np.array(lengths, float),
                "rollout/draws": (full & ~won)[won | full].astype(float),
            }
        before = self.clock
        self.clock += config.games
        if self.written >= config.learning_starts:
            due = self.clock // config.positions_per_update - before // config.positions_per_update
            figures = [self._learn() for _ in range(due)]
            if figures:
                scalars |= dict(
                    zip(("loss/policy", "loss/value", "policy/entropy"), np.mean(figures, axis=0), strict=True)
                )
        return scalars

    def _end(self, game: int, gain: float) -> int:
        """Keep the positions of a game whose last mover got `gain`, begin a new one in its place, and return the moves it had."""
        moves = int(self.moves[game])
        z = gain * (-1.0) ** (moves - 1 - np.arange(moves))
        rows = (self.written + np.arange(moves)) % self.config.capacity
        for name in ("sides", "pi"):
            self.positions[name][rows] = self.history[name][game, :moves]
        self.positions["z"][rows] = z
        self.written += moves
        self.sides[:, game], self.moves[game] = 0, 0
        return moves

    def _learn(self) -> np.ndarray:
        """Make one update; return the means of the policy's and of the value's loss and of the policy's entropy."""
        config = self.config
        index = self.rng.integers(min(self.written, config.capacity), size=config.batch)
        x, pi = self._planes(*self.positions["sides"][index].T), self.positions["pi"][index]
        mirrored = self.rng.random(config.batch) < 0.5  # left and right are alike
        x[mirrored] = x[mirrored, :, ::-1]
        pi[mirrored] = pi[mirrored][:, self.rules.mirrored]
        self.updates += 1
        (figures,) = self._update(*map(tf.constant, (x, pi, self.positions["z"][index], np.int64(self.clock))))
        return figures.numpy()

    @cached_property
    def _update(self) -> Any:
        B, (rows, columns), A = self.config.batch, (self.rules.rows, self.rules.columns), self.rules.num_actions
        shapes = [((B, rows, columns, 2), tf.float32), ((B, A), tf.float32), ((B,), tf.float32), ((), tf.int64)]

        @tf.function(input_signature=[tf.TensorSpec(*shape) for shape in shapes])
        def update(x: tf.Tensor, pi: tf.Tensor, z: tf.Tensor, clock: tf.Tensor) -> tf.Tensor:
            theta = self.model.trainable_variables
            with tf.GradientTape() as tape:
                outputs = self.model(x, training=True)
                log_p, v = tf.nn.log_softmax(outputs["policy"]), outputs["value"][:, 0]
                L_policy = -tf.reduce_mean(tf.reduce_sum(pi * log_p, axis=1))
                L_value = tf.reduce_mean(tf.square(z - v))
                L = L_policy + self.config.value_weight * L_value
            self.optimizer.apply(tape.gradient(L, theta), theta, clock)
            entropy = -tf.reduce_mean(tf.reduce_sum(tf.exp(log_p) * log_p, axis=1))
            return tf.stack([L_policy, L_value, entropy])

        return direct(update.get_concrete_function())

    # --- the network ----------------------------------------------------------------------------------------------------

    def evaluate(self, mine: np.ndarray, theirs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return logits [N, A] and values [N] for whose turn it is, of bitboards [N]."""
        policy, value = self._network(tf.constant(self._planes(mine, theirs)))
        return policy.numpy(), value.numpy()[:, 0]

    @cached_property
    def _network(self) -> Any:
        shape = (None, self.rules.rows, self.rules.columns, 2)

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)])
        def network(x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            outputs = self.model(x, training=False)
            return outputs["policy"], outputs["value"]

        return direct(network.get_concrete_function())

    def _planes(self, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        """Return the stones [N, rows, columns, 2] float32 of bitboards [N]."""
        return np.stack([self.rules.cells(mine), self.rules.cells(theirs)], axis=-1)

    # --- the contract ---------------------------------------------------------------------------------------------------

    def act(
        self, observations: np.ndarray, memory: Any, rng: np.random.Generator, *, greedy: bool
    ) -> tuple[np.ndarray, Any]:
        """Return actions [N] for boards [N, rows, columns]: the one that a search tried most, or one drawn by its visits."""
        visits, _ = search(self.rules, *self.rules.sides(observations), self.evaluate, self.config.eval_simulations)
        if greedy:
            return visits.argmax(axis=1), memory
        ceiling = np.cumsum(visits, axis=1)
        return (rng.random((len(visits), 1)) * ceiling[:, -1:] >= ceiling).sum(axis=1), memory

    def exportable(self) -> Mapping[str, Any]:
        rules = self.rules
        shape = (None, rules.rows, rules.columns)

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.int8, "observation")])
        def judge(observation: tf.Tensor) -> dict[str, tf.Tensor]:
            """What the network says of boards without a search, in which the stones of whose turn it is are 1 and the other's -1:
            the probability [N, A] of each action, 0 for those that are not allowed, and the value [N] between -1 and 1."""
            x = tf.cast(tf.stack([observation == 1, observation == -1], axis=-1), tf.float32)
            outputs = self.model(x, training=False)
            free = tf.transpose(observation[:, ::-1] == 0, [0, 2, 1])  # [N, columns, rows], rows from below
            free = free[:, :, -1] if rules.drops else tf.reshape(free, [-1, rules.num_actions])
            logits = tf.where(free, tf.cast(outputs["policy"], tf.float32), -1e9)
            return {"probability": tf.nn.softmax(logits), "value": outputs["value"][:, 0]}

        return {"judge": judge}

    def state(self) -> dict[str, Any]:
        names = ("model", "optimizer", "rng", "sides", "moves", "history", "positions", "written", "clock", "updates")
        return {name: getattr(self, name) for name in names}
