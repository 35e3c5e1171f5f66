"""A sum tree: draw indices in proportion to their weights, change weights, both in O(log n) and many at a time."""

from __future__ import annotations

import numpy as np

__all__ = ["SumTree"]


class SumTree:
    """Weights of `size` leaves in a binary tree whose every node is the sum of its two children, float64.

    A node is always computed from its children, never corrected by a difference, so the tree is a function of its leaves: no
    rounding accumulates, and a tree rebuilt from saved leaves draws the same numbers. Schaul et al. (2016), appendix B.2.1.
    """

    def __init__(self, size: int):
        self.size = size
        # The root is node 1, the children of node k are 2k and 2k + 1, and the leaves begin here.
        self._first = 1 << max(size - 1, 0).bit_length()
        self._node = np.zeros(2 * self._first)

    @property
    def total(self) -> float:
        """The sum of all weights."""
        return float(self._node[1])

    @property
    def leaves(self) -> np.ndarray:
        """The weights [size], a view: change them with `set` only."""
        return self._node[self._first : self._first + self.size]

    def set(self, index: np.ndarray, weight: np.ndarray | float) -> None:
        """Give the leaves `index` [K] their `weight` [K] >= 0; of an index that occurs twice the last counts."""
        node = np.asarray(index) + self._first
        self._node[node] = weight
        while len(node) and node[0] > 1:
            node = node >> 1
            if len(node) > 1:  # siblings meet: most of the work is saved low in the tree, where runs of leaves are set
                node = np.unique(node) if len(node) > 8 else node
            left = 2 * node
            self._node[node] = self._node[left] + self._node[left + 1]

    def load(self, leaves: np.ndarray) -> None:
        """Take over all weights [size]."""
        self._node[:] = 0
        self._node[self._first : self._first + self.size] = leaves
        level = self._first
        while level > 1:
            below = self._node[level : 2 * level]
            level >>= 1
            self._node[level : 2 * level] = below[::2] + below[1::2]

    def find(self, mass: np.ndarray) -> np.ndarray:
        """Return for each `mass` [K] in [0, total) the leaf [K] at which the running sum of the weights passes it.

        A leaf of weight 0 is never returned, whatever the rounding, as long as the total is above 0.
        """
        node = np.ones(len(mass), np.int64)
        mass = mass.copy()
        while len(node) and node[0] < self._first:
            left = 2 * node
            below, above = self._node[left], self._node[left + 1]
            right = ((mass >= below) & (above > 0)) | (below <= 0)
            mass -= np.where(right, below, 0.0)
            node = left + right
        return node - self._first
