from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lib.demo import history
from lib.errors import NotFound
from lib.frames import kind_of, to_ms

TURN = datetime(2026, 3, 4, tzinfo=UTC)  # a Wednesday: day 30 of a history that begins on a Monday
CUTS = [TURN + timedelta(hours=hours) for hours in (0, 23.9, 27, 60, 114, 121, 167.99)]
MINUTE_MS = 60_000


@pytest.mark.parametrize("now", CUTS)
def test_simulated_covers_thirty_days_before_now_and_goes_on_after(now: datetime) -> None:
    blocks = list(history.blocks("simulated", now))
    first, last = min(b.ts_ms[0] for b in blocks), max(b.ts_ms[-1] for b in blocks)
    assert to_ms(now) - 30 * 86_400_000 <= first <= to_ms(now) - 30 * 86_400_000 + 6 * MINUTE_MS
    assert last > to_ms(now) - 6 * MINUTE_MS
    reported = [b for b in blocks if b.labels.get("device") != "eth1"]
    recent = [
        b
        for b in reported
        if (b.ts_ms <= to_ms(now)).any() and b.ts_ms[b.ts_ms <= to_ms(now)][-1] > to_ms(now) - 3_600_000
    ]
    assert len(recent) > 0.9 * len(reported)
    assert len({b.labels["instance"] for b in blocks}) == 10


def test_shift_changes_once_a_week_and_the_history_never_runs_dry() -> None:
    shift = history.shift_ms("simulated", TURN)
    last_moment = TURN + timedelta(days=6, hours=23, minutes=59)
    assert history.shift_ms("simulated", last_moment) == shift
    assert history.shift_ms("simulated", TURN + timedelta(days=7)) == shift + 7 * 86_400_000
    assert history.shift_ms("simulated", TURN - timedelta(milliseconds=1)) == shift - 7 * 86_400_000
    assert max(b.ts_ms[-1] for b in history.blocks("simulated", last_moment)) > to_ms(last_moment) - 6 * MINUTE_MS


