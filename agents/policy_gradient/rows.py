"""Observations of `policy-gradient` as rows of numbers, without TensorFlow: difference frames stay sparse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse
from gymnasium.spaces import Box, Discrete

from envs.spaces import highest

if TYPE_CHECKING:
    from agents.rl.observations import Observations

__all__ = ["Rows"]


class Rows:
    """Observations of a space, flattened to rows [N, D]; for a `network` of the configuration's choice as it encodes them."""

    def __init__(self, space: Box | Discrete, observations: Observations | None = None):
        self.observations = observations
        self.sparse = space.dtype == np.int8  # difference frames: about 40 of 6,400 pixels are not 0
        self.tabular = int(space.n) if isinstance(space, Discrete) else 0
        seen = space.shape if observations is None else observations.shape
        self.inputs = self.tabular or int(np.prod(seen))
        """D"""
        self.scale = 1 / highest(space) if space.dtype == np.uint8 else 1.0

    def features(self, obs: np.ndarray) -> Any:
        """Return observations as rows [N, D]: sparse for difference frames, one-hot for tabular ones, bytes for pictures of a
        `network`, else float32."""
        if self.observations is not None:
            obs = self.observations.encode(obs)
        if self.sparse:
            flat = obs.reshape(len(obs), self.inputs)
            at = np.flatnonzero(flat != 0)
            ends = np.searchsorted(at, self.inputs * np.arange(len(obs) + 1))
            kept = flat.ravel()[at]
            return scipy.sparse.csr_matrix(
                (
                    kept.astype(np.float32) if self.observations is None else kept,
                    (at % self.inputs).astype(np.int32),
                    ends.astype(np.int32),
                ),
                flat.shape,
            )
        if self.observations is not None:
            return obs.reshape(len(obs), self.inputs)
        if self.tabular:
            return np.eye(self.tabular, dtype=np.float32)[obs]
        return np.asarray(obs.reshape(len(obs), self.inputs), np.float32) * np.float32(self.scale)

    def stack(self, xs: list[Any]) -> Any:
        """Return rows [sum of N, D]."""
        return scipy.sparse.vstack(xs, format="csr") if self.sparse else np.concatenate(xs)

    def pack(self, X: Any) -> Any:
        """Return rows as a checkpoint takes them: a sparse matrix as its parts."""
        return {"data": X.data, "indices": X.indices, "indptr": X.indptr} if self.sparse else X

    def unpack(self, X: Any) -> Any:
        """Return the rows that `pack` has packed."""
        if not self.sparse:
            return X
        return scipy.sparse.csr_matrix((X["data"], X["indices"], X["indptr"]), (len(X["indptr"]) - 1, self.inputs))
