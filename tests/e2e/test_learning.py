"""From a table to a prediction in production, in a browser, and how the pages on the way look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.browser import Server, serve, settle, sign_in
from tests.training.tables import churn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PAGES = {
    "datasets": "Datasets",
    "training": "Training",
    "models": "Models",
    "models?model_part=Production": "Models",
    "models?model_part=A%2FB+test": "Models",
    "models?model_part=Deploy": "Models",
    "models?model_part=Upload": "Models",
    "predict": "Predict",
    "predict?predict_from=Dataset": "Predict",
    "drift": "Drift",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("learning") / "data", AUTOOPS_DEMO="false") as running:
        yield running


@pytest.fixture(scope="module")
def page(browser: Browser, server: Server) -> Page:
    page = browser.new_page(viewport={"width": 1400, "height": 1200})
    sign_in(page, server.url)
    return page


def opened(page: Page, server: Server, path: str, title: str) -> None:
    page.goto(f"{server.url}/{path}")
    page.get_by_role("heading", level=1, name=title).wait_for(timeout=30_000)
    settle(page)


def chosen(page: Page, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label).first.click()
    page.get_by_role("option", name=option, exact=True).click()
    settle(page)


def test_a_table_becomes_a_champion_that_answers(page: Page, server: Server, tmp_path: Path) -> None:
    from playwright.sync_api import expect

    file = tmp_path / "churn.csv"
    churn(160).to_csv(file, index=False)
    opened(page, server, "datasets", "Datasets")
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_text("churn.csv").first.wait_for()
    settle(page)
    page.get_by_role("button", name="Make it").click()
    page.get_by_text("As Parquet").or_(page.get_by_text("From the file")).first.wait_for(timeout=30_000)

    opened(page, server, "training", "Training")
    chosen(page, "Predict", "left")
    chosen(page, "Begin from", "First look")
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_role("button", name="Put into the registry").click(timeout=40_000)
    page.get_by_role("button", name="Put it there").click()
    page.get_by_text("In the registry as left-of-churn, version 1").wait_for()

    opened(page, server, "models", "Models")
    page.get_by_role("button", name="Make it champion").click()
    # The version picked is the champion now: it cannot be promoted again.
    expect(page.get_by_role("button", name="Make it champion")).to_be_disabled(timeout=15_000)
    opened(page, server, "predict", "Predict")
    page.get_by_role("spinbutton", name="age").fill("61")
    page.get_by_test_id("stMain").get_by_role("button", name="Predict").click()
    page.get_by_text("Probability", exact=True).first.wait_for()
    settle(page)
    told = [metric.inner_text().split("\n") for metric in page.get_by_test_id("stMetric").all()]
    assert told[0][0] == "left" and told[0][-1] in ("True", "False", "yes", "no"), told
    assert page.get_by_test_id("stException").count() == 0


def test_the_pages_of_learning_fit_a_narrow_dark_window(
    browser: Browser, page: Page, server: Server, shots: Path
) -> None:
    narrow = browser.new_page(viewport={"width": 420, "height": 900}, color_scheme="dark")
    complaints: list[str] = []
    narrow.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    narrow.on("pageerror", lambda e: complaints.append(str(e)))
    sign_in(narrow, server.url)
    for path, title in PAGES.items():
        opened(narrow, server, path, title)
        assert narrow.get_by_test_id("stException").count() == 0, path
        width = narrow.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
        assert width[0] <= width[1], f"{path} is wider than its window: {width}"
        name = path.replace("?", "-").replace("=", "-").replace("%2F", "").replace("+", "-")
        narrow.screenshot(path=shots / f"learning-{name}-dark-narrow.png", full_page=True)
    assert not [c for c in complaints if "Content Security Policy" in c or "Uncaught" in c], complaints
