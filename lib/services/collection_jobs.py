"""Backfill as a task: the child asks the source, some days at a time, and hands Parquet parts to the app, which stores
and acknowledges each. What was acknowledged is not asked for again when the same span is submitted anew."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lib.errors import NotFound, SourceAnswer, SourceTooLarge
from lib.frames import Block, Window, from_ms, to_ms, validate
from lib.prometheus.guard import Guard
from lib.prometheus.query import Endpoint, Limits, Wanted, days
from lib.services.collection_run import Collector
from lib.tasks.job import JobContext, JobKind

if TYPE_CHECKING:
    from lib.prometheus.history import Part
    from lib.prometheus.read import Reader

KIND = "backfill"
_AT_ONCE = 3  # requests under way at a time: one on the wire, one at the server, one unpacked


def kind_for(collector: Collector, held: Callable[[int], Any], collected: Callable[[int, Window], None]) -> JobKind:
    """The kind of job, bound to the app's parts. held: a context manager that keeps a source from being removed."""
    work = _AppSide(collector, held, collected)
    return JobKind(
        KIND,
        "lib.services.collection_jobs:run",
        prepare=work.prepare,
        receive=work.receive,
        finish=work.finish,
        # What was stored is marked with each part, so that it goes on there.
        resumes=True,
    )


class _AppSide:
    def __init__(
        self, collector: Collector, held: Callable[[int], Any], collected: Callable[[int, Window], None]
    ) -> None:
        self.collector, self.held, self.collected = collector, held, collected

    def prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """What the child needs to ask: it can neither open the store nor the list of sources. The secret goes
        through the pipe to it and is never written down."""
        sources = self.collector.sources
        source = sources.get(params["source_id"])
        chosen = set(params["targets"])
        wanted = []
        for target in sources.targets(params["source_id"]):
            if target.id in chosen:
                done = self.collector.samples.watermark(params["source_id"], _mark(params, target.name))
                wanted.append(
                    {
                        "name": target.name,
                        "expression": target.expression,
                        "max_series": target.max_series,
                        "from_ms": max(params["start_ms"], to_ms(done) if done else 0),
                    }
                )
        return {
            "endpoint": asdict(self.collector.endpoint(source)),
            "limits": asdict(self.collector.limits()),
            "schemes": sorted(sources.guard.schemes),
            "allow_link_local": sources.guard.allow_link_local,
            "step_s": source.interval_s,
            "wanted": wanted,
            "start_ms": params["start_ms"],
            "end_ms": params["end_ms"],
        }

    def receive(self, params: dict[str, Any], path: Path, values: dict[str, Any]) -> None:
        source_id, name = params["source_id"], values["target"]
        window = Window(from_ms(values["start_ms"]), from_ms(values["end_ms"]))
        now = self.collector.clock()
        blocks = [validate(block, now)[0] for block in read_part(path)]
        with self.held(source_id):
            if not self.collector.sources.exists(source_id):
                raise NotFound("The source was removed while its history was being fetched.")
            self.collector.samples.append(source_id, blocks, (_mark(params, name), window.end))
            self.collector.gaps.mark_filled(source_id, name, window, now)

    def finish(self, params: dict[str, Any], result: dict[str, Any], workdir: Path) -> dict[str, Any]:
        if result.get("samples"):
            self.collected(params["source_id"], Window(from_ms(params["start_ms"]), from_ms(params["end_ms"])))
        return result


def _mark(params: dict[str, Any], name: str) -> str:
    """Each backfill's start has marks of its own, apart from where the regular collection stands."""
    return f"backfill {params['start_ms']} {name}"


def run(
    context: JobContext,
    *,
    endpoint: dict[str, Any],
    limits: dict[str, Any],
    schemes: list[str],
    allow_link_local: bool,
    step_s: float,
    wanted: list[dict[str, Any]],
    start_ms: int,
    end_ms: int,
) -> dict[str, Any]:
    """Fetch and hand over; in the child. A target whose query the server does not accept is left out, and said."""
    from lib.prometheus.history import history
    from lib.prometheus.read import Reader

    guard, bounds = Guard(frozenset(schemes), allow_link_local), Limits(**limits)
    meter = _Meter(context)
    skipped: dict[str, str] = {}

    def leave_out(target: Wanted, error: SourceAnswer | SourceTooLarge) -> None:
        skipped[target.name] = error.message
        context.log(f"{target.name}: left out", level="error", reason=error.message)
        meter.skip(target.name)

    with Reader(Endpoint(**endpoint), bounds, guard, watch=meter.look) as reader:
        counts = _counts(reader, [one["name"] for one in wanted if not one["expression"]], end_ms - 1)
        asked = []
        for one in wanted:
            target = Wanted(one["name"], one["expression"], one["max_series"])
            if one["from_ms"] >= end_ms:
                context.log(f"{target.name}: there already")
                continue
            meter.expect(target.name, _days(one["from_ms"], end_ms))
            try:
                reader.check_count(target, counts.get(target.name, 0))
            except SourceTooLarge as error:
                leave_out(target, error)
            else:
                asked.append((target, Window(from_ms(one["from_ms"]), from_ms(end_ms))))
        for part in history(reader, asked, step_s, _AT_ONCE, leave_out, counts):
            _hand_over(context, part)
            meter.add(part)
        declined = reader.remote.offer.declined
    if wanted and len(skipped) == len(wanted):
        raise SourceAnswer(f"Nothing could be fetched. {next(iter(skipped.values()))}")
    if asked and declined:
        context.log("Remote read was not used; queries fetched the same, more slowly", reason=declined)
    return {
        "samples": meter.samples,
        "samples_per_s": round(meter.rate),
        "targets": len(wanted) - len(skipped),
        "skipped": skipped,
        "remote_read": bool(asked) and not declined,
    }


