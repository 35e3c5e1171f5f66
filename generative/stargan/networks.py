"""Generator and critic of StarGAN (Choi et al., 2018, section 7.2)."""

from __future__ import annotations

from typing import Any

import keras

from core.errors import require
from core.layers.translation import InstanceNorm
from core.layers.upsampling import CroppedConv2DTranspose
from core.seeds import child
from generative.stargan.config import StarGANConfig

__all__ = ["make_critic", "make_generator"]


def make_generator(shape: tuple[int, int, int], domains: int, config: StarGANConfig, seed: int) -> keras.Model:
    """Return G: picture with a map for each domain [B, H, W, C + K] -> picture [B, H, W, C] in [-1, 1], float32."""

    def start(*name: str | int) -> Any:
        return keras.initializers.HeUniform(seed=child(seed, *name))

    def conv(h: Any, filters: int, kernel: int, strides: int, *name: str | int) -> Any:
        layer = keras.layers.Conv2D(
            filters, kernel, strides, padding="same", use_bias=False, kernel_initializer=start(*name)
        )
        return InstanceNorm()(layer(h))

    x = keras.Input((*shape[:2], shape[2] + domains))
    h = keras.layers.ReLU()(conv(x, config.width, 7, 1, "first"))
    sizes = []
    for level in range(config.down):
        sizes.append(h.shape[1:3])
        h = keras.layers.ReLU()(conv(h, 2 * h.shape[3], 4, 2, "down", level))
    for k in range(config.blocks):
        residual = keras.layers.ReLU()(conv(h, h.shape[3], 3, 1, "block", k, 0))
        h = keras.layers.Add()([h, conv(residual, h.shape[3], 3, 1, "block", k, 1)])
    for level in reversed(range(config.down)):
        up = CroppedConv2DTranspose(
            h.shape[3] // 2, 4, sizes[level], use_bias=False, kernel_initializer=start("up", level)
        )
        h = keras.layers.ReLU()(InstanceNorm()(up(h)))
    last = keras.layers.Conv2D(shape[2], 7, padding="same", use_bias=False, kernel_initializer=start("last"))
    return keras.Model(x, keras.layers.Activation("tanh", dtype="float32")(last(h)), name="generator")


def make_critic(shape: tuple[int, int, int], domains: int, config: StarGANConfig, seed: int) -> keras.Model:
    """Return D: picture [B, H, W, C] -> (output of each patch [B, h, w], logits of the domains [B, K]), raw and float32."""

    def start(*name: str | int) -> Any:
        return keras.initializers.HeUniform(seed=child(seed, *name))

    require(
        min(shape[:2]) >= 2**config.d_layers,
        f"d_layers is {config.d_layers}; pictures of {shape[0]}x{shape[1]} can be halved {min(shape[:2]).bit_length() - 1} times",
    )
    x = h = keras.Input(shape)
    for k in range(config.d_layers):
        layer = keras.layers.Conv2D(config.d_width * 2**k, 4, 2, padding="same", kernel_initializer=start("layer", k))
        h = keras.layers.LeakyReLU(0.01)(layer(h))
    outputs = keras.layers.Conv2D(
        1, 3, padding="same", use_bias=False, kernel_initializer=start("source"), dtype="float32"
    )(h)
    height, width = h.shape[1:3]
    by_domain = keras.layers.Conv2D(
        domains, (height, width), use_bias=False, kernel_initializer=start("domain"), dtype="float32"
    )(h)
    heads = [keras.layers.Reshape((height, width))(outputs), keras.layers.Reshape((domains,))(by_domain)]
    return keras.Model(x, heads, name="critic")
