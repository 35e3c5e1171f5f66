"""What a pipe gets to read: a line in time, whatever the training is doing."""

from __future__ import annotations

import io
import time
from typing import Any

import pytest
from rich.console import Console

from experiments.launcher import console
from experiments.launcher.console import Display
from experiments.launcher.loop import Meter


@pytest.fixture
def display() -> Any:
    made = Display("x", "updates", until=1_000, time_limit=0.0)
    yield made
    made.close()


def test_a_line_comes_with_the_figures_of_that_moment(
    display: Display, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = time.monotonic()
    asked = []

    def figures() -> dict[str, float]:
        asked.append(1)
        return {"loss/generator": 0.5, "time/elapsed": 3.0}

    for second in range(31):
        monkeypatch.setattr(time, "monotonic", lambda second=second: now + second)
        display.update(20 * second, figures)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(asked) == 3, "every ten seconds, and nobody waits for figures in between"
    assert lines[0].startswith("200/1,000 updates, 20/s, 0.7 min left, loss/generator 0.5")


def test_a_long_step_is_not_silent(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "SILENT_SECONDS", 0.5)
    display = Display("x", "updates", until=1_000, time_limit=0.0)
    time.sleep(1.6)
    assert capsys.readouterr().out.startswith("preparing: data")
    display.update(500)
    time.sleep(1.6)  # a step, an evaluation or a save
    display.close()
    assert "500/1,000 updates" in capsys.readouterr().out
    time.sleep(1.5)
    assert capsys.readouterr().out == "", "a closed display prints nothing by itself"


def test_what_is_said_counts_as_a_line(display: Display, capsys: pytest.CaptureFixture[str], monkeypatch: Any) -> None:
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 9)
    display.say("an evaluation")
    monkeypatch.setattr(time, "monotonic", lambda: now + 12)
    display.update(5)
    assert capsys.readouterr().out == "an evaluation\n"


@pytest.mark.parametrize("width", [60, 80, 200])
def test_the_curve_fits_the_terminal(width: int) -> None:
    terminal = Console(file=io.StringIO(), width=width, force_terminal=True)
    points = [(1_000 * i, i - 21.0) for i in range(40)]
    console.show_curve(
        terminal, {"eval/x": [(1, 0.0)], "rollout/return_last100": points}, "eval/x", "environment steps"
    )
    title, *lines = terminal.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert title == "rollout/return_last100 over environment steps"
    assert len(lines) > 12 and max(map(len, lines)) <= width and "\x1b" not in "".join(lines)
    assert any("▀" in line or "▞" in line or "▘" in line for line in lines)
    console.show_curve(terminal, {"eval/x": points[:2]}, "eval/x", "updates")
    assert len(terminal.file.getvalue().splitlines()) == 1 + len(lines)  # type: ignore[attr-defined]


def test_looking_at_the_means_changes_no_curve() -> None:
    meter, other = Meter(), Meter()
    for value in (1.0, 2.0, 6.0):
        meter.add({"loss/x": value})
        other.add({"loss/x": value})
        meter.so_far()
    assert meter.so_far() == meter.means() == other.means() == {"loss/x": 3.0}
    assert meter.so_far() == {}
