from __future__ import annotations

import pytest

from lib.sql.allowed import FUNCTIONS
from lib.sql.tables import TABLES
from lib.ui import completion, promql_words, sql_words
from lib.ui.completion import Where, Word


def test_tables_columns_functions_and_stored_names_are_offered() -> None:
    made = list(sql_words.words(list(TABLES.values()), {"metric": ["up"], "host": ["web-01"]}))
    found = {(word.kind, word.text): word for word in made}
    assert len(found) == len(made), "no word twice"
    assert ("table", "samples") in found and ("function", "time_bucket") in found and ("keyword", "SELECT") in found
    assert found["column", "value"].tables == ("samples",) and "double" in found["column", "value"].about
    assert {"samples", "anomalies"} <= set(found["column", "metric"].tables)
    assert found["host", "web-01"].where is Where.QUOTES and found["column", "host"].where is Where.OPEN
    assert {word.text for word in made if word.kind == "function"} <= FUNCTIONS


def test_thousands_of_hosts_do_not_all_go_to_the_browser() -> None:
    made = sql_words.words([], {"host": (f"h{n}" for n in range(50_000))})
    assert sum(word.kind == "host" for word in made) == sql_words.MOST_VALUES


def test_names_nobody_can_write_on_a_line_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict = {}
    monkeypatch.setattr(completion.components, "component", lambda *_, **__: lambda **given: sent.update(given))
    names = ["up", "L" * 10_000, "line\nbreak", "\u202eevil", "", "<script>"]
    completion.offer("q", [Word(name, "host", where=Where.QUOTES) for name in names])
    assert [word[0] for word in sent["data"]["words"]] == ["up", "<script>"]
    assert sent["data"]["editor"] == "q"


def test_promql_has_its_functions_and_the_metrics_stored() -> None:
    found = {word.text: word.kind for word in promql_words.words([("up", "4 series, gauge")])}
    assert found["up"] == "metric" and found["histogram_quantile"] == "function" and found["without"] == "keyword"
