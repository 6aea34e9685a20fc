"""PromQL's functions over what is stored: rate, increase, a quantile over time, the quantile of a histogram."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from lib.auth.actor import Actor, Permission
from lib.errors import Invalid
from lib.frames import Series, Window, from_ms, host_of, to_ms
from lib.profiling.gaps import GAP_FACTOR
from lib.profiling.promfunctions import RELEASES, Function, histogram_quantile, over_time, steps
from lib.profiling.times import unix_ms
from lib.profiling.titles import short_titles
from lib.profiling.units import unit_of
from lib.services.exploration import MAX_CHART_SERIES, STEPS_S, ChartData, ChartLine
from lib.services.export import Format, write
from lib.services.releases import major
from lib.settings import Settings
from lib.store.readings import Readings
from lib.store.samples import Samples
from lib.store.summaries import expired_until

HISTOGRAM = "histogram_quantile"
BUCKET = "_bucket"
# Read at a time, which the store does quickest by name.
_AT_ONCE = 8
# Two or three seconds of reading; a chart people wait for.
MAX_SAMPLES = 10_000_000
MAX_BUCKETS = 2_000
LONGEST_RANGE = timedelta(days=30)
# Samples a window should hold, so that one that is missed leaves no hole: as Grafana's rate interval.
_HOLDS = 4


@dataclass(frozen=True)
class Asked:
    """function: one of `Function`, or HISTOGRAM. range_s 0: chosen by how often samples come. share: the quantile's.
    by: labels a histogram is kept apart by."""

    function: str
    range_s: float = 0.0
    share: float = 0.95
    by: tuple[str, ...] = ()


@dataclass(frozen=True)
class Evaluated:
    """data: values ready to draw, NaN where there is none. expression: the same in PromQL. range_s: how far back each
    value looks; interval_s: how far apart samples are, 0 when there are too few to tell. gone: before when samples have
    expired, of which there are no values. release: of Prometheus whose rules were followed; server: what the source
    runs where it follows others, else empty."""

    data: ChartData
    expression: str
    range_s: float
    interval_s: float
    gone: datetime | None = None
    release: int = 3
    server: str = ""


class Evaluation:
    def __init__(
        self,
        settings: Settings,
        samples: Samples,
        clock: Callable[[], datetime],
        release_of: Callable[[int], str] = lambda _source: "",
    ) -> None:
        self.samples, self.clock, self.release_of = samples, clock, release_of
        self.release = settings.promql_release
        self.rules = RELEASES[self.release]
        self.readings = Readings(samples.store, GAP_FACTOR)

    def values(
        self, actor: Actor, series_ids: Sequence[int], at_ms: np.ndarray, range_s: float, asked: Asked
    ) -> dict[int, np.ndarray]:
        """Series id -> the function's value at each moment; NaN where there is none."""
        actor.require(Permission.VIEW)
        function, range_ms = Function(asked.function), round(range_s * 1000)
        return {
            series_id: over_time(function, ts_ms, value, at_ms, range_ms, self.rules, asked.share)
            for series_id, ts_ms, value in self._each(series_ids, at_ms, range_ms)
        }

    def chart(
        self, actor: Actor, series_ids: Sequence[int], window: Window, asked: Asked, max_points: int = 1000
    ) -> Evaluated:
        """A function of each series, or the quantile of the histograms the series are buckets of, at equal steps.

        Raises Invalid for what is no function, range or share, for more series than a chart takes, or for more
        samples than are read for one.
        """
        actor.require(Permission.VIEW)
        histogram = asked.function == HISTOGRAM
        self._check(asked, len(series_ids), histogram)
        series = self.samples.find(ids=list(series_ids))
        extent = self.readings.extent([one.id for one in series], window)
        samples = int(extent["count"].sum())
        groups = _groups(series, asked.by) if histogram else {}
        lines = len(groups) if histogram else len(series)
        interval_s = float(np.nan_to_num(extent["interval_s"].median())) if len(extent) else 0.0
        step_s = _step_s(window, max(1, lines), max_points)
        range_s = asked.range_s or _rounded(max(_HOLDS * interval_s, step_s))
        read = samples * (1 + range_s / max(1.0, window.span.total_seconds()))
        if read > MAX_SAMPLES:
            raise Invalid(
                f"{asked.function} would have to read {read:,.0f} samples and {MAX_SAMPLES:,} are the most for one "
                "chart; choose a shorter range, or narrow the series by host or label."
            )
        at_ms = steps(to_ms(window.start), to_ms(window.end), round(step_s * 1000))
        if histogram:
            found = self._histograms(groups, at_ms, round(range_s * 1000), asked)
        else:
            made = self.values(actor, [one.id for one in series], at_ms, range_s, asked)
            found = [(one, made[one.id]) for one in series if one.id in made]
        metrics = {one.metric for one in series}
        data = ChartData(
            lines=_lines(found, at_ms),
            window=window,
            unit=_unit(asked.function, metrics.pop()) if len(metrics) == 1 else "",
            step_s=step_s,
            rate=False,
            samples=samples,
            non_finite=int(extent["non_finite"].sum()) if len(extent) else 0,
            as_of=self.clock(),
        )
        gone = expired_until(self.samples.store, window)
        servers = {self.release_of(source_id) for source_id in {one.source_id for one in series}}
        other = sorted(one for one in servers if major(one) in RELEASES and major(one) != self.release)
        expression = _expression(series, asked, range_s)
        return Evaluated(data, expression, range_s, interval_s, gone, self.release, other[0] if other else "")

    def drawn(self, actor: Actor, data: ChartData, name: str, format: str = "csv") -> bytes:
        """What a chart shows as a file's bytes: of expired days the means of their sums. Raises Invalid."""
        actor.require(Permission.VIEW)
        return points(data, name, format)

    def export(self, actor: Actor, evaluated: Evaluated, format: str = "csv") -> bytes:
        """The values drawn as a file's bytes, under the expression they are of. Raises Invalid."""
        actor.require(Permission.VIEW)
        return points(evaluated.data, evaluated.expression, format)

    # --- parts ---------------------------------------------------------------------------------

    def _check(self, asked: Asked, count: int, histogram: bool) -> None:
        if not histogram and asked.function not in set(Function):
            raise Invalid(
                f"{asked.function[:60]!r} is no function here; there are {', '.join([*Function, HISTOGRAM])}."
            )
        if not 0 <= asked.range_s <= LONGEST_RANGE.total_seconds():
            raise Invalid(f"A range is at most {LONGEST_RANGE.days} days, not {asked.range_s:g} s.")
        if not 0 <= asked.share <= 1:
            raise Invalid(f"A quantile is between 0 and 1, not {asked.share:g}.")
        most = MAX_BUCKETS if histogram else MAX_CHART_SERIES
        if count > most:
            raise Invalid(f"{asked.function} takes {most:,} series and {count:,} were asked for; narrow them.")

    def _each(
        self, series_ids: Sequence[int], at_ms: np.ndarray, range_ms: int
    ) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
        """Series that have samples in reach, a few read at a time."""
        if not at_ms.size:
            return
        # A moment itself is inside its window, which `read` ends before.
        window = Window(from_ms(int(at_ms[0]) - range_ms), from_ms(int(at_ms[-1]) + 1))
        ids = list(dict.fromkeys(series_ids))
        for start in range(0, len(ids), _AT_ONCE):
            frame = self.samples.read(ids[start : start + _AT_ONCE], window)
            for series_id, part in frame.groupby("series_id", sort=False):
                yield int(series_id), unix_ms(part["ts"]), part["value"].to_numpy(dtype=np.float64)

    def _histograms(
        self, groups: dict[tuple[str, ...], dict[str, list[Series]]], at_ms: np.ndarray, range_ms: int, asked: Asked
    ) -> list[tuple[Series, np.ndarray]]:
        """One line a group: `histogram_quantile(q, sum by (le, …) (rate(…)))`."""
        place = {one.id: (group, le) for group, by_le in groups.items() for le, some in by_le.items() for one in some}
        sums: dict[tuple[str, ...], dict[str, np.ndarray]] = {}
        for series_id, ts_ms, value in self._each(list(place), at_ms, range_ms):
            group, le = place[series_id]
            grown = over_time(Function.RATE, ts_ms, value, at_ms, range_ms, self.rules)
            before = sums.setdefault(group, {}).get(le)
            # A sum is over the series that have a value; NaN only where none has.
            sums[group][le] = grown if before is None else _added(before, grown)
        made = []
        for number, (group, by_le) in enumerate(sums.items(), 1):
            bounds = np.array([float(le) for le in by_le])
            value = histogram_quantile(asked.share, bounds, np.stack(list(by_le.values())), self.rules)
            like = next(iter(groups[group].values()))[0]
            labels = {name: found for name, found in zip(asked.by, group, strict=True) if found}
            made.append((replace(like, id=-number, labels=labels, host=host_of(labels), kind="gauge"), value))
        return made


