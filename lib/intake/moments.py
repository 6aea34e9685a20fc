"""Moments as files write them, turned into Unix milliseconds; what cannot be is told cell by cell."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from lib.intake.mapping import TimeFormat, zone_of

Cells = Sequence[str] | np.ma.MaskedArray
NO_TIME, NOT_A_TIME = "has no time", "is not a time as chosen"
SKIPPED = "does not exist: clocks were put forward over it"
BEYOND = "is no time a calendar holds"
# Year 9999: what calendars, charts and databases still hold.
_LAST_MS = 253_402_300_799_999
_PER_MS = {TimeFormat.MILLISECONDS: 1, TimeFormat.MICROSECONDS: 1_000, TimeFormat.NANOSECONDS: 1_000_000}
_PARTS = re.compile(
    r"(\d{1,2})[./-](\d{1,2})[./-](\d{4}|\d\d)(?:[ T,]+(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?\s*([AaPp][Mm])?)?"
)
_QUARTER_MS = 15 * 60_000
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 (local times count from here before their zone is applied)


class Moments:
    """Reads one column of times. ambiguous: how many lay in the hour that comes twice when clocks go back; the first
    of the two was taken."""

    def __init__(self, format_: TimeFormat, zone: str) -> None:
        self.format, self.zone = format_, zone_of(zone)
        self.ambiguous = 0
        self._offsets: dict[int, tuple[int, bool, bool]] = {}
        self._known: dict[str, int | str] = {}
        self._twice: set[str] = set()

    def read(self, cells: Cells) -> tuple[np.ndarray, dict[int, str]]:
        """Milliseconds, shape (n,), and the reason for each cell that gave none (it counts as 0)."""
        if isinstance(cells, np.ma.MaskedArray):
            return self._typed(cells)
        found: list[int] = []
        wrong: dict[int, str] = {}
        known = self._known
        if len(known) > 100_000:
            known.clear()
        for position, text in enumerate(cells):
            value = known.get(text)
            if value is None:
                before = self.ambiguous
                value = known[text] = self._one(text)
                if self.ambiguous > before:
                    self._twice.add(text)
            elif text in self._twice:
                self.ambiguous += 1
            if isinstance(value, str):
                wrong[position] = value
                found.append(0)
            else:
                found.append(value)
        return np.array(found, np.int64), wrong

    def _one(self, text: str) -> int | str:
        text = text.strip().strip("'\"")
        if not text:
            return NO_TIME
        try:
            if self.format is TimeFormat.ISO:
                return self._bounded(self._of(datetime.fromisoformat(text)))
            if self.format in (TimeFormat.DAY_FIRST, TimeFormat.MONTH_FIRST):
                return self._bounded(self._of(self._parted(text)))
            return self._bounded(self._epoch(text))
        except _SkippedError:
            return SKIPPED
        except (ValueError, OverflowError):
            return NOT_A_TIME

    @staticmethod
    def _bounded(ts_ms: int) -> int | str:
        return ts_ms if -_LAST_MS <= ts_ms <= _LAST_MS else BEYOND

    def _epoch(self, text: str) -> int:
        if "_" in text:
            raise ValueError(text)
        if self.format is TimeFormat.SECONDS:
            return int(text) * 1000 if text.isdecimal() else round(_finite(float(text.replace(",", "."))) * 1000)
        per = _PER_MS[self.format]
        # Nanoseconds do not fit a double; what is written with an exponent or decimals has lost them already.
        return (int(text) if text.lstrip("-").isdecimal() else int(_finite(float(text)))) // per

    def _parted(self, text: str) -> datetime:
        found = _PARTS.fullmatch(text)
        if found is None:
            raise ValueError(text)
        first, second = int(found[1]), int(found[2])
        day, month = (first, second) if self.format is TimeFormat.DAY_FIRST else (second, first)
        year = int(found[3]) + (2000 if len(found[3]) == 2 else 0)
        hour = int(found[4] or 0)
        if found[8]:
            if not 1 <= hour <= 12:
                raise ValueError(text)
            hour = hour % 12 + (12 if found[8].lower() == "pm" else 0)
        micros = int((found[7] or "0").ljust(6, "0")[:6])
        return datetime(year, month, day, hour, int(found[5] or 0), int(found[6] or 0), micros)  # noqa: DTZ001

    def _of(self, moment: datetime) -> int:
        if moment.tzinfo is not None:
            return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
        return self._local((moment - _EPOCH) // timedelta(milliseconds=1))

    def _local(self, wall_ms: int) -> int:
        offset, exists, twice = self._offset(wall_ms)
        if not exists:
            raise _SkippedError
        self.ambiguous += twice
        return wall_ms - offset

    def _offset(self, wall_ms: int) -> tuple[int, bool, bool]:
        """Milliseconds ahead of UTC at a local time; whether it exists, and whether it comes twice."""
        quarter = wall_ms // _QUARTER_MS
        if quarter not in self._offsets:
            # Clocks change at full quarters of an hour; what is said of its start holds for all of it.
            wall = _EPOCH + timedelta(milliseconds=quarter * _QUARTER_MS)
            aware = wall.replace(tzinfo=self.zone)
            early, late = aware.utcoffset(), aware.replace(fold=1).utcoffset()
            assert early is not None and late is not None
            back = aware.astimezone(UTC).astimezone(self.zone).replace(tzinfo=None)
            self._offsets[quarter] = round(early.total_seconds() * 1000), back == wall, early > late
        return self._offsets[quarter]

    def _typed(self, cells: np.ma.MaskedArray) -> tuple[np.ndarray, dict[int, str]]:
        """A column that knows its type: datetimes, or numbers."""
        missing = np.ma.getmaskarray(cells)
        wrong = dict.fromkeys(np.flatnonzero(missing).tolist(), NO_TIME)
        data = cells.data
        if data.dtype.kind == "M":
            found = data.astype("datetime64[ms]").view(np.int64).copy()
            found[missing] = 0
            return found, wrong
        with np.errstate(all="ignore"):
            if self.format is TimeFormat.SECONDS:
                scaled = data * 1000 if data.dtype.kind in "iu" else np.round(data * 1000.0)
            elif self.format in _PER_MS:
                per = _PER_MS[self.format]
                scaled = data // per if data.dtype.kind in "iu" else np.floor(data / per)
            else:
                scaled = np.full(data.shape, np.nan)
            fits = np.abs(scaled.astype(np.float64)) <= _LAST_MS
        for position in np.flatnonzero(~fits & ~missing).tolist():
            wrong[position] = NOT_A_TIME
        return np.where(fits & ~missing, np.nan_to_num(scaled), 0).astype(np.int64), wrong

    def local(self, wall: np.ma.MaskedArray) -> tuple[np.ndarray, dict[int, str]]:
        """The same of datetimes without a zone, as typed files have them."""
        found, wrong = self._typed(wall)
        if self.zone.key == "UTC":
            return found, wrong
        distinct, which = np.unique(found // _QUARTER_MS, return_inverse=True)
        told = [self._offset(int(quarter) * _QUARTER_MS) for quarter in distinct]
        offsets = np.array([one[0] for one in told], np.int64)[which]
        exists, twice = (np.array([one[i] for one in told])[which] for i in (1, 2))
        for position in np.flatnonzero(~exists).tolist():
            wrong.setdefault(position, SKIPPED)
        self.ambiguous += int(twice.sum())
        return found - offsets, wrong


class _SkippedError(Exception):
    """A local time that clocks never showed."""


def _finite(value: float) -> float:
    if not math.isfinite(value):
        raise ValueError(value)
    return value
