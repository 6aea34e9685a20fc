from __future__ import annotations

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

from lib.api.limits import BodyLimit, NoKeysInUrl, RateLimit, TooLarge, problem

KEY = "ao_Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6"


class Ticks:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_minutes_worth_then_wait_then_go_on() -> None:
    ticks = Ticks()
    limit = RateLimit(60, ticks)
    assert [limit.take("a") for _ in range(60)] == [0.0] * 60
    assert limit.take("a") == pytest.approx(1.0)
    assert limit.take("b") == 0.0
    ticks.now = 1.0
    assert limit.take("a") == 0.0
    assert limit.take("a") > 0


def test_waiting_long_saves_no_more_than_a_minute() -> None:
    ticks = Ticks()
    limit = RateLimit(5, ticks)
    limit.take("a")
    ticks.now = 3600.0
    assert sum(limit.take("a") == 0.0 for _ in range(20)) == 5


def test_looking_costs_nothing() -> None:
    limit = RateLimit(1, Ticks())
    assert [limit.take("a", 0) for _ in range(5)] == [0.0] * 5
    assert limit.take("a") == 0.0
    assert limit.take("a", 0) > 0


def test_callers_kept_are_bounded_and_the_longest_unseen_goes() -> None:
    limit = RateLimit(1, Ticks(), callers=100)
    for number in range(1000):
        limit.take(f"caller {number}")
    assert len(limit._buckets) == 100
    assert limit.take("caller 999") > 0


async def echo(request: Request) -> Response:
    return PlainTextResponse(str(len(await request.body())))


def test_body_over_the_cap_is_refused_whether_it_says_so_or_not() -> None:
    async def refuse(request: Request, error: Exception) -> Response:
        assert isinstance(error, TooLarge)
        return problem(error)

    web = Starlette(
        routes=[Route("/", echo, methods=["POST"])],
        middleware=[Middleware(BodyLimit, most_bytes=100)],
        exception_handlers={TooLarge: refuse},
    )
    client = TestClient(web)
    assert client.post("/", content=b"x" * 100).text == "100"
    said = client.post("/", content=b"x" * 101)
    assert said.status_code == 413 and said.json()["error"]["code"] == "too_large"
    dripped = client.post("/", content=iter([b"x" * 60, b"x" * 60]))
    assert dripped.status_code == 413 and dripped.json()["error"]["code"] == "too_large"


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/status?api_key={KEY}",
        "/api/v1/status?X-API-KEY=anything",
        "/api/v1/status?access_token=",
        f"/api/v1/status?host={KEY}",
        f"/api/v1/status?host=x%20{KEY.replace('_', '%5F')}",
        f"/api/{KEY}/status",
        f"/metrics?token={KEY}",
        "/health?key=1",
    ],
)
def test_credentials_in_the_address_are_refused(path: str) -> None:
    client = TestClient(NoKeysInUrl(Starlette(routes=[Route("/{any:path}", echo)])))
    answer = client.get(path)
    assert answer.status_code == 400
    assert KEY not in answer.text and "X-API-Key" in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    "path", ["/api/v1/anomalies?host=ao_cache&window=24h", "/explore?token=page-owned", "/api/v1/anomalies?cursor=abc"]
)
def test_other_parameters_pass(path: str) -> None:
    client = TestClient(NoKeysInUrl(Starlette(routes=[Route("/{any:path}", echo)])))
    assert client.get(path).status_code == 200
