"""What is right, computed from the stored blocks with pandas alone: nothing of the project's own arithmetic."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import duckdb
import numpy as np
import pandas as pd

from lib.frames import Block

LINE = ["host", "part", "ts", "value"]


def moment(text: str) -> pd.Timestamp:
    return pd.Timestamp(datetime.fromisoformat(text).replace(tzinfo=UTC))


_SQL = """
CREATE VIEW rates AS
    SELECT * REPLACE (CASE WHEN value < before THEN value ELSE value - before END / seconds AS value) FROM (
        SELECT *, lag(value) OVER w AS before, lag(ts) OVER w AS prev,
            date_diff('millisecond', lag(ts) OVER w, ts) / 1000.0 AS seconds
        FROM samples WINDOW w AS (PARTITION BY metric, host, labels ORDER BY ts))
    WHERE seconds <= 2.5 * $step;
CREATE MACRO gauge(m, a, b) AS TABLE
    SELECT * FROM samples WHERE metric = m AND ts >= a::TIMESTAMP AND ts < b::TIMESTAMP;
CREATE MACRO rate(m, a, b) AS TABLE
    SELECT * FROM rates WHERE metric = m AND prev >= a::TIMESTAMP AND ts < b::TIMESTAMP;
CREATE MACRO cpu_busy(a, b) AS TABLE
    SELECT host, ts, 100 * (1 - sum(value) FILTER (mode IN ('idle', 'iowait')) / sum(value)) AS value
    FROM rate('node_cpu_seconds_total', a, b) GROUP BY host, ts;
CREATE MACRO cpu_mode(m, a, b) AS TABLE
    SELECT host, ts, 100 * sum(value) FILTER (mode = m) / sum(value) AS value
    FROM rate('node_cpu_seconds_total', a, b) GROUP BY host, ts;
CREATE MACRO used(a, b) AS TABLE
    SELECT x.host, x.ts, 100 * (1 - x.value / y.value) AS value
    FROM gauge('node_memory_MemAvailable_bytes', a, b) x
    JOIN gauge('node_memory_MemTotal_bytes', a, b) y USING (host, ts);
CREATE MACRO disk_used(a, b) AS TABLE
    SELECT x.host, x.mountpoint, x.ts, 100 * (1 - x.value / y.value) AS value
    FROM gauge('node_filesystem_avail_bytes', a, b) x
    JOIN gauge('node_filesystem_size_bytes', a, b) y USING (host, mountpoint, ts);
CREATE MACRO summed(m, a, b) AS TABLE
    SELECT host, ts, sum(value) AS value FROM rate(m, a, b) GROUP BY host, ts;
CREATE MACRO errors(a, b) AS TABLE
    SELECT host, ts, 100 * sum(value) FILTER (code LIKE '5%') / sum(value) AS value
    FROM rate('http_requests_total', a, b) GROUP BY host, ts;
CREATE MACRO grown(m, a, b) AS TABLE
    SELECT host, sum(CASE WHEN value < before THEN value ELSE value - before END) AS value FROM (
        SELECT *, lag(value) OVER (PARTITION BY host, labels ORDER BY ts) AS before FROM gauge(m, a, b)) GROUP BY host;
