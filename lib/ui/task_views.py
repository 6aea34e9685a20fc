"""How tasks look: a symbol and a word for each status, the table, the log."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
import streamlit as st

from lib.db.tables import Task, TaskStatus
from lib.services.jobs import as_line
from lib.ui import links, tables
from lib.ui.text import ago, duration, plain, stamp

if TYPE_CHECKING:
    from lib.app import App
    from lib.auth.actor import Actor

Colour = Literal["gray", "blue", "green", "red", "orange"]
# Never colour alone: each has its own sign, in the table as a character, elsewhere as an icon.
SIGNS = {
    TaskStatus.PENDING: "◷",
    TaskStatus.RUNNING: "▶",
    TaskStatus.SUCCEEDED: "✓",
    TaskStatus.FAILED: "✕",
    TaskStatus.CANCELLED: "⊘",
    TaskStatus.INTERRUPTED: "⚡",
}
ICONS: dict[TaskStatus, tuple[str, Colour]] = {
    TaskStatus.PENDING: (":material/schedule:", "gray"),
    TaskStatus.RUNNING: (":material/play_arrow:", "blue"),
    TaskStatus.SUCCEEDED: (":material/check:", "green"),
    TaskStatus.FAILED: (":material/close:", "red"),
    TaskStatus.CANCELLED: (":material/block:", "gray"),
    TaskStatus.INTERRUPTED: (":material/bolt:", "orange"),
}
# The buttons of the table, and the name of the chosen task in the address.
OPEN, IN_URL = "tasks_open", "task"
# Enough to follow a job; the download has all.
LAST_LINES = 1000
PANE = 380


def took_s(task: Task, now: datetime) -> float | None:
    """How long it ran, or has been running."""
    if task.started_at is None:
        return None
    return max(((task.finished_at or now) - task.started_at).total_seconds(), 0.0)


def follow(app: App, actor: Actor, task_id: int, what: str) -> None:
    """How far a task is, until it has ended; then the page is drawn anew. what: it does, such as "Backing up"."""

    @st.fragment(run_every=1.0)
    def watch() -> None:
        task = app.jobs.get(actor, task_id)
        if task.finished_at is not None:
            st.rerun(scope="app")
        st.progress(min(max(task.progress, 0.0), 1.0), text=f"{what}: {plain(task.message or 'waiting')}")
        links.to("pages/operate/tasks.py", "See or end it on Tasks", icon=":material/pending_actions:")

    watch()


def badge(task: Task) -> None:
    icon, colour = ICONS[TaskStatus(task.status)]
    st.badge(task.status.capitalize(), icon=icon, color=colour)


def facts(task: Task, now: datetime) -> str:
    """One line of markdown: who, when, how long."""
    parts = [f"Task {task.id}", f"by {plain(task.created_by)}", f"submitted {ago(task.created_at, now)}"]
    if task.started_at:
        parts.append(f"started {stamp(task.started_at, seconds=True)}")
    took = took_s(task, now)
    if took is not None:
        parts.append(f"{'running for' if task.status == TaskStatus.RUNNING else 'took'} {duration(took)}")
    return " · ".join(parts)


def picker(tasks: Sequence[Task]) -> Task:
    """The task whose details are shown: that of `?task=12`, else one that runs, else the newest.

    The address alone holds the choice. A value set from here into a widget would be undone by a redraw that was
    under way, and this page is drawn again and again.
    """
    labels = {str(task.id): f"{task.id} · {task.title or task.kind}" for task in tasks}
    asked = st.query_params.get(IN_URL)
    chosen = asked if asked in labels else None
    key = f"tasks_choice_{chosen}"
    st.selectbox(
        "Task",
        list(labels),
        index=list(labels).index(chosen) if chosen else None,
        key=key,
        on_change=lambda: _choose(st.session_state[key]),
        format_func=lambda one: labels.get(one, one),
        placeholder="What runs now, or the newest",
        filter_mode="contains",
    )
    running = (task for task in tasks if task.status == TaskStatus.RUNNING)
    return next((task for task in tasks if str(task.id) == chosen), next(running, tasks[0]))


def _choose(task_id: str | None) -> None:
    if task_id is None:
        st.query_params.pop(IN_URL, None)
    else:
        st.query_params[IN_URL] = task_id


def _open(ids: list[str]) -> None:
    """The button of a row. The ids are those on screen when it was drawn: the list may have grown since."""
    click = st.session_state[OPEN]
    if click is not None and click.row < len(ids):
        _choose(ids[click.row])


def table(tasks: Sequence[Task], now: datetime) -> None:
    """One row a task; its button makes it the one of `picker`."""
    took = [took_s(task, now) for task in tasks]
    frame = pd.DataFrame(
        {
            "status": [f"{SIGNS[TaskStatus(task.status)]} {task.status.capitalize()}" for task in tasks],
            "open": ["Open"] * len(tasks),
            "task": [task.title or task.kind for task in tasks],
            "progress": [round(100 * task.progress) for task in tasks],
            "took": ["–" if seconds is None else duration(seconds) for seconds in took],
            "message": [task.error or ("" if task.finished_at else task.message) for task in tasks],
            "started": pd.Series([task.started_at for task in tasks], dtype="datetime64[ms, UTC]"),
            "by": [task.created_by for task in tasks],
            "id": [task.id for task in tasks],
        }
    )
    ids = [str(task.id) for task in tasks]
    st.dataframe(
        frame,
        column_config={
            "status": st.column_config.TextColumn("Status", width=112),  # its longest word, whatever is on screen
            "task": "Task",
            "open": st.column_config.ButtonColumn(
                "Details", width="small", type="tertiary", key=OPEN, on_click=_open, args=(ids,)
            ),
            "progress": st.column_config.ProgressColumn("Progress", format="%d%%", min_value=0, max_value=100),
            "took": st.column_config.TextColumn("Took", width=80, help="Running time, without waiting in the queue."),
            "message": st.column_config.TextColumn("Last message", width="medium"),
            "started": tables.moment("Started"),
            "by": "By",
            "id": st.column_config.NumberColumn("Number", format="%d"),
        },
        hide_index=True,
        height="auto",
        key="tasks_table",
        alt="Tasks, newest first, with status and progress",
    )


def log(lines: Sequence[dict[str, Any]], active: bool) -> None:
    """The end of a log, in a pane that follows it."""
    if not lines:
        st.caption("The log begins when the task starts." if active else "This task left no log.")
        return
    if lines[0]["n"]:
        st.caption(f"The last {len(lines)} of {lines[-1]['n'] + 1:,} lines; the download has all.")
    text = "\n".join(as_line(line) for line in lines)
    # A short log takes the room it needs; a long one scrolls, and stays at its end.
    with st.container(height=PANE if text.count("\n") > 12 else "content", autoscroll=True, key="tasks_log"):
        st.code(text, language=None, wrap_lines=True)
