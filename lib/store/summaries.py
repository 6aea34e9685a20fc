"""Charts from the archive's tiers: where samples have expired, and where buckets are so wide that sums give the same
picture as samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb
import numpy as np
import pandas as pd

from lib import frames
from lib.frames import Window
from lib.store.archive import DAY_MS, RAW, Part, View, tier_rows
from lib.store.connection import Store
from lib.store.readings import Readings
from lib.store.schema import naive
from lib.store.tiers import TIERS


@dataclass(frozen=True)
class Summed:
    """buckets and extent: as of Readings, of gauges and counters together; of expired days extent counts only numbers,
    since tiers leave NaN out. tiers: which were used, finest first. expired: how many days have only sums left."""

    step_ms: int
    tiers: tuple[str, ...]
    expired: int
    buckets: pd.DataFrame
    extent: pd.DataFrame


class Summaries:
    """Reads for charts that take days from their tiers."""

    def __init__(self, readings: Readings) -> None:
        self.readings, self.store = readings, readings.store

    def buckets(
        self, gauges: Sequence[int], counters: Sequence[int], window: Window, fit: Callable[[datetime], int]
    ) -> Summed | None:
        """Buckets that take days from their tiers; None where samples alone have to be asked.

        fit: the step in milliseconds, by when the archive begins; it becomes the tier's where days have nothing finer.

        Gauges take each archived day that lies in the window whole from its tier: least, mean and most of a bucket are
        the same. A counter's tier knows the growth of a slot and not the rates in it, so counters take only expired
        days from theirs.
        """
        if frames.to_ms(window.start) >= self.store.archive.reach_ms:
            return None
        with self.store.read(window, named=False) as cursor:
            view = self.store.archive.look(cursor)
            expired = expired_days(view, window)
            first = min((part.day for part in view.parts), default=0)
            # Of each expired day its finest sums say how fine a bucket can be.
            finest = [min(TIERS[part.tier] for part in parts) for parts in expired.values()]
            step_ms = max([fit(frames.from_ms(first * DAY_MS)), *finest])
            gone = _coarsest([part for parts in expired.values() for part in parts], step_ms)
            whole = [*gone, *_coarsest(self._whole(cursor, view, window), step_ms)]
            if not gone and (not whole or not gauges):
                return None
            made = [
                self._of_kind(cursor, view, ids, window, step_ms, parts, is_counter)
                for ids, parts, is_counter in ((gauges, whole, False), (counters, gone, True))
                if ids
            ]
        used = {part.tier for part in (whole if gauges else gone)}
        order = ["series_id", "ts"]
        return Summed(
            step_ms=step_ms,
            tiers=tuple(tier for tier in TIERS if tier in used),
            expired=len(expired),
            buckets=pd.concat([one for one, _ in made], ignore_index=True).sort_values(order, ignore_index=True),
            extent=pd.concat([one for _, one in made], ignore_index=True).sort_values("series_id", ignore_index=True),
        )

    def _whole(self, cursor: duckdb.DuckDBPyConnection, view: View, window: Window) -> list[Part]:
        """Tiers of days that lie in the window whole, whose samples are kept, and that no late sample changes."""
        late = f"SELECT DISTINCT epoch_ms(ts) // {DAY_MS} FROM {self.store.archive.hot} WHERE ts < make_timestamp_ms(?)"  # noqa: S608 (names)
        changing = {int(row[0]) for row in cursor.execute(late, [self.store.archive.reach_ms]).fetchall()}
        days = range(-(-frames.to_ms(window.start) // DAY_MS), frames.to_ms(window.end) // DAY_MS)
        kept = {part.day for part in view.of(RAW, window)}
        return [
            part
            for tier in TIERS
            for part in view.of(tier, window)
            if part.day in kept and part.day in days and part.day not in changing
        ]

    def _of_kind(
        self,
        cursor: duckdb.DuckDBPyConnection,
        view: View,
        ids: Sequence[int],
        window: Window,
        step_ms: int,
        parts: list[Part],
        counters: bool,
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        raw = view.of(RAW, window)
        rows = self._rows(cursor, view, ids, window, parts)
        # Infinities are in the sums; where samples are kept they are asked instead, which leave them out.
        odd = ~np.isfinite(rows[["min", "max", "sum"]].to_numpy()).all(axis=1)
        mixed = set((rows["t"][odd] // DAY_MS).tolist()) & {part.day for part in raw}
        rows = rows[~odd & ~(rows["t"] // DAY_MS).isin(mixed)]
        taken = {part.day for part in parts} - mixed
        rest = self.store.archive.union(view, [part for part in raw if part.day not in taken])
        cursor.execute(f"CREATE OR REPLACE TEMP VIEW samples AS {rest}")
        found = self.readings.weighed(cursor, ids, window, step_ms, counters=counters)
        extent = self.readings.extent(ids, window, cursor)
        hidden = self._no_numbers(cursor, ids, rows, {part.day for part in raw} & taken)
        return _joined(found, _partial(rows, step_ms, counters), step_ms), _extent(extent, rows, hidden)

    def _rows(
        self, cursor: duckdb.DuckDBPyConnection, view: View, ids: Sequence[int], window: Window, parts: list[Part]
    ) -> pd.DataFrame:
        """series_id, t, width (of the slot, ms) and a tier's columns, sorted."""
        selects = [
            f"SELECT {tier_rows(tier)}, {step_ms} AS width FROM {self.store.archive.files(view, of_tier)}"  # noqa: S608
            for tier, step_ms in TIERS.items()
            if (of_tier := [part for part in parts if part.tier == tier])
        ]
        if not selects:
            names = ["series_id", "t", "width", "count", "min", "max", "sum", "last", "increase"]
            return pd.DataFrame({name: np.empty(0, np.int64 if name in names[:4] else np.float64) for name in names})
        found = cursor.execute(
            "SELECT series_id, epoch_ms(ts) AS t, width, count, min, max, sum, last, increase "  # noqa: S608 (names)
            f"FROM ({' UNION ALL '.join(selects)}) WHERE series_id IN (SELECT unnest(?::INTEGER[])) "
            "AND ts >= ?::TIMESTAMP_MS AND ts < ?::TIMESTAMP_MS ORDER BY series_id, t",
            [list(ids), naive(window.start), naive(window.end)],
        ).fetchnumpy()
        return pd.DataFrame({name: np.ma.getdata(column) for name, column in found.items()})

    def _no_numbers(
        self, cursor: duckdb.DuckDBPyConnection, ids: Sequence[int], rows: pd.DataFrame, days: set[int]
    ) -> pd.Series:
        """By series, how many samples of these days are NaN, which tiers leave out: what a day holds is noted."""
        if not days:
            return pd.Series(dtype=np.int64)
        noted = cursor.execute(
            "SELECT series_id, sum(count)::BIGINT FROM archive_series WHERE day IN (SELECT unnest(?::INTEGER[])) "
            "AND series_id IN (SELECT unnest(?::INTEGER[])) GROUP BY series_id",
            [sorted(days), list(ids)],
        ).fetchall()
        numbers = rows[(rows["t"] // DAY_MS).isin(days)].groupby("series_id")["count"].sum()
        return pd.Series(dict(noted), dtype=np.int64).sub(numbers, fill_value=0).astype(np.int64)


def expired_until(store: Store, window: Window) -> datetime | None:
    """The end of the last day of a window whose samples have expired while sums of it are kept; None: there is none."""
    if frames.to_ms(window.start) >= store.archive.reach_ms:
        return None
    with store.read(archived=False) as cursor:
        days = expired_days(store.archive.look(cursor), window)
    return frames.from_ms((max(days) + 1) * DAY_MS) if days else None


def expired_days(view: View, window: Window) -> dict[int, list[Part]]:
    """Days of which only tiers are left, and their files."""
    kept = {part.day for part in view.of(RAW, window)}
    found: dict[int, list[Part]] = {}
    for tier in TIERS:
        for part in view.of(tier, window):
            if part.day not in kept:
                found.setdefault(part.day, []).append(part)
    return found


def _coarsest(parts: list[Part], step_ms: int) -> list[Part]:
    """Of each day the coarsest file whose slots fill buckets of this step."""
    best: dict[int, Part] = {}
    for part in parts:
        width = TIERS[part.tier]
        if step_ms % width == 0 and (part.day not in best or width > TIERS[best[part.day].tier]):
            best[part.day] = part
    return list(best.values())


def _partial(rows: pd.DataFrame, step_ms: int, counters: bool) -> pd.DataFrame:
    """Slots of a tier as buckets: series_id, slot, min, max, count, weight and total (of weighted values)."""
    if counters:
        rows = _rates(rows)
        low = high = rows["rate"]
        weight, total = rows["seconds"], rows["rate"] * rows["seconds"]
    else:
        low, high, weight, total = rows["min"], rows["max"], rows["count"], rows["sum"]
    return pd.DataFrame(
        {
            "series_id": rows["series_id"],
            "slot": rows["t"] // step_ms,
            "min": low,
            "max": high,
            "count": rows["count"],
            "weight": weight.astype(np.float64),
            "total": total,
        }
    )


def _rates(rows: pd.DataFrame) -> pd.DataFrame:
    """With `rate`, a counter's growth a second, and `seconds`, how long it grew so. A slot after a gap is left out, its
    growth being the gap's as well; of one before a gap only the part that has samples counts."""
    series_id, t, width, count = (rows[name].to_numpy() for name in ("series_id", "t", "width", "count"))
    follows, goes_on = np.zeros(t.size, bool), np.zeros(t.size, bool)
    follows[1:] = goes_on[:-1] = (series_id[1:] == series_id[:-1]) & (t[1:] == t[:-1] + width[:-1])
    usual = rows.groupby(["series_id", "width"])["count"].transform("median").to_numpy(dtype=np.float64)
    seconds = width / 1000 * np.where(goes_on, 1.0, np.minimum(count / usual, 1.0))
    rate = rows["increase"].to_numpy() / seconds
    return rows.assign(seconds=seconds, rate=rate)[follows & np.isfinite(rate)]


def _joined(raw: pd.DataFrame, partial: pd.DataFrame, step_ms: int) -> pd.DataFrame:
    """Buckets of samples and of tiers as one: series_id, ts, min, mean, max, count."""
    both = pd.concat([part for part in (raw, partial) if len(part)] or [raw], ignore_index=True)
    sums = {"min": "min", "max": "max", "count": "sum", "weight": "sum", "total": "sum"}
    found = both.groupby(["series_id", "slot"], as_index=False).agg(sums)
    mean = (found["total"] / found["weight"]).clip(found["min"], found["max"])
    ts = pd.Series((found["slot"] * step_ms).to_numpy().astype("datetime64[ms]")).dt.tz_localize("UTC")
    return found.assign(ts=ts, mean=mean)[["series_id", "ts", "min", "mean", "max", "count"]]


def _extent(raw: pd.DataFrame, rows: pd.DataFrame, hidden: pd.Series) -> pd.DataFrame:
    """As of Readings, of what came from samples and from tiers. hidden: NaN of days that came from tiers, by series."""
    grouped = rows.assign(end=rows["t"] + rows["width"] - 1).groupby("series_id")
    summed = grouped.agg(
        count=("count", "sum"), first=("t", "min"), last=("end", "max"), min=("min", "min"), max=("max", "max")
    )
    summed["interval_s"] = (rows["width"] / rows["count"] / 1000).groupby(rows["series_id"]).median()
    summed["non_finite"] = hidden.reindex(summed.index, fill_value=0)
    summed["count"] += summed["non_finite"]
    for name in ("first", "last"):
        summed[name] = pd.Series(summed[name].to_numpy().astype("datetime64[ms]"), summed.index).dt.tz_localize("UTC")
    parts = [part for part in (raw, summed.reset_index()) if len(part)] or [raw]
    whole = pd.concat(parts, ignore_index=True).groupby("series_id", as_index=False)
    how = {"count": "sum", "first": "min", "last": "max", "min": "min", "max": "max", "non_finite": "sum"}
    return whole.agg({**how, "interval_s": "min"})
