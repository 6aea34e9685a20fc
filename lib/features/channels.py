"""What of a group is watched: hundreds of series become a few dozen channels, and what was left out is said."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from lib.errors import NotEnoughData
from lib.features.grid import Grid, Table
from lib.frames import Series
from lib.profiling.titles import spoken
from lib.profiling.units import unit_of

MAX_CHANNELS = 40
# A metric with more series than this is summed; with fewer, each series is a channel of its own.
MAX_SERIES_A_METRIC = 4
# Two channels this alike say the same; the second would only count the first twice.
SAME = 0.995
MIN_COVERAGE = 0.3
# Which families say most about a host (utilisation, saturation, errors); earlier is kept first when the cap bites.
_TELLING = re.compile(
    r"cpu|load|mem|swap|pressure|disk|filesystem|network|latency|duration|request|error|drop|retrans|tcp|socket|proc|queue"
)
# Says nothing about how the host is doing: clocks, versions, limits, collectors' own bookkeeping.
_IDLE_TALK = re.compile(
    r"_info$|boot_time|_time_seconds$|timex|scrape_|^go_|^promhttp|^process_|_created$|textfile"
    r"|_limit$|_maximum$"
)


@dataclass(frozen=True)
class Channel:
    """One watched quantity: scale * (sum of numer / sum of denom), or one minus that share when `complement`.

    Counters enter as their rate. `members` are the series a chart of it can be opened with.
    """

    title: str
    metric: str
    unit: str
    numer: tuple[int, ...]
    denom: tuple[int, ...] = ()
    complement: bool = False
    scale: float = 1.0

    @property
    def series_id(self) -> int:
        """The series that stands for this channel where only one can be named."""
        return self.numer[0]

    @property
    def members(self) -> tuple[int, ...]:
        return tuple(dict.fromkeys(self.numer + self.denom))

    @property
    def bounds(self) -> tuple[float, float]:
        """What the quantity can be at all: a share stays within 0 and its scale."""
        return (0.0, self.scale) if self.denom else (-np.inf, np.inf)


@dataclass(frozen=True)
class Plan:
    """The channels of a group on their grid; made once at training, then applied unchanged."""

    grid: Grid
    channels: tuple[Channel, ...]
    left_out: tuple[tuple[str, str], ...] = field(default=())  # (title, reason)

    @property
    def series_ids(self) -> tuple[int, ...]:
        return tuple(sorted({m for c in self.channels for m in c.members}))

    def only(self, number: int) -> Plan:
        """The plan of one channel alone."""
        return Plan(self.grid, (self.channels[number],))

    def to_json(self) -> dict[str, Any]:
        return {
            "grid": self.grid.to_json(),
            "channels": [asdict(c) for c in self.channels],
            "left_out": [list(pair) for pair in self.left_out],
        }

    @classmethod
    def from_json(cls, given: dict[str, Any]) -> Plan:
        channels = tuple(
            Channel(**{**c, "numer": tuple(c["numer"]), "denom": tuple(c["denom"])}) for c in given["channels"]
        )
        return cls(Grid.from_json(given["grid"]), channels, tuple((t, r) for t, r in given["left_out"]))


@dataclass(frozen=True)
class Channels:
    """values: shape (c, n), NaN in gaps. resets: shape (c, n)."""

    plan: Plan
    ts_ms: np.ndarray
    values: np.ndarray
    resets: np.ndarray

    def rows(self, keep: slice) -> Channels:
        return Channels(self.plan, self.ts_ms[keep], self.values[:, keep], self.resets[:, keep])

    def followed_by(self, later: Channels) -> Channels:
        """These moments and those after them, of the same plan."""
        return Channels(
            self.plan,
            np.concatenate([self.ts_ms, later.ts_ms]),
            np.concatenate([self.values, later.values], axis=1),
            np.concatenate([self.resets, later.resets], axis=1),
        )

    def copy(self) -> Channels:
        """With arrays of its own, so that a few rows do not keep the history they came from."""
        return Channels(self.plan, self.ts_ms.copy(), self.values.copy(), self.resets.copy())


def plan(series: Sequence[Series], table: Table, max_channels: int = MAX_CHANNELS) -> Plan:
    """Choose the channels of a group from its training data.

    Raises NotEnoughData when every series is empty or constant.
    """
    known = {s.id: s for s in series}
    seen = np.isfinite(table.values).mean(axis=1) if table.ts_ms.size else np.zeros(len(table.ids))
    left_out: list[tuple[str, str]] = []
    usable: list[Series] = []
    for series_id, coverage in zip(table.ids, seen, strict=True):
        one = known[int(series_id)]
        if _IDLE_TALK.search(one.metric):
            left_out.append((one.title, "says nothing about load or health"))
        elif coverage == 0:
            left_out.append((one.title, "no usable samples"))
        else:
            usable.append(one)
    candidates = _candidates(usable)
    values, _ = _combine(candidates, table)
    # Of the moments anything of the group was seen at: a group that is off at night is no worse known for it.
    moments = int(np.isfinite(table.values).any(axis=0).sum())
    kept: list[int] = []
    for number in sorted(range(len(candidates)), key=lambda i: (_rank(candidates[i]), i)):
        channel, row = candidates[number], values[number]
        finite = row[np.isfinite(row)]
        if finite.size < MIN_COVERAGE * moments:
            left_out.append((channel.title, f"only {finite.size} of {moments} points"))
        elif finite.size == 0 or np.ptp(finite) <= 1e-9 * max(1.0, float(np.abs(finite).max())):
            left_out.append((channel.title, "constant"))
        elif twin := _twin(row, [(candidates[k].title, values[k]) for k in kept]):
            left_out.append((channel.title, f"moves with {twin}"))
        elif len(kept) >= max_channels:
            left_out.append((channel.title, f"beyond the {max_channels} most telling"))
        else:
            kept.append(number)
    if not kept:
        reasons = sorted({reason for _, reason in left_out}) or ["no series"]
        raise NotEnoughData(
            f"None of the {len(series)} series here varies ({', '.join(reasons)}); there is nothing to learn from. "
            "Choose a longer window or another group.",
            series=len(series),
        )
    return Plan(table.grid, tuple(candidates[k] for k in sorted(kept)), tuple(left_out))


def assemble(plan: Plan, table: Table) -> Channels:
    """The plan's channels from a table on the same grid."""
    values, resets = _combine(plan.channels, table)
    return Channels(plan, table.ts_ms, values, resets)


