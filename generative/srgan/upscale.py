"""Larger pictures: `pongan upscale RUN photo.jpg -o big.png`.

From Python:

    from generative.srgan.upscale import Upscaler
    big = Upscaler.of_run("runs/srgan/...")(photo)  # [H, W, 3] uint8 -> [scale H, scale W, 3] uint8
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from core.errors import UsageError, require
from core.layers.srgan import fold_batch_norm, radius
from core.picture_files import ANIMATED, check_picture, format_of, save_frames, save_picture
from core.zoo import located
from generative.data.found import picture_files, user_path
from generative.data.pictures import BROKEN, check_pixels, reason, upright
from generative.data.pixels import as_bytes, as_input
from generative.srgan.config import STRENGTH, WINDOW, SRGANConfig
from generative.srgan.data import as_rgb
from generative.srgan.generator import blend, load_generator, make_generator, read_config

__all__ = ["Upscaler", "check_strength", "enlarge", "jobs_of", "told", "upscale_frames", "upscale_picture"]

MOST_OVERLAP = 48  # for networks whose reach is not worth its time
INKS = ("CMYK", "LAB")  # whose colour profile does not fit the result
TURNED = (5, 6, 7, 8)  # EXIF orientations that exchange height and width


class Upscaler:
    """[H, W, 3] uint8 -> [scale H, scale W, 3] uint8, in windows that overlap, so that memory does not depend on the size.

    A window has `window` pixels a side, of which `overlap` on each side, where it does not lie on the picture's border, are
    context only. With the generator's reach (the default, where that is at most 48) the result is that of the whole picture
    at once, up to rounding. `window` 0 takes the whole picture. `strength` in [0, 1] is what a network that was trained on
    degraded pictures is told of them: how much noise and compression it shall expect.
    """

    def __init__(
        self,
        G: keras.Model,
        scale: int,
        window: int = WINDOW,
        overlap: int | None = None,
        *,
        strength: float = STRENGTH,
    ):
        self.overlap = min(radius(G), MOST_OVERLAP) if overlap is None else overlap
        if self.overlap < 0 or (window and window <= 2 * self.overlap):
            raise UsageError(
                f"the window is {window} and the overlap {self.overlap} pixels; a window must be more than twice its overlap"
            )
        self.scale, self.window = scale, window

        @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, "image")])
        def upscale(image: tf.Tensor) -> dict[str, tf.Tensor]:
            """Pictures [N, H, W, 3] as bytes become larger."""
            x = as_input(image)
            y = G(x if G.input_shape[-1] == 3 else told(x, tf.fill(tf.shape(x)[:1], strength)), training=False)
            return {"upscaled": as_bytes(y)}

        self.function: Any = upscale

    @classmethod
    def of_run(
        cls,
        run: str | Path,
        *,
        weights: str = "newest",
        toward: str | Path | None = None,
        alpha: float = 0.5,
        window: int = WINDOW,
        overlap: int | None = None,
        strength: float | None = None,
    ) -> Upscaler:
        """Return the upscaler of a run's folder or checkpoint, or of `zoo:NAME`, blended with another one `toward` by `alpha` if
        that is given.

        Raises UsageError where there is none or the two do not fit, for a strength outside [0, 1], and where a run is told one
        that was not trained on degraded pictures.
        """
        folder = located(str(run))
        check_strength(strength, read_config(folder))
        G, config, _ = load_generator(folder, weights)
        if toward is not None:
            blend(G, load_generator(located(str(toward)), weights)[0], alpha)
        return cls.of_generator(G, config, window, overlap, strength=STRENGTH if strength is None else strength)

    @classmethod
    def of_generator(
        cls,
        G: keras.Model,
        config: SRGANConfig,
        window: int = WINDOW,
        overlap: int | None = None,
        *,
        strength: float = STRENGTH,
    ) -> Upscaler:
        """Return the upscaler of a copy of G as it is now, batch norm folded into the convolutions before it."""
        if config.generator == "srresnet" and config.batch_norm:
            G = fold_batch_norm(G, make_generator(config, batch_norm=False))
        return cls(G, config.scale, window, overlap, strength=strength)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or not picture.size:
            raise ValueError(f"the picture is {picture.dtype} {list(picture.shape)}; uint8 [H, W, 3] is needed")
        height, width = picture.shape[:2]
        whole = np.empty((self.scale * height, self.scale * width, 3), np.uint8)
        for top, left, part in self.parts(picture):
            whole[top : top + part.shape[0], left : left + part.shape[1]] = part
        return whole

    def parts(self, picture: np.ndarray) -> Iterator[tuple[int, int, np.ndarray]]:
        """Yield (top, left, part [h, w, 3] uint8) of the large picture until it is covered."""
        scale = self.scale
        for top, bottom, above, below in self._spans(picture.shape[0]):
            for left, right, before, after in self._spans(picture.shape[1]):
                window = tf.constant(picture[None, above:below, before:after])
                large = self.function(window)["upscaled"][0].numpy()
                rows = slice(scale * (top - above), scale * (bottom - above))
                columns = slice(scale * (left - before), scale * (right - before))
                yield scale * top, scale * left, large[rows, columns]

    def count(self, height: int, width: int) -> int:
        """Return how many parts a picture of this size has."""
        return len(self._spans(height)) * len(self._spans(width))

    def _spans(self, length: int) -> list[tuple[int, int, int, int]]:
        """Return (from, to, window's beginning, window's end) along one axis.

        Windows at a border are moved inside instead of being cut: all have one size, and the zero padding of the convolutions
        begins only where the picture ends.
        """
        if not self.window or length <= self.window:
            return [(0, length, 0, length)]
        stride = self.window - 2 * self.overlap
        spans = []
        for begin in range(0, length, stride):
            window = min(max(begin - self.overlap, 0), length - self.window)
            spans.append((begin, min(begin + stride, length), window, window + self.window))
        return spans


def told(x: tf.Tensor, strengths: tf.Tensor) -> tf.Tensor:
    """Return pictures [B, H, W, 3] with a fourth channel that is each one's strength [B] everywhere."""
    channel = tf.ones_like(x[..., :1]) * strengths[:, None, None, None]
    return tf.concat([x, channel], axis=-1)


