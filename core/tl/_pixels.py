"""Functions that change the values of an image's pixels, or what kind of object the image is."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance
from scipy import linalg, ndimage

from core.tl._affine import Images, Rng
from core.tl._common import integer_below, random_source, require

__all__ = [
    "adjust_hue",
    "array_to_img",
    "binary_dilation",
    "binary_erosion",
    "brightness",
    "brightness_multi",
    "channel_shift",
    "channel_shift_multi",
    "dilation",
    "drop",
    "erosion",
    "featurewise_norm",
    "find_contours",
    "get_zca_whitening_principal_components_img",
    "hsv_to_rgb",
    "illumination",
    "imresize",
    "pixel_value_scale",
    "pt2map",
    "rgb_to_hsv",
    "samplewise_norm",
    "zca_whitening",
]

logger = logging.getLogger(__name__)


# --- brightness and colour --------------------------------------------------------------------------------------------


def brightness(
    x: np.ndarray, gamma: float = 1, gain: float = 1, is_random: bool = False, *, rng: Rng = None
) -> np.ndarray:
    """Gamma correction: gain * x ** gamma on the scale of the image's type (skimage.exposure.adjust_gamma).

    Args:
        x: image of any shape, not negative.
        gamma: below 1 is brighter; with ``is_random`` drawn from [1 - gamma, 1 + gamma].
        gain: constant factor.
        is_random: draw gamma.
        rng: source of randomness; numpy's global state without one.

    Returns:
        Image of the same shape and type.

    Raises:
        ValueError: x has negative values.

    >>> brightness(np.asarray([0.0, 0.25, 1.0]), gamma=0.5).tolist()
    [0.0, 0.5, 1.0]
    """
    from skimage import exposure

    return exposure.adjust_gamma(x, _gamma(gamma, is_random, rng), gain)


def brightness_multi(
    x: Images, gamma: float = 1, gain: float = 1, is_random: bool = False, *, rng: Rng = None
) -> np.ndarray:
    """:func:`brightness` of several images with one gamma.

    Args:
        x: images of one shape.
        gamma, gain, is_random, rng: see :func:`brightness`.

    Returns:
        [n, ...].

    >>> brightness_multi(np.full([2, 1, 1, 1], 0.25), gamma=0.5).ravel().tolist()
    [0.5, 0.5]
    """
    gamma = _gamma(gamma, is_random, rng)
    return np.asarray([brightness(image, gamma, gain) for image in x])


def _gamma(gamma: float, is_random: bool, rng: Rng) -> float:
    return random_source(rng).uniform(1 - gamma, 1 + gamma) if is_random else gamma


def illumination(
    x: np.ndarray,
    gamma: float | Sequence[float] = 1.0,
    contrast: float | Sequence[float] = 1.0,
    saturation: float | Sequence[float] = 1.0,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Brightness, then contrast, then saturation (Pillow's enhancers do the last two).

    Args:
        x: uint8 [row, col, 3] or [row, col].
        gamma: see :func:`brightness`. With ``is_random`` a pair (low, high): one time in three gamma is drawn from
            [low, 1], one time in three from [1, high], else it is 1.
        contrast: 0 is grey, 1 leaves x as it is. With ``is_random`` a pair to draw from.
        saturation: 0 is black and white, 1 leaves x as it is. With ``is_random`` a pair to draw from.
        is_random: draw all three, in this order.
        rng: source of randomness; numpy's global state without one.

    Returns:
        uint8 image of the same shape.

    Raises:
        ValueError, AssertionError: with ``is_random`` an argument is not a pair.

    >>> illumination(np.full([1, 1, 3], 100, np.uint8), gamma=1.0).ravel().tolist()
    [100, 100, 100]
    """
    if is_random:
        gamma, contrast, saturation = _drawn_illumination(gamma, contrast, saturation, rng)
    image = Image.fromarray(brightness(x, gamma))  # type: ignore[arg-type]
    image = ImageEnhance.Contrast(image).enhance(contrast)  # type: ignore[arg-type]
    return np.array(ImageEnhance.Color(image).enhance(saturation))  # type: ignore[arg-type]


def _drawn_illumination(gamma: Any, contrast: Any, saturation: Any, rng: Rng) -> tuple[float, float, float]:
    for name, pair in (("gamma", gamma), ("contrast", contrast), ("saturation", saturation)):
        require(np.ndim(pair) == 1 and len(pair) == 2, f"{name} must be a pair (low, high), not {pair!r}")
    source = random_source(rng)
    kind = integer_below(rng, 0, 3)
    if kind == 0:
        drawn_gamma = source.uniform(gamma[0], 1.0)
    elif kind == 1:
        drawn_gamma = source.uniform(1.0, gamma[1])
    else:
        drawn_gamma = 1.0
    return drawn_gamma, source.uniform(*contrast), source.uniform(*saturation)


