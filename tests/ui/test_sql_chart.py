from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pytest

from lib.services.querying_result import Result, ResultColumn
from lib.ui import sql_chart


def drawn(monkeypatch: pytest.MonkeyPatch, frame: pd.DataFrame) -> list:
    kinds = {"t": "time", "host": "text", "v": "number"}
    columns = tuple(ResultColumn(name, "", kinds[name]) for name in frame)
    made = Result(
        sql="", frame=frame, columns=columns, tables=(), truncated=False, seconds=0.1, as_of=datetime.now(UTC)
    )
    figures: list = []
    monkeypatch.setattr(sql_chart.charts, "show", lambda figure, **_: figures.append(figure))
    sql_chart.draw(made, {})
    return [trace for trace in figures[0].data if trace.mode == "lines"]


def test_a_thinned_line_breaks_at_its_gap_and_nowhere_else_and_keeps_its_spike(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    t = pd.date_range("2026-03-01", periods=9000, freq="min")
    away = (t >= "2026-03-03 06:00") & (t < "2026-03-03 12:00")
    value = rng.normal(0, 1, 9000)
    value[7000] = 99.0
    (line,) = drawn(monkeypatch, pd.DataFrame({"t": t, "v": value})[~away])
    y = np.asarray(line.y, dtype=float)
    assert y.size <= sql_chart.MOST_POINTS + 1
    assert np.isnan(y).sum() == 1
    assert np.nanmax(y) == 99.0


def test_each_host_is_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    t = pd.date_range("2026-03-01", periods=30, freq="min")
    frame = pd.concat([pd.DataFrame({"t": t, "host": host, "v": 1.0}) for host in ("a", "b")])
    lines = drawn(monkeypatch, frame)
    assert [line.name for line in lines] == ["a", "b"]
    assert not any(np.isnan(np.asarray(line.y, dtype=float)).any() for line in lines)
