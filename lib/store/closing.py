"""How a day goes from hot to archived, late samples after it, and how it leaves: each step in one transaction.

`prepare` exports a day, `partition.write_day` packs it (in a child process), the place keeps the files, `commit` swaps
them for the hot rows. Killed anywhere, either the hot rows or the files count, never both or neither.
"""

from __future__ import annotations

import errno
import json
import logging
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from lib.errors import StoreFull
from lib.frames import Window, from_ms
from lib.store import partition
from lib.store.archive import DAY_MS, RAW, View, bump, date_of, day_of, edges_of, window_of
from lib.store.connection import Store
from lib.store.places import Place
from lib.store.samples import write_runs
from lib.store.schema import naive
from lib.store.tiers import TIERS

logger = logging.getLogger(__name__)

EXPORTED, ABOUT, SPANS = "exported", "about.json", "spans.parquet"
# Beside the samples lies who they are of, so that the archive can be read without the store it came from.
SERIES = "series"
KEPT = (RAW, SERIES, *TIERS)
# Files no longer listed stay this long, for readers who looked at the list before.
_LINGER = timedelta(minutes=15)
# The schedule looks each hour: a clock that went further than JUMP meanwhile ran away, or the machine was off. What has
# expired then waits for HOLD, in which somebody may put the clock right.
JUMP, HOLD = timedelta(days=1), timedelta(days=1)
_IN_DAY = "ts >= ?::TIMESTAMP_MS AND ts < ?::TIMESTAMP_MS"


@dataclass(frozen=True)
class Plan:
    """A day about to be archived, as of its export; JSON-able. listed: the names of its files then. before: which last
    values of the day before its tiers go on from; end: its own. names: what its files will be called."""

    day: int
    rows: int
    hot: list[str]
    listed: list[str]
    forgotten: int
    before: str
    end: str
    names: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Retention:
    """How many days are kept; 0: for ever. hot: before a day is archived; 0: it never is."""

    hot: int = 7
    raw: int = 0
    tiers: Mapping[str, int] = field(default_factory=dict)

    def days(self, tier: str) -> int:
        return self.raw if tier in (RAW, SERIES) else self.tiers.get(tier, 0)


def due(store: Store, keep: Retention, now: datetime) -> list[int]:
    """Days to be archived now, oldest first: closed ones with hot samples (late ones too), those that hold removed
    series, and those whose tiers go on from a day that changed."""
    if not keep.hot:
        return []
    closed, expired = day_of(now) - keep.hot, _expired(keep, RAW, now)
    edge = naive(from_ms(closed * DAY_MS))
    with store.read(archived=False) as cursor:
        view = store.archive.look(cursor)
        hot = cursor.execute(
            f"SELECT DISTINCT epoch_ms(ts) // {DAY_MS} FROM samples WHERE ts < ?::TIMESTAMP_MS",  # noqa: S608
            [edge],
        ).fetchall()
        found = {int(row[0]) for row in hot}
        if view.parts:
            found |= {int(row[0]) for row in cursor.execute("SELECT DISTINCT day FROM archive_forgotten").fetchall()}
            # counters_end of a raw file is what the next day's tiers go on from.
            found |= {
                int(row[0])
                for row in cursor.execute(
                    "SELECT after.day FROM archive_parts AS after "
                    "JOIN archive_parts AS ahead ON ahead.day = after.day - 1 "
                    "JOIN archive_parts AS own ON own.day = after.day AND own.tier = 'raw' WHERE ahead.tier = 'raw' "
                    "AND after.tier = '1h' AND after.counters_end <> ahead.counters_end"
                ).fetchall()
            }
    return sorted(day for day in found if day < closed and not (day < expired and _summed(view, day)))


def prepare(store: Store, day: int, folder: Path, now: datetime) -> Plan:
    """Export all of a day's samples, hot and archived, into `folder`, and note what they were."""
    store.archive.begin(day)
    folder.mkdir(parents=True)
    edges, made = edges_of(day), uuid.uuid4().hex[:16]
    around = Window(window_of(day - 1).start, window_of(day).end)
    with store.read(around) as cursor:
        view = store.archive.look(cursor)
        ids = [
            row[0]
            for row in cursor.execute(
                f"SELECT DISTINCT series_id FROM samples WHERE {_IN_DAY} ORDER BY 1",  # noqa: S608
                edges,
            ).fetchall()
        ]
        rows = write_runs(cursor, ids, edges, folder / EXPORTED, "epoch_ms(ts) AS t")
        before, before_mark = _last_of_counters(store, cursor, day - 1)
        _, end_mark = _last_of_counters(store, cursor, day)
        counters = [
            row[0] for row in cursor.execute("SELECT id FROM series WHERE kind = 'counter' ORDER BY id").fetchall()
        ]
        plan = Plan(
            day=day,
            rows=rows,
            hot=_hot(store, cursor, day),
            listed=[part.name for part in view.parts if part.day == day],
            forgotten=_forgotten(cursor, day),
            before=before_mark,
            end=end_mark,
            names={tier: f"{date_of(day)}/{tier}-{made}.parquet" for tier in KEPT},
        )
        _write_series(cursor, ids, folder / f"{SERIES}.parquet")
    present = set(ids)
    about = {"plan": asdict(plan), "counters": [one for one in counters if one in present], "before": before}
    (folder / ABOUT).write_text(json.dumps(about))
    if plan.rows:
        # Named before they are made: what a run leaves behind when it is killed is removed by a later one.
        with store.write() as cursor:
            cursor.executemany(
                "INSERT INTO archive_gone VALUES (?, ?::TIMESTAMP_MS)",
                [[one, naive(now)] for one in plan.names.values()],
            )
    return plan


