"""Names that would do something if a page let them: on every page, in a real browser, they are only shown."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import pytest

from benchmarks.browser import Server, serve, settle, sign_in
from lib.app import build
from lib.auth.actor import SYSTEM
from lib.db.tables import Source, SourceKind, TaskStatus
from lib.frames import Block, Window, to_ms, utcnow
from lib.settings import LlmMode, Settings, TaskMode

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Each part is a way out of one context: markup, markdown, Plotly's templates and its links.
HOST = (
    '"><img src=x onerror="window.canary=1"><script>window.canary=2</script>'
    "![x](http://outside.invalid/a.png) [x](javascript:window.canary=3) %{y}"
)
METRIC = "queue_depth"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A host of that name with a detector and an anomaly, and a source and a label that say the same."""
    data = tmp_path_factory.mktemp("hostile") / "data"
    given = Settings(
        data_dir=data, models_dir=data / "models", database_url="", demo=False, prometheus_url="",
        llm_mode=LlmMode.OFFLINE, task_mode=TaskMode.THREAD, log_level="WARNING",
    )  # fmt: skip
    app = build(given)
    try:
        with app.database.session() as session:
            source = Source(name=HOST[:60], kind=SourceKind.PROMETHEUS, url="http://127.0.0.1:9", enabled=False)
            session.add(source)
        rng = np.random.default_rng(0)
        ts = to_ms(utcnow()) - 300_000 * np.arange(864, 0, -1, dtype=np.int64)
        values = {METRIC: 10 + rng.normal(0, 1, 864), "node_load1": 2 + rng.normal(0, 0.1, 864)}
        for value in values.values():
            value[-40:-28] *= 6
        labels = {"instance": HOST, "team": HOST[::-1] + HOST}
        app.samples.append(source.id, [Block(name, labels, ts, value) for name, value in values.items()])
        app.runner.start()
        task = app.detection.train(SYSTEM, source.id, HOST)
        assert app.runner.wait(task.id, 150).status == TaskStatus.SUCCEEDED
        assert len(app.detection.anomalies(SYSTEM, Window.last(timedelta(days=7), utcnow())))
    finally:
        app.stop()
    with serve(data, AUTOOPS_DEMO="false", AUTOOPS_LLM_MODE="offline") as made:
        yield made


def test_names_are_shown_and_do_nothing(browser: Browser, server: Server, shots: Path) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    outside: list[str] = []
    page.on("request", lambda r: outside.append(r.url) if r.url.startswith("http://outside") else None)
    sign_in(page, server.url)
    asked = quote(f"what was the worst anomaly on {HOST} in the last 7 days?")
    for path in (
        "",
        f"explore?metric={METRIC}&range=7d",
        f"profile?metric={METRIC}",
        "anomalies?range=7d",
        f"chat?q={asked}",
        "sources",
        "tasks",
        "audit",
        "about",
    ):
        page.goto(f"{server.url}/{path}")
        page.get_by_role("heading", level=1).first.wait_for(timeout=30_000)
        settle(page)
        if path.startswith("chat"):
            page.get_by_text("what was the worst").first.click()
            page.get_by_test_id("stChatMessage").nth(1).wait_for(timeout=30_000)
            settle(page)
            box = page.get_by_test_id("stChatInputTextArea")
            box.fill("what was the worst anomaly in the last 7 days?")
            box.press("Enter")
            page.get_by_test_id("stChatMessage").last.get_by_text("expected").first.wait_for(timeout=30_000)
            settle(page)
        assert page.get_by_test_id("stException").count() == 0, path
        for chart in page.locator(".js-plotly-plot .nsewdrag").all()[:2]:
            chart.hover()  # hover boxes are made of the names
        assert page.evaluate("window.canary === undefined"), path
        # What markup or markdown would have made of it, in charts and tables too.
        made = "img[src='x'], img[src*='outside.invalid'], a[href^='javascript'], a[href^='http://outside.invalid']"
        found = page.locator(made).evaluate_all(
            'all => all.map(one => one.outerHTML + " in " + one.parentElement.outerHTML.slice(0, 700))'
        )
        assert not found, (path, found)
        page.screenshot(path=shots / f"hostile-{path.partition('?')[0] or 'overview'}.png")
    assert not outside
    page.close()