@pytest.mark.parametrize("now", CUTS)
def test_shift_keeps_weekday_and_hour(now: datetime) -> None:
    assert history.shift_ms("simulated", now) % (7 * 86_400_000) == 0
    # The week-end's quiet is where the calendar has its week-end.
    served = [
        b for b in history.blocks("simulated", now) if b.metric == "http_requests_total" and b.labels["code"] == "200"
    ]
    by_day: dict[int, list[float]] = {}
    for block in served:
        rate = np.diff(block.value) / np.diff(block.ts_ms)
        day = (block.ts_ms[1:] // 86_400_000 + 3) % 7  # 1970-01-01 was a Thursday
        for weekday in range(7):
            by_day.setdefault(weekday, []).append(float(np.median(rate[(day == weekday) & (rate >= 0)])))
    means = {weekday: float(np.mean(rates)) for weekday, rates in by_day.items()}
    assert max(means[5], means[6]) < 0.85 * min(means[d] for d in range(5))


@pytest.mark.parametrize("now", CUTS)
def test_twelve_incidents_of_seven_kinds_show_and_one_was_yesterday(now: datetime) -> None:
    shown = [i for i in history.incidents("simulated", now) if i.start >= now - timedelta(days=30) and i.end <= now]
    assert len(shown) >= 12
    assert len({i.kind for i in shown}) >= 7
    midnight = now.replace(hour=0, minute=0)
    assert any(midnight - timedelta(days=1) <= i.start and i.end <= midnight for i in shown)
    blocks = list(history.blocks("simulated", now))
    for incident in shown:
        of_host = {b.metric for b in blocks if b.labels["instance"] == incident.host}
        assert incident.metrics and set(incident.metrics) <= of_host


def test_an_incident_under_way_is_known_and_one_to_come_is_not() -> None:
    every = history.incidents("simulated", TURN + timedelta(days=6, hours=23))
    one = every[-1]
    middle = one.start + (one.end - one.start) / 2
    assert one in history.incidents("simulated", middle)
    assert one not in history.incidents("simulated", one.start - timedelta(minutes=1))
    assert one.window.contains(middle)


def test_rates_are_never_negative_away_from_reboots() -> None:
    now = CUTS[-1]
    falls: dict[str, set[int]] = {}
    for block in history.blocks("simulated", now):
        if kind_of(block.metric) == "counter":
            fallen = block.ts_ms[1:][np.diff(block.value) < 0]
            falls.setdefault(block.labels["instance"], set()).update(int(ts) for ts in fallen)
    reboots = [(i.host, i.end) for i in history.incidents("simulated", now) if i.kind == "crash and reboot"]
    reboots += [(h, e.end) for e in history.events("simulated", now) if e.kind == "planned reboot" for h in e.hosts]
    for host, fallen in falls.items():
        ends = {to_ms(end) for of, end in reboots if of == host}
        # Scrapes of a host come up to 15 s after the step they belong to.
        assert {min(ends, key=lambda end: abs(end - ts)) for ts in fallen} <= ends if fallen else True
        assert all(any(0 <= ts - end < 15_000 for end in ends) for ts in fallen)
    assert sum(len(fallen) for fallen in falls.values()) >= 3


def test_a_device_disappears_and_a_crash_leaves_a_gap() -> None:
    now = CUTS[-1]
    blocks = list(history.blocks("simulated", now))
    gone = [b for b in blocks if b.labels.get("device") == "eth1"]
    assert gone and all(b.ts_ms[-1] < to_ms(now) - 10 * 86_400_000 for b in gone)
    crash = next(i for i in history.incidents("simulated", now) if i.kind == "crash and reboot")
    load = next(b for b in blocks if b.metric == "node_load1" and b.labels["instance"] == crash.host)
    assert not ((load.ts_ms >= to_ms(crash.start)) & (load.ts_ms < to_ms(crash.end))).any()


def test_a_stuck_exporter_repeats_itself_exactly() -> None:
    now = CUTS[-1]
    stuck = next(i for i in history.incidents("simulated", now) if i.kind == "stuck exporter")
    for block in history.blocks("simulated", now):
        if block.labels["instance"] == stuck.host and block.metric in stuck.metrics:
            inside = (block.ts_ms >= to_ms(stuck.start)) & (block.ts_ms < to_ms(stuck.end))
            assert inside.sum() > 40 and np.ptp(block.value[inside]) == 0


@pytest.mark.parametrize("name", history.NAMES)
def test_timestamps_rise_strictly_and_values_are_finite(name: str) -> None:
    for block in history.blocks(name, CUTS[3]):
        assert (np.diff(block.ts_ms) > 0).all()
        assert np.isfinite(block.value).all() and (block.value >= 0).all()


def test_recorded_ends_now_and_holds_its_faults() -> None:
    now = datetime(2026, 8, 5, 9, 41, 7, 250_000, tzinfo=UTC)
    blocks = list(history.blocks("recorded", now))
    assert max(b.ts_ms[-1] for b in blocks) == to_ms(now)
    span_s = (to_ms(now) - min(b.ts_ms[0] for b in blocks)) / 1000
    assert span_s >= 40 * 60
    faults = history.incidents("recorded", now)
    assert {"cpu", "memory", "disk", "network"} <= {i.kind for i in faults}
    assert all(now - timedelta(seconds=span_s) < i.start < i.end < now for i in faults)
    metrics = {b.metric for b in blocks}
    assert all(set(i.metrics) & metrics for i in faults)


def test_a_shift_once_chosen_holds_however_time_goes_on() -> None:
    now = CUTS[2]
    shift = history.shift_ms("recorded", now)
    later = now + timedelta(minutes=10)
    held = list(history.blocks("recorded", later, shift))
    assert max(b.ts_ms[-1] for b in held) == to_ms(now)
    assert history.incidents("recorded", later, shift) == history.incidents("recorded", now)


def test_everything_says_whether_it_is_simulated_or_recorded() -> None:
    assert history.describe("simulated").startswith("Simulated") and "do not exist" in history.describe("simulated")
    assert history.describe("recorded").startswith("Recorded")
    for name in history.NAMES:
        assert all(b.labels["job"].startswith(name) for b in history.blocks(name, CUTS[0]))


def test_bundle_stays_within_six_megabytes() -> None:
    assert sum(path.stat().st_size for path in history.FOLDER.iterdir() if path.is_file()) <= 6_000_000


def test_unknown_name_says_which_there_are() -> None:
    with pytest.raises(NotFound, match="simulated and recorded"):
        next(history.blocks("../secrets", CUTS[0]))
