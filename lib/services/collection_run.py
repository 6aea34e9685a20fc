"""Collecting one source once: what is new, then what is missing from before, each within bounds.

Freshness first: a target that lags more than an hour has the span recorded as a gap and goes on from the last hour;
gaps are then filled day by day, a few a run, so that coming back from a long outage neither blocks nor floods.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlmodel import col, select

from lib.db.database import Database
from lib.db.tables import Source, SourceKind, Target
from lib.errors import AppError, SourceAnswer, SourceDown, SourceError, SourceSlow, SourceTooLarge
from lib.frames import Block, Window, from_ms, to_ms, validate
from lib.machine.psutil_source import Machine
from lib.prometheus.parse import printable
from lib.prometheus.query import Endpoint, Limits, Wanted, days
from lib.services.collection_demo import DemoFeed
from lib.services.collection_sources import Auth, Sources
from lib.settings import Settings
from lib.store.gaps import Gaps
from lib.store.samples import Samples

if TYPE_CHECKING:
    from lib.prometheus.read import Reader
    from lib.prometheus.scrape import Page

log = logging.getLogger(__name__)

FRESH = timedelta(hours=1)  # read at once; what lies further back becomes a gap that is filled later
_LATE_S = 60.0  # samples may arrive this late (remote write, recording rules) and are still found
_SKEW_TRUSTED_S = 300.0  # beyond this a server's clock is wrong rather than off
_PIECES_A_RUN = 4  # gaps' days filled in one run
_RUN_S = 60.0  # a run that takes longer leaves the rest of its targets, the stalest first, to the next
_ERROR_CHARS = 300
NOT_COLLECTED = "AutoOps was not collecting"
WHOLE_PAGE = "page"  # the one target of a scraped source


@dataclass
class Outcome:
    """What a run did. error: of the whole source; windows: of samples that are new, the freshest first."""

    written: int = 0
    windows: list[Window] = field(default_factory=list)
    error: SourceError | None = None
    failed: int = 0

    @property
    def retry_after_s(self) -> float | None:
        asked = self.error.values.get("retry_after_s") if self.error else None
        return float(asked) if isinstance(asked, int | float) else None


class Holds:
    """One thread at a time may store into a source, or remove it."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: dict[int, threading.RLock] = {}

    @contextmanager
    def __call__(self, source_id: int) -> Iterator[None]:
        with self._guard:
            lock = self._locks.setdefault(source_id, threading.RLock())
        with lock:
            yield


class _RemovedError(Exception):
    """The source went while it was being collected: whatever came is not stored."""


