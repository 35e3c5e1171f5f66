"""A person's moves, typed; the board that is shown; and Elo ratings out of points."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from envs.games import CONNECT_FOUR, TIC_TAC_TOE, Position
from experiments.benchmarks.connect_four import elo, layout, match
from experiments.benchmarks.report import Table
from experiments.verbs.challenge import drawn
from tests.conftest import only_run


def test_a_person_plays_to_the_end(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = (
        "--agent.env.id",
        "pongan/TicTacToe-v0",
        "--agent.simulations",
        400,
        "--run.until",
        5,
        "--eval.episodes",
        1,
    )
    assert cli("run", "mcts", *flags, "--run.folder", tmp_path)[0] == 0
    run = only_run(tmp_path)
    typed = iter(["5", "x", "5", "99"] + [str(n) for n in range(1, 10)] * 3)
    monkeypatch.setattr("builtins.input", lambda prompt: next(typed))
    code, out, _ = cli("challenge", run)
    assert code == 0 and "You are O, it is X." in out and "3 6 9\n2 5 8\n1 4 7" in out
    assert "'x' is no move; " in out and "'99' is no move; " in out and out.count("it plays") >= 2
    assert out.rstrip().endswith(("it wins", "a draw"))  # it never loses
    monkeypatch.setattr("builtins.input", lambda prompt: "q")
    assert cli("challenge", run, "--begins", "agent")[1].rstrip().endswith("left")


@pytest.mark.slow
def test_an_agent_that_learned_with_masks_plays_with_them(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flags = ("--agent.env.id", "pongan/TicTacToe-v0", "--agent.hidden", 8, "--agent.n-steps", 4, "--agent.envs", 4)
    assert cli("run", "pqn", *flags, "--run.until", 64, "--eval.episodes", 2, "--run.folder", tmp_path)[0] == 0
    run = only_run(tmp_path)
    for first in (1, 5, 9):  # an untrained network prefers one cell, taken or not
        typed = iter([str(n) for n in [first, *range(1, 10)] * 2])
        monkeypatch.setattr("builtins.input", lambda prompt, typed=typed: next(typed))
        code, out, _ = cli("challenge", run)
        assert code == 0 and "there is no place" not in out
        assert out.rstrip().endswith(("it wins", "a draw", "you win"))


def test_only_board_games(cli, tmp_path: Path) -> None:
    flags = ("--agent.method", "value-iteration", "--run.until", 5, "--eval.episodes", 1, "--run.folder", tmp_path)
    assert cli("run", "tabular", *flags)[0] == 0
    code, _, err = cli("challenge", only_run(tmp_path))
    assert code == 2 and "which is no board game of two; `play` shows how it acts" in err


def test_boards_are_drawn_as_they_lie() -> None:
    position = Position(CONNECT_FOUR)
    for a in (0, 6, 0):
        position.play(a)
    lines = drawn(CONNECT_FOUR, position.theirs, position.mine).splitlines()
    assert lines[-3:] == ["O . . . . . .", "O . . . . . X", "1 2 3 4 5 6 7"] and len(lines) == 7
    assert drawn(TIC_TAC_TOE, 1, 2).splitlines() == ["3 6 9", "X 5 8", "O 4 7"]


def test_points_count_draws_by_half_and_both_sides_begin() -> None:
    def column(number: int):
        return lambda positions, moves: [number if number in p.actions() else p.actions()[0] for p in positions]

    assert match(column(0), column(6), 10) == 0.5  # whoever begins has four in a column first
    begun: list[int] = []

    def first_free(positions, moves):
        begun.extend([moves % 2] * len(positions))
        return [p.actions()[0] for p in positions]

    assert 0 <= match(first_free, column(3), 6) <= 1 and {0, 1} == set(begun)


def test_ratings_say_what_the_points_say() -> None:
    points = {(1, 0): (75.0, 100), (2, 1): (60.0, 100)}
    expected = np.cumsum([0, 400 * np.log10(3), 400 * np.log10(1.5)])
    np.testing.assert_allclose(elo(points, 3), expected, rtol=0.02, atol=1)
    assert 400 < elo({(1, 0): (100.0, 100)}, 2)[1] < 2_000  # a side that won every game


def test_a_score_without_ratings_is_laid_out_too() -> None:
    of = {"minutes": 15.0, "games": 200, "simulations": 400, "points": 0.775}
    rated = of | {"curve": [{"minutes": 0.0, "moves": 0, "elo": 0.0}], "uct": {"100": -20.4}}
    text, table, _ = layout({"seed 1": of, "seed 2": rated})
    assert "seed 1: 77.5%; seed 2: 77.5%. Target: 80 %." in str(text)
    assert isinstance(table, Table)
    assert list(table.rows) == [["seed 2", "0", "0", "0"], ["seed 2", "", "UCT, 100 roll-outs", "-20"]]
