"""A widget change on Explore with 1,000 points in Chromium, against a light page without a chart."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.browser import ADMIN, PASSWORD, ROOT, chromium, serve
from benchmarks.report import Figure, note
from lib.frames import Block, to_ms
from lib.store.connection import Store
from lib.store.samples import Samples

if TYPE_CHECKING:
    from playwright.sync_api import Page

POINTS = 1000
HOSTS = ("web-1", "web-2")
# The line of the page that draws; without it the same page is "a page without a chart".
DRAWS = '    charts.show(figure, key="explore_chart", brush=explore_view.brush(window), name=metric)\n'
EXPLORE = Path("pages") / "observe" / "explore.py"
# As little as a page of this app can be and still have something to choose.
LIGHT = """
import streamlit as st
from lib.auth.actor import Permission
from lib.ui import controls, guard, runtime
actor = guard.require(Permission.VIEW)
app = runtime.app()
st.title("Light")
host = controls.host_picker(["web-1", "web-2"])
st.markdown(f"You chose {host}.")
"""
# Notes when the reader first pressed, when last, and when the page itself (not the open list) last changed.
WATCH = """
() => {
  const main = document.querySelector('[data-testid="stMain"]');
  const seen = window.seen = { first: null, press: null, last: null };
  const press = () => { seen.press = performance.now(); seen.first ??= seen.press; seen.last = null; };
  document.addEventListener('pointerdown', press, { capture: true });
  // What a table tells screen readers follows its canvas a fifth of a second later, and nobody sees it.
  const hidden = (one) => (one.nodeType === 1 ? one : one.parentElement)?.closest('canvas');
  const watch = new MutationObserver((all) => {
    if (all.some((one) => !hidden(one.target))) seen.last = performance.now();
  });
  watch.observe(main, { subtree: true, childList: true, characterData: true, attributes: true });
  seen.end = () => { watch.disconnect(); document.removeEventListener('pointerdown', press, { capture: true }); };
}
"""
# Settled: the script has ended and nothing has moved for a while. The while is not counted.
SETTLED = """
() => new Promise((resolve, reject) => {
  const app = document.querySelector('[data-testid="stApp"]');
  const check = () => {
    const { first, press, last } = window.seen, now = performance.now();
    if (last !== null && app.getAttribute('data-test-script-state') !== 'running' && now - last > 400) {
      window.seen.end();
      resolve([last - first, last - press]);
    } else if (now - first > 20000) {
      reject(new Error('the page did not settle'));
    } else setTimeout(check, 20);
  };
  check();
})
"""


def _blocks() -> list[Block]:
    """A gauge of 1,000 samples over the last six hours, and beside it what makes the pickers do some work."""
    rng = np.random.default_rng(7)
    end = to_ms(datetime.now(UTC) - timedelta(seconds=30))
    ts_ms = end - np.arange(POINTS)[::-1] * (6 * 3600 * 1000 // POINTS)
    blocks = [
        Block("node_load1", {"instance": host}, ts_ms, 2 + rng.normal(0, 0.3, POINTS).cumsum() / 10) for host in HOSTS
    ]
    blocks += [
        Block(f"node_metric_{number}", {"instance": f"web-{host}"}, ts_ms, rng.random(POINTS))
        for number in range(20)
        for host in range(5)
    ]
    return blocks


def _fill(data_dir: Path) -> None:
    data_dir.mkdir(parents=True, exist_ok=True)
    store = Store(data_dir / "metrics.duckdb")
    Samples(store).append(1, _blocks())
    store.close()


def _sign_in(page: Page) -> None:
    page.get_by_label("User name").fill(ADMIN)
    page.get_by_label("Password", exact=True).fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()


def _choose(page: Page, host: str) -> tuple[float, float]:
    """Milliseconds of choosing a host as a reader does: from opening the list, and from picking in it, to settled."""
    page.evaluate(WATCH)
    page.get_by_role("combobox", name="Host").click()
    page.get_by_role("option", name=host, exact=True).click()
    whole, after_pick = page.evaluate(SETTLED)
    return float(whole), float(after_pick)


def _without_chart(source: str) -> str:
    if source.count(DRAWS) != 1:
        raise RuntimeError("Explore no longer draws in one line of its own; mend benchmarks/rerun.py.")
    return source.replace(DRAWS, "")


def _entry(folder: Path, page: str) -> Path:
    """The app with a single difference: what stands in Explore's place. Returns its entry."""
    folder.mkdir()
    for name in ("lib", "models"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "pages", folder / "pages")
    shutil.copy(ROOT / "Home.py", folder)
    (folder / EXPLORE).write_text(page)
    return folder / "Home.py"


def _open(page: Page, url: str) -> None:
    page.goto(f"{url}/explore?metric=node_load1&host={HOSTS[0]}")
    _sign_in(page)
    page.get_by_role("combobox", name="Host").wait_for(timeout=30_000)


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """rerun_ratio: medians of alternating changes on Explore and on a page that has nothing but the picker and a line
    of text; rerun_ratio_same_page: against Explore without its chart. Each is a server of its own over the same
    samples; from the first press to the last change of the page. after_pick_ms leaves out the opening of the list."""
    rounds, warm = (10, 3) if quick else (40, 6)
    source = (ROOT / EXPLORE).read_text()
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        browser = stack.enter_context(chromium())
        pages = {}
        for which, text in (("drawn", source), ("bare", _without_chart(source)), ("light", LIGHT)):
            _fill(folder / which)
            script = _entry(folder / f"{which}-app", text)
            server = stack.enter_context(serve(folder / which, script=str(script), AUTOOPS_DEMO="false"))
            # A context each: none pays for what another left behind.
            pages[which] = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
            _open(pages[which], server.url)
        pages["drawn"].locator(".js-plotly-plot .scatterlayer path.js-line").wait_for(timeout=30_000)
        points = pages["drawn"].evaluate("document.querySelector('.js-plotly-plot').calcdata[0].length")
        times: dict[str, list[tuple[float, float]]] = {which: [] for which in pages}
        for number in range(rounds + warm):
            for which, page in pages.items():
                page.bring_to_front()
                took = _choose(page, HOSTS[(number + 1) % 2])
                # The first changes load code into the browser; they are not counted.
                if number >= warm:
                    times[which].append(took)
        if any(pages[which].locator(".js-plotly-plot").count() for which in ("bare", "light")):
            raise RuntimeError("A page without a chart has one.")
    middle = {
        which: [statistics.median(column) for column in zip(*taken, strict=True)] for which, taken in times.items()
    }
    drawn, bare, light = middle["drawn"], middle["bare"], middle["light"]
    note(f"{points} points, {rounds} changes on each page")
    yield Figure("rerun", "points", points, "points")
    for column, metric in enumerate(("change_ms", "after_pick_ms")):
        yield _against(metric, drawn[column], light[column], "a picker and a line of text")
        yield _against(f"{metric}_same_page", drawn[column], bare[column], "the same page without its chart")
    yield Figure("rerun", "rerun_ratio", round(drawn[0] / light[0], 3), "x", peer="a picker and a line of text")
    yield Figure("rerun", "rerun_ratio_same_page", round(drawn[0] / bare[0], 3), "x", peer="Explore without its chart")


def _against(metric: str, value: float, peer: float, name: str) -> Figure:
    return Figure("rerun", metric, round(value, 1), "ms", peer=f"{peer:.1f} ms {name}", ratio=round(value / peer, 3))
