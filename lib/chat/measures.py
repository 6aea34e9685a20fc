"""What people mean by "cpu" or "memory": formulas over the metrics that are collected, by host and moment."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from lib.frames import Series
from lib.profiling.rates import rate
from lib.profiling.units import unit_of

# Frames between the steps: host, part (what tells series of one host apart), ts, value, and the series' labels.
_KEYS = ["host", "part", "ts"]
# Labels every series of a host shares, or that only say how it was scraped.
_NOT_TELLING = {"__name__", "job", "instance", "host", "hostname", "nodename", "node"}


@dataclass(frozen=True)
class Part:
    """Series a formula needs: a metric and patterns its labels fit. rated: taken as increase a second."""

    metric: str
    where: Mapping[str, str] | None = None
    without: Mapping[str, str] | None = None
    rated: bool = False

    def fits(self, series: Series) -> bool:
        labels = series.labels
        return (
            series.metric == self.metric
            and all(re.fullmatch(v, labels.get(k, "")) for k, v in (self.where or {}).items())
            and not any(re.fullmatch(v, labels.get(k, "")) for k, v in (self.without or {}).items())
        )


@dataclass(frozen=True)
class Measure:
    """A quantity one can ask for by a friendly word. combine: aligned values of the parts -> value."""

    key: str
    title: str
    unit: str
    formula: str
    parts: tuple[Part, ...]
    combine: Callable[..., np.ndarray]
    across: str = ""  # 'sum': series of one host become one; '': each on its own
    # The first part is some of the series of the second: hosts that have only those tell nothing of a share.
    share: bool = False
    # Its values are those that are stored.
    stored: bool = False

    @property
    def metrics(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(part.metric for part in self.parts))

    @property
    def grows(self) -> bool:
        """Whether it is a counter's rate as it is, so that one may ask how much it grew."""
        return len(self.parts) == 1 and self.parts[0].rated and self.unit != "%"


_CPU = "node_cpu_seconds_total"


