from __future__ import annotations

import csv
import gzip
import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from pyarrow import parquet
from sqlmodel import select

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.db.tables import AuditEntry, SourceKind, Task, TaskStatus
from lib.errors import Conflict, Forbidden, Invalid, NotFound, StoreFull
from lib.frames import Block, Window, to_ms
from lib.intake.mapping import BadRows, Kind, Reading, TimeFormat
from lib.intake.mapping import Role as Is
from lib.services.collection_sources import SourceDraft
from lib.services.export import Format, write
from lib.services.importing_staged import Staged
from lib.settings import TaskMode
from lib.store import incoming
from tests.conftest import FakeClock

OLGA, ANN = Actor("olga", Role.OPERATOR), Actor("ann", Role.ANALYST)
CSV = b"time,host,CPU usage (%),mem\n" + b"".join(
    b"2026-03-%02d 10:00:00,web-%d,%d.5,%d\n" % (day, host, day, host) for day in range(1, 12) for host in range(3)
)


@pytest.fixture
def ready(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def settled(app: App, import_id: str) -> Staged:
    for task in app.importing._tasks(import_id):
        app.runner.wait(task.id or 0, 60)
    return app.importing.get(OLGA, import_id)


def looked(app: App, body: bytes, name: str = "a.csv") -> Staged:
    return settled(app, app.importing.upload(OLGA, name, io.BytesIO(body)))


def checked(app: App, body: bytes, name: str = "a.csv", into: int | None = None, **how: Any) -> Staged:
    staged = looked(app, body, name)
    assert staged.look is not None, staged.failed
    app.importing.check(OLGA, staged.about.id, replace(staged.look.mapping, **how), into=into)
    return settled(app, staged.about.id)


def stored(app: App, body: bytes, name: str = "a.csv", **how: Any) -> dict[str, Any]:
    staged = checked(app, body, name, **how)
    app.importing.store(OLGA, staged.about.id)
    staged = settled(app, staged.about.id)
    assert staged.done is not None, staged.failed
    return staged.done


def content(app: App) -> dict[str, list[tuple[int, float]]]:
    with app.store.read() as cursor:
        rows = cursor.execute(
            "SELECT metric, labels, epoch_ms(ts), value FROM samples JOIN series ON series.id = series_id ORDER BY ALL"
        ).fetchall()
    found: dict[str, list[tuple[int, float]]] = {}
    for metric, labels, ts, value in rows:
        inside = ",".join(f"{name}={labels[name]}" for name in sorted(labels))
        found.setdefault(f"{metric}{{{inside}}}", []).append((ts, value))
    return found


def test_a_file_is_looked_at_checked_and_stored(ready: App) -> None:
    told: list[Any] = []
    ready.collection.on_collected.append(lambda source_id, window: told.append((source_id, window.start)))
    staged = checked(ready, CSV, "../../etc/shop power.csv")
    assert staged.report is not None
    assert (staged.about.name, staged.report.source_name) == ("shop power.csv", "shop power")
    assert (staged.report.samples, staged.report.series, staged.report.bad) == (66, 6, 0)
    assert content(ready) == {} and ready.collection.sources.all() == []  # a dry run
    ready.importing.store(OLGA, staged.about.id)
    done = settled(ready, staged.about.id).done
    assert done is not None and (done["written"], done["known"]) == (66, 0)
    found = content(ready)
    assert sorted(found)[:2] == ["CPU_usage_percent{host=web-0}", "CPU_usage_percent{host=web-1}"]
    assert found["mem{host=web-2}"][0] == (to_ms(datetime(2026, 3, 1, 10, tzinfo=UTC)), 2.0)
    (source,) = ready.collection.status(OLGA)
    assert (source.name, source.kind, source.state, source.series) == ("shop power", SourceKind.IMPORT, "ok", 6)
    assert told == [(source.id, datetime(2026, 3, 1, 10, tzinfo=UTC))]
    with ready.database.session() as session:
        actions = [row.action for row in session.exec(select(AuditEntry)).all()]
    assert {"import.upload", "import.store"} <= set(actions)


def test_the_same_file_again_adds_nothing_and_says_so(ready: App) -> None:
    stored(ready, CSV)
    before = content(ready)
    staged = checked(ready, CSV)
    assert staged.report is not None
    assert (staged.report.known, staged.report.new, staged.report.different) == (66, 0, 0)
    changed = checked(ready, CSV.replace(b",11.5,", b",99,")).report
    assert changed is not None and (changed.known, changed.different) == (66, 3)
    assert stored(ready, CSV)["written"] == 0
    assert content(ready) == before
    assert len(ready.collection.sources.all()) == 1


def test_it_runs_in_processes_of_its_own(app: App) -> None:
    app.runner.start()
    assert stored(app, CSV)["written"] == 66


def test_bad_rows_are_left_out_or_refuse_the_file(ready: App) -> None:
    body = CSV + b"2026-03-12 10:00,web-1,=HYPERLINK(1),4\n2026-03-12\n2027-01-01 10:00,web-1,1,1\n"
    staged = checked(ready, body, bad_rows=BadRows.REFUSE)
    assert staged.report is not None
    assert staged.report.reasons == {"is no number": 1, "has another number of fields": 1, "lies in the future": 1}
    rows = list(csv.reader(io.StringIO(ready.importing.errors(OLGA, staged.about.id).decode("utf-8-sig"))))
    assert rows == [
        ["row", "column", "value", "reason"],
        ["35", "CPU usage (%)", "'=HYPERLINK(1)", "is no number"],
        ["36", "", "1 fields instead of 4", "has another number of fields"],
        ["37", "time", "2027-01-01 10:00", "lies in the future"],
    ]
    with pytest.raises(Invalid, match="refused"):
        ready.importing.store(OLGA, staged.about.id)
    assert content(ready) == {}
    assert stored(ready, body)["written"] == 67


def test_contradictions_within_the_file_are_told(ready: App) -> None:
    staged = checked(ready, CSV + CSV.splitlines()[1] + b"\n2026-03-01 10:00:00,web-1,7,1\n")
    assert staged.report is not None
    assert (staged.report.samples, staged.report.repeated, staged.report.conflicts) == (66, 3, 1)
    assert [(one.row, one.reason[:15]) for one in staged.report.errors] == [(3, "is contradicted")]


@pytest.mark.parametrize(
    ("body", "decimal"),
    [
        (CSV.decode().encode("utf-8-sig"), "."),
        (CSV.decode().encode("utf-16"), "."),
        (CSV.decode().encode("utf-16-le"), "."),
        (CSV.decode().encode("utf-16-be"), "."),
        (CSV.replace(b",", b";").replace(b".5;", b",5;"), ","),
        (CSV.replace(b",", b"\t"), "."),
        (gzip.compress(CSV), "."),
        (CSV.replace(b"\n", b"\r\n"), "."),
        (b"Shop power, 2026\n\n" + CSV.replace(b"mem\n", b"mem\n,,%,GB\n"), "."),
        (CSV.replace(b"mem\n", b"mem\n\n\n"), "."),
    ],
)
def test_files_are_read_however_they_were_saved(ready: App, body: bytes, decimal: str) -> None:
    staged = checked(ready, body)
    assert staged.report is not None, staged.failed
    assert staged.report.mapping.decimal == decimal
    assert (staged.report.samples, staged.report.series, staged.report.bad) == (66, 6, 0)


def test_latin_text_keeps_its_accents_and_says_what_was_guessed(ready: App) -> None:
    staged = looked(ready, CSV.decode().replace("web-1", "Bär").encode("latin-1"))
    assert staged.look is not None
    assert staged.look.reading.encoding == "cp1252" and "Windows-1252" in staged.look.notes[0]
    assert [row.series for row in ready.importing.preview(OLGA, staged.about.id, staged.look.mapping)][2] == (
        'CPU_usage_percent{host="Bär"}'
    )


def test_bytes_of_another_encoding_further_down_are_row_errors(ready: App) -> None:
    body = CSV + b"2026-03-01 11:00,x,1,1\n" * 20_000 + b"2026-03-12 10:00,B\xe4r,1,1\n"
    staged = checked(ready, body)
    assert staged.report is not None
    assert staged.report.reasons == {"holds bytes of another encoding": 1}


def test_a_quote_that_is_not_closed_does_not_swallow_the_file_unseen(ready: App) -> None:
    staged = checked(ready, CSV + b'2026-03-12 10:00,"web-1,1,1\n' + b"2026-03-12 11:00,web-1,1,1\n" * 9000)
    assert staged.report is not None
    assert staged.report.bad > 0
    assert incoming.NOT_READ in staged.report.reasons


def test_it_can_be_read_another_way(ready: App) -> None:
    staged = looked(ready, b"junk;1;2\n2026-03-01 10:00;5;6\n2026-03-02 10:00;7;8\n")
    ready.importing.read_again(OLGA, staged.about.id, Reading("utf-8", ";", 0, 2))
    staged = settled(ready, staged.about.id)
    assert staged.look is not None
    assert staged.look.names == ["column 1", "column 2", "column 3"]
    assert len(ready.importing.preview(OLGA, staged.about.id, staged.look.mapping)) == 4


@pytest.mark.parametrize(
    ("name", "body", "words"),
    [
        ("a.csv", b"\x89PNG\r\n\x1a\n\0\0\0" + bytes(range(256)) * 9, "It is a PNG image: neither CSV nor"),
        ("a.csv", b"%PDF-1.7 1 0 obj", "It is a PDF document"),
        ("a.csv", bytes(range(256)) * 9, "bytes that no text has"),
        ("a.csv.gz", gzip.compress(gzip.compress(b"time,v\n1,2\n", mtime=0), mtime=0), "It is packed twice"),
        ("a.csv", b"PK\x03\x04" + b"x" * 200, "Excel"),
        ("a.parquet", b"PAR1" + b"x" * 500, "cut short"),
        ("a.parquet", b"PAR1" + b"x" * 500 + b"PAR1", "cannot be read"),
        ("a.csv.gz", gzip.compress(CSV)[:-20], "damaged"),
        ("a.csv.gz", gzip.compress(b"", mtime=0), "is empty"),
        ("a.csv", b"\n\n\n", "no rows"),
        ("a.csv", b"x" * (2 * 2**20), "longer than"),
        ("a.csv", b",".join(b"c%d" % n for n in range(2001)) + b"\n", "2,001 columns"),
    ],
)
def test_what_is_no_file_of_samples_fails_in_words(ready: App, name: str, body: bytes, words: str) -> None:
    staged = looked(ready, body, name)
    assert staged.look is None
    assert words in staged.failed
    assert "Traceback" not in staged.failed and str(ready.settings.data_dir) not in staged.failed


def test_names_that_promise_something_else_are_refused_at_once(ready: App) -> None:
    for name in ("a.exe", "", "a", "../a.png"):
        with pytest.raises(Invalid, match="is no .csv"):
            ready.importing.upload(OLGA, name, io.BytesIO(CSV))
    with pytest.raises(Invalid, match="is empty"):
        ready.importing.upload(OLGA, "a.csv", io.BytesIO(b""))
    ready.settings.upload_max_mb = 0.0001
    with pytest.raises(Invalid, match="larger than"):
        ready.importing.upload(OLGA, "a.csv", io.BytesIO(CSV))
    assert list(ready.importing.folder.iterdir()) == []


def test_a_bomb_is_not_unpacked(ready: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming.Counted.__init__, "__defaults__", (2**22,))
    staged = looked(ready, gzip.compress(CSV + b"2026-03-01 10:00:00,web-1,1,1\n" * 300_000))
    assert staged.look is not None and staged.about.size_bytes < 2**16
    ready.importing.check(OLGA, staged.about.id, staged.look.mapping)
    staged = settled(ready, staged.about.id)
    assert staged.report is None
    assert "holds more than" in staged.failed
    assert [p.name for p in ready.importing.folder.rglob("*.parquet")] == []


def test_parquet_that_claims_too_many_rows_is_refused(ready: App, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incoming, "MOST_ROWS", 1000)
    out = io.BytesIO()
    parquet.write_table(pa.table({"t": np.zeros(1001, "datetime64[ms]"), "v": np.zeros(1001)}), out)
    assert "1,000 rows" in looked(ready, out.getvalue(), "a.parquet").failed


def test_parquet_columns_of_every_type_are_understood(ready: App) -> None:
    at = datetime(2026, 3, 1, 10, tzinfo=UTC)
    out = io.BytesIO()
    table = pa.table(
        {
            "when": pa.array([at, at + timedelta(minutes=1), None], pa.timestamp("us", "Europe/Berlin")),
            "int": pa.array([1, None, 3], pa.int32()),
            "big": pa.array([2**60 + 1, 2, 3], pa.int64()),
            "dec": pa.array([Decimal("1.25"), Decimal("2.50"), None], pa.decimal128(9, 2)),
            "flag": pa.array([True, False, True]),
            "f": pa.array([1.5, float("nan"), 2.0], pa.float32()),
            "host": pa.array(["a", "b", "a"]).dictionary_encode(),
        }
    )
    parquet.write_table(table, out)
    staged = checked(ready, out.getvalue(), "a.parquet")
    assert staged.report is not None, staged.failed
    assert (staged.report.samples, staged.report.missing, staged.report.inexact) == (9, 1, 1)
    assert staged.report.reasons == {"has no time": 1}
    ready.importing.store(OLGA, staged.about.id)
    settled(ready, staged.about.id)
    found = content(ready)
    assert found["dec{host=a}"] == [(to_ms(at), 1.25)]
    assert found["flag{host=b}"] == [(to_ms(at) + 60_000, 0.0)]
    assert np.isnan(found["f{host=b}"][0][1])


def test_parquet_columns_of_one_name_or_with_parts_are_told_apart(ready: App) -> None:
    out = io.BytesIO()
    when = pa.array([datetime(2026, 3, 1, 10)], pa.timestamp("ns"))  # noqa: DTZ001
    columns = [when, pa.array([1.0]), pa.array([2.0]), pa.array([{"v": 9.0}]), pa.array([3.0])]
    parquet.write_table(pa.Table.from_arrays(columns, ["t", "v", "v", "s", "s.v"]), out)
    staged = looked(ready, out.getvalue(), "a.parquet")
    assert staged.look is not None, staged.failed
    kept = [replace(c, role=Is.SKIP) if c.source in ("v", "s") else c for c in staged.look.mapping.columns]
    ready.importing.check(OLGA, staged.about.id, replace(staged.look.mapping, columns=tuple(kept)))
    ready.importing.store(OLGA, settled(ready, staged.about.id).about.id)
    settled(ready, staged.about.id)
    assert {name: rows[0][1] for name, rows in content(ready).items()} == {"v_2{}": 2.0, "s_v{}": 3.0}


def test_openmetrics_comes_whole_or_not_at_all(ready: App) -> None:
    at = to_ms(datetime(2026, 3, 1, 10, tzinfo=UTC)) / 1000
    lines = [
        "# TYPE lat histogram",
        f'lat_bucket{{le="0.1",host="a\\nb"}} 3 {at} # {{trace_id="x"}} 0.05 {at}',
        f'lat_bucket{{le="+Inf",host="a\\nb"}} 5 {at}',
        f'lat_count{{host="a\\nb"}} 5 {at}',
        f'lat_count{{host="a\\nb"}} 9 {at + 15.25}',
    ]
    body = "\n".join(lines).encode()
    staged = looked(ready, body + b"\n# EOF\n", "a.om")
    assert staged.look is not None
    assert (staged.look.kind, staged.look.mapping.time_format) == (Kind.OPENMETRICS, TimeFormat.SECONDS)
    cut = checked(ready, body, "a.om")
    assert cut.report is None and "breaks off before its end" in cut.failed
    assert stored(ready, body + b"\n# EOF\n", "a.om", labels={"job": "x"})["written"] == 4
    found = content(ready)
    assert found["lat_count{host=a\nb,job=x}"] == [(round(at * 1000), 5.0), (round(at * 1000) + 15_250, 9.0)]
    assert found["lat_bucket{host=a\nb,job=x,le=+Inf}"] == [(round(at * 1000), 5.0)]


def test_a_page_without_times_says_that_it_is_no_history(ready: App) -> None:
    page = b'# TYPE a counter\na{x="1 2"} 5\na{x="} 3"} 6\nb 17\n'
    staged = checked(ready, page, "a.prom")
    assert staged.look is not None and "no history. Connect the exporter" in staged.look.notes[0]
    assert staged.report is not None and staged.report.reasons == {"has no time": 3}


def test_the_older_text_format_has_milliseconds_and_no_end(ready: App) -> None:
    body = b"".join(b'up{host="a"} 1 %d\n' % (1_772_359_200_000 + n * 15_000) for n in range(50))
    staged = checked(ready, body, "a.prom")
    assert staged.report is not None, staged.failed
    assert (staged.report.samples, staged.report.bad) == (50, 0)
    assert staged.report.last_ms == 1_772_359_200_000 + 49 * 15_000


def test_what_the_app_exports_comes_back_as_the_same_series(ready: App) -> None:
    ts = to_ms(ready.clock()) - np.arange(100, dtype=np.int64)[::-1] * 60_000
    block = Block("node_load1", {"instance": "web-1:9100", "path": "/a b,c=d"}, ts, np.arange(100) / 3)
    ready.samples.append(7, [block])
    series = ready.samples.find(source_id=7)
    with ready.store.read() as cursor:
        frame = cursor.execute("SELECT series_id, ts AT TIME ZONE 'UTC' AS ts, value FROM samples").df()
    for format_ in Format:
        body = write(frame, series, format_)
        source = ready.collection.sources.add(SourceDraft(f"back {format_}", kind=SourceKind.IMPORT))
        assert stored(ready, body, f"a.{format_}", into=source.id)["written"] == 100
        (back,) = ready.samples.find(source_id=source.id)
        assert back.metric == "node_load1" and back.labels["instance"] == "web-1:9100"
        one = ready.samples.stats([back.id])[0]
        assert (one.count, one.last_value) == (100, 33.0)


HOSTILE = (
    'say "hi"',
    "C:\\new\\",
    "two\nlines",
    "car\rriage\r\n",
    'a="b",c="d"}',
    "}",
    "{",
    "{}",
    " # 1 2",
    "=cmd|' /C calc'!A0",
    " both ends ",
    "\t",
    "'quoted'",
    "a;b|c,d",
    "\u202eright to left\u2028",
    "日本 ٣ 😀",
    "nan",
    '\\"',
    "<script>alert(1)</script>",
    "x" * 1000,
)


def test_an_export_with_hostile_labels_comes_back_value_by_value(ready: App) -> None:
    ts = to_ms(ready.clock()) - np.arange(5, dtype=np.int64)[::-1] * 60_000
    blocks = [
        Block("m", {"instance": text, "job": f"j{n % 2}", "odd.name": text}, ts, np.arange(5) + n / 3)
        for n, text in enumerate(HOSTILE)
    ]
    ready.samples.append(7, [*blocks, Block("m", {"job": "bare"}, ts, np.array([1, np.inf, -np.inf, 2.0**53, 5e-324]))])
    series = ready.samples.find(source_id=7)
    window = Window(ready.clock() - timedelta(hours=1), ready.clock() + timedelta(seconds=1))
    for format_ in Format:
        body = ready.exploration.export(OLGA, [one.id for one in series], window, format_)
        source = ready.collection.sources.add(SourceDraft(f"back {format_}", kind=SourceKind.IMPORT))
        assert stored(ready, body, f"a.{format_}", into=source.id)["written"] == 5 * len(series)
        back = ready.samples.find(source_id=source.id)
        assert {frozenset(one.labels.items()) for one in back} == {frozenset(one.labels.items()) for one in series}
        same = {frozenset(one.labels.items()): one.id for one in back}
        for one in series:
            values = [
                ready.samples.read([number], window)["value"].tolist()
                for number in (one.id, same[frozenset(one.labels.items())])
            ]
            assert values[0] == values[1]


def test_samples_go_into_a_connected_source_and_continue_its_series(ready: App) -> None:
    source = ready.collection.sources.add(SourceDraft("Prom", "http://127.0.0.1:9"))
    at = to_ms(datetime(2026, 3, 11, 10, tzinfo=UTC))
    ready.samples.append(source.id or 0, [Block("mem", {"host": "web-1"}, np.array([at]), np.array([5.0]))])
    staged = checked(ready, CSV, into=source.id)
    assert staged.report is not None
    assert (staged.report.known, staged.report.different, staged.report.source_name) == (1, 1, "Prom")
    ready.importing.store(OLGA, staged.about.id)
    assert settled(ready, staged.about.id).done == {
        "source_id": source.id,
        "source": "Prom",
        "written": 65,
        "known": 1,
    }
    assert content(ready)["mem{host=web-1}"][-1] == (at, 5.0)
    with pytest.raises(Conflict, match="already"):
        ready.importing.check(OLGA, looked(ready, CSV).about.id, staged.report.mapping, name="Prom")


def test_a_source_removed_meanwhile_gets_nothing(ready: App) -> None:
    source = ready.collection.sources.add(SourceDraft("Prom", "http://127.0.0.1:9"))
    staged = checked(ready, CSV, into=source.id)
    ready.collection.sources.remove(source.id or 0)
    ready.importing.store(OLGA, staged.about.id)
    assert "no source number" in settled(ready, staged.about.id).failed
    assert content(ready) == {}


def test_samples_older_than_kept_are_left_out_and_said(ready: App) -> None:
    ready.settings.archive_raw_days, ready.settings.archive_hot_days = 5, 2
    staged = checked(ready, CSV)
    assert staged.report is not None
    assert (staged.report.expired, staged.report.samples) == (48, 18)  # the 9th to the 11th are kept


def test_what_was_checked_is_what_is_stored(ready: App) -> None:
    staged = looked(ready, CSV)
    with pytest.raises(Conflict, match="checked first"):
        ready.importing.store(OLGA, staged.about.id)
    staged = checked(ready, CSV)
    path = ready.importing.folder / staged.about.id / "checked" / "samples.parquet"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    ready.importing.store(OLGA, staged.about.id)
    assert "changed on the disk" in settled(ready, staged.about.id).failed
    assert content(ready) == {} and ready.collection.sources.all() == []


def test_a_full_disk_stores_nothing_and_leaves_no_source(ready: App, monkeypatch: pytest.MonkeyPatch) -> None:
    staged = checked(ready, CSV)

    def full(*_: Any) -> None:
        raise StoreFull("The disk is full.")

    monkeypatch.setattr(ready.importing.intake, "take", full)
    ready.importing.store(OLGA, staged.about.id)
    assert "disk is full" in settled(ready, staged.about.id).failed
    assert ready.collection.sources.all() == []


def test_a_file_on_the_server_can_be_picked_and_stays(ready: App, tmp_path: Path) -> None:
    ready.importing.files.mkdir(parents=True)
    (ready.importing.files / "here.csv").write_bytes(CSV)
    (tmp_path / "secret.csv").write_bytes(CSV)
    (ready.importing.files / "link.csv").symlink_to(tmp_path / "secret.csv")
    assert ready.importing.offered(OLGA) == ["here.csv"]
    for name in ("link.csv", "../secret.csv", "nothing.csv"):
        with pytest.raises(NotFound):
            ready.importing.pick(OLGA, name)
    staged = settled(ready, ready.importing.pick(OLGA, "here.csv"))
    assert staged.look is not None
    ready.importing.discard(OLGA, staged.about.id)
    assert (ready.importing.files / "here.csv").exists()
    with pytest.raises(NotFound):
        ready.importing.get(OLGA, staged.about.id)


def test_what_nobody_went_on_with_is_removed_after_a_day(ready: App, clock: FakeClock) -> None:
    staged = looked(ready, CSV)
    ready.collection.sources.add(SourceDraft("did not come about", kind=SourceKind.IMPORT))
    clock.now = datetime.now(UTC)
    ready.importing.tidy()
    assert ready.importing.get(OLGA, staged.about.id).look is not None
    assert ready.collection.sources.all() == []
    clock.advance(days=2)
    ready.importing.tidy()
    assert list(ready.importing.folder.iterdir()) == []


def test_only_operators_import(ready: App) -> None:
    staged = looked(ready, CSV)
    assert staged.look is not None
    service, import_id, mapping = ready.importing, staged.about.id, staged.look.mapping
    for call in (
        lambda: service.upload(ANN, "a.csv", io.BytesIO(CSV)),
        lambda: service.offered(ANN),
        lambda: service.pick(ANN, "a.csv"),
        lambda: service.get(ANN, import_id),
        lambda: service.brought(ANN),
        lambda: service.read_again(ANN, import_id, Reading()),
        lambda: service.preview(ANN, import_id, mapping),
        lambda: service.targets(ANN),
        lambda: service.errors(ANN, import_id),
        lambda: service.check(ANN, import_id, mapping),
        lambda: service.store(ANN, import_id),
        lambda: service.discard(ANN, import_id),
    ):
        with pytest.raises(Forbidden):
            call()
    for wrong in ("../../etc", "", "0" * 16, "*"):
        with pytest.raises(NotFound):
            service.get(OLGA, wrong)


def test_files_as_wide_as_may_be_are_taken(ready: App) -> None:
    names = ",".join(f"a rather long name of column {n}" for n in range(1999))
    row = ",".join(["123456.789"] * 1999)
    body = f"time,{names}\n" + "".join(f"2026-03-01 10:{n:02}:00,{row}\n" for n in range(60))
    staged = checked(ready, body.encode())
    assert staged.report is not None, staged.failed
    assert (staged.report.samples, staged.report.series) == (1999 * 60, 1999)
    assert len(ready.importing.preview(OLGA, staged.about.id, staged.report.mapping)) == 200


def test_long_rows_do_not_pile_up(ready: App) -> None:
    long = b"x" * 900_000
    staged = checked(ready, CSV + b"".join(b"2026-03-12 10:00,%s,1,1\n" % long for _ in range(40)))
    assert staged.report is not None, staged.failed
    assert staged.report.reasons == {incoming.NOT_READ: 40}


def test_roles_are_guessed_for_common_layouts(ready: App) -> None:
    cases = {
        b"ts,name,value,dc\n1772359200,load,1,eu\n1772359260,load,2,eu\n": ["time", "metric", "value", "label"],
        b"id,timestamp,temp,id2\n7,1772359200000,1.5,x\n8,1772359260000,2,y\n": ["leave out", "time", "value", "label"],
        b"Date,Open,Close\n03/14/2025,1,2\n03/15/2025,3,4\n": ["time", "value", "value"],
    }
    for body, roles in cases.items():
        look = looked(ready, body).look
        assert look is not None
        assert [column.role for column in look.mapping.columns] == [Is(role) for role in roles], body


def test_a_running_step_is_waited_for(app: App) -> None:
    import_id = app.importing.upload(OLGA, "a.csv", io.BytesIO(CSV))  # nothing works on it: the runner was not started
    staged = app.importing.get(OLGA, import_id)
    assert staged.running is not None and staged.look is None
    with pytest.raises(Conflict, match="under way"):
        app.importing.store(OLGA, import_id)
    app.jobs.cancel(OLGA, staged.running.id or 0)
    assert "cancelled" in app.importing.get(OLGA, import_id).failed
    with app.database.session() as session:
        assert {task.status for task in session.exec(select(Task)).all()} == {TaskStatus.CANCELLED}
