from __future__ import annotations

import numpy as np
import pytest

from lib.forecast.intervals import coverage, widths


@pytest.mark.parametrize(("level", "least", "most"), [(0.80, 0.77, 0.86), (0.95, 0.93, 1.0)])
def test_new_errors_fall_within_as_often_as_said(level: float, least: float, most: float) -> None:
    rng = np.random.default_rng(0)
    inside = []
    for _ in range(60):
        low, high = widths(rng.normal(size=(12, 48)), 48, level)
        new = rng.normal(size=48)
        inside.append(((new >= low) & (new <= high)).mean())
    assert least < np.mean(inside) < most


def test_errors_that_hang_together_are_covered_as_often() -> None:
    rng = np.random.default_rng(1)
    inside = []
    for _ in range(300):
        low, high = widths(np.repeat(rng.normal(size=(12, 1)), 30, axis=1), 30, 0.80)
        new = rng.normal()
        inside.append(((new >= low) & (new <= high)).mean())
    assert 0.74 < np.mean(inside) < 0.86


def test_intervals_grow_with_errors_that_do_and_go_on_growing_beyond_what_was_tried() -> None:
    errors = np.random.default_rng(2).normal(size=(12, 60)).cumsum(axis=1)
    low, high = widths(errors, 240, 0.80)
    width = high - low
    assert width[59] > 1.8 * width[0]
    assert width[239] >= 1.9 * width[59]
    assert (np.diff(width[60:]) > 0).all()


def test_the_middle_is_always_within_even_when_every_error_was_on_one_side() -> None:
    errors = np.abs(np.random.default_rng(3).normal(size=(12, 24)))
    low, high = widths(errors, 24, 0.80)
    assert (low == 0).all() and (high > 0).all()
    # Nothing is left out on the side where nothing was.
    assert np.mean(errors <= high) == pytest.approx(0.83, abs=0.05)


def test_coverage_is_judged_by_the_other_origins() -> None:
    errors = np.random.default_rng(4).normal(size=(12, 48))
    covered80, covered95 = coverage(errors)
    assert covered80 == pytest.approx(0.82, abs=0.05) and covered95 == pytest.approx(0.96, abs=0.04)
    # An origin that is like no other is never held by the others, however wide it makes them.
    alone = np.zeros((5, 10))
    alone[2] = 7.0
    assert coverage(alone) == (0.8, 0.8)


def test_unknown_errors_do_not_count() -> None:
    errors = np.random.default_rng(5).normal(size=(6, 24))
    errors[:, 8:16] = np.nan
    low, high = widths(errors, 24, 0.80)
    assert np.isfinite(low).all() and np.isfinite(high).all()


def test_no_error_at_all_has_no_width() -> None:
    low, high = widths(np.zeros((5, 10)), 20, 0.95)
    assert not low.any() and not high.any()
    assert coverage(np.zeros((5, 10))) == (1.0, 1.0)
