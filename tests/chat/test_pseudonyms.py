"""Names go out as aliases and come back as themselves, whatever they stand in."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.chat.pseudonyms import HOST, Pseudonyms, Revealing

NAMES = [
    (HOST, "web-03"),
    (HOST, "db-01.acme.example"),
    (HOST, "10.1.2.3:9100"),
    ("pod", "checkout-7d9f"),
    ("team", "Blue Whale"),
    ("mountpoint", "/srv/acme"),
    ("cpu", "0"),
]


@pytest.fixture
def cover() -> Pseudonyms:
    return Pseudonyms(NAMES, b"key", plain={"cpu", "memory"})


@pytest.mark.parametrize(
    "text",
    [
        "What was the peak CPU on web-03 yesterday?",
        "Is WEB-03 down?",
        "web-03, db-01.acme.example and 10.1.2.3:9100.",
        '100 * rate(x{instance="web-03", pod="checkout-7d9f"}[5m])',
        "http://web-03:9090/graph and /var/lib/web-03/data",
        "the Blue Whale team, /srv/acme is full",
        "what about the blue whale team on /SRV/acme?",
    ],
)
def test_no_name_leaves_and_all_come_back(cover: Pseudonyms, text: str) -> None:
    out = cover.hide(text)
    assert not any(name.lower() in out.lower() for _, name in NAMES if len(name) > 1)
    assert cover.reveal(out).lower() == text.lower()


def test_numbers_metrics_and_structure_stay(cover: Pseudonyms) -> None:
    result = {
        "metric": "node_cpu_seconds_total",
        "rows": [{"host": "web-03", "value": 93.31, "cpu": "0"}, {"host": "other", "value": None}],
    }
    out = cover.hide(result)
    assert out["metric"] == "node_cpu_seconds_total"
    assert [row["value"] for row in out["rows"]] == [93.31, None]
    assert out["rows"][0]["cpu"] == "0" and out["rows"][0]["host"].startswith("host-")
    assert cover.reveal(out) == result


def test_addresses_nobody_stored_are_covered_too(cover: Pseudonyms) -> None:
    out = cover.hide("mail anna@acme.com or look at 192.168.7.9 and shop.acme.com, version 1.2.3 and p95 of 10.5")
    assert "acme" not in out and "192.168" not in out
    assert "version 1.2.3 and p95 of 10.5" in out
    sixes = "fe80::1ff:fe23 and 2001:db8:0:0:0:0:2:1, 10.2.3.4.x at 14:05:30 and web::x"
    assert cover.hide(sixes).count("address-") == 3 and cover.hide(sixes).endswith("at 14:05:30 and web::x")
    assert "anna@acme.com" in cover.reveal(out) and "192.168.7.9" in cover.reveal(out)


def test_other_conversations_have_other_aliases() -> None:
    one, same, other = (Pseudonyms(NAMES, key).hide("web-03") for key in (b"a", b"a", b"b"))
    assert one == same != other


def test_word_that_only_begins_like_a_name_is_left(cover: Pseudonyms) -> None:
    assert cover.hide("web-033 and web and 03") == "web-033 and web and 03"


def test_what_was_covered_can_be_listed(cover: Pseudonyms) -> None:
    out = cover.hide("web-03 against checkout-7d9f")
    assert sorted(cover.used_in(out).values()) == ["checkout-7d9f", "web-03"]


def test_stream_broken_anywhere_comes_back_whole(cover: Pseudonyms) -> None:
    text = "The peak on web-03 was 93 % [1]; **checkout-7d9f** was idle.\nNothing on db-01.acme.example."
    out = cover.hide(text)
    for size in (1, 2, 3, 7, 50):
        stream = Revealing(cover)
        got = "".join(stream.feed(out[at : at + size]) for at in range(0, len(out), size)) + stream.end()
        assert got == text


def test_a_short_name_is_not_looked_for_in_the_alias_of_another() -> None:
    cover = Pseudonyms([("label", name) for name in ("-V", ":U0", "x:U0b", "two words")], b"k")
    for text in (":U0", "-V", "x:U0b", "is it :U0 or -v?", "Two Words, x:u0b"):
        assert cover.reveal(cover.hide(text)).lower() == text.lower()
        assert ":U0" not in cover.hide(text) and "words" not in cover.hide(text).lower()


@given(
    st.lists(st.text(string.ascii_letters + string.digits + "-._:/ é", min_size=1, max_size=20), max_size=30),
    st.text(string.printable, max_size=120),
)
def test_any_names_in_any_text_return(names: list[str], text: str) -> None:
    cover = Pseudonyms([("label", name) for name in names], b"k")
    assert cover.reveal(cover.hide(text)).lower() == text.lower()
    said = json.loads(json.dumps({name: [name, 3] for name in names}))
    assert {key.lower() for key in cover.reveal(cover.hide(said))} == {key.lower() for key in said}