def points(data: ChartData, name: str, format: str) -> bytes:
    """What is drawn as a file: ts, metric (what it is of), host, labels, value. Raises Invalid."""
    if format not in set(Format):
        raise Invalid(f"{format!r} is no export format; there are {', '.join(Format)}.")
    parts = [
        pd.DataFrame({"series_id": line.series.id, "ts": line.ts_ms[known], "value": line.value[known]})
        for line in data.lines
        if (known := ~np.isnan(line.value)).any()
    ]
    empty = pd.DataFrame({"series_id": np.empty(0, "int32"), "ts": np.empty(0, "int64"), "value": np.empty(0)})
    frame = pd.concat(parts, ignore_index=True) if parts else empty
    frame = frame.assign(ts=pd.to_datetime(frame["ts"], unit="ms", utc=True))
    # The title of a series begins with its metric, which the file names by itself.
    series = [replace(line.series, metric=name) for line in data.lines]
    return write(frame, series, Format(format))


def statistics(data: ChartData) -> pd.DataFrame:
    """What `Exploration.statistics` says, of the values drawn: one row a line. missing: steps without a value."""
    rows = []
    for line in data.lines:
        known = np.isfinite(line.value)
        value = line.value[known]
        p50, p95 = np.quantile(value, (0.5, 0.95)).tolist() if value.size else (np.nan, np.nan)
        rows.append(
            {
                "series_id": line.series.id,
                "count": value.size,
                "min": value.min(initial=np.inf),
                "mean": value.mean() if value.size else np.nan,
                "max": value.max(initial=-np.inf),
                "last": value[-1] if value.size else np.nan,
                "p50": p50,
                "p95": p95,
                "peak_ts": pd.Timestamp(int(line.ts_ms[known][value.argmax()]), unit="ms", tz="UTC"),
                "missing": int((~known).sum()),
                "unit": data.unit,
            }
        )
    return pd.DataFrame(rows)


