"""The newest samples of series somebody looks at, kept in memory and grown by each append: a chart that is drawn anew
every few seconds asks DuckDB once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

# Of one series, and of all: 16 bytes each.
_MOST_OF_ONE, _MOST = 5_000, 100_000


@dataclass(frozen=True)
class _Run:
    """Every stored sample of a series from since_ms on. ts_ms, value: shape (n,), rising in time."""

    since_ms: int
    ts_ms: np.ndarray
    value: np.ndarray


class Recent:
    """Belongs to a Catalog, which empties it whenever samples change in another way than by an append.

    A reader calls `mark`, asks the store, and hands what it got to `keep`, which refuses it when something was
    committed meanwhile. `grow` is called after each commit, under the store's lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._runs: dict[int, _Run] = {}  # the longest unused first
        self._size = 0
        self._version = 0

    def mark(self) -> int:
        return self._version

    def get(self, ids: Sequence[int], start_ms: int, end_ms: int) -> list[tuple[np.ndarray, np.ndarray]] | None:
        """Times and values of each series in the window, copied; None when one of them is not kept that far back."""
        with self._lock:
            runs = [self._runs.get(one) for one in ids]
            found = []
            for run in runs:
                if run is None or run.since_ms > start_ms:
                    return None
                part = slice(*np.searchsorted(run.ts_ms, (start_ms, end_ms)).tolist())
                found.append((run.ts_ms[part].copy(), run.value[part].copy()))
            for one in ids:
                self._runs[one] = self._runs.pop(one)
            return found

    def keep(self, mark: int, series_id: int, since_ms: int, ts_ms: np.ndarray, value: np.ndarray) -> None:
        """Take in all there was of a series from a moment on, as of some time after `mark`."""
        with self._lock:
            if mark == self._version and ts_ms.size <= _MOST_OF_ONE:
                self._put(series_id, _Run(since_ms, ts_ms.copy(), value.copy()))

    def grow(self, ids: np.ndarray, starts: np.ndarray, ends: np.ndarray, ts_ms: np.ndarray, value: np.ndarray) -> None:
        """Samples of these series were committed: rows from start to end of each, rising in time."""
        with self._lock:
            self._version += 1
            if not self._runs:
                return
            for position, series_id in enumerate(ids.tolist()):
                run = self._runs.get(series_id)
                if run is None:
                    continue
                part = slice(int(starts[position]), int(ends[position]))
                new_ms, new = ts_ms[part], value[part]
                later = np.searchsorted(new_ms, run.since_ms)
                new_ms, new = new_ms[later:], new[later:]
                if not new_ms.size:
                    continue
                if run.ts_ms.size and new_ms[0] <= run.ts_ms[-1]:
                    # Late, or seen already by a reader in between: which of them were written is not known here.
                    self._drop(series_id)
                    continue
                joined_ms = np.concatenate([run.ts_ms, new_ms])[-_MOST_OF_ONE:]
                cut = joined_ms.size < run.ts_ms.size + new_ms.size
                since_ms = int(joined_ms[0]) if cut else run.since_ms
                self._put(series_id, _Run(since_ms, joined_ms, np.concatenate([run.value, new])[-_MOST_OF_ONE:]))

    def clear(self) -> None:
        with self._lock:
            self._version += 1
            self._runs, self._size = {}, 0

    def _put(self, series_id: int, run: _Run) -> None:
        self._drop(series_id)
        self._runs[series_id] = run
        self._size += run.ts_ms.size
        while self._size > _MOST:
            self._drop(next(iter(self._runs)))

    def _drop(self, series_id: int) -> None:
        run = self._runs.pop(series_id, None)
        self._size -= run.ts_ms.size if run else 0
