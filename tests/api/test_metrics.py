from __future__ import annotations

import re
import subprocess
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from lib.app import App
from lib.db.tables import Source, Target
from lib.frames import Block, to_ms
from lib.llm.fallback import ProviderStatus


def families(client: TestClient) -> dict[str, dict[tuple, float]]:
    text = client.get("/metrics").text
    return {
        family.name: {(sample.name, *sorted(sample.labels.items())): sample.value for sample in family.samples}
        for family in text_string_to_metric_families(text)
    }


def add_source(app: App, name: str) -> int:
    source = Source(name=name, kind="prometheus", url="http://127.0.0.1:9", interval_s=15)
    with app.database.session() as session:
        session.add(source)
    assert source.id is not None
    now = app.clock()
    with app.database.session() as session:
        for name, error in (("up", ""), ("down", "HTTP 500")):
            success = None if error else now
            session.add(
                Target(source_id=source.id, name=name, last_attempt_at=now, last_success_at=success, last_error=error)
            )
    app.samples.append(source.id, [], ("up", now - timedelta(seconds=40)))
    app.samples.append(source.id, [], ("down", now - timedelta(seconds=90)))
    return source.id


def test_promtool_finds_nothing_to_say(app: App, client: TestClient) -> None:
    add_source(app, 'a "quoted"\\ name\nof two lines')
    client.get("/api/v1/status")
    client.get("/nowhere")
    text = client.get("/metrics").text
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_counts_what_is_stored_and_how_far_behind_collection_is(app: App, client: TestClient) -> None:
    source_id = add_source(app, "shop")
    now_ms = to_ms(app.clock())
    app.samples.append(source_id, [Block("up", {"instance": "a"}, now_ms - np.arange(7)[::-1] * 1000, np.ones(7))])
    found = families(client)
    assert found["autoops_samples"][("autoops_samples",)] == 7
    assert found["autoops_series"][("autoops_series",)] == 1
    of_shop = (("kind", "prometheus"), ("source", "shop"))
    assert found["autoops_collection_lag_seconds"][("autoops_collection_lag_seconds", *of_shop)] == 90
    assert found["autoops_targets_failing"][("autoops_targets_failing", *of_shop)] == 1
    assert found["autoops_tasks"][("autoops_tasks", ("status", "failed"))] == 0
    assert found["autoops_part_up"][("autoops_part_up", ("part", "store"))] == 1


def test_what_language_models_were_asked_is_counted(app: App, client: TestClient) -> None:
    told = ProviderStatus(
        "gemini", "model", "host", requests=7, failures=2, tokens_in=900, tokens_out=80, price=(1e-6, 5e-6)
    )
    app.health.providers = lambda: [told]
    found = families(client)
    assert found["autoops_llm_requests"][("autoops_llm_requests_total", ("provider", "gemini"))] == 7
    assert found["autoops_llm_failures"][("autoops_llm_failures_total", ("provider", "gemini"))] == 2
    by_direction = {dict(labels)["direction"]: n for (_, *labels), n in found["autoops_llm_tokens"].items()}
    assert by_direction == {"in": 900, "out": 80}
    cost = found["autoops_llm_cost_usd"][("autoops_llm_cost_usd_total", ("provider", "gemini"))]
    assert cost == pytest.approx(900e-6 + 400e-6)


def test_requests_are_counted_under_few_names(app: App, client: TestClient, no_guests: None) -> None:
    for path in ("/api/v1/status", "/api/v1/status?x=1", "/api/wp-login.php", "/api/v1/none", "/a", "/b", "/_stcore/x"):
        client.get(path)
    client.request("PROPFIND", "/a")
    found = families(client)["autoops_http_requests"]

    def count(method: str, route: str, status: str) -> float:
        labels = (("method", method), ("route", route), ("status", status))
        return found.get(("autoops_http_requests_total", *labels), 0)

    assert count("GET", "/api/v1/status", "401") == 2
    assert count("GET", "/api/other", "404") == 2
    assert count("GET", "page", "404") == 2
    assert count("other", "page", "404") == 1
    assert count("GET", "/_stcore", "404") == 1
    errors = families(client)["autoops_errors"]
    assert errors[("autoops_errors_total", ("code", "unauthenticated"))] == 2


def test_openmetrics_is_spoken_to_those_who_ask(client: TestClient) -> None:
    plain = client.get("/metrics")
    modern = client.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    assert modern.text.endswith("# EOF\n")


def test_a_store_that_cannot_answer_still_gives_the_rest(app: App, client: TestClient) -> None:
    app.store.close()
    found = families(client)
    assert found["autoops_part_up"][("autoops_part_up", ("part", "store"))] == 0
    assert "autoops_samples" not in found


def test_scoring_time_is_a_histogram(app: App, client: TestClient) -> None:
    for seconds in (0.02, 0.02, 0.3, 60.0):
        app.detection.scoring.timings.observe(seconds)
    found = families(client)["autoops_detector_scoring_seconds"]

    def bucket(bound: str) -> float:
        return found[("autoops_detector_scoring_seconds_bucket", ("le", bound))]

    assert [bucket(bound) for bound in ("0.01", "0.025", "0.25", "0.5", "10", "+Inf")] == [0, 2, 2, 3, 3, 4]
    assert found[("autoops_detector_scoring_seconds_count",)] == 4
    assert abs(found[("autoops_detector_scoring_seconds_sum",)] - 60.34) < 1e-9


def test_every_metric_the_guide_names_is_given_out(app: App, client: TestClient) -> None:
    add_source(app, "shop")
    client.get("/api/v1/nothing")
    app.health.providers = lambda: [ProviderStatus("gemini", "model", "host")]
    given = client.get("/metrics").text + client.get("/metrics").text  # the first one counts itself
    guide = (Path(__file__).resolve().parents[2] / "docs" / "how-to" / "api.md").read_text()
    named = set(re.findall(r"\bautoops_[a-z_]+", guide))
    assert len(named) > 10
    assert not {name for name in named if not re.search(rf"^{name}(_count)?[ {{]", given, re.MULTILINE)}
