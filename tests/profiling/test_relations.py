from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.profiling import relations

RNG = np.random.default_rng(11)


def test_a_straight_line_is_one_and_its_mirror_minus_one() -> None:
    x = RNG.normal(size=500)
    found = relations.correlations([x, 3 * x + 2, -x])
    assert found[0, 1] == pytest.approx(1)
    assert found[0, 2] == pytest.approx(-1)


def test_pearson_agrees_with_numpy_over_the_rows_both_have() -> None:
    x = RNG.normal(size=400)
    y = 0.5 * x + RNG.normal(size=400)
    x[:50], y[40:90] = np.nan, np.inf
    both = np.isfinite(x) & np.isfinite(y)
    assert relations.correlations([x, y])[0, 1] == pytest.approx(np.corrcoef(x[both], y[both])[0, 1], abs=1e-9)


def test_ranks_find_what_is_monotonic_but_no_line() -> None:
    x = RNG.normal(size=500)
    (one,) = relations.strongest(["x", "y"], [x, np.exp(5 * x)])
    assert one.spearman == pytest.approx(1)
    assert one.pearson is not None
    assert one.pearson < 0.6


def test_equal_values_share_the_mean_rank() -> None:
    assert relations.ranks(np.array([5.0, np.nan, 1.0, 5.0])).tolist()[0] == 2.5
    assert np.isnan(relations.ranks(np.array([5.0, np.nan]))[1])


def test_shared_information_finds_a_curve_that_correlation_misses() -> None:
    x = RNG.uniform(-1, 1, 2000)
    y = x**2
    codes = [relations.classes(x), relations.classes(y)]
    (one,) = relations.strongest(["x", "y"], [x, y], codes)
    assert abs(one.pearson or 0) < 0.1
    assert one.shared is not None
    assert one.shared > 0.5


def test_shared_information_of_chance_is_near_nothing() -> None:
    a, b = RNG.integers(0, 10, 5000), RNG.integers(0, 10, 5000)
    assert (relations.shared(a, b) or 0) < 0.01


def test_texts_that_decide_a_number_share_all_of_it() -> None:
    text = RNG.integers(0, 3, 1000)
    assert relations.shared(text, relations.classes(text * 10.0)) == pytest.approx(1, abs=0.01)


def test_too_few_common_rows_give_no_coefficient() -> None:
    few = np.arange(10.0)
    assert relations.strongest(["a", "b"], [few, few], [few.astype(int), few.astype(int)]) == ()


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(st.floats(allow_nan=True, allow_infinity=True), min_size=25, max_size=25), min_size=2, max_size=4)
)
def test_any_numbers_give_coefficients_in_range_or_none(rows: list[list[float]]) -> None:
    columns = [np.array(row) for row in rows]
    names = [str(i) for i in range(len(columns))]
    for one in relations.strongest(names, columns, [relations.classes(c) for c in columns], least=0):
        assert one.pearson is None or -1 <= one.pearson <= 1
        assert one.spearman is None or -1 <= one.spearman <= 1
        assert one.shared is None or 0 <= one.shared <= 1
