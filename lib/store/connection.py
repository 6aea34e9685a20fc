"""The one DuckDB file of samples and what was found in them; one process owns it, a cursor serves a call."""

from __future__ import annotations

import errno
import logging
import os
import shutil
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Any

import duckdb

from lib.errors import StoreBusy, StoreCorrupt, StoreError, StoreFull, StoreReadOnly
from lib.frames import Window
from lib.store import faults, quarantine, schema
from lib.store.archive import Archive
from lib.store.catalog import Catalog
from lib.store.faults import Fault
from lib.store.places import LocalPlace, Place

logger = logging.getLogger(__name__)

# Beyond twice the log: what a resumed store needs to fold its log into the file and go on for a while.
_ROOM_BYTES = 8 * 2**20
# How long reopening waits for reads that are still going, before and after asking them to stop.
_PATIENCE_S = 10.0
# Stores of this process by file: DuckDB would let a second one in, and two would write each sample twice.
_open_stores: weakref.WeakValueDictionary[str, Store] = weakref.WeakValueDictionary()


def is_open(path: Path) -> bool:
    """Whether a store of this process has the file: the system's locks do not tell a process of itself."""
    other = _open_stores.get(str(path.resolve()))
    return other is not None and not other._closed


class State(StrEnum):
    """What the store can do at the moment."""

    OK = "ok"  # reads and writes
    PAUSED = "paused"  # the disk is full: reads; writing goes on by itself once there is room
    READ_ONLY = "read_only"  # the directory or file cannot be written: reads


