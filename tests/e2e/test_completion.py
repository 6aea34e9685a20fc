"""Words offered while somebody writes SQL, in a real browser: taken by keys and by the mouse, and in nobody's way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pytest

from benchmarks.browser import Server, serve, settle, sign_in
from lib.app import build
from lib.db.tables import Source, SourceKind
from lib.frames import Block, to_ms, utcnow
from lib.settings import LlmMode, Settings

if TYPE_CHECKING:
    from playwright.sync_api import Browser

HOST = "it's <b>web</b>"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("completion") / "data"
    given = Settings(
        data_dir=data, models_dir=data / "models", database_url="", demo=False, prometheus_url="",
        llm_mode=LlmMode.OFFLINE, log_level="WARNING",
    )  # fmt: skip
    app = build(given)
    try:
        with app.database.session() as session:
            source = Source(name="Main", kind=SourceKind.PROMETHEUS, url="http://127.0.0.1:9", enabled=False)
            session.add(source)
        ts = to_ms(utcnow()) - 60_000 * np.arange(30, 0, -1, dtype=np.int64)
        app.samples.append(source.id, [Block("queue_depth", {"instance": HOST}, ts, np.ones(30))])
    finally:
        app.stop()
    with serve(data, AUTOOPS_DEMO="false", AUTOOPS_LLM_MODE="offline") as made:
        yield made


def test_a_query_is_written_with_what_is_offered_and_runs(browser: Browser, server: Server) -> None:
    page = browser.new_page(viewport={"width": 420, "height": 900})
    complaints: list[str] = []
    page.on("pageerror", lambda e: complaints.append(str(e)))
    page.on("console", lambda m: complaints.append(m.text) if "Content Security Policy" in m.text else None)
    sign_in(page, server.url, "/sql")
    page.get_by_role("heading", level=1, name="SQL").wait_for(timeout=30_000)
    settle(page)
    area = page.locator(".st-key-q textarea")
    options = page.get_by_role("listbox", name="Completions").get_by_role("option")
    area.press_sequentially("SELECT hos")
    options.first.wait_for()
    area.press("Tab")
    area.press_sequentially(", coun")
    options.first.click()
    area.press_sequentially("*")
    area.press("End")
    assert area.input_value() == "SELECT host, count(*)"
    # Enter is a new line while nothing was chosen, and takes what an arrow has chosen.
    area.press_sequentially(" FROM sam")
    options.first.wait_for()
    area.press("Enter")
    area.press("Backspace")
    area.press_sequentially("p")
    area.press("ArrowDown")
    area.press("Enter")
    area.press_sequentially(" WHERE host = 'it")
    options.first.wait_for()
    box = page.get_by_role("listbox", name="Completions").bounding_box()
    assert box and box["x"] >= 0 and box["x"] + box["width"] <= 420
    assert HOST in options.first.inner_text(), "shown as it is called"
    area.press("Tab")
    area.press_sequentially(" GROUP BY ALL")
    area.press("Escape")
    assert area.input_value() == "SELECT host, count(*) FROM samples WHERE host = 'it''s <b>web</b>' GROUP BY ALL"
    area.press("Control+Enter")
    page.get_by_test_id("stDataFrame").wait_for(timeout=20_000)
    assert page.get_by_text("1 row in").count() == 1
    area.press("Control+ ")
    options.first.wait_for()
    page.get_by_role("heading", level=1).click()
    assert not options.count() and not complaints
    page.close()
