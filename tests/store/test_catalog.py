from __future__ import annotations

from lib.store.catalog import Catalog, key_of, make_series, normal


def test_labels_are_normal_when_sorted_without_empty_ones_and_the_name() -> None:
    assert list(normal({"b": "2", "a": "1", "gone": "", "__name__": "m"}).items()) == [("a", "1"), ("b", "2")]


def test_labels_that_differ_in_place_only_are_different_keys() -> None:
    assert key_of(1, "m", {"a": "b"}) != key_of(1, "m", {"b": "a"})
    assert key_of(1, "m", {"a": "1", "b": "2"}) == key_of(1, "m", {"b": "2", "a": "1"})


def test_spans_widen_in_both_directions() -> None:
    catalog = Catalog()
    for first, last in ((10, 20), (5, 7), (15, 30)):
        catalog.widen(1, first, last)
    assert catalog.spans == {1: (5, 30)}


def test_a_dropped_series_is_found_no_more() -> None:
    catalog = Catalog()
    catalog.add([make_series(1, 1, "m", {"a": "1"}), make_series(2, 1, "m", {"a": "2"})])
    catalog.widen(1, 0, 1)
    catalog.drop([1, 99])
    assert [series.id for series in catalog.matching(metric="m")] == [2]
    assert catalog.spans == {}
    assert key_of(1, "m", {"a": "1"}) not in catalog.ids


def test_series_with_the_same_labels_share_them_also_after_others_left() -> None:
    catalog = Catalog()
    made = [make_series(number, 1, f"m{number}", {"host": "a", "disk": "b"}) for number in (1, 2, 3)]
    catalog.add(made[:2])
    catalog.drop([1])
    catalog.add(made[2:])
    assert catalog.series[2].labels is catalog.series[3].labels
    assert catalog.series[3] == made[2]
    assert [catalog.ids[key_of(1, f"m{number}", {"disk": "b", "host": "a"})] for number in (2, 3)] == [2, 3]