def check_strength(strength: float | None, config: SRGANConfig) -> None:
    """Raise UsageError for a strength outside [0, 1], and for one that the network cannot be told."""
    if strength is None:
        return
    require(0 <= strength <= 1, f"--denoise is {strength:g}; it must lie in [0, 1]")
    require(
        config.degradation != "bicubic",
        f"--denoise is {strength:g}, but the run was trained on bicubic pictures alone; train one with --model.degradation first",
    )


def upscale_picture(
    upscaler: Upscaler, picture: Image.Image, progress: Callable[[float], None] = lambda share: None
) -> Image.Image:
    """Return a larger picture: grey stays grey, alpha is enlarged bicubically, EXIF orientation applied.

    A colour profile is kept where it describes RGB or grey, also that of a palette's colours. `progress` is called with the
    share that is done.
    """
    turned = upright(picture)
    alpha = turned.convert("RGBA").getchannel("A") if _has_alpha(turned) else None
    mode = _large_mode(turned)
    rgb = np.asarray(as_rgb(picture))
    large = Image.new(mode, (upscaler.scale * rgb.shape[1], upscaler.scale * rgb.shape[0]))
    parts = upscaler.count(*rgb.shape[:2])
    for done, (top, left, part) in enumerate(upscaler.parts(rgb), start=1):
        large.paste(Image.fromarray(part).convert(mode), (left, top))
        progress(done / parts)
    if alpha is not None:
        large.putalpha(alpha.resize(large.size, Image.Resampling.BICUBIC))
    if "icc_profile" in picture.info and picture.mode not in INKS:
        large.info["icc_profile"] = picture.info["icc_profile"]
    return large


