from __future__ import annotations

from datetime import datetime, timedelta

import pandas as pd

from lib.frames import Series
from lib.profiling.metric import label_profiles, profile


def series(series_id: int, **labels: str) -> Series:
    return Series(series_id, 1, "http_requests_total", labels, labels.get("instance", ""), "counter")


def table(now: datetime, found: list[Series], **columns: object) -> pd.DataFrame:
    defaults = {"count": 100, "first": now - timedelta(days=1), "last": now, "min": 0.0, "max": 1.0}
    row = {**defaults, "non_finite": 0, "interval_s": 60.0, **columns}
    frame = pd.DataFrame({"series_id": [one.id for one in found], **row})
    for name in ("first", "last"):
        frame[name] = pd.to_datetime(frame[name], utc=True)
    return frame


def test_labels_come_with_their_number_of_values_most_first() -> None:
    found = [series(i, job="web", instance=f"w{i % 3}", path=f"/{i}") for i in range(12)]
    labels, shared = label_profiles(found)
    assert [(one.label, one.distinct) for one in labels] == [("path", 12), ("instance", 3)]
    assert labels[1].top == {"w0": 4, "w1": 4, "w2": 4}
    assert shared == {"job": "web"}


def test_too_many_series_name_the_label_to_blame(now: datetime) -> None:
    found = [series(i, instance="w", user=f"u{i}") for i in range(800)]
    alerts = profile("http_requests_total", found, table(now, found), now).alerts
    assert [alert.code for alert in alerts] == ["cardinality"]
    assert "800 values of user" in alerts[0].sentence


def test_silent_series_are_named_by_host(now: datetime) -> None:
    found = [series(i, instance=f"w{i}") for i in range(4)]
    stats = table(now, found)
    stats.loc[2, "last"] = pd.Timestamp(now - timedelta(hours=1))
    result = profile("http_requests_total", found, stats, now)
    assert [one.host for one in result.silent] == ["w2"]
    assert "w2" in result.alerts[0].sentence
    assert "1 of 4 series has gone silent" in result.alerts[0].sentence


def test_metric_without_samples_is_a_result(now: datetime) -> None:
    found = [series(1, instance="w")]
    result = profile("http_requests_total", found, table(now, found).iloc[:0], now)
    assert (result.samples, result.first, result.silent) == (0, None, ())
    assert [alert.code for alert in result.alerts] == ["empty"]


def test_constant_and_non_finite_are_counted(now: datetime) -> None:
    found = [series(i, instance=f"w{i}") for i in range(3)]
    result = profile("x", found, table(now, found, min=[0.0, 1.0, 1.0], max=[1.0, 1.0, 1.0], non_finite=2), now)
    assert (result.constant, result.non_finite) == (2, 6)
