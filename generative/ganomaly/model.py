"""GANomaly (Akcay, Atapour-Abarghouei and Breckon, 2018): anomalies by the distance of two codes.

One update, in the notation of the paper, x ~ normal data:

    z = G_E(x),  x' = G_D(z),  z' = E(x')
    theta_G <- Adam(theta_G, grad w_adv |f(x) - f(x')|_2 + w_con |x - x'|_1 + w_enc |z - z'|_2)
    theta_D <- Adam(theta_D, grad -[log D(x) + log(1 - D(x'))])                                  of the same forward pass

theta_G are the weights of G_E, G_D and E, and f are the features of D. The score of a picture is A(x) = |z - z'|_1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.errors import UsageError
from core.losses.adversarial import standard_discriminator
from core.losses.anomaly import contextual, feature_matching, latent_distance
from core.metrics.anomalies import anomaly_sheet
from core.optim.optimizer import make_optimizer
from core.plugin import Context, Exports, FindsAnomalies, Generator
from core.seeds import child
from generative.adversarial.networks import make_features, make_generator
from generative.adversarial.settings import AdversarialConfig
from generative.data.left_out import leave_out
from generative.data.pixels import as_bytes, as_input, as_pictures
from generative.data.sources import Pictures, Stream, open_data
from generative.ganomaly.config import GANomalyConfig

__all__ = ["GANomaly", "make_encoder"]

TAGS = ("loss/generator", "loss/adversarial", "loss/contextual", "loss/latent", "loss/discriminator")
SHOWN = 16  # pictures in a sheet
AT_ONCE = 250  # pictures in one forward pass


@final
class GANomaly(Generator, FindsAnomalies, Exports):
    """The model. Pictures are bytes outside, floats in [-1, 1] for the networks."""

    def __init__(self, config: GANomalyConfig, context: Context):
        self.config = config
        check_batch(config.batch, context.strategy)
        data = open_data(config.data, context.say, context.folder)
        if not isinstance(data, Pictures):
            raise UsageError(
                f"data.source is {config.data.source!r}; ganomaly needs a fixed set of pictures, e.g. mnist5k"
            )
        self.parts = leave_out(data, config.anomaly, config.held_out)
        self.shape = data.shape
        networks = AdversarialConfig(config.data, latent=config.latent, width=config.width)
        seed = context.seed
        self.G_E = make_encoder(data, networks, child(seed, "encoder"))
        self.G_D = make_generator(data, networks, child(seed, "decoder"))
        self.E = make_encoder(data, networks, child(seed, "second encoder"))
        self.D = _discriminator(data, networks, child(seed, "discriminator"))
        self.G_variables = [v for model in (self.G_E, self.G_D, self.E) for v in model.trainable_variables]
        self.G_optimizer = make_optimizer(config.optimizer, self.G_variables)
        self.D_optimizer = make_optimizer(config.optimizer, self.D.trainable_variables)
        self.stream = Stream(self.parts.train, config.batch, child(seed, "batches"))
        self.clock = 0
        self._update_traced = tf.function(lambda x: on_replicas(self._update, as_input(x)))

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update; returns its losses."""
        values = self._update_traced(tf.constant(self.stream.next()))
        self.clock += 1
        return dict(zip(TAGS, tf.unstack(values), strict=True))

    def _update(self, x: tf.Tensor) -> tf.Tensor:
        """One step of G_E, G_D and E, and one of D, for x [B, H, W, C]: both from one forward pass, as the published code."""
        config, x = self.config, share(x)
        with tf.GradientTape() as G_tape, tf.GradientTape() as D_tape:
            z = self.G_E(x, training=True)  # [B, L]
            x_again = self.G_D(z, training=True)  # [B, H, W, C]
            z_again = self.E(x_again, training=True)  # [B, L]
            # critical: each side with its own batch statistics
            (real, f_real), (fake, f_fake) = self.D(x, training=True), self.D(x_again, training=True)  # [B], [B, F]
            L_adv = feature_matching(f_real, f_fake)
            L_con = contextual(x, x_again)
            L_enc = latent_distance(z, z_again)
            G_loss = config.adversarial * L_adv + config.contextual * L_con + config.latent_weight * L_enc
            D_loss = standard_discriminator(real, fake)
            G_part, D_part = share_of_mean(G_loss), share_of_mean(D_loss)
        self.G_optimizer.apply(G_tape.gradient(G_part, self.G_variables), self.G_variables)
        self.D_optimizer.apply(D_tape.gradient(D_part, self.D.trainable_variables), self.D.trainable_variables)
        return tf.stack([G_loss, L_adv, L_con, L_enc, D_loss])

    @tf.function(reduce_retracing=True)
    def _again(self, x: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return scores [B] and reconstructions [B, H, W, C] of pictures [B, H, W, C]."""
        z = self.G_E(x, training=False)
        x_again = self.G_D(z, training=False)
        return tf.reduce_sum(tf.abs(z - self.E(x_again, training=False)), axis=1), x_again

    # --- measures and pictures ------------------------------------------------------------------------------------------

    @property
    def picture_shape(self) -> tuple[int, int, int]:
        height, width, channels = self.shape
        return height, width, channels

    def anomalies(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the scores |z - z'|_1 [N] and reconstructions [N, H, W, C] uint8 of pictures [N, H, W, C] uint8."""
        parts = [self._again(as_input(tf.constant(images[i : i + AT_ONCE]))) for i in range(0, len(images), AT_ONCE)]
        scores, again = (np.concatenate([np.asarray(part[i]) for part in parts]) for i in (0, 1))
        return scores, as_pictures(again)

    def evaluate(self) -> Mapping[str, Any]:
        """Return how well held-out normal pictures are reconstructed and, where a class is left out, how well it is found.

        eval/contextual: mean |x - x'| of normal pictures, in [0, 2]; eval/latent: mean |z - z'| an entry. eval/auc: the share of
        pairs of an anomalous and a normal picture in which the former has the higher score (area under the ROC curve);
        eval/auc_contextual: the same by |x - x'| in place of the codes.
        """
        images, anomalous = self.parts.measured()
        scores, again = self.anomalies(images)
        difference = np.abs(images.astype(np.float32) - again).mean(axis=(1, 2, 3)) / 127.5  # [N]
        measured: dict[str, Any] = {
            "eval/contextual": float(difference[~anomalous].mean()),
            "eval/latent": float(scores[~anomalous].mean() / self.config.latent),
            "eval/protocol": self.parts.protocol,
            "samples/anomalies": self.sheet(SHOWN),
        }
        if anomalous.any():
            from sklearn.metrics import roc_auc_score

            measured["eval/auc"] = float(roc_auc_score(anomalous, scores))
            measured["eval/auc_contextual"] = float(roc_auc_score(anomalous, difference))
        return measured

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """What the verb `sample` can draw: (n, seed) -> [n, 3 H, W, 3] uint8; nothing of it is drawn by chance."""
        return {"anomalies": self.sheet}

    def sheet(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n held-out pictures, half of them of the class that is left out, each above its reconstruction and its map."""
        images = self.parts.shown(n)
        return anomaly_sheet(images, self.anomalies(images)[1])

    # --- the contract ---------------------------------------------------------------------------------------------------

    def exportable(self) -> Mapping[str, Any]:
        @tf.function(input_signature=[tf.TensorSpec((None, *self.shape), tf.uint8, "image")])
        def score(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """The score [N] of pictures as bytes [N, H, W, C], higher for anomalies, and their reconstructions."""
            scores, again = self._again(as_input(image))
            return {"score": scores, "reconstruction": as_bytes(again)}

        return {"score": score}

    def state(self) -> dict[str, Any]:
        names = ("G_E", "G_D", "E", "D", "G_optimizer", "D_optimizer", "clock", "stream")
        return {name: getattr(self, name) for name in names}

    def close(self) -> None:
        self.stream.close()


def make_encoder(data: Pictures, networks: AdversarialConfig, seed: int) -> keras.Model:
    """Return pictures [B, H, W, C] -> codes [B, L] float32: the discriminator's features, and a linear layer."""
    features = make_features(data, networks, seed, batch_norm=True)
    return keras.Model(features.input, _linear(networks.latent, seed)(features.output), name="encoder")


def _discriminator(data: Pictures, networks: AdversarialConfig, seed: int) -> keras.Model:
    """Return D, pictures [B, H, W, C] -> (raw output [B], features f [B, F]), float32."""
    features = make_features(data, networks, seed, batch_norm=True)
    output = keras.layers.Reshape((), dtype="float32")(_linear(1, seed)(features.output))
    f = keras.layers.Activation("linear", dtype="float32")(features.output)
    return keras.Model(features.input, [output, f], name="discriminator")


def _linear(units: int, seed: int) -> keras.layers.Layer:
    start = keras.initializers.RandomNormal(0.0, 0.02, seed=child(seed, "last"))
    return keras.layers.Dense(units, kernel_initializer=start, dtype="float32")
