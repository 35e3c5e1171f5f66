"""The networks of SRGAN (Ledig et al., 2017) and ESRGAN (Wang et al., 2018). Pictures are [B, H, W, 3] in [-1, 1].

Generators are fully convolutional: any size in, `scale` times that out. Outputs are float32 whatever the precision of the run.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from functools import partial

import keras

from core.layers.batch_norm import make_batch_norm
from core.layers.leaky_relu import LeakyReLU
from core.layers.prelu import ChannelPReLU
from core.layers.upsampling import BicubicUpsampling, SubpixelConv2D
from core.seeds import child

__all__ = ["SCALES", "discriminator", "fold_batch_norm", "radius", "rrdb", "srresnet"]

SCALES = {2: (2,), 3: (3,), 4: (2, 2), 8: (2, 2, 2)}
"""How many times larger a generator can make pictures, and the factors of its sub-pixel convolutions."""
ALPHA = 0.2  # slope of leaky ReLU, and ESRGAN's residual scaling
SMALL = 0.01  # of the variance of first weights: 0.1 of their standard deviation


def srresnet(
    blocks: int = 16,
    width: int = 64,
    seed: int = 0,
    *,
    scale: int = 4,
    ends: int = 9,
    batch_norm: bool = True,
    over_bicubic: bool = False,
    told: int = 0,
) -> keras.Model:
    """Return G: [B, H, W, 3] -> [B, scale H, scale W, 3], SRResNet (figure 4 of SRGAN) with tanh.

    `blocks` residual blocks of `width` channels, 3x3 convolutions, parametric ReLU, a skip around all of them, sub-pixel
    convolutions by the factors of SCALES; the first and the last kernel have `ends` pixels a side. Kernels start as He et al.
    (2015), those that end a residual or the network ten times smaller: otherwise the tanh is saturated before training begins.

    With `over_bicubic` the last convolution, without tanh, is added to bicubic interpolation of the input, so that the network
    begins as that and makes only what it lacks (Kim et al., 2016). The input has `told` channels more for what the network is
    told of every pixel.
    """
    conv = _convolutions(seed)

    def normed(h: keras.KerasTensor, filters: int, scale: float = 1.0) -> keras.KerasTensor:
        h = conv(filters, 3, scale=scale, use_bias=not batch_norm)(h)
        return make_batch_norm()(h) if batch_norm else h

    x = keras.Input((None, None, 3 + told))
    first = h = ChannelPReLU()(conv(width, ends)(x))
    for _ in range(blocks):
        h = keras.layers.Add()([h, normed(ChannelPReLU()(normed(h, width)), width, SMALL)])
    h = keras.layers.Add()([first, normed(h, width, SMALL)])
    for factor in SCALES[scale]:
        h = ChannelPReLU()(conv(width, 3, layer=SubpixelConv2D, factor=factor)(h))
    h = conv(3, ends, scale=SMALL)(h)
    return keras.Model(x, _ended(x, h, "tanh", scale, over_bicubic), name="srresnet")


def rrdb(
    blocks: int = 23,
    width: int = 64,
    seed: int = 0,
    *,
    scale: int = 4,
    growth: int = 32,
    over_bicubic: bool = False,
    told: int = 0,
) -> keras.Model:
    """Return G: [B, H, W, 3] -> [B, scale H, scale W, 3], ESRGAN's generator without batch norm, linear at the end.

    `blocks` residual-in-residual dense blocks: three dense blocks of five 3x3 convolutions that add `growth` channels each,
    every residual scaled by 0.2. Kernels start as He et al. (2015), ten times smaller. `over_bicubic` and `told` as in
    `srresnet`.
    """
    conv = partial(_convolutions(seed), scale=SMALL)

    def scaled(x: keras.KerasTensor, residual: keras.KerasTensor) -> keras.KerasTensor:
        return keras.layers.Add()([x, keras.layers.Rescaling(ALPHA)(residual)])

    def dense_block(x: keras.KerasTensor) -> keras.KerasTensor:
        seen = [x]
        for _ in range(4):
            h = conv(growth, 3)(keras.layers.Concatenate()(seen) if len(seen) > 1 else x)
            seen.append(LeakyReLU(ALPHA)(h))
        return scaled(x, conv(width, 3)(keras.layers.Concatenate()(seen)))

    x = keras.Input((None, None, 3 + told))
    first = h = conv(width, 3)(x)
    for _ in range(blocks):
        h = scaled(h, dense_block(dense_block(dense_block(h))))
    h = keras.layers.Add()([first, conv(width, 3)(h)])
    for factor in SCALES[scale]:
        h = LeakyReLU(ALPHA)(conv(width, 3, layer=SubpixelConv2D, factor=factor)(h))
    h = conv(3, 3)(LeakyReLU(ALPHA)(conv(width, 3)(h)))
    return keras.Model(x, _ended(x, h, "linear", scale, over_bicubic), name="rrdb")


def discriminator(size: int, width: int = 64, seed: int = 0) -> keras.Model:
    """Return D: [B, size, size, 3] -> raw outputs [B], no sigmoid.

    Six stride-2 4x4 convolutions of width ... 32 width channels, 1x1 convolutions down to 8 width, a residual block of
    2 width channels inside, a dense output. Leaky ReLU 0.2; batch norm except after the first.
    """
    conv = _convolutions(seed)

    def layer(
        h: keras.KerasTensor, filters: int, kernel: int, strides: int = 1, active: bool = True
    ) -> keras.KerasTensor:
        h = make_batch_norm()(conv(filters, kernel, strides=strides, use_bias=False)(h))
        return LeakyReLU(ALPHA)(h) if active else h

    x = keras.Input((size, size, 3))
    h = LeakyReLU(ALPHA)(conv(width, 4, strides=2)(x))
    for level in range(1, 6):
        h = layer(h, width * 2**level, 4, strides=2)
    h = layer(layer(h, 16 * width, 1), 8 * width, 1, active=False)
    inside = layer(layer(layer(h, 2 * width, 1), 2 * width, 3), 8 * width, 3, active=False)
    h = LeakyReLU(ALPHA)(keras.layers.Add()([h, inside]))
    start = keras.initializers.GlorotUniform(seed=child(seed, "output"))
    h = keras.layers.Dense(1, kernel_initializer=start, dtype="float32")(keras.layers.Flatten()(h))
    return keras.Model(x, keras.layers.Reshape((), dtype="float32")(h), name="discriminator")


def radius(model: keras.Model) -> int:
    """Return how many input pixels away from an output pixel's own can still change it, for either generator.

    A k x k convolution reaches (k - 1)/2 pixels of the grid that it works on; the chain through every convolution is the
    longest one, since residual paths only shorten it.
    """
    reach, grid = 0.0, 1
    for layer in model.layers:
        if isinstance(layer, keras.layers.Conv2D):
            reach += (layer.kernel_size[0] - 1) / 2 / grid
            grid *= layer.scale if isinstance(layer, SubpixelConv2D) else 1
    return int(-(-reach // 1)) + 1  # an output pixel's own input pixel is less than one off


def fold_batch_norm(model: keras.Model, plain: keras.Model) -> keras.Model:
    """Give `plain`, the same generator built without batch norm, the weights that make it compute what `model` does at inference.

    gamma (W x - mu) / sqrt(var + eps) + beta is the convolution W gamma / sqrt(var + eps) with another bias.
    """
    convs = [layer for layer in plain.layers if layer.weights]
    place = -1
    for layer in (layer for layer in model.layers if layer.weights):
        if isinstance(layer, keras.layers.BatchNormalization):
            gain = layer.gamma / keras.ops.sqrt(layer.moving_variance + layer.epsilon)  # [C]
            convs[place].kernel.assign(convs[place].kernel * gain)
            convs[place].bias.assign(layer.beta - layer.moving_mean * gain)
            continue
        place += 1
        for target, source in zip(
            convs[place].weights, layer.weights, strict=False
        ):  # a kernel whose bias comes with its norm
            target.assign(source)
    return plain


def _ended(
    x: keras.KerasTensor, h: keras.KerasTensor, activation: str, scale: int, over_bicubic: bool
) -> keras.KerasTensor:
    """Return a generator's output, float32: h activated, or h over what bicubic interpolation makes of the input x."""
    if over_bicubic:
        return keras.layers.Add(dtype="float32")([h, BicubicUpsampling(scale)(x[..., :3])])
    return keras.layers.Activation(activation, dtype="float32")(h)


