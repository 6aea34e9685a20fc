"""Collectors killed with SIGKILL while they append and checkpoint: 80 of them, in four lots."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import crash
from lib import frames
from lib.store.connection import Store
from lib.store.samples import Samples


@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_nothing_acknowledged_is_lost_or_doubled_by_kills(tmp_path: Path, seed: int) -> None:
    outcome = crash.kill(20, tmp_path, seed)
    assert outcome.kills == 20
    assert outcome.acknowledged > 20 * crash.samples_of(1)
    assert (outcome.lost, outcome.doubled, outcome.torn) == (0, 0, 0)


def test_the_count_notices_what_is_missing_doubled_or_out_of_step(tmp_path: Path) -> None:
    path, acknowledged = tmp_path / "m.duckdb", tmp_path / "acknowledged"
    store = Store(path)
    for number in (1, 2, 3):
        Samples(store).append(1, crash.batch(number), ("everything", frames.from_ms(number * 10_000)))
    store.close()
    acknowledged.write_text("1\n2\n3\n")
    assert crash.verify(path, acknowledged) == (6000, 0, 0, 0)
    store = Store(path)
    with store.write() as cursor:
        cursor.execute("DELETE FROM samples WHERE value = 2 AND series_id = 1")
        cursor.execute("INSERT INTO samples SELECT * FROM samples WHERE value = 3 AND series_id = 1")
    store.close()
    assert crash.verify(path, acknowledged) == (6000, 100, 100, 100)
    acknowledged.write_text("1\n2\n3\n4\n")
    assert crash.verify(path, acknowledged)[1] == 2100
