from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from starlette.applications import Starlette
from starlette.testclient import TestClient

from lib.api import server
from lib.app import App
from lib.auth.actor import Role
from lib.errors import StoreBusy

ROOT = Path(__file__).resolve().parents[2]


def test_health_names_each_part(client: TestClient) -> None:
    answer = client.get("/health")
    assert answer.status_code == 200
    body = answer.json()
    assert body["state"] == "ok" and body["version"]
    assert set(body["parts"]) == {"store", "database", "tasks", "schedule", "sources", "providers"}
    assert client.head("/health").status_code == 200


def test_strangers_learn_states_and_nothing_else(client: TestClient, no_guests: None, key_of) -> None:
    assert all(set(part) == {"state"} for part in client.get("/health").json()["parts"].values())
    known = client.get("/health", headers={"X-API-Key": key_of(Role.VIEWER)}).json()
    assert known["parts"]["database"]["message"] == "sqlite"
    wrong = client.get("/health", headers={"X-API-Key": "ao_wrong"})
    assert wrong.status_code == 200 and set(wrong.json()["parts"]["store"]) == {"state"}


def test_health_is_503_when_the_store_is_gone_and_hides_why_from_strangers(
    app: App, client: TestClient, no_guests: None
) -> None:
    app.store.close()
    answer = client.get("/health")
    assert answer.status_code == 503
    assert answer.json()["parts"]["store"] == {"state": "down"}


def test_an_app_that_cannot_be_built_is_503_in_words_everywhere(settings) -> None:
    def busy() -> App:
        raise StoreBusy("Process 4711 holds data/metrics.duckdb; stop it first.", pid=4711)

    web = Starlette(routes=server.routes(busy), middleware=server.middleware(lambda: settings))
    client = TestClient(web, raise_server_exceptions=False)
    health = client.get("/health")
    assert health.status_code == 503 and health.json()["error"]["code"] == "store_busy"
    assert "4711" not in health.text
    for path in ("/metrics", "/api/v1/status", "/api/docs"):
        answer = client.get(path)
        assert answer.status_code == 503 and answer.json()["error"]["code"] == "store_busy"


def test_documentation_asks_no_other_server(client: TestClient) -> None:
    page = client.get("/api/docs")
    assert page.status_code == 200 and "http:" not in page.text and "https:" not in page.text
    script = client.get("/api/docs/swagger-ui-bundle.js")
    assert script.headers["content-type"].startswith("text/javascript") and "SwaggerUIBundle" in script.text
    plain = client.get("/api/docs/swagger-ui.css", headers={"Accept-Encoding": "identity"})
    assert "content-encoding" not in plain.headers and ".swagger-ui" in plain.text
    assert client.get("/api/docs/start.js").status_code == 200
    for name in ("..%2Fserver.py", "README.md", "LICENSE"):
        assert client.get(f"/api/docs/{name}").status_code == 404
    assert client.get("/api", follow_redirects=False).headers["location"] == "api/docs"


def test_description_documents_the_endpoints_and_their_errors(client: TestClient) -> None:
    described = client.get("/api/openapi.json").json()
    assert described["servers"] == [{"url": "/api"}]
    assert {"/v1/status", "/v1/anomalies", "/v1/metrics"} <= set(described["paths"])
    for method in (method for path in described["paths"].values() for method in path.values()):
        assert {"401", "403", "422", "429"} <= set(method["responses"])
        assert set(method["responses"]) & {"200", "201", "202", "204"}
        assert method["security"]


def test_importing_the_routes_does_not_import_fastapi() -> None:
    script = "import sys, lib.api.server; print('fastapi' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_body_over_the_cap_is_refused_whether_it_says_so_or_not(app: App) -> None:
    app.settings.api_body_mb = 0.001
    web = Starlette(routes=server.routes(lambda: app))
    client = TestClient(web, raise_server_exceptions=False)
    said = client.post("/api/v1/status", content=b"x" * 2000)
    assert said.status_code == 413 and said.json()["error"]["code"] == "too_large"
    within = client.post("/api/v1/status", content=b"x" * 500)
    assert within.status_code == 405 and within.json()["error"]["code"] == "method_not_allowed"


def test_the_first_pages_name_leads_home_and_keeps_what_was_asked(client: TestClient) -> None:
    answer = client.get("/overview?source=Demo", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "./?source=Demo")
    assert client.get("/overview", follow_redirects=False).headers["location"] == "./"
