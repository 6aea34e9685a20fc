from __future__ import annotations

import csv
import io
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.errors import Invalid
from lib.frames import Block, Window, to_ms
from lib.services import exploration
from lib.services.export import neutral

VIEWER = Actor("vera", Role.VIEWER)


@pytest.fixture
def series_id(app: App) -> int:
    ts_ms = to_ms(app.clock()) - np.arange(1, 5)[::-1] * 1000
    labels = {"instance": "=cmd|' /C calc'!A0", "path": '@SUM(1+1)*"x",y'}
    app.samples.append(1, [Block("m", labels, ts_ms, np.array([-1.5, np.nan, np.inf, 2e-9]))])
    return app.samples.find(metric="m")[0].id


def last_minute(app: App) -> Window:
    return Window.last(timedelta(minutes=1), app.clock())


def test_csv_holds_every_sample_and_no_formula(app: App, series_id: int) -> None:
    data = app.exploration.export(VIEWER, [series_id], last_minute(app), "csv").decode()
    rows = list(csv.DictReader(io.StringIO(data)))
    assert [row["ts"] for row in rows] == [f"2026-03-14T11:59:{second}.000Z" for second in (56, 57, 58, 59)]
    assert [float(row["value"]) for row in rows][0] == -1.5
    assert np.isnan(float(rows[1]["value"])) and np.isinf(float(rows[2]["value"]))
    assert {row["host"] for row in rows} == {"'=cmd|' /C calc'!A0"}


def test_parquet_is_exact(app: App, series_id: int) -> None:
    data = app.exploration.export(VIEWER, [series_id], last_minute(app), "parquet")
    frame = pd.read_parquet(io.BytesIO(data))
    assert frame["value"].tolist()[0::3] == [-1.5, 2e-9]
    assert np.isinf(frame["value"][2])
    assert str(frame["ts"].dt.tz) == "UTC"
    assert frame["host"][0] == "=cmd|' /C calc'!A0"


def test_export_of_nothing_has_a_header(app: App) -> None:
    data = app.exploration.export(VIEWER, [], last_minute(app), "csv").decode()
    assert data.strip().replace('"', "") == "ts,metric,host,labels,value,series_id"


def test_too_many_rows_are_refused_with_the_number(app: App, series_id: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exploration, "MAX_EXPORT_ROWS", 3)
    with pytest.raises(Invalid, match="4 samples are more than one download takes \\(3\\)"):
        app.exploration.export(VIEWER, [series_id], last_minute(app))


def test_unknown_format_names_those_there_are(app: App, series_id: int) -> None:
    with pytest.raises(Invalid, match="csv, parquet"):
        app.exploration.export(VIEWER, [series_id], last_minute(app), "xlsx")


@given(st.text())
def test_no_text_cell_begins_like_a_formula(text: str) -> None:
    cell = neutral(text)
    assert cell.endswith(text)
    assert not cell.lstrip().startswith(("=", "+", "-", "@", "＝", "＋", "－", "＠"))  # noqa: RUF001
