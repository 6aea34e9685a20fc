"""Profile 10 M rows x 20 columns of Parquet on 2 threads, against the same questions asked without a sample.

The peer is hand-written SQL as well: exact quantiles and exact distinct counts, one column after the other, in a
process of its own with 2 GB, since it needs more than the profile may take.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from benchmarks.report import Figure, note

ROWS, QUICK_ROWS = 10_000_000, 1_000_000
# A run of the peer longer than this says enough.
PEER_LIMIT_S = 300
# Keys, labels, a rhythm, gaps, NaN, a constant, texts of few and of many values, as tables at work have them.
TABLE = """
SELECT i AS id, TIMESTAMP '2026-01-01' + to_seconds(i) AS ts, 'host-' || (i % 50) AS host,
    ['api', 'web', 'db', 'cache', 'queue'][1 + (hash(i) % 5)::INTEGER] AS service,
    CASE WHEN hash(i + 1) % 100 < 97 THEN 200 WHEN hash(i + 1) % 2 = 0 THEN 404 ELSE 500 END::SMALLINT AS status,
    md5((hash(i * 3) % 200000)::VARCHAR) AS session, 'user ' || (hash(i * 7) % 5000) AS customer,
    hash(i * 11) % 3 = 0 AS cached, DATE '2026-01-01' + (i // 86400)::INTEGER AS day,
    sin(i / 86400.0 * 2 * pi()) * 10 + random() AS load, random() * 100 AS cpu,
    ln(1 / (random() + 1e-12)) * 0.2 AS latency, random() + random() + random() AS noise,
    CASE WHEN random() < 0.1 THEN NULL ELSE round(random() * 64, 2) END AS memory,
    round(random() * 1000)::INTEGER AS requests, (random() * 1e9)::BIGINT AS bytes, random() * 5 - 2.5 AS drift,
    CASE WHEN random() < 0.001 THEN 'nan'::DOUBLE ELSE round(random() * 40 + 20, 1) END AS temperature,
    1 AS version, CASE WHEN hash(i) % 5 = 0 THEN 3 ELSE 1 END * random() AS cost
FROM range({rows}) t(i)
"""
OURS = """
import sys, tempfile, time
from pathlib import Path
from lib.store import tables
with tempfile.TemporaryDirectory() as scratch:
    began = time.perf_counter()
    found = tables.profile(Path(sys.argv[1]), "table.parquet", Path(scratch))
    took = time.perf_counter() - began
assert len(found.columns) == 20 and found.duplicates == 0 and found.alerts, found
"""
PEER = """
import sys, tempfile, time
import duckdb
with tempfile.TemporaryDirectory() as scratch:
    connection = duckdb.connect(config={"threads": 2, "memory_limit": "2GB", "temp_directory": scratch})
    file = f"read_parquet('{sys.argv[1]}')"
    began = time.perf_counter()
    columns = connection.execute(f"DESCRIBE SELECT * FROM {file}").fetchall()
    numbers = []
    for name, type_, *_ in columns:
        wanted = f"count({name}), count(DISTINCT {name}), min({name}), max({name})"
        if type_ in ("DOUBLE", "INTEGER", "BIGINT", "SMALLINT"):
            numbers.append(name)
            value = f"CASE WHEN isfinite({name}::DOUBLE) THEN {name}::DOUBLE END"
            wanted += f", avg({value}), stddev_pop({value})"
            wanted += f", quantile_cont({value}, [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99])"
        connection.execute(f"SELECT {wanted} FROM {file}").fetchall()
        connection.execute(f"SELECT {name}, count(*) AS n FROM {file} GROUP BY 1 ORDER BY n DESC LIMIT 10").fetchall()
    pairs = [(a, b) for i, a in enumerate(numbers) for b in numbers[:i]]
    finite = {n: f"CASE WHEN isfinite({n}::DOUBLE) THEN {n}::DOUBLE END" for n in numbers}
    related = ", ".join(f"corr({finite[a]}, {finite[b]})" for a, b in pairs)
    connection.execute(f"SELECT {related} FROM {file}").fetchall()
    every = ", ".join(name for name, *_ in columns)
    connection.execute(f"SELECT count(*) FROM (SELECT DISTINCT hash({every}) FROM {file})").fetchall()
    took = time.perf_counter() - began
"""
MEASURED = """
import json, resource
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps({"seconds": took, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}))
"""


def table(rows: int) -> Path:
    """The file, made once."""
    path = Path(tempfile.gettempdir()) / f"autoops-profile-{rows}.parquet"
    if not path.exists():
        import duckdb

        note(f"making {path}")
        beside = path.with_suffix(f".{os.getpid()}")
        with duckdb.connect(config={"threads": 2, "memory_limit": "2GB"}) as connection:
            connection.execute("SELECT setseed(0.42)")
            connection.execute(f"COPY ({TABLE.format(rows=rows)}) TO '{beside}' (FORMAT parquet, COMPRESSION snappy)")
        beside.replace(path)
    return path


def measured(program: str, path: Path) -> dict[str, float]:
    """Run in a process of its own, so that the peak is its own."""
    done = subprocess.run(
        [sys.executable, "-c", program + MEASURED, str(path)],
        cwd=Path(__file__).parent.parent,
        capture_output=True,
        text=True,
        timeout=PEER_LIMIT_S,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return dict(json.loads(done.stdout.splitlines()[-1]))


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """seconds, cpu_s and peak_mb of a profile, medians; the peer's CPU seconds beside them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks profile")
    parser.add_argument("--rows", type=int, default=QUICK_ROWS if quick else ROWS)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args(args)
    path = table(options.rows)
    runs = []
    for number in range(options.repeat):
        runs.append(measured(OURS, path))
        note(f"run {number + 1}: {runs[-1]}")
    middle = {name: statistics.median(one[name] for one in runs) for name in runs[0]}
    peer = measured(PEER, path)
    note(f"unsampled: {peer}")
    said = f"{peer['cpu_s']:.1f} CPU-s, {peer['seconds']:.1f} s, {peer['peak_mb']:.0f} MB unsampled"
    yield Figure("profile", "rows", options.rows, "rows")
    yield Figure(
        "profile", "seconds", round(middle["seconds"], 2), "s", said, round(middle["seconds"] / peer["seconds"], 3)
    )
    yield Figure("profile", "cpu_s", round(middle["cpu_s"], 2), "s", said, round(middle["cpu_s"] / peer["cpu_s"], 3))
    yield Figure(
        "profile", "peak_mb", round(middle["peak_mb"]), "MB", said, round(middle["peak_mb"] / peer["peak_mb"], 3)
    )
