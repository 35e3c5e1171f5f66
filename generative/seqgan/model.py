"""SeqGAN: "Sequence Generative Adversarial Nets with Policy Gradient" (Yu et al., 2017), in the notation of its Algorithm 1.

After pre-training, a round of it:

    for g-steps:  Y_1:T ~ G_theta
                  Q(Y_1:t-1, y_t) = 1/N sum_n D(Y^n), Y^n ~ G_beta | Y_1:t;  at t = T it is D(Y)      eq. 4
                  theta <- Adam(grad -sum_t log G_theta(y_t | Y_1:t-1) Q(Y_1:t-1, y_t))                eqs. 7, 8
                  beta <- rate beta + (1 - rate) theta
    for d-steps:  S- ~ G_theta; for k epochs: phi <- Adam(grad -E_S [log D] - E_S- [log(1 - D)])       eq. 5
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, final

import numpy as np
import tensorflow as tf

from core.losses.adversarial import standard_discriminator
from core.losses.reinforcement import policy_gradient
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Exports, Generator
from core.seeds import child
from generative.seqgan.config import SeqGANConfig
from generative.seqgan.networks import Discriminator, Writer

__all__ = ["Phase", "SeqGAN"]

AT_ONCE = 1_000  # sequences that are written or read side by side
DEVIATION = 0.1  # of the generator's first weights
HELD_OUT, WRITTEN = 1, 2  # streams of an evaluation


class Phase(NamedTuple):
    """What the next updates are: `kind` likelihood, discriminator or policy; how many of it came before, and follow."""

    kind: str
    before: int
    left: int


@final
class SeqGAN(Generator, Exports):
    """The model. Sequences are whole numbers below V, [B, T]; nll are nats a symbol."""

    def __init__(self, config: SeqGANConfig, context: Context):
        self.config, V = config, config.vocabulary
        units = config.oracle_units
        self.oracle = Writer(V, units, units, 1.0, child(config.oracle_seed, "oracle"), "oracle")
        seed = child(context.seed, "generator")
        self.G, self.G_average = (
            Writer(V, config.embedding, config.units, DEVIATION, seed, name) for name in ("generator", "roll_out")
        )
        self.D = Discriminator(
            V, config.d_embedding, config.widths, config.filters, config.keep, child(context.seed, "D")
        )
        self.theta, self.phi = self.G.trainable_variables, self.D.trainable_variables
        self.optimizer = make_optimizer(config.optimizer, self.theta)
        self.policy_optimizer = make_optimizer(config.policy_optimizer, self.theta)
        self.discriminator = make_optimizer(config.discriminator, self.phi)
        self.batch_seed, self.noise_seed = child(context.seed, "batches"), child(context.seed, "noise")
        self.negatives = tf.Variable(tf.zeros((config.sequences, config.length), tf.int32), trainable=False)
        self.clock = 0
        self._write_G, self._write_oracle, self._nll_G, self._nll_oracle = (
            tf.function(method, reduce_retracing=True)
            for method in (self.G.write, self.oracle.write, self.G.nll, self.oracle.nll)
        )
        self.positives = self._written(self.oracle, config.sequences, child(config.oracle_seed, "sequences"), 0)
        self.held_out = self._written(
            self.oracle, config.eval_samples, child(config.oracle_seed, "sequences"), HELD_OUT
        )

    # --- the algorithm --------------------------------------------------------------------------------------------------

    @property
    def per_d_step(self) -> int:
        """Updates of the discriminator in one of its steps."""
        return self.config.d_epochs * (self.config.sequences // (self.config.batch // 2))

    def phase(self) -> Phase:
        """Return what the next update is: of pre-training, or of a round."""
        config, place = self.config, self.clock
        if not config.adversarial:
            return Phase("likelihood", place, config.turn)
        if place < config.pretrain:
            return Phase("likelihood", place, config.pretrain - place)
        place -= config.pretrain
        before = config.pretrain_d_steps * self.per_d_step
        if place < before:
            return Phase("discriminator", place, self.per_d_step - place % self.per_d_step)
        steps = config.d_steps * self.per_d_step
        rounds, place = divmod(place - before, config.g_steps + steps)
        if place < config.g_steps:
            return Phase("policy", rounds * config.g_steps + place, 1)
        place += before + rounds * steps - config.g_steps
        return Phase("discriminator", place, self.per_d_step - place % self.per_d_step)

    def step(self) -> Mapping[str, Any]:
        """Run up to `turn` updates of one kind; returns their mean loss, and of a policy gradient the rewards."""
        kind, before, left = self.phase()
        count = min(left, self.config.turn)
        key = tf.constant([self.noise_seed, self.clock], tf.int64)
        if kind == "policy":
            if before == 0:
                self.G_average.set_weights(self.G.get_weights())
            loss, first, last = self._policy_update(key)
            scalars = {"loss/policy": loss, "policy/reward_first": first, "policy/reward_last": last}
        elif kind == "likelihood":
            rows = self._rows("likelihood", before, count, self.config.batch)
            scalars = {"loss/likelihood": self._likelihood_updates(tf.gather(self.positives, rows))}
        else:
            if before % self.per_d_step == 0:
                self.negatives.assign(self._written(self.G, self.config.sequences, self.noise_seed, self.clock))
            real, fake = (
                self._rows(side, before, count, self.config.batch // 2) for side in ("positives", "negatives")
            )
            loss, of_real, of_fake = self._discriminator_updates(
                tf.gather(self.positives, real), tf.gather(self.negatives, fake), key
            )
            scalars = {"loss/discriminator": loss, "critic/real": of_real, "critic/fake": of_fake}
        self.clock += count
        return scalars

    def _rows(self, stream: str, first: int, count: int, batch: int) -> np.ndarray:
        """Return the sequences of batches number first, first + 1, ..., [count, batch]: each epoch in an order of its own."""
        N, rows = self.config.sequences, []
        for position in range(first, first + count):
            epoch, place = divmod(position, N // batch)
            order = np.random.default_rng(child(self.batch_seed, stream, epoch)).permutation(N)
            rows.append(order[place * batch : (place + 1) * batch])
        return np.stack(rows)

    @tf.function(reduce_retracing=True)
    def _likelihood_updates(self, x: tf.Tensor) -> tf.Tensor:
        """One step of maximum likelihood on each of x [K, B, T]; returns the mean loss."""
        total = tf.zeros(())
        for k in tf.range(tf.shape(x)[0]):
            with tf.GradientTape() as tape:
                loss = tf.reduce_mean(self.G.nll(x[k]))
            self.optimizer.apply(tape.gradient(loss, self.theta), self.theta)
            total += loss
        return total / tf.cast(tf.shape(x)[0], tf.float32)

    @tf.function
    def _policy_update(self, key: tf.Tensor) -> list[tf.Tensor]:
        """One policy gradient; returns its loss and the mean rewards of the first and the last symbol."""
        config = self.config
        x = self.G.write(self._uniform(key, 0, config.batch))
        Q = self.rewards(x, key)  # [B, T]
        advantage = Q - tf.reduce_mean(Q, axis=0) if config.baseline else Q
        with tf.GradientTape() as tape:
            log_pi = -self.G.nll(x)
            loss = tf.reduce_sum(policy_gradient(tf.reshape(log_pi, [-1]), tf.reshape(advantage, [-1]))) / config.batch
        self.policy_optimizer.apply(tape.gradient(loss, self.theta), self.theta)
        for beta, theta in zip(self.G_average.trainable_variables, self.theta, strict=True):
            beta.assign(config.rollout_rate * beta + (1 - config.rollout_rate) * theta)
        return [loss, tf.reduce_mean(Q[:, 0]), tf.reduce_mean(Q[:, -1])]

    def rewards(self, x: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
        """Return Q [B, T] of sequences x [B, T] int32: what D says of N sequences that go on from each prefix, on average."""
        config, T = self.config, self.config.length
        state = self.G_average.read(tf.zeros_like(x[:, 0]), self.G_average.fresh(config.batch))
        Q = tf.TensorArray(tf.float32, T)
        for t in tf.range(1, T):  # prefixes of t symbols
            state = self.G_average.read(x[:, t - 1], state)
            many = [tf.repeat(part, config.rollouts, axis=0) for part in state]  # [B N, H]
            u = self._uniform(key, t, config.batch * config.rollouts)
            ends = self.G_average.go_on(tf.repeat(x, config.rollouts, axis=0), t, many, u)
            p = tf.reshape(tf.sigmoid(self.D(ends)), [-1, config.rollouts])
            Q = Q.write(t - 1, tf.reduce_mean(p, axis=1))
        Q = Q.write(T - 1, tf.sigmoid(self.D(x)))
        return tf.transpose(Q.stack())

    @tf.function(reduce_retracing=True)
    def _discriminator_updates(self, real: tf.Tensor, fake: tf.Tensor, key: tf.Tensor) -> list[tf.Tensor]:
        """One step of D on each of real, fake [K, B / 2, T]; returns the means of loss, D(real) and D(fake)."""
        total, K, B = tf.zeros(3), tf.shape(real)[0], self.config.batch // 2
        for k in tf.range(K):
            with tf.GradientTape() as tape:
                both = tf.concat([real[k], fake[k]], axis=0)
                logits = self.D(both, tf.random.experimental.stateless_fold_in(key, k))
                cross_entropy = standard_discriminator(logits[:B], logits[B:]) / 2  # the mean over both
                loss = cross_entropy + self.config.l2 * self.D.decay()
            self.discriminator.apply(tape.gradient(loss, self.phi), self.phi)
            p = tf.sigmoid(logits)
            total += tf.stack([cross_entropy, tf.reduce_mean(p[:B]), tf.reduce_mean(p[B:])])
        return tf.unstack(total / tf.cast(K, tf.float32))

    def _uniform(self, key: tf.Tensor, number: tf.Tensor | int, n: int) -> tf.Tensor:
        own = tf.random.experimental.stateless_fold_in(key, number)
        return tf.random.stateless_uniform((n, self.config.length), own)

    # --- writing and measures -------------------------------------------------------------------------------------------

    def _written(self, writer: Writer, n: int, seed: int, stream: int, temperature: float = 1.0) -> tf.Tensor:
        """Return n sequences [n, T] int32 of a network."""
        u = np.random.default_rng([seed, stream]).random((n, self.config.length), np.float32)
        write = self._write_oracle if writer is self.oracle else self._write_G
        t = tf.constant(temperature)
        return tf.concat([write(tf.constant(u[i : i + AT_ONCE]), t) for i in range(0, n, AT_ONCE)], axis=0)

    def _nll(self, writer: Writer, x: tf.Tensor) -> float:
        nll = self._nll_oracle if writer is self.oracle else self._nll_G
        return float(np.mean(np.concatenate([nll(x[i : i + AT_ONCE]) for i in range(0, len(x), AT_ONCE)])))

    def evaluate(self) -> Mapping[str, Any]:
        """Measure what the generator writes by the oracle, and what the oracle writes by the generator; nats a symbol."""
        config = self.config
        x = self._written(
            self.G, config.eval_samples, child(config.oracle_seed, "written"), WRITTEN, config.temperature
        )
        return {
            "eval/nll_oracle": self._nll(self.oracle, x),
            "eval/nll_test": self._nll(self.G, self.held_out),
            "eval/nll_train": self._nll(self.G, self.positives[: config.eval_samples]),
            "eval/nll_of_oracle": self._nll(self.oracle, self.held_out),
            "eval/symbols": len(np.unique(x)),
            "eval/protocol": f"nll_oracle: -log p of {config.eval_samples:,} written sequences of {config.length} symbols by the "
            f"oracle (seed {config.oracle_seed}, {config.vocabulary:,} symbols), nats a symbol, temperature "
            f"{config.temperature:g}; nll_test: of as many of the oracle's by the generator, none of the {config.sequences:,} "
            "learned from; nll_of_oracle: of these by the oracle; symbols: different ones written",
        }

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        T = self.config.length

        @tf.function(input_signature=[tf.TensorSpec((None, T), tf.float32, "noise")])
        def generate(noise: tf.Tensor) -> dict[str, tf.Tensor]:
            """Sequences [N, T] of whole numbers, drawn by numbers from [0, 1) [N, T]."""
            return {"sequence": self.G.write(noise, self.config.temperature)}

        @tf.function(input_signature=[tf.TensorSpec((None, T), tf.int32, "sequence")])
        def judge(sequence: tf.Tensor) -> dict[str, tf.Tensor]:
            """-log p of each symbol of sequences [N, T] by the generator, and by the oracle, in nats [N, T]; and the
            probability [N] that they are the oracle's, by the discriminator."""
            return {
                "nll": self.G.nll(sequence),
                "nll_oracle": self.oracle.nll(sequence),
                "probability": tf.sigmoid(self.D(sequence)),
            }

        return {"generate": generate, "judge": judge}

    def state(self) -> dict[str, Any]:
        names = ("G", "G_average", "D", "optimizer", "policy_optimizer", "discriminator", "negatives")
        return {name: getattr(self, name) for name in (*names, "batch_seed", "noise_seed", "clock")}
