from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib.frames import to_ms
from lib.store import forecasts as forecasts_
from lib.store.connection import Store
from lib.store.forecasts import Forecasts, Made, Standing
from lib.store.samples import Samples

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
MADE = Made(
    source_id=1,
    series_id=7,
    made_at=NOW,
    made_by="ann",
    start_at=NOW,
    step_s=600,
    steps=3,
    model="daily pattern",
    last=4.0,
    asked={"horizon_s": 1800},
    card={"mase": 0.5, "reasons": ["ünd"]},
)


@pytest.fixture
def kept(store: Store) -> Forecasts:
    return Forecasts(store)


@pytest.fixture
def points(tmp_path: Path) -> Path:
    ts_ms = to_ms(NOW) + 600_000 * np.arange(3) + 300_000
    values = {name: np.arange(3.0) + i for i, name in enumerate(("low95", "low80", "middle", "high80", "high95"))}
    path = tmp_path / "points.parquet"
    pd.DataFrame({"ts_ms": ts_ms, **values}).to_parquet(path)
    return path


def test_forecast_comes_back_as_it_was_saved(kept: Forecasts, points: Path) -> None:
    made_id = kept.save(MADE, points)
    assert kept.get(made_id) == dataclasses.replace(MADE, id=made_id)
    found = kept.points(made_id)
    assert found["middle"].tolist() == [2.0, 3.0, 4.0]
    assert found["ts"][0] == pd.Timestamp(NOW + timedelta(minutes=5))
    assert MADE.end_at == NOW + timedelta(minutes=30)
    assert kept.get(made_id + 1) is None


def test_neither_is_there_when_the_points_cannot_be_read(kept: Forecasts, tmp_path: Path) -> None:
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(Exception, match=r"(?i)parquet"):
        kept.save(MADE, tmp_path / "broken.parquet")
    assert kept.of() == []


def test_newest_come_first_and_the_oldest_beyond_the_cap_go(kept: Forecasts, points: Path, monkeypatch) -> None:
    monkeypatch.setattr(forecasts_, "KEPT", 3)
    ids = [kept.save(dataclasses.replace(MADE, made_at=NOW + timedelta(hours=n)), points) for n in range(5)]
    other = kept.save(dataclasses.replace(MADE, series_id=8), points)
    assert [made.id for made in kept.of([7])] == ids[:1:-1]
    assert kept.get(other) is not None
    assert kept.points(ids[0]).empty
    assert len(kept.of(limit=2)) == 2


def test_outcome_is_wanted_once_all_has_come_and_kept(kept: Forecasts, points: Path) -> None:
    made_id = kept.save(MADE, points)
    assert kept.unjudged(NOW + timedelta(minutes=29)) == []
    assert [made.id for made in kept.unjudged(NOW + timedelta(minutes=30))] == [made_id]
    kept.judge(made_id, {"error": 1.5})
    assert kept.unjudged(NOW + timedelta(days=1)) == []
    assert kept.get(made_id).outcome == {"error": 1.5}


def test_one_standing_forecast_a_series(kept: Forecasts) -> None:
    first = kept.keep(Standing(1, 7, {"horizon_s": 60}, "ann", NOW))
    kept.tried([first], NOW)
    assert kept.standing()[0].tried_at == NOW
    again = kept.keep(Standing(1, 7, {"horizon_s": 120}, "bob", NOW))
    other = kept.keep(Standing(2, 8, {"horizon_s": 60}, "ann", NOW))
    assert again == first != other
    assert [(row.id, row.asked["horizon_s"], row.tried_at) for row in kept.standing()] == [
        (first, 120, None),
        (other, 60, None),
    ]
    assert kept.drop(first) and not kept.drop(first)
    assert [row.id for row in kept.standing()] == [other]


def test_forecasts_go_with_their_source(kept: Forecasts, samples: Samples, points: Path, block) -> None:
    samples.append(1, [block([1.0, 2.0])])
    mine = kept.save(MADE, points)
    others = kept.save(dataclasses.replace(MADE, source_id=2), points)
    kept.keep(Standing(1, 7, {}, "ann", NOW))
    samples.forget_source(1)
    assert kept.get(mine) is None and kept.points(mine).empty and kept.standing() == []
    assert kept.get(others) is not None and len(kept.points(others)) == 3


def test_what_is_kept_is_there_after_opening_again(kept: Forecasts, points: Path, store: Store) -> None:
    made_id = kept.save(MADE, points)
    store.close()
    again = Store(store.path)
    assert Forecasts(again).get(made_id) == dataclasses.replace(MADE, id=made_id)
    again.close()
