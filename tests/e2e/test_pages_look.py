"""Every page, light and dark, wide and narrow: nothing cut, no error shown, nothing blocked by the content policy."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.browser import Server, settle, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser

# Path and the title that says it is this page and not the sign-in form.
PAGES = {
    "": "Overview",
    "explore": "Explore",
    "profile": "Profile",
    "forecast": "Forecast",
    "changes": "What changed?",
    "anomalies": "Anomalies",
    "detectors": "Detectors",
    "detectors?detector_part=Threshold": "Detectors",
    "detectors?detector_part=Marks": "Detectors",
    "pipelines": "Pipelines",
    "datasets": "Datasets",
    "training": "Training",
    "models": "Models",
    "predict": "Predict",
    "drift": "Drift",
    "text": "Text",
    "imports": "Import",
    "sql": "SQL",
    "chat": "Chat",
    "sources": "Sources",
    "tasks": "Tasks",
    "users": "Users",
    "audit": "Audit log",
    "account": "Account",
    "settings": "Settings",
    "about": "About AutoOps",
}
SIZES = {"wide": {"width": 1400, "height": 1000}, "narrow": {"width": 420, "height": 900}}


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_each_page_fits_and_shows_no_error(
    browser: Browser, demo_server: Server, shots: Path, scheme: str, size: str
) -> None:
    page = browser.new_page(viewport=SIZES[size], color_scheme=scheme)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: complaints.append(str(e)))
    sign_in(page, demo_server.url)
    for path, title in PAGES.items():
        name = path.replace("?detector_part=", "-").lower() or "overview"
        page.goto(f"{demo_server.url}/{path}")
        page.get_by_role("heading", level=1, name=title).wait_for(timeout=30_000)
        settle(page)
        assert page.get_by_test_id("stException").count() == 0, name
        assert page.get_by_text("could not be shown").count() == 0, name
        width = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width[0] <= width[1], f"{name} is wider than its window: {width}"
        page.screenshot(path=shots / f"{name}-{scheme}-{size}.png", full_page=True)
    assert not [c for c in complaints if "Content Security Policy" in c or "Uncaught" in c], complaints
    page.close()
