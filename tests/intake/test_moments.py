from __future__ import annotations

import numpy as np
import pytest

from lib.errors import Invalid
from lib.intake.mapping import TimeFormat
from lib.intake.moments import BEYOND, NO_TIME, NOT_A_TIME, SKIPPED, Moments

NOON = 1_773_489_600_000  # 2026-03-14 12:00 UTC


@pytest.mark.parametrize(
    ("format_", "zone", "text", "expected"),
    [
        (TimeFormat.SECONDS, "UTC", "1773489600", NOON),
        (TimeFormat.SECONDS, "UTC", "1773489600.0015", NOON + 2),
        (TimeFormat.SECONDS, "UTC", "1.7734896e9", NOON),
        (TimeFormat.MILLISECONDS, "UTC", "1773489600123", NOON + 123),
        (TimeFormat.MICROSECONDS, "UTC", "1773489600123999", NOON + 123),
        (TimeFormat.NANOSECONDS, "UTC", "1773489600123999999", NOON + 123),
        (TimeFormat.ISO, "UTC", "2026-03-14T12:00:00Z", NOON),
        (TimeFormat.ISO, "UTC", "2026-03-14 12:00", NOON),
        (TimeFormat.ISO, "Europe/Berlin", "2026-03-14 13:00:00.25", NOON + 250),
        (TimeFormat.ISO, "Asia/Kolkata", "2026-03-14 17:30", NOON),
        (TimeFormat.ISO, "Europe/Berlin", "2026-03-14T12:00:00+00:00", NOON),
        (TimeFormat.DAY_FIRST, "Europe/Berlin", "14.03.2026 13:00", NOON),
        (TimeFormat.DAY_FIRST, "UTC", "14/3/26 12:00:00,5", NOON + 500),
        (TimeFormat.MONTH_FIRST, "UTC", "03/14/2026 12:00 PM", NOON),
        (TimeFormat.MONTH_FIRST, "UTC", "3/15/2026 12:00:00 am", NOON + 12 * 3_600_000),
    ],
)
def test_moments_are_read_as_they_are_written(format_: TimeFormat, zone: str, text: str, expected: int) -> None:
    found, wrong = Moments(format_, zone).read([text])
    assert (found.tolist(), wrong) == ([expected], {})


@pytest.mark.parametrize(
    ("format_", "text", "reason"),
    [
        (TimeFormat.ISO, "", NO_TIME),
        (TimeFormat.ISO, "yesterday", NOT_A_TIME),
        (TimeFormat.ISO, "2026-02-30", NOT_A_TIME),
        (TimeFormat.SECONDS, "1_773_489_600", NOT_A_TIME),
        (TimeFormat.SECONDS, "nan", NOT_A_TIME),
        (TimeFormat.SECONDS, "9" * 400, BEYOND),
        (TimeFormat.NANOSECONDS, "inf", NOT_A_TIME),
        (TimeFormat.DAY_FIRST, "31.02.2026 10:00", NOT_A_TIME),
        (TimeFormat.MONTH_FIRST, "03/14/2026 13:00 PM", NOT_A_TIME),
    ],
)
def test_what_is_no_moment_is_told(format_: TimeFormat, text: str, reason: str) -> None:
    assert Moments(format_, "UTC").read([text])[1] == {0: reason}


def test_clock_changes_are_neither_guessed_nor_hidden() -> None:
    reader = Moments(TimeFormat.ISO, "Europe/Berlin")
    found, wrong = reader.read(["2026-03-29 02:30", "2025-10-26 02:30", "2025-10-26 02:30", "2025-10-26 03:30"])
    assert wrong == {0: SKIPPED}
    assert reader.ambiguous == 2
    assert found[3] - found[1] == 2 * 3_600_000  # the first of the two half past two


def test_typed_columns_give_the_same_as_text() -> None:
    texts = ["2026-03-14 13:00:00", "2026-03-29 02:30:00", "2025-10-26 02:30:00"]
    typed = np.ma.MaskedArray(np.array(texts, "datetime64[us]"), mask=[False, False, False])
    by_text, by_type = Moments(TimeFormat.ISO, "Europe/Berlin"), Moments(TimeFormat.ISO, "Europe/Berlin")
    (one, wrong), (other, also_wrong) = by_text.read(texts), by_type.local(typed)
    assert wrong == also_wrong == {1: SKIPPED}
    assert one[[0, 2]].tolist() == other[[0, 2]].tolist()
    assert by_text.ambiguous == by_type.ambiguous == 1


def test_typed_numbers_keep_nanoseconds_and_tell_what_is_missing() -> None:
    numbers = np.ma.MaskedArray(np.array([NOON * 10**6 + 123_999_999, 0, 2**62]), mask=[False, True, False])
    found, wrong = Moments(TimeFormat.NANOSECONDS, "UTC").read(numbers)
    assert found[0] == NOON + 123
    assert wrong == {1: NO_TIME}
    floats = np.ma.MaskedArray(np.array([NOON / 1000, np.nan, np.inf, 1e300]), mask=False)
    found, wrong = Moments(TimeFormat.SECONDS, "UTC").read(floats)
    assert found.tolist() == [NOON, 0, 0, 0]
    assert set(wrong) == {1, 2, 3}


def test_unknown_zone_is_refused() -> None:
    for name in ("Mars/Olympus", "../../etc/passwd", "", "Europe"):
        with pytest.raises(Invalid, match="no time zone"):
            Moments(TimeFormat.ISO, name)
