"""A file and a host are profiled by a person in a browser: uploaded, refused in words, looked at, taken along."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.browser import Server, settle, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROWS = "".join(
    f"2026-03-{1 + n // 24:02d} {n % 24:02d}:00,web-{n % 3},{5 + n % 24 / 4},{'yes' if n % 7 else 'no'}\n"
    for n in range(600)
)
FILES = {
    "picture.csv": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "not a table of text"),
    "empty.csv": (b"", "is empty"),
    "cut.parquet": (b"PAR1 and then nothing", "is no Parquet file"),
}


@pytest.fixture(scope="module")
def page(browser: Browser, demo_server: Server) -> Page:
    opened = browser.new_page(viewport={"width": 1400, "height": 1000})
    sign_in(opened, demo_server.url)
    return opened


def bring(page: Page, url: str, file: Path) -> None:
    page.goto(f"{url}/profile?profile_of=File")
    page.get_by_role("heading", level=1, name="Profile").wait_for()
    settle(page)
    button = page.get_by_role("button", name="Profile it")
    if not button.is_visible():
        page.get_by_text("Profile a file").click()
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_text(file.name).first.wait_for()
    settle(page)
    button.click()


@pytest.mark.parametrize("name", FILES)
def test_file_of_the_wrong_kind_is_refused_in_words(page: Page, demo_server: Server, tmp_path: Path, name: str) -> None:
    body, words = FILES[name]
    (tmp_path / name).write_bytes(body)
    bring(page, demo_server.url, tmp_path / name)
    page.get_by_text(words).wait_for(timeout=30_000)
    assert page.get_by_test_id("stException").count() == 0


def test_file_is_profiled_and_each_column_drawn(page: Page, demo_server: Server, tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("at,host,load,ok\n" + ROWS)
    bring(page, demo_server.url, tmp_path / "visits.csv")
    page.get_by_role("heading", name="visits.csv").wait_for(timeout=30_000)
    settle(page)
    assert "600" in page.get_by_test_id("stMetric").first.inner_text()
    for column in ("at", "load", "host"):
        page.goto(f"{demo_server.url}/profile?profile_of=File&table_column={column}")
        page.get_by_role("heading", name="visits.csv").wait_for()
        page.locator(".js-plotly-plot .bars path").first.wait_for(timeout=30_000)
        assert page.locator(".js-plotly-plot .bars path").count() >= 2, column
        ticks = page.locator(".js-plotly-plot .xaxislayer-above .xtick").all_text_contents()
        assert any("Mar" in tick for tick in ticks) == (column == "at"), ticks
    with page.expect_download() as taken:
        page.get_by_role("button", name="JSON").click()
    assert json.loads(taken.value.path().read_text())["rows"] == 600


def test_host_is_profiled_with_its_series_and_taken_along(page: Page, demo_server: Server) -> None:
    page.goto(f"{demo_server.url}/profile?profile_of=Host&host_span=7d")
    page.get_by_text("Most worth predicting").wait_for(timeout=60_000)
    settle(page)
    host = page.get_by_test_id("stHeading").get_by_role("heading", level=3).first.inner_text()
    assert page.get_by_test_id("stDataFrame").count() >= 2
    assert page.get_by_test_id("stException").count() == 0
    with page.expect_download() as taken:
        page.get_by_role("button", name="HTML").click()
    told = taken.value.path().read_text()
    assert host in told and "<script" not in told
