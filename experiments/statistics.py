"""What can be said of a few runs with different seeds, on one task or on several.

Scores on several tasks are normalised, [task][run]; a task may have another number of runs than the others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from core.errors import UsageError, require

__all__ = [
    "area",
    "bootstrap_interval",
    "effect_in",
    "holm",
    "interquartile_mean",
    "optimality_gap",
    "performance_profile",
    "power",
    "probability_of_improvement",
    "seeds_needed",
    "stratified_interval",
    "told_apart",
    "welch",
    "welch_interval",
]

Tasks = Sequence[Sequence[float]]

RESAMPLES = 10_000


def interquartile_mean(scores: Sequence[float]) -> float:
    """Return the mean of the middle half of the scores: a quarter of them, rounded down, is left out at either end.

    Agarwal et al. (2021), "Deep RL at the Edge of the Statistical Precipice"; as rliable defines it, whole scores are left out.

    >>> interquartile_mean([0, 1, 2, 3, 4, 5, 6, 100])
    3.5
    """
    import scipy.stats

    return float(scipy.stats.trim_mean(scores, 0.25))


def bootstrap_interval(
    scores: Sequence[float], statistic: Callable[..., float] | None = None, level: float = 0.95
) -> tuple[float, float] | None:
    """Return the percentile bootstrap interval of a statistic (the mean) over seeds, or None for fewer than two scores.

    Resamples scores with replacement 10,000 times (Efron, 1979), from a fixed seed, so that the same runs give the same table.
    """
    if len(scores) < 2:
        return None
    values = np.asarray(scores, float)
    picks = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    if statistic is None:
        resampled = values[picks].mean(axis=1)
    else:
        resampled = np.array([statistic(row) for row in values[picks]])
    low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def area(steps: Sequence[float], values: Sequence[float]) -> float:
    """Return the mean height of a curve over its clock, by the trapezoid rule; its one value for a single point.

    >>> area([0, 10, 20], [0.0, 1.0, 1.0])
    0.75
    """
    if len(steps) == 1:
        return float(values[0])
    return float(np.trapezoid(values, steps) / (steps[-1] - steps[0]))


# --- several tasks: Agarwal et al. (2021), as rliable defines them -------------------------------------------------------


def optimality_gap(scores: Tasks, goal: float = 1.0) -> float:
    """Return how far scores stay below `goal` on average; what lies above it counts as the goal.

    >>> optimality_gap([[0.5, 2.0], [1.0, 0.0]])
    0.375
    """
    return float(goal - np.mean([min(score, goal) for task in scores for score in task]))


def performance_profile(scores: Tasks, thresholds: Sequence[float]) -> np.ndarray:
    """Return [thresholds] shares of runs whose score lies above each threshold, the mean over tasks of the share in each.

    >>> performance_profile([[0.0, 1.0], [2.0, 2.0]], [0.5, 1.0]).tolist()
    [0.75, 0.5]
    """
    above = [[np.mean(np.asarray(task) > threshold) for threshold in thresholds] for task in scores]
    return np.asarray(np.mean(above, axis=0))


def probability_of_improvement(ours: Tasks, theirs: Tasks) -> float:
    """Return the probability that a run of ours scores higher than one of theirs, ties as one half, the mean over tasks.

    >>> probability_of_improvement([[1.0, 3.0]], [[2.0, 3.0]])
    0.375
    """
    shares = []
    for x, y in zip(ours, theirs, strict=True):
        difference = np.subtract.outer(np.asarray(x, float), np.asarray(y, float))
        shares.append(np.mean((difference > 0) + 0.5 * (difference == 0)))
    return float(np.mean(shares))


def stratified_interval(
    groups: Sequence[Tasks], statistic: Callable[..., float], level: float = 0.95, resamples: int = 2_000
) -> tuple[float, float] | None:
    """Return the percentile interval of `statistic(*groups)` under resampling of runs within each task; None with one run a task.

    The tasks stay: what is uncertain is the runs, not the choice of tasks.
    """
    if max(len(task) for group in groups for task in group) < 2:
        return None
    rng, arrays = np.random.default_rng(0), [[np.asarray(task, float) for task in group] for group in groups]
    values = [
        statistic(*([task[rng.integers(len(task), size=len(task))] for task in group] for group in arrays))
        for _ in range(resamples)
    ]
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


# --- tests and plans: Colas et al. (2019), "A Hitchhiker's Guide to Statistical Comparisons of RL Algorithms" --------------


def welch(ours: Sequence[float], theirs: Sequence[float]) -> float | None:
    """Return the two-sided p-value of Welch's t-test, for means of two samples with variances of their own.

    None where one has fewer than two scores or neither varies.
    """
    import scipy.stats

    if min(len(ours), len(theirs)) < 2 or (np.ptp(ours) == 0 and np.ptp(theirs) == 0):
        return None
    return float(scipy.stats.ttest_ind(ours, theirs, equal_var=False).pvalue)


def welch_interval(ours: Sequence[float], theirs: Sequence[float], level: float = 0.95) -> tuple[float, float] | None:
    """Return the interval of Welch's t-test for the difference of two means, ours above theirs.

    None where one has fewer than two scores; the difference alone where neither varies.
    """
    import scipy.stats

    if min(len(ours), len(theirs)) < 2:
        return None
    if np.ptp(ours) == 0 and np.ptp(theirs) == 0:
        return (float(ours[0] - theirs[0]),) * 2
    interval = scipy.stats.ttest_ind(ours, theirs, equal_var=False).confidence_interval(level)
    return float(interval.low), float(interval.high)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being several (Holm, 1979): one or more lie below alpha by chance with probability alpha.

    >>> holm([0.01, 0.04, 0.03])
    [0.03, 0.06, 0.06]
    """
    order, corrected, largest = np.argsort(p_values, kind="stable"), [0.0] * len(p_values), 0.0
    for rank, i in enumerate(order):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
        corrected[i] = largest
    return corrected


