from __future__ import annotations

import http.server
import io
import json
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta

import numpy as np
import pandas as pd
import pytest

from benchmarks import parity
from benchmarks.browser import free_port
from lib.app import App
from lib.auth.actor import GUEST, SYSTEM, Actor, Role
from lib.db.tables import Source, SourceKind
from lib.errors import (
    Forbidden,
    Invalid,
    NotFound,
    SourceAnswer,
    SourceDown,
    SourceRefused,
    SourceSlow,
    SourceTooLarge,
    Unavailable,
)
from lib.frames import Block, Window, to_ms, utcnow
from lib.services import promql
from lib.services.collection_sources import SourceDraft
from lib.services.releases import Releases, major

ANALYST = Actor("ada", Role.ANALYST)


@pytest.fixture(scope="module")
def window() -> Window:
    end = utcnow().replace(minute=0, second=0, microsecond=0) - timedelta(hours=1)
    return Window(end - timedelta(hours=2), end)


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory, window: Window) -> Iterator[str]:
    ts_ms = to_ms(window.start) + np.arange(480) * 15_000
    holed = np.delete(np.arange(480), np.arange(200, 280))
    blocks = [
        Block("hits_total", {"instance": "web-1"}, ts_ms, np.arange(480) * 15.0),
        Block("hits_total", {"instance": '"><img src=x>'}, ts_ms[holed], holed * 30.0),
        Block("used_bytes", {}, ts_ms, np.full(480, 5.0)),
        *(Block("many", {"id": str(number)}, ts_ms[:4], np.ones(4)) for number in range(520)),
    ]
    with parity.served(tmp_path_factory.mktemp("promql"), blocks) as url:
        yield url


@pytest.fixture
def live(app: App, prometheus: str) -> int:
    return app.collection.add(SYSTEM, SourceDraft(name="live", url=prometheus)).id or 0


def bundled(app: App, kind: SourceKind) -> int:
    with app.database.session() as session:
        source = Source(name=f"some {kind}", kind=kind)
        session.add(source)
        session.flush()
        return source.id or 0


def test_an_expression_is_answered_and_drawn_and_nothing_is_stored(app: App, live: int, window: Window) -> None:
    answer = app.promql.ask(ANALYST, live, "sum by (instance) (rate(hits_total[5m]))", window)
    assert answer.source == "live" and answer.series == 2 and answer.warnings == ()
    lines = {line.title: line for line in answer.data.lines}
    assert np.nanmax(np.abs(lines["web-1"].value[20:] - 1)) < 1e-9
    gapped = lines['"><img src=x>'].value
    assert np.isnan(gapped).any(), "the line breaks where the server had nothing"
    assert answer.data.step_s == 15
    assert app.samples.find() == []


def test_a_metric_keeps_its_name_and_unit(app: App, live: int, window: Window) -> None:
    answer = app.promql.ask(ANALYST, live, "used_bytes", window)
    assert answer.data.unit == "B"
    assert answer.data.lines[0].series.metric == "used_bytes"
    assert app.promql.ask(ANALYST, live, "1 + 1", window).data.lines[0].value[0] == 2.0


@pytest.mark.parametrize(("days", "step_s"), [(1, 300), (30, 7200), (2000, 604_800)])
def test_the_step_follows_the_window(app: App, live: int, window: Window, days: int, step_s: float) -> None:
    long = Window(window.end - timedelta(days=days), window.end)
    assert app.promql.ask(ANALYST, live, "used_bytes", long).data.step_s == step_s


@pytest.mark.parametrize(
    ("expression", "line", "column"),
    [("sum(", 1, 5), ("rate(hits_total[5m)", 1, 19), ('\n\nhits_total{a="é"} ++ )', 3, 23), ("rate(up)", 1, 6)],
)
def test_the_servers_words_come_with_the_place(
    app: App, live: int, window: Window, expression: str, line: int, column: int
) -> None:
    with pytest.raises(SourceAnswer) as caught:
        app.promql.ask(ANALYST, live, expression, window)
    assert (caught.value.values["line"], caught.value.values["column"]) == (line, column)
    assert "parse error" in caught.value.message


