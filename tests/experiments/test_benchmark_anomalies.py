"""The benchmark `anomalies`: its baselines against another program's, and its table from numbers that are made up."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score

from experiments.benchmarks.anomalies import COMPONENTS, autoencoder, layout, principal_components
from generative.data.left_out import leave_out
from generative.data.settings import DataConfig
from generative.data.sources import open_data
from generative.ganomaly.config import GANomalyConfig


def test_principal_components_are_those_of_scikit_learn() -> None:
    parts = leave_out(open_data(DataConfig("digits")), "4", 0.3)
    images, anomalous = parts.measured()
    train, x = (pictures.reshape(len(pictures), -1) / 255 for pictures in (parts.train.reference(2_000), images))
    found = principal_components(parts, (3, 20))
    assert list(found) == ["3", "20"]
    for k, area in found.items():
        pca = PCA(int(k), svd_solver="full").fit(train)
        off = np.square(x - pca.inverse_transform(pca.transform(x))).sum(axis=1)
        assert area == pytest.approx(roc_auc_score(anomalous, off), abs=1e-6)


def test_the_autoencoder_learns_and_is_measured() -> None:
    config = GANomalyConfig(DataConfig("digits", size=16), anomaly="0", width=2, latent=4)
    row = autoencoder(config, 3)
    assert 0 < row["auc"] < 1 and row["seconds"] > 0


def test_the_table_has_means_of_whole_columns_and_the_best_number_of_components() -> None:
    measured: dict[str, Any] = {"bigan | 1": {"auc": 0.55, "seconds": 90.0}}
    for i in range(10):
        measured[f"ganomaly | {i}"] = {"auc": 0.5 + 0.02 * i, "seconds": 50.0}  # mean 0.59
        measured[f"autoencoder | {i}"] = {"auc": 0.6 if i else 0.4, "seconds": 20.0}  # mean 0.58
        measured[f"principal components | {i}"] = {"auc": {str(k): 0.1 + 0.2 * (k == 24) for k in COMPONENTS}}
    table, text = layout(measured)
    lines = str(table).splitlines()
    assert lines[0] == "| digit left out | `ganomaly` | `bigan` | autoencoder | 24 principal components |"
    assert lines[2:4] == [
        "| 0 | **0.500** |  | 0.400 | 0.300 |",
        "| 1 | 0.520 | 0.550 | **0.600** | 0.300 |",
    ]
    assert lines[-1] == "| mean | 0.590 |  | 0.580 | 0.300 |"
    assert "ganomaly 1,000 updates, 50 s, bigan 1,000 updates, 90 s" in text
