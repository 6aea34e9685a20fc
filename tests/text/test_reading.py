"""Texts read without a model: tone, summary, phrases, names, labels."""

from __future__ import annotations

import json
from typing import Any

import pytest

from lib.text import analysis, classes, entities, sentiment, summary
from lib.text.analysis import Wanted
from lib.text.words import looks_english, sentences

REPORT = """Incident report, 2026-05-12. At 14:03 UTC the deploy of checkout v2.4.1 began on web-03. Five minutes later
latency rose to 950 ms and HTTP 503 errors reached 12%. The on-call engineer, Maria Keller, found that db-01
had run out of memory: 31.9 GiB of 32 GiB were used, and the kernel killed postgres at 10.1.2.3. The kernel
log is in /var/log/kern.log. We rolled back at 14:31 and the service recovered. Customers were angry about
lost carts. The cause was a query without a limit; every query of checkout will get a limit, and the memory of
db-01 an alert."""


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("The rollback was quick and smooth, thanks everybody. I love this tool.", "positive"),
        ("Checkout is down again, customers are angry and this is unacceptable.", "negative"),
        ("The service recovered and is healthy.", "positive"),
        ("The outage got worse: api unreachable, timeouts everywhere.", "negative"),
        ("The report has four pages.", "neutral"),
        ("An alert rule was added to the file.", "neutral"),
    ],
)
def test_tone_is_what_a_reader_would_say(text: str, label: str) -> None:
    tone = sentiment.sentiment(text).tone
    assert tone.label == label
    assert 0.5 <= tone.confidence <= 1


def test_sentences_end_where_they_end() -> None:
    told = "Load was 3.5 on web-01, e.g. at noon. It fell. See:\n- first item\n- second item\n\nLast one"
    assert sentences(told) == [
        "Load was 3.5 on web-01, e.g. at noon.",
        "It fell.",
        "See:",
        "- first item",
        "- second item",
        "Last one",
    ]


def test_summary_keeps_sentences_of_the_text_in_its_order() -> None:
    kept = [one.text for one in summary.summary(REPORT, 3)]
    told = sentences(REPORT)
    assert len(kept) == 3
    assert [told.index(one) for one in kept] == sorted(told.index(one) for one in kept)
    assert any("query" in one and "limit" in one for one in kept)


def test_key_phrases_are_words_of_the_text_and_do_not_repeat() -> None:
    found = [one.text for one in summary.key_phrases("disk space ran out. disk space was low. we added disk space", 5)]
    assert found[0] == "disk space"
    assert len(found) == len(set(found))


def test_what_the_report_names_is_found_where_it_stands() -> None:
    found = entities.entities(REPORT)
    assert all(REPORT[one.start : one.end] == one.text for one in found)
    kinds = {(one.kind, one.text) for one in found}
    assert kinds >= {
        ("time", "2026-05-12"),
        ("time", "14:03 UTC"),
        ("version", "v2.4.1"),
        ("host", "web-03"),
        ("host", "db-01"),
        ("duration", "950 ms"),
        ("share", "12%"),
        ("amount", "31.9 GiB"),
        ("ip address", "10.1.2.3"),
        ("file", "/var/log/kern.log"),
        ("name", "Maria Keller"),
    }
    spans = sorted((one.start, one.end) for one in found)
    assert all(end <= start for (_, end), (start, _) in zip(spans, spans[1:], strict=False))


@pytest.mark.parametrize("text", ["999.1.2.3 is no address", "1.2.3.4.5 neither", "::::::: nor this"])
def test_what_only_looks_like_an_address_is_none(text: str) -> None:
    assert "ip address" not in {one.kind for one in entities.entities(text)}