def _combine(channels: Sequence[Channel], table: Table) -> tuple[np.ndarray, np.ndarray]:
    row_of = {int(series_id): row for row, series_id in enumerate(table.ids)}
    n = table.ts_ms.size
    values = np.full((len(channels), n), np.nan)
    resets = np.zeros((len(channels), n), dtype=bool)
    for number, channel in enumerate(channels):
        top = [row_of[m] for m in channel.numer if m in row_of]
        if not top:
            continue
        total = _sum(table.values[top])
        if channel.denom:
            whole = _sum(table.values[[row_of[m] for m in channel.denom if m in row_of]])
            with np.errstate(divide="ignore", invalid="ignore"):
                total = np.where(whole > 0, total / whole, np.nan)
        if channel.complement:
            total = 1.0 - total
        values[number] = channel.scale * total
        resets[number] = table.resets[top].any(axis=0)
    return values, resets


def _sum(rows: np.ndarray) -> np.ndarray:
    """Sum over series; a moment where none was seen stays NaN."""
    if rows.shape[0] == 1:
        return rows[0]
    return np.where(np.isfinite(rows).any(axis=0), np.nansum(rows, axis=0), np.nan)


def _rank(channel: Channel) -> int:
    """Shares first (they are scale-free and known to tell), then telling families, then the rest."""
    return 0 if channel.denom else 1 if _TELLING.search(channel.metric) else 2


