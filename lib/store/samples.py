"""Samples in and out of the store: idempotent append, range reads, downsampled reads."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from lib.frames import Block, Series, Window
from lib.store.connection import Store


@dataclass(frozen=True)
class Appended:
    """How many samples were new, and how many were there already."""

    written: int
    known: int


@dataclass(frozen=True)
class SeriesStats:
    """first, last: None while the series has no samples."""

    series: Series
    count: int
    first: datetime | None
    last: datetime | None
    last_value: float | None


class Samples:
    """Reads and writes `series` and `samples`. Frames carry `series_id, ts, value`, ts in UTC, sorted by both."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def append(
        self, source_id: int, blocks: Iterable[Block], watermark: tuple[str, datetime] | None = None
    ) -> Appended:
        """Add what is not there yet. Blocks are validated already (`frames.validate`).

        `watermark` (target, collected until) is written in the same transaction: returning means all of it is
        committed, raising means none of it is.
        """

    def find(
        self,
        *,
        source_id: int | None = None,
        metric: str | None = None,
        host: str | None = None,
        labels: dict[str, str] | None = None,
        ids: Sequence[int] | None = None,
    ) -> list[Series]:
        """Series that match all that is given, sorted by metric, host and labels."""

    def metrics(self, source_id: int | None = None) -> pd.DataFrame:
        """metric, kind, series (how many), hosts (how many), first, last: one row a metric."""

    def hosts(self, source_id: int | None = None) -> pd.DataFrame:
        """source_id, host, series, first, last: one row a host."""

    def stats(self, ids: Sequence[int]) -> list[SeriesStats]:
        """Count, span and latest value of each."""

    def read(self, ids: Sequence[int], window: Window) -> pd.DataFrame:
        """Raw samples: series_id, ts, value."""

    def buckets(self, ids: Sequence[int], window: Window, step_s: float) -> pd.DataFrame:
        """series_id, ts (bucket start), min, mean, max, last, count. Empty buckets have no row."""

    def export(self, ids: Sequence[int], window: Window, path: str) -> int:
        """Write raw samples as Parquet (zstd) for a child process or a download; the number of rows."""

    def watermark(self, source_id: int, target: str) -> datetime | None:
        """How far a target has been collected and committed."""

    def forget_source(self, source_id: int) -> None:
        """Remove a source's series, samples, watermarks, gaps and anomalies in one transaction."""