def test_what_is_no_series_is_refused_in_words(app: App, live: int, window: Window) -> None:
    with pytest.raises(SourceAnswer, match="range vector"):
        app.promql.ask(ANALYST, live, "hits_total[5m]", window)


@pytest.mark.parametrize("expression", ["", "  \n", "x" * 4001])
def test_nothing_and_too_much_are_not_sent(app: App, live: int, window: Window, expression: str) -> None:
    with pytest.raises(Invalid):
        app.promql.ask(ANALYST, live, expression, window)


def test_an_answer_without_series_and_a_window_ahead_are_empty(app: App, live: int, window: Window) -> None:
    assert app.promql.ask(ANALYST, live, "no_such_metric", window).data.lines == ()
    ahead = Window(window.end + timedelta(days=9), window.end + timedelta(days=10))
    assert app.promql.ask(ANALYST, live, "used_bytes", ahead).series == 0
    instant = Window(window.end + timedelta(milliseconds=1), window.end + timedelta(milliseconds=5))
    assert app.promql.ask(ANALYST, live, "used_bytes", instant).series == 0


def test_more_series_than_anyone_reads_are_refused(app: App, live: int, window: Window) -> None:
    with pytest.raises(SourceTooLarge, match="520 series"):
        app.promql.ask(ANALYST, live, "many", window)
    some = app.promql.ask(ANALYST, live, 'many{id=~".."}', window)
    assert some.series == 90 and len(some.data.lines) == 50


def test_an_answer_beyond_the_byte_cap_is_ended(
    app: App, live: int, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promql, "MAX_BYTES", 2000)
    with pytest.raises(SourceTooLarge):
        app.promql.ask(ANALYST, live, "many", window)


@pytest.mark.parametrize("kind", [SourceKind.DEMO, SourceKind.MACHINE, SourceKind.SCRAPE])
def test_sources_without_a_server_say_so(app: App, live: int, window: Window, kind: SourceKind) -> None:
    other = bundled(app, kind)
    first, second = app.promql.sources(GUEST)
    assert (first.id, first.why_not) == (live, "")
    assert second.id == other and second.why_not
    with pytest.raises(Unavailable, match="cannot be asked"):
        app.promql.ask(ANALYST, other, "up", window)


def test_a_server_that_is_down_is_told(app: App, window: Window) -> None:
    source = app.collection.add(SYSTEM, SourceDraft(name="gone", url=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(SourceDown, match="connection refused"):
        app.promql.ask(ANALYST, source.id or 0, "up", window)
    with pytest.raises(NotFound):
        app.promql.ask(ANALYST, 999, "up", window)


@pytest.mark.parametrize("actor", [GUEST, Actor("vera", Role.VIEWER)])
def test_asking_takes_the_role_analyst(app: App, live: int, window: Window, actor: Actor) -> None:
    with pytest.raises(Forbidden):
        app.promql.ask(actor, live, "up", window)


def test_the_answer_as_a_file_runs_no_formulas(app: App, live: int, window: Window) -> None:
    answer = app.promql.ask(ANALYST, live, "-hits_total", window)
    rows = pd.read_csv(io.BytesIO(app.promql.export(ANALYST, answer)))
    assert set(rows["metric"]) == {"'-hits_total"}
    assert rows["value"].min() < 0
    with pytest.raises(Invalid):
        app.promql.export(ANALYST, answer, "exe")


# --- servers that misbehave ------------------------------------------------------------------------


@pytest.fixture
def misbehaving(app: App) -> Iterator[Callable[[Callable[[http.server.BaseHTTPRequestHandler], None]], int]]:
    """A source whose server answers each request as told."""
    servers = []

    def made(answer: Callable[[http.server.BaseHTTPRequestHandler], None]) -> int:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answer(self)

            def log_message(self, *_: object) -> None: ...

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        servers.append(server)
        return app.collection.add(SYSTEM, SourceDraft(name="odd", url=f"http://127.0.0.1:{server.server_port}")).id or 0

    yield made
    for server in servers:
        server.shutdown()
        server.server_close()


def send(handler: http.server.BaseHTTPRequestHandler, status: int, body: bytes) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (401, b"no", SourceRefused),
        (200, b"<html>hello", SourceAnswer),
        (200, b'{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,', SourceAnswer),
        (200, b'{"status":"success","data":{"resultType":"vector","result":[]}}', SourceAnswer),
        (200, b'{"status":"error","error":"out of memory"}', SourceAnswer),
    ],
)
def test_answers_that_are_none_become_words(
    app: App, misbehaving: Callable, window: Window, status: int, body: bytes, error: type[Exception]
) -> None:
    source_id = misbehaving(lambda handler: send(handler, status, body))
    with pytest.raises(error):
        app.promql.ask(ANALYST, source_id, "up", window)


