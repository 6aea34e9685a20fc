"""Log lines come to kinds with counts, and a story worth reading."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from lib.text import logs

START = datetime(2026, 5, 12, 12, tzinfo=UTC)


def incident(lines: int = 10_000) -> list[str]:
    """Requests, logins and cache misses; from 60% on the database times out."""
    rng = random.Random(7)
    made = []
    for i in range(lines):
        at = f"{START + timedelta(seconds=0.3 * i):%Y-%m-%dT%H:%M:%S.%f}Z"
        kind = rng.random()
        if i > 0.6 * lines and kind < 0.1:
            made.append(f"{at} ERROR pool: connection to db-01:5432 timed out after {rng.randint(1000, 9000)} ms")
        elif kind < 0.6:
            made.append(f"{at} INFO GET /api/v1/items/{rng.randint(1, 999)} 200 {rng.randint(1, 99)}ms")
        elif kind < 0.9:
            who = rng.choice(["anna", "bob", "chris"])
            made.append(f"{at} INFO user {who} logged in from 10.0.{rng.randint(0, 9)}.{rng.randint(0, 255)}")
        else:
            made.append(f"{at} WARN cache miss for key session:{rng.randint(1, 10**9):x}")
    return made


def test_ten_thousand_lines_come_to_their_four_kinds_with_exact_counts() -> None:
    lines = incident()
    read = logs.summarise(lines)
    assert read.lines == 10_000 and sum(kind.count for kind in read.kinds) == 10_000
    assert len(read.kinds) == 4
    errors = sum("ERROR" in line for line in lines)
    [error] = [kind for kind in read.kinds if kind.level == "error"]
    assert error.count == errors == read.levels["error"]
    assert lines[error.first_line - 1] == error.example
    assert "connection to" in error.template and "ms" not in error.template.split()[-2]


def test_story_tells_when_errors_began_and_how_many() -> None:
    lines = incident()
    told = logs.summarise(lines).story
    first = next(line for line in lines if "ERROR" in line)
    errors = sum("ERROR" in line for line in lines)
    assert "10,000 lines from 2026-05-12 12:00:00" in told[0]
    assert f"{errors:,} of them" in told[1] and first[11:19] in told[1]
    assert any("New since the second half" in line for line in told)


def test_one_odd_line_among_thousands_is_not_lost() -> None:
    lines = incident(3000)
    lines[100] = "panic: index out of range"
    read = logs.summarise(lines)
    assert [kind.count for kind in read.kinds if kind.level == "critical"] == [1]
    assert "panic: index out of range" in read.story[1]


def test_times_of_syslog_and_web_servers_are_read() -> None:
    read = logs.summarise(
        [
            "Jan  5 10:00:01 web sshd[23]: Failed password for root from 1.2.3.4 port 22",
            "Feb 29 10:00:02 web sshd[24]: Failed password for bob from 1.2.3.5 port 2222",
        ]
    )
    assert len(read.kinds) == 1 and read.kinds[0].count == 2
    assert logs.clock(read.first) == "10:00:01"
    line = '1.2.3.4 - - [12/May/2026:10:00:00 +0200] "GET / HTTP/1.1" 200 12'
    assert logs.summarise([line]).first == datetime(2026, 5, 12, 8, tzinfo=UTC)


def test_lines_that_never_repeat_stay_bounded() -> None:
    rng = random.Random(3)
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    lines = [" ".join("".join(rng.choices(alphabet, k=9)) for _ in range(rng.randint(1, 9))) for _ in range(6000)]
    read = logs.summarise(lines)
    assert sum(kind.count for kind in read.kinds) == 6000
    assert len(read.kinds) <= 2001


def test_empty_and_hostile_lines_are_counted_not_feared() -> None:
    assert logs.summarise([]).story == ("There is no line in it.",)
    read = logs.summarise(["", "  ", "<script>alert(1)</script>", "\x00\x01", "9999-99-99T99:99:99Z ERROR x"])
    assert read.lines == 5 and read.empty == 2 and read.levels["error"] == 1


def test_logs_are_told_from_prose() -> None:
    assert logs.looks_like_log("\n".join(incident(50)))
    assert not logs.looks_like_log("Dear all,\n\nthe meeting is at noon.\nBring coffee.\nThanks")
