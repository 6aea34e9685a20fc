"""Numbers of a window whose older samples have expired, where the sums that are left say them exactly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import pandas as pd

from lib import frames
from lib.frames import Window
from lib.store.archive import DAY_MS, RAW, Part, tier_rows
from lib.store.connection import Store
from lib.store.schema import naive, to_frame
from lib.store.summaries import expired_days
from lib.store.tiers import TIERS

# Up to so many series the finest sums are read, so that the moment of an extreme is known to five minutes.
FEW = 100


@dataclass(frozen=True)
class Totals:
    """What samples and sums say together.

    table: series_id, count, min, min_ts, max, max_ts, total, last, last_ts, increase: one row a series with a number,
    infinities and NaN left out. Moments are exact for samples, and where a slot begins for sums. increase: from the
    last sample before the window, resets minded; NaN for gauges. window: what of the one asked for whole slots fill,
    from the first day on of which anything is kept. slot_ms: the widest slot used. until: samples before have expired.
    """

    table: pd.DataFrame
    window: Window
    slot_ms: int
    until: datetime


def totals(store: Store, gauges: Sequence[int], counters: Sequence[int], window: Window) -> Totals | None:
    """None where no sample has expired, where no whole slot lies in the window, and where sums are not exact: they hold
    an infinity, or a counter was away for more than a day, whose growth meanwhile nobody noted."""
    if frames.to_ms(window.start) >= store.archive.reach_ms:
        return None
    with store.read(window, named=False) as cursor:
        view = store.archive.look(cursor)
        gone = expired_days(view, window)
        if not gone:
            return None
        raw = view.of(RAW, window)
        # Of days before the first nobody knows whether they had samples: their sums have expired as well.
        first_day = min([*gone, *(part.day for part in raw)])
        start_ms, end_ms = max(frames.to_ms(window.start), first_day * DAY_MS), frames.to_ms(window.end)
        whole = range(-(-start_ms // DAY_MS), end_ms // DAY_MS)
        coarse = len(gauges) + len(counters) > FEW
        chosen = {day: _of_day(parts, coarse and day in whole) for day, parts in gone.items()}
        if (first := chosen.get(start_ms // DAY_MS)) is not None:
            start_ms = -(-start_ms // TIERS[first.tier]) * TIERS[first.tier]
        if (last := chosen.get((end_ms - 1) // DAY_MS)) is not None:
            end_ms = end_ms // TIERS[last.tier] * TIERS[last.tier]
        if start_ms >= end_ms:
            return None
        slots = [
            f"SELECT {tier_rows(tier)}, {width} AS width FROM {store.archive.files(view, parts)}"  # noqa: S608 (names)
            for tier, width in TIERS.items()
            if (parts := [part for part in chosen.values() if part.tier == tier])
        ]
        days = ", ".join(str(day) for day in gone)
        wanted = (
            "series_id IN (SELECT unnest($ids::INTEGER[])) AND ts >= $start::TIMESTAMP_MS AND ts < $end::TIMESTAMP_MS"
        )
        pieces = f"""pieces AS (
            SELECT series_id, epoch_ms(ts) AS t, count, min, max, sum, last, increase, false AS one
            FROM ({" UNION ALL ".join(slots)}) WHERE {wanted}
            UNION ALL
            SELECT series_id, epoch_ms(ts) AS t, 1, value, value, value, value, NULL, true
            FROM ({store.archive.union(view, raw)})
            WHERE {wanted} AND isfinite(value) AND epoch_ms(ts) // {DAY_MS} NOT IN ({days}))"""  # noqa: S608 (names)
        covered = Window(frames.from_ms(start_ms), frames.from_ms(end_ms))
        edges = {"start": naive(covered.start), "end": naive(covered.end)}
        made = [
            to_frame(cursor, query.format(pieces=pieces), {"ids": list(ids), **edges})  # type: ignore[arg-type]
            for ids, query in ((gauges, _GAUGES), (counters, _COUNTERS))
            if ids
        ]
    table = pd.concat(made, ignore_index=True)
    if table.empty or not table.pop("exact").all():
        return None
    slot_ms = max(TIERS[part.tier] for part in chosen.values())
    return Totals(table, covered, slot_ms, frames.from_ms((max(gone) + 1) * DAY_MS))


def _of_day(parts: list[Part], coarse: bool) -> Part:
    return (max if coarse else min)(parts, key=lambda part: TIERS[part.tier])


_COLUMNS = """series_id, sum(count)::BIGINT AS count, min(min) AS min, make_timestamp_ms(arg_min(t, min)) AS min_ts,
    max(max) AS max, make_timestamp_ms(arg_max(t, max)) AS max_ts, sum(sum) AS total, arg_max(last, t) AS last,
    make_timestamp_ms(max(t)) AS last_ts"""
_FINITE = "isfinite(min) AND isfinite(max) AND isfinite(sum)"
_GAUGES = f"""WITH {{pieces}} SELECT {_COLUMNS}, NULL::DOUBLE AS increase, bool_and({_FINITE}) AS exact
    FROM pieces GROUP BY series_id ORDER BY series_id"""  # noqa: S608 (constants)
# Growth is noted of each slot, from the sample before it; of a sample it is what it is above the one before, or after a
# reset what it counts anew. A day's sums go on from the day before: what lies between others is not in them.
_COUNTERS = f"""WITH {{pieces}}, stepped AS (
        SELECT *, lag(last) OVER ordered AS before, t // {DAY_MS} - lag(t) OVER ordered // {DAY_MS} AS days
        FROM pieces WINDOW ordered AS (PARTITION BY series_id ORDER BY t))
    SELECT {_COLUMNS}, sum(CASE WHEN NOT one THEN increase WHEN before IS NULL THEN 0
            WHEN last < before THEN greatest(last, 0) ELSE last - before END) AS increase,
        bool_and({_FINITE} AND (one OR (NOT isnan(increase) AND coalesce(days, 0) <= 1))) AS exact
    FROM stepped GROUP BY series_id ORDER BY series_id"""  # noqa: S608 (constants)
