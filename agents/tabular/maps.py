"""Values and policy as one picture: the states where they lie, coloured by value, each with its action."""

from __future__ import annotations

import math
from dataclasses import dataclass

import gymnasium
import numpy as np
from gymnasium.envs.toy_text.blackjack import BlackjackEnv
from gymnasium.envs.toy_text.cliffwalking import CliffWalkingEnv
from gymnasium.envs.toy_text.frozen_lake import FrozenLakeEnv
from gymnasium.envs.toy_text.taxi import TaxiEnv

from envs import VectorEnv

__all__ = ["Layout", "Panel", "draw", "layout"]

GREY, INK, WALL = "#d9d9d9", "#333333", "#cc3311"
SMALL = 100  # cells of a panel with room for numbers


@dataclass(frozen=True)
class Panel:
    """States as the cells of a grid."""

    states: np.ndarray
    """Numbers of states [H, W]."""
    title: str = ""
    letters: tuple[str, ...] = ()
    """H strings of W letters for cells without an action, and S for the start; . is not drawn."""
    walls: tuple[tuple[int, int], ...] = ()
    """Cells (row, column) with a wall to the right of them."""


@dataclass(frozen=True)
class Layout:
    """Panels side by side."""

    panels: tuple[Panel, ...]
    columns: int
    """Panels in a row of the picture."""
    symbols: tuple[str, ...]
    """Of the actions."""
    rows: tuple[str, ...] = ()
    """Labels at the left of every panel, top first."""
    below: tuple[str, ...] = ()
    """Labels below every panel."""
    axes: tuple[str, str] = ("", "")
    """What the labels at the left and below are."""


def layout(made: gymnasium.Env, env: VectorEnv) -> Layout:
    """Return where the states of an environment lie: on its map where there is one, else in their order."""
    world, S = made.unwrapped, math.prod(env.state_shape)
    symbols = tuple(str(action) for action in env.actions)
    if isinstance(world, BlackjackEnv):
        player, dealer = np.arange(21, 11, -1)[:, None], np.arange(1, 11)
        panels = [Panel((player * 11 + dealer) * 2 + ace, f"{'usable' if ace else 'no usable'} ace") for ace in (1, 0)]
        rows, below = tuple(str(n) for n in range(21, 11, -1)), ("A", *(str(n) for n in range(2, 11)))
        return Layout(tuple(panels), 2, _of(env, "SH"), rows, below, ("player's sum", "dealer shows"))
    if isinstance(world, TaxiEnv):
        row, column, places = np.arange(5)[:, None], np.arange(5), "RGYB"
        walls = tuple((r, c) for r in range(5) for c in range(4) if world.desc[r + 1, 2 * c + 2] == b"|")
        waiting = [(p, (p + 1) % 4, f"{places[p]} to {places[(p + 1) % 4]}: fetch") for p in range(4)]
        on_board = [(4, (p + 1) % 4, f"{places[p]} to {places[(p + 1) % 4]}: bring") for p in range(4)]
        panels = [
            Panel(((row * 5 + column) * 5 + p) * 4 + to, title, walls=walls) for p, to, title in [*waiting, *on_board]
        ]
        return Layout(tuple(panels), 4, _of(env, "↓↑→←PD"))
    if isinstance(world, CliffWalkingEnv):
        letters = (*["." * 12] * 3, "S" + "C" * 10 + "G")
        return Layout((Panel(np.arange(48).reshape(4, 12), letters=letters),), 1, _of(env, "↑→↓←"))
    if isinstance(world, FrozenLakeEnv):
        letters = tuple("".join(letter.decode() for letter in line) for line in world.desc)
        states = np.arange(S).reshape(len(letters), -1)
        return Layout((Panel(states, letters=letters),), 1, _of(env, "←↓→↑"))
    width = math.ceil(math.sqrt(S))
    states = np.append(np.arange(S), [-1] * (-S % width)).reshape(-1, width)
    return Layout((Panel(states, "states in their order"),), 1, symbols)


def _of(env: VectorEnv, symbols: str) -> tuple[str, ...]:
    return tuple(symbols[action] for action in env.actions)


def draw(layout: Layout, values: np.ndarray, best: np.ndarray, shown: np.ndarray, title: str) -> np.ndarray:
    """Return the picture [H, W, 3] uint8 for V [S], the action of every state [S], and which states to show [S] bool."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    panels, columns = layout.panels, layout.columns
    lines = -(-len(panels) // columns)
    H, W = panels[0].states.shape
    numbers = len(panels) == 1 and H * W <= SMALL
    cell = min(0.85 if numbers else 0.4, 10 / W)  # inches
    labels = 0.35 if layout.rows else 0.1
    size = columns * (W * cell + labels) + 1.1, lines * (H * cell + labels + 0.25) + 0.5
    figure = Figure(figsize=size, dpi=120, layout="constrained")
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    inside = np.concatenate([values[panel.states[_seen(panel, shown)]] for panel in panels])
    low, high = (float(inside.min()), float(inside.max())) if len(inside) else (0.0, 0.0)
    high = high if high > low else low + 1
    for axis, panel in zip(axes, panels, strict=False):
        seen = _seen(panel, shown)
        image = axis.imshow(np.ma.masked_array(values[panel.states], ~seen), cmap="viridis", vmin=low, vmax=high)
        axis.set_facecolor(GREY)
        axis.set_title(panel.title, fontsize=9)
        axis.set_xticks(range(W) if layout.below else [], layout.below, fontsize=8)
        axis.set_yticks(range(H) if layout.rows else [], layout.rows, fontsize=8)
        axis.set_xlabel(layout.axes[1], fontsize=9)
        axis.set_xticks(np.arange(W - 1) + 0.5, minor=True)
        axis.set_yticks(np.arange(H - 1) + 0.5, minor=True)
        axis.grid(which="minor", color="white", linewidth=0.8)
        axis.tick_params(which="both", length=0)
        for (r, c), s in np.ndenumerate(panel.states):
            letter = panel.letters[r][c] if panel.letters else "."
            if not seen[r, c]:
                axis.text(c, r, letter.strip("."), ha="center", va="center", color=INK, fontsize=13, weight="bold")
                continue
            ink = "black" if (values[s] - low) / (high - low) > 0.55 else "white"
            size_of_symbol = 17 if numbers and cell > 0.7 else 11
            axis.text(
                c,
                r - 0.1 * numbers,
                layout.symbols[best[s]],
                ha="center",
                va="center",
                color=ink,
                fontsize=size_of_symbol,
            )
            if numbers:
                axis.text(c, r + 0.35, f"{values[s]:.3g}", ha="center", va="center", color=ink, fontsize=8)
            if letter == "S":
                axis.text(c - 0.44, r - 0.42, "S", ha="left", va="top", color=ink, fontsize=8, weight="bold")
        for r, c in panel.walls:
            axis.plot([c + 0.5, c + 0.5], [r - 0.5, r + 0.5], color=WALL, linewidth=2.5, scalex=False, scaley=False)
    for axis in axes[::columns]:
        axis.set_ylabel(layout.axes[0], fontsize=9)
    bar = figure.colorbar(image, ax=list(axes), fraction=0.05, pad=0.02)
    bar.ax.tick_params(labelsize=8)
    bar.set_label("value", fontsize=9)
    figure.suptitle(title, fontsize=11)
    canvas.draw()
    return np.array(canvas.buffer_rgba())[..., :3].copy()


def _seen(panel: Panel, shown: np.ndarray) -> np.ndarray:
    """Return which cells [H, W] have a state that is shown."""
    return (panel.states >= 0) & shown[panel.states]
