"""An array that checkpoints keep as they keep a network's weights."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Table"]


class Table:
    """Values that are learned: to `core.checkpoint` a variable, which the best checkpoint keeps and a restore writes into."""

    def __init__(self, name: str, values: np.ndarray):
        self.name = name
        self.values = values

    @property
    def shape(self) -> tuple[int, ...]:
        return self.values.shape

    def assign(self, values: Any) -> None:
        self.values[...] = values

    def numpy(self) -> np.ndarray:
        return self.values
