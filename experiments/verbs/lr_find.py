"""Step sizes at which a model learns: the learning-rate range test."""

from __future__ import annotations

import contextlib
import io
import itertools
import math
import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from core.disk import check_output, write_output
from core.errors import UsageError, nearest, require
from core.plugin import RangeTest, Spec
from experiments.launcher.catalogue import catalogue
from experiments.launcher.experiment import Experiment, field_of
from experiments.launcher.flags import as_dict, parse
from experiments.launcher.restore import make_plugin
from experiments.launcher.strangers import close, reported

if TYPE_CHECKING:  # rich takes a tenth of a second
    from rich.console import Console

    from experiments.launcher.console import Display

__all__ = ["Flags", "Sweep", "main", "sweep"]

BETA = 0.98  # decay of the smoothed loss
TOO_MUCH = 4  # times the best smoothed loss, at which the sweep ends
CONSTANT = {"lr_schedule": "constant", "lr_steps": 0, "lr_end": 0.0}  # else the schedule would set the step size


@dataclass(frozen=True)
class Flags:
    """Train for a few hundred updates while the step size grows from --low to --high, draw the loss, and suggest a step size.

    For models that name a loss which falls while they learn. Everything but the picture is thrown away afterwards.
    """

    low: float = 1e-8
    """Step size of the first update."""
    high: float = 10.0
    """Step size of the last update, if the loss has not grown too large before."""
    steps: int = 500
    """Updates from --low to --high; more of them make a smoother curve."""
    out: Annotated[str, tyro.conf.arg(aliases=["-o"])] = "lr-find.png"
    """File for the picture."""

    def __post_init__(self) -> None:
        require(self.low > 0, f"--low is {self.low:g}; a step size is above 0")
        require(
            self.low < self.high < math.inf,
            f"--high is {self.high:g}; it must be finite and above --low, which is {self.low:g}",
        )
        require(self.steps >= 10, f"--steps is {self.steps}; a curve needs at least 10")


