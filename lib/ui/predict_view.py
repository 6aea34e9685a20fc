"""The Predict page's parts: a form made of the schema, the answer with why, files."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from lib.auth.actor import Actor, Permission
from lib.db.learning_tables import ModelVersion
from lib.db.tables import Task, TaskStatus
from lib.errors import AppError
from lib.registry.answers import Answer
from lib.registry.schema import Field, Kind
from lib.ui import charts, dataset_view, refusal, task_views
from lib.ui.text import plain

if TYPE_CHECKING:
    from lib.app import App

# Beyond this many fields a form is no place to type.
MOST_FIELDS = 120
_SHOWN = 12


def form(app: App, actor: Actor, row: ModelVersion) -> None:
    """Fill in one row, or paste it as JSON; the answer below."""
    fields = app.models.schema_of(row).fields
    given: dict[str, Any] | None = None
    if len(fields) > MOST_FIELDS:
        st.info(
            f"This model takes {len(fields):,} fields; bring a file, or use the API.", icon=":material/upload_file:"
        )
        return
    app.prediction.prepare(actor, row)
    # A key a version: what was typed for one model means nothing to another.
    with st.form(f"predict_form_{row.id}", border=False):
        typed: dict[str, Any] = {}
        for start in range(0, len(fields), 3):  # rows of columns: on a narrow screen the order stays
            for place, one, column in zip(range(start, len(fields)), fields[start:], st.columns(3), strict=False):
                typed[one.name] = _input(column, one, f"{row.id}_{place}")
        with st.container(horizontal=True, vertical_alignment="center"):
            sent = st.form_submit_button(
                "Predict", icon=":material/online_prediction:", key="predict_send", type="primary"
            )
            explain = st.checkbox("Say why", True, key="predict_why")
    if sent:
        given = {name: value for name, value in typed.items() if value is not None}
    if given is None:
        return
    try:
        answer = app.prediction.predict(
            actor, [given], model=row.name, version=row.version, explain=explain, keep=False
        )
    except AppError as error:
        problems = error.values.get("fields")
        if isinstance(problems, list):
            for one in problems:
                st.error(plain(one["message"]), icon=":material/error:")
        else:
            st.error(plain(error.message), icon=":material/error:")
        return
    show(answer, str(row.model_schema.get("target", "")), str(row.model_schema.get("unit", "")))


def _input(place: Any, one: Field, key: str) -> Any:
    """A widget for a field, beginning with its usual value."""
    key, label = f"field_{key}", plain(one.name, 60)
    optional = "May be left empty." if one.missing else None
    match one.kind:
        case Kind.BOOLEAN:
            index = None if one.missing and one.usual is None else (1 if one.usual in (True, 1, "true") else 0)
            return place.selectbox(label, [False, True], index=index, key=key, help=optional, format_func=_yes)
        case Kind.CATEGORY:
            index = one.categories.index(str(one.usual)) if str(one.usual) in one.categories else None
            index = 0 if index is None and not one.missing and one.categories else index
            return place.selectbox(
                label, one.categories, index=index, key=key, help=optional, accept_new_options=one.open
            )
        case Kind.TEXT:
            return place.text_input(label, str(one.usual or ""), key=key, help=optional) or None
        case Kind.TIME:
            moment = place.datetime_input(f"{label} (UTC)", None, key=key, help=optional)
            return moment.replace(tzinfo=UTC).isoformat() if isinstance(moment, datetime) else None
    usual = float(one.usual) if isinstance(one.usual, int | float) else (None if one.missing else 0.0)
    span = f"Learnt from {one.low:g} to {one.high:g}." if one.low is not None and one.high is not None else None
    if one.kind is Kind.INTEGER:
        whole = None if usual is None else round(usual)
        return place.number_input(label, value=whole, step=1, key=key, help=span or optional)
    return place.number_input(label, value=usual, key=key, format="%.6g", help=span or optional)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def show(answer: Answer, target: str, unit: str) -> None:
    """What was predicted, how sure, how long it took, and why."""
    one = answer.predictions[0]
    with st.container(horizontal=True):
        if one.label is not None:
            st.metric(plain(target or "Prediction", 60), plain(one.label, 60))
            st.metric("Probability", f"{one.probabilities.get(one.label, 0):.1%}")
        else:
            value = "–" if one.value is None else f"{one.value:.6g} {plain(unit)}".strip()
            st.metric(plain(target or "Prediction", 60), value)
        st.metric("Took", f"{answer.took_ms:.1f} ms", help=f"Of which the model itself {answer.model_ms:.2f} ms.")
    if one.probabilities:
        st.dataframe(
            pd.DataFrame(sorted(one.probabilities.items(), key=lambda pair: -(pair[1] or 0)), columns=["class", "p"]),
            hide_index=True,
            key="predict_classes",
            column_config={
                "class": "Class",
                "p": st.column_config.ProgressColumn("Probability", min_value=0, max_value=1, format="percent"),
            },
            alt="Probability of each class",
        )
        likeliest = max(one.probabilities, key=lambda name: one.probabilities[name] or 0)
        if one.label is not None and one.label != likeliest:
            st.caption(
                f"{plain(likeliest)} is likelier, yet {plain(one.label)} is said: training found that saying it from a "
                "lower probability on is right more often by the metric it was tuned for."
            )
    if one.why:
        st.subheader("Why", anchor=False)
        if not any(reason.contribution for reason in one.why):
            st.caption("Nothing: every field has its usual value, or one that makes no difference to this model.")
            return
        charts.show(_why(answer), key="predict_reasons")
        st.caption(f"{plain(answer.why_method)}{f', in {plain(answer.why_unit)}' if answer.why_unit else ''}. "
                   "▶ towards this prediction, ◀ away from it.")  # fmt: skip


def _why(answer: Answer):  # type: ignore[no-untyped-def] # plotly is not imported here
    reasons = [one for one in answer.predictions[0].why if one.contribution][:_SHOWN][::-1]
    figure = charts.empty_figure()
    names = [f"{charts.label(one.field, 30)} = {charts.label(_value(one.value), 20)}" for one in reasons]
    figure.add_bar(
        y=[f"{'▶' if one.contribution > 0 else '◀'} {name}" for one, name in zip(reasons, names, strict=True)],
        x=[one.contribution for one in reasons],
        orientation="h",
        marker={"color": [charts.PALETTE[0] if one.contribution > 0 else charts.PALETTE[1] for one in reasons]},
        hovertemplate="%{y}: %{x:.4g}<extra></extra>",
        showlegend=False,
    )
    said = "; ".join(f"{one.field} {one.contribution:+.3g}" for one in reasons[::-1][:5])
    charts.layout(figure, height=90 + 26 * max(len(reasons), 1), alt=f"What moved the prediction most: {said}")
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(type="category", automargin=True)
    return figure


def _value(value: Any) -> str:
    return "missing" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


# --- files -----------------------------------------------------------------------------------------


def files(app: App, actor: Actor, row: ModelVersion) -> None:
    """Bring a file with many rows, follow it, fetch the result."""
    may = actor.may(Permission.RUN_TASKS)
    with st.form("predict_file_form", border=False, clear_on_submit=True):
        file = st.file_uploader(
            "CSV, TSV or Parquet",
            ["csv", "tsv", "parquet"],
            key="predict_file",
            max_upload_size=max(1, int(app.settings.upload_max_mb)),
            disabled=not may,
            help="Columns named as the fields; others stay and are given back.",
        )
        sent = st.form_submit_button(
            "Predict the file", icon=":material/play_arrow:", key="predict_file_send", disabled=not may
        )
    if sent and file is None:
        st.warning("Choose a file first.", icon=":material/upload_file:")
    if sent and file is not None:
        with refusal.shown():
            app.prediction_files.start(actor, row.name, row.version, file.name, file)
            st.rerun()
    _followed(app, actor, row, may)


def dataset(app: App, actor: Actor, row: ModelVersion) -> None:
    """Choose a stored dataset, follow its prediction, fetch the result."""
    may, listed = actor.may(Permission.RUN_TASKS), app.datasets.list(actor)
    if not listed:
        dataset_view.nothing()
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        one = dataset_view.picker(listed)
        version = dataset_view.version_picker(app.datasets.get(actor, one.id)[1])
        sent = st.button("Predict the dataset", icon=":material/play_arrow:", key="predict_dataset_send",
                         type="primary", disabled=not may)  # fmt: skip
    if sent:
        with refusal.shown():
            app.prediction_files.start_dataset(actor, row.name, row.version, one.id, version.hash)
            st.rerun()
    st.caption("All its rows; columns the model does not take stay and are given back.")
    _followed(app, actor, row, may)


def _followed(app: App, actor: Actor, row: ModelVersion, may: bool) -> None:
    """What was predicted of files and datasets with this model, drawn again while it runs."""
    if not may:
        st.caption(":material/lock: Predicting files and datasets takes the role analyst.")
    tasks = app.prediction_files.tasks(actor, row.name)
    busy = any(task.finished_at is None for task in tasks)

    @st.fragment(run_every=1.0 if busy else None)
    def watch() -> None:
        found = app.prediction_files.tasks(actor, row.name)
        for task in found[:5]:
            _task(app, actor, task)
        if busy and all(task.finished_at is not None for task in found):
            st.rerun(scope="app")

    watch()
    if not tasks:
        st.info("Nothing predicted from a file or dataset yet.", icon=":material/upload_file:")


def _task(app: App, actor: Actor, task: Task) -> None:
    with st.container(border=True):
        st.markdown(f"{task_views.SIGNS[TaskStatus(task.status)]} {plain(task.title)}")
        if task.finished_at is None:
            st.progress(min(max(task.progress, 0.0), 1.0), text=plain(task.message or "waiting for a free place"))
            if app.jobs.may_cancel(actor, task) and st.button("End it", key=f"predict_end_{task.id}"):
                with refusal.shown():
                    app.jobs.cancel(actor, task.id or 0)
        elif task.status == TaskStatus.SUCCEEDED:
            rows, bad = int(task.result.get("rows", 0)), int(task.result.get("problems", 0))
            st.caption(f"{rows - bad:,} of {rows:,} rows predicted.")
            for line in task.result.get("told", [])[:3]:
                st.caption(f":material/warning: {plain(line)}")
            try:
                path = app.prediction_files.result(actor, task.id or 0)
            except AppError as error:
                st.caption(plain(error.message))
                return
            name = f"predictions-{task.params.get('model')}-{task.id}.csv"
            st.download_button("CSV", path.read_bytes, name, "text/csv", key=f"predict_result_{task.id}",
                               icon=":material/download:", on_click="ignore",
                               help="Text that a spreadsheet would run as a formula is made harmless.")  # fmt: skip
        else:
            st.caption(f":material/error: {plain(task.error or task.status, 600)}")
