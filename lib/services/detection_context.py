"""What happened around an anomaly, and whether it was alone: the nearest events, and the other hosts at that time."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import pandas as pd

from lib.frames import Series, Window
from lib.profiling.words import amount, duration
from lib.services.annotations import Annotations
from lib.services.detection_scoring import Loaded, Scoring
from lib.store.findings import Findings
from lib.store.gaps import Gaps
from lib.store.samples import Samples

# How long before and after the start of an anomaly an event may lie to be named beside it.
BEFORE, AFTER = timedelta(hours=1), timedelta(hours=2)
MOST_EVENTS, MOST_SERIES, MOST_PEERS, MOST_GAPS = 8, 400, 12, 50
_BEGAN = re.compile(r"(boot_time|process_start_time)_seconds$")


@dataclass(frozen=True)
class Nearby:
    """Something that happened near an anomaly. kind: deploy, note, maintenance, expected, restart, counter reset,
    new series, series ended, or gap."""

    at: datetime
    kind: str
    text: str

    def when(self, start: datetime) -> str:
        """`5 min before`, `at the start`, or `2 h into it`."""
        away = (self.at - start).total_seconds()
        if abs(away) < 60:
            return "at the start"
        return f"{duration(abs(away))} {'before' if away < 0 else 'into it'}"


@dataclass(frozen=True)
class Peers:
    """also: host, severity, start, anomaly_id of other hosts' anomalies at the time. low, middle, high: of the same
    quantity on the other hosts at the peak, None when no other has it; hosts: how many were looked at."""

    also: pd.DataFrame
    hosts: int = 0
    low: float | None = None
    middle: float | None = None
    high: float | None = None

    def sentence(self, actual: float | None, unit: str) -> str:
        """Whether this host was alone, in words."""
        same = f"{len(self.also)} other {'host was' if len(self.also) == 1 else 'hosts were'} unusual at the time."
        alone = "No other host was unusual at the time."
        words = same if len(self.also) else alone
        if self.low is None or self.high is None or actual is None:
            return words
        if self.hosts == 1:
            return f"{words} The one other host with this quantity was at {amount(self.low, unit)}."
        return (
            f"{words} On the {self.hosts} other hosts with this quantity it was {amount(self.low, unit)} to "
            f"{amount(self.high, unit)}, in the middle {amount(self.middle, unit)}."
        )


class Context:
    """Reads only what is stored; everything is looked up when somebody asks."""

    def __init__(self, samples: Samples, scoring: Scoring, annotations: Annotations) -> None:
        self.samples, self.scoring, self.annotations = samples, scoring, annotations
        self.findings: Findings = scoring.findings
        self.gaps = Gaps(samples.store)

    def nearby(self, source_id: int, host: str, start: datetime, end: datetime) -> list[Nearby]:
        """Events from an hour before the start to two hours after it, nearest to the start first."""
        # What came long after the start did not lead to it.
        window = Window(start - BEFORE, max(min(end, start + AFTER), start))
        found = [Nearby(m.start, m.kind, m.text) for m in self.annotations.between(window, source_id, host)]
        series = self.samples.find(source_id=source_id, host=host)[:MOST_SERIES]
        found += self._restarts(series, window)
        found += self._came_and_went(series, window)
        found += self._gaps(source_id, window)
        order = sorted(found, key=lambda one: abs((one.at - start).total_seconds()))
        return order[:MOST_EVENTS]

    def peers(self, source_id: int, host: str, detector_id: int, channel: int, window: Window, peak: datetime) -> Peers:
        """The other hosts of the source. channel: number of what contributed most, in the detector's plan."""
        same = self.findings.anomalies(source_id=source_id, window=window, limit=200)
        also = same[same["host"] != host].drop_duplicates("host").rename(columns={"start_ts": "start"})
        also = also[["host", "severity", "start", "id"]].reset_index(drop=True)
        one = self.scoring.loaded(self.scoring.get(detector_id)).detector.plan.channels[channel]
        values = []
        others = [row for row in self.scoring.active(source_id) if row.host != host][:MOST_PEERS]
        for row in others:
            loaded = self.scoring.loaded(row)
            number = next((n for n, c in enumerate(loaded.detector.plan.channels) if c.title == one.title), None)
            value = None if number is None else self._at(loaded, number, peak)
            if value is not None:
                values.append(value)
        if not values:
            return Peers(also)
        low, middle, high = (float(v) for v in np.quantile(values, (0, 0.5, 1)))
        return Peers(also, len(values), low, middle, high)

    def _at(self, loaded: Loaded, number: int, moment: datetime) -> float | None:
        """One quantity at a moment, or just before it."""
        from lib.features import channels as channel_plans
        from lib.features.grid import tabulate

        plan = loaded.detector.plan.only(number)
        frame = self.samples.read(list(plan.series_ids), Window(moment - 4 * loaded.step, moment + loaded.step))
        wanted = set(plan.series_ids)
        values = channel_plans.assemble(plan, tabulate([s for s in loaded.series if s.id in wanted], frame, plan.grid))
        seen = values.values[0][np.isfinite(values.values[0])]
        return float(seen[-1]) if seen.size else None

    def _restarts(self, series: Sequence[Series], window: Window) -> list[Nearby]:
        """A start time that changed is a restart; else counters that fell began anew."""
        began = [s for s in series if _BEGAN.search(s.metric)]
        counters = {s.id: s for s in series if s.kind == "counter"}
        frame = self.samples.read([*(s.id for s in began), *counters], window)
        if frame.empty:
            return []
        step = frame.groupby("series_id")["value"].diff()
        found = []
        for one in began:
            for at in frame["ts"][(frame["series_id"] == one.id) & (step.abs() > 30)]:
                what = "The machine" if "boot" in one.metric else "A process"
                found.append(Nearby(at.to_pydatetime(), "restart", f"{what} was started again."))
        fell = frame[frame["series_id"].isin(list(counters)) & (step < 0)]
        if len(fell) and not found:
            names = sorted({counters[int(i)].metric for i in fell["series_id"]})
            more = f" and {len(names) - 2} more" if len(names) > 2 else ""
            text = f"{', '.join(names[:2])}{more} began anew."
            found.append(Nearby(fell["ts"].min().to_pydatetime(), "counter reset", text))
        return found

    def _came_and_went(self, series: Sequence[Series], window: Window) -> list[Nearby]:
        """Series that first appeared, or were last seen, in the window: another version, a device gone, new labels."""
        spans = [s for s in self.samples.stats([one.id for one in series]) if s.first and s.last]
        if not spans:
            return []
        begin, newest = min(s.first for s in spans if s.first), max(s.last for s in spans if s.last)
        found = []
        for kind, picked in (
            ("new series", [(s.first, s) for s in spans if window.contains(s.first) and s.first > begin]),  # type: ignore[arg-type, operator]
            ("series ended", [(s.last, s) for s in spans if window.contains(s.last) and s.last < newest - BEFORE]),  # type: ignore[arg-type, operator]
        ):
            if picked:
                at = min(moment for moment, _ in picked if moment)
                names = sorted(s.series.title for _, s in picked)
                more = f" and {len(names) - 1} more" if len(names) > 1 else ""
                verb = "first reported" if kind == "new series" else "last reported"
                found.append(Nearby(at, kind, f"{names[0]}{more} {verb}."))
        return found

    def gaps_in(self, source_id: int, window: Window) -> list[Window]:
        """Where nothing was collected for at least one target, overlapping ones joined, by time."""
        joined: list[Window] = []
        for row in self._met(source_id, window).sort_values("start").itertuples():
            start, end = row.start.to_pydatetime(), row.end.to_pydatetime()
            if joined and start <= joined[-1].end:
                joined[-1] = Window(joined[-1].start, max(end, joined[-1].end))
            else:
                joined.append(Window(start, end))
        return joined[-MOST_GAPS:]

    def _met(self, source_id: int, window: Window) -> pd.DataFrame:
        gaps = self.gaps.history(source_id, limit=500)
        return gaps[gaps["filled_at"].isna() & (gaps["start"] < window.end) & (gaps["end"] > window.start)]

    def _gaps(self, source_id: int, window: Window) -> list[Nearby]:
        met = self._met(source_id, window)
        if met.empty:
            return []
        first = met.sort_values("start").iloc[0]
        lasted = duration((first["end"] - first["start"]).total_seconds())
        return [Nearby(first["start"].to_pydatetime(), "gap", f"Nothing was collected for {lasted}: {first['reason']}")]
