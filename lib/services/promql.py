"""PromQL asked of a source that is live: through to its server, drawn, and not stored."""

from __future__ import annotations

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from lib.auth.actor import Actor, Permission
from lib.db.tables import Source, SourceKind
from lib.errors import Invalid, SourceAnswer, SourceError, SourceTooLarge, Unavailable
from lib.frames import Block, Series, Window, host_of
from lib.profiling.titles import short_titles
from lib.profiling.units import unit_of
from lib.services.collection import Collection
from lib.services.evaluation import points
from lib.services.exploration import MAX_CHART_SERIES, STEPS_S, ChartData, ChartLine

LONGEST = 4000
# One answer: of more series nobody reads a line, and more points no screen has.
MAX_SERIES = 500
MAX_POINTS = 500_000
MAX_BYTES = 32 << 20
TIMEOUT_S = 20.0
# An answer is asked for again once its last step is over, or this old: a click elsewhere on the page asks nothing.
KEPT_S, KEPT = 60.0, 16
_STEPS = 500  # moments a window is asked at, at most
_PLACE = re.compile(r"(\d{1,6}):(\d{1,6}): (?=parse error)")
_KINDS = {
    SourceKind.DEMO: "it is a demo history on this machine, without a server behind it",
    SourceKind.MACHINE: "it reads this machine itself, without a server behind it",
    SourceKind.SCRAPE: "it is one exporter's page, which answers no queries",
}


@dataclass(frozen=True)
class Askable:
    """A source, and why it cannot be asked; empty when it can."""

    id: int
    name: str
    why_not: str


@dataclass(frozen=True)
class Answer:
    """data: what to draw, at most as many series as a chart takes, of `series` there are. warnings: the server's."""

    source: str
    expression: str
    data: ChartData
    series: int
    seconds: float
    warnings: tuple[str, ...]


class PromQL:
    def __init__(self, collection: Collection, clock: Callable[[], datetime]) -> None:
        self.collection, self.clock = collection, clock
        self._kept: OrderedDict[tuple[object, ...], tuple[float, Answer]] = OrderedDict()
        self._lock = threading.Lock()

    def sources(self, actor: Actor) -> list[Askable]:
        """Every source, those that can be asked first."""
        actor.require(Permission.VIEW)
        found = [Askable(one.id or 0, one.name, _why_not(one)) for one in self.collection.sources.all()]
        return sorted(found, key=lambda one: (bool(one.why_not), one.name.casefold()))

    def ask(self, actor: Actor, source_id: int, expression: str, window: Window) -> Answer:
        """The expression over the window, at whole multiples of a step that suits it.

        Raises Unavailable when the source has no server to ask; SourceAnswer when the server does not take the
        expression, with `line` and `column` where it says them; every other SourceError as it comes; SourceTooLarge
        beyond what is drawn.
        """
        actor.require(Permission.ASK_SOURCES)
        text = expression.strip()
        if not text or len(text) > LONGEST:
            raise Invalid(f"Enter a PromQL expression of at most {LONGEST:,} characters.")
        source = self.collection.sources.get(source_id)
        reason = _why_not(source)
        if reason:
            raise Unavailable(f"{source.name} cannot be asked: {reason}. Choose a Prometheus source.")
        step_s = _step_s(window)
        # All that says where and as whom is asked, so that a source that was changed is asked anew.
        edges = [edge.timestamp() // step_s for edge in (window.start, window.end)]
        key = (source.model_dump_json(), expression, step_s, *edges)
        if (kept := self._answered(key)) is not None:
            return kept
        began = time.monotonic()
        try:
            with self.collection.opened(source, TIMEOUT_S, MAX_BYTES) as reader:
                blocks = reader.evaluate(expression, window, round(step_s))
        except SourceAnswer as error:
            raise _placed(error, expression) from None
        seconds = time.monotonic() - began
        drawable = sum(block.ts_ms.size for block in blocks)
        if len(blocks) > MAX_SERIES or drawable > MAX_POINTS:
            raise SourceTooLarge(
                f"The answer has {len(blocks):,} series with {drawable:,} points; {MAX_SERIES} series are the most. "
                "Add them up, as in sum by (instance) (…), or take the largest by topk(10, …)."
            )
        data = _drawn(source_id, blocks[:MAX_CHART_SERIES], window, step_s, self.clock())
        answer = Answer(source.name, text, data, len(blocks), seconds, blocks.warnings)
        with self._lock:
            self._kept[key] = time.monotonic(), answer
            while len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return answer

    def _answered(self, key: tuple[object, ...]) -> Answer | None:
        with self._lock:
            at, answer = self._kept.get(key, (-math.inf, None))
        return answer if time.monotonic() - at < KEPT_S else None

    def export(self, actor: Actor, answer: Answer, format: str = "csv") -> bytes:
        """What is drawn as a file's bytes. Raises Invalid."""
        actor.require(Permission.ASK_SOURCES)
        return points(answer.data, answer.expression, format)


def _why_not(source: Source) -> str:
    return _KINDS.get(SourceKind(source.kind), "")


def _step_s(window: Window) -> float:
    wanted = window.span.total_seconds() / _STEPS
    return float(next((step for step in STEPS_S if step >= wanted), math.ceil(wanted / 86400) * 86400))


def _placed(error: SourceError, expression: str) -> SourceError:
    """Where in the text the server stopped reading, when it says so: `1:5: parse error: …`."""
    found = _PLACE.search(error.message)
    if not found:
        return error
    words = error.message[: found.start()] + error.message[found.end() :]
    line, at = int(found[1]), int(found[2]) - 1
    written = expression.split("\n")[line - 1].encode() if line <= expression.count("\n") + 1 else b""
    # The server counts bytes, people characters.
    column = len(written[:at].decode("utf-8", "ignore")) + 1 if at <= len(written) else at + 1
    return SourceAnswer(words, **{**error.values, "line": line, "column": column})


def _drawn(source_id: int, blocks: Sequence[Block], window: Window, step_s: float, now: datetime) -> ChartData:
    series, lines, units = [], [], set()
    for number, block in enumerate(blocks, 1):
        labels = dict(block.labels)
        one = Series(-number, source_id, block.metric or "value", labels, host_of(labels), "gauge")
        series.append(one)
        units.add(unit_of(block.metric) if block.metric else "")
    titles = short_titles(series)
    samples = non_finite = 0
    for one, block in zip(series, blocks, strict=True):
        finite = np.isfinite(block.value)
        samples, non_finite = samples + finite.size, non_finite + int((~finite).sum())
        if finite.any():
            lines.append(ChartLine(one, titles[one.id], *_broken(block, finite, round(step_s * 1000))))
    return ChartData(
        lines=tuple(lines),
        window=window,
        unit=units.pop() if len(units) == 1 else "",
        step_s=step_s,
        rate=False,
        samples=samples,
        non_finite=non_finite,
        as_of=now,
    )


def _broken(block: Block, finite: np.ndarray, step_ms: int) -> tuple[np.ndarray, np.ndarray]:
    """The server's values with a NaN where it skipped a step, so that the line breaks there."""
    value = np.where(finite, block.value, np.nan)
    skipped = np.flatnonzero(np.diff(block.ts_ms) > 1.5 * step_ms) + 1
    return np.insert(block.ts_ms, skipped, block.ts_ms[skipped - 1] + step_ms), np.insert(value, skipped, np.nan)
