"""Values of an image's pixels: scaling, normalising, whitening, dropping; and images as Pillow's objects."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy import linalg

from core.tl.errors import require, require_pixels
from core.tl.prepro.multi import multi
from core.tl.randomness import Rng, random_source, uniform

__all__ = [
    "array_to_img",
    "channel_shift",
    "channel_shift_multi",
    "drop",
    "featurewise_norm",
    "get_zca_whitening_principal_components_img",
    "imresize",
    "pixel_value_scale",
    "samplewise_norm",
    "stretch_to_uint8",
    "zca_whitening",
]

logger = logging.getLogger(__name__)


# --- values -----------------------------------------------------------------------------------------------------------


def pixel_value_scale(
    im: np.ndarray, val: float = 0.9, clip: Sequence[float] | None = None, is_random: bool = False, *, rng: Rng = None
) -> np.ndarray:
    """Multiply every value by one factor.

    A uint8 image times an integer wraps around, as in numpy; give a float factor.

    Args:
        im: array of any shape.
        val: factor; with ``is_random`` drawn from [1 - val, 1 + val].
        clip: (low, high) to clip to.
        is_random: draw the factor.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Array of the same shape; float64 for integer images unless ``clip`` and ``val`` are integers.

    Raises:
        ValueError: clip is not a pair.

    >>> pixel_value_scale(np.asarray([100, 200]), 2.0, clip=[0, 255]).tolist()
    [200.0, 255.0]
    """
    low, high = _clip_limits(clip)
    factor = 1 + uniform(rng, -val, val) if is_random else val
    return np.clip(im * factor, low, high)


def _clip_limits(clip: Sequence[float] | None) -> tuple[float, float]:
    if clip is None:
        return -np.inf, np.inf
    require(len(clip) == 2, f"clip must be a pair (low, high), not {clip!r}")
    return clip[0], clip[1]


def samplewise_norm(
    x: np.ndarray,
    rescale: float | None = None,
    samplewise_center: bool = False,
    samplewise_std_normalization: bool = False,
    channel_index: int = 2,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Rescale, centre and normalise one image.

    A greyscale image is normalised by its mean and deviation; a colour image pixel by pixel, over its three channels.

    Args:
        x: [row, col, 1 or 3].
        rescale: factor, applied first and in place: x itself changes, as in the original. None or 0 for none.
        samplewise_center: subtract the mean.
        samplewise_std_normalization: divide by the standard deviation.
        channel_index: axis of the channels.
        epsilon: added to the deviation of colour pixels.

    Returns:
        Image of the same shape.

    Raises:
        TypeError: rescale with an integer image.
        ValueError: neither 1 nor 3 channels.

    >>> x = np.asarray([[[0.0], [2.0]]])
    >>> samplewise_norm(x, rescale=0.5, samplewise_center=True).ravel().tolist(), x.ravel().tolist()
    ([-0.5, 0.5], [0.0, 1.0])
    """
    if rescale:
        if x.dtype.kind in "iu" and not isinstance(rescale, (int, np.integer)):
            raise TypeError(f"rescale by {rescale} works in place and needs a float image, not {x.dtype}")
        x *= rescale
    channels = x.shape[channel_index]
    require(channels in (1, 3), f"an image must have 1 or 3 channels on axis {channel_index}, not {channels}")
    axis = None if channels == 1 else channel_index
    if samplewise_center:
        x = x - np.mean(x, axis=axis, keepdims=True)
    if samplewise_std_normalization:
        deviation = np.std(x, axis=axis, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            x = x / (deviation if channels == 1 else deviation + epsilon)
    return x


def featurewise_norm(
    x: np.ndarray,
    mean: float | np.ndarray | None = None,
    std: float | np.ndarray | None = None,
    epsilon: float = 1e-7,
) -> np.ndarray:
    """Subtract a given mean and divide by a given deviation. (The original takes numbers only: arrays made it raise.)

    Args:
        x: array of any shape.
        mean: number, or array that broadcasts; None or 0 for none.
        std: number, or array that broadcasts; None or 0 for none.
        epsilon: added to ``std``.

    Returns:
        Array of the same shape.

    >>> featurewise_norm(np.asarray([[1.0, 4.0]]), mean=np.asarray([1.0, 2.0])).tolist()
    [[0.0, 2.0]]
    """
    if mean is not None and np.any(mean):
        x = x - mean
    if std is not None and np.any(std):
        x = x / (std + epsilon)
    return x


def get_zca_whitening_principal_components_img(X: np.ndarray) -> np.ndarray:
    """Matrix of ZCA whitening of a set of images.

    Args:
        X: float [n, row, col, channel], usually with mean 0.

    Returns:
        [d, d] with d = row * col * channel.

    Raises:
        ValueError: X has no four axes.

    >>> get_zca_whitening_principal_components_img(np.eye(4).reshape(4, 2, 2, 1)).round(3).diagonal().tolist()
    [2.0, 2.0, 2.0, 2.0]
    """
    require(np.ndim(X) == 4 and np.size(X) > 0, f"X must be [n, row, col, channel] with n > 0, not {np.shape(X)}")
    flat = X.reshape(len(X), -1)
    logger.info("ZCA of %d images with %d values", *flat.shape)
    u, s, _ = linalg.svd(flat.T @ flat / len(flat))
    return (u * (1.0 / np.sqrt(s + 1e-6))) @ u.T


def zca_whitening(x: np.ndarray, principal_components: np.ndarray) -> np.ndarray:
    """Whiten one image.

    Args:
        x: [row, col, channel].
        principal_components: [d, d] of :func:`get_zca_whitening_principal_components_img`.

    Returns:
        Image of the same shape.

    Raises:
        ValueError: the sizes differ.

    >>> zca_whitening(np.ones([1, 2, 1]), 2 * np.eye(2)).ravel().tolist()
    [2.0, 2.0]
    """
    require(
        principal_components.shape == (x.size, x.size),
        f"an image of {x.size} values needs a {x.size} x {x.size} matrix, not {principal_components.shape}",
    )
    return (x.reshape(-1) @ principal_components).reshape(x.shape)


def channel_shift(
    x: np.ndarray, intensity: float, is_random: bool = False, channel_index: int = 2, *, rng: Rng = None
) -> np.ndarray:
    """Add one number to every value, within the image's own range.

    An integer image is added to in wider integers, so it never wraps around (the original did).

    Args:
        x: [row, col, channel].
        intensity: the number; with ``is_random`` drawn from [-intensity, intensity].
        is_random: draw the number.
        channel_index: taken for compatibility: every channel is shifted alike.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape, clipped to [x.min(), x.max()]; float64 for an integer image and a fractional number.

    >>> channel_shift(np.asarray([[[0], [250], [255]]], np.uint8), 10).ravel().tolist()
    [10, 255, 255]
    """
    require_pixels(x)
    number = uniform(rng, -intensity, intensity) if is_random else intensity
    low, high = np.min(x), np.max(x)
    if x.dtype.kind in "iu" and isinstance(number, (int, np.integer)):
        return np.clip(x.astype(np.int64) + number, low, high).astype(x.dtype)
    return np.clip(x + number, low, high)


channel_shift_multi = multi(
    "channel_shift_multi",
    channel_shift,
    """:func:`channel_shift` of several images by one number. (No generation of the original works.)

    >>> channel_shift_multi([np.asarray([[[0.0], [1.0]]])] * 2, 0.5).ravel().tolist()
    [0.5, 1.0, 0.5, 1.0]
    """,
    needs_image="never",
)


def drop(x: np.ndarray, keep: float = 0.5, *, rng: Rng = None) -> np.ndarray:
    """Set pixels to 0 at random.

    Args:
        x: [row, col, 3]: all channels of a pixel are dropped together, **in place**, as in the original.
            [row, col, 1], [row, col] or a vector: a new array is returned.
        keep: probability that a pixel stays.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Array of the same shape; x itself for colour images.

    Raises:
        ValueError: three axes, but neither 1 nor 3 channels.

    >>> drop(np.ones([2, 2]), keep=1.0).tolist()
    [[1.0, 1.0], [1.0, 1.0]]
    """
    require(x.ndim != 3 or x.shape[-1] in (1, 3), f"an image must be [row, col(, 1 or 3)], not {x.shape}")
    source = random_source(rng)
    if x.ndim == 3 and x.shape[-1] == 3:
        mask = source.binomial(n=1, p=keep, size=x.shape[:-1])
        x[mask == 0] = 0
        return x
    return np.multiply(x, source.binomial(n=1, p=keep, size=x.shape))


# --- to and from Pillow -----------------------------------------------------------------------------------------------

_RESAMPLING = {
    "nearest": Image.Resampling.NEAREST,
    "lanczos": Image.Resampling.LANCZOS,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "cubic": Image.Resampling.BICUBIC,
}


def imresize(
    x: np.ndarray, size: int | float | Sequence[int] | None = None, interp: str = "bicubic", mode: str | None = None
) -> np.ndarray:
    """Resize an image, the way scipy.misc.imresize did: an image that is not uint8 is first stretched to 0 .. 255.

    Args:
        x: [row, col], or [row, col, 1, 3 or 4].
        size: (height, width); an integer is a percentage, a float a fraction of the current size. [100, 100] without.
        interp: "nearest", "lanczos", "bilinear", "bicubic" (the default since 1.6; 1.5.3's was "bilinear") or "cubic".
        mode: Pillow mode to convert to before; "F" keeps the values as float32.

    Returns:
        uint8 image (float32 with mode "F").

    Raises:
        ValueError: another interpolation or number of channels.

    >>> imresize(np.zeros([4, 6, 3], np.uint8), size=[2, 3]).shape
    (2, 3, 3)
    """
    require_pixels(x)
    if interp not in _RESAMPLING:
        raise ValueError(f"interp must be one of {', '.join(_RESAMPLING)}, not {interp!r}")
    colours = x.shape[2:]
    require(colours in ((), (1,), (3,), (4,)), f"an image must be [row, col] or have 1, 3 or 4 channels, not {x.shape}")
    grey = x[:, :, 0] if colours == (1,) else x
    if mode == "F":
        image = Image.fromarray(grey.astype(np.float32))
    else:
        image = Image.fromarray(stretch_to_uint8(grey))
        image = image if mode is None else image.convert(mode)
    rows, cols = _new_size(x.shape[:2], [100, 100] if size is None else size)
    resized = np.array(image.resize((cols, rows), _RESAMPLING[interp]))
    return resized[:, :, None] if colours == (1,) else resized


def _new_size(shape: Sequence[int], size: int | float | Sequence[int]) -> tuple[int, int]:
    if isinstance(size, (int, float, np.number)):
        fraction = size / 100 if isinstance(size, (int, np.integer)) else size
        return int(shape[0] * fraction), int(shape[1] * fraction)
    require(len(size) == 2, f"size must be (height, width), a percentage or a fraction, not {size!r}")
    return int(size[0]), int(size[1])


def stretch_to_uint8(x: np.ndarray) -> np.ndarray:
    """Stretch the range of x linearly to 0 .. 255; a uint8 array is returned as it is.

    Args:
        x: array of any shape.

    Returns:
        uint8 array of the same shape.

    >>> stretch_to_uint8(np.asarray([-1.0, 0.0, 1.0])).tolist()
    [0, 128, 255]
    """
    if x.dtype == np.uint8:
        return x
    require_pixels(x)
    low, high = float(x.min()), float(x.max())
    scaled = (x.astype(np.float64) - low) * (255.0 / ((high - low) or 1.0))
    return (scaled.clip(0, 255) + 0.5).astype(np.uint8)


def array_to_img(x: np.ndarray, dim_ordering: Sequence[int] = (0, 1, 2), scale: bool = True) -> Image.Image:
    """Make a Pillow image.

    With ``scale`` the values are divided by the maximum, after negative ones were lifted to 0. The lifting happens in
    place: an x with negative values changes, as in the original (and so does a uint8 x, down to a minimum of 0).

    Args:
        x: [row, col, 1 or 3], in the order of ``dim_ordering``.
        dim_ordering: axes of row, col and channel in x, (1, 2, 0) for channel-first images.
        scale: stretch to 0 .. 255.

    Returns:
        Image of mode "L" or "RGB".

    Raises:
        ValueError: neither 1 nor 3 channels.

    >>> np.array(array_to_img(np.asarray([[[0.0], [2.0]]]))).tolist()
    [[0, 255]]
    """
    x = x.transpose(dim_ordering)
    require(x.shape[2] in (1, 3), f"an image must have 1 or 3 channels, not {x.shape[2]}")
    if scale:
        require_pixels(x)
        low = np.min(x)
        if low < 0 or x.dtype.kind == "u":
            x -= low
        x = x / (np.max(x) or 1) * 255
    pixels = x.astype(np.uint8)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])
