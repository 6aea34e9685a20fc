"""The same question in plainer words."""

from __future__ import annotations

import pytest

from lib.chat.wording import carries_nothing, plain, preamble


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("y'day avg mem of web-01 pls", "yesterday avg memory of web-01 please"),
        ("Hi team, whats the load rn", "what is the load right now"),
        ("instead of cpu, show me load", "and show me load"),
        ("load before vs. after the web 4.1 deploy", "load before and after the deploy of web 4.1"),
        ("cpu at 3 in the afternoon", "cpu at 3 pm"),
        ("which db ran more queries", "which db ran most queries"),
        ("peak requests/s and 95 pct latency", "peak requests per second and p95 latency"),
        ("above 95 percent memory", "above 95 percent memory"),
        ("top3 mem hogs", "top 3 hosts with the most memory usage"),
        ("my boss wants to know the load of web-01", "the load of web-01"),
        ("how big is the root partition", "root disk size of"),
        ("how large was the standard deviation of load", "what was the standard deviation of load"),
        ("cpu in the hour after 11:15 compared with the hour before", "cpu 1 hour before and after 11:15 compared"),
        ("did web 4.1 change the load", "did the deploy of web 4.1 change the load"),
        ("how quickly does db-02 answer queries", "what is the query latency of db-02"),
        ("requests to api-01 that ended with status 500", "5xx errors on api-01"),
        ("load in the last week (2 to 8 March)", "load 2 to 8 March"),
        ("what do we collect from batch-01", "which metrics are there from batch-01"),
        ("the five busiest servers", "the 5 busiest servers"),
        ("the four web servers", "the web servers"),
        ("the worst latency users saw on api-02", "the worst latency on api-02"),
        ("how many users had problems", "how many users had problems"),
        ("which servers at most 50 % busy", "which servers at most 50 % busy"),
        ("how many tasks did it complete", "how many tasks did it complete"),
    ],
)
def test_slang_and_set_phrases_become_what_the_grammar_knows(said: str, meant: str) -> None:
    assert plain(said) == meant


@pytest.mark.parametrize("name", ["web-u", "http://hr/req", 'node_av{mem="n"}', "r_total", "/mem", "av.example"])
def test_names_paths_and_selectors_stay_as_they_are(name: str) -> None:
    assert plain(f"max of {name}") == f"max of {name}"


@pytest.mark.parametrize(
    "word",
    ["not", "no", "never", "gpu", "weekly", "normally", "isn't", "didn't", "except", "daily", "without", "cached"],
)
def test_what_changes_the_meaning_is_never_passed_over(word: str) -> None:
    assert not carries_nothing(word)


@pytest.mark.parametrize("length", [10, 2000])
@pytest.mark.parametrize(
    "piece",
    [
        "so ",
        "y'day ",
        "instead of ",
        "a b ",
        "which more ",
        "the 1.1 deploy ",
        "has restart ",
        "we went, ",
        "my boss ",
        "last week (1 ",
        "when did x stop ",
        "jobs did a b c ",
    ],
)
def test_long_texts_are_read_in_no_time(piece: str, length: int) -> None:
    text = (piece * length)[:2000]
    assert len(plain(text)) <= 4 * len(text)


def test_why_somebody_asks_is_told_from_what_is_asked() -> None:
    told = "Customers complained about web-01 yesterday. "
    assert preamble(f"{told}How was its load?") == len(told)
    assert preamble("We only look at business hours. How was the load?") == 0
    assert preamble("how was the load, and when was it highest?") == 0