def pack(folder: Path, place: Place) -> dict[str, Any]:
    """Make a prepared day's files and put them where they belong; in a child process. What `commit` needs to know."""
    about = json.loads((folder / ABOUT).read_text())
    plan = about["plan"]
    if not plan["rows"]:
        return {}
    try:
        return _pack(folder, about, place)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        raise StoreFull(
            f"No room to archive {date_of(plan['day'])} ({error.strerror}): it stays in the store. Make room; the next "
            "run goes on."
        ) from error


def _pack(folder: Path, about: dict[str, Any], place: Place) -> dict[str, Any]:
    plan = about["plan"]
    before = {int(series_id): value for series_id, value in about["before"].items()}
    made = partition.write_day(folder / EXPORTED, folder, plan["day"], set(about["counters"]), before)
    made[SERIES] = partition.about(folder / f"{SERIES}.parquet")
    if made[RAW]["rows"] != plan["rows"]:
        raise ValueError(f"{plan['rows']} rows were exported and {made[RAW]['rows']} packed; nothing was archived.")
    shutil.rmtree(folder / EXPORTED)
    for tier, name in plan["names"].items():
        place.put(folder / f"{tier}.parquet", name)
    return made


def commit(store: Store, plan: Plan, made: Mapping[str, Mapping[str, Any]], spans: Path, now: datetime) -> bool:
    """Swap a day's hot rows and earlier files for the new ones. False, with nothing changed, when the day has changed
    since it was exported (a backfill is at it, say): the next run has it."""
    edges = edges_of(plan.day)
    with store.write() as cursor:
        view = store.archive.look(cursor)
        listed = [part.name for part in view.parts if part.day == plan.day]
        changed = _hot(store, cursor, plan.day) != plan.hot or _forgotten(cursor, plan.day) != plan.forgotten
        if changed or listed != plan.listed:
            logger.info("day changed while it was archived", extra={"day": date_of(plan.day)})
            return False
        _retire(cursor, "day = ?", [plan.day], now)
        cursor.execute("DELETE FROM archive_series WHERE day = ?", [plan.day])
        for tier, about in made.items():
            mark = plan.end if tier == RAW else plan.before
            values = [plan.day, tier, plan.names[tier], *(about[key] for key in _ABOUT), view.version + 1]
            cursor.execute(
                "INSERT INTO archive_parts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?::TIMESTAMP_MS, ?)",
                [*values, naive(now), mark],
            )
            cursor.execute("DELETE FROM archive_gone WHERE name = ?", [plan.names[tier]])
        if made:
            cursor.execute(
                "INSERT INTO archive_series SELECT ?, series_id, count, first_ms, last_ms FROM read_parquet(?)",
                [plan.day, str(spans)],
            )
        cursor.execute(f"DELETE FROM samples WHERE {_IN_DAY}", edges)  # noqa: S608 (constants)
        cursor.execute("DELETE FROM archive_forgotten WHERE day = ?", [plan.day])
        bump(cursor)
    return True


_ABOUT = ("rows", "size_bytes", "sha256", "digest")


def expire(store: Store, keep: Retention, now: datetime) -> list[str]:
    """Let go of what is older than is kept, tier by tier: hot rows that came late for a day whose samples have expired
    go as well. The names that left the list."""
    if not store.archive.reach_ms or not keep.hot or _held(store, now):
        return []
    gone: list[str] = []
    with store.write() as cursor:
        for tier in KEPT:
            edge = _expired(keep, tier, now)
            rows = cursor.execute("SELECT name FROM archive_parts WHERE tier = ? AND day < ?", [tier, edge]).fetchall()
            gone += [row[0] for row in rows]
            _retire(cursor, "tier = ? AND day < ?", [tier, edge], now)
        edge = _expired(keep, RAW, now)
        hot = 0
        if edge > 0:
            cursor.execute("DELETE FROM archive_series WHERE day < ?", [edge])
            cursor.execute("DELETE FROM archive_forgotten WHERE day < ?", [edge])
            summed = cursor.execute("SELECT DISTINCT day FROM archive_parts WHERE day < ?", [edge]).fetchall()
            for (day,) in summed:
                hot += cursor.execute(f"DELETE FROM samples WHERE {_IN_DAY}", edges_of(day)).fetchall()[0][0]  # noqa: S608
        if gone or hot:
            bump(cursor)
    if gone or hot:
        store.catalog.clear()
        logger.info("archive expired", extra={"files": len(gone), "late_rows": hot})
    return gone


