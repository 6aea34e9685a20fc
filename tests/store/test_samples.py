from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib import frames
from lib.frames import STALE_NAN_BITS, Block, Window, from_ms
from lib.services import detection_jobs
from lib.store.connection import Store
from lib.store.gaps import Gaps
from lib.store.samples import Appended, Samples

START = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
ALL = Window(from_ms(0), datetime(2200, 1, 1, tzinfo=UTC))


def bits(values: np.ndarray) -> list[int]:
    return np.asarray(values, dtype=np.float64).view(np.uint64).tolist()


def window(start: float, end: float) -> Window:
    return Window(START + timedelta(seconds=start), START + timedelta(seconds=end))


def values_of(samples: Samples, series_id: int, within: Window = ALL) -> list[float]:
    return samples.read([series_id], within)["value"].tolist()


# --- append --------------------------------------------------------------------------------------


def test_a_batch_appended_twice_is_stored_once(samples: Samples, block: Callable[..., Block]) -> None:
    blocks = [block([1, 2, 3]), block([4, 5], instance="b:9100")]
    assert samples.append(1, blocks) == Appended(written=5, known=0)
    assert samples.append(1, blocks) == Appended(written=0, known=5)
    assert len(samples.read([1, 2], ALL)) == 5


def test_late_samples_inside_what_is_stored_find_their_place(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([1, 3, 5], step=20)])
    assert samples.append(1, [block([9, 2, 9, 4, 9, 6], step=10)]) == Appended(written=3, known=3)
    assert values_of(samples, 1) == [1, 2, 3, 4, 5, 6]


def test_a_sample_that_is_there_keeps_its_value(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([1, 2])])
    samples.append(1, [block([7, 8, 9])])
    assert values_of(samples, 1) == [1, 2, 9]


def test_blocks_of_one_series_in_one_batch_are_joined(samples: Samples, block: Callable[..., Block]) -> None:
    appended = samples.append(1, [block([1, 2, 3]), block([5], at=60), block([8, 9], at=15)])
    assert appended == Appended(written=4, known=2)
    assert values_of(samples, 1) == [1, 8, 9, 5]


def test_nan_inf_and_the_stale_marker_are_kept_to_the_bit_over_a_checkpoint(
    store: Store, samples: Samples, block: Callable[..., Block]
) -> None:
    odd = np.array([STALE_NAN_BITS, 0x7FF8000000000000, 0xFFF8000000000001, 0x8000000000000000], dtype=np.uint64)
    values = np.concatenate([odd.view(np.float64), [np.inf, -np.inf, 5e-324, 1.7976931348623157e308]])
    many = np.tile(values, 500)
    samples.append(1, [block(many)])
    assert bits(samples.read([1], ALL)["value"]) == bits(many)
    store.checkpoint()
    path = store.path
    store.close()
    again = Store(path)
    assert bits(Samples(again).read([1], ALL)["value"]) == bits(many)
    again.close()


def test_the_order_of_labels_does_not_make_another_series(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([1], a="1", b="2")])
    samples.append(1, [block([2], at=15, b="2", a="1")])
    samples.append(1, [block([3], at=30, a="1", b="2", empty="")])
    assert [len(samples.find()), values_of(samples, 1)] == [1, [1, 2, 3]]


def test_a_series_belongs_to_its_source_and_metric(samples: Samples, block: Callable[..., Block]) -> None:
    for source_id, metric in ((1, "a"), (1, "b"), (2, "a")):
        samples.append(source_id, [block([1], metric=metric)])
    assert len(samples.find()) == 3


@pytest.mark.parametrize(
    "text",
    ["it's", '"; DROP TABLE samples; --', "new\nline", "nul\0inside", "ünï©ødé 🦆", "x" * 10_000, "{a=~'b'}", "\ud800"],
    ids=["quote", "sql", "line", "nul", "unicode", "long", "braces", "surrogate"],
)
def test_hostile_labels_survive_reopening(store: Store, block: Callable[..., Block], text: str) -> None:
    hostile = block([1], metric=text or "m", **{text: text, "instance": text})
    first = Samples(store).append(1, [hostile])
    path = store.path
    store.close()
    again = Store(path)
    samples = Samples(again)
    assert first == Appended(1, 0)
    assert samples.append(1, [hostile]) == Appended(0, 1)
    (series,) = samples.find()
    if text != "\ud800":  # UTF-8 cannot carry it: kept as its escape
        assert (series.metric, series.labels, series.host) == (text, {text: text, "instance": text}, text)
        assert samples.find(metric=text, host=text, labels={text: text}) == [series]
    again.close()


