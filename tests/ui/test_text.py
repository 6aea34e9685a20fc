from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.ui.text import ago, marks_once, plain, stamp

NOW = datetime(2026, 3, 14, 12, 0, tzinfo=UTC)
JOINER = "\u2060"


def shown(text: str) -> str:
    """What a markdown renderer makes of escapes: the characters themselves."""
    out, position = [], 0
    while position < len(text):
        if text[position] == "\\":
            position += 1
        out.append(text[position])
        position += 1
    return "".join(out)


@given(st.text())
def test_every_markdown_character_is_escaped(text: str) -> None:
    inert = plain(text)
    position = 0
    while position < len(inert):
        if inert[position] == "\\":
            position += 2
            continue
        assert inert[position] not in "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
        position += 1


@given(st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), max_size=60))
def test_what_is_read_is_what_was_there(text: str) -> None:
    assert shown(plain(text)).replace(JOINER, "") == text


@pytest.mark.parametrize(
    ("hostile", "pattern"),
    [
        (":material/delete:", ":material/"),
        (":smile:", ":smile:"),
        (":red[alert]", ":red["),
        ("https://evil.example/x", "https://"),
        ("www.evil.example", "www."),
        ("root@evil.example", "root@evil"),
        ("a -> b", " -> "),
        (":streamlit:", ":streamlit:"),
    ],
)
def test_what_is_replaced_after_escapes_were_undone_no_longer_matches(hostile: str, pattern: str) -> None:
    assert pattern not in shown(plain(hostile))


def test_line_breaks_and_invisible_marks_go() -> None:
    assert plain("a\n\n# b\u202e\u200bc\x00") == "a \\# bc"


def test_long_text_ends_in_an_ellipsis() -> None:
    assert plain("x" * 1000, limit=10) == "x" * 9 + "…"


def test_times_are_utc_and_never_is_a_dash() -> None:
    assert stamp(NOW) == "2026-03-14 12:00 UTC"
    assert stamp(None) == "–"
    assert ago(None, NOW) == "never"
    assert ago(NOW - timedelta(minutes=3), NOW) == "3 min ago"
    assert ago(NOW + timedelta(hours=2), NOW) == "in 2 h"


def test_a_sentence_cites_each_source_once_at_its_last_number() -> None:
    answer = "CPU of 3 [1] hosts [1] was **4 %** [1], up to 9 [2]. Then 5 [1].\n- `a`: 3 [1]"
    assert marks_once(answer) == "CPU of 3 hosts was **4 %** [1], up to 9 [2]. Then 5 [1].\n- `a`: 3 [1]"


def test_ages_in_tiles_are_of_one_part() -> None:
    then = datetime(2026, 3, 14, 12, tzinfo=UTC)
    now = then + timedelta(minutes=4, seconds=24)
    assert (ago(then, now), ago(then, now, short=True)) == ("4 min 24 s ago", "4 min ago")
