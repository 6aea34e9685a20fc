from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from lib.profiling import report
from lib.profiling.story import Verdict, story
from lib.profiling.tables import TableProfile
from lib.store import tables
from tests.training.tables import churn

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def profiled(frame: pd.DataFrame, folder: Path, name: str = "customers") -> TableProfile:
    path = folder / "table.parquet"
    frame.to_parquet(path)
    return tables.profile(path, name, folder)


def test_a_table_is_told_in_four_chapters_with_its_figures(tmp_path: Path) -> None:
    frame = churn(500)
    told = story(profiled(frame, tmp_path), "left")
    assert "500 rows of 5 columns" in told.what[0]
    assert "To be predicted: left, 2 classes" in told.what[1]
    assert (
        told.verdict is Verdict.FAIR and f"{frame.isna().to_numpy().mean():.1%} of the cells missing" in told.quality[0]
    )
    assert any("Of left tell most" in line for line in told.stands_out)
    assert any("age is missing" in line for line in told.attempts)
    assert [picture.title for picture in told.pictures] == ["Classes of left", "What tells of left", "Missing most"]
    assert sum(told.pictures[0].values) == 500


def test_advice_replaces_what_alerts_would_say(tmp_path: Path) -> None:
    assert story(profiled(churn(100), tmp_path), "left", ["Begin with Linear."]).attempts == ("Begin with Linear.",)


def test_a_copy_of_the_target_is_told(tmp_path: Path) -> None:
    frame = churn(300).assign(state=lambda one: one.left.map({"yes": "gone", "no": "here"}))
    assert any("state tells it almost alone" in line for line in story(profiled(frame, tmp_path), "left").stands_out)


def test_tables_without_rows_values_or_differences_are_poor(tmp_path: Path) -> None:
    for frame in (
        pd.DataFrame({"a": pd.Series([], dtype="float64")}),
        pd.DataFrame({"a": [1.0], "b": ["x"]}),
        pd.DataFrame({"a": [np.nan] * 60, "b": [None] * 60}),
        pd.DataFrame({"a": [3] * 60, "b": np.arange(60)}),
    ):
        told = story(profiled(frame, tmp_path))
        assert told.verdict is Verdict.POOR and told.what and told.attempts


def test_exports_open_with_the_story_and_nothing_in_it_can_run(tmp_path: Path) -> None:
    hostile = "<script>alert(1)</script>"
    frame = churn(80).rename(columns={"plan": hostile})
    profile = profiled(frame, tmp_path, hostile)
    page = report.to_html(profile, NOW).decode()
    assert "What it is" in page and page.index("What to try") < page.index("<h2>Columns")
    assert "<script" not in page
    held = json.loads(report.to_json(profile, NOW, story(profile, "left", ["Try it."])))
    assert held["story"]["attempts"] == ["Try it."] and held["story"]["verdict"] == "good"