def _added(before: np.ndarray, more: np.ndarray) -> np.ndarray:
    known = ~np.isnan(more)
    return np.where(known & ~np.isnan(before), before + more, np.where(known, more, before))


def _groups(series: Sequence[Series], by: Sequence[str]) -> dict[tuple[str, ...], dict[str, list[Series]]]:
    """Values of the labels in `by` -> le -> its series. Raises Invalid where nothing has an `le`, or too many groups
    would be drawn."""
    groups: dict[tuple[str, ...], dict[str, list[Series]]] = {}
    for one in series:
        le = one.labels.get("le", "")
        if _is_number(le):
            groups.setdefault(tuple(one.labels.get(name, "") for name in by), {}).setdefault(le, []).append(one)
    if series and not groups:
        raise Invalid("These series are no buckets of a histogram: none has a label le with a number.")
    if len(groups) > MAX_CHART_SERIES:
        raise Invalid(
            f"{len(groups):,} groups by {', '.join(by)} are more than a chart takes ({MAX_CHART_SERIES}); group by "
            "fewer labels, or narrow the series."
        )
    return groups


def _is_number(text: str) -> bool:
    try:
        return not np.isnan(float(text))
    except ValueError:
        return False


def _lines(found: Sequence[tuple[Series, np.ndarray]], at_ms: np.ndarray) -> tuple[ChartLine, ...]:
    """Lines with at least one number to draw; what is infinite cannot be."""
    finite = [(one, np.where(np.isfinite(value), value, np.nan)) for one, value in found]
    drawn = [(one, value) for one, value in finite if np.isfinite(value).any()]
    titles = short_titles([one for one, _ in drawn])
    return tuple(ChartLine(one, titles[one.id], at_ms, value) for one, value in drawn)


def _step_s(window: Window, lines: int, max_points: int) -> float:
    # A function is asked at moments, and what lies between two of them is seen only where its window reaches back.
    budget = max(200, max_points // lines)
    return _rounded(window.span.total_seconds() / budget)


def _rounded(seconds: float) -> float:
    """The next width a reader can name."""
    return next((float(step) for step in STEPS_S if step >= seconds), float(STEPS_S[-1]))


def _unit(function: str, metric: str) -> str:
    if function == HISTOGRAM:
        return unit_of(metric.removesuffix(BUCKET))
    if function == Function.COUNT:
        return ""
    return unit_of(metric, "counter" if function == Function.RATE else "gauge")


def _expression(series: Sequence[Series], asked: Asked, range_s: float) -> str:
    """What PromQL would say of these series, as far as one metric says it."""
    metrics = {one.metric for one in series}
    name = metrics.pop() if len(metrics) == 1 else "…"
    span = promql_duration(range_s)
    if asked.function == HISTOGRAM:
        by = ", ".join(("le", *asked.by))
        return f"histogram_quantile({asked.share:g}, sum by ({by}) (rate({name}[{span}])))"
    share = f"{asked.share:g}, " if asked.function == Function.QUANTILE else ""
    return f"{asked.function}({share}{name}[{span}])"


def promql_duration(seconds: float) -> str:
    """`5m`, `1h30m`, `90s` as PromQL writes it, in the largest unit that is whole."""
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= size and seconds % size == 0:
            return f"{seconds // size:.0f}{unit}"
    return f"{seconds:g}s"