def test_a_slow_server_is_given_up_and_told_how_long_it_has(
    app: App, misbehaving: Callable, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, done = [], threading.Event()

    def hang(handler: http.server.BaseHTTPRequestHandler) -> None:
        asked.append(handler.path)
        done.wait(20)

    source_id = misbehaving(hang)
    monkeypatch.setattr(promql, "TIMEOUT_S", 0.5)
    with pytest.raises(SourceSlow):
        app.promql.ask(ANALYST, source_id, "up", window)
    done.set()
    assert len(asked) == 1 and "timeout=0.5s" in asked[0]


def test_odd_moments_and_warnings_are_drawn_and_told(app: App, misbehaving: Callable, window: Window) -> None:
    values = [[to_ms(window.start) / 1000, "NaN"], [to_ms(window.start) / 1000 + 15, "+Inf"]]
    body = {
        "status": "success",
        "warnings": ["one store did not answer"],
        "data": {"resultType": "matrix", "result": [{"metric": {"__name__": "up"}, "values": values}]},
    }
    source_id = misbehaving(lambda handler: send(handler, 200, json.dumps(body).encode()))
    answer = app.promql.ask(ANALYST, source_id, "up", window)
    assert answer.warnings == ("one store did not answer",)
    assert answer.data.lines == () and answer.data.non_finite == 2


def test_a_click_elsewhere_asks_nothing_and_the_next_step_does(
    app: App, live: int, window: Window, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    opened = app.collection.opened
    monkeypatch.setattr(app.collection, "opened", lambda source, *a: (asked.append(source.url), opened(source, *a))[1])
    first = app.promql.ask(ANALYST, live, "used_bytes", window)
    again = Window(window.start + timedelta(seconds=3), window.end + timedelta(seconds=3))
    assert app.promql.ask(ANALYST, live, "used_bytes", again) is first and len(asked) == 1
    app.promql.ask(ANALYST, live, "used_bytes * 2", window)
    app.promql.ask(ANALYST, live, "used_bytes", Window(window.start, window.end + timedelta(seconds=15)))
    assert len(asked) == 3
    with pytest.raises(Forbidden):
        app.promql.ask(GUEST, live, "used_bytes", window)
    for _ in range(2):
        with pytest.raises(SourceAnswer):
            app.promql.ask(ANALYST, live, "used_bytes +", window)
    assert len(asked) == 5, "a failure is not kept"
    monkeypatch.setattr(promql, "KEPT_S", -1.0)
    app.promql.ask(ANALYST, live, "used_bytes", window)
    assert len(asked) == 6


def test_which_release_a_source_runs_is_learnt_beside_a_collection(app: App, live: int, window: Window) -> None:
    releases = Releases(app.collection, app.clock)
    assert releases.of(live) == ""
    releases.learn(live, window)
    assert major(releases.of(live)) == parity.installed()
    for source_id in (bundled(app, SourceKind.DEMO), 999):
        releases.learn(source_id, window)
        assert releases.of(source_id) == ""
    assert [major(one) for one in ("3.5.1", "v2.53.0", "VictoriaMetrics v1.96.0", "")] == [3, 2, None, None]
