"""What a newcomer does: looks around, sees an anomaly and why; signs in, asks about it, checks the answer."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.browser import Server, ask, settle, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SEVERITIES = ("warning", "minor", "major", "critical")


def _anomalies(page: Page, url: str, start: datetime, end: datetime) -> list[dict]:
    """What the API holds, over the same session as the page: independent of how chat and pages word it."""
    span = f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}"
    return ask(page, f"{url}/api/v1/anomalies?window={span}&limit=100")["items"]


def _wait_for_detectors(page: Page, url: str) -> None:
    """Until each host of the demo was learnt from and scored."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        status = ask(page, f"{url}/api/v1/status")
        if status["detectors"] >= 11 and not status["tasks"].get("running") and not status["tasks"].get("pending"):
            return
        time.sleep(1)
    raise AssertionError(f"The demo's detectors were not ready in time: {status}")


def test_a_stranger_reaches_an_explained_anomaly_in_two_clicks(
    browser: Browser, demo_server: Server, shots: Path
) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    outside: list[str] = []
    page.on(
        "request", lambda r: outside.append(r.url) if not r.url.startswith((demo_server.url, "ws", "data")) else None
    )
    page.goto(demo_server.url)
    page.get_by_role("button", name="Look around").click()
    page.get_by_text("Show the chart").first.wait_for(timeout=60_000)
    page.get_by_text("Show the chart").first.click()
    page.locator(".js-plotly-plot .main-svg").first.wait_for(timeout=20_000)
    settle(page)
    sentence = page.get_by_text(re.compile(r"was .+ expected")).first
    assert sentence.is_visible()
    assert page.locator(".js-plotly-plot").count() >= 1
    page.screenshot(path=shots / "anomalies.png")
    assert not outside, f"The page asked other hosts: {outside}"
    page.close()


def test_the_worst_anomaly_of_yesterday_is_answered_with_its_source(
    browser: Browser, demo_server: Server, shots: Path
) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    sign_in(page, demo_server.url)
    _wait_for_detectors(page, demo_server.url)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    found = _anomalies(page, demo_server.url, today - timedelta(days=1), today)
    assert found, "The demo has a labelled fault each day; nothing was found yesterday."
    worst = max(found, key=lambda a: (SEVERITIES.index(a["severity"]), a["confidence"], a["score"]))

    page.goto(f"{demo_server.url}/chat")
    box = page.get_by_test_id("stChatInputTextArea")
    box.wait_for(timeout=20_000)
    box.fill("what was the worst anomaly yesterday?")
    box.press("Enter")
    answer = page.get_by_test_id("stChatMessage").last
    answer.get_by_text(re.compile("expected")).first.wait_for(timeout=30_000)
    settle(page)
    text = answer.inner_text()
    assert worst["host"] in text
    assert datetime.fromisoformat(worst["start"]).strftime("%H:%M") in text
    assert "[1]" in text, "The answer must cite where its numbers come from."
    page.screenshot(path=shots / "chat.png")
    page.close()


def test_a_new_question_comes_into_sight_wherever_the_reader_was(browser: Browser, demo_server: Server) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    sign_in(page, demo_server.url, "/chat")
    box = page.get_by_test_id("stChatInputTextArea")
    box.wait_for(timeout=20_000)
    for number, question in enumerate(("which metrics are there?", "hello"), 1):
        box.fill(question)
        box.press("Enter")
        page.get_by_text("nothing left this machine").nth(number - 1).wait_for(timeout=30_000)
        settle(page)
        newest = page.get_by_test_id("stChatMessage").nth(2 * number - 1)
        newest.get_by_text("nothing left this machine").wait_for(timeout=30_000)
        page.wait_for_function(
            "one => one.getBoundingClientRect().bottom < innerHeight", arg=newest.element_handle(), timeout=20_000
        )
        # Up to the beginning: from there Streamlit itself follows nothing.
        page.mouse.move(800, 300)
        page.mouse.wheel(0, -20_000)
        page.wait_for_timeout(300)
    page.close()


def test_an_input_that_stays_locked_after_an_answer_is_freed(browser: Browser, demo_server: Server) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 800})
    sign_in(page, demo_server.url, "/chat")
    box = page.get_by_test_id("stChatInputTextArea")
    box.wait_for(timeout=20_000)
    box.fill("hello")
    box.press("Enter")
    page.get_by_text("nothing left this machine").wait_for(timeout=30_000)
    settle(page)
    # What only the run of an answer draws: it goes with the next run of the whole page, which is what frees the input.
    asking = page.locator(".st-key-chat_follow")
    assert asking.count() == 1
    # A browser too busy to see the answer's run end shows the button that would stop it; here that is put there.
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('i'), {id: 'busy'}));"
        "document.getElementById('busy').dataset.testid = 'stChatInputStopButton'"
    )
    asking.wait_for(state="detached", timeout=20_000)
    page.evaluate("document.getElementById('busy').remove()")
    box.fill("which metrics are there?")
    box.press("Enter")
    page.get_by_text("nothing left this machine").nth(1).wait_for(timeout=30_000)
    page.close()


def test_a_wrong_password_shows_words_and_no_data(browser: Browser, demo_server: Server) -> None:
    page = browser.new_page()
    page.goto(demo_server.url)
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_test_id("stAlert").wait_for(timeout=15_000)
    assert "Overview" not in page.inner_text("body")
    page.close()


def test_a_click_on_a_lane_narrows_and_a_click_in_the_table_labels(browser: Browser, demo_server: Server) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    sign_in(page, demo_server.url)
    _wait_for_detectors(page, demo_server.url)
    page.goto(f"{demo_server.url}/anomalies?range=30d")
    page.locator(".js-plotly-plot .scatterlayer path.point").first.wait_for(state="attached", timeout=30_000)
    settle(page)
    # Marks of anomalies are larger than those of quiet cells, which are lines.
    boxes = [p.bounding_box() for p in page.locator(".js-plotly-plot").first.locator("path.point").all()]
    cell = next(box for box in boxes if box and box["height"] > 5)
    page.mouse.click(cell["x"] + cell["width"] / 2, cell["y"] + cell["height"] / 2)
    page.get_by_role("button", name="All hosts").wait_for(timeout=20_000)
    page.wait_for_url(re.compile(r"host=.*"), timeout=20_000)
    settle(page)
    assert "range=custom" in page.url and "anomaly=" in page.url
    number = int(re.search(r"anomaly=(\d+)", page.url)[1])
    page.get_by_role("button", name="Expected").first.click()
    page.get_by_text(re.compile("called it expected")).wait_for(timeout=20_000)
    everything = ask(page, f"{demo_server.url}/api/v1/anomalies?window=30d&limit=500")["items"]
    assert [row["verdict"] for row in everything if row["id"] == number] == ["expected"]
    page.close()
