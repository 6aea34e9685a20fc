"""Where a series is going: forecasts as tasks, kept, held against what came, and made anew every day where asked."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from sqlmodel import col, select

from lib.audit.log import Audit
from lib.auth.actor import SYSTEM, Actor, Permission
from lib.db.database import Database
from lib.db.tables import Task
from lib.errors import Conflict, Invalid, NotEnoughData, NotFound
from lib.forecast import capacity, history
from lib.forecast.capacity import Crossing, Side
from lib.forecast.countries import require_country
from lib.forecast.outcome import Outcome, compare
from lib.frames import Series, Window, from_ms, to_ms
from lib.profiling.gaps import GAP_FACTOR
from lib.profiling.times import unix_ms
from lib.profiling.units import unit_of
from lib.profiling.words import duration
from lib.services.forecasting_jobs import BINS, SERIES
from lib.store.forecasts import Forecasts, Made, Standing
from lib.store.readings import Readings
from lib.store.samples import Samples
from lib.store.summaries import expired_until
from lib.tasks.job import JobKind
from lib.tasks.runner import Runner

if TYPE_CHECKING:
    from lib.forecast.forecaster import Card

log = logging.getLogger(__name__)

KIND = "forecast"
# More in one task would keep other work waiting for minutes.
MOST_SERIES = 24
MOST_STANDING = 200
LEAST_HORIZON, MOST_HORIZON = timedelta(minutes=10), timedelta(days=366)
AGAIN_AFTER = timedelta(hours=24)
# A sample may come late; only then is a forecast judged for good.
SETTLED_AFTER = timedelta(hours=1)
_MOST_TASKS = 200
_SHOWN = ("ts", "low95", "low80", "middle", "high80", "high95")


@dataclass(frozen=True)
class View:
    """A forecast as a page shows it. past: ts_ms, value (bins of the forecast's step); points: the frame of `Forecasts.
    points`; came: the part of the horizon that has come, ts_ms, value."""

    made: Made
    series: Series
    unit: str
    card: Card
    points: pd.DataFrame
    past: tuple[np.ndarray, np.ndarray]
    came: tuple[np.ndarray, np.ndarray]
    outcome: Outcome | None


class Forecasting:
    """App must call `maintain` every few minutes: it makes standing forecasts anew and judges old ones."""

    def __init__(
        self, database: Database, samples: Samples, runner: Runner, audit: Audit, clock: Callable[[], datetime]
    ) -> None:
        self.database, self.samples, self.runner = database, samples, runner
        self.audit, self.clock = audit, clock
        self.store = Forecasts(samples.store)
        self.readings = Readings(samples.store, GAP_FACTOR)
        runner.register(JobKind(KIND, "lib.services.forecasting_jobs:run", self._prepare, self._receive, cluster=True))

    def forecast(
        self,
        actor: Actor,
        series_ids: Sequence[int] = (),
        *,
        metric: str | None = None,
        host: str | None = None,
        horizon: timedelta = timedelta(days=1),
        window: Window | None = None,
        country: str = "",
        prophet: bool = True,
    ) -> Task:
        """Queue a forecast of these series, or of a metric on a host; while the same is queued, that one is returned.

        window: what to learn from; None: as much of what is stored as the horizon can use. country: ISO code whose
        holidays count, for Prophet. Raises Invalid for a horizon or country that means nothing or too many series,
        NotFound.
        """
        actor.require(Permission.RUN_TASKS)
        series = self._wanted(series_ids, metric, host)
        asked = self._asked(horizon, country, prophet)
        task = self._submit([one.id for one in series], asked, window, actor.name, {})
        title = series[0].title if len(series) == 1 else f"{series[0].metric} ({len(series)} series)"
        self.audit.record(actor, "forecast.make", title, horizon_s=asked["horizon_s"], task=task.id)
        return task

    def latest(self, actor: Actor, series_id: int) -> Made | None:
        """The newest forecast of a series."""
        return next(iter(self.made(actor, series_id, limit=1)), None)

    def made(self, actor: Actor, series_id: int | None = None, limit: int = 60) -> list[Made]:
        """Forecasts of a series, or of all, newest first."""
        actor.require(Permission.VIEW)
        return self.store.of(None if series_id is None else [series_id], limit)

    def listed(
        self,
        actor: Actor,
        *,
        series_id: int | None = None,
        metric: str | None = None,
        host: str | None = None,
        limit: int = 60,
    ) -> list[tuple[Made, Series]]:
        """Forecasts of the series that match all that is given, newest first, each with its series."""
        actor.require(Permission.VIEW)
        ids = None if series_id is None else [series_id]
        series = {one.id: one for one in self.samples.find(metric=metric, host=host, ids=ids)}
        wanted = None if series_id is None and metric is None and host is None else list(series)
        return [(made, series[made.series_id]) for made in self.store.of(wanted, limit) if made.series_id in series]

    def view(self, actor: Actor, forecast_id: int) -> View:
        """One forecast with what was before it and what came. Raises NotFound."""
        actor.require(Permission.VIEW)
        made = self._get(forecast_id)
        found = self.samples.find(ids=[made.series_id])
        if not found:
            raise NotFound(f"The series of forecast {forecast_id} is gone; it may have been removed with its source.")
        series = found[0]
        span = max(timedelta(seconds=made.step_s * made.steps) * 2, timedelta(days=2))
        from lib.forecast.forecaster import Card

        before = self._bins(series, Window(made.start_at - span, made.start_at), made.step_s)
        came = self._came(made, series)
        points = self.store.points(forecast_id)
        return View(
            made=made,
            series=series,
            unit=unit_of(series.metric, series.kind),
            card=Card.from_json({name: made.card[name] for name in Card.__dataclass_fields__}),
            points=points,
            past=_middles(before, made.step_s),
            came=_middles(came, made.step_s),
            outcome=_outcome(made) or self._compare(made, points, came),
        )

    def crossing(self, actor: Actor, view: View, limit: float, side: str | None = None) -> Crossing:
        """When a forecast crosses a limit. side: above or below; None: whichever way it lies. Raises Invalid."""
        actor.require(Permission.VIEW)
        if not np.isfinite(limit):
            raise Invalid(f"The limit {limit} is no number a series can reach.")
        if side is not None and side not in set(Side):
            raise Invalid(f"The side {side!r} is neither above nor below.")
        last = view.made.last
        points = view.points
        return capacity.crossing(
            limit,
            Side(side) if side else capacity.side_of(limit, last),
            last,
            unix_ms(points["ts"]),
            *(points[name].to_numpy() for name in ("low95", "middle", "high95")),
        )

    def outcomes(self, actor: Actor, series_id: int, limit: int = 20) -> list[tuple[Made, Outcome | None]]:
        """Past forecasts of a series, newest first, and how each did as far as it has come; None: nothing has yet."""
        actor.require(Permission.VIEW)
        found = self.samples.find(ids=[series_id])
        if not found:
            return []
        return [
            (made, _outcome(made) or self._compare(made, self.store.points(made.id), self._came(made, found[0])))
            for made in self.store.of([series_id], limit)
        ]

    def export(self, actor: Actor, forecast_id: int) -> bytes:
        """A forecast as CSV: ts, low95, low80, middle, high80, high95, actual (where it has come)."""
        view = self.view(actor, forecast_id)
        table = view.points.copy()
        actual = pd.Series(view.came[1], index=view.came[0], dtype="float64")
        table["actual"] = actual.reindex(unix_ms(table["ts"])).to_numpy()
        table["ts"] = table["ts"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f").str[:-3] + "Z"
        return table.to_csv(index=False).encode()

    def remove(self, actor: Actor, forecast_id: int) -> None:
        """Raises NotFound."""
        actor.require(Permission.RUN_TASKS)
        made = self._get(forecast_id)
        self.store.delete(forecast_id)
        self.audit.record(actor, "forecast.remove", str(forecast_id), series=made.series_id)

    # --- every day -------------------------------------------------------------------------------

    def standing(self, actor: Actor) -> list[tuple[Standing, Series]]:
        """What is made anew every day, with its series."""
        actor.require(Permission.VIEW)
        rows = self.store.standing()
        series = {one.id: one for one in self.samples.find(ids=[row.series_id for row in rows])}
        return [(row, series[row.series_id]) for row in rows if row.series_id in series]

    def keep(
        self,
        actor: Actor,
        series_id: int,
        *,
        horizon: timedelta = timedelta(days=1),
        country: str = "",
        prophet: bool = True,
    ) -> int:
        """Make this forecast anew every day from now on; the id to drop it by. Raises Invalid, NotFound, Conflict."""
        actor.require(Permission.RUN_TASKS)
        (series,) = self._wanted([series_id], None, None)
        asked = self._asked(horizon, country, prophet)
        rows = self.store.standing()
        if len(rows) >= MOST_STANDING and series_id not in {row.series_id for row in rows}:
            raise Conflict(f"{len(rows)} forecasts are made every day already; drop one before adding another.")
        kept = self.store.keep(Standing(series.source_id, series_id, asked, actor.name, self.clock()))
        self.audit.record(actor, "forecast.keep", series.title, horizon_s=asked["horizon_s"])
        return kept

    def drop(self, actor: Actor, standing_id: int) -> None:
        """Raises NotFound."""
        actor.require(Permission.RUN_TASKS)
        if not self.store.drop(standing_id):
            raise NotFound(f"There is no daily forecast {standing_id}; somebody may have dropped it.")
        self.audit.record(actor, "forecast.drop", str(standing_id))

    def maintain(self) -> None:
        """Make anew what is due, and judge what has come in whole. For the schedule."""
        now = self.clock()
        due = [row for row in self.store.standing() if row.tried_at is None or now - row.tried_at >= AGAIN_AFTER]
        alike: dict[str, list[Standing]] = {}
        for row in due:
            alike.setdefault(json.dumps(row.asked, sort_keys=True), []).append(row)
        for rows in alike.values():
            for first in range(0, len(rows), MOST_SERIES):
                some = rows[first : first + MOST_SERIES]
                standing = {str(row.series_id): row.id for row in some}
                # Noted first: a store that cannot write would otherwise have them made again and again.
                self.store.tried([row.id for row in some], now)
                self._submit([row.series_id for row in some], some[0].asked, None, SYSTEM.name, standing)
        for made in self.store.unjudged(now - SETTLED_AFTER):
            series = self.samples.find(ids=[made.series_id])
            points = self.store.points(made.id)
            outcome = self._compare(made, points, self._came(made, series[0])) if series else None
            self.store.judge(made.id, asdict(outcome) if outcome else {})

    # --- tasks -----------------------------------------------------------------------------------

    def last_task(self, actor: Actor, series_id: int) -> Task | None:
        """The newest forecasting task of a series, whatever became of it."""
        actor.require(Permission.VIEW)
        wanted = select(Task).where(Task.kind == KIND).order_by(col(Task.id).desc()).limit(_MOST_TASKS)
        with self.database.session() as session:
            rows = session.exec(wanted).all()
        return next((task for task in rows if series_id in task.params["series_ids"]), None)

    def _wanted(self, series_ids: Sequence[int], metric: str | None, host: str | None) -> list[Series]:
        if not series_ids and metric is None:
            raise Invalid("Name the series to forecast, or a metric.")
        found = self.samples.find(metric=metric, host=host, ids=list(series_ids) if series_ids else None)
        if not found:
            what = f"metric {metric!r}" if metric else f"series {', '.join(map(str, series_ids[:5]))}"
            raise NotFound(f"Nothing is stored of {what}; choose one from the list on the Explore page.")
        if len(found) > MOST_SERIES:
            raise Invalid(
                f"{found[0].metric} has {len(found):,} series and a forecast takes at most {MOST_SERIES} at a time; "
                "choose a host or a series."
            )
        return found

    @staticmethod
    def _asked(horizon: timedelta, country: str, prophet: bool) -> dict[str, Any]:
        if not LEAST_HORIZON <= horizon <= MOST_HORIZON:
            raise Invalid(
                f"The horizon is {duration(horizon.total_seconds())}; choose 10 minutes to {MOST_HORIZON.days} days."
            )
        return {"horizon_s": round(horizon.total_seconds()), "country": require_country(country), "prophet": prophet}

    def _submit(
        self, ids: list[int], asked: dict[str, Any], window: Window | None, by: str, standing: dict[str, int]
    ) -> Task:
        params = {
            **asked,
            "series_ids": ids,
            "start": window.start.isoformat() if window else None,
            "end": window.end.isoformat() if window else None,
            "by": by,
            "standing": standing,
        }
        span = duration(asked["horizon_s"])
        found = self.samples.find(ids=ids)
        what = found[0].title if len(found) == 1 else f"{len(ids)} series"
        key = f"{sorted(ids)}:{asked['horizon_s']}:{asked['country']}:{params['start']}:{params['end']}"
        return self.runner.submit(KIND, params, by=by, title=f"Forecast {what} for {span}", key=key)

    def _prepare(self, params: dict[str, Any], workdir: Path) -> dict[str, Any]:
        """Leave each series as bins of a step that suits the horizon. Raises NotFound, NotEnoughData."""
        series = self.samples.find(ids=params["series_ids"])
        if not series:
            raise NotFound("The series to forecast are gone; they may have been removed with their source.")
        now = self.clock()
        end = datetime.fromisoformat(params["end"]) if params["end"] else now
        start = datetime.fromisoformat(params["start"]) if params["start"] else from_ms(0)
        extent = self.readings.extent([one.id for one in series], Window(min(start, end), end)).set_index("series_id")
        arrays: dict[str, np.ndarray] = {}
        listed = []
        for one in series:
            known = extent.loc[one.id] if one.id in extent.index else None
            interval_s = float(known["interval_s"]) if known is not None and known["count"] > 1 else 1.0
            # Where the history is the shorter of the two its own length says how fine the steps have to be.
            span_s = (known["last"] - known["first"]).total_seconds() / 2 if known is not None else 0.0
            step_s = history.step_of(min(params["horizon_s"], max(span_s, interval_s)), interval_s)
            # A bin that is still filling would look like a drop.
            until_ms = to_ms(min(end, now)) // (step_s * 1000) * step_s * 1000
            until = from_ms(until_ms)
            last = min(until, known["last"].to_pydatetime() + timedelta(seconds=step_s)) if known is not None else until
            since = max(start, last - timedelta(seconds=step_s * (history.MOST_ROWS + 1)))
            bins = self._bins(one, Window(min(since, until), until), step_s)
            arrays[f"slots{one.id}"], arrays[f"means{one.id}"] = bins
            unit = unit_of(one.metric, one.kind)
            listed.append({"id": one.id, "title": one.title, "unit": unit, "step_s": step_s, "until_ms": until_ms})
        held = int(extent["count"].sum()) if len(extent) else 0
        if held <= len(series) or not any(arrays[f"slots{one.id}"].size for one in series):
            raise NotEnoughData(
                f"None of the {held:,} samples in this span is a number (all NaN or infinite); nothing can be foreseen."
                if held > len(series)
                else f"There are no samples to learn from; {self._gone(start, end)}collect some first, or choose a "
                "longer history."
                if not held
                else "There is one sample, or none that is complete yet; a forecast takes a history of at least "
                f"{history.LEAST_ROWS} values.",
                points=0,
            )
        np.savez(workdir / BINS, **arrays)  # type: ignore[arg-type]
        (workdir / SERIES).write_text(json.dumps(listed))
        return params

    def _receive(self, params: dict[str, Any], path: Path, values: dict[str, Any]) -> None:
        """Keep a forecast as soon as it is there."""
        found = self.samples.find(ids=[values["series_id"]])
        if not found:
            log.info("series is gone since its forecast began", extra={"series": values["series_id"]})
            return
        made = Made(
            source_id=found[0].source_id,
            series_id=found[0].id,
            made_at=self.clock(),
            made_by=params["by"],
            start_at=from_ms(values["start_ms"]),
            step_s=values["step_s"],
            steps=values["steps"],
            model=values["model"],
            last=values["last"],
            asked={name: params[name] for name in ("horizon_s", "country", "prophet")},
            card=values["card"],
            standing_id=params["standing"].get(str(found[0].id)),
        )
        self.store.save(made, path)

    # --- reading -----------------------------------------------------------------------------------

    def _get(self, forecast_id: int) -> Made:
        made = self.store.get(forecast_id)
        if made is None:
            raise NotFound(f"There is no forecast {forecast_id}; it may have been removed.")
        return made

    def _bins(self, series: Series, window: Window, step_s: int) -> tuple[np.ndarray, np.ndarray]:
        """Bin numbers since 1970 and the mean of each, counters as rate per second."""
        frame = self.readings.buckets([series.id], window, step_s * 1000, counters=series.kind == "counter")
        return unix_ms(frame["ts"]) // (step_s * 1000), frame["mean"].to_numpy(dtype=np.float64)

    def _gone(self, start: datetime, end: datetime) -> str:
        until = expired_until(self.samples.store, Window(min(start, end), end))
        return f"those before {until:%Y-%m-%d} UTC have expired and only their sums are kept; " if until else ""

    def _came(self, made: Made, series: Series) -> tuple[np.ndarray, np.ndarray]:
        now_ms = to_ms(self.clock()) // (made.step_s * 1000) * made.step_s * 1000
        until = min(made.end_at, from_ms(now_ms))
        if until <= made.start_at:
            return np.empty(0, dtype=np.int64), np.empty(0)
        # One step more before it, so that the rate of a counter's first sample is known.
        begin = made.start_at - timedelta(seconds=made.step_s)
        slots, means = self._bins(series, Window(begin, until), made.step_s)
        inside = slots >= to_ms(made.start_at) // (made.step_s * 1000)
        return slots[inside], means[inside]

    @staticmethod
    def _compare(made: Made, points: pd.DataFrame, came: tuple[np.ndarray, np.ndarray]) -> Outcome | None:
        slots, values = came
        place = slots - to_ms(made.start_at) // (made.step_s * 1000)
        actual = np.full(len(points), np.nan)
        inside = (place >= 0) & (place < len(points))
        actual[place[inside]] = values[inside]
        return compare(actual, made.last, *(points[name].to_numpy() for name in _SHOWN[1:]))


def _middles(bins: tuple[np.ndarray, np.ndarray], step_s: int) -> tuple[np.ndarray, np.ndarray]:
    return bins[0] * step_s * 1000 + step_s * 500, bins[1]


def _outcome(made: Made) -> Outcome | None:
    """What was kept of how it did; an empty one: nothing came at all."""
    return Outcome(**made.outcome) if made.outcome else None
