from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lib.api import server
from lib.app import App
from lib.auth.actor import Role
from lib.db.tables import Source, User
from lib.frames import Block, to_ms
from lib.store.findings import Anomaly

ENDPOINTS = ("/api/v1/status", "/api/v1/anomalies", "/api/v1/metrics")


def add_anomalies(app: App, count: int, host: str = "web-01", minutes: int = 10) -> None:
    now = app.clock()
    found = []
    for number in range(count):
        start = now - timedelta(minutes=minutes * (number + 1))
        reason = {"sentence": f"number {number}", "contributors": [{"title": "cpu", "metric": "cpu", "unit": "%"}]}
        found.append(
            Anomaly(
                1, 1, host, start, start, 3.0, 0.9, "major", reason, start + timedelta(minutes=5), 7, 9.0, 2.0, 1.0, 3.0
            )
        )
    app.detection.findings.save_anomalies(found)


@pytest.fixture
def known(client: TestClient, key_of: Callable[[Role], str]) -> TestClient:
    """The client with a viewer's key."""
    client.headers["Authorization"] = f"Bearer {key_of(Role.VIEWER)}"
    return client


@pytest.mark.parametrize("path", ENDPOINTS)
def test_strangers_are_refused_where_guests_are_not_welcome(client: TestClient, no_guests: None, path: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "unauthenticated" and "X-API-Key" in answer.json()["error"]["message"]
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize("path", ENDPOINTS)
def test_guests_may_read_until_a_real_source_is_there(app: App, client: TestClient, path: str) -> None:
    assert client.get(path).status_code == 200
    with app.database.session() as session:
        session.add(Source(name="shop", kind="prometheus", url="http://127.0.0.1:9"))
    assert client.get(path).status_code == 401


@pytest.mark.parametrize("path", ENDPOINTS)
@pytest.mark.parametrize("header", ["Authorization", "X-API-Key"])
def test_a_key_opens_in_either_header(client: TestClient, no_guests: None, key_of, path: str, header: str) -> None:
    key = key_of(Role.VIEWER)
    value = f"Bearer {key}" if header == "Authorization" else key
    assert client.get(path, headers={header: value}).status_code == 200


@pytest.mark.parametrize("value", ["ao_" + "x" * 43, "nonsense", "Basic YTpi", "ao_ü", "'; DROP TABLE users; --"])
def test_a_wrong_key_is_refused_even_where_guests_are_welcome(client: TestClient, value: str) -> None:
    answer = client.get("/api/v1/status", headers={"X-API-Key": value.encode()})
    assert answer.status_code == 401
    assert value not in answer.text


def test_a_revoked_key_ends_at_once_and_so_does_a_disabled_owner(app: App, known: TestClient, no_guests: None) -> None:
    assert known.get("/api/v1/status").status_code == 200
    (key, _), *_ = app.administration.keys.list()
    with app.database.session() as session:
        owner = session.get(User, key.user_id)
        assert owner is not None
        owner.disabled = True
    assert known.get("/api/v1/status").status_code == 401
    with app.database.session() as session:
        session.get(User, key.user_id).disabled = False  # type: ignore[union-attr]
    assert known.get("/api/v1/status").status_code == 200
    app.administration.keys.revoke(key.id or 0)
    assert known.get("/api/v1/status").status_code == 401


def test_a_key_in_the_address_is_refused_and_nowhere_logged(
    client: TestClient, key_of, caplog: pytest.LogCaptureFixture, no_guests: None
) -> None:
    key = key_of(Role.ADMIN)
    logging.getLogger("lib").propagate = True
    with caplog.at_level(logging.DEBUG):
        answers = [client.get(f"/api/v1/status?{name}={key}") for name in ("api_key", "token", "host")]
    logging.getLogger("lib").propagate = False
    assert [a.status_code for a in answers] == [400, 400, 400]
    told = [record.getMessage() for record in caplog.records if not record.name.startswith("httpx")]
    assert not any(key in line for line in told)


@pytest.mark.parametrize(
    ("site", "expected"), [(None, 200), ("same-origin", 200), ("none", 200), ("cross-site", 401), ("same-site", 401)]
)
def test_a_signed_in_browser_reads_only_from_our_own_pages(
    app: App, client: TestClient, no_guests: None, user_of, site: str | None, expected: int
) -> None:
    client.cookies.set("autoops_session", app.administration.sessions.open(user_of(Role.VIEWER)))
    headers = {"Sec-Fetch-Site": site} if site else {}
    assert client.get("/api/v1/status", headers=headers).status_code == expected


def test_a_forged_cookie_is_a_stranger(client: TestClient, no_guests: None) -> None:
    client.cookies.set("autoops_session", "0" * 43)
    assert client.get("/api/v1/status").status_code == 401


def test_status_counts_what_is_there(app: App, known: TestClient) -> None:
    now_ms = to_ms(app.clock())
    app.samples.append(1, [Block("up", {"host": "a"}, now_ms - np.arange(5)[::-1] * 1000, np.ones(5))])
    add_anomalies(app, 2)
    body = known.get("/api/v1/status").json()
    assert (body["samples"], body["series"], body["anomalies"], body["anomalies_open"]) == (5, 1, 2, 0)
    assert body["state"] == "ok" and body["parts"]["database"]["message"] == "sqlite"
    assert body["tasks"]["running"] == 0 and body["sources"] == []


def test_metrics_are_listed_in_pages(app: App, known: TestClient) -> None:
    now_ms = to_ms(app.clock())
    blocks = [Block(f"metric_{n}_total", {"host": "a"}, np.array([now_ms]), np.array([np.nan])) for n in range(5)]
    app.samples.append(1, blocks)
    first = known.get("/api/v1/metrics?limit=2").json()
    assert first["total"] == 5 and [row["metric"] for row in first["items"]] == ["metric_0_total", "metric_1_total"]
    assert first["items"][0]["kind"] == "counter" and first["items"][0]["last"].startswith("2026-03-14T12:00:00")
    assert known.get("/api/v1/metrics?offset=4").json()["items"][0]["metric"] == "metric_4_total"
    assert known.get("/api/v1/metrics?offset=5").json()["items"] == []


def test_anomalies_of_the_window_newest_first_with_their_reason(app: App, known: TestClient) -> None:
    add_anomalies(app, 3)
    add_anomalies(app, 1, "db-01", minutes=60 * 48)
    body = known.get("/api/v1/anomalies").json()
    assert [item["sentence"] for item in body["items"]] == ["number 0", "number 1", "number 2"]
    first = body["items"][0]
    assert (first["host"], first["severity"], first["actual"], first["unit"]) == ("web-01", "major", 9.0, "%")
    assert first["start"].startswith("2026-03-14T11:50:00") and body["next"] is None
    assert len(known.get("/api/v1/anomalies?window=3d").json()["items"]) == 4
    assert [i["host"] for i in known.get("/api/v1/anomalies?window=3d&host=db-01").json()["items"]] == ["db-01"]
    assert known.get("/api/v1/anomalies?host=nobody").json()["items"] == []
    exact = known.get("/api/v1/anomalies", params={"window": "2026-03-14T11:45+00:00/2026-03-14T13:00+01:00"})
    assert len(exact.json()["items"]) == 2  # the second one overlaps
    unescaped = known.get("/api/v1/anomalies?window=2026-03-14T11:45+00:00/2026-03-14T12:00Z")
    assert unescaped.json()["items"] == exact.json()["items"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 25])
