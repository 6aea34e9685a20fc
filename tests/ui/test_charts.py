from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import numpy as np
import pandas as pd
import plotly.io
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.frames import Series, Window
from lib.services.exploration import ChartData, ChartLine
from lib.ui import charts, series_charts

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
WINDOW = Window(NOW - timedelta(hours=1), NOW)


def series(series_id: int = 1) -> Series:
    return Series(series_id, 1, "node_load1", {"instance": "web-1"}, "web-1", "gauge")


def data(*values: list[float], low: bool = False, unit: str = "", title: str = "web-1") -> ChartData:
    lines = []
    for position, value in enumerate(values):
        y = np.array(value, dtype=float)
        ts_ms = int(WINDOW.start.timestamp() * 1000) + np.arange(y.size) * 60_000
        edges = (y - 1, y + 1) if low else (None, None)
        lines.append(ChartLine(series(position + 1), title, ts_ms, y, *edges))
    return ChartData(tuple(lines), WINDOW, unit, 60.0 if low else 0.0, False, 100, 0, NOW)


@given(st.text())
def test_no_foreign_text_is_markup_or_template_in_a_figure(text: str) -> None:
    inert = charts.label(text)
    assert "<" not in inert and ">" not in inert
    assert "%{" not in inert


def test_hostile_names_stay_inert_in_a_whole_figure() -> None:
    hostile = '<a href="javascript:alert(1)">x</a><img src=x onerror=alert(1)>%{customdata}'
    figure = series_charts.lines(
        data([1, 2, 3], title=hostile), title="m", marks=[(NOW - timedelta(minutes=9), NOW, hostile)]
    )
    charts.layout(figure, title=hostile, unit="ratio")
    text = json.dumps(json.loads(plotly.io.to_json(figure)), ensure_ascii=False)
    assert "<a" not in text and "<img" not in text
    assert "%{customdata}" not in text


def test_a_line_with_breaks_keeps_them() -> None:
    figure = series_charts.lines(data([1, np.nan, 3, 4]), title="m", marks=[])
    line = next(trace for trace in figure.data if trace.mode == "lines")
    assert np.isnan(np.asarray(line.y)).tolist() == [False, True, False, False]
    assert line.connectgaps is False


def test_a_reading_between_two_breaks_is_a_dot() -> None:
    figure = series_charts.lines(data([1, np.nan, 3, np.nan, 5, 6]), title="m", marks=[])
    dots = next(trace for trace in figure.data if trace.mode == "markers")
    assert np.asarray(dots.y).tolist() == [1, 3]


def test_band_is_drawn_for_one_series_and_pauses_at_gaps() -> None:
    figure = series_charts.lines(data([1, 2, np.nan, 4, 5], low=True), title="m", marks=[])
    band = figure.data[0]
    assert band.fill == "toself"
    assert np.isnan(np.asarray(band.y)).sum() == 2
    several = series_charts.lines(data([1, 2], [3, 4], low=True), title="m", marks=[])
    assert all(trace.fill is None for trace in several.data)


def test_anomalies_are_marked_by_an_area_and_a_symbol() -> None:
    marks = [(NOW - timedelta(minutes=20), NOW - timedelta(minutes=10), "Load was 9")]
    figure = series_charts.lines(data([1, 2]), title="m", marks=marks)
    assert len(figure.layout.shapes) == 1
    symbols = figure.data[-1]
    assert symbols.marker.symbol == "triangle-down"
    assert "Load was 9" in symbols.text[0]
    assert "anomalies marked: 1" in figure.layout.meta["alt"]


def test_each_mark_is_an_area_of_full_height_beside_those_drawn_before() -> None:
    figure = series_charts.lines(data([1, 2]), title="m", marks=[(WINDOW.start, NOW - timedelta(minutes=50), "a")])
    charts.add_spans(figure, [(NOW - timedelta(minutes=20), NOW - timedelta(minutes=10), "b"), (NOW, NOW, "c")])
    areas = figure.layout.shapes
    assert [(area.x0 - areas[0].x0) / 60_000 for area in areas] == [0, 40, 60]
    assert [(area.x1 - area.x0) / 60_000 for area in areas] == [10, 10, 0]
    assert {(area.type, area.xref, area.yref, area.y0, area.y1) for area in areas} == {("rect", "x", "y domain", 0, 1)}