def test_unsorted_blocks_are_refused_and_nothing_is_written(samples: Samples, block: Callable[..., Block]) -> None:
    wrong = Block("m", {}, np.array([2, 1]), np.array([1.0, 2.0]))
    with pytest.raises(ValueError, match="validate"):
        samples.append(1, [block([1]), wrong], ("all", START))
    assert samples.find() == []
    assert samples.watermark(1, "all") is None
    assert samples.append(1, [block([1])]).written == 1


def test_an_empty_batch_still_moves_the_watermark(samples: Samples, block: Callable[..., Block]) -> None:
    assert samples.append(1, [], ("all", START)) == Appended(0, 0)
    assert samples.append(1, [block([])], ("other", START)) == Appended(0, 0)
    assert samples.watermark(1, "all") == samples.watermark(1, "other") == START


def test_the_watermark_only_moves_forward_and_each_target_has_its_own(samples: Samples) -> None:
    later = START + timedelta(hours=1)
    samples.append(1, [], ("all", later))
    samples.append(1, [], ("all", START))
    samples.append(1, [], ("it's", START))
    assert samples.watermark(1, "all") == later
    assert samples.watermark(1, "it's") == START
    assert samples.watermark(2, "all") is None


def test_a_second_view_of_the_same_store_sees_the_same_series(store: Store, block: Callable[..., Block]) -> None:
    one, two = Samples(store), Samples(store)
    assert two.find() == []
    one.append(1, [block([1, 2])])
    assert two.append(1, [block([1, 2, 3])]) == Appended(written=1, known=2)


def test_a_batch_of_many_series_with_long_histories_is_stored_whole(samples: Samples) -> None:
    ts = 1_700_000_000_000 + np.arange(1000, dtype=np.int64) * 15_000
    blocks = [Block("m", {"i": str(i)}, ts + i, np.full(1000, float(i))) for i in range(300)]
    assert samples.append(1, blocks).written == 300_000
    frame = samples.read([series.id for series in samples.find(labels={"i": "123"})], ALL)
    assert frame["value"].unique().tolist() == [123.0]
    assert len(frame) == 1000


# Any mix of appends leaves what a dictionary would hold: the first value of each moment.
appends = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60), st.integers(0, 9)), max_size=30), max_size=8
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=appends)
def test_whatever_arrives_in_whatever_order_each_moment_is_there_once(store: Store, batches) -> None:
    samples = Samples(store)
    samples.forget_source(1)
    wanted: dict[tuple[str, int], float] = {}
    for rows in batches:
        blocks, arrived = [], {}
        for series in range(4):
            mine = [(ts, value) for which, ts, value in rows if which == series]
            raw = Block("m", {"i": str(series)}, np.array([ts for ts, _ in mine]), np.array([v for _, v in mine]))
            blocks.append(frames.validate(raw, START)[0])
            arrived.update({(str(series), ts): float(value) for ts, value in mine})
        new = {key: value for key, value in arrived.items() if key not in wanted}
        appended = samples.append(1, blocks)
        assert appended == Appended(written=len(new), known=len(arrived) - len(new))
        wanted.update(new)
    names = {series.id: series.labels["i"] for series in samples.find(source_id=1)}
    found = samples.read(list(names), ALL)
    assert len(found) == len(wanted)
    assert {(names[row.series_id], frames.to_ms(row.ts)): row.value for row in found.itertuples()} == wanted


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(labels=st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=5), metric=st.text(max_size=8))
def test_any_labels_name_one_series(store: Store, labels: dict[str, str], metric: str) -> None:
    samples = Samples(store)
    for _ in range(2):
        samples.append(1, [Block(metric, labels, np.array([1]), np.array([1.0]))])
    store.catalog.clear()
    assert samples.append(1, [Block(metric, labels, np.array([1]), np.array([1.0]))]) == Appended(0, 1)


# --- find ----------------------------------------------------------------------------------------


@pytest.fixture
def house(samples: Samples, block: Callable[..., Block]) -> Samples:
    """Two sources, two hosts, one series without a host."""
    samples.append(
        1,
        [
            block([1, 2], metric="node_cpu_seconds_total", instance="b:9100", cpu="0"),
            block([3], metric="node_cpu_seconds_total", instance="a:9100", cpu="1"),
            block([4, 5, 6], metric="node_cpu_seconds_total", instance="a:9100", cpu="0"),
            block([7], metric="node_load1", at=600, instance="a:9100"),
            block([8], metric="build_info", version="1"),
        ],
    )
    samples.append(2, [block([9], metric="node_load1", instance="a:9100")])
    return samples


