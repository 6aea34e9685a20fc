"""What the store knows of its series, kept in memory: who they are, and how far their samples reach."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterable, Mapping, Sequence

import duckdb

from lib import frames
from lib.frames import Series
from lib.store.recent import Recent

_Pairs = frozenset[tuple[str, str]]
Key = tuple[int, str, _Pairs]
Span = tuple[int, int]
# Series whose rows are held at once while they are read from the file.
_ROWS = 2048


def normal(labels: Mapping[str, str]) -> dict[str, str]:
    """Labels as they are stored: sorted, without empty ones (Prometheus reads those as absent) and `__name__`.

    Lone surrogates, which JSON can smuggle in and UTF-8 cannot carry, become their escapes.
    """
    kept = {storable(name): storable(value) for name, value in labels.items() if value and name != "__name__"}
    return dict(sorted(kept.items()))


def storable(text: str) -> str:
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def key_of(source_id: int, metric: str, labels: Mapping[str, str]) -> Key:
    """What makes two blocks the same series; the order of labels does not."""
    return source_id, metric, frozenset(labels.items())


class Catalog:
    """Series by key and by id, and the first and last timestamp stored of each.

    Holds only what is committed: `Samples` adds to it after a commit, under the store's lock, and the store
    empties it when it reopens the file. Whoever changes `series` or `samples` in another way calls `clear`.

    Series with the same labels share them, and equal words are held once: a third of the memory, which is 20 MB with
    50,000 series.
    """

    def __init__(self) -> None:
        self.loaded = False
        self.series: dict[int, Series] = {}
        self.ids: dict[Key, int] = {}
        self.spans: dict[int, Span] = {}  # first and last, Unix milliseconds
        self._label_sets: dict[_Pairs, tuple[_Pairs, Mapping[str, str]]] = {}
        # All of them in order, until some come or go; the lock keeps what is sorted meanwhile from outliving those.
        self._ordered: list[Series] | None = None
        self._ordering = threading.Lock()
        self.recent = Recent()

    def clear(self) -> None:
        """Forget everything; the next use reads it from the file again."""
        self.loaded = False
        self.series, self.ids, self.spans, self._label_sets = {}, {}, {}, {}
        self._changed()
        self.recent.clear()

    def load(self, cursor: duckdb.DuckDBPyConnection) -> None:
        """Read it from the file. One pass over hot samples: 2 ms a million on two threads."""
        self.clear()
        cursor.execute("SELECT id, source_id, metric, labels, host, kind FROM series")
        while rows := cursor.fetchmany(_ROWS):
            self.add([Series(*row) for row in rows])
        self.spans = {
            series_id: (first, last)
            for series_id, first, last in cursor.execute(
                "SELECT series_id, min(first_ms), max(last_ms) FROM ("
                "SELECT series_id, epoch_ms(min(ts)) AS first_ms, epoch_ms(max(ts)) AS last_ms FROM samples "
                "GROUP BY series_id UNION ALL SELECT series_id, first_ms, last_ms FROM archive_series) GROUP BY ALL"
            ).fetchall()
        }
        self.loaded = True

    def add(self, made: Sequence[Series]) -> None:
        """Take in series that are committed."""
        for series in made:
            pairs, labels = self._shared(series.labels)
            metric, host, kind = (sys.intern(word) for word in (series.metric, series.host, series.kind))
            self.series[series.id] = Series(series.id, series.source_id, metric, labels, host, kind)
            self.ids[series.source_id, metric, pairs] = series.id
        if made:
            self._changed()

    def widen(self, series_id: int, first: int, last: int) -> None:
        """Note that samples from first to last are committed."""
        known = self.spans.get(series_id)
        self.spans[series_id] = (min(first, known[0]), max(last, known[1])) if known else (first, last)

    def drop(self, series_ids: Iterable[int]) -> None:
        """Let go of series that were removed."""
        self.recent.clear()
        for series_id in series_ids:
            series = self.series.pop(series_id, None)
            self.spans.pop(series_id, None)
            if series:
                self.ids.pop(key_of(series.source_id, series.metric, series.labels), None)
        self._label_sets = {pairs: (pairs, self.series[one].labels) for (_, _, pairs), one in self.ids.items()}
        self._changed()

    def _shared(self, labels: Mapping[str, str]) -> tuple[_Pairs, Mapping[str, str]]:
        pairs = frozenset(labels.items())
        if pairs not in self._label_sets:
            kept = {sys.intern(name): sys.intern(value) for name, value in labels.items()}
            pairs = frozenset(kept.items())
            self._label_sets[pairs] = pairs, kept
        return self._label_sets[pairs]

    def matching(
        self,
        source_id: int | None = None,
        metric: str | None = None,
        host: str | None = None,
        labels: Mapping[str, str] | None = None,
        ids: Iterable[int] | None = None,
    ) -> list[Series]:
        """Series that match all that is given, sorted by metric, host and labels."""
        candidates: Iterable[Series] = (
            self._in_order() if ids is None else _sorted(self.series[i] for i in dict.fromkeys(ids) if i in self.series)
        )
        wanted = (labels or {}).items()
        return [
            series
            for series in candidates
            if (source_id is None or series.source_id == source_id)
            and (metric is None or series.metric == metric)
            and (host is None or series.host == host)
            and all(series.labels.get(name, "") == value for name, value in wanted)
        ]

    def _in_order(self) -> list[Series]:
        """Sorted once: of 50,000 series that takes a quarter of a second and 15 MB."""
        with self._ordering:
            if self._ordered is None:
                # list() of a dict's values is one step to other threads; iterating it is not.
                self._ordered = _sorted(list(self.series.values()))
            return self._ordered

    def _changed(self) -> None:
        with self._ordering:
            self._ordered = None


def _sorted(found: Iterable[Series]) -> list[Series]:
    return sorted(found, key=lambda s: (s.metric, s.host, sorted(s.labels.items()), s.source_id))


def make_series(series_id: int, source_id: int, metric: str, labels: Mapping[str, str]) -> Series:
    """A new series as it will be stored; `labels` are normal already."""
    return Series(series_id, source_id, metric, labels, frames.host_of(labels), frames.kind_of(metric))