@dataclass(frozen=True)
class Sweep:
    """What a range test has seen, until the loss grew too large: a number for each update."""

    rates: tuple[float, ...]
    losses: tuple[float, ...]
    smoothed: tuple[float, ...]

    @property
    def suggestion(self) -> float | None:
        """A tenth of the step size at which the loss is lowest; None where it falls by less than single losses scatter.

        Howard and Gugger, "Deep Learning for Coders", 2020, chapter 5: at the minimum itself training is about to diverge. The
        smoothed loss gets there some fifty updates late, so what counts here is the mean of a twentieth of the sweep, around an
        update.
        """
        w = max(1, len(self.losses) // 40)
        means = [statistics.fmean(self.losses[i - w : i + w + 1]) for i in range(w, len(self.losses) - w)]
        if not means:
            return None
        scatter = statistics.pstdev(self.losses[: max(2, len(self.losses) // 10)])
        return self.rates[w + means.index(min(means))] / 10 if means[0] - min(means) > scatter else None


def sweep(update: Callable[[float], float], rates: Sequence[float]) -> Sweep:
    """Make an update at each step size in turn; `update` returns its loss, as it was before the weights moved.

    Smith, 2017, "Cyclical learning rates for training neural networks", section 3.3, with exponential steps. As Howard and Gugger
    do, the loss is an exponential average with decay 0.98, divided by 1 - 0.98^k after k updates, and the sweep ends where that
    exceeds four times its lowest value, or where the loss is no longer finite, which is not kept. The negative logarithm of a
    density may fall below 0, where four times has no meaning: then a rise of three times the whole fall so far is too much.
    """
    losses, smoothed, average = list[float](), list[float](), 0.0
    for k, rate in enumerate(rates, start=1):
        loss = update(rate)
        if not math.isfinite(loss):
            break
        average = BETA * average + (1 - BETA) * loss
        losses.append(loss)
        smoothed.append(average / (1 - BETA**k))
        best = min(smoothed)
        reach = best if best > 0 else max(-best, smoothed[0] - best)
        if smoothed[-1] > best + (TOO_MUCH - 1) * reach:
            break
    return Sweep(tuple(rates[: len(losses)]), tuple(losses), tuple(smoothed))


def main(experiment: Experiment, flags: Flags) -> int:
    spec, settings = experiment.spec, experiment.settings
    test = _range_test(spec)
    require(
        settings.strategy == "none",
        f"run.strategy is {settings.strategy!r}; lr-find trains on one device, leave it out",
    )
    out = Path(flags.out).expanduser().absolute()  # a plugin may change the working directory
    check_output(out)
    config = _with_constant_rate(spec, test, experiment.config)

    from core.runtime import configured
    from experiments.launcher.console import Display

    rates = [flags.low * (flags.high / flags.low) ** (i / (flags.steps - 1)) for i in range(flags.steps)]
    display = Display(experiment.label, "updates", flags.steps, 0.0)
    runtime = configured(
        device=settings.device,
        threads=settings.threads,
        precision=settings.precision,
        deterministic=settings.deterministic,
    )
    with (
        runtime,
        contextlib.closing(display),
        tempfile.TemporaryDirectory(prefix="pongan-lr-find-") as scratch,
        reported(spec, out.parent, "lr-find"),
    ):
        plugin = make_plugin(spec, config, settings, Path(scratch), display.say)
        try:
            update = _update(plugin, spec, test, field_of(config, test.optimizer).accumulate)
            found = sweep(_shown(update, display, test.loss), rates)
        finally:
            close(plugin, spec, display.say)
    if not found.rates:
        raise UsageError(f"{test.loss} of {spec.name!r} is not finite at its first update; there is nothing to draw")
    picture = _draw(found, test.loss, experiment.label)
    write_output(out, lambda file: file.write(picture))
    _report(found, experiment, test, flags, display.console)
    print(f"picture: {flags.out}")
    return 0


def _range_test(spec: Spec) -> RangeTest:
    if spec.lr_find is None:
        able = sorted(name for name, other in catalogue().plugins.items() if other.lr_find is not None)
        raise UsageError(
            f"{spec.name!r} names no loss that falls while it learns, so lr-find cannot follow it; it can with {', '.join(able)}"
        )
    return spec.lr_find


def _with_constant_rate(spec: Spec, test: RangeTest, config: Any) -> Any:
    changes = {f"{test.optimizer}.{name}": value for name, value in CONSTANT.items()} | dict(test.config)
    layers = [("lr-find", {spec.prefix: as_dict(config)}), (f"lr_find of {spec.name!r}", {spec.prefix: changes})]
    return getattr(parse(spec, layers, [], prog="pongan lr-find", usage=""), spec.prefix)


def _update(plugin: Any, spec: Spec, test: RangeTest, calls: int) -> Callable[[float], float]:
    """Return the function that makes an update, of `calls` steps, at a step size, and returns the mean of the loss."""
    optimizer = field_of(plugin, test.optimizer)

    def update(rate: float) -> float:
        optimizer.learning_rate.assign(rate)
        total = 0.0
        for _ in range(calls):
            scalars = plugin.step()
            if test.loss not in scalars:
                raise UsageError(
                    f"plugin {spec.name!r} is registered with lr_find on {test.loss!r}, which its step() did not return; "
                    f"{nearest(test.loss, scalars)}"
                )
            total += float(scalars[test.loss])
        return total / calls

    return update


def _shown(update: Callable[[float], float], display: Display, tag: str) -> Callable[[float], float]:
    numbers = itertools.count(1)

    def shown(rate: float) -> float:
        loss = update(rate)
        display.headline = f"step size {rate:.1e}, {tag} {loss:.4g}"
        display.update(next(numbers))
        return loss

    return shown


def _draw(found: Sweep, tag: str, title: str) -> bytes:
    """Return the curve of a range test as a PNG: loss and smoothed loss over the step size, the suggestion marked."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), dpi=110, layout="constrained")
    axis = figure.add_subplot()
    axis.semilogx(found.rates, found.losses, color="tab:blue", alpha=0.3, linewidth=0.8, label="loss of an update")
    axis.semilogx(found.rates, found.smoothed, color="tab:blue", linewidth=1.8, label="smoothed")
    if found.suggestion is not None:
        axis.axvline(found.suggestion, color="tab:red", linestyle="--", label=f"suggestion {found.suggestion:.1e}")
    axis.set(xlabel="step size", ylabel=tag, title=f"{title}: learning-rate range test")
    low = min(found.smoothed)
    fall = max(found.smoothed[: found.smoothed.index(low) + 1]) - low
    if fall:  # the losses of the end would hide it
        axis.set_ylim(low - 0.3 * fall, low + 1.5 * fall)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    output = io.BytesIO()
    figure.savefig(output, format="png")
    return output.getvalue()


def _report(found: Sweep, experiment: Experiment, test: RangeTest, flags: Flags, console: Console) -> None:
    """Print a line for each power of ten, and the suggestion as a flag."""
    from rich.table import Table

    n = len(found.rates)
    table = Table(title=f"{experiment.label}: {n} updates", title_justify="left")
    for column in ("step size", test.loss, "smoothed"):
        table.add_column(column, justify="right")
    decades = [
        i
        for i in range(n)
        if i in (0, n - 1) or math.floor(math.log10(found.rates[i])) > math.floor(math.log10(found.rates[i - 1]))
    ]
    for i in decades:
        table.add_row(f"{found.rates[i]:.1e}", f"{found.losses[i]:.5g}", f"{found.smoothed[i]:.5g}")
    console.print(table)
    setting = f"{test.optimizer}.lr"
    flag = f"--{experiment.spec.prefix}.{setting.replace('_', '-')}"
    if found.suggestion is None:
        console.print(
            f"no suggestion: {test.loss} fell by less than it scatters between {found.rates[0]:.1e} and {found.rates[-1]:.1e}; "
            "try another range or more --steps",
            soft_wrap=True,
        )
        return
    if n == flags.steps and found.smoothed[-1] == min(found.smoothed):
        console.print(
            f"the smoothed loss was still falling at --high {flags.high:g}; a larger one shows more", soft_wrap=True
        )
    now = field_of(experiment.config, setting)
    console.print(
        f"suggestion: {flag} {found.suggestion:.1e}, a tenth of where the loss was lowest; now it is {now:g}",
        soft_wrap=True,
    )
