"""Numbers a model states are held against what the tools gave."""

from __future__ import annotations

import pytest

from lib.chat.grounding import unsupported

RESULT = {
    "outcome": "ok",
    "unit": "%",
    "values": {"max": 97.3412, "mean": 20.04, "bytes": 3.2 * 2**30, "share": 0.523, "seconds": 5400.0},
    "rows": [{"host": "web-03", "max": 97.3412}, {"host": "web-01", "max": 45.0}],
}


@pytest.mark.parametrize(
    "text",
    [
        "It peaked at 97.3 % [1] on web-03 at 14:05 UTC on 2026-03-13.",
        "The mean was 20 % [1].",
        "About 97% [1], over 2 hosts.",
        "That is 3.2 GiB [1], or 3.44 GB [1].",
        "A share of 52.3 % [1], for 90 minutes or 1.5 hours.",
        "1. web-01: 45 [1]\n2. `node_load15`",
        "The p95 of node_load1 on host07 is unknown.",
    ],
)
def test_given_numbers_pass_in_any_usual_form(text: str) -> None:
    assert unsupported(text, [RESULT]) == ()


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("It peaked at 96.1 % [1].", ("96.1",)),
        ("There were 42 anomalies [1] and 1,234 hosts.", ("42", "1,234")),
        ("It rose by 77.3 points.", ("77.3",)),
        ("Between -12 and 97.3 %.", ("-12",)),
    ],
)
def test_invented_numbers_are_named(text: str, wrong: tuple[str, ...]) -> None:
    assert unsupported(text, [RESULT]) == wrong


def test_numbers_of_the_question_may_be_repeated() -> None:
    assert unsupported("You asked for the last 36 hours.", [RESULT], "cpu in the last 36 hours") == ()


def test_without_any_result_every_number_is_invented() -> None:
    assert unsupported("CPU is at 12.5 %.", []) == ("12.5",)


def test_most_random_numbers_are_caught() -> None:
    caught = sum(bool(unsupported(f"It was {n * 1.37:.2f}.", [RESULT])) for n in range(1, 500))
    assert caught > 450