def rgb_to_hsv(rgb: np.ndarray) -> np.ndarray:
    """RGB to hue, saturation, value.

    Args:
        rgb: [..., 3 or more], 0 to 255; channels after the third are copied.

    Returns:
        float64 of the same shape: hue in [0, 1), saturation in [0, 1], value in [0, 255].

    >>> rgb_to_hsv(np.asarray([[0, 255, 0]], np.uint8)).round(3).tolist()
    [[0.333, 1.0, 255.0]]
    """
    require(rgb.shape[-1] >= 3, f"rgb must be [..., 3 or more], not {rgb.shape}")
    rgb = rgb.astype(np.float64)
    high, low = rgb[..., :3].max(axis=-1), rgb[..., :3].min(axis=-1)
    spread = high - low
    coloured = spread != 0
    safe = np.where(coloured, spread, 1.0)
    r, g, b = (np.where(coloured, (high - rgb[..., i]) / safe, 0.0) for i in range(3))  # distance from the maximum
    hue = np.select([rgb[..., 0] == high, rgb[..., 1] == high], [b - g, 2.0 + r - b], default=4.0 + g - r)
    hsv = rgb.copy()
    hsv[..., 0] = (hue / 6.0) % 1.0
    hsv[..., 1] = np.divide(spread, high, out=np.zeros_like(high), where=coloured)
    hsv[..., 2] = high
    return hsv


def hsv_to_rgb(hsv: np.ndarray) -> np.ndarray:
    """Hue, saturation, value to RGB.

    Args:
        hsv: float [..., 3 or more]: hue and saturation in [0, 1], value in [0, 255]; further channels are copied.

    Returns:
        uint8 of the same shape.

    >>> hsv_to_rgb(np.asarray([[0.0, 1.0, 255.0]])).tolist()
    [[255, 0, 0]]
    """
    require(hsv.shape[-1] >= 3, f"hsv must be [..., 3 or more], not {hsv.shape}")
    h, s, v = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    sector = (h * 6.0).astype(np.int64) % 256  # the original counts sectors in a uint8
    f = h * 6.0 - sector
    p, q, t = v * (1.0 - s), v * (1.0 - s * f), v * (1.0 - s * (1.0 - f))
    sector = sector % 6
    cases = [s == 0.0, sector == 1, sector == 2, sector == 3, sector == 4, sector == 5]
    rgb = hsv.copy()
    rgb[..., 0] = np.select(cases, [v, q, p, p, t, v], default=v)
    rgb[..., 1] = np.select(cases, [v, v, v, q, p, p], default=t)
    rgb[..., 2] = np.select(cases, [v, p, t, v, v, q], default=p)
    with np.errstate(invalid="ignore"):
        return rgb.astype(np.uint8)


def adjust_hue(
    im: np.ndarray,
    hout: float = 0.66,
    is_offset: bool = True,
    is_clip: bool = True,
    is_random: bool = False,
    *,
    rng: Rng = None,
) -> np.ndarray:
    """Turn the hue of an RGB image, or set it.

    Args:
        im: [..., 3], 0 to 255.
        hout: hue: 0 red, 0.33 green, 0.66 blue; with ``is_random`` drawn from [-hout, hout].
        is_offset: add ``hout`` to the hue instead of setting it.
        is_clip: hues below 0 become 0.
        is_random: draw ``hout``.
        rng: source of randomness; numpy's global state without one.

    Returns:
        uint8 image of the same shape.

    >>> adjust_hue(np.asarray([[[255, 0, 0]]], np.uint8), hout=1 / 3, is_offset=False).ravel().tolist()
    [0, 255, 0]
    """
    hsv = rgb_to_hsv(im)
    if is_random:
        hout = random_source(rng).uniform(-hout, hout)
    hue = hsv[..., 0] + hout if is_offset else hout
    hsv[..., 0] = np.maximum(hue, 0) if is_clip else hue
    return hsv_to_rgb(hsv)


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
    factor = 1 + random_source(rng).uniform(-val, val) if is_random else val
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
    require(np.ndim(X) == 4, f"X must be [n, row, col, channel], not {np.shape(X)}")
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
    return _shifted(x, random_source(rng).uniform(-intensity, intensity) if is_random else intensity)


