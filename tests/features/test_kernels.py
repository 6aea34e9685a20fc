from __future__ import annotations

import numpy as np
import pytest

from lib.features import kernels


def naive_ewma(row: np.ndarray, span: float) -> np.ndarray:
    decay, total, weight, out = 1 - 2 / (span + 1), 0.0, 0.0, []
    for value in row:
        total, weight = total * decay, weight * decay
        if np.isfinite(value):
            total, weight = total + value, weight + 1
        out.append(total / weight if weight > 1e-12 else np.nan)
    return np.array(out)


def test_ewma_in_blocks_is_the_recursion_gaps_included() -> None:
    row = np.random.default_rng(1).normal(5, 2, 700)
    row[:5] = np.nan
    row[300:340] = np.nan
    assert kernels.ewma(row[None, :], 12, block=64)[0] == pytest.approx(naive_ewma(row, 12), nan_ok=True, rel=1e-9)


def test_difference_and_flat_and_missing() -> None:
    row = np.array([[1.0, 2.0, 4.0, 4.0, 4.0, np.nan, 7.0]])
    assert kernels.difference(row, 1)[0, 1:5].tolist() == [1, 2, 0, 0]
    assert kernels.flat(row, 3)[0].tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert kernels.missing_share(row, 2)[0].tolist() == [0, 0, 0, 0, 0, 0.5, 0.5]


def test_rolling_matches_numpy() -> None:
    row = np.random.default_rng(2).normal(0, 1, 50)
    made = kernels.rolling(row[None, :], 10)
    last = row[-10:]
    slope = last[-5:].mean() - last.mean()
    expected = {"mean": last.mean(), "slope": slope, "std": last.std(), "min": last.min(), "max": last.max()}
    assert {k: v[0, -1] for k, v in made.items()} == pytest.approx(expected)


def test_unchanged_counts_from_the_last_move_and_a_gap_begins_anew() -> None:
    rows = np.array([[1.0, 1, 1, 2, 2, np.nan, 2, 2, 2]])
    assert kernels.unchanged(rows).tolist() == [[0, 1, 2, 0, 1, 0, 0, 1, 2]]
