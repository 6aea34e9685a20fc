"""Sign-in as a browser lives it: the real server, a real cookie, a real reload."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from benchmarks.browser import Server, chromium, serve

PASSWORD = "correct horse battery"
COOKIE = "autoops_session"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    data = tmp_path_factory.mktemp("sign_in") / "data"
    with serve(data, AUTOOPS_ADMIN_PASSWORD="", AUTOOPS_DEMO="false", AUTOOPS_LLM_MODE="offline") as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    made = browser.new_context(viewport={"width": 1300, "height": 900})
    made.set_default_timeout(20_000)
    yield made
    made.close()


@pytest.fixture(scope="module", autouse=True)
def administrator(server: Server, browser: Browser) -> None:
    """The first start: a cold server knows its pages, the printed link opens the door once, a password is chosen."""
    early = browser.new_context()
    page = early.new_page()
    page.goto(f"{server.url}/users")
    expect(page.get_by_role("button", name="Look around")).to_be_visible()
    page.wait_for_timeout(300)
    expect(page.get_by_role("dialog")).to_have_count(0)
    early.close()

    printed = re.search(rf"{server.url}/auth/enter\?ticket=\S+", server.log.read_text())
    assert printed, server.log.read_text()
    link = printed.group(0)
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    page = context.new_page()
    page.goto(link)
    expect(page).to_have_url(re.compile(rf"^{server.url}/$"))
    page.get_by_role("link", name="Choose a password").click()
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Save password").click()
    expect(page.get_by_text("Password saved")).to_be_visible()
    context.close()

    stranger = browser.new_context()
    page = stranger.new_page()
    page.goto(link)
    expect(page.get_by_text("used already or has expired")).to_be_visible()
    assert COOKIE not in {cookie["name"] for cookie in stranger.cookies()}
    stranger.close()


def _sign_in(page: Page, password: str = PASSWORD) -> None:
    page.get_by_label("User name").fill("admin")
    page.get_by_label("Password", exact=True).fill(password)
    page.get_by_test_id("stFormSubmitButton").get_by_role("button").click()


def _cookie(context: BrowserContext) -> dict[str, object] | None:
    return next((dict(cookie) for cookie in context.cookies() if cookie["name"] == COOKIE), None)


def _wait_for_cookie(context: BrowserContext, page: Page) -> dict[str, object]:
    for _ in range(100):
        found = _cookie(context)
        if found:
            return found
        page.wait_for_timeout(50)
    raise AssertionError("no cookie was set")


def test_a_reload_stays_signed_in_by_a_cookie_no_script_can_read(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(server.url)
    _sign_in(page)
    expect(page.get_by_text("Role: admin")).to_be_visible()
    cookie = _wait_for_cookie(context, page)
    assert cookie["httpOnly"] is True
    assert cookie["sameSite"] == "Strict"
    assert COOKIE not in page.evaluate("document.cookie")
    page.reload()
    expect(page.get_by_text("Role: admin")).to_be_visible()
    other = context.new_page()
    other.goto(f"{server.url}/users")
    expect(other.get_by_role("heading", name="Users")).to_be_visible()


def test_a_deep_link_survives_signing_in(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(f"{server.url}/audit?audit_span=Last+day")
    expect(page.get_by_role("heading", name="Or sign in")).to_be_visible()
    _sign_in(page)
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
    assert page.url.startswith(f"{server.url}/audit")
    assert "Last+day" in page.url or "Last%20day" in page.url


def test_signing_out_ends_all_tabs_within_five_seconds(server: Server, context: BrowserContext) -> None:
    first, second = context.new_page(), context.new_page()
    first.goto(server.url)
    _sign_in(first)
    stolen = str(_wait_for_cookie(context, first)["value"])
    second.goto(f"{server.url}/settings")
    expect(second.get_by_role("heading", name="Settings")).to_be_visible()

    first.get_by_test_id("stSidebar").get_by_role("button", name="admin").click()
    first.get_by_text("Sign out", exact=True).click()
    expect(first.get_by_role("button", name="Look around")).to_be_visible()
    # The other tab is idle: nobody clicks there.
    expect(second.get_by_role("button", name="Look around")).to_be_visible(timeout=5_000)

    thief = context.browser.new_context()
    thief.add_cookies([{"name": COOKIE, "value": stolen, "url": server.url}])
    page = thief.new_page()
    page.goto(server.url)
    expect(page.get_by_role("button", name="Look around")).to_be_visible()
    thief.close()
    first.wait_for_timeout(500)
    assert _cookie(context) is None


def test_a_guest_reads_and_a_wrong_password_is_told(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    page.goto(server.url)
    _sign_in(page, "wrong wrong wrong")
    expect(page.get_by_text("do not match")).to_be_visible()
    assert _cookie(context) is None
    page.get_by_role("button", name="Look around").click()
    expect(page.get_by_text("Looking around as a guest")).to_be_visible()
    expect(page.get_by_role("link", name="Users")).to_have_count(0)
    page.goto(f"{server.url}/users")
    page.get_by_role("button", name="Look around").click()
    expect(page.get_by_text("it takes the role admin")).to_be_visible()


def test_the_first_screen_asks_nobody_else_for_anything(server: Server, context: BrowserContext) -> None:
    page = context.new_page()
    asked: list[str] = []
    trouble: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: trouble.append(line.text) if line.type == "error" else None)
    page.goto(server.url)
    page.get_by_role("button", name="Look around").click()
    expect(page.get_by_text("Looking around as a guest")).to_be_visible()
    page.wait_for_timeout(300)
    assert [url for url in asked if not url.startswith((server.url, "data:", "blob:"))] == []
    assert trouble == []


def test_a_page_elsewhere_cannot_rebind_its_name_to_this_server(server: Server) -> None:
    refused = httpx.get(server.url, headers={"Host": "evil.example"})
    assert refused.status_code == 421
    assert "Content-Security-Policy" in refused.headers