class Store:
    """Opened once a process. `read()` lends a cursor; `write()` one inside a transaction, one writer at a time.
    Raises StoreBusy while another process has the file. A damaged file is set aside and a fresh one begun with what
    could be read of it; a full disk or a read-only directory still opens, for reading. `health` tells.
    """

    def __init__(self, path: Path, memory_mb: int = 512, place: Place | None = None) -> None:
        self.path = path
        self.memory_mb = memory_mb
        self.archive = Archive(self, place or LocalPlace(path.parent / "archive"))
        # Held by a writer, and while the file is reopened.
        self.lock = threading.RLock()
        self.catalog = Catalog()
        # How often a store that cannot write looks whether it can again.
        self.retry_s = 2.0
        self._state, self._message = State.OK, ""
        self._notices: list[str] = []
        self._tried_at = 0.0
        self._closed = False
        self._gate = threading.Condition()
        self._leases: dict[duckdb.DuckDBPyConnection, int] = {}
        # Lent to read samples later than any archived one: they would miss a day that is archived meanwhile.
        self._beside: set[duckdb.DuckDBPyConnection] = set()
        self._reopening = False
        self._generation = 0
        self._connection: duckdb.DuckDBPyConnection | None = None
        if is_open(path):
            raise StoreBusy(f"{path} is open in this process already; close that store first.", pid=os.getpid())
        self._open()
        _open_stores[str(path.resolve())] = self

    @property
    def state(self) -> State:
        """Whether it can write. Asking gives a store that cannot the occasion to try again."""
        if self._state is not State.OK and self.lock.acquire(blocking=False):
            try:
                self._retry()
            finally:
                self.lock.release()
        return self._state

    def health(self) -> dict[str, Any]:
        """state, message (empty: all is well), size_bytes, and quarantined: at, reason, path, lost of each event."""
        return {
            "state": self.state.value,
            "message": self._message,
            "size_bytes": self.size_bytes,
            "quarantined": [asdict(note) for note in quarantine.notes(self.path)],
        }

    @property
    def size_bytes(self) -> int:
        """What the file and its log take on the disk."""
        size = 0
        for file in quarantine.beside(self.path):
            with suppress(FileNotFoundError):  # DuckDB drops its log when it likes
                size += file.stat().st_size
        return size

    @contextmanager
    def read(
        self, window: Window | None = None, *, archived: bool = True, named: bool = True
    ) -> Iterator[duckdb.DuckDBPyConnection]:
        """A cursor of one's own: a shared one silently returns None under load.

        On it `samples` are all there are, hot and archived, as of now. window: what will be asked for at most, which
        spares opening the files of other days. archived False: for who reads other tables, or the hot samples alone.
        named False: `samples` are the hot ones, for a query that asks the archive for its files; the name takes 1 ms.
        """
        generation = self._generation
        try:
            with self._lend() as cursor:
                if archived:
                    self._beside.add(cursor)
                    if self.archive.join(cursor, window, named):
                        self._beside.discard(cursor)
                yield cursor
        except duckdb.Error as error:
            self._after_read(error, generation)

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction: committed on leaving, rolled back when the block raises.

        Raises StoreFull or StoreReadOnly while nothing can be written.
        """
        with self.lock:
            self._require_writable()
            failure: duckdb.Error | None = None
            with self._lend() as cursor:
                try:
                    cursor.execute("BEGIN")
                    yield cursor
                    cursor.execute("COMMIT")
                except duckdb.Error as error:
                    failure = error
                    self._roll_back(cursor)
                except BaseException:
                    self._roll_back(cursor)
                    raise
            if failure is not None:
                self._after_write(failure)

    def checkpoint(self) -> None:
        """Fold the log into the file, so that its size says what is in it."""
        with self.lock:
            self._require_writable()
            try:
                with self._lend() as cursor:
                    cursor.execute("CHECKPOINT")
            except duckdb.Error as error:
                self._after_write(error)

    def give_back(self) -> None:
        """Let the system have what queries took, and what of the file is held; for when nobody is at it, else nothing.

        A tenth of a gigabyte on a busy day; reading it again takes half a millisecond.
        """
        with self._gate:
            if self._connection is None or self._leases or self._reopening:
                return
            # Nobody gets a cursor meanwhile: a query would find no memory.
            with self._connection.cursor() as cursor:
                try:
                    # Held by the log, until it is folded in; or to be moved to a disk that is full.
                    with suppress(duckdb.OutOfMemoryException, duckdb.IOException):
                        cursor.execute("SET memory_limit = '1MB'")
                finally:
                    cursor.execute(f"SET memory_limit = '{self.memory_mb}MB'")

    def close(self) -> None:
        """Let go of the file. Waits for reads and writes that are going; a second time does nothing."""
        with self.lock:
            if not self._closed:
                self._closed = True
                self._let_go()
                _open_stores.pop(str(self.path.resolve()), None)

    def drained(self, within_s: float) -> bool:
        """Wait until every cursor that was lent for hot samples alone so far was given back; whether they were."""
        with self._gate:
            lent = frozenset(self._beside)
            return self._gate.wait_for(lambda: not lent & self._beside, within_s)

    def notice(self, text: str) -> None:
        """Have `health` tell something that went wrong until the app is started again."""
        self._notices.append(text)
        self._message = " ".join([self._message, text]).strip()

    # --- lending ---------------------------------------------------------------------------------

    @contextmanager
    def _lend(self) -> Iterator[duckdb.DuckDBPyConnection]:
        me = threading.get_ident()
        with self._gate:
            # Who holds a cursor already is being waited for: making it wait in turn would never end.
            while self._reopening and me not in self._leases.values():
                self._gate.wait()
            if self._connection is None:
                raise StoreError(f"{self.path} is closed; start the app again.")
            cursor = self._connection.cursor()
            self._leases[cursor] = me
        try:
            yield cursor
        finally:
            with self._gate:
                self._leases.pop(cursor, None)
                self._beside.discard(cursor)
                self._gate.notify_all()
            cursor.close()

    def _reopen(self, opening: Callable[[], None]) -> None:
        """Give up this instance for the one `opening` makes; who wants a cursor waits. The lock is held."""
        with self._gate:
            self._reopening = True
        try:
            self._let_go()
            try:
                opening()
            except (duckdb.Error, OSError, StoreError) as error:
                logger.exception("store does not open again")
                self._open_empty(State.READ_ONLY, f"{self.path} does not open any more: {faults.first_line(error)}.")
        finally:
            with self._gate:
                self._reopening = False
                self._gate.notify_all()

    def _let_go(self) -> None:
        """Close every cursor and the instance: one cursor left would keep the old instance alive."""
        me = threading.get_ident()
        with self._gate:
            for cursor in [cursor for cursor, thread in self._leases.items() if thread == me]:
                del self._leases[cursor]
                cursor.close()
            if not self._gate.wait_for(lambda: not self._leases, _PATIENCE_S):
                for cursor in self._leases:
                    cursor.interrupt()
                self._gate.wait_for(lambda: not self._leases, _PATIENCE_S)
            if self._connection is not None:
                # What closing has to say (no room for a last checkpoint) is in the log and comes back with it.
                with suppress(duckdb.Error):
                    self._connection.close()
            self._connection = None
            self._generation += 1
            self.catalog.clear()

    # --- opening ---------------------------------------------------------------------------------

    def _open(self) -> None:
        """Open in the best mode the file and the disk allow, mending what can be mended. Raises StoreBusy."""
        journal_cut = False
        while self._connection is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                quarantine.try_to_create(self.path)
                if quarantine.journal_is_garbage(self.path):
                    self._set_garbage_aside()
                self._begin(self._connect())
                self._state, self._message = State.OK, " ".join(self._notices)
            except OSError as error:
                full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
                self._open_for_reading(State.PAUSED if full else State.READ_ONLY, error.strerror or str(error))
            except duckdb.Error as error:
                fault = faults.diagnose(error, self.path)
                if fault is Fault.JOURNAL:
                    self._cut_journal(error, keep_start=not journal_cut)
                    journal_cut = True
                elif fault is Fault.CORRUPT:
                    self._replace_damaged(error)
                elif fault is Fault.FULL:
                    self._open_for_reading(State.PAUSED, "no space left")
                elif fault is Fault.READ_ONLY:
                    self._open_for_reading(State.READ_ONLY, "permission denied")
                else:
                    raise self._explain(error) from error

    def _connect(self, read_only: bool = False) -> duckdb.DuckDBPyConnection:
        return schema.connect(str(self.path), self.memory_mb, read_only)

    def _begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Make the tables and take the connection into use."""
        try:
            schema.make_tables(connection)
        except duckdb.Error:
            connection.close()
            raise
        self._connection = self.archive.open(connection)

    def _open_for_reading(self, state: State, why: str) -> None:
        """Open what is there without writing; where nothing is there, an empty store in memory."""
        self._tried_at = time.monotonic()
        self._state = state
        self._message = " ".join([self._blocked(state, why), *self._notices])
        try:
            if self.path.is_file() and self.path.stat().st_size:
                self._connection = self.archive.open(self._connect(read_only=True))
                return
        except duckdb.Error as error:
            if faults.diagnose(error, self.path) is Fault.BUSY:
                raise self._explain(error) from error
            self._message += f" What is stored cannot be read either ({faults.first_line(error)})."
        self._open_empty(state, self._message)

    def _open_empty(self, state: State, message: str) -> None:
        """Nothing to read, but pages can say why."""
        self._state, self._message = state, message
        self._tried_at = time.monotonic()
        connection = schema.connect(":memory:", self.memory_mb)
        schema.make_tables(connection)
        self._connection = self.archive.open(connection)

    def _blocked(self, state: State, why: str) -> str:
        place = self.path.parent
        if state is State.PAUSED:
            return (
                f"The disk of {place} is full ({why}): writing is paused, reading goes on. Make room there; writing "
                "resumes by itself."
            )
        return (
            f"{place} cannot be written ({why}): everything can be looked at, nothing collected. Make it writable for "
            "the user this runs as; writing resumes by itself."
        )

    def _explain(self, error: duckdb.Error) -> StoreError:
        if faults.diagnose(error, self.path) is Fault.BUSY:
            pid = faults.holder(error)
            who = f"process {pid}" if pid else "another process"
            return StoreBusy(
                f"{self.path} is in use by {who}; one process can open it. Stop that one, or ask it through its API.",
                pid=pid,
            )
        return StoreError(f"{self.path} does not open: {faults.first_line(error)}. Nothing was changed; see the log.")

    # --- mending ---------------------------------------------------------------------------------

    def _set_garbage_aside(self) -> None:
        journal = quarantine.journal_of(self.path)
        size = journal.stat().st_size
        place = quarantine.set_aside(self.path, [journal], "garbage log")
        self._note(
            place,
            f"The log {journal.name} held no log ({size:,} bytes of something else)",
            "Whatever was written since the last checkpoint.",
        )

    def _cut_journal(self, error: duckdb.Error, keep_start: bool) -> None:
        """Drop the log from its first bad entry on: what was committed before that is kept."""
        journal = quarantine.journal_of(self.path)
        position = faults.journal_position(error) if keep_start else None
        lost = journal.stat().st_size - (position or 0)
        place = quarantine.set_aside(self.path, [journal], faults.first_line(error), keep=True)
        quarantine.cut_journal(self.path, position)
        self._note(
            place,
            f"The log {journal.name} was damaged",
            f"The last {lost:,} bytes of it, written since the last checkpoint; all before them was kept.",
        )

    def _replace_damaged(self, error: duckdb.Error) -> None:
        """Set the damaged file aside, begin a fresh one, and bring back what can be read."""
        reason = faults.first_line(error)
        place = quarantine.set_aside(self.path, quarantine.beside(self.path), reason)
        lost = "Not known: bringing it back was cut short."
        connection = self._connect()
        try:
            connection.execute("BEGIN")
            for statement in schema.STATEMENTS:
                connection.execute(statement)
            lost = quarantine.salvage(place / self.path.name, connection).words
            connection.execute("COMMIT")
        except BaseException:
            connection.close()
            for file in quarantine.beside(self.path):
                file.unlink()
            raise
        finally:
            self._note(place, f"{self.path.name} was damaged ({reason})", lost)
        self._connection = self.archive.open(connection)
        self._state, self._message = State.OK, " ".join(self._notices)

    def _note(self, place: Path, reason: str, lost: str) -> None:
        with suppress(OSError):  # on a full disk the log line has to do
            quarantine.write_note(place, reason, lost)
        self._notices.append(f"{reason}; it was moved to {place}. {lost}")
        logger.error("store mended", extra={"reason": reason, "place": str(place), "lost": lost})

    # --- when a call fails -----------------------------------------------------------------------

    def _require_writable(self) -> None:
        self._retry()
        if self._state is State.PAUSED:
            raise StoreFull(self._message)
        if self._state is State.READ_ONLY:
            raise StoreReadOnly(self._message)

    def _retry(self) -> None:
        """See whether a store that cannot write can again. The lock is held."""
        if self._state is State.OK or self._closed or time.monotonic() < self._tried_at + self.retry_s:
            return
        self._tried_at = time.monotonic()
        if self._state is State.PAUSED:
            log = quarantine.journal_of(self.path)
            needed = _ROOM_BYTES + 2 * (log.stat().st_size if log.exists() else 0)
            if shutil.disk_usage(self.path.parent).free < needed:
                return
        else:
            try:
                quarantine.try_to_create(self.path)
            except OSError:
                return
        self._reopen(self._open)
        if self._state is State.OK:
            logger.warning("store writes again")

    def _roll_back(self, cursor: duckdb.DuckDBPyConnection) -> None:
        # A failed commit may have left its rows behind, and a dead instance rolls nothing back: what memory knows of
        # the file is no longer certain.
        self.catalog.clear()
        with suppress(duckdb.Error):
            cursor.execute("ROLLBACK")

    def _after_write(self, error: duckdb.Error) -> None:
        """Bring the store back to work after a failed write, then raise; a commit that held after all passes."""
        fault = faults.diagnose(error, self.path)
        if fault is Fault.FULL:
            self._reopen(lambda: self._open_for_reading(State.PAUSED, "no space left"))
        elif fault is Fault.READ_ONLY:
            self._reopen(lambda: self._open_for_reading(State.READ_ONLY, "permission denied"))
        elif fault is Fault.CORRUPT:
            self._reopen(lambda: self._replace_damaged(error))
        elif faults.is_dead(error):
            self._reopen(self._open)
        logger.warning("write failed", extra={"fault": fault.name, "error": str(error)})
        if faults.is_durable(error):
            return
        raise self._seen(error, fault) from error

    def _after_read(self, error: duckdb.Error, generation: int) -> None:
        """Bring the store back to work after a failed read, then raise."""
        fault = faults.diagnose(error, self.path)
        if fault is Fault.CORRUPT or faults.is_dead(error):
            with self.lock:
                if generation == self._generation:  # else another thread has done it
                    if fault is Fault.CORRUPT:
                        self._reopen(lambda: self._replace_damaged(error))
                    elif fault is Fault.FULL:
                        self._reopen(lambda: self._open_for_reading(State.PAUSED, "no space left"))
                    else:
                        self._reopen(self._open)
            logger.warning("store reopened after a failed read", extra={"fault": fault.name, "error": str(error)})
        elif fault is Fault.OTHER and self.archive.reach_ms and (told := self.archive.suspect()):
            raise StoreCorrupt(f"{told} Ask again: the rest can be read.") from error
        raise self._seen(error, fault) from error

    def _seen(self, error: duckdb.Error, fault: Fault) -> Exception:
        """What the caller gets to see of an error."""
        if fault is Fault.FULL:
            return StoreFull(self._message or f"No room for temporary files beside {self.path}; make some.")
        if fault is Fault.READ_ONLY:
            return StoreReadOnly(self._message or f"{self.path} cannot be written.")
        if fault is Fault.CORRUPT:
            return StoreCorrupt(self._message)
        if fault is Fault.MEMORY:
            return StoreError(
                f"The query needs more than {self.memory_mb} MB; ask for a shorter range or fewer series, or raise "
                "AUTOOPS_STORE_MEMORY_MB."
            )
        if fault is Fault.STOPPED:
            return StoreError("The query was stopped because the store was being reopened or closed; try again.")
        if faults.is_dead(error):
            return StoreError("The store had to be reopened; try again.")
        return error
