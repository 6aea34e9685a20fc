"""What runs for long: watch it, read its log, end it, take the log along."""

import streamlit as st

from lib.auth.actor import Permission
from lib.db.tables import Task, TaskStatus
from lib.errors import AppError
from lib.ui import guard, links, runtime, task_views
from lib.ui.text import plain, stamp

actor = guard.require(Permission.VIEW)
app = runtime.app()

ACTIVE = (TaskStatus.PENDING, TaskStatus.RUNNING)


def active(counts: dict[TaskStatus, int]) -> bool:
    return any(counts[status] for status in ACTIVE)


def view(live: bool) -> None:
    """Everything below the title: drawn again every two seconds while something runs or waits."""
    guard.require(Permission.VIEW)
    now = app.clock()
    counts = app.jobs.counts(actor)
    if active(counts) != live:
        st.rerun(scope="app")  # begin or end drawing again and again
    status = st.segmented_control(
        "Status", list(TaskStatus), key="status", bind="query-params", format_func=str.capitalize, wrap=True
    )
    told = " · ".join(f"{task_views.SIGNS[one]} {count:,} {one}" for one, count in counts.items() if count)
    st.caption(f"{told} · as of {stamp(now, seconds=True)}")
    tasks = app.jobs.list(actor, status)
    if not tasks:
        st.info(f"No task is {status}. Choose the status again to see all.", icon=":material/filter_alt_off:")
        return
    task_views.table(tasks, now)
    draw_task(task_views.picker(tasks))


def draw_task(task: Task) -> None:
    waits_or_runs = task.status in ACTIVE
    with st.container(horizontal=True, vertical_alignment="center"):
        st.subheader(plain(task.title or task.kind), width="stretch")
        task_views.badge(task)
    st.caption(task_views.facts(task, app.clock()))
    if waits_or_runs:
        st.progress(task.progress, plain(task.message) or None)
    if task.error:
        st.error(plain(task.error, 4000), icon=task_views.ICONS[TaskStatus(task.status)][0])
    with st.container(horizontal=True):
        draw_cancel(task)
        for suffix, label, mime in (
            ("txt", "Log as text", "text/plain"),
            ("json", "Log as JSON", "application/json"),
        ):
            st.download_button(
                label,
                lambda suffix=suffix: app.jobs.log_file(actor, task.id, as_text=suffix == "txt"),
                f"task-{task.id}.{suffix}",
                mime,
                key=f"tasks_log_{suffix}",
                icon=":material/download:",
                on_click="ignore",
            )
    task_views.log(app.jobs.log(actor, task.id, after=-task_views.LAST_LINES), waits_or_runs)
    with st.expander("Parameters and result", icon=":material/data_object:"):
        st.json({"parameters": task.params, "result": task.result})


def draw_cancel(task: Task) -> None:
    if not app.jobs.may_cancel(actor, task):
        return
    with st.popover("Cancel", icon=":material/stop_circle:", key=f"tasks_ask_{task.id}"):
        st.markdown("End this task? What it has not handed over yet is lost; its log stays.")
        if not st.button("End the task", type="primary", key=f"tasks_cancel_{task.id}"):
            return
        try:
            app.jobs.cancel(actor, task.id)
        except AppError as error:
            st.error(plain(error.message))
        else:
            st.rerun(scope="app")


st.title("Tasks", icon=":material/task:")
try:
    counts = app.jobs.counts(actor)
    if any(counts.values()):
        st.fragment(view, run_every=2.0 if active(counts) else None)(active(counts))
    else:
        st.info(
            "Backfilling a source and training a detector run as tasks. Start one, and watch it here.",
            title="No tasks yet",
            icon=":material/task:",
        )
        links.to("pages/operate/sources.py", "Backfill a source", icon=":material/history:")
        links.to("pages/observe/anomalies.py", "Train a detector", icon=":material/model_training:")
except AppError as error:
    st.error(plain(error.message))