"""


class Facts:
    """What is right over the demo history, asked in SQL: samples and rates (metric, host, labels and the most used of
    them, ts, value), the macros above, anomalies, forecasts (one row a point), detectors and marks."""

    def __init__(self, blocks: tuple[Block, ...], step_s: float, **tables: pd.DataFrame) -> None:
        rows = []
        for block in blocks:
            labels = dict(block.labels)
            told = {key: value for key, value in sorted(labels.items()) if key not in ("instance", "job")}
            frame = pd.DataFrame({"ts": pd.to_datetime(block.ts_ms, unit="ms"), "value": block.value})
            extra = {key: labels.get(key, "") for key in ("mode", "device", "mountpoint", "code")}
            rows.append(frame.assign(metric=block.metric, host=labels["instance"], labels=str(told), **extra))
        self.database = duckdb.connect()
        # Moments are UTC, in a column without a zone.
        samples = pd.concat(rows, ignore_index=True)
        self.database.register("given", samples)
        self.database.execute("CREATE TABLE samples AS SELECT * FROM given")
        for name, table in tables.items():
            bare = table.copy()
            for column in bare.columns:
                if isinstance(bare[column].dtype, pd.DatetimeTZDtype):
                    bare[column] = bare[column].dt.tz_convert("UTC").dt.tz_localize(None)
            self.database.register(f"{name}_given", bare)
            self.database.execute(f"CREATE TABLE {name} AS SELECT * FROM {name}_given")
        for statement in _SQL.replace("$step", str(step_s)).split(";"):
            if statement.strip():
                self.database.execute(statement)

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        return self.database.execute(sql).fetchall()


class Truth:
    """Frames of (host, part, ts, value) for each thing a golden question asks about."""

    def __init__(self, blocks: tuple[Block, ...]) -> None:
        rows = []
        for block in blocks:
            labels = dict(block.labels)
            frame = pd.DataFrame({"ts": pd.to_datetime(block.ts_ms, unit="ms", utc=True), "value": block.value})
            extra = {key: labels.get(key, "") for key in ("cpu", "mode", "device", "mountpoint")}
            rows.append(frame.assign(metric=block.metric, host=labels["instance"], **extra))
        self.all = pd.concat(rows, ignore_index=True)

    def metric(self, name: str, start: str, end: str, **where: str) -> pd.DataFrame:
        frame = self.all[self.all["metric"] == name]
        for key, value in where.items():
            frame = frame[frame[key] == value]
        return frame[(frame["ts"] >= moment(start)) & (frame["ts"] < moment(end))]

    def rate(self, name: str, start: str, end: str, **where: str) -> pd.DataFrame:
        """Per series, inside the window only: increase a second, with the value itself after a reset."""
        frame = self.metric(name, start, end, **where).sort_values("ts")
        keys = ["host", "cpu", "mode", "device", "mountpoint"]
        grouped = frame.groupby(keys)
        step = grouped["value"].diff()
        seconds = grouped["ts"].diff().dt.total_seconds()
        step = step.where(step >= 0, frame["value"])
        return frame.assign(value=step / seconds)[seconds.notna()]

    def thing(self, name: str, start: str, end: str, **where: str) -> pd.DataFrame:
        """host, part, ts, value of a measure or a metric, in the unit an answer uses."""
        if name == "cpu_busy":
            every = self.rate("node_cpu_seconds_total", start, end)
            busy = every.assign(part=every["value"].where(~every["mode"].isin(["idle", "iowait"]), 0.0))
            frame = busy.groupby(["host", "ts"], as_index=False)[["part", "value"]].sum()
            frame["value"] = 100 * frame.pop("part") / frame["value"]
        elif name == "cpu_iowait":
            every = self.rate("node_cpu_seconds_total", start, end)
            wait = every.assign(part=every["value"].where(every["mode"] == "iowait", 0.0))
            frame = wait.groupby(["host", "ts"], as_index=False)[["part", "value"]].sum()
            frame["value"] = 100 * frame.pop("part") / frame["value"]
        elif name == "memory_used":
            left = self.metric("node_memory_MemAvailable_bytes", start, end)[["host", "ts", "value"]]
            whole = self.metric("node_memory_MemTotal_bytes", start, end)[["host", "ts", "value"]]
            frame = left.merge(whole, on=["host", "ts"])
            frame["value"] = 100 * (1 - frame["value_x"] / frame["value_y"])
        elif name == "disk_space_used":
            left = self.metric("node_filesystem_avail_bytes", start, end, **where)
            whole = self.metric("node_filesystem_size_bytes", start, end, **where)
            frame = left.merge(whole, on=["host", "mountpoint", "ts"])
            frame["value"] = 100 * (1 - frame["value_x"] / frame["value_y"])
            frame = frame.rename(columns={"mountpoint": "part"})
        elif name in ("network_received", "network_sent"):
            metric = f"node_network_{'receive' if name == 'network_received' else 'transmit'}_bytes_total"
            frame = self.rate(metric, start, end, device="eth0")
        elif name in ("disk_read", "disk_written"):
            frame = self.rate(f"node_{name}_bytes_total", start, end)
        elif name == "disk_busy":
            frame = self.rate("node_disk_io_time_seconds_total", start, end)
            frame = frame.assign(value=frame["value"] * 100)
        elif name.endswith("_total"):
            frame = self.rate(name, start, end, **where)
        else:
            frame = self.metric(name, start, end, **where)
        if "part" not in frame:
            frame = frame.assign(part="")
        return frame[LINE].sort_values("ts", ignore_index=True)

    def value(self, frame: pd.DataFrame, statistic: str) -> float:
        values = frame["value"].to_numpy()
        if statistic == "latest":
            newest = frame.loc[frame.groupby(["host", "part"])["ts"].idxmax()]
            return float(newest["value"].max())
        if statistic.startswith("p"):
            return float(np.percentile(values, float(statistic[1:])))
        return float({"mean": np.mean, "min": np.min, "max": np.max, "median": np.median}[statistic](values))

    def when(self, frame: pd.DataFrame, statistic: str) -> pd.Timestamp:
        at = frame["value"].idxmin() if statistic == "min" else frame["value"].idxmax()
        return frame.loc[at, "ts"]

    def increase(self, metric: str, start: str, end: str, host: str | None, **where: str) -> float:
        frame = self.rate(metric, start, end, **where)
        if host:
            frame = frame[frame["host"] == host]
        return float((frame["value"] * 60).sum())