def _twin(row: np.ndarray, others: list[tuple[str, np.ndarray]]) -> str:
    """The title of a kept channel this one copies, up to scale; empty when there is none."""
    for title, other in others:
        both = np.isfinite(row) & np.isfinite(other)
        if both.sum() < 30:
            continue
        a, b = row[both] - row[both].mean(), other[both] - other[both].mean()
        size = float(np.sqrt((a @ a) * (b @ b)))
        if size > 0 and abs(float(a @ b)) / size > SAME:
            return title
    return ""


def _candidates(series: Sequence[Series]) -> list[Channel]:
    by_metric: dict[str, list[Series]] = defaultdict(list)
    for one in series:
        by_metric[one.metric].append(one)
    made: list[Channel] = []
    made += _cpu(by_metric.pop("node_cpu_seconds_total", []))
    made += _memory(by_metric)
    made += _filesystems(by_metric)
    for metric, members in sorted(by_metric.items()):
        unit = unit_of(metric, members[0].kind)
        if len(members) > MAX_SERIES_A_METRIC:
            title = f"{spoken(metric)} (sum of {len(members)})"
            made.append(Channel(title, metric, unit, tuple(sorted(s.id for s in members))))
            continue
        made += [Channel(_title(one, len(members)), metric, unit, (one.id,)) for one in members]
    return made


def _title(one: Series, siblings: int) -> str:
    """The metric, with the labels that tell it from its siblings; the host is said elsewhere."""
    name = spoken(one.metric)
    if siblings == 1:
        return name
    shown = {k: v for k, v in one.labels.items() if k not in ("job", "instance", "host", "__name__") and v != one.host}
    inside = ", ".join(f"{k}={v}" for k, v in sorted(shown.items()))
    return f"{name} ({inside})" if inside else name


def _cpu(series: list[Series]) -> list[Channel]:
    """Seconds by mode and core become shares of all cores."""
    modes: dict[str, list[int]] = defaultdict(list)
    for one in series:
        modes[one.labels.get("mode", "")].append(one.id)
    if "idle" not in modes or len(modes) < 2:
        return [
            Channel(_title(s, len(series)), s.metric, unit_of(s.metric, s.kind), (s.id,))
            for s in series[:MAX_SERIES_A_METRIC]
        ]
    metric, every = "node_cpu_seconds_total", tuple(sorted(s.id for s in series))
    not_busy = tuple(sorted(modes["idle"] + modes.get("iowait", [])))
    channels = [Channel("CPU busy", metric, "%", not_busy, every, complement=True, scale=100.0)]
    for mode, title in (("system", "CPU in the kernel"), ("iowait", "CPU waiting for disk"), ("steal", "CPU stolen")):
        if mode in modes:
            channels.append(Channel(title, metric, "%", tuple(sorted(modes[mode])), every, scale=100.0))
    return channels


def _memory(by_metric: dict[str, list[Series]]) -> list[Channel]:
    total, available = (
        by_metric.get("node_memory_MemTotal_bytes", []),
        by_metric.get("node_memory_MemAvailable_bytes", []),
    )
    if len(total) != 1 or len(available) != 1:
        return []
    del by_metric["node_memory_MemTotal_bytes"], by_metric["node_memory_MemAvailable_bytes"]
    numer, denom = (available[0].id,), (total[0].id,)
    return [Channel("Memory used", available[0].metric, "%", numer, denom, complement=True, scale=100.0)]


def _filesystems(by_metric: dict[str, list[Series]]) -> list[Channel]:
    sizes = {_place(s): s for s in by_metric.get("node_filesystem_size_bytes", [])}
    free = {_place(s): s for s in by_metric.get("node_filesystem_avail_bytes", [])}
    both = sorted(sizes.keys() & free.keys())[:MAX_SERIES_A_METRIC]
    if both:
        by_metric.pop("node_filesystem_free_bytes", None)
        del by_metric["node_filesystem_size_bytes"], by_metric["node_filesystem_avail_bytes"]
    return [
        Channel(f"Disk used on {place[0]}", free[place].metric, "%", (free[place].id,), (sizes[place].id,), True, 100.0)
        for place in both
    ]


def _place(one: Series) -> tuple[str, str]:
    return one.labels.get("mountpoint", ""), one.labels.get("device", "")