def _share(some: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100.0 * some / whole


def _share_used(left: np.ndarray, whole: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        return 100.0 * (1.0 - left / whole)


def _mode(key: str, title: str, modes: str, left_over: bool = False) -> Measure:
    """Modes' share of all of a host's processor time, however many cores its series stand for."""
    some = (
        f'sum by (host) (rate({_CPU}{{mode{"=~" if "|" in modes else "="}"{modes}"}})) / sum by (host) (rate({_CPU}))'
    )
    return Measure(
        key,
        title,
        "%",
        f"100 * (1 - {some})" if left_over else f"100 * {some}",
        (Part(_CPU, {"mode": modes}, rated=True), Part(_CPU, rated=True)),
        _share_used if left_over else _share,
        "sum",
        share=True,
    )


def _summed(key: str, title: str, metric: str, without: dict[str, str] | None = None) -> Measure:
    inside = "".join(f'{{{k}!~"{v}"}}' for k, v in (without or {}).items())
    return Measure(
        key,
        title,
        unit_of(metric, "counter"),
        f"sum by (host) (rate({metric}{inside}))",
        (Part(metric, without=without, rated=True),),
        lambda value: value,
        "sum",
    )


MEASURES: dict[str, Measure] = {
    measure.key: measure
    for measure in (
        # Detectors name it alike and mean the same: waiting for a disk is not being busy.
        _mode("cpu_busy", "CPU busy", "idle|iowait", left_over=True),
        _mode("cpu_user", "CPU in user mode", "user"),
        _mode("cpu_system", "CPU in system mode", "system"),
        _mode("cpu_iowait", "CPU waiting for I/O", "iowait"),
        _mode("cpu_steal", "CPU stolen by the hypervisor", "steal"),
        _mode("cpu_idle", "CPU idle", "idle"),
        Measure(
            "memory_used",
            "Memory used",
            "%",
            "100 * (1 - node_memory_MemAvailable_bytes / node_memory_MemTotal_bytes)",
            (Part("node_memory_MemAvailable_bytes"), Part("node_memory_MemTotal_bytes")),
            _share_used,
        ),
        Measure(
            "swap_used",
            "Swap used",
            "%",
            "100 * (1 - node_memory_SwapFree_bytes / node_memory_SwapTotal_bytes)",
            (Part("node_memory_SwapFree_bytes"), Part("node_memory_SwapTotal_bytes")),
            _share_used,
        ),
        Measure(
            "disk_space_used",
            "Disk space used",
            "%",
            "100 * (1 - node_filesystem_avail_bytes / node_filesystem_size_bytes)",
            (Part("node_filesystem_avail_bytes"), Part("node_filesystem_size_bytes")),
            _share_used,
        ),
        Measure(
            "disk_busy",
            "Disk busy",
            "%",
            "100 * rate(node_disk_io_time_seconds_total)",
            (Part("node_disk_io_time_seconds_total", rated=True),),
            lambda busy: 100.0 * busy,
        ),
        _summed("disk_read", "Disk read", "node_disk_read_bytes_total"),
        _summed("disk_written", "Disk written", "node_disk_written_bytes_total"),
        _summed("http_requests", "HTTP requests", "http_requests_total"),
        Measure(
            "http_errors",
            "HTTP errors",
            "%",
            '100 * sum by (host) (rate(http_requests_total{code=~"5.."})) / sum by (host) (rate(http_requests_total))',
            (Part("http_requests_total", {"code": "5.."}, rated=True), Part("http_requests_total", rated=True)),
            _share,
            "sum",
            share=True,
        ),
        Measure(
            "cache_hit_share",
            "Cache hits",
            "%",
            "100 * rate(cache_hits_total) / (rate(cache_hits_total) + rate(cache_misses_total))",
            (Part("cache_hits_total", rated=True), Part("cache_misses_total", rated=True)),
            lambda hits, misses: _share(hits, hits + misses),
        ),
        _summed("network_received", "Network received", "node_network_receive_bytes_total", {"device": "lo"}),
        _summed("network_sent", "Network sent", "node_network_transmit_bytes_total", {"device": "lo"}),
    )
}


def plain(metric: str, kind: str) -> Measure:
    """A stored metric as it is: a gauge's values, a counter's increase a second."""
    counter = kind == "counter"
    formula = f"rate({metric})" if counter else metric
    part = Part(metric, rated=counter)
    return Measure(metric, metric, unit_of(metric, kind), formula, (part,), lambda value: value, stored=not counter)


def values(measure: Measure, series: Sequence[Series], samples: pd.DataFrame) -> pd.DataFrame:
    """The measure as host, part, series_id, ts, value, sorted by all; finite values only.

    series: candidates, of which those that fit a part are used. samples: series_id, ts, value. series_id: of the
    first part, for links.
    """
    if measure.share:
        series = _with_a_whole(measure, series)
    aligned = [_aligned(part, series, samples, measure.across) for part in measure.parts]
    frame = aligned[0]
    for index, other in enumerate(aligned[1:], 1):
        renamed = other[[*_KEYS, "value"]].rename(columns={"value": f"value{index}"})
        frame = frame.merge(renamed, on=_KEYS, how="inner")
    columns = [frame["value"], *(frame[f"value{i}"] for i in range(1, len(aligned)))]
    frame = frame[["host", "part", "series_id", "ts"]].assign(
        value=measure.combine(*(column.to_numpy(np.float64) for column in columns)) if len(frame) else np.empty(0)
    )
    return frame[np.isfinite(frame["value"])].sort_values(_KEYS, kind="stable", ignore_index=True)


def _with_a_whole(measure: Measure, series: Sequence[Series]) -> list[Series]:
    some, whole = measure.parts
    known = {one.host for one in series if whole.fits(one) and not some.fits(one)}
    return [one for one in series if one.host in known]


def _aligned(part: Part, series: Sequence[Series], samples: pd.DataFrame, across: str) -> pd.DataFrame:
    wanted = [s for s in series if part.fits(s)]
    names = told_apart(wanted)
    pieces = []
    groups = dict(tuple(samples.groupby("series_id", sort=False))) if len(samples) else {}
    for one in wanted:
        rows = groups.get(one.id)
        if rows is None:
            continue
        ts = rows["ts"].to_numpy("datetime64[ms]").astype(np.int64)
        value = rows["value"].to_numpy(np.float64)
        if part.rated:
            ts, value, _ = rate(ts, value)
        if ts.size:
            named = {"host": one.host, "part": names[one.id], "series_id": one.id}
            pieces.append(pd.DataFrame({"ts": ts, "value": value}).assign(**named))
    if not pieces:
        return pd.DataFrame({"host": [], "part": [], "series_id": [], "ts": [], "value": []})
    frame = pd.concat(pieces, ignore_index=True)
    if across:
        # A moment at which one of the series is missing would give too small a sum.
        complete = {host: sum(piece["host"].iloc[0] == host for piece in pieces) for host in set(frame["host"])}
        frame["part"] = ""
        frame = frame.groupby(_KEYS, as_index=False, sort=False).agg(
            value=("value", across), series_id=("series_id", "min"), there=("series_id", "size")
        )
        frame = frame[frame["there"] == frame["host"].map(complete)]
    return frame


def told_apart(series: Sequence[Series]) -> dict[int, str]:
    """What tells each series from the others of its metric and host: `device="sda"`; '' when it is alone."""
    by_host: dict[str, list[Series]] = {}
    for one in series:
        by_host.setdefault(one.host, []).append(one)
    names: dict[int, str] = {}
    for group in by_host.values():
        keys = sorted({key for one in group for key in one.labels} - _NOT_TELLING)
        telling = [k for k in keys if len({one.labels.get(k) for one in group}) > 1] if len(group) > 1 else []
        for one in group:
            names[one.id] = ", ".join(f'{k}="{one.labels[k]}"' for k in telling if one.labels.get(k))
    return names
