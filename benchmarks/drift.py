"""Drift of 100,000 × 20 rows against the distributions a model learnt from; peers: scipy's tests on the raw tables."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import Figure, note
from lib.drift import reference, shift, verdict

ROWS, COLUMNS = 100_000, 20


def _table(rng: np.random.Generator, rows: int) -> pd.DataFrame:
    """Sixteen columns of numbers of several shapes, two of few values, two of texts."""
    made: dict[str, Any] = {}
    for number in range(16):
        made[f"n{number}"] = rng.normal(size=rows) if number % 2 else rng.lognormal(0, 1, rows)
    made["few"], made["flag"] = rng.integers(0, 9, rows).astype(float), rng.random(rows) < 0.1
    texts = np.array([f"shop {one}" for one in range(30)], dtype=object)
    made["shop"], made["day"] = texts[rng.integers(0, 30, rows)], texts[rng.integers(0, 7, rows)]
    return pd.DataFrame(made)


def _cpu_s(work: Callable[[], Any], times: int) -> float:
    took = []
    for _ in range(times):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return statistics.median(took)


def _scipy(before: pd.DataFrame, now: pd.DataFrame) -> None:
    from scipy import stats

    for name in before.columns:
        if pd.api.types.is_string_dtype(before[name]):
            stats.chisquare(*_counts(before[name], now[name]))
        else:
            stats.ks_2samp(before[name], now[name], method="asymp")
            stats.wasserstein_distance(before[name], now[name])


def _counts(before: pd.Series, now: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    p, q = before.value_counts(), now.value_counts()
    p, q = p.align(q, fill_value=0)
    return q.to_numpy(dtype=float), p.to_numpy(dtype=float) * q.sum() / p.sum()


def run(quick: bool, rest: list[str]) -> Iterable[Figure]:
    rng = np.random.default_rng(11)
    before, now = _table(rng, ROWS), _table(rng, ROWS)
    times = 3 if quick else 7
    kept = reference.of_frame(before)
    cpu = _cpu_s(lambda: verdict.of(shift.compare(kept, now)), times)
    made = _cpu_s(lambda: reference.of_frame(before), times)
    peer = _cpu_s(lambda: _scipy(before, now), times)
    yield Figure("drift", "cpu_s", round(cpu, 4), "s", f"scipy on the raw tables {peer:.3f} s", round(cpu / peer, 3))
    yield Figure("drift", "reference_cpu_s", round(made, 4), "s")
    trials = 40 if quick else 200
    wrong = 0
    for _ in range(trials):
        a, b = _table(rng, 5000), _table(rng, 1000)
        wrong += verdict.of(shift.compare(reference.of_frame(a), b)).state is not shift.State.OK
    note(f"{wrong} of {trials} comparisons of a world with itself were called anything but ok")
    yield Figure("drift", "false_alarms", round(wrong / trials, 4), "share")
