"""GAN-CLS (Reed, Akata, Yan, Logeswaran, Schiele and Lee, 2016): text to image by a matching-aware discriminator.

Captions t are encoded by an LSTM v = T(t), trained with a picture encoder by the symmetric cosine hinge, then frozen. One update
(Algorithm 1 of the paper), with D's and G's text the frozen v:

    x, v ~ data; v_wrong, a caption that is false of x; z ~ N(0, 1);  x_fake = G(z, v)
    s_r = D(x, v);  s_w = D(x, v_wrong);  s_f = D(x_fake, v)
    theta_D <- Adam(theta_D, grad -[log s_r + (log(1 - s_w) + log(1 - s_f)) / 2])   + R1, R2 if asked for
    theta_G <- Adam(theta_G, grad -log D(x_fake, v))                             D already updated, the same z
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, final

import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean, whole_batch
from core.errors import UsageError
from core.layers.ema import follow
from core.layers.text import text_encoder, word_encoder
from core.losses.adversarial import nonsaturating_generator, zero_centred_penalty
from core.losses.text_image import contrastive, cosine_hinge, matching_discriminator, word_similarity
from core.optim.config import lr_at
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Draws, DrawsText, Exports, Generator
from core.seeds import child
from generative.data.captions import Batch, Examples, Splits, open_captions
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.record import Record
from generative.data.sources import Stream
from generative.data.words import Words
from generative.gan_cls.config import GANCLSConfig
from generative.gan_cls.measures import Measures
from generative.gan_cls.networks import discriminator_head, discriminator_trunk, generator, image_encoder

__all__ = ["GANCLS"]

TAGS = ("loss/discriminator", "loss/penalty", "loss/generator", "critic/right", "critic/wrong", "critic/fake")
SAMPLED = 250  # pictures in one forward pass
GRID_SEED, SENTENCES, ROWS = 1, 8, 8
VOCABULARY = "vocabulary.txt"


@final
class GANCLS(Generator, Draws, DrawsText, Exports):
    """The model. The words it knows stand in the run's folder, so that drawing needs no data."""

    def __init__(self, config: GANCLSConfig, context: Context):
        self.config, self.context = config, context
        check_batch(config.batch, context.strategy)
        self._splits: Splits | None = None
        vocabulary = context.folder / VOCABULARY
        if not vocabulary.is_file():
            Words.learn([self.data.train.captions[i] for i in self.data.train.rows], vocabulary)
        self.words = Words(vocabulary)
        seed, text = context.seed, config.text_units
        self.noise_seed, self.stream_seed = child(seed, "noise"), child(seed, "batches")
        by_word = config.text == "words"
        encode = word_encoder if by_word else text_encoder
        self.T = encode(len(self.words), config.word_units, text, child(seed, "text encoder"))
        self.I = image_encoder(text, config.d_width, child(seed, "image encoder"), by_word)
        make = partial(
            generator, text, config.latent, config.g_width, config.reduced, child(seed, "generator"), by_word
        )
        self.G = make()
        self.average = make() if config.ema else self.G  # the generator that is sampled
        self.D_trunk = discriminator_trunk(config.d_width, child(seed, "discriminator", "trunk"), config.batch_norm)
        self.D_head = discriminator_head(
            text, config.d_width, config.reduced, child(seed, "discriminator", "head"), config.batch_norm, by_word
        )
        self.D_variables = self.D_trunk.trainable_variables + self.D_head.trainable_variables
        self.encoder_variables = self.T.trainable_variables + self.I.trainable_variables
        self.G_optimizer = make_optimizer(config.optimizer, self.G.trainable_variables)
        self.D_optimizer = make_optimizer(config.optimizer, self.D_variables)
        self.encoder_optimizer = make_optimizer(config.encoder_optimizer, self.encoder_variables)
        self.clock = 0
        self.learns_with = (
            "D_trunk",
            "D_head",
            *(("G",) if config.ema else ()),
        )  # I reads what is drawn, to measure it
        self._stream: Stream | None = None
        self._measures: Measures | None = None
        self._update, self._update_encoders = tf.function(self.update), tf.function(self.update_encoders)

    @property
    def data(self) -> Splits:
        """The pictures and captions, opened when first asked for: `sample` needs none."""
        if self._splits is None:
            self._splits = open_captions(self.config.data, self.context.say, self.context.folder)
        return self._splits

    @property
    def stream(self) -> Stream:
        if self._stream is None:
            examples = Examples(self.data.train, self.words)
            if examples.unknown:
                raise UsageError(
                    f"{self.data.train.name} has changed since the run began: its word {examples.unknown!r} is new; "
                    "start a new run"
                )
            _ = self.measures  # so that data that cannot be measured is refused now, not at the first evaluation
            self.sentences()  # kept in the run from now on
            self._stream = Stream(examples, self.config.batch, self.stream_seed)
            self._stream.load_state({"seed": self.stream_seed, "position": self.clock})  # one batch an update
        return self._stream

    @property
    def measures(self) -> Measures:
        if self._measures is None:
            self._measures = Measures(self.data, self.config.eval_pictures)
        return self._measures

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update of the encoders while they train, and one of D and G unless the encoders train before them."""
        config = self.config
        batch: Batch = self.stream.next()
        epoch = self.clock * config.batch / len(self.data.train)
        values: dict[str, Any] = {}
        if training := epoch < config.encoder_epochs:
            values["loss/encoder"] = self._update_encoders(
                *map(tf.constant, (batch.x, batch.text, batch.wrong, batch.false))
            )
        if not training or config.encoder == "alongside":
            key = tf.constant([self.noise_seed, self.clock], tf.int64)
            x, text, wrong = map(tf.constant, (batch.x, batch.text, batch.wrong))
            penalised = self.clock % config.penalty_every == 0
            false = tf.constant(batch.false) if config.damsm else None
            losses = self._update(x, text, wrong, key, penalised, false)
            values |= dict(zip(TAGS, losses, strict=True)) | {"optim/lr": lr_at(config.optimizer, self.clock)}
        self.clock += 1
        return values

    def update_encoders(self, x: tf.Tensor, text: tf.Tensor, wrong: tf.Tensor, false: tf.Tensor) -> tf.Tensor:
        """One step of both encoders for pictures [B, H, W, C] uint8, captions [B, T], false [B, B]; returns the loss."""
        return on_replicas(self._encoder_step, x, text, wrong, false)

    def _encoder_step(self, x: tf.Tensor, text: tf.Tensor, wrong: tf.Tensor, false: tf.Tensor) -> tf.Tensor:
        with tf.GradientTape() as tape:
            captions = self._encoded(tf.concat([share(text), share(wrong)], axis=0), training=True)
            loss = self._mismatch(as_input(share(x)), captions, false, training=True)
            part = share_of_mean(loss)
        self.encoder_optimizer.apply(tape.gradient(part, self.encoder_variables), self.encoder_variables)
        return loss

    def _encoded(self, ids: tf.Tensor, *, training: bool = False) -> tuple[tf.Tensor, ...]:
        """Return what G and D see of captions [B, T]: vectors [B, E]; for text words also those of words [B, T, E] and ids."""
        if self.config.text == "sentence":
            return (self.T(ids, training=training),)
        words, v = self.T(ids, training=training)
        return v, tf.identity(words), ids  # without the mask that Keras hands on: the ids say what is padding

    def _mismatch(
        self, x: tf.Tensor, captions: tuple[tf.Tensor, ...], false: tf.Tensor, *, training: bool = False
    ) -> tf.Tensor:
        """Return the encoders' loss for pictures [B, H, W, C] and the right, then the wrong captions [2B, ...] of each."""
        right, wrong = zip(*(map(whole_batch, tf.split(part, 2)) for part in captions), strict=True)
        if self.config.text == "sentence":
            pictures = whole_batch(self.I(x, training=training))  # [B, E]
            return cosine_hinge(pictures, right[0], false, self.config.margin, wrong[0])
        pictures, regions = map(whole_batch, self.I(x, training=training))  # [B, E], [B, R, E]
        pictures, v, v_wrong = (tf.math.l2_normalize(a, axis=1) for a in (pictures, right[0], wrong[0]))
        s = tf.matmul(pictures, v, transpose_b=True)  # [B, B]
        s_words = word_similarity(right[1][None], regions[:, None], right[2][None])  # [B, B]
        s_wrong, s_words_wrong = tf.reduce_sum(pictures * v_wrong, axis=1), word_similarity(wrong[1], regions, wrong[2])
        return contrastive(s, false, s_wrong) + contrastive(s_words, false, s_words_wrong)

    def update(
        self,
        x: tf.Tensor,
        text: tf.Tensor,
        wrong: tf.Tensor,
        key: tf.Tensor,
        penalised: bool = True,
        false: tf.Tensor | None = None,
    ) -> list[tf.Tensor]:
        """One step of D, then one of G, for x [B, H, W, C] uint8, captions [B, T], key (seed, clock) of the noise.

        G does not move in between, so one forward pass of it serves both; the trunk of D sees a real picture once. The
        penalties, which need second derivatives, stand in one update of `penalty_every` with as many times their weight.
        `false` [B, B], which captions are false of which picture, is needed for `damsm`.
        """
        values = on_replicas(partial(self._adversarial_step, penalised=penalised), x, text, wrong, key, false)
        if self.config.ema:
            follow(self.average, self.G, self.config.ema, self.G_optimizer.iterations - 1)
        return tf.unstack(values)

    def _adversarial_step(
        self,
        x: tf.Tensor,
        text: tf.Tensor,
        wrong: tf.Tensor,
        key: tf.Tensor,
        false: tf.Tensor | None,
        *,
        penalised: bool,
    ) -> tf.Tensor:
        x, ids = as_input(share(x)), tf.concat([share(text), share(wrong)], axis=0)
        captions = self._encoded(ids)  # [2B, ...], outside every tape
        v, v_wrong = zip(*(tf.split(part, 2) for part in captions), strict=True)  # all that G and D see of them
        z = share(tf.random.stateless_normal((self.config.batch, self.config.latent), key))

        def D(maps: tf.Tensor, v: Sequence[tf.Tensor]) -> tf.Tensor:  # [B, 4, 4, F], ([B, E], ...) -> [B]
            return self.D_head([maps, *v], training=True)

        with tf.GradientTape() as G_tape:
            x_fake = self.G([z, *v], training=True)  # [B, H, W, C]
            with G_tape.stop_recording():
                with tf.GradientTape() as D_tape:  # critical: real and fake apart, each with its own batch statistics
                    real, fake = self.D_trunk(x, training=True), self.D_trunk(x_fake, training=True)
                    s_r, s_w, s_f = D(real, v), D(real, v_wrong), D(fake, v)
                    D_loss = matching_discriminator(s_r, s_w, s_f)
                    penalty = tf.constant(0.0)
                    for weight, picture in ((self.config.r1, x), (self.config.r2, x_fake)):
                        if weight and penalised:
                            penalty += (
                                self.config.penalty_every
                                * weight
                                * zero_centred_penalty(lambda y: D(self.D_trunk(y, training=True), v), picture)
                            )
                    total = share_of_mean(D_loss + penalty)
                self.D_optimizer.apply(D_tape.gradient(total, self.D_variables), self.D_variables, clock=key[1])
            G_loss = nonsaturating_generator(D(self.D_trunk(x_fake, training=True), v))
            if self.config.gan_int:
                halfway = 0.5 * (v[0] + share(tf.roll(whole_batch(v[0]), 1, axis=0)))  # [B, E] eq. 5 with beta 0.5
                between = self.D_trunk(self.G([z, halfway], training=True), training=True)
                G_loss += self.config.gan_int * nonsaturating_generator(D(between, [halfway]))
            if self.config.damsm:
                G_loss += self.config.damsm * self._mismatch(x_fake, captions, false)
            part = share_of_mean(G_loss)
        self.G_optimizer.apply(
            G_tape.gradient(part, self.G.trainable_variables), self.G.trainable_variables, clock=key[1]
        )
        return tf.stack([D_loss, penalty, G_loss, *(tf.reduce_mean(s) for s in (s_r, s_w, s_f))])

    # --- samples --------------------------------------------------------------------------------------------------------

    @tf.function(reduce_retracing=True)
    def _generate(self, z: tf.Tensor, *v: tf.Tensor) -> tf.Tensor:
        return self.average([z, *v], training=False)

    @tf.function(reduce_retracing=True)
    def _embed_text(self, text: tf.Tensor) -> tuple[tf.Tensor, ...]:
        return self._encoded(text)

    @tf.function(reduce_retracing=True)
    def _embed_images(self, x: tf.Tensor) -> tf.Tensor:
        embedded = self.I(as_input(x), training=False)
        return embedded if self.config.text == "sentence" else embedded[0]

    def _read(self, captions: Sequence[str]) -> list[np.ndarray]:
        """Return what G sees of N captions, [N, ...] each, the vectors [N, E] float32 first."""
        ids = self.words.pad([self.words.encode(text) for text in captions])
        return _in_parts(self._embed_text, ids)

    def embed_text(self, captions: Sequence[str]) -> np.ndarray:
        """Return [N, E] float32 of N captions."""
        return self._read(captions)[0]

    def embed_images(self, images: np.ndarray) -> np.ndarray:
        """Return [N, E] float32 of pictures [N, 64, 64, 3] uint8."""
        return _in_parts(self._embed_images, images)[0]

    def draw(self, captions: Sequence[str], seed: int = 0) -> np.ndarray:
        """Return a picture [64, 64, 3] uint8 for each caption: [N, 64, 64, 3]."""
        z = np.asarray(tf.random.stateless_normal((len(captions), self.config.latent), [seed, -1]))
        return as_pictures(_in_parts(self._generate, z, *self._read(captions))[0])

    def sentences(self) -> list[str]:
        """Return the captions that sample grids show."""
        record = Record(self.context.folder)
        kept = record.part("sentences")
        if kept is None:
            test = self.data.test
            held_out = [test.captions[int(test.rows[i % len(test)])][0] for i in range(SENTENCES)]
            kept = {"captions": list(self.data.sentences) or held_out}
            record.keep("sentences", kept)
        return list(kept["captions"])

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, 64, 64, 3] uint8, of the grid's sentences in turn."""
        captions = self.sentences()
        return self.draw([captions[i % len(captions)] for i in range(n)], seed)

    def sample_text(self, text: str, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures [n, 64, 64, 3] uint8 of one caption. UsageError names words that no training caption has."""
        return self.sample_texts([text] * n, seed)

    def sample_texts(self, texts: Sequence[str], seed: int = 0) -> np.ndarray:
        """Return a picture [64, 64, 3] uint8 of each caption. UsageError as above."""
        for text in dict.fromkeys(texts):
            self.words.encode_typed(text)
        return self.draw(texts, seed)

    @property
    def captions(self) -> Sequence[str]:
        """Those of the sample grid, which `sample` draws in turn."""
        return self.sentences()

    @property
    def pictures(self) -> Mapping[str, Any]:
        """Other pictures that the verb `sample` can draw, by name: (n, seed) -> [n, H, W, C] uint8."""
        return {"interpolate": self.interpolate}

    def interpolate(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n pictures, each row of sqrt(n) a walk from one sentence's vector to the next one's, with one z.

        There is nothing halfway between two words: for text words these are those of the nearer sentence.
        """
        columns = max(2, int(np.ceil(np.sqrt(n))))
        rows = -(-n // columns)
        v, *words = self._read(self.sentences())
        way = np.tile(np.linspace(0, 1, columns, dtype=np.float32), rows)  # [R columns]
        start = np.repeat(np.arange(rows), columns) % len(v)
        end = (start + 1) % len(v)
        nearer = np.where(way < 0.5, start, end)
        walks = (1 - way)[:, None] * v[start] + way[:, None] * v[end]  # [R columns, E]
        z = np.asarray(tf.random.stateless_normal((rows, self.config.latent), [seed, -1]))
        z = np.repeat(z, columns, axis=0)
        return as_pictures(_in_parts(self._generate, z, walks, *(part[nearer] for part in words))[0])[:n]

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        self.words.check_traced()
        noise_spec = tf.TensorSpec((None, self.config.latent), tf.float32, "noise")

        @tf.function(input_signature=[noise_spec, tf.TensorSpec((None,), tf.string, "caption")])
        def generate(noise: tf.Tensor, caption: tf.Tensor) -> dict[str, tf.Tensor]:
            """A picture as bytes [N, 64, 64, 3] of noise z ~ N(0, 1) [N, L] and a caption each [N]."""
            x = self.average([noise, *self._encoded(self.words.traced(caption))], training=False)
            return {"image": as_bytes(x)}

        return {"generate": generate}

    def evaluate(self) -> Mapping[str, Any]:
        captions = np.repeat(self.sentences(), ROWS).tolist()
        grid = self.draw(captions, GRID_SEED)  # [8 * 8, H, W, C], one sentence a row
        return {**self.measures(self.draw, self.embed_text, self.embed_images), "samples/sentences": grid}

    def state(self) -> dict[str, Any]:
        return {
            "T": self.T,
            "I": self.I,
            "G": self.G,
            "D_trunk": self.D_trunk,
            "D_head": self.D_head,
            **({"average": self.average} if self.config.ema else {}),
            "G_optimizer": self.G_optimizer,
            "D_optimizer": self.D_optimizer,
            "encoder_optimizer": self.encoder_optimizer,
            "clock": self.clock,
            "noise_seed": self.noise_seed,
            "stream_seed": self.stream_seed,
        }

    def restored(self) -> None:
        if self.average is None:  # in checkpoints from before, where none is kept
            self.average = self.G
        self.close()
        self._stream = None  # opened again at the new position

    def close(self) -> None:
        if self._stream is not None:
            self._stream.close()


def _in_parts(network: Any, *inputs: np.ndarray) -> list[np.ndarray]:
    """Return the network's outputs, one or several, for N inputs, at most SAMPLED at a time."""
    parts = [network(*(tf.constant(a[i : i + SAMPLED]) for a in inputs)) for i in range(0, len(inputs[0]), SAMPLED)]
    several = [part if isinstance(part, tuple) else (part,) for part in parts]
    return [np.concatenate([np.asarray(a) for a in column]) for column in zip(*several, strict=True)]
