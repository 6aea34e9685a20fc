"""From process start to healthy, and memory with one signed-in session on Overview."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from benchmarks.browser import chromium, serve, sign_in
from benchmarks.report import Figure, note


def _warm(data_dir: Path) -> None:
    """One start that is not counted: compiles bytecode and fills the page cache, as after an installation."""
    with serve(data_dir):
        pass


def _resident_mb(pid: int) -> float:
    import psutil

    return psutil.Process(pid).memory_info().rss / 1e6


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """healthy_s: median of fresh starts with the demo on. rss_mb: the app's process after Overview was drawn, once the
    demo is loaded and its detectors are trained (`settled`), the highest of what is sampled for ten seconds."""
    with tempfile.TemporaryDirectory() as folder:
        _warm(Path(folder) / "warm")
        starts = []
        for attempt in range(3 if quick else 7):
            with serve(Path(folder) / f"start{attempt}") as server:
                starts.append(server.healthy_s)
        note(f"starts: {[round(s, 2) for s in starts]}")
        yield Figure("startup", "healthy_s", round(statistics.median(starts), 3), "s")
        with serve(Path(folder) / "session") as server, chromium() as browser:
            page = browser.new_page()
            sign_in(page, server.url)
            page.get_by_role("heading", name="Overview").wait_for(timeout=20_000)
            first = _resident_mb(server.pid)
            time.sleep(5 if quick else 30)
            peak = first
            for _ in range(10):
                peak = max(peak, _resident_mb(server.pid))
                time.sleep(1)
            note(f"resident when drawn: {first:.0f} MB")
            yield Figure("startup", "rss_mb", round(peak, 1), "MB")
