"""How history is cut into questions; that the answers are right is tested against a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from lib.errors import SourceTooLarge
from lib.frames import Window
from lib.prometheus.guard import Guard
from lib.prometheus.history import history
from lib.prometheus.query import DAY, Endpoint, Limits, Wanted, days
from lib.prometheus.read import Reader
from tests.faults.conftest import FaultServer, Request

START = datetime(2026, 3, 1, 6, tzinfo=UTC)


@pytest.fixture
def server() -> Iterator[FaultServer]:
    made = FaultServer(lambda: START + 3 * DAY)
    made.steady("m", START, START + 3 * DAY, step_s=60, series=2)
    yield made
    made.stop()


def asked(server: FaultServer) -> list[str]:
    return [r for r in server.requests if "ms%5D" in r]


def test_days_are_cut_at_midnight_and_miss_nothing() -> None:
    pieces = days(Window(START, START + 2 * DAY))
    assert [p.span for p in pieces] == [timedelta(hours=18), DAY, timedelta(hours=6)]
    assert all(a.end == b.start for a, b in zip(pieces, pieces[1:], strict=False))
    assert days(Window(START, START)) == []


def test_small_days_are_asked_for_together_after_the_first(server: FaultServer) -> None:
    with Reader(Endpoint(server.url), Limits(), Guard()) as reader:
        parts = list(history(reader, [(Wanted(name), Window(START, START + 3 * DAY)) for name in ("m", "nothing")]))
    assert [(p.wanted.name, p.window.span) for p in parts] == [
        ("m", timedelta(hours=18)),
        ("m", timedelta(hours=54)),
        ("nothing", timedelta(hours=18)),
        ("nothing", timedelta(hours=54)),
    ]
    found = np.concatenate([b.ts_ms for p in parts for b in p.matrix if b.labels["instance"] == "host-0:9100"])
    assert found.size == 3 * 1440 and (np.diff(found) == 60_000).all()


def test_days_are_asked_for_together_at_once_where_the_number_of_series_is_known(server: FaultServer) -> None:
    asked_for = [(Wanted(name), Window(START, START + 3 * DAY)) for name in ("m", "nothing")]
    with Reader(Endpoint(server.url), Limits(), Guard()) as reader:
        parts = list(history(reader, asked_for, 60, 3, series={"m": 2}))
        # 100 series a second would be 8.6 M samples a day: no more than a day at a time, and then what was learnt.
        careful = list(history(reader, asked_for[:1], 1, 1, series={"m": 100}))
    assert [p.window.span for p in parts if p.wanted.name == "m"] == [3 * DAY]
    assert [p.window.span for p in careful] == [timedelta(hours=18), timedelta(hours=54)]
    assert sum(p.matrix.samples for p in parts) == sum(p.matrix.samples for p in careful) == 2 * 3 * 1440


def test_a_target_that_is_refused_leaves_the_others(server: FaultServer) -> None:
    def refuses(request: Request) -> None:
        if request.is_read and '"n"' in request.query["query"]:
            request.send(b'{"status":"error","error":"no"}', 400)
        else:
            request.answer()

    server.steady("n", START, START + 3 * DAY, step_s=60, series=2)
    server.fault = refuses
    told: list[str] = []
    asked_for = [(Wanted(name), Window(START, START + 3 * DAY)) for name in ("n", "m")]
    with Reader(Endpoint(server.url), Limits(), Guard()) as reader:
        parts = list(history(reader, asked_for, at_once=3, refused=lambda wanted, error: told.append(wanted.name)))
    assert told == ["n"] and {p.wanted.name for p in parts} == {"m"}
    assert sum(p.matrix.samples for p in parts) == 2 * 3 * 1440


def test_an_answer_over_the_cap_is_asked_for_in_halves(server: FaultServer) -> None:
    window = Window(START, START + DAY)
    with Reader(Endpoint(server.url), Limits(max_bytes=20_000), Guard()) as reader:
        whole = reader.whole(Wanted("m"), window)
    assert len(asked(server)) > 2
    assert [b.ts_ms.size for b in whole] == [1440, 1440]
    assert all((np.diff(b.ts_ms) == 60_000).all() for b in whole)


def test_halving_ends_where_even_a_moment_is_too_large(server: FaultServer) -> None:
    with (
        Reader(Endpoint(server.url), Limits(max_bytes=100), Guard()) as reader,
        pytest.raises(SourceTooLarge),
    ):
        reader.whole(Wanted("m"), Window(START, START + DAY))
    assert len(asked(server)) < 12


def test_a_cap_on_series_is_not_halved_away(server: FaultServer) -> None:
    with (
        Reader(Endpoint(server.url), Limits(max_series=1), Guard()) as reader,
        pytest.raises(SourceTooLarge, match="2 series"),
    ):
        reader.whole(Wanted("m"), Window(START, START + DAY))
    assert len(asked(server)) == 1


def test_leaving_early_ends_the_question_under_way(server: FaultServer) -> None:
    with Reader(Endpoint(server.url), Limits(), Guard()) as reader:
        for part in history(reader, [(Wanted("m"), Window(START, START + 3 * DAY))]):
            assert part.matrix.samples
            break
    assert len(asked(server)) <= 2
