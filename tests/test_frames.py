from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from lib.errors import Invalid
from lib.frames import Window

NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("24h", timedelta(hours=24)),
        (" 7D ", timedelta(days=7)),
        ("90s", timedelta(seconds=90)),
        ("1.5h", timedelta(minutes=90)),
        ("2w", timedelta(weeks=2)),
        ("15m", timedelta(minutes=15)),
    ],
)
def test_a_span_ends_now(text: str, span: timedelta) -> None:
    assert Window.parse(text, NOW) == Window(NOW - span, NOW)


def test_two_moments_are_utc_unless_they_say_otherwise() -> None:
    window = Window.parse("2026-03-01/2026-03-02T02:00+02:00", NOW)
    assert window == Window(datetime(2026, 3, 1, tzinfo=UTC), datetime(2026, 3, 2, tzinfo=UTC))


@pytest.mark.parametrize(
    "text",
    ["", "/", "h", "-1h", "0m", "367d", "9" * 400 + "h", "2026-03-01", "2026-03-02/2026-03-01", "a/b", "1h/2h",
     "2025-01-01/2026-03-01", "0001-01-01T00:00+23:59/0001-01-02", "9999-12-31T23:59-23:59/9999-12-31", "yesterday"],
)  # fmt: skip
def test_anything_else_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(Invalid, match="24h|366|second"):
        Window.parse(text, NOW)
