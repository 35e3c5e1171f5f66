"""SRGAN (Ledig et al., 2017) in two stages, with the steps of ESRGAN (Wang et al., 2018) as options.

One update, with I_HR a crop, I_LR the same made `scale` times smaller, phi the features of VGG19, and I_SR = G(I_LR):

    stage one:  theta_G <- Adam(theta_G, grad mean (I_HR - I_SR)^2)
    stage two:  theta_D <- Adam(theta_D, grad -[log D(I_HR) + log(1 - D(I_SR))])
                theta_G <- Adam(theta_G, grad [w_p mean (I_HR - I_SR)^2 + w_f mean (phi(I_HR) - phi(I_SR))^2 - w_a log D(I_SR)])

ESRGAN: absolute values in place of squares, the relativistic average loss in place of the standard one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, final

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from core.distributed import check_batch, on_replicas, share, share_of_mean
from core.errors import UsageError
from core.layers.resampling import downscale, support
from core.layers.srgan import discriminator
from core.losses.adversarial import nonsaturating_generator, standard_discriminator
from core.losses.perceptual import Features
from core.losses.relativistic import rasgan
from core.metrics.image_quality import protocol, quality
from core.metrics.niqe import NaturalModel, large_enough
from core.metrics.spectrum import PATTERN
from core.optim.config import lr_at
from core.optim.optimizer import Optimizer, make_optimizer
from core.plugin import Context, Draws, Exports, Generator
from core.seeds import child
from generative.data.found import user_path
from generative.data.pictures import BROKEN, reason
from generative.data.pixels import as_input, scaled
from generative.data.sources import Stream
from generative.srgan.config import STRENGTH, SRGANConfig
from generative.srgan.data import Crops, Photo, enlarge, keep_strips, open_photos, pair_of, shrink, strips_of
from generative.srgan.degradations import degrade
from generative.srgan.generator import make_generator
from generative.srgan.measures import measures, natural_model, naturalness
from generative.srgan.upscale import Upscaler, told

__all__ = ["SRGAN", "pixel_step"]

ONE = ("loss/pixel",)
TWO = (
    "loss/pixel",
    "loss/features",
    "loss/adversarial",
    "loss/generator",
    "loss/discriminator",
    "critic/real",
    "critic/fake",
)
SHOWN = 96  # pixels a side of the crops that samples show
Pair = tuple[np.ndarray, np.ndarray]
"""A picture and the same made smaller."""
Upscale = Callable[[np.ndarray], np.ndarray]


def pixel_step(G: keras.Model, optimizer: Optimizer, hr: tf.Tensor, lr: tf.Tensor) -> tf.Tensor:
    """Run one update of stage one on hr [B, H, W, 3] and lr [B, H/scale, W/scale, 3 or 4]; returns mean (I_HR - G(I_LR))^2."""
    tf.debugging.assert_shapes([(hr, ("B", "H", "W", 3)), (lr, ("B", "h", "w", "C"))])
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.square(hr - G(lr, training=True)))
        part = share_of_mean(loss)
    optimizer.apply(tape.gradient(part, G.trainable_variables), G.trainable_variables)
    return loss


@final
class SRGAN(Generator, Draws, Exports):
    """The model. `clock` counts updates of both stages."""

    learns_with = ("D",)

    def __init__(self, config: SRGANConfig, context: Context):
        self.config, self.context = config, context
        check_batch(config.batch, context.strategy)
        strips = strips_of(context.folder, config.validation)
        name, train, self.tests = open_photos(
            config.source,
            config.test,
            config.held_out,
            context.say,
            scale=config.scale,
            eval_side=config.eval_side,
            folder=context.folder,
        )
        window = config.crop + 2 * support(config.scale)
        train, self.strips = keep_strips(train, strips, config.scale, window)
        self.crops = Crops(
            name,
            train,
            config.crop,
            config.augment,
            context.say,
            scale=config.scale,
            recolour=config.recolour,
            degradation=config.degradation,
        )
        self.G = make_generator(config, child(context.seed, "generator"))
        self.D = discriminator(config.crop, config.d_width, child(context.seed, "discriminator"))
        if not config.features and config.stage_two and config.feature_weight:
            context.say(
                "no weights of VGG19 are given (features): stage two goes without the perceptual loss, on pixels and D alone"
            )
        # each stage has optimisers of its own, which count that stage's updates
        self.pixel_optimizer = make_optimizer(config.pixel_optimizer, self.G.trainable_variables)
        self.G_optimizer = make_optimizer(config.optimizer, self.G.trainable_variables)
        self.D_optimizer = make_optimizer(config.optimizer, self.D.trainable_variables)
        self.stream = Stream(self.crops, config.batch, child(context.seed, "batches"))
        self.clock = 0
        self._rolls = child(context.seed, "rolls")
        self._stage_one, self._stage_two = (
            tf.function(partial(on_replicas, update)) for update in (self._update_pixels, self._update_both)
        )
        self._pairs: list[Pair] | None = None
        self._strips: list[Pair] | None = None
        self._beside: dict[str, float] = {}
        self._upscale = Upscaler(self.G, config.scale)

    @cached_property
    def phi(self) -> Features | None:
        """The features of VGG19, read when training begins, so that drawing and exporting do without; None without a file."""
        config = self.config
        if not config.features:
            return None
        return Features(
            str(user_path(config.features)), config.feature_layer, config.feature_activated, config.feature_size
        )

    @cached_property
    def natural(self) -> tuple[NaturalModel | None, str]:
        """The model of NIQE and what it is, read or fitted when it is needed; None where all pictures are too small for it."""
        large = any(large_enough(whole) for whole, _ in self._test_pairs())
        return natural_model(self.config.niqe) if large else (None, "no NIQE, for which pictures are too small")

    # --- the algorithm --------------------------------------------------------------------------------------------------

    def step(self) -> Mapping[str, Any]:
        """Run one update of the stage that the clock says; returns its losses."""
        _ = self._test_pairs(), self.phi, self.natural  # here, so that training without them ends before the work
        batch = tuple(tf.constant(x) for x in self.stream.next() if x is not None)
        config = self.config
        tags: tuple[str, ...]
        if self.clock < config.stage_one:
            tags, update, lr = ONE, self._stage_one, lr_at(config.pixel_optimizer, self.clock)
        else:
            tags, update, lr = TWO, self._stage_two, lr_at(config.optimizer, self.clock - config.stage_one)
        values = update(batch, tf.constant(self.clock))
        self.clock += 1
        return dict(zip(tags, tf.unstack(values), strict=True)) | {"optim/lr": lr}

    def _update_pixels(self, batch: tuple[tf.Tensor, ...], clock: tf.Tensor) -> tf.Tensor:
        """Stage one."""
        hr, lr = self._pair(*batch)
        loss = pixel_step(self.G, self.pixel_optimizer, hr, lr)
        return loss[None]

    def _update_both(self, batch: tuple[tf.Tensor, ...], clock: tf.Tensor) -> tf.Tensor:
        """Stage two: one step of D, then one of G, whose forward pass serves both, since G does not move in between."""
        config = self.config
        d_loss = rasgan if config.adversarial == "relativistic" else standard_discriminator
        hr, lr = self._pair(*batch)
        offsets = tf.random.stateless_uniform([2], [self._rolls, clock], 0, config.crop * config.roll or 1, tf.int32)

        def D(x: tf.Tensor) -> tf.Tensor:  # [B, crop, crop, 3] -> [B]
            return self.D(tf.roll(x, offsets, [1, 2]) if config.roll else x, training=True)

        with tf.GradientTape() as G_tape:
            sr = self.G(lr, training=True)  # [B, crop, crop, 3]
            with G_tape.stop_recording():
                with tf.GradientTape() as D_tape:  # critical: real and fake apart, each with its own batch statistics
                    real, fake = D(hr), D(sr)  # [B]
                    D_loss = d_loss(real, fake)
                    D_part = share_of_mean(D_loss)
                gradient = D_tape.gradient(D_part, self.D.trainable_variables)
                self.D_optimizer.apply(gradient, self.D.trainable_variables)
            pixel = self._distance(hr, sr)
            feature = self._distance(self.phi(hr), self.phi(sr)) if self.phi else tf.constant(0.0)
            judged = D(sr)
            if config.adversarial == "relativistic":
                adversarial = rasgan(judged, D(hr))  # the sides exchanged
            else:
                adversarial = nonsaturating_generator(judged)
            loss = (
                config.pixel_weight * pixel + config.feature_weight * feature + config.adversarial_weight * adversarial
            )
            part = share_of_mean(loss)
        self.G_optimizer.apply(G_tape.gradient(part, self.G.trainable_variables), self.G.trainable_variables)
        means = tf.reduce_mean(real), tf.reduce_mean(fake)
        return tf.stack([pixel, feature, adversarial, loss, D_loss, *means])

    def _distance(self, x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
        return tf.reduce_mean(tf.square(x - y) if self.config.distance == "mse" else tf.abs(x - y))

    def _pair(
        self, windows: tf.Tensor, degraded: tf.Tensor | None = None, strengths: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return crops [B, crop, crop, 3] and the same made smaller, rounded to 8 bits as a file of them would be.

        Of degraded ones [B, crop / scale, crop / scale, 4] the last channel is the strength [B], which G is told.
        """
        scale = self.config.scale
        margin, windows = support(scale), share(windows)
        if degraded is not None:
            hr = as_input(windows[:, margin:-margin, margin:-margin])
            return hr, told(as_input(share(degraded)), share(strengths))
        small = downscale(tf.cast(windows, tf.float32), scale, margin, eight_bit=True)
        return as_input(windows[:, margin:-margin, margin:-margin]), scaled(small)

    # --- samples --------------------------------------------------------------------------------------------------------

    def _test_pairs(self) -> list[Pair]:
        """Return (picture, the same made smaller) of every photograph to measure on."""
        if self._pairs is None:
            self._pairs = self._pairs_of(self.tests)  # only now: what an error leaves behind must not be measured on
        return self._pairs

    def _strip_pairs(self) -> list[Pair]:
        """Return the same of what photographs to train on keep, without those that bicubic interpolation restores."""
        if self._strips is None:
            scale = self.config.scale
            pairs = self._pairs_of(self.strips)
            self._strips = [(x, y) for x, y in pairs if np.isfinite(quality(x, enlarge(y, scale), scale)["psnr_y"])]
        return self._strips

    def _pairs_of(self, photos: list[Photo]) -> list[Pair]:
        pairs, scale = [], self.config.scale
        for photo in photos:
            try:
                pairs.append(pair_of(photo, scale, self.config.eval_side, partial(self._shrunk, photo.name)))
            except BROKEN as error:
                raise UsageError(f"the picture {photo.name} to measure on cannot be read: {reason(error)}") from error
        return pairs

    def _shrunk(self, name: str, whole: np.ndarray) -> np.ndarray:
        """Return a picture made smaller as those that are trained on are, always in the same way."""
        if self.config.degradation == "bicubic":
            return shrink(whole, self.config.scale)
        rng = np.random.default_rng(child(0, "measured", name))
        return degrade(whole, self.config.scale, self.config.degradation, STRENGTH, rng)

    def _methods(self) -> dict[str, Upscale]:
        return {
            "bicubic": partial(enlarge, scale=self.config.scale),
            "lanczos": partial(enlarge, scale=self.config.scale, kind=Image.Resampling.LANCZOS),
            "srgan": self._upscale,
        }

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """Return n crops [n, 96, 96, 3] uint8 of held-out photographs, enlarged; smaller ones where a photograph is."""
        return self._crops_of(n, seed, ["srgan"])[0]

    @property
    def pictures(self) -> Mapping[str, Callable[[int, int], np.ndarray]]:
        """Other pictures that the verb `sample` can draw: `compare` has rows of bicubic, Lanczos, ours and the truth."""
        return {"compare": self.compare}

    def compare(self, n: int, seed: int = 0) -> np.ndarray:
        """Return a picture [1, H, W, 3] uint8: n rows, at most 16, of bicubic, Lanczos, ours and the truth."""
        parts = self._crops_of(min(n, 16), seed, ["bicubic", "lanczos", "srgan", "truth"])  # of [n, side, side, 3]
        return np.concatenate([np.concatenate(list(part), axis=0) for part in parts], axis=1)[None]

    def _crops_of(self, n: int, seed: int, columns: list[str]) -> list[np.ndarray]:
        rng = np.random.default_rng(seed)
        pairs, methods, scale = self._test_pairs(), self._methods(), self.config.scale
        side = min(SHOWN, *(min(whole.shape[:2]) for whole, _ in pairs)) // scale * scale
        shown: dict[str, list[np.ndarray]] = {name: [] for name in columns}
        for i in range(n):
            whole, small = pairs[i % len(pairs)]
            top, left = (int(rng.integers((m - side) // scale + 1)) * scale for m in whole.shape[:2])
            crop = small[top // scale : (top + side) // scale, left // scale : (left + side) // scale]
            for name in columns:
                truth = whole[top : top + side, left : left + side]
                shown[name].append(truth if name == "truth" else methods[name](crop))
        return [np.stack(shown[name]) for name in columns]

    def exportable(self) -> Mapping[str, Any]:
        """Return the function that `export` saves: pictures as bytes [N, H, W, 3] -> [N, scale H, scale W, 3], whole."""
        return {"upscale": self._upscale.function}

    # --- the contract ---------------------------------------------------------------------------------------------------

    def evaluate(self) -> Mapping[str, Any]:
        """Return means over the held-out photographs, of G and, beside it, of bicubic and Lanczos interpolation.

        The headline is over the strips that photographs to train on keep."""
        pairs, methods, config = self._test_pairs(), self._methods(), self.config
        model, natural = self.natural
        mean = partial(_mean_measures, pairs, scale=config.scale, model=model)
        if not self._beside:
            if model is not None:
                true = [naturalness(whole, model, config.scale) for whole, _ in pairs]
                self._beside |= {f"eval/truth_{k}": v for k, v in _means(true).items()}
            for name in ("bicubic", "lanczos"):
                means = mean(methods[name])
                self._beside |= {f"eval/{name}_{k}": v for k, v in means.items()}
        measured: dict[str, Any] = {f"eval/{k}": v for k, v in mean(methods["srgan"]).items()}
        if strips := self._strip_pairs():
            chosen = _mean_measures(strips, methods["srgan"], config.scale)["psnr_y"]
            by = f"strips of {len(strips)} photographs of the training set, which is not trained on them"
        else:
            chosen, by = measured["eval/psnr_y"], "the photographs that are measured on"
        named = ", ".join(photo.name for photo in self.tests)
        part = f", the middle {config.eval_side} pixels" if config.eval_side else ""
        return {
            **measured,
            "eval/validation_psnr_y": chosen,
            "eval/gain_y": measured["eval/psnr_y"] - self._beside["eval/bicubic_psnr_y"],
            **self._beside,
            "samples/compare": self.compare(6, seed=1),
            "eval/protocol": f"means over {len(pairs)} photographs ({named}{part}), made {config.scale} times smaller "
            f"{self._how()}; {protocol(config.scale)}; {PATTERN}; {natural}; the best checkpoint is chosen by Y-PSNR on {by}; "
            f"trained on {self.crops.protocol}",
        }

    def _how(self) -> str:
        order, given = self.config.degradation, sum(photo.read_small is not None for photo in self.tests)
        if given == len(self.tests):
            return "in files of their own"
        if given:
            return f"in files of {given} of them, the others by the program"
        if order == "bicubic":
            return "by Pillow's bicubic filter"
        return f"with blur, resizing, noise and JPEG of {order} order and strength {STRENGTH:g}, of which G is told"

    def state(self) -> dict[str, Any]:
        return {
            "G": self.G,
            "D": self.D,
            "pixel_optimizer": self.pixel_optimizer,
            "G_optimizer": self.G_optimizer,
            "D_optimizer": self.D_optimizer,
            "clock": self.clock,
            "stream": self.stream,
        }

    def close(self) -> None:
        self.stream.close()


def _mean_measures(
    pairs: list[Pair], upscale: Upscale, scale: int, model: NaturalModel | None = None
) -> dict[str, float]:
    return _means([measures(whole, upscale(small), scale, model) for whole, small in pairs])


def _means(rows: list[dict[str, float]]) -> dict[str, float]:
    """Return the mean of each measure over the pictures that have it."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(np.mean([row[name] for row in rows if name in row])) for name in names}
