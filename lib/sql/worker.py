"""The child that runs people's queries: `python -m lib.sql.worker FOLDER MEMORY_MB`, started by `lib.sql.process`.

Requests come as JSON, one a line, on standard input; answers go out the same way on standard output. It imports
DuckDB and nothing else, sees no environment, opens nothing outside FOLDER, and ends with its standard input.
"""

from __future__ import annotations

import datetime
import decimal
import faulthandler
import json
import os
import queue
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytz  # noqa: F401 (DuckDB needs it for times with a zone, and later nothing can be imported)

from lib.sql import confine, guard

# Of the cap on the address space: what Python, DuckDB's code and the rows on their way out take beside the query.
BESIDE_MB = 192
BATCH_ROWS = 256
# Past its time the app ends this process; should the app be gone or stuck, the process ends itself this much later.
GRACE_S = 2.0
_EPOCH = datetime.datetime(1970, 1, 1)  # noqa: DTZ001 (DuckDB's timestamps carry no zone; they are UTC)
_EPOCH_UTC = _EPOCH.replace(tzinfo=datetime.UTC)
_US = datetime.timedelta(microseconds=1)
_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"})


def kind_of(type_name: str) -> str:
    """What a column of this type becomes on the way out: integer, number, boolean, time or text."""
    if type_name.endswith("]"):
        return "text"
    if type_name in _INTEGERS:
        return "integer"
    if type_name in ("FLOAT", "DOUBLE", "UBIGINT", "HUGEINT", "UHUGEINT") or type_name.startswith("DECIMAL"):
        return "number"
    if type_name == "BOOLEAN":
        return "boolean"
    return "time" if type_name == "DATE" or type_name.startswith("TIMESTAMP") else "text"


def cell(value: Any, kind: str) -> Any:
    """A value as JSON carries it; times as microseconds since 1970, UTC."""
    if value is None:
        return None
    match kind:
        case "integer" | "boolean":
            return value
        case "number":
            return float(value)
        case "time":
            return _time(value)
    if isinstance(value, str):
        return value
    if isinstance(value, list | dict):
        return json.dumps(value, default=_inner, ensure_ascii=False)
    return _text(value)


def _time(value: Any) -> int | None:
    if not isinstance(value, datetime.date):
        return None  # a year Python has no date for
    day = value.date() if isinstance(value, datetime.datetime) else value
    # DuckDB's infinities come as the ends of Python's calendar.
    if day in (datetime.date.min, datetime.date.max):
        return None
    if not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(day, datetime.time())
    return (value - (_EPOCH if value.tzinfo is None else _EPOCH_UTC)) // _US


def _inner(value: Any) -> float | str:
    return float(value) if isinstance(value, decimal.Decimal) else _text(value)


def _text(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


class Worker:
    def __init__(self, folder: Path, memory_mb: int) -> None:
        # One instance for the life of the process: once the file system is closed no other can be opened. Nothing a
        # query may say stays in it.
        self.instance = duckdb.connect(
            ":memory:",
            config={
                "memory_limit": f"{max(64, memory_mb - BESIDE_MB)}MB",
                "threads": 2,
                # They read ahead from far away; the address space of sixteen threads is worth more.
                "async_threads": 0,
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "temp_directory": "",
                "errors_as_json": True,
                "enable_external_file_cache": False,
            },
        )
        inside = str(folder).replace("'", "''")
        for statement in (
            "SET TimeZone = 'UTC'",
            "SET python_enable_replacements = false",
            f"SET allowed_directories = ['{inside}/']",
            "SET enable_external_access = false",
            "SET lock_configuration = true",
        ):
            self.instance.execute(statement)

    def answer(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        sql, began = request["sql"], request["op"]
        try:
            guard.readable(sql)
            rows = self.instance.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()
            read = guard.check(rows[0][0], request["tables"])
            if began == "check":
                yield {"event": "checked", "tables": sorted(read)}
                return
            yield from self._run(request)
        except guard.Refused as error:
            yield {"event": "refused", "message": error.message, "position": error.position, "hint": error.hint}
        except duckdb.OutOfMemoryException:
            yield {"event": "memory"}
        except duckdb.Error as error:
            yield {"event": "failed", "error": str(error)}

    def _run(self, request: dict[str, Any]) -> Iterator[dict[str, Any]]:
        connection = self.instance.cursor()
        try:
            for view in request["views"]:  # temporary: they go with this connection
                connection.execute(view)
            # Streams: what is not fetched is not computed.
            cursor = connection.execute(request["sql"])
            names = [column[0] for column in cursor.description]
            types = [str(column[1]) for column in cursor.description]
            kinds = [kind_of(one) for one in types]
            yield {"event": "columns", "names": names, "types": types, "kinds": kinds}
            left = min(request["rows"], max(1, request["cells"] // max(1, len(names))))
            room, truncated = request["bytes"], False
            while not truncated:
                rows = cursor.fetchmany(min(BATCH_ROWS, left + 1))
                if not rows:
                    break
                truncated = len(rows) > left
                batch = []
                for row in rows[:left]:
                    cells = [cell(value, kind) for value, kind in zip(row, kinds, strict=True)]
                    room -= len(json.dumps(cells))
                    if room < 0:
                        truncated = True
                        break
                    batch.append(cells)
                left -= len(batch)
                yield {"event": "rows", "rows": batch}
            yield {"event": "done", "truncated": truncated}
        finally:
            connection.close()


def _listen(requests: queue.SimpleQueue[dict[str, Any]]) -> None:
    for line in sys.stdin.buffer:
        requests.put(json.loads(line))
    os._exit(0)


def _send(event: dict[str, Any]) -> None:
    data = memoryview((json.dumps(event) + "\n").encode("utf-8", "backslashreplace"))
    while data:
        data = data[os.write(1, data) :]


def main() -> None:
    folder, memory_mb = Path(sys.argv[1]), int(sys.argv[2])
    confine.limit(memory_mb)
    worker = Worker(folder, memory_mb)
    # Whatever is imported on first use is imported now.
    list(worker.answer({"op": "run", "sql": "SELECT now(), uuid(), [1.5], DATE '2026-01-01'", "tables": [], "views": [],
                        "rows": 1, "cells": 9, "bytes": 999}))  # fmt: skip
    cell({"a": [uuid.UUID(int=0), decimal.Decimal(1)]}, "text")
    locked = confine.lock(folder)
    requests: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(requests,), daemon=True).start()
    _send({"event": "ready", "locked": locked})
    while True:
        request = requests.get()
        # In C, so that it works even while something holds the interpreter.
        faulthandler.dump_traceback_later(request["seconds"] + GRACE_S, exit=True)
        try:
            for event in worker.answer(request):
                _send(event)
        except MemoryError:
            _send({"event": "memory"})
        finally:
            faulthandler.cancel_dump_traceback_later()


if __name__ == "__main__":
    main()
