"""Series whose future is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lib.forecast import history
from lib.forecast.history import History

STEP_S = 1800
DAY = 48


@pytest.fixture
def daily() -> Callable[..., History]:
    """daily(days, noise=, rise=, weekend=): a day's rhythm around 50, half an hour a step, from a Monday on."""

    def make(days: float = 14, noise: float = 1.0, rise: float = 0.0, weekend: float = 0.0, seed: int = 0) -> History:
        n = int(days * DAY)
        first = 1_577_664_000 // STEP_S
        at = np.arange(n)
        values = 50 + 20 * np.sin(2 * np.pi * at / DAY) + rise * at / DAY
        values = values - weekend * ((at // DAY) % 7 >= 5) + np.random.default_rng(seed).normal(0, noise, n)
        return history.of_bins(first + at, values, STEP_S)

    return make


@pytest.fixture
def walk() -> Callable[[int], History]:
    def make(seed: int) -> History:
        values = np.random.default_rng(seed).normal(size=14 * DAY).cumsum()
        return history.of_bins(np.arange(len(values)), values, STEP_S)

    return make
