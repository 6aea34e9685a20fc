from __future__ import annotations

import numpy as np
import pytest

from lib.anomaly import inject


def made(seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    day = np.sin(2 * np.pi * np.arange(6000) / 288)
    return 50 + 10 * day + rng.normal(0, 1, (4, 6000))


def test_noise_is_told_from_the_rhythm() -> None:
    assert inject.noise(made()) == pytest.approx(1, rel=0.2)


def test_faults_keep_apart_and_out_of_what_is_not_clean() -> None:
    clean = np.ones(20_000, dtype=bool)
    clean[8000:9000] = False
    found = inject.plan(clean, list(inject.KINDS), 21, np.random.default_rng(1))
    assert len(found) == 21 and {one.kind for one in found} == set(inject.KINDS)
    for one, after in zip(found, found[1:], strict=False):
        assert after.first - one.last > inject.APART
    for one in found:
        least, most = inject.KINDS[one.kind]
        assert least <= one.last - one.first + 1 <= most
        assert clean[one.first - inject.APART : one.last + inject.APART].all()


def test_no_room_is_no_fault() -> None:
    assert inject.plan(np.zeros(5000, dtype=bool), ["spike"], 3, np.random.default_rng(0)) == []
    assert inject.plan(np.ones(100, dtype=bool), ["spike"], 3, np.random.default_rng(0)) == []


@pytest.mark.parametrize("kind", list(inject.KINDS))
def test_a_fault_changes_its_rows_of_its_series_and_nothing_else(kind: str) -> None:
    before = made()
    one = inject.Injection(kind, 3000, 3000 + inject.KINDS[kind][1] - 1)
    after = before.copy()
    inject.inject(after, one, np.array([0, 2]), 6, inject.noise(before), np.random.default_rng(2))
    changed = after != before
    assert not changed[[1, 3]].any()
    assert not changed[:, : one.first].any() and not changed[:, one.last + 1 :].any()
    assert changed[[0, 2], one.first : one.last + 1].mean() > 0.9
    again = before.copy()
    inject.inject(again, one, np.array([0, 2]), 6, inject.noise(before), np.random.default_rng(2))
    assert np.array_equal(after, again)


def test_each_kind_is_what_it_says() -> None:
    before, size = made(), np.ones(4)
    rows = slice(3000, 3048)

    def put(kind: str) -> np.ndarray:
        after = before.copy()
        inject.inject(after, inject.Injection(kind, 3000, 3047), np.array([0]), 6, size, np.random.default_rng(3))
        return after[0, rows]

    was = before[0, rows]
    assert np.abs(put("level shift") - was) == pytest.approx(6)
    assert abs((put("drift") - was)[-1]) == pytest.approx(12)
    assert (put("variance burst") - was).std() == pytest.approx(6, rel=0.4)
    assert not put("drop to zero").any()
    assert np.ptp(put("flat line")) == 0
    assert put("correlation break").mean() == pytest.approx(was.mean())


def test_what_cannot_fall_below_nothing_goes_up() -> None:
    values = np.abs(np.random.default_rng(5).normal(0, 1, (1, 1000)))
    inject.inject(values, inject.Injection("spike", 500, 501), np.array([0]), 8, np.ones(1), np.random.default_rng(0))
    assert values[0, 500:502].min() > 7
