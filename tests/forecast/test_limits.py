from __future__ import annotations

import pytest

from lib.errors import Invalid
from lib.forecast.limits import parse


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("", "B", None),
        ("  ", "", None),
        ("250", "", 250),
        ("-1,5", "°C", -1.5),
        ("1e3", "", 1000),
        ("1.5 TiB", "B", 1.5 * 2**40),
        ("20GB", "B", 20 * 2**30),
        ("20G", "B/s", 20 * 2**30),
        ("5 MiB/s", "B/s", 5 * 2**20),
        ("200k", "/s", 200_000),
        ("90 %", "ratio", 0.9),
        ("0.9", "ratio", 0.9),
        ("90%", "%", 90),
    ],
)
def test_limit_is_read_in_the_unit_of_the_series(text: str, unit: str, value: float | None) -> None:
    assert parse(text, unit) == (None if value is None else pytest.approx(value))


@pytest.mark.parametrize("text", ["soon", "1 2", "90 %%", "nan", "inf", "10 apples", "9" * 60, "<b>1</b>"])
def test_what_is_no_limit_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(Invalid, match="write a number"):
        parse(text, "B")
