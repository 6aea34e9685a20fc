"""A widget change on Explore with 1,000 points in Chromium, against the same page without its chart."""

from __future__ import annotations

import shutil
import statistics
import tempfile
from collections.abc import Iterable
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
DRAWS = '    charts.show(figure, key="explore_chart")\n'
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


def _without_chart(folder: Path) -> Path:
    """The app with a single difference: Explore does not draw. Returns its entry."""
    for name in ("lib", "models"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "pages", folder / "pages")
    shutil.copy(ROOT / "Home.py", folder)
    page = folder / "pages" / "observe" / "explore.py"
    source = page.read_text()
    if source.count(DRAWS) != 1:
        raise RuntimeError(f"{page.name} no longer draws in one line of its own; mend benchmarks/rerun.py.")
    page.write_text(source.replace(DRAWS, ""))
    return folder / "Home.py"


def _open(page: Page, url: str) -> None:
    page.goto(f"{url}/explore?metric=node_load1&host={HOSTS[0]}")
    _sign_in(page)
    page.get_by_role("combobox", name="Host").wait_for(timeout=30_000)


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """rerun_ratio: medians of alternating changes on Explore and on the same page without its chart, each a server
    of its own over the same samples; from the first press to the last change of the page. after_pick_ms leaves out
    the opening of the list."""
    rounds, warm = (15, 4) if quick else (40, 6)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "tree").mkdir()
        script = _without_chart(folder / "tree")
        _fill(folder / "drawn")
        _fill(folder / "bare")
        with (
            serve(folder / "drawn", AUTOOPS_DEMO="false") as app,
            serve(folder / "bare", script=str(script), AUTOOPS_DEMO="false") as peer,
            chromium() as browser,
        ):
            # A context each: neither pays for what the other left behind.
            drawn, bare = (browser.new_context(viewport={"width": 1400, "height": 1000}).new_page() for _ in range(2))
            _open(drawn, app.url)
            _open(bare, peer.url)
            drawn.locator(".js-plotly-plot .scatterlayer path.js-line").wait_for(timeout=30_000)
            points = drawn.evaluate("document.querySelector('.js-plotly-plot').calcdata[0].length")
            times: dict[Page, list[tuple[float, float]]] = {drawn: [], bare: []}
            for number in range(rounds + warm):
                for page, taken in times.items():
                    page.bring_to_front()
                    took = _choose(page, HOSTS[(number + 1) % 2])
                    # The first changes load code into the browser; they are not counted.
                    if number >= warm:
                        taken.append(took)
            if bare.locator(".js-plotly-plot").count():
                raise RuntimeError("The page without a chart has one.")
    (whole, after), (bare_whole, bare_after) = (
        tuple(statistics.median(column) for column in zip(*taken, strict=True)) for taken in times.values()
    )
    note(f"{points} points, {rounds} changes on each page")
    ratio = round(whole / bare_whole, 3)
    yield Figure("rerun", "points", points, "points")
    yield Figure(
        "rerun", "change_ms", round(whole, 1), "ms", peer=f"{bare_whole:.1f} ms without the chart", ratio=ratio
    )
    yield Figure(
        "rerun",
        "after_pick_ms",
        round(after, 1),
        "ms",
        peer=f"{bare_after:.1f} ms without the chart",
        ratio=round(after / bare_after, 3),
    )
    yield Figure("rerun", "rerun_ratio", ratio, "x", peer="the same page without its chart")
