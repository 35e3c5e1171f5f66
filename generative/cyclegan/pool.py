"""Earlier translations, which the discriminators are shown as well as the newest ones."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["Pool"]


class Pool:
    """The image pool of Shrivastava et al. (2017) as Zhu et al. (2017) use it, section 4.

    While it is not full every picture goes in and is shown. Then, for one picture in two, one that lies there is shown in its
    place, which it takes.
    """

    def __init__(self, size: int, shape: tuple[int, ...]):
        self.size = size
        self.images = np.zeros((0, *shape), np.float32)

    def exchange(self, fresh: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """Return what to show in the place of `fresh` [B, H, W, C] float32."""
        if not self.size:
            return fresh
        shown = fresh.copy()
        for i, image in enumerate(fresh):
            if len(self.images) < self.size:
                self.images = np.concatenate([self.images, image[None]])
            elif rng.random() < 0.5:
                j = int(rng.integers(self.size))
                shown[i], self.images[j] = self.images[j].copy(), image
        return shown

    def state(self) -> dict[str, Any]:
        return {"images": self.images}

    def load_state(self, tree: dict[str, Any]) -> None:
        self.images = np.array(tree["images"], np.float32)