def upscale_frames(
    upscaler: Upscaler, picture: Image.Image, count: int, progress: Callable[[float], None] = lambda share: None
) -> list[Image.Image]:
    """Return the first `count` frames or pages of a picture as `upscale_picture` makes them, with `duration` and `loop`."""
    frames = []
    for i in range(count):
        picture.seek(i)
        frame = picture.copy()
        frame.format = picture.format  # by which the range of 32-bit pixels is known
        large = upscale_picture(upscaler, frame, lambda share, done=i: progress((done + share) / count))  # type: ignore[misc]
        large.info |= {name: picture.info[name] for name in ("duration", "loop") if name in picture.info}
        frames.append(large)
    return frames


def enlarge(given: str, wanted: str, scale: int, upscaler: Callable[[], Upscaler], max_pixels: int = 0) -> None:
    """Enlarge the picture `given`, or all in that folder, `scale` times into the file or folder `wanted`.

    Of a film or a file of several pages every frame is enlarged where the format that is written holds several; in a folder such
    a file keeps its own format. `max_pixels` is the most that a result may have, all frames together; 0 for any number.

    `upscaler` is made when the names have been checked. Raises UsageError for what cannot be read or written, before any work
    is done where that can be known, and where not one picture could be enlarged.
    """
    source, target = user_path(given), user_path(wanted)
    said: list[str] = []
    jobs = jobs_of(source, target, said.append)
    if not source.is_dir():
        said += _check(*jobs[0], scale, max_pixels)[1]
    upscale = upscaler()
    from rich.console import Console
    from rich.progress import Progress

    failed = 0
    with Progress(console=Console(stderr=True, highlight=False)) as bar:
        for line in said:
            bar.console.print(line, markup=False, soft_wrap=True)
        for path, out in jobs:
            task = bar.add_task(path.name, total=1.0)
            try:
                if source.is_dir():
                    out = _with_frames(path, out)
                count, said = _check(path, out, scale, max_pixels)
                said = said if source.is_dir() else []
                with Image.open(path) as picture:
                    if count > 1:
                        frames = upscale_frames(upscale, picture, count, partial(_advance, bar, task))
                    else:
                        frames = [upscale_picture(upscale, picture, partial(_advance, bar, task))]
                if format_of(out) == "GIF":
                    frames = [_with_holes(frame) for frame in frames]
                out.parent.mkdir(parents=True, exist_ok=True)
                if count > 1:
                    save_frames(frames, out)
                else:
                    save_picture(frames[0], out)
            except (*BROKEN, UsageError) as error:
                failed += 1
                why = error if isinstance(error, UsageError) else reason(error)
                bar.console.print(f"{path} cannot be enlarged: {why}", markup=False, soft_wrap=True)
                continue
            several = f", {count} frames or pages" if count > 1 else ""
            for line in [*said, f"{path} -> {out}, {frames[0].width}x{frames[0].height}{several}"]:
                bar.console.print(line, markup=False, soft_wrap=True)
    if failed == len(jobs):
        raise UsageError(f"none of the {len(jobs)} files in {str(source)!r} is a picture that can be read and written")


def _with_holes(frame: Image.Image) -> Image.Image:
    """Return a picture whose pixels are there or not, nothing in between, as GIF has them."""
    if frame.mode.endswith("A"):
        frame.putalpha(frame.getchannel("A").point(lambda alpha: 255 if alpha >= 128 else 0))
    return frame


def _advance(bar: Any, task: Any, share: float) -> None:
    bar.update(task, completed=share)


def _has_alpha(picture: Image.Image) -> bool:
    return picture.mode in ("RGBA", "LA", "PA") or "transparency" in picture.info


def _large_mode(picture: Image.Image) -> str:
    """Return the mode of the large picture: grey stays grey, alpha is kept."""
    grey = picture.mode in ("1", "L", "LA") or picture.mode.startswith("I")
    return ("L" if grey else "RGB") + ("A" if _has_alpha(picture) else "")


