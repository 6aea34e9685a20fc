"""People's SQL: run it beside the app, say what came or what is wrong with it, remember who ran what."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlmodel import select

from lib.audit.log import Audit
from lib.auth.actor import Actor, ActorKind, Permission
from lib.db.database import Database
from lib.db.tables import Annotation, AnomalyLabel, Detector, Query, Source
from lib.errors import AppError, Forbidden, SqlCancelled, SqlError, SqlLimit, TooMany, Unavailable
from lib.services import querying_result as results
from lib.services.export import Format
from lib.services.querying_history import History
from lib.services.querying_result import Result
from lib.settings import Settings
from lib.sql import guard
from lib.sql.process import Child, End, Ended, Pool
from lib.sql.snapshots import Snapshots
from lib.sql.tables import Table
from lib.store.connection import Store

# Beyond a few hundred thousand cells the table in the browser, not the query, is what takes long.
MAX_ROWS, MAX_CELLS, MAX_BYTES = 10_000, 500_000, 16_000_000
# Guests share one place; a person has one, so that nobody's second query waits behind somebody's tenth.
CONCURRENT, WAIT_S = 2, 10.0
GUEST_SECONDS = 10.0
_CHECK_SECONDS = 5.0
# Of a query in the audit log; all of it is in the history of who ran it.
_AUDITED = 2000
# app database -> the columns that are published. Never who made them: guests read these.
_ROWS: Mapping[str, tuple[type, Mapping[str, type]]] = {
    "sources": (Source, {"id": int, "name": str}),
    "detectors": (Detector, {"id": int, "source_id": int, "host": str}),
    "labels": (
        AnomalyLabel,
        {
            **{"source_id": int, "host": str, "start_at": datetime, "end_at": datetime, "verdict": str, "note": str},
            "created_at": datetime,
        },
    ),
    "annotations": (
        Annotation,
        {
            **{"source_id": int, "host": str, "kind": str, "start_at": datetime, "end_at": datetime, "repeat": str},
            **{"text": str, "created_at": datetime},
        },
    ),
}


@dataclass(frozen=True)
class Limits:
    """What one query may take. seconds: of running, without waiting and the snapshot."""

    seconds: float
    rows: int = MAX_ROWS
    cells: int = MAX_CELLS
    bytes: int = MAX_BYTES


class Running:
    """One query on its way. Ask `done`, or `wait`; then `result`."""

    def __init__(self, actor: Actor, sql: str, limits: Limits) -> None:
        self.actor, self.sql, self.limits = actor, sql, limits
        self.stage = "Waiting for a free place"
        self.began = time.monotonic()
        self._stop, self._over = threading.Event(), threading.Event()
        self._result: Result | None = None
        self._error: BaseException | None = None

    @property
    def done(self) -> bool:
        return self._over.is_set()

    @property
    def seconds(self) -> float:
        """Since it was asked for."""
        return time.monotonic() - self.began

    def wait(self, timeout_s: float | None = None) -> bool:
        """Whether it was over in time."""
        return self._over.wait(timeout_s)

    def cancel(self) -> None:
        """End it within a tenth of a second. Does nothing when it is over."""
        self._stop.set()

    def result(self) -> Result:
        """What came; waits for it. Raises SqlError, SqlLimit, SqlCancelled, TooMany, or what the store says."""
        self._over.wait()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class Querying:
    def __init__(
        self,
        settings: Settings,
        database: Database,
        store: Store,
        audit: Audit,
        clock: Callable[[], datetime],
        guests_allowed: Callable[[], bool],
    ) -> None:
        self.settings, self.database, self.audit, self.clock = settings, database, audit, clock
        self.guests_allowed = guests_allowed
        folder = settings.data_dir / "sql"
        self.snapshots = Snapshots(store, self._rows, folder, clock)
        self.pool = Pool(folder, settings.sql_memory_mb, CONCURRENT)
        self.history = History(database, clock)
        self._places = threading.Condition()
        self._taken: set[str] = set()

    def tables(self, actor: Actor) -> list[Table]:
        """What can be queried, with columns and what they mean."""
        self._require(actor)
        return self.snapshots.tables()

    def begin(self, actor: Actor, sql: str, limits: Limits | None = None) -> Running:
        """Start a query and return at once. Raises Forbidden."""
        self._require(actor)
        seconds = self.settings.sql_seconds
        if actor.kind is ActorKind.GUEST:
            seconds = min(seconds, GUEST_SECONDS)
        running = Running(actor, sql, limits or Limits(seconds))
        threading.Thread(target=self._work, args=(running,), name="sql", daemon=True).start()
        return running

    def run(self, actor: Actor, sql: str, limits: Limits | None = None) -> Result:
        """Start a query and wait for what comes. Raises as `Running.result` does."""
        return self.begin(actor, sql, limits).result()

    def export(self, actor: Actor, result: Result, format_: str) -> bytes:
        """The rows of a result as a file's bytes; text cells of CSV cannot run as formulas."""
        self._require(actor)
        return results.write(result, Format(format_))

    def past(self, actor: Actor) -> list[Query]:
        """What this user ran, pinned ones first, then the newest. Guests and keys have none."""
        self._require(actor)
        return self.history.of(actor)

    def pin(self, actor: Actor, query_id: int, pinned: bool) -> None:
        """Keep one of one's own at the top. Raises NotFound."""
        self._require(actor)
        self.history.pin(actor, query_id, pinned)

    def forget(self, actor: Actor, query_id: int) -> None:
        """Remove one of one's own. Raises NotFound."""
        self._require(actor)
        self.history.forget(actor, query_id)

    def tidy(self) -> None:
        """End idle children and remove files nobody has asked for; called by the schedule."""
        self.pool.tidy()
        self.snapshots.tidy()

    def close(self) -> None:
        """End every child, with what it runs."""
        self.pool.close()

    def _require(self, actor: Actor) -> None:
        actor.require(Permission.VIEW)
        if actor.kind is ActorKind.GUEST and not self.guests_allowed():
            raise Forbidden("Guests may look at the demo only; sign in to query.", permission=Permission.VIEW.name)

    # --- one query -------------------------------------------------------------------------------

    def _work(self, running: Running) -> None:
        outcome, rows, began = "ok", 0, time.monotonic()
        try:
            with self._place(running), self._child(running) as child:
                began = time.monotonic()
                running._result = self._answer(running, child)
                rows = len(running._result.frame)
        except AppError as error:
            running._error, outcome = error, error.code
        except BaseException as error:
            running._error, outcome = error, "error"
        seconds = round(time.monotonic() - began, 3)
        try:
            details = {"sql": running.sql[:_AUDITED], "rows": rows, "seconds": seconds}
            self.audit.record(running.actor, "run sql", "", outcome, **details)
            self.history.note(running.actor, running.sql, outcome, rows, seconds)
        except AppError as error:
            # Who ran what must be known: without that nothing is shown.
            running._result, running._error = None, error
        finally:
            running._over.set()

    @contextmanager
    def _place(self, running: Running) -> Iterator[None]:
        """One query a person at a time; guests are one person."""
        who = f"{running.actor.kind}:{running.actor.id}:{running.actor.name}"
        deadline = time.monotonic() + WAIT_S
        with self._places:
            while who in self._taken:
                if running._stop.is_set():
                    raise SqlCancelled("The query was cancelled before it began.")
                if time.monotonic() > deadline:
                    raise TooMany(
                        "Another query of yours is still running; cancel it, or wait for it.", retry_after_s=WAIT_S
                    )
                self._places.wait(0.1)
            self._taken.add(who)
        try:
            yield
        finally:
            with self._places:
                self._taken.discard(who)
                self._places.notify_all()

    @contextmanager
    def _child(self, running: Running) -> Iterator[Child]:
        try:
            with self.pool.lend(WAIT_S) as child:
                yield child
        except TimeoutError:
            raise TooMany(f"{CONCURRENT} queries are running; try again in a moment.", retry_after_s=5) from None
        except Ended as error:
            raise _ended(error.why, running.limits, self.settings.sql_memory_mb) from None
        except OSError as error:
            raise Unavailable(
                f"The process for queries does not start: {error.strerror or error}. Free some memory, then try again."
            ) from error

    def _answer(self, running: Running, child: Child) -> Result:
        sql, tables = running.sql, {table.name: table for table in self.snapshots.tables()}
        running.stage = "Checking"
        try:
            guard.readable(sql)
        except guard.Refused as error:
            raise results.refused(sql, error.message, error.position, error.hint) from None
        request: dict[str, Any] = {"op": "check", "sql": sql, "tables": sorted(tables)}
        try:
            checked = list(child.ask(request, _CHECK_SECONDS, running._stop))[-1]
        except Ended as error:
            if error.why is End.STOPPED:
                raise
            raise SqlError("The query cannot be read.", hint="Put it another way, with fewer levels.") from None
        if checked["event"] != "checked":
            raise results.error_of(sql, checked, [], self.settings.sql_memory_mb)
        read = [tables[name] for name in checked["tables"]]
        running.stage = "Taking a snapshot"
        with self.snapshots.of(checked["tables"], running._stop) as snapshot:
            running.stage = "Running"
            limits, began = running.limits, time.monotonic()
            request |= {
                **{"op": "run", "views": snapshot.views, "rows": limits.rows},
                **{"cells": limits.cells, "bytes": limits.bytes},
            }
            head: dict[str, Any] = {"names": [], "types": [], "kinds": []}
            rows: list[list[Any]] = []
            # Room for JSON's own escapes and the columns' names.
            for event in child.ask(request, limits.seconds, running._stop, limits.bytes * 2 + 1_000_000):
                match event["event"]:
                    case "columns":
                        head = event
                    case "rows":
                        rows += event["rows"]
                    case "done":
                        seconds = time.monotonic() - began
                        return results.result(sql, head, rows, event["truncated"], seconds, snapshot.as_of, read)
                    case _:
                        if ".parquet" in str(event.get("error", "")):
                            self.snapshots.drop()  # damaged or gone: the next query finds new ones
                        raise results.error_of(sql, event, read, self.settings.sql_memory_mb)
        raise SqlError("The query gave no answer; run it again.")

    def _rows(self, name: str) -> tuple[Mapping[str, type], list[tuple[Any, ...]]]:
        table, columns = _ROWS[name]
        with self.database.session() as session:
            rows = session.exec(select(*(getattr(table, column) for column in columns))).all()
        return columns, [tuple(row) for row in rows]


def _ended(why: End, limits: Limits, memory_mb: int) -> AppError:
    match why:
        case End.STOPPED:
            return SqlCancelled("The query was cancelled.")
        case End.LATE:
            return SqlLimit(
                f"The query ran for {limits.seconds:g} s, which is the limit, and was ended. Narrow it by time, metric "
                "or host, or sum up first."
            )
        case End.UNRULY:
            return SqlLimit("The query sent more than one may. Select fewer columns, or shorten their texts.")
    return results.out_of_memory(memory_mb)
