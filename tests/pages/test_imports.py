from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from lib.app import App
from lib.auth.actor import Actor, Role
from lib.services.importing_jobs import Report
from lib.services.importing_staged import Staged
from lib.settings import TaskMode

PAGE = "pages/operate/imports.py"
OLGA = Actor("operator", Role.OPERATOR)
CSV = b"time,host,<b>CPU [x](http:y) %,note\n" + b"".join(
    b"2026-03-%02d 10:00:00,web-%d <script>,%d.5,\n" % (day, host, day) for day in range(1, 12) for host in range(3)
)


@pytest.fixture
def at_work(app: App) -> App:
    app.settings.task_mode = TaskMode.THREAD
    app.runner.start()
    return app


def settled(app: App, import_id: str) -> Staged:
    for task in app.importing._tasks(import_id):
        app.runner.wait(task.id or 0, 60)
    return app.importing.get(OLGA, import_id)


def brought(app: App, body: bytes = CSV, name: str = "a.csv") -> str:
    import_id = app.importing.upload(OLGA, name, io.BytesIO(body))
    settled(app, import_id)
    return import_id


def words(page: AppTest) -> str:
    kinds = ("error", "warning", "info", "success", "caption", "markdown")
    return " ".join(str(one.proto) for kind in kinds for one in page.get(kind)).replace("\\", "")


def test_stranger_is_sent_to_sign_in(open_page: Callable) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value


def test_a_file_goes_from_upload_to_store(at_work: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.OPERATOR)
    assert not page.exception
    page.file_uploader[0].set_value(("a.csv", CSV, "text/csv"))
    page.button(key="import_send").click().run()
    import_id = at_work.importing.brought(OLGA)[0].id
    settled(at_work, import_id)
    page.run()
    assert not page.exception
    preview = page.dataframe[-1].value
    assert preview["series"][0] == 'b_CPU_x_http_y_percent{host="web-0 <script>"}'
    assert preview["value"].tolist()[:4] == [1.5, 1.5, 1.5, 2.5]
    page.button(key="import_check").click().run()
    settled(at_work, import_id)
    page.run()
    assert not page.exception
    assert {one.label: one.value for one in page.metric} == {
        "New samples": "33",
        "Already there": "0",
        "Series": "3",
        "First day": "2026-03-01",
        "Last day": "2026-03-11",
        "Errors": "0",
    }
    assert at_work.samples.find() == []
    page.button(key="import_store").click().run()
    settled(at_work, import_id)
    page.run()
    assert not page.exception
    assert "33 samples stored in a" in words(page)
    assert len(at_work.samples.find()) == 3


def test_errors_are_counted_listed_and_can_be_taken_along(at_work: App, open_page: Callable) -> None:
    import_id = brought(at_work, CSV + b"2026-03-12 10:00,web-1,=oops(),\nshort\n")
    page = open_page(PAGE, Role.OPERATOR, {"import": import_id})
    page.button(key="import_check").click().run()
    settled(at_work, import_id)
    page.run()
    assert not page.exception
    table = next(one.value for one in page.dataframe if "reason" in one.value)
    assert table["row"].tolist() == [35, 36]
    assert "1** × is no number" in words(page)
    assert [one.proto.label for one in page.get("download_button")] == ["All of them as CSV"]
    assert page.button(key="import_store").label == "Store 33 samples and leave 2 out"


def test_a_changed_choice_has_to_be_checked_again(at_work: App, open_page: Callable) -> None:
    import_id = brought(at_work)
    page = open_page(PAGE, Role.OPERATOR, {"import": import_id})
    page.button(key="import_check").click().run()
    settled(at_work, import_id)
    page.run()
    assert not page.button(key="import_store").disabled
    zone = next(one for one in page.selectbox if one.label == "Time zone")
    zone.set_value("Asia/Tokyo").run()
    assert "check it again" in words(page)
    assert page.button(key="import_store").disabled


