"""Trainings that a table of generative models needs: finished ones are kept in its JSON file, seeds share one traced model."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras

from core import checkpoint
from core.plugin import Spec
from experiments.benchmarks.report import Report
from experiments.launcher.catalogue import catalogue
from experiments.launcher.flags import as_dict
from experiments.launcher.restore import make_plugin
from experiments.launcher.settings import RunConfig

__all__ = ["Variant", "train_missing"]

Show = Callable[["Variant", dict[str, Any]], None]


@dataclass(frozen=True)
class Variant:
    """One row of a table."""

    name: str
    plugin: str
    config: Any
    updates: int
    """Clock at which it is measured."""
    precision: Literal["float32", "bfloat16"] = "float32"

    def run(self) -> dict[str, Any]:
        """Return what a kept result must agree with to be valid."""
        return {
            "plugin": self.plugin,
            "config": as_dict(self.config),
            "updates": self.updates,
            "precision": self.precision,
        }


def train_missing(
    report: Report, variants: Iterable[Variant], seeds: int, seconds: float, figures: Sequence[str], show: Show
) -> None:
    """Train what the report lacks for seeds 1 to `seeds`, and keep it: {"name | seed": {figure: value, "seconds": ...}}.

    `figures` are scalars of `eval/`. `show` gets the measures of seed 1, for pictures. No run begins after `seconds`.
    """
    begun = time.monotonic()
    for variant in variants:
        keys = {seed: f"{variant.name} | {seed}" for seed in range(1, seeds + 1)}
        missing = [seed for seed, key in keys.items() if report.lacks(key, variant.run())]
        with tempfile.TemporaryDirectory() as folder:
            trained = _Trained(variant, Path(folder))
            for seed in missing:
                if time.monotonic() - begun > seconds:
                    break
                measured, taken = trained.measures(seed)
                values = {figure: float(measured[f"eval/{figure}"]) for figure in figures}
                row = {"of": variant.run(), **values, "seconds": taken, "protocol": measured["eval/protocol"]}
                report.keep({keys[seed]: row})
                print(keys[seed], {k: round(v, 3) for k, v in values.items()}, f"{taken:.0f} s", flush=True)
                if seed == 1:
                    show(variant, measured)
            trained.close()


class _Trained:
    """Trains a variant with one seed after another, tracing it once: each seed starts as the checkpoint of a new plugin."""

    def __init__(self, variant: Variant, folder: Path):
        self.variant, self.folder = variant, folder
        self.model: Any = None

    def measures(self, seed: int) -> tuple[dict[str, Any], float]:
        """Return the evaluation after training with `seed`, and the seconds that the training took."""
        spec, _ = catalogue().find(self.variant.plugin)
        keras.mixed_precision.set_dtype_policy("mixed_bfloat16" if self.variant.precision == "bfloat16" else "float32")
        fresh = self._new(spec, seed)
        if self.model is None:
            self.model = fresh
        else:
            start = checkpoint.save(self.folder, f"seed-{seed}", fresh.state())
            fresh.close()
            checkpoint.put_back(self.model, checkpoint.load(start, self.model.state()))
        keras.mixed_precision.set_dtype_policy("float32")
        begun = time.monotonic()
        while self.model.clock < self.variant.updates:
            values = self.model.step()
        float(values["loss/generator"])  # wait for it
        taken = time.monotonic() - begun
        return self.model.evaluate(), taken

    def _new(self, spec: Spec, seed: int) -> Any:
        settings = RunConfig(seed=seed, precision=self.variant.precision)
        return make_plugin(spec, self.variant.config, settings, self.folder, print)

    def close(self) -> None:
        """Give back the model's threads and graphs."""
        if self.model is not None:
            self.model.close()
            keras.backend.clear_session()
