"""Numbers a model states are held against what the tools gave."""

from __future__ import annotations

import pytest

from lib.chat.grounding import unsupported

RESULT = {
    "outcome": "ok",
    "unit": "%",
    "values": {
        "max": 97.3412,
        "mean": 20.04,
        "bytes": 3.2 * 2**30,
        "share": 0.523,
        "seconds": 5400.0,
        "quantile": 0.95,
    },
    "window": {"start": "2026-03-07T00:00:00Z", "end": "2026-03-14T00:00:00Z"},
    "computed_from_samples": 20785,
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
        "The 95th percentile, 2nd of all, at web-01:9100 and 10.0.0.7:9100 on 13 March 2026 at 2 pm was 45 [1].",
        "Over seven days, or 168 hours, about 20,800 samples [1] of 20,785 [1].",
        "There are two hosts, and one of them peaked at 97.3.",
        "A share of `52.3 %` [1], 45-97.3 in all.",
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
        ("CPU:88% [1], `77.7%` [1], 45-96% [1], 3/8 of it.", ("88", "77.7", "96", "3", "8")),
        ("It was ninety percent, twelve times, forty-two thousand in all.", ("ninety", "twelve", "forty-two thousand")),
        ("Of 20,781 samples.", ("20,781",)),
        ("It was 52.3 [1], for 1.5 [1], and 3.2 [1].", ("52.3", "1.5", "3.2")),
        ("The quantile was 95 % [1].", ("95",)),
    ],
)
def test_invented_numbers_are_named(text: str, wrong: tuple[str, ...]) -> None:
    assert unsupported(text, [RESULT]) == wrong


def test_numbers_of_the_question_may_be_repeated_as_what_was_asked() -> None:
    assert unsupported("You asked for the last 36 hours.", [RESULT], "cpu in the last 36 hours") == ()
    assert (
        unsupported("No host was above 80 %, for more than 15 minutes.", [RESULT], "above 80 % for 15 minutes?") == ()
    )


def test_number_of_the_question_is_no_finding() -> None:
    assert unsupported("Yes, the peak was 88 % [1].", [RESULT], "was the peak 88 %?") == ("88",)


def test_without_any_result_every_number_is_invented() -> None:
    assert unsupported("CPU is at 12.5 %.", []) == ("12.5",)


def test_most_random_numbers_are_caught() -> None:
    caught = sum(bool(unsupported(f"It was {n * 1.37:.2f}.", [RESULT])) for n in range(1, 500))
    assert caught > 450


def test_limit_that_was_asked_about_may_be_repeated_as_one_and_not_as_a_finding() -> None:
    result = {"values": {"limit": 200e9, "now": 260e9}}
    assert unsupported("It goes below 186 GiB [1], now 242 GiB [1].", [result]) == ()
    assert unsupported("It is at 186 GiB [1].", [result]) == ("186",)