def power(effect: float, deviations: tuple[float, float], seeds: int, alpha: float = 0.05) -> float:
    """Return the probability that Welch's test sees a difference of means, with `seeds` runs a side.

    `deviations` are the standard deviations of the two sides; the test's statistic has a noncentral t distribution.
    """
    import scipy.stats

    variances = [deviation**2 / seeds for deviation in deviations]
    total = sum(variances)
    if seeds < 2 or total == 0:
        return float(seeds >= 2 and effect != 0)
    freedom = total**2 / sum(variance**2 / (seeds - 1) for variance in variances)
    limit, shift = scipy.stats.t.ppf(1 - alpha / 2, freedom), abs(effect) / np.sqrt(total)
    return float(scipy.stats.nct.sf(limit, freedom, shift) + scipy.stats.nct.cdf(-limit, freedom, shift))


def seeds_needed(
    effect: float, deviations: tuple[float, float], chance: float = 0.8, alpha: float = 0.05, most: int = 10_000
) -> int | None:
    """Return the least number of runs a side with which Welch's test sees a difference with probability `chance`.

    None where not even `most` runs do.
    """
    low, high = 1, 2
    while power(effect, deviations, high, alpha) < chance:
        low, high = high, 2 * high
        if low >= most:
            return None
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power(effect, deviations, middle, alpha) >= chance else (middle, high)
    return high


def effect_in(text: str, flag: str) -> Callable[[float], float]:
    """Return the function from a mean to the difference that matters: `20` in units of the score, or `10%` of the mean.

    Raises UsageError that names `flag` where the text is neither.

    >>> effect_in("10%", "--effect")(-200.0)
    20.0
    """
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        raise UsageError(f"{flag} is {text!r}; it must be a number, or one with %, e.g. 20 or 10%") from None
    require(number > 0 and np.isfinite(number), f"{flag} is {text!r}; it must be above 0")
    return (lambda mean: abs(mean) * number / 100) if text.endswith("%") else (lambda mean: number)


# --- samples that grow in rounds: Mathieu et al. (2023), "AdaStop: adaptive statistical testing for sound comparisons of Deep RL
# agents"


def told_apart(ours: Tasks, theirs: Tasks, looks: int, alpha: float = 0.05, draws: int = 10_000) -> int | None:
    """Return after which of `looks` planned rounds a permutation test tells two samples apart, or None while it does not.

    `ours` and `theirs` are scores [round][run] of the rounds that are there. The statistic is the sum, over rounds, of the
    difference of the round's means. It is compared with the same sums where, in each round, scores change sides at random: what
    was seen is one of these 1 + `draws` histories, all equally likely where the sides do not differ. After round k at most the
    share alpha k / looks of them has been found too large, those of earlier rounds included, so that looking after every round
    finds a difference that is none with probability alpha at most, whatever the distribution of the scores.
    """
    rng = np.random.default_rng(0)
    sums, alive = np.zeros(1 + draws), np.ones(1 + draws, bool)  # histories; the first is what was seen
    for look, (left, right) in enumerate(zip(ours, theirs, strict=True), 1):
        both, n = np.concatenate([left, right]), len(left)
        sides = np.vstack([both, rng.permuted(np.tile(both, (draws, 1)), axis=1)])
        sums += sides[:, :n].mean(axis=1) - sides[:, n:].mean(axis=1)
        sizes = np.abs(sums)
        left_to_spend = int(alpha * look / looks * len(sums)) - int((~alive).sum())
        limit = np.sort(sizes[alive])[::-1][left_to_spend]  # at most so many lie above it
        crossed = alive & (sizes > limit + 1e-9 * sizes.max())  # equal sums differ by their order of addition
        if crossed[0]:
            return look
        alive &= ~crossed
    return None
