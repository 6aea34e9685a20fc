"""Try to break out of the SQL page: probes, fuzzed statements, CPU and memory bombs; all through the real service."""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import numpy as np
import psutil

from benchmarks.report import Figure, note
from benchmarks.sql_probes import BOMBS, ESCAPES, HONEST
from lib.app import App, build
from lib.auth.actor import SYSTEM
from lib.errors import AppError, SqlError
from lib.frames import Block
from lib.services.querying import Limits
from lib.settings import LlmMode, Settings

_SEED = 20260314
_TOKEN = "canary-5f1d7c"
_LIMIT_S, _ALLOWED_OVER_S = 1.0, 0.25
# What the app's own memory may move by while bombs go off beside it: noise of the measurement itself.
_ALLOWED_MB = 20.0
_TOKENS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|'[^']*'|\"[^\"]*\"|\d+|\s+|.", re.DOTALL)
_ODD = (
    *(
        "/**/",
        "--\n",
        "\u00a0",
        "\u2003",
        "\u200b",
        "\x00",
        ";",
        ";;",
        "(",
        ")",
        "'",
        '"',
        "$$",
        "::",
        "->",
        "=>",
        "{",
        "}",
    ),
    *("\ufeff", "\\", "`", "@", "#1", "?", "$1", ",", ".", "*", "COLUMNS(*)", "AT (VERSION => 1)", "e'\\x41'", "U&'x'"),
)


def _app(folder: Path) -> App:
    app = build(
        Settings(
            data_dir=folder / "data",
            models_dir=folder / "models",
            demo=False,
            database_url="",
            llm_mode=LlmMode.OFFLINE,
            log_level="ERROR",
        )
    )
    ts = np.arange(200, dtype=np.int64) * 15_000 + 1_767_225_600_000
    app.samples.append(
        1, [Block("node_load1", {"instance": f"h{i}"}, ts, np.sin(ts / 1e6) + i) for i in range(5)], None
    )
    return app


class _Canary:
    """A DuckDB with everything allowed and something to find behind each door: what the guard admits is run here."""

    def __init__(self, folder: Path, tables: dict[str, list[tuple[str, str]]]) -> None:
        self.folder = folder / "canary"
        self.folder.mkdir()
        self.file = folder / "own.duckdb"
        self.connection = duckdb.connect(str(self.file), config={"threads": 2, "memory_limit": "500MB"})
        run = self.connection.execute
        run("SET autoinstall_known_extensions = false")
        run("SET autoload_known_extensions = false")
        run(f"CREATE TABLE hidden AS SELECT '{_TOKEN}' AS secret, TIMESTAMP '2026-01-01' AS ts")
        run(f"SET VARIABLE x = '{_TOKEN}'")
        run(f"CREATE MACRO whisper() AS '{_TOKEN}'")
        for table, columns in tables.items():
            made = ", ".join(f'"{name}" {kind}' for name, kind in columns)
            run(f"CREATE TABLE {table} ({made})")
            run(f"INSERT INTO {table} ({columns[0][0]}) VALUES (NULL)")
        for name in ("csv", "parquet", "json"):
            run(f"COPY hidden TO '{self.folder}/canary.{name}'")
        (self.folder / "canary.txt").write_text(_TOKEN)
        run("CHECKPOINT")
        os.environ["CANARY"] = _TOKEN
        self.tables = set(tables)
        self.before = self._state()

    def _state(self) -> list[object]:
        """What lies in the folder, what tables there are, and how many rows each of ours has."""
        run = self.connection.execute
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("hidden", *sorted(self.tables)))
        files = sorted(file.name for file in self.folder.iterdir())
        return [files, run("SELECT count(*) FROM duckdb_tables()").fetchall(), run(f"SELECT {counts}").fetchall()]

    def found(self, sql: str) -> str:
        """What an admitted statement did that it must not; empty: nothing."""
        try:
            statements = self.connection.extract_statements(sql)
            if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
                return "no single SELECT"
            read = self.connection.get_table_names(sql)
            if {name.lower() for name in read} - self.tables:
                return f"reads {sorted(read)}"
        except duckdb.Error:
            pass  # it does not parse or bind here; running it shows what it can do
        timer = threading.Timer(0.5, self.connection.interrupt)
        timer.start()
        try:
            cursor = self.connection.execute(sql)
            if _TOKEN in repr(cursor.fetchmany(500)):
                return "the canary came out"
        except (duckdb.Error, RuntimeError, UnicodeError) as error:
            if _TOKEN in str(error) and _TOKEN not in sql:
                return "the canary came out of an error"
        finally:
            timer.cancel()
        return "" if self._state() == self.before else "something was changed"


