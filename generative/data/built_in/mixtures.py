"""Mixtures of Gaussians in the plane, as Metz et al. (2017) and Lin et al. (2018) train on them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from generative.data.registry import Opening, source
from generative.data.settings import DataConfig

if TYPE_CHECKING:
    from generative.data.sources import Mixture

__all__ = ["grid", "ring"]


@source("ring", kind="points", summary="8 Gaussians on a circle of radius 1, standard deviation 0.01")
def ring(config: DataConfig, opening: Opening) -> Mixture:
    import numpy as np

    from generative.data.sources import Mixture

    angles = 2 * np.pi * np.arange(8) / 8
    return Mixture("ring", np.stack([np.cos(angles), np.sin(angles)], axis=1), sigma=0.01)


@source("grid", kind="points", summary="25 Gaussians on {-4, -2, ..., 4}^2, standard deviation 0.05")
def grid(config: DataConfig, opening: Opening) -> Mixture:
    import numpy as np

    from generative.data.sources import Mixture

    side = np.arange(-4, 5, 2)
    return Mixture("grid", np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2), sigma=0.05)
