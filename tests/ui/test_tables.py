from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from lib.ui import tables


@pytest.mark.parametrize(
    ("unit", "values", "expected"),
    [
        ("B", [3 * 2**30, None, np.inf], ([3.0, np.nan, np.inf], "GiB")),
        ("B/s", [2048.0, -4096.0], ([2.0, -4.0], "KiB/s")),
        ("B", [None, None], ([np.nan, np.nan], "B")),
        ("B", [], ([], "B")),
        ("s", [2048.0], ([2048.0], "s")),
    ],
)
def test_bytes_are_counted_as_words_count_them(unit: str, values: list, expected: tuple[list, str]) -> None:
    frame, named = tables.scaled(pd.DataFrame({"a": values, "b": "x"}), ["a"], unit)
    assert named == expected[1] and list(frame["b"]) == ["x"] * len(values)
    np.testing.assert_array_equal(frame["a"].to_numpy(float), expected[0])


def test_a_table_that_is_cut_looks_cut() -> None:
    assert [tables.height(rows, 6) for rows in (1, 6)] == [73, 248], "whole rows below the heading"
    assert tables.height(7, 6) == tables.height(500, 6) == 248 + 18
