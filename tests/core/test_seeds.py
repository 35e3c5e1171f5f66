import numpy as np
import pytest

from core.seeds import child


def test_names_and_parents_tell_seeds_apart() -> None:
    names = [("hidden",), ("logits",), ("hidden", 0), ("hidden", "0"), ("hid", "den"), ("hidden,0",), (0,), ("0",)]
    seeds = [child(parent, *name) for parent in (1, 2, -1) for name in names]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_a_seed_is_the_same_on_every_machine() -> None:
    # SHA-256 of the text [1, "hidden"] begins with these four bytes
    assert child(1, "hidden") == 0xB4E174C4 >> 1


def test_streams_of_neighbours_are_unrelated() -> None:
    draws = np.stack([np.random.default_rng(child(7, "layer", i)).normal(size=2000) for i in range(20)])
    correlations = np.corrcoef(draws) - np.eye(20)
    assert np.abs(correlations).max() < 0.1


def test_a_seed_needs_a_name() -> None:
    with pytest.raises(ValueError, match="at least one name"):
        child(1)
