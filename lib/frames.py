"""How series travel: blocks on the way in, `series_id, ts, value` frames on the way out, UTC throughout."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np
import pandas as pd

from lib.errors import Invalid

# Labels that name the machine or workload a series belongs to, best first.
HOST_LABELS = ("host", "hostname", "nodename", "node", "instance", "pod", "container", "name")
_COUNTER = re.compile(r"(_total|_count|_sum|_bucket)$|^node_(netstat|vmstat)_|^node_(intr|context_switches|forks)")
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw])")
_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_LONGEST = timedelta(days=366)
# How far ahead of ours a clock may be before its samples count as from the future.
AHEAD_S = 300.0
# Prometheus marks a series that ended with this exact NaN.
STALE_NAN_BITS = 0x7FF0000000000002


@dataclass(frozen=True)
class Block:
    """Samples of one series as a source gave them.

    ts_ms: shape (n,), int64 Unix milliseconds, strictly increasing after `validate`.
    value: shape (n,), float64; NaN and Inf are kept (learning leaves them out).
    """

    metric: str
    labels: Mapping[str, str]
    ts_ms: np.ndarray
    value: np.ndarray


@dataclass(frozen=True, slots=True)
class Series:
    """What the store knows of one series. `kind` is 'counter' or 'gauge'; `host` may be empty."""

    id: int
    source_id: int
    metric: str
    labels: Mapping[str, str]
    host: str
    kind: str

    @property
    def title(self) -> str:
        """`metric{a="b"}` without the labels every series of a scrape shares."""
        shown = {k: v for k, v in self.labels.items() if k not in ("job", "__name__")}
        inside = ", ".join(f'{k}="{v}"' for k, v in sorted(shown.items()))
        return f"{self.metric}{{{inside}}}" if inside else self.metric


@dataclass(frozen=True)
class Window:
    """A half-open span of time [start, end), both timezone-aware UTC."""

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        if self.start.tzinfo is None or self.end.tzinfo is None:
            raise ValueError(f"A window needs time zones, got {self.start!r} to {self.end!r}; use UTC.")
        if self.end < self.start:
            raise ValueError(f"A window cannot end ({self.end}) before it starts ({self.start}).")

    @classmethod
    def last(cls, span: timedelta, now: datetime) -> Window:
        return cls(now - span, now)

    @classmethod
    def parse(cls, text: str, now: datetime) -> Window:
        """What programs and command lines write: `24h`, `7d` (before now), or `START/END` in ISO 8601, UTC unless they
        say otherwise. At most 366 days. Raises Invalid."""
        found = _SPAN.fullmatch(text.strip().lower())
        if found:
            seconds = float(found[1]) * _UNIT_S[found[2]]
            if not 0 < seconds <= _LONGEST.total_seconds():
                raise Invalid(f"The window {text[:80]!r} is not between 1 second and {_LONGEST.days} days.")
            return cls.last(timedelta(seconds=seconds), now)
        begin, slash, end = text.partition("/")
        try:
            if not slash:
                raise ValueError(text)
            moments = (datetime.fromisoformat(part.strip()) for part in (begin, end))
            start, stop = (moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC) for moment in moments)
        except (ValueError, OverflowError):
            raise Invalid(
                f"The window {text[:80]!r} is neither a span such as 24h or 7d, nor START/END in ISO 8601."
            ) from None
        if not timedelta(0) < stop - start <= _LONGEST:
            raise Invalid(f"A window ends after it starts and spans at most {_LONGEST.days} days, not {text[:80]!r}.")
        return cls(start, stop)

    @property
    def span(self) -> timedelta:
        return self.end - self.start

    def contains(self, moment: datetime) -> bool:
        return self.start <= moment < self.end


@dataclass(frozen=True)
class Rejected:
    """What `validate` left out of a block, and why; `reasons` maps a word to a count."""

    reasons: Mapping[str, int] = field(default_factory=dict)

    @property
    def count(self) -> int:
        return sum(self.reasons.values())


def validate(block: Block, now: datetime, ahead_s: float = AHEAD_S) -> tuple[Block, Rejected]:
    """Bring a block into order once, on entry: sorted, one value a timestamp, nothing from the future.

    Of two samples with one timestamp the later in arrival order wins. Timestamps beyond `now` plus
    `ahead_s` are left out (clock skew); NaN and Inf stay.
    """
    ts = np.asarray(block.ts_ms, dtype=np.int64)
    value = np.asarray(block.value, dtype=np.float64)
    if ts.shape != value.shape or ts.ndim != 1:
        raise ValueError(f"A block needs two columns of one length, got {ts.shape} and {value.shape}.")
    reasons: dict[str, int] = {}
    limit = int((now.timestamp() + ahead_s) * 1000)
    in_time = (ts <= limit) & (ts >= 0)
    if not in_time.all():
        reasons["future" if (ts > limit).any() else "before 1970"] = int((~in_time).sum())
        ts, value = ts[in_time], value[in_time]
    if ts.size > 1 and not (np.diff(ts) > 0).all():
        order = np.argsort(ts, kind="stable")
        ts, value = ts[order], value[order]
        last_of_ts = np.append(np.diff(ts) > 0, True)
        if not last_of_ts.all():
            reasons["duplicate"] = int((~last_of_ts).sum())
            ts, value = ts[last_of_ts], value[last_of_ts]
    return Block(block.metric, block.labels, ts, value), Rejected(reasons)


def host_of(labels: Mapping[str, str]) -> str:
    """The machine or workload a series belongs to; empty when no label says so."""
    return next((labels[name] for name in HOST_LABELS if labels.get(name)), "")


def kind_of(metric: str) -> str:
    """'counter' or 'gauge', by the naming rules Prometheus exporters follow."""
    return "counter" if _COUNTER.search(metric) else "gauge"


def empty() -> pd.DataFrame:
    """A frame of samples with no rows and the right types."""
    return pd.DataFrame(
        {
            "series_id": pd.Series(dtype="int32"),
            "ts": pd.Series(dtype="datetime64[ms, UTC]"),
            "value": pd.Series(dtype="float64"),
        }
    )


def to_ms(moment: datetime) -> int:
    """Unix milliseconds of an aware datetime."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone; use UTC.")
    return round(moment.timestamp() * 1000)


def from_ms(ts_ms: int) -> datetime:
    """The UTC datetime of Unix milliseconds."""
    return datetime.fromtimestamp(ts_ms / 1000, UTC)


def utcnow() -> datetime:
    """The clock that `app.build` hands to services; tests hand them another."""
    return datetime.now(UTC)
