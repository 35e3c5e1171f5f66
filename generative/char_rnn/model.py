"""A recurrent network that predicts the next symbol of a text, and writes (Graves, 2013; Karpathy, 2015; Zaremba et al., 2014).

One update, on B places of the text that are read side by side, T symbols of each:

    x [T, B], y [T, B] = the symbols, and those after them
    logits, state = network(x, state)                     the state of the window before, without its gradient
    theta <- Adam(clip(grad mean -log p(y | x, state)))   truncated backpropagation through time (Williams and Peng, 1990)
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.errors import UsageError, require
from core.metrics.ngram import ngram_bits
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Exports, Generator, Writes
from core.seeds import child
from generative.char_rnn.config import CharRNNConfig
from generative.char_rnn.measures import bracketed
from generative.char_rnn.network import Network, drawn
from generative.char_rnn.symbols import Symbols
from generative.data.record import Record
from generative.data.text import Text, open_text, paragraphs

__all__ = ["CharRNN"]

BEGINNING = "\n\n"  # what stands before a paragraph, and before a prompt
ROWS, LENGTH = 32, 100  # parts of a text that are measured side by side, and symbols of them at a time
WRITING_SEED = 1  # so that texts compare over time


@final
class CharRNN(Generator, Writes, Exports):
    """The model. Symbols are whole numbers below V, of which 0 stands for rare characters."""

    def __init__(self, config: CharRNNConfig, context: Context):
        self.config = config
        self.text = open_text(config.data, context.say, context.folder)
        self.symbols = _symbols(self.text, config, context)
        self.temperature, self.top_k = config.temperature, config.top_k
        self.network = Network(len(self.symbols), config, child(context.seed, "network"))
        self.variables = self.network.trainable_variables
        self.optimizer = make_optimizer(config.optimizer, self.variables)
        self.memory = [tf.Variable(state, trainable=False) for state in self._fresh(config.batch)]
        self.batch_seed = child(context.seed, "batches")
        self.clock = 0
        if self.text.there:
            require(
                self.windows >= 1,
                f"batch is {config.batch} and steps {config.steps}; the text has only {len(self.numbers):,} symbols to learn "
                "from, less than their product",
            )

    @cached_property
    def numbers(self) -> np.ndarray:
        """The text to learn from [N]."""
        return self.symbols.encode(self.text.train)

    @property
    def windows(self) -> int:
        """Windows of T symbols in the part of the text that each of B places reads in an epoch."""
        return len(self.numbers) // self.config.batch // self.config.steps

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run `turn` updates; returns their mean loss, in nats a symbol, and the step size."""
        config = self.config
        windows, fresh = zip(*(self._window(self.clock + i) for i in range(config.turn)), strict=True)
        if config.decay < 1:
            self.optimizer.learning_rate.assign(self._step_size())
        loss = self._turn(tf.constant(np.stack(windows)), tf.constant(fresh))
        self.clock += config.turn
        return {"loss/total": loss, "optim/lr": self.optimizer.learning_rate.numpy()}

    def _window(self, position: int) -> tuple[np.ndarray, bool]:
        """Return window number `position`, [T + 1, B], and whether an epoch begins: each at another place of the text, a ring."""
        config, N = self.config, len(self.numbers)
        epoch, window = divmod(position, self.windows)
        first = np.random.default_rng([self.batch_seed, epoch]).integers(N)
        places = first + np.arange(config.batch) * (N // config.batch) + window * config.steps  # [B]
        return self.numbers[(places + np.arange(config.steps + 1)[:, None]) % N], window == 0

    def _step_size(self) -> float:
        """Return lr decay^k, k the epochs since `decay_after`, counted from 1."""
        late = self.clock // self.windows + 1 - self.config.decay_after
        return self.config.optimizer.lr * self.config.decay ** max(late, 0)

    @tf.function
    def _turn(self, windows: tf.Tensor, fresh: tf.Tensor) -> tf.Tensor:
        total = tf.zeros(())
        for i in tf.range(self.config.turn):
            total += self._update(windows[i, :-1], windows[i, 1:], fresh[i])
        return total / self.config.turn

    def _update(self, x: tf.Tensor, y: tf.Tensor, fresh: tf.Tensor) -> tf.Tensor:
        """One step on x, y [T, B]; where an epoch begins, from a state of zeros."""
        state = [tf.where(fresh, 0.0, part) for part in self.memory]
        with tf.GradientTape() as tape:
            logits, state = self.network.through(x, state)  # [T, B, V]
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits))
        self.optimizer.apply(tape.gradient(loss, self.variables), self.variables)
        for part, after in zip(self.memory, state, strict=True):
            part.assign(after)
        return loss

    # --- writing --------------------------------------------------------------------------------------------------------

    def write(
        self, prompt: str, n: int, length: int, *, temperature: float, top_k: int = 0, seed: int = 0
    ) -> list[str]:
        unknown = self.symbols.unknown(prompt)
        if unknown:
            raise UsageError(
                f"the prompt has {', '.join(map(repr, unknown))}, which the text that was learned from has fewer than "
                f"{self.config.rare} times; leave it out"
            )
        before = self.symbols.encode(BEGINNING + prompt)
        logits, state = self._read(before[:, None], self._fresh(1))  # [T, 1, V]
        u = [np.random.default_rng(child(seed, "text", i)).random(length, np.float32) for i in range(n)]
        V = len(self.symbols)
        numbers = self._written(
            tf.repeat(logits[-1], n, axis=0),
            [tf.repeat(part, n, axis=0) for part in state],
            tf.constant(np.stack(u)),
            tf.constant(temperature, tf.float32),
            tf.constant(min(top_k or V, V)),
        )
        return [self.symbols.decode(row)[:length] for row in numbers.numpy()]

    @tf.function(reduce_retracing=True)
    def _read(self, numbers: tf.Tensor, state: Sequence[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return self.network.through(numbers, state)

    @tf.function(reduce_retracing=True)
    def _written(
        self, logits: tf.Tensor, state: Sequence[tf.Tensor], u: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor
    ) -> tf.Tensor:
        """Return symbols [n, T] that follow each other, from the logits [n, V] and the state of the first, by u [n, T]."""
        numbers = tf.TensorArray(tf.int32, tf.shape(u)[1])
        for t in tf.range(tf.shape(u)[1]):
            chosen = drawn(logits, u[:, t], temperature, top_k)
            numbers = numbers.write(t, chosen)
            logits, state = self.network(chosen, *state)
        return tf.transpose(numbers.stack())

    def _fresh(self, n: int) -> list[tf.Tensor]:
        return [tf.zeros((n, self.config.units)) for _ in self.network.parts]

    # --- measures -------------------------------------------------------------------------------------------------------

    def evaluate(self) -> Mapping[str, Any]:
        """Measure bits per character on held-out topics, also by n-grams, brackets in what is written, and show some of it."""
        config, held_out = self.config, self.text.held_out
        some = self.text.train[: len(held_out)]
        texts = self.write(
            "", config.samples, config.sample_length, temperature=self.temperature, top_k=self.top_k, seed=WRITING_SEED
        )
        whole = [paragraph for text in texts for paragraph in paragraphs(text)[:-1]]  # the last one is cut off
        opening, closed = bracketed(whole)
        share = closed / max(opening, 1)
        its_opening, its_closed = bracketed(paragraphs(held_out))
        its_share = its_closed / max(its_opening, 1)
        return {
            "eval/bits_per_character": self.bits(held_out),
            "eval/bits_of_ngrams": self._bits_of_ngrams,
            "eval/bits_learned_from": self.bits(some),
            "eval/brackets": share,
            "eval/brackets_held_out": its_share,
            "eval/brackets_ratio": share / its_share if its_share else 0.0,
            "eval/text": textwrap.indent(texts[0], "    "),
            "eval/protocol": f"{self.text.protocol}; bits per character of the held-out text, each of {ROWS} parts from a state "
            f"of zeros, {len(self.symbols):,} symbols ({config.unit}); bits_of_ngrams: Witten-Bell, {config.order} characters of "
            f"history, fitted to the same text; brackets: share of {opening:,} written paragraphs with a bracket that are "
            f"balanced (temperature {self.temperature:g}, top-k {self.top_k or 'all'}), against {its_opening:,} held-out ones",
        }

    def bits(self, text: str) -> float:
        """Return the bits that the network needs for a character of a text, by its own symbols."""
        following = self.symbols.encode(text)
        before = np.concatenate([self.symbols.encode("\n")[:1], following[:-1]])
        L = -(-len(following) // ROWS)
        weight = np.ones(len(following), np.float32)
        x, y, w = (np.pad(a, (0, ROWS * L - len(a))).reshape(ROWS, L).T for a in (before, following, weight))
        state, total = self._fresh(ROWS), 0.0
        for t in range(0, L, LENGTH):
            part = slice(t, t + LENGTH)
            nll, state = self._nll(x[part], y[part], w[part], state)
            total += float(nll)
        return total / np.log(2) / len(text)

    @tf.function(reduce_retracing=True)
    def _nll(
        self, x: tf.Tensor, y: tf.Tensor, weight: tf.Tensor, state: Sequence[tf.Tensor]
    ) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the sum of -weight log p(y | x, state), x, y, weight [T, B], and the state after it."""
        logits, state = self.network.through(x, state)
        return tf.reduce_sum(weight * tf.nn.sparse_softmax_cross_entropy_with_logits(y, logits)), state

    @cached_property
    def _bits_of_ngrams(self) -> float:
        characters = Symbols([text for text in self.symbols.texts if len(text) == 1])
        train, test = (characters.encode(text) for text in (self.text.train, self.text.held_out))
        return float(ngram_bits(train, test, len(characters), self.config.order).mean())

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        S, codes = len(self.network.parts), self.symbols.codes()
        number = tf.TensorSpec((None,), tf.int32, "number")

        @tf.function(input_signature=[number, tf.TensorSpec((None, S, self.config.units), tf.float32, "state")])
        def follow(number: tf.Tensor, state: tf.Tensor) -> dict[str, tf.Tensor]:
            """The probability [N, V] of each symbol after symbols number [N] and a state [N, S, H], which begins with zeros;
            and the state after them."""
            logits, after = self.network(number, *tf.unstack(state, axis=1))
            return {"probability": tf.nn.softmax(logits), "next_state": tf.stack(after, axis=1)}

        @tf.function(input_signature=[number])
        def spell(number: tf.Tensor) -> dict[str, tf.Tensor]:
            """The Unicode code points [N, L] of symbols number [N], 0 behind their ends; symbol 0 stands for rare characters."""
            return {"code": tf.gather(codes, number)}

        return {"follow": follow, "spell": spell}

    def state(self) -> dict[str, Any]:
        names = ("network", "optimizer", "memory", "clock", "batch_seed")
        return {name: getattr(self, name) for name in names}


def _symbols(text: Text, config: CharRNNConfig, context: Context) -> Symbols:
    """Return the symbols of the text; the run's record has those of a run that goes on, also when the text is gone."""
    record = Record(context.folder)
    kept = record.part("symbols")
    if kept is not None:
        return Symbols(kept["texts"])
    symbols = Symbols.learn(text.train, config.rare, config.words if config.unit == "word" else 0)
    record.keep("symbols", {"texts": symbols.texts})
    return symbols
