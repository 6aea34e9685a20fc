"""Sources and what is collected from them: test, choose, backfill, schedule, gaps."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.database import Database
from lib.db.tables import Source, SourceKind, Target, Task, TaskStatus
from lib.demo.history import Incident
from lib.errors import AppError, Conflict, Invalid, SourceTooLarge
from lib.frames import Window, to_ms
from lib.log import redact
from lib.prometheus.query import Wanted
from lib.services import collection_jobs
from lib.services.collection_demo import DEFAULT_METRICS
from lib.services.collection_run import WHOLE_PAGE, Collector, Holds, Outcome
from lib.services.collection_sources import METRIC_NAME, REMOTE, SourceDraft, Sources
from lib.services.collection_status import SourceState, SourceStatus, TargetStatus, state_of
from lib.settings import Settings
from lib.store.samples import Samples
from lib.tasks.runner import Runner

if TYPE_CHECKING:
    import pandas as pd

    from lib.prometheus.probe import Found, Probe
    from lib.prometheus.read import Reader

log = logging.getLogger(__name__)

_AT_ONCE = 4  # sources collected at the same time
_LONGEST_PAUSE_S = 300.0  # a failing source is asked at least this often, unless it says otherwise itself
_LONGEST_BACKFILL = timedelta(days=400)


class Collection:
    def __init__(
        self, settings: Settings, database: Database, samples: Samples, runner: Runner, audit: Audit, clock: Callable
    ) -> None:
        self.settings, self.database, self.samples = settings, database, samples
        self.runner, self.audit, self.clock = runner, audit, clock
        # Called after samples of a source were committed: (source_id, window of the new samples).
        self.on_collected: list[Callable[[int, Window], None]] = []
        # Called before a source and its samples go: (source_id).
        self.on_removed: list[Callable[[int], None]] = []
        self.sources = Sources(settings, database)
        self._stopping = threading.Event()
        self._held, self._runs = Holds(), Holds()  # held while storing, and for a whole run
        self._collector = Collector(settings, database, self.sources, samples, clock, self._held, self._stopping)
        self._pool: ThreadPoolExecutor | None = None
        self._guard = threading.Lock()  # of the three below
        self._busy: set[int] = set()
        self._due: dict[int, float] = {}
        self._failures: dict[int, int] = {}
        self._begun = False
        runner.register(collection_jobs.kind_for(self._collector, self._held, self.tell))

    # --- looking --------------------------------------------------------------------------------

    def status(self, actor: Actor) -> list[SourceStatus]:
        """Every source with its targets: state, lag, last error, gaps. Never asks the sources themselves."""
        actor.require(Permission.VIEW)
        targets: dict[int, list[Target]] = {}
        for target in self.sources.targets():
            targets.setdefault(target.source_id, []).append(target)
        now = self.clock()
        return [self._status(actor, s, targets.get(s.id or 0, []), now) for s in self.sources.all()]

    def draft(self, actor: Actor, source_id: int) -> SourceDraft:
        """A source as its form would be filled in, without its secret."""
        actor.require(Permission.MANAGE_SOURCES)
        return self.sources.draft_of(self.sources.get(source_id))

    def test(self, actor: Actor, draft: SourceDraft, source_id: int | None = None) -> Probe:
        """Ask a server, saved or not, who it is and what it holds. Raises the SourceError that tells why not.

        source_id: the source being edited, whose stored secret is used when the draft has none.
        """
        from lib.prometheus.probe import probe

        actor.require(Permission.MANAGE_SOURCES)
        stored = self.sources.get(source_id) if source_id is not None else None
        draft = self.sources.checked(draft)
        endpoint = self._collector.endpoint(Source(name=draft.name, kind=draft.kind, url=draft.url))
        endpoint = replace(
            endpoint,
            auth=draft.auth,
            username=draft.username,
            secret=self.sources.secret_for(draft, stored),
            tenant_header=draft.tenant_header,
            tenant=draft.tenant,
            ca_file=draft.ca_file,
            verify_tls=draft.verify_tls,
        )
        limits = replace(self._collector.limits(), attempts=1)
        if draft.kind is SourceKind.SCRAPE:
            with self._collector.page(endpoint, limits, draft.name) as page:
                return page.probe(self.clock)
        with self._collector.reader(endpoint, limits) as reader:
            return probe(reader, self.clock)

    def search_metrics(self, actor: Actor, source_id: int, text: str, regex: bool = False, limit: int = 500) -> Found:
        """The source's metrics that match, with how many series each has now."""
        from lib.prometheus.probe import search

        actor.require(Permission.MANAGE_SOURCES)
        with self._collector.reader(self._collector.endpoint(self._prometheus(source_id))) as reader:
            return search(reader, text[:500], regex, limit)

    def count_expression(self, actor: Actor, source_id: int, expression: str) -> int:
        """How many series a PromQL expression gives now; SourceAnswer carries the server's words when it is wrong."""
        actor.require(Permission.MANAGE_SOURCES)
        if not expression.strip() or len(expression) > 4000:
            raise Invalid("Enter a PromQL expression of at most 4,000 characters.")
        with self._collector.reader(self._collector.endpoint(self._prometheus(source_id))) as reader:
            return reader.count_expression(expression)

    def opened(self, source: Source, timeout_s: float, max_bytes: int) -> Reader:
        """A source for one question of a person: tried once, within tighter bounds than a collection."""
        limits = self._collector.limits()
        limits = replace(
            limits, attempts=1, timeout_s=min(timeout_s, limits.timeout_s), max_bytes=min(max_bytes, limits.max_bytes)
        )
        return self._collector.reader(self._collector.endpoint(source), limits)

    def gaps(self, actor: Actor, source_id: int) -> pd.DataFrame:
        """Spans that were missed, newest first: target, start, end, reason, filled_at (NaT: still open)."""
        actor.require(Permission.VIEW)
        return self._collector.gaps.history(source_id).drop(columns="source_id")

    def backfills(self, actor: Actor, source_id: int, limit: int = 3) -> list[Task]:
        """The source's newest backfills, running ones among them."""
        actor.require(Permission.VIEW)
        return self.sources.tasks(source_id, collection_jobs.KIND)[:limit]

    def demo_incidents(self, actor: Actor) -> list[tuple[int, Incident]]:
        """(source id, incident) of every loaded demo history: what is known to have gone wrong in it."""
        from lib.demo import history

        actor.require(Permission.VIEW)
        now, found = self.clock(), []
        for source in self.sources.all():
            if source.kind == SourceKind.DEMO and source.id is not None:
                shift = self._collector.demo.shift_of(source, now)
                if shift is not None:
                    found += [(source.id, i) for i in history.incidents(source.url, now, shift)]
        return found

    # --- changing -------------------------------------------------------------------------------

    def add(self, actor: Actor, draft: SourceDraft) -> Source:
        """A new source, collected as soon as it has targets."""
        actor.require(Permission.MANAGE_SOURCES)
        if draft.kind not in REMOTE:
            return self._add_bundled(actor, draft.kind, draft.name, draft.url, draft.interval_s)
        source = self.sources.add(draft)
        if draft.kind is SourceKind.SCRAPE:
            self.sources.add_targets(source.id or 0, [Target(source_id=source.id or 0, name=WHOLE_PAGE)])
        self.audit.record(actor, "source.add", source.name, kind=source.kind, url=source.url, auth=source.auth)
        return source

    def update(self, actor: Actor, source_id: int, draft: SourceDraft) -> Source:
        actor.require(Permission.MANAGE_SOURCES)
        source = self.sources.update(source_id, draft)
        self._at_once(source_id)
        self.audit.record(
            actor, "source.update", source.name, url=source.url, auth=source.auth, new_secret=draft.secret is not None
        )
        return source

    def enable(self, actor: Actor, source_id: int, enabled: bool) -> None:
        actor.require(Permission.MANAGE_SOURCES)
        source = self.sources.enable(source_id, enabled)
        self._at_once(source_id)
        self.audit.record(actor, "source.enable" if enabled else "source.disable", source.name)

    def remove(self, actor: Actor, source_id: int) -> None:
        """The source with everything collected from it: samples, gaps, anomalies, detectors."""
        actor.require(Permission.MANAGE_SOURCES)
        for task in self.sources.tasks(source_id, collection_jobs.KIND):
            if task.status in (TaskStatus.PENDING, TaskStatus.RUNNING):
                with suppress(Conflict):  # it ended in this moment
                    self.runner.cancel(task.id or 0)
        with self._held(source_id):
            for listener in self.on_removed:
                listener(source_id)
            source = self.sources.remove(source_id)
            self._collector.demo.forget(source_id)
            self.samples.forget_source(source_id)
        with self._guard:
            for known in (self._due, self._failures):
                known.pop(source_id, None)
        self.audit.record(actor, "source.remove", source.name, kind=source.kind, url=source.url)

    def remove_demo(self, actor: Actor) -> int:
        """Both demo histories and what was found in them; how many were there. This machine stays."""
        actor.require(Permission.MANAGE_SOURCES)
        demo = [s for s in self.sources.all() if s.kind == SourceKind.DEMO]
        for source in demo:
            self.remove(actor, source.id or 0)
        return len(demo)

    def add_metrics(self, actor: Actor, source_id: int, names: list[str], max_series: int = 0) -> list[Target]:
        """Collect these metrics from now on. Raises SourceTooLarge, adding none, when one has too many series."""
        actor.require(Permission.MANAGE_SOURCES)
        names = list(dict.fromkeys(n.strip() for n in names if n.strip()))
        if not names:
            raise Invalid("Choose at least one metric.")
        if any(len(n) > 256 or not n.isprintable() for n in names):
            raise Invalid("A metric's name has at most 256 printable characters.")
        self._check_cap_setting(max_series)
        with self._collector.reader(self._collector.endpoint(self._prometheus(source_id))) as reader:
            for name, count in reader.counts(names).items():
                reader.check_count(Wanted(name, max_series=max_series), count)
        return self._add_targets(
            actor, source_id, [Target(source_id=source_id, name=n, max_series=max_series) for n in names]
        )

    def add_expression(
        self, actor: Actor, source_id: int, name: str, expression: str, max_series: int = 0
    ) -> list[Target]:
        """Collect what a PromQL expression gives, evaluated at the source's interval, under a name of its own."""
        actor.require(Permission.MANAGE_SOURCES)
        if not METRIC_NAME.fullmatch(name) or len(name) > 256:
            raise Invalid(
                f"“{name[:60]}” cannot name a metric; use letters, digits, _ and :, not starting with a digit."
            )
        self._check_cap_setting(max_series)
        if any(t.name == name for t in self.sources.targets(source_id)):
            raise Conflict(f"This source collects something called {name} already; choose another name.")
        count, cap = self.count_expression(actor, source_id, expression), max_series or self.settings.source_max_series
        if count > cap:
            raise SourceTooLarge(
                f"The expression gives {count:,} series, more than the {cap:,} allowed; sum by fewer labels."
            )
        target = Target(source_id=source_id, name=name, expression=expression.strip(), max_series=max_series)
        return self._add_targets(actor, source_id, [target])

    def remove_target(self, actor: Actor, target_id: int) -> None:
        """Stop collecting it. What was collected stays."""
        actor.require(Permission.MANAGE_SOURCES)
        target = self.sources.remove_target(target_id)
        self.audit.record(actor, "target.remove", target.name, source_id=target.source_id)

    def enable_target(self, actor: Actor, target_id: int, enabled: bool) -> None:
        actor.require(Permission.MANAGE_SOURCES)
        target = self.sources.enable_target(target_id, enabled)
        self.audit.record(actor, "target.enable" if enabled else "target.disable", target.name)

    # --- collecting -----------------------------------------------------------------------------

    def backfill(self, actor: Actor, source_id: int, window: Window, target_ids: list[int] | None = None) -> Task:
        """Fetch a span of history as a task. The same span again goes on where the last attempt ended."""
        actor.require(Permission.COLLECT)
        source = self._prometheus(source_id)
        now = self.clock()
        window = Window(window.start, max(window.start, min(window.end, now)))
        if not window.span:
            raise Invalid("The span is empty or lies in the future; choose one that ends before now.")
        if window.span > _LONGEST_BACKFILL:
            raise Invalid(f"The span is {window.span.days} days; choose at most {_LONGEST_BACKFILL.days} at a time.")
        known = [t.id for t in self.sources.targets(source_id) if t.enabled and t.id is not None]
        chosen = known if target_ids is None else [i for i in known if i in set(target_ids)]
        if not chosen:
            raise Invalid(f"{source.name} has nothing to collect yet; choose metrics first.")
        params = {
            "source_id": source_id,
            "targets": chosen,
            "start_ms": to_ms(window.start),
            "end_ms": to_ms(window.end),
        }
        title = f"Backfill {source.name}, {window.start:%Y-%m-%d %H:%M} to {window.end:%Y-%m-%d %H:%M} UTC"
        task = self.runner.submit(collection_jobs.KIND, params, by=actor.name, title=title[:256])
        self.audit.record(actor, "source.backfill", source.name, task=task.id, start=window.start, end=window.end)
        return task

    def collect_now(self, actor: Actor, source_id: int | None = None) -> dict[str, Outcome]:
        """Collect one source, or every enabled one, and wait for it; by name of the source."""
        actor.require(Permission.COLLECT)
        chosen = [s for s in self.sources.all() if (s.enabled if source_id is None else s.id == source_id)]
        if source_id is not None and not chosen:
            self.sources.get(source_id)
        return {s.name: self._collect(s.id or 0) for s in chosen}

    def tick(self) -> None:
        """Collect every enabled source that is due. Called by the schedule."""
        if self._stopping.is_set():
            return
        with self._guard:
            first, self._begun = not self._begun, True
            if self._pool is None:
                self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="collect")
        if first:
            self._pool.submit(self._begin)
            return
        moment = time.monotonic()
        for source in self.sources.all():
            source_id = source.id or 0
            with self._guard:
                if not source.enabled or source_id in self._busy or self._due.get(source_id, 0.0) > moment:
                    continue
                self._busy.add(source_id)
            self._pool.submit(self._run_and_free, source_id)

    def ensure_defaults(self) -> None:
        """First start: the source from AUTOOPS_PROMETHEUS_URL, or the demo and this machine. Loads the demo, which
        takes seconds; does nothing when the sources are there already."""
        for source in self._add_defaults():
            if source.kind != SourceKind.PROMETHEUS:
                self._collect(source.id or 0)

    def stop(self) -> None:
        """End requests in flight and wait for what is being stored."""
        self._stopping.set()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    # --- inside ---------------------------------------------------------------------------------

    def _begin(self) -> None:
        try:
            self.ensure_defaults()
        except Exception as error:
            log.exception("default sources not made", extra={"reason": redact(str(error))})

    def _add_defaults(self) -> list[Source]:
        known = self.sources.all()
        url, made = self.settings.prometheus_url.strip(), []
        if url:
            try:
                draft = self.sources.checked(
                    SourceDraft("Prometheus", url, interval_s=self.settings.collect_interval_s)
                )
                if not any(
                    s.kind == SourceKind.PROMETHEUS and (s.url == draft.url or s.name == draft.name) for s in known
                ):
                    source = self.add(SYSTEM, draft)
                    targets = [Target(source_id=source.id or 0, name=name) for name in DEFAULT_METRICS]
                    self._add_targets(SYSTEM, source.id or 0, targets)
                    made.append(source)
            except AppError as error:
                log.error("AUTOOPS_PROMETHEUS_URL not used", extra={"reason": error.message})
        elif self.settings.demo and not known:
            made.append(self._add_bundled(SYSTEM, SourceKind.MACHINE, "This machine", "", 5.0))
            made.append(self._add_bundled(SYSTEM, SourceKind.DEMO, "Simulated fleet", "simulated", 30.0))
            made.append(self._add_bundled(SYSTEM, SourceKind.DEMO, "Recorded incident", "recorded", 60.0))
        return made

    def _add_bundled(self, actor: Actor, kind: SourceKind, name: str, url: str, interval_s: float) -> Source:
        """A demo history or this machine: nothing to configure, one target that stands for all of it."""
        from lib.demo.history import NAMES

        if kind is SourceKind.DEMO and url not in NAMES:
            raise Invalid(f"There is no bundled history called {url[:40]!r}; there are {' and '.join(NAMES)}.")
        if any(s.kind == kind and (kind is SourceKind.MACHINE or s.url == url) for s in self.sources.all()):
            raise Conflict(f"{name} is there already; it can be switched on and off.")
        source = self.sources.add(
            SourceDraft(name, url if kind is SourceKind.DEMO else "", kind, interval_s=interval_s)
        )
        label = "machine" if kind is SourceKind.MACHINE else "history"
        self.sources.add_targets(source.id or 0, [Target(source_id=source.id or 0, name=label)])
        self.audit.record(actor, "source.add", source.name, kind=source.kind)
        return source

    def _add_targets(self, actor: Actor, source_id: int, targets: list[Target]) -> list[Target]:
        made = self.sources.add_targets(source_id, targets)
        if made:
            names = [t.name for t in made]
            self.audit.record(
                actor, "target.add", self.sources.get(source_id).name, targets=names[:50], count=len(names)
            )
        self._at_once(source_id)
        return made

    def _prometheus(self, source_id: int) -> Source:
        source = self.sources.get(source_id)
        if source.kind != SourceKind.PROMETHEUS:
            raise Invalid(f"{source.name} has nothing to choose or fetch: all of it is collected already.")
        return source

    @staticmethod
    def _check_cap_setting(max_series: int) -> None:
        if not 0 <= max_series <= 1_000_000:
            raise Invalid("The cap on series is 1 to 1,000,000, or 0 for the one in the settings.")

    def _at_once(self, source_id: int) -> None:
        with self._guard:
            self._due.pop(source_id, None)
            self._failures.pop(source_id, None)

    def _run_and_free(self, source_id: int) -> None:
        try:
            self._collect(source_id)
        except Exception as error:
            log.exception("collection stumbled", extra={"source": source_id, "reason": redact(str(error))})
            with self._guard:
                self._due[source_id] = time.monotonic() + self.settings.collect_interval_s
        finally:
            with self._guard:
                self._busy.discard(source_id)

    def _collect(self, source_id: int) -> Outcome:
        """One run of one source, then word to whoever listens, then when the next one is due."""
        began = time.monotonic()
        with self._runs(source_id):
            if not self.sources.exists(source_id):
                return Outcome()
            source = self.sources.get(source_id)
            outcome = self._collector.collect(source)
        with self._guard:
            failures = self._failures.get(source_id, 0) + 1 if outcome.error else 0
            self._failures[source_id] = failures
            pause = source.interval_s
            if failures:
                # Doubling, so that a server in trouble is not kept there; at least what it asked for.
                pause = min(pause * 2 ** min(failures - 1, 6), max(pause, _LONGEST_PAUSE_S))
                pause = max(pause, outcome.retry_after_s or 0.0)
            self._due[source_id] = began + pause
        if outcome.error and failures == 1 and not self._stopping.is_set():
            log.warning("source failing", extra={"source": source.name, "reason": outcome.error.message})
        for window in outcome.windows:
            self.tell(source_id, window)
        return outcome

    def held(self, source_id: int) -> AbstractContextManager[None]:
        """Keeps a source from being removed while something is stored into it."""
        return self._held(source_id)

    def tell(self, source_id: int, window: Window) -> None:
        """Word to whoever listens that samples of this window are new."""
        for listener in self.on_collected:
            try:
                listener(source_id, window)
            except Exception as error:
                log.exception("after collection", extra={"source": source_id, "reason": redact(str(error))})

    def _status(self, actor: Actor, source: Source, targets: list[Target], now: datetime) -> SourceStatus:
        source_id = source.id or 0
        gaps = self._collector.gaps.open(source_id)
        known = [self._target_status(source, t, gaps["target"].eq(t.name).sum(), now) for t in targets]
        active = [t for t in known if t.enabled]
        lags = [t.lag_s for t in active if t.lag_s is not None]
        successes = [t.last_success for t in known if t.last_success]
        failing = [t for t, row in zip(known, targets, strict=True) if t.enabled and _failing(row)]
        error = failing[0].last_error if failing else ""
        lag = max(lags) if lags else None
        with self._guard:
            busy = source_id in self._busy
        imported = source.kind == SourceKind.IMPORT
        missing = [(min(g.end, now) - g.start).total_seconds() for g in gaps.itertuples()]
        return SourceStatus(
            id=source_id,
            name=source.name,
            kind=SourceKind(source.kind),
            state=SourceState.OK
            if imported
            else state_of(source.enabled, active, source.interval_s, lag, len(gaps), error),
            enabled=source.enabled,
            interval_s=source.interval_s,
            url=source.url if actor.may(Permission.MANAGE_SOURCES) and source.kind in REMOTE else "",
            lag_s=lag,
            last_success=max(successes) if successes else None,
            last_error=error or next((t.last_error for t in active if t.last_error), ""),
            open_gaps=len(gaps),
            missing_s=max([0.0, *missing]),
            series=len(self.samples.find(source_id=source_id)) if imported else sum(t.series for t in known),
            busy=busy,
            targets=tuple(known),
        )

    def _target_status(self, source: Source, target: Target, open_gaps: int, now: datetime) -> TargetStatus:
        # A bundled history is up to date whenever it was let out; its own last sample may lie further back.
        local = source.kind != SourceKind.PROMETHEUS
        mark = target.last_success_at if local else self.samples.watermark(source.id or 0, target.name)
        return TargetStatus(
            id=target.id or 0,
            name=target.name,
            expression=target.expression,
            enabled=target.enabled,
            series=target.series_count,
            max_series=target.max_series or self.settings.source_max_series,
            lag_s=max(0.0, (now - mark).total_seconds()) if mark else None,
            last_success=target.last_success_at,
            last_error=target.last_error,
            open_gaps=int(open_gaps),
        )


def _failing(target: Target) -> bool:
    return target.last_attempt_at is not None and target.last_attempt_at != target.last_success_at