def _counts(reader: Reader, names: list[str], at_ms: int) -> dict[str, int]:
    """To refuse what is too large before its samples are asked for. A server that cannot count is only found out
    about by reading: the cap holds there as well."""
    try:
        return reader.counts(names, at_ms)
    except SourceAnswer:
        return {}


def _days(start_ms: int, end_ms: int) -> int:
    return len(days(Window(from_ms(start_ms), from_ms(end_ms)))) if end_ms > start_ms else 0


class _Meter:
    """Progress over (target, day) pieces, the rate so far, and how long the rest will take at it."""

    def __init__(self, context: JobContext) -> None:
        self.context = context
        self._left: dict[str, int] = {}  # days of each target
        self.done = self.samples = 0
        self.started = time.monotonic()
        self._said = (0.0, "Asking the source")

    @property
    def rate(self) -> float:
        return self.samples / max(1e-9, time.monotonic() - self.started)

    def look(self) -> None:
        """During a request: where the job runs as a thread, this is where a cancel is noticed."""
        self.context.progress(*self._said)

    def expect(self, target: str, pieces: int) -> None:
        self._left[target] = pieces

    def skip(self, target: str) -> None:
        self._left.pop(target, None)

    def add(self, part: Part) -> None:
        name, pieces = part.wanted.name, len(days(part.window))
        self.done += pieces
        self._left[name] = max(0, self._left.get(name, 0) - pieces)
        self.samples += part.matrix.samples
        day = part.window.start.strftime("%Y-%m-%d")
        left = sum(self._left.values())
        self._said = (
            self.done / (self.done + left),
            f"{name}, {day}: {self.samples:,} samples, {self.rate:,.0f} a second"
            + (f", {_time_left((time.monotonic() - self.started) * left / self.done)}" if left else ""),
        )
        said: dict[str, Any] = {"samples": part.matrix.samples, "series": len(part.matrix)}
        if part.matrix.partial:
            said["warnings"] = list(part.matrix.warnings)
        self.context.log(f"{name} {day}", **said)
        self.look()


def _time_left(seconds: float) -> str:
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    minutes = round(seconds / 60)
    return f"about {minutes} min left" if minutes < 90 else f"about {minutes / 60:.1f} h left"


def _hand_over(context: JobContext, part: Part) -> None:
    path = Path(context.workdir) / f"part-{time.monotonic_ns()}.parquet"
    write_part(path, part.matrix)
    context.deliver(path, target=part.wanted.name, start_ms=to_ms(part.window.start), end_ms=to_ms(part.window.end))


def write_part(path: Path, blocks: list[Block]) -> None:
    """Samples as three columns, a row a sample; the series they belong to as JSON in the file's metadata."""
    import pyarrow as pa
    from pyarrow import parquet

    sizes = [b.ts_ms.size for b in blocks]
    columns = {
        "series": np.repeat(np.arange(len(blocks), dtype=np.int32), sizes),
        "ts_ms": np.concatenate([b.ts_ms for b in blocks]) if blocks else np.empty(0, np.int64),
        "value": np.concatenate([b.value for b in blocks]) if blocks else np.empty(0, np.float64),
    }
    names = json.dumps([[b.metric, dict(b.labels)] for b in blocks]).encode()
    # No compression: the file lives for a moment on the same disk.
    parquet.write_table(
        pa.table(columns).replace_schema_metadata({b"series": names}), path, compression="none", use_dictionary=False
    )


def read_part(path: Path) -> list[Block]:
    from pyarrow import parquet

    # Not read_table: it brings pyarrow.dataset into the app's process, 7 MB for nothing.
    with parquet.ParquetFile(path) as file:
        table = file.read(use_threads=False)
    names = json.loads((table.schema.metadata or {})[b"series"])
    which, ts, value = (table[name].to_numpy() for name in ("series", "ts_ms", "value"))
    edges = np.searchsorted(which, np.arange(len(names) + 1))
    return [
        Block(metric, labels, ts[edges[i] : edges[i + 1]], value[edges[i] : edges[i + 1]])
        for i, (metric, labels) in enumerate(names)
    ]
