"""Labelled sets as the app would see them: series with timestamps, fitted on a first part, judged on the rest."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from lib import frames
from lib.frames import Series

ROOT = Path(__file__).resolve().parents[1]
WHERE = {
    "smd": "https://github.com/NetManAIOps/OmniAnomaly (Server Machine Dataset)",
    "nab": "https://github.com/numenta/NAB (data/real*, labels/combined_windows.json)",
}
MINUTE_MS = 60_000
# Sets without timestamps get some: a Monday, so that weekdays mean nothing in particular.
BEGIN_MS = 1_577_664_000_000
# VUS-PR's buffer where a series has no period, and the longest period believed: what TSB-AD does.
USUAL_WINDOW, LONGEST_PERIOD = 125, 300


@dataclass(frozen=True)
class Labelled:
    """values: shape (c, n); labels: shape (n,). taught: rows of the first part, to learn from. window: VUS-PR's buffer.
    causes: (first, last, numbers of the channels to blame) of each anomaly, where somebody wrote them down."""

    name: str
    ts_ms: np.ndarray
    values: np.ndarray
    labels: np.ndarray
    taught: int
    window: int
    causes: tuple[tuple[int, int, frozenset[int]], ...] = ()

    @property
    def series(self) -> list[Series]:
        return [Series(i + 1, 1, f"m{i:02d}", {}, self.name, "gauge") for i in range(len(self.values))]

    def frame(self, rows: slice = slice(None)) -> pd.DataFrame:
        ts, values = self.ts_ms[rows], self.values[:, rows]
        return pd.DataFrame(
            {
                "series_id": np.repeat(np.arange(1, len(values) + 1, dtype=np.int32), len(ts)),
                "ts": pd.to_datetime(np.tile(ts, len(values)), unit="ms", utc=True),
                "value": values.ravel(),
            }
        )


def folder(name: str, given: str | None = None) -> Path:
    """Where a set lies: as given, or in $AUTOOPS_BENCH_DATA. Raises SystemExit with where originals are public."""
    beside = ROOT.parent / "shared" / "data"
    place = Path(given) if given else Path(os.environ.get("AUTOOPS_BENCH_DATA", beside)) / name
    if not place.is_dir():
        raise SystemExit(f"{place} is not there. Point at the data with an argument; it is public at {WHERE[name]}.")
    return place


def tables(place: Path, only: int | None = None) -> Iterator[Labelled]:
    """Parquet files with columns split (train, test), label and one column a metric."""
    for path in sorted(place.glob("*.parquet"))[:only]:
        table = pd.read_parquet(path)
        columns = [c for c in table.columns if c not in ("split", "label", "timestamp")]
        train = (table["split"] == "train").to_numpy()
        order = np.argsort(~train, kind="stable")
        values = table[columns].to_numpy(dtype=float)[order].T
        labels = np.where(train, 0, table["label"].to_numpy())[order]
        taught = int(train.sum())
        ts_ms = BEGIN_MS + MINUTE_MS * np.arange(len(table), dtype=np.int64)
        causes = _causes(path.parent / "interpretation" / f"{path.stem}.txt", taught)
        yield Labelled(path.stem, ts_ms, values, labels, taught, period(values[0, taught:]), causes)


def _causes(path: Path, taught: int) -> tuple[tuple[int, int, frozenset[int]], ...]:
    if not path.is_file():
        return ()
    out = []
    for line in path.read_text().split():
        span, _, metrics = line.partition(":")
        first, end = (int(part) for part in span.split("-"))
        out.append((taught + first, taught + end - 1, frozenset(int(m) - 1 for m in metrics.split(","))))
    return tuple(out)


def nab(place: Path, only: int | None = None) -> Iterator[Labelled]:
    """Every `real*` series: learnt from its first 15%."""
    spans = json.loads((place / "combined_windows.json").read_text())
    for path in sorted(place.glob("real*/*.csv"))[:only]:
        name = f"{path.parent.name}/{path.stem}"
        table = pd.read_csv(path, parse_dates=["timestamp"])
        ts = table["timestamp"]
        labels = np.zeros(len(table), dtype=int)
        for begin, end in spans.get(f"{name}.csv", ()):
            labels[(ts >= pd.Timestamp(begin)) & (ts <= pd.Timestamp(end))] = 1
        values = table["value"].to_numpy(dtype=float)
        ts_ms = ts.to_numpy(dtype="datetime64[ms]").astype(np.int64)
        yield Labelled(name, ts_ms, values[None], labels, int(0.15 * len(table)), period(values))


def period(values: np.ndarray) -> int:
    """The lag of the highest peak of the autocorrelation, as TSB-AD takes VUS-PR's buffer from the data."""
    x = values[:20_000] - values[:20_000].mean()
    n = len(x)
    if n < 10 or not x.any():
        return USUAL_WINDOW
    spectrum = np.fft.rfft(x, 2 * n)
    found = np.fft.irfft(spectrum * spectrum.conj())[: min(n, 401)]
    found = found[3:] / found[0]
    peaks = np.flatnonzero((found[1:-1] > found[:-2]) & (found[1:-1] > found[2:])) + 1
    if not peaks.size:
        return USUAL_WINDOW
    best = int(peaks[found[peaks].argmax()])
    return best + 3 if 3 <= best <= LONGEST_PERIOD else USUAL_WINDOW


def clean_host(seed: int, days: int = 30) -> tuple[list[Series], pd.DataFrame]:
    """A simulated host of some role with another seed than the demo's, and nothing wrong with it."""
    folder = str(ROOT / "data" / "demo")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import generate

    generate.INCIDENTS = ()
    # The device that goes away does so after the end.
    generate.EVENTS = tuple((days + 1, *rest) for _, *rest in generate.EVENTS if rest[2] == "device removed")
    columns, labels = generate.simulate(days, seed)
    hosts = sorted({frames.host_of(column.labels) for column in columns} - {""})
    host = hosts[seed % len(hosts)]
    series, parts = [], []
    for column in columns:
        if frames.host_of(column.labels) != host:
            continue
        number = len(series) + 1
        series.append(Series(number, 1, column.metric, column.labels, host, frames.kind_of(column.metric)))
        ts_ms = labels["origin_ms"] + column.offset_ms + column.tick.astype(np.int64) * column.step_ms
        values = column.value * column.scale[0] / column.scale[1]
        parts.append(
            pd.DataFrame(
                {"series_id": np.int32(number), "ts": pd.to_datetime(ts_ms, unit="ms", utc=True), "value": values}
            )
        )
    return series, pd.concat(parts, ignore_index=True)