class Collector:
    """Stateless but for the demo's days ahead; `stopping` ends requests in flight."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        sources: Sources,
        samples: Samples,
        clock: Callable[[], datetime],
        holds: Holds,
        stopping: threading.Event,
    ) -> None:
        self.settings, self.database, self.sources = settings, database, sources
        self.samples, self.gaps, self.clock = samples, Gaps(samples.store), clock
        self.machine, self.demo = Machine(), DemoFeed(samples)
        self.holds, self.stopping = holds, stopping

    def limits(self) -> Limits:
        return Limits(
            timeout_s=self.settings.source_timeout_s,
            max_bytes=int(self.settings.source_max_mb * (1 << 20)),
            max_series=self.settings.source_max_series,
        )

    def endpoint(self, source: Source) -> Endpoint:
        return Endpoint(
            url=source.url,
            auth=source.auth,
            username=source.username,
            secret=self.sources.vault.open(source.secret) if source.auth != Auth.NONE else "",
            tenant_header=source.tenant_header,
            tenant=source.tenant,
            ca_file=source.ca_file,
            verify_tls=source.verify_tls,
        )

    def reader(self, endpoint: Endpoint, limits: Limits | None = None) -> Reader:
        from lib.prometheus.read import Reader  # brings the HTTP libraries, which start-up does without

        return Reader(endpoint, limits or self.limits(), self.sources.guard, self._watch)

    def page(self, endpoint: Endpoint, limits: Limits, job: str) -> Page:
        from lib.prometheus.scrape import Page

        return Page(endpoint, limits, self.sources.guard, job, self._watch)

    def collect(self, source: Source) -> Outcome:
        """One run over the source's enabled targets. Raises only what is not the source's doing (a full disk)."""
        assert source.id is not None
        targets = [t for t in self.sources.targets(source.id) if t.enabled]
        if not targets:
            return Outcome()
        try:
            if source.kind == SourceKind.PROMETHEUS:
                return self._prometheus(source, targets)
            if source.kind == SourceKind.SCRAPE:
                return self._scraped(source, targets[0])
            with self._present(source):
                return self._local(source, targets)
        except _RemovedError:
            return Outcome()

    @contextmanager
    def _present(self, source: Source) -> Iterator[None]:
        """Hold the source, and be sure that it is still there."""
        with self.holds(source.id or 0):
            if not self.sources.exists(source.id or 0, source.created_at):
                raise _RemovedError
            yield

    def _watch(self) -> None:
        if self.stopping.is_set():
            raise SourceDown("The request was ended because the app is stopping.", final=True)

    # --- demo and machine -----------------------------------------------------------------------

    def _local(self, source: Source, targets: list[Target]) -> Outcome:
        assert source.id is not None
        now = self.clock()
        notes = _Notes(now)
        outcome = Outcome()
        try:
            if source.kind == SourceKind.MACHINE:
                blocks = self.machine.blocks(now)
                outcome.written = self.samples.append(source.id, blocks, (targets[0].name, now)).written
                outcome.windows.append(Window(now, now + timedelta(milliseconds=1)))
                notes.succeeded(targets[0], len(blocks))
            else:
                released = self.demo.release(source, now)
                if released.window:
                    outcome.windows.append(released.window)
                notes.succeeded(targets[0], released.series)
        except AppError as error:
            outcome.error = SourceError(error.message)
            outcome.failed = 1
            notes.failed(targets[0], error.message)
        notes.write(self.database)
        return outcome

    # --- a page ---------------------------------------------------------------------------------

    def _scraped(self, source: Source, target: Target) -> Outcome:
        """The page as of now. One that does not answer is noted as `up` 0: what was on it is gone, so there is no gap
        to fill later."""
        assert source.id is not None
        now = self.clock()
        outcome, notes = Outcome(), _Notes(now)
        blocks: list[Block] = []
        try:
            with self.page(self.endpoint(source), self.limits(), source.name) as page:
                try:
                    blocks = page.scrape(now)
                except SourceError:
                    if not self.stopping.is_set():
                        blocks = [page.up(now, 0)]
                    raise
        except SourceError as error:
            outcome.error, outcome.failed = error, 1
            notes.failed(target, error.message)
        if blocks:
            kept, refused = self._valid(blocks, now)
            kept, old = _recent(kept, now)
            with self._present(source):
                mark = None if outcome.error else (target.name, now)
                outcome.written = self.samples.append(source.id, kept, mark).written
            if outcome.written:
                outcome.windows.append(_around([], kept))
            if not outcome.error:
                notes.succeeded(
                    target,
                    len(kept),
                    f"{_remark((), refused)} {_remark_old(old + refused.get('before 1970', 0))}".strip(),
                )
        notes.write(self.database)
        return outcome

    # --- prometheus -----------------------------------------------------------------------------

    def _prometheus(self, source: Source, targets: list[Target]) -> Outcome:
        assert source.id is not None
        outcome, now = Outcome(), self.clock()
        notes = _Notes(now)
        # The stalest first, so that a run cut short is another target's turn the next time.
        targets.sort(key=lambda t: t.last_attempt_at.timestamp() if t.last_attempt_at else 0.0)
        until = time.monotonic() + _RUN_S
        waiting = list(targets)
        try:
            with self.reader(self.endpoint(source)) as reader:
                counts = reader.counts([t.name for t in targets if not t.expression])
                end = now + timedelta(seconds=self._skew_s(reader))
                slow = 0
                while waiting and time.monotonic() < until:
                    target = waiting[0]
                    try:
                        self._fresh(source, target, reader, counts.get(target.name, 0), end, outcome, notes)
                        slow = 0
                    except (SourceAnswer, SourceTooLarge, SourceSlow) as error:
                        slow += isinstance(error, SourceSlow)
                        if slow > 1:
                            raise  # not one heavy metric: the server
                        self._missed(source, target, end, error, outcome, notes)
                    waiting.pop(0)
                self._fill(source, notes.good(targets), reader, end, until, outcome)
        except AppError as error:
            # The source as a whole: whatever was still waiting was missed for the same reason.
            outcome.error = error if isinstance(error, SourceError) else SourceError(error.message)
            if not self.stopping.is_set():
                for target in waiting:
                    self._missed(source, target, now, outcome.error, outcome, notes)
        notes.write(self.database)
        return outcome

    def _skew_s(self, reader: Reader) -> float:
        """How far to follow the server's clock, by which its samples are stamped. Dates have whole seconds only."""
        skew = reader.session.skew_from(self.clock())
        if skew is None or abs(skew) < 2:
            return 0.0
        return skew if abs(skew) <= _SKEW_TRUSTED_S else 0.0

    def _fresh(
        self, source: Source, target: Target, reader: Reader, count: int, end: datetime, outcome: Outcome, notes: _Notes
    ) -> None:
        """From a little before where the last run ended until now."""
        assert source.id is not None
        wanted = Wanted(target.name, target.expression, target.max_series)
        reader.check_count(wanted, count)
        mark = self.samples.watermark(source.id, target.name)
        if mark and mark > end + FRESH:
            mark = None  # left by a clock that was far ahead
        start = end - FRESH
        if mark and mark > start:
            start = mark - timedelta(seconds=max(_LATE_S, 2 * source.interval_s))
        elif mark:
            with self._present(source):
                self.gaps.record(source.id, target.name, Window(mark, start), NOT_COLLECTED)
        if start >= end:  # the clock went back: nothing to read until it has caught up
            notes.succeeded(target, target.series_count)
            return
        window = Window(start, end)
        matrix = reader.whole(wanted, window, source.interval_s)
        blocks, refused = self._valid(matrix, end)
        with self._present(source):
            appended = self.samples.append(source.id, blocks, (target.name, end))
            self.gaps.mark_filled(source.id, target.name, window, self.clock())
        outcome.written += appended.written
        if appended.written:
            outcome.windows[:1] = [_around(outcome.windows[:1], blocks)]
        notes.succeeded(target, sum(1 for b in blocks if b.ts_ms.size) or count, _remark(matrix.warnings, refused))

    def _missed(
        self, source: Source, target: Target, end: datetime, error: SourceError, outcome: Outcome, notes: _Notes
    ) -> None:
        """Remember the span as a gap, from the last success on; the next run finds it there."""
        assert source.id is not None
        mark = self.samples.watermark(source.id, target.name)
        start = mark or end - FRESH
        if start < end:
            with self._present(source):
                self.gaps.record(source.id, target.name, Window(start, end), printable(error.message, 200))
        outcome.failed += 1
        notes.failed(target, error.message)

    def _fill(
        self, source: Source, targets: list[Target], reader: Reader, end: datetime, until: float, outcome: Outcome
    ) -> None:
        """Ask again for what was missed, oldest first, a day of a target at a time."""
        assert source.id is not None
        by_name = {t.name: t for t in targets}
        pieces: list[tuple[Target, Window]] = []
        for row in self.gaps.open(source.id).itertuples():
            first, last = row.start.to_pydatetime(), min(row.end.to_pydatetime(), end)
            if row.target in by_name and first < last and len(pieces) < _PIECES_A_RUN:
                pieces += [(by_name[row.target], piece) for piece in days(Window(first, last))]
        for target, piece in pieces[:_PIECES_A_RUN]:
            if time.monotonic() >= until:
                return
            wanted = Wanted(target.name, target.expression, target.max_series)
            try:
                matrix = reader.whole(wanted, piece, source.interval_s, stored=True)
            except (SourceAnswer, SourceTooLarge, SourceSlow) as error:
                log.warning("gap not filled", extra={"target": target.name, "reason": error.message})
                continue
            blocks, _ = self._valid(matrix, end)
            with self._present(source):
                appended = self.samples.append(source.id, blocks)
                self.gaps.mark_filled(source.id, target.name, piece, self.clock())
            outcome.written += appended.written
            if appended.written:
                outcome.windows.append(piece)

    @staticmethod
    def _valid(blocks: list[Block], now: datetime) -> tuple[list[Block], dict[str, int]]:
        kept: list[Block] = []
        refused: dict[str, int] = {}
        for block in blocks:
            good, rejected = validate(block, now)
            kept.append(good)
            for reason, count in rejected.reasons.items():
                refused[reason] = refused.get(reason, 0) + count
        return kept, refused


