from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable

import numpy as np
import pytest

from lib.app import App
from lib.auth.actor import GUEST, Role
from lib.db.tables import Source
from lib.errors import StoreError
from lib.frames import Block, to_ms
from lib.ui import sql_view

PAGE = "pages/observe/sql.py"
HOSTILE = "<img src=x onerror=alert(1)> **b** [x](http://evil.example) %{y}"
ENDLESS = "SELECT count(*) FROM range(9000000) a(i), range(9000000) b(j) WHERE i * j = -1"


@pytest.fixture
def filled(app: App) -> App:
    ts = to_ms(app.clock()) - np.arange(120, dtype=np.int64)[::-1] * 60_000
    blocks = [
        Block(metric, {"instance": host}, ts, np.sin(np.arange(120)) + number)
        for metric in ("node_load1", "node_memory_MemAvailable_bytes", "node_context_switches_total")
        for number, host in enumerate(("web-1", "web-2", "=1+1", HOSTILE))
    ]
    app.samples.append(1, blocks)
    return app


def words(page) -> str:
    kinds = (page.markdown, page.caption, page.info, page.error, page.warning, page.title, page.code)
    return " ".join(str(element.value) for kind in kinds for element in kind)


def ran(page, sql: str):
    """The page once the query is over."""
    page.text_area(key="q").set_value(sql).run()
    page.button(key="sql_run").click().run()
    asked = page.session_state["sql_asked"]
    assert asked.wait(20)
    return page.run()


def chart(page) -> dict:
    return json.loads(page.get("plotly_chart")[0].proto.spec)


def test_run_is_never_disabled_since_the_click_that_leaves_the_editor_would_be_lost(
    filled: App, open_page: Callable
) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.button(key="sql_run").disabled
    page.button(key="sql_run").click().run()
    assert page.session_state["sql_asked"].wait(20)
    assert "There is no query yet" in page.run().error[0].value


def test_stranger_is_sent_to_sign_in(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value
    assert not page.title


def test_empty_store_names_the_next_step_and_tables_can_be_queried(open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    assert "Connect your Prometheus" in page.info[0].value
    page = ran(page, "SELECT * FROM samples")
    assert "no rows" in page.info[0].value


@pytest.mark.parametrize("who", [*Role, "guest"], ids=str)
def test_each_role_runs_a_query_and_sees_when_its_snapshot_is_from(
    filled: App, open_page: Callable, who: Role | str
) -> None:
    page = ran(open_page(PAGE, who), "SELECT host, count(*) AS n FROM samples GROUP BY ALL ORDER BY host")
    assert not page.exception
    assert page.dataframe[0].value["n"].tolist() == [360] * 4
    assert "4 rows" in words(page) and "2026-03-14 12:00:00 UTC" in words(page)


def test_a_guest_is_refused_once_there_is_more_than_the_demo(app: App, open_page: Callable) -> None:
    with app.database.session() as session:
        session.add(Source(name="Main", kind="prometheus"))
    page = open_page(PAGE, "guest")
    assert "Sign in" in page.error[0].value
    assert not page.text_area


def test_a_refusal_of_the_service_is_told(filled: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(PAGE, "guest")
    page.text_area(key="q").set_value("SELECT 1").run()
    monkeypatch.setattr(filled.querying, "guests_allowed", lambda: False)
    page.button(key="sql_run").click().run()
    assert not page.exception
    assert "demo only" in words(page)


def test_a_link_fills_the_query_in_and_does_not_run_it(filled: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER, query={"q": "SELECT 1 AS one"})
    assert page.text_area(key="q").value == "SELECT 1 AS one"
    assert not page.dataframe
    assert "Nothing asked yet" in str(page.info[0].proto)
    page.button(key="sql_run").click().run()
    page.session_state["sql_asked"].wait(20)
    assert page.run().dataframe[0].value["one"].tolist() == [1]


def test_a_syntax_error_shows_its_place(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), "SELECT *\nFROM samples\nWHERE metric == = 'up'")
    assert "Line 3, column 17" in page.error[0].value
    line, caret = page.code[0].value.split("\n")
    assert line[caret.index("^") :].startswith("= 'up'")


def test_a_mistyped_column_shows_what_was_meant(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), "SELECT hots FROM samples")
    assert "Did you mean host" in page.error[0].value


def test_a_way_out_is_refused_on_the_page(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.ADMIN), "SELECT * FROM read_text('/etc/hostname')")
    assert "no function" in page.error[0].value
    assert not page.dataframe


def test_what_runs_long_can_be_cancelled(filled: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_view, "AT_ONCE_S", 0.1)
    page = open_page(PAGE, Role.VIEWER)
    page.text_area(key="q").set_value(ENDLESS).run()
    page.button(key="sql_run").click().run()
    assert not page.exception
    page.button(key="sql_cancel").click().run()
    assert page.session_state["sql_asked"].wait(5)
    page.run()
    assert "cancelled" in page.info[0].value