@pytest.mark.parametrize(
    ("text", "labels", "best"),
    [
        ("Packets are dropped on eth0 and DNS is slow", ["disk", "network", "memory"], "network"),
        ("/var is 98% full, no space for the volume", ["disk", "network", "memory"], "disk"),
        ("The kernel killed postgres, the heap was too large", ["network", "memory"], "memory"),
        ("You charged me twice, please refund the invoice", ["billing", "login"], "billing"),
        ("Deployed the new release at noon", ["deploy", "hardware"], "deploy"),
        ("The widget frobnicates", ["a: frobnicate, widget", "b: gizmo"], "a: frobnicate, widget"),
    ],
)
def test_label_is_chosen_by_what_speaks_for_it(text: str, labels: list[str], best: str) -> None:
    chosen = classes.classify(text, labels)
    assert chosen[0].label == best and chosen[0].confidence > 0.5 and chosen[0].because
    assert sum(one.confidence for one in chosen) <= 1.001


def test_text_about_none_of_the_labels_gets_none_of_them() -> None:
    read = analysis.analyse("The poem has four verses.", [Wanted.CLASSES], ["network", "disk"])
    assert read.classes is not None and all(one.confidence < 0.2 for one in read.classes)
    assert any("None of the labels" in note for note in read.notes)


@pytest.mark.parametrize(
    "text", ["Le chat est noir et il mange des souris dans la maison", "これは日本語の文章です", "Сервер не отвечает"]
)
def test_other_languages_are_said_to_be_beyond_it(text: str) -> None:
    assert not looks_english(text)
    assert any("English" in note for note in analysis.analyse(text, [Wanted.SENTIMENT]).notes)


@pytest.mark.parametrize("text", ["a", "?!.", "\x00\x01", "<b>x</b>", "=" * 5000, "word " * 20000, "\n" * 50])
def test_odd_texts_are_read_without_falling_over(text: str) -> None:
    read = analysis.analyse(text, tuple(Wanted), ["x", "y"])
    json.dumps(read.to_json())


GOOD: dict[str, Any] = {
    "sentiment": {"label": "negative", "confidence": 0.9},
    "summary": ["Checkout ran out of memory at 14:03.", "It cost 4711 dollars."],
    "key_phrases": [{"text": "rolled back", "confidence": 0.8}, {"text": "blockchain", "confidence": 1}],
    "entities": [{"text": "Maria Keller", "kind": "person", "confidence": 3}, {"text": "Bob", "kind": "person"}],
    "classes": [{"label": "memory", "confidence": 0.7}, {"label": "invented", "confidence": 0.9}],
}


def test_models_reading_is_held_against_the_text() -> None:
    wanted = [one for one in Wanted if one is not Wanted.LOG]
    read = analysis.from_model(f"```json\n{json.dumps(GOOD)}\n```", REPORT, wanted, ["memory", "disk"], "gemini")
    assert read.engine == "gemini" and read.sentiment is not None and read.sentiment.text == "negative"
    assert [one.text for one in read.entities or ()] == ["Maria Keller"]
    assert (read.entities or ())[0].confidence == 1.0
    assert [one.text for one in read.key_phrases or ()] == ["rolled back"]
    assert [one.text for one in read.classes or ()] == ["memory"]
    assert any("4711" in note for note in read.notes)


@pytest.mark.parametrize(
    "answer", ["I cannot", "[]", "{}", '{"sentiment": {"label": "great", "confidence": 1}}', '{"sentiment": 3}']
)
def test_answer_in_another_form_is_not_believed(answer: str) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        analysis.from_model(answer, REPORT, [Wanted.SENTIMENT], [], "openai")


@pytest.mark.parametrize(
    "text", ["x" * 20_000, "12345 67", "服务器今晚出现故障。", "Der Server ist heute Nacht ausgefallen."]
)
def test_tone_of_what_cannot_be_read_is_nobodys_certainty(text: str) -> None:
    read = analysis.analyse(text, [Wanted.SENTIMENT])
    assert read.sentiment is not None and read.sentiment.confidence == 0 and "English" in read.notes[0]


def test_short_english_is_read_with_confidence() -> None:
    for text in ("Database connection pool exhausted overnight", "The server is in rack 4."):
        read = analysis.analyse(text, [Wanted.SENTIMENT])
        assert read.notes == () and read.sentiment is not None and read.sentiment.confidence > 0.5
