"""The measurement itself: that an escape would be seen if the guard let one through."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.sql import _Canary, _mutations
from benchmarks.sql_probes import ESCAPES, HONEST


@pytest.fixture
def canary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Canary:
    monkeypatch.setenv("CANARY", "")
    made = _Canary(tmp_path, {"samples": [("ts", "TIMESTAMP"), ("value", "DOUBLE")]})
    yield made
    made.connection.close()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM hidden",
        "SELECT * FROM read_text('{dir}/canary.txt')",
        "SELECT * FROM '{dir}/canary.csv'",
        "SELECT getvariable('x')",
        "SELECT whisper()",
        "COPY samples TO '{dir}/out.csv'",
        "SELECT 1; SELECT 2",
        "WITH x AS (DELETE FROM hidden RETURNING *) SELECT 1 FROM x",
    ],
)
def test_the_canary_sings(canary: _Canary, sql: str) -> None:
    assert canary.found(sql.replace("{dir}", str(canary.folder)))


def test_the_canary_is_silent_over_honest_queries(canary: _Canary) -> None:
    assert not canary.found("SELECT count(*), max(value) FROM samples")
    assert not canary.found("SELECT 1 / 0, nonsense")


def test_mutations_are_the_same_each_time_and_differ_from_their_seeds() -> None:
    one, two = (list(_mutations(ESCAPES, HONEST, 200)) for _ in range(2))
    assert one == two
    assert len(set(one) - {*ESCAPES, *HONEST}) > 150
