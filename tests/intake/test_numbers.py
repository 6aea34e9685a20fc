from __future__ import annotations

import math

import numpy as np
import pytest

from lib.intake import numbers


@pytest.mark.parametrize(
    ("text", "decimal", "expected"),
    [
        ("1.5", ".", 1.5),
        (" 1e-3 ", ".", 0.001),
        ("1,234,567.5", ".", 1234567.5),
        ("+Inf", ".", math.inf),
        ("-inf", ",", -math.inf),
        ("true", ".", 1.0),
        ("1,5", ",", 1.5),
        ("1.234,5", ",", 1234.5),
        ("1\u202f234,5", ",", 1234.5),
        ("0.1", ".", 0.1),
        ("123456789012345678", ".", 123456789012345678.0),
    ],
)
def test_numbers_are_read_as_they_are_written(text: str, decimal: str, expected: float) -> None:
    values, there, wrong = numbers.read([text, "x"], decimal)  # one that fails takes the careful path
    assert (values[0], there.tolist(), wrong) == (expected, [True, False], {1: numbers.NOT_A_NUMBER})


@pytest.mark.parametrize("text", ["1_000", "12 MB", "1.2.3", "0x1F", "12%", "=1+1", "<b>1</b>"])
def test_what_is_no_number_is_told(text: str) -> None:
    assert numbers.read([text])[2] == {0: numbers.NOT_A_NUMBER}
    assert numbers.read(["1", text])[2] == {1: numbers.NOT_A_NUMBER}


def test_a_point_is_no_decimal_where_commas_are() -> None:
    assert numbers.read(["1.5"], ",")[2] == {0: numbers.NOT_A_NUMBER}


def test_nan_is_a_value_and_an_empty_cell_is_none() -> None:
    values, there, wrong = numbers.read(["NaN", "", "null", "N/A", "-", "2"])
    assert there.tolist() == [True, False, False, False, False, True]
    assert math.isnan(values[0]) and not wrong


def test_numbers_too_large_do_not_become_infinite() -> None:
    assert numbers.read(["1e999", "Inf"])[2] == {0: numbers.TOO_LARGE}


def test_typed_columns_are_taken_as_they_are() -> None:
    column = np.ma.MaskedArray(np.array([1, 2, 2**60]), mask=[False, True, False])
    values, there, wrong = numbers.read(column)
    assert (values[[0, 2]].tolist(), there.tolist(), wrong) == ([1.0, 2.0**60], [True, False, True], {})
    moments = np.ma.MaskedArray(np.array(["2026-01-01"], "datetime64[ms]"), mask=[False])
    assert numbers.read(moments)[2] == {0: numbers.NOT_A_NUMBER}