def channel_shift_multi(
    x: Images, intensity: float, is_random: bool = False, channel_index: int = 2, *, rng: Rng = None
) -> np.ndarray:
    """:func:`channel_shift` of several images by one number. (No generation of the original works.)

    Args:
        x: images of one shape.
        intensity, is_random, channel_index, rng: see :func:`channel_shift`.

    Returns:
        [n, row, col, channel].

    >>> channel_shift_multi([np.asarray([[[0.0], [1.0]]])] * 2, 0.5).ravel().tolist()
    [0.5, 1.0, 0.5, 1.0]
    """
    number = random_source(rng).uniform(-intensity, intensity) if is_random else intensity
    return np.asarray([_shifted(image, number) for image in x])


def _shifted(x: np.ndarray, number: float) -> np.ndarray:
    low, high = np.min(x), np.max(x)
    if x.dtype.kind in "iu" and isinstance(number, (int, np.integer)):
        return np.clip(x.astype(np.int64) + number, low, high).astype(x.dtype)
    return np.clip(x + number, low, high)


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
        low = np.min(x)
        if low < 0 or x.dtype.kind == "u":
            x -= low
        x = x / (np.max(x) or 1) * 255
    pixels = x.astype(np.uint8)
    return Image.fromarray(pixels if pixels.shape[2] == 3 else pixels[:, :, 0])


# --- shapes in an image -----------------------------------------------------------------------------------------------


def find_contours(
    x: np.ndarray, level: float = 0.8, fully_connected: str = "low", positive_orientation: str = "low"
) -> list[np.ndarray]:
    """Lines along which an image has one value (skimage.measure.find_contours).

    Args:
        x: [row, col].
        level: the value.
        fully_connected, positive_orientation: "low" or "high", see skimage. (1.5.3 ignored both.)

    Returns:
        One array [points, 2] of (row, col) per contour.

    >>> [len(c) for c in find_contours(np.pad(np.ones([1, 1]), 1), 0.5)]
    [5]
    """
    from skimage import measure

    return measure.find_contours(x, level, fully_connected=fully_connected, positive_orientation=positive_orientation)


def pt2map(list_points: Sequence[Any] | None = None, size: tuple[int, int] = (100, 100), val: float = 1) -> np.ndarray:
    """Draw points into an empty image.

    Args:
        list_points: [[row, col], ...] as the documentation has it, or [[[row, col], ...], ...] as the code wants it
            (contours). Rounded to whole pixels.
        size: shape of the image.
        val: value of a point.

    Returns:
        float64 image of shape ``size``.

    Raises:
        ValueError: no list.

    >>> pt2map([[[0, 1]], [[1, 0.2]]], size=(2, 2)).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    if list_points is None:
        raise ValueError("list_points must be a list of points [row, col], not None")
    image = np.zeros(size)
    for entry in list_points:
        for point in entry if np.ndim(entry[0]) > 0 else [entry]:
            image[int(np.round(point[0])), int(np.round(point[1]))] = val
    return image


def binary_dilation(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Grow the true pixels by a disk.

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        bool [row, col].

    >>> binary_dilation(np.pad(np.ones([1, 1]), 1), radius=1).sum()
    np.int64(5)
    """
    return ndimage.binary_dilation(x, structure=_disk(x, radius))


def binary_erosion(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Shrink the true pixels by a disk; beyond the border everything counts as true.

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        bool [row, col].

    >>> binary_erosion(np.ones([3, 3]), radius=1).all()
    np.True_
    """
    return ndimage.binary_erosion(x, structure=_disk(x, radius), border_value=True)


def dilation(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Maximum over a disk. (From 1.8 to 2.2.5 the original calls itself for ever.)

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        Image of the same shape and type.

    >>> dilation(np.asarray([[0, 3, 0]]), radius=1).tolist()
    [[3, 3, 3]]
    """
    return ndimage.grey_dilation(x, footprint=_disk(x, radius))


def erosion(x: np.ndarray, radius: int = 3) -> np.ndarray:
    """Minimum over a disk.

    Args:
        x: [row, col].
        radius: of the disk, in pixels.

    Returns:
        Image of the same shape and type.

    >>> erosion(np.asarray([[5, 3, 5]]), radius=1).tolist()
    [[3, 3, 3]]
    """
    return ndimage.grey_erosion(x, footprint=_disk(x, radius))


def _disk(x: np.ndarray, radius: int) -> np.ndarray:
    require(np.ndim(x) == 2, f"morphology needs an image [row, col], not {np.shape(x)}")
    distance = np.arange(-radius, radius + 1)
    return distance[:, None] ** 2 + distance**2 <= radius**2
