from __future__ import annotations

import math

import pytest

from lib.errors import Invalid
from lib.registry.schema import check_rows, from_json
from tests.registry.kept import FLOWERS, MIXED

GOOD = {"age": 4, "income": 1.5, "shop": "south", "member": True, "since": "2026-01-02T00:00:00Z"}


def test_a_schema_comes_back_from_json_as_it_was() -> None:
    for schema in (FLOWERS, MIXED):
        assert from_json(schema.to_json()) == schema


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        ([], "JSON object"),
        ({"task": "ranking"}, "classification or regression"),
        ({"task": "regression", "fields": []}, "1 to"),
        ({"task": "regression", "fields": [{"name": "a"}, {"name": "a"}]}, "same name"),
        ({"task": "regression", "fields": [{"kind": "number"}]}, "no name"),
        ({"task": "regression", "fields": [{"name": "a", "kind": "image"}]}, "known are"),
        ({"task": "classification", "fields": [{"name": "a"}], "classes": ["x"]}, "two classes"),
        ({"task": "classification", "fields": [{"name": "a"}], "classes": ["x", "x"]}, "twice"),
    ],
)
def test_what_describes_no_model_is_refused_by_its_part(raw: object, words: str) -> None:
    with pytest.raises(Invalid, match=words):
        from_json(raw)


def test_a_row_that_fits_has_no_problems_and_may_leave_out_what_is_optional() -> None:
    assert check_rows(MIXED, [GOOD]).problems == []
    bare = check_rows(MIXED, [{"age": 4, "shop": "north", "member": 0}])
    assert bare.problems == []
    assert bare.columns["income"] == [None]
    assert bare.columns["member"] == [False]


@pytest.mark.parametrize(
    ("field", "value", "code"),
    [
        ("age", None, "missing"),
        ("age", "4", "type"),
        ("age", 4.5, "type"),
        ("age", True, "type"),
        ("income", math.inf, "range"),
        ("income", math.nan, "range"),
        ("income", 1e300, "range"),
        ("income", -(10**400), "range"),
        ("age", 10**400, "range"),
        ("shop", "west", "category"),
        ("shop", ["north"], "type"),
        ("member", 2, "type"),
        ("since", "yesterday", "type"),
        ("since", 5, "type"),
        ("colour", "red", "unknown"),
    ],
)
def test_each_wrong_field_is_named_with_its_row(field: str, value: object, code: str) -> None:
    found = check_rows(MIXED, [GOOD, {**GOOD, field: value}])
    assert [(one.row, one.field, one.code) for one in found.problems] == [(1, field, code)]
    assert field in found.problems[0].message


def test_a_thousand_bad_rows_do_not_make_a_thousand_messages() -> None:
    assert len(check_rows(MIXED, [{}] * 1000).problems) == 100