def test_pages_hold_each_anomaly_once_even_when_new_ones_arrive(app: App, known: TestClient, limit: int) -> None:
    add_anomalies(app, 15)
    add_anomalies(app, 8, "db-01")  # begin in the same milliseconds as the others
    wanted = {item["id"] for item in known.get("/api/v1/anomalies?limit=1000").json()["items"]}
    seen: list[int] = []
    cursor = None
    for page in range(30):
        body = known.get("/api/v1/anomalies", params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        assert len(body["items"]) <= limit
        seen += [item["id"] for item in body["items"]]
        if page == 0:
            add_anomalies(app, 1, "late", minutes=1)
        cursor = body["next"]
        if cursor is None:
            break
    assert len(wanted) == 23 and seen[: len(wanted)] and sorted(seen) == sorted(wanted)


def test_an_anomaly_that_goes_on_has_no_end_and_unknown_numbers_are_null(app: App, known: TestClient) -> None:
    start = app.clock() - timedelta(minutes=1)
    anomaly = Anomaly(1, 1, "a", start, start, 3.0, 0.9, "minor", {}, actual=float("nan"), expected=float("inf"))
    app.detection.findings.save_anomalies([anomaly])
    item = known.get("/api/v1/anomalies").json()["items"][0]
    assert item["end"] is None and item["series_id"] is None and item["actual"] is None and item["expected"] is None


@pytest.mark.parametrize(
    "query",
    [
        "window=yesterdayish",
        "window=0h",
        "window=99999d",
        "window=2026-03-14/2026-03-13",
        "window=0001-01-01T00:00%2B23:59/0001-01-02",
        "window=" + "9" * 79 + "d",
        "window=1.5.5h",
        "window=%00/%00",
        "limit=0",
        "limit=1001",
        "limit=abc",
        "cursor=AAAA",
        "cursor=" + "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTku" + "MQ",
        "cursor=%F0%9F%98%80",
        "host=" + "x" * 257,
    ],
)
def test_what_cannot_be_read_is_said_so(known: TestClient, query: str) -> None:
    answer = known.get(f"/api/v1/anomalies?{query}")
    assert answer.status_code == 422, answer.text
    assert answer.json()["error"]["code"] == "invalid" and len(answer.json()["error"]["message"]) > 20


@pytest.mark.parametrize("host", ["' OR 1=1 --", "<script>alert(1)</script>", "\x00", "\U0001f600", "%", "../../etc"])
def test_hostile_hosts_are_only_names_nobody_has(app: App, known: TestClient, host: str) -> None:
    add_anomalies(app, 1)
    answer = known.get("/api/v1/anomalies", params={"host": host})
    assert answer.status_code == 200 and answer.json()["items"] == []


def test_unknown_addresses_and_methods_are_json_too(known: TestClient) -> None:
    missing, wrong = known.get("/api/v1/nothing"), known.delete("/api/v1/status")
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")


def test_what_goes_wrong_inside_stays_inside(app: App, known: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("secret path /srv/data and sk-abcdef123456")

    monkeypatch.setattr(app.exploration, "metrics", broken)
    answer = known.get("/api/v1/metrics")
    assert answer.status_code == 500
    assert answer.json()["error"]["code"] == "error" and "secret" not in answer.text and "sk-" not in answer.text


def test_a_caller_who_asks_too_often_waits_and_others_do_not(app: App, key_of, no_guests: None) -> None:
    app.settings.api_rate_per_minute = 3
    client = TestClient(Starlette(routes=server.routes(lambda: app)))
    viewer, admin = key_of(Role.VIEWER), key_of(Role.ADMIN)
    answers = [client.get("/api/v1/status", headers={"X-API-Key": viewer}) for _ in range(4)]
    assert [a.status_code for a in answers] == [200, 200, 200, 429]
    assert answers[3].json()["error"]["code"] == "too_many" and 1 <= int(answers[3].headers["Retry-After"]) <= 20
    assert client.get("/api/v1/status", headers={"X-API-Key": admin}).status_code == 200
    assert client.get("/health").status_code == 200


def test_guessing_keys_is_slowed_down_by_address(app: App, key_of, no_guests: None) -> None:
    app.settings.api_rate_per_minute = 5
    client = TestClient(Starlette(routes=server.routes(lambda: app)))
    codes = [client.get("/api/v1/status", headers={"X-API-Key": f"ao_{n}"}).status_code for n in range(8)]
    assert codes == [401] * 5 + [429] * 3


def test_other_origins_may_read_only_when_listed(app: App, key_of) -> None:
    app.settings.cors_origins = "https://ops.example, https://other.example/"
    client = TestClient(Starlette(routes=server.routes(lambda: app)))
    listed = client.get("/api/v1/status", headers={"Origin": "https://other.example"})
    assert listed.headers["access-control-allow-origin"] == "https://other.example"
    assert "access-control-allow-credentials" not in listed.headers
    unlisted = client.get("/api/v1/status", headers={"Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in unlisted.headers
    asked = client.options(
        "/api/v1/status",
        headers={"Origin": "https://ops.example", "Access-Control-Request-Method": "GET",
                 "Access-Control-Request-Headers": "x-api-key"},
    )  # fmt: skip
    assert asked.status_code == 200 and asked.headers["access-control-allow-origin"] == "https://ops.example"


def test_no_origin_may_read_by_default(client: TestClient) -> None:
    answer = client.get("/api/v1/status", headers={"Origin": "https://ops.example"})
    assert "access-control-allow-origin" not in answer.headers


def test_unauthenticated_writes_never_count_as_guests(app: App, client: TestClient) -> None:
    assert client.post("/api/v1/status").status_code == 405
    assert client.get("/api/v1/status", headers={"Authorization": "Bearer "}).status_code == 200  # no key at all


def test_a_made_up_forwarded_address_does_not_start_the_count_anew(app: App, no_guests: None) -> None:
    app.settings.api_rate_per_minute = 3
    client = TestClient(Starlette(routes=server.routes(lambda: app)))

    def ask(number: int) -> int:
        return client.get("/api/v1/status", headers={"X-Forwarded-For": f"10.0.0.{number}"}).status_code

    assert [ask(number) for number in range(4)] == [401, 401, 401, 429]
    app.settings.trusted_proxies = 1
    assert ask(9) == 401