def test_series_are_found_by_each_of_their_sides(house: Samples) -> None:
    def found(**wanted) -> list[str]:
        return [f"{s.source_id} {s.metric} {s.host} {s.labels.get('cpu', '')}".strip() for s in house.find(**wanted)]

    assert found(metric="node_cpu_seconds_total") == [
        "1 node_cpu_seconds_total a:9100 0",
        "1 node_cpu_seconds_total a:9100 1",
        "1 node_cpu_seconds_total b:9100 0",
    ]
    assert found(host="a:9100", metric="node_load1") == ["1 node_load1 a:9100", "2 node_load1 a:9100"]
    assert found(labels={"cpu": "1"}) == ["1 node_cpu_seconds_total a:9100 1"]
    assert found(labels={"cpu": ""}, source_id=1, host="a:9100") == ["1 node_load1 a:9100"]
    assert found(source_id=2) == ["2 node_load1 a:9100"]
    assert found(ids=[1, 99, 1]) == ["1 node_cpu_seconds_total b:9100 0"]
    assert found(ids=[]) == []
    assert found(metric="nothing") == []
    assert {s.kind for s in house.find(metric="node_cpu_seconds_total")} == {"counter"}


def test_metrics_are_counted_with_their_span(house: Samples) -> None:
    frame = house.metrics(source_id=1)
    assert frame["metric"].tolist() == ["build_info", "node_cpu_seconds_total", "node_load1"]
    assert frame["series"].tolist() == [1, 3, 1]
    assert frame["hosts"].tolist() == [0, 2, 1]
    assert frame["kind"].tolist() == ["gauge", "counter", "gauge"]
    cpu = frame.set_index("metric").loc["node_cpu_seconds_total"]
    assert (cpu["first"], cpu["last"]) == (START, START + timedelta(seconds=30))
    assert house.metrics().set_index("metric").loc["node_load1", "series"] == 2


def test_hosts_are_counted_with_their_span(house: Samples) -> None:
    frame = house.hosts()
    assert list(zip(frame["source_id"], frame["host"], frame["series"], strict=True)) == [
        (1, "a:9100", 3),
        (1, "b:9100", 1),
        (2, "a:9100", 1),
    ]
    assert frame["last"].tolist()[0] == START + timedelta(seconds=600)
    assert len(house.hosts(source_id=2)) == 1


def test_an_overview_is_the_same_after_reopening(house: Samples) -> None:
    before = [house.metrics(), house.hosts()]
    house.store.catalog.clear()
    for old, new in zip(before, [house.metrics(), house.hosts()], strict=True):
        pd.testing.assert_frame_equal(old, new)


def test_an_empty_store_gives_empty_frames_of_the_same_types(samples: Samples, block: Callable[..., Block]) -> None:
    def types() -> list[dict]:
        made = (samples.metrics(), samples.hosts(), samples.read([1], ALL), samples.buckets([1], ALL, 60))
        return [frame.dtypes.to_dict() for frame in made]

    before = types()
    assert samples.stats([1]) == [] and samples.find() == []
    samples.append(1, [block([1])])
    assert types() == before
    assert before[2] == frames.empty().dtypes.to_dict()


def test_stats_come_in_the_order_asked(house: Samples) -> None:
    with_three, without, first = house.stats([3, 77, 1])[0], house.stats([77]), house.stats([3, 1])[1]
    assert without == []
    assert (with_three.count, with_three.last_value, with_three.series.id) == (3, 6.0, 3)
    assert (with_three.first, with_three.last) == (START, START + timedelta(seconds=30))
    assert first.series.id == 1


def test_a_series_without_samples_has_stats_that_say_so(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([])])
    (stats,) = samples.stats([1])
    assert (stats.count, stats.first, stats.last, stats.last_value) == (0, None, None, None)
    assert samples.metrics()["first"].isna().all()


# --- read ----------------------------------------------------------------------------------------


def test_a_window_holds_its_start_and_not_its_end(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([1, 2, 3, 4], step=10)])
    assert values_of(samples, 1, window(10, 30)) == [2, 3]
    assert values_of(samples, 1, window(10, 10)) == []


def test_frames_are_sorted_by_series_and_time_in_utc(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([3], at=60, i="a"), block([4], at=60, i="b")])
    samples.append(1, [block([1], i="a"), block([2], i="b")])
    frame = samples.read([2, 1], ALL)
    assert frame["value"].tolist() == [1, 3, 2, 4]
    assert frame["ts"].tolist()[0] == START
    assert frame.dtypes.to_dict() == frames.empty().dtypes.to_dict()


