"""A pipeline as a person changes it in a browser: nodes clicked, dragged and moved by keyboard, cards alike."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.browser import Server, serve, settle, sign_in
from tests.training.tables import churn

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "<img src=x onerror=window.hit=1> [a](javascript:window.hit=1) **b**"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("pipelines") / "data", AUTOOPS_DEMO="false") as running:
        yield running


@pytest.fixture(scope="module")
def made(browser: Browser, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Page:
    """A page with a pipeline on a table whose column gives the answer away, saved as number 1."""
    file: Path = tmp_path_factory.mktemp("files") / "churn.csv"
    frame = churn(120).rename(columns={"plan": HOSTILE})
    frame["gone"] = frame.left.map({"yes": "j", "no": "n"})
    frame.to_csv(file, index=False)
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.complaints = []  # type: ignore[attr-defined]
    page.on("console", lambda m: page.complaints.append(m.text) if m.type == "error" else None)  # type: ignore[attr-defined]
    page.on("pageerror", lambda e: page.complaints.append(str(e)))  # type: ignore[attr-defined]
    sign_in(page, server.url)
    page.goto(f"{server.url}/datasets")
    page.get_by_role("heading", level=1, name="Datasets").wait_for()
    settle(page)
    page.locator("input[type=file]").set_input_files(file)
    page.get_by_text("churn.csv").first.wait_for()
    settle(page)
    page.get_by_role("button", name="Make it").click()
    page.get_by_text("As Parquet").or_(page.get_by_text("From the file")).first.wait_for(timeout=30_000)
    page.goto(f"{server.url}/pipelines")
    page.get_by_role("heading", level=1, name="Pipelines").wait_for()
    settle(page)
    page.get_by_label("To predict").click()
    page.get_by_role("option", name="left", exact=True).click()
    settle(page)
    page.get_by_role("button", name="Begin").click()
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_url("**/pipelines?pipeline=1*")
    node(page, "data").wait_for()
    return page


def node(page: Page, name: str):
    return page.locator(f'.graph button[data-id="{name}"]')


def steps(page: Page) -> list[str]:
    """Titles of the step nodes, in their order."""
    return [one.split("\n")[0].split(" ", 1)[1] for one in page.locator(".graph button.step").all_inner_texts()]


def until(page: Page, wanted: list[str]) -> None:
    deadline = time.monotonic() + 15
    while steps(page) != wanted and time.monotonic() < deadline:
        page.wait_for_timeout(50)
    settle(page)
    assert steps(page) == wanted
    cards = page.locator("[class*=st-key-pipeline_card_step]").all_inner_texts()
    assert [one.split(" · ")[0].split(" ", 1)[1] for one in cards] == wanted


def focused(page: Page) -> str:
    return page.evaluate(
        "(() => { let a = document.activeElement; while (a && a.shadowRoot) a = a.shadowRoot.activeElement;"
        " return a ? a.dataset.id : '' })()"
    )


DATES, TEXT, GAPS, ENCODE, SCALE = (
    "Split dates into parts",
    "Weigh words (TF-IDF)",
    "Fill gaps",
    "Encode categories",
    "Scale numbers",
)


def test_a_node_opens_its_card_and_says_what_is_wrong(made: Page) -> None:
    until(made, [DATES, TEXT, GAPS, ENCODE, SCALE])
    assert "error: Leakage: gone is the target" in (node(made, "data").get_attribute("aria-label") or "")
    node(made, "step-3").click()
    made.get_by_label("Method").wait_for()
    assert node(made, "step-3").get_attribute("aria-pressed") == "true"
    assert node(made, "data").get_attribute("aria-pressed") == "false"


def test_a_step_is_moved_by_keyboard_and_keeps_the_focus(made: Page) -> None:
    node(made, "step-3").focus()
    made.keyboard.press("Alt+ArrowLeft")
    until(made, [DATES, TEXT, ENCODE, GAPS, SCALE])
    assert focused(made) == "step-2"
    made.keyboard.press("Alt+ArrowRight")
    until(made, [DATES, TEXT, GAPS, ENCODE, SCALE])
    made.keyboard.press("ArrowLeft")
    assert focused(made) == "step-2"
    made.keyboard.press("Enter")
    made.locator('.graph button[data-id="step-2"][aria-pressed="true"]').wait_for()
    assert focused(made) == "step-2"


def test_a_step_is_dragged_to_another_place(made: Page) -> None:
    start, end = node(made, "step-0").bounding_box(), node(made, "step-3").bounding_box()
    assert start and end
    made.mouse.move(start["x"] + 40, start["y"] + 20)
    made.mouse.down()
    made.mouse.move(start["x"] + 90, start["y"] + 25, steps=4)
    made.mouse.move(end["x"] + end["width"] / 2, end["y"] + end["height"] / 2, steps=8)
    made.mouse.up()
    until(made, [TEXT, GAPS, ENCODE, DATES, SCALE])
    made.get_by_role("button", name="Undo").click()
    until(made, [DATES, TEXT, GAPS, ENCODE, SCALE])


def test_mending_what_is_wrong_lets_it_be_trained(made: Page) -> None:
    assert made.get_by_role("button", name="Train", exact=True).is_disabled()
    made.get_by_role("button", name="Do so").first.click()
    made.get_by_role("button", name="Save and train").wait_for()
    settle(made)
    assert made.get_by_role("button", name="Save and train").is_enabled()
    assert "error" not in (node(made, "data").get_attribute("class") or "")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1400, 420])
def test_it_fits_and_nothing_foreign_runs(
    made: Page, browser: Browser, server: Server, shots: Path, scheme: str, width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 1000}, color_scheme=scheme)
    sign_in(page, server.url, "/pipelines?pipeline=1")
    page.goto(f"{server.url}/pipelines?pipeline=1")
    node(page, "scores").wait_for(timeout=30_000)
    settle(page)
    node(page, "step-3").click()
    page.locator('.graph button[data-id="step-3"][aria-pressed="true"]').wait_for()
    settle(page)
    sizes = page.evaluate("[document.documentElement.scrollWidth, document.documentElement.clientWidth]")
    assert sizes[0] <= sizes[1]
    places = [one.bounding_box() for one in page.locator(".graph button").all()]
    assert all(one and one["x"] >= 0 and one["x"] + one["width"] <= width for one in places)
    page.screenshot(path=shots / f"pipelines-{scheme}-{width}.png", full_page=True)
    assert page.evaluate("window.hit") is None
    page.close()
    complaints = made.complaints  # type: ignore[attr-defined]
    assert not [c for c in complaints if "Content Security Policy" in c or "Uncaught" in c], complaints