def _mutations(probes: list[str], honest: list[str], count: int) -> Iterator[str]:
    """Half begin as an honest query, so that many still are SQL and reach the guard behind the parser."""
    chance = random.Random(_SEED)
    good = [_TOKENS.findall(seed) for seed in honest]
    split = [_TOKENS.findall(seed) for seed in probes] + good
    # What stands behind FROM in a probe goes wherever an honest query names a table.
    tables = [part for probe in probes for part in re.findall(r"FROM\s+(.+)$", probe, re.IGNORECASE)]
    words = sorted({token for tokens in split for token in tokens if not token.isspace()} | set(_ODD))
    numbers = ("0", "1", "-1", "2", "100", "1e3")
    for _ in range(count):
        tokens = list(chance.choice(good if chance.random() < 0.5 else split))
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            at = chance.randrange(len(tokens)) if tokens else 0
            match chance.randrange(13):
                case 0:
                    del tokens[at : at + chance.randint(1, 3)]
                case 1:
                    tokens.insert(at, chance.choice(words))
                case 2 if tokens:
                    tokens[at] = chance.choice(words)
                case 3:
                    other = chance.choice(split)
                    tokens[at : at + chance.randint(0, 4)] = other[chance.randrange(len(other)) :]
                case 4:
                    tokens = ["SELECT * FROM (", *tokens, ") AS x"]
                case 5:
                    tokens = [
                        "WITH ",
                        chance.choice(("x", "hidden", "samples", "pg_class")),
                        " AS (",
                        *tokens,
                        ") FROM x",
                    ]
                case 6:
                    tokens.insert(at, chance.choice(_ODD))
                case 7 if tokens:
                    tokens[at] = "".join(c.upper() if chance.random() < 0.5 else c.lower() for c in tokens[at])
                case 8 if tokens and tokens[at].isdigit():
                    tokens[at] = chance.choice(numbers)
                case 9 if tokens:
                    tokens[at] = f'"{tokens[at]}"'
                case 10 | 11:
                    named = [n for n, one in enumerate(tokens) if one.lower() in ("samples", "series", "x", "host")]
                    if named:
                        tokens[chance.choice(named)] = chance.choice((*tables, "getenv('CANARY')", "hidden", "x"))
                case _:
                    inner = "".join(chance.choice(split))
                    tokens.insert(at, f" ({inner}) ")
        yield "".join(tokens)[:19_000]


def _admitted(app: App, statements: Iterable[str], tables: list[str]) -> Iterator[str]:
    """Those the guard lets through, asked of a real child."""
    stop, left = threading.Event(), iter(statements)
    statement: str | None = None
    while True:
        # A child that dies over a statement has refused it; the next one goes on.
        with app.querying.pool.lend(10) as child:
            try:
                for statement in left:
                    if any("\ud800" <= c <= "\udfff" for c in statement):
                        continue
                    request = {"op": "check", "sql": statement, "tables": tables}
                    if list(child.ask(request, 5, stop))[-1]["event"] == "checked":
                        yield statement
                return
            except Exception as error:
                note(f"child ended over {statement!r:.120}: {error}")