def test_buckets_sum_up_what_lies_in_them(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([1, 5, 3, np.nan, 10, 20], step=20), block([7], at=3600, i="b")])
    frame = samples.buckets([1, 2], ALL, 60)
    assert frame["series_id"].tolist() == [1, 1, 2]
    assert frame["ts"].tolist() == [START + timedelta(seconds=s) for s in (0, 60, 3600)]
    assert frame[["min", "mean", "max", "last", "count"]].to_numpy().tolist() == [
        [1, 3, 5, 3, 3],
        [10, 15, 20, 20, 2],
        [7, 7, 7, 7, 1],
    ]


def test_buckets_of_a_later_refresh_start_at_the_same_moments(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block(np.arange(100), step=7)])
    one, two = samples.buckets([1], window(0, 700), 45), samples.buckets([1], window(11, 711), 45)
    assert set(two["ts"]) <= set(one["ts"])


def test_a_bucket_of_nothing_but_nan_is_empty(samples: Samples, block: Callable[..., Block]) -> None:
    samples.append(1, [block([1, np.nan, np.inf], step=60)])
    frame = samples.buckets([1], ALL, 60)
    assert frame["ts"].tolist() == [START, START + timedelta(seconds=120)]
    assert np.isposinf(frame["max"].iloc[1])


@pytest.mark.parametrize("step_s", [0.0001, 0.25, 1e7])
def test_buckets_of_any_width_hold_every_sample_once(
    samples: Samples, block: Callable[..., Block], step_s: float
) -> None:
    samples.append(1, [block(np.arange(50.0), step=0.1)])
    assert samples.buckets([1], ALL, step_s)["count"].sum() == 50


def test_an_export_is_what_reading_gives(samples: Samples, block: Callable[..., Block], tmp_path: Path) -> None:
    samples.append(1, [block([1, np.nan, 3]), block([4], i="b")])
    folder = tmp_path / "it's"
    assert samples.export([2, 1], ALL, folder) == 4
    pd.testing.assert_frame_equal(detection_jobs.read(folder, [1, 2]), samples.read([1, 2], ALL))
    pd.testing.assert_frame_equal(detection_jobs.read(folder, [2]), samples.read([2], ALL))
    assert samples.export([99], ALL, tmp_path / "nothing") == 0
    assert detection_jobs.read(tmp_path / "nothing", [99]).dtypes.to_dict() == frames.empty().dtypes.to_dict()


def test_an_export_that_fails_leaves_no_file(samples: Samples, block: Callable[..., Block], tmp_path: Path) -> None:
    samples.append(1, [block([1])])
    with samples.store.write() as cursor:
        cursor.execute("ALTER TABLE samples RENAME COLUMN value TO other")
    with pytest.raises(Exception, match="value"):
        samples.export([1], ALL, tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_an_export_of_many_samples_comes_in_sorted_files(
    samples: Samples, block: Callable[..., Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib.store.samples._EXPORT_ROWS", 25)
    samples.append(1, [block(np.arange(10.0), i=str(number)) for number in range(7)])
    assert samples.export(range(1, 8), ALL, tmp_path / "many") == 70
    assert len(list((tmp_path / "many").iterdir())) == 4
    pd.testing.assert_frame_equal(detection_jobs.read(tmp_path / "many", range(1, 8)), samples.read(range(1, 8), ALL))


def test_a_window_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="time zone"):
        Window(datetime(2026, 1, 1), START)  # noqa: DTZ001


# --- forget --------------------------------------------------------------------------------------


def test_a_forgotten_source_leaves_nothing_and_others_everything(house: Samples) -> None:
    house.append(1, [], ("all", START))
    house.append(2, [], ("all", START))
    Gaps(house.store).record(1, "all", window(0, 60), "down")
    house.forget_source(1)
    assert {series.source_id for series in house.find()} == {2}
    assert house.read(list(range(1, 6)), ALL).empty
    assert house.watermark(1, "all") is None
    assert house.watermark(2, "all") == START
    assert Gaps(house.store).open().empty
    house.store.catalog.clear()
    assert {series.source_id for series in house.find()} == {2}


def test_a_source_collected_again_after_being_forgotten_is_stored_anew(
    samples: Samples, block: Callable[..., Block]
) -> None:
    samples.append(1, [block([1, 2])])
    samples.forget_source(1)
    assert samples.append(1, [block([1, 2])]) == Appended(2, 0)
    (series,) = samples.find()
    assert series.id == 2  # an id is never used for another series: findings may still name it
