from __future__ import annotations

import gymnasium
import numpy as np
import pytest

from core.errors import UsageError
from envs import EnvConfig, games, make
from envs.games import CONNECT_FOUR, TIC_TAC_TOE, Position, Rules, Versus

BOTH = pytest.mark.parametrize("rules", [CONNECT_FOUR, TIC_TAC_TOE], ids=["connect-four", "tic-tac-toe"])


def has_line(board: np.ndarray, length: int) -> bool:
    rows, columns = board.shape
    for r, c in np.ndindex(rows, columns):
        for dr, dc in ((0, 1), (1, 0), (1, 1), (1, -1)):
            cells = [(r + k * dr, c + k * dc) for k in range(length)]
            if all(0 <= y < rows and 0 <= x < columns and board[y, x] for y, x in cells):
                return True
    return False


@BOTH
def test_lines_are_those_that_one_finds_cell_by_cell(rules: Rules) -> None:
    boards = np.random.default_rng(0).random((1_000, rules.rows, rules.columns)) < 0.45
    sides, none = rules.sides(boards.astype(np.int8))
    np.testing.assert_array_equal(rules.cells(sides), boards)
    assert not none.any()
    expected = [has_line(board, rules.length) for board in boards]
    assert 0.2 < np.mean(expected) < 0.9
    assert rules.won(sides).tolist() == expected == [rules.won(int(side)) for side in sides]


@BOTH
def test_many_games_follow_the_rules_of_one(rules: Rules) -> None:
    rng = np.random.default_rng(1)
    position = Position(rules)
    while not position.over:
        occupied = position.mine | position.theirs
        stones = rules.stones(np.array([occupied], np.uint64))[0]
        assert np.flatnonzero(stones).tolist() == position.actions() == rules.actions(occupied)
        action = int(rng.choice(position.actions()))
        assert stones[action] == rules.stone(occupied, action)
        position.play(action)


def test_a_stone_falls_and_a_full_column_takes_none() -> None:
    position = Position(CONNECT_FOUR)
    for _ in range(6):
        assert position.play(3) == 0.0
    assert position.actions() == [0, 1, 2, 4, 5, 6]
    ours = CONNECT_FOUR.cells(np.array([position.mine], np.uint64))[0]
    # from the top down: the first player's stone lies lowest
    np.testing.assert_array_equal(ours[:, 3], [0, 1, 0, 1, 0, 1])


def test_the_winner_is_whoever_made_the_line() -> None:
    first, second = Position(TIC_TAC_TOE), Position(TIC_TAC_TOE)
    assert [first.play(a) for a in (0, 3, 1, 4, 2)] == [0, 0, 0, 0, 1] and first.over
    assert [second.play(a) for a in (8, 0, 7, 1, 3, 2)] == [0, 0, 0, 0, 0, -1] and second.over


@BOTH
def test_mirrored_actions_put_mirrored_stones(rules: Rules) -> None:
    stones = rules.cells(rules.stones(np.zeros(1, np.uint64))[0])
    np.testing.assert_array_equal(stones[rules.mirrored], stones[:, :, ::-1])


def test_all_games_of_tic_tac_toe_are_counted() -> None:
    def lines(position: Position) -> np.ndarray:
        total = np.zeros(3, int)
        for action in position.actions():
            after = position.copy()
            result = after.play(action)
            total += lines(after) if not after.over else np.eye(3, dtype=int)[int(result)]
        return total

    total = np.zeros(3, int)
    for first, alike in ((0, 4), (1, 4), (4, 1)):  # corners, edges, the centre
        position = Position(TIC_TAC_TOE)
        position.play(first)
        total += alike * lines(position)
    assert total.tolist() == [46_080, 131_184, 77_904]  # draws, first player's wins, second's: 255,168 games


@pytest.mark.parametrize("name", ["ConnectFour", "TicTacToe", "ConnectFourUCT100"])
def test_an_episode_is_a_function_of_its_seed_and_its_actions(name: str) -> None:
    def play(seed: int) -> tuple[list, list]:
        env = make(EnvConfig(f"pongan/{name}-v0"), 1, seed)
        seen, rewards = [env.reset()[0]], []
        for t in range(12):
            step = env.step(np.array([t % 7]))
            seen.append(step.final_obs[0])
            rewards.append(float(step.reward[0]))
        env.close()
        return np.array(seen).tolist(), rewards

    assert play(3) == play(3) != play(4)


def test_a_move_that_is_not_allowed_loses_and_the_mask_tells_beforehand() -> None:
    env = Versus(CONNECT_FOUR)
    begins = []
    for seed in range(20):
        obs, info = env.reset(seed=seed)
        begins.append(int(np.abs(obs).sum()))
        assert set(np.unique(obs)) <= {0, -1} and info["action_mask"].tolist() == [1] * 7
    assert 4 < begins.count(0) < 16 and begins.count(0) + begins.count(1) == 20
    reward, over, allowed = 0.0, False, 1
    while allowed and not over:
        obs, reward, over, _, info = env.step(0)
        allowed = info["action_mask"][0]
    if not over:
        assert np.all(obs[:, 0] != 0)
        assert env.step(0)[1:3] == (-1.0, True)
    else:
        assert reward in (1.0, -1.0)


def test_pictures_show_both_sides() -> None:
    env = gymnasium.make("pongan/ConnectFour-v0", render_mode="rgb_array")
    env.reset(seed=0)
    while np.count_nonzero(env.unwrapped._board()) < 3:  # type: ignore[attr-defined]
        env.step(3)
    picture = env.render()
    assert picture.shape == (192, 224, 3) and picture.dtype == np.uint8  # type: ignore[union-attr]
    board = env.unwrapped._board()  # type: ignore[attr-defined]
    centres = picture[16::32, 16::32]  # type: ignore[index]
    assert [tuple(c) for c in centres[board == 1]] == [(250, 210, 60)] * int((board == 1).sum())
    assert [tuple(c) for c in centres[board == -1]] == [(220, 60, 60)] * int((board == -1).sum())


@pytest.mark.parametrize("opponent", ["uct", "uct:many", "minimax"])
def test_an_opponent_that_is_not_there(opponent: str) -> None:
    games.register()
    with pytest.raises(UsageError, match="it must be random, or uct:N"):
        Versus(TIC_TAC_TOE, opponent)
