"""A digit left out of training and found again: GANomaly and BiGAN beside an autoencoder and principal components.

    python -m experiments.benchmarks.anomalies [--only NAME ...] [--seconds 900]

Every digit of mnist5k is the anomaly once. All learn from the same four fifths of the other digits and score the fifth that is
held out, and all pictures of the digit left out, by their final weights. Finished rows are kept in the JSON file and not
repeated, so that the table can be filled in several calls; `--seconds` ends a call after that time.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from PIL import Image, ImageDraw
from sklearn.metrics import roc_auc_score

from core.errors import UsageError, nearest
from core.metrics.anomalies import anomaly_sheet
from core.optim.optimizer import make_optimizer
from core.plugin import Context, build
from core.runtime import configure
from core.seeds import child
from experiments.benchmarks.report import RESULTS, Part, Report, Table
from experiments.launcher.catalogue import catalogue
from experiments.launcher.flags import as_dict
from experiments.launcher.images import as_image, grid
from generative.adversarial.networks import make_generator
from generative.adversarial.settings import AdversarialConfig
from generative.data.left_out import LeftOut, leave_out
from generative.data.pixels import as_input
from generative.data.settings import DataConfig
from generative.data.sources import Pictures, Stream, open_data
from generative.ganomaly.config import GANomalyConfig
from generative.ganomaly.model import make_encoder

__all__ = ["autoencoder", "layout", "main", "principal_components"]

DIGITS = [str(digit) for digit in range(10)]
SEED, HELD_OUT = 1, 0.2
UPDATES = {"ganomaly": 1_000, "bigan": 1_000, "autoencoder": 1_000}
COMPONENTS = (8, 16, 24, 32, 64)
PRINCIPAL = "principal components"
ROWS = (*UPDATES, PRINCIPAL)
TARGET = 0.75
SHOWN = "2"  # the digit left out in the picture
PICTURES = 12  # in a row of it
SCALE = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", nargs="*", default=list(ROWS), metavar="NAME", help=f"of {', '.join(ROWS)}")
    parser.add_argument("--seconds", type=float, default=float("inf"), help="begin no further row after this time")
    arguments = parser.parse_args()
    for name in arguments.only:
        if name not in ROWS:
            raise UsageError(f"--only is {name!r}; {nearest(name, ROWS)}")
    configure(threads=1)
    report = Report(
        "experiments.benchmarks.anomalies", "anomalies", layout, packages=("tensorflow", "keras"), resume=True
    )
    begun = time.monotonic()
    for digit in DIGITS:
        for name in arguments.only:
            of = _settings(name, digit)
            if report.lacks(f"{name} | {digit}", of) and time.monotonic() - begun < arguments.seconds:
                row = measure(name, digit)
                report.keep({f"{name} | {digit}": {"of": of, **row}})
                print(name, digit, row, flush=True)
    report.write()


def _settings(name: str, digit: str) -> dict[str, Any]:
    """Return what a kept row must agree with to be valid."""
    if name == PRINCIPAL:
        return {"components": list(COMPONENTS), "held_out": HELD_OUT}
    return {"config": as_dict(_config(name, digit)), "updates": UPDATES[name]}


def _config(name: str, digit: str) -> Any:
    config = catalogue().plugins["ganomaly" if name == "autoencoder" else name].config
    return replace(config(), anomaly=digit, held_out=HELD_OUT)


def measure(name: str, digit: str) -> dict[str, Any]:
    """Return the areas under the curve of one row without one digit, and the seconds of its training."""
    if name == PRINCIPAL:
        data = open_data(DataConfig())
        assert isinstance(data, Pictures)
        return {"auc": principal_components(leave_out(data, digit, HELD_OUT), COMPONENTS)}
    config = _config(name, digit)
    if name == "autoencoder":
        return autoencoder(config, UPDATES[name])
    spec = catalogue().plugins[name]
    with tempfile.TemporaryDirectory() as folder:
        model = build(spec, config, Context(seed=SEED, folder=Path(folder)))
        begun = time.monotonic()
        while model.clock < UPDATES[name]:
            values = model.step()
        float(values["loss/generator"])  # wait for it
        taken = time.monotonic() - begun
        images, anomalous = model.parts.measured()
        scores, again = model.anomalies(images)
        row: dict[str, Any] = {"auc": float(roc_auc_score(anomalous, scores)), "seconds": taken}
        difference = np.abs(images.astype(np.float32) - again).mean(axis=(1, 2, 3))
        row["auc of the difference"] = float(roc_auc_score(anomalous, difference))
        if digit == SHOWN:
            _draw(name, model)
        model.close()
    keras.backend.clear_session()
    return row


def autoencoder(config: GANomalyConfig, updates: int) -> dict[str, Any]:
    """Return what a plain autoencoder finds: ganomaly's encoder and decoder, trained by squared error, which is its score."""
    data = open_data(config.data)
    assert isinstance(data, Pictures)
    parts = leave_out(data, config.anomaly, config.held_out)
    networks = AdversarialConfig(config.data, latent=config.latent, width=config.width)
    encoder = make_encoder(data, networks, child(SEED, "encoder"))
    decoder = make_generator(data, networks, child(SEED, "decoder"))
    variables = [*encoder.trainable_variables, *decoder.trainable_variables]
    optimizer = make_optimizer(config.optimizer, variables)
    stream = Stream(parts.train, config.batch, child(SEED, "batches"))

    @tf.function
    def update(images: tf.Tensor) -> tf.Tensor:
        x = as_input(images)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.math.squared_difference(x, decoder(encoder(x, training=True), training=True)))
        optimizer.apply(tape.gradient(loss, variables), variables)
        return loss

    begun = time.monotonic()
    for _ in range(updates):
        loss = update(tf.constant(stream.next()))
    float(loss)  # wait for it
    taken = time.monotonic() - begun
    stream.close()
    images, anomalous = parts.measured()
    x = np.asarray(as_input(tf.constant(images)))
    again = np.concatenate([decoder(encoder(x[i : i + 250], training=False)) for i in range(0, len(x), 250)])
    keras.backend.clear_session()
    return {"auc": float(roc_auc_score(anomalous, np.square(x - again).mean(axis=(1, 2, 3)))), "seconds": taken}