def test_colours_repeat_with_other_dashes() -> None:
    looks = {(charts.colour(index), charts.dash(index)) for index in range(40)}
    assert len(looks) == 40


def test_a_figure_has_the_background_of_the_theme_so_that_its_picture_is_readable_anywhere() -> None:
    figure = series_charts.lines(data([1, 2, 3]), title="m", marks=[])
    assert figure.layout.paper_bgcolor is None


def test_axis_spans_the_window_even_where_nothing_was_measured() -> None:
    figure = series_charts.lines(data([1]), title="m", marks=[])
    assert list(figure.layout.xaxis.range) == [WINDOW.start.timestamp() * 1000, WINDOW.end.timestamp() * 1000]


def test_milliseconds_take_zones_and_numbers_alike() -> None:
    moments = pd.Series(pd.date_range("2026-03-14", periods=2, freq="h", tz="Europe/Berlin"))
    assert charts.milliseconds(moments).tolist() == [1773442800000.0, 1773446400000.0]
    assert charts.milliseconds(np.array([5, 6])).tolist() == [5.0, 6.0]


@pytest.mark.parametrize(
    ("unit", "ticks"), [("ratio", {"tickformat": "~%"}), ("B", {"ticksuffix": " B"}), ("/s", {"ticksuffix": "/s"})]
)
def test_value_axis_carries_the_unit(unit: str, ticks: dict[str, str]) -> None:
    figure = series_charts.lines(data([1, 2], unit=unit), title="m", marks=[])
    axis = figure.layout.yaxis.to_plotly_json()
    assert {name: axis[name] for name in ticks} == ticks


GIB = 2.0**30


def test_bytes_are_drawn_in_the_steps_words_have() -> None:
    figure = series_charts.lines(data([40 * GIB, 43 * GIB], [3 * 2**20, 4 * 2**20], unit="B"), title="m", marks=[])
    assert (figure.layout.yaxis.ticksuffix, figure.layout.yaxis.exponentformat) == (" GiB", "none")
    large, small = (trace for trace in figure.data if trace.mode == "lines")
    assert np.asarray(large.y).tolist() == [40.0, 43.0]
    assert large.hovertemplate.startswith("%{y:.4~g} GiB  ")
    assert np.asarray(small.customdata).tolist() == [3.0, 4.0]
    assert small.hovertemplate.startswith("%{customdata:.4~g} MiB  ")
    charts.layout(figure, unit="B")
    assert np.asarray(large.y).tolist() == [40.0, 43.0], "laid out twice is scaled once"


def test_bytes_a_second_of_little_nothing_and_many_panels() -> None:
    figure = series_charts.lines(data([2048.0, np.nan, np.inf], low=True, unit="B/s"), title="m", marks=[])
    assert figure.layout.yaxis.ticksuffix == " KiB/s"
    band = next(trace for trace in figure.data if trace.fill == "toself")
    assert np.nanmax(np.asarray(band.y)) == pytest.approx(2049 / 1024)
    assert series_charts.lines(data(unit="B"), title="m", marks=[]).layout.yaxis.ticksuffix == " B"
    parts = [("load", data([1.0, 2.0])), ("memory", data([GIB, 2 * GIB], unit="B")), ("disk", data([512.0], unit="B"))]
    figure = series_charts.panels(parts, WINDOW)
    axes = figure.layout.yaxis, figure.layout.yaxis2, figure.layout.yaxis3
    assert [axis.ticksuffix for axis in axes] == ["", " GiB", " B"]
    drawn = {trace.yaxis: np.asarray(trace.y).tolist() for trace in figure.data if trace.mode == "lines"}
    assert drawn == {"y": [1.0, 2.0], "y2": [1.0, 2.0], "y3": [512.0]}