def test_a_new_query_ends_the_one_before(filled: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sql_view, "AT_ONCE_S", 0.1)
    page = open_page(PAGE, Role.VIEWER)
    page.text_area(key="q").set_value(ENDLESS).run()
    page.button(key="sql_run").click().run()
    first = page.session_state["sql_asked"]
    page = ran(page, "SELECT 1 AS one")
    assert first.done
    assert page.dataframe[0].value["one"].tolist() == [1]


@pytest.mark.parametrize("number", range(len(sql_view.EXAMPLES)))
def test_each_example_runs(filled: App, open_page: Callable, number: int) -> None:
    page = open_page(PAGE, Role.VIEWER)
    page.button(key=f"sql_example_{number}").click().run()
    sql = page.text_area(key="q").value
    assert sql == list(sql_view.EXAMPLES.values())[number]
    page = ran(page, sql)
    assert not page.exception and not page.error


def test_clicks_on_tables_and_columns_insert_their_names(filled: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.VIEWER, query={"q": "SELECT * FROM"})
    page.selectbox(key="sql_table").set_value("anomalies").run()
    page.button(key="sql_insert").click().run()
    assert page.text_area(key="q").value == "SELECT * FROM anomalies"
    page.button(key="sql_column_anomalies_5").click().run()
    assert page.text_area(key="q").value == "SELECT * FROM anomalies severity"


def test_time_makes_lines_one_a_host(filled: App, open_page: Callable) -> None:
    page = ran(
        open_page(PAGE, Role.VIEWER), "SELECT ts, host, value FROM samples WHERE metric = 'node_load1' ORDER BY ts"
    )
    names = {trace["name"] for trace in chart(page)["data"]}
    assert len(names) == 4 and {"web-1", "web-2"} <= names
    assert not any("<img" in name for name in names)


def test_categories_make_bars(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), "SELECT host, max(value) AS most FROM samples GROUP BY ALL ORDER BY host")
    (trace,) = chart(page)["data"]
    assert (trace["type"], trace["orientation"]) == ("bar", "h")
    assert "<img" not in json.dumps(chart(page)["layout"])


def test_values_of_one_metric_carry_its_unit(filled: App, open_page: Callable) -> None:
    sql = "SELECT metric, max(value) AS value FROM samples WHERE metric LIKE '%Available%' GROUP BY ALL"
    page = ran(open_page(PAGE, Role.VIEWER), sql)
    assert json.loads(page.dataframe[0].proto.columns)["value"]["label"] == "value (B)"


def test_a_hostile_label_stays_text(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), f"SELECT DISTINCT host FROM samples WHERE host = '{HOSTILE}'")
    assert page.dataframe[0].value["host"].tolist() == [HOSTILE]
    assert HOSTILE not in words(page)


def test_a_hostile_query_is_inert_in_its_error_and_in_the_history(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), 'SELECT * FROM "<b>[x](http://evil)</b>"')
    assert "[x](http://evil)" not in page.error[0].value
    again = next(button for button in page.button if button.key and button.key.startswith("sql_again_"))
    assert "[x](http://evil)" not in again.label and "[x](http://evil)" not in (again.help or "")


def test_what_was_run_is_in_the_history_to_run_pin_and_remove(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), "SELECT 1 AS one")
    page = ran(page, "SELECT 2 AS two")

    def keys(kind: str) -> list[str]:
        return [button.key for button in page.button if button.key and button.key.startswith(f"sql_{kind}_")]

    assert [page.button(key=key).label for key in keys("again")] == ["SELECT 2 AS two", "SELECT 1 AS one"]
    page.button(key=keys("pin")[1]).click().run()
    assert [page.button(key=key).label for key in keys("again")] == ["SELECT 1 AS one", "SELECT 2 AS two"]
    page.button(key=keys("again")[0]).click().run()
    assert page.text_area(key="q").value == "SELECT 1 AS one"
    page.button(key=keys("forget")[0]).click().run()
    assert [page.button(key=key).label for key in keys("again")] == ["SELECT 2 AS two"]


def test_a_guest_has_no_history(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, "guest"), "SELECT 1")
    assert not [button for button in page.button if button.key and button.key.startswith("sql_again_")]
    assert filled.querying.past(GUEST) == []


def test_files_of_the_result_are_safe_to_open(filled: App, open_page: Callable) -> None:
    page = ran(open_page(PAGE, Role.VIEWER), "SELECT DISTINCT host FROM samples WHERE host LIKE '=%'")
    assert len(page.get("download_button")) == 2
    found = page.session_state["sql_asked"].result()
    text = filled.querying.export(GUEST, found, "csv").decode()
    assert list(csv.reader(io.StringIO(text)))[1] == ["'=1+1"]


def test_a_store_in_trouble_is_told(filled: App, open_page: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    page = open_page(PAGE, Role.VIEWER)

    def broken(*_: object) -> None:
        raise StoreError("The file is closed; start the app again.")

    monkeypatch.setattr(filled.querying.snapshots, "tables", broken)
    page.run()
    assert not page.exception
    assert "start the app again" in words(page)
