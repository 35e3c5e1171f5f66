"""The pictures of docs/ladder.md, from value iteration to AlphaZero: some short trainings and what came of them.

    python -m experiments.benchmarks.ladder [--folder runs/ladder] [--only NAME ...]

Takes some four minutes on two cores. Finished runs below --folder are not repeated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from core import uct
from core.errors import UsageError, nearest
from core.seeds import child
from envs.games import TIC_TAC_TOE, Position
from experiments.benchmarks.learning import trained

__all__ = ["main"]

PAGE = Path(__file__).parent.parent.parent / "docs" / "ladder"
SWEEPS = (1, 5, 20, 200)
X, O = (0, 8), (4,)  # noqa: E741 - cells by number, from the lower left up each column: O in the centre, X in two opposite corners


def sweeps(folder: str) -> Image.Image:
    """Value iteration on slippery FrozenLake after so many sweeps: values spread from the goal."""
    return _beside(
        [
            _map("tabular", folder, ["--agent.method", "value-iteration", "--agent.turn", "1", "--run.until", str(n)])
            for n in SWEEPS
        ]
    )


def cliff(folder: str) -> Image.Image:
    """SARSA and Q-learning on the cliff: the safe path and the edge."""
    sarsa = ["--agent.method", "sarsa", "--agent.lr-end", "0.02", "--agent.lr-steps", "25000"]
    return _beside([_map("tabular-cliff", folder, flags) for flags in (sarsa, [])], down=True)


def tree(folder: str) -> Image.Image:
    """Visits of UCT at the root, with more and more simulations."""
    del folder
    panels = []
    for simulations in (30, 300, 3_000):
        root = uct.search(Position(TIC_TAC_TOE, *_sides()).copy, simulations, np.random.default_rng(child(1, "ladder")))
        visits = np.array([root.children[a].visits if a in root.children else 0 for a in range(9)])
        panels.append((f"UCT, {simulations:,} simulations", visits / visits.sum()))
    return _boards(panels)


def alphazero(folder: str) -> Image.Image:
    """The network's policy before and after training, and the visits of a search that it guides."""
    from agents.alphazero.search import search
    from experiments.launcher.experiment import StoredRun
    from experiments.launcher.restore import restored

    run = StoredRun.of([str(trained("alphazero-tictactoe", 1, folder, []))])
    mine, theirs = (np.array([side], np.uint64) for side in _sides())
    agent: Any = restored(run, "newest")[0]
    try:
        judged, _ = agent.evaluate(mine, theirs)
        visits, _ = search(TIC_TAC_TOE, mine, theirs, agent.evaluate, 50)
    finally:
        agent.close()
    free = TIC_TAC_TOE.stones(mine | theirs)[0] != 0
    even = free / free.sum()
    policy = np.exp(judged[0] - judged[0][free].max()) * free
    panels = [("untrained: any cell", even), ("network after 60,000 moves", policy / policy.sum())]
    return _boards([*panels, ("its search, 50 simulations", visits[0] / visits[0].sum())])


PICTURES: dict[str, Callable[[str], Image.Image]] = {
    "sweeps": sweeps,
    "cliff": cliff,
    "tree": tree,
    "alphazero": alphazero,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Draw the pictures into docs/ladder/."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", default="runs/ladder", help="root of the run folders")
    parser.add_argument("--only", nargs="*", default=list(PICTURES), metavar="NAME", help="these pictures")
    arguments = parser.parse_args(argv)
    for name in arguments.only:
        if name not in PICTURES:
            raise UsageError(f"there is no picture {name!r}; {nearest(name, PICTURES)}")
    PAGE.mkdir(exist_ok=True)
    for name in arguments.only:
        PICTURES[name](arguments.folder).save(PAGE / f"{name}.png")
        print(PAGE / f"{name}.png")


def _map(preset: str, folder: str, flags: list[str]) -> Image.Image:
    """Return the map of values and policy at the end of a training."""
    return Image.open(trained(preset, 1, folder, flags) / "files" / "policy.png").convert("RGB")


def _beside(pictures: Sequence[Image.Image], down: bool = False) -> Image.Image:
    """Return pictures in a row, or one below the other."""
    widths, heights = [p.width for p in pictures], [p.height for p in pictures]
    size = (max(widths), sum(heights)) if down else (sum(widths), max(heights))
    sheet, at = Image.new("RGB", size, "white"), 0
    for picture in pictures:
        sheet.paste(picture, (0, at) if down else (at, 0))
        at += picture.height if down else picture.width
    return (
        sheet
        if sheet.width <= 1_400
        else sheet.resize((1_400, round(1_400 * sheet.height / sheet.width)), Image.Resampling.LANCZOS)
    )


def _sides() -> tuple[int, int]:
    """Return the stones of whose turn it is, O, and the other's."""
    mine, theirs = (sum(TIC_TAC_TOE.lowest[cell] for cell in cells) for cells in (O, X))
    return mine, theirs


def _boards(panels: Sequence[tuple[str, np.ndarray]]) -> Image.Image:
    """Draw the share [9] that each cell gets on a board, a panel for each."""
    figure, axes = _figure(3 * len(panels), 3.3, len(panels))
    for axis, (title, share) in zip(axes, panels, strict=True):
        axis.imshow(share.reshape(3, 3).T, origin="lower", cmap="Blues", vmin=0, vmax=0.6)
        for cell in range(9):
            column, row = divmod(cell, 3)
            stone = "X" if cell in X else "O" if cell in O else ""
            text, size = (stone, 24) if stone else (f"{share[cell]:.0%}", 12)
            axis.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize=size,
                color="white" if share[cell] > 0.4 else "black",
            )
        axis.set(title=title, xticks=[0.5, 1.5], yticks=[0.5, 1.5], xticklabels=[], yticklabels=[])
        axis.grid(color="black", linewidth=1)
        axis.tick_params(length=0)
    return _rendered(figure)


def _figure(width: float, height: float, panels: int = 1) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=110, layout="constrained")
    return figure, figure.subplots(1, panels)


def _rendered(figure: Any) -> Image.Image:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3].copy())


if __name__ == "__main__":
    from experiments.launcher.console import exit_with

    exit_with(main)
