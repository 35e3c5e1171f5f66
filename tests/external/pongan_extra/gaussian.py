import numpy as np
import tensorflow as tf
from sklearn.datasets import load_digits

from core.plugin import Draws, Generator


class PixelGaussian(Generator, Draws):
    def __init__(self, config, context):
        self.config, self.clock = config, 0
        self.images = load_digits().images[..., None].astype(np.float32) / 16  # [1797, 8, 8, 1]
        self.rng = np.random.default_rng(context.seed)
        self.mean, self.variance = tf.Variable(tf.zeros((8, 8, 1))), tf.Variable(tf.ones((8, 8, 1)))

    def step(self):
        x = self.images[self.rng.integers(len(self.images), size=self.config.batch)]
        error = x.mean(axis=0) - self.mean
        self.mean.assign_add(0.1 * error)
        self.variance.assign_add(0.1 * (x.var(axis=0) - self.variance))
        self.clock += 1
        return {"loss/mean": tf.reduce_mean(tf.square(error))}

    def sample(self, n, seed=0):
        noise = np.random.default_rng(seed).normal(size=(n, 8, 8, 1))
        x = self.mean.numpy() + noise * np.sqrt(self.variance.numpy())
        return (np.clip(x, 0, 1) * 255).astype(np.uint8)

    def evaluate(self):
        error = float(np.abs(self.mean.numpy() - self.images.mean(axis=0)).mean())
        return {"eval/mean_error": error, "samples/fixed": self.sample(16, seed=1)}

    def state(self):
        return {"mean": self.mean, "variance": self.variance, "rng": self.rng, "clock": self.clock}