class _Notes:
    """What a run learnt of each target, written in one transaction at its end."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self._of: dict[int, tuple[bool, int, str]] = {}

    def succeeded(self, target: Target, series: int, remark: str = "") -> None:
        self._of[target.id or 0] = (True, series, remark)

    def failed(self, target: Target, message: str) -> None:
        self._of[target.id or 0] = (False, target.series_count, message)

    def good(self, targets: list[Target]) -> list[Target]:
        """Those that succeeded in this run: only of these is it worth asking for more."""
        return [t for t in targets if self._of.get(t.id or 0, (False,))[0]]

    def write(self, database: Database) -> None:
        with database.session() as session:
            for row in session.exec(select(Target).where(col(Target.id).in_(list(self._of)))).all():
                good, series, message = self._of[row.id or 0]
                row.last_attempt_at, row.series_count = self.now, series
                row.last_error = printable(message, _ERROR_CHARS)
                if good:
                    row.last_success_at = self.now
                session.add(row)


def _recent(blocks: list[Block], now: datetime) -> tuple[list[Block], int]:
    """What a page says of the last day, and how many of its samples are older: stale, or stamped in seconds."""
    since_ms = to_ms(now - timedelta(days=1))
    old = sum(int((block.ts_ms < since_ms).sum()) for block in blocks)
    if not old:
        return blocks, 0
    recent = ((block, block.ts_ms >= since_ms) for block in blocks)
    return [
        Block(block.metric, block.labels, block.ts_ms[new], block.value[new]) for block, new in recent if new.any()
    ], old


def _remark_old(count: int) -> str:
    if not count:
        return ""
    what = "sample" if count == 1 else "samples"
    return f"{count:,} {what} left out, stamped more than a day ago; times on a page are milliseconds since 1970."


def _remark(warnings: tuple[str, ...], refused: dict[str, int]) -> str:
    """What was kept but should be known: the answer may be partial, samples lay in the future."""
    said = [f"Partial: {warning}" for warning in warnings[:3]]
    said += [
        f"{count:,} {'sample' if count == 1 else 'samples'} left out, stamped in the {why}; check the clocks."
        for why, count in refused.items()
        if why == "future"
    ]
    return " ".join(said)


def _around(known: list[Window], blocks: list[Block]) -> Window:
    filled = [b for b in blocks if b.ts_ms.size]
    start = from_ms(min(int(b.ts_ms[0]) for b in filled))
    end = from_ms(max(int(b.ts_ms[-1]) for b in filled) + 1)
    if known:
        start, end = min(start, known[0].start), max(end, known[0].end)
    return Window(start, end)
