from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from lib.errors import Invalid
from lib.intake import mapping as intake
from lib.intake.convert import Batch, Converter, Samples
from lib.intake.mapping import Column, Kind, Mapping, Role, TimeFormat
from lib.prometheus import exposition

NOW = 1_773_489_600_000
AT = "2026-03-14 10:00"
AT_MS = NOW - 7_200_000


def converter(mapping: Mapping, oldest_ms: int = 0) -> Converter:
    intake.check(mapping, Kind.TABLE if mapping.columns else Kind.OPENMETRICS)
    return Converter(mapping, NOW, oldest_ms, exposition.sample)


def batch(*rows: Sequence[str], first: int = 2) -> Batch:
    return Batch(np.arange(first, first + len(rows)), [list(column) for column in zip(*rows, strict=True)])


def told(made: Converter, found: Samples) -> dict[str, list[tuple[int, float]]]:
    """Samples by the title of their series."""
    by: dict[str, list[tuple[int, float]]] = {}
    for series, ts, value in zip(found.series, found.ts_ms.tolist(), found.value.tolist(), strict=True):
        metric, labels = made.series[int(series)]
        inside = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
        by.setdefault(f"{metric}{{{inside}}}", []).append((ts, value))
    return by


WIDE = Mapping(
    (
        Column("t", Role.TIME),
        Column("host", Role.LABEL, "host"),
        Column("cpu", Role.VALUE, "cpu"),
        Column("mem", Role.VALUE, "mem"),
        Column("note", Role.SKIP),
    ),
    labels={"job": "node"},
)
LONG = Mapping((Column("t", Role.TIME), Column("m", Role.METRIC), Column("v", Role.VALUE), Column("l", Role.LABELS)))


def test_wide_rows_become_a_series_a_column_and_label() -> None:
    made = converter(WIDE)
    found = made.add(batch((AT, "a", "1", "2", ""), (AT, "b", "3", "", "x"), (AT, "", "5", "6", "")))
    assert told(made, found) == {
        "cpu{host=a,job=node}": [(AT_MS, 1.0)],
        "cpu{host=b,job=node}": [(AT_MS, 3.0)],
        "cpu{job=node}": [(AT_MS, 5.0)],
        "mem{host=a,job=node}": [(AT_MS, 2.0)],
        "mem{job=node}": [(AT_MS, 6.0)],
    }
    assert (made.counts.missing, made.counts.bad) == (1, 0)


def test_long_rows_name_their_metric_and_labels_as_text() -> None:
    made = converter(LONG)
    rows = [
        (AT, "node_load1", "1", '{instance="a:9100"}'),
        (AT, 'up{job="x"}', "1", ""),
        (AT, "CPU usage (%)", "2", 'host="b", disk="c,d"'),
    ]
    assert told(made, made.add(batch(*rows))) == {
        "node_load1{instance=a:9100}": [(AT_MS, 1.0)],
        "up{job=x}": [(AT_MS, 1.0)],
        "CPU_usage_percent{disk=c,d,host=b}": [(AT_MS, 2.0)],
    }


def test_each_bad_cell_is_told_with_row_column_value_and_reason() -> None:
    made = converter(WIDE)
    found = made.add(
        batch(
            ("soon", "a", "1", "2", ""),
            ("2026-03-14 13:00", "a", "1", "2", ""),
            ("1969-01-01", "a", "1", "2", ""),
            (AT, "x" * 3000, "1", "2", ""),
            (AT, "a", "much", "2", ""),
        )
    )
    assert found.ts_ms.size == 1
    assert sorted((e.row, e.column, e.value[:6], e.reason) for e in made.errors) == [
        (2, "t", "soon", "is not a time as chosen"),
        (3, "t", "2026-0", "lies in the future"),
        (4, "t", "1969-0", "lies before 1970"),
        (5, "host", "xxxxxx", "is longer than 2,000 characters"),
        (6, "cpu", "much", "is no number"),
    ]
    assert made.counts.bad == sum(made.counts.reasons.values()) == 5


def test_labels_that_break_nothing_are_kept_as_they_are() -> None:
    made = converter(WIDE)
    hostile = 'a\n<script>alert(1)</script>"}\u202e'
    made.add(batch((AT, hostile, "1", "2", "")))
    assert made.series[0] == ("cpu", {"job": "node", "host": hostile})


def test_samples_older_than_kept_are_counted_and_left_out() -> None:
    made = converter(WIDE, oldest_ms=AT_MS)
    assert made.add(batch((AT, "a", "1", "2", ""), ("2026-03-14 09:59", "a", "1", "2", ""))).ts_ms.size == 2
    assert (made.counts.expired, made.counts.bad) == (2, 0)


