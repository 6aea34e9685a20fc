"""What the guard lets through and what it refuses, each as DuckDB's own parser reads it."""

from __future__ import annotations

import duckdb
import pytest

from benchmarks.sql_probes import ESCAPES, HONEST
from lib.sql import allowed, guard
from lib.sql.tables import TABLES

PARSER = duckdb.connect(":memory:")


def check(sql: str, tables: frozenset[str] = frozenset(TABLES)) -> frozenset[str]:
    guard.readable(sql)
    return guard.check(PARSER.execute("SELECT json_serialize_sql(?)", [sql]).fetchall()[0][0], tables)


def refusal(sql: str) -> guard.Refused:
    with pytest.raises(guard.Refused) as caught:
        check(sql)
    return caught.value


@pytest.mark.parametrize("sql", HONEST)
def test_honest_queries_pass(sql: str) -> None:
    assert check(sql) <= set(TABLES)


@pytest.mark.parametrize("sql", ESCAPES)
def test_ways_out_are_refused(sql: str) -> None:
    assert refusal(sql.replace("{dir}", "/tmp/x").replace("{db}", "/tmp/x/own.duckdb")).message


def test_there_are_as_many_probes_as_were_asked_for() -> None:
    assert len(set(ESCAPES)) >= 123


def test_tables_that_are_read_are_named_and_parts_of_with_are_not() -> None:
    assert check("WITH a AS (FROM series) SELECT * FROM a JOIN samples USING (series_id)") == {"series", "samples"}
    assert check("WITH samples AS (SELECT 1) FROM samples") == set()


def test_names_may_be_written_in_any_case() -> None:
    assert check('SELECT COUNT(*) FROM "Samples"') == {"samples"}


@pytest.mark.parametrize(
    "sql",
    [
        "WITH pg_class AS (SELECT * FROM pg_class) FROM pg_class",
        "SELECT * FROM (WITH pg_class AS (SELECT 1) FROM pg_class) a, pg_class",
        "WITH a AS (FROM b), b AS (SELECT 1) FROM a",
        "SELECT (WITH b AS (SELECT 1) SELECT * FROM b), (SELECT * FROM b)",
    ],
)
def test_a_part_of_with_is_known_only_where_it_is_in_scope(sql: str) -> None:
    assert "There is no table" in refusal(sql).message


def test_a_part_of_with_cannot_be_called_like_a_file() -> None:
    assert "cannot name" in refusal('WITH "/etc/passwd" AS (SELECT 1) SELECT 1').message


def test_a_syntax_error_tells_its_byte() -> None:
    error = refusal("SELECT 'ä',\n FROM FROM samples")
    assert error.position == len("SELECT 'ä',\n FROM ".encode())


def test_a_mistyped_table_and_function_bring_the_nearest_name() -> None:
    assert refusal("FROM smaples").hint == "Did you mean samples?"
    assert refusal("SELECT medain(value) FROM samples").hint == "Did you mean median?"


def test_whoever_looks_for_alerts_is_told_that_none_are_kept() -> None:
    error = refusal("SELECT count(*) FROM Alerts")
    assert error.message == "There is no table 'Alerts' here." and "no alerts are kept" in error.hint


@pytest.mark.parametrize("sql", ["", "  \n", "SELECT '\x00'", "SELECT '\ud800'", "SELECT " + "1," * 20_000 + "1"])
def test_what_is_no_query_never_reaches_the_parser(sql: str) -> None:
    with pytest.raises(guard.Refused):
        guard.readable(sql)


def test_a_field_nobody_has_looked_at_refuses_the_query() -> None:
    tree = (
        '{"error": false, "statements": [{"node": {"type": "SELECT_NODE", "brand_new": true}, "named_param_map": []}]}'
    )
    with pytest.raises(guard.Refused, match="brand_new"):
        guard.check(tree, TABLES)


def test_an_expression_nobody_has_looked_at_refuses_the_query() -> None:
    node = '{"type": "SELECT_NODE", "select_list": [{"class": "SPELL", "type": "SPELL"}]}'
    tree = f'{{"error": false, "statements": [{{"node": {node}, "named_param_map": []}}]}}'
    with pytest.raises(guard.Refused, match="spell"):
        guard.check(tree, TABLES)


def test_deep_nesting_is_refused_in_words() -> None:
    deep = '{"children":' * 5000 + "[]" + "}" * 5000
    with pytest.raises(guard.Refused, match="nested"):
        guard.check(deep, TABLES)


def test_no_function_that_reaches_outside_is_allowed() -> None:
    table_functions = {
        row[0]
        for row in PARSER.execute(
            "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type IN ('table', 'pragma')"
        ).fetchall()
    }
    # These are scalar functions of the same name; as tables they are refused by their own list.
    assert allowed.FUNCTIONS & table_functions <= {"range", "generate_series", "unnest", "repeat"}
    assert {"range", "generate_series", "unnest"} == allowed.TABLE_FUNCTIONS
    assert not {name for name in allowed.FUNCTIONS if name.startswith(("pg_", "duckdb_", "current_s", "__"))}
