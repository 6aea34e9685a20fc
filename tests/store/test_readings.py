from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.frames import Block, Window
from lib.profiling import shape
from lib.profiling.gaps import GAP_FACTOR, missing_count
from lib.profiling.rates import rate
from lib.profiling.times import unix_ms
from lib.store.connection import Store
from lib.store.readings import Readings
from lib.store.samples import Samples

EPOCH = Window(datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC))
numbers = st.one_of(
    st.floats(-1e300, 1e300),
    st.sampled_from([np.nan, np.inf, -np.inf, 0.0, 1e308, 1.7e308, -1.7e308]),
    st.integers(0, 5).map(float),
)
samples_of = st.lists(st.tuples(st.integers(1, 10**6), numbers), max_size=40)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory):
    made = Store(tmp_path_factory.mktemp("readings") / "metrics.duckdb")
    yield made
    made.close()


class Book:
    """Series made one after the other in one store: a new file for each example would take seconds."""

    def __init__(self, store: Store) -> None:
        self.samples, self.made = Samples(store), 0
        self.readings = Readings(store, GAP_FACTOR)

    def write(self, ts_ms: np.ndarray, value: np.ndarray) -> int:
        self.made += 1
        name = f"m{self.made}"
        self.samples.append(1, [Block(name, {}, ts_ms.astype(np.int64), value.astype(np.float64))])
        return self.samples.find(metric=name)[0].id


@pytest.fixture(scope="module")
def book(store: Store) -> Book:
    return Book(store)


def columns(pairs: list[tuple[int, float]]) -> tuple[np.ndarray, np.ndarray]:
    steps, values = [step for step, _ in pairs], [value for _, value in pairs]
    return np.cumsum(np.array(steps, dtype=np.int64)), np.array(values, dtype=np.float64)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=samples_of, counters=st.booleans())
def test_spread_is_what_numpy_says_of_the_values(book: Book, pairs, counters: bool) -> None:
    ts, value = columns(pairs)
    series_id = book.write(ts, value)
    shown = rate(ts, value)[1] if counters else value[np.isfinite(value)]
    wanted = shape.distribution(shown)
    found = shape.Distribution(**book.readings.spread([[series_id]], EPOCH, shape.QUANTILES, counters=counters))
    assert list(found.quantiles) == list(wanted.quantiles) and int(found.counts.sum()) == shown.size
    if shown.size and (np.abs(shown) < 1e150).all():
        scale = float(np.abs(shown).max(initial=0)) or 1.0
        for name in ("mean", "std"):
            assert getattr(found, name) == pytest.approx(getattr(wanted, name), rel=1e-6, abs=1e-9 * scale)
        assert [*found.quantiles.values()] == pytest.approx([*wanted.quantiles.values()], rel=1e-9, abs=1e-12 * scale)


def test_spread_draws_the_same_histogram_as_numpy(book: Book) -> None:
    value = np.random.default_rng(3).gamma(2, 3, 5000)
    series_id = book.write(np.arange(5000) * 1000, value)
    found = book.readings.spread([[series_id]], EPOCH, shape.QUANTILES, counters=False)
    wanted = shape.distribution(value)
    np.testing.assert_allclose(found["edges"], wanted.edges, rtol=1e-9)
    assert np.abs(found["counts"] - wanted.counts).sum() <= 4, "but for values on an edge"
    assert found["distinct"] == pytest.approx(5000, rel=0.1)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=samples_of)
def test_rates_in_duckdb_are_those_of_the_definition(book: Book, pairs: list[tuple[int, float]]) -> None:
    ts_ms, value = columns(pairs)
    series_id = book.write(ts_ms, value)
    frame = book.readings.points([series_id], EPOCH, counters=True)
    expected_ts, expected, _ = rate(ts_ms, value)
    assert unix_ms(frame["ts"]).tolist() == expected_ts.tolist()
    assert np.allclose(frame["value"], expected, rtol=1e-12)
    assert (frame["value"] >= 0).all()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=samples_of)
def test_missing_counts_gaps_and_what_is_no_number(book: Book, pairs: list[tuple[int, float]]) -> None:
    ts_ms, value = columns(pairs)
    series_id = book.write(ts_ms, value)
    found = book.readings.missing([series_id], EPOCH)["missing"].sum()
    assert found == missing_count(ts_ms) + (~np.isfinite(value)).sum()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(pairs=samples_of, step_ms=st.integers(1, 10**6), counters=st.booleans())
def test_buckets_hold_every_reading_between_their_least_and_most(
    book: Book, pairs: list[tuple[int, float]], step_ms: int, counters: bool
) -> None:
    series_id = book.write(*columns(pairs))
    points = book.readings.points([series_id], EPOCH, counters=counters)
    buckets = book.readings.buckets([series_id], EPOCH, step_ms, counters=counters)
    assert buckets["count"].sum() == len(points)
    if len(points):
        assert buckets["min"].min() == points["value"].min()
        assert buckets["max"].max() == points["value"].max()
        assert (buckets["mean"] >= buckets["min"]).all()
        assert (buckets["mean"] <= buckets["max"]).all()


def test_mean_rate_is_the_increase_over_the_time(book: Book) -> None:
    series_id = book.write(np.array([0, 10, 20, 40, 50]) * 1000, np.array([0.0, 100, 110, 120, 140]))
    found = book.readings.statistics([series_id], EPOCH, counters=True).iloc[0]
    assert found["mean"] == pytest.approx(140 / 50)
    assert (found["min"], found["max"], found["count"]) == (0.5, 10.0, 4)
    assert found["peak_ts"] == datetime(1970, 1, 1, 0, 0, 10, tzinfo=UTC)


def test_mean_of_values_whose_sum_overflows_stays_between_them(book: Book) -> None:
    series_id = book.write(np.array([1, 2, 3]), np.array([1.7e308, 1.7e308, 1e308]))
    found = book.readings.buckets([series_id], EPOCH, 1000, counters=False).iloc[0]
    assert found["min"] <= found["mean"] <= found["max"]


def test_pulse_counts_samples_a_minute(book: Book) -> None:
    start = datetime(2031, 5, 5, 5, 5, tzinfo=UTC)
    at = int(start.timestamp() * 1000) + np.array([0, 1, 2, 150]) * 1000
    book.write(at, np.ones(4))
    assert book.readings.pulse(Window(start, start + timedelta(minutes=4))) == (3, 0, 1, 0)


def test_nothing_stored_has_no_ends(tmp_path: Path) -> None:
    empty = Store(tmp_path / "empty.duckdb")
    readings = Readings(empty, GAP_FACTOR)
    assert readings.totals() == (0, None, None)
    assert readings.extent([], EPOCH).empty
    assert readings.statistics([7], EPOCH, counters=True).empty
    empty.close()