def test_too_many_series_name_the_column_that_makes_them() -> None:
    made = converter(WIDE)
    rows = [(AT, str(n), "1", "2", "") for n in range(25_001)]
    with pytest.raises(Invalid, match=r"50,000 series.*'host' alone has"):
        made.add(batch(*rows))


def test_local_times_of_a_typed_column_are_put_into_their_zone() -> None:
    mapping = Mapping((Column("t", Role.TIME), Column("v", Role.VALUE, "v")), zone="Europe/Berlin")
    made = converter(mapping)
    times = np.ma.MaskedArray(np.array(["2026-03-14T11:00"], "datetime64[ms]"), mask=[False])
    values = np.ma.MaskedArray(np.array([2**60 + 1]), mask=[False])
    assert made.add(Batch(np.array([1]), [times, values], frozenset({0}))).ts_ms.tolist() == [AT_MS]
    assert made.counts.inexact == 1
    assert made.add(Batch(np.array([2]), [times, values])).ts_ms.tolist() == [AT_MS + 3_600_000]


def test_lines_of_openmetrics_are_taken_with_their_seconds_and_without_exemplars() -> None:
    made = converter(Mapping(time_format=TimeFormat.SECONDS, labels={"job": "x"}))
    lines = [
        "# TYPE req counter",
        f'req_total{{path="/a}} b",le="0.5"}} 5 {AT_MS / 1000} # {{trace_id="}} x"}} 0.4 1.0',
        f'req_total{{path="/a}} b",le="0.5"}} 6 {AT_MS / 1000 + 1.5}',
        f'req_total{{path="/a}} b",le="0.5"}} 7 {AT_MS / 1000 + 2}',
        f"up NaN {AT_MS / 1000}",
        "no_time 1",
        'broken{a="b 1 2',
        f"up 1_0 {AT_MS / 1000}",
        "up 1 9e99",
    ]
    found = made.add_lines(list(enumerate(lines, 1)))
    by = told(made, found)
    assert by["req_total{job=x,le=0.5,path=/a} b}"] == [(AT_MS, 5.0), (AT_MS + 1500, 6.0), (AT_MS + 2000, 7.0)]
    assert len(by["up{job=x}"]) == 1
    assert [e.row for e in made.errors] == [6, 7, 8, 9]


def test_lines_with_milliseconds_are_those_of_the_older_format() -> None:
    made = converter(Mapping(time_format=TimeFormat.MILLISECONDS))
    found = made.add_lines([(1, f"up 1 {AT_MS}"), (2, f"up 0 {AT_MS + 1}"), (3, f"up 0 {AT_MS / 1000}")])
    assert found.ts_ms.tolist() == [AT_MS, AT_MS + 1]
    assert [e.row for e in made.errors] == [3]


TIME, VALUE = Column("t", Role.TIME), Column("v", Role.VALUE, "v")


@pytest.mark.parametrize(
    ("columns", "labels", "words"),
    [
        ((VALUE,), {}, "One column says when"),
        ((TIME,), {}, "No column carries values"),
        ((TIME, Column("v", Role.VALUE, "9v")), {}, "cannot name a metric"),
        ((TIME, VALUE, Column("w", Role.VALUE, "v")), {}, "Two columns"),
        ((TIME, VALUE, Column("h", Role.LABEL, "__name__")), {}, "cannot name"),
        ((TIME, VALUE, Column("h", Role.LABEL, "h")), {"h": "1"}, "given to all"),
        ((TIME, VALUE), {"a b": "1"}, "cannot name a label"),
        ((TIME, Column("m", Role.METRIC), VALUE, Column("w", Role.VALUE)), {}, "one column carries"),
    ],
)
def test_mappings_that_cannot_be_are_refused(columns: tuple[Column, ...], labels: dict[str, str], words: str) -> None:
    with pytest.raises(Invalid, match=words):
        intake.check(Mapping(columns, labels=labels), Kind.TABLE)


def test_names_are_made_of_any_text() -> None:
    assert [intake.metric_name(one) for one in ("CPU usage (%)", "node:load1", "9 lives", "µs", "<b>", "温度")] == [
        "CPU_usage_percent",
        "node:load1",
        "_9_lives",
        "us",
        "b",
        "",
    ]
    assert [intake.label_name(one) for one in ("__name__", "1st host", "_x")] == ["name", "_1st_host", "_x"]


def test_fixed_labels_are_read_as_people_write_them() -> None:
    assert intake.fixed_labels(' job=node , dc="eu, 1",x= ') == {"job": "node", "dc": "eu, 1"}
    labels = {"a": 'q"\\', "b": "c d"}
    assert intake.fixed_labels(intake.labels_text(labels)) == labels
    with pytest.raises(Invalid, match="name=value"):
        intake.fixed_labels("job")