class _Repeated(keras.initializers.Initializer):
    """The same kernel for every pixel of a sub-pixel block: no checkerboard at first (Aitken et al., 2017)."""

    def __init__(self, start: keras.initializers.Initializer, times: int):
        self.start, self.times = start, times

    def __call__(self, shape: tuple[int, ...], dtype: str | None = None) -> keras.KerasTensor:
        one = self.start((*shape[:-1], shape[-1] // self.times), dtype)
        return keras.ops.tile(one, (1,) * (len(shape) - 1) + (self.times,))


def _convolutions(seed: int) -> Callable[..., keras.layers.Layer]:
    """Return a maker of convolutions whose kernels start as He et al. (2015), the variance times `scale`."""
    numbers = itertools.count()

    def make(
        filters: int,
        kernel: int,
        *,
        scale: float = 1.0,
        layer: type[keras.layers.Layer] = keras.layers.Conv2D,
        factor: int = 2,
        **kwargs: object,
    ) -> keras.layers.Layer:
        own = child(seed, "convolution", next(numbers))
        start = keras.initializers.VarianceScaling(2.0 * scale, "fan_in", "truncated_normal", seed=own)
        if layer is SubpixelConv2D:
            return layer(filters, kernel, factor, kernel_initializer=_Repeated(start, factor**2), **kwargs)
        return layer(filters, kernel, kernel_initializer=start, padding="same", **kwargs)

    return make