def principal_components(parts: LeftOut, numbers: tuple[int, ...]) -> dict[str, float]:
    """Return the areas under the curve, by number of components, of the squared distance to the plane of most variance."""
    train = parts.train.reference(len(parts.train)).astype(np.float64)
    train = train.reshape(len(train), -1) / 255  # [N, D]
    images, anomalous = parts.measured()
    x = images.reshape(len(images), -1) / 255 - train.mean(axis=0)
    axes = np.linalg.eigh(np.cov(train, rowvar=False))[1][:, ::-1]  # [D, D], most variance first
    found = {}
    for k in numbers:
        left = np.square(x).sum(axis=1) - np.square(x @ axes[:, :k]).sum(axis=1)
        found[str(k)] = float(roc_auc_score(anomalous, left))
    return found


# --- the page -------------------------------------------------------------------------------------------------------------


def layout(measured: dict[str, Any]) -> list[Part]:
    """Return the table, a row each digit, and what it was made with."""
    rows: dict[str, dict[str, float]] = {}
    for name in UPDATES:
        rows[f"`{name}`" if name != "autoencoder" else name] = {
            d: measured[f"{name} | {d}"]["auc"] for d in DIGITS if f"{name} | {d}" in measured
        }
    found = {d: measured[f"{PRINCIPAL} | {d}"]["auc"] for d in DIGITS if f"{PRINCIPAL} | {d}" in measured}
    best = max(COMPONENTS, key=lambda k: statistics.mean([by[str(k)] for by in found.values()] or [0.0]))
    rows[f"{best} {PRINCIPAL}"] = {d: by[str(best)] for d, by in found.items()}
    columns = [name for name, values in rows.items() if values]
    lines = [[d, *(_cell(rows, name, d) for name in columns)] for d in DIGITS if any(d in rows[n] for n in columns)]
    lines.append(["mean", *(_mean(rows[name]) for name in columns)])
    seconds = {
        name: statistics.median(values)
        for name in UPDATES
        if (values := [measured[key]["seconds"] for d in DIGITS if (key := f"{name} | {d}") in measured])
    }
    others = ", ".join(str(k) for k in COMPONENTS)
    trained = ", ".join(f"{name} {UPDATES[name]:,} updates, {taken:.0f} s" for name, taken in seconds.items())
    return [
        Table(["digit left out", *columns], lines),
        f"Area under the ROC curve, the best of a row in bold; mnist5k, seed {SEED}, final weights, {HELD_OUT:.0%} of the normal "
        f"digits held out. Training in the median of the digits: {trained}. The autoencoder has the encoder and decoder of "
        f"`ganomaly` and is trained by squared error, which is its score. Principal components: the number of {others} with the "
        f"best mean. Target: a mean of at least {TARGET} and above those of the autoencoder and of the principal components.",
    ]


def _cell(rows: Mapping[str, Mapping[str, float]], name: str, digit: str) -> str:
    if digit not in rows[name]:
        return ""
    value = rows[name][digit]
    return f"**{value:.3f}**" if value == max(row[digit] for row in rows.values() if digit in row) else f"{value:.3f}"


def _mean(values: Mapping[str, float]) -> str:
    """Return the mean over the digits, nothing where some are missing: it would be of other digits than its neighbours'."""
    return f"{statistics.mean(values.values()):.3f}" if len(values) == len(DIGITS) else ""


def _draw(name: str, model: Any) -> None:
    """Write a picture: normal digits, then the one left out, each above its reconstruction and its map, with what they are."""
    normal, anomalous = model.parts.normal, model.parts.anomalous
    images = np.concatenate([normal.reference(PICTURES), anomalous.reference(PICTURES)])
    sheet = anomaly_sheet(images, model.anomalies(images)[1])
    picture = as_image(grid(sheet, PICTURES))
    picture = picture.resize((SCALE * picture.width, SCALE * picture.height), Image.Resampling.NEAREST)
    row, margin = picture.height // 2, 96
    whole = Image.new("RGB", (picture.width + margin, picture.height), "white")
    whole.paste(picture, (margin, 0))
    draw = ImageDraw.Draw(whole)
    for half, what in enumerate(("learned from\nothers like it", f"{SHOWN}, left out")):
        for part, text in enumerate((what, "reconstruction", "difference")):
            draw.multiline_text((4, half * row + part * row // 3 + 20), text, "black")
    whole.save(RESULTS / f"anomalies_{name}.png")


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
