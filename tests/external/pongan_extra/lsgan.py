"""The least-squares GAN (Mao et al., 2017, eq. 9), with R1."""

import tensorflow as tf

from core.losses.adversarial import least_squares_discriminator, least_squares_generator, zero_centred_penalty
from core.plugin import Draws, Exports, Generator
from generative.adversarial.game import Game
from generative.data.pixels import as_input

TAGS = ("loss/discriminator", "loss/generator")


class LSGAN(Generator, Draws, Exports):
    def __init__(self, config, context):
        self.config, self.clock = config, 0
        self.game = Game(config, context, batch_norm=False)
        self._turn = self.game.turn(self._update, TAGS)

    def step(self):
        values = self._turn(self.clock)
        self.clock += self.config.turn
        return values

    def _update(self, x, key):
        game, x_real, z = self.game, as_input(x[0]), self.game.noise(key)

        def D(x):
            return game.D(x, training=True)

        x_fake = game.G(z, training=True)
        with tf.GradientTape() as tape:
            D_loss = least_squares_discriminator(D(x_real), D(x_fake))
            D_loss += self.config.r1 * zero_centred_penalty(D, x_real)
        game.D_optimizer.apply(tape.gradient(D_loss, game.D.trainable_variables), game.D.trainable_variables)
        with tf.GradientTape() as tape:
            G_loss = least_squares_generator(D(game.G(z, training=True)))
        game.G_optimizer.apply(tape.gradient(G_loss, game.G.trainable_variables), game.G.trainable_variables)
        return tf.stack([D_loss, G_loss])

    def sample(self, n, seed=0):
        return self.game.sample(n, seed)

    def exportable(self):
        return self.game.exportable()

    def evaluate(self):
        return self.game.evaluate()

    def state(self):
        return {"game": self.game, "clock": self.clock}

    def close(self):
        self.game.close()