def _check(path: Path, out: Path, scale: int, max_pixels: int) -> tuple[int, list[str]]:
    """Return how many frames of a picture can be written, and what of it will be lost, as lines for the user.

    Raises UsageError where the large one cannot be written or has too many pixels; one that cannot be opened is left to the
    work itself.
    """
    try:
        with Image.open(path) as picture:
            check_pixels(picture)
            mode = _large_mode(picture)
            if picture.format == "GIF" == format_of(out):
                mode = mode.removesuffix("A")  # its holes stay holes
            width, height = picture.size[::-1] if picture.getexif().get(0x0112) in TURNED else picture.size
            profile = "icc_profile" in picture.info and picture.mode not in INKS
            frames = getattr(picture, "n_frames", 1) if picture.format in ANIMATED else 1
            written = frames if format_of(out) in ANIMATED else 1
            pixels = scale**2 * _pixels(picture, written)
        out.parent.mkdir(parents=True, exist_ok=True)
        lines = check_picture(out, (scale * width, scale * height), mode, profile=profile)
    except BROKEN:
        return 1, []
    several = f" and {written} frames" if written > 1 else ""
    require(
        not max_pixels or pixels <= max_pixels,
        f"{str(out)!r} would have {pixels:,} pixels ({scale * width}x{scale * height}{several}); --max-pixels is {max_pixels:,}, "
        "raise it, or lift the limit with 0",
    )
    if written < frames:
        lines.append(f"{path}: only the first of its {frames} frames or pages is enlarged, {out.suffix} holds one")
    return written, lines


def _pixels(picture: Image.Image, count: int) -> int:
    """Return the pixels of the first `count` frames together, whose sizes may differ."""
    total = 0
    for i in range(count):
        picture.seek(i)
        total += picture.width * picture.height
    return total


def _with_frames(path: Path, out: Path) -> Path:
    """Return the name of a result in a folder: with the ending of the picture itself, if that holds several frames."""
    try:
        with Image.open(path) as picture:
            several = picture.format in ANIMATED and getattr(picture, "n_frames", 1) > 1
            return out.with_suffix(path.suffix) if several and format_of(path) == picture.format else out
    except (*BROKEN, UsageError):
        return out


def jobs_of(source: Path, target: Path, say: Callable[[str], None] = lambda line: None) -> list[tuple[Path, Path]]:
    """Return (file, file to write) pairs; UsageError for what cannot work, before any work is done."""
    if source.is_dir():
        if target.suffix.lower() in Image.registered_extensions():
            raise UsageError(f"--out is {str(target)!r}; for a folder of pictures it names a folder")
        if target.resolve() == source.resolve():
            raise UsageError(f"--out is the folder {str(source)!r} itself; name another one")
        inside = target.resolve()  # of an earlier call
        found = [p for p in picture_files(source, say, "the command") if not p.resolve().is_relative_to(inside)]
        if not found:
            raise UsageError(f"the folder {str(source)!r} holds no picture outside of {str(target)!r}")
        try:
            target.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UsageError(f"the folder {str(target)!r} cannot be made: {error.strerror}") from error
        plain = [path.relative_to(source).with_suffix("") for path in found]
        alike = len(set(plain)) < len(plain)  # then the old ending stays before the new one
        names = [path.relative_to(source) if alike else name for path, name in zip(found, plain, strict=True)]
        return [(path, target / name.parent / f"{name.name}.png") for path, name in zip(found, names, strict=True)]
    if not source.is_file():
        raise UsageError(f"there is no picture {str(source)!r}")
    if target.is_dir():
        target = target / f"{source.stem}.png"
    format_of(target)
    if not target.parent.is_dir():
        raise UsageError(f"{str(target)!r} cannot be written: there is no folder {str(target.parent)!r}")
    if target.exists() and target.samefile(source):
        raise UsageError(f"--out is the picture {str(source)!r} itself; name another file")
    return [(source, target)]