def anomaly(**fields: object) -> pd.DataFrame:
    row = {
        "id": 1,
        "host": "web-1",
        "severity": "major",
        "series_id": 7,
        "start_ts": pd.Timestamp(NOW - timedelta(hours=3)),
        "end_ts": pd.NaT,
        "explanation": {"sentence": "Odd.", "contributors": [{"series_ids": [7, 8]}, {"series_ids": [9]}]},
    }
    return pd.DataFrame([{**row, **fields}])


def test_marks_are_cut_to_the_window_and_go_on_while_open() -> None:
    assert series_charts.marks_of(anomaly(), {8}, WINDOW) == [(WINDOW.start, WINDOW.end, "Odd.")]


def test_anomalies_of_other_series_are_not_marked() -> None:
    assert series_charts.marks_of(anomaly(), {42}, WINDOW) == []
    assert series_charts.marks_of(anomaly().iloc[:0], {8}, WINDOW) == []


def test_anomaly_without_reason_still_has_words() -> None:
    found = series_charts.marks_of(anomaly(explanation=None), {7}, WINDOW)
    assert found[0][2] == "major anomaly on web-1"


def test_description_says_what_was_done_to_the_samples() -> None:
    assert series_charts.describe(data([1])).startswith("All 100 samples")
    shown = series_charts.describe(data([1], low=True))
    assert "Mean of each 1 min, shaded from least to most" in shown


def test_rounding_is_not_drawn_as_movement() -> None:
    def drawn(value: list[float]) -> object:
        figure = charts.empty_figure()
        charts.add_line(figure, np.arange(3) * 1000, np.array(value), name="x")
        return charts.calm(figure).layout.yaxis.range

    low, high = drawn([0.09, 0.09 + 1e-17, 0.09000000000000001])
    assert low < 0.085 and high > 0.095
    assert drawn([0.09, 0.091, 0.09]) is None
    assert drawn([5.0, 5.0, 5.0]) is None
    assert drawn([np.nan, np.nan, np.nan]) is None


@pytest.mark.parametrize(
    ("x", "expected"),
    [
        (
            ["2026-03-14 11:00:00.5", "2026-03-14 10:00"],
            ("2026-03-14T10:00:00+00:00", "2026-03-14T11:00:00.500000+00:00"),
        ),
        ([1773482400000, 1773478800000], ("2026-03-14T09:00:00+00:00", "2026-03-14T10:00:00+00:00")),
        ([], None),
        (None, None),
    ],
)
def test_a_box_is_handed_on_as_a_span_of_time(
    monkeypatch: pytest.MonkeyPatch, x: list | None, expected: tuple[str, str] | None
) -> None:
    given: dict = {}
    monkeypatch.setattr(charts.st, "plotly_chart", lambda figure, **options: given.update(options))
    boxes = [] if x is None else [{"x": x}]
    chosen = SimpleNamespace(selection=SimpleNamespace(box=boxes))
    monkeypatch.setattr(charts.st, "session_state", {"chart": chosen})
    spans: list[tuple[str, str]] = []
    charts.show(
        charts.layout(charts.empty_figure()),
        key="chart",
        brush=lambda start, end: spans.append((start.isoformat(), end.isoformat())),
    )
    given["on_select"]()
    assert spans == ([expected] if expected else [])


def test_a_long_legend_of_panels_gets_room_of_its_own_and_not_that_of_the_lines() -> None:
    alone, full = (series_charts.panels([("load", data(*[[1.0, 2.0]] * count))], WINDOW).layout for count in (1, 12))
    assert not alone.showlegend and full.showlegend
    room = full.height - alone.height
    assert full.legend.maxheight <= room, "what does not fit scrolls"
    assert full.height - full.margin.b >= 150


def test_a_picture_is_named_after_what_it_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict = {}
    monkeypatch.setattr(charts.st, "plotly_chart", lambda figure, **options: given.update(options))
    figure = charts.layout(charts.empty_figure())
    for name, expected in (("node_load1", "node_load1"), ("../<b>a\nb", "..-b-a-b"), ("مرحبا", "k"), ("", "k")):
        charts.show(figure, key="k", name=name)
        assert given["config"]["toImageButtonOptions"]["filename"] == expected
        assert given["config"]["displaylogo"] is False