def _held(store: Store, now: datetime) -> bool:
    """Whether nothing may expire for now: the clock is further on than a day since it was last looked at.

    A machine that was off for a week waits a day more; one whose clock ran ahead and is put right has lost nothing.
    """
    moment = naive(now)
    with store.write() as cursor:
        found = dict(
            cursor.execute("SELECT kind, noted_at FROM archive_notes WHERE kind IN ('clock', 'hold')").fetchall()
        )
        last, hold = found.get("clock"), found.get("hold")
        words = ""
        if last is not None and moment - last > JUMP:
            hold, words = moment + HOLD, f"the clock went from {last:%Y-%m-%d %H:%M} to {moment:%Y-%m-%d %H:%M} UTC"
            logger.warning("clock jumped; nothing expires for a day", extra={"from": str(last), "to": str(moment)})
        elif hold is not None and (moment >= hold or (last is not None and moment < last)):
            hold = None
        cursor.execute(
            "DELETE FROM archive_notes WHERE kind = 'clock' OR (kind = 'hold' AND ?)", [bool(words) or hold is None]
        )
        cursor.execute("INSERT INTO archive_notes VALUES ('clock', ?::TIMESTAMP_MS, '')", [moment])
        if words:
            cursor.execute("INSERT INTO archive_notes VALUES ('hold', ?::TIMESTAMP_MS, ?)", [hold, words])
    return hold is not None


def sweep(store: Store, now: datetime) -> int:
    """Remove the files nobody reads any more; how many."""
    if not store.archive.reach_ms:
        return 0
    with store.read(archived=False) as cursor:
        rows = cursor.execute(
            "SELECT name FROM archive_gone WHERE noted_at < ?::TIMESTAMP_MS AND name NOT IN "
            "(SELECT name FROM archive_parts)",
            [naive(now - _LINGER)],
        ).fetchall()
    for (name,) in rows:
        store.archive.place.remove(name)
    if rows:
        with store.write() as cursor:
            cursor.executemany("DELETE FROM archive_gone WHERE name = ?", [list(row) for row in rows])
    return len(rows)


def _retire(cursor: duckdb.DuckDBPyConnection, which: str, values: list[Any], now: datetime) -> None:
    cursor.execute(
        f"INSERT INTO archive_gone SELECT name, ?::TIMESTAMP_MS FROM archive_parts WHERE {which}",  # noqa: S608
        [naive(now), *values],
    )
    cursor.execute(f"DELETE FROM archive_parts WHERE {which}", values)  # noqa: S608 (constants)


def _expired(keep: Retention, tier: str, now: datetime) -> int:
    """The first day that is kept of a tier. Never one that is hot still."""
    return day_of(now) - max(keep.days(tier), keep.hot) if keep.days(tier) else 0


def _summed(view: View, day: int) -> bool:
    """Whether of a day only tiers are left: late samples could not be added to them."""
    tiers = {part.tier for part in view.parts if part.day == day}
    return bool(tiers) and RAW not in tiers


def _hot(store: Store, cursor: duckdb.DuckDBPyConnection, day: int) -> list[str]:
    """How many hot rows a day has and a digest of which; values of rows that are there do not change."""
    row = cursor.execute(
        f"SELECT count(*), coalesce(bit_xor(hash(series_id, ts)), 0) FROM {store.archive.hot} WHERE {_IN_DAY}",  # noqa: S608
        edges_of(day),
    ).fetchall()[0]
    return [str(row[0]), str(row[1])]


def _forgotten(cursor: duckdb.DuckDBPyConnection, day: int) -> int:
    return int(cursor.execute("SELECT count(*) FROM archive_forgotten WHERE day = ?", [day]).fetchall()[0][0])


def _last_of_counters(store: Store, cursor: duckdb.DuckDBPyConnection, day: int) -> tuple[dict[str, float], str]:
    """Each counter's last finite value of a day, and a digest of them; an empty day has none."""
    rows = cursor.execute(
        "SELECT series_id, arg_max(value, ts), hash(series_id, arg_max(value, ts)) FROM samples "  # noqa: S608
        f"WHERE {_IN_DAY} AND isfinite(value) AND series_id IN (SELECT id FROM series WHERE kind = 'counter') "
        "GROUP BY series_id",
        edges_of(day),
    ).fetchall()
    mark = 0
    for row in rows:
        mark ^= int(row[2])
    return {str(row[0]): row[1] for row in rows}, f"{len(rows)} {mark:016x}"


def _write_series(cursor: duckdb.DuckDBPyConnection, ids: list[int], path: Path) -> None:
    name = str(path).replace("'", "''")
    cursor.execute(
        "COPY (SELECT id, source_id, metric, labels, kind FROM series WHERE id IN (SELECT unnest(?::INTEGER[])) "  # noqa: S608
        f"ORDER BY id) TO '{name}' (FORMAT parquet, COMPRESSION zstd)",
        [ids],
    )
