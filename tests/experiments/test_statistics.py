"""Statistics of runs: values by hand, published tables, simulation, and rliable."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from core.errors import UsageError
from experiments import statistics
from experiments.statistics import (
    holm,
    interquartile_mean,
    optimality_gap,
    performance_profile,
    power,
    probability_of_improvement,
    seeds_needed,
    stratified_interval,
    told_apart,
    welch,
    welch_interval,
)
from experiments.tasks import references
from tests.experiments.test_compare import write_run


def test_examples_in_docstrings() -> None:
    assert doctest.testmod(statistics).failed == 0


@pytest.mark.parametrize(("d", "seeds"), [(0.2, 394), (0.5, 64), (0.8, 26), (1.0, 17), (1.5, 9)])
def test_seeds_needed_are_those_of_the_tables(d: float, seeds: int) -> None:
    """Cohen (1988), table 2.4.1: two-sided, alpha 0.05, power 0.80, equal variances, effects in standard deviations."""
    assert seeds_needed(d, (1.0, 1.0)) == seeds
    assert seeds_needed(30 * d, (30.0, 30.0)) == seeds  # the unit does not matter
    assert power(d, (1.0, 1.0), seeds) >= 0.8 > power(d, (1.0, 1.0), seeds - 1)


def test_power_is_the_share_of_experiments_that_see_the_difference() -> None:
    rng, n = np.random.default_rng(0), 6
    x, y = rng.normal(0, 1, (20_000, n)), rng.normal(2, 3, (20_000, n))
    seen = np.mean(scipy.stats.ttest_ind(x, y, axis=1, equal_var=False).pvalue < 0.05)
    assert power(2.0, (1.0, 3.0), n) == pytest.approx(seen, abs=0.02)


def test_a_difference_of_nothing_is_seen_as_often_as_alpha_says() -> None:
    assert power(0.0, (1.0, 2.0), 8, alpha=0.1) == pytest.approx(0.1)
    assert seeds_needed(0.0, (1.0, 1.0)) is None
    assert seeds_needed(1.0, (0.0, 0.0)) == 2


def test_welch_by_hand() -> None:
    """Means 2 and 5, variances 1 and 4, three scores each: t = 3 / sqrt(5/3), with (5/3)^2 / (1/18 + 16/18) = 50/17 degrees."""
    t, freedom = 3 / np.sqrt(5 / 3), 50 / 17
    assert welch([1, 2, 3], [3, 5, 7]) == pytest.approx(2 * scipy.stats.t.sf(t, freedom))
    assert welch([1.0], [1.0, 2.0]) is None and welch([1.0, 1.0], [2.0, 2.0]) is None


def test_welch_interval_by_hand() -> None:
    """Variances 1 and 4 of three each: standard error sqrt(5 / 3), freedom (5 / 3)^2 / ((1 / 9 + 16 / 9) / 2)."""
    freedom = (5 / 3) ** 2 / ((1 / 9 + 16 / 9) / 2)
    half = scipy.stats.t.ppf(0.975, freedom) * np.sqrt(5 / 3)
    assert welch_interval([1, 2, 3], [3, 5, 7]) == pytest.approx((-3 - half, -3 + half))
    assert welch_interval([1.0, 1.0], [2.0, 2.0]) == (-1.0, -1.0) and welch_interval([1.0], [1.0, 2.0]) is None
    student = scipy.stats.t.interval(0.95, 2, loc=2, scale=1 / np.sqrt(3))
    assert welch_interval([1, 2, 3], [0.0, 0.0]) == pytest.approx(student)  # beside what does not vary


def test_a_permutation_test_by_hand() -> None:
    """Of the 20 ways to share six scores two are as far apart as those seen, in two rounds of 400 two: 0.1 and 0.005."""
    low, high = [1.0, 2.0, 3.0], [10.0, 11.0, 12.0]
    assert told_apart([low], [high], 1, alpha=0.15) == 1
    assert told_apart([low], [high], 1, alpha=0.09) is None
    assert told_apart([low, low], [high, high], 2, alpha=0.09) == 2
    assert told_apart([low, low], [high, high], 2, alpha=0.25) == 1  # half of it may be spent on the first look
    assert told_apart([low, low], [high, high], 2, alpha=0.004) is None
    assert told_apart([low], [high], 4, alpha=0.15) is None  # looks to come want their share
    assert told_apart([[1.0, 1.0]], [[1.0, 1.0]], 1, alpha=0.5) is None


def test_looking_after_every_round_finds_no_more_than_alpha_where_nothing_is() -> None:
    """2,000 comparisons of two equal settings, three rounds of four seeds, scores as of a training that sometimes fails."""
    rng, alpha, n = np.random.default_rng(3), 0.05, 2_000
    scores = np.where(
        rng.random((n, 2, 3, 4)) < 0.2, rng.normal(20, 5, (n, 2, 3, 4)), rng.normal(480, 30, (n, 2, 3, 4))
    )
    found = sum(told_apart(ours, theirs, 3, alpha, draws=400) is not None for ours, theirs in scores.tolist())
    assert found / n <= alpha + 2 * np.sqrt(alpha * (1 - alpha) / n), found
    assert found / n > alpha / 2  # nor is it blind: a test that never rejects proves nothing
    shifted = scores[:200] + np.array([0.0, 200.0])[None, :, None, None]
    seen = sum(told_apart(ours, theirs, 3, alpha, draws=400) is not None for ours, theirs in shifted.tolist())
    assert seen > 20 * 200 * alpha / 2, seen


def test_holm_by_hand_and_under_the_null() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.5, 0.9]) == [1.0, 1.0] and holm([]) == []
    p = np.random.default_rng(1).uniform(size=(4_000, 5))
    false = np.mean([min(holm(row)) < 0.05 for row in p])
    assert false < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 4_000)


def test_a_stratified_interval_by_hand() -> None:
    """One task [0, 1], another [10, 10]: means of resamples are 5, 5.25 and 5.5 with probabilities 1/4, 1/2, 1/4."""

    def mean(scores: list[np.ndarray]) -> float:
        return float(np.mean(np.concatenate(scores)))

    assert stratified_interval([[[0.0, 1.0], [10.0, 10.0]]], mean) == (5.0, 5.5)
    assert stratified_interval([[[0.0, 1.0], [10.0, 10.0]]], mean, level=0.4) == (5.25, 5.25)
    assert stratified_interval([[[0.0], [1.0]]], mean) is None


def test_profiles_and_gaps_by_hand() -> None:
    scores = [[0.0, 0.5, 1.0, 1.5], [2.0]]
    assert performance_profile(scores, [-1, 0.75, 1.75]).tolist() == [1.0, 0.75, 0.5]
    assert optimality_gap(scores) == pytest.approx(1 - (0 + 0.5 + 1 + 1 + 1) / 5)
    assert probability_of_improvement([[1.0, 2.0], [5.0]], [[1.0], [4.0]]) == pytest.approx((0.75 + 1) / 2)


@pytest.mark.slow
def test_the_same_as_rliable() -> None:
    metrics = pytest.importorskip("rliable.metrics", reason="the extra peers brings rliable")
    rng = np.random.default_rng(3)
    x, y = rng.normal(0.6, 0.5, (5, 3)), rng.normal(0.4, 0.3, (5, 3))  # [runs, tasks]
    ours, theirs = x.T.tolist(), y.T.tolist()
    assert interquartile_mean(x.ravel()) == pytest.approx(metrics.aggregate_iqm(x))
    assert optimality_gap(ours) == pytest.approx(metrics.aggregate_optimality_gap(x))
    assert probability_of_improvement(ours, theirs) == pytest.approx(metrics.probability_of_improvement(x, y))


def across(tmp_path, cli, *words: object) -> tuple[int, str]:
    """Two algorithms on two tasks, two runs each: 0.5, 0.7 and 0.2, 0.4 normalised, against 0.9, 1.1 and 0.6, 0.8."""
    (tmp_path / "references.yaml").write_text("Task-A: [0, 10]\nTask-B: [-1, 1]\n")
    for lr, a, b in ((0.1, (5.0, 7.0), (-0.6, -0.2)), (0.2, (9.0, 11.0), (0.2, 0.6))):
        for task, scores in (("Task-A", a), ("Task-B", b)):
            for seed, score in enumerate(scores):
                write_run(tmp_path / "runs", seed, [(100, score)], lr=lr, name=f"{task}-{lr}", task=task)
    code, out, err = cli("compare", tmp_path / "runs", "--plot", tmp_path / "c.png", *words)
    return code, " ".join((out + err).split())


def test_algorithms_across_tasks_by_hand(cli, tmp_path: Path) -> None:
    code, out = across(tmp_path, cli, "--tasks", "env.id", "--references", tmp_path / "references.yaml")
    assert code == 0 and "normalised scores over 2 tasks" in out and (tmp_path / "c.png").read_bytes()[:4] == b"\x89PNG"
    (first,), (second,) = (
        re.findall(rf"│ {letter} actor-critic lr=0.[12] │ 2 │ ([^│]+)│ ([^│]+)│ ([^│]+)│ ([^│]*)│", out)
        for letter in "AB"
    )
    assert [float(cell.split()[0]) for cell in first[:3]] == [0.45, 0.45, 0.55] and not first[3].strip()
    assert [float(cell.split()[0]) for cell in second[:3]] == [0.85, 0.85, 0.175]
    assert second[3].split()[0] == "1"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--tasks", "env.name"), "no setting of these runs"),
        (("--tasks", "env.id"), "there is no reference score for 'Task-A'"),
        (("--references", "x"), "--references is for --tasks"),
        (("--tasks", "lr"), "there is no reference score for '0.1'"),
    ],
)
def test_what_cannot_be_put_on_one_scale_is_a_sentence(
    cli, tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    code, out = across(tmp_path, cli, *words)
    assert code == 2 and sentence in out and not (tmp_path / "c.png").exists()


def test_a_plan_by_hand(cli, tmp_path: Path) -> None:
    """Scores 90, 100, 110: deviation 10, so 10 % of the mean is an effect of one deviation, which needs 17 seeds."""
    for seed, score in enumerate((90.0, 100.0, 110.0)):
        write_run(tmp_path, seed, [(100, score)])
    for effect in ("10%", "10"):
        code, out, _ = cli("plan", tmp_path, "--effect", effect)
        cells = [cell.strip() for cell in next(line for line in out.splitlines() if "A actor" in line).split("│")]
        assert code == 0 and cells[2:8] == ["3", "100", "10", "10", "16%", "17"]
    assert float(cells[8]) == pytest.approx(2 * 17 * 2 / 3600, rel=0.05)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--effect", "much"), "--effect is 'much'; it must be a number, or one with %"),
        (("--effect", "-3"), "it must be above 0"),
        (("--chance", "1"), "--chance is 1.0; it must lie between 0 and 1"),
        ((), "a spread needs at least three runs of one configuration"),
    ],
)
def test_what_cannot_be_planned_is_a_sentence(cli, tmp_path: Path, words: tuple[str, ...], sentence: str) -> None:
    write_run(tmp_path, 1, [(100, 1.0)])
    code, _, err = cli("plan", tmp_path, *words)
    assert code == 2 and sentence in " ".join(err.split())


def test_references_that_are_no_pairs_are_a_sentence(tmp_path: Path) -> None:
    for text in ("X: 3\n", "X: [1, 1]\n", "X: [a, b]\n"):
        (tmp_path / "r.yaml").write_text(text)
        with pytest.raises(UsageError, match="two different scores"):
            references(str(tmp_path / "r.yaml"))
    assert references()["CartPole-v1"][1] == 475