def _bombs(app: App, names: list[str], repeats: int) -> Iterator[tuple[str, float, float]]:
    """name, seconds until the answer (the limit is one second), how far the app's memory rose meanwhile in MB."""
    own = psutil.Process()
    for name in names:
        for _ in range(repeats):
            app.querying.run(SYSTEM, "SELECT 1")  # a warm child, as it is for a person
            before, peak, over = own.memory_info().rss, 0, threading.Event()

            def watch(over: threading.Event = over) -> None:
                nonlocal peak
                while not over.wait(0.01):
                    peak = max(peak, own.memory_info().rss)

            watcher = threading.Thread(target=watch)
            watcher.start()
            began = time.perf_counter()
            try:
                app.querying.run(SYSTEM, BOMBS[name], Limits(_LIMIT_S))
                outcome = "ran"
            except AppError as error:
                outcome = error.code
            took = time.perf_counter() - began
            over.set()
            watcher.join()
            rose = max(0.0, (peak - before) / 2**20)
            note(f"{name}: {outcome} after {took:.3f} s, app +{rose:.1f} MB")
            yield name, took, rose


def run(quick: bool, args: list[str]) -> Iterable[Figure]:
    """escapes, fuzz_passed and bombs_overrun must be 0; honest_refused too, or the guard is only a wall."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sql")
    parser.add_argument("--fuzz", type=int, default=4_000 if quick else 40_000)
    parser.add_argument("--repeats", type=int, default=1 if quick else 3)
    options = parser.parse_args(args)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        app = _app(folder)
        try:
            published = app.querying.tables(SYSTEM)
            canary = _Canary(folder, {t.name: [(c.name, c.type) for c in t.columns] for t in published})
            probes = [probe.replace("{dir}", str(canary.folder)).replace("{db}", str(canary.file)) for probe in ESCAPES]
            escaped = []
            for probe in probes:
                try:
                    app.querying.run(SYSTEM, probe)
                    escaped.append(probe)
                except SqlError as error:
                    if _TOKEN in json.dumps([error.message, error.values], default=str):
                        escaped.append(probe)
            note("\n".join(f"ESCAPED {one}" for one in escaped))
            yield Figure("sql", "probes", len(probes), "statements")
            yield Figure("sql", "escapes", len(escaped), "statements")
            refused = []
            for statement in HONEST:
                try:
                    app.querying.run(SYSTEM, statement)
                except AppError as error:
                    refused.append(f"{statement}: {error}")
            note("\n".join(f"REFUSED {one}" for one in refused))
            yield Figure("sql", "honest_refused", len(refused), "statements")
            bombs = list(_bombs(app, list(BOMBS), options.repeats))
            overrun = [one for one in bombs if one[1] > _LIMIT_S + _ALLOWED_OVER_S or one[2] > _ALLOWED_MB]
            yield Figure("sql", "bombs", len(BOMBS), "statements")
            yield Figure("sql", "bombs_overrun", len({one[0] for one in overrun}), "statements")
            yield Figure("sql", "bombs_over_ms", round(max(0, max(one[1] for one in bombs) - _LIMIT_S) * 1000), "ms")
            yield Figure("sql", "bombs_app_memory", round(max(one[2] for one in bombs), 1), "MB")
            admitted, passed = 0, []
            began = time.perf_counter()
            for statement in _admitted(app, _mutations(probes, HONEST, options.fuzz), [t.name for t in published]):
                admitted += 1
                what = canary.found(statement)
                if what:
                    passed.append(f"{what}: {statement}")
            note("\n".join(f"PASSED {one}" for one in passed[:20]))
            note(
                f"{options.fuzz} fuzzed statements in {time.perf_counter() - began:.0f} s, {admitted} of them admitted"
            )
            yield Figure("sql", "fuzzed", options.fuzz, "statements")
            yield Figure("sql", "fuzz_admitted", admitted, "statements")
            yield Figure("sql", "fuzz_passed", len(passed), "statements")
            canary.connection.close()
        finally:
            app.stop()
