"""A 500 MB CSV made a dataset by the app's own task, against DuckDB writing the same file as Parquet.

Both are whole processes: the app's task from when it is asked for until the version is there (hash, checks, types,
checksum, row), the peer from the start of its interpreter, with DuckDB as it comes. The peak is that of the child.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import psutil

from benchmarks.report import Figure, note

ROWS, QUICK_ROWS = 3_600_000, 360_000
TABLE = """
SELECT i AS id, TIMESTAMP '2026-01-01' + to_seconds(i) AS ts, 'host-' || (i % 50) AS host,
    ['api', 'web', 'db', 'cache', 'queue'][1 + (hash(i) % 5)::INTEGER] AS service,
    CASE WHEN hash(i + 1) % 100 < 97 THEN 200 ELSE 500 END AS status, md5((hash(i * 3) % 200000)::VARCHAR) AS session,
    random() * 100 AS cpu, round(random() * 64, 2) AS memory, round(random() * 1000)::INTEGER AS requests,
    hash(i * 11) % 3 = 0 AS cached, DATE '2026-01-01' + (i // 86400)::INTEGER AS day, sin(i / 86400.0) * 10 AS load
FROM range({rows}) t(i)
"""
PEER = """
import duckdb, sys
duckdb.sql("SET enable_progress_bar = false")
duckdb.sql(f"COPY (FROM read_csv('{sys.argv[1]}')) TO '{sys.argv[2]}' (FORMAT parquet)")
"""


def table(rows: int) -> Path:
    """The file, made once."""
    path = Path(tempfile.gettempdir()) / f"autoops-upload-{rows}.csv"
    if not path.exists():
        import duckdb

        note(f"making {path}")
        beside = path.with_suffix(".part")
        with duckdb.connect(config={"threads": 2, "memory_limit": "1GB"}) as connection:
            connection.execute("SELECT setseed(0.42)")
            connection.execute(f"COPY ({TABLE.format(rows=rows)}) TO '{beside}' (FORMAT csv, HEADER)")
        beside.replace(path)
    return path


class Watch(threading.Thread):
    """The largest memory any child of this process had, by what the kernel itself noted of it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak_mb, self.over = 0.0, threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.01):
            for child in psutil.Process().children(recursive=True):
                try:
                    status = Path(f"/proc/{child.pid}/status").read_text()
                except OSError:
                    continue
                peak = next((line.split()[1] for line in status.splitlines() if line.startswith("VmHWM")), "0")
                self.peak_mb = max(self.peak_mb, int(peak) / 1024)


def ours(app: object, path: Path, title: str) -> tuple[float, float]:
    """Seconds and peak of one task."""
    from lib.auth.actor import SYSTEM
    from lib.services.datasets import Datasets

    datasets: Datasets = app.datasets  # type: ignore[attr-defined]
    offered = datasets.incoming.offered
    offered.mkdir(exist_ok=True)
    here = offered / f"{title}.csv"
    if not here.exists():
        shutil.copyfile(path, here)
    watch = Watch()
    watch.start()
    began = time.perf_counter()
    task = datasets.runner.wait(datasets.pick(SYSTEM, here.name).id or 0, 600)
    took = time.perf_counter() - began
    watch.over.set()
    watch.join()
    if task.status != "succeeded":
        raise RuntimeError(task.error)
    datasets.delete(SYSTEM, task.result["dataset"], anyway=True)
    return took, watch.peak_mb


def peer(path: Path, out: Path) -> float:
    """Seconds DuckDB takes, with its own defaults."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", PEER, str(path), str(out)], check=True, timeout=600)
    return time.perf_counter() - began


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """seconds, peak_mb and vs_duckdb, medians of runs by turns."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks upload")
    parser.add_argument("--rows", type=int, default=QUICK_ROWS if quick else ROWS)
    parser.add_argument("--repeat", type=int, default=3 if quick else 5)
    options = parser.parse_args(args)
    path = table(options.rows)
    from lib.app import build
    from lib.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        settings = Settings(data_dir=home / "data", models_dir=home / "models", demo=False, log_level="ERROR")
        app = build(settings)
        app.runner.start()
        try:
            runs = []
            peer(path, home / "warm.parquet")
            for number in range(options.repeat):
                theirs = peer(path, home / "peer.parquet")
                took, peak = ours(app, path, f"upload {number}")
                runs.append((took, peak, theirs))
                note(f"run {number + 1}: {took:.2f} s, {peak:.0f} MB; DuckDB {theirs:.2f} s")
        finally:
            app.stop()
    took, peak, theirs = (statistics.median(each) for each in zip(*runs, strict=True))
    ratio = statistics.median(one / other for one, _, other in runs)
    said = f"{theirs:.2f} s by DuckDB with its defaults"
    yield Figure("upload", "size_mb", round(path.stat().st_size / 1e6), "MB")
    yield Figure("upload", "seconds", round(took, 2), "s", said, round(took / theirs, 3))
    yield Figure("upload", "peak_mb", round(peak), "MB")
    yield Figure("upload", "vs_duckdb", round(ratio, 3), "ratio", said)
