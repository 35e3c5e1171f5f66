"""Which modes of a known mixture samples cover, by the protocol of PacGAN (Lin et al., 2018, section 4.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Modes", "count_modes"]

WITHIN = 3.0  # standard deviations


@dataclass(frozen=True)
class Modes:
    """What `count_modes` found."""

    modes: int
    """Modes with at least one high-quality sample."""
    high_quality: float
    """Share of samples within 3 standard deviations of the nearest centre; 98.9 % of true ones are (chi^2, 2 dimensions)."""
    reverse_kl: float
    """KL in nats from the shares of the modes, over high-quality samples, to the uniform distribution; 0 is perfect."""
    deviation: float
    """Standard deviation inside the modes that were found, relative to the true one: 1 is perfect, 0 collapsed to points."""
    deviation_least: float
    """The same of the mode where it is smallest; modes with fewer than 10 samples are left out, 0 if all are."""
    deviation_most: float
    """The same of the mode where it is largest."""
    protocol: str


def count_modes(samples: np.ndarray, centres: np.ndarray, sigma: float) -> Modes:
    """Return the statistics of samples [N, 2] for equally likely Gaussians at centres [M, 2] of standard deviation sigma.

    The deviation of a mode is that of all samples nearest to it within 6 sigma, both axes together: cut at 3 sigma, a mode
    that is far too wide could not be told from a good one.
    """
    if samples.ndim != 2 or samples.shape[1] != centres.shape[1] or not len(samples):
        raise ValueError(f"samples have shape {list(samples.shape)}; [N, {centres.shape[1]}] is needed")
    offsets = samples[:, None].astype(np.float64) - centres  # [N, M, 2]
    squares = (offsets**2).sum(axis=2) / sigma**2
    nearest = squares.argmin(axis=1)  # [N]
    square = squares[np.arange(len(samples)), nearest]
    good = square < WITHIN**2
    counts = np.bincount(nearest[good], minlength=len(centres))
    shares = counts[counts > 0] / max(counts.sum(), 1)
    deviations = []
    for mode in np.flatnonzero(counts):
        own = offsets[(nearest == mode) & (square < (2 * WITHIN) ** 2), mode]
        if len(own) >= 10:
            deviations.append(np.sqrt(own.var(axis=0, ddof=1).mean()) / sigma)
    return Modes(
        modes=int((counts > 0).sum()),
        high_quality=float(good.mean()),
        reverse_kl=float((shares * np.log(shares * len(centres))).sum())
        if len(shares)
        else float(np.log(len(centres))),
        deviation=float(np.mean(deviations)) if deviations else 0.0,
        deviation_least=float(min(deviations, default=0.0)),
        deviation_most=float(max(deviations, default=0.0)),
        protocol=f"{len(samples):,} samples, {len(centres)} modes, high quality = within {WITHIN:g} standard deviations "
        "(Mahalanobis) of the nearest centre, reverse KL to uniform over high-quality samples, deviation relative to the true "
        "one over samples within 6",
    )
