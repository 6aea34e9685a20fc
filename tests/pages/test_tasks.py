from __future__ import annotations

from datetime import timedelta

import pytest

from lib.auth.actor import Role
from lib.db.tables import Task, TaskStatus
from lib.tasks.job import JobKind
from lib.tasks.journal import Journal

PAGE = "pages/operate/tasks.py"
HOSTILE = "<b>bold</b> [link](http://evil) :material/lock: $x^2$"


@pytest.fixture
def tasks(app, clock) -> list[Task]:
    """One of each status, in the order of TaskStatus; ids 1 to 6."""
    with app.database.session() as session:
        made = [
            Task(
                id=n,
                kind="train",
                title=f"Train web-{n}",
                status=status,
                progress=0.42,
                message=f"fold {n}",
                created_by="analyst",
                params={"host": HOSTILE},
                created_at=clock() - timedelta(minutes=5),
                started_at=None if status is TaskStatus.PENDING else clock() - timedelta(minutes=4),
                finished_at=None if n < 3 else clock() - timedelta(minutes=1),
                error=f"Only 3 points of {HOSTILE}" if status is TaskStatus.FAILED else "",
            )
            for n, status in enumerate(TaskStatus, start=1)
        ]
        session.add_all(made)
    log = Journal(app.runner.log_path(4))
    for n in range(1200):
        log.write(f"line {n} {HOSTILE}")
    log.close()
    return made


def text_of(page) -> str:
    return " ".join(
        str(element.value)
        for kind in (page.markdown, page.caption, page.info, page.error, page.subheader, page.title)
        for element in kind
    )


def test_stranger_is_refused(open_page) -> None:
    page = open_page(PAGE)
    assert "Sign in" in page.error[0].value and not page.title


@pytest.mark.parametrize("role", [Role.VIEWER, "guest"])
def test_without_tasks_it_says_how_to_start_one(open_page, role) -> None:
    page = open_page(PAGE, role)
    assert not page.exception and not page.dataframe
    assert "Start one" in page.info[0].value


def test_all_tasks_are_listed_with_sign_word_and_progress(open_page, tasks) -> None:
    page = open_page(PAGE, Role.VIEWER)
    assert not page.exception
    shown = page.dataframe[0].value
    assert list(shown["status"]) == [
        "⚡ Interrupted", "⊘ Cancelled", "✕ Failed", "✓ Succeeded", "▶ Running", "◷ Pending"
    ]  # fmt: skip
    assert list(shown["id"]) == [6, 5, 4, 3, 2, 1]
    assert shown["took"].iloc[-1] == "–" and shown["took"].iloc[0] == "3 min"
    assert "as of 2026-03-14 12:00:00 UTC" in text_of(page)
    assert page.subheader[0].value.startswith("Train web")


def test_status_in_the_address_narrows_the_list(open_page, tasks) -> None:
    page = open_page(PAGE, Role.VIEWER, {"status": "Failed"})
    assert list(page.dataframe[0].value["id"]) == [4]
    assert len(page.error) == 1


def test_status_without_tasks_is_empty_and_not_an_error(app, open_page, tasks) -> None:
    with app.database.session() as session:
        session.delete(tasks[3])
    page = open_page(PAGE, Role.VIEWER, {"status": "Failed"})
    assert not page.exception and not page.dataframe
    assert "No task is failed" in page.info[0].value


def test_chosen_task_shows_its_error_and_the_end_of_its_log(open_page, tasks) -> None:
    page = open_page(PAGE, "guest", {"task": "4"})
    assert page.selectbox[0].value == "4"
    lines = page.code[0].value.splitlines()
    assert len(lines) == 1000 and "line 1199 <b>bold</b>" in lines[-1]
    assert "last 1000 of 1,200 lines" in text_of(page)
    # Foreign text does nothing where markdown is rendered.
    assert "<b>" not in page.error[0].value and "](http" not in page.error[0].value.replace("\\", "\\\\")


def test_choosing_a_task_puts_it_into_the_address(open_page, tasks) -> None:
    page = open_page(PAGE, Role.VIEWER)
    page.selectbox[0].select("3").run()
    assert page.query_params["task"] in ("3", ["3"])
    assert "Train web" in page.subheader[0].value and "Task 3 " in text_of(page)


def test_status_that_hides_the_chosen_task_shows_another(open_page, tasks) -> None:
    page = open_page(PAGE, Role.VIEWER, {"task": "3"})
    page.segmented_control[0].set_value(TaskStatus.FAILED).run()
    assert not page.exception and page.selectbox[0].value is None and "Task 4 " in text_of(page)


@pytest.mark.parametrize("asked", ["99", "x", "<script>"])
def test_unknown_task_in_the_address_shows_what_runs(open_page, tasks, asked) -> None:
    page = open_page(PAGE, Role.VIEWER, {"task": asked})
    assert not page.exception and "Task 2 " in text_of(page)


@pytest.mark.parametrize(("role", "may"), [("guest", False), (Role.VIEWER, False), (Role.OPERATOR, True)])
def test_cancel_is_offered_to_those_who_may(open_page, tasks, role, may) -> None:
    page = open_page(PAGE, role, {"task": "1"})
    assert [button.label for button in page.button] == (["End the task"] if may else [])


def test_ended_task_offers_no_cancel(open_page, tasks) -> None:
    assert not open_page(PAGE, Role.OPERATOR, {"task": "5"}).button


def test_own_task_is_cancelled_after_confirming(app, open_page) -> None:
    app.runner.register(JobKind("train", "nowhere:train"))
    task = app.runner.submit("train", {}, by="analyst")
    page = open_page(PAGE, Role.ANALYST)
    page.button[0].click().run()
    assert not page.exception and not page.error
    assert app.runner.get(task.id).status == TaskStatus.CANCELLED
    assert page.dataframe[0].value["status"].iloc[0] == "⊘ Cancelled"


def test_cancel_that_comes_too_late_says_so(app, open_page, tasks) -> None:
    page = open_page(PAGE, Role.OPERATOR, {"task": "2"})
    page.button[0].click().run()
    assert "already ended" in page.error[0].value


def test_logs_can_be_taken_along(open_page, tasks) -> None:
    page = open_page(PAGE, Role.VIEWER, {"task": "4"})
    assert [button.label for button in page.get("download_button")] == ["Log as text", "Log as JSON"]