def test_all_of_it_there_already_is_said_and_nothing_offered(at_work: App, open_page: Callable) -> None:
    first = brought(at_work)
    look = at_work.importing.get(OLGA, first).look
    assert look is not None
    for import_id in (first, second := brought(at_work)):
        at_work.importing.check(OLGA, import_id, look.mapping)
        settled(at_work, import_id)
        if import_id == first:
            at_work.importing.store(OLGA, first)
            settled(at_work, first)
    page = open_page(PAGE, Role.OPERATOR, {"import": second})
    assert "nothing is left to store" in words(page)
    assert page.button(key="import_store").disabled


def test_a_mapping_that_cannot_be_says_what_to_choose(at_work: App, open_page: Callable) -> None:
    page = open_page(PAGE, Role.OPERATOR, {"import": brought(at_work, b"a,b\nx,1\ny,2\n")})
    assert not page.exception
    assert "One column says when" in words(page)
    page.button(key="import_check").click().run()
    assert "One column says when" in page.error[0].value.replace("\\", "")
    labels = next(one for one in page.text_input if one.label == "Labels for every series")
    labels.set_value("job").run()
    assert not page.exception
    assert "name=value" in words(page)


@pytest.mark.parametrize(
    ("name", "body", "said"),
    [
        ("a.csv", b"\x89PNG\r\n\0\0" * 50, "neither CSV nor"),
        ("a.parquet", b"PAR1xxxx", "cut short"),
        ("a.csv", b"\n", "no rows"),
    ],
)
def test_what_is_no_file_of_samples_is_refused_in_words(
    at_work: App, open_page: Callable, name: str, body: bytes, said: str
) -> None:
    page = open_page(PAGE, Role.OPERATOR, {"import": brought(at_work, body, name)})
    assert not page.exception
    assert said in page.error[0].value.replace("\\", "")
    page.button(key="import_away").click().run()
    assert page.file_uploader and "import" not in page.query_params


def test_openmetrics_and_parquet_need_no_reading(at_work: App, open_page: Callable) -> None:
    body = b'up{host="a"} 1 1772359200.5\nup{host="a"} 0 1772359215.5\n# EOF\n'
    page = open_page(PAGE, Role.OPERATOR, {"import": brought(at_work, body, "a.om")})
    assert not page.exception
    assert page.dataframe[-1].value["series"].tolist() == ['up{host="a"}'] * 2
    assert not [one for one in page.selectbox if one.label in ("Time zone", "Encoding")]


def test_an_import_that_is_gone_leads_back(at_work: App, open_page: Callable) -> None:
    for wrong in ("0" * 16, "../../etc/passwd", "<b>"):
        page = open_page(PAGE, Role.OPERATOR, {"import": wrong})
        assert not page.exception
        assert "Bring the file again" in page.error[0].value.replace("\\", "")
    page.button(key="import_back").click().run()
    assert page.file_uploader


def test_a_step_under_way_shows_how_far_it_is(app: App, open_page: Callable) -> None:
    import_id = app.importing.upload(OLGA, "a.csv", io.BytesIO(CSV))  # nothing works on it
    page = open_page(PAGE, Role.OPERATOR, {"import": import_id})
    assert not page.exception
    assert "waiting for a free place" in str(page.get("progress")[0].proto)


def test_what_should_be_known_is_said_in_sentences() -> None:
    from lib.ui.import_view import said

    given: dict[str, Any] = dict.fromkeys(
        ("repeated", "conflicts", "missing", "expired", "ambiguous", "inexact", "different"), 3
    )
    report = Report(None, None, 9, 1, 0, 1, [], 0, {}, [], **given)  # type: ignore[arg-type]
    assert len(said(report)) == 7 and all(one.startswith("3 ") and one.endswith(".") for one in said(report))
    one = Report(None, None, 9, 1, 0, 1, [], 0, {}, [], repeated=1)  # type: ignore[arg-type]
    assert said(one) == ["1 row is said again by another row: it is stored once."]
    assert said(Report(None, None, 9, 1, 0, 1, [], 0, {}, [])) == []  # type: ignore[arg-type]
